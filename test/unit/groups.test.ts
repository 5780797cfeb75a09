import { expect, test } from 'vitest'
import { Made } from '../../broker/model/content.ts'
import { LocalConsumption } from '../../broker/engine/consumption.ts'
import { Entry } from '../../broker/engine/entry.ts'
import { Groups } from '../../broker/engine/groups.ts'
import { Message } from '../../broker/model/message.ts'
import { parseDestination } from '../helpers/destination.ts'

const message = new Message('m', parseDestination('/queue/q'), new Made(new Map(), Buffer.alloc(0)))
const home = { join() {}, leave() {} }

test('groups without a message are remembered up to a bound', () => {
  const groups = new Groups()
  const entry = new Entry('/queue/q', message, 1, 1, 0, 0, undefined)
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
