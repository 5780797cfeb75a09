import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Consumer, Consumption } from '../../broker/engine/engine.ts'
import type { Delivery, Op } from '../../broker/model/message.ts'
import { Model } from './model.ts'
import { DLQ, Q, type Rig } from './rig.ts'

export function sequences(rig: Rig): void {
  const { message, hand, openWith, chapter, settle } = rig

  chapter('any sequence of operations', () => {
    interface Kept {
      readonly id: string
      readonly bytes: number
      attempt: number
      out: { readonly delivery: Delivery; readonly holder: Watched } | undefined
      refusedBy: Watched | undefined
    }
    /** A consumer that checks each delivery against the naive model. */
    interface Watched extends Consumer {
      readonly consumption: Consumption
      credit: number
      cancelled: boolean
    }
    const index = fc.nat(20)
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constant('send' as const),
          sizes: fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('consume' as const), auto: fc.boolean() }) },
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constant('grant' as const), at: index, credits: fc.nat(4) }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), at: index }) },
      {
        weight: 6,
        arbitrary: fc.record({
          do: fc.constant('settle' as const),
          at: index,
          type: fc.constantFrom('ack' as const, 'nack' as const, 'release' as const),
          sizes: fc.array(fc.nat(3), { maxLength: 2 }),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constant('stale' as const),
          at: index,
          type: fc.constantFrom('ack' as const, 'nack' as const, 'release' as const),
        }),
      },
    )

    test('loses nothing, hands out nothing twice, keeps the order and counts attempts', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 50 }), async (steps) => {
          await openWith({})
          let kept: Kept[] = []
          const consumers: Watched[] = []
          const stale: Delivery[] = []
          const wrong: string[] = []
          const live = (): Watched[] => consumers.filter(({ cancelled }) => !cancelled)

          const watch = (auto: boolean): Watched => {
            const consumer: Omit<Watched, 'consumption'> = {
              auto,
              credit: 0,
              cancelled: false,
              // Never throws: what is wrong is told afterwards.
              deliver(delivery) {
                const { id } = delivery.message
                const oldest = kept.find(({ out }) => out === undefined)
                if (watched.cancelled) wrong.push(`${id} after cancel`)
                if (watched.credit-- <= 0) wrong.push(`${id} without credit`)
                if (oldest?.id !== id) return void wrong.push(`${id} instead of ${oldest?.id}`)
                if (delivery.attempt !== oldest.attempt)
                  wrong.push(`${id} with attempt ${delivery.attempt}, not ${oldest.attempt}`)
                if (
                  oldest.refusedBy === watched &&
                  live().some((other) => other !== watched && other.credit > 0)
                )
                  wrong.push(`${id} to the one who refused it`)
                if (!auto) return void (oldest.out = { delivery, holder: watched })
                kept = kept.filter((entry) => entry !== oldest)
                stale.push(delivery)
              },
            }
            const watched = Object.assign(consumer, { consumption: rig.engine.consume(Q, consumer) })
            consumers.push(watched)
            return watched
          }
          const take = (sizes: readonly number[]): Op[] =>
            sizes.map((size) => {
              const sent = message(Q, 'x'.repeat(size))
              kept.push({ id: sent.id, bytes: size, attempt: 1, out: undefined, refusedBy: undefined })
              return { type: 'send', message: sent }
            })

          for (const action of steps) {
            const out = kept.filter((entry) => entry.out !== undefined)
            switch (action.do) {
              case 'send':
                await rig.engine.commit(take(action.sizes))
                break
              case 'consume':
                watch(action.auto)
                break
              case 'grant': {
                const consumer = consumers[action.at % (consumers.length || 1)]
                if (consumer === undefined) break
                consumer.credit += action.credits
                consumer.consumption.grant(action.credits)
                break
              }
              case 'cancel': {
                const consumer = consumers[action.at % (consumers.length || 1)]
                if (consumer === undefined) break
                consumer.cancelled = true
                consumer.consumption.cancel()
                break
              }
              case 'settle': {
                const entry = out[action.at % (out.length || 1)]
                const delivery = entry?.out?.delivery
                if (entry === undefined || delivery === undefined) break
                stale.push(delivery)
                if (action.type === 'ack') {
                  kept = kept.filter((other) => other !== entry)
                } else {
                  entry.refusedBy = action.type === 'nack' ? entry.out?.holder : undefined
                  entry.out = undefined
                  entry.attempt++
                }
                await rig.engine.commit([{ type: action.type, delivery }, ...take(action.sizes)])
                break
              }
              case 'stale': {
                const delivery = stale[action.at % (stale.length || 1)]
                if (delivery !== undefined) await rig.engine.commit([{ type: action.type, delivery }])
                break
              }
            }
            await settle()
            expect(wrong).toEqual([])
            const ready = kept.filter((entry) => entry.out === undefined).length
            if (ready > 0) expect(live().filter(({ credit }) => credit > 0)).toEqual([])
            const idle = kept.length === 0 && live().length === 0
            expect(await rig.engine.inspect()).toEqual(
              idle
                ? []
                : [
                    {
                      queue: Q,
                      ready,
                      unacked: kept.length - ready,
                      bytes: kept.reduce((sum, { bytes }) => sum + bytes, 0),
                      consumers: live().length,
                      topics: '',
                    },
                  ],
            )
          }

          // The end of every session: cancel, release; then one consumer takes what is left.
          for (const { consumption } of live()) consumption.cancel()
          for (const entry of kept) {
            if (entry.out === undefined) continue
            await rig.engine.commit([{ type: 'release', delivery: entry.out.delivery }])
            entry.attempt++
          }
          const rest = await hand(Infinity, Q, true)
          expect(rest.got.map((delivery) => [delivery.message.id, delivery.attempt])).toEqual(
            kept.map(({ id, attempt }) => [id, attempt]),
          )
          rest.consumption.cancel()
          expect(await rig.engine.inspect()).toEqual([])
          await rig.engine.close()
        }),
        { numRuns: 300 * rig.share },
      )
    })

    const wish = fc.record({
      auto: fc.boolean(),
      exclusive: fc.integer({ min: 0, max: 5 }).map((number) => number === 0),
      priority: fc.constantFrom(0, 0, 0, 1),
      kind: fc.constantFrom(undefined, undefined, 'a', 'b'),
      inside: fc.oneof(
        { weight: 2, arbitrary: fc.constant('nothing' as const) },
        {
          weight: 1,
          arbitrary: fc.constantFrom(
            'ack' as const,
            'nack' as const,
            'release' as const,
            'grant' as const,
            'send' as const,
            'cancel' as const,
            'send and grant' as const,
            'send and cancel' as const,
          ),
        },
      ),
    })
    const letter = fc.record({
      kind: fc.constantFrom('a', 'b', 'c'),
      group: fc.constantFrom(undefined, undefined, undefined, 'g', 'h'),
      priority: fc.constantFrom(undefined, 1, 5),
    })
    const deed = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          do: fc.constant('send' as const),
          letters: fc.array(letter, { minLength: 1, maxLength: 4 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('consume' as const), wish }) },
      {
        weight: 5,
        arbitrary: fc.record({ do: fc.constant('grant' as const), at: index, credits: fc.nat(4) }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), at: index }) },
      {
        weight: 6,
        arbitrary: fc.record({
          do: fc.constant('settle' as const),
          at: index,
          type: fc.constantFrom('ack' as const, 'nack' as const, 'release' as const, 'reject' as const),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constant('stale' as const),
          at: index,
          type: fc.constantFrom('ack' as const, 'nack' as const, 'release' as const, 'reject' as const),
        }),
      },
    )

    test('of consumers that choose, with priorities and groups, does all that as well', async () => {
      await fc.assert(
        fc.asyncProperty(fc.boolean(), fc.array(deed, { maxLength: 60 }), async (prioritized, deeds) => {
          await openWith({})
          if (prioritized) await rig.declare(Q, { lasting: true, maxPriority: 9 })
          const model = new Model(rig, prioritized)
          for (const action of deeds) {
            switch (action.do) {
              case 'send':
                for (const { kind, ...terms } of action.letters) {
                  const sent = message(Q, kind, terms, { kind })
                  model.add(sent)
                  await rig.engine.commit([{ type: 'send', message: sent }])
                }
                break
              case 'consume':
                model.consume(action.wish)
                break
              case 'grant': {
                const consumer = model.consumers[action.at % (model.consumers.length || 1)]
                if (consumer !== undefined) model.grant(consumer, action.credits)
                break
              }
              case 'cancel': {
                const consumer = model.live[action.at % (model.live.length || 1)]
                if (consumer !== undefined) model.cancel(consumer)
                break
              }
              case 'settle': {
                const entry = model.out[action.at % (model.out.length || 1)]
                const delivery = entry?.out
                if (entry === undefined || delivery === undefined) break
                model.settle(entry, action.type, model.holder(entry))
                await rig.engine.commit([{ type: action.type, delivery }])
                break
              }
              case 'stale': {
                const delivery = model.stale[action.at % (model.stale.length || 1)]
                if (delivery !== undefined) await rig.engine.commit([{ type: action.type, delivery }])
                break
              }
            }
            await settle()
            expect(model.wrong).toEqual([])
            expect(model.idlers()).toEqual([])
            expect(await rig.count()).toEqual([model.waiting.length, model.out.length])
            expect((await rig.info(DLQ))?.ready ?? 0).toBe(model.rejected)
          }
          // The end of every session; then one consumer takes what is left.
          for (const consumer of model.live) model.cancel(consumer)
          for (const entry of model.out) {
            const { out } = entry
            model.settle(entry, 'release', undefined)
            if (out !== undefined) await rig.engine.commit([{ type: 'release', delivery: out }])
          }
          const left = model.kept.map(({ message: { id }, attempt }) => [id, attempt])
          const rest = await hand(Infinity, Q, true)
          expect(rest.got.map((delivery) => [delivery.message.id, delivery.attempt])).toEqual(left)
          expect(await rig.count()).toEqual([0, 0])
          await rest.cancel()
          await rig.remove(Q)
          expect(await rig.info()).toBeUndefined()
          await rig.engine.close()
        }),
        { numRuns: 500 * rig.share },
      )
    })
  })
}
