import { expect, test } from 'vitest'
import { DLQ, Q, type Rig } from './rig.ts'

export function time(rig: Rig): void {
  const {
    message,
    sends,
    commit,
    send,
    post,
    count,
    info,
    idle,
    hand,
    declare,
    openWith,
    refusal,
    chapter,
    advance,
  } = rig
  const soon = (milliseconds: number): { expires: number } => ({ expires: Date.now() + milliseconds })

  chapter('expiry', () => {
    test('nobody gets a message when its time is over, not even before it was swept away', async () => {
      await post(Q, 'old', soon(100))
      await post(Q, 'young', soon(10_000))
      await send(Q, 'eternal')
      await advance(100)
      expect((await hand(9)).log).toEqual(['young', 'eternal'])
      expect(rig.stats.expired).toBe(1)
    })

    test('one that is in time is delivered', async () => {
      await post(Q, '1', soon(100))
      await advance(99)
      expect((await hand(9)).log).toEqual(['1'])
    })

    test('expired messages leave the count of their queue within a second or so, from any place', async () => {
      await send(Q, 'first')
      for (const life of [3_000, 100, 600, 2_000]) await post(Q, String(life), soon(life))
      await advance(2_100)
      expect(await count()).toEqual([2, 0])
      await advance(2_000)
      expect(await rig.browse()).toEqual(['first'])
      expect(rig.stats).toMatchObject({ expired: 4, deadLetters: 0 })
      expect(await info()).toMatchObject({ bytes: 5 })
    })

    test('a queue that held nothing else is gone then', async () => {
      await post(Q, '1', soon(100))
      await advance(2_000)
      expect(await rig.engine.inspect()).toEqual([])
    })

    test('they make room before a send is refused', async () => {
      await openWith({ maxQueueMessages: 2 })
      await send(Q, 'stays')
      await post(Q, 'swept', soon(100))
      await advance(150)
      await post(Q, 'x', soon(100))
      await advance(50)
      expect(await refusal(...sends(Q, 'late'))).toBe('queue-full')
      await advance(50)
      expect(await refusal(...sends(Q, 'late'))).toBe('accepted')
      expect(await count()).toEqual([2, 0])
    })

    test('a message that is out does not expire, but when it comes back', async () => {
      await post(Q, '1', soon(100))
      await post(Q, '2', soon(100))
      const consumer = await hand(2)
      await advance(5_000)
      expect(await count()).toEqual([0, 2])
      await consumer.does('ack', '1')
      await consumer.does('release', '2')
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1', '2'])
      expect(rig.stats.expired).toBe(1)
      expect(await count()).toEqual([0, 0])
    })

    test('the life of messages in a queue counts from their coming, and the shorter time counts', async () => {
      await declare(Q, { lasting: true, messageLife: 1_000 })
      await post(Q, 'short', soon(500))
      await post(Q, 'long', soon(50_000))
      await send(Q, 'none')
      await advance(600)
      expect(await rig.browse()).toEqual(['long', 'none'])
      await advance(500)
      expect(await rig.browse()).toEqual([])
      await advance(2_000)
      expect(await count()).toEqual([0, 0])
    })

    test('they become dead letters where the queue names some', async () => {
      await declare(Q, { lasting: true, deadLetters: message(DLQ, '').destination })
      await post(Q, '1', soon(100))
      await advance(2_000)
      const { headers } = (await hand(1, DLQ)).last.message
      expect(headers.get('dead-letter-reason')).toBe('expired')
      expect(headers.get('dead-letter-deliveries')).toBe('0')
      expect(headers.get('x-first-death-reason')).toBe('expired')
      expect(rig.stats).toMatchObject({ expired: 1, deadLetters: 1 })
    })

    test('where those are full they wait until there is room, and nobody gets them', async () => {
      await openWith({ maxQueueMessages: 1 })
      await declare(Q, { lasting: true, deadLetters: message(DLQ, '').destination })
      await send(DLQ, 'full')
      await post(Q, '1', soon(100))
      await advance(5_000)
      const consumer = await hand(9)
      expect(consumer.log).toEqual([])
      expect(await count()).toEqual([1, 0])
      await (await hand(1, DLQ)).does('ack')
      await advance(20_000)
      expect(consumer.log).toEqual([])
      expect(await count()).toEqual([0, 0])
      expect(rig.stats).toMatchObject({ expired: 1, deadLetters: 1 })
    })

    test('a topic message whose time is over reaches nobody', async () => {
      await rig.engine.watch('/topic/t')
      await post('/topic/t', 'late', soon(0))
      await post('/topic/t', 'in time', soon(1))
      expect(rig.heard.map(({ body }) => body.toString())).toEqual(['in time'])
      expect(rig.stats.expired).toBe(1)
    })

    test('among messages that are chosen from they expire just so', async () => {
      await declare(Q, { lasting: true, maxPriority: 9 })
      const picky = await hand(9, Q, false, { accepts: () => false })
      await post(Q, 'a', { ...soon(100), priority: 5 })
      await post(Q, 'b', { ...soon(5_000), priority: 1, group: 'g' })
      await post(Q, 'c', { ...soon(100), priority: 1, group: 'g' })
      await advance(1_500)
      expect(await rig.browse()).toEqual(['b'])
      expect(await count()).toEqual([1, 0])
      expect(picky.log).toEqual([])
    })

    test('those behind what was handed out already leave the others as they were', async () => {
      await send(Q, '1', '2')
      for (const body of ['3', '4', '5', '6']) await post(Q, body, soon(100))
      await send(Q, '7', '8')
      const consumer = await hand(1)
      await advance(2_000)
      expect(await count()).toEqual([3, 1])
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1', '2', '7', '8'])
    })

    test('so do those among what came back', async () => {
      await send(Q, '1')
      for (const body of ['2', '3']) await post(Q, body, soon(100))
      const gone = await hand(3)
      await gone.cancel()
      for (const body of ['3', '1', '2']) await gone.does('release', body)
      await advance(2_000)
      expect(await count()).toEqual([1, 0])
      expect((await hand(9)).log).toEqual(['1#2'])
      expect(await count()).toEqual([0, 1])
    })
  })

  chapter('delayed messages', () => {
    test('a message takes its place at the end when its time has come', async () => {
      const consumer = idle()
      await post(Q, 'late', { delay: 500 })
      await send(Q, '1')
      await advance(499)
      await send(Q, '2')
      await advance(1)
      await send(Q, '3')
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1', '2', 'late', '3'])
      expect(consumer.last.attempt).toBe(1)
    })

    test('those due at once come in the order sent', async () => {
      const consumer = await hand(9)
      await post(Q, 'b', { delay: 200 })
      await post(Q, 'c', { delay: 200 })
      await post(Q, 'a', { delay: 100 })
      await advance(1_000)
      expect(consumer.log).toEqual(['a', 'b', 'c'])
    })

    test('they count as ready at once, and against the bounds', async () => {
      await openWith({ maxQueueMessages: 1 })
      await post(Q, '1', { delay: 500 })
      expect(await info()).toMatchObject({ ready: 1, unacked: 0, bytes: 1 })
      expect(await refusal(...sends(Q, '2'))).toBe('queue-full')
      await advance(500)
      expect((await hand(1)).log).toEqual(['1'])
    })

    test('a delayed topic message reaches the host when it is due', async () => {
      await rig.engine.watch('/topic/t')
      await post('/topic/t', 'late', { delay: 500 })
      await send('/topic/t', 'now')
      await advance(499)
      expect(rig.heard.map(({ body }) => body.toString())).toEqual(['now'])
      await advance(1)
      expect(rig.heard.map(({ body }) => body.toString())).toEqual(['now', 'late'])
    })

    test.each([
      ['messages', { maxQueueMessages: 2 }],
      ['bytes', { maxQueueBytes: 2 }],
    ])('those of all topics together are bounded in %s', async (_what, bounds) => {
      await openWith(bounds)
      await post('/topic/t', '1', { delay: 500 })
      await post('/topic/u', '2', { delay: 600 })
      const delayed = { type: 'send', message: message('/topic/v', '3', { delay: 100 }) } as const
      expect(await refusal(...sends(Q, 'x'), delayed)).toBe('schedule-full')
      expect(await count()).toEqual([0, 0])
      await advance(500)
      expect(await refusal(delayed)).toBe('accepted')
    })

    test('a delay longer than a timer can be is not cut short', async () => {
      const month = 31 * 24 * 3_600_000
      const consumer = await hand(9)
      await post(Q, '1', { delay: month })
      await advance(month - 1)
      expect(consumer.log).toEqual([])
      await advance(1)
      expect(consumer.log).toEqual(['1'])
    })

    test('one that expires before its time comes is never seen', async () => {
      const consumer = await hand(9)
      await post(Q, '1', { ...soon(100), delay: 5_000 })
      await advance(2_000)
      expect(await count()).toEqual([0, 0])
      await advance(5_000)
      expect(consumer.log).toEqual([])
    })

    test('it keeps its group and its priority', async () => {
      await declare(Q, { lasting: true, maxPriority: 9 })
      await post(Q, 'high', { delay: 100, priority: 9 })
      await post(Q, 'low', { priority: 1 })
      await advance(100)
      expect((await hand(9)).log).toEqual(['high', 'low'])
    })

    test('nothing is delivered after the end of its queue or its engine', async () => {
      await post(Q, '1', { delay: 500 })
      await rig.remove(Q)
      const consumer = await hand(9)
      await advance(1_000)
      await post(Q, '2', { delay: 500 })
      await post('/topic/t', '3', { delay: 500 })
      await rig.engine.close()
      await advance(1_000)
      expect([consumer.log, rig.heard]).toEqual([[], []])
    })

    test('many that are due at once are all delivered', async () => {
      await openWith({ maxQueueMessages: 10_000 })
      const consumer = await hand(10_000, Q, true)
      await commit(
        ...Array.from({ length: 10_000 }, (_, index) => ({
          type: 'send' as const,
          message: message(Q, String(index), { delay: 100 }),
        })),
      )
      await advance(200)
      expect(consumer.log).toEqual(Array.from({ length: 10_000 }, (_, index) => String(index)))
    })
  })
}
