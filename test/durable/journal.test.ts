import { describe, expect, test, vi } from 'vitest'
import type { Op } from '../../broker/model/message.ts'
import { parsePattern } from '../../broker/protocol/pattern.ts'
import { Q } from '../conformance/rig.ts'
import { Den, turn } from './den.ts'

const den = new Den().live()
const { send, sends, post, hand, idle, info, count, browse, commit, declare, message } = den

/** What became of a commit. */
class Outcome {
  state: string = 'pending'
  readonly over: Promise<void>

  constructor(...ops: Op[]) {
    this.over = den
      .code(() => den.engine.commit(ops))
      .then((code) => {
        this.state = code === 'accepted' ? 'done' : code
      })
  }
}

describe('a commit', () => {
  test('is done, and its messages are handed out, when it is on disk and not before', async () => {
    const consumer = await hand(9)
    den.hold()
    const outcome = new Outcome(...sends(Q, '1'))
    const heard = new Outcome({ type: 'send', message: message('/topic/t', 'x', { retain: 'set' }) })
    for (let turns = 0; turns < 20; turns++) await turn()
    expect([outcome.state, heard.state, consumer.log, den.heard]).toEqual(['pending', 'pending', [], []])
    expect(den.engine.retained('/topic/t')).toEqual([])
    const { writes } = den
    den.go()
    await outcome.over
    expect([outcome.state, consumer.log, den.writes > writes]).toEqual(['done', ['1'], true])
    await heard.over
    expect(den.heard).toHaveLength(1)
  })

  test('waits for no disk when nothing of it is to be kept', async () => {
    const consumer = await hand(9)
    den.hold()
    const fleeting = message(Q, '1', { persistent: false })
    expect(den.engine.commit([{ type: 'send', message: fleeting }])).toBeUndefined()
    expect(consumer.log).toEqual(['1'])
    expect(den.engine.commit([{ type: 'ack', delivery: consumer.last }])).toBeUndefined()
  })

  test('of a message that is not kept stands behind the one before it that is', async () => {
    const consumer = await hand(9)
    den.hold()
    const first = new Outcome(...sends(Q, '1'))
    const second = new Outcome({ type: 'send', message: message(Q, '2', { persistent: false }) })
    const third = new Outcome(...sends(Q, '3'))
    await turn()
    expect([second.state, consumer.log]).toEqual(['pending', []])
    den.go()
    await Promise.all([first.over, second.over, third.over])
    expect(consumer.log).toEqual(['1', '2', '3'])
  })

  test('is there with its acks, or without them', async () => {
    await send(Q, '1')
    const consumer = await hand(1)
    den.hold()
    const outcome = new Outcome({ type: 'ack', delivery: consumer.last }, ...sends('/queue/out', '2', '3'))
    await turn()
    await den.pause('crash')
    expect([await browse(), await browse('/queue/out'), outcome.state]).toEqual([['1'], [], 'done'])
    const again = await hand(1)
    expect(again.log).toEqual(['1#2'])
    await commit({ type: 'ack', delivery: again.last }, ...sends('/queue/out', '2', '3'))
    await den.pause('crash')
    expect([await browse(), await browse('/queue/out')]).toEqual([[], ['2', '3']])
  })

  test('that acks twice what it acks leaves the counts right', async () => {
    await send(Q, '1', '2')
    const consumer = await hand(2)
    const ack = { type: 'ack', delivery: consumer.of('1') } as const
    const nack = { type: 'nack', delivery: consumer.of('1') } as const
    await commit(ack, ack, nack, ...sends(Q, '3'))
    expect(await count()).toEqual([1, 1])
    expect(den.counts(Q).messages).toBe(2)
    await den.pause('crash')
    expect([...(await browse())].sort()).toEqual(['2', '3'])
  })

  test('is one with those that came while the disk was busy', async () => {
    await send(Q, 'first')
    den.hold()
    const outcomes = Array.from({ length: 500 }, (_, number) => new Outcome(...sends(Q, String(number))))
    await turn()
    const { writes } = den
    den.go()
    await Promise.all(outcomes.map(({ over }) => over))
    expect(den.writes - writes).toBeLessThan(4)
    expect(await browse()).toHaveLength(501)
  })

  test('that leaves its queue idle before it is written does not lose its messages', async () => {
    await den.begin({ overflow: () => 'drop-oldest' })
    await send(Q, '1')
    const consumer = await hand(1)
    den.hold()
    const outcome = new Outcome(...sends(Q, '2'))
    await turn()
    // Nothing is in the queue, and nobody at it.
    await den.engine.commit([{ type: 'ack', delivery: consumer.last }])
    consumer.consumption.cancel()
    expect((await info())?.ready).toBe(0)
    den.go()
    await outcome.over
    expect(await browse()).toEqual(['2'])
    await den.settle()
    await den.pause('crash')
    expect(await browse()).toEqual(['2'])
  })

  test('to a queue that was removed meanwhile is gone with it', async () => {
    den.hold()
    const outcome = new Outcome(...sends(Q, '1'))
    await turn()
    const removed = den.engine.remove(Q)
    const again = new Outcome(...sends(Q, '2'))
    den.go()
    await Promise.all([outcome.over, removed, again.over])
    expect(await browse()).toEqual(['2'])
    await den.pause('crash')
    expect(await browse()).toEqual(['2'])
  })

  test('to a topic reaches who listened when it was sent, whatever that one listens to now', async () => {
    const terms = { lasting: true, topics: parsePattern('/topic/a.*', '.') }
    await declare('/durable/d', terms)
    den.hold()
    const outcome = new Outcome(...sends('/topic/a.b', '1'))
    await turn()
    const declared = den.engine.declare('/durable/d', { ...terms, topics: '/topic/else' })
    den.go()
    await Promise.all([outcome.over, declared])
    expect(await browse('/durable/d')).toEqual(['1'])
    await den.pause('crash')
    expect(await browse('/durable/d')).toEqual(['1'])
    expect((await info('/durable/d'))?.bytes).toBe(1)
  })

  test('to a topic that expires on its way leaves nothing behind', async () => {
    await declare('/durable/d', { lasting: true, topics: '/topic/t' })
    den.hold()
    const outcome = new Outcome({
      type: 'send',
      message: message('/topic/t', '1', { expires: Date.now() + 10 }),
    })
    await turn()
    vi.advanceTimersByTime(20)
    den.go()
    await outcome.over
    await den.advance(1_100)
    expect([den.heard, await count('/durable/d'), den.counts('/durable/d').messages]).toEqual([[], [0, 0], 0])
  })
})

