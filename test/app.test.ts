import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { fresh, startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { RawClient } from './helpers/client.ts'

/** Answers of `/app/slow`, oldest first. */
const waiting: { resolve(value: unknown): void; reject(error: Error): void }[] = []
const refusing = vi.fn(() => Promise.reject(new Error('secret')))
const engine = new TestEngine()
let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker(
    {
      app: {
        '/app/slow': () => new Promise((resolve, reject) => waiting.push({ resolve, reject })),
        '/app/never': () => new Promise(() => {}),
        '/app/refusing': refusing,
        '/app/throwing': () => {
          throw new Error('secret')
        },
      },
    },
    engine,
  )
})
beforeEach(() => {
  refusing.mockClear()
})
afterAll(() => broker.close())

test('a handler is not called for a SEND in a transaction, which is refused', async () => {
  const client = await RawClient.connected(broker)
  await client.request('BEGIN', { transaction: 't' })
  client.send('SEND', { destination: '/app/refusing', transaction: 't', receipt: 'r' })
  const { error } = await client.refusal()
  expect(error.headers).toMatchObject({ message: 'unsupported destination', 'receipt-id': 'r' })
  expect(refusing).not.toHaveBeenCalled()
})

test('two handlers that fail are one ERROR, and no message of the same SEND is sent', async () => {
  const client = await RawClient.connected(broker)
  const queue = fresh('queue')
  client.send('SEND', { destination: `${queue},/app/refusing,/app/throwing`, receipt: 'r' })
  const { error } = await client.refusal()
  expect(error.headers).toMatchObject({ message: 'application failed', 'receipt-id': 'r' })
  expect(error.body.toString()).not.toContain('secret')
  expect(await engine.count(queue)).toEqual({ ready: 0, unacked: 0 })
})

test('what is refused is not handled: a pattern beside a handler', async () => {
  const client = await RawClient.connected(broker)
  client.send('SEND', { destination: '/app/refusing,/topic/*' })
  await client.refusal()
  expect(refusing).not.toHaveBeenCalled()
})

test.each(['resolves', 'rejects'])(
  'an answer that %s after UNSUBSCRIBE is for nobody, and its id is free',
  async (how) => {
    const client = await RawClient.connected(broker, { 'x-error-scope': 'frame' })
    const destination = fresh('queue')
    client.send('SUBSCRIBE', { id: '1', destination: '/app/slow' })
    client.send('UNSUBSCRIBE', { id: '1' })
    await client.request('SUBSCRIBE', { id: '1', destination })
    if (how === 'resolves') waiting.shift()?.resolve('late')
    else waiting.shift()?.reject(new Error('late'))
    if (how === 'rejects') expect((await client.next('ERROR')).headers.message).toBe('application failed')
    await client.request('SEND', { destination }, 'work')
    expect(await client.bodies(1)).toEqual(['work'])
    // The subscription ends with its client, and takes no message with it.
    await client.request('DISCONNECT')
    const next = await RawClient.connected(broker)
    await next.request('SUBSCRIBE', { id: '0', destination })
    for (const body of ['1', '2']) await next.request('SEND', { destination }, body)
    expect(await next.bodies(2)).toEqual(['1', '2'])
  },
)

test('DISCONNECT does not wait for ever for a handler', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'performance'] })
  try {
    const own = await startBroker({ app: { '/app/never': () => new Promise(() => {}) } })
    const client = await RawClient.connected(own)
    client.send('SEND', { destination: '/app/never' })
    client.send('DISCONNECT', { receipt: 'bye' })
    while (own.broker.stats.published === 0) await new Promise((resolve) => setImmediate(resolve))
    let ended = false
    void client.closed.then(() => (ended = true))
    while (!ended) {
      vi.advanceTimersByTime(250)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await own.close()
  } finally {
    vi.useRealTimers()
  }
})
