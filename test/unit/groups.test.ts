import { expect, test } from 'vitest'
import { LocalConsumption } from '../../broker/engine/consumption.ts'
import { Groups } from '../../broker/engine/groups.ts'
import { entryOf } from '../helpers/entry.ts'

const home = { join() {}, leave() {} }

test('groups without a message are remembered up to a bound', () => {
  const groups = new Groups()
  const entry = entryOf(1)
  const owner = new LocalConsumption(home, { auto: true, deliver() {} })
  for (let index = 0; index < 10_005; index++) {
    groups.hold(`g${index}`)
    groups.leave(`g${index}`, entry, owner)
    groups.drop(`g${index}`)
  }
  expect(groups.size).toBe(10_000)
  expect(groups.owner('g4')).toBeUndefined()
  expect(groups.owner('g5')).toBe(owner)
  expect(groups.free(owner)).toEqual([])
  expect(groups.size).toBe(0)
})
