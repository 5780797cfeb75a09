import { describe, expect } from 'vitest'
import type { TestBroker } from '../helpers/broker.ts'
import {
  sockJsTransports,
  test,
  type Failure,
  type Frame,
  type Message,
  type Page,
  type Pages,
  type WebstompClient,
  type WebstompOptions,
} from '../helpers/pages.ts'
import { Inbox } from '../helpers/stompjs.ts'

// webstomp-client asks for the one version that its subprotocol names, and for 1.2 where there is
// none; it escapes nothing, and cuts what it sends into pieces of 16 KiB.

interface Way {
  readonly name: string
  readonly version: string
  page(broker: TestBroker, pages: Pages, options?: WebstompOptions): Page<WebstompClient>
}

function byUrl(name: string, version: string, protocols?: string[]): Way {
  return {
    name,
    version,
    page: ({ webSocketUrl }, pages, options) =>
      pages.webstomp(webSocketUrl, { ...(protocols && { protocols }), ...options }),
  }
}

const ways: readonly Way[] = [
  byUrl('webstomp.client', '1.2'),
  byUrl('webstomp.client with v11.stomp', '1.1', ['v11.stomp']),
  byUrl('webstomp.client with v10.stomp', '1.0', ['v10.stomp']),
  {
    name: 'webstomp.over a WebSocket without subprotocols',
    version: '1.2',
    page: (broker, pages, options) => pages.webstomp(pages.webSocket(broker, '/ws'), options),
  },
  ...sockJsTransports.map((transport) => ({
    name: `webstomp.over SockJS ${transport}`,
    version: '1.2',
    page: (broker: TestBroker, pages: Pages, options?: WebstompOptions) =>
      pages.webstomp(pages.sockJs(broker, transport), options),
  })),
]

const bodies = (messages: readonly Message[]): string[] => messages.map(({ body }) => body)

/** Two connected pages. */
async function two(
  way: Way,
  broker: TestBroker,
  pages: Pages,
): Promise<[Page<WebstompClient>, Page<WebstompClient>]> {
  const [one, other] = [way.page(broker, pages), way.page(broker, pages)]
  await Promise.all([one.connect(), other.connect()])
  return [one, other]
}

