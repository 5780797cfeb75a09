import { Parser } from '@stomp/stompjs'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Made } from '../../broker/model/content.ts'
import { formOf } from '../../broker/model/form.ts'
import { Message } from '../../broker/model/message.ts'
import type { FrameLimits } from '../../broker/protocol/decoder.ts'
import { parseDestination } from '../helpers/destination.ts'
import { StompError } from '../../broker/protocol/errors.ts'
import { COMMANDS, encode, type Command, type Version } from '../../broker/protocol/frame.ts'
import { decode, decoderFor, readAll, ROOMY, show } from './decode.ts'

const VERSIONS = ['1.0', '1.1', '1.2'] as const
const withBody: readonly Command[] = ['SEND', 'MESSAGE', 'ERROR']
const unescaped: readonly Command[] = ['CONNECT', 'STOMP', 'CONNECTED']

/** Any text, rich in what has a meaning to STOMP. */
const text = fc.oneof(
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
  {
    weight: 3,
    arbitrary: fc.string({
      unit: fc.constantFrom('\n', '\r', ':', '\\', 'n', 'r', 'c', ' ', '\0', 'a', 'é', '🌍'),
      maxLength: 8,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'content-length:5',
      'destination',
      'id',
      '\nx:1',
      '\r\n\r\n',
      '\\c',
      '__proto__',
    ),
  },
)

interface Draft {
  readonly command: Command
  readonly headers: readonly (readonly [string, string])[]
  readonly body: Buffer
  /** Whether the frame has a content-length. */
  readonly counted: boolean
}
const draft: fc.Arbitrary<Draft> = fc
  .record({
    command: fc.oneof(fc.constant('SEND' as const), fc.constantFrom(...COMMANDS)),
    headers: fc.array(fc.tuple(text, text), { maxLength: 6 }),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.array(fc.constantFrom(0, 10, 13, 58), { maxLength: 8 }).map((bytes) => Uint8Array.from(bytes)),
    ),
    counted: fc.boolean(),
  })
  .map(({ body, ...rest }) => ({ ...rest, body: Buffer.from(body) }))

/**
 * What of a header each version can carry there and back. On all: a name, no NUL, and not
 * `content-length`, which has a meaning of its own. 1.2 carries everything else.
 */
function carries(version: Version, command: Command, name: string, value: string): boolean {
  if (name === '' || name === 'content-length' || `${name}${value}`.includes('\0')) return false
  const escapes = version !== '1.0' && !unescaped.includes(command)
  if (version === '1.2' && escapes) return true
  // No escape for CR: in a name it is written as the two characters \\r.
  if (name.includes('\r')) return false
  // At the end of a line it is taken for a part of the EOL.
  if (value.endsWith('\r')) return false
  if (escapes) return true
  // No escapes at all.
  if (name.includes(':') || `${name}${value}`.includes('\n')) return false
  // Trimmed: names and, of what the broker understands, values. No value is padded here for simplicity.
  return version !== '1.0' || (name === name.trim() && value === value.trim())
}

/** What `draft` looks like once it fits the version: a frame, and how it must be read. */
function fit(
  version: Version,
  { command, headers, body, counted }: Draft,
): { bytes: Buffer; shown: unknown } {
  const carried = headers.filter(([name, value]) => carries(version, command, name, value))
  const bare = withBody.includes(command) ? body : Buffer.alloc(0)
  const cut = counted ? bare : Buffer.from(bare.filter((byte) => byte !== 0))
  const all = counted ? [...carried, ['content-length', String(cut.length)] as const] : carried
  // Of a repeated header the first counts.
  const first = new Map<string, string>()
  for (const [name, value] of all) if (!first.has(name)) first.set(name, value)
  return {
    bytes: encode(command, all, cut, version),
    shown: { command, headers: [...first], body: cut.toString('latin1') },
  }
}

const versioned = fc.constantFrom(...VERSIONS)
const eols = fc.array(fc.constantFrom('\n', '\r\n'), { maxLength: 3 }).map((list) => list.join(''))
/** Frames with EOLs between them. */
const stream = fc.array(fc.tuple(eols, draft), { minLength: 1, maxLength: 5 })
function join(version: Version, frames: readonly (readonly [string, Draft])[]): Buffer {
  return Buffer.concat(frames.flatMap(([between, each]) => [Buffer.from(between), fit(version, each).bytes]))
}

