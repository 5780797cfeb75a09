import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Subscriptions } from '../../broker/model/subscriptions.ts'
import { interestKey, parsePattern } from '../../broker/protocol/pattern.ts'
import type { Interest, Pattern, Separator } from '../../broker/protocol/pattern.ts'
import { naive } from '../protocol/oracle.ts'

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

const pattern = (text: string, separator: Separator = 'auto'): Pattern => parsePattern(text, separator)

test('a pattern has its first and last, told once each, however it was written', () => {
  const subscriptions = new Subscriptions<string>()
  expect(subscriptions.add(pattern('/topic/a.#'), 'x')).toBe(true)
  expect(subscriptions.add(pattern('/topic/a.#'), 'x')).toBe(false)
  expect(subscriptions.add(pattern('/topic/a.>'), 'y')).toBe(false)
  // The other separator makes it another pattern.
  expect(subscriptions.add(pattern('/topic/a.*'), 'x')).toBe(true)
  expect(subscriptions.add(pattern('/topic/a.*', '/'), 'x')).toBe(true)
  expect(subscriptions.remove(pattern('/topic/a.b'), 'x')).toBe(false)
  expect(subscriptions.remove(pattern('/other/a.#'), 'x')).toBe(false)
  expect(subscriptions.remove(pattern('/topic/a.#.b'), 'x')).toBe(false)
  expect(subscriptions.remove(pattern('/topic/a.#'), 'x')).toBe(false)
  expect(subscriptions.remove(pattern('/topic/a.#'), 'stranger')).toBe(false)
  expect(subscriptions.match('/topic/a')).toEqual(['y'])
  expect(subscriptions.remove(pattern('/topic/a.**'), 'y')).toBe(true)
  expect(subscriptions.remove(pattern('/topic/a.**'), 'y')).toBe(false)
  expect(subscriptions.match('/topic/a')).toEqual([])
})

test('names come before patterns, older before younger, and nobody twice', () => {
  const subscriptions = new Subscriptions<string>()
  subscriptions.add(pattern('/topic/#'), 'rest')
  subscriptions.add(pattern('/topic/a/*'), 'slashed')
  subscriptions.add(pattern('/topic/**'), 'rest too')
  subscriptions.add(pattern('/topic/a/?'), 'all')
  subscriptions.add('/topic/a/b', 'late')
  subscriptions.add('/topic/a/b', 'all')
  subscriptions.add('/topic/a/b', 'rest too')
  subscriptions.add(pattern('/topic/a/**'), 'slashed')
  subscriptions.add('/topic/c', 'c')
  expect(subscriptions.match('/topic/a/b')).toEqual(['late', 'all', 'rest too', 'rest', 'slashed'])
  // A pattern that was gone is young when it is back.
  subscriptions.remove(pattern('/topic/#'), 'rest')
  subscriptions.remove(pattern('/topic/#'), 'rest too')
  subscriptions.add(pattern('/topic/#'), 'rest')
  expect(subscriptions.match('/topic/a/b')).toEqual(['late', 'all', 'rest too', 'slashed', 'rest'])
  expect(subscriptions.match('/topic/a/c')).toEqual(['slashed', 'all', 'rest'])
})

test('with patterns about, a snapshot lasts until something changes that matters to it', () => {
  const subscriptions = new Subscriptions<string>()
  subscriptions.add(pattern('/topic/*'), 'x')
  subscriptions.add(pattern('/topic/a*'), 'y')
  for (const name of ['/topic/a', '/topic/b']) subscriptions.add(name, 'z')
  const [a, b, ac, none] = ['/topic/a', '/topic/b', '/topic/ac', '/sub/a'].map((name) =>
    subscriptions.match(name),
  )
  subscriptions.add('/topic/b', 'w')
  subscriptions.remove('/topic/b', 'z')
  subscriptions.add('/topic/new', 'w')
  expect(subscriptions.match('/topic/a')).toBe(a)
  expect(subscriptions.match('/topic/ac')).toBe(ac)
  expect(subscriptions.match('/sub/a')).toBe(none)
  expect(subscriptions.match('/topic/b')).toEqual(['w', 'x'])
  expect(b).toEqual(['z', 'x'])
  expect(subscriptions.match('/topic/new')).toEqual(['w', 'x'])
  subscriptions.remove(pattern('/topic/a*'), 'y')
  expect(subscriptions.match('/topic/a')).toEqual(['z', 'x'])
  expect(a).toEqual(['z', 'x', 'y'])
})

