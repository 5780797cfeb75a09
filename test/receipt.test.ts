import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { RawClient, type RawFrame } from './helpers/client.ts'

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.close())

function receipts(client: RawClient): (string | undefined)[] {
  return client.frames
    .filter(({ command }) => command === 'RECEIPT')
    .map(({ headers }) => headers['receipt-id'])
}

describe.each(['1.2', '1.1', '1.0'])('%s RECEIPT', (version) => {
  test('an empty receipt is answered as well', async () => {
    const client = await RawClient.connected(broker, {}, version)
    client.send('SEND', { destination: '/topic/receipt', receipt: '' })
    client.send('SEND', { destination: '/topic/receipt', receipt: 'next' })
    await client.until(() => receipts(client).includes('next'))
    expect(receipts(client)).toEqual(['', 'next'])
  })

  test('exactly one for each frame with a receipt header, in order, on every command', async () => {
    const client = await RawClient.connected(broker, {}, version)
    const destination = `/queue/receipt/${version}`
    client.send('SUBSCRIBE', { id: 's', destination, ack: 'client-individual', receipt: 'subscribe' })
    client.send('SEND', { destination, receipt: 'send' })
    client.send('SEND', { destination })
    await client.until(() => client.frames.length >= 4)
    const ids = client.frames
      .filter(({ command }) => command === 'MESSAGE')
      .map(({ headers }) => (headers.ack ?? headers['message-id']) as string)
    const settle = (command: string, id: string | undefined, headers: Record<string, string>): void =>
      client.send(command, {
        ...(version === '1.2' ? { id: id ?? '' } : { 'message-id': id ?? '', subscription: 's' }),
        ...headers,
      })
    settle('ACK', ids[0], { receipt: 'ack' })
    settle('ACK', ids[0], { receipt: 'late ack' })
    client.send('BEGIN', { transaction: 't', receipt: 'begin' })
    client.send('SEND', { destination: '/topic/receipt', transaction: 't', receipt: 'send in it' })
    settle('NACK', ids[1], { transaction: 't', receipt: 'nack in it' })
    client.send('ABORT', { transaction: 't', receipt: 'abort' })
    client.send('BEGIN', { transaction: 'u' })
    client.send('COMMIT', { transaction: 'u', receipt: 'commit' })
    settle('NACK', ids[1], { receipt: 'nack' })
    client.send('UNSUBSCRIBE', { id: 's', receipt: 'unsubscribe' })
    client.send('DISCONNECT', { receipt: 'disconnect' })
    await client.until(() => receipts(client).includes('disconnect'))
    expect(receipts(client)).toEqual([
      'subscribe',
      'send',
      'ack',
      'late ack',
      'begin',
      'send in it',
      'nack in it',
      'abort',
      'commit',
      'nack',
      'unsubscribe',
      'disconnect',
    ])
  })
})

test.each([
  ['1.2', 'a\\cb\\n\\r\\\\ c'],
  ['1.1', 'a\\cb\\n\\\\ c'],
  ['1.0', 'a:b\\n'],
])('%s RECEIPT: receipt-id is the value of the receipt header', async (version, receipt) => {
  const client = await RawClient.connected(broker, {}, version)
  client.send('SEND', { destination: '/topic/receipt', receipt })
  expect((await client.next('RECEIPT')).lines).toEqual([`receipt-id:${receipt}`])
})

test('contract 4.11: a RECEIPT for SEND means that it was routed: a topic`s subscribers have it before', async () => {
  const client = await RawClient.connected(broker)
  await client.request('SUBSCRIBE', { id: '0', destination: '/topic/receipt/routed' })
  client.send('SEND', { destination: '/topic/receipt/routed', receipt: 'r' })
  expect((await client.next()).command).toBe('MESSAGE')
  expect((await client.next()).command).toBe('RECEIPT')
})

