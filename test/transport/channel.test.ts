import * as fc from 'fast-check'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import { Duplex, type Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { PlainChannel, type Listener } from '../../broker/transport/channel.ts'
import {
  BINARY,
  clientFrame,
  CLOSE,
  closing,
  CONTINUATION,
  FIN,
  PING,
  PONG,
  serverFrames,
  TEXT,
} from '../helpers/websocket-frame.ts'

const LIMIT = 1_000

/** The system's side of a socket, without a network: what is pushed arrives at once. */
class Wire extends Duplex {
  readonly written: Buffer[] = []
  /** While set, nothing is taken. */
  stuck = false
  private release: (() => void) | undefined

  constructor() {
    super({ allowHalfOpen: true, writableHighWaterMark: 1_000 })
  }

  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk)
    if (this.stuck) this.release = done
    else done()
  }
  thaw(): void {
    this.stuck = false
    this.release?.()
  }
  get frames(): ReturnType<typeof serverFrames> {
    return serverFrames(Buffer.concat(this.written))
  }
}

class Reader implements Listener {
  readonly wire = new Wire()
  readonly channel: PlainChannel
  readonly heard: { text: boolean; body: Buffer }[] = []
  readonly log: string[] = []
  onMessage: (() => void) | undefined

  constructor(head: Buffer = Buffer.alloc(0), limit = LIMIT) {
    this.channel = new PlainChannel(this.wire as unknown as Socket, head, limit)
    this.channel.start(this)
  }

  message(bytes: Buffer, from: number, to: number, text: boolean): void {
    this.heard.push({ text, body: Buffer.from(bytes.subarray(from, to)) })
    this.onMessage?.()
  }
  left(): void {
    this.log.push('left')
    this.channel.close(1000, '')
  }
  ended(): void {
    this.log.push('ended')
  }

  /** All that arrives, in these pieces. */
  feed(...chunks: Buffer[]): this {
    // Each in memory of its own, as the system hands them over.
    for (const chunk of chunks) this.wire.push(Buffer.from(chunk))
    return this
  }
  get texts(): string[] {
    return this.heard.map(({ body }) => body.toString())
  }
  /** What the close frame says, if there is one; nothing follows it. */
  get code(): number | 'none' | undefined {
    const at = this.wire.frames.findIndex(({ first }) => first === (FIN | CLOSE))
    if (at < 0) return undefined
    expect(this.wire.frames).toHaveLength(at + 1)
    const payload = this.wire.frames[at]?.payload
    return payload === undefined || payload.length < 2 ? 'none' : payload.readUInt16BE()
  }
}

