import { expect, test } from 'vitest'
import { Allowance } from '../../broker/core/allowance.ts'

/** Asks for one message after another, as long as it may. */
class Asker {
  asked = 0
  private readonly allowance: Allowance

  constructor(allowance: Allowance) {
    this.allowance = allowance
  }

  resume(): void {
    if (this.allowance.admits(this)) this.asked++
  }
}

function full(): { allowance: Allowance; askers: [Asker, Asker, Asker] } {
  const allowance = new Allowance({ maxUnacked: 2 })
  allowance.take()
  allowance.take()
  const askers: [Asker, Asker, Asker] = [new Asker(allowance), new Asker(allowance), new Asker(allowance)]
  for (const asker of askers) asker.resume()
  return { allowance, askers }
}

test('those that have nothing to hand out keep nobody waiting', () => {
  const { allowance, askers } = full()
  expect(askers.map(({ asked }) => asked)).toEqual([0, 0, 0])
  allowance.free(1)
  expect(askers.map(({ asked }) => asked)).toEqual([1, 1, 1])
  // Each once.
  allowance.free(1)
  expect(askers.map(({ asked }) => asked)).toEqual([1, 1, 1])
})

test('what is handed out meanwhile keeps the others waiting, in their order', () => {
  const { allowance, askers } = full()
  const [first, second, third] = askers
  first.resume = () => {
    allowance.take()
    expect(allowance.admits(first)).toBe(false)
  }
  allowance.free(1)
  expect([second.asked, third.asked]).toEqual([0, 0])
  allowance.leave(first)
  allowance.free(1)
  expect([second.asked, third.asked]).toEqual([1, 1])
})

test('one that was closed is forgotten', () => {
  const { allowance, askers } = full()
  allowance.leave(askers[1])
  allowance.free(1)
  expect(askers.map(({ asked }) => asked)).toEqual([1, 0, 1])
})
