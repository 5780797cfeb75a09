import { describe, expect, test } from 'vitest'
import { Made } from '../../broker/model/content.ts'
import { Message, NO_TERMS } from '../../broker/model/message.ts'
import { parsePattern } from '../../broker/protocol/pattern.ts'
import { DLQ, Q } from '../conformance/rig.ts'
import { parseDestination } from '../helpers/destination.ts'
import { Den, type Pause } from './den.ts'

const den = new Den().live()
const { send, post, hand, idle, info, count, browse, commit, declare } = den
const bodies = (messages: readonly Message[]): string[] => messages.map(({ body }) => body.toString())

describe.each<Pause>(['restart', 'crash'])('after a %s', (how) => {
  test('messages come in their order, with their ids, headers and bytes', async () => {
    const sent: Message[] = []
    for (let number = 0; number < 300; number++)
      sent.push(
        await post(Q, `${number} ${'x'.repeat(number)}`, {}, { number: String(number), 'a:b\n': 'ü\\' }),
      )
    const bytes = Buffer.from(Array.from({ length: 1_000 }, (_, index) => index % 256))
    const binary = new Message('binary', parseDestination(Q), new Made(new Map(), bytes), 1_234, {
      ...NO_TERMS,
      persistent: true,
    })
    await commit({ type: 'send', message: binary })
    const before = await info()
    await den.pause(how)
    expect(await info()).toEqual(before)
    expect(await browse()).toHaveLength(301)
    const consumer = await hand(Infinity)
    const got = consumer.got.map(({ message }) => message)
    expect(got.map(({ id }) => id)).toEqual([...sent.map(({ id }) => id), 'binary'])
    expect(bodies(got.slice(0, 300))).toEqual(bodies(sent))
    expect([...(got[7]?.headers ?? [])]).toEqual([
      ['number', '7'],
      ['a:b\n', 'ü\\'],
    ])
    expect(got.at(-1)?.body).toEqual(bytes)
    expect(got.at(-1)?.size).toBe(1_234)
    expect(got[0]?.destination).toEqual(parseDestination(Q))
    expect(new Set(consumer.got.map(({ attempt }) => attempt))).toEqual(new Set([1]))
  })

  test('what is acked is gone, what was nacked and released counts on, what was not handed out comes first', async () => {
    await send(Q, '1', '2', '3', '4', '5')
    const consumer = await hand(3)
    await consumer.does('ack', '1')
    await consumer.does('nack', '2')
    await consumer.does('release', '3')
    await consumer.cancel()
    await den.settle()
    await den.pause(how)
    expect((await info())?.ready).toBe(4)
    const next = await hand(9)
    // Nobody can tell after a crash what of those that might have been handed out was.
    const [fourth, fifth] =
      how === 'restart' ? ['4', '5'] : [expect.stringMatching('^4'), expect.stringMatching('^5')]
    expect(next.log).toEqual(['2#2', '3#2', fourth, fifth])
  })

  test('a refusal of then is the first of two of now', async () => {
    await den.begin({ redeliveryDelay: 100, maxRedeliveryDelay: 1_000 })
    await send(Q, '1')
    const first = await hand(9)
    await first.does('nack')
    await first.cancel()
    await first.does('nack')
    await den.settle()
    await den.pause(how, 1_000)
    const second = await hand(9)
    expect(second.log).toEqual(['1#3'])
    await second.does('nack')
    expect(second.log).toEqual(['1#3'])
    await den.advance(199)
    expect(second.log).toEqual(['1#3'])
    await den.advance(1)
    expect(second.log).toEqual(['1#3', '1#4'])
  })

  test('the deliveries of before count for the last allowed one', async () => {
    await den.begin({ maxDeliveries: 3 })
    await send(Q, '1')
    const first = await hand(9)
    await first.does('nack')
    await first.does('nack')
    await first.cancel()
    await first.does('release')
    await den.settle()
    // The third was released, so this is the fourth.
    await den.pause(how)
    const second = await hand(9)
    expect(second.log).toEqual(['1#4'])
    await second.does('nack')
    expect(await count()).toEqual([0, 0])
    expect(await browse(DLQ)).toEqual(['1'])
  })

  test('dead letters are there, say why, and what they have been through', async () => {
    await send(Q, '1')
    const first = await hand(1)
    await first.does('reject')
    expect(await count()).toEqual([0, 0])
    await first.cancel()
    await den.pause(how)
    expect(await count()).toEqual([0, 0])
    const reader = await hand(1, DLQ)
    expect(reader.log).toEqual(['1'])
    expect(Object.fromEntries(reader.last.message.headers)).toMatchObject({
      'original-destination': Q,
      'dead-letter-reason': 'rejected',
      'dead-letter-deliveries': '1',
      'x-first-death-queue': 'q',
    })
  })

  test('a dead letter still knows the queues it died in, and goes round no more', async () => {
    const deadLetters = parseDestination('/queue/other')
    await declare(Q, { lasting: true, messageLife: 1_000, deadLetters })
    await declare('/queue/other', { lasting: true, messageLife: 60_000, deadLetters: parseDestination(Q) })
    await send(Q, '1')
    await den.advance(2_000)
    expect(await browse('/queue/other')).toEqual(['1'])
    await den.pause(how, 61_000)
    await den.advance(2_000)
    expect([await count(Q), await count('/queue/other')]).toEqual([
      [0, 0],
      [0, 0],
    ])
  })

  test('priorities are kept apart, in order each', async () => {
    await declare(Q, { lasting: true, maxPriority: 9 })
    for (const [body, priority] of [
      ['low', 1],
      ['high', 8],
      ['low2', 1],
      ['high2', 8],
      ['none', undefined],
    ] as const)
      await post(Q, body, { priority })
    await den.pause(how)
    expect((await hand(9)).log).toEqual(['high', 'high2', 'low', 'low2', 'none'])
  })

  test('a group still goes to one consumer', async () => {
    for (const group of ['a', 'b', 'a', 'b', 'a']) await post(Q, group, { group })
    await den.pause(how)
    const [one, other] = [await hand(1), await hand(9)]
    expect([one.log, other.log]).toEqual([['a'], ['b', 'b']])
    await one.grant(9)
    expect(one.log).toEqual(['a', 'a', 'a'])
  })

  test('what expired meanwhile is not delivered, nor what expires later', async () => {
    const now = Date.now()
    await post(Q, 'meanwhile', { expires: now + 1_000 })
    await post(Q, 'later', { expires: now + 10_000 })
    await post(Q, 'never', {})
    await den.pause(how, 2_000)
    expect(await browse()).toEqual(['later', 'never'])
    await den.advance(9_000)
    expect((await hand(9)).log).toEqual(['never'])
    expect(den.stats.expired).toBe(2)
  })

  test('the life a queue gives its messages goes on from when they came', async () => {
    await declare(Q, { lasting: true, messageLife: 10_000 })
    await send(Q, '1')
    await den.advance(6_000)
    await den.pause(how, 3_000)
    expect(await browse()).toEqual(['1'])
    await den.advance(2_100)
    expect([await browse(), await count()]).toEqual([[], [0, 0]])
  })

  test('what expires becomes a dead letter, though nobody ever consumes', async () => {
    await declare(Q, { lasting: true, messageLife: 10_000, deadLetters: parseDestination('/queue/retry') })
    await send(Q, '1', '2', '3')
    await den.pause(how, 5_000)
    expect(await count()).toEqual([3, 0])
    await den.advance(7_000)
    expect([await count(), await browse('/queue/retry')]).toEqual([
      [0, 0],
      ['1', '2', '3'],
    ])
  })

  test('delayed messages come when their time has come, or at once when it is over', async () => {
    await post(Q, 'over', { delay: 1_000 })
    await post(Q, 'later', { delay: 10_000 })
    await post(Q, 'now', {})
    await den.pause(how, 2_000)
    expect(await count()).toEqual([3, 0])
    const consumer = await hand(9)
    await den.advance(10)
    const over = how === 'crash' ? 'over#2' : 'over'
    expect(consumer.log).toEqual(['now', over])
    await den.advance(7_900)
    expect(consumer.log).toEqual(['now', over])
    await den.advance(100)
    expect(consumer.log).toEqual(['now', over, 'later'])
    for (const body of ['now', 'over', 'later']) await consumer.does('ack', body)
    await consumer.cancel()
    await den.settle()
    await den.pause(how)
    expect(await info()).toBeUndefined()
  })

  test('delayed messages to topics come when their time has come, and once', async () => {
    await post('/topic/t', 'first', { delay: 1_000 })
    await post('/topic/t', 'second', { delay: 10_000 })
    await den.pause(how, 2_000)
    await den.advance(50)
    expect(bodies(den.heard)).toEqual(['first'])
    await den.pause(how, 1_000)
    await den.advance(50)
    expect(den.heard).toEqual([])
    await den.advance(8_000)
    expect(bodies(den.heard)).toEqual(['second'])
    await den.pause(how, 100_000)
    expect(den.heard).toEqual([])
  })

  test.each([
    ['RabbitMQ', '/topic/a.*.c', '.', '/queue/stomp-subscription-x'],
    ['ActiveMQ', '/topic/a.>', '.', '/queue/Consumer.client.name'],
    ['slashes', '/topic/a/*/c', '/', '/durable/client/name'],
  ] as const)(
    'a durable subscription (%s) has what came, and goes on listening',
    async (_, text, separator, queue) => {
      const topics = parsePattern(text, separator)
      const topic = `/topic/a${separator}b${separator}c`
      await declare(queue, { lasting: true, topics, selector: "kind = 'good'" })
      await post(topic, '1', {}, { kind: 'good' })
      await post(topic, 'bad', {}, { kind: 'bad' })
      await post('/topic/else', 'elsewhere', {}, { kind: 'good' })
      await post(topic, 'fleeting', { persistent: false }, { kind: 'good' })
      expect(await browse(queue)).toEqual(['1', 'fleeting'])
      await den.pause(how)
      expect((await info(queue))?.topics).toBe(text)
      expect(await browse(queue)).toEqual(['1'])
      await post(topic, '2', {}, { kind: 'good' })
      await post(topic, 'bad', {}, { kind: 'bad' })
      expect((await hand(9, queue)).log).toEqual(['1', '2'])
      // It is the one it was, and takes other topics.
      await declare(queue, { lasting: true, topics: '/topic/new' })
      await den.pause(how)
      await post(topic, '3', {}, { kind: 'good' })
      await post('/topic/new', '4', {}, { kind: 'bad' })
      expect((await hand(9, queue)).log.map((body) => body[0])).toEqual(['1', '2', '4'])
    },
  )

  test('one that was ended is not there, with nothing it held', async () => {
    await declare('/durable/d', { lasting: true, topics: '/topic/t' })
    await post('/topic/t', '1', {})
    await den.remove('/durable/d')
    await den.pause(how)
    expect(await den.engine.inspect()).toEqual([])
    await declare('/durable/d', { lasting: true, topics: '/topic/t' })
    expect(await count('/durable/d')).toEqual([0, 0])
    // It is on disk all the same, and goes from there without being asked.
    await den.pause(how)
    expect(await count('/durable/d')).toEqual([0, 0])
  })

  test('the number of durable subscriptions is that of before', async () => {
    await den.begin({ maxDurableSubscriptions: 2 })
    await declare('/durable/1', { lasting: true, topics: '/topic/t' })
    await declare('/durable/2', { lasting: true, topics: '/topic/t' })
    await den.pause(how)
    const third = (): unknown => den.engine.declare('/durable/3', { lasting: true, topics: '/topic/t' })
    expect(await den.code(third)).toBe('durable-limit')
    await den.remove('/durable/1')
    expect(await den.code(third)).toBe('accepted')
  })

  test('terms hold as they did', async () => {
    await declare(Q, { lasting: true, maxMessages: 2, overflow: 'refuse' })
    await declare('/queue/drops', {
      lasting: true,
      maxMessages: 2,
      overflow: 'drop-oldest',
      deadLetters: null,
    })
    await send('/queue/drops', '1', '2', '3')
    await den.pause(how)
    await send(Q, '1', '2')
    expect(await den.refusal(...den.sends(Q, '3'))).toBe('queue-full')
    await send('/queue/drops', '4')
    expect(await browse('/queue/drops')).toEqual(['3', '4'])
    await den.pause(how)
    expect([await browse(), await browse('/queue/drops')]).toEqual([
      ['1', '2'],
      ['3', '4'],
    ])
  })

  test('what topics retain is retained, and what they do not is not', async () => {
    await post('/topic/kept', 'old', { retain: 'set' })
    await post('/topic/kept', 'new', { retain: 'set', persistent: false }, { a: 'b' })
    await post('/topic/removed', 'x', { retain: 'set' })
    await post('/topic/removed', '', { retain: 'remove' })
    await post('/topic/expired', 'x', { retain: 'set', expires: Date.now() + 1_000 })
    await den.pause(how, 2_000)
    const all = parsePattern('/topic/>', '.')
    expect(bodies(den.engine.retained(all))).toEqual(['new'])
    expect([...(den.engine.retained('/topic/kept')[0]?.headers ?? [])]).toEqual([['a', 'b']])
    await declare('/durable/d', { lasting: true, topics: all })
    expect(await browse('/durable/d')).toEqual(['new'])
  })

  test('what was not to last is gone', async () => {
    await post(Q, 'fleeting', { persistent: false })
    await declare('/queue/auto', { autoDelete: true })
    const stays = idle('/queue/auto')
    await send('/queue/auto', '1')
    await declare('/queue/reply', { temporary: true })
    await post({ ...parseDestination('/queue/reply'), temporary: true }, '1', {})
    await post(Q, 'lasting', {})
    await den.pause(how)
    expect(stays.got).toEqual([])
    expect((await den.engine.inspect()).map(({ queue, ready }) => [queue, ready])).toEqual([[Q, 1]])
    expect(await browse()).toEqual(['lasting'])
  })

  test('a queue that may be idle for a while may be so anew', async () => {
    await declare(Q, { idleLife: 10_000 })
    await send(Q, '1')
    await den.advance(8_000)
    await den.pause(how, 60_000)
    await den.advance(8_000)
    expect(await browse()).toEqual(['1'])
    await den.advance(3_000)
    expect(await info()).toBeUndefined()
    await den.pause(how)
    expect(await info()).toBeUndefined()
  })

  test('an empty queue that nobody asked to stay is not there', async () => {
    await send(Q, '1')
    await (await hand(1, Q, true)).cancel()
    await den.settle()
    await den.pause(how)
    expect(await den.engine.inspect()).toEqual([])
  })
})