/** In a stream the first chunk waits for the end of the turn in which the reading began. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function read(chunks: Buffer[], limit = LIMIT): Promise<Reader> {
  const reader = new Reader(undefined, limit)
  await turn()
  reader.feed(...chunks)
  await turn()
  return reader
}

describe('what a client may not send', () => {
  const a = clientFrame(FIN | TEXT, 'a')
  test.each<[says: string, code: number, bytes: Buffer[]]>([
    ['no mask', 1002, [clientFrame(FIN | TEXT, 'x', { masked: false })]],
    ['no mask, nothing but the first two bytes', 1002, [Buffer.from([FIN | TEXT, 5])]],
    ['RSV1', 1002, [clientFrame(FIN | 0x40 | TEXT, 'x')]],
    ['RSV2', 1002, [clientFrame(FIN | 0x20 | TEXT, 'x')]],
    ['RSV3', 1002, [clientFrame(FIN | 0x10 | TEXT, 'x')]],
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): [string, number, Buffer[]] => [
      `opcode ${opcode}`,
      1002,
      [clientFrame(FIN | opcode, 'x')],
    ]),
    ['a continuation of nothing', 1002, [clientFrame(FIN | CONTINUATION, 'x')]],
    ['a new message within one', 1002, [clientFrame(TEXT, 'x'), clientFrame(FIN | TEXT, 'y')]],
    ['a fragmented new message within one', 1002, [clientFrame(TEXT, 'x'), clientFrame(BINARY, 'y')]],
    ['a fragmented ping', 1002, [clientFrame(PING, 'x')]],
    ['a fragmented close', 1002, [clientFrame(CLOSE)]],
    ['a ping of 126 bytes', 1002, [clientFrame(FIN | PING, Buffer.alloc(126))]],
    ['a pong of 126 bytes', 1002, [clientFrame(FIN | PONG, Buffer.alloc(126))]],
    ['a close of 126 bytes', 1002, [clientFrame(FIN | CLOSE, closing(1000, 'x'.repeat(124)))]],
    ['a close of one byte', 1002, [clientFrame(FIN | CLOSE, 'x')]],
    ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535].map((code): [string, number, Buffer[]] => [
      `close code ${code}`,
      1002,
      [clientFrame(FIN | CLOSE, closing(code))],
    ]),
    ['a reason that is not UTF-8', 1007, [clientFrame(FIN | CLOSE, closing(1000, Buffer.from([0xc3])))]],
    ['text that is not UTF-8', 1007, [clientFrame(FIN | TEXT, Buffer.from([0x61, 0xc3, 0x28]))]],
    [
      'text that ends in the middle of a character',
      1007,
      [clientFrame(FIN | TEXT, Buffer.from([0xe2, 0x82]))],
    ],
    [
      'long text with one wrong byte',
      1007,
      [
        clientFrame(
          FIN | TEXT,
          Buffer.concat([Buffer.alloc(500, 'x'), Buffer.from([0xff]), Buffer.alloc(99, 'x')]),
        ),
      ],
    ],
    [
      'fragments of text that are not UTF-8 together',
      1007,
      [clientFrame(TEXT, Buffer.from([0xe2])), clientFrame(FIN | CONTINUATION, 'x')],
    ],
    ['one byte too many', 1009, [clientFrame(FIN | BINARY, Buffer.alloc(LIMIT + 1))]],
    [
      'one byte too many in fragments',
      1009,
      [clientFrame(BINARY, Buffer.alloc(LIMIT)), clientFrame(FIN | CONTINUATION, 'x')],
    ],
    ['the announcement of more', 1009, [clientFrame(FIN | BINARY, Buffer.alloc(LIMIT + 1)).subarray(0, 8)]],
    [
      'the announcement of 2^32 bytes and one',
      1009,
      [Buffer.from([FIN | BINARY, 0xff, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4])],
    ],
    [
      'the announcement of 2^63 bytes',
      1009,
      [Buffer.from([FIN | BINARY, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])],
    ],
  ])('%s: %i', async (_says, code, bytes) => {
    const reader = await read([a, ...bytes, a])
    expect(reader.code).toBe(code)
    // What came before counts, what comes after does not.
    expect(reader.texts).toEqual(['a'])
    expect(reader.log).toEqual(['left'])
    expect(reader.wire.writableEnded).toBe(true)
  })
})

describe('what it may', () => {
  test.each([0, 1, 47, 48, 49, 125, 126, 127, 999, LIMIT])('a message of %i bytes', async (length) => {
    const body = Buffer.from(Array.from({ length }, (_, index) => index % 251))
    const reader = await read([clientFrame(FIN | BINARY, body)])
    expect(reader.heard).toEqual([{ text: false, body }])
  })

  test('lengths in more bytes than they need', async () => {
    const frames = [2, 8].map((wide) => clientFrame(FIN | TEXT, 'abc', { wide }))
    expect((await read(frames)).texts).toEqual(['abc', 'abc'])
  })

  test('65,536 bytes and more, in many chunks', async () => {
    const body = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7) % 256))
    const bytes = clientFrame(FIN | BINARY, body)
    const chunks = []
    for (let at = 0; at < bytes.length; at += 16_000) chunks.push(bytes.subarray(at, at + 16_000))
    const reader = await read([...chunks, clientFrame(FIN | TEXT, 'next')], body.length)
    expect(reader.heard[0]?.body.equals(body)).toBe(true)
    expect(reader.texts[1]).toBe('next')
  })

  test('small and large fragments mixed', async () => {
    const parts = [10, 5_000, 20, 30, 40_000, 1_023, 1_024].map((length, index) =>
      Buffer.alloc(length, `${index}`),
    )
    const frames = parts.map((part, index) => clientFrame(index === 0 ? TEXT : CONTINUATION, part))
    const reader = await read([Buffer.concat([...frames, clientFrame(FIN | CONTINUATION)])], 100_000)
    expect(reader.texts).toEqual([Buffer.concat(parts).toString()])
  })

  test('fragments, with pings and pongs between them', async () => {
    const reader = await read([
      clientFrame(TEXT, Buffer.from('č').subarray(0, 1)),
      clientFrame(FIN | PING, 'p'),
      clientFrame(CONTINUATION),
      clientFrame(FIN | PONG),
      clientFrame(FIN | CONTINUATION, Buffer.from('č').subarray(1)),
      clientFrame(FIN | TEXT, 'x'),
    ])
    expect(reader.heard.map(({ text, body }) => [text, body.toString()])).toEqual([
      [true, 'č'],
      [true, 'x'],
    ])
    expect(reader.wire.frames).toEqual([{ first: FIN | PONG, payload: Buffer.from('p') }])
  })

  test('a mask of zeros', async () => {
    const reader = await read([clientFrame(FIN | TEXT, 'plain', { mask: Buffer.alloc(4) })])
    expect(reader.texts).toEqual(['plain'])
  })

  test('a limit is per message', async () => {
    const full = clientFrame(FIN | BINARY, Buffer.alloc(LIMIT))
    const halves = [
      clientFrame(BINARY, Buffer.alloc(LIMIT / 2)),
      clientFrame(FIN | CONTINUATION, Buffer.alloc(LIMIT / 2)),
    ]
    expect((await read([full, ...halves, full])).heard).toHaveLength(3)
  })

  test('what comes right behind the handshake', () => {
    expect(new Reader(clientFrame(FIN | TEXT, 'early')).texts).toEqual(['early'])
  })

  test('a hundred thousand fragments', async () => {
    const reader = new Reader(undefined, 200_000)
    await turn()
    reader.feed(clientFrame(BINARY))
    const fragment = clientFrame(CONTINUATION, 'x')
    for (let index = 0; index < 100_000; index++) reader.feed(fragment)
    reader.feed(clientFrame(FIN | CONTINUATION, 'y'))
    while (reader.heard.length === 0) await turn()
    expect(reader.heard[0]?.body.equals(Buffer.from(`${'x'.repeat(100_000)}y`))).toBe(true)
  })
})

describe('pings', () => {
  test('of one chunk only the latest is answered', async () => {
    const pings = Buffer.concat(['1', '2', '3'].map((text) => clientFrame(FIN | PING, text)))
    const reader = await read([pings, clientFrame(FIN | PING, '4')])
    expect(reader.wire.frames.map(({ first, payload }) => [first, payload.toString()])).toEqual([
      [FIN | PONG, '3'],
      [FIN | PONG, '4'],
    ])
  })

  test('of a client that does not read are answered once it does', async () => {
    const reader = await read([])
    reader.wire.stuck = true
    const pings = Array.from({ length: 1_000 }, (_, index) =>
      clientFrame(FIN | PING, `${index}`.padStart(100)),
    )
    reader.feed(...pings)
    for (let count = 0; count < 5; count++) await turn()
    expect(reader.wire.writableLength).toBeLessThan(1_200)
    reader.wire.thaw()
    await turn()
    expect(reader.wire.frames.at(-1)?.payload.toString().trim()).toBe('999')
    expect(reader.wire.frames.length).toBeLessThan(15)
    reader.wire.stuck = true
    reader.feed(...pings, clientFrame(FIN | PING, 'again'))
    for (let count = 0; count < 5; count++) await turn()
    reader.wire.thaw()
    await turn()
    expect(reader.wire.frames.at(-1)?.payload.toString()).toBe('again')
  })

  test.each([
    ['pings', clientFrame(FIN | PING, 'x')],
    ['pongs', clientFrame(FIN | PONG)],
    ['empty messages', clientFrame(FIN | TEXT)],
    ['fragments', Buffer.concat([clientFrame(TEXT, 'x'), clientFrame(FIN | CONTINUATION)])],
  ])('a flood of %s leaves others their turns, and all of it is read in the end', async (_, bytes) => {
    const reader = await read([])
    reader.feed(Buffer.concat([...Array.from({ length: 2_000 }, () => bytes), clientFrame(FIN | TEXT, 'z')]))
    let turns = 0
    for (; reader.texts.at(-1) !== 'z'; turns++) await turn()
    expect(turns).toBeGreaterThan(5)
    reader.channel.pause()
    reader.feed(clientFrame(FIN | TEXT, 'held'))
    await turn()
    expect(reader.texts.at(-1)).toBe('z')
    reader.channel.resume()
    await turn()
    expect(reader.texts.at(-1)).toBe('held')
  })

  test('a session that pauses in the middle of a flood gets no more of it', async () => {
    const reader = await read([])
    const flood = Array.from({ length: 1_000 }, () => clientFrame(FIN | PONG))
    reader.onMessage = () => reader.channel.pause()
    const [first, last] = ['first', 'last'].map((text) => clientFrame(FIN | TEXT, text)) as [Buffer, Buffer]
    reader.feed(Buffer.concat([...flood, first, ...flood, last]))
    while (reader.texts.length === 0) await turn()
    for (let count = 0; count < 10; count++) await turn()
    expect(reader.texts).toEqual(['first'])
    reader.channel.resume()
    while (reader.texts.length === 1) await turn()
    expect(reader.texts).toEqual(['first', 'last'])
  })

  test('what arrived before the end of a peer is read at once, however much', async () => {
    const reader = await read([])
    const flood = Array.from({ length: 1_000 }, () => clientFrame(FIN | PONG))
    reader.feed(Buffer.concat([...flood, clientFrame(FIN | TEXT, 'last')]))
    reader.wire.push(null)
    await turn()
    await turn()
    expect(reader.texts).toEqual(['last'])
    while (!reader.log.includes('left')) await turn()
  })

  test('ours, and none after the close frame', async () => {
    const reader = await read([])
    reader.channel.ping()
    expect(reader.wire.frames).toEqual([{ first: FIN | PING, payload: Buffer.alloc(0) }])
    reader.channel.close(1000, '')
    reader.channel.ping()
    reader.feed(clientFrame(FIN | PING, 'x'))
    expect(reader.code).toBe(1000)
  })
})

describe('a pause', () => {
  const messages = ['1', '2', '3', '4'].map((text) => clientFrame(FIN | TEXT, text))
  const all = Buffer.concat(messages)

  test('takes effect in the middle of a chunk', async () => {
    const reader = await read([])
    reader.onMessage = () => reader.channel.pause()
    reader.feed(all)
    expect(reader.texts).toEqual(['1'])
    reader.channel.resume()
    expect(reader.texts).toEqual(['1', '2'])
    reader.onMessage = undefined
    reader.channel.resume()
    expect(reader.texts).toEqual(['1', '2', '3', '4'])
  })

  test('that ends inside the handler leaves the order as it is', async () => {
    const reader = await read([])
    reader.onMessage = () => {
      reader.channel.pause()
      reader.channel.resume()
    }
    reader.feed(all, all)
    expect(reader.texts).toEqual(['1', '2', '3', '4', '1', '2', '3', '4'])
  })

  test('holds back what arrives meanwhile, and stops the socket only then', async () => {
    const reader = await read([])
    reader.onMessage = () => reader.channel.pause()
    reader.feed(all)
    expect(reader.wire.isPaused()).toBe(false)
    reader.feed(clientFrame(FIN | TEXT, '5').subarray(0, 3))
    expect(reader.wire.isPaused()).toBe(true)
    reader.feed(clientFrame(FIN | TEXT, '5').subarray(3))
    expect(reader.texts).toEqual(['1'])
    reader.onMessage = undefined
    reader.channel.resume()
    await turn()
    expect(reader.texts).toEqual(['1', '2', '3', '4', '5'])
    expect(reader.wire.isPaused()).toBe(false)
  })

  test('holds a frame that lies in two chunks', async () => {
    const reader = await read([all.subarray(0, 3)])
    reader.channel.pause()
    reader.feed(all.subarray(3))
    expect(reader.texts).toEqual([])
    reader.channel.resume()
    await turn()
    expect(reader.texts).toEqual(['1', '2', '3', '4'])
  })

  test('ends with the connection: what had arrived is handed on', async () => {
    const reader = await read([])
    reader.onMessage = () => reader.channel.pause()
    reader.feed(all)
    reader.wire.push(null)
    await turn()
    expect(reader.texts).toEqual(['1', '2', '3', '4'])
    expect(reader.log[0]).toBe('left')
  })

  test('the same where the connection breaks', async () => {
    const reader = await read([])
    reader.onMessage = () => reader.channel.pause()
    reader.feed(all, clientFrame(FIN | TEXT, '5'))
    reader.wire.destroy(new Error('reset'))
    reader.wire.on('error', () => {})
    await turn()
    expect(reader.texts).toEqual(['1', '2', '3', '4', '5'])
    expect(reader.log).toEqual(['ended'])
  })
})

describe('the end', () => {
  test.each([1000, 1003, 1007, 1014, 3000, 4999])(
    'a close with %i is answered with the same',
    async (code) => {
      const reader = await read([
        clientFrame(FIN | CLOSE, closing(code, 'why')),
        clientFrame(FIN | TEXT, 'late'),
      ])
      expect(reader.code).toBe(code)
      expect(reader.wire.frames[0]?.payload.subarray(2).toString()).toBe('why')
      expect([reader.texts, reader.log, reader.wire.writableEnded]).toEqual([[], ['left'], true])
      expect(reader.channel.open).toBe(false)
    },
  )

  test('a close without a code is answered without one', async () => {
    expect((await read([clientFrame(FIN | CLOSE)])).code).toBe('none')
  })

  test('ours waits for the answer, and hears what comes before it', async () => {
    const reader = await read([])
    reader.channel.pause()
    reader.channel.close(3001, 'bye')
    reader.feed(clientFrame(FIN | TEXT, 'before'))
    await turn()
    expect(reader.texts).toEqual(['before'])
    expect([reader.code, reader.wire.writableEnded]).toEqual([3001, false])
    reader.feed(clientFrame(FIN | CLOSE, closing(3001)))
    expect([reader.code, reader.wire.writableEnded]).toEqual([3001, true])
    expect(reader.log).toEqual([])
    reader.wire.push(null)
    await turn()
    expect(reader.log).toEqual(['ended'])
  })

  test('a client that only stops writing is told, and its connection ends', async () => {
    const reader = await read([clientFrame(FIN | TEXT, 'last')])
    reader.wire.push(null)
    await turn()
    await turn()
    expect([reader.texts, reader.code, reader.log]).toEqual([['last'], 1000, ['left', 'ended']])
  })
})

type Outcome = { messages: (readonly [text: boolean, body: string])[]; code: number | undefined }

/** What `ws` makes of the same bytes. */
async function oracle(bytes: Buffer): Promise<Outcome> {
  const { Receiver } = createRequire(import.meta.url)('ws') as {
    Receiver: new (options: object) => Writable
  }
  const receiver = new Receiver({ isServer: true, maxPayload: LIMIT })
  const outcome: Outcome = { messages: [], code: undefined }
  receiver.on('message', (data: Buffer, binary: boolean) =>
    outcome.messages.push([!binary, data.toString('latin1')]),
  )
  receiver.on('conclude', (code: number) => (outcome.code = code))
  receiver.on('error', (error: object) => {
    // ws keeps the close code under a symbol of its own.
    const [symbol] = Object.getOwnPropertySymbols(error).filter(
      ({ description }) => description === 'status-code',
    )
    outcome.code = (error as Record<symbol, number>)[symbol as symbol]
  })
  receiver.write(Buffer.from(bytes))
  // It tells of errors later.
  await turn()
  return outcome
}

