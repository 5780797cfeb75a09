import { describe, expect, test } from 'vitest'
import type { Op } from '../../broker/model/message.ts'
import { DLQ, Q, type Hand, type Rig } from './rig.ts'

export function reentrancy(rig: Rig): void {
  const { message, sends, commit, send, info, hand, openWith, chapter, idle } = rig

  chapter('consumers that call the engine from inside deliver', () => {
    /** Commits without waiting, as a consumer does. */
    function now(...ops: Op[]): void {
      void rig.engine.commit(ops)
    }

    test('one that acks gets every message once', async () => {
      const consumer = await hand(9)
      consumer.react = (delivery) => now({ type: 'ack', delivery })
      await commit(...sends(Q, '1', '2', '3'))
      expect(consumer.log).toEqual(['1', '2', '3'])
      expect(await info()).toMatchObject({ ready: 0, unacked: 0, bytes: 0 })
    })

    test('one that nacks once gets it again before the next', async () => {
      const consumer = idle()
      consumer.react = (delivery) => {
        if (delivery.attempt === 1) now({ type: 'nack', delivery })
      }
      await send(Q, '1', '2')
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1', '1#2', '2', '2#2'])
    })

    test('one that sends to its own queue gets that last', async () => {
      const consumer = idle()
      consumer.react = ({ message: { body } }) => {
        if (body.toString() === '1') now(...sends(Q, 'later'), ...sends('/topic/t', 'told'))
      }
      await send(Q, '1', '2')
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1', '2', 'later'])
      expect(rig.heard).toHaveLength(1)
    })

    test('one that waited for it gets what it sends and gives back meanwhile', async () => {
      const consumer = await hand(9)
      consumer.react = (delivery) => {
        const { message: sent, attempt } = delivery
        if (sent.body.toString() !== '1') return
        if (attempt === 1) now(...sends(Q, '2'), { type: 'release', delivery }, ...sends(Q, '3'))
        else now({ type: 'ack', delivery })
      }
      await send(Q, '1')
      expect(consumer.log).toEqual(['1', '1#2', '2', '3'])
      expect(await info()).toMatchObject({ ready: 0, unacked: 2 })
    })

    test('one that waited for it gets a message of a group that it sends meanwhile', async () => {
      const consumer = await hand(9)
      const grouped = message(Q, '2', { group: 'g' })
      consumer.react = ({ attempt, message: { body } }) => {
        if (body.toString() === '1' && attempt === 1) now({ type: 'send', message: grouped })
      }
      await send(Q, '1', '3')
      expect(consumer.log).toEqual(['1', '2', '3'])
    })

    test('one that sends a message for each that it gets fits the stack', async () => {
      await openWith({ maxQueueMessages: 20_000 })
      const consumer = idle(Q, true)
      consumer.react = () => {
        if (consumer.got.length < 20_000) now(...sends(Q, ''))
      }
      await consumer.grant(30_000)
      await send(Q, '')
      expect(consumer.got).toHaveLength(20_000)
    })

    test('one that grants itself credit, one at a time, gets all in order', async () => {
      const consumer = idle()
      consumer.react = () => consumer.consumption.grant(1)
      await send(Q, '1', '2', '3')
      await consumer.grant(1)
      expect(consumer.log).toEqual(['1', '2', '3'])
    })

    test('a long backlog taken that way fits the stack', async () => {
      await openWith({ maxQueueMessages: 20_000 })
      await commit(...sends(Q, ...Array.from({ length: 20_000 }, () => '')))
      const consumer = idle(Q, true)
      consumer.react = () => consumer.consumption.grant(1)
      await consumer.grant(1)
      expect(consumer.got).toHaveLength(20_000)
    })

    test('two that grant themselves one credit at a time take turns', async () => {
      const [a, b] = [idle(), idle()]
      for (const each of [a, b]) each.react = () => each.consumption.grant(1)
      await Promise.all([a.grant(1), b.grant(1)])
      await commit(...sends(Q, '1', '2', '3', '4'))
      expect([a.log, b.log]).toEqual([
        ['1', '3'],
        ['2', '4'],
      ])
    })

    test('one that cancels gets nothing more', async () => {
      const consumer = idle()
      consumer.react = () => consumer.consumption.cancel()
      await send(Q, '1', '2')
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1'])
      expect(await info()).toMatchObject({ ready: 1, unacked: 1, consumers: 0 })
    })

    test('one that cancels and releases is not handed its own message again', async () => {
      const [leaving, other] = [idle(), idle()]
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
        second = idle()
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

    test('one that nacks for the last time, whose dead letter ends its queue', async () => {
      await openWith({ maxDeliveries: 1 })
      const consumer = idle()
      consumer.react = (delivery) => now({ type: 'nack', delivery })
      const mourner = await hand(9, DLQ)
      mourner.react = () => void rig.engine.remove(Q)
      await send(Q, '1', '2')
      await consumer.grant(9)
      expect([consumer.log, mourner.log]).toEqual([['1'], ['1']])
      expect(await info()).toBeUndefined()
    })

    test('one that sends dead letters back where they came from', async () => {
      const consumer = idle()
      consumer.react = (delivery) => {
        if (consumer.got.length < 4) now({ type: 'reject', delivery })
      }
      const mourner = await hand(9, DLQ, true)
      mourner.react = ({ message: { body } }) => now(...sends(Q, `${body.toString()}'`))
      await send(Q, '1')
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1', "1'", "1''", "1'''"])
    })

    test('one whose dead letters, dropped for room, end the queue before the new message is there', async () => {
      await openWith({ maxQueueMessages: 1, overflow: (queue) => (queue === Q ? 'drop-oldest' : 'refuse') })
      const mourner = await hand(9, DLQ, true)
      mourner.react = () => void rig.engine.remove(Q)
      await send(Q, '1', '2')
      expect(mourner.log).toEqual(['1'])
      expect(await rig.browse()).toEqual(['2'])
    })

    test('one that declares priorities gets the rest by them', async () => {
      for (const [body, priority] of [
        ['1', 0],
        ['2', 0],
        ['3', 9],
      ] as const) {
        await rig.post(Q, body, { priority })
      }
      const consumer = idle()
      consumer.react = () => void rig.engine.declare(Q, { maxPriority: 9 })
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1', '3', '2'])
    })

    test('one that expects the queue for itself from now on gets the rest', async () => {
      const consumer = idle()
      let own: Hand | undefined
      consumer.react = () => {
        if (own !== undefined) return
        own = idle(Q, false, { exclusive: true })
        own.consumption.grant(1)
      }
      await commit(...sends(Q, '1', '2', '3'))
      await consumer.grant(9)
      expect([consumer.log, own?.log]).toEqual([['1'], ['2']])
      own?.consumption.cancel()
      expect(consumer.log).toEqual(['1', '3'])
    })

    test('one that makes room for a waiting sender by what it takes', async () => {
      await openWith({ maxQueueMessages: 2, overflow: () => 'block' })
      await commit(...sends(Q, '1', '2'))
      const waiting = rig.engine.commit(sends(Q, '3'))
      const consumer = idle(Q, true)
      consumer.react = () => now(...sends('/topic/t', 'told'))
      await consumer.grant(2)
      await waiting
      expect(consumer.log).toEqual(['1', '2'])
      expect(await rig.browse()).toEqual(['3'])
    })

    test('one that closes the engine gets nothing more', async () => {
      await send(Q, '1', '2')
      const consumer = idle()
      consumer.react = () => void rig.engine.close()
      await consumer.grant(9)
      expect(consumer.log).toEqual(['1'])
    })

    describe('and choose what they take', () => {
      const sendKind = (kind: string, ...bodies: string[]): Op[] =>
        bodies.map((body) => ({ type: 'send', message: message(Q, body, {}, { kind }) }))
      const taker = (kind: string): Hand =>
        idle(Q, false, { accepts: ({ headers }) => headers.get('kind') === kind })

      test('one that sends several gets them to whoever waits for them', async () => {
        const [x, a] = [taker('x'), await taker('a').grant(9)]
        x.react = () => now(...sendKind('a', '1', '2', '3'))
        await x.grant(1)
        await commit(...sendKind('x', ''))
        expect(a.log).toEqual(['1', '2', '3'])
      })

      test('one that sends and then grants credit to another does not make it skip anything', async () => {
        const [x, a] = [taker('x'), taker('a')]
        await commit(...sendKind('a', 'old'))
        x.react = () => {
          now(...sendKind('a', 'new'))
          a.consumption.grant(1)
        }
        await x.grant(1)
        await commit(...sendKind('x', ''))
        expect(a.log).toEqual(['old'])
      })

      test('one that sends and shuts the others out does not make them miss it later', async () => {
        const [x, a] = [taker('x'), await taker('a').grant(9)]
        let own: Hand | undefined
        x.react = () => {
          now(...sendKind('a', 'new'))
          own = idle(Q, false, { exclusive: true })
        }
        await x.grant(1)
        await commit(...sendKind('x', ''))
        expect(a.log).toEqual([])
        await own?.cancel()
        expect(a.log).toEqual(['new'])
      })
    })
  })
}
