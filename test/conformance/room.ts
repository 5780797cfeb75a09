import { expect, test } from 'vitest'
import type { Overflow } from '../../broker/engine/engine.ts'
import type { EngineSettings } from '../../broker/engine/settings.ts'
import type { Op } from '../../broker/model/message.ts'
import { StompError } from '../../broker/protocol/errors.ts'
import { DLQ, Q, type Rig } from './rig.ts'

export function room(rig: Rig): void {
  const { sends, commit, send, refusal, info, hand, openWith, chapter, count, declare, settle, advance } = rig

  chapter('bounds', () => {
    const refusals: [string, Partial<EngineSettings>, string[]][] = [
      ['messages', { maxQueueMessages: 3 }, ['', '', '']],
      ['bytes', { maxQueueBytes: 6 }, ['12', '345', '6']],
    ]

    test.each(refusals)(
      'the bound on %s may be met and not crossed by one',
      async (_what, bounds, bodies) => {
        await openWith(bounds)
        await send(Q, ...bodies)
        expect(await refusal(...sends(Q, '1'))).toBe('queue-full')
        expect(await info()).toMatchObject({ ready: 3, bytes: bodies.join('').length })
        expect(await refusal(...sends('/queue/other', '1'), ...sends('/topic/t', '1'))).toBe('accepted')
      },
    )

    test.each(refusals)('a batch is measured by its sum (%s)', async (_what, bounds, bodies) => {
      await openWith(bounds)
      expect(await refusal(...sends(Q, ...bodies, '1'))).toBe('queue-full')
      expect(await info()).toBeUndefined()
      expect(await refusal(...sends(Q, ...bodies))).toBe('accepted')
    })

    test('a bound in bytes counts bytes, not characters', async () => {
      await openWith({ maxQueueBytes: 4 })
      expect(await refusal(...sends(Q, 'ää1'))).toBe('queue-full')
      expect(await refusal(...sends(Q, 'ää'))).toBe('accepted')
    })

    test('what is handed out and not acked counts; an ack makes room', async () => {
      await openWith({ maxQueueMessages: 2 })
      const consumer = await hand(9)
      await send(Q, '1', '2')
      expect(await refusal(...sends(Q, '3'))).toBe('queue-full')
      await commit({ type: 'ack', delivery: consumer.of('1') })
      expect(await refusal(...sends(Q, '3'))).toBe('accepted')
    })

    test('what an auto consumer takes does not count', async () => {
      await openWith({ maxQueueMessages: 1, maxQueueBytes: 1 })
      const consumer = await hand(9, Q, true)
      await send(Q, '1', '2', '3')
      expect(consumer.log).toEqual(['1', '2', '3'])
    })

    test.each(['nack', 'release'] as const)(
      'a message that comes back by %s always has room',
      async (type) => {
        await openWith({ maxQueueMessages: 2, maxQueueBytes: 2 })
        const consumer = await hand(1)
        await send(Q, '1', '2')
        expect(await refusal({ type, delivery: consumer.last })).toBe('accepted')
        expect(await info()).toMatchObject({ ready: 2, unacked: 0, bytes: 2 })
      },
    )
  })

  chapter('atomic batches', () => {
    test('a refused batch applies nothing of it', async () => {
      expect(rig.engine.commits).toBe('atomic')
      await openWith({ maxQueueMessages: 2 })
      const consumer = await hand(1)
      await send(Q, '1', '2')
      const before = await rig.engine.inspect()
      const batch: Op[] = [
        { type: 'ack', delivery: consumer.last },
        ...sends('/queue/other', 'x'),
        ...sends('/topic/t', 'x'),
        ...sends(Q, '3', '4'),
      ]
      expect(await refusal(...batch)).toBe('queue-full')
      expect(await rig.engine.inspect()).toEqual(before)
      expect(rig.heard).toEqual([])
      // Nor is the ack in it forgotten: it can be given again.
      await commit({ type: 'ack', delivery: consumer.last })
      expect(await info()).toMatchObject({ ready: 1, unacked: 0 })
    })
  })

  chapter('queues that drop their oldest', () => {
    const dropping = { overflow: (): Overflow => 'drop-oldest' }

    test('the oldest that wait make room, and become dead letters', async () => {
      await openWith({ ...dropping, maxQueueMessages: 3 })
      const consumer = await hand(1)
      await send(Q, 'out', '1', '2', '3', '4')
      await consumer.grant(9)
      expect(consumer.log).toEqual(['out', '3', '4'])
      const auditor = await hand(9, DLQ)
      expect(auditor.log).toEqual(['1', '2'])
      expect(auditor.last.message.headers.get('dead-letter-reason')).toBe('queue-full')
      expect(auditor.last.message.headers.get('x-first-death-reason')).toBe('maxlen')
      expect(auditor.last.message.headers.get('dead-letter-deliveries')).toBe('0')
      expect(rig.stats).toMatchObject({ deadLetters: 2, dropped: 0 })
    })

    test('as many go as a large one or a batch needs', async () => {
      await openWith({ ...dropping, maxQueueBytes: 6, deadLetters: false })
      await send(Q, '11', '22', '33')
      await send(Q, '444')
      expect(await rig.browse()).toEqual(['33', '444'])
      await commit(...sends(Q, '5', '6', '7'))
      expect(await rig.browse()).toEqual(['444', '5', '6', '7'])
      expect(rig.stats).toMatchObject({ dropped: 3, deadLetters: 0 })
    })

    test('what does not fit even then is refused, and drops nothing', async () => {
      await openWith({ ...dropping, maxQueueMessages: 3, maxQueueBytes: 9 })
      const consumer = await hand(1)
      await send(Q, 'out', '1')
      expect(await refusal(...sends(Q, 'too large at all'))).toBe('queue-full')
      expect(await refusal(...sends(Q, '2', '3', '4'))).toBe('queue-full')
      expect(await refusal(...sends(Q, '1234567'))).toBe('queue-full')
      expect(await rig.browse()).toEqual(['1'])
      expect(consumer.log).toEqual(['out'])
    })

    test('where the dead letters have no room the send is refused', async () => {
      await openWith({ maxQueueMessages: 2, overflow: (queue) => (queue === Q ? 'drop-oldest' : 'refuse') })
      await send(DLQ, 'full')
      await send(Q, '1', '2')
      expect(await refusal(...sends('/queue/other', 'x'), ...sends(Q, '3', '4'))).toBe('queue-full')
      expect(await refusal(...sends(DLQ, 'x'), ...sends(Q, '3'))).toBe('queue-full')
      expect(await info('/queue/other')).toBeUndefined()
      expect(await rig.browse()).toEqual(['1', '2'])
      expect(await refusal(...sends(Q, '3'))).toBe('accepted')
      await rig.settle()
      expect(await rig.browse(DLQ)).toEqual(['full', '1'])
      expect(await refusal(...sends(Q, '4'))).toBe('queue-full')
      expect(await rig.browse()).toEqual(['2', '3'])
    })

    test('dead letters that were handed out are no room for others', async () => {
      await openWith({ ...dropping, maxQueueMessages: 2 })
      await send(DLQ, 'a', 'b')
      const auditor = await hand(2, DLQ)
      await send(Q, '1', '2')
      expect(await refusal(...sends(Q, '3'))).toBe('queue-full')
      const consumer = await hand(1)
      await consumer.does('reject', '1')
      expect([await count(), await count(DLQ)]).toEqual([
        [2, 0],
        [0, 2],
      ])
      await auditor.does('ack', 'a')
      expect(await refusal(...sends(Q, '3'))).toBe('accepted')
      expect(await rig.browse()).toEqual(['2', '3'])
      expect(rig.stats).toMatchObject({ dropped: 0, deadLetters: 1 })
    })

    test('nothing is dropped for a dead letter that has no room even then', async () => {
      // It is larger than its message.
      await openWith({ ...dropping, maxQueueBytes: 400 })
      await send(DLQ, 'earlier')
      await send(Q, 'x'.repeat(300))
      expect(await refusal(...sends(Q, 'y'.repeat(200)))).toBe('queue-full')
      await (await hand(1)).does('reject')
      expect(await rig.browse(DLQ)).toEqual(['earlier'])
      expect(await count()).toEqual([1, 0])
      expect(rig.stats).toMatchObject({ dropped: 0, deadLetters: 0 })
    })

    test('of a prioritized queue the lowest go first', async () => {
      await openWith({ ...dropping, maxQueueMessages: 3 })
      await declare(Q, { maxPriority: 9 })
      for (const [body, priority] of [
        ['a5', 5],
        ['b1', 1],
        ['c9', 9],
        ['d1', 1],
        ['e9', 9],
      ] as const) {
        await rig.post(Q, body, { priority })
      }
      expect(await rig.browse()).toEqual(['c9', 'e9', 'a5'])
      expect(await rig.browse(DLQ)).toEqual(['b1', 'd1'])
    })

    test('so do those that came back', async () => {
      await openWith({ ...dropping, maxQueueMessages: 3, deadLetters: false })
      const consumer = await hand(3)
      await send(Q, '1', '2', '3')
      await consumer.cancel()
      for (const body of ['3', '1', '2']) await consumer.does('release', body)
      await send(Q, '4', '5', '6', '7')
      expect(await rig.browse()).toEqual(['5', '6', '7'])
      expect((await hand(9)).log).toEqual(['5', '6', '7'])
      expect(rig.stats.dropped).toBe(4)
    })
  })

  chapter('queues that block their senders', () => {
    const blocking = { overflow: (): Overflow => 'block', maxQueueMessages: 2 }
    /** Commits without waiting for it; tells when it is done. */
    function start(...ops: Op[]): { state: string } {
      const outcome = { state: 'waiting' }
      const done = rig.engine.commit(ops)
      if (done === undefined) return { state: 'done' }
      done.then(
        () => (outcome.state = 'done'),
        (error: unknown) => (outcome.state = error instanceof StompError ? error.code : 'failed'),
      )
      return outcome
    }
    /** Lets promises that are settled tell. */
    async function turn(): Promise<void> {
      await settle()
      for (let count = 0; count < 5; count++) await Promise.resolve()
    }

    test('a sender waits until there is room', async () => {
      await openWith(blocking)
      const consumer = await hand(1)
      await send(Q, '1', '2')
      const third = start(...sends(Q, '3'))
      await turn()
      expect([third.state, await count()]).toEqual(['waiting', [1, 1]])
      await consumer.does('ack')
      await turn()
      expect([third.state, await count()]).toEqual(['done', [2, 0]])
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1', '2', '3'])
    })

    test('senders keep their order, be there room for a later one or not', async () => {
      await openWith({ ...blocking, maxQueueMessages: 10, maxQueueBytes: 5 })
      const consumer = await hand(9)
      await send(Q, '11', '222')
      const outcomes = [start(...sends(Q, '333')), start(...sends(Q, '4'))]
      await consumer.does('ack', '11')
      await turn()
      expect(outcomes.map(({ state }) => state)).toEqual(['waiting', 'waiting'])
      outcomes.push(start(...sends(Q, '5')))
      await turn()
      expect(outcomes.map(({ state }) => state)).toEqual(['waiting', 'waiting', 'waiting'])
      await consumer.does('ack', '222')
      await turn()
      expect(outcomes.map(({ state }) => state)).toEqual(['done', 'done', 'done'])
      expect(consumer.log).toEqual(['11', '222', '333', '4', '5'])
    })

    test('a batch waits as a whole, and other destinations do not wait for it', async () => {
      await openWith(blocking)
      const consumer = await hand(9)
      await send(Q, '1', '2')
      const batch = start(...sends('/queue/other', 'a'), ...sends('/topic/t', 'b'), ...sends(Q, '3', '4'))
      await turn()
      expect(await info('/queue/other')).toBeUndefined()
      expect(rig.heard).toEqual([])
      await send('/queue/other', 'c')
      await consumer.does('ack', '1')
      await turn()
      expect(batch.state).toBe('waiting')
      await consumer.does('ack', '2')
      await turn()
      expect(batch.state).toBe('done')
      expect(rig.heard).toHaveLength(1)
      expect(await rig.browse('/queue/other')).toEqual(['c', 'a'])
    })

    test('two that wait for two queues each do not wait for each other', async () => {
      await openWith(blocking)
      const [p, q] = [await hand(9, '/queue/p'), await hand(9, Q)]
      await send('/queue/p', 'p0', 'p1')
      await send(Q, 'q0', 'q1')
      const first = start(...sends('/queue/p', 'p2'), ...sends(Q, 'q2'))
      await p.does('ack', 'p0')
      const second = start(...sends(Q, 'q3'), ...sends('/queue/p', 'p3'))
      await q.does('ack', 'q0')
      await turn()
      expect([first.state, second.state]).toEqual(['done', 'waiting'])
      await p.does('ack', 'p1')
      await q.does('ack', 'q1')
      await turn()
      expect(second.state).toBe('done')
      expect([p.log, q.log]).toEqual([
        ['p0', 'p1', 'p2', 'p3'],
        ['q0', 'q1', 'q2', 'q3'],
      ])
    })

    test('no more may wait than the queue holds, and nothing that would never fit', async () => {
      await openWith(blocking)
      await send(Q, '1', '2')
      const outcomes = [start(...sends(Q, '3')), start(...sends(Q, '4'))]
      expect(await refusal(...sends(Q, '5'))).toBe('queue-full')
      expect(await refusal(...sends('/queue/other', '1', '2', '3'))).toBe('queue-full')
      await turn()
      expect(outcomes.map(({ state }) => state)).toEqual(['waiting', 'waiting'])
      expect((await hand(9, Q, true)).log).toEqual(['1', '2', '3', '4'])
    })

    test('one that is refused for another reason when its turn comes applies nothing', async () => {
      await openWith({ ...blocking, overflow: (queue) => (queue === Q ? 'block' : 'refuse') })
      await send(Q, '1', '2')
      const batch = start(...sends(Q, '3'), ...sends('/queue/other', 'x'))
      const behind = start(...sends(Q, '4'))
      await send('/queue/other', 'a', 'b')
      const consumer = await hand(1)
      await consumer.does('ack')
      await turn()
      expect([batch.state, behind.state]).toEqual(['queue-full', 'done'])
      expect(await rig.browse()).toEqual(['2', '4'])
    })

    test.each([
      ['it is removed', () => rig.remove(Q)],
      ['what it holds expires', () => advance(1_500)],
    ])('a sender goes on when %s', async (_what, act) => {
      await openWith(blocking)
      await rig.post(Q, '1', { expires: Date.now() + 1_000 })
      await rig.post(Q, '2', { expires: Date.now() + 1_000 })
      const third = start(...sends(Q, '3'))
      await act()
      await turn()
      expect(third.state).toBe('done')
      expect(await rig.browse()).toEqual(['3'])
    })

    test.each([
      ['is refused', 'queue-full'],
      ['waits', 'waiting'],
    ])(
      'a queue that is empty once a batch found what expired is gone, although the batch %s',
      async (_what, state) => {
        await openWith({
          ...blocking,
          overflow: (queue) => (queue === '/queue/other' && state === 'queue-full' ? 'refuse' : 'block'),
        })
        await send('/queue/other', 'a', 'b')
        await rig.post(Q, '0', { expires: Date.now() + 10 })
        await rig.post(Q, '1', { expires: Date.now() + 100 })
        await advance(10)
        // The search for what has expired has just been.
        await rig.post(Q, '2', { expires: Date.now() + 90 })
        await advance(150)
        expect(await count()).toEqual([2, 0])
        const act = (): Promise<string> => refusal(...sends(Q, '3', '4'), ...sends('/queue/other', 'c'))
        if (state === 'queue-full') expect(await act()).toBe(state)
        else expect(start(...sends(Q, '3', '4'), ...sends('/queue/other', 'c')).state).toBe(state)
        // Nor is the queue left behind that is empty now.
        expect(await info()).toBeUndefined()
      },
    )

    test.each([
      ['is refused', 'refuse', 'queue-full'],
      ['waits', 'block', 'waiting'],
    ] as const)(
      'a sender goes on when another batch finds room for it and %s',
      async (_what, overflow, state) => {
        await openWith({ ...blocking, overflow: (queue) => (queue === Q ? 'block' : overflow) })
        await send('/queue/other', 'a', 'b')
        await rig.post(Q, '0', { expires: Date.now() + 10 })
        await send(Q, '2')
        await advance(10)
        await rig.post(Q, '1', { expires: Date.now() + 100 })
        const third = start(...sends(Q, '3'))
        await advance(150)
        expect(third.state).toBe('waiting')
        const batch = [...sends(Q, '4'), ...sends('/queue/other', 'c')]
        expect(overflow === 'refuse' ? await refusal(...batch) : start(...batch).state).toBe(state)
        await turn()
        expect(third.state).toBe('done')
        expect(await rig.browse()).toEqual(['2', '3'])
      },
    )

    test.each(['ack', 'reject'] as const)('a batch does not wait for its own %s', async (type) => {
      await openWith(blocking)
      const consumer = await hand(2)
      await send(Q, '1', '2')
      const waiting = start(...sends(Q, '3'))
      const batch = start({ type, delivery: consumer.of('1') }, ...sends(Q, '4'))
      await rig.settle()
      expect(batch.state).toBe('done')
      await turn()
      expect(waiting.state).toBe('waiting')
      await consumer.does('ack', '2')
      await turn()
      expect(waiting.state).toBe('done')
      expect(await rig.browse()).toEqual(['4', '3'])
    })

    test('what it takes beyond what it leaves it waits for, and a settlement counts once', async () => {
      await openWith(blocking)
      const consumer = await hand(2)
      await send(Q, '1', '2')
      const [one, two] = [consumer.of('1'), consumer.of('2')]
      const batch = start({ type: 'ack', delivery: one }, ...sends(Q, '3'))
      await rig.settle()
      expect([batch.state, await count()]).toEqual(['done', [1, 1]])
      const more = start(
        { type: 'ack', delivery: two },
        { type: 'ack', delivery: two },
        ...sends(Q, '4', '5'),
      )
      expect(more.state).toBe('waiting')
      await consumer.grant(1)
      await consumer.does('ack', '3')
      await turn()
      expect(more.state).toBe('done')
    })

    test('what leaves no room is none of it: what comes back, and an ack where only what waits counts', async () => {
      await openWith(blocking)
      await declare('/queue/own', { maxMessages: 1, overflow: 'block' })
      for (const [queue, type] of [
        [Q, 'nack'],
        [Q, 'release'],
        ['/queue/own', 'ack'],
      ] as const) {
        const consumer = await hand(1, queue)
        await send(queue, '1', '2')
        const batch = start({ type, delivery: consumer.last }, ...sends(queue, '3'))
        await turn()
        expect(batch.state).toBe('waiting')
        // What waited comes then, and goes as well.
        await rig.remove(queue)
        await rig.remove(queue)
      }
    })

    test('those that wait when the engine closes are told that it failed', async () => {
      await openWith(blocking)
      await send(Q, '1', '2')
      const third = start(...sends(Q, '3'))
      await rig.engine.close()
      await turn()
      expect(third.state).toBe('queue-full')
    })

    test('what comes back never waits', async () => {
      await openWith(blocking)
      const consumer = await hand(1)
      await send(Q, '1', '2')
      start(...sends(Q, '3'))
      expect(start({ type: 'release', delivery: consumer.last }).state).toBe('done')
    })

    test('one that comes to wait for another queue later stands there where it would have stood', async () => {
      await openWith(blocking)
      const [p, q] = [await hand(9, '/queue/p'), await hand(9, Q)]
      await send('/queue/p', 'p0', 'p1')
      const first = start(...sends('/queue/p', 'p2'), ...sends(Q, 'q2'))
      await send(Q, 'q0', 'q1')
      const second = start(...sends(Q, 'q3'), ...sends('/queue/p', 'p3'))
      await p.does('ack', 'p0')
      await turn()
      expect([first.state, second.state]).toEqual(['waiting', 'waiting'])
      await q.does('ack', 'q0')
      await turn()
      expect([first.state, second.state]).toEqual(['done', 'waiting'])
      await p.does('ack', 'p1')
      await q.does('ack', 'q1')
      await turn()
      expect([p.log, q.log]).toEqual([
        ['p0', 'p1', 'p2', 'p3'],
        ['q0', 'q1', 'q2', 'q3'],
      ])
    })

    test('the first of one line waits for those before it in another', async () => {
      await openWith({ ...blocking, maxQueueMessages: 10, maxQueueBytes: 4 })
      const [p, q] = [await hand(9, '/queue/p'), await hand(9, Q)]
      await send('/queue/p', '1', '22')
      await send(Q, '4444')
      const large = start(...sends('/queue/p', '333'))
      const both = start(...sends('/queue/p', '1'), ...sends(Q, '1'))
      await p.does('ack', '1')
      await q.does('ack', '4444')
      await turn()
      expect([large.state, both.state]).toEqual(['waiting', 'waiting'])
      await p.does('ack', '22')
      await turn()
      expect([large.state, both.state]).toEqual(['done', 'done'])
      expect(p.log).toEqual(['1', '22', '333', '1'])
    })
  })

  chapter('bounds of a queue of its own', () => {
    test.each([
      ['messages', { maxMessages: 1 }],
      ['bytes', { maxBytes: 1 }],
    ])('its terms count for more than the settings (%s)', async (_what, terms) => {
      await declare(Q, terms)
      expect(await refusal(...sends(Q, '1'))).toBe('accepted')
      expect(await refusal(...sends(Q, '2'))).toBe('queue-full')
      expect(await refusal(...sends('/queue/other', '1', '2'))).toBe('accepted')
    })

    test.each([
      ['messages', { maxMessages: 1 }],
      ['bytes', { maxBytes: 1 }],
    ])('they are for what waits: the unacked do not count (%s)', async (_what, terms) => {
      await declare(Q, { ...terms, lasting: true })
      const consumer = await hand(1)
      await send(Q, '1', '2')
      expect(await refusal(...sends(Q, '3'))).toBe('queue-full')
      await consumer.grant(1)
      await send(Q, '3')
      // What comes back always has room.
      await consumer.does('release', '1')
      expect(await rig.browse()).toEqual(['1', '3'])
      expect(await refusal(...sends(Q, '4'))).toBe('queue-full')
    })

    test('so does its word for what becomes of too many', async () => {
      await declare(Q, { maxMessages: 1, overflow: 'drop-oldest', deadLetters: null })
      await send(Q, '1', '2')
      expect(await rig.browse()).toEqual(['2'])
      expect(rig.stats.dropped).toBe(1)
    })
  })
}