describe('properties', () => {
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 140 }).map((bytes) => Buffer.from(bytes)),
    fc.string({ unit: 'binary', maxLength: 140 }).map((text) => Buffer.from(text)),
    fc.integer({ min: 0, max: LIMIT + 1 }).map((length) => Buffer.alloc(length, 'č')),
  )
  const mask = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes))
  const sound = fc.tuple(
    fc.constantFrom(
      FIN | TEXT,
      FIN | BINARY,
      TEXT,
      BINARY,
      CONTINUATION,
      FIN | CONTINUATION,
      FIN | PING,
      FIN | PONG,
    ),
    payload,
    mask,
  )
  const odd = fc.tuple(
    fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constant(FIN | CLOSE)),
    fc.oneof(
      payload,
      fc.integer({ min: 990, max: 5_010 }).map((code) => closing(code)),
    ),
    mask,
  )
  const stream = fc
    .array(fc.oneof({ weight: 12, arbitrary: sound }, { weight: 1, arbitrary: odd }), { maxLength: 12 })
    .map((frames) => frames.map(([first, body, key]) => clientFrame(first, body, { mask: key })))

  /** Makes a conversation of frames most of which continue what they can. */
  function mended(frames: readonly Buffer[]): Buffer {
    let open = false
    const kept = frames.filter((bytes) => {
      const first = bytes[0] ?? 0
      const opcode = first & 0x0f
      if (opcode > BINARY) return true
      if ((opcode === CONTINUATION) !== open) return false
      open = first < FIN
      return true
    })
    return Buffer.concat(kept)
  }

  test('any bytes in any pieces, with any pauses, are read as ws reads them in one', async () => {
    await fc.assert(
      fc.asyncProperty(
        stream,
        fc.boolean(),
        fc.array(fc.nat(), { maxLength: 8 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }),
        async (frames, mend, cuts, pauses) => {
          const bytes = mend ? mended(frames) : Buffer.concat(frames)
          const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
          const reader = new Reader()
          await turn()
          let count = 0
          reader.onMessage = () => {
            if (pauses[count++ % pauses.length]) reader.channel.pause()
          }
          let from = 0
          for (const end of ends) {
            if (end > from) reader.feed(bytes.subarray(from, end))
            from = end
          }
          // As many turns as there may be pauses, and one more for the socket to be read on.
          for (let left = 2 * frames.length + 2; left > 0; left--) {
            reader.channel.resume()
            await turn()
          }
          const code = reader.code
          const outcome: Outcome = {
            messages: reader.heard.map(({ text, body }) => [text, body.toString('latin1')]),
            code: code === 'none' ? 1005 : code,
          }
          expect(outcome).toEqual(await oracle(bytes))
        },
      ),
      { numRuns: 1_000 },
    )
  })
})
