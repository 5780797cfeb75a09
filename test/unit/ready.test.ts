import { expect, test } from 'vitest'
import type { Entry } from '../../broker/engine/entry.ts'
import { Ready } from '../../broker/engine/ready.ts'
import { entryOf } from '../helpers/entry.ts'

function waiting(rank: number): Entry {
  const entry = entryOf(rank)
  entry.state = 'waiting'
  return entry
}

/** What waits, taken out in order. */
function take(ready: Ready): number[] {
  const ranks: number[] = []
  for (let entry = ready.peek(); entry !== undefined; entry = ready.peek()) {
    ranks.push(entry.rank)
    ready.shift()
  }
  return ranks
}

test.each([
  ['the oldest', [1, 2, 3, 4]],
  ['the youngest', [8, 7, 6, 5]],
  ['some in between', [2, 4, 5, 7]],
  ['most', [8, 1, 7, 3, 5, 2]],
  ['all', [4, 1, 2, 3, 8, 7, 6, 5]],
])('%s are discarded, whether they came back or not', (_which, discarded) => {
  const ready = new Ready()
  const entries = [1, 2, 3, 4, 5, 6, 7, 8].map(waiting)
  for (const entry of entries.slice(4)) ready.append(entry)
  for (const entry of entries.slice(0, 4).toReversed()) ready.putBack(entry)
  for (const rank of discarded) {
    for (const entry of entries) if (entry.rank === rank) entry.state = 'nowhere'
    ready.discard()
  }
  const left = [1, 2, 3, 4, 5, 6, 7, 8].filter((rank) => !discarded.includes(rank))
  expect(ready.page(0, Infinity).map(({ rank }) => rank)).toEqual(left)
  expect(take(ready)).toEqual(left)
  expect(ready.empty).toBe(true)
})
