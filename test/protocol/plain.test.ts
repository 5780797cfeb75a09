import * as fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import type { FrameLimits } from '../../broker/protocol/decoder.ts'
import { StompError } from '../../broker/protocol/errors.ts'
import { MEANINGFUL, type Frame, type Version } from '../../broker/protocol/frame.ts'
import { Habits, MOST_HABITS } from '../../broker/protocol/head.ts'
import { decoderFor, readAll, refusal, ROOMY, show } from './decode.ts'

/** Values of the header that varies: those that keep a frame plain, and those that do not. */
const varying = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: fc.constantFrom('a', '1', '~', '\x7f', '!'), maxLength: 9 }) },
  {
    weight: 2,
    arbitrary: fc.string({
      unit: fc.constantFrom('a', '1', ' ', '\t', ':', '\\', '\\n', '\\c', '\r', '\n', '\0', 'é', '\x01'),
      maxLength: 5,
    }),
  },
)
const names = [
  'receipt',
  'id',
  'destination',
  'content-length',
  'a',
  'aa',
  // As alike as names get to one who looks at the length, the first and the last letter.
  'abcda',
  'adcba',
  'a b',
  ' a',
  'a\t',
  'x'.repeat(31),
  'x'.repeat(32),
  'receip',
  'receiptt',
  'Receipt',
  'transaction',
  'message-id',
  'priority',
  '',
]
const line = fc.tuple(
  fc.constantFrom(...names),
  fc.constantFrom('', '0', '3', '03', '5', '1 ', '/topic/a', 'b', 'b'.repeat(20), 'ü'),
)
/** Frames that are alike but for one header and, now and then, something more. */
const alike = fc
  .record({
    command: fc.constantFrom('SEND', 'ACK', 'SUBSCRIBE', 'MESSAGE', 'STOMP', 'SENT', 'SEND\r'),
    before: fc.array(line, { maxLength: 4 }),
    name: fc.constantFrom('receipt', 'id', 'a', 'destination'),
    behind: fc.array(line, { maxLength: 4 }),
    values: fc.array(varying, { minLength: 2, maxLength: 6 }),
    bodies: fc.array(fc.constantFrom('', '', '123', '12345', '1\x002', 'é'), { minLength: 6, maxLength: 6 }),
    many: fc.constantFrom(0, 0, 0, 62, 63, 64, 65),
    eol: fc.constantFrom('\n', '\n', '\n', '\r\n'),
    between: fc.constantFrom('', '', '\n', '\r\n'),
  })
  .map(({ command, before, name, behind, values, bodies, many, eol, between }) => {
    const text = (list: readonly (readonly [string, string])[]): string =>
      list.map(([key, value]) => `${key}:${value}${eol}`).join('')
    const more = Array.from({ length: many }, (_, index) => `n${index}:${index}${eol}`).join('')
    return values
      .map((value, index) => {
        const head = `${command}${eol}${text(before)}${name}:${value}${eol}${more}${text(behind)}${eol}`
        return `${head}${bodies[index]}\0${between}`
      })
      .join('')
  })
/** Some of its bytes are changed, lost or added. */
const mutated = fc
  .tuple(
    alike,
    fc.array(
      fc.record({
        at: fc.nat(),
        remove: fc.nat(2),
        insert: fc.constantFrom('', ':', '\\', '\r', '\n', '\0', 'a', '\xff', ' '),
      }),
      { maxLength: 2 },
    ),
  )
  .map(([text, changes]) => {
    let bytes = Buffer.from(text)
    for (const { at, remove, insert } of changes) {
      const from = at % (bytes.length + 1)
      bytes = Buffer.concat([
        bytes.subarray(0, from),
        Buffer.from(insert, 'latin1'),
        bytes.subarray(from + remove),
      ])
    }
    return bytes
  })

const asked = ['destination', 'receipt', 'id', 'content-length', 'a', ...MEANINGFUL]

function ask(frame: Frame): string {
  return asked.map((name) => `${name}=${frame.header(name)}`).join('\n')
}

/** All that is told of the frames, however they were read. */
function outcome(
  version: Version,
  limits: FrameLimits,
  habits: Habits | undefined,
  feed: (decoder: ReturnType<typeof decoderFor>) => Iterable<void>,
): unknown {
  const decoder = decoderFor(version, limits, habits)
  const frames: unknown[] = []
  try {
    for (const _ of feed(decoder)) {
      for (let frame = decoder.read(); frame !== undefined; frame = decoder.read()) {
        if (frame === 'heartbeat') continue
        const { size, bodySize, count } = frame
        // Asked one by one before the headers are read, and again after that.
        const told = ask(frame)
        frames.push({ shown: show(frame), size, bodySize, count, told, again: ask(frame) })
      }
    }
  } catch (error) {
    if (!(error instanceof StompError)) throw error
    // What is told of a limit depends on how much had come.
    return { frames, refused: true }
  }
  return { frames, refused: false }
}

