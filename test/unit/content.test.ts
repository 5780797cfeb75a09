import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Passed } from '../../broker/model/content.ts'
import { formOf } from '../../broker/model/form.ts'
import { Message } from '../../broker/model/message.ts'
import { Receipt } from '../../broker/model/receipt.ts'
import type { Payload, Piece, Wire } from '../../broker/model/wire.ts'
import type { Frame, Version } from '../../broker/protocol/frame.ts'
import { Batch } from '../../broker/transport/connection.ts'
import { plainWires } from '../../broker/transport/framing.ts'
import { decoderFor, ROOMY } from '../protocol/decode.ts'
import { parseDestination } from '../helpers/destination.ts'

const KIB = 1024
const bare: Wire = {
  name: 'bare',
  binary: 'native',
  octets: false,
  envelope: { typed: false, size: () => 0, put: (_target, at) => at },
  wrap: (head, tail) => Buffer.concat([head, tail]),
}
const base64: Wire = {
  name: 'base64',
  binary: 'base64',
  octets: false,
  wrap: (head, tail) => Buffer.concat([head, tail]),
}
const wires = [bare, plainWires.standard, plainWires.octets, base64]

/** What a sender wrote, read out of memory in which it begins at `offset` and much else lies. */
function frameOf(lines: string, body: Buffer, offset: number, pieces: boolean): Frame {
  const bytes = Buffer.concat([Buffer.from(`SEND\n${lines}\n`), body, Buffer.from([0])])
  const decoder = decoderFor('1.2', { ...ROOMY, maxBody: 4_000 * KIB })
  const memory = Buffer.alloc(offset + bytes.length + 200, '~')
  bytes.copy(memory, offset)
  const head = offset + bytes.length - body.length - 1
  // In pieces that are cut in the body, so that the frame moves.
  const middle = pieces ? head + (body.length >> 1) : offset
  if (pieces) decoder.feed(memory, offset, middle)
  if (pieces) expect(decoder.read()).toBeUndefined()
  decoder.feed(memory, middle, offset + bytes.length)
  const frame = decoder.read()
  if (frame === undefined || frame === 'heartbeat') throw new Error('no frame')
  expect(frame.plain).toBe(true)
  return frame
}

/** As the frames are described, in no hurry. */
function naive(
  lines: string,
  body: Buffer,
  { acks, version, wire }: { acks: boolean; version: Version; wire: Wire },
  attempt: number,
): Buffer {
  const text = Buffer.from(body.toString()).equals(body)
  const kept = lines
    .split('\n')
    .slice(0, -1)
    .filter((each) => !each.startsWith('receipt:'))
  let carried = body
  if (!kept.some((each) => each.startsWith('content-length:'))) kept.push(`content-length:${body.length}`)
  if (wire.binary === 'base64' && !text) {
    carried = Buffer.from(body.toString('base64'))
    const rest = kept.filter((each) => !/^(destination|content-length):/.test(each))
    kept.splice(0, kept.length, 'destination:/topic/t', `content-length:${carried.length}`)
    kept.push('content-transfer-encoding:base64', ...rest)
  }
  const own = [
    `subscription:s-${version}`,
    ...(acks ? ['ack:m-1'] : []),
    ...(attempt > 0 ? [`redelivered:${attempt > 1}`] : []),
    ...(attempt > 1 ? [`delivery-count:${attempt - 1}`] : []),
    'message-id:m-1',
  ]
  const frame = Buffer.concat([
    Buffer.from(`MESSAGE\n${[...own, ...kept].map((each) => `${each}\n`).join('')}\n`),
    carried,
    Buffer.from([0]),
  ])
  if (wire === bare || wire === base64) return frame
  const octets = wire.octets && kept.some((each) => each.startsWith('content-type:application/octet-stream'))
  const { length } = frame
  const size = Buffer.alloc(length < 126 ? 1 : length < 65_536 ? 3 : 9)
  size[0] = length < 126 ? length : length < 65_536 ? 126 : 127
  if (size.length === 3) size.writeUInt16BE(length, 1)
  if (size.length === 9) size.writeBigUInt64BE(BigInt(length), 1)
  return Buffer.concat([Buffer.from([text && !octets ? 0x81 : 0x82]), size, frame])
}

/** The bytes of a payload, by all the ways in which they can be had, at any place of what they are written to. */
function bytesOf(payload: Payload, at: number): Buffer[] {
  if (typeof payload === 'string') throw new Error('no bytes')
  const batch = new Batch(undefined, '').add(payload)
  const ways = [Buffer.concat(batch.buffers()), Buffer.concat(batch.kept())]
  const behind = Buffer.from('x'.repeat(at))
  ways.push(Buffer.concat(new Batch(undefined, '').add(behind).add(payload).buffers()).subarray(at))
  if (Buffer.isBuffer(payload)) return ways
  const target = Buffer.alloc(at + payload.length + 8, '#')
  expect(payload.put(target, at)).toBe(at + payload.length)
  // Nothing but what was announced.
  expect(target.subarray(0, at).toString() + target.subarray(at + payload.length).toString()).toBe(
    '#'.repeat(at + 8),
  )
  ways.push(target.subarray(at, at + payload.length))
  const parts = payload.parts()
  if (parts !== undefined) ways.push(Buffer.concat(parts))
  return ways
}

