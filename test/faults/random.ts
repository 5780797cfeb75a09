/** Random numbers that come again with the same seed. */
export class Random {
  private state = 0x9e3779b9

  constructor(...seed: readonly number[]) {
    for (const part of seed) this.state = scramble((this.state ^ part) + 0x9e3779b9)
  }

  /** From 0 up to, and not including, 1. */
  next(): number {
    this.state = (this.state + 0x9e3779b9) | 0
    return (scramble(this.state) >>> 0) / 2 ** 32
  }

  below(bound: number): number {
    return Math.floor(this.next() * bound)
  }

  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T // no list is empty
  }

  bytes(count: number): Buffer<ArrayBuffer> {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)))
  }
}

/** Spreads a change of any bit over all of them. */
function scramble(value: number): number {
  let mixed = value | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
  return mixed ^ (mixed >>> 15)
}
