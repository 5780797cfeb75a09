import { afterEach, describe, expect, test } from 'vitest'
import { startBroker, type TestBroker } from './helpers/broker.ts'
import { frame, RawClient } from './helpers/client.ts'

let broker: TestBroker
afterEach(() => broker.close())

describe('max-queues', () => {
  test('a queue more is refused, whoever would make it, and one that ends leaves its place', async () => {
    broker = await startBroker({ maxQueues: 2 })
    const client = await RawClient.connected(broker)
    await client.request('SEND', { destination: '/queue/a' })
    await client.request('SUBSCRIBE', { id: 'b', destination: '/queue/b' })
    // Those that are there are as open as ever.
    await client.request('SEND', { destination: '/queue/a' })
    for (const [command, headers] of [
      ['SEND', { destination: '/queue/c' }],
      ['SUBSCRIBE', { id: 'c', destination: '/queue/c' }],
      ['SUBSCRIBE', { id: 'c', destination: '/topic/t', durable: 'name' }],
    ] as const) {
      const other = await RawClient.connected(broker)
      other.send(command, { ...headers, receipt: 'r' })
      const { error, close } = await other.refusal()
      expect(error.headers).toMatchObject({ message: 'too many queues', 'receipt-id': 'r' })
      expect(error.body.toString()).toContain('limit max-queues')
      expect(close.code).toBe(1008)
    }
    await client.request('UNSUBSCRIBE', { id: 'b' })
    await client.request('SEND', { destination: '/queue/c' })
  })

  test('a dead letter whose queue would be one too many stays where it is', async () => {
    broker = await startBroker({ maxQueues: 1, maxRedeliveryDelay: 100_000 })
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: '0', destination: '/queue/a', ack: 'client' })
    await client.request('SEND', { destination: '/queue/a' })
    const [message] = await client.take(1)
    await client.request('NACK', { id: message?.headers.ack ?? '', requeue: 'false' })
    expect(await broker.broker.queues()).toMatchObject([{ queue: '/queue/a', ready: 1 }])
  })
})

describe('max-memory', () => {
  const MIB = 1024 * 1024
  /** A SEND that counts for `size` bytes: 256, 64 for each header, and its own. */
  const sized = (destination: string, size: number): [Record<string, string>, string] => {
    const headers = { destination, receipt: 'r' }
    const overhead = 256 + 64 * Object.keys(headers).length
    return [headers, 'x'.repeat(size - overhead - frame('SEND', headers).length)]
  }

  test('bounds what waits in all queues together, to the byte', async () => {
    broker = await startBroker({ maxMemory: MIB })
    const client = await RawClient.connected(broker)
    const first = sized('/queue/a', MIB - 2_000)
    client.send('SEND', ...first)
    await client.receipt('r')
    client.send('SEND', ...sized('/queue/b', 2_000))
    await client.receipt('r')
    client.send('SEND', ...sized('/queue/c', 500))
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'no room in memory', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain(`limit max-memory, ${MIB}`)
    expect(close.code).toBe(1008)
    // What is taken makes room.
    const other = await RawClient.connected(broker)
    await other.request('SUBSCRIBE', { id: '0', destination: '/queue/b' })
    await other.take(1)
    other.send('SEND', ...sized('/queue/c', 2_000))
    await other.receipt('r')
    other.send('SEND', ...sized('/queue/c', 500))
    expect((await other.refusal()).error.headers.message).toBe('no room in memory')
  })
})
