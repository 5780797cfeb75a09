import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Made } from '../../broker/model/content.ts'
import { Ledger, type Entry as EntryOf } from '../../broker/model/ledger.ts'
import { deliveryId, Message, type Delivery } from '../../broker/model/message.ts'
import { parseDestination } from '../helpers/destination.ts'
import { NO_BODY } from '../../broker/protocol/frame.ts'

function delivery(id: string, attempt = 1): Delivery {
  const destination = parseDestination('/queue/q')
  return { queue: '/queue/q', message: new Message(id, destination, new Made(new Map(), NO_BODY)), attempt }
}

type Entry = EntryOf<string>

/** Adds a delivery under the id that its MESSAGE shows. */
function add(ledger: Ledger<string>, subscription: string, handed: Delivery): string {
  const id = deliveryId(handed)
  ledger.add(id, subscription, handed)
  return id
}

/** A ledger that holds `1`, `2` ... by the subscriptions given: 'aab' gives 1 and 2 to a, 3 to b. */
function ledgerOf(subscriptions: string): Ledger<string> {
  const ledger = new Ledger<string>()
  for (const [index, subscription] of subscriptions.split('').entries())
    add(ledger, subscription, delivery(String(index + 1)))
  return ledger
}
function find(ledger: Ledger<string>, id: string): Entry {
  const entry = ledger.find(id)
  if (entry === undefined) throw new Error(`${id} is not in the ledger`)
  return entry
}
function acks(entries: readonly Entry[]): string[] {
  return entries.map(({ id }) => id)
}

describe('taking', () => {
  test.each([
    ['1.2 SUBSCRIBE ack: client is cumulative', true, 'aaaa', '3', ['1', '2', '3'], ['4']],
    ['1.2 SUBSCRIBE ack: client is cumulative per subscription', true, 'abab', '3', ['1', '3'], ['2', '4']],
    ['1.2 SUBSCRIBE ack: client-individual takes the one', false, 'aaaa', '3', ['3'], ['1', '2', '4']],
  ] as const)('%s', (_says, cumulative, subscriptions, id, taken, left) => {
    const ledger = ledgerOf(subscriptions)
    expect(acks(ledger.take(find(ledger, id), cumulative))).toEqual(taken)
    for (const gone of taken) expect(ledger.find(gone)).toBeUndefined()
    expect(acks(ledger.drain())).toEqual(left)
  })

  test('what was taken before is not taken again', () => {
    const ledger = ledgerOf('aaa')
    ledger.take(find(ledger, '2'), false)
    expect(acks(ledger.take(find(ledger, '3'), true))).toEqual(['1', '3'])
  })
})

describe('finding', () => {
  test('by id', () => {
    const ledger = ledgerOf('ab')
    expect(ledger.find('1')).toMatchObject({ subscription: 'a', delivery: { message: { id: '1' } } })
    expect(ledger.find('3')).toBeUndefined()
  })

  test('a redelivery has an id of its own', () => {
    const ledger = new Ledger<string>()
    expect(add(ledger, 'a', delivery('m', 3))).toBe('m.3')
    expect(ledger.find('m.3')?.delivery.attempt).toBe(3)
    expect(ledger.find('m')).toBeUndefined()
  })

  test('a late ACK of the first delivery does not settle the second', () => {
    const ledger = new Ledger<string>()
    const first = add(ledger, 'a', delivery('m'))
    ledger.take(find(ledger, first), false)
    const second = add(ledger, 'a', delivery('m', 2))
    expect(second).not.toBe(first)
    expect(ledger.find(first)).toBeUndefined()
    expect(ledger.held(first)).toBe(true)
    expect(ledger.find(second)?.delivery.attempt).toBe(2)
  })
})

describe('memory', () => {
  test('what was settled is remembered, what never was is not', () => {
    const ledger = new Ledger<string>()
    const ack = add(ledger, 'a', delivery('m', 2))
    expect(ledger.held(ack)).toBe(false)
    ledger.take(find(ledger, ack), true)
    expect([ledger.held(ack), ledger.held('m'), ledger.held('other')]).toEqual([true, false, false])
  })

  test('drained is settled as well', () => {
    const ledger = ledgerOf('ab')
    ledger.drain('a')
    expect([ledger.held('1'), ledger.held('2')]).toEqual([true, false])
  })

  test('1000 ids are remembered; after one more, nobody can be sure', () => {
    const ledger = new Ledger<string>()
    const settle = (id: string): void => {
      add(ledger, 'a', delivery(id))
      ledger.take(find(ledger, id), true)
    }
    for (let n = 1; n <= 1_000; n++) settle(`m${n}`)
    expect([ledger.held('m1'), ledger.held('other')]).toEqual([true, false])
    settle('m1001')
    expect([ledger.held('m1'), ledger.held('m2'), ledger.held('m1001'), ledger.held('other')]).toEqual([
      'unsure',
      true,
      true,
      'unsure',
    ])
  })
})

