export const FIN = 0x80
export const CONTINUATION = 0
export const TEXT = 1
export const BINARY = 2
export const CLOSE = 8
export const PING = 9
export const PONG = 10

/** A frame as a client sends it, byte by byte as it is asked for: `first` is FIN, RSV and opcode. */
export function clientFrame(
  first: number,
  payload: string | Buffer = '',
  { mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d]), masked = true, wide = 0 } = {},
): Buffer {
  const bytes = Buffer.from(payload)
  const { length } = bytes
  const size = Math.max(length < 126 ? 0 : length < 65_536 ? 2 : 8, wide)
  const head = Buffer.alloc(2 + size)
  head[0] = first
  head[1] = (masked ? 0x80 : 0) | (size === 0 ? length : size === 2 ? 126 : 127)
  if (size === 2) head.writeUInt16BE(length, 2)
  if (size === 8) head.writeBigUInt64BE(BigInt(length), 2)
  if (!masked) return Buffer.concat([head, bytes])
  return Buffer.concat([head, mask, bytes.map((byte, index) => byte ^ (mask[index % 4] ?? 0))])
}

/** The payload of a close frame. */
export function closing(code: number, reason: string | Buffer = ''): Buffer {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(code)
  return Buffer.concat([head, Buffer.from(reason)])
}

export interface ServerFrame {
  readonly first: number
  readonly payload: Buffer
}

/** The whole frames of a server in `bytes`. */
export function serverFrames(bytes: Buffer): ServerFrame[] {
  const frames: ServerFrame[] = []
  for (let at = 0; at + 2 <= bytes.length;) {
    const first = bytes.readUInt8(at)
    let length = bytes.readUInt8(at + 1)
    let from = at + 2
    if (length === 126) {
      length = bytes.readUInt16BE(from)
      from += 2
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(from))
      from += 8
    }
    at = from + length
    if (at <= bytes.length) frames.push({ first, payload: bytes.subarray(from, at) })
  }
  return frames
}
