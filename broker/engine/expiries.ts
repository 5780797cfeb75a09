import { Heap } from './heap.ts'

/** Things that expire, soonest first. */
export class Expiries<T extends { readonly expires: number }> {
  private readonly heap = new Heap<T>((one, other) => one.expires < other.expires)
  private readonly lives: (item: T) => boolean
  /** Items that may have gone and still stand here: too many cost a search too much, no more. */
  private gone = 0

  /** `lives` tells whether an item is still there to expire. */
  constructor(lives: (item: T) => boolean) {
    this.lives = lives
  }

  add(item: T): void {
    this.heap.push(item)
  }

  /** An item does not live any more, and is not to stay in memory until its time. */
  forget(): void {
    if (++this.gone * 2 <= this.heap.length) return
    this.heap.retain(this.lives)
    this.gone = 0
  }

  /** When the next one expires. */
  get next(): number | undefined {
    this.skip()
    return this.heap.peek()?.expires
  }

  /** Takes out the next one, if it has expired at `now`. */
  take(now: number): T | undefined {
    this.skip()
    const item = this.heap.peek()
    if (item === undefined || item.expires > now) return undefined
    return this.heap.shift()
  }

  private skip(): void {
    for (;;) {
      const item = this.heap.peek()
      if (item === undefined || this.lives(item)) return
      this.heap.shift()
      if (this.gone > 0) this.gone--
    }
  }
}