/** Any bytes, rich in what looks like STOMP. */
const noise = fc
  .array(
    fc.oneof(
      fc
        .constantFrom(
          'SEND',
          'CONNECT',
          'MESSAGE',
          'ACK',
          '\n',
          '\n',
          '\r',
          '\r\n',
          ':',
          'a:b',
          '\0',
          '\\',
          '\\n',
          'content-length:',
          '3',
          ' ',
          'é',
        )
        .map((part) => Buffer.from(part)),
      fc.uint8Array({ maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 30 },
  )
  .map((parts) => Buffer.concat(parts))

/** A valid stream with some bytes changed, lost or added. */
const mutated = fc
  .tuple(
    versioned,
    stream,
    fc.array(fc.record({ at: fc.nat(), remove: fc.nat(3), insert: fc.uint8Array({ maxLength: 2 }) }), {
      minLength: 1,
      maxLength: 3,
    }),
  )
  .map(([version, frames, changes]) => {
    let bytes = join(version, frames)
    for (const { at, remove, insert } of changes) {
      const from = at % (bytes.length + 1)
      bytes = Buffer.concat([bytes.subarray(0, from), insert, bytes.subarray(from + remove)])
    }
    return bytes
  })
const anything = fc.oneof(noise, mutated)

const cuts = fc.array(fc.nat(), { maxLength: 12 })
function split(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [...new Set(at.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  // Copies: a transport may use its memory again for anything but what it handed over.
  return [0, ...places].map((from, index) => Buffer.from(bytes.subarray(from, places[index])))
}
function byByte(bytes: Buffer): Buffer[] {
  return [...bytes].map((byte) => Buffer.from([byte]))
}

/** The frames read from the chunks, and whether the rest was refused. Anything but a StompError fails. */
function outcome(
  version: Version | undefined,
  chunks: readonly Buffer[],
  limits: Partial<FrameLimits> = {},
): { frames: unknown[]; refused: boolean } {
  const decoder = decoderFor(version, limits)
  const frames: unknown[] = []
  try {
    for (const chunk of chunks) {
      decoder.feed(chunk)
      for (let next = decoder.read(); next !== undefined; next = decoder.read()) {
        if (next !== 'heartbeat') frames.push(show(next))
      }
    }
  } catch (error) {
    if (!(error instanceof StompError)) throw error
    return { frames, refused: true }
  }
  return { frames, refused: false }
}

const tight: FrameLimits = { maxCommand: 12, maxHeaders: 3, maxHeaderLine: 16, maxBody: 20, maxFrame: 60 }
const limits = fc.constantFrom<FrameLimits>(ROOMY, tight)
const runs = { numRuns: 500 }

describe('round trip', () => {
  test.each(VERSIONS)('%s: what encode writes, the decoder reads', (version) => {
    fc.assert(
      fc.property(draft, (each) => {
        const { bytes, shown } = fit(version, each)
        expect(decode(bytes, version).map(show)).toEqual([shown])
      }),
      runs,
    )
  })

  test.each([
    ['1.0', 'a', '1\n2', '1\\n2'],
    ['1.0', 'a', '1\r', '1'],
    ['1.0', ' a ', '1', undefined],
    ['1.0', 'a:b', '1', undefined],
    ['1.1', 'a', '1\r', '1'],
  ] as const)(
    '%s cannot carry %j with the value %j, and nothing but that header suffers',
    (version, name, value, read) => {
      const bytes = encode(
        'SEND',
        [
          ['first', '1'],
          [name, value],
          ['last', '2'],
        ],
        Buffer.from('body'),
        version,
      )
      const [frame] = decode(bytes, version)
      if (frame === undefined || frame === 'heartbeat') throw new Error('no frame')
      expect(frame.headers.get(name)).toBe(read)
      expect(frame.headers.size).toBe(3)
      expect([frame.headers.get('first'), frame.headers.get('last'), String(frame.body)]).toEqual([
        '1',
        '2',
        'body',
      ])
    },
  )
})

describe('any split of the input bytes yields the same frames', () => {
  test('of valid streams', () => {
    fc.assert(
      fc.property(versioned, stream, cuts, (version, frames, at) => {
        const bytes = join(version, frames)
        const expected = { frames: frames.map(([, each]) => fit(version, each).shown), refused: false }
        expect(outcome(version, [bytes])).toEqual(expected)
        expect(outcome(version, split(bytes, at))).toEqual(expected)
        expect(outcome(version, byByte(bytes))).toEqual(expected)
      }),
      runs,
    )
  })

  test('of anything else as well, and what is refused is refused', () => {
    fc.assert(
      fc.property(
        fc.option(versioned, { nil: undefined }),
        limits,
        anything,
        cuts,
        (version, bounds, bytes, at) => {
          const expected = outcome(version, [bytes], bounds)
          expect(outcome(version, split(bytes, at), bounds)).toEqual(expected)
          expect(outcome(version, byByte(bytes), bounds)).toEqual(expected)
        },
      ),
      { numRuns: 2_000 },
    )
  })
})

test('whatever the bytes, the decoder throws nothing but StompError', () => {
  fc.assert(
    fc.property(
      fc.option(versioned, { nil: undefined }),
      limits,
      fc.array(anything, { maxLength: 3 }),
      (version, bounds, chunks) => {
        // `outcome` lets any other error through.
        expect(outcome(version, chunks, bounds).frames.length).toBeLessThanOrEqual(
          Buffer.concat(chunks).length,
        )
      },
    ),
    { numRuns: 2_000 },
  )
})

test('the decoder never holds more than its frame limit and one chunk, and no frame is over a limit', () => {
  const small: Draft['command'][] = ['SEND', 'ACK', 'ERROR']
  const frames = fc.array(
    fc.tuple(
      eols,
      draft.filter(({ command }) => small.includes(command)),
    ),
    { maxLength: 20 },
  )
  fc.assert(
    fc.property(frames, cuts, fc.boolean(), (list, at, bytewise) => {
      const bytes = join('1.2', list)
      const decoder = decoderFor('1.2', tight)
      let largest = 0
      try {
        for (const chunk of bytewise ? byByte(bytes) : split(bytes, at)) {
          decoder.feed(chunk)
          largest = Math.max(largest, chunk.length)
          expect(decoder['buffer'].length).toBeLessThanOrEqual((tight.maxFrame + largest) * 1.5)
          for (const frame of readAll(decoder)) {
            if (frame === 'heartbeat') continue
            expect(frame.body.length).toBeLessThanOrEqual(tight.maxBody)
            expect(frame.headers.size).toBeLessThanOrEqual(tight.maxHeaders)
          }
        }
      } catch (error) {
        if (!(error instanceof StompError)) throw error
      }
    }),
    runs,
  )
})

test('an endless frame is refused before it fills the memory', () => {
  for (const [opening, filling] of [
    ['SEND\n\n', 'x'],
    ['SEND\n', 'a:b\n'],
    ['SEND\na:', 'b'],
    ['', 'S'],
    ['', '\r'],
  ]) {
    const decoder = decoderFor('1.2', tight)
    let fed = 0
    const drip = (): void => {
      decoder.feed(Buffer.from(opening ?? ''))
      for (; fed < 1_000; fed++) {
        decoder.feed(Buffer.from(filling ?? ''))
        readAll(decoder)
      }
    }
    expect(drip).toThrow(StompError)
    expect(fed).toBeLessThan(tight.maxFrame)
  }
})

describe('no header can forge another one', () => {
  /** The head as a reader sees it who knows lines and colons only; a CR alone ends no line on any version. */
  function lines(bytes: Buffer): string[] {
    return bytes.toString('utf8', 0, bytes.indexOf('\n\n')).split('\n')
  }
  const headers = fc.array(
    fc.tuple(
      text.filter((name) => name !== ''),
      text,
    ),
    { maxLength: 6 },
  )

  test.each(VERSIONS)('%s: each header is one line, and its name ends where it should', (version) => {
    fc.assert(
      fc.property(
        headers,
        fc.constantFrom<Command>('MESSAGE', 'RECEIPT', 'ERROR', 'CONNECTED'),
        (list, command) => {
          const [first, ...rest] = lines(encode(command, list, Buffer.from('a\n\nb'), version))
          expect(first).toBe(command)
          expect(rest).toHaveLength(list.length)
          for (const [index, line] of rest.entries()) {
            const [name = '', value = ''] = list[index] ?? []
            const escapes = version !== '1.0' && command !== 'CONNECTED'
            // The name a reader sees is the name that was meant, or one that means nothing.
            const seen = line.slice(0, line.indexOf(':'))
            if (!/[\n:\\\r]/.test(name)) expect(seen).toBe(name)
            else expect(seen).toContain('\\')
            expect(seen).not.toMatch(/[\r\n]/)
            if (escapes) expect(line.split(':')).toHaveLength(2)
            if (version === '1.2' && escapes) expect(line).not.toContain('\r')
            if (!/[\n:\\\r]/.test(value)) expect(line.endsWith(`:${value}`)).toBe(true)
          }
        },
      ),
      runs,
    )
  })

  /** What stompjs makes of the bytes, before it unescapes anything. */
  function stompjs(bytes: Buffer): { name: string; body: string }[] {
    const frames: { name: string; body: string }[] = []
    const parser = new Parser(
      ({ command = '', binaryBody = new Uint8Array() }) =>
        frames.push({ name: command, body: Buffer.from(binaryBody).toString() }),
      () => {},
    )
    parser.parseChunk(new Uint8Array(bytes).buffer)
    return frames
  }
  const body = 'hello\0MESSAGE\nsubscription:s\nmessage-id:m-9\ndestination:/topic/admin\n\nforged'

  test.each(VERSIONS)(
    '%s: no header of a sender makes stompjs read another frame out of a body',
    (version) => {
      const bait = fc.constantFrom(
        'content-length:5',
        '\rcontent-length',
        '\ncontent-length',
        'content-length\r',
        'a\r\n\r\n',
        '\r',
      )
      fc.assert(
        fc.property(
          fc.array(
            fc.tuple(
              fc.oneof(
                bait,
                text.filter((name) => name !== ''),
              ),
              fc.oneof(fc.constant('5'), text),
            ),
          ),
          (list) => {
            const destination = parseDestination('/topic/chat')
            const message = new Message('m-1', destination, new Made(new Map(list), Buffer.from(body)))
            const wrap = (head: Buffer, tail: Buffer): Buffer => Buffer.concat([head, tail])
            const wire = { name: 'plain', binary: 'native', octets: false, wrap } as const
            const bytes = Buffer.from(message.render(formOf('s', false, version, wire)) as Buffer)
            expect(stompjs(bytes)).toEqual([{ name: 'MESSAGE', body }])
          },
        ),
        runs,
      )
    },
  )
})
