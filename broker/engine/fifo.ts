/** First in, first out, without moving the rest at each step. */
export class Fifo<T> {
  private items: (T | undefined)[] = []
  private head = 0

  push(item: T): void {
    this.items.push(item)
  }

  peek(): T | undefined {
    return this.items[this.head]
  }

  get length(): number {
    return this.items.length - this.head
  }

  /** Counted from the front. */
  at(index: number): T | undefined {
    return this.items[this.head + index]
  }

  retain(keep: (item: T) => boolean): void {
    // Behind the head there is nothing but items.
    this.items = this.items.slice(this.head).filter((item) => keep(item as T))
    this.head = 0
  }

  shift(): T | undefined {
    if (this.head >= this.items.length) return undefined
    const item = this.items[this.head]
    this.items[this.head++] = undefined
    if (this.head === this.items.length) {
      this.items = []
      this.head = 0
    } else if (this.head >= 1024 && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head)
      this.head = 0
    }
    return item
  }
}
