import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Made } from '../broker/model/content.ts'
import { Hub, type Subscriber } from '../broker/core/hub.ts'
import { Message, MessageIds } from '../broker/model/message.ts'
import { parseDestination } from './helpers/destination.ts'
import { startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { RawClient, type RawFrame } from './helpers/client.ts'

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.close())

test('a topic reaches every subscriber, the sender included', async () => {
  const [a, b] = [await RawClient.connected(broker), await RawClient.connected(broker)]
  await a.request('SUBSCRIBE', { id: '0', destination: '/topic/news' })
  await b.request('SUBSCRIBE', { id: 'x', destination: '/topic/news' })
  a.send('SEND', { destination: '/topic/news', 'content-type': 'text/plain', custom: 'kept' }, 'hello 🌍')
  for (const [client, id] of [
    [a, '0'],
    [b, 'x'],
  ] as const) {
    const message = await client.next('MESSAGE')
    expect(message.body.toString()).toBe('hello 🌍')
    expect(message.headers).toMatchObject({
      subscription: id,
      destination: '/topic/news',
      custom: 'kept',
      'content-length': '10',
    })
  }
})

test('a queue gives each message to one consumer in turn', async () => {
  const [a, b] = [await RawClient.connected(broker), await RawClient.connected(broker)]
  await a.request('SUBSCRIBE', { id: '0', destination: '/queue/work', ack: 'client-individual' })
  await b.request('SUBSCRIBE', { id: '0', destination: '/queue/work', ack: 'client-individual' })
  for (const body of ['1', '2', '3', '4']) await a.request('SEND', { destination: '/queue/work' }, body)
  await b.sync()
  expect(a.frames.map((frame) => frame.body.toString())).toEqual(['1', '3'])
  expect(b.frames.map((frame) => frame.body.toString())).toEqual(['2', '4'])
})

describe('id', () => {
  test.each(['1.2', '1.1'])('%s SUBSCRIBE: the id header is required', async (version) => {
    const client = await RawClient.connected(broker, {}, version)
    client.send('SUBSCRIBE', { destination: '/topic/subscribe/no-id', receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'missing header', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('"id"')
    expect(close.code).toBe(1002)
  })

  test('1.0 SUBSCRIBE: without an id the destination stands in, for UNSUBSCRIBE as well', async () => {
    const client = await RawClient.connected(broker, {}, '1.0')
    const destination = '/topic/subscribe/1.0'
    await client.request('SUBSCRIBE', { destination })
    client.send('SEND', { destination }, '1')
    expect((await client.next('MESSAGE')).headers).toMatchObject({ destination, subscription: destination })
    await client.request('UNSUBSCRIBE', { destination })
    await client.request('SEND', { destination }, '2')
    expect(client.frames).toEqual([])
  })

  test('1.0 SUBSCRIBE: with an id it is shown, and taken by UNSUBSCRIBE', async () => {
    const client = await RawClient.connected(broker, {}, '1.0')
    const destination = '/topic/subscribe/1.0-id'
    await client.request('SUBSCRIBE', { destination, id: 'mine' })
    client.send('SEND', { destination }, '1')
    expect((await client.next('MESSAGE')).headers.subscription).toBe('mine')
    await client.request('UNSUBSCRIBE', { id: 'mine' })
    await client.request('SEND', { destination }, '2')
    expect(client.frames).toEqual([])
  })

  test.each(['/topic/subscribe/twice', '/topic/subscribe/other'])(
    '1.2 SUBSCRIBE id Header: a second subscription of the same id (%s) is an ERROR and a close',
    async (destination) => {
      const client = await RawClient.connected(broker)
      await client.request('SUBSCRIBE', { id: 'same', destination: '/topic/subscribe/twice' })
      client.send('SUBSCRIBE', { id: 'same', destination, receipt: 'r' })
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'duplicate subscription id', 'receipt-id': 'r' })
      expect(error.body.toString()).toContain('same')
      expect(close.code).toBe(1002)
    },
  )

  test('1.2 SUBSCRIBE id Header: ids are per connection, and free again after UNSUBSCRIBE', async () => {
    const [a, b] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    for (const client of [a, b])
      await client.request('SUBSCRIBE', { id: '0', destination: '/topic/subscribe/a' })
    await a.request('UNSUBSCRIBE', { id: '0' })
    await a.request('SUBSCRIBE', { id: '0', destination: '/topic/subscribe/b' })
    await b.request('SEND', { destination: '/topic/subscribe/a' }, 'a')
    await b.request('SEND', { destination: '/topic/subscribe/b' }, 'b')
    await a.sync()
    expect(a.frames.map((frame) => frame.body.toString())).toEqual(['b'])
    expect(b.frames.map((frame) => frame.body.toString())).toEqual(['a'])
  })

  test('1.2 Value Encoding: an id that needs escaping comes back as it was written', async () => {
    const client = await RawClient.connected(broker)
    const id = 'a\\cb\\\\c d'
    await client.request('SUBSCRIBE', { id, destination: '/topic/subscribe/escaped' })
    client.send('SEND', { destination: '/topic/subscribe/escaped' })
    expect((await client.next('MESSAGE')).headers.subscription).toBe(id)
  })
})