test('a plain frame says what it would if it were read line by line', () => {
  const limits = fc.constantFrom<FrameLimits>(
    ROOMY,
    { maxCommand: 9, maxHeaders: 6, maxHeaderLine: 25, maxBody: 4, maxFrame: 90 },
    { ...ROOMY, maxHeaderLine: 14 },
    { ...ROOMY, maxHeaders: 64 },
    { ...ROOMY, maxFrame: 40 },
  )
  // Shared by all clients of all versions, as in a broker: what one writes the others may know.
  const shared = new WeakMap<FrameLimits, Habits>()
  fc.assert(
    fc.property(
      fc.constantFrom<Version>('1.1', '1.2', '1.0'),
      limits,
      mutated,
      fc.nat(5),
      fc.nat(5),
      fc.boolean(),
      (version, bounds, bytes, before, behind, endless) => {
        const habits = shared.get(bounds) ?? new Habits()
        shared.set(bounds, habits)
        const byLine = outcome(version, bounds, undefined, function* (decoder) {
          for (const byte of bytes) yield decoder.feed(Buffer.from([byte]))
        })
        // In memory that begins and ends anywhere, and goes on with more of the same.
        const memory = Buffer.alloc(before + bytes.length + (endless ? bytes.length : behind), '\n')
        bytes.copy(memory, before)
        if (endless) bytes.copy(memory, before + bytes.length)
        const whole = outcome(version, bounds, habits, function* (decoder) {
          yield decoder.feed(memory, before, before + bytes.length)
        })
        expect(whole).toEqual(byLine)
        const view = outcome(version, bounds, habits, function* (decoder) {
          yield decoder.feed(memory.subarray(before, before + bytes.length))
        })
        expect(view).toEqual(byLine)
      },
    ),
    { numRuns: 1_500 },
  )
})

describe('heads are remembered', () => {
  /** Two frames with the same head: from the second on it is known. */
  function repeat(habits: Habits, destination: string, receipt: string): void {
    const decoder = decoderFor('1.2', {}, habits)
    for (const body of ['a', 'bc', 'def']) {
      decoder.feed(Buffer.from(`SEND\ndestination:${destination}\nreceipt:${receipt}\n\n${body}\0`))
      const [frame] = readAll(decoder) as Frame[]
      expect([frame?.header('destination'), frame?.header('receipt')]).toEqual([destination, receipt])
      expect(frame?.body.toString()).toBe(body)
    }
  }

  test('once for all connections', () => {
    const habits = new Habits()
    const of = vi.spyOn(habits, 'of')
    repeat(habits, '/topic/a', '1')
    repeat(habits, '/topic/a', '22')
    repeat(habits, '/topic/b', '333')
    const [first, second, third] = of.mock.results.map(({ value }) => value as unknown)
    expect(of).toHaveBeenCalledTimes(3)
    expect(second).toBe(first)
    expect(third).not.toBe(first)
  })

  test('up to a number, then from the beginning', () => {
    const habits = new Habits()
    const of = vi.spyOn(habits, 'of')
    repeat(habits, '/topic/a', '1')
    for (let index = 1; index < MOST_HABITS; index++) repeat(habits, `/topic/${index}`, '1')
    repeat(habits, '/topic/a', '1')
    repeat(habits, '/topic/one-more', '1')
    repeat(habits, '/topic/a', '1')
    const found = of.mock.results.map(({ value }) => value as unknown)
    expect(found.at(MOST_HABITS)).toBe(found[0])
    expect(found.at(-1)).not.toBe(found[0])
  })
})

test('the limit of a header line holds for one that differs from the line before in its length', () => {
  const decoder = decoderFor('1.2', { ...ROOMY, maxHeaderLine: 12 })
  for (const value of ['1', '12', '1234']) {
    decoder.feed(Buffer.from(`SEND\nreceipt:${value}\n\n\0`))
    expect(readAll(decoder)).toHaveLength(1)
  }
  decoder.feed(Buffer.from('SEND\nreceipt:12345\n\n\0'))
  expect(refusal(() => decoder.read())).toBe('frame-too-large')
})

describe('what is known to be UTF-8', () => {
  const head = 'SEND\ndestination:/topic/a\ncontent-length:4\n\n'
  test.each([
    ['a frame in one piece that is', [[`${head}abcd\0`, true]], true],
    ['a frame in one piece of which nobody knows', [[`${head}abcd\0`, false]], false],
    [
      'a frame that ends in bytes of which nobody knows',
      [
        [`${head}a`, true],
        ['\xff\xfe\xfd\0', false],
      ],
      false,
    ],
    [
      'a frame that begins in them',
      [
        [`${head}\xff\xfe`, false],
        ['cd\0', true],
      ],
      false,
    ],
    [
      'a frame in two pieces that are',
      [
        [`${head}a`, true],
        ['bcd\0', true],
      ],
      true,
    ],
  ] as const)('%s', (_what, pieces, known) => {
    const decoder = decoderFor('1.2')
    const frames = pieces.flatMap(([text, utf8]) => {
      const bytes = Buffer.from(text, 'latin1')
      decoder.feed(bytes, 0, bytes.length, utf8)
      return readAll(decoder)
    })
    expect(frames).toHaveLength(1)
    expect(frames[0]).toMatchObject({ utf8: known })
  })
})
