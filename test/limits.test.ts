import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { frame, RawClient } from './helpers/client.ts'

const limits = {
  maxCommand: 16,
  maxHeaders: 4,
  maxHeaderLine: 64,
  maxBody: 1024,
  maxFrame: 1100,
  maxQueueMessages: 3,
  maxQueueBytes: 2000,
  maxTransactions: 2,
  maxTransactionFrames: 3,
  maxTransactionBytes: 2500,
  maxConnectBytes: 200,
  maxUnacked: 3,
  maxPendingReceipts: 2,
  prefetch: 2,
  maxPrefetch: 2,
  maxSubscriptions: 5,
  maxDurableSubscriptions: 2,
  maxDurableMessages: 2,
  maxDurableBytes: 1500,
  maxRetained: 2,
  maxDeliveries: 2,
  sockjsMaxBatch: 1024,
  sockjsMaxSessions: 2,
}

let broker: TestBroker
const engine = new TestEngine(limits)
beforeAll(async () => {
  broker = await startBroker(limits, engine)
})
afterAll(() => broker.close())

let names = 0
function queue(): string {
  return `/queue/limits/${++names}`
}

function x(length: number): string {
  return 'x'.repeat(length)
}

/** Sends a frame that counts for `size` bytes (256, 64 for each header, and its own), and waits for its receipt. */
async function sendOf(client: RawClient, headers: Record<string, string>, size: number): Promise<void> {
  const withReceipt = { ...headers, receipt: 'sized' }
  const overhead = 256 + 64 * Object.keys(withReceipt).length
  client.send('SEND', withReceipt, x(size - overhead - frame('SEND', withReceipt).length))
  await client.receipt('sized')
}

/** A SEND of `length` bytes in all, its NUL included. */
function sized(length: number, counted: boolean): string {
  const body = x(1010)
  const head = `SEND\ndestination:/topic/limits\n${counted ? `content-length:${body.length}\n` : ''}pad:`
  return `${head}${x(length - head.length - 2 - body.length - 1)}\n\n${body}\0`
}

