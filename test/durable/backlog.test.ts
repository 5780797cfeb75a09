import { describe, expect, test, vi } from 'vitest'
import type { Message, Op, Terms } from '../../broker/model/message.ts'
import { parseDestination } from '../helpers/destination.ts'
import { Q, type Hand, type Traits } from '../conformance/rig.ts'
import { Den, turn } from './den.ts'

/** More than a queue has in memory as well, and than is applied or read in one go. */
const MANY = 10_000
const roomy = { maxQueueMessages: 1_000_000, maxQueueBytes: 1_000_000_000 }

const den = new Den().live(roomy)
const { hand, idle, info, count, browse, commit, declare, message, send } = den

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => String(from + index))
}

/** Sends the numbers from one up to, and without, another. */
async function fill(
  from: number,
  to: number,
  terms: (number: number) => Partial<Terms> = () => ({}),
  kind: (number: number) => string = () => 'any',
): Promise<void> {
  for (let at = from; at < to; at += 2_500) {
    const ops = numbers(at, Math.min(at + 2_500, to)).map((body): Op => {
      const number = Number(body)
      return { type: 'send', message: message(Q, body, terms(number), { kind: kind(number) }) }
    })
    await commit(...ops)
  }
}

/** A consumer that takes so many, and acks each. */
async function take(credits: number, traits: Traits = {}, acks = true): Promise<Hand> {
  const consumer = idle(Q, false, traits)
  let granted = Math.min(credits, 100)
  consumer.react = (delivery) => {
    if (acks) void den.engine.commit([{ type: 'ack', delivery }])
    if (granted++ < credits) consumer.consumption.grant(1)
  }
  await consumer.grant(granted)
  await settled(consumer)
  return consumer
}

/** More is taken into memory turn by turn. */
async function settled(consumer: Hand): Promise<void> {
  for (let before = -1; before < consumer.got.length;) {
    before = consumer.got.length
    await den.advance(100)
  }
}