const body = fc
  .tuple(
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.oneof(fc.nat(200), fc.integer({ min: 850, max: 1_050 }), fc.nat(5_000)),
      },
      {
        weight: 2,
        arbitrary: fc.constantFrom(16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 65_400, 65_535, 65_536, 1_024 * KIB),
      },
    ),
    fc.constantFrom('ascii', 'utf8', 'binary'),
  )
  .map(([length, kind]) => {
    const bytes = Buffer.allocUnsafe(length)
    for (let at = 0; at < length; at++) bytes[at] = 33 + ((at * 7) % 90)
    if (kind === 'utf8' && length > 1) bytes.write('é', length >> 1)
    if (kind === 'binary' && length > 0) bytes[length - 1] = 0xff
    return bytes
  })

test('a plain frame is passed on as it is, in every form, wherever it lies and however it is kept', () => {
  fc.assert(
    fc.property(
      fc.record({
        body,
        first: fc.constantFrom(
          '',
          'a:1\n',
          'content-type:application/octet-stream\n',
          `b:${'b'.repeat(300)}\n`,
        ),
        receipt: fc.constantFrom('', 'receipt:\n', 'receipt:r-1\n', `receipt:${'r'.repeat(50)}\n`),
        last: fc.constantFrom('', 'z:\n', 'zz: 1 2 \n'),
        measured: fc.boolean(),
        offset: fc.nat(9),
        pieces: fc.boolean(),
        at: fc.nat(5),
        form: fc.record({
          acks: fc.boolean(),
          version: fc.constantFrom<Version>('1.0', '1.1', '1.2'),
          wire: fc.constantFrom(...wires),
        }),
        attempt: fc.nat(3),
      }),
      ({ body, first, receipt, last, measured, offset, pieces, at, form, attempt }) => {
        const length = measured ? `content-length:${body.length}\n` : ''
        const lines = `${first}destination:/topic/t\n${receipt}${last}${length}`
        const frame = frameOf(lines, body, offset, pieces && body.length > 1)
        const message = new Message('m-1', parseDestination('/topic/t'), new Passed(frame))
        const { acks, version, wire } = form
        const shape = formOf(`s-${version}`, acks, version, wire)
        const expected = naive(lines, body, form, attempt)
        const render = (of: Message): Payload =>
          attempt === 0 ? of.render(shape) : of.renderDelivery(shape, 'm-1', attempt)
        const early = render(message)
        const copies = [message, message.copy('m-1'), message.detach(), message.copy('m-1')]
        for (const payload of [early, ...copies.map(render)]) {
          expect(payload.length).toBe(expected.length)
          for (const bytes of bytesOf(payload, at)) expect(bytes.equals(expected)).toBe(true)
        }
        expect(message.body.equals(body)).toBe(true)
        if (receipt === '' || wire.envelope === undefined) return
        const piece: Piece = new Receipt(wire.envelope, frame)
        const text = `RECEIPT\nreceipt-id:${receipt.slice('receipt:'.length)}\n\0`
        const envelope = wire === bare ? [] : [0x81, text.length]
        for (const bytes of bytesOf(piece, at))
          expect(bytes.toString()).toBe(String(Buffer.from(envelope)) + text)
      },
    ),
    { numRuns: 250 },
  )
})

test('what is kept of a frame holds up nothing else, even if that was read with it', () => {
  for (const length of [0, 1_500, 5_000]) {
    const body = Buffer.alloc(length, 'x')
    const bytes = Buffer.concat([
      Buffer.from(`SEND\ndestination:/topic/t\ncontent-length:${length}\n\n`),
      body,
      Buffer.from([0]),
    ])
    const read = Buffer.alloc(65_536)
    bytes.copy(read, 100)
    const decoder = decoderFor('1.2')
    // As what was left of it after a pause.
    decoder.feed(read.subarray(100, 100 + bytes.length))
    const frame = decoder.read()
    if (frame === undefined || frame === 'heartbeat') throw new Error('no frame')
    const kept = new Passed(frame).detach()
    for (const buffer of kept.closing()) expect(buffer.buffer).not.toBe(read.buffer)
    expect(kept.body.equals(body)).toBe(true)
  }
})

test('a frame that is most of what it was read with stays there', () => {
  const bytes = Buffer.concat([Buffer.from('SEND\n\n'), Buffer.alloc(60_000, 'x'), Buffer.from([0])])
  const decoder = decoderFor('1.2')
  decoder.feed(bytes)
  const frame = decoder.read()
  if (frame === undefined || frame === 'heartbeat') throw new Error('no frame')
  expect(new Passed(frame).detach().body.buffer).toBe(bytes.buffer)
})
