/** Memory for what is sent in a turn, cut from one piece after the other: nothing is ever written to twice. */

/** Small enough that a peer that takes its time holds up little, large enough to serve many. */
const SLAB = 64 * 1024
/** From this size on it does not pay to share. */
const ALONE = 16 * 1024

let slab = Buffer.allocUnsafeSlow(SLAB)
let used = 0

/** As many bytes, to be used up soon: they hold up all that was cut from the same piece. */
export function memory(bytes: number): Buffer {
  if (bytes >= ALONE) return Buffer.allocUnsafeSlow(bytes)
  if (used + bytes > SLAB) {
    slab = Buffer.allocUnsafeSlow(SLAB)
    used = 0
  }
  return slab.subarray(used, (used += bytes))
}

/** Whether it was cut from a piece that serves others as well. */
export function isLent(buffer: Buffer): boolean {
  return buffer.length * 2 < buffer.buffer.byteLength
}
