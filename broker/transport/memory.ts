/** Memory for what is sent in a turn, cut from one piece after the other: nothing is ever written to twice. */

/** Small enough that a peer that takes its time holds up little, large enough to serve many. */
const SLAB = 64 * 1024
/** From this size on it does not pay to share. */
export const ALONE = 16 * 1024

/** A place to write to. */
export class Memory {
  buffer: Buffer = Buffer.allocUnsafeSlow(SLAB)
  at = 0
  private used = 0

  /** Makes `at` the first of as many bytes, to be used up soon: they hold up all that was cut from the same piece. */
  take(bytes: number): this {
    if (this.used + bytes > this.buffer.length) {
      this.buffer = Buffer.allocUnsafeSlow(SLAB)
      this.used = 0
    }
    this.at = this.used
    this.used += bytes
    return this
  }
}

/** Whether it was cut from a piece that serves others as well. */
export function isLent(buffer: Buffer): boolean {
  return buffer.length * 2 < buffer.buffer.byteLength
}
