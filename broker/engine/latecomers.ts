/** How many are listed. */
const LISTED = 4096

/**
 * The ranks that entries took before others that were there already, as they came. What is left
 * out of the list is told by there being none, so it is bounded.
 */
export class Latecomers {
  private ranks: number[] = []
  private dropped = 0

  /** How many there were. */
  get end(): number {
    return this.dropped + this.ranks.length
  }

  add(rank: number): void {
    if (this.ranks.length >= 2 * LISTED) {
      this.ranks = this.ranks.slice(LISTED)
      this.dropped += LISTED
    }
    this.ranks.push(rank)
  }

  /** All of them have gone. */
  clear(): void {
    if (this.ranks.length === 0) return
    this.dropped += this.ranks.length
    this.ranks = []
  }

  /** Those after the first `count`; undefined if they are not listed any more. */
  since(count: number): readonly number[] | undefined {
    if (count < this.dropped) return undefined
    return count === this.end ? none : this.ranks.slice(count - this.dropped)
  }
}

const none: readonly number[] = []
