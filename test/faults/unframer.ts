/** A WebSocket frame of the broker. */
export interface Piece {
  readonly opcode: number
  readonly payload: Buffer
}

const OPCODES = new Set([0x81, 0x82, 0x88, 0x89, 0x8a])

/** Takes WebSocket frames apart, and throws at what a server without extensions must not write. */
export class Unframer {
  private rest: Buffer = Buffer.alloc(0)

  read(bytes: Buffer): Piece[] {
    const pieces: Piece[] = []
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    for (;;) {
      const { rest } = this
      if (rest.length < 2) return pieces
      const first = rest.readUInt8(0)
      if (!OPCODES.has(first)) throw new Error(`the broker wrote a frame of 0x${first.toString(16)}`)
      let length = rest.readUInt8(1)
      if (length >= 0x80) throw new Error('the broker wrote a masked frame')
      const from = length < 126 ? 2 : length === 126 ? 4 : 10
      if (rest.length < from) return pieces
      if (length === 126) length = rest.readUInt16BE(2)
      else if (length === 127) length = Number(rest.readBigUInt64BE(2))
      if (rest.length < from + length) return pieces
      this.rest = rest.subarray(from + length)
      pieces.push({ opcode: first & 0x0f, payload: rest.subarray(from, from + length) })
    }
  }
}
