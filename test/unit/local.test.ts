import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { LocalEngine } from '../../broker/engine/local.ts'
import { Message, NO_TERMS, type Terms } from '../../broker/model/message.ts'
import { Stats } from '../../broker/model/stats.ts'
import { parseDestination } from '../../broker/protocol/destination.ts'

const Q = '/queue/q'
let engine: LocalEngine

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
  engine = new LocalEngine(
    {
      maxQueueMessages: 10,
      maxQueueBytes: 1_000,
      maxDurableSubscriptions: 1,
      maxRetained: 1,
      maxDeliveries: 16,
      redeliveryDelay: 100,
      maxRedeliveryDelay: 1_000,
      deadLetters: true,
      overflow: () => 'refuse',
      prioritized: () => false,
    },
    new Stats(),
  )
  await engine.open({ deliver() {}, mint: () => 'minted' })
})
afterEach(async () => {
  await engine.close()
  vi.useRealTimers()
})

function send(terms: Partial<Terms>): void {
  const message = new Message('m', parseDestination(Q), new Map(), Buffer.alloc(1), 1, {
    ...NO_TERMS,
    ...terms,
  })
  void engine.commit([{ type: 'send', message }])
}

test.each([
  ['a delayed message', () => send({ delay: 60_000 })],
  ['a message that expires', () => send({ expires: Date.now() + 60_000 })],
  ['an idle life', () => engine.declare(Q, { idleLife: 60_000 })],
])('a removed queue leaves no timer behind for %s', (_what, act) => {
  act()
  expect(vi.getTimerCount()).toBe(1)
  engine.remove(Q)
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

test('a closed engine has no timer', async () => {
  send({ delay: 60_000, expires: Date.now() + 1_000 })
  await engine.close()
  expect(vi.getTimerCount()).toBe(0)
})

test('an error names the queue and the limit', () => {
  for (let count = 0; count < 10; count++) send({})
  expect(() => send({})).toThrow(/\/queue\/q .* 10 messages \(limit max-queue-messages\)/)
  engine.remove(Q)
  engine.declare(Q, { maxMessages: 0 })
  expect(() => send({})).toThrow(/\/queue\/q .* 0 messages \(a limit of its own\)/)
  engine.remove(Q)
  engine.declare(Q, { maxBytes: 0 })
  expect(() => send({})).toThrow(/\/queue\/q .* 1 more bytes \(a limit of its own, 0\)/)
})
