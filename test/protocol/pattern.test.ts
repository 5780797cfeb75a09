import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StompError } from '../../broker/protocol/errors.ts'
import { quote } from '../../broker/protocol/text.ts'
import {
  interestKey,
  isPattern,
  matchesInterest,
  matchesPattern,
  parsePattern,
  type Separator,
} from '../../broker/protocol/pattern.ts'
import { naive } from './oracle.ts'

type Row = [pattern: string, matched: string[], not: string[], separator?: Separator]

const dialects: Record<string, Row[]> = {
  'RabbitMQ: words between dots, * is one of them, # any number': [
    ['/topic/a.*', ['/topic/a.b', '/topic/a.'], ['/topic/a', '/topic/a.b.c', '/topic/b.a', '/topic/a.b/c']],
    ['/topic/*', ['/topic/a', '/topic/'], ['/topic', '/topic/a.b', '/topic/room/1', '/topics/a']],
    ['/topic/*.*.c', ['/topic/a.b.c', '/topic/..c'], ['/topic/a.c', '/topic/a.b.c.d']],
    ['/topic/a.#', ['/topic/a', '/topic/a.b', '/topic/a.b.c', '/topic/a.b/c.d'], ['/topic/ab', '/topic/b']],
    ['/topic/#', ['/topic/a', '/topic/a.b', '/topic/a/b', '/topic/'], ['/queue/a', '/topics/a']],
    ['/topic/#.z', ['/topic/z', '/topic/a.z', '/topic/a/b.c.z'], ['/topic/z.a', '/topic/az', '/topic/a/z']],
    ['/topic/a.#.z', ['/topic/a.z', '/topic/a.b.c.z', '/topic/a.z.z'], ['/topic/a', '/topic/a.z.b']],
    ['/topic/#.#.a.#', ['/topic/a', '/topic/b.a.b', '/topic/a.a'], ['/topic/b', '/topic/ab']],
    ['/topic/#.*', ['/topic/a', '/topic/a.b'], ['/topic', '/topic/a.b/c']],
    ['/topic/*.#.*', ['/topic/a.b', '/topic/a.b.c'], ['/topic/a']],
    ['/exchange/logs/eu.*', ['/exchange/logs/eu.warn'], ['/exchange/logs/eu', '/exchange/other/eu.warn']],
    ['/exchange/logs/#', ['/exchange/logs/a.b', '/exchange/logs'], ['/exchange/log', '/exchange/logs2/a']],
  ],
  'ActiveMQ: > is the rest at the end': [
    ['/topic/a.>', ['/topic/a', '/topic/a.b', '/topic/a.b.c'], ['/topic/b', '/topic/ab.c']],
    ['/topic/>', ['/topic/a', '/topic/a.b', '/topic/a/b'], ['/queue/a']],
    ['/topic/PRICE.STOCK.*.IBM', ['/topic/PRICE.STOCK.NYSE.IBM'], ['/topic/PRICE.STOCK.IBM']],
    ['/topic/*.b.>', ['/topic/a.b', '/topic/c.b.d.e'], ['/topic/b', '/topic/a.c']],
    // Nobody subscribes to it, but settings of queues are given by pattern.
    ['/queue/orders.>', ['/queue/orders', '/queue/orders.eu'], ['/queue/order']],
  ],
  'Spring: segments between slashes, ** is any number, ? one character': [
    ['/topic/a/**', ['/topic/a', '/topic/a/b', '/topic/a/b/c.d'], ['/topic/ab', '/topic/a.b']],
    ['/topic/**', ['/topic/a', '/topic/a.b.c', '/topic/a/b'], ['/sub/a']],
    ['/sub/**', ['/sub', '/sub/', '/sub/a/b'], ['/subs']],
    ['/topic/**/end', ['/topic/end', '/topic/a/b/end'], ['/topic/aend', '/topic/end/a']],
    ['/topic/room/*', ['/topic/room/1', '/topic/room/a.b'], ['/topic/room', '/topic/room/1/2']],
    ['/topic/*/*.txt', ['/topic/a.b/c.txt', '/topic/a/.txt'], ['/topic/a/b', '/topic/c.txt']],
    ['/topic/room?/x', ['/topic/room1/x', '/topic/room😀/x'], ['/topic/room/x', '/topic/room12/x']],
    ['/sub/room/1/*', ['/sub/room/1/'], ['/sub/room/1', '/sub/room/2/a']],
    // As if the whole broker were Spring's: a * takes the dots.
    ['/topic/*', ['/topic/a.b', '/topic/a'], ['/topic/a/b'], '/'],
    ['/topic/#', ['/topic/a/b.c'], ['/queue/a'], '/'],
    ['/exchange/logs/*', ['/exchange/logs/a.b'], ['/exchange/logs/a/b'], '/'],
  ],
  'globs inside a segment': [
    ['/topic/a-*', ['/topic/a-', '/topic/a-1', '/topic/a-b-c'], ['/topic/a', '/topic/a-1.b', '/topic/a-1/b']],
    ['/topic/room?.new', ['/topic/room1.new', '/topic/room😀.new'], ['/topic/room.new', '/topic/room/.new']],
    ['/topic/*-a-*', ['/topic/-a-', '/topic/b-a-a-'], ['/topic/-a', '/topic/b.-a-']],
    ['/topic/*.log', ['/topic/a.log', '/topic/.log'], ['/topic/log', '/topic/a/b.log']],
    ['/topic/a**b', ['/topic/ab', '/topic/axb'], ['/topic/a.b', '/topic/a/b']],
    ['/topic/***', ['/topic/a', '/topic/'], ['/topic/a.b', '/topic/a/b']],
    ['/topic/*?', ['/topic/a', '/topic/ab', '/topic/😀'], ['/topic/', '/topic/a/b']],
    ['/topic/??', ['/topic/ab', '/topic/😀a', '/topic/é😀'], ['/topic/a', '/topic/😀', '/topic/a/']],
    ['/topic/*😀?', ['/topic/😀😀', '/topic/😀😀😁'], ['/topic/😀', '/topic/😁']],
    // Letters of the other dialects that are no segment of their own.
    ['/topic/C#.*', ['/topic/C#.new'], ['/topic/C.new']],
    ['/topic/*.a>b', ['/topic/x.a>b'], ['/topic/x.a']],
    // A slash in a segment, where dots are told to separate.
    ['/topic/a/*.c', ['/topic/a/b.c', '/topic/a/.c'], ['/topic/a/b/d.c', '/topic/a.c'], '.'],
    ['/topic/*/x*y', ['/topic/a/xy', '/topic//x-y'], ['/topic/x-y', '/topic/a/b/xy', '/topic/a/x/y'], '.'],
  ],
}

