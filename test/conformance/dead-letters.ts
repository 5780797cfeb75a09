import { expect, test } from 'vitest'
import { DLQ, Q, type Hand, type Rig } from './rig.ts'

export function deadLetters(rig: Rig): void {
  const {
    message,
    sends,
    commit,
    send,
    post,
    info,
    count,
    hand,
    declare,
    remove,
    openWith,
    chapter,
    advance,
  } = rig

  /** The messages in a queue of dead letters, and of each the headers that say why. */
  const letters = async (queue = DLQ): Promise<readonly Record<string, string | undefined>[]> => {
    const auditor = await hand(100, queue)
    await auditor.cancel()
    for (const delivery of auditor.got) await commit({ type: 'release', delivery })
    return auditor.got.map(({ message: { body, headers } }) => ({
      body: body.toString(),
      from: headers.get('original-destination'),
      reason: headers.get('dead-letter-reason'),
      deliveries: headers.get('dead-letter-deliveries'),
    }))
  }
  const nacks = async (consumer: Hand, times: number): Promise<void> => {
    for (let count = 0; count < times; count++) await consumer.does('nack')
  }

  chapter('refused messages', () => {
    const delays = { redeliveryDelay: 100, maxRedeliveryDelay: 350 }

    test('the first refusal costs no time, each further one twice the time before, up to a limit', async () => {
      await openWith(delays)
      const consumer = await hand(100)
      await send(Q, '1')
      await consumer.does('nack')
      expect(consumer.log).toEqual(['1', '1#2'])
      for (const [attempt, delay] of [
        [3, 100],
        [4, 200],
        [5, 350],
        [6, 350],
      ] as const) {
        await consumer.does('nack')
        await advance(delay - 1)
        expect(consumer.last.attempt).toBe(attempt - 1)
        await advance(1)
        expect(consumer.last.attempt).toBe(attempt)
      }
    })

    test('others go ahead while it waits, and then it is back in its place', async () => {
      await openWith(delays)
      const consumer = await hand(2)
      await send(Q, '1')
      await nacks(consumer, 2)
      await consumer.grant(1)
      await send(Q, '2', '3', '4')
      expect(consumer.log).toEqual(['1', '1#2', '2'])
      expect(await count()).toEqual([3, 1])
      await advance(100)
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1', '1#2', '2', '1#3', '3', '4'])
    })

    test('a release neither waits nor makes a dead letter, whatever its number', async () => {
      await openWith({ ...delays, maxDeliveries: 2 })
      const consumer = await hand(100)
      await send(Q, '1')
      for (let count = 0; count < 5; count++) await consumer.does('release')
      expect(consumer.last.attempt).toBe(6)
      expect(await count(DLQ)).toEqual([0, 0])
    })

    test('nothing happens after its queue was removed, or the engine closed', async () => {
      await openWith(delays)
      const consumer = await hand(9)
      await send(Q, '1')
      await nacks(consumer, 2)
      await remove(Q)
      await advance(1_000)
      expect(consumer.log).toEqual(['1', '1#2'])
      expect(await rig.engine.inspect()).toEqual([])
      const other = await hand(9)
      await send(Q, '1')
      await nacks(other, 2)
      await rig.engine.close()
      await advance(1_000)
      expect(other.log).toEqual(['1', '1#2'])
    })
  })

  chapter('dead letters', () => {
    test('a message nacked in its last delivery is one, and no sooner', async () => {
      await openWith({ maxDeliveries: 3 })
      const consumer = await hand(9)
      await send(Q, '1')
      await nacks(consumer, 2)
      expect(await count(DLQ)).toEqual([0, 0])
      await nacks(consumer, 1)
      expect(consumer.log).toEqual(['1', '1#2', '1#3'])
      expect(await count()).toEqual([0, 0])
      expect(await letters()).toEqual([{ body: '1', from: Q, reason: 'max-deliveries', deliveries: '3' }])
      expect(rig.stats.deadLetters).toBe(1)
    })

    test('a rejected message is one at once', async () => {
      const consumer = await hand(9)
      await send(Q, '1', '2')
      await consumer.does('reject', '1')
      expect(consumer.log).toEqual(['1', '2'])
      expect(await letters()).toEqual([{ body: '1', from: Q, reason: 'rejected', deliveries: '1' }])
      await consumer.does('reject', '1')
      expect(await count(DLQ)).toEqual([1, 0])
    })

    test('it has an id of its own, the headers of its sender, and RabbitMQ’s words for why', async () => {
      await declare(Q, { messageLife: 100 })
      const sent = await post(
        Q,
        'x',
        { expires: Date.now() + 5_000, priority: 7, persistent: true },
        { kind: 'test', expires: '1', expiration: '1', ttl: '1', 'x-delay': '1', AMQ_SCHEDULED_DELAY: '1' },
      )
      await (await hand(1)).does('reject')
      await advance(10_000)
      const { message: letter } = (await hand(1, DLQ)).last
      expect(letter.id).not.toBe(sent.id)
      expect(letter.destination).toMatchObject({ kind: 'queue', name: DLQ, shown: DLQ })
      expect(letter.body).toEqual(sent.body)
      expect(Object.fromEntries(letter.headers)).toEqual({
        kind: 'test',
        'original-destination': Q,
        'dead-letter-reason': 'rejected',
        'dead-letter-deliveries': '1',
        'x-first-death-exchange': '',
        'x-first-death-queue': 'q',
        'x-first-death-reason': 'rejected',
      })
      expect(letter.terms).toMatchObject({ expires: 0, delay: 0, priority: 7, persistent: true })
      expect(letter.size).toBeGreaterThan(sent.size)
    })

    test('it goes where the terms of the queue say, be it a topic', async () => {
      const topic = message('/topic/dead', '').destination
      await declare(Q, { deadLetters: message('/queue/graves', '').destination })
      await declare('/queue/told', { deadLetters: topic })
      await rig.engine.watch('/topic/dead')
      const [consumer, told] = [await hand(1), await hand(1, '/queue/told')]
      await send(Q, '1')
      await consumer.does('reject')
      await send('/queue/told', '2')
      await told.does('reject')
      expect(await count(DLQ)).toEqual([0, 0])
      expect(await letters('/queue/graves')).toMatchObject([{ body: '1' }])
      expect(rig.heard.map(({ body }) => body.toString())).toEqual(['2'])
    })

    test('one that dies again tells of its first death and of its last', async () => {
      await declare(Q, { deadLetters: message('/queue/second', '').destination })
      const consumer = await hand(1)
      await send(Q, '1')
      await consumer.does('reject')
      await (await hand(1, '/queue/second')).does('reject')
      const { headers } = (await hand(1, '/queue/DLQ.second')).last.message
      expect(headers.get('original-destination')).toBe(Q)
      expect(headers.get('x-first-death-queue')).toBe('q')
      expect(headers.get('dead-letter-reason')).toBe('rejected')
    })

    test.each([
      ['the queue of dead letters', '/queue/DLQ.q', {}],
      ['a queue whose terms say so', Q, { deadLetters: null }],
      ['a queue that is its own', Q, { deadLetters: { kind: 'queue', name: Q, shown: Q, temporary: false } }],
    ] as const)(
      '%s has none: a nack keeps the message with the longest delay, a reject drops it',
      async (_what, queue, terms) => {
        await openWith({ maxDeliveries: 2, redeliveryDelay: 1, maxRedeliveryDelay: 500 })
        await declare(queue, terms)
        const consumer = await hand(9, queue)
        await send(queue, '1')
        await nacks(consumer, 2)
        await advance(499)
        expect(consumer.log).toEqual(['1', '1#2'])
        await advance(1)
        expect(consumer.log).toEqual(['1', '1#2', '1#3'])
        await consumer.does('reject')
        await advance(1_000)
        expect(await count(queue)).toEqual([0, 0])
        expect(rig.stats).toMatchObject({ dropped: 1, deadLetters: 0 })
      },
    )

    test('without dead letters a queue has those only that its terms name', async () => {
      await openWith({ deadLetters: false })
      await declare('/queue/other', { deadLetters: message(DLQ, '').destination })
      for (const queue of [Q, '/queue/other']) {
        const consumer = await hand(1, queue)
        await send(queue, queue)
        await consumer.does('reject')
      }
      expect(await letters()).toMatchObject([{ body: '/queue/other' }])
      expect(rig.stats).toMatchObject({ dropped: 1, deadLetters: 1 })
    })

    test('without dead letters the last allowed nack is the end of a message', async () => {
      await openWith({ deadLetters: false, maxDeliveries: 2 })
      const consumer = await hand(9)
      await send(Q, '1')
      await consumer.does('nack')
      expect(consumer.log).toEqual(['1', '1#2'])
      await consumer.does('nack')
      expect(await info()).toMatchObject({ ready: 0, unacked: 0, bytes: 0 })
      expect(rig.stats).toMatchObject({ dropped: 1, deadLetters: 0 })
    })

    test('what was sent to a reply queue has none', async () => {
      await declare(Q, {})
      const consumer = await hand(1)
      await post({ kind: 'queue', name: Q, shown: Q, temporary: true }, '1', {})
      await consumer.does('reject')
      expect(await count(DLQ)).toEqual([0, 0])
      expect(rig.stats.dropped).toBe(1)
    })

    test.each(['nack', 'reject'] as const)(
      'where they have no room, a message stays in its queue for now (%s)',
      async (type) => {
        await openWith({ maxDeliveries: 1, maxRedeliveryDelay: 500, maxQueueMessages: 1 })
        await send(DLQ, 'full')
        const consumer = await hand(9)
        await send(Q, '1')
        await consumer.does(type)
        expect(await count()).toEqual([1, 0])
        await advance(500)
        expect(consumer.log).toEqual(['1', '1#2'])
        const auditor = await hand(1, DLQ)
        await auditor.does('ack')
        await consumer.does(type)
        expect(await count()).toEqual([0, 0])
        expect(auditor.log).toEqual(['full'])
        expect(await count(DLQ)).toEqual([1, 0])
        expect(rig.stats).toMatchObject({ dropped: 0, deadLetters: 1 })
      },
    )

    test('full dead letters that drop their oldest take them', async () => {
      await openWith({ maxQueueMessages: 2, overflow: (queue) => (queue === DLQ ? 'drop-oldest' : 'refuse') })
      const consumer = await hand(9)
      for (const body of ['1', '2', '3']) {
        await send(Q, body)
        await consumer.does('reject')
      }
      expect(await letters()).toMatchObject([{ body: '2' }, { body: '3' }])
      expect(rig.stats).toMatchObject({ dropped: 1, deadLetters: 3 })
    })

    test('a circle of queues that nobody consumes from comes to an end', async () => {
      const other = '/queue/other'
      await declare(Q, { lasting: true, messageLife: 100, deadLetters: message(other, '').destination })
      await declare(other, { lasting: true, messageLife: 100, deadLetters: message(Q, '').destination })
      await send(Q, '1')
      await advance(60_000)
      expect([await count(Q), await count(other)]).toEqual([
        [0, 0],
        [0, 0],
      ])
      expect(rig.stats).toMatchObject({ deadLetters: 2 })
    })

    test('a circle that goes on because of its consumers does so, as a way to try again later', async () => {
      const later = '/queue/later'
      await declare(Q, { lasting: true, deadLetters: message(later, '').destination })
      await declare(later, { lasting: true, messageLife: 100, deadLetters: message(Q, '').destination })
      const consumer = await hand(9)
      await send(Q, '1')
      for (let round = 1; round <= 3; round++) {
        expect(consumer.log).toHaveLength(round)
        await consumer.does('reject')
        await advance(2_000)
      }
      expect(consumer.log).toEqual(['1', '1', '1', '1'])
    })

    test('durable subscriptions that send theirs to their own topic come to an end', async () => {
      await openWith({ maxQueueMessages: 20 })
      const names = ['/durable/a', '/durable/b', '/durable/c', '/durable/d']
      const topic = message('/topic/t', '').destination
      for (const name of names) {
        await declare(name, { lasting: true, topics: '/topic/t', messageLife: 1, deadLetters: topic })
      }
      await send('/topic/t', '1')
      await advance(60_000)
      for (const name of names) expect(await count(name)).toEqual([0, 0])
      // One of each queue, for all other queues.
      expect(rig.heard).toHaveLength(1 + 4)
      expect(rig.stats).toMatchObject({ deadLetters: 4, expired: 4 + 4 * 3 })
    })

    test('dead letters go by topics once, also with queues between them', async () => {
      for (const name of ['a', 'b']) {
        const later = `/queue/${name}`
        const terms = { lasting: true, messageLife: 1 }
        await declare(`/durable/${name}`, {
          ...terms,
          topics: '/topic/t',
          deadLetters: message(later, '').destination,
        })
        await declare(later, { ...terms, deadLetters: message('/topic/t', '').destination })
      }
      await send('/topic/t', '1')
      await advance(60_000)
      expect((await rig.engine.inspect()).filter(({ ready }) => ready > 0)).toEqual([])
      expect(rig.heard).toHaveLength(1 + 2)
    })

    test('one that came by a topic to a queue it died in is not kept there again', async () => {
      const topic = message('/topic/t', '').destination
      await declare(Q, { lasting: true, topics: '/topic/t', messageLife: 100, deadLetters: topic })
      await declare('/durable/other', { lasting: true, topics: '/topic/t' })
      await send(Q, '1')
      await advance(2_000)
      expect([await rig.browse(Q), await rig.browse('/durable/other')]).toEqual([[], ['1']])
      expect((await hand(1, '/durable/other')).last.message.headers.get('dead-letter-reason')).toBe('expired')
    })

    test('one that a client refused comes back by a topic, also to the queue where that was', async () => {
      const later = '/queue/later'
      await declare(Q, { lasting: true, topics: '/topic/t', deadLetters: message(later, '').destination })
      await declare(later, {
        lasting: true,
        messageLife: 100,
        deadLetters: message('/topic/t', '').destination,
      })
      const consumer = await hand(9)
      await send('/topic/t', '1')
      for (let round = 1; round <= 3; round++) {
        expect(consumer.log).toHaveLength(round)
        await consumer.does('reject')
        await advance(2_000)
      }
    })

    test('many queues whose messages have no life at all hand a message on to the last', async () => {
      const length = Math.ceil(6_000 * rig.share)
      const queues = Array.from({ length }, (_, index) => `/queue/${index}`)
      for (const [index, queue] of queues.entries()) {
        const deadLetters = message(`/queue/${index + 1}`, '').destination
        await declare(queue, { lasting: true, messageLife: 0, deadLetters })
      }
      await send('/queue/0', '1')
      await advance(60_000)
      expect(rig.stats.deadLetters).toBe(length)
      expect(await rig.browse(`/queue/${length}`)).toEqual(['1'])
    })

    test('a name that has no room for more is cut', async () => {
      const long = `/queue/${'ä'.repeat(252)}`
      const consumer = await hand(1, long)
      await send(long, '1')
      await consumer.does('reject')
      const names = (await rig.engine.inspect()).map(({ queue }) => queue)
      const grave = names.find((name) => name.startsWith('/queue/DLQ.')) ?? ''
      expect(Buffer.byteLength(grave)).toBeLessThanOrEqual(512)
      expect(await letters(grave)).toMatchObject([{ body: '1', from: long }])
    })

    test('an ack in the batch of a refused send makes no dead letter', async () => {
      await openWith({ maxQueueMessages: 1 })
      const consumer = await hand(1)
      await send(Q, '1')
      expect(await rig.refusal({ type: 'reject', delivery: consumer.last }, ...sends(Q, '2', '3'))).toBe(
        'queue-full',
      )
      expect(await count(DLQ)).toEqual([0, 0])
      expect(await count()).toEqual([0, 1])
    })
  })
}
