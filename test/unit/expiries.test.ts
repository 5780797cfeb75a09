import { expect, test } from 'vitest'
import { Expiries } from '../../broker/engine/expiries.ts'

interface Item {
  readonly expires: number
  alive: boolean
}

function itemOf(expires: number): Item {
  return { expires, alive: true }
}

test('what has expired is taken, soonest first, and what is gone is passed over', () => {
  const expiries = new Expiries<Item>(({ alive }) => alive)
  const items = [30, 10, 20, 40].map(itemOf)
  for (const item of items) expiries.add(item)
  for (const item of items.filter(({ expires }) => expires === 10)) {
    item.alive = false
    expiries.forget()
  }
  expect(expiries.next).toBe(20)
  expect(expiries.take(19)).toBeUndefined()
  expect(expiries.take(30)?.expires).toBe(20)
  expect(expiries.take(30)?.expires).toBe(30)
  expect(expiries.take(30)).toBeUndefined()
  expect(expiries.next).toBe(40)
})

test('what is gone is let go of long before its time', () => {
  let asked = 0
  const expiries = new Expiries<Item>(({ alive }) => {
    asked++
    return alive
  })
  const items = Array.from({ length: 1_000 }, (_, index) => itemOf(1e12 + index))
  for (const item of items) expiries.add(item)
  for (const item of items) {
    item.alive = false
    expiries.forget()
  }
  // Every half of what is left is searched once: all that was there, about twice.
  expect(asked).toBeGreaterThan(0)
  expect(asked).toBeLessThan(3_000)
  expect(expiries.next).toBeUndefined()
})
