import { describe, expect, test } from 'vitest'
import { MAX_DESTINATION, parseDestination } from '../../broker/protocol/destination.ts'
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
    expect(parseDestination(text)).toEqual({ kind, name })
    // A second look gives the same.
    expect(parseDestination(text)).toEqual({ kind, name })
    // And so does the name it is shown by.
    expect(parseDestination(name)).toEqual({ kind, name })
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
    'user',
    'app',
    'temp-queue',
    'temp-topic',
    'remote-temp-queue',
    'remote-temp-topic',
    'reply-queue',
    'exchange',
    'amq',
  ])('the reserved prefix /%s', (prefix) => {
    for (const text of [`/${prefix}`, `/${prefix}/`, `/${prefix}/x`])
      expect(refusal(() => parseDestination(text))).toBe('unsupported-destination')
    expect(refusal(() => parseDestination(`/${prefix}x/y`))).toBeUndefined()
  })

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
  ])('the pattern %s', (text) => {
    expect(refusal(() => parseDestination(text))).toBe('unsupported-destination')
  })
})

test('more names than the memory of known ones holds are still told apart', () => {
  const names = Array.from({ length: 10_050 }, (_, n) => `/queue/n${n}`)
  expect(names.filter((name) => parseDestination(name).name !== name)).toEqual([])
  expect(parseDestination('/queue/n1')).toEqual({ kind: 'queue', name: '/queue/n1' })
})