describe('what may have been handed out before a crash', () => {
  test('comes with a second attempt, and stays so over restarts', async () => {
    await send(Q, '1', '2')
    await hand(9)
    await den.pause('crash')
    await den.pause('restart')
    await den.pause('crash')
    expect((await hand(9)).log).toEqual(['1#2', '2#2'])
  })

  test('is what was taken by a consumer that acks nothing, too', async () => {
    await send(Q, '1', '2', '3')
    den.hold()
    const auto = idle(Q, true)
    auto.consumption.grant(2)
    // It is on disk first that they may have been handed out.
    expect(auto.log).toEqual([])
    den.go()
    await den.settle()
    expect(auto.log).toEqual(['1', '2'])
    await den.pause('crash')
    const rest = await hand(9)
    expect(rest.log.filter((body) => !body.startsWith('3'))).toEqual([])
  })

  test('is not what nobody had credit for', async () => {
    await send(Q, '1', '2')
    await (await hand(0)).cancel()
    await den.pause('crash')
    expect((await hand(9)).log).toEqual(['1', '2'])
  })

  test('is what was handed out while its ack was on its way', async () => {
    await send(Q, '1', '2')
    const consumer = await hand(9)
    den.hold()
    void den.engine.commit([{ type: 'ack', delivery: consumer.of('1') }])
    await den.pause('crash')
    expect((await hand(9)).log).toEqual(['1#2', '2#2'])
  })

  test('is nothing after a stop in order, but for what was given back', async () => {
    await send(Q, '1', '2', '3')
    const consumer = await hand(1)
    await consumer.cancel()
    await consumer.does('release')
    await den.pause('restart')
    expect((await hand(9)).log).toEqual(['1#2', '2', '3'])
  })
})