test('what was found is remembered for so many names and so many bytes, not for all', () => {
  const subscriptions = new Subscriptions<number>()
  subscriptions.add(pattern('/topic/#'), 0)
  subscriptions.add(pattern('/topic/**', '/'), 1)
  const first = subscriptions.match('/topic/first')
  for (let index = 0; index < 99_999; index++) subscriptions.match(`/topic/${index}`)
  expect(subscriptions.match('/topic/first')).toBe(first)
  subscriptions.match('/topic/last')
  expect(subscriptions.match('/topic/first')).not.toBe(first)
  expect(subscriptions.match('/topic/first')).toEqual(first)

  for (let index = 2; index < 20_000; index++) subscriptions.add(pattern('/topic/#'), index)
  const again = subscriptions.match('/topic/first')
  for (let index = 0; index < 61; index++) subscriptions.match(`/topic/${index}`)
  expect(subscriptions.match('/topic/first')).toBe(again)
  // A name whose own listeners come and go takes its own place again.
  for (let index = 0; index < 100; index++) {
    subscriptions.add('/topic/1', index)
    subscriptions.match('/topic/1')
  }
  expect(subscriptions.match('/topic/first')).toBe(again)
  subscriptions.match('/topic/last')
  expect(subscriptions.match('/topic/first')).not.toBe(again)

  // One array for all names: it weighs nothing.
  subscriptions.remove(pattern('/topic/**', '/'), 1)
  subscriptions.add('/topic/own', 0)
  const own = subscriptions.match('/topic/own')
  const shared = subscriptions.match('/topic/first')
  for (let index = 2; index < 1_000; index++) {
    expect(subscriptions.match(`/topic/${index}`)).toBe(shared)
  }
  expect(subscriptions.match('/topic/own')).toBe(own)
})

const letters = ['a', 'b', '😀', '.', '/']

const patterns = fc.constantFrom('.' as const, '/' as const).chain((separator) => {
  const inside = [...letters.filter((letter) => letter !== separator), '*', '?']
  const segment = fc.oneof(
    fc.constantFrom('*', '#', '**', 'a'),
    fc.array(fc.constantFrom(...inside), { maxLength: 4 }).map((each) => each.join('')),
  )
  return fc
    .tuple(
      fc.constantFrom('/t/', '/t/', '/t/', '/exchange/x/'),
      fc.array(segment, { minLength: 1, maxLength: 3 }),
      fc.constantFrom('', '', `${separator}>`),
    )
    .map(([prefix, segments, end]) => pattern(prefix + segments.join(separator) + end, separator))
})

const names = fc
  .tuple(
    fc.constantFrom('/t/', '/t/', '/t/', '/exchange/x/'),
    fc.array(fc.constantFrom('a', ...letters), { maxLength: 5 }),
  )
  .map(([prefix, rest]) => prefix + rest.join(''))

