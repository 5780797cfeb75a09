import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, type TestBroker } from '../helpers/broker.ts'
import { launchBrowser } from '../helpers/browser.ts'

// The transports that exist in browsers only; the chat's test has the others.

let browser: Browser
let broker: TestBroker
/** A page of another origin on this machine, with the SockJS client. */
let elsewhere: Server
let page: Page

beforeAll(async () => {
  const package_ = createRequire(import.meta.url).resolve('sockjs-client/package.json')
  const client = await readFile(join(dirname(package_), 'dist', 'sockjs.min.js'))
  elsewhere = createServer((request, response) => {
    if (request.url === '/sockjs.js') response.setHeader('content-type', 'text/javascript').end(client)
    else
      response.setHeader('content-type', 'text/html').end('<!doctype html><script src="/sockjs.js"></script>')
  })
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve))
  broker = await startBroker()
  browser = await launchBrowser()
  page = await browser.newPage()
})
afterAll(async () => {
  await browser.close()
  await broker.close()
  elsewhere.close()
})

interface Outcome {
  readonly transport: string
  readonly frames: readonly string[]
  readonly closed: number
}

/** In the page: connects with one transport, sends itself a message, says goodbye. */
async function run(url: string, transport: string): Promise<Outcome> {
  // Typed away: this function is sent to the browser as text.
  const { SockJS } = globalThis as unknown as {
    SockJS: new (
      url: string,
      none: null,
      options: { transports: string },
    ) => WebSocket & { transport: string }
  }
  return new Promise((resolve) => {
    const socket = new SockJS(url, null, { transports: transport })
    const frames: string[] = []
    let used = ''
    socket.onopen = () => {
      used = socket.transport
      socket.send('CONNECT\naccept-version:1.2\nhost:x\n\n\0')
      socket.send('SUBSCRIBE\nid:0\ndestination:/topic/browser\n\n\0')
      socket.send('SEND\ndestination:/topic/browser\n\n\u{1F44B} \u2028\0')
    }
    socket.onmessage = ({ data }) => {
      frames.push(String(data))
      if (String(data).startsWith('MESSAGE')) socket.send('no STOMP\n\n\0')
    }
    socket.onclose = ({ code }) => resolve({ transport: used, frames, closed: code })
  })
}

function expectConversation(outcome: Outcome, transport: string): void {
  expect(outcome.transport).toBe(transport)
  expect(outcome.frames.map((frame) => frame.split('\n')[0])).toEqual(['CONNECTED', 'MESSAGE', 'ERROR'])
  expect(outcome.frames[1]).toContain('\n\n\u{1F44B} \u2028\0')
  expect(outcome.closed).toBe(1002)
}

describe('a page of the broker itself', () => {
  test.each(['websocket', 'xhr-streaming', 'xhr-polling', 'eventsource', 'htmlfile', 'jsonp-polling'])(
    'over %s',
    async (transport) => {
      await page.goto(broker.url)
      await page.addScriptTag({ url: '/sockjs.min.js' })
      const outcome = await page.evaluate(`(${run.toString()})('/ws', '${transport}')`)
      expectConversation(outcome as Outcome, transport)
    },
  )
})

describe('a page of another origin of this machine', () => {
  test.each([
    'websocket',
    'xhr-streaming',
    'xhr-polling',
    'eventsource',
    'iframe-eventsource',
    'iframe-htmlfile',
    'iframe-xhr-polling',
    'jsonp-polling',
  ])('over %s', async (transport) => {
    await page.goto(`http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`)
    const outcome = await page.evaluate(`(${run.toString()})('${broker.sockJsUrl}', '${transport}')`)
    expectConversation(outcome as Outcome, transport)
  })
})
