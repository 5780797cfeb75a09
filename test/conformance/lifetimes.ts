import { expect, test } from 'vitest'
import type { Destination } from '../../broker/protocol/destination.ts'
import { Q, type Rig } from './rig.ts'

export function lifetimes(rig: Rig): void {
  const { sends, commit, send, post, info, count, hand, declare, remove, code, chapter, advance } = rig

  chapter('lifetimes of queues', () => {
    test('a lasting one stays when it is empty and alone', async () => {
      await declare(Q, { lasting: true, maxMessages: 1 })
      await send(Q, '1')
      const consumer = await hand(1)
      await consumer.does('ack')
      await consumer.cancel()
      expect(await info()).toMatchObject({ ready: 0, unacked: 0, consumers: 0 })
      expect(await rig.refusal(...sends(Q, '1', '2'))).toBe('queue-full')
    })

    test('one that is declared is there, and any other goes when it is empty and alone, with its terms', async () => {
      await declare(Q, { maxMessages: 1 })
      expect(await info()).toMatchObject({ ready: 0, consumers: 0 })
      await send(Q, '1')
      const consumer = await hand(1)
      await consumer.does('ack')
      await consumer.cancel()
      expect(await info()).toBeUndefined()
      expect(await rig.refusal(...sends(Q, '1', '2'))).toBe('accepted')
    })

    test('the first terms count', async () => {
      await declare(Q, { maxMessages: 2 })
      await declare(Q, { maxMessages: 1, lasting: true })
      expect(await rig.refusal(...sends(Q, '1', '2'))).toBe('accepted')
    })

    test('consumers alone do not make a queue somebody’s: it takes the terms that are given first', async () => {
      const consumer = await hand(0)
      await declare(Q, { maxMessages: 2 })
      expect(await rig.refusal(...sends(Q, '1', '2', '3'))).toBe('queue-full')
      expect(await rig.refusal(...sends(Q, '1', '2'))).toBe('accepted')
      await consumer.cancel()
    })

    test.each([
      ['bounds', { maxMessages: 0, maxBytes: 0 }],
      ['bounds beside priorities', { maxMessages: 0, maxPriority: 9 }],
      ['an idle life', { idleLife: 100 }],
      ['an end with its last consumer', { autoDelete: true }],
      ['a life of messages', { messageLife: 1 }],
      ['another overflow', { overflow: 'drop-oldest', maxMessages: 1 }],
      ['other dead letters', { deadLetters: null }],
    ] as const)('messages that wait without terms are not given any: %s', async (_what, terms) => {
      await send(Q, '1')
      await declare(Q, terms)
      expect(await rig.refusal(...sends(Q, '2', '3'))).toBe('accepted')
      await advance(5_000)
      const consumer = await hand(1)
      await consumer.does('reject')
      await consumer.cancel()
      expect(await rig.browse(Q)).toEqual(['2', '3'])
      expect(await rig.browse('/queue/DLQ.q')).toEqual(['1'])
    })

    test('what was handed out is a message as well', async () => {
      const consumer = await hand(1)
      await send(Q, '1')
      await declare(Q, { autoDelete: true })
      await consumer.cancel()
      await consumer.does('release')
      expect(await count()).toEqual([1, 0])
    })

    test('one that deletes itself ends with its last consumer, and with all it holds', async () => {
      await declare(Q, { lasting: true, autoDelete: true })
      await send(Q, '1', '2')
      const [first, second] = [await hand(1), await hand(0)]
      await first.cancel()
      expect(await count()).toEqual([1, 1])
      await second.cancel()
      expect(await info()).toBeUndefined()
      await first.does('release')
      expect(await info()).toBeUndefined()
      await send(Q, '3')
      await first.does('ack')
      expect(await count()).toEqual([1, 0])
    })

    test('one with an idle life ends when nobody consumed from it for that long', async () => {
      await declare(Q, { idleLife: 1_000 })
      await send(Q, '1')
      await advance(900)
      const consumer = await hand(0)
      await advance(5_000)
      expect(await count()).toEqual([1, 0])
      await consumer.cancel()
      await advance(999)
      expect(await count()).toEqual([1, 0])
      await advance(1)
      expect(await info()).toBeUndefined()
    })

    test('to be declared again is a sign of life', async () => {
      await declare(Q, { idleLife: 1_000 })
      await advance(900)
      await declare(Q, { idleLife: 1_000 })
      await advance(900)
      expect(await info()).toBeDefined()
      await advance(100)
      expect(await info()).toBeUndefined()
    })

    test('the idle life of a removed queue is not that of the next one of its name', async () => {
      await declare(Q, { idleLife: 1_000 })
      await remove(Q)
      await declare(Q, { lasting: true })
      await advance(5_000)
      expect(await info()).toBeDefined()
    })
  })

  chapter('removed queues', () => {
    test('a removed queue is gone with all it holds, and its consumers get nothing more', async () => {
      const consumer = await hand(1)
      await send(Q, '1', '2')
      await remove(Q)
      expect(await info()).toBeUndefined()
      await send(Q, '3')
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1'])
      for (const type of ['ack', 'nack', 'reject', 'release'] as const) await consumer.does(type)
      await consumer.cancel()
      expect(await info()).toMatchObject({ ready: 1, unacked: 0, consumers: 0 })
      expect((await hand(9)).log).toEqual(['3'])
    })

    test('if it is to be unused, one with consumers stays as it is', async () => {
      const consumer = await hand(1)
      await send(Q, '1', '2')
      expect(await code(() => rig.engine.remove(Q, true))).toBe('durable-in-use')
      await consumer.grant(1)
      expect(consumer.log).toEqual(['1', '2'])
      await consumer.cancel()
      await rig.engine.remove(Q, true)
      expect(await info()).toBeUndefined()
    })

    test('to remove one that is not there changes nothing', async () => {
      await remove(Q)
      expect(await rig.engine.inspect()).toEqual([])
    })

    test.each([false, true])(
      'removed from inside deliver, it hands out nothing more (chosen from: %s)',
      async (chosen) => {
        const consumer = await hand(0, Q, false, chosen ? { accepts: () => true } : {})
        consumer.react = () => void rig.engine.remove(Q)
        await send(Q, '1', '2')
        await consumer.grant(9)
        expect(consumer.log).toEqual(['1'])
        expect(await info()).toBeUndefined()
      },
    )
  })

  chapter('reply queues', () => {
    const reply: Destination = { kind: 'queue', name: '/reply/1', shown: '/reply/1', temporary: true }

    test('a message to one that is not declared, or not any more, is dropped and counted', async () => {
      await post(reply, '1', {})
      expect(rig.stats.unroutable).toBe(1)
      await declare(reply.name, { lasting: true })
      await post(reply, '2', {})
      const consumer = await hand(9, reply.name)
      expect(consumer.log).toEqual(['2'])
      await remove(reply.name)
      await post(reply, '3', {})
      expect(rig.stats.unroutable).toBe(2)
      expect(await rig.engine.inspect()).toEqual([])
    })

    test('one that is gone refuses nothing, and does not hold up a batch', async () => {
      await rig.openWith({ maxQueueMessages: 1 })
      await commit(
        ...['1', '2'].map((body) => ({ type: 'send' as const, message: rig.message(reply, body) })),
        ...sends(Q, 'x'),
      )
      expect(rig.stats.unroutable).toBe(2)
      expect(await count()).toEqual([1, 0])
    })
  })
}
