import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Consumer, Consumption, Engine, EngineHost, QueueInfo } from '../../broker/engine/engine.ts'
import { Message, MessageIds, type Delivery, type Op } from '../../broker/model/message.ts'
import { parseDestination } from '../../broker/protocol/destination.ts'
import { StompError } from '../../broker/protocol/errors.ts'

export interface Bounds {
  readonly maxQueueMessages: number
  readonly maxQueueBytes: number
}

export interface SuiteOptions {
  /** Resolves once all that can be handed out has been: for engines that deliver after `commit`. */
  readonly settle?: () => Promise<void>
  /** Chapters this engine does not pass, each with the reason. */
  readonly skips?: Readonly<Record<string, string>>
}

/** The contract of `broker/engine/engine.ts`. `open` makes an engine whose queues are bounded by `bounds`. */
export function engineSuite(
  name: string,
  open: (host: EngineHost, bounds: Bounds) => Promise<Engine>,
  { settle = async () => {}, skips = {} }: SuiteOptions = {},
): void {
  const ROOMY: Bounds = { maxQueueMessages: 1_000, maxQueueBytes: 1_000_000 }
  const Q = '/queue/q'
  const ids = new MessageIds('test')

  let engine: Engine
  /** Topic messages the host was given. */
  let heard: Message[]

  async function openWith(bounds: Bounds): Promise<void> {
    heard = []
    engine = await open({ deliver: (message) => void heard.push(message) }, bounds)
  }
  beforeEach(() => openWith(ROOMY))
  afterEach(() => engine.close())

  function message(destination: string, body: string): Message {
    return new Message(
      ids.next(),
      parseDestination(destination),
      new Map([['kind', 'test']]),
      Buffer.from(body),
    )
  }
  function sends(destination: string, ...bodies: string[]): Op[] {
    return bodies.map((body) => ({ type: 'send', message: message(destination, body) }))
  }
  async function commit(...ops: Op[]): Promise<void> {
    await engine.commit(ops)
    await settle()
  }
  async function send(destination: string, ...bodies: string[]): Promise<void> {
    for (const op of sends(destination, ...bodies)) await commit(op)
  }
  /** The code of the StompError that refuses the batch. */
  async function refusal(...ops: Op[]): Promise<string> {
    try {
      await engine.commit(ops)
    } catch (error) {
      if (error instanceof StompError) return error.code
      throw error
    }
    return 'accepted'
  }
  async function info(queue = Q): Promise<QueueInfo | undefined> {
    return (await engine.inspect()).find((candidate) => candidate.queue === queue)
  }

  class Hand implements Consumer {
    readonly auto: boolean
    readonly got: Delivery[] = []
    readonly consumption: Consumption
    react: (delivery: Delivery) => void = () => {}

    constructor(queue = Q, auto = false) {
      this.auto = auto
      this.consumption = engine.consume(queue, this)
    }

    deliver(delivery: Delivery): void {
      this.got.push(delivery)
      this.react(delivery)
    }

    async grant(credits: number): Promise<this> {
      this.consumption.grant(credits)
      await settle()
      return this
    }

    /** What it got: the body, from the second attempt on with its number. */
    get log(): string[] {
      return this.got.map(
        ({ message: { body }, attempt }) => `${body.toString()}${attempt > 1 ? `#${attempt}` : ''}`,
      )
    }

    /** The last delivery. */
    get last(): Delivery {
      const delivery = this.got.at(-1)
      if (delivery === undefined) throw new Error('nothing was delivered')
      return delivery
    }

    /** The delivery of `body`, the latest if there were several. */
    of(body: string): Delivery {
      const delivery = this.got.findLast((candidate) => candidate.message.body.toString() === body)
      if (delivery === undefined) throw new Error(`${body} was not delivered`)
      return delivery
    }
  }
  /** A consumer with credit. */
  function hand(credits: number, queue = Q, auto = false): Promise<Hand> {
    return new Hand(queue, auto).grant(credits)
  }

  function chapter(title: string, body: () => void): void {
    const reason = skips[title]
    if (reason === undefined) describe(title, body)
    else describe.skip(`${title} (${reason})`, body)
  }

  describe(name, () => {
    chapter('topics', () => {
      beforeEach(() => engine.watch('/topic/t'))

      test('a topic message has reached the host when commit returns, whole', async () => {
        const sent = message('/topic/t', 'hello')
        const done = engine.commit([{ type: 'send', message: sent }])
        expect(heard).toHaveLength(1)
        const [got] = heard
        expect({
          id: got?.id,
          destination: got?.destination,
          body: got?.body,
          headers: got?.headers,
        }).toEqual({
          id: sent.id,
          destination: sent.destination,
          body: sent.body,
          headers: sent.headers,
        })
        await done
      })

      test('topic messages come in the order of the calls and, within a call, of the batch', async () => {
        const [first, second] = [
          engine.commit(sends('/topic/t', '1', '2')),
          engine.commit(sends('/topic/t', '3')),
        ]
        expect(heard.map(({ body }) => body.toString())).toEqual(['1', '2', '3'])
        await first
        await second
      })

      test('a topic keeps nothing, and no queue shares its messages', async () => {
        const consumer = await hand(9)
        await send('/topic/t', 'gone')
        expect(consumer.log).toEqual([])
        expect(await info('/topic/t')).toBeUndefined()
      })
    })

    chapter('queues', () => {
      test('messages wait for a consumer and come in the order sent', async () => {
        await send(Q, '1', '2')
        await commit(...sends(Q, '3', '4'))
        expect(await info()).toEqual({ queue: Q, ready: 4, unacked: 0, bytes: 4, consumers: 0 })
        expect((await hand(9)).log).toEqual(['1', '2', '3', '4'])
        expect(heard).toEqual([])
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
        const consumer = new Hand()
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
        const [idle, busy] = [new Hand(), await hand(9)]
        await send(Q, '1', '2')
        expect([idle.log, busy.log]).toEqual([[], ['1', '2']])
      })

      test('nothing is delivered after cancel, whatever credit is left or granted', async () => {
        const [gone, other] = [await hand(9), new Hand()]
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
        for (const type of ['ack', 'nack', 'release'] as const)
          await commit({ type, delivery: consumer.last })
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
        const [refusing, other] = [await hand(9), new Hand()]
        await send(Q, '1')
        await other.grant(1)
        await commit({ type: 'nack', delivery: refusing.last })
        expect([refusing.log, other.log]).toEqual([['1'], ['1#2']])
      })

      test('a nacked message comes back to the one who refused it when there is no other with credit', async () => {
        const [refusing, penniless] = [await hand(9), new Hand()]
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
        for (const type of ['nack', 'release', 'nack'] as const)
          await commit({ type, delivery: consumer.last })
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
        const before = await engine.inspect()
        await commit({ type: second, delivery: stale })
        expect(await engine.inspect()).toEqual(before)
        await consumer.grant(9)
        expect(consumer.log).toEqual(first === 'ack' ? ['1', '2'] : ['1', '1#2', '2'])
        // The handle of the first attempt settles nothing of the second.
        await commit({ type: second, delivery: stale })
        expect(await info()).toMatchObject({ ready: 0, unacked: first === 'ack' ? 1 : 2 })
      })

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
        expect(heard.map(({ body }) => body.toString())).toEqual(['told'])
      })
    })

    chapter('bounds', () => {
      const refusals: [string, Bounds, string[]][] = [
        ['messages', { ...ROOMY, maxQueueMessages: 3 }, ['', '', '']],
        ['bytes', { ...ROOMY, maxQueueBytes: 6 }, ['12', '345', '6']],
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
        await openWith({ ...ROOMY, maxQueueBytes: 4 })
        expect(await refusal(...sends(Q, 'ää1'))).toBe('queue-full')
        expect(await refusal(...sends(Q, 'ää'))).toBe('accepted')
      })

      test('what is handed out and not acked counts; an ack makes room', async () => {
        await openWith({ ...ROOMY, maxQueueMessages: 2 })
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
        expect(engine.commits).toBe('atomic')
        await openWith({ ...ROOMY, maxQueueMessages: 2 })
        const consumer = await hand(1)
        await send(Q, '1', '2')
        const before = await engine.inspect()
        const batch: Op[] = [
          { type: 'ack', delivery: consumer.last },
          ...sends('/queue/other', 'x'),
          ...sends('/topic/t', 'x'),
          ...sends(Q, '3', '4'),
        ]
        expect(await refusal(...batch)).toBe('queue-full')
        expect(await engine.inspect()).toEqual(before)
        expect(heard).toEqual([])
        // Nor is the ack in it forgotten: it can be given again.
        await commit({ type: 'ack', delivery: consumer.last })
        expect(await info()).toMatchObject({ ready: 1, unacked: 0 })
      })
    })

    chapter('idle queues', () => {
      test('a queue exists while it holds a message or has a consumer', async () => {
        expect(await engine.inspect()).toEqual([])
        const consumer = new Hand()
        expect(await info()).toEqual({ queue: Q, ready: 0, unacked: 0, bytes: 0, consumers: 1 })
        await send(Q, '1')
        await consumer.grant(1)
        consumer.consumption.cancel()
        expect(await info()).toEqual({ queue: Q, ready: 0, unacked: 1, bytes: 1, consumers: 0 })
        await commit({ type: 'ack', delivery: consumer.last })
        expect(await engine.inspect()).toEqual([])
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
        expect(await engine.inspect()).toEqual([])
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

    chapter('consumers that call the engine from inside deliver', () => {
      /** Commits without waiting, as a consumer does. */
      function now(...ops: Op[]): void {
        void engine.commit(ops)
      }

      test('one that acks gets every message once', async () => {
        const consumer = await hand(9)
        consumer.react = (delivery) => now({ type: 'ack', delivery })
        await commit(...sends(Q, '1', '2', '3'))
        expect(consumer.log).toEqual(['1', '2', '3'])
        expect(await info()).toMatchObject({ ready: 0, unacked: 0, bytes: 0 })
      })

      test('one that nacks once gets it again before the next', async () => {
        const consumer = new Hand()
        consumer.react = (delivery) => {
          if (delivery.attempt === 1) now({ type: 'nack', delivery })
        }
        await send(Q, '1', '2')
        await consumer.grant(9)
        expect(consumer.log).toEqual(['1', '1#2', '2', '2#2'])
      })

      test('one that sends to its own queue gets that last', async () => {
        const consumer = new Hand()
        consumer.react = ({ message: { body } }) => {
          if (body.toString() === '1') now(...sends(Q, 'later'), ...sends('/topic/t', 'told'))
        }
        await send(Q, '1', '2')
        await consumer.grant(9)
        expect(consumer.log).toEqual(['1', '2', 'later'])
        expect(heard).toHaveLength(1)
      })

      test('one that grants itself credit, one at a time, gets all in order', async () => {
        const consumer = new Hand()
        consumer.react = () => consumer.consumption.grant(1)
        await send(Q, '1', '2', '3')
        await consumer.grant(1)
        expect(consumer.log).toEqual(['1', '2', '3'])
      })

      test('a long backlog taken that way fits the stack', async () => {
        await openWith({ ...ROOMY, maxQueueMessages: 20_000 })
        await commit(...sends(Q, ...Array.from({ length: 20_000 }, () => '')))
        const consumer = new Hand(Q, true)
        consumer.react = () => consumer.consumption.grant(1)
        await consumer.grant(1)
        expect(consumer.got).toHaveLength(20_000)
      })

      test('two that grant themselves one credit at a time take turns', async () => {
        const [a, b] = [new Hand(), new Hand()]
        for (const each of [a, b]) each.react = () => each.consumption.grant(1)
        await Promise.all([a.grant(1), b.grant(1)])
        await commit(...sends(Q, '1', '2', '3', '4'))
        expect([a.log, b.log]).toEqual([
          ['1', '3'],
          ['2', '4'],
        ])
      })

      test('one that cancels gets nothing more', async () => {
        const consumer = new Hand()
        consumer.react = () => consumer.consumption.cancel()
        await send(Q, '1', '2')
        await consumer.grant(9)
        expect(consumer.log).toEqual(['1'])
        expect(await info()).toMatchObject({ ready: 1, unacked: 1, consumers: 0 })
      })

      test('one that cancels and releases is not handed its own message again', async () => {
        const [leaving, other] = [new Hand(), new Hand()]
        leaving.react = (delivery) => {
          leaving.consumption.cancel()
          now({ type: 'release', delivery })
        }
        await send(Q, '1')
        await leaving.grant(9)
        await other.grant(9)
        expect([leaving.log, other.log]).toEqual([['1'], ['1#2']])
      })

      test('one that cancels another takes its place in the turn', async () => {
        const [a, b] = [await hand(9), await hand(9)]
        a.react = () => b.consumption.cancel()
        await commit(...sends(Q, '1', '2'))
        expect([a.log, b.log]).toEqual([['1', '2'], []])
      })

      test('one that subscribes another shares what follows with it', async () => {
        const consumer = await hand(9)
        let second: Hand | undefined
        consumer.react = () => {
          if (second !== undefined) return
          second = new Hand()
          second.consumption.grant(9)
        }
        await commit(...sends(Q, '1', '2', '3'))
        expect([consumer.log, second?.log]).toEqual([['1', '2'], ['3']])
      })

      test.each([
        ['auto', true],
        ['acking', false],
      ])('one that is %s, cancels and then sends leaves that message waiting', async (_what, auto) => {
        const consumer = await hand(9, Q, auto)
        consumer.react = (delivery) => {
          if (!auto) now({ type: 'ack', delivery })
          consumer.consumption.cancel()
          now(...sends(Q, 'goodbye'))
        }
        await send(Q, '1')
        expect(await info()).toMatchObject({ ready: 1, unacked: 0, consumers: 0 })
        expect((await hand(9)).log).toEqual(['goodbye'])
      })
    })

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
            await openWith(ROOMY)
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
              const watched = Object.assign(consumer, { consumption: engine.consume(Q, consumer) })
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
                  await engine.commit(take(action.sizes))
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
                  await engine.commit([{ type: action.type, delivery }, ...take(action.sizes)])
                  break
                }
                case 'stale': {
                  const delivery = stale[action.at % (stale.length || 1)]
                  if (delivery !== undefined) await engine.commit([{ type: action.type, delivery }])
                  break
                }
              }
              await settle()
              expect(wrong).toEqual([])
              const ready = kept.filter((entry) => entry.out === undefined).length
              if (ready > 0) expect(live().filter(({ credit }) => credit > 0)).toEqual([])
              const idle = kept.length === 0 && live().length === 0
              expect(await engine.inspect()).toEqual(
                idle
                  ? []
                  : [
                      {
                        queue: Q,
                        ready,
                        unacked: kept.length - ready,
                        bytes: kept.reduce((sum, { bytes }) => sum + bytes, 0),
                        consumers: live().length,
                      },
                    ],
              )
            }

            // The end of every session: cancel, release; then one consumer takes what is left.
            for (const { consumption } of live()) consumption.cancel()
            for (const entry of kept) {
              if (entry.out === undefined) continue
              await engine.commit([{ type: 'release', delivery: entry.out.delivery }])
              entry.attempt++
            }
            const rest = await hand(Infinity, Q, true)
            expect(rest.got.map((delivery) => [delivery.message.id, delivery.attempt])).toEqual(
              kept.map(({ id, attempt }) => [id, attempt]),
            )
            rest.consumption.cancel()
            expect(await engine.inspect()).toEqual([])
            await engine.close()
          }),
          { numRuns: 300 },
        )
      })
    })
  })
}