describe('a batch that cannot be written', () => {
  test('is refused, and the next one is taken', async () => {
    await send(Q, '1')
    den.fail(1)
    const refused = new Outcome(...sends(Q, '2'))
    await refused.over
    expect(refused.state).toBe('store-full')
    await send(Q, '3')
    expect([await browse(), await count()]).toEqual([
      ['1', '3'],
      [2, 0],
    ])
    expect(den.counts(Q).messages).toBe(2)
    await den.pause('crash')
    expect(await browse()).toEqual(['1', '3'])
  })

  test('does not keep its queue from being described', async () => {
    idle()
    den.fail(1)
    expect(await den.refusal(...sends(Q, '1'))).toBe('store-full')
    await send(Q, '2')
    await den.pause('crash')
    expect(await browse()).toEqual(['2'])
  })

  test('is refused alone: the acks with it are written', async () => {
    await send(Q, '1', '2')
    const consumer = await hand(9)
    den.fail(1)
    const refused = new Outcome(...sends(Q, '3'))
    await den.engine.commit([{ type: 'ack', delivery: consumer.of('1') }])
    await refused.over
    expect(refused.state).toBe('store-full')
    await den.settle()
    expect(den.counts(Q).messages).toBe(1)
    await den.pause('crash')
    expect(await browse()).toEqual(['2'])
  })

  test('takes the acks of its own with it, which can be given again', async () => {
    await send(Q, '1')
    const consumer = await hand(1)
    den.fail(1)
    const ack = { type: 'ack', delivery: consumer.last } as const
    expect(await den.refusal(ack, ...sends('/queue/out', '2'))).toBe('store-full')
    expect([await count(), den.counts(Q).messages]).toEqual([[0, 1], 1])
    await commit({ type: 'release', delivery: consumer.last })
    expect(await browse()).toEqual(['1'])
    const again = await hand(1)
    await commit({ type: 'ack', delivery: again.last }, ...sends('/queue/out', '2'))
    expect([await info(), await browse('/queue/out')]).toMatchObject([{ ready: 0, unacked: 0 }, ['2']])
    await den.pause('crash')
    expect([await browse(), await browse('/queue/out')]).toEqual([[], ['2']])
  })

  test('counts right on disk, although more came while it was written again', async () => {
    await send(Q, '1')
    const consumer = await hand(1)
    den.hold()
    const refused = new Outcome(...sends(Q, 'refused'))
    await den.engine.commit([{ type: 'ack', delivery: consumer.last }])
    await turn()
    den.fail(1)
    den.go()
    const taken = new Outcome(...sends(Q, '2'))
    await refused.over
    // The acks are on disk, and what came since is not.
    den.hold()
    while (den.writing > 0) await turn()
    const copy = den.snapshot()
    den.go()
    await taken.over
    await den.look(copy, async () => {
      expect(await info()).toBeUndefined()
    })
    expect([refused.state, taken.state]).toEqual(['store-full', 'done'])
    await den.pause('crash')
    expect(await browse()).toEqual(['2'])
  })

  test('leaves no room taken and nobody waiting', async () => {
    await den.begin({ maxQueueMessages: 2 })
    den.fail(1)
    expect(await den.refusal(...sends(Q, '1', '2'))).toBe('store-full')
    await send(Q, '1', '2')
    expect(await den.refusal(...sends(Q, '3'))).toBe('queue-full')
    den.fail(1)
    expect(await den.refusal({ type: 'send', message: message('/topic/t', 'x', { retain: 'set' }) })).toBe(
      'store-full',
    )
    // Nothing is on its way: it is done at once.
    den.hold()
    expect(
      den.engine.commit([{ type: 'send', message: message('/topic/t', 'y', { persistent: false }) }]),
    ).toBe(undefined)
    expect(den.engine.retained('/topic/t')).toEqual([])
  })

  test('of the terms of a queue is told to who declared it, and the end of a queue goes on', async () => {
    den.fail()
    expect(await den.code(() => den.engine.declare(Q, { lasting: true }))).toBe('store-full')
    await den.recover()
    await den.remove(Q)
    await den.pause('crash')
    expect(await info()).toBeUndefined()
  })
})

