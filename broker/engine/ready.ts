import type { Entry } from './entry.ts'
import { Fifo } from './fifo.ts'
import { Heap } from './heap.ts'

/** What waits in a queue whose consumers take whatever comes: first in, first out, what came back before it. */
export class Ready {
  private readonly fresh = new Fifo<Entry>()
  /** Everything in it is older than everything in `fresh`, because messages go out in order. */
  private readonly returned = new Heap<Entry>(precedes)
  /** How many stand here. */
  private count = 0
  /** Of them those that were discarded. */
  private discarded = 0

  append(entry: Entry): void {
    this.count++
    this.fresh.push(entry)
  }

  putBack(entry: Entry): void {
    this.count++
    this.returned.push(entry)
  }

  /** How many came back. */
  get backs(): number {
    return this.returned.length
  }

  /** Whether nothing stands here. */
  get empty(): boolean {
    return this.count === 0
  }

  peek(): Entry | undefined {
    while (this.discarded > 0) {
      const entry = this.returned.peek() ?? this.fresh.peek()
      if (entry === undefined || entry.state === 'waiting') return entry
      this.shift()
      this.discarded--
    }
    return this.returned.peek() ?? this.fresh.peek()
  }

  /** Takes away what `peek` showed. */
  shift(): void {
    this.count--
    if (this.returned.length === 0) this.fresh.shift()
    else this.returned.shift()
  }

  /** An entry that is not waiting any more is to be passed over. */
  discard(): void {
    this.discarded++
    // Nearly always they are the oldest.
    this.peek()
    if (this.discarded * 2 <= this.count) return
    this.fresh.retain(isWaiting)
    this.returned.retain(isWaiting)
    this.count = this.fresh.length + this.returned.length
    this.discarded = 0
  }

  /** In order. */
  drain(): readonly Entry[] {
    const entries = this.page(0, Infinity)
    this.clear()
    return entries
  }

  clear(): void {
    this.fresh.clear()
    this.returned.clear()
    this.count = 0
    this.discarded = 0
  }

  /** The next behind a rank, in order. */
  page(rank: number, limit: number): readonly Entry[] {
    const entries = this.returned
      .list()
      .filter((entry) => entry.rank > rank && isWaiting(entry))
      .sort((a, b) => a.rank - b.rank)
      .slice(0, limit)
    const { fresh } = this
    let low = 0
    let high = fresh.length
    while (low < high) {
      const middle = (low + high) >> 1
      const entry = fresh.at(middle) as Entry // middle < length
      if (entry.rank <= rank) low = middle + 1
      else high = middle
    }
    for (; entries.length < limit; low++) {
      const entry = fresh.at(low)
      if (entry === undefined) break
      if (isWaiting(entry)) entries.push(entry)
    }
    return entries
  }
}

function precedes(one: Entry, other: Entry): boolean {
  return one.rank < other.rank
}

function isWaiting(entry: Entry): boolean {
  return entry.state === 'waiting'
}
