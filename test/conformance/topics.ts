import { beforeEach, expect, test } from 'vitest'
import type { QueueTerms } from '../../broker/engine/engine.ts'
import type { Message, Op, Terms } from '../../broker/model/message.ts'
import { parsePattern, type Interest } from '../../broker/protocol/pattern.ts'
import { Q, type Rig } from './rig.ts'

export function topics(rig: Rig): void {
  const { message, sends, send, info, hand, chapter, post, declare, code, refusal, openWith, advance } = rig

  chapter('topics', () => {
    beforeEach(() => rig.engine.watch('/topic/t'))

    test('a topic message has reached the host when commit returns, whole', async () => {
      const sent = message('/topic/t', 'hello')
      const done = rig.engine.commit([{ type: 'send', message: sent }])
      expect(rig.heard).toHaveLength(1)
      const [got] = rig.heard
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
        rig.engine.commit(sends('/topic/t', '1', '2')),
        rig.engine.commit(sends('/topic/t', '3')),
      ]
      expect(rig.heard.map(({ body }) => body.toString())).toEqual(['1', '2', '3'])
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

  chapter('retained messages', () => {
    const retain = (topic: string, body: string, terms: Partial<Terms> = {}): Promise<Message> =>
      post(topic, body, { retain: 'set', ...terms })
    const retained = (interest: Interest): string[] =>
      rig.engine.retained(interest).map(({ body }) => body.toString())

    test('a topic remembers the last one, and everybody hears it nevertheless', async () => {
      await rig.engine.watch('/topic/t')
      await retain('/topic/t', '1')
      await retain('/topic/t', '2')
      await send('/topic/t', '3')
      await retain('/topic/u', 'other')
      expect(rig.heard.map(({ body }) => body.toString())).toEqual(expect.arrayContaining(['1', '2', '3']))
      expect(retained('/topic/t')).toEqual(['2'])
      expect(retained('/topic/none')).toEqual([])
    })

    test('everybody gets one that nobody else renders', async () => {
      await rig.engine.watch('/topic/t')
      const sent = await retain('/topic/t', '1')
      const all = [
        ...rig.engine.retained('/topic/t'),
        ...rig.engine.retained('/topic/t'),
        ...rig.engine.retained(parsePattern('/topic/#', '.')),
        ...rig.heard,
      ]
      expect(new Set(all).size).toBe(4)
      for (const { id, destination, headers, body, size, terms } of all) {
        expect({ id, destination, headers, body, size, terms }).toEqual({
          id: sent.id,
          destination: sent.destination,
          headers: sent.headers,
          body: sent.body,
          size: sent.size,
          terms: sent.terms,
        })
      }
    })

    test('a topic forgets when told to', async () => {
      await retain('/topic/t', '1')
      await post('/topic/t', '', { retain: 'remove' })
      await post('/topic/none', '', { retain: 'remove' })
      expect(retained('/topic/t')).toEqual([])
    })

    test('a pattern finds those of all its topics, the one that was first to retain first', async () => {
      await retain('/topic/t.b', '1')
      await retain('/topic/t.a', '2')
      await retain('/topic/u.a', '3')
      await retain('/topic/t.b', '4')
      expect(retained(parsePattern('/topic/t.*', '.'))).toEqual(['4', '2'])
    })

    test('one that expired is not returned, and makes room', async () => {
      await openWith({ maxRetained: 1 })
      await retain('/topic/t', '1', { expires: Date.now() + 100 })
      expect(retained('/topic/t')).toEqual(['1'])
      await advance(100)
      expect([retained('/topic/t'), retained(parsePattern('/topic/#', '.'))]).toEqual([[], []])
      await retain('/topic/u', '2')
      expect(retained('/topic/u')).toEqual(['2'])
    })

    test.each([
      ['topics', { maxRetained: 2 }],
      ['bytes', { maxQueueBytes: 2 }],
    ])('they are bounded in %s, and a batch is measured as a whole', async (_what, bounds) => {
      await openWith(bounds)
      await retain('/topic/t', '1')
      const set = (topic: string): Op => ({ type: 'send', message: message(topic, '2', { retain: 'set' }) })
      const forget: Op = { type: 'send', message: message('/topic/t', '', { retain: 'remove' }) }
      expect(await refusal(set('/topic/u'), set('/topic/v'))).toBe('retained-limit')
      expect(await refusal(set('/topic/v'), set('/topic/u'), forget)).toBe('retained-limit')
      expect([retained('/topic/t'), retained('/topic/u')]).toEqual([['1'], []])
      expect(await refusal(forget, set('/topic/v'), set('/topic/u'), set('/topic/u'))).toBe('accepted')
      expect(await refusal(set('/topic/v'))).toBe('accepted')
      expect(await refusal(set('/topic/t'))).toBe('retained-limit')
    })

    test('a delayed one is remembered when it is due', async () => {
      await retain('/topic/t', '1', { delay: 100 })
      expect(retained('/topic/t')).toEqual([])
      await advance(100)
      expect(retained('/topic/t')).toEqual(['1'])
    })

    test('a queue retains nothing', async () => {
      await retain('/queue/q', '1')
      expect(retained('/queue/q')).toEqual([])
    })

    test('a delayed one for which there is no room when it is due is heard, and counted as dropped', async () => {
      await openWith({ maxRetained: 1 })
      await retain('/topic/t', '1')
      await retain('/topic/u', '2', { delay: 100 })
      await advance(100)
      expect([retained('/topic/t'), retained('/topic/u')]).toEqual([['1'], []])
      expect(rig.heard).toHaveLength(2)
      expect(rig.stats.dropped).toBe(1)
    })
  })

  chapter('durable subscriptions', () => {
    const D = '/durable/d'
    const durable = (topics: Interest, terms: QueueTerms = {}): Promise<void> =>
      declare(D, { lasting: true, topics, ...terms })

    test('messages are kept while nobody is there, and host and others get them too', async () => {
      await rig.engine.watch('/topic/t')
      await send('/topic/t', 'before')
      await durable('/topic/t')
      expect(await info(D)).toEqual({
        queue: D,
        ready: 0,
        unacked: 0,
        bytes: 0,
        consumers: 0,
        topics: '/topic/t',
      })
      await send('/topic/t', '1', '2')
      await send('/topic/u', 'other')
      const consumer = await hand(9, D)
      expect(consumer.log).toEqual(['1', '2'])
      expect(consumer.last.message.destination.name).toBe('/topic/t')
      expect(rig.heard.map(({ body }) => body.toString())).toEqual(expect.arrayContaining(['1', '2']))
      await consumer.does('ack', '1')
      await consumer.cancel()
      await consumer.does('release', '2')
      await send('/topic/t', '3')
      expect((await hand(9, D)).log).toEqual(['2#2', '3'])
    })

    test('it may listen to a pattern, and takes what its selector takes', async () => {
      await durable(parsePattern('/topic/t.*', '.'), { selector: "kind = 'a'" })
      expect(await info(D)).toMatchObject({ topics: '/topic/t.*' })
      await post('/topic/t.x', '1', {}, { kind: 'a' })
      await post('/topic/t.y', '2', {}, { kind: 'b' })
      await post('/topic/u.x', '3', {}, { kind: 'a' })
      expect(await rig.browse(D)).toEqual(['1'])
    })

    test('declared again it keeps what it holds, and listens to what it is told now', async () => {
      await durable('/topic/t', { selector: "kind = 'a'", maxMessages: 5 })
      await post('/topic/t', '1', {}, { kind: 'a' })
      await durable('/topic/u', { maxMessages: 1 })
      await send('/topic/t', 'not this')
      await send('/topic/u', '2')
      expect(await rig.browse(D)).toEqual(['1', '2'])
      expect(await info(D)).toMatchObject({ topics: '/topic/u' })
    })

    test('nobody takes away the topics of another’s queue, or gives it some', async () => {
      const named: QueueTerms = { topics: '/topic/t', autoDelete: true }
      await declare(Q, named)
      await declare(Q, { ...named, selector: "kind = 'none'" })
      for (const terms of [
        { ...named, topics: '/topic/u' },
        { ...named, topics: parsePattern('/topic/*', '.') },
        { topics: '/topic/u', lasting: true },
      ]) {
        expect(await code(() => rig.engine.declare(Q, terms))).toBe('queue-terms')
      }
      await durable('/topic/t')
      expect(await code(() => rig.engine.declare(D, { topics: '/topic/u' }))).toBe('queue-terms')
      await declare(D, { topics: '/topic/t', selector: "kind = 'none'" })
      await declare('/queue/terms', { maxMessages: 5 })
      await send('/queue/messages', '1')
      for (const queue of ['/queue/terms', '/queue/messages']) {
        for (const lasting of [true, false]) {
          expect(await code(() => rig.engine.declare(queue, { topics: '/topic/t', lasting }))).toBe(
            'queue-terms',
          )
        }
      }
      await send('/topic/t', '2')
      await send('/topic/u', '3')
      expect([await rig.browse(Q), await rig.browse(D)]).toEqual([['2'], ['2']])
      expect([await rig.browse('/queue/terms'), await rig.browse('/queue/messages')]).toEqual([[], ['1']])
    })

    test('a selector that cannot be changes nothing', async () => {
      await durable('/topic/t')
      expect(await code(() => rig.engine.declare(D, { topics: '/topic/u', selector: 'kind =' }))).toBe(
        'invalid-selector',
      )
      expect(await code(() => rig.engine.declare('/durable/e', { topics: '/topic/u', selector: '=' }))).toBe(
        'invalid-selector',
      )
      expect(await info('/durable/e')).toBeUndefined()
      expect(await info(D)).toMatchObject({ topics: '/topic/t' })
    })

    test('a full one loses its oldest, and no sender is refused', async () => {
      await durable('/topic/t', { maxMessages: 2, maxBytes: 10, deadLetters: null })
      await send('/topic/t', '1', '2', '3')
      expect(await rig.browse(D)).toEqual(['2', '3'])
      await send('/topic/t', 'larger than that')
      expect(await rig.browse(D)).toEqual(['2', '3'])
      // What was handed out is none of those that wait.
      const consumer = await hand(1, D)
      await send('/topic/t', '4', '5')
      expect(rig.stats.dropped).toBe(3)
      await consumer.does('ack')
      await consumer.grant(9)
      expect(consumer.log).toEqual(['2', '4', '5'])
    })

    test('a full one loses what has expired before what has not', async () => {
      await durable('/topic/t', { maxMessages: 2 })
      await post('/topic/t', 'short', { expires: Date.now() + 10 })
      await send('/topic/t', '1')
      await advance(10)
      await post('/topic/t', 'expired', { expires: Date.now() + 50 })
      await advance(50)
      await send('/topic/t', '2')
      expect(await rig.browse(D)).toEqual(['1', '2'])
      expect(rig.stats).toMatchObject({ expired: 2, dropped: 0 })
    })

    test('what a full one loses is no dead letter: those would grow for each that never comes back', async () => {
      await durable('/topic/t', { maxMessages: 1 })
      await send('/topic/t', '1', '2')
      expect([rig.stats.dropped, rig.stats.deadLetters]).toEqual([1, 0])
      expect((await rig.engine.inspect()).map(({ queue }) => queue)).toEqual([D])
    })

    test('two that keep one message hand it out under two ids, neither the one that subscribers saw', async () => {
      await durable('/topic/t')
      await declare('/durable/other', { lasting: true, topics: '/topic/t' })
      await send('/topic/t', '1')
      const ids = [
        rig.heard[0]?.id,
        (await hand(1, D)).last.message.id,
        (await hand(1, '/durable/other')).last.message.id,
      ]
      expect(new Set(ids).size).toBe(3)
    })

    test('it gets what its topics retain first, once', async () => {
      await post('/topic/t', 'old', { retain: 'set' })
      await post('/topic/t', 'last', { retain: 'set' })
      await durable('/topic/t')
      await send('/topic/t', 'new')
      await durable('/topic/t')
      expect(await rig.browse(D)).toEqual(['last', 'new'])
      await post('/topic/u', 'other', { retain: 'set' })
      await durable('/topic/u')
      expect(await rig.browse(D)).toEqual(['last', 'new', 'other'])
    })

    test('removed, it holds nothing and listens to nothing', async () => {
      await durable('/topic/t')
      await send('/topic/t', '1')
      await rig.remove(D)
      await send('/topic/t', '2')
      expect(await rig.engine.inspect()).toEqual([])
      await durable('/topic/t')
      expect(await rig.browse(D)).toEqual([])
    })

    test('their number is bounded', async () => {
      await openWith({ maxDurableSubscriptions: 1 })
      await durable('/topic/t')
      const another: QueueTerms = { lasting: true, topics: '/topic/t' }
      expect(await code(() => rig.engine.declare('/durable/e', another))).toBe('durable-limit')
      expect(await info('/durable/e')).toBeUndefined()
      await durable('/topic/u')
      await declare('/durable/f', { topics: '/topic/t' })
      await declare('/durable/g', { lasting: true })
      expect(await code(() => rig.engine.declare('/durable/h', another))).toBe('durable-limit')
      await rig.remove(D)
      await declare('/durable/e', another)
    })

    test('a delayed message comes when it is due, an expired one never', async () => {
      await durable('/topic/t')
      await post('/topic/t', 'late', { delay: 100 })
      await post('/topic/t', 'never', { expires: Date.now() })
      await post('/topic/t', 'short', { expires: Date.now() + 50 })
      await advance(100)
      expect((await hand(9, D)).log).toEqual(['late'])
    })

    test('one that is handed out while it is published gets the rest of the batch too', async () => {
      await durable('/topic/t')
      const consumer = await hand(9, D)
      await rig.commit(...sends('/topic/t', '1', '2'))
      expect(consumer.log).toEqual(['1', '2'])
    })
  })
}
