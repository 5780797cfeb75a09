import { expect, test } from 'vitest'
import type { Message } from '../../broker/model/message.ts'
import { Q, type Hand, type Rig } from './rig.ts'

export function choice(rig: Rig): void {
  const { message, sends, commit, send, post, info, count, idle, hand, declare, openWith, chapter } = rig

  /** A test for the header `kind`. */
  const kind =
    (...kinds: string[]) =>
    ({ headers }: Message): boolean =>
      kinds.includes(headers.get('kind') ?? '')
  const sendKind = (body: string, value: string): Promise<Message> => post(Q, body, {}, { kind: value })
  const selective = (credits: number, ...kinds: string[]): Promise<Hand> =>
    hand(credits, Q, false, { accepts: kind(...kinds) })

  chapter('priorities', () => {
    const sendAll = async (priorities: Record<string, number | undefined>): Promise<void> => {
      for (const [body, priority] of Object.entries(priorities)) await post(Q, body, { priority })
    }

    test('a queue that did not declare any hands out in the order sent', async () => {
      await sendAll({ low: 0, high: 9, none: undefined })
      expect((await hand(9)).log).toEqual(['low', 'high', 'none'])
    })

    test('higher ones come first, and equal ones in the order sent', async () => {
      await declare(Q, { maxPriority: 9 })
      await sendAll({ a1: 1, a5: 5, b1: 1, b5: 5, a9: 9 })
      expect((await hand(9)).log).toEqual(['a9', 'a5', 'b5', 'a1', 'b1'])
    })

    test('none counts as the lowest, and what is above the maximum as the maximum', async () => {
      await declare(Q, { maxPriority: 3 })
      await sendAll({ none: undefined, one: 1, three: 3, nine: 9, zero: 0 })
      expect((await hand(9)).log).toEqual(['three', 'nine', 'one', 'none', 'zero'])
    })

    test('a queue prioritized by the settings keeps ten apart, and none counts as 4', async () => {
      await openWith({ prioritized: (queue) => queue === Q })
      await sendAll({ three: 3, none: undefined, four: 4, five: 5, nine: 9 })
      expect((await hand(9)).log).toEqual(['nine', 'five', 'none', 'four', 'three'])
      await post('/queue/other', 'low', { priority: 1 })
      await post('/queue/other', 'high', { priority: 8 })
      expect((await hand(9, '/queue/other')).log).toEqual(['low', 'high'])
    })

    test('the terms of a queue count for more than the settings', async () => {
      await openWith({ prioritized: () => true })
      await declare(Q, { maxPriority: 0 })
      await sendAll({ low: 0, high: 9 })
      expect((await hand(9)).log).toEqual(['low', 'high'])
    })

    test('a message that comes back is before its equals and after its betters', async () => {
      await declare(Q, { maxPriority: 9 })
      await sendAll({ a5: 5, b5: 5 })
      const consumer = await hand(1)
      await sendAll({ c5: 5, d7: 7, e4: 4 })
      await consumer.does('release')
      await consumer.grant(9)
      expect(consumer.log).toEqual(['a5', 'd7', 'a5#2', 'b5', 'c5', 'e4'])
    })

    test('declared while messages wait and are out, they put them in order', async () => {
      await sendAll({ a1: 1, b9: 9, c5: 5, d9: 9 })
      const consumer = await hand(1)
      await declare(Q, { maxPriority: 9 })
      await consumer.does('release')
      await sendAll({ e5: 5 })
      await consumer.grant(9)
      expect(consumer.log).toEqual(['a1', 'b9', 'd9', 'c5', 'e5', 'a1#2'])
    })
  })

  chapter('selective consumers', () => {
    test('each gets what it takes, in order, and the others get the rest', async () => {
      const [a, b, any] = [await selective(9, 'a'), await selective(9, 'b'), await hand(1)]
      for (const [body, value] of ['1a', '2b', '3c', '4a', '5b', '6c'].map(
        (text) => [text, text[1] ?? ''] as const,
      ))
        await sendKind(body, value)
      expect(any.log.length).toBe(1)
      expect([...a.log, ...b.log, ...any.log, '6c'].sort()).toEqual(['1a', '2b', '3c', '4a', '5b', '6c'])
      expect(a.log).toEqual(a.log.filter((body) => body.endsWith('a')).sort())
      expect(await count()).toEqual([1, 5])
    })

    test('what nobody takes stays, and goes to the first who does', async () => {
      const a = await selective(9, 'a')
      await sendKind('1', 'b')
      await sendKind('2', 'a')
      await sendKind('3', 'c')
      expect(a.log).toEqual(['2'])
      expect(await count()).toEqual([2, 1])
      expect((await selective(9, 'c')).log).toEqual(['3'])
      expect((await hand(9)).log).toEqual(['1'])
    })

    test('what it does not take does not stand in its way', async () => {
      for (const body of ['1b', '2a', '3b', '4a']) await sendKind(body, body[1] ?? '')
      const a = await selective(1, 'a')
      expect(a.log).toEqual(['2a'])
      await a.grant(1)
      expect(a.log).toEqual(['2a', '4a'])
      expect((await hand(9)).log).toEqual(['1b', '3b'])
    })

    test('a message that came while it had no credit is not missed', async () => {
      const a = await selective(1, 'a')
      for (const body of ['1a', '2b', '3a', '4a']) await sendKind(body, body[1] ?? '')
      await a.grant(1)
      await sendKind('5a', 'a')
      await a.grant(9)
      expect(a.log).toEqual(['1a', '3a', '4a', '5a'])
    })

    test.each(['nack', 'release'] as const)(
      'what comes back by %s is seen again in its place',
      async (type) => {
        const [other, a] = [await selective(1, 'a', 'b'), await selective(1, 'a')]
        for (const body of ['1a', '2a', '3b', '4a', '5a']) await sendKind(body, body[1] ?? '')
        expect([other.log, a.log]).toEqual([['1a'], ['2a']])
        await a.grant(1)
        expect(a.log).toEqual(['2a', '4a'])
        await other.does(type, '1a')
        await a.grant(9)
        expect(a.log).toEqual(['2a', '4a', '1a#2', '5a'])
      },
    )

    test('the latest message, back in its place, is seen by one who had looked that far', async () => {
      const [one, two] = [await selective(1, 'a'), await selective(1, 'b')]
      await sendKind('1a', 'a')
      await sendKind('2b', 'b')
      const watcher = await selective(1, 'a', 'b')
      await one.cancel()
      await one.does('release')
      await two.cancel()
      await two.does('release')
      expect(watcher.log).toEqual(['1a#2'])
      await watcher.grant(1)
      expect(watcher.log).toEqual(['1a#2', '2b#2'])
    })

    test('a nacked message goes to another who takes it, not to one who does not', async () => {
      const [a, b, c] = [await selective(9, 'a'), await selective(9, 'b'), await selective(0, 'a')]
      await sendKind('1', 'a')
      await c.grant(9)
      await a.does('nack')
      expect([a.log, b.log, c.log]).toEqual([['1'], [], ['1#2']])
      await c.cancel()
      await c.does('nack')
      expect([a.log, b.log]).toEqual([['1', '1#3'], []])
      await a.does('nack')
      expect(a.log).toEqual(['1', '1#3', '1#4'])
    })

    test('a message is looked at about once by each, however many wait', async () => {
      let looks = 0
      const accepts = ({ headers }: Message): boolean => {
        looks++
        return headers.get('kind') === 'mine'
      }
      for (let index = 0; index < 300; index++) await sendKind('', 'others')
      const consumers = [
        await hand(1, Q, false, { accepts }),
        await hand(1, Q, false, { accepts }),
        await hand(1, Q, false, { accepts }),
      ]
      for (let index = 0; index < 100; index++) {
        await sendKind(String(index), 'mine')
        for (const consumer of consumers) {
          if (consumer.got.length === 0) continue
          await consumer.does('ack')
          await consumer.grant(1)
        }
      }
      expect(consumers.reduce((sum, { got }) => sum + got.length, 0)).toBe(100)
      expect(looks).toBeLessThan(3 * 300 + 6 * 100)
    })

    test('once they are gone and all is taken, everybody gets everything again', async () => {
      const a = await selective(9, 'a')
      await sendKind('1', 'b')
      await a.cancel()
      const consumer = await hand(9)
      await send(Q, '2', '3')
      await consumer.does('release', '2')
      expect(consumer.log).toEqual(['1', '2', '3', '2#2'])
    })

    test('one that comes while a long backlog is handed out is not given what it does not take', async () => {
      await send(Q, '1', '2', '3', '4')
      await sendKind('5', 'a')
      const consumer = idle()
      let a: Hand | undefined
      consumer.react = () => {
        if (a !== undefined) return
        a = idle(Q, false, { accepts: kind('a') })
        a.consumption.grant(9)
      }
      await consumer.grant(3)
      expect([consumer.log, a?.log]).toEqual([['1', '2', '3'], ['5']])
    })

    test('a message that comes back again and again is not looked at by those who know it', async () => {
      let looks = 0
      const others = await Promise.all(
        [1, 2].map(() =>
          hand(1, Q, false, {
            accepts: () => {
              looks++
              return false
            },
          }),
        ),
      )
      const a = await selective(200, 'a')
      for (let index = 0; index < 100; index++) await sendKind('', 'others')
      await sendKind('1', 'a')
      for (let index = 0; index < 100; index++) await a.does('nack')
      expect(a.last.attempt).toBe(101)
      expect(looks).toBeLessThanOrEqual(2 * 201)
      expect(others.flatMap(({ got }) => got)).toEqual([])
    })

    test('a refused message is back in its place after its delay', async () => {
      await openWith({ redeliveryDelay: 100, maxRedeliveryDelay: 100 })
      const a = await selective(2, 'a')
      for (const body of ['1a', '2b', '3a']) await sendKind(body, body[1] ?? '')
      await a.does('nack', '1a')
      await a.grant(1)
      await a.does('nack', '1a')
      await rig.advance(100)
      await a.grant(9)
      expect(a.log).toEqual(['1a', '3a', '1a#2', '1a#3'])
      await sendKind('4a', 'a')
      await a.cancel()
      await a.does('release', '4a')
      await a.does('release', '1a')
      expect(await rig.browse()).toEqual(['1a', '2b', '4a'])
    })

    test('what came back is looked at again once, and not each time', async () => {
      let looks = 0
      const accepts = ({ headers }: Message): boolean => {
        looks++
        return headers.get('kind') === 'mine'
      }
      for (let index = 0; index < 100; index++) await sendKind('', 'others')
      const taker = await hand(100)
      const mine = await hand(1, Q, false, { accepts })
      await sendKind('0', 'mine')
      await taker.cancel()
      for (const delivery of taker.got) await commit({ type: 'release', delivery })
      for (let index = 1; index <= 50; index++) {
        await sendKind(String(index), 'mine')
        await mine.grant(1)
      }
      expect(mine.got).toHaveLength(51)
      expect(looks).toBeLessThan(300)
    })
  })

  chapter('message groups', () => {
    const sendGroup = async (...bodies: string[]): Promise<void> => {
      for (const body of bodies) await post(Q, body, { group: body.replace(/\d/g, '') })
    }

    test('all of a group goes to one consumer, and new groups to each in turn', async () => {
      const [x, y] = [await hand(9), await hand(9)]
      await sendGroup('a1', 'b1', 'a2', 'a3', 'b2', 'c1', 'd1')
      expect([x.log, y.log]).toEqual([
        ['a1', 'a2', 'a3', 'c1'],
        ['b1', 'b2', 'd1'],
      ])
    })

    test('its consumer gets what it refused at once, since nobody else may', async () => {
      const order: string[] = []
      const [owner, other] = [await hand(1), await hand(0)]
      await post(Q, 'g', { group: 'g' })
      await send(Q, '1', '2', '3', '4')
      await owner.does('nack')
      owner.react = ({ message: { body } }) => void order.push(`owner ${body.toString()}`)
      other.react = ({ message: { body } }) => {
        order.push(body.toString())
        if (order.length === 1) owner.consumption.grant(1)
      }
      await other.grant(4)
      expect(order.slice().sort()).toEqual(['1', '2', '3', '4', 'owner g'])
      expect(order.indexOf('owner g')).toBeLessThan(3)
    })

    test('a group waits for its consumer, and nobody else waits for it', async () => {
      const [x, y] = [await hand(1), await hand(9)]
      await sendGroup('a1', 'a2', 'b1', 'a3')
      await send(Q, 'free')
      expect([x.log, y.log]).toEqual([['a1'], ['b1', 'free']])
      await x.grant(9)
      expect(x.log).toEqual(['a1', 'a2', 'a3'])
    })

    test('it keeps its consumer while it has no message', async () => {
      const [x, y] = [await hand(9), await hand(9)]
      await sendGroup('a1')
      await x.does('ack')
      await sendGroup('b1', 'a2')
      expect([x.log, y.log]).toEqual([['a1', 'a2'], ['b1']])
    })

    test('when its consumer leaves it is free again, with what waits of it', async () => {
      const [x, y] = [await hand(1), await hand(2)]
      await sendGroup('a1', 'a2', 'b1', 'a3')
      await x.cancel()
      expect(y.log).toEqual(['b1', 'a2'])
      await x.does('release', 'a1')
      await y.grant(9)
      expect(y.log).toEqual(['b1', 'a2', 'a1#2', 'a3'])
    })

    test.each(['nack', 'release'] as const)(
      'a message that comes back by %s goes to the same consumer',
      async (type) => {
        const [x, y] = [await hand(9), await hand(9)]
        await sendGroup('a1', 'a2')
        await x.does(type, 'a1')
        expect([x.log, y.log]).toEqual([['a1', 'a2', 'a1#2'], []])
      },
    )

    test('a consumer gets only those of its groups that it takes', async () => {
      const x = await hand(9, Q, false, { accepts: ({ body }) => body.toString() !== 'a2' })
      const y = await hand(9)
      await sendGroup('a1', 'a2', 'a3')
      expect([x.log, y.log]).toEqual([['a1', 'a3'], []])
      await x.cancel()
      expect(y.log).toEqual(['a2'])
    })
  })

  chapter('exclusive consumers', () => {
    const exclusive = (credits: number): Promise<Hand> => hand(credits, Q, false, { exclusive: true })

    test('while there is one nobody else gets anything', async () => {
      const other = await hand(9)
      const first = await exclusive(2)
      const late = await hand(9)
      await send(Q, '1', '2', '3')
      expect([other.log, first.log, late.log]).toEqual([[], ['1', '2'], []])
      await first.grant(1)
      expect(first.log).toEqual(['1', '2', '3'])
    })

    test('the next one follows it, and after the last all others, with the credit they had', async () => {
      const [other, first, second] = [await hand(9), await exclusive(1), await exclusive(1)]
      await send(Q, '1', '2', '3')
      expect([other.log, first.log, second.log]).toEqual([[], ['1'], []])
      await first.cancel()
      expect(second.log).toEqual(['2'])
      await second.cancel()
      expect(other.log).toEqual(['3'])
      await first.does('release')
      expect(other.log).toEqual(['3', '1#2'])
    })

    test('one that leaves before its turn changes nothing', async () => {
      const [other, first, second] = [await hand(9), await exclusive(9), await exclusive(9)]
      await second.cancel()
      await send(Q, '1')
      expect([other.log, first.log, second.log]).toEqual([[], ['1'], []])
      await first.cancel()
      await send(Q, '2')
      expect(other.log).toEqual(['2'])
    })

    test('it gets the groups that others had', async () => {
      const other = await hand(1)
      await post(Q, 'a1', { group: 'a' })
      await post(Q, 'a2', { group: 'a' })
      const first = await exclusive(9)
      expect([other.log, first.log]).toEqual([['a1'], ['a2']])
    })

    test.each([false, true])(
      'when it leaves, what one refused goes to another (chosen from: %s)',
      async (chosen) => {
        const refusing = await hand(9)
        const another = await hand(0)
        if (chosen) await selective(1, 'none')
        await send(Q, '1')
        const own = await exclusive(0)
        await another.grant(9)
        await refusing.does('nack')
        await own.cancel()
        expect([refusing.log, another.log]).toEqual([['1'], ['1#2']])
      },
    )

    test('when it leaves, of several that were refused each goes to another if one takes it', async () => {
      const all = await hand(1)
      const some = await selective(1, 'b')
      await sendKind('1', 'a')
      await sendKind('2', 'b')
      const own = await exclusive(0)
      await all.grant(2)
      await some.grant(1)
      await all.does('nack')
      await some.does('nack')
      await own.cancel()
      expect([all.log, some.log]).toEqual([['1', '1#2', '2#2'], ['2']])
    })
  })

  chapter('consumer priorities', () => {
    test('those of a higher priority come first while they have credit', async () => {
      const low = await hand(9, Q, false, { priority: -1 })
      const usual = await hand(2)
      const high = await hand(2, Q, false, { priority: 5 })
      const equal = await hand(1, Q, false, { priority: 5 })
      await send(Q, '1', '2', '3', '4', '5', '6')
      expect([high.log, equal.log, usual.log, low.log]).toEqual([['1', '3'], ['2'], ['4', '5'], ['6']])
      await high.grant(1)
      await send(Q, '7')
      expect(high.log).toEqual(['1', '3', '7'])
    })

    test('a message refused by one is offered to a lower one first', async () => {
      const low = await hand(9, Q, false, { priority: -1 })
      const high = await hand(9, Q, false, { priority: 5 })
      await send(Q, '1')
      await high.does('nack')
      expect([high.log, low.log]).toEqual([['1'], ['1#2']])
      await low.cancel()
      await low.does('nack')
      expect(high.log).toEqual(['1', '1#3'])
    })

    test('one who does not take a message leaves it to a lower one', async () => {
      const low = await hand(9)
      const high = await hand(9, Q, false, { priority: 5, accepts: kind('a') })
      await commit(...sends(Q, '1'), { type: 'send', message: message(Q, '2', {}, { kind: 'a' }) })
      expect([high.log, low.log]).toEqual([['2'], ['1']])
      expect(await info()).toMatchObject({ consumers: 2 })
    })
  })
}
