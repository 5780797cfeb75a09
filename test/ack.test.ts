import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { RawClient, type RawFrame } from './helpers/client.ts'

let broker: TestBroker
const engine = new TestEngine()
beforeAll(async () => {
  broker = await startBroker({}, engine)
})
afterAll(() => broker.close())

let names = 0
/** A queue no other test uses, with messages 1 to `count` in it. */
async function filled(count: number): Promise<string> {
  const destination = `/queue/ack/${++names}`
  const client = await RawClient.connected(broker)
  for (let index = 1; index <= count; index++) client.send('SEND', { destination }, String(index))
  await client.sync()
  client.destroy()
  return destination
}

async function consumer(
  destination: string,
  ack: string,
  headers: Record<string, string> = {},
  version = '1.2',
): Promise<RawClient> {
  const client = await RawClient.connected(broker, {}, version)
  await client.request('SUBSCRIBE', { id: 's', destination, ack, ...headers })
  return client
}

function ackOf(message: RawFrame | undefined): string {
  return message?.headers.ack ?? ''
}

/** Everything still in the queue, as the next consumer sees it. */
async function rest(destination: string): Promise<string[]> {
  const { ready, unacked } = await engine.count(destination)
  expect(unacked).toBe(0)
  const client = await consumer(destination, 'auto')
  const left = await client.take(ready)
  return left.map(
    ({ body, headers }) => `${body.toString()}${headers.redelivered === 'true' ? ' again' : ''}`,
  )
}

/** Until the broker has noticed that somebody is gone. */
async function released(destination: string): Promise<void> {
  const client = await RawClient.connected(broker)
  while ((await engine.count(destination)).unacked > 0) await client.sync()
}

describe('auto', () => {
  test('1.2 SUBSCRIBE ack Header: auto needs no ACK, and what was sent counts as received', async () => {
    const destination = await filled(50)
    const client = await consumer(destination, 'auto')
    await client.take(50)
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 0 })
    client.destroy()
    await client.closed
    expect(await rest(destination)).toEqual([])
  })

  test('1.2 SUBSCRIBE ack Header: auto is the default', async () => {
    const destination = await filled(1)
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: 's', destination })
    expect((await client.next('MESSAGE')).headers).not.toHaveProperty('ack')
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 0 })
  })
})

describe('client and client-individual', () => {
  test('1.2 SUBSCRIBE ack Header: client is cumulative', async () => {
    const destination = await filled(5)
    const client = await consumer(destination, 'client')
    const messages = await client.take(5)
    await client.request('ACK', { id: ackOf(messages[2]) })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 2 })
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(destination)).toEqual(['4 again', '5 again'])
  })

  test('contract 4.10: cumulative per subscription, not per connection', async () => {
    const [one, other] = [await filled(3), await filled(3)]
    const client = await consumer(one, 'client')
    const early = await client.take(3)
    await client.request('SUBSCRIBE', { id: 'other', destination: other, ack: 'client' })
    const messages = await client.take(3)
    await client.request('ACK', { id: ackOf(messages[2]) })
    expect(await engine.count(one)).toEqual({ ready: 0, unacked: 3 })
    expect(await engine.count(other)).toEqual({ ready: 0, unacked: 0 })
    await client.request('ACK', { id: ackOf(early[2]) })
    expect(await engine.count(one)).toEqual({ ready: 0, unacked: 0 })
  })

  test('contract 4.10: so too for two subscriptions of a connection to the same queue', async () => {
    const destination = `/queue/ack/${++names}`
    const client = await consumer(destination, 'client')
    await client.request('SUBSCRIBE', { id: 't', destination, ack: 'client' })
    for (let index = 1; index <= 6; index++) client.send('SEND', { destination }, String(index))
    const messages = await client.take(6)
    const mine = messages.filter(({ headers }) => headers.subscription === 't')
    expect(mine).toHaveLength(3)
    await client.request('ACK', { id: ackOf(mine[2]) })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 3 })
  })

  test('1.2 SUBSCRIBE ack Header: client-individual acknowledges one message alone', async () => {
    const destination = await filled(5)
    const client = await consumer(destination, 'client-individual')
    const messages = await client.take(5)
    await client.request('ACK', { id: ackOf(messages[2]) })
    await client.request('ACK', { id: ackOf(messages[4]) })
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(destination)).toEqual(['1 again', '2 again', '4 again'])
  })
})

