import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Latecomers } from '../../broker/engine/latecomers.ts'
import { Ranking } from '../../broker/engine/ranking.ts'
import { entryOf } from '../helpers/entry.ts'

test('a ranking of any size is a sorted list', () => {
  const ranks = fc.uniqueArray(fc.nat(5_000), { minLength: 1, maxLength: 3_000, size: 'max' })
  fc.assert(
    fc.property(ranks, fc.array(fc.nat(3_000)), fc.boolean(), (given, removals, ascending) => {
      const ranking = new Ranking()
      const entries = given.map((rank) => entryOf(rank + 1))
      if (ascending) entries.sort((a, b) => a.rank - b.rank)
      for (const entry of entries) ranking.insert(entry)
      const sorted = entries.toSorted((a, b) => a.rank - b.rank)
      for (const at of removals) {
        const [gone] = sorted.splice(at % sorted.length, 1)
        if (gone === undefined) break
        ranking.remove(gone)
        ranking.remove(gone)
      }
      expect(ranking.size).toBe(sorted.length)
      expect(ranking.page(0, Infinity)).toEqual(sorted)
      for (const rank of [0, 1, 700, 2_500, 5_001]) {
        expect(ranking.after(rank)).toBe(sorted.find((entry) => entry.rank > rank))
        expect(ranking.at(rank)).toBe(sorted.find((entry) => entry.rank === rank))
        expect(ranking.page(rank, 3)).toEqual(sorted.filter((entry) => entry.rank > rank).slice(0, 3))
      }
    }),
    { numRuns: 30 },
  )
})

test('an entry is not taken for another of its rank', () => {
  const ranking = new Ranking()
  ranking.insert(entryOf(1))
  ranking.remove(entryOf(1))
  expect(ranking.size).toBe(1)
})

test('latecomers are listed since a time, or too many to be listed', () => {
  const latecomers = new Latecomers()
  latecomers.add(7)
  expect([latecomers.since(0), latecomers.since(1)]).toEqual([[7], []])
  for (let rank = 0; rank < 100_000; rank++) latecomers.add(rank)
  expect(latecomers.end).toBe(100_001)
  expect(latecomers.since(1)).toBeUndefined()
  expect(latecomers.since(99_999)).toEqual([99_998, 99_999])
})

test('latecomers that have gone are not listed, and who did not see them looks through everything', () => {
  const latecomers = new Latecomers()
  latecomers.add(3)
  const seen = latecomers.end
  latecomers.add(4)
  latecomers.clear()
  expect(latecomers.since(seen)).toBeUndefined()
  expect(latecomers.since(latecomers.end)).toEqual([])
  const after = latecomers.end
  latecomers.add(5)
  expect(latecomers.since(after)).toEqual([5])
})
