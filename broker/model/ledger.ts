import type { Delivery } from './message.ts'

/** How many settled ids are remembered, so that a late or double ACK is told from an invented one. */
const REMEMBERED = 1_000

export interface Entry {
  /** What the client names in an ACK. */
  readonly id: string
  readonly subscription: string
  readonly delivery: Delivery
  /** Order of delivery within the session. */
  readonly order: number
}

/** The unsettled deliveries of one session, in the order they were handed to it. */
export class Ledger {
  private readonly entries = new Map<string, Entry>()
  private readonly bySubscription = new Map<string, Map<string, Entry>>()
  private readonly settled = new Set<string>()
  /** True once `settled` had to forget an id. */
  private forgetful = false
  private order = 0

  get size(): number {
    return this.entries.size
  }

  /** Takes a delivery in, under the id that its MESSAGE shows as `message-id` and as `ack`. */
  add(id: string, subscription: string, delivery: Delivery): void {
    this.insert({ id, subscription, delivery, order: ++this.order })
  }

  /** What an ACK names; with a subscription (1.0, 1.1) only if it was delivered there. */
  find(id: string, subscription?: string): Entry | undefined {
    const entry = this.entries.get(id)
    return subscription === undefined || entry?.subscription === subscription ? entry : undefined
  }

  /**
   * Takes out the entry and, in the cumulative mode `client`, everything delivered before it on
   * the same subscription (1.2, SUBSCRIBE ack header).
   */
  take(entry: Entry, mode: 'client' | 'client-individual'): readonly Entry[] {
    if (mode === 'client-individual') {
      this.remove(entry)
      return [entry]
    }
    const taken: Entry[] = []
    for (const earlier of this.bySubscription.get(entry.subscription)?.values() ?? []) {
      if (earlier.order > entry.order) break
      taken.push(earlier)
    }
    for (const earlier of taken) this.remove(earlier)
    return taken
  }

  /** Puts entries back where they were, after ABORT. */
  restore(entries: readonly Entry[]): void {
    const all = [...this.entries.values(), ...entries].sort((a, b) => a.order - b.order)
    this.entries.clear()
    this.bySubscription.clear()
    for (const entry of all) {
      this.settled.delete(entry.id)
      this.insert(entry)
    }
  }

  /** Takes out what one subscription, or without a name every subscription, still holds. */
  drain(subscription?: string): readonly Entry[] {
    const source = subscription === undefined ? this.entries : this.bySubscription.get(subscription)
    const drained = [...(source?.values() ?? [])]
    for (const entry of drained) this.remove(entry)
    return drained
  }

  /** Whether `id` was in this ledger: `unsure` when the memory of settled ids has overflowed. */
  held(id: string): boolean | 'unsure' {
    return this.settled.has(id) || (this.forgetful && 'unsure')
  }

  private insert(entry: Entry): void {
    this.entries.set(entry.id, entry)
    const entries = this.bySubscription.get(entry.subscription)
    if (entries !== undefined) entries.set(entry.id, entry)
    else this.bySubscription.set(entry.subscription, new Map([[entry.id, entry]]))
  }

  private remove(entry: Entry): void {
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