describe('prefetch', () => {
  test.each([
    [{}, 32],
    [{ prefetch: '1' }, 1],
    [{ prefetch: '3' }, 3],
    [{ 'prefetch-count': '3' }, 3],
    [{ 'activemq.prefetchSize': '3' }, 3],
    [{ prefetch: '2', 'prefetch-count': '5' }, 2],
    [{ prefetch: '0' }, 40],
    [{ 'prefetch-count': '0' }, 40],
    [{ ack: 'auto', prefetch: '3' }, 40],
  ])('contract 4.8: of 40 messages %j is handed %i', async (headers, count) => {
    const destination = await filled(40)
    const client = await consumer(destination, 'client-individual', headers)
    await client.sync()
    expect(client.frames).toHaveLength(count)
    expect((await engine.count(destination)).ready).toBe(40 - count)
  })

  test('contract 4.8: each ACK makes room for one, a cumulative one for all it covers', async () => {
    const destination = await filled(10)
    const client = await consumer(destination, 'client', { prefetch: '3' })
    const messages = await client.take(3)
    await client.request('ACK', { id: ackOf(messages[0]) })
    await client.sync()
    expect(client.frames.map(({ body }) => body.toString())).toEqual(['4'])
    await client.request('ACK', { id: ackOf(messages[2]) })
    await client.sync()
    expect(client.frames.map(({ body }) => body.toString())).toEqual(['4', '5', '6'])
  })

  test.each(['x', '-1', '1.5', ''])('contract 4.8: prefetch:%s is an ERROR', async (prefetch) => {
    const client = await RawClient.connected(broker)
    client.send('SUBSCRIBE', { id: 's', destination: '/queue/ack/bad', ack: 'client', prefetch })
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe('invalid header')
    expect(error.body.toString()).toContain('prefetch')
    expect(close.code).toBe(1002)
  })
})

describe('NACK', () => {
  test('contract 4.10: to another consumer first, redelivered and counted', async () => {
    const destination = `/queue/ack/${++names}`
    const [a, b] = [
      await consumer(destination, 'client-individual'),
      await consumer(destination, 'client-individual'),
    ]
    // Afterwards it is the turn of a again.
    for (const body of ['hot', 'other']) await a.request('SEND', { destination }, body)
    const first = await a.next('MESSAGE')
    const other = await b.next('MESSAGE')
    await a.request('NACK', { id: ackOf(first) })
    const second = await b.next('MESSAGE')
    expect(second.headers).toMatchObject({ redelivered: 'true', 'delivery-count': '1' })
    await b.request('NACK', { id: ackOf(second) })
    const third = await a.next('MESSAGE')
    expect(third.headers).toMatchObject({
      redelivered: 'true',
      'delivery-count': '2',
    })
    expect(third.body.toString()).toBe('hot')
    await a.request('ACK', { id: ackOf(third) })
    await b.request('ACK', { id: ackOf(other) })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 0 })
  })

  test('contract 4.10: to the same consumer when there is no other', async () => {
    const destination = await filled(1)
    const client = await consumer(destination, 'client-individual', { prefetch: '1' })
    await client.request('NACK', { id: ackOf(await client.next('MESSAGE')) })
    expect((await client.next('MESSAGE')).headers).toMatchObject({
      redelivered: 'true',
      'delivery-count': '1',
    })
  })

  test('contract 4.10: the message keeps its place', async () => {
    const destination = await filled(6)
    const client = await consumer(destination, 'client-individual', { prefetch: '3' })
    const messages = await client.take(3)
    await client.request('NACK', { id: ackOf(messages[1]) })
    // 2 comes again before 4, which it was ahead of.
    expect(await client.bodies(1)).toEqual(['2'])
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(destination)).toEqual(['1 again', '2 again', '3 again', '4', '5', '6'])
  })

  test('1.2 NACK: cumulative in client mode, as ACK is', async () => {
    const destination = await filled(4)
    const client = await consumer(destination, 'client', { prefetch: '4' })
    const messages = await client.take(4)
    await client.request('NACK', { id: ackOf(messages[2]) })
    const again = await client.take(3)
    expect(again.map(({ body }) => body.toString())).toEqual(['1', '2', '3'])
    for (const { headers } of again) expect(headers['delivery-count']).toBe('1')
  })

  test('1.2 NACK: one message alone in client-individual mode', async () => {
    const destination = await filled(4)
    const client = await consumer(destination, 'client-individual')
    const messages = await client.take(4)
    await client.request('NACK', { id: ackOf(messages[2]) })
    await client.sync()
    expect(await client.bodies(client.frames.length)).toEqual(['3'])
  })
})