describe.each(Object.entries(dialects))('%s', (_, rows) => {
  test.each(rows)('%s', (text, matched, not, separator = 'auto') => {
    expect(isPattern(text)).toBe(true)
    const pattern = parsePattern(text, separator)
    expect(pattern.text).toBe(text)
    expect(matched.filter((name) => !matchesPattern(pattern, name))).toEqual([])
    expect(not.filter((name) => matchesPattern(pattern, name))).toEqual([])
    // The definition says so too.
    expect([...matched, ...not].filter((name) => naive(text, pattern.separator, name))).toEqual(matched)
  })
})

test.each([
  ['/topic/a.*', '.'],
  ['/topic/*', '.'],
  ['/topic/a/*', '/'],
  ['/topic/a/b.*', '/'],
  ['/exchange/logs/a.*', '.'],
  ['/exchange/logs/a/*', '/'],
])('%s is split at each %s unless told otherwise', (text, separator) => {
  expect(parsePattern(text, 'auto').separator).toBe(separator)
  expect(parsePattern(text, '.').separator).toBe('.')
  expect(parsePattern(text, '/').separator).toBe('/')
})

test.each([
  '/topic/a',
  '/topic/C#',
  '/topic/#1',
  '/topic/a.#1',
  '/topic/a>b',
  '/topic/>>',
  '/topic/a.##.b',
  '/topic/a-#-b',
  '/C#/a',
  '/topic/a->/b',
])('%s is a plain name', (name) => {
  expect(isPattern(name)).toBe(false)
})

test.each(['#', '>', '*', '/#', '/#/a', '/topic/#/a', '/topic/#.a', '/topic/a.>.b', '/to*/a', '/topic?'])(
  '%s has wildcards',
  (name) => {
    expect(isPattern(name)).toBe(true)
  },
)