describe('while nothing can be written', () => {
  test('what is there is consumed, sends are refused, and all goes on afterwards', async () => {
    await send(Q, '1', '2', '3', '4')
    const consumer = await hand(1)
    den.fail()
    await den.engine.commit([{ type: 'ack', delivery: consumer.last }])
    await den.settle()
    expect(den.warnings).toEqual([expect.stringContaining('Nothing can be written to ')])
    await consumer.grant(2)
    expect(consumer.log).toEqual(['1', '2', '3'])
    const refused = new Outcome(...sends(Q, '5'))
    await refused.over
    expect(refused.state).toBe('store-full')
    // What is not kept is taken as ever.
    await post('/queue/fleeting', 'x', { persistent: false })
    expect(await browse('/queue/fleeting')).toEqual(['x'])
    await den.engine.commit([{ type: 'ack', delivery: consumer.of('2') }])
    await den.recover()
    expect(den.warnings).toHaveLength(2)
    expect(den.warnings[1]).toContain('can be written to again')
    await send(Q, '5')
    expect(await count()).toEqual([2, 1])
    await den.pause('crash')
    expect((await hand(9)).log.map((body) => body[0])).toEqual(['3', '4', '5'])
  })

  test('what was handed out then comes as such after a crash, if there was a moment to write that', async () => {
    await send(Q, '1', '2')
    den.fail()
    const consumer = await hand(1)
    await den.advance(100)
    expect(consumer.log).toEqual(['1'])
    await den.recover()
    await consumer.cancel()
    await send(Q, '3')
    // And from here on again it is written first.
    den.hold()
    const other = idle()
    other.consumption.grant(9)
    expect(other.log).toEqual([])
    den.go()
    await den.settle()
    expect(other.log).toEqual(['2', '3'])
    await den.pause('crash')
    expect((await hand(9)).log).toEqual(['1#2', '2#2', '3#2'])
  })

  test('it can be stopped, and what could not be written comes again', async () => {
    await send(Q, '1', '2')
    const consumer = await hand(1)
    den.fail()
    await den.engine.commit([{ type: 'ack', delivery: consumer.last }])
    await den.settle()
    await den.pause('restart')
    expect(den.warnings.at(-1)).toContain('comes again')
    expect((await hand(9)).log.map((body) => body[0])).toEqual(['1', '2'])
  })

  test('a stop tries once more', async () => {
    await send(Q, '1', '2')
    const consumer = await hand(1)
    den.fail()
    await den.engine.commit([{ type: 'ack', delivery: consumer.last }])
    await den.settle()
    den.heal()
    await den.pause('restart')
    expect((await hand(9)).log).toEqual(['2'])
  })
})

describe('a store whose files are gone', () => {
  test('takes nothing that it would not keep', async () => {
    await send(Q, '1')
    den.takeAway()
    const refused = new Outcome(...sends(Q, '2'))
    await refused.over
    expect(refused.state).toBe('store-full')
    expect(await browse()).toEqual(['1'])
    den.bringBack()
    await den.recover()
    await send(Q, '3')
    await den.pause('crash')
    expect(await browse()).toEqual(['1', '3'])
  })
})
