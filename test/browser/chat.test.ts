import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startBroker, type TestBroker } from '../helpers/broker.ts'
import { launchBrowser } from '../helpers/browser.ts'
import { startCable } from '../helpers/cable.ts'

let browser: Browser
let broker: TestBroker
let faults: string[]

beforeAll(async () => {
  browser = await launchBrowser()
})
afterAll(() => browser.close())

beforeEach(async () => {
  faults = []
  broker = await startBroker()
})
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()))
  await broker.close()
  expect(faults).toEqual([])
})

/** Each visitor has a browser context of their own: no shared storage, and none is a hidden tab, which is slow. */
async function visit(query: string, url = broker.url): Promise<Page> {
  const page = await (await browser.newContext()).newPage()
  page.setDefaultTimeout(10_000)
  page.on('pageerror', (error) => faults.push(String(error)))
  page.on('console', (message) => {
    // A refused connection is logged by the browser itself; a violated Content-Security-Policy is ours.
    if (message.text().includes('Content Security Policy')) faults.push(message.text())
  })
  page.on('request', (request) => {
    if (!/^(http:\/\/127\.0\.0\.1:|data:|blob:)/.test(request.url()))
      faults.push(`outside request: ${request.url()}`)
  })
  await page.goto(new URL(query, url).href)
  return page
}

async function join(name: string, query = '', url = broker.url): Promise<Page> {
  const page = await visit(`?name=${name}${query}`, url)
  await state(page, 'connected')
  return page
}

/** Ada and Bob; `adaUrl` when there is something between her and the broker. */
function pair(query = '', adaUrl = broker.url): Promise<[Page, Page]> {
  return Promise.all([join('Ada', query, adaUrl), join('Bob', query)])
}

function state(page: Page, name: string): Promise<void> {
  return page.locator(`[data-testid=connection][data-state=${name}]`).waitFor()
}

function box(page: Page): Locator {
  return page.getByRole('textbox', { name: /^Message to/ })
}

async function say(page: Page, text: string): Promise<void> {
  await box(page).fill(text)
  await box(page).press('Enter')
}

function message(page: Page, text: string): Locator {
  return page.getByTestId('message').filter({ has: page.getByText(text, { exact: true }) })
}

/** Both ways, and each author sees the own message once, confirmed. */
async function talk(one: Page, other: Page, topic = ''): Promise<void> {
  await say(one, `ping ${topic}`)
  await message(other, `ping ${topic}`).waitFor()
  await say(other, `pong ${topic}`)
  await message(one, `pong ${topic}`).waitFor()
  for (const page of [one, other]) {
    await expect.poll(() => page.locator('[data-testid=message][data-status=shown]').count()).toBe(2)
    expect(await page.getByTestId('message').count()).toBe(2)
  }
}

describe('two people talk', () => {
  test('over WebSocket', async () => {
    const [ada, bob] = await pair()
    expect(await ada.getByTestId('connection').textContent()).toContain('WebSocket')
    await talk(ada, bob)
    expect(await message(bob, 'ping ').getByText('Ada').isVisible()).toBe(true)
    await bob.getByRole('region', { name: 'Here now' }).getByText('Ada').waitFor()
  })

  test('on an endpoint of another name', async () => {
    const renamed = await startBroker({ endpoints: ['/live/chat'] })
    const ada = await join('Ada', '', renamed.url)
    const bob = await join('Bob', '&transport=xhr-streaming', renamed.url)
    await talk(ada, bob)
    await Promise.all([ada.close(), bob.close()])
    await renamed.close()
  })

  test.each([
    // Which one it becomes is a matter of time: sockjs-client waits for a WebSocket as long as /info took.
    ['auto', ''],
    ['xhr-streaming', 'xhr-streaming'],
    ['xhr-polling', 'xhr-polling'],
    ['eventsource', 'eventsource'],
  ])('over SockJS, %s', async (choice, transport) => {
    const [ada, bob] = await pair(`&transport=${choice}`)
    for (const page of [ada, bob]) {
      expect(await page.getByTestId('connection').textContent()).toContain(`SockJS ${transport}`)
    }
    await talk(ada, bob)
  })

  test('after one of them changes the transport', async () => {
    const [ada, bob] = await pair()
    await ada.getByLabel('Transport').selectOption('xhr-streaming')
    await ada.getByTestId('connection').getByText('SockJS xhr-streaming').first().waitFor()
    await talk(ada, bob)
  })
})

test('markup, emoji and other scripts arrive as they were typed', async () => {
  const [ada, bob] = [await join('Ada'), await join(encodeURIComponent('<b>李雷</b>'))]
  const texts = [
    '<img src=x onerror="document.title=1">',
    '👩‍👩‍👧‍👦🇺🇳 ❤️',
    'שלום 你好 \\n \\c ^@',
    'a:b\nsecond line',
  ]
  for (const text of texts) {
    await say(bob, text)
    await expect.poll(() => ada.getByTestId('message').last().locator('.text').textContent()).toBe(text)
  }
  expect(await ada.getByRole('log').locator('img').count()).toBe(0)
  expect(await ada.getByTestId('message').first().locator('b').textContent()).toBe('<b>李雷</b>')
})