describe('refused', () => {
  const prefix = 'does not name its prefix'
  const after = 'goes on after a >, which stands for all the rest'
  const whole = '# and > must be one of their own'
  test.each<[text: string, why: string, separator?: Separator]>([
    ['/*', prefix],
    ['/#', prefix],
    ['/**', prefix],
    ['/news.*', prefix],
    ['/*/a', prefix],
    ['/to?ic/a', prefix],
    ['/#/a', prefix],
    ['/exchange/*', prefix],
    ['/exchange/#', prefix],
    ['/exchange/lo*/a', prefix],
    ['/exchange/a.#/b', prefix],
    ['*', prefix],
    ['a.*', prefix],
    ['a/*', prefix],
    ['', prefix],
    ['/topic/>.a', after],
    ['/topic/a.>.>', after],
    ['/topic/a/>/b', after],
    ['/topic/>.', after],
    ['/topic/a/b.#', `is split at each / into segments, and ${whole}; "b.#" is not`],
    ['/topic/a/b.>', whole],
    ['/topic/a/>.b', whole],
    ['/topic/a.#', whole, '/'],
    ['/topic/a/#', `is split at each . into segments, and ${whole}; "a/#" is not`, '.'],
    ['/topic/#/a', whole, '.'],
    [`/t/#${'.a'.repeat(17)}`, 'more than 16 segments after its first # or **'],
    [`/t/#${'.a'.repeat(16)}.>`, 'more than 16 segments after its first # or **'],
    [`/t/*${'a'.repeat(63)}*`, 'more than 64 characters from the first * or ? of a segment to its last'],
    [`/t/a.x*${'a'.repeat(63)}?x`, 'more than 64 characters from the first * or ? of a segment to its last'],
  ])('%s', (text, why, separator = 'auto') => {
    const parse = (): unknown => parsePattern(text, separator)
    expect(parse).toThrow(StompError)
    expect(parse).toThrow(
      expect.objectContaining({
        code: 'invalid-destination',
        message: expect.stringContaining(`The pattern ${quote(text)} `) as string,
      }),
    )
    expect(parse).toThrow(why)
  })
})

