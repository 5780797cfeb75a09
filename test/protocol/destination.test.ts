import { describe, expect, test } from 'vitest'
import { Destinations, MAX_DESTINATION } from '../../broker/protocol/destination.ts'
import { parsePattern } from '../../broker/protocol/pattern.ts'
import { parseDestination } from '../helpers/destination.ts'
import { refusal } from './decode.ts'

describe('kinds', () => {
  test.each([
    ['/topic/news', 'topic', '/topic/news'],
    ['/topic/a/b.c', 'topic', '/topic/a/b.c'],
    ['/queue/work', 'queue', '/queue/work'],
    ['/queue/a/b.c', 'queue', '/queue/a/b.c'],
    // A bare name is a queue, as on RabbitMQ and ActiveMQ, and shown as one.
    ['work', 'queue', '/queue/work'],
    ['queue/work', 'queue', '/queue/queue/work'],
    ['topic/news', 'queue', '/queue/topic/news'],
    // Any other prefix is a topic: Spring applications choose their own.
    ['/sub/room/1', 'topic', '/sub/room/1'],
    ['/queues/x', 'topic', '/queues/x'],
    ['/topicx', 'topic', '/topicx'],
    ['/Queue/x', 'topic', '/Queue/x'],
    // Anything but control characters may stand in a name.
    ['/topic/grüße 🌍', 'topic', '/topic/grüße 🌍'],
    ['/topic/a%2Fb:c\\d', 'topic', '/topic/a%2Fb:c\\d'],
    ['/topic/ padded ', 'topic', '/topic/ padded '],
    ['/topic/a#b>c', 'topic', '/topic/a#b>c'],
    ['/topic/#1', 'topic', '/topic/#1'],
    // Reserved as a first segment only.
    ['/topic/user', 'topic', '/topic/user'],
    ['/users/x', 'topic', '/users/x'],
    ['/application/x', 'topic', '/application/x'],
    ['user/x', 'queue', '/queue/user/x'],
  ])('%j is a %s', (text, kind, name) => {
    const destination = { kind, name, shown: name, temporary: false }
    expect(parseDestination(text)).toEqual(destination)
    // A second look gives the same.
    expect(parseDestination(text)).toEqual(destination)
    // And so does the name it is shown by.
    expect(parseDestination(name)).toEqual(destination)
  })
})

describe('refused as invalid', () => {
  test.each(['', '/', '//', '/topic', '/topic/', '/queue', '/queue/'])('no name: %j', (text) => {
    expect(refusal(() => parseDestination(text))).toBe('invalid-destination')
  })

  test.each([...Array.from({ length: 32 }, (_, code) => code), 0x7f])('control character %i', (code) => {
    const character = String.fromCharCode(code)
    for (const text of [`/topic/a${character}`, `${character}a`, `/queue/${character}`])
      expect(refusal(() => parseDestination(text))).toBe('invalid-destination')
  })

  test.each([
    ['/topic/', 'x', ''],
    ['/topic/', 'x', 'ü'],
    ['/queue/', 'x', '🌍'],
    ['', 'x', ''],
  ])('more than 512 bytes: %j', (prefix, filling, end) => {
    // As shown on MESSAGE: a bare name counts with its prefix, or a reply to it would be refused.
    const length = (text: string): number => Buffer.byteLength(parseDestination(text).name)
    const shown = prefix === '' ? '/queue/' : prefix
    const room = MAX_DESTINATION - Buffer.byteLength(shown + end)
    const longest = prefix + filling.repeat(room) + end
    expect(length(longest)).toBe(512)
    expect(refusal(() => parseDestination(prefix + filling.repeat(room + 1) + end))).toBe(
      'invalid-destination',
    )
  })
})

describe('refused as unsupported', () => {
  test.each([
    '/topic/*',
    '/topic/a*',
    '/topic/a?',
    '/topic/**',
    '/topic/a/**/b',
    '/topic/#',
    '/topic/a.#',
    '/topic/#.a',
    '/topic/a/#/b',
    '/topic/>',
    '/topic/a.>',
    '/queue/>',
    '*',
    '#',
    'a.>',
    '/*/a',
    '/exchange/amq.topic/a.*',
    '/exchange/amq.direct/a.*',
    '/user/alice/queue/*',
    '/user/*/queue/x',
    '/temp-queue/*',
  ])('a SEND to the pattern %s', (text) => {
    expect(refusal(() => new Destinations().sent(text))).toBe('unsupported-destination')
  })

  test.each([
    '/queue/>',
    '/queue/a.*',
    'a.*',
    '/amq/queue/#',
    '/user/queue/*',
    '/temp-queue/*',
    '/app/*',
    '/exchange/amq.direct/a.*',
  ])('a SUBSCRIBE to the pattern %s', (text) => {
    expect(refusal(() => new Destinations().subscribed(text))).toBe('unsupported-destination')
  })

  test.each(['/amq/x', '/amq/topic/x'])('%s, which nobody knows', (text) => {
    expect(refusal(() => parseDestination(text))).toBe('unsupported-destination')
  })
})

