import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Subscriptions } from '../../broker/model/subscriptions.ts'

test('first and last are told, once each', () => {
  const subscriptions = new Subscriptions<string>()
  expect(subscriptions.add('/topic/a', 'x')).toBe(true)
  expect(subscriptions.add('/topic/a', 'y')).toBe(false)
  expect(subscriptions.add('/topic/b', 'x')).toBe(true)
  expect(subscriptions.remove('/topic/a', 'x')).toBe(false)
  expect(subscriptions.remove('/topic/a', 'y')).toBe(true)
  expect(subscriptions.remove('/topic/a', 'y')).toBe(false)
  expect(subscriptions.match('/topic/b')).toEqual(['x'])
})

test('a snapshot is never changed: who comes or goes during a delivery loop changes the next one', () => {
  const subscriptions = new Subscriptions<string>()
  for (const name of ['x', 'y']) subscriptions.add('/topic/a', name)
  const before = subscriptions.match('/topic/a')
  expect(subscriptions.match('/topic/a')).toBe(before)
  subscriptions.add('/topic/a', 'z')
  subscriptions.remove('/topic/a', 'x')
  expect(before).toEqual(['x', 'y'])
  expect(subscriptions.match('/topic/a')).toEqual(['y', 'z'])
})

test('any sequence agrees with a naive list, and leaves every snapshot as it was', () => {
  const name = fc.constantFrom('/topic/a', '/topic/b', '/topic/a/b', '__proto__')
  const step = fc.tuple(fc.constantFrom('add' as const, 'remove' as const), name, fc.nat(3))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const subscriptions = new Subscriptions<number>()
      let naive: [string, number][] = []
      const of = (wanted: string): number[] => naive.filter(([at]) => at === wanted).map(([, who]) => who)
      const snapshots: { list: readonly number[]; copy: readonly number[] }[] = []
      for (const [action, at, who] of steps) {
        const before = of(at)
        naive = naive.filter(
          ([pattern, subscriber]) => pattern !== at || subscriber !== who || action === 'add',
        )
        if (action === 'add') {
          if (!before.includes(who)) naive.push([at, who])
          expect(subscriptions.add(at, who)).toBe(before.length === 0)
        } else {
          expect(subscriptions.remove(at, who)).toBe(before.length === 1 && before[0] === who)
        }
        for (const each of ['/topic/a', '/topic/b', '/topic/a/b', '__proto__', '/topic/none']) {
          const list = subscriptions.match(each)
          expect(list).toEqual(of(each))
          snapshots.push({ list, copy: [...list] })
        }
      }
      for (const { list, copy } of snapshots) expect(list).toEqual(copy)
    }),
  )
})