describe.concurrent('webstomp-client', () => {
  describe.each(ways)('$name', (way) => {
    const { version } = way

    test('connects with login, passcode and host', async ({ house, pages }) => {
      const { client } = way.page(await house.broker(), pages, {
        heartbeat: { outgoing: 10_000, incoming: 20_000 },
      })
      const { headers } = await new Promise<Frame>((resolve, reject) => {
        client.connect('guest', 'guest', resolve, reject, '/')
      })
      expect(headers).toMatchObject({ version, 'heart-beat': '20000,10000', 'user-name': 'guest' })
      expect(client.version).toBe(version)
      expect(client.connected).toBe(true)
    })

    test('carries messages, in order', async ({ house, pages }) => {
      const [one, other] = await two(way, await house.broker(), pages)
      const inbox = await other.subscribe('/topic/words')
      const sent = ['plain', 'grüße', '🌍👩‍👩‍👧', '\u2028', '{"a":1}', 'one\n\ntwo', '', '\n']
      for (const body of sent) one.tell('/topic/words', body, { custom: 'yes' })
      const arrived = await inbox.takeAll(sent.length)
      expect(bodies(arrived)).toEqual(sent)
      for (const { headers } of arrived) {
        expect(headers).toMatchObject({ custom: 'yes', destination: '/topic/words' })
      }
    })

    test('cuts large frames, which arrive whole', async ({ house, pages }) => {
      const page = way.page(await house.broker(), pages)
      await page.connect()
      expect(page.client.maxWebSocketFrameSize).toBe(16 * 1024)
      const inbox = await page.subscribe('/topic/large')
      for (const length of [16_000, 16_384, 100_000, 600_000]) {
        const body = 'grüße '.repeat(length / 6)
        await page.send('/topic/large', body)
        expect((await inbox.take()).body === body).toBe(true)
      }
    })

    test('acks and nacks through the message', async ({ house, pages }) => {
      const [one, other] = await two(way, await house.broker(), pages)
      const held = await one.subscribe('/queue/work', { ack: 'client-individual' })
      for (const body of ['1', '2', '3']) await one.send('/queue/work', body)
      const [first, second] = await held.takeAll(3)
      expect(first?.headers['ack'] === undefined).toBe(version !== '1.2')
      first?.ack()
      await one.sync()
      const inbox = await other.subscribe('/queue/work', { ack: 'client' })
      // 1.0 has no NACK, but there is no harm in it.
      second?.nack()
      const again = await inbox.take()
      expect(again.body).toBe('2')
      expect(again.headers['redelivered']).toBe('true')
      again.ack()
      await other.sync()
      one.client.disconnect()
      const last = await inbox.take()
      expect(last.body).toBe('3')
      expect(one.failures.size + other.failures.size).toBe(0)
    })

    test('begins, commits and aborts', async ({ house, pages }) => {
      const [one, other] = await two(way, await house.broker(), pages)
      const inbox = await other.subscribe('/topic/tx')
      const never = one.client.begin()
      one.tell('/topic/tx', 'never', { transaction: never.id })
      never.abort()
      const later = one.client.begin('mine')
      expect(later.id).toBe('mine')
      one.tell('/topic/tx', 'in', { transaction: 'mine' })
      one.tell('/topic/tx', 'before')
      later.commit()
      expect(bodies(await inbox.takeAll(2))).toEqual(['before', 'in'])
      await one.sync()
      await other.sync()
      expect(inbox.size).toBe(0)
    })

    test('unsubscribes, with headers', async ({ house, pages }) => {
      const page = way.page(await house.broker(), pages)
      await page.connect()
      const inbox = new Inbox<Message>()
      const subscription = page.client.subscribe('/topic/x', inbox.put, { id: 'mine' })
      await page.send('/topic/x', 'heard')
      expect((await inbox.take()).headers['subscription']).toBe('mine')
      await page.receipt((receipt) => subscription.unsubscribe(receipt))
      await page.send('/topic/x', 'not heard')
      await page.sync()
      expect(inbox.size).toBe(0)
    })

    test('gets an ERROR and then the end in its error callback', async ({ house, pages }) => {
      const page = way.page(await house.broker(), pages)
      await page.connect()
      page.client.subscribe('/topic/x', () => {}, { ack: 'sometimes' })
      const error = await page.failures.take()
      expect(error).toMatchObject({ command: 'ERROR', headers: { message: 'invalid header' } })
      expect(await page.failures.take()).toMatchObject({ type: 'close', code: 1002 })
      expect(page.client.connected).toBe(false)
    })

    test('disconnect() calls back, and the broker lets go of its messages', async ({ house, pages }) => {
      const [one, other] = await two(way, await house.broker(), pages)
      const held = await one.subscribe('/queue/held', { ack: 'client' })
      await one.send('/queue/held', 'held')
      await held.take()
      const inbox = await other.subscribe('/queue/held', { ack: 'client' })
      await new Promise<void>((resolve) => one.client.disconnect(resolve))
      expect((await inbox.take()).headers['redelivered']).toBe('true')
      expect(one.failures.size).toBe(0)
    })

    test('gets replies without a subscription in onreceive', async ({ house, pages }) => {
      const [asker, server] = await two(way, await house.broker(), pages)
      const replies = new Inbox<Message>()
      asker.client.onreceive = replies.put
      const requests = await server.subscribe('/queue/questions')
      asker.tell('/queue/questions', '6 * 7', { 'reply-to': '/temp-queue/answers', 'correlation-id': 'q1' })
      const { headers } = await requests.take()
      server.tell(headers['reply-to'] ?? '', '42', { 'correlation-id': headers['correlation-id'] ?? '' })
      const reply = await replies.take()
      expect(reply.body).toBe('42')
      expect(reply.headers).toMatchObject({ subscription: '/temp-queue/answers', 'correlation-id': 'q1' })
    })
  })

  test.for([false, true])('talks to others with binary: %s', async (binary, { house, pages }) => {
    const broker = await house.broker()
    const [one, other] = [
      pages.webstomp(broker.webSocketUrl, { binary }),
      pages.webstomp(broker.webSocketUrl),
    ]
    await Promise.all([one.connect(), other.connect()])
    const [mine, yours] = [await one.subscribe('/topic/talk'), await other.subscribe('/topic/talk')]
    const large = 'grüße 🌍 '.repeat(5_000)
    const sent = ['grüße 🌍', 'two\nlines', ...(binary ? [large] : [])]
    for (const body of sent) one.tell('/topic/talk', body)
    expect(bodies(await mine.takeAll(sent.length))).toEqual(sent)
    expect(bodies(await yours.takeAll(sent.length))).toEqual(sent)
  })

  test('keeps heart-beats both ways', async ({ house, pages }) => {
    const broker = await house.broker({ heartbeatMin: 500 })
    const { client } = pages.webstomp(broker.webSocketUrl, { heartbeat: { outgoing: 500, incoming: 500 } })
    const beats = new Inbox<string>()
    client.debug = (line) => {
      if (line === '>>> PING' || line === '<<< PONG') beats.put(line)
    }
    const failures = new Inbox<Failure>()
    await new Promise<Frame>((resolve) => client.connect({}, resolve, failures.put))
    const seen = { '>>> PING': 0, '<<< PONG': 0 }
    // Longer than the broker's patience of three intervals, and than the client's of two.
    while (seen['>>> PING'] < 4 || seen['<<< PONG'] < 4) seen[(await beats.take()) as keyof typeof seen]++
    expect(failures.size).toBe(0)
  })

  test('finds out when the broker shuts down', async ({ house, pages }) => {
    const broker = await house.broker()
    const page = pages.webstomp(broker.webSocketUrl)
    await page.connect()
    await broker.close()
    expect(await page.failures.take()).toMatchObject({ type: 'close', code: 1001 })
  })
})