describe('a queue of many messages', () => {
  test('of a hundred thousand has most of them on disk only, and gives them out in order', async () => {
    await fill(0, 100_000)
    const inMemory = den.local.room.used
    expect(inMemory).toBeLessThan(50_000)
    expect(await count()).toEqual([100_000, 0])
    expect((await info())?.bytes).toBe(numbers(0, 100_000).join('').length)
    const consumer = await take(60_000)
    await consumer.cancel()
    expect(consumer.log).toEqual(numbers(0, 60_000))
    expect(den.local.room.used).toBeLessThan(50_000)
    await den.pause('crash')
    expect(den.local.room.used).toBe(0)
    const rest = await take(Infinity)
    expect(rest.log.map((body) => body.replace('#2', ''))).toEqual(numbers(60_000, 100_000))
    expect([await count(), den.counts(Q)]).toEqual([[0, 0], { messages: 0, bytes: 0 }])
    expect(den.local.room.used).toBe(0)
  }, 60_000)

  test('leaves everything on disk that it can when memory is scarce', async () => {
    await den.begin({ ...roomy, maxMemory: 10_000 })
    const body = 'x'.repeat(1_000)
    for (let number = 0; number < 100; number++) await send(Q, `${number} ${body}`)
    expect(den.local.room.used).toBeLessThan(10_000)
    const fleeting = message('/queue/other', 'x'.repeat(9_000), { persistent: false })
    expect(await den.refusal({ type: 'send', message: fleeting })).toBe('memory-full')
    const consumer = await hand(Infinity)
    await settled(consumer)
    expect(consumer.log.map((text) => text.split(' ')[0])).toEqual(numbers(0, 100))
    expect(new Set(consumer.got.map((delivery) => delivery.message.body.length))).toEqual(
      new Set([1_002, 1_003]),
    )
    // They are read again where they are wanted again.
    await consumer.cancel()
    for (const delivery of consumer.got) await den.engine.commit([{ type: 'release', delivery }])
    expect((await browse()).map((text) => text.split(' ')[0])).toEqual(numbers(0, 100))
    const again = await hand(Infinity)
    await settled(again)
    expect(again.log.map((text) => text.split(' ')[0])).toEqual(numbers(0, 100))
  })

  test('shows each of them once, in order, those that are not on disk as well', async () => {
    await fill(0, MANY, (number) => ({ persistent: number % 7 !== 0 }))
    expect(await browse()).toEqual(numbers(0, MANY))
    const consumer = await take(5_500)
    expect(await browse()).toEqual(numbers(5_500, MANY))
    expect(consumer.log).toEqual(numbers(0, 5_500))
    const rest = await take(Infinity)
    expect(rest.log).toEqual(numbers(5_500, MANY))
  })

  test('shows what was there when somebody began to look, also when it is read late', async () => {
    await fill(0, MANY)
    await den.begin({ ...roomy, maxMemory: 1_000 })
    await fill(0, 1_000)
    const pages: (readonly Message[])[] = []
    for await (const page of den.engine.browse(Q)) {
      pages.push(page)
      if (pages.length === 1) {
        await send(Q, 'new')
        // Its content is gone from memory and disk before anybody reads what it was.
        await (await take(1_001)).cancel()
      }
    }
    expect(pages.flat().map(({ body }) => body.toString())).toEqual(numbers(0, pages.flat().length))
    expect(pages[0]).toHaveLength(100)
    expect(await count()).toEqual([0, 0])
  })

  test('in one batch, of which a part is not in the queue yet when others are taken', async () => {
    // They are on disk all at once, and come into the queue little by little.
    const consumer = idle(Q, false, { accepts: ({ headers }) => headers.get('kind') === 'wanted' })
    consumer.react = () => consumer.consumption.grant(1)
    consumer.consumption.grant(1)
    den.hold()
    const outcomes: Promise<void>[] = []
    for (const body of numbers(0, MANY)) {
      const kind = Number(body) % 2 === 0 ? 'wanted' : 'other'
      outcomes.push(
        Promise.resolve(den.engine.commit([{ type: 'send', message: message(Q, body, {}, { kind }) }])),
      )
    }
    await turn()
    den.go()
    for (let turns = 0; turns < 200; turns++) {
      vi.advanceTimersByTime(1)
      await turn()
    }
    await Promise.all(outcomes)
    await settled(consumer)
    const even = numbers(0, MANY).filter((body) => Number(body) % 2 === 0)
    expect(consumer.log).toEqual(even)
    expect(await count()).toEqual([MANY / 2, MANY / 2])
    expect(await browse()).toEqual(numbers(0, MANY).filter((body) => Number(body) % 2 === 1))
  })

  test('the same with a consumer that comes while they do', async () => {
    // So that no page ends where the queue does.
    await send(Q, 'first')
    // Who is there when they are sent need not wait until it is on disk that it may have had them.
    const consumer = idle(Q)
    den.hold()
    const outcomes = numbers(0, MANY).map((body) =>
      Promise.resolve(den.engine.commit([{ type: 'send', message: message(Q, body) }])),
    )
    await turn()
    den.go()
    // The window and some pages are there, and the others only on disk.
    while ((await count())[0] < 5_000) await turn()
    await consumer.grant(Infinity)
    await Promise.all(outcomes)
    await settled(consumer)
    expect(consumer.log).toEqual(['first', ...numbers(0, MANY)])
    expect(await count()).toEqual([0, MANY + 1])
    for (const delivery of consumer.got) void den.engine.commit([{ type: 'ack', delivery }])
    await den.settle()
    expect([await count(), den.counts(Q)]).toEqual([[0, 0], { messages: 0, bytes: 0 }])
  })

  test('takes back what was handed out in front of what is on disk', async () => {
    await fill(0, MANY)
    const consumer = await take(6_000, {}, false)
    await consumer.cancel()
    for (const delivery of consumer.got.slice(10)) void den.engine.commit([{ type: 'release', delivery }])
    const next = await take(Infinity)
    expect(next.log.map((body) => body.replace('#2', ''))).toEqual(numbers(10, MANY))
    expect(await count()).toEqual([0, 10])
  })

  test('keeps groups together', async () => {
    await fill(0, MANY, (number) => ({ group: `g${number % 10}` }))
    const [one, other] = [idle(Q), idle(Q)]
    for (let round = 0; round < 100; round++) {
      await one.grant(100)
      await other.grant(100)
    }
    await settled(one)
    const groups = (consumer: Hand): Set<string> => new Set(consumer.log.map((body) => body.at(-1) ?? ''))
    expect(one.got.length + other.got.length).toBe(MANY)
    expect(groups(one).size + groups(other).size).toBe(10)
    for (const { log } of [one, other]) expect(log).toEqual([...log].sort((a, b) => Number(a) - Number(b)))
  })

  test('gives out priorities in their order, also after a restart', async () => {
    await declare(Q, { lasting: true, maxPriority: 9 })
    await fill(0, MANY, (number) => ({ priority: number % 10 }))
    await den.pause('restart')
    const sorted = numbers(0, MANY).sort(
      (a, b) => (Number(b) % 10) - (Number(a) % 10) || Number(a) - Number(b),
    )
    expect(await browse()).toEqual(sorted)
    expect((await take(Infinity)).log).toEqual(sorted)
  })

  test('loses those that have expired, wherever they are', async () => {
    const now = Date.now()
    await fill(0, MANY, (number) => ({ expires: number % 2 === 0 ? now + 10_000 : 0 }))
    await den.advance(11_000)
    const odd = numbers(0, MANY).filter((body) => Number(body) % 2 === 1)
    expect(await browse()).toEqual(odd)
    expect((await take(Infinity)).log).toEqual(odd)
    expect(await count()).toEqual([0, 0])
    expect(den.stats.expired).toBe(MANY / 2)
  })

  test('all of which expire is empty soon, though nobody consumes', async () => {
    await den.begin({ ...roomy, maxQueueMessages: MANY })
    const now = Date.now()
    await fill(0, MANY, () => ({ expires: now + 10_000 }))
    expect(await den.refusal(...den.sends(Q, 'more'))).toBe('queue-full')
    vi.setSystemTime(now + 10_001)
    // Their room is wanted before the timer comes.
    expect(await den.refusal(...den.sends(Q, 'more'))).toBe('accepted')
    await den.advance(11_000)
    expect([await browse(), await count()]).toEqual([['more'], [1, 0]])
    expect(den.counts(Q).messages).toBe(1)
  })

  test('all of which expire become dead letters, also those that were there at a restart', async () => {
    await declare(Q, { lasting: true, messageLife: 10_000, deadLetters: parseDestination('/queue/retry') })
    await fill(0, MANY)
    await den.pause('crash', 5_000)
    expect(await count()).toEqual([MANY, 0])
    await den.advance(5_100)
    while ((await count())[0] > 0) await den.advance(100)
    expect(await count('/queue/retry')).toEqual([MANY, 0])
    expect(await browse('/queue/retry')).toEqual(numbers(0, MANY))
  })

  test('drops the oldest where it is to, and refuses where it is to', async () => {
    await declare(Q, { lasting: true, maxMessages: 6_000, overflow: 'drop-oldest', deadLetters: null })
    await fill(0, MANY)
    expect(await browse()).toEqual(numbers(4_000, MANY))
    await den.pause('crash')
    await fill(MANY, MANY + 3_000)
    expect((await take(Infinity)).log).toEqual(numbers(7_000, MANY + 3_000))
    await den.begin({ ...roomy, maxQueueMessages: 6_000 })
    await fill(0, 6_000)
    expect(await den.refusal(...den.sends(Q, 'more'))).toBe('queue-full')
    await den.pause('crash')
    expect(await den.refusal(...den.sends(Q, 'more'))).toBe('queue-full')
    await take(1)
    expect(await den.refusal(...den.sends(Q, 'more'))).toBe('accepted')
  })

  test('dropped for a durable subscription, the oldest first, wherever they are', async () => {
    await declare(Q, { lasting: true, topics: '/topic/t', maxMessages: 5_000 })
    for (let at = 0; at < MANY; at += 1_000)
      await commit(...den.sends('/topic/t', ...numbers(at, at + 1_000)))
    expect(await browse()).toEqual(numbers(5_000, MANY))
    await den.pause('crash')
    await commit(...den.sends('/topic/t', ...numbers(MANY, MANY + 10)))
    expect(await browse()).toEqual(numbers(5_010, MANY + 10))
  })

  test('that ends goes from the disk, while others are served', async () => {
    await fill(0, MANY)
    await send('/queue/other', '1')
    void den.engine.remove(Q)
    const consumer = await hand(1, '/queue/other')
    expect(consumer.log).toEqual(['1'])
    await den.settle()
    // Before it is all gone.
    await den.pause('crash')
    expect(await den.engine.inspect()).toHaveLength(1)
    while (den.left() > 1) await den.nap()
    await den.pause('crash')
    expect((await hand(1, '/queue/other')).log).toEqual(['1#2'])
  })
})
