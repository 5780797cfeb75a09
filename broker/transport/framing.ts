/** WebSocket frames, as a server writes them, and the wires made of them. */
import { constants, deflateRawSync } from 'node:zlib'
import type { Wire } from '../model/wire.ts'

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

/** Writes the header of an unmasked, final WebSocket frame (RFC 6455, 5.2) for `length` bytes of payload, and room for them. */
function frameFor(length: number, opcode: number): { frame: Buffer; at: number } {
  const at = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(at + length)
  frame[0] = 0x80 | opcode
  if (at === 2) {
    frame[1] = length
  } else if (at === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeUInt32BE(0, 2)
    frame.writeUInt32BE(length, 6)
  }
  return { frame, at }
}

/** One WebSocket message in one frame, as a server sends it. */
export function webSocketFrame(payload: Buffer, opcode: number = TEXT): Buffer {
  const { frame, at } = frameFor(payload.length, opcode)
  payload.copy(frame, at)
  return frame
}

/** One STOMP frame is one WebSocket message, text where it can be: clients such as stompjs on React Native rely on it. */
function webSocketWire(octets: boolean): Wire {
  return {
    name: octets ? 'websocket-binary' : 'websocket',
    binary: 'native',
    octets,
    wrap(head, tail, text) {
      const { frame, at } = frameFor(head.length + tail.length, text ? TEXT : BINARY)
      head.copy(frame, at)
      tail.copy(frame, at + head.length)
      return frame
    },
  }
}

/**
 * The same, compressed by permessage-deflate. No context is taken over from message to message
 * (RFC 7692, 7.1.1), so a compressed frame too is the same bytes for every receiver.
 */
function deflatedWire(plain: Wire): Wire {
  return {
    ...plain,
    name: `${plain.name}-deflate`,
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