describe('an engine that takes its time', () => {
  /** A broker whose commits wait, and a client which holds two messages of a queue. */
  async function slow(): Promise<{
    slow: TestBroker
    engine: TestEngine
    client: RawClient
    messages: RawFrame[]
  }> {
    const engine = new TestEngine()
    const slow = await startBroker({}, engine)
    const client = await RawClient.connected(slow)
    await client.request('SUBSCRIBE', { id: 's', destination: '/queue/a', ack: 'client-individual' })
    for (const body of ['1', '2']) client.send('SEND', { destination: '/queue/a' }, body)
    const messages = await client.take(2)
    engine.held = true
    return { slow, engine, client, messages }
  }

  /** A round trip that asks nothing of the engine. */
  async function fence(client: RawClient): Promise<void> {
    await client.request('UNSUBSCRIBE', { id: 'no such' })
  }

  test.each(['SEND', 'ACK', 'NACK', 'COMMIT'])(
    'invariant 1: a RECEIPT for %s is never sent before commit finished',
    async (command) => {
      const { slow: broker, engine, client, messages } = await slow()
      await client.request('BEGIN', { transaction: 't' })
      await client.request('SEND', { destination: '/queue/b', transaction: 't' })
      expect(engine.waiting).toHaveLength(0)
      client.send(command, {
        destination: '/queue/b',
        id: messages[0]?.headers.ack ?? '',
        ...(command === 'COMMIT' && { transaction: 't' }),
        receipt: 'after',
      })
      await fence(client)
      expect(engine.waiting).toHaveLength(1)
      expect(client.frames).toEqual([])
      engine.settle()
      await client.receipt('after')
      await broker.close()
    },
  )

  test('invariant 1: each of many pending SENDs has its own RECEIPT, when its own commit finished', async () => {
    const { slow: broker, engine, client } = await slow()
    for (const receipt of ['1', '2', '3']) client.send('SEND', { destination: '/queue/b', receipt })
    await fence(client)
    for (const receipt of ['1', '2', '3']) {
      expect(receipts(client)).toEqual([])
      engine.settle()
      await client.receipt(receipt)
      await fence(client)
    }
    await broker.close()
  })

  test.each(['SEND', 'ACK', 'NACK', 'COMMIT'])(
    'a rejected commit of %s is an ERROR with its receipt-id, close 1011; what it took returns to its queue',
    async (command) => {
      const { slow: broker, engine, client, messages } = await slow()
      const id = messages[0]?.headers.ack ?? ''
      await client.request('BEGIN', { transaction: 't' })
      if (command === 'COMMIT') await client.request('ACK', { id, transaction: 't' })
      client.send(command, {
        destination: '/queue/b',
        id,
        ...(command === 'COMMIT' && { transaction: 't' }),
        receipt: 'r',
      })
      await fence(client)
      engine.settle(new Error('the disk of 10.0.0.7 is full'))
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'internal error', 'receipt-id': 'r' })
      expect(error.body.toString()).not.toMatch(/10\.0\.0\.7|\bat /)
      expect(close.code).toBe(1011)
      expect(client.frames).toEqual([])
      expect(await engine.count('/queue/a')).toEqual({ ready: 2, unacked: 0 })
      engine.held = false
      const other = await RawClient.connected(broker)
      other.send('SUBSCRIBE', { id: '0', destination: '/queue/a' })
      const left = (await other.take(2)).map(({ body, headers }) => [body.toString(), headers.redelivered])
      expect(left).toEqual([
        ['1', 'true'],
        ['2', 'true'],
      ])
      await broker.close()
    },
  )

  test('1.2 DISCONNECT: its RECEIPT waits for every pending commit', async () => {
    const { slow: broker, engine, client } = await slow()
    client.send('SEND', { destination: '/queue/b', receipt: 'send' })
    client.send('DISCONNECT', { receipt: 'bye' })
    const other = await RawClient.connected(broker)
    await fence(other)
    expect(client.frames).toEqual([])
    engine.settle()
    expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('send')
    expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('bye')
    await broker.close()
  })

  test('a client that is gone leaves its pending commit alone', async () => {
    const { slow: broker, engine, client, messages } = await slow()
    client.send('ACK', { id: messages[0]?.headers.ack ?? '' })
    client.send('SEND', { destination: '/queue/b' }, 'sent')
    await fence(client)
    client.destroy()
    const other = await RawClient.connected(broker)
    while (broker.broker.stats.connections > 1) await fence(other)
    engine.settle()
    engine.settle()
    expect(await engine.count('/queue/a')).toEqual({ ready: 1, unacked: 0 })
    expect(await engine.count('/queue/b')).toEqual({ ready: 1, unacked: 0 })
    await broker.close()
  })

  test('what waits for commits is bounded: the broker stops reading a publisher above 4 MiB and goes on later', async () => {
    const { slow: broker, engine, client } = await slow()
    const body = Buffer.alloc(1024 * 1024, 'x')
    for (let index = 0; index < 8; index++) {
      client.send('SEND', { destination: '/queue/b', receipt: String(index) }, body)
    }
    const other = await RawClient.connected(broker)
    while (engine.waiting.length < 4) await fence(other)
    for (let round = 0; round < 20; round++) await fence(other)
    expect(engine.waiting.length).toBeLessThanOrEqual(5)
    for (let index = 0; index < 8; index++) {
      while (engine.waiting.length === 0) await fence(other)
      engine.settle()
      await client.receipt(String(index))
    }
    await broker.close()
  })
})