describe('SUBSCRIBE', () => {
  test('1.2 SUBSCRIBE: destination is required', async () => {
    const client = await RawClient.connected(broker)
    client.send('SUBSCRIBE', { id: '0' })
    const { error, close } = await client.refusal()
    expect(error.body.toString()).toContain('"destination"')
    expect(close.code).toBe(1002)
  })

  test('1.2 SUBSCRIBE ack Header: only auto, client and client-individual are known', async () => {
    const client = await RawClient.connected(broker)
    client.send('SUBSCRIBE', { id: '0', destination: '/queue/subscribe/mode', ack: 'manual' })
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe('invalid header')
    expect(error.body.toString()).toContain('client-individual')
    expect(close.code).toBe(1002)
  })

  test('contract 4.8: its RECEIPT comes before its first MESSAGE, a backlog waiting', async () => {
    const client = await RawClient.connected(broker)
    const destination = '/queue/subscribe/backlog'
    for (let index = 0; index < 5; index++) await client.request('SEND', { destination }, String(index))
    client.send('SUBSCRIBE', { id: '0', destination, receipt: 'ready' })
    expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('ready')
    expect(await client.bodies(5)).toEqual(['0', '1', '2', '3', '4'])
  })

  test('contract 4.8: its RECEIPT means that what is published from now on arrives', async () => {
    const [receiver, sender] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    for (let index = 0; index < 20; index++) {
      const destination = `/topic/subscribe/routed/${index}`
      await receiver.request('SUBSCRIBE', { id: String(index), destination })
      await sender.request('SEND', { destination }, String(index))
    }
    expect(await receiver.bodies(20)).toEqual(Array.from({ length: 20 }, (_, index) => String(index)))
  })

  test('a topic keeps nothing for those who come later', async () => {
    const client = await RawClient.connected(broker)
    await client.request('SEND', { destination: '/topic/subscribe/late' }, 'gone')
    await client.request('SUBSCRIBE', { id: '0', destination: '/topic/subscribe/late' })
    client.send('SEND', { destination: '/topic/subscribe/late' }, 'here')
    expect(await client.bodies(1)).toEqual(['here'])
  })

  test('1.2 MESSAGE: two subscriptions of a client to one topic each get it, under their own id', async () => {
    const client = await RawClient.connected(broker)
    for (const id of ['a', 'b'])
      await client.request('SUBSCRIBE', { id, destination: '/topic/subscribe/double' })
    await client.request('SEND', { destination: '/topic/subscribe/double' })
    expect((await client.take(2)).map(({ headers }) => headers.subscription)).toEqual(['a', 'b'])
  })

  test.each(['x-max-length', 'x-queue-type', 'x-priority', 'activemq.retroactive'])(
    'contract 4.8: the header %s is accepted and ignored',
    async (name) => {
      const client = await RawClient.connected(broker)
      await client.request('SUBSCRIBE', { id: '0', destination: '/topic/subscribe/ignored', [name]: '1' })
    },
  )
})

