/** WebSocket frames, as a server writes them, and the wires made of them. */
import { constants, deflateRawSync } from 'node:zlib'
import type { Envelope, Wire } from '../model/wire.ts'

/** Opcodes (RFC 6455, 5.2). */
export const CONTINUATION = 0x0
export const TEXT = 0x1
export const BINARY = 0x2
export const CLOSE = 0x8
export const PING = 0x9
export const PONG = 0xa
/** RSV1: the payload is compressed (RFC 7692). */
const COMPRESSED = 0x40
/** Bytes of a frame that is worth compressing, and of one that would hold up everybody else meanwhile. */
const COMPRESS_FROM = 1024
const COMPRESS_TO = 1024 * 1024

/** The header of an unmasked, final WebSocket frame (RFC 6455, 5.2). */
function headerSize(length: number): number {
  return length < 126 ? 2 : length < 65_536 ? 4 : 10
}

function putHeader(target: Buffer, at: number, length: number, opcode: number): number {
  target[at] = 0x80 | opcode
  if (length < 126) {
    target[at + 1] = length
    return at + 2
  }
  if (length < 65_536) {
    target[at + 1] = 126
    target[at + 2] = length >> 8
    target[at + 3] = length & 0xff
    return at + 4
  }
  target[at + 1] = 127
  target.writeUInt32BE(0, at + 2)
  target.writeUInt32BE(length, at + 6)
  return at + 10
}

/** One WebSocket message in one frame, as a server sends it. */
export function webSocketFrame(payload: Buffer, opcode: number = TEXT): Buffer {
  const frame = Buffer.allocUnsafe(headerSize(payload.length) + payload.length)
  payload.copy(frame, putHeader(frame, 0, payload.length, opcode))
  return frame
}

/** One STOMP frame is one WebSocket message, text where it can be: clients such as stompjs on React Native rely on it. */
const envelope: Envelope = {
  typed: true,
  size: headerSize,
  put: (target, at, length, text) => putHeader(target, at, length, text ? TEXT : BINARY),
}

function webSocketWire(octets: boolean): Wire {
  return {
    name: octets ? 'websocket-binary' : 'websocket',
    binary: 'native',
    octets,
    envelope,
    wrap: (head, tail, text) => webSocketFrame(Buffer.concat([head, tail]), text ? TEXT : BINARY),
  }
}

/**
 * The same, compressed by permessage-deflate. No context is taken over from message to message
 * (RFC 7692, 7.1.1), so a compressed frame too is the same bytes for every receiver.
 */
function deflatedWire(plain: Wire): Wire {
  return {
    name: `${plain.name}-deflate`,
    binary: plain.binary,
    octets: plain.octets,
    wrap(head, tail, text) {
      const length = head.length + tail.length
      if (length < COMPRESS_FROM || length > COMPRESS_TO) return plain.wrap(head, tail, text)
      const deflated = deflateRawSync(Buffer.concat([head, tail]), {
        level: constants.Z_BEST_SPEED,
        finishFlush: constants.Z_SYNC_FLUSH,
      })
      // The four bytes of an empty block at the end are left out (RFC 7692, 7.2.1).
      return webSocketFrame(deflated.subarray(0, -4), COMPRESSED | (text ? TEXT : BINARY))
    },
  }
}

export interface Wires {
  readonly standard: Wire
  /** For a peer that writes binary messages itself. */
  readonly octets: Wire
}

export const plainWires: Wires = { standard: webSocketWire(false), octets: webSocketWire(true) }
export const deflatedWires: Wires = {
  standard: deflatedWire(plainWires.standard),
  octets: deflatedWire(plainWires.octets),
}