describe('return of what was not acked', () => {
  test.each(['UNSUBSCRIBE', 'DISCONNECT'])(
    'contract 4.10: on %s to the head of the queue',
    async (command) => {
      const destination = await filled(5)
      const client = await consumer(destination, 'client-individual', { prefetch: '3' })
      const messages = await client.take(3)
      await client.request('ACK', { id: ackOf(messages[1]) })
      expect(await client.bodies(1)).toEqual(['4'])
      await client.request(command, { id: 's' })
      expect(await rest(destination)).toEqual(['1 again', '3 again', '4 again', '5'])
    },
  )

  test.each(['websocket', 'tcp'])(
    'contract 4.10: on the abrupt end of a %s connection',
    async (transport) => {
      const destination = await filled(3)
      const client =
        transport === 'tcp' ? await RawClient.tcpConnected(broker) : await RawClient.connected(broker)
      client.send('SUBSCRIBE', { id: 's', destination, ack: 'client', prefetch: '2' })
      await client.take(2)
      client.destroy()
      await released(destination)
      expect(await rest(destination)).toEqual(['1 again', '2 again', '3'])
    },
  )

  test('contract 4.10: after an ERROR', async () => {
    const destination = await filled(2)
    const client = await consumer(destination, 'client')
    await client.take(2)
    client.raw('NONSENSE\n\n\0')
    await client.refusal()
    expect(await rest(destination)).toEqual(['1 again', '2 again'])
  })

  test('invariant 2: a session that ended holds no delivery; each returns with its attempt counted', async () => {
    const destination = await filled(2)
    for (let attempt = 0; attempt < 4; attempt++) {
      const client = await consumer(destination, 'client')
      const counts = (await client.take(2)).map(({ headers }) => headers['delivery-count'])
      const count = attempt === 0 ? undefined : String(attempt)
      expect(counts).toEqual([count, count])
      client.destroy()
      await released(destination)
      expect(await engine.count(destination)).toEqual({ ready: 2, unacked: 0 })
    }
  })

  test('invariant 3: cancel precedes release: UNSUBSCRIBE and DISCONNECT are not answered with what they gave back', async () => {
    const destination = await filled(3)
    const client = await consumer(destination, 'client', { prefetch: '0' })
    await client.request('SUBSCRIBE', { id: 't', destination: await filled(1), ack: 'client' })
    await client.take(4)
    await client.request('UNSUBSCRIBE', { id: 's' })
    await client.sync()
    expect(client.frames).toEqual([])
    expect(await engine.count(destination)).toEqual({ ready: 3, unacked: 0 })
    await client.request('SUBSCRIBE', { id: 's', destination, ack: 'client', prefetch: '1' })
    await client.next('MESSAGE')
    client.send('DISCONNECT', { receipt: 'bye' })
    expect((await client.next()).headers['receipt-id']).toBe('bye')
    expect(await engine.count(destination)).toEqual({ ready: 3, unacked: 0 })
  })
})

describe('forms of ACK', () => {
  test.each([
    ['1.1', 'message-id and subscription', (id: string) => ({ 'message-id': id, subscription: 's' })],
    ['1.1', 'message-id alone', (id: string) => ({ 'message-id': id })],
    ['1.1', 'id, tolerated', (id: string) => ({ id })],
    ['1.0', 'message-id', (id: string) => ({ 'message-id': id })],
    ['1.2', 'id', (id: string) => ({ id })],
    ['1.2', 'id and an extra subscription', (id: string) => ({ id, subscription: 's' })],
    [
      '1.2',
      'message-id and subscription, tolerated',
      (id: string) => ({ 'message-id': id, subscription: 's' }),
    ],
  ])('%s ACK and NACK: by %s', async (version, _, form) => {
    const destination = await filled(2)
    const client = await consumer(destination, 'client-individual', {}, version)
    const [first, second] = (await client.take(2)).map(({ headers }) => headers['message-id'] ?? '')
    await client.request('ACK', form(first ?? ''))
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 1 })
    await client.request('NACK', form(second ?? ''))
    const again = await client.next('MESSAGE')
    expect(again.headers).toMatchObject({ redelivered: 'true' })
    // Each delivery has a message-id of its own, so that a late ACK cannot settle the next one.
    await client.request('ACK', form(second ?? ''))
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 1 })
    await client.request('ACK', form(again.headers['message-id'] ?? ''))
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 0 })
  })

  test('1.1 ACK: message-id and subscription together name the delivery of that subscription', async () => {
    const destination = '/topic/ack/shared'
    const queue = await filled(1)
    const client = await consumer(queue, 'client', {}, '1.1')
    await client.request('SUBSCRIBE', { id: 't', destination, ack: 'client' })
    const id = (await client.next('MESSAGE')).headers['message-id'] ?? ''
    await client.request('ACK', { 'message-id': id, subscription: 't' })
    expect(await engine.count(queue)).toEqual({ ready: 0, unacked: 1 })
    await client.request('ACK', { 'message-id': id, subscription: 's' })
    expect(await engine.count(queue)).toEqual({ ready: 0, unacked: 0 })
  })

  test.each(['ACK', 'NACK'])('contract 4.10: %s with id:undefined does nothing', async (command) => {
    const destination = await filled(1)
    const client = await consumer(destination, 'client')
    await client.next('MESSAGE')
    await client.request(command, { id: 'undefined' })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 1 })
  })

  test.each([
    ['1.2', 'ACK', 'id'],
    ['1.2', 'NACK', 'id'],
    ['1.1', 'ACK', 'message-id'],
    ['1.0', 'ACK', 'message-id'],
  ])('%s %s: the header %s is required', async (version, command, name) => {
    const client = await consumer(`/queue/ack/${++names}`, 'client', {}, version)
    client.send(command, { subscription: 's', receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'missing header', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain(`"${name}"`)
    expect(close.code).toBe(1002)
  })
})

