import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Fifo } from '../../broker/engine/fifo.ts'

/** What a fifo holds, by its places. */
function list(fifo: Fifo<number>): (number | undefined)[] {
  return Array.from({ length: fifo.length }, (_, index) => fifo.at(index))
}

test('any sequence agrees with a naive list, over the ends of its pieces', () => {
  // A piece is 1024 items: nearly one, one and a bit, and several are added and taken at a time.
  const count = fc.constantFrom(1, 2, 63, 65, 1_023, 1_024, 1_025, 3_000)
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.tuple(fc.constant('push' as const), count) },
    { weight: 3, arbitrary: fc.tuple(fc.constant('shift' as const), count) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('retain' as const), fc.integer({ min: 1, max: 4 })) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('clear' as const), fc.constant(0)) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const fifo = new Fifo<number>()
      let naive: number[] = []
      let next = 0
      for (const [action, number] of steps) {
        switch (action) {
          case 'push':
            for (let item = 0; item < number; item++) {
              naive.push(next)
              fifo.push(next++)
            }
            break
          case 'shift': {
            const taken = Array.from({ length: number }, () => fifo.shift())
            const expected = naive.splice(0, number)
            expect(taken.filter((item) => item !== undefined)).toEqual(expected)
            break
          }
          case 'retain':
            fifo.retain((item) => item % number !== 1)
            naive = naive.filter((item) => item % number !== 1)
            break
          case 'clear':
            fifo.clear()
            naive = []
        }
        expect(fifo.length).toBe(naive.length)
        expect(fifo.peek()).toBe(naive[0])
        expect(fifo.at(naive.length)).toBeUndefined()
        expect(list(fifo)).toEqual(naive)
      }
    }),
    { numRuns: 60 },
  )
})

test.each([1_023, 1_024, 1_025])('%i are taken out as they came, and others follow them', (count) => {
  const fifo = new Fifo<number>()
  for (let round = 0; round < 3; round++) {
    for (let item = 0; item < count; item++) fifo.push(item)
    for (let item = 0; item < count; item++) expect(fifo.shift()).toBe(item)
    expect([fifo.length, fifo.peek(), fifo.shift()]).toEqual([0, undefined, undefined])
  }
})
