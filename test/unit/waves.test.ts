import { describe, expect, test } from 'vitest'
import { inWaves } from '../../broker/core/waves.ts'

const members = (count: number): Set<number> => new Set(Array.from({ length: count }, (_, index) => index))

async function told(crowd: ReadonlySet<number>, spread: number): Promise<(readonly number[])[]> {
  const waves: (readonly number[])[] = []
  await inWaves(crowd, spread, (wave) => waves.push(wave))
  return waves
}

describe('a crowd', () => {
  test('is told in many waves, each member once, and in no order', async () => {
    const waves = await told(members(500), 200)
    expect(waves.length).toBeGreaterThan(2)
    const order = waves.flat()
    expect(order).not.toEqual([...members(500)])
    expect(order.toSorted((a, b) => a - b)).toEqual([...members(500)])
    expect(Math.max(...waves.map((wave) => wave.length))).toBeLessThan(500)
  })

  test('members that left before their turn are not told', async () => {
    const crowd = members(100)
    const order: number[] = []
    await inWaves(crowd, 200, (wave) => {
      order.push(...wave)
      for (const member of wave) crowd.delete(member)
      for (const member of crowd) if (member % 2 === 0) crowd.delete(member)
    })
    expect(order.filter((member) => member % 2 === 0).length).toBeLessThan(50)
    expect(order.filter((member) => member % 2 === 1)).toHaveLength(50)
  })

  test('that has left altogether is waited for no longer', async () => {
    const crowd = members(100)
    // Longer than a test may take.
    await inWaves(crowd, 1_000_000, () => crowd.clear())
  })
})

test.each([
  ['few are', 50, 1_000_000],
  ['without a spread all are', 5_000, 0],
])('%s told at once', async (_says, count, spread) => {
  expect((await told(members(count), spread)).map((wave) => wave.length)).toEqual([count])
})

test('nobody is told of nothing', async () => {
  expect(await told(members(0), 1_000)).toEqual([])
})