describe('late, double and invented', () => {
  test.each(['ACK', 'NACK'])('contract 4.10: a second ACK, then %s, are ignored', async (command) => {
    const destination = await filled(2)
    const client = await consumer(destination, 'client-individual')
    const [first] = await client.take(2)
    await client.request('ACK', { id: ackOf(first) })
    const { lateAcks } = broker.broker.stats
    await client.request('ACK', { id: ackOf(first) })
    await client.request(command, { id: ackOf(first) })
    expect(broker.broker.stats.lateAcks).toBe(lateAcks + 2)
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 1 })
  })

  test('contract 4.10: an ACK after UNSUBSCRIBE is ignored', async () => {
    const destination = await filled(1)
    const client = await consumer(destination, 'client')
    const message = await client.next('MESSAGE')
    await client.request('UNSUBSCRIBE', { id: 's' })
    await client.request('ACK', { id: ackOf(message) })
    expect(await rest(destination)).toEqual(['1 again'])
  })

  test('contract 4.10: a late ACK of the first delivery does not settle the second', async () => {
    const destination = await filled(1)
    const client = await consumer(destination, 'client-individual')
    const first = await client.next('MESSAGE')
    await client.request('NACK', { id: ackOf(first) })
    const second = await client.next('MESSAGE')
    await client.request('ACK', { id: ackOf(first) })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 1 })
    await client.request('ACK', { id: ackOf(second) })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 0 })
  })

  test('a cumulative ACK covers what an individual one cannot reach twice', async () => {
    const destination = await filled(4)
    const client = await consumer(destination, 'client')
    const messages = await client.take(4)
    await client.request('ACK', { id: ackOf(messages[3]) })
    await client.request('ACK', { id: ackOf(messages[0]) })
    await client.request('NACK', { id: ackOf(messages[2]) })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 0 })
    await client.sync()
    expect(client.frames).toEqual([])
  })

  test.each([
    ['1.2', 'ACK', { id: 'invented' }],
    ['1.2', 'NACK', { id: 'invented' }],
    ['1.1', 'ACK', { 'message-id': 'invented', subscription: 's' }],
    ['1.0', 'ACK', { 'message-id': 'invented' }],
  ])('contract 4.10: %s %s of an id never issued is an ERROR', async (version, command, headers) => {
    const client = await consumer(await filled(1), 'client', {}, version)
    await client.next('MESSAGE')
    client.send(command, { ...headers, receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'unknown ack id', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('invented')
    expect(close.code).toBe(1002)
  })

  test('contract 4.10: so is an id issued to another connection, which loses nothing by it', async () => {
    const destination = await filled(1)
    const [owner, thief] = [
      await consumer(destination, 'client'),
      await consumer(`/queue/ack/${++names}`, 'client'),
    ]
    thief.send('ACK', { id: ackOf(await owner.next('MESSAGE')) })
    expect((await thief.refusal()).error.headers.message).toBe('unknown ack id')
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 1 })
  })

  test.each([
    ['1.2', '/topic/', 'client'],
    ['1.2', '/topic/', 'auto'],
    ['1.1', '/topic/', 'client'],
    ['1.2', '/queue/', 'auto'],
    ['1.1', '/queue/', 'auto'],
  ])('contract 4.10: %s ACK and NACK on %s with ack:%s are ignored', async (version, prefix, ack) => {
    const destination = `${prefix}ack/${++names}`
    const client = await consumer(destination, ack, {}, version)
    await client.request('SEND', { destination })
    const id = (await client.next('MESSAGE')).headers['message-id'] ?? ''
    const form = version === '1.2' ? { id } : { 'message-id': id, subscription: 's' }
    await client.request('ACK', form)
    await client.request('NACK', form)
    await client.sync()
    expect(client.frames).toEqual([])
  })
})