test('a room with any name can be opened by its link, and counts what is unread', async () => {
  const name = 'Ünï > *.# 🎈'
  const [ada, bob] = await pair()
  await ada.getByRole('textbox', { name: 'New room' }).fill(name)
  await ada.getByRole('button', { name: 'Add' }).click()
  await ada.getByRole('heading', { level: 1, name, exact: true }).waitFor()
  await bob.goto(new URL(`?name=Bob${new URL(ada.url()).hash}`, broker.url).href)
  await bob.reload()
  await state(bob, 'connected')
  await ada.getByRole('region', { name: 'Here now' }).getByText('Bob').waitFor()
  await talk(ada, bob)

  await ada.getByRole('link', { name: 'lobby' }).click()
  await ada.getByText('Nobody has said anything in “lobby” yet').waitFor()
  await say(bob, 'where are you?')
  await ada.getByRole('link', { name: `${name} 1 unread` }).click()
  await message(ada, 'where are you?').waitFor()
  await ada.getByRole('link', { name, exact: true }).waitFor()
})

test('by keyboard only, from the first visit on', async () => {
  const [ada, bob] = await Promise.all([visit(''), join('Bob')])
  await ada.locator('input:focus').waitFor()
  await ada.keyboard.type('Ada')
  await ada.keyboard.press('Enter')
  await state(ada, 'connected')
  await ada.keyboard.type('first line')
  await ada.keyboard.press('Shift+Enter')
  await ada.keyboard.type('second line')
  await ada.keyboard.press('Enter')
  await expect
    .poll(() => bob.getByTestId('message').locator('.text').textContent())
    .toBe('first line\nsecond line')

  const focused = (): Promise<string> => ada.evaluate(() => document.activeElement?.textContent ?? '')
  for (let presses = 0; presses < 30 && (await focused()) !== 'ideas'; presses++)
    await ada.keyboard.press('Tab')
  await ada.keyboard.press('Enter')
  await ada.getByRole('heading', { level: 1, name: 'ideas' }).waitFor()
  await ada.keyboard.type('an idea')
  await ada.keyboard.press('Enter')
  await bob.getByRole('link', { name: 'ideas 1 unread' }).waitFor()

  await ada.reload()
  await state(ada, 'connected')
  expect(await ada.getByLabel('Your name').inputValue()).toBe('Ada')
})

test('one click opens a second user, and the wire panel shows their frames', async () => {
  const ada = await join('Ada')
  const [second] = await Promise.all([
    ada.waitForEvent('popup'),
    ada.getByRole('link', { name: 'Open a second user' }).click(),
  ])
  await state(second, 'connected')
  expect(await second.getByLabel('Your name').inputValue()).not.toBe('Ada')
  await ada.getByRole('button', { name: 'Wire' }).click()
  await talk(ada, second)
  const frames = ada.getByRole('complementary', { name: 'Wire' }).getByRole('listitem')
  const text = async (filter: string): Promise<string | null> =>
    frames.filter({ hasText: filter }).last().textContent()
  expect(await text('SEND')).toContain('destination:/topic/chat.lobby')
  expect(await text('MESSAGE')).toContain('pong')
})

describe('when the connection breaks', () => {
  test.each(['native', 'xhr-streaming'])('both come back to a restarted broker, %s', async (transport) => {
    const [ada, bob] = await pair(`&transport=${transport}`)
    await broker.close()
    await Promise.all([state(ada, 'reconnecting'), state(bob, 'reconnecting')])
    broker = await startBroker({ port: broker.port })
    await Promise.all([state(ada, 'connected'), state(bob, 'connected')])
    await talk(ada, bob)
  })

  test('what was written meanwhile is sent once, in order', async () => {
    const cable = await startCable(broker.port)
    try {
      const [ada, bob] = await pair('', cable.url)
      cable.cut()
      await state(ada, 'reconnecting')
      await say(ada, 'one')
      await say(ada, 'two')
      await expect.poll(() => ada.locator('[data-status=waiting]').count()).toBe(2)
      await say(bob, 'nobody hears me')
      cable.mend()
      await state(ada, 'connected')
      await message(bob, 'two').waitFor()
      await talkOn(ada, bob, ['nobody hears me', 'one', 'two', 'and now?'], ['one', 'two', 'and now?'])
    } finally {
      await cable.close()
    }
  })

  test('what was sent, but never confirmed, is sent again and still shown once', async () => {
    const cable = await startCable(broker.port)
    try {
      const [ada, bob] = await pair('', cable.url)
      await ada.getByRole('button', { name: 'Wire' }).click()
      cable.deafen()
      await say(ada, 'do you hear me?')
      await message(bob, 'do you hear me?').waitFor()
      await expect.poll(() => ada.locator('[data-status=waiting]').count()).toBe(1)
      cable.cut()
      await state(ada, 'reconnecting')
      cable.mend()
      await ada.locator('[data-status=shown]').waitFor()
      const sends = ada.locator('[data-direction=out]').filter({ hasText: 'do you hear me?' })
      await expect.poll(() => sends.count()).toBe(2)
      await talkOn(ada, bob, ['do you hear me?', 'and now?'], ['do you hear me?', 'and now?'])
    } finally {
      await cable.close()
    }
  })
})

/** One more message, which comes after all others: then what both see is final, and compared. */
async function talkOn(ada: Page, bob: Page, bobSees: string[], adaSees: string[]): Promise<void> {
  await say(bob, 'and now?')
  await message(ada, 'and now?').waitFor()
  await message(bob, 'and now?').and(bob.locator('[data-status=shown]')).waitFor()
  expect(await bob.locator('[data-testid=message] .text').allTextContents()).toEqual(bobSees)
  expect(await ada.locator('[data-testid=message] .text').allTextContents()).toEqual(adaSees)
}
