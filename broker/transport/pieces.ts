/** Smaller pieces are copied: a view costs more than a few bytes, and keeps alive all that it is a view of. */
const LARGE = 1024
/** So are pieces that are less than this part of what they lie in. */
const PART = 1 / 4
/** The most that is reserved for small pieces still to come. */
const BLOCK = 16 * 1024
/** The least. */
const FIRST_BLOCK = 64

/**
 * What came of something that is not whole yet. Memory follows what came, not what was announced,
 * and not the number of pieces: a peer may send byte by byte.
 */
export class Pieces {
  length = 0
  private list: Buffer[] = []
  /** Where small pieces go; those from `listed` on are not in the list yet. */
  private block: Buffer | undefined
  private listed = 0
  private used = 0

  add(bytes: Buffer, from: number, to: number): void {
    const length = to - from
    this.length += length
    if (length > BLOCK || (length >= LARGE && length >= PART * bytes.length)) {
      this.seal()
      this.list.push(bytes.subarray(from, to))
      return
    }
    if (this.block === undefined || this.used + length > this.block.length) {
      this.seal()
      this.block = Buffer.allocUnsafeSlow(Math.min(Math.max(2 * this.length, FIRST_BLOCK), BLOCK))
      this.listed = this.used = 0
    }
    this.used += bytes.copy(this.block, this.used, from, to)
  }

  /** All of it in one buffer; nothing is left here. */
  take(): Buffer {
    this.seal()
    this.block = undefined
    const [first] = this.list
    const whole =
      first !== undefined && this.list.length === 1 ? first : Buffer.concat(this.list, this.length)
    this.list = []
    this.length = 0
    return whole
  }

  /** What is left of a block serves the small pieces behind a large one: else the two in turn would cost a block each time. */
  private seal(): void {
    if (this.block === undefined || this.listed === this.used) return
    this.list.push(this.block.subarray(this.listed, this.used))
    this.listed = this.used
  }
}
