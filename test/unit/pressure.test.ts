import { expect, test } from 'vitest'
import { Pressure, type Burden } from '../../broker/core/pressure.ts'
import type { Slack } from '../../broker/core/slack.ts'
import { Stats } from '../../broker/model/stats.ts'
import type { StompError } from '../../broker/protocol/errors.ts'
import type { Connection } from '../../broker/transport/connection.ts'

const BUDGET = 1_000
const TOTAL = 2_500

/** A session with so much to be read. */
class Fake implements Burden {
  readonly connection: Connection
  readonly slack: Slack | undefined
  pressed = true
  ended = false
  buffered = 0
  kept: number
  terminated = false
  error = ''
  private readonly pressure: Pressure

  constructor(pressure: Pressure, kept = 0) {
    this.pressure = pressure
    this.kept = kept
    const lost = (): void => {
      pressure.add(-this.kept)
      this.kept = 0
    }
    const fake = this
    this.connection = {
      get buffered() {
        return fake.buffered
      },
      terminate: () => void (this.terminated = true),
    } as unknown as Connection
    this.slack = {
      get bytes() {
        return fake.kept
      },
      shed: lost,
    } as unknown as Slack
    pressure.add(kept)
  }

  /** So much waits now, and it is told. */
  fill(bytes: number): void {
    this.buffered = bytes
    this.pressure.weigh(this, bytes)
  }

  fail(reason: StompError): void {
    this.error = reason.message
    this.ended = true
    this.pressure.remove(this)
  }
}

function open(): { pressure: Pressure; stats: Stats; crowd: (count: number) => Fake[] } {
  const stats = new Stats()
  const pressure = new Pressure({ sendBudget: BUDGET, totalSendBudget: TOTAL }, stats)
  return { pressure, stats, crowd: (count) => Array.from({ length: count }, () => new Fake(pressure)) }
}
const ended = (all: readonly Fake[]): boolean[] => all.map((one) => one.ended)

test('one is ended at its own budget, met and crossed by one', () => {
  const { crowd, stats } = open()
  const [one] = crowd(1) as [Fake]
  one.fill(BUDGET)
  expect([one.ended, stats.slowConsumers]).toEqual([false, 0])
  one.fill(BUDGET + 1)
  expect([one.ended, stats.slowConsumers]).toEqual([true, 1])
  expect(one.error).toContain('limit send-budget')
})

test('those with the most are ended until all together are within the total, met and crossed by one', () => {
  const { crowd, stats } = open()
  const all = crowd(5) as [Fake, Fake, Fake, Fake, Fake]
  for (const [index, bytes] of [700, 900, 500, 300, 100].entries()) all[index as 0].fill(bytes) // 5 of 5
  expect(ended(all)).toEqual([false, false, false, false, false])
  all[4].fill(101)
  expect(ended(all)).toEqual([false, true, false, false, false])
  expect([all[1].error.includes('limit total-send-budget'), stats.slowConsumers]).toEqual([true, 1])
  // 901 are free again.
  all[4].fill(999)
  expect(ended(all)).toEqual([false, true, false, false, false])
  all[3].fill(302)
  expect(ended(all)).toEqual([false, true, false, false, true])
})

test('what was read meanwhile does not count', () => {
  const { crowd } = open()
  const all = crowd(4) as [Fake, Fake, Fake, Fake]
  for (const one of all.slice(0, 3)) one.fill(800)
  for (const one of all.slice(0, 2)) one.buffered = 400
  all[3].fill(800)
  expect(ended(all)).toEqual([false, false, false, false])
  all[2].fill(1_000)
  all[3].fill(701)
  expect(ended(all)).toEqual([false, false, true, false])
})

test('who is no longer pressed does not count', () => {
  const { crowd, pressure } = open()
  const all = crowd(4) as [Fake, Fake, Fake, Fake]
  for (const one of all.slice(0, 3)) one.fill(800)
  pressure.remove(all[0])
  pressure.remove(all[0])
  all[3].fill(800)
  expect(ended(all)).toEqual([false, false, false, false])
})

test('who may lose messages loses them rather than its connection', () => {
  const { crowd, pressure, stats } = open()
  const lenient = new Fake(pressure, 1_500)
  const all = crowd(2) as [Fake, Fake]
  lenient.fill(300)
  all[0].fill(600)
  all[1].fill(600)
  expect([lenient.kept, lenient.ended, ...ended(all)]).toEqual([0, false, false, false])
  expect(stats.slowConsumers).toBe(0)
  // What is kept counts before it is in any buffer.
  lenient.kept = 1_001
  pressure.add(1_001)
  expect([lenient.kept, lenient.ended, ...ended(all)]).toEqual([0, false, false, false])
})

test('many that are not pressed are found when all are visited', () => {
  const { crowd, pressure } = open()
  const all = crowd(30)
  for (const one of all) {
    one.pressed = false
    one.buffered = 100
  }
  const gone = all[7] as Fake // of 30
  gone.ended = true
  pressure.survey(2_500, all)
  expect(ended(all).filter(Boolean)).toHaveLength(1)
  pressure.survey(2_900, all)
  expect(ended(all).filter(Boolean)).toHaveLength(1 + 4)
  expect(gone.error).toBe('')
  // They are remembered together, as 2500.
  const more = new Fake(pressure)
  more.fill(1)
  expect(more.ended).toBe(true)
})

test('those that were ended get time to read why, but not all of them at once', () => {
  const { crowd, pressure } = open()
  const all = crowd(5) as [Fake, Fake, Fake, Fake, Fake]
  all[0].fill(1_001)
  all[1].fill(1_499)
  expect(all.map(({ terminated }) => terminated)).toEqual([false, false, false, false, false])
  all[2].fill(1_001)
  expect(all.map(({ terminated }) => terminated)).toEqual([true, false, false, false, false])
  pressure.forget(all[1])
  all[3].fill(1_499)
  expect(all.map(({ terminated }) => terminated)).toEqual([true, false, false, false, false])
})