test('what only reads long is not refused', () => {
  const long = 'a'.repeat(100)
  for (const text of [
    `/t/${'a.'.repeat(100)}#`,
    `/t/#${'.a'.repeat(16)}`,
    `/t/#${'.a'.repeat(15)}.>`,
    `/t/#${'.#'.repeat(100)}`,
    `/t/${long}*${'a'.repeat(62)}?${long}`,
    `/t/${'*'.repeat(100)}a`,
  ]) {
    expect(matchesPattern(parsePattern(text, 'auto'), text.replaceAll(/[#>*?]/g, 'a'))).toBe(true)
  }
})

test('an interest is a name or a pattern', () => {
  expect(matchesInterest('/topic/a', '/topic/a')).toBe(true)
  expect(matchesInterest('/topic/a', '/topic/b')).toBe(false)
  expect(matchesInterest('/topic/*', '/topic/b')).toBe(false)
  expect(matchesInterest(parsePattern('/topic/*', 'auto'), '/topic/b')).toBe(true)
  expect(matchesInterest(parsePattern('/topic/*', 'auto'), '/topic/b.c')).toBe(false)
})

test('the key of a pattern says what it means, not how it was written', () => {
  const key = (text: string, separator: Separator = 'auto'): string =>
    interestKey(parsePattern(text, separator))
  expect(interestKey('/topic/a')).toBe('/topic/a')
  expect(key('/topic/a.*')).toBe('dotted /topic/a.*')
  expect(key('/topic/a.*', '/')).toBe('slashed /topic/a.*')
  for (const same of ['/topic/a.>', '/topic/a.**', '/topic/a.#.#', '/topic/a.**.>']) {
    expect(key(same)).toBe(key('/topic/a.#'))
  }
  expect(key('/topic/x***y')).toBe(key('/topic/x*y'))
  expect(key('/topic/*?*?')).toBe(key('/topic/??*'))
  expect(key('/topic/***')).toBe(key('/topic/*'))
  const different = ['/topic/#', '/topic/*', '/topic/*.', '/topic/?', '/topic/?*', '/topic/#.*', '/topic/*.#']
  expect(new Set(different.map((text) => key(text))).size).toBe(different.length)
  // Without wildcards it is a pattern all the same, and an empty segment is one.
  expect(new Set([key('/sub'), key('/sub/'), interestKey('/sub')]).size).toBe(3)
})

const letters = ['a', 'b', '😀', '.', '/']

/** Texts of patterns that are not refused, and what splits them. */
const patterns = fc.constantFrom('.' as const, '/' as const).chain((separator) => {
  const inside = [...letters.filter((letter) => letter !== separator), '*', '?', '**']
  const segment = fc.oneof(
    fc.constantFrom('*', '#', '**', 'a'),
    fc.array(fc.constantFrom(...inside), { maxLength: 5 }).map((each) => each.join('')),
  )
  return fc
    .tuple(
      fc.constantFrom('/t/', '/exchange/x/'),
      fc.array(segment, { minLength: 1, maxLength: 6 }),
      fc.constantFrom('', `${separator}>`),
    )
    .map(([prefix, segments, end]) => ({ text: prefix + segments.join(separator) + end, separator }))
})

const names = fc
  .tuple(
    fc.constantFrom('/t', '/t/', '/exchange/x/', '/exchange/x'),
    fc.array(fc.constantFrom(...letters), { maxLength: 8 }),
  )
  .map(([prefix, rest]) => prefix + (prefix.endsWith('/') ? rest.join('') : ''))

test('any pattern matches what its definition says', () => {
  let matches = 0
  fc.assert(
    fc.property(patterns, fc.array(names, { minLength: 10, maxLength: 30 }), ({ text, separator }, list) => {
      const pattern = parsePattern(text, separator)
      for (const name of list) {
        const expected = naive(text, separator, name)
        if (expected) matches++
        expect(matchesPattern(pattern, name), `${text} by ${separator} on ${name}`).toBe(expected)
      }
    }),
    { numRuns: 1000 },
  )
  // Else it would prove nothing.
  expect(matches).toBeGreaterThan(250)
})

test('a key read as a pattern is the key of the same pattern', () => {
  fc.assert(
    fc.property(patterns, names, ({ text, separator }, name) => {
      const key = interestKey(parsePattern(text, separator))
      const canonical = parsePattern(key.slice(key.indexOf(' ') + 1), separator)
      expect(interestKey(canonical)).toBe(key)
      expect(matchesPattern(canonical, name)).toBe(naive(text, separator, name))
    }),
    { numRuns: 1000 },
  )
})

describe('a hostile pattern takes its time, but not for ever', () => {
  // Each would outlive the machine if all ways to match were tried.
  const long = 'a'.repeat(20_000)
  test.each([
    ['many stars', `/t/${'*a'.repeat(31)}*b`, `/t/${long}`],
    ['stars and characters', `/t/${'*?a'.repeat(20)}*b`, `/t/${long}`],
    ['many pairs of stars', `/t/${'**a'.repeat(31)}**b`, `/t/${long}`],
    ['many #', `/t/${'#.a.'.repeat(8)}b`, `/t/${'a.'.repeat(4000)}a`],
    ['many **', `/t/${'**/a/'.repeat(8)}b`, `/t/${'a/'.repeat(4000)}a`],
    ['# and *', `/t/${'#.*.'.repeat(8)}b`, `/t/${'a.'.repeat(4000)}a`],
    ['globs between #', `/t/${'#.*a*a*.'.repeat(8)}b`, `/t/${'aaaaaaaa.'.repeat(1000)}a`],
    ['a name of 256 segments', `/t/${'#.a.'.repeat(8)}b`, `/t/${'a.'.repeat(255)}a`],
  ])('%s', (_, text, name) => {
    expect(matchesPattern(parsePattern(text, 'auto'), name)).toBe(false)
    expect(matchesPattern(parsePattern(`${text.slice(0, -1)}*`, 'auto'), name)).toBe(true)
  })

  test('a long tail is looked for at the end alone', () => {
    expect(matchesPattern(parsePattern(`/t/*${long}`, 'auto'), `/t/${long}${long}`)).toBe(true)
    expect(matchesPattern(parsePattern(`/t/${long}*${long}`, 'auto'), `/t/${long}${long.slice(1)}`)).toBe(
      false,
    )
  })
})
