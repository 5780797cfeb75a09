import * as fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { Pieces } from '../../broker/transport/pieces.ts'

test('pieces of any size, whole or cut out of what came, are put together as they came', () => {
  const size = fc.oneof(fc.nat(40), fc.integer({ min: 1_000, max: 1_050 }), fc.nat(40_000))
  const cut = fc.tuple(size, fc.nat(3_000), fc.nat(3_000))
  fc.assert(
    fc.property(fc.array(cut, { maxLength: 30 }), fc.nat(30), (cuts, half) => {
      const pieces = new Pieces()
      let expected: Buffer[] = []
      const check = (): void => {
        expect(pieces.length).toBe(Buffer.concat(expected).length)
        expect(pieces.take().equals(Buffer.concat(expected))).toBe(true)
        expected = []
      }
      for (const [index, [length, before, behind]] of cuts.entries()) {
        // What was taken is the taker's: nothing more is to be written to it.
        if (index === half) check()
        const bytes = Buffer.alloc(before + length + behind, `${index}.`)
        pieces.add(bytes, before, before + length)
        expected.push(bytes.subarray(before, before + length))
      }
      check()
    }),
  )
})

test('what was taken is not written to again', () => {
  const pieces = new Pieces()
  pieces.add(Buffer.from('abc'), 0, 3)
  const taken = pieces.take()
  pieces.add(Buffer.from('xyz'), 0, 3)
  expect([taken.toString(), pieces.take().toString()]).toEqual(['abc', 'xyz'])
})

test.each([
  ['small', [1]],
  ['large', [1_024]],
  ['small and large in turn', [1, 1_024]],
])('memory follows what came: pieces that are %s', (_says, sizes) => {
  const spy = vi.spyOn(Buffer, 'allocUnsafeSlow')
  const pieces = new Pieces()
  const chunk = Buffer.alloc(1_025)
  while (pieces.length < 500_000) for (const size of sizes) pieces.add(chunk, 0, size)
  const reserved = spy.mock.calls.reduce((sum, [size]) => sum + size, 0)
  spy.mockRestore()
  expect(reserved).toBeLessThan(pieces.length + 40_000)
})
