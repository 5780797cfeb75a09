import * as fc from 'fast-check'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { Lag } from '../../broker/core/lag.ts'
import { Leniency, type SlowPolicy } from '../../broker/core/leniency.ts'
import { Pressure } from '../../broker/core/pressure.ts'
import { Slack } from '../../broker/core/slack.ts'
import type { Hub } from '../../broker/core/hub.ts'
import { TopicSubscription, type SubscriptionHost } from '../../broker/core/subscription.ts'
import { Made } from '../../broker/model/content.ts'
import { Message, NO_TERMS } from '../../broker/model/message.ts'
import { Stats } from '../../broker/model/stats.ts'
import { NO_BODY } from '../../broker/protocol/frame.ts'
import { parseDestination } from '../helpers/destination.ts'

interface House {
  readonly slack: Slack
  readonly stats: Stats
  readonly leniency: Leniency
  readonly lines: string[]
}

function open(
  slowMessages = 1_000,
  sendBudget = 1_000_000,
  judge: () => SlowPolicy = () => 'disconnect',
): House {
  const stats = new Stats()
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const pressure = new Pressure({ sendBudget, totalSendBudget: Infinity }, stats)
  const leniency = new Leniency(judge, { slowMessages, sendBudget }, stats, log, pressure)
  return { slack: new Slack('s-1', leniency), stats, leniency, lines }
}

function message(id: number, name = '/topic/a', size = 10, expires = 0): Message {
  const terms = { ...NO_TERMS, expires }
  return new Message(String(id), parseDestination(name), new Made(new Map(), NO_BODY), size, terms)
}

/** Takes all that waits. */
function drain(slack: Slack, lag: Lag): number[] {
  const ids: number[] = []
  for (let next = slack.take(lag); next !== undefined; next = slack.take(lag)) ids.push(Number(next.id))
  return ids
}

describe('drop-oldest', () => {
  test('keeps the newest messages in order, and counts those that go', () => {
    const { slack, stats } = open(3)
    const lag = new Lag()
    for (let id = 0; id < 5; id++) slack.keep(lag, message(id), 'drop-oldest')
    expect([slack.bytes, stats.slowDropped, stats.slowConflated]).toEqual([30, 2, 0])
    expect(drain(slack, lag)).toEqual([2, 3, 4])
    expect(slack.bytes).toBe(0)
    // And begins anew.
    slack.keep(lag, message(5), 'drop-oldest')
    expect(drain(slack, lag)).toEqual([5])
  })

  test('the bytes of all subscriptions of a session are bounded, met and crossed by one', () => {
    const { slack, stats } = open(1_000, 100)
    const lag = new Lag()
    for (let id = 0; id < 10; id++) slack.keep(lag, message(id), 'drop-oldest')
    expect(stats.slowDropped).toBe(0)
    slack.keep(lag, message(10, '/topic/a', 1), 'drop-oldest')
    expect([slack.bytes, stats.slowDropped]).toEqual([91, 1])
    expect(drain(slack, lag)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  })

  test('no subscription loses what it has to one that has more than its share', () => {
    const { slack } = open(1_000, 100)
    const [large, small] = [new Lag(), new Lag()]
    for (let id = 0; id < 10; id++) slack.keep(large, message(id), 'drop-oldest')
    for (let id = 100; id < 103; id++) slack.keep(small, message(id), 'drop-oldest')
    expect(drain(slack, small)).toEqual([100, 101, 102])
    expect(drain(slack, large)).toEqual([3, 4, 5, 6, 7, 8, 9])
  })

  test('what has expired meanwhile is not sent', () => {
    const { slack, stats } = open()
    const lag = new Lag()
    slack.keep(lag, message(0, '/topic/a', 10, Date.now() - 1), 'drop-oldest')
    slack.keep(lag, message(1, '/topic/a', 10, Date.now() + 1_000_000), 'drop-oldest')
    expect(drain(slack, lag)).toEqual([1])
    expect([stats.expired, slack.bytes]).toEqual([1, 0])
  })
})

describe('keep-latest', () => {
  test('keeps the newest of each destination, each in the place of its first', () => {
    const { slack, stats } = open()
    const lag = new Lag()
    for (const [id, name] of ['/topic/a', '/topic/b', '/topic/a', '/topic/c', '/topic/a'].entries())
      slack.keep(lag, message(id, name, id + 1), 'keep-latest')
    expect([stats.slowDropped, stats.slowConflated, slack.bytes]).toEqual([0, 2, 5 + 2 + 4])
    expect(drain(slack, lag)).toEqual([4, 1, 3])
    slack.keep(lag, message(5), 'keep-latest')
    expect([stats.slowConflated, drain(slack, lag)]).toEqual([2, [5]])
  })

  test('destinations are bounded, then the one that has waited longest goes', () => {
    const { slack, stats } = open(3)
    const lag = new Lag()
    for (let id = 0; id < 4; id++) slack.keep(lag, message(id, `/topic/${id}`), 'keep-latest')
    expect([stats.slowDropped, stats.slowConflated]).toEqual([1, 0])
    // It comes anew, as if it had never been there.
    slack.keep(lag, message(4, '/topic/0'), 'keep-latest')
    expect(drain(slack, lag)).toEqual([2, 3, 4])
    expect(stats.slowConflated).toBe(0)
  })
})

test('whatever is kept and taken, it is counted once, in order for each destination, and within the bounds', () => {
  const step = fc.record({
    lag: fc.nat(2),
    name: fc.nat(3),
    size: fc.nat(40),
    policy: fc.constantFrom('drop-oldest' as const, 'keep-latest' as const),
    take: fc.nat(3),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { slack, stats } = open(4, 100)
      const lags = [new Lag(), new Lag(), new Lag()] as const
      const last = new Map<string, number>()
      let taken = 0
      const take = (index: number): boolean => {
        const next = slack.take(lags[index as 0]) // index < 3
        if (next === undefined) return false
        const key = `${index} ${next.destination.name}`
        expect(Number(next.id)).toBeGreaterThan(last.get(key) ?? -1)
        last.set(key, Number(next.id))
        taken++
        return true
      }
      for (const [id, { lag, name, size, policy, take: count }] of steps.entries()) {
        // A destination has one policy.
        slack.keep(lags[lag as 0], message(id, `/topic/${policy}.${name}`, size), policy)
        expect(slack.bytes).toBeLessThanOrEqual(100)
        expect(slack.bytes).toBe(lags[0].bytes + lags[1].bytes + lags[2].bytes)
        for (const { count: waiting } of lags) expect(waiting).toBeLessThanOrEqual(4)
        for (let times = 0; times < count; times++) take(lag)
      }
      for (const index of lags.keys()) while (take(index));
      expect(slack.bytes).toBe(0)
      expect(taken + stats.slowDropped + stats.slowConflated).toBe(steps.length)
    }),
  )
})

