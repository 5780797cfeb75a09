import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Schedule } from '../../broker/engine/schedule.ts'

const clocks = ['setTimeout', 'clearTimeout', 'Date', 'performance'] as const
let schedule: Schedule
let log: string[]

beforeEach(() => {
  vi.useFakeTimers({ toFake: [...clocks] })
  log = []
  schedule = new Schedule(() => log.push('after'))
})
afterEach(() => {
  schedule.close()
  vi.useRealTimers()
})

function add(delay: number, name: string): { cancel(): void } {
  return schedule.add(delay, () => log.push(name))
}

test('tasks run in order of their time, and those of one time as they were added', () => {
  add(20, 'b')
  add(10, 'a')
  add(20, 'c')
  vi.advanceTimersByTime(10)
  expect(log).toEqual(['a', 'after'])
  vi.advanceTimersByTime(10)
  expect(log).toEqual(['a', 'after', 'b', 'c', 'after'])
  expect(vi.getTimerCount()).toBe(0)
})

test('there is one timer, and none when nothing is to come', () => {
  const tasks = [30, 20, 10].map((delay) => add(delay, 'never'))
  expect(vi.getTimerCount()).toBe(1)
  for (const task of tasks) task.cancel()
  expect(vi.getTimerCount()).toBe(0)
})

test('a cancelled task does not run, nor does it count twice', () => {
  const task = add(10, 'never')
  add(20, 'b')
  task.cancel()
  task.cancel()
  vi.advanceTimersByTime(20)
  expect(log.filter((name) => name !== 'after')).toEqual(['b'])
})

test('a task added from inside a task never runs inside it, even for no delay at all', () => {
  schedule.add(0, () => {
    add(0, 'inner')
    log.push('outer')
  })
  vi.advanceTimersByTime(1)
  expect(log).toEqual(['outer', 'after'])
  vi.advanceTimersByTime(1)
  expect(log).toEqual(['outer', 'after', 'inner', 'after'])
})

test('a delay longer than a timer can be is waited for in pieces', () => {
  const long = 3 * 2 ** 31
  add(long, 'late')
  vi.advanceTimersByTime(long - 1)
  expect(log).not.toContain('late')
  vi.advanceTimersByTime(1)
  expect(log).toContain('late')
})

test('setting the clock changes nothing', () => {
  add(1_000, 'a')
  vi.setSystemTime(Date.now() + 3_600_000)
  vi.advanceTimersByTime(999)
  expect(log).toEqual([])
  vi.advanceTimersByTime(1)
  expect(log).toEqual(['a', 'after'])
})

test('nothing runs after the close, and nothing is planned', () => {
  add(10, 'never')
  schedule.close()
  add(10, 'never')
  expect(vi.getTimerCount()).toBe(0)
  vi.advanceTimersByTime(100)
  expect(log).toEqual([])
})

test('a plan does not keep a process alive', () => {
  vi.useRealTimers()
  const spy = vi.spyOn(globalThis, 'setTimeout')
  const own = new Schedule(() => {})
  own.add(60_000, () => {})
  expect(spy.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef())).toEqual([false])
  own.close()
  spy.mockRestore()
})
