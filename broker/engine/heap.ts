/** A binary heap: what goes before all others is first. */
export class Heap<T> {
  private items: T[] = []
  private readonly precedes: (one: T, other: T) => boolean

  constructor(precedes: (one: T, other: T) => boolean) {
    this.precedes = precedes
  }

  get length(): number {
    return this.items.length
  }

  peek(): T | undefined {
    return this.items.length === 0 ? undefined : this.items[0]
  }

  push(item: T): void {
    const { items, precedes } = this
    let at = items.push(item) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const other = items[parent] as T // parent < at < length
      if (!precedes(item, other)) break
      items[at] = other
      at = parent
    }
    items[at] = item
  }

  shift(): T | undefined {
    const { items } = this
    const first = items[0]
    const last = items.pop()
    if (last === undefined || items.length === 0) return first
    this.sink(0, last)
    return first
  }

  clear(): void {
    this.items = []
  }

  /** In no particular order. */
  list(): readonly T[] {
    return this.items
  }

  retain(keep: (item: T) => boolean): void {
    this.items = this.items.filter((item) => keep(item))
    for (let at = (this.items.length >> 1) - 1; at >= 0; at--) {
      this.sink(at, this.items[at] as T) // at < length
    }
  }

  /** Puts `item` at the free place `at` or as far below as it belongs. */
  private sink(free: number, item: T): void {
    const { items, precedes } = this
    let at = free
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      let smaller = items[child] as T // child < length
      if (child + 1 < items.length) {
        const right = items[child + 1] as T // checked in the line above
        if (precedes(right, smaller)) {
          smaller = right
          child++
        }
      }
      if (!precedes(smaller, item)) break
      items[at] = smaller
      at = child
    }
    items[at] = item
  }
}