test('what a session sheds is counted, what is forgotten with its subscription is not', () => {
  const { slack, stats } = open()
  const [lag, other] = [new Lag(), new Lag()]
  for (let id = 0; id < 3; id++) slack.keep(lag, message(id), 'drop-oldest')
  slack.keep(other, message(3), 'keep-latest')
  slack.forget(other)
  expect([slack.bytes, stats.slowDropped]).toEqual([30, 0])
  slack.shed()
  expect([slack.bytes, stats.slowDropped, drain(slack, lag)]).toEqual([0, 3, []])
})

test('the log tells once of a client that it begins to lose messages, by its session', () => {
  const { slack, lines } = open(1)
  const lag = new Lag()
  slack.keep(lag, message(0), 'drop-oldest')
  expect(lines).toEqual([])
  for (let id = 1; id < 5; id++) slack.keep(lag, message(id), 'drop-oldest')
  slack.keep(lag, message(5, '/topic/b'), 'keep-latest')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/s-1: .*slow-consumers/)
})

test('changes are told to those who watch, once', () => {
  const { slack, leniency } = open()
  slack.changed()
  expect(leniency.changes).toBe(0)
  slack.watch()
  slack.changed()
  slack.changed()
  expect(leniency.changes).toBe(1)
})

test('the policy of a destination is asked for once', () => {
  const asked: string[] = []
  const { leniency } = open(1, 1, ((name: string) => {
    asked.push(name)
    return name === '/topic/a' ? 'keep-latest' : 'disconnect'
  }) as () => SlowPolicy)
  for (const name of ['/topic/a', '/topic/b', '/topic/a', '/topic/b'])
    expect(leniency.policy(name)).toBe(name === '/topic/a' ? 'keep-latest' : undefined)
  expect(asked).toEqual(['/topic/a', '/topic/b'])
})

test('a subscription keeps what comes while its session is pressed, in the same order, and nothing once it is closed', () => {
  const { slack, stats } = open()
  const sent: string[] = []
  const host = {
    slack,
    pressed: false,
    form: () => undefined,
    publish: (_to: unknown, { id }: Message) => void sent.push(id),
  }
  const hub = { add() {}, remove() {}, retained: () => [] } as unknown as Hub
  const subscription = new TopicSubscription(
    '0',
    'auto',
    ['/topic/a'],
    ({ id }) => id !== '2',
    host as unknown as SubscriptionHost,
    hub,
  )
  subscription.start()
  const spare = (id: number): void => subscription.spare(message(id), 'drop-oldest')
  spare(0)
  expect([sent, subscription.lags()]).toEqual([['0'], false])
  host.pressed = true
  for (const id of [1, 2, 3]) spare(id)
  expect([sent, slack.bytes, subscription.lags()]).toEqual([['0'], 20, true])
  // It is pressed again by the first of them.
  host.pressed = false
  const { publish } = host
  host.publish = (to, one) => {
    publish(to, one)
    host.pressed = true
  }
  subscription.resume()
  expect(sent).toEqual(['0', '1'])
  host.pressed = false
  expect(subscription.lags()).toBe(true)
  spare(4)
  host.publish = publish
  subscription.resume()
  expect([sent, subscription.lags()]).toEqual([['0', '1', '3', '4'], false])
  host.pressed = true
  spare(5)
  subscription.close()
  expect(slack.bytes).toBe(0)
  spare(6)
  expect([slack.bytes, stats.slowDropped]).toEqual([0, 0])
})
