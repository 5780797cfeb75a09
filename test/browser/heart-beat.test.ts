import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startBroker, type TestBroker } from '../helpers/broker.ts'
import { launchBrowser } from '../helpers/browser.ts'

const INTERVAL = 500
let browser: Browser
let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker({ heartbeatMin: INTERVAL, pingInterval: INTERVAL })
  browser = await launchBrowser()
})
afterAll(async () => {
  await browser.close()
  await broker.close()
})

interface Page {
  readonly url: string
  readonly beat: string
  /** Milliseconds in which it does nothing at all, not even what its timers are for. */
  readonly sleep: number
}

/** In the page: connects, sleeps, and then asks for a receipt. What the broker said. */
function run({ url, beat, sleep }: Page): Promise<string> {
  const socket = new WebSocket(url, ['v12.stomp'])
  let said = ''
  return new Promise((resolve) => {
    socket.onopen = () => socket.send(`CONNECT\naccept-version:1.2\nhost:x\nheart-beat:${beat}\n\n\0`)
    socket.onclose = ({ code }) => resolve(`${said}closed ${code}`)
    socket.onmessage = ({ data }) => {
      said += data
      if (said.includes('RECEIPT')) resolve(said)
      if (!String(data).startsWith('CONNECTED')) return
      const end = performance.now() + sleep
      while (performance.now() < end);
      socket.send('SEND\ndestination:/topic/x\nreceipt:here\n\n\0')
    }
  })
}

test.each([
  ['that promised heart-beats', '500,0'],
  ['without heart-beats', '0,0'],
])('a sleeping tab %s stays connected: its browser answers the pings', async (_which, beat) => {
  const page = await browser.newPage()
  await page.goto(broker.url)
  // Three intervals without an answer would end it.
  const said = await page.evaluate(run, { url: broker.webSocketUrl, beat, sleep: 8 * INTERVAL })
  expect(said).toMatch(/^CONNECTED\n[^\0]*\0RECEIPT\nreceipt-id:here\n/)
  await page.close()
})
