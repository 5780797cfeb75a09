import { describe, expect, test } from 'vitest'
import { unescape } from '../../bin/bench/frame.ts'
import { Histogram } from '../../bin/bench/histogram.ts'
import { blank, isOf, publisherOf, runName, sequenceOf, STAMP, timeOf, write } from '../../bin/bench/stamp.ts'
import { Tally } from '../../bin/bench/tally.ts'
import { readTarget } from '../../bin/bench/target.ts'

describe('a histogram', () => {
  test('knows quantiles to a percent, and the largest value exactly', () => {
    const histogram = new Histogram()
    for (let value = 1; value <= 100_000; value++) histogram.add(value)
    for (const share of [0.001, 0.5, 0.99, 0.999]) {
      const exact = 100_000 * share
      expect(Math.abs(histogram.quantile(share) - exact) / exact).toBeLessThan(0.01)
    }
    expect([histogram.count, histogram.max, histogram.quantile(1)]).toEqual([100_000, 100_000, 100_000])
    histogram.clear()
    expect([histogram.count, histogram.max, histogram.quantile(0.5)]).toEqual([0, 0, 0])
  })

  test('takes the smallest and the largest', () => {
    const histogram = new Histogram()
    for (const value of [0, 127, 128, 2 ** 32 - 1]) histogram.add(value)
    expect([0.25, 0.5, 0.75, 1].map((share) => histogram.quantile(share))).toEqual([0, 127, 128, 2 ** 32 - 1])
  })
})

describe('a stamp', () => {
  test.each([
    [0, 0, 0],
    [16 ** 5 - 1, 2 ** 32 - 1, 2 ** 32 - 1],
    [7, 123_456_789, 4_000_000_000],
  ])('is read as it was written, masked or not: %d %d %d', (...numbers) => {
    const run = runName()
    for (const key of [Buffer.alloc(4), Buffer.from([1, 200, 3, 40])]) {
      const bytes = Buffer.from(`..${blank(run)}`)
      for (let at = 2; at < bytes.length; at++) bytes[at] = bytes.readUInt8(at) ^ key.readUInt8((at + 1) & 3)
      write(bytes, 2, key, 3, ...numbers)
      for (let at = 2; at < bytes.length; at++) bytes[at] = bytes.readUInt8(at) ^ key.readUInt8((at + 1) & 3)
      expect(isOf(Buffer.from(run), bytes, 2)).toBe(true)
      expect([publisherOf(bytes, 2), sequenceOf(bytes, 2), timeOf(bytes, 2)]).toEqual(numbers)
      expect(bytes).toHaveLength(2 + STAMP)
      expect(isOf(Buffer.from(runName()), bytes, 2)).toBe(false)
    }
  })
})

describe('what SockJS carries', () => {
  test.each([
    ['[]', ''],
    ['["a","b"]', 'ab'],
    [String.raw`["a\"b\\","\/\b\f\n\r\t"]`, 'a"b\\/\b\f\n\r\t'],
    [String.raw`["\u0000\u00e9\u20AC", "é€🎉"]`, '\0é€é€🎉'],
    [String.raw`["\ud83c\udf89\uD83C\uDF89"]`, '🎉🎉'],
    // Halves without the other.
    [String.raw`["\ud83c\n\ud83c","\udf89\ud83c\u0041"]`, '\ufffd\n\ufffd\ufffd\ufffdA'],
  ])('%s', (text, strings) => {
    const bytes = Buffer.from(`a${text}`)
    expect(String(unescape(bytes, 1, bytes.length))).toBe(strings)
  })
})

