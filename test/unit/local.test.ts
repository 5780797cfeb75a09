import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Made } from '../../broker/model/content.ts'
import { LocalEngine } from '../../broker/engine/local.ts'
import { Message, NO_TERMS, type Terms } from '../../broker/model/message.ts'
import { Stats } from '../../broker/model/stats.ts'
import { parseDestination } from '../helpers/destination.ts'

const Q = '/queue/q'
const DLQ = '/queue/DLQ.q'
let engine: LocalEngine
let stats: Stats

async function open(maxQueueMessages: number): Promise<void> {
  stats = new Stats()
  engine = new LocalEngine(
    {
      maxQueueMessages,
      maxQueues: 1_000,
      maxMemory: 1_000_000,
      maxQueueBytes: 100 * maxQueueMessages,
      maxDurableSubscriptions: 1,
      maxRetained: 1,
      maxDeliveries: 16,
      redeliveryDelay: 100,
      maxRedeliveryDelay: 1_000,
      deadLetters: true,
      overflow: () => 'refuse',
      prioritized: () => false,
    },
    stats,
  )
  await engine.open({ deliver() {}, mint: () => 'minted' })
}

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
  await open(10)
})
afterEach(async () => {
  await engine.close()
  vi.useRealTimers()
})

function refTo(message: Message): WeakRef<Message> {
  return new WeakRef(message)
}

function send(terms: Partial<Terms>, to = Q): WeakRef<Message> {
  const message = new Message('m', parseDestination(to), new Made(new Map(), Buffer.alloc(1)), 1, {
    ...NO_TERMS,
    ...terms,
  })
  void engine.commit([{ type: 'send', message }])
  return refTo(message)
}

test.each([
  ['a delayed message', () => send({ delay: 60_000 })],
  ['a message that expires', () => send({ expires: Date.now() + 60_000 })],
  ['an idle life', () => engine.declare(Q, { idleLife: 60_000 })],
])('a removed queue leaves no timer behind for %s', (_what, act) => {
  void act()
  expect(vi.getTimerCount()).toBe(1)
  void engine.remove(Q)
  expect(vi.getTimerCount()).toBe(0)
})

test('a delayed message that has expired leaves no timer behind', () => {
  send({ delay: 60_000, expires: Date.now() + 1_000 })
  vi.advanceTimersByTime(1_500)
  expect(vi.getTimerCount()).toBe(0)
})

test('what expires is searched for no more often than once a second', () => {
  for (let life = 100; life <= 1_000; life += 100) send({ expires: Date.now() + life })
  const timers = vi.spyOn(globalThis, 'setTimeout')
  vi.advanceTimersByTime(1_100)
  expect(timers).toHaveBeenCalledTimes(1)
  expect(vi.getTimerCount()).toBe(0)
  timers.mockRestore()
})

test('many that expire at once do so in several turns of the event loop', async () => {
  await engine.close()
  await open(10_000)
  for (let count = 0; count < 3_000; count++) send({ expires: Date.now() + 100 })
  vi.advanceTimersByTime(100)
  expect(stats.expired).toBeGreaterThan(0)
  expect(stats.expired).toBeLessThan(1_500)
  // The rest does not wait for the next search.
  vi.advanceTimersByTime(10)
  expect(stats.expired).toBe(3_000)
  expect(await engine.inspect()).toEqual([])
  expect(vi.getTimerCount()).toBe(0)
})

test('an expired message that waits for its dead letters stays so when the clock is set back', async () => {
  void engine.declare(Q, { lasting: true, deadLetters: parseDestination(DLQ) })
  void engine.declare(DLQ, { lasting: true, maxMessages: 1 })
  send({}, DLQ)
  const start = Date.now()
  send({ expires: start + 100 })
  send({})
  send({})
  vi.advanceTimersByTime(200)
  vi.setSystemTime(start - 10_000)
  vi.advanceTimersByTime(5_000)
  const pages: number[] = []
  for await (const page of engine.browse(Q)) pages.push(page.length)
  expect(pages).toEqual([2])
  expect(await engine.inspect()).toMatchObject([
    { queue: Q, ready: 3 },
    { queue: DLQ, ready: 1 },
  ])
  void engine.remove(DLQ)
  vi.setSystemTime(start - 10_000)
  vi.advanceTimersByTime(5_000)
  expect(await engine.inspect()).toMatchObject([
    { queue: Q, ready: 2 },
    { queue: DLQ, ready: 1 },
  ])
})

/** Those of the objects that are still in memory. */
async function remaining(refs: readonly WeakRef<object>[]): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  await new Promise(setImmediate)
  collect()
  return refs.filter((ref) => ref.deref() !== undefined).length
}

test('what is retained is not what subscribers rendered', async () => {
  const refs = [send({ retain: 'set' }, '/topic/t'), ...engine.retained('/topic/t').map(refTo)]
  expect(refs).toHaveLength(2)
  expect(await remaining(refs)).toBe(0)
  expect(engine.retained('/topic/t')).toHaveLength(1)
})

test('what was acked is not kept until its time is over', async () => {
  const refs: WeakRef<Message>[] = []
  engine
    .consume(Q, {
      auto: false,
      deliver: (delivery) => {
        refs.push(refTo(delivery.message))
        void engine.commit([{ type: 'ack', delivery }])
      },
    })
    .grant(100)
  for (let count = 0; count < 10; count++) send({ expires: Date.now() + 3_600_000 })
  expect(refs).toHaveLength(10)
  expect(await remaining(refs)).toBe(0)
})

test('a closed engine has no timer', async () => {
  send({ delay: 60_000, expires: Date.now() + 1_000 })
  await engine.close()
  expect(vi.getTimerCount()).toBe(0)
})

test('an error names the queue and the limit', () => {
  for (let count = 0; count < 10; count++) send({})
  expect(() => send({})).toThrow(/\/queue\/q .* 10 messages \(limit max-queue-messages\)/)
  void engine.remove(Q)
  void engine.declare(Q, { maxMessages: 0 })
  expect(() => send({})).toThrow(/\/queue\/q .* 0 messages \(a limit of its own\)/)
  void engine.remove(Q)
  void engine.declare(Q, { maxBytes: 0 })
  expect(() => send({})).toThrow(/\/queue\/q .* 1 more bytes \(a limit of its own, 0\)/)
})
