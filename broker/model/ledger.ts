import type { Delivery } from './message.ts'

/** How many settled ids are remembered, so that a late or double ACK is told from an invented one. */
const REMEMBERED = 1_000

export interface Entry<S> {
  /** What the client names in an ACK. */
  readonly id: string
  readonly subscription: S
  readonly delivery: Delivery
  /** Order of delivery within the session. */
  readonly order: number
}

/**
 * The unsettled deliveries of one session, by subscription in the order they were handed to it.
 * A step costs the same however many there are: the order is a list linked through the entries.
 */
export class Ledger<S> {
  /** Of those that were looked for by their ids. A client that acks in order looks for none. */
  private readonly entries = new Map<string, Held<S>>()
  /** Those whose latest entries are not among them. */
  private readonly unlisted = new Set<Line<S>>()
  /** There until the subscription is drained, also while it holds nothing. */
  private readonly lines = new Map<S, Line<S>>()
  /** The one that was handed something last. */
  private latest: Line<S> | undefined
  /**
   * The ids of the latest that were settled, written over in turn. It is looked through where an
   * ACK comes too late, which is seldom; to keep it in a set would cost every ACK that does not.
   */
  private readonly settled: string[] = []
  private oldest = 0
  /** True once `settled` had to forget an id. */
  private forgetful = false
  private order = 0

  /** Takes a delivery in, under the id that its MESSAGE shows as `message-id` and as `ack`. */
  add(id: string, subscription: S, delivery: Delivery): void {
    const line = this.line(subscription)
    this.latest = line
    const entry = new Held(id, subscription, delivery, ++this.order, line)
    line.append(entry)
    if (!line.listed) return
    line.listed = false
    this.unlisted.add(line)
  }

  find(id: string): Entry<S> | undefined {
    this.list()
    return this.entries.get(id)
  }

  /** What is acked next by a client with one subscription that acks in order. */
  get expected(): Entry<S> | undefined {
    return this.latest?.first
  }

  /** Takes out the entry or, `cumulative`, all of its subscription up to it (1.2, SUBSCRIBE ack header). */
  take(entry: Entry<S>, cumulative: boolean): readonly Entry<S>[] {
    const held = entry instanceof Held ? entry : undefined
    if (!held?.there) return []
    const taken = [held]
    if (cumulative) {
      for (let earlier = held.before; earlier !== undefined; earlier = earlier.before) taken.push(earlier)
      taken.reverse()
    }
    for (const each of taken) this.remove(each)
    return taken
  }

  /** Puts entries back where they were, after ABORT. */
  restore(entries: readonly Entry<S>[]): void {
    const returned = new Map<Line<S>, Held<S>[]>()
    for (const { id, subscription, delivery, order } of entries) {
      const line = this.line(subscription)
      const entry = new Held(id, subscription, delivery, order, line)
      this.enter(entry)
      const list = returned.get(line)
      if (list === undefined) returned.set(line, [entry])
      else list.push(entry)
    }
    for (const [line, list] of returned) {
      line.collect(list)
      line.start(list.sort(byOrder))
    }
  }

  /** Takes out what one subscription, or without a name every subscription, still holds, in order. */
  drain(subscription?: S): readonly Entry<S>[] {
    const lines = subscription === undefined ? [...this.lines.values()] : [this.lines.get(subscription)]
    const drained: Held<S>[] = []
    for (const line of lines) line?.collect(drained)
    if (lines.length > 1) drained.sort(byOrder)
    for (const entry of drained) this.remove(entry)
    this.latest = undefined
    for (const line of lines) if (line !== undefined) this.unlisted.delete(line)
    if (subscription === undefined) this.lines.clear()
    else this.lines.delete(subscription)
    return drained
  }

  /** Whether `id` was in this ledger: `unsure` when the memory of settled ids has overflowed. */
  held(id: string): boolean | 'unsure' {
    this.list()
    // One that was put back is still among the settled.
    const settled = !this.entries.has(id) && this.settled.includes(id)
    return settled || (this.forgetful && 'unsure')
  }

  /** Enters all that were added since the last time: what comes back stands before them, having been the first or looked for. */
  private list(): void {
    for (const line of this.unlisted) {
      for (let entry = line.last; entry !== undefined && !entry.listed; entry = entry.before)
        this.enter(entry)
      line.listed = true
    }
    this.unlisted.clear()
  }

  private enter(entry: Held<S>): void {
    entry.listed = true
    this.entries.set(entry.id, entry)
  }

  private line(subscription: S): Line<S> {
    if (this.latest?.subscription === subscription) return this.latest
    let line = this.lines.get(subscription)
    if (line === undefined) this.lines.set(subscription, (line = new Line(subscription)))
    return line
  }

  private remove(entry: Held<S>): void {
    entry.there = false
    entry.line.remove(entry)
    if (entry.listed) this.entries.delete(entry.id)
    if (this.settled.length < REMEMBERED) return void this.settled.push(entry.id)
    this.forgetful = true
    this.settled[this.oldest] = entry.id
    this.oldest = (this.oldest + 1) % REMEMBERED
  }
}

class Held<S> implements Entry<S> {
  readonly id: string
  readonly subscription: S
  readonly delivery: Delivery
  readonly order: number
  /** Where it stands, between these two. */
  readonly line: Line<S>
  /** It has not been taken. */
  there = true
  /** It can be found by its id. */
  listed = false
  before: Held<S> | undefined
  after: Held<S> | undefined

  constructor(id: string, subscription: S, delivery: Delivery, order: number, line: Line<S>) {
    this.id = id
    this.subscription = subscription
    this.delivery = delivery
    this.order = order
    this.line = line
    this.before = undefined
    this.after = undefined
  }
}

/** What one subscription holds, in order. */
class Line<S> {
  readonly subscription: S
  first: Held<S> | undefined
  last: Held<S> | undefined
  /** All of its entries can be found by their ids. */
  listed = true

  constructor(subscription: S) {
    this.subscription = subscription
  }

  append(entry: Held<S>): void {
    const { last } = this
    entry.before = last
    if (last === undefined) this.first = entry
    else last.after = entry
    this.last = entry
  }

  remove(entry: Held<S>): void {
    const { before, after } = entry
    if (before === undefined) this.first = after
    else before.after = after
    if (after === undefined) this.last = before
    else after.before = before
    // It may be kept by a transaction, and is not to keep the others alive.
    entry.before = undefined
    entry.after = undefined
  }

  /** Begins again with these, in order. */
  start(entries: readonly Held<S>[]): void {
    this.last = undefined
    this.first = undefined
    for (const entry of entries) {
      entry.after = undefined
      this.append(entry)
    }
  }

  /** Adds all of them to a list, in order. */
  collect(list: Held<S>[]): void {
    for (let entry = this.first; entry !== undefined; entry = entry.after) list.push(entry)
  }
}

function byOrder<S>(one: Entry<S>, other: Entry<S>): number {
  return one.order - other.order
}