describe('a reserved prefix needs a name behind it, and is reserved as a whole segment only', () => {
  test.each([
    'topic',
    'queue',
    'user',
    'app',
    'temp-queue',
    'temp-topic',
    'remote-temp-queue',
    'remote-temp-topic',
    'reply-queue',
    'exchange',
    'amq',
  ])('/%s', (prefix) => {
    for (const text of [`/${prefix}`, `/${prefix}/`])
      expect(refusal(() => parseDestination(text))).toBe('invalid-destination')
    expect(parseDestination(`/${prefix}x/y`)).toMatchObject({ kind: 'topic', name: `/${prefix}x/y` })
  })
})

describe("other brokers' names", () => {
  test.each([
    ['/exchange/amq.topic/a.b', 'topic', '/topic/a.b', '/topic/a.b'],
    ['/exchange/amq.topic', 'topic', '/exchange/amq.topic', '/exchange/amq.topic'],
    ['/exchange/amq.direct/k', 'topic', '/exchange/amq.direct/k', '/exchange/amq.direct/k'],
    ['/exchange/amq.fanout/k', 'topic', '/exchange/amq.fanout', '/exchange/amq.fanout/k'],
    ['/exchange/amq.fanout', 'topic', '/exchange/amq.fanout', '/exchange/amq.fanout'],
    ['/exchange/mine/k', 'topic', '/exchange/mine/k', '/exchange/mine/k'],
    ['/amq/queue/x', 'queue', '/queue/x', '/queue/x'],
    ['/user/alice/queue/x', 'topic', '/user/alice/queue/x', '/user/queue/x'],
    ['/user/a%2Fb/queue/x', 'topic', '/user/a%2Fb/queue/x', '/user/queue/x'],
    // Two ways to write one name.
    ['/user/al%69ce/queue/x', 'topic', '/user/alice/queue/x', '/user/queue/x'],
    ['/user/100%/queue/x', 'topic', '/user/100%25/queue/x', '/user/queue/x'],
    // A name is not taken for the address of a session, which begins with a tilde.
    ['/user/%7Ex/queue/x', 'topic', '/user/%7Ex/queue/x', '/user/queue/x'],
    ['/user/~x/queue/x', 'topic', '/user/%7Ex/queue/x', '/user/queue/x'],
    ['/user/~abcdefghij-klmnop_r5/queue/x', 'topic', '/user/~abcdefghij-klmnop_r5/queue/x', '/user/queue/x'],
    ['/user/queue/queue/x', 'topic', '/user/queue/queue/x', '/user/queue/x'],
  ])('%s', (text, kind, name, shown) => {
    expect(parseDestination(text)).toEqual({ kind, name, shown, temporary: false })
  })

  test.each([
    ['/reply-queue/x', 'queue', '/reply-queue/x'],
    ['/remote-temp-queue/x', 'queue', '/reply-queue/x'],
    ['/remote-temp-topic/x', 'topic', '/remote-temp-topic/x'],
  ])('%s, which is temporary', (text, kind, name) => {
    expect(parseDestination(text)).toEqual({ kind, name, shown: name, temporary: true })
    // To be read by its maker only.
    expect(new Destinations().subscribed(text)).toEqual({ kind: 'reply', shown: name })
  })

  test.each([
    '/user/queue/x',
    '/user/topic/x',
    '/user/alice',
    '/user/alice/',
    '/user//queue/x',
    '/exchange//k',
  ])('%s lacks a name', (text) => {
    expect(refusal(() => new Destinations().sent(text))).toBe('invalid-destination')
  })

  test.each([
    ['/user/queue/x', 'user'],
    ['/temp-queue/x', 'temp-queue'],
    ['/temp-topic/x', 'temp-topic'],
    ['/app/x', 'app'],
  ])('a SUBSCRIBE to %s is the business of the session', (text, kind) => {
    expect(new Destinations().subscribed(text)).toEqual({ kind, shown: text })
  })
})

describe('a SUBSCRIBE to topics', () => {
  test('of one name', () => {
    expect(new Destinations().subscribed('/exchange/amq.topic/a.b')).toMatchObject({
      kind: 'topic',
      interest: '/topic/a.b',
    })
  })

  test.each([
    ['/topic/a.*', 'auto', '.'],
    ['/topic/a/*', 'auto', '/'],
    ['/topic/a.*', '/', '/'],
    ['/exchange/mine/a.*', 'auto', '.'],
    ['/exchange/amq.topic/a.*', '/', '.'],
  ] as const)('%s with the separator %s is split at each %s', (text, separator, split) => {
    const destinations = new Destinations({ separator, broadcast: [], strict: false })
    expect(destinations.subscribed(text)).toMatchObject({ kind: 'topic', interest: { separator: split } })
  })
})