describe('invariant 9: every limit of a frame, met exactly and crossed by one', () => {
  const destination = 'destination:/topic/limits'
  test.each([
    ['max-header-line', `SEND\n${destination}\na:${x(62)}\n\n\0`, `SEND\n${destination}\na:${x(63)}\n\n\0`],
    ['max-header-line, no end in sight', '', `SEND\n${x(65)}`],
    ['max-headers', `SEND\n${destination}\na:\nb:\nc:\n\n\0`, `SEND\n${destination}\na:\nb:\nc:\nd:\n\n\0`],
    [
      'max-headers, repeated ones',
      `SEND\n${destination}\na:\na:\na:\n\n\0`,
      `SEND\n${destination}\na:\na:\na:\na:\n\n\0`,
    ],
    ['max-body', `SEND\n${destination}\n\n${x(1024)}\0`, `SEND\n${destination}\n\n${x(1025)}\0`],
    [
      'max-body, announced',
      `SEND\n${destination}\ncontent-length:1024\n\n${x(1024)}\0`,
      'SEND\ncontent-length:1025\n\n',
    ],
    ['max-body, no end in sight', '', `SEND\n${destination}\n\n${x(1025)}`],
    ['max-frame', sized(1100, false), sized(1101, false)],
    ['max-frame, body counted', sized(1100, true), sized(1101, true)],
    ['max-command, no end in sight', '', x(17)],
  ])('%s', async (name, exact, over) => {
    for (const client of [await RawClient.connected(broker), await RawClient.tcpConnected(broker)]) {
      client.raw(exact)
      await client.sync()
      client.raw(over)
      const { error, close } = await client.refusal()
      expect(error.headers.message).toBe('frame over a limit')
      expect(error.body.toString()).toContain(`limit ${name.split(',')[0]}`)
      if ('socket' in client && 'ping' in client.socket) expect(close.code).toBe(1009)
    }
  })

  test('max-command', async () => {
    const [exact, over] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    exact.raw(`${x(16)}\n\n\0`)
    expect((await exact.refusal()).error.headers.message).toBe('unknown command')
    over.raw(`${x(17)}\n\n\0`)
    const { error, close } = await over.refusal()
    expect(error.body.toString()).toContain('limit max-command')
    expect(close.code).toBe(1009)
  })

  test('before CONNECT too', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.raw(`CONNECT\nlogin:${x(59)}\n\n\0`)
    const { error, close } = await client.refusal()
    expect(error.body.toString()).toContain('limit max-header-line')
    expect(close.code).toBe(1009)
  })

  describe('max-connect-bytes', () => {
    /** A CONNECT of so many bytes, the EOLs before it included. */
    const connect = (length: number): string => {
      const head = `\n\r\nCONNECT\naccept-version:1.2\na:${x(60)}\nb:${x(60)}\nc:`
      return `${head}${x(length - head.length - 3)}\n\n\0`
    }
    const ways: [string, () => Promise<RawClient>][] = [
      ['WebSocket', () => RawClient.webSocket(broker.webSocketUrl)],
      ['TCP', () => RawClient.tcp(broker.tcpPort)],
    ]

    test.each(ways)('over %s, in one piece and in many', async (way, open) => {
      for (const size of [1_000, 1, 50]) {
        const send = (client: RawClient, text: string): void => {
          for (let at = 0; at < text.length; at += size) client.raw(text.slice(at, at + size))
        }
        const exact = await open()
        // What comes behind it does not count.
        send(exact, `${connect(200)}\n${frame('SEND', { destination: '/topic/limits' }, x(900)).toString()}`)
        await exact.next('CONNECTED')
        await exact.sync()
        exact.destroy()
        for (const text of [connect(201), connect(300).slice(0, 201), x(16).padStart(201, '\n')]) {
          const over = await open()
          send(over, text)
          const { error, close } = await over.refusal()
          expect(error.headers.message).toBe('frame over a limit')
          expect(error.body.toString()).toContain('limit max-connect-bytes')
          if (way === 'WebSocket') expect(close.code).toBe(1009)
        }
      }
    })

    test('a WebSocket message may have eight times as many until then; a larger one gets 1009', async () => {
      const message = connect(200).padEnd(1_600, '\n')
      const client = await RawClient.webSocket(broker.webSocketUrl)
      client.raw(message)
      await client.next('CONNECTED')
      client.raw(`${message}\n`.replace('CONNECT', 'UNSUBSCRIBE').replace('a:', 'id:'))
      await client.sync()
      client.destroy()
      const over = await RawClient.webSocket(broker.webSocketUrl)
      over.raw(`${message}\n`)
      expect((await over.closed).code).toBe(1009)
      expect(over.frames).toEqual([])
    })

    test('so may a SockJS POST', async () => {
      const own = await startBroker({ maxConnectBytes: 200 })
      const post = (path: string, body = ''): Promise<Response> =>
        fetch(`${own.sockJsUrl}/000/early/${path}`, { method: 'POST', body })
      await post('xhr')
      const refused = await post('xhr_send', '["\\n"]'.padEnd(1_601))
      expect([refused.status, await refused.text()]).toEqual([413, expect.stringContaining('1600 bytes')])
      expect((await post('xhr_send', '["CONNECT\\n\\n\\u0000"]'.padEnd(1_600))).status).toBe(204)
      expect(await (await post('xhr')).text()).toContain('CONNECTED')
      expect((await post('xhr_send', '["\\n"]'.padEnd(1_000_000))).status).toBe(204)
      await own.close()
    })

    test('one who has connected may say more', async () => {
      const client = await RawClient.connected(broker)
      client.raw('\n'.repeat(2_000))
      client.send('SEND', { destination: '/topic/limits' }, x(1_000))
      await client.sync()
      client.destroy()
    })
  })

  test('a WebSocket message may be twice max-frame; a larger one gets 1009', async () => {
    const client = await RawClient.connected(broker)
    client.raw('\n'.repeat(2200))
    await client.sync()
    client.raw('\n'.repeat(2201))
    expect((await client.closed).code).toBe(1009)
  })
})

