import * as fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import type { Payload, Wire } from '../../broker/model/wire.ts'
import { Batch, Company, GatheringConnection, type Receiver } from '../../broker/transport/connection.ts'

const KIB = 1024
const wire: Wire = { name: 'fake', binary: 'native', octets: false, wrap: (head) => head }

class Fake extends GatheringConnection {
  readonly info = { transport: 'fake', address: 'nowhere' }
  readonly wire = wire
  readonly received = 0
  /** What the system was handed. */
  readonly written: Payload[] = []
  /** Bytes the system has not taken. */
  stuck = 0
  /** It takes nothing. */
  slow = false

  listen(receiver: Partial<Receiver>): void {
    this.receiver = { data() {}, full() {}, drain() {}, left() {}, closed() {}, ...receiver }
  }
  protected pending(): number {
    return this.stuck
  }
  protected write(batch: Batch): void {
    this.written.push(...batch.payloads())
    if (this.slow) this.stuck += batch.bytes
  }
  /** The system took bytes until so many are left, and does not say so before it has taken all. */
  took(stuck: number): void {
    this.stuck = stuck
  }
  protected finish(): void {}
  pause(): void {}
  resume(): void {}
  terminate(): void {}
  end(): void {
    this.ended()
  }
}

/** The end of this turn of the event loop. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const bytes = (length = 1): Buffer => Buffer.alloc(length)

/** As a topic does. */
function publish(company: Company, members: readonly Fake[], payload: Payload): void {
  if (!company.send(payload)) for (const member of members) member.send(payload)
}

test('whatever happens in between, everyone is sent everything once and in order', async () => {
  const member = fc.nat(3)
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        type: fc.constant('publish' as const),
        topic: fc.nat(2),
        size: fc.constantFrom(1, 1, 1, 20 * KIB, 70 * KIB),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant('send' as const),
        member,
        size: fc.constantFrom(1, 1, 70 * KIB),
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('close' as const, 'end' as const), member }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('turn' as const) }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const all = [0, 1, 2, 3].map(() => new Fake())
      const topics = [all, all.slice(0, 2), all.slice(1)].map((members) => ({
        members,
        company: new Company(members),
      }))
      const sent = all.map((): Payload[] => [])
      /** Those that are gone: what was not handed over by then may be lost, and nothing else. */
      const gone = new Set<number>()
      for (const each of steps) {
        if (each.type === 'turn') await turn()
        else if (each.type === 'publish') {
          const { members, company } = topics[each.topic] as (typeof topics)[number] // topic < 3
          const payload = bytes(each.size)
          for (const [index, connection] of all.entries()) {
            if (members.includes(connection) && !gone.has(index)) sent[index]?.push(payload)
          }
          publish(company, members, payload)
        } else {
          const connection = all[each.member] as Fake // member < 4
          if (each.type === 'send') {
            const payload = bytes(each.size)
            if (!gone.has(each.member)) sent[each.member]?.push(payload)
            connection.send(payload)
          } else {
            gone.add(each.member)
            if (each.type === 'close') connection.close(1000, '')
            else {
              connection.end()
              sent[each.member]?.splice(connection.written.length)
            }
          }
        }
      }
      await turn()
      for (const [index, connection] of all.entries()) {
        expect(connection.written.length).toBe(sent[index]?.length)
        expect(connection.written.every((payload, at) => payload === sent[index]?.[at])).toBe(true)
      }
      for (const connection of all) connection.end()
    }),
    { numRuns: 300 },
  )
})

test.each([
  ['at the end of the turn', 1],
  ['because so much was gathered', 64 * KIB],
])('what is sent because one was full when it was flushed %s reaches everyone', async (_when, size) => {
  for (const place of [0, 1, 2]) {
    const members = [new Fake(), new Fake(), new Fake()]
    const company = new Company(members)
    const payloads = [bytes(size), bytes(), bytes(), bytes()] as const
    const slow = members[place] as Fake // place < 3
    slow.slow = true
    slow.took(300 * KIB)
    const full = vi.fn(() => publish(company, members, payloads[1]))
    slow.listen({ full: () => void (full.mock.calls.length === 0 && full()) })
    publish(company, members, payloads[0])
    publish(company, members, payloads[2])
    await turn()
    publish(company, members, payloads[3])
    await turn()
    expect(full).toHaveBeenCalledTimes(1)
    const order = size === 1 ? [0, 2, 1, 3] : [0, 1, 2, 3]
    for (const { written } of members) {
      expect(written.map((payload) => payloads.indexOf(payload as Buffer))).toEqual(order)
    }
  }
})

test('full tells what waited before the last of it, of what the system has not taken by then', async () => {
  const full = vi.fn()
  const one = new Fake()
  one.listen({ full })
  one.slow = true
  const company = new Company([one])
  publish(company, [one], bytes(1_000 * KIB))
  expect(full.mock.calls).toEqual([[0]])
  one.took(300 * KIB)
  publish(company, [one], bytes(10))
  publish(company, [one], bytes(20))
  await turn()
  expect(full.mock.calls).toEqual([[0], [300 * KIB + 10]])
})

test('nothing of what was sent is kept', async () => {
  const members = [new Fake(), new Fake()]
  const company = new Company(members)
  for (const size of [1, 64 * KIB, 1]) publish(company, members, bytes(size))
  expect(company.batch.bytes).toBe(1)
  await turn()
  expect(company.batch.bytes).toBe(0)
  expect(members.map(({ written }) => written.length)).toEqual([3, 3])
})
