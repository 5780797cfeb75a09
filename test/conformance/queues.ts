import { expect, test } from 'vitest'
import { Q, type Rig } from './rig.ts'

export function queues(rig: Rig): void {
  const { message, sends, commit, send, post, info, hand, chapter, idle } = rig

  chapter('queues', () => {
    test('messages wait for a consumer and come in the order sent', async () => {
      await send(Q, '1', '2')
      await commit(...sends(Q, '3', '4'))
      expect(await info()).toEqual({ queue: Q, ready: 4, unacked: 0, bytes: 4, consumers: 0, topics: '' })
      expect((await hand(9)).log).toEqual(['1', '2', '3', '4'])
      expect(rig.heard).toEqual([])
    })

    test('a delivery carries the message, its queue and attempt 1', async () => {
      const sent = message(Q, 'hello')
      await commit({ type: 'send', message: sent })
      const { queue, attempt, message: got } = (await hand(1)).last
      expect({ queue, attempt, id: got.id, body: got.body, headers: got.headers }).toEqual({
        queue: Q,
        attempt: 1,
        id: sent.id,
        body: sent.body,
        headers: sent.headers,
      })
    })

    test('nothing is delivered without credit, and each delivery costs one', async () => {
      const consumer = idle()
      await send(Q, '1', '2', '3', '4')
      expect(consumer.log).toEqual([])
      await consumer.grant(1)
      expect(consumer.log).toEqual(['1'])
      await consumer.grant(2)
      expect(consumer.log).toEqual(['1', '2', '3'])
      expect(await info()).toMatchObject({ ready: 1, unacked: 3, bytes: 4, consumers: 1 })
    })

    test('unused credit is kept for messages to come', async () => {
      const consumer = await hand(2)
      await consumer.grant(1)
      await send(Q, '1', '2', '3', '4')
      expect(consumer.log).toEqual(['1', '2', '3'])
    })

    test('an ack alone gives no credit', async () => {
      const consumer = await hand(1)
      await send(Q, '1', '2')
      await commit({ type: 'ack', delivery: consumer.last })
      expect(consumer.log).toEqual(['1'])
    })

    test('competing consumers take turns while they have credit', async () => {
      const [a, b, c] = [await hand(9), await hand(1), await hand(9)]
      await send(Q, '1', '2', '3', '4', '5', '6')
      expect([a.log, b.log, c.log]).toEqual([['1', '4', '6'], ['2'], ['3', '5']])
    })

    test('a consumer without credit is passed over', async () => {
      const [penniless, busy] = [idle(), await hand(9)]
      await send(Q, '1', '2')
      expect([penniless.log, busy.log]).toEqual([[], ['1', '2']])
    })

    test('nothing is delivered after cancel, whatever credit is left or granted', async () => {
      const [gone, other] = [await hand(9), idle()]
      gone.consumption.cancel()
      await send(Q, '1')
      await gone.grant(9)
      expect(gone.log).toEqual([])
      expect((await other.grant(1)).log).toEqual(['1'])
    })

    test('deliveries outlive the cancel of their consumer, until settled', async () => {
      const gone = await hand(2)
      await send(Q, '1', '2')
      gone.consumption.cancel()
      expect(await info()).toMatchObject({ ready: 0, unacked: 2, consumers: 0 })
      const other = await hand(9)
      expect(other.log).toEqual([])
      await commit({ type: 'ack', delivery: gone.of('1') }, { type: 'release', delivery: gone.of('2') })
      expect(other.log).toEqual(['2#2'])
    })

    test('an auto consumer settles as it is handed out: nothing to ack, nothing comes back', async () => {
      const consumer = await hand(9, Q, true)
      await send(Q, '1')
      expect(await info()).toMatchObject({ ready: 0, unacked: 0, bytes: 0 })
      for (const type of ['ack', 'nack', 'release'] as const) await commit({ type, delivery: consumer.last })
      expect(consumer.log).toEqual(['1'])
      expect(await info()).toMatchObject({ ready: 0, unacked: 0, bytes: 0 })
    })

    test('queues know nothing of each other', async () => {
      const other = await hand(1, '/queue/other')
      await send(Q, '1')
      await send('/queue/other', '2')
      expect(other.log).toEqual(['2'])
      await commit({ type: 'ack', delivery: other.last })
      expect(await info()).toMatchObject({ ready: 1, unacked: 0 })
    })
  })

  chapter('settlements', () => {
    test('an acked message is gone for good', async () => {
      const consumer = await hand(2)
      await send(Q, '1', '2')
      await commit({ type: 'ack', delivery: consumer.of('1') })
      expect(await info()).toMatchObject({ ready: 0, unacked: 1, bytes: 1 })
      consumer.consumption.cancel()
      await commit({ type: 'release', delivery: consumer.of('2') })
      expect((await hand(9)).log).toEqual(['2#2'])
    })

    test.each(['nack', 'release'] as const)(
      '%s puts the message back in its place, before all sent later, with its attempt counted',
      async (type) => {
        const consumer = await hand(2)
        await send(Q, '1', '2', '3', '4')
        await commit({ type, delivery: consumer.of('1') })
        expect(await info()).toMatchObject({ ready: 3, unacked: 1, bytes: 4 })
        await consumer.grant(9)
        expect(consumer.log).toEqual(['1', '2', '1#2', '3', '4'])
      },
    )

    test.each([
      ['1', '2', '3'],
      ['3', '2', '1'],
      ['2', '3', '1'],
      ['3', '1', '2'],
    ])('returned as %s, %s, %s they go out oldest first', async (...order) => {
      const consumer = await hand(3)
      await send(Q, '1', '2', '3', '4')
      for (const body of order) await commit({ type: 'release', delivery: consumer.of(body) })
      expect((await hand(9)).log).toEqual(['1#2', '2#2', '3#2', '4'])
    })

    test('a nacked message is offered to another consumer first', async () => {
      const [refusing, other] = [await hand(9), idle()]
      await send(Q, '1')
      await other.grant(1)
      await commit({ type: 'nack', delivery: refusing.last })
      expect([refusing.log, other.log]).toEqual([['1'], ['1#2']])
    })

    test('a nacked message comes back to the one who refused it when there is no other with credit', async () => {
      const [refusing, penniless] = [await hand(9), idle()]
      await send(Q, '1')
      await commit({ type: 'nack', delivery: refusing.last })
      expect([refusing.log, penniless.log]).toEqual([['1', '1#2'], []])
    })

    test('whose turn it was is not lost by stepping aside for a nacked message', async () => {
      const [a, b, c] = [await hand(9), await hand(9), await hand(9)]
      await send(Q, '1', '2', '3')
      await commit({ type: 'nack', delivery: a.of('1') })
      await send(Q, '4', '5', '6')
      expect([a.log, b.log, c.log]).toEqual([
        ['1', '4'],
        ['2', '1#2', '6'],
        ['3', '5'],
      ])
    })

    test('a released message was not refused: it goes to whose turn it is, be it the same', async () => {
      const [a, b] = [await hand(9), await hand(9)]
      await send(Q, '1', '2')
      await commit({ type: 'release', delivery: a.of('1') })
      expect([a.log, b.log]).toEqual([['1', '1#2'], ['2']])
    })

    test('attempts count on with each return', async () => {
      const consumer = await hand(9)
      await send(Q, '1')
      for (const type of ['nack', 'release', 'nack'] as const) await commit({ type, delivery: consumer.last })
      expect(consumer.got.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4])
    })

    test.each(
      (['ack', 'nack', 'release'] as const).flatMap((first) =>
        (['ack', 'nack', 'release'] as const).map((second) => [second, first] as const),
      ),
    )('%s of a delivery settled before by %s changes nothing', async (second, first) => {
      const consumer = await hand(1)
      await send(Q, '1', '2')
      const stale = consumer.last
      await commit({ type: first, delivery: stale })
      const before = await rig.engine.inspect()
      await commit({ type: second, delivery: stale })
      expect(await rig.engine.inspect()).toEqual(before)
      await consumer.grant(9)
      expect(consumer.log).toEqual(first === 'ack' ? ['1', '2'] : ['1', '1#2', '2'])
      // The handle of the first attempt settles nothing of the second.
      await commit({ type: second, delivery: stale })
      expect(await info()).toMatchObject({ ready: 0, unacked: first === 'ack' ? 1 : 2 })
    })

    test.each(['at once', 'by a selector'])(
      'what was handed out %s comes back to its place, though another came back and was sent since',
      async (how) => {
        const accepts = how === 'at once' ? undefined : (): boolean => true
        const consumer = await hand(3, Q, false, { accepts })
        await send(Q, '1', '2', '3')
        await consumer.cancel()
        // From here on nobody chooses.
        await post(Q, 'later', { delay: 60_000 })
        await consumer.does('release', '1')
        await send(Q, '4')
        await consumer.does('release', '3')
        expect((await hand(9)).log).toEqual(['1#2', '3#2', '4'])
      },
    )

    test('a delivery the engine never made changes nothing', async () => {
      const consumer = await hand(1)
      await send(Q, '1')
      const forged = { ...consumer.last }
      for (const type of ['ack', 'nack', 'release'] as const) await commit({ type, delivery: forged })
      await commit({ type: 'ack', delivery: { ...forged, queue: '/queue/none' } })
      expect(await info()).toMatchObject({ ready: 0, unacked: 1 })
    })

    test('a batch is applied in the order given', async () => {
      const consumer = await hand(1)
      await send(Q, '1')
      const other = await hand(9)
      await commit(
        ...sends(Q, '2'),
        { type: 'release', delivery: consumer.last },
        ...sends('/topic/t', 'told'),
        ...sends(Q, '3'),
      )
      expect(other.log).toEqual(['2', '1#2', '3'])
      expect(rig.heard.map(({ body }) => body.toString())).toEqual(['told'])
    })
  })

  chapter('idle queues', () => {
    test('a queue exists while it holds a message or has a consumer', async () => {
      expect(await rig.engine.inspect()).toEqual([])
      const consumer = idle()
      expect(await info()).toEqual({ queue: Q, ready: 0, unacked: 0, bytes: 0, consumers: 1, topics: '' })
      await send(Q, '1')
      await consumer.grant(1)
      consumer.consumption.cancel()
      expect(await info()).toEqual({ queue: Q, ready: 0, unacked: 1, bytes: 1, consumers: 0, topics: '' })
      await commit({ type: 'ack', delivery: consumer.last })
      expect(await rig.engine.inspect()).toEqual([])
    })

    test.each([
      ['cancel of a consumer who got nothing', async () => (await hand(9)).consumption.cancel()],
      [
        'an ack before the cancel',
        async () => {
          const consumer = await hand(1)
          await send(Q, '1')
          await commit({ type: 'ack', delivery: consumer.last })
          consumer.consumption.cancel()
        },
      ],
      [
        'an auto consumer who cancels inside deliver',
        async () => {
          const consumer = await hand(1, Q, true)
          consumer.react = () => consumer.consumption.cancel()
          await send(Q, '1')
        },
      ],
      [
        'an ack for a queue that is not there',
        async () => {
          const consumer = await hand(1, '/queue/other')
          await send('/queue/other', '1')
          consumer.consumption.cancel()
          await commit({ type: 'ack', delivery: consumer.last }, { type: 'nack', delivery: consumer.last })
        },
      ],
    ])('nothing is left after %s', async (_what, act) => {
      await act()
      expect(await rig.engine.inspect()).toEqual([])
    })

    test('a queue reclaimed and used again starts afresh', async () => {
      const first = await hand(1)
      await send(Q, '1')
      first.consumption.cancel()
      await commit({ type: 'ack', delivery: first.last })
      await send(Q, '2')
      await commit({ type: 'nack', delivery: first.last })
      expect((await hand(9)).log).toEqual(['2'])
    })

    test('a second cancel changes nothing, not even a later queue of the same name', async () => {
      const consumer = await hand(1)
      consumer.consumption.cancel()
      await send(Q, '1')
      consumer.consumption.cancel()
      expect((await hand(9)).log).toEqual(['1'])
      expect(await info()).toMatchObject({ consumers: 1 })
    })
  })
}