describe('invariant 9: every other limit, met exactly and crossed by one', () => {
  test('the bytes of a destination, as it is shown', async () => {
    // maxHeaderLine of the small broker is in the way.
    const own = await startBroker()
    for (const [exact, over] of [
      [`/topic/${x(505)}`, `/topic/${x(506)}`],
      [`/topic/${'ž'.repeat(252)}x`, `/topic/${'ž'.repeat(253)}`],
      [x(505), x(506)],
    ] as const) {
      const client = await RawClient.connected(own)
      await client.request('SEND', { destination: exact })
      client.send('SEND', { destination: over })
      const { error, close } = await client.refusal()
      expect(error.headers.message).toBe('invalid destination')
      expect(error.body.toString()).toContain('512 bytes')
      expect(close.code).toBe(1002)
    }
    await own.close()
  })

  test('max-queue-messages: what was receipted stays, acks make room', async () => {
    const destination = queue()
    const client = await RawClient.connected(broker)
    for (let index = 0; index < 3; index++) await client.request('SEND', { destination })
    client.send('SEND', { destination, receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'queue full', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain(destination)
    expect(error.body.toString()).toContain('limit max-queue-messages')
    expect(close.code).toBe(1008)
    expect(await engine.count(destination)).toEqual({ ready: 3, unacked: 0 })

    const consumer = await RawClient.connected(broker)
    await consumer.request('SUBSCRIBE', { id: '0', destination, ack: 'client' })
    const messages = await consumer.take(2)
    // Handed out is still held.
    const second = await RawClient.connected(broker)
    second.send('SEND', { destination })
    expect((await second.refusal()).error.headers.message).toBe('queue full')
    await consumer.request('ACK', { id: messages[0]?.headers.ack ?? '' })
    await consumer.request('SEND', { destination })
  })

  test('max-queue-bytes', async () => {
    const destination = queue()
    const client = await RawClient.connected(broker)
    // Headers count like bodies.
    await sendOf(client, { destination }, 1200)
    await sendOf(client, { destination }, 800)
    client.send('SEND', { destination, receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'queue full', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('limit max-queue-bytes')
    expect(close.code).toBe(1008)
    expect(await engine.count(destination)).toEqual({ ready: 2, unacked: 0 })
  })

  test('max-transactions: open ones', async () => {
    const client = await RawClient.connected(broker)
    await client.request('BEGIN', { transaction: '1' })
    await client.request('BEGIN', { transaction: '2' })
    await client.request('ABORT', { transaction: '1' })
    await client.request('BEGIN', { transaction: '3' })
    client.send('BEGIN', { transaction: '4', receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'transaction over a limit', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('limit max-transactions')
    expect(close.code).toBe(1008)
  })

  test.each(['SEND', 'ACK'])('max-transaction-frames, crossed by %s', async (command) => {
    const destination = queue()
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: '0', destination, ack: 'client' })
    await client.request('SEND', { destination })
    const { headers } = await client.next('MESSAGE')
    const inside = { transaction: 't', destination: '/topic/limits', id: headers.ack ?? '' }
    await client.request('BEGIN', { transaction: 't' })
    for (let index = 0; index < 3; index++) await client.request('SEND', inside)
    // Another transaction has its own count.
    await client.request('BEGIN', { transaction: 'u' })
    await client.request('SEND', { ...inside, transaction: 'u' })
    client.send(command, inside)
    const { error, close } = await client.refusal()
    expect(error.body.toString()).toContain('limit max-transaction-frames')
    expect(close.code).toBe(1008)
    expect(await engine.count(destination)).toEqual({ ready: 1, unacked: 0 })
  })

  test('max-transaction-bytes: of all open transactions together, free again after their end', async () => {
    const client = await RawClient.connected(broker)
    const send = (transaction: string, size: number): Promise<void> =>
      sendOf(client, { destination: '/topic/limits', transaction }, size)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('BEGIN', { transaction: 'u' })
    await send('t', 1300)
    await send('u', 1200)
    await client.request('COMMIT', { transaction: 't' })
    await send('u', 1300)
    client.send('SEND', { destination: '/topic/limits', transaction: 'u' }, 'x')
    const { error, close } = await client.refusal()
    expect(error.body.toString()).toContain('limit max-transaction-bytes')
    expect(close.code).toBe(1008)
  })

  test('prefetch', async () => {
    const destination = queue()
    const client = await RawClient.connected(broker)
    for (let index = 0; index < 3; index++) await client.request('SEND', { destination })
    await client.request('SUBSCRIBE', { id: '0', destination, ack: 'client' })
    await client.sync()
    expect(client.frames).toHaveLength(2)
  })

  test.each(['1', '2', '3', '0'])('max-prefetch: what prefetch:%s hands out', async (prefetch) => {
    const destination = queue()
    const client = await RawClient.connected(broker)
    for (let index = 0; index < 3; index++) await client.request('SEND', { destination })
    client.send('SUBSCRIBE', { id: '0', destination, ack: 'client', prefetch })
    await client.sync()
    expect(client.frames).toHaveLength(prefetch === '1' ? 1 : 2)
  })

  test('max-unacked: of all subscriptions together, and acks let it go on in turn', async () => {
    const [one, two] = [queue(), queue()]
    const sender = await RawClient.connected(broker)
    for (const destination of [one, two])
      for (let index = 0; index < 3; index++) await sender.request('SEND', { destination })
    const client = await RawClient.connected(broker)
    for (const [id, destination] of [one, two].entries())
      await client.request('SUBSCRIBE', { id: String(id), destination, ack: 'client-individual' })
    const held = await client.take(3)
    expect(held.map(({ headers }) => headers.subscription)).toEqual(['0', '0', '1'])
    await client.sync()
    expect(client.frames).toEqual([])
    // The one that has waited longer.
    for (const subscription of ['1', '0']) {
      await client.request('ACK', { id: held.shift()?.headers.ack ?? '' })
      const next = await client.next('MESSAGE')
      expect(next.headers.subscription).toBe(subscription)
      held.push(next)
    }
    await client.sync()
    expect(client.frames).toEqual([])
    expect(await engine.count(one)).toEqual({ ready: 0, unacked: 1 })
    expect(await engine.count(two)).toEqual({ ready: 1, unacked: 2 })
    // What is not acked is no part of it.
    await client.request('SUBSCRIBE', { id: 'auto', destination: queue() })
    await client.request('SUBSCRIBE', { id: 'topic', destination: '/topic/limits/unacked' })
    for (let index = 0; index < 4; index++) {
      await sender.request('SEND', { destination: `/queue/limits/${names}` })
      await sender.request('SEND', { destination: '/topic/limits/unacked' })
    }
    await client.take(8)
    client.destroy()
  })

  test('max-unacked: what is acked in a transaction counts until it is committed', async () => {
    const [one, two] = [queue(), queue()]
    const client = await RawClient.connected(broker)
    for (const destination of [one, one, two, two]) await client.request('SEND', { destination })
    for (const [id, destination] of [one, two].entries())
      await client.request('SUBSCRIBE', { id: String(id), destination, ack: 'client-individual' })
    const id = (await client.take(3))[0]?.headers.ack ?? ''
    for (const end of ['ABORT', 'COMMIT']) {
      await client.request('BEGIN', { transaction: 't' })
      await client.request('ACK', { id, transaction: 't' })
      await client.sync()
      expect(client.frames).toEqual([])
      await client.request(end, { transaction: 't' })
      if (end === 'COMMIT') break
      await client.sync()
      expect(client.frames).toEqual([])
    }
    expect((await client.next('MESSAGE')).headers.subscription).toBe('1')
    client.destroy()
  })

  test.each(['NACK', 'UNSUBSCRIBE'])('max-unacked: %s makes room', async (command) => {
    const [one, two] = [queue(), queue()]
    const client = await RawClient.connected(broker)
    for (const destination of [one, one, two, two]) await client.request('SEND', { destination })
    for (const [id, destination] of [one, two].entries())
      await client.request('SUBSCRIBE', { id: String(id), destination, ack: 'client-individual' })
    const [first] = await client.take(3)
    const end =
      command === 'NACK'
        ? { id: first?.headers.ack ?? '', requeue: 'false' }
        : { id: first?.headers.subscription ?? '' }
    await client.request(command, end)
    expect((await client.next('MESSAGE')).headers.subscription).toBe('1')
    client.destroy()
  })

  test('max-pending-receipts: at the bound the client is read no further until some are done', async () => {
    const destination = queue()
    const [client, other] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    engine.held = true
    try {
      for (const receipt of ['1', '2', '3']) client.send('SEND', { destination, receipt })
      await expect.poll(() => engine.waiting.length).toBe(2)
      // Nobody else waits, and what this one sends behind them does.
      client.send('BEGIN', { transaction: 't', receipt: '4' })
      for (let time = 0; time < 3; time++) await other.request('UNSUBSCRIBE', { id: 'none' })
      expect([engine.waiting.length, client.frames]).toEqual([2, []])
      engine.settle()
      await client.receipt('1')
      await expect.poll(() => engine.waiting.length).toBe(2)
      expect(client.frames).toEqual([])
      engine.settle()
      await client.receipt('4')
      engine.settle()
      await client.receipt('3')
    } finally {
      engine.held = false
      while (engine.waiting.length > 0) engine.settle()
    }
    client.destroy()
  })

  test('max-subscriptions', async () => {
    const client = await RawClient.connected(broker)
    for (let id = 0; id < 5; id++)
      await client.request('SUBSCRIBE', { id: String(id), destination: '/topic/limits' })
    await client.request('UNSUBSCRIBE', { id: '0' })
    await client.request('SUBSCRIBE', { id: '0', destination: queue() })
    client.send('SUBSCRIBE', { id: '5', destination: '/topic/limits', receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'too many subscriptions', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('limit max-subscriptions')
    expect(close.code).toBe(1008)
  })

  test('max-subscriptions: reply queues and topics', async () => {
    const client = await RawClient.connected(broker)
    const send = (name: string): void =>
      client.send('SEND', { destination: '/topic/limits', 'reply-to': `/temp-topic/${name}` })
    for (let name = 0; name < 5; name++) send(String(name))
    // One that is there already.
    send('0')
    await client.sync()
    send('5')
    const { error, close } = await client.refusal()
    expect(error.body.toString()).toContain('limit max-subscriptions')
    expect(close.code).toBe(1008)
  })

  test('max-durable-subscriptions', async () => {
    const client = await RawClient.connected(broker)
    const subscribe = (id: string): readonly [string, Record<string, string>] =>
      ['SUBSCRIBE', { id, destination: '/topic/limits/durable', durable: id }] as const
    for (const id of ['1', '2']) await client.request(...subscribe(id))
    await client.request('UNSUBSCRIBE', { id: '1', durable: '1' })
    await client.request(...subscribe('3'))
    client.send(...subscribe('4'))
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe('too many durable subscriptions')
    expect(error.body.toString()).toContain('limit max-durable-subscriptions')
    expect(close.code).toBe(1008)
    const other = await RawClient.connected(broker)
    for (const id of ['2', '3']) await other.request('UNSUBSCRIBE', { durable: id })
  })

  test.each([
    ['max-durable-messages', 0, ['2', '3']],
    ['max-durable-bytes', 350, ['3']],
  ])('%s: the oldest goes, and no publisher is refused', async (_, length, kept) => {
    const client = await RawClient.connected(broker)
    const subscription = { id: '0', destination: '/topic/limits/kept', durable: 'kept' }
    await client.request('SUBSCRIBE', subscription)
    await client.request('UNSUBSCRIBE', { id: '0' })
    for (const body of ['1', '2', '3'])
      await client.request('SEND', { destination: '/topic/limits/kept' }, body + x(length))
    await client.request('SUBSCRIBE', subscription)
    expect((await client.bodies(kept.length)).map((body) => body[0])).toEqual(kept)
    await client.request('UNSUBSCRIBE', { id: '0', durable: 'kept' })
  })

  test('max-retained: topics, however often each changes', async () => {
    const client = await RawClient.connected(broker)
    const retain = (topic: string, what = 'set'): readonly [string, Record<string, string>] =>
      ['SEND', { destination: `/topic/limits/${topic}`, retain: what }] as const
    for (const topic of ['a', 'b', 'a']) await client.request(...retain(topic))
    await client.request(...retain('b', 'remove'))
    await client.request(...retain('c'))
    client.send(...retain('d'))
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe('too many retained messages')
    expect(error.body.toString()).toContain('limit max-retained')
    expect(close.code).toBe(1008)
  })

  test('max-queue-messages: delayed messages to topics, of all clients', async () => {
    const client = await RawClient.connected(broker)
    const delayed = { destination: '/topic/limits/later', 'x-delay': '100000' }
    for (let index = 0; index < 3; index++) await client.request('SEND', delayed)
    client.send('SEND', delayed)
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe('too many delayed messages')
    expect(error.body.toString()).toContain('limit max-queue-messages')
    expect(close.code).toBe(1008)
  })

  test('max-deliveries: one NACK fewer, and the message comes again', async () => {
    const destination = queue()
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: '0', destination, ack: 'client' })
    await client.request('SEND', { destination }, 'bad')
    for (const deliveries of [1, 2]) {
      const { headers } = await client.next('MESSAGE')
      expect(headers['delivery-count']).toBe(deliveries === 1 ? undefined : '1')
      await client.request('NACK', { id: headers.ack ?? '' })
    }
    const letters = destination.replace('/queue/', '/queue/DLQ.')
    await client.request('SUBSCRIBE', { id: 'dlq', destination: letters })
    expect((await client.next('MESSAGE')).headers).toMatchObject({
      subscription: 'dlq',
      'dead-letter-reason': 'max-deliveries',
      'dead-letter-deliveries': '2',
    })
  })

  test.each([0, 1])('send-budget: what waits for a client may be so much, and %i more', async (more) => {
    // Nothing of what waits for a client that polls is anywhere but here, so it can be counted.
    const budget = 400_000
    const own = await startBroker({ sendBudget: budget, maxFrame: 200_000, maxBody: 200_000 })
    const post = async (path: string, body = ''): Promise<string> => {
      const response = await fetch(`${own.sockJsUrl}/000/budget/${path}`, { method: 'POST', body })
      return response.text()
    }
    const say = (command: string, headers: Record<string, string>): Promise<string> =>
      post('xhr_send', JSON.stringify([frame(command, headers).toString()]))
    await post('xhr')
    await say('CONNECT', { 'accept-version': '1.2' })
    await say('SUBSCRIBE', { id: '0', destination: '/topic/budget' })
    expect(await post('xhr')).toContain('CONNECTED')
    const sender = await RawClient.connected(own)
    const send = (body: string): Promise<void> =>
      sender.request('SEND', { destination: '/topic/budget' }, body)
    // The first shows what such a message has beside its body.
    await send(x(100_000))
    const beside = JSON.stringify((JSON.parse((await post('xhr')).slice(1)) as string[])[0]).length - 100_000
    const lengths = [140_000, 140_000, 120_000 + more]
    for (const length of lengths) await send(x(length - beside))
    await send('one more is no reason: it is judged by what waited before')
    expect(own.broker.stats.slowConsumers).toBe(more)
    await own.close()
  })

  test('sockjs-max-batch and sockjs-max-sessions', async () => {
    const post = (path: string, body: string): Promise<Response> =>
      fetch(`${broker.sockJsUrl}/000/${path}`, { method: 'POST', body })
    expect(await (await post('a/xhr', '')).text()).toBe('o\n')
    expect((await post('a/xhr_send', '["\\n"]'.padEnd(1024))).status).toBe(204)
    expect((await post('a/xhr_send', '["\\n"]'.padEnd(1025))).status).toBe(413)
    expect((await post('b/xhr', '')).status).toBe(200)
    expect((await post('c/xhr', '')).status).toBe(503)
  })
})