test('what was taken is taken once', () => {
  const ledger = ledgerOf('aa')
  const first = find(ledger, '1')
  ledger.take(first, false)
  expect(ledger.take(first, true)).toEqual([])
  expect(acks(ledger.drain())).toEqual(['2'])
})

test('what was put back is not settled until it is settled again', () => {
  const ledger = ledgerOf('ab')
  const taken = ledger.take(find(ledger, '1'), false)
  ledger.restore(taken)
  expect(ledger.held('1')).toBe(false)
  ledger.drain('a')
  expect(ledger.held('1')).toBe(true)
})

test('a subscription that held nothing any more is delivered to again, in order', () => {
  const ledger = ledgerOf('aba')
  const taken = ledger.take(find(ledger, '3'), true)
  expect(acks(taken)).toEqual(['1', '3'])
  add(ledger, 'a', delivery('4'))
  ledger.restore(taken)
  ledger.take(find(ledger, '3'), false)
  expect(acks(ledger.take(find(ledger, '4'), true))).toEqual(['1', '4'])
  expect(acks(ledger.drain())).toEqual(['2'])
})

test('drain takes one subscription or all, in the order of delivery', () => {
  const ledger = ledgerOf('abab')
  expect(acks(ledger.drain('b'))).toEqual(['2', '4'])
  expect(acks(ledger.drain('b'))).toEqual([])
  add(ledger, 'b', delivery('5'))
  expect(acks(ledger.drain())).toEqual(['1', '3', '5'])
})

test('1.2 ABORT: the ledger is as it was before BEGIN, what came meanwhile included', () => {
  const ledger = ledgerOf('aabaa')
  const redelivered = add(ledger, 'b', delivery('again', 2))
  const three = ledger.take(find(ledger, redelivered), false)
  const one = ledger.take(find(ledger, '4'), false)
  const two = ledger.take(find(ledger, '2'), true)
  add(ledger, 'a', delivery('6'))
  ledger.restore(two)
  ledger.restore([...one, ...three])
  for (const id of ['1', '2', '4', redelivered])
    expect([ledger.held(id), ledger.find(id)?.id]).toEqual([false, id])
  expect(acks(ledger.take(find(ledger, '4'), true))).toEqual(['1', '2', '4'])
  expect(acks(ledger.drain())).toEqual(['3', '5', redelivered, '6'])
})

test('any sequence agrees with a naive list', () => {
  const subscription = fc.constantFrom('a', 'b', 'c')
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('add' as const),
        subscription,
        attempt: fc.integer({ min: 1, max: 3 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('take' as const),
        at: fc.nat(),
        cumulative: fc.boolean(),
      }),
    },
    // As a client does that acks in order: nothing is looked for by its id.
    { weight: 3, arbitrary: fc.record({ do: fc.constant('take first' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('look' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restore' as const), at: fc.nat() }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('drain' as const),
        subscription: fc.option(subscription, { nil: undefined }),
      }),
    },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ledger = new Ledger<string>()
      let held: { ack: string; subscription: string; order: number }[] = []
      const taken: (readonly Entry[])[] = []
      let order = 0
      for (const action of steps) {
        switch (action.do) {
          case 'add': {
            const ack = add(ledger, action.subscription, delivery(`m${++order}`, action.attempt))
            held.push({ ack, subscription: action.subscription, order })
            break
          }
          case 'take': {
            const target = held[action.at % (held.length || 1)]
            if (target === undefined) break
            const goes = (each: (typeof held)[number]): boolean =>
              each === target ||
              (action.cumulative && each.subscription === target.subscription && each.order < target.order)
            const entries = ledger.take(find(ledger, target.ack), action.cumulative)
            expect(acks(entries)).toEqual(held.filter(goes).map(({ ack }) => ack))
            held = held.filter((each) => !goes(each))
            taken.push(entries)
            break
          }
          case 'take first': {
            const { expected } = ledger
            if (expected === undefined) break
            expect(expected.id).toBe(held.find((each) => each.subscription === expected.subscription)?.ack)
            taken.push(ledger.take(expected, false))
            held = held.filter(({ ack }) => ack !== expected.id)
            break
          }
          case 'look':
            for (const { ack } of held) expect(ledger.find(ack)?.id).toBe(ack)
            break
          case 'restore': {
            const [entries = []] = taken.splice(action.at % (taken.length || 1), 1)
            ledger.restore(entries)
            for (const { id: ack, subscription: owner, order: place } of entries)
              held.push({ ack, subscription: owner, order: place })
            held.sort((a, b) => a.order - b.order)
            break
          }
          case 'drain': {
            const goes = (each: (typeof held)[number]): boolean =>
              action.subscription === undefined || each.subscription === action.subscription
            expect(acks(ledger.drain(action.subscription))).toEqual(held.filter(goes).map(({ ack }) => ack))
            held = held.filter((each) => !goes(each))
            break
          }
        }
      }
      for (const { ack } of held) expect(ledger.find(ack)?.id).toBe(ack)
      expect(acks(ledger.drain())).toEqual(held.map(({ ack }) => ack))
    }),
  )
})
