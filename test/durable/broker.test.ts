import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BrokerOptions } from '../../broker/options.ts'
import { startBroker, type TestBroker } from '../helpers/broker.ts'
import { look, RawClient } from '../helpers/client.ts'

let dataDir = ''
let broker: TestBroker

/** Begins, or ends and begins again on the same folder. */
async function start(options: BrokerOptions = {}): Promise<void> {
  broker = await startBroker({ dataDir, ...options })
}
async function restart(options: BrokerOptions = {}): Promise<void> {
  await broker.close()
  await start(options)
}
const client = (headers: Record<string, string> = {}): ReturnType<typeof RawClient.connected> =>
  RawClient.connected(broker, headers)

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'stomp-durable-'))
})
afterEach(async () => {
  await broker.close()
  await rm(dataDir, { recursive: true })
})

describe('what clients send', () => {
  test('is kept if they say so, and not otherwise', async () => {
    await start()
    const publisher = await client()
    await publisher.request('SEND', { destination: '/queue/q', persistent: 'true', 'x-a': 'ü' }, 'kept')
    await publisher.request('SEND', { destination: '/queue/q' }, 'gone')
    await publisher.request('SEND', { destination: '/queue/q', persistent: 'false' }, 'gone')
    await restart()
    const reader = await client()
    await reader.request('SUBSCRIBE', { id: '0', destination: '/queue/q', ack: 'client-individual' })
    const [message] = await reader.take(1)
    expect(message?.body.toString()).toBe('kept')
    expect(message?.headers).toMatchObject({
      destination: '/queue/q',
      persistent: 'true',
      'x-a': 'ü',
      'content-length': '4',
    })
    expect(message?.headers['redelivered']).toBe('false')
    await reader.request('ACK', { id: message?.headers['ack'] ?? '' })
    await restart()
    expect(await look(broker, '/queue/q')).toEqual([])
  })

  test('is kept with the option, unless they say otherwise', async () => {
    await start({ persistent: true })
    const publisher = await client()
    await publisher.request('SEND', { destination: '/queue/q' }, 'kept')
    await publisher.request('SEND', { destination: '/queue/q', persistent: 'true' }, 'kept too')
    await publisher.request('SEND', { destination: '/queue/q', persistent: 'false' }, 'gone')
    await restart()
    expect(await look(broker, '/queue/q')).toEqual(['kept', 'kept too'])
  })

  test('in a transaction is kept with its COMMIT, and not with its ABORT', async () => {
    await start()
    const publisher = await client()
    await publisher.request('SEND', { destination: '/queue/in', persistent: 'true' }, 'work')
    await publisher.request('SUBSCRIBE', { id: '0', destination: '/queue/in', ack: 'client-individual' })
    const [work] = await publisher.take(1)
    const ack = { id: work?.headers['ack'] ?? '' }
    await publisher.request('BEGIN', { transaction: 'a' })
    await publisher.request('ACK', { ...ack, transaction: 'a' })
    const send = { destination: '/queue/out', persistent: 'true' }
    await publisher.request('SEND', { ...send, transaction: 'a' }, 'aborted')
    await publisher.request('ABORT', { transaction: 'a' })
    await publisher.request('BEGIN', { transaction: 'b' })
    await publisher.request('SEND', { ...send, transaction: 'b' }, 'never committed')
    await restart()
    expect([await look(broker, '/queue/in'), await look(broker, '/queue/out')]).toEqual([['work'], []])
    const other = await client()
    await other.request('SUBSCRIBE', { id: '0', destination: '/queue/in', ack: 'client-individual' })
    const [again] = await other.take(1)
    expect(again?.headers['redelivered']).toBe('true')
    await other.request('BEGIN', { transaction: 'c' })
    await other.request('ACK', { id: again?.headers['ack'] ?? '', transaction: 'c' })
    await other.request('SEND', { ...send, transaction: 'c' }, 'done')
    await other.request('COMMIT', { transaction: 'c' })
    await restart()
    expect([await look(broker, '/queue/in'), await look(broker, '/queue/out')]).toEqual([[], ['done']])
  })

  test('comes with the attempt at which it was before', async () => {
    await start()
    const first = await client()
    await first.request('SEND', { destination: '/queue/q', persistent: 'true' }, '1')
    await first.request('SUBSCRIBE', { id: '0', destination: '/queue/q', ack: 'client-individual' })
    await first.take(1)
    await restart()
    const second = await client()
    await second.request('SUBSCRIBE', { id: '0', destination: '/queue/q', ack: 'client-individual' })
    const [message] = await second.take(1)
    expect(message?.headers).toMatchObject({ redelivered: 'true', 'delivery-count': '1' })
    await restart()
    expect(await look(broker, '/queue/q')).toEqual(['1'])
  })

  test('to topics that retain is retained', async () => {
    await start()
    const publisher = await client()
    await publisher.request('SEND', { destination: '/topic/t', retain: 'set' }, 'last')
    await restart()
    const reader = await client()
    await reader.request('SUBSCRIBE', { id: '0', destination: '/topic/t' })
    expect(await reader.bodies(1)).toEqual(['last'])
  })
})

describe('durable subscriptions', () => {
  test.each([
    [
      'RabbitMQ',
      {},
      { durable: 'true', 'auto-delete': 'false' },
      { durable: 'true', 'auto-delete': 'false' },
    ],
    [
      'ActiveMQ',
      { 'client-id': 'c' },
      { 'activemq.subscriptionName': 'n' },
      { 'activemq.subscriptionName': 'n' },
    ],
  ])(
    'of %s clients get what was sent while the broker was down and up again',
    async (_, login, headers, end) => {
      await start()
      const subscribe = {
        id: 'me',
        destination: '/topic/news.*',
        ack: 'client-individual',
        selector: "a = '1'",
        ...headers,
      }
      const before = await client(login)
      await before.request('SUBSCRIBE', subscribe)
      const send = { persistent: 'true', a: '1' }
      const publisher = await client()
      await publisher.request('SEND', { destination: '/topic/news.x', ...send }, '1')
      const [first] = await before.take(1)
      await before.request('ACK', { id: first?.headers['ack'] ?? '' })
      before.destroy()
      await publisher.request('SEND', { destination: '/topic/news.y', ...send }, '2')
      await restart()
      const other = await client()
      await other.request('SEND', { destination: '/topic/news.z', ...send }, '3')
      await other.request('SEND', { destination: '/topic/news.z', persistent: 'true', a: '2' }, 'not for it')
      await restart()
      const after = await client(login)
      await after.request('SUBSCRIBE', subscribe)
      expect(await after.bodies(2)).toEqual(['2', '3'])
      await after.request('UNSUBSCRIBE', { id: 'me', ...end })
      await restart()
      expect(await broker.broker.queues()).toEqual([])
    },
  )
})

describe('a folder', () => {
  test('is free again when the broker is closed, and when it could not listen', async () => {
    await start()
    const { port } = broker
    const other = await mkdtemp(join(tmpdir(), 'stomp-durable-'))
    await expect(startBroker({ dataDir: other, port })).rejects.toThrow('EADDRINUSE')
    const second = await startBroker({ dataDir: other })
    await second.close()
    await expect(startBroker({ dataDir })).rejects.toThrow('is in use by another stomp-broker')
    await rm(other, { recursive: true })
    await restart()
  })
})
