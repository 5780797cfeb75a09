import Stomp from 'stompjs'
import { describe, expect } from 'vitest'
import type { TestBroker } from '../helpers/broker.ts'
import {
  test,
  type Failure,
  type Frame,
  type LegacyClient,
  type Message,
  type Pages,
} from '../helpers/pages.ts'
import { Inbox } from '../helpers/stompjs.ts'

// stompjs 2.3.3, the stomp.js of most tutorials: it speaks 1.1 and 1.0, unescapes nothing, and
// cuts what it sends into pieces of 16 KiB.

const ways: readonly {
  readonly name: string
  readonly client: (broker: TestBroker, pages: Pages) => LegacyClient
}[] = [
  {
    name: 'Stomp.client',
    client: ({ port }) => Stomp.client(`ws://127.0.0.1:${port}/stomp`),
  },
  {
    name: 'Stomp.over a WebSocket without subprotocols',
    client: (broker, pages) => Stomp.over(pages.webSocket(broker, '/ws')),
  },
  {
    name: 'Stomp.over SockJS',
    client: (broker, pages) => Stomp.over(pages.sockJs(broker)),
  },
  {
    name: 'Stomp.overTCP',
    client: ({ tcpPort }) => Stomp.overTCP('127.0.0.1', tcpPort),
  },
  {
    name: 'Stomp.overWS',
    client: ({ port }) => Stomp.overWS(`ws://127.0.0.1:${port}/ws`),
  },
]

const bodies = (messages: readonly Message[]): string[] => messages.map(({ body }) => body)

function isFrame(failure: Failure): failure is Frame {
  return typeof failure === 'object' && 'command' in failure
}

