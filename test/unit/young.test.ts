import { expect, test, vi } from 'vitest'
import { Entry } from '../../broker/engine/entry.ts'
import { Young } from '../../broker/engine/young.ts'
import { Schedule } from '../../broker/engine/schedule.ts'
import { Made } from '../../broker/model/content.ts'
import { Message } from '../../broker/model/message.ts'
import { NO_BODY } from '../../broker/protocol/frame.ts'
import { entryOf } from '../helpers/entry.ts'
import { parseDestination } from '../helpers/destination.ts'

const KIB = 1024

/** One that was handed out, and whether it was taken out of where it was read. */
function out(size = 1): { entry: Entry; taken: () => number } {
  const message = new Message('m', parseDestination('/queue/q'), new Made(new Map(), NO_BODY), size)
  const detach = vi.spyOn(message, 'detach')
  const entry = new Entry(entryOf(1).home, message, 1, 1, 0, 0, undefined)
  entry.state = 'out'
  return { entry, taken: () => detach.mock.calls.length }
}

function open(): { young: Young; later: () => void } {
  const due: (() => void)[] = []
  const schedule = new Schedule(() => {})
  vi.spyOn(schedule, 'add').mockImplementation((_delay, work) => {
    due.push(work)
    return { cancel() {} }
  })
  return { young: new Young(schedule), later: () => due.splice(0).forEach((work) => work()) }
}

test('what is still out when its youth is over is taken out, once, and what was settled is not', () => {
  const { young, later } = open()
  const [held, acked] = [out(), out()]
  young.add(held.entry)
  young.add(acked.entry)
  acked.entry.state = 'nowhere'
  expect(held.taken()).toBe(0)
  later()
  expect([held.taken(), acked.taken()]).toEqual([1, 0])
  later()
  const next = out()
  young.add(next.entry)
  later()
  expect([held.taken(), next.taken()]).toEqual([1, 1])
})

test('no more than 1,024 are young: the oldest is taken out first', () => {
  const { young } = open()
  const all = Array.from({ length: 1_026 }, () => out())
  for (const { entry } of all) young.add(entry)
  expect(all.map(({ taken }) => taken())).toEqual([1, 1, ...Array<number>(1_024).fill(0)])
})

test('what is large is taken out at once, and not held up for those that come after it', () => {
  const { young, later } = open()
  const [small, large] = [out(64 * KIB - 1), out(64 * KIB)]
  young.add(small.entry)
  young.add(large.entry)
  expect([small.taken(), large.taken()]).toEqual([0, 1])
  later()
  expect([small.taken(), large.taken()]).toEqual([1, 1])
})
