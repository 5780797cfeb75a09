// Log-linear buckets, 128 for each power of two: a value is off by less than 0.8 percent.
const BITS = 7
const PER_OCTAVE = 2 ** BITS
const BUCKETS = (32 - BITS + 1) * PER_OCTAVE

/** Counts whole numbers below 2^32, microseconds for example, in a fixed amount of memory. */
export class Histogram {
  count = 0
  max = 0
  private readonly buckets = new Uint32Array(BUCKETS)

  add(value: number): void {
    this.count++
    if (value > this.max) this.max = value
    let index = value
    if (value >= PER_OCTAVE) {
      const octave = 31 - Math.clz32(value) - BITS
      index = (octave + 1) * PER_OCTAVE + ((value >>> octave) & (PER_OCTAVE - 1))
    }
    this.buckets[index]! += 1 // the index of a value below 2^32 is below BUCKETS
  }

  /** The value that `share` of all values do not exceed; 0 when there are none. */
  quantile(share: number): number {
    const rank = Math.max(1, Math.ceil(this.count * share))
    let seen = 0
    for (let index = 0; index < BUCKETS; index++) {
      seen += this.buckets[index] ?? 0
      if (seen < rank) continue
      const octave = Math.floor(index / PER_OCTAVE) - 1
      if (octave < 0) return index
      // The largest value of the bucket, so that nothing looks faster than it was.
      const largest = (PER_OCTAVE + (index % PER_OCTAVE) + 1) * 2 ** octave - 1
      return Math.min(largest, this.max)
    }
    return 0
  }

  clear(): void {
    this.count = 0
    this.max = 0
    this.buckets.fill(0)
  }
}
