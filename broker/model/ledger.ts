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

/** The unsettled deliveries of one session, by subscription in the order they were handed to it. */
export class Ledger<S> {
  private readonly entries = new Map<string, Entry<S>>()
  private readonly bySubscription = new Map<S, Map<string, Entry<S>>>()
  private readonly settled = new Set<string>()
  /** True once `settled` had to forget an id. */
  private forgetful = false
  private order = 0

  /** Takes a delivery in, under the id that its MESSAGE shows as `message-id` and as `ack`. */
  add(id: string, subscription: S, delivery: Delivery): void {
    this.insert({ id, subscription, delivery, order: ++this.order })
  }

  find(id: string): Entry<S> | undefined {
    return this.entries.get(id)
  }

  /** Takes out the entry or, `cumulative`, all of its subscription up to it (1.2, SUBSCRIBE ack header). */
  take(entry: Entry<S>, cumulative: boolean): readonly Entry<S>[] {
    const taken: Entry<S>[] = []
    if (!cumulative) taken.push(entry)
    else {
      for (const earlier of this.bySubscription.get(entry.subscription)?.values() ?? []) {
        if (earlier.order > entry.order) break
        taken.push(earlier)
      }
    }
    for (const each of taken) this.remove(each)
    return taken
  }

  /** Puts entries back where they were, after ABORT. */
  restore(entries: readonly Entry<S>[]): void {
    const returned = new Map<S, Entry<S>[]>()
    for (const entry of entries) {
      this.settled.delete(entry.id)
      const list = returned.get(entry.subscription)
      if (list === undefined) returned.set(entry.subscription, [entry])
      else list.push(entry)
    }
    for (const [subscription, list] of returned) {
      const kept = this.bySubscription.get(subscription)?.values() ?? []
      this.bySubscription.delete(subscription)
      for (const entry of [...kept, ...list].sort((a, b) => a.order - b.order)) this.insert(entry)
    }
  }

  /** Takes out what one subscription, or without a name every subscription, still holds, in order. */
  drain(subscription?: S): readonly Entry<S>[] {
    const source = subscription === undefined ? this.entries : this.bySubscription.get(subscription)
    const drained = [...(source?.values() ?? [])].sort((a, b) => a.order - b.order)
    for (const entry of drained) this.remove(entry)
    return drained
  }

  /** Whether `id` was in this ledger: `unsure` when the memory of settled ids has overflowed. */
  held(id: string): boolean | 'unsure' {
    return this.settled.has(id) || (this.forgetful && 'unsure')
  }

  private insert(entry: Entry<S>): void {
    this.entries.set(entry.id, entry)
    const entries = this.bySubscription.get(entry.subscription)
    if (entries !== undefined) entries.set(entry.id, entry)
    else this.bySubscription.set(entry.subscription, new Map([[entry.id, entry]]))
  }

  private remove(entry: Entry<S>): void {
    this.entries.delete(entry.id)
    const entries = this.bySubscription.get(entry.subscription)
    entries?.delete(entry.id)
    if (entries?.size === 0) this.bySubscription.delete(entry.subscription)
    this.remember(entry.id)
  }

  private remember(id: string): void {
    this.settled.add(id)
    if (this.settled.size <= REMEMBERED) return
    this.forgetful = true
    // A Set keeps the order of insertion: the first is the oldest.
    for (const oldest of this.settled) {
      this.settled.delete(oldest)
      break
    }
  }
}