test('any sequence of names and patterns agrees with a naive list', () => {
  let matches = 0
  const world = fc.tuple(
    fc.uniqueArray(patterns, { minLength: 4, maxLength: 8, selector: interestKey }),
    fc.uniqueArray(names, { minLength: 4, maxLength: 8 }),
    fc.array(fc.tuple(fc.boolean(), fc.boolean(), fc.nat(7), fc.nat(3)), { minLength: 10, maxLength: 40 }),
  )
  fc.assert(
    fc.property(world, ([wild, plain, steps]) => {
      const subscriptions = new Subscriptions<number>()
      const by = new Map(
        plain.map((name) => [name, wild.filter((each) => naive(each.text, each.separator, name))]),
      )
      // In the order in which they came, each with those who came for it.
      const naively = new Map<Interest, number[]>()
      const expected = (name: string): number[] => {
        const found = [...(naively.get(name) ?? [])]
        for (const [interest, members] of naively) {
          if (typeof interest === 'string' || !by.get(name)?.includes(interest)) continue
          matches++
          found.push(...members)
        }
        return [...new Set(found)]
      }
      const snapshots: { list: readonly number[]; copy: readonly number[] }[] = []
      let before: (readonly number[])[] = []
      for (const [adding, wildly, which, who] of steps) {
        const list: readonly Interest[] = wildly ? wild : plain
        const interest = list[which % list.length] ?? ''
        const members = naively.get(interest) ?? []
        if (adding) {
          expect(subscriptions.add(interest, who)).toBe(members.length === 0)
          naively.set(interest, members.includes(who) ? members : [...members, who])
        } else {
          const left = members.filter((member) => member !== who)
          expect(subscriptions.remove(interest, who)).toBe(members.length === 1 && left.length === 0)
          if (left.length > 0) naively.set(interest, left)
          else naively.delete(interest)
        }
        const after = plain.map((name) => subscriptions.match(name))
        expect(after).toEqual(plain.map(expected))
        for (const [index, list] of after.entries()) {
          expect(subscriptions.match(plain[index] ?? '')).toBe(list)
          // A pattern may change how every name is looked up, a name only itself.
          if (!wildly && plain[index] !== interest && before.length > 0) expect(list).toBe(before[index])
          snapshots.push({ list, copy: [...list] })
        }
        before = after
      }
      expect(snapshots.map(({ list }) => list)).toEqual(snapshots.map(({ copy }) => copy))
      for (const [interest, members] of naively) {
        for (const member of members) subscriptions.remove(interest, member)
      }
      expect(subscriptions.size).toBe(0)
      expect(plain.flatMap((name) => subscriptions.match(name))).toEqual([])
    }),
    { numRuns: 150 },
  )
  // Else it would prove nothing.
  expect(matches).toBeGreaterThan(1000)
})

test('what leads to other patterns stays when one goes, and nothing stays after the last', () => {
  const subscriptions = new Subscriptions<string>()
  const texts = [
    '/t/a.b.c',
    '/t/a.b',
    '/t/a.*.c',
    '/t/a.#.c',
    '/t/a.x*.c',
    '/t/a.*x.c',
    '/t/a.x*y',
    '/t/a.x*z',
    '/t/a.y*',
  ]
  for (const text of texts) subscriptions.add(pattern(text), text)
  // Root, a, b, c, then two more for each of four, then one for each of three.
  expect(subscriptions.size).toBe(15)
  const names = ['/t/a.b.c', '/t/a.b', '/t/a.c', '/t/a.xx.c', '/t/a.xy', '/t/a.xz', '/t/a.yy']
  const left = new Set(texts)
  for (const text of texts) {
    expect(subscriptions.remove(pattern(text), text)).toBe(true)
    left.delete(text)
    for (const name of names) {
      expect(subscriptions.match(name)).toEqual([...left].filter((each) => naive(each, '.', name)))
    }
  }
  expect(subscriptions.size).toBe(0)
})

describe('many patterns, and hostile ones, come to an end', () => {
  test('globs are found by the letters they begin or end with', () => {
    const subscriptions = new Subscriptions<number>()
    const count = 20_000
    for (let index = 0; index < count; index += 2) {
      subscriptions.add(pattern(`/topic/room-${index}-*`), index)
      subscriptions.add(pattern(`/topic/*-${index + 1}-hall`), index + 1)
    }
    // All by all would be hundreds of millions of comparisons.
    for (let index = 0; index < count; index += 2) {
      expect(subscriptions.match(`/topic/room-${index}-x`)).toEqual([index])
      expect(subscriptions.match(`/topic/x-${index + 1}-hall`)).toEqual([index + 1])
    }
  })

  test('each node is reached once a segment', () => {
    const subscriptions = new Subscriptions<string>()
    const wilds = ['#', '#.*', '#.a*', '#.*.#', '*.#', 'a.#', '#.?']
    for (const wild of wilds) {
      const text = `/t/${`${wild}.a.`.repeat(16).split('.').slice(0, 15).join('.')}`
      subscriptions.add(pattern(`${text}.b`), 'never')
      subscriptions.add(pattern(`${text}.#`), wild)
    }
    expect(subscriptions.match(`/t/${'a.'.repeat(10_000)}a`)).toEqual(wilds)
  })

  test('globs do not multiply their stars', () => {
    const subscriptions = new Subscriptions<string>()
    for (let index = 1; index <= 20; index++) {
      subscriptions.add(pattern(`/t/${'*a'.repeat(index)}*b`), 'never')
      subscriptions.add(pattern(`/t/${'*?a'.repeat(index)}*a*`), 'ever')
    }
    expect(subscriptions.match(`/t/${'a'.repeat(5000)}`)).toEqual(['ever'])
  })
})
