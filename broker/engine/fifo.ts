/** Items of a piece. */
const PIECE = 1_024
/** Places that stay while there is no item, for those to come. */
const KEPT = 64

/** First in, first out, in pieces: no step moves or copies more than one of them, however many items there are. */
export class Fifo<T> {
  private first: (T | undefined)[] = []
  private last = this.first
  /** From the first to the last: all but that are full to the end. */
  private pieces = [this.first]
  /** Where the next item to go is in the first piece. */
  private head = 0
  /** Where the next item to come goes in the last piece. */
  private tail = 0
  private count = 0

  get length(): number {
    return this.count
  }

  push(item: T): void {
    if (this.tail === PIECE) {
      this.last = []
      this.pieces.push(this.last)
      this.tail = 0
    }
    this.last[this.tail++] = item
    this.count++
  }

  peek(): T | undefined {
    return this.count === 0 ? undefined : this.first[this.head]
  }

  /** Counted from the front. */
  at(index: number): T | undefined {
    if (index >= this.count) return undefined
    const place = this.head + index
    return this.pieces[Math.floor(place / PIECE)]?.[place % PIECE]
  }

  shift(): T | undefined {
    if (this.count === 0) return undefined
    const item = this.first[this.head]
    this.first[this.head++] = undefined
    if (--this.count === 0) {
      if (this.tail > KEPT) this.clear()
      this.head = 0
      this.tail = 0
    } else if (this.head === PIECE) {
      this.pieces.shift()
      this.first = this.pieces[0] ?? this.last
      this.head = 0
    }
    return item
  }

  retain(keep: (item: T) => boolean): void {
    const { pieces, head, tail } = this
    this.clear()
    for (const piece of pieces) {
      const end = piece === pieces.at(-1) ? tail : PIECE
      for (let at = piece === pieces[0] ? head : 0; at < end; at++) {
        const item = piece[at] as T // from `head` to `tail` there is nothing but items
        if (keep(item)) this.push(item)
      }
    }
  }

  clear(): void {
    this.first = []
    this.last = this.first
    this.pieces = [this.first]
    this.head = 0
    this.tail = 0
    this.count = 0
  }
}
