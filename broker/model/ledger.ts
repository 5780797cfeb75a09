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
  private readonly entries = new Map<string, Held<S>>()
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
    this.entries.set(id, entry)
    line.append(entry)
  }

  find(id: string): Entry<S> | undefined {
    return this.entries.get(id)
  }

  /** What is acked next by a client with one subscription that acks in order. */
  get expected(): Entry<S> | undefined {
    return this.latest?.first
  }

  /** Takes out the entry or, `cumulative`, all of its subscription up to it (1.2, SUBSCRIBE ack header). */
  take(entry: Entry<S>, cumulative: boolean): readonly Entry<S>[] {
    const held = entry instanceof Held ? entry : undefined
    if (!held?.listed) return []
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
      this.entries.set(id, entry)
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
    if (subscription === undefined) this.lines.clear()
    else this.lines.delete(subscription)
    return drained
  }

  /** Whether `id` was in this ledger: `unsure` when the memory of settled ids has overflowed. */
  held(id: string): boolean | 'unsure' {
    // One that was put back is still among the settled.
    const settled = !this.entries.has(id) && this.settled.includes(id)
    return settled || (this.forgetful && 'unsure')
  }

  private line(subscription: S): Line<S> {
    if (this.latest?.subscription === subscription) return this.latest
    let line = this.lines.get(subscription)
    if (line === undefined) this.lines.set(subscription, (line = new Line(subscription)))
    return line
  }

  private remove(entry: Held<S>): void {
    entry.listed = false
    entry.line.remove(entry)
    this.entries.delete(entry.id)
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
  listed = true
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
  private last: Held<S> | undefined

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