describe.concurrent('stompjs 2.3.3', () => {
  describe.each(ways)('$name', ({ client }) => {
    test('connects with login and passcode, and heart-beats it likes', async ({ house, pages }) => {
      const stomp = pages.keep(client(await house.broker(), pages))
      stomp.debug = null
      const { headers } = await new Promise<Frame>((resolve, reject) => {
        stomp.connect('guest', 'guest', resolve, reject, '/')
      })
      expect(headers).toMatchObject({ version: '1.1', 'heart-beat': '10000,10000', 'user-name': 'guest' })
      expect(headers['server']).toMatch(/^stomp-broker\//)
      expect(stomp.connected).toBe(true)
    })

    test('connects in each of the forms it knows', async ({ house, pages }) => {
      const broker = await house.broker()
      const connected = (act: (stomp: LegacyClient, done: (frame: Frame) => void) => void): Promise<Frame> =>
        new Promise((resolve) => act(pages.keep(client(broker, pages)), resolve))
      for (const { headers } of [
        await connected((stomp, done) => stomp.connect({}, done)),
        await connected((stomp, done) => stomp.connect({ host: 'localhost' }, done, () => {})),
        await connected((stomp, done) => stomp.connect('', '', done)),
        await connected((stomp, done) => stomp.connect('', '', done, () => {})),
      ]) {
        expect(headers['version']).toBe('1.1')
        expect(headers['user-name']).toBeUndefined()
      }
      const known = await connected((stomp, done) => stomp.connect({ login: 'ada', passcode: 'x' }, done))
      expect(known.headers['user-name']).toBe('ada')
    })

    test('carries Unicode, whose bytes it counts itself', async ({ house, pages }) => {
      const broker = await house.broker()
      const [one, other] = [pages.legacy(client(broker, pages)), pages.legacy(client(broker, pages))]
      await Promise.all([one.connect(), other.connect()])
      const inbox = await other.subscribe('/topic/unicode')
      const sent = ['plain', 'grüße', '🌍👩‍👩‍👧', '\u2028\u2029', '{"text":"a:b\\n"}', 'one\n\ntwo', '', '\n']
      for (const body of sent) one.tell('/topic/unicode', body)
      const arrived = await inbox.takeAll(sent.length)
      expect(bodies(arrived)).toEqual(sent)
      expect(arrived.map(({ headers }) => Number(headers['content-length']))).toEqual(
        sent.map((body) => Buffer.byteLength(body)),
      )
    })

    test('leaves content-length out when told to', async ({ house, pages }) => {
      const page = pages.legacy(client(await house.broker(), pages))
      await page.connect()
      const inbox = await page.subscribe('/topic/text')
      page.client.send('/topic/text', { 'content-length': false, number: 1 }, 'grüße')
      const { headers, body } = await inbox.take()
      expect(body).toBe('grüße')
      expect(headers).toMatchObject({ number: '1', 'content-length': '7' })
    })

    test('acks and nacks through the message', async ({ house, pages }) => {
      const broker = await house.broker()
      const [one, other] = [pages.legacy(client(broker, pages)), pages.legacy(client(broker, pages))]
      await Promise.all([one.connect(), other.connect()])
      const held = await one.subscribe('/queue/work', { ack: 'client', id: 'x' })
      for (const body of ['1', '2', '3']) await one.send('/queue/work', body)
      const [first, second, third] = await held.takeAll(3)
      for (const message of [first, second, third]) {
        expect(message?.headers).toMatchObject({ subscription: 'x', redelivered: 'false' })
        expect(message?.headers['ack']).toBeUndefined()
      }
      // 'client' is cumulative: it acks the first as well.
      second?.ack()
      await one.sync()
      const inbox = await other.subscribe('/queue/work', { ack: 'client' })
      third?.nack()
      const again = await inbox.take()
      expect(again.body).toBe('3')
      expect(again.headers['redelivered']).toBe('true')
      again.ack()
      await other.sync()
      await other.send('/queue/work', '4')
      one.client.disconnect()
      expect((await inbox.take()).body).toBe('4')
      expect(one.failures.size + other.failures.size).toBe(0)
    })

    test('acks with its own ack(), in a transaction as well', async ({ house, pages }) => {
      const broker = await house.broker()
      const [one, other] = [pages.legacy(client(broker, pages)), pages.legacy(client(broker, pages))]
      await Promise.all([one.connect(), other.connect()])
      const held = await one.subscribe('/queue/tx', { ack: 'client-individual', id: 'mine' })
      for (const body of ['kept', 'given back']) await one.send('/queue/tx', body)
      const [kept, back] = await held.takeAll(2)
      const good = one.client.begin()
      one.client.ack(kept?.headers['message-id'] ?? '', 'mine', { transaction: good.id })
      good.commit()
      const bad = one.client.begin('bad')
      expect(bad.id).toBe('bad')
      back?.ack({ transaction: bad.id })
      bad.abort()
      await one.sync()
      one.client.disconnect()
      const inbox = await other.subscribe('/queue/tx', { ack: 'client' })
      expect(bodies([await inbox.take()])).toEqual(['given back'])
      await other.sync()
      expect(inbox.size).toBe(0)
    })

    test('sends in transactions', async ({ house, pages }) => {
      const broker = await house.broker()
      const [one, other] = [pages.legacy(client(broker, pages)), pages.legacy(client(broker, pages))]
      await Promise.all([one.connect(), other.connect()])
      const inbox = await other.subscribe('/topic/tx')
      const never = one.client.begin()
      one.tell('/topic/tx', 'never', { transaction: never.id })
      never.abort()
      const later = one.client.begin()
      one.tell('/topic/tx', 'in', { transaction: later.id })
      one.tell('/topic/tx', 'before')
      later.commit()
      expect(bodies(await inbox.takeAll(2))).toEqual(['before', 'in'])
      await one.sync()
      await other.sync()
      expect(inbox.size).toBe(0)
    })

    test('unsubscribes', async ({ house, pages }) => {
      const page = pages.legacy(client(await house.broker(), pages))
      await page.connect()
      const inbox = new Inbox<Message>()
      const subscription = page.client.subscribe('/topic/x', inbox.put)
      expect(subscription.id).toBe('sub-0')
      await page.send('/topic/x', 'heard')
      expect((await inbox.take()).headers['subscription']).toBe('sub-0')
      subscription.unsubscribe()
      await page.send('/topic/x', 'not heard')
      await page.sync()
      expect(inbox.size).toBe(0)
    })

    test('gets an ERROR and then the end in its error callback', async ({ house, pages }) => {
      const page = pages.legacy(client(await house.broker(), pages))
      await page.connect()
      page.client.subscribe('/topic/x', () => {}, { ack: 'sometimes' })
      const error = await page.failures.take()
      expect(isFrame(error) && error.headers['message']).toBe('invalid header')
      expect(isFrame(error) && error.body).toContain('ack is "sometimes"')
      expect(await page.failures.take()).toContain('Lost connection')
      expect(page.client.connected).toBe(false)
    })

    test('disconnect() calls back, and the broker lets go of its messages', async ({ house, pages }) => {
      const broker = await house.broker()
      const [one, other] = [pages.legacy(client(broker, pages)), pages.legacy(client(broker, pages))]
      await Promise.all([one.connect(), other.connect()])
      const held = await one.subscribe('/queue/held', { ack: 'client' })
      await one.send('/queue/held', 'held')
      await held.take()
      const inbox = await other.subscribe('/queue/held', { ack: 'client' })
      await new Promise<void>((resolve) => one.client.disconnect(resolve))
      expect(one.client.connected).toBe(false)
      expect((await inbox.take()).headers['redelivered']).toBe('true')
      // It takes off its error callback first: a wanted end is none.
      expect(one.failures.size).toBe(0)
    })

    test('keeps heart-beats both ways', async ({ house, pages }) => {
      const stomp = pages.keep(client(await house.broker({ heartbeatMin: 500 }), pages))
      stomp.heartbeat = { outgoing: 500, incoming: 500 }
      const beats = new Inbox<string>()
      stomp.debug = (line) => {
        if (line === '>>> PING' || line === '<<< PONG') beats.put(line)
      }
      const failures = new Inbox<Failure>()
      const { headers } = await new Promise<Frame>((resolve) => stomp.connect({}, resolve, failures.put))
      expect(headers['heart-beat']).toBe('500,500')
      const seen = { '>>> PING': 0, '<<< PONG': 0 }
      // Longer than the broker's patience of three intervals, and than the client's of two.
      while (seen['>>> PING'] < 4 || seen['<<< PONG'] < 4) seen[(await beats.take()) as keyof typeof seen]++
      expect(failures.size).toBe(0)
      expect(stomp.connected).toBe(true)
    })

    test('gets replies without a subscription in onreceive', async ({ house, pages }) => {
      const broker = await house.broker()
      const [asker, server] = [pages.legacy(client(broker, pages)), pages.legacy(client(broker, pages))]
      await Promise.all([asker.connect(), server.connect()])
      const replies = new Inbox<Message>()
      asker.client.onreceive = replies.put
      const requests = await server.subscribe('/queue/questions')
      asker.tell('/queue/questions', 'live', { 'reply-to': '/temp-queue/answers' })
      const { headers, body } = await requests.take()
      server.tell(headers['reply-to'] ?? '', Array.from(body).toReversed().join(''))
      const reply = await replies.take()
      expect(reply.body).toBe('evil')
      expect(reply.headers['subscription']).toBe('/temp-queue/answers')
    })
  })

  // Over TCP it takes each piece that arrives for a frame, and loses those that come in more than one.
  describe.each(ways.filter(({ name }) => name !== 'Stomp.overTCP'))('$name', ({ client }) => {
    test('cuts large frames, which arrive whole', async ({ house, pages }) => {
      const page = pages.legacy(client(await house.broker(), pages))
      await page.connect()
      expect(page.client.maxWebSocketFrameSize).toBe(16 * 1024)
      const inbox = await page.subscribe('/topic/large')
      // The last one is just below the MiB that the WebSocket of overWS takes.
      for (const length of [16_000, 16_384, 100_000, 700_000]) {
        const body = 'grüße '.repeat(length / 6)
        await page.send('/topic/large', body)
        expect((await inbox.take()).body === body).toBe(true)
      }
    })
  })

  test('offers v10.stomp and v11.stomp, and is given the higher one', async ({ house, pages }) => {
    const broker = await house.broker()
    const page = pages.legacy(Stomp.client(broker.webSocketUrl))
    await page.connect()
    expect(page.client.ws.protocol).toBe('v11.stomp')
    const oldest = pages.legacy(Stomp.client(broker.webSocketUrl, ['v10.stomp']))
    // The version is what CONNECT says, not what the subprotocol does.
    expect((await oldest.connect()).headers['version']).toBe('1.1')
    expect(oldest.client.ws.protocol).toBe('v10.stomp')
  })

  test('takes SockJS for its WebSocket class', async ({ house, pages }) => {
    const { sockJsUrl } = await house.broker()
    const { default: SockJS } = await import('sockjs-client')
    Stomp.WebSocketClass = SockJS
    const client = Stomp.client(sockJsUrl)
    delete Stomp.WebSocketClass
    const page = pages.legacy(client)
    expect((await page.connect()).headers['version']).toBe('1.1')
  })

  test('finds out when the broker shuts down', async ({ house, pages }) => {
    const broker = await house.broker()
    const page = pages.legacy(Stomp.client(broker.webSocketUrl))
    await page.connect()
    await broker.close()
    expect(await page.failures.take()).toContain('Lost connection')
  })
})