describe('MESSAGE', () => {
  async function deliver(destination: string, version: string, ack: string): Promise<RawFrame> {
    const client = await RawClient.connected(broker, {}, version)
    await client.request('SUBSCRIBE', { id: 's', destination, ack })
    client.send('SEND', { destination }, 'x')
    return client.next('MESSAGE')
  }

  test.each([
    ['/queue/', '1.2', 'auto', false],
    ['/queue/', '1.2', 'client', true],
    ['/queue/', '1.2', 'client-individual', true],
    ['/queue/', '1.1', 'client', false],
    ['/queue/', '1.0', 'client', false],
    ['/topic/', '1.2', 'auto', false],
    ['/topic/', '1.2', 'client', true],
    ['/topic/', '1.1', 'client', false],
  ])('1.2 MESSAGE: the ack header on %s, STOMP %s, ack:%s: %s', async (prefix, version, ack, shown) => {
    const destination = `${prefix}subscribe/ack/${version}/${ack}`
    const { headers } = await deliver(destination, version, ack)
    expect(headers).toMatchObject({ destination, subscription: 's', 'content-length': '1' })
    expect(headers.ack).toBe(shown ? headers['message-id'] : undefined)
    expect(headers['message-id']).toMatch(/^[\w-]+$/)
  })

  test('contract 4.9: redelivered on queues always, on topics never', async () => {
    const { headers } = await deliver('/queue/subscribe/first', '1.2', 'client')
    expect(headers.redelivered).toBe('false')
    expect(headers).not.toHaveProperty('delivery-count')
    expect((await deliver('/topic/subscribe/first', '1.2', 'client')).headers).not.toHaveProperty(
      'redelivered',
    )
  })
})

describe('UNSUBSCRIBE', () => {
  test('1.2 UNSUBSCRIBE: after it no MESSAGE of that subscription comes, of others still', async () => {
    const client = await RawClient.connected(broker)
    const destination = '/topic/subscribe/stop'
    for (const id of ['a', 'b']) await client.request('SUBSCRIBE', { id, destination })
    await client.request('UNSUBSCRIBE', { id: 'a' })
    await client.request('SEND', { destination })
    expect(client.frames.map(({ headers }) => headers.subscription)).toEqual(['b'])
  })

  test.each(['1.2', '1.1'])('%s UNSUBSCRIBE: the id header is required', async (version) => {
    const client = await RawClient.connected(broker, {}, version)
    client.send('UNSUBSCRIBE', { destination: '/topic/x', receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'missing header', 'receipt-id': 'r' })
    expect(close.code).toBe(1002)
  })

  test('an unknown id is harmless, as a client that unsubscribes twice sends it', async () => {
    const client = await RawClient.connected(broker)
    await client.request('UNSUBSCRIBE', { id: 'never' })
    await client.sync()
  })

  test('a client that is gone hears nothing and hinders nobody', async () => {
    const [gone, stays] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    const destination = '/topic/subscribe/gone'
    for (const client of [gone, stays]) await client.request('SUBSCRIBE', { id: '0', destination })
    gone.destroy()
    await gone.closed
    for (let index = 0; index < 3; index++) await stays.request('SEND', { destination }, String(index))
    expect(await stays.bodies(3)).toEqual(['0', '1', '2'])
  })
})

test('invariant 6: a subscriber added during a delivery loop does not get that message; one removed may', async () => {
  const engine = new TestEngine()
  const hub = new Hub(engine, new MessageIds('test'))
  await engine.open(hub)
  const heard: string[] = []
  const late: Subscriber = { deliver: ({ id }) => heard.push(`late ${id}`) }
  const last: Subscriber = { deliver: ({ id }) => heard.push(`last ${id}`) }
  const first: Subscriber = {
    deliver({ id }) {
      heard.push(`first ${id}`)
      void hub.add('/topic/loop', late)
      hub.remove('/topic/loop', last)
    },
  }
  await hub.add('/topic/loop', first)
  await hub.add('/topic/loop', last)
  const destination = parseDestination('/topic/loop')
  for (const id of ['1', '2']) {
    void engine.commit([
      { type: 'send', message: new Message(id, destination, new Made(new Map(), Buffer.alloc(0))) },
    ])
  }
  expect(heard).toEqual(['first 1', 'last 1', 'first 2', 'late 2'])
})