describe('rules', () => {
  const destinations = new Destinations({
    separator: 'auto',
    broadcast: [parsePattern('/queue/news.**', 'auto')],
    strict: true,
  })

  test('a queue that is broadcast is a topic, and takes patterns', () => {
    expect(destinations.sent('/queue/news.a')).toMatchObject([{ kind: 'topic', shown: '/queue/news.a' }])
    expect(destinations.sent('news.a')).toMatchObject([{ kind: 'topic', shown: '/queue/news.a' }])
    expect(destinations.subscribed('/queue/news.*')).toMatchObject({
      kind: 'topic',
      interest: { text: '/queue/news.*' },
    })
    expect(destinations.sent('/queue/work')).toMatchObject([{ kind: 'queue' }])
  })

  test('strict: unknown prefixes are refused', () => {
    expect(refusal(() => destinations.sent('/sub/x'))).toBe('unsupported-destination')
    expect(refusal(() => destinations.subscribed('/sub/x'))).toBe('unsupported-destination')
    expect(refusal(() => destinations.sent('/topic/x'))).toBeUndefined()
  })
})

describe('several in one SEND', () => {
  const names = (text: string): string[] => new Destinations().sent(text).map(({ shown }) => shown)

  test.each([
    ['/queue/a,/topic/b', ['/queue/a', '/topic/b']],
    ['/queue/a,/queue/b,/app/c', ['/queue/a', '/queue/b', '/app/c']],
    ['a,/topic/b', ['/queue/a', '/topic/b']],
    // Without a slash behind it a comma is a part of the name.
    ['/topic/a,b', ['/topic/a,b']],
    ['a,b', ['/queue/a,b']],
    ['/topic/a, /topic/b', ['/topic/a, /topic/b']],
  ])('%s', (text, expected) => {
    expect(names(text)).toEqual(expected)
  })

  test('one that is refused refuses all', () => {
    expect(refusal(() => names('/queue/a,/topic/*'))).toBe('unsupported-destination')
    expect(refusal(() => names('/queue/a,/topic/'))).toBe('invalid-destination')
    // An empty one is part of no name.
    expect(refusal(() => names(',/topic/a'))).toBe('invalid-destination')
  })

  test('a SUBSCRIBE names one', () => {
    expect(refusal(() => new Destinations().subscribed('/queue/a,/queue/b'))).toBe('unsupported-destination')
    expect(new Destinations().subscribed('/topic/a,b')).toMatchObject({ interest: '/topic/a,b' })
  })

  test('all of them together are as long as one may be', () => {
    const first = `/topic/${'a'.repeat(200)}`
    const text = `${first},/topic/${'b'.repeat(MAX_DESTINATION - first.length - 8)}`
    expect(Buffer.byteLength(text)).toBe(512)
    expect(names(text)).toHaveLength(2)
    expect(refusal(() => names(`${text}b`))).toBe('invalid-destination')
  })
})

test('more names than the memory of known ones holds are still told apart', () => {
  const destinations = new Destinations()
  const names = Array.from({ length: 100_050 }, (_, n) => `/queue/n${n}`)
  expect(names.filter((name) => destinations.sent(name)[0]?.shown !== name)).toEqual([])
  expect(destinations.sent('/queue/n1')).toMatchObject([{ kind: 'queue', name: '/queue/n1' }])
})

test('a name is remembered as long as somebody uses it, and forgotten soon after', () => {
  const destinations = new Destinations()
  const [used, unused] = [destinations.sent('/topic/used'), destinations.sent('/topic/unused')]
  const pattern = destinations.subscribed('/topic/*')
  for (let second = 1; second <= 30; second++) {
    destinations.tick(1_000)
    expect(destinations.sent('/topic/used')).toBe(used)
    if (second === 4) expect(destinations.subscribed('/topic/*')).toBe(pattern)
  }
  expect(destinations.sent('/topic/unused')).not.toBe(unused)
  expect(destinations.sent('/topic/unused')).toEqual(unused)
  expect(destinations.subscribed('/topic/*')).not.toBe(pattern)
})

test('what is remembered is bounded, however long ago each was used', () => {
  const destinations = new Destinations()
  const first = destinations.sent('/topic/first')
  const fill = (kind: string, count: number): void => {
    for (let n = 0; n < count; n++) destinations.sent(`/topic/${kind}${n}`)
  }
  fill('old', 60_000)
  destinations.tick(5_000)
  fill('young', 39_999)
  expect(destinations.sent('/topic/first')).toBe(first)
  fill('more', 1)
  expect(destinations.sent('/topic/first')).not.toBe(first)
})