describe('a tally', () => {
  const fanOut = { publishers: 2, subscriptions: 3, destinations: 1, rotating: true, queue: false }
  function sent(tally: Tally, publisher: number, count: number): void {
    for (let number = 0; number < count; number++) tally.send(publisher)
  }

  test('is content with what arrives everywhere, once and in order', () => {
    const tally = new Tally(fanOut)
    sent(tally, 0, 4)
    sent(tally, 1, 2)
    for (let subscription = 0; subscription < 3; subscription++)
      for (const [publisher, count] of [4, 2].entries())
        for (let number = 0; number < count; number++)
          expect(tally.arrive(subscription, publisher, number)).toBe(true)
    expect(tally.verdict()).toEqual({ lost: 0, duplicates: 0, outOfOrder: 0, strange: 0 })
  })

  test('sees what is lost, in the middle and at the end', () => {
    const tally = new Tally({ ...fanOut, subscriptions: 1 })
    sent(tally, 0, 6)
    for (const number of [0, 1, 4]) tally.arrive(0, 0, number)
    expect(tally.missing).toBe(2)
    expect(tally.verdict()).toMatchObject({ lost: 3, duplicates: 0, outOfOrder: 0 })
  })

  test('tells late from twice', () => {
    const tally = new Tally({ ...fanOut, subscriptions: 1 })
    sent(tally, 0, 4)
    expect([0, 2, 1, 3, 1, 3].map((number) => tally.arrive(0, 0, number))).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
    ])
    expect(tally.verdict()).toEqual({ lost: 0, duplicates: 2, outOfOrder: 1, strange: 0 })
  })

  test('takes nothing that was not sent, or not there', () => {
    const tally = new Tally({
      publishers: 1,
      subscriptions: 2,
      destinations: 2,
      rotating: true,
      queue: false,
    })
    sent(tally, 0, 2)
    expect([tally.destination(0, 0), tally.destination(0, 1)]).toEqual([0, 1])
    expect([
      tally.arrive(1, 0, 0),
      tally.arrive(0, 0, 2),
      tally.arrive(0, 1, 0),
      tally.arrive(2, 0, 0),
    ]).toEqual(Array.from({ length: 4 }, () => false))
    expect(tally.verdict()).toEqual({ lost: 2, duplicates: 0, outOfOrder: 0, strange: 4 })
  })

  test('expects a message to a queue once, wherever it goes', () => {
    const tally = new Tally({ publishers: 1, subscriptions: 3, destinations: 1, rotating: true, queue: true })
    sent(tally, 0, 100_000)
    for (let number = 0; number < 99_999; number++) tally.arrive(number % 3, 0, number)
    expect(tally.verdict()).toEqual({ lost: 1, duplicates: 0, outOfOrder: 0, strange: 0 })
    expect(tally.arrive(1, 0, 0)).toBe(false)
    expect(tally.arrive(0, 0, 99_999)).toBe(true)
    expect(tally.verdict()).toEqual({ lost: 0, duplicates: 1, outOfOrder: 0, strange: 0 })
  })

  test('sees that a consumer of a queue gets an older message after a newer one', () => {
    const tally = new Tally({ publishers: 1, subscriptions: 2, destinations: 1, rotating: true, queue: true })
    sent(tally, 0, 4)
    for (const [subscription, number] of [
      [0, 1],
      [1, 0],
      [1, 3],
      [1, 2],
    ] as const)
      tally.arrive(subscription, 0, number)
    expect(tally.verdict()).toEqual({ lost: 0, duplicates: 0, outOfOrder: 1, strange: 0 })
  })

  test('knows where members of a room send', () => {
    const tally = new Tally({
      publishers: 4,
      subscriptions: 4,
      destinations: 2,
      rotating: false,
      queue: false,
    })
    for (let publisher = 0; publisher < 4; publisher++) sent(tally, publisher, 2)
    for (const [subscription, publisher] of [
      [0, 0],
      [0, 2],
      [2, 0],
      [2, 2],
      [1, 1],
      [1, 3],
      [3, 1],
      [3, 3],
    ] as const)
      for (const number of [0, 1]) expect(tally.arrive(subscription, publisher, number)).toBe(true)
    expect(tally.arrive(0, 1, 0)).toBe(false)
    expect(tally.verdict()).toEqual({ lost: 0, duplicates: 0, outOfOrder: 0, strange: 1 })
  })
})

describe('an address', () => {
  test.each([
    [
      'ws://127.0.0.1:15674/ws?a=b',
      { transport: 'websocket', secure: false, host: '127.0.0.1', port: 15_674, path: '/ws?a=b' },
    ],
    ['wss://example.com', { transport: 'websocket', secure: true, port: 443, path: '/' }],
    ['https://example.com/ws/', { transport: 'sockjs', secure: true, port: 443, path: '/ws' }],
    ['tcp://[::1]', { transport: 'tcp', secure: false, host: '::1', port: 61_613, url: 'tcp://[::1]' }],
    [
      'tls://me:se%20same@broker:7',
      {
        transport: 'tcp',
        secure: true,
        host: 'broker',
        port: 7,
        url: 'tls://broker:7',
        login: 'me',
        passcode: 'se same',
      },
    ],
  ])('%s', (text, expected) => {
    expect(readTarget(text)).toMatchObject(expected)
  })
})
