import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Consumption } from '../../broker/engine/engine.ts'
import type { Delivery, Op } from '../../broker/model/message.ts'
import { Q } from '../conformance/rig.ts'
import { Den, turn } from './den.ts'

// Little of it is in memory: half of the limit is enough for some messages.
const settings = { maxMemory: 4_000, maxQueueMessages: 100_000 }
const den = new Den().live(settings)

/** A message as far as the outside knows of it. */
interface Known {
  readonly id: string
  readonly persistent: boolean
  /** In the order in which they were sent. */
  readonly place: number
  /** Its commit is done. */
  promised: boolean
  /** How often it was seen. */
  seen: number
  /** The engine was told, and has not said that it is on disk. */
  acked: boolean
}

const number = fc.nat(30)
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      sizes: fc.array(fc.nat(400), { minLength: 1, maxLength: 6 }),
      persistent: fc.integer({ min: 0, max: 5 }).map((of) => of > 0),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('take' as const), credits: fc.integer({ min: 1, max: 8 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      at: number,
      type: fc.constantFrom('ack' as const, 'ack' as const, 'nack' as const, 'release' as const),
      sizes: fc.array(fc.nat(400), { maxLength: 2 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('fail' as const), batches: fc.integer({ min: 1, max: 2 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('settled' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), hold: fc.boolean() }) },
)

test('any sequence of operations and ends keeps what was promised, in order, and repeats nothing without a word', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      await den.begin(settings)
      let known: Known[] = []
      let places = 0
      let out: Delivery[] = []
      const wrong: string[] = []
      let consumption: Consumption | undefined
      /** How many ends there were: what an engine says after its own is heard by nobody. */
      let life = 0

      const find = (id: string): Known | undefined => known.find((one) => one.id === id)
      const consume = (): void => {
        out = []
        let last = -1
        const here = life
        consumption = den.engine.consume(Q, {
          auto: false,
          deliver: (delivery) => {
            if (here !== life) return
            const { id } = delivery.message
            const one = find(id)
            if (one === undefined) return void wrong.push(`${id} was not sent, or is over`)
            if (delivery.attempt === 1) {
              if (one.seen > 0) wrong.push(`${id} came again without a word`)
              if (one.place < last) wrong.push(`${id} came too late`)
              last = one.place
            }
            one.seen++
            out.push(delivery)
          },
        })
      }
      const commit = (settlement: Op | undefined, sizes: readonly number[], persistent: boolean): void => {
        const sent = sizes.map((size) => den.message(Q, 'x'.repeat(size), { persistent }))
        const added = sent.map(({ id }) => {
          return { id, persistent, place: ++places, promised: false, seen: 0, acked: false }
        })
        known.push(...added)
        const ops: Op[] = sent.map((message) => ({ type: 'send', message }))
        if (settlement !== undefined) ops.unshift(settlement)
        const here = life
        const over = (): void => {
          if (here !== life) return
          for (const one of added) one.promised = true
        }
        const refused = (): void => {
          if (here !== life) return
          known = known.filter((one) => !added.includes(one))
          if (settlement === undefined || settlement.type === 'send') return
          out.push(settlement.delivery)
          const one = find(settlement.delivery.message.id)
          if (one !== undefined) one.acked = false
        }
        try {
          const done = den.engine.commit(ops)
          if (done === undefined) over()
          else done.then(over, refused)
        } catch {
          refused()
        }
      }
      /** Everything said is done, and the counts of memory and disk are the same. */
      const rest = async (): Promise<void> => {
        den.heal()
        den.go()
        if (den.warnings.at(-1)?.startsWith('Nothing')) await den.recover()
        for (let turns = 0; turns < 5; turns++) {
          await den.settle()
          await turn()
        }
        known = known.filter(({ acked }) => !acked)
        const info = await den.info()
        const kept = known.filter(({ persistent }) => persistent)
        expect(den.counts(Q).messages).toBe(kept.length)
        expect((info?.ready ?? 0) + (info?.unacked ?? 0)).toBe(known.length)
        expect(info?.unacked ?? 0).toBe(out.length)
      }
      /** After it only what is on disk is there; what was not promised may be. */
      const lose = async (): Promise<void> => {
        const there = new Set(await ids())
        const missing = known.filter(({ id, promised, persistent, acked }) => {
          return promised && persistent && !acked && !there.has(id)
        })
        expect(missing).toEqual([])
        known = known.filter(({ id, persistent }) => persistent && there.has(id))
        for (const one of known) Object.assign(one, { promised: true, acked: false })
        consume()
      }

      consume()
      for (const action of steps) {
        switch (action.do) {
          case 'send':
            commit(undefined, action.sizes, action.persistent)
            break
          case 'take':
            consumption?.grant(action.credits)
            break
          case 'settle': {
            const [delivery] = out.splice(action.at % (out.length || 1), 1)
            if (delivery === undefined) break
            const one = find(delivery.message.id)
            if (action.type === 'ack' && one !== undefined) one.acked = true
            commit({ type: action.type, delivery }, action.sizes, true)
            break
          }
          case 'fail':
            den.fail(action.batches)
            break
          case 'settled':
            await rest()
            break
          case 'restart':
            consumption?.cancel()
            for (const delivery of out) void den.engine.commit([{ type: 'release', delivery }])
            out = []
            await rest()
            await den.pause('restart')
            await lose()
            break
          case 'crash':
            if (action.hold) den.hold()
            await turn()
            while (den.writing > 0) await turn()
            life++
            await den.pause('crash')
            await lose()
            break
        }
        expect(wrong).toEqual([])
      }
      await rest()
      // All that is left comes, in order, and then there is nothing.
      consumption?.grant(Infinity)
      for (let rounds = 0; rounds < 10; rounds++) await den.advance(50)
      expect(wrong).toEqual([])
      expect(out.length).toBe(known.length)
      for (const delivery of out.splice(0)) void den.engine.commit([{ type: 'ack', delivery }])
      known = []
      await rest()
      expect(den.local.room.used).toBe(0)
    }),
    {
      numRuns: Number(process.env.DURABLE_RUNS ?? 30),
      ...(process.env.DURABLE_SEED ? { seed: Number(process.env.DURABLE_SEED) } : {}),
    },
  )
}, 600_000)

/** What waits, by the pages of the queue. */
async function ids(): Promise<string[]> {
  const found: string[] = []
  for await (const page of den.engine.browse(Q)) found.push(...page.map(({ id }) => id))
  return found
}
