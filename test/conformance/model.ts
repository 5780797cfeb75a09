import type { Consumer, Consumption } from '../../broker/engine/engine.ts'
import type { Delivery, Message } from '../../broker/model/message.ts'
import { Q, type Rig } from './rig.ts'

interface Kept {
  readonly message: Message
  readonly place: number
  attempt: number
  out: Delivery | undefined
  refusedBy: Watched | undefined
}

export interface Wish {
  readonly auto: boolean
  readonly exclusive: boolean
  readonly priority: number
  readonly kind: string | undefined
  /** What it does from inside `deliver`. */
  readonly inside:
    | 'nothing'
    | 'ack'
    | 'nack'
    | 'release'
    | 'grant'
    | 'send'
    | 'cancel'
    | 'send and grant'
    | 'send and cancel'
}

/** A consumer that checks each delivery against the model. */
export interface Watched extends Consumer {
  readonly consumption: Consumption
  readonly wish: Wish
  credit: number
  cancelled: boolean
}

/** A naive queue with everything a queue can do: it looks at all messages and all consumers at each step. */
export class Model {
  readonly wrong: string[] = []
  readonly consumers: Watched[] = []
  /** Deliveries that are settled. */
  readonly stale: Delivery[] = []
  rejected = 0
  kept: Kept[] = []
  private readonly rig: Rig
  private readonly prioritized: boolean
  private readonly owners = new Map<string, Watched>()
  private exclusive: Watched | undefined
  private sequence = 0

  constructor(rig: Rig, prioritized: boolean) {
    this.rig = rig
    this.prioritized = prioritized
  }

  get live(): Watched[] {
    return this.consumers.filter(({ cancelled }) => !cancelled)
  }

  get waiting(): Kept[] {
    return this.kept.filter(({ out }) => out === undefined)
  }

  get out(): Kept[] {
    return this.kept.filter(({ out }) => out !== undefined)
  }

  add(message: Message): void {
    const priority = this.prioritized ? (message.terms.priority ?? 0) : 0
    const place = ++this.sequence - 1_000_000 * priority
    this.kept.push({ message, place, attempt: 1, out: undefined, refusedBy: undefined })
    this.kept.sort((a, b) => a.place - b.place)
  }

  consume(wish: Wish): void {
    const { auto, exclusive, priority, kind } = wish
    const accepts = kind === undefined ? undefined : takes(kind)
    const consumer = {
      auto,
      exclusive,
      priority,
      accepts,
      wish,
      credit: 0,
      cancelled: false,
      // Never throws: what is wrong is told afterwards.
      deliver: (delivery: Delivery): void => this.check(watched, delivery),
    }
    const watched: Watched = Object.assign(consumer, { consumption: { grant() {}, cancel() {} } })
    this.consumers.push(watched)
    this.choose()
    Object.assign(watched, { consumption: this.rig.engine.consume(Q, watched) })
  }

  grant(consumer: Watched, credits: number): void {
    consumer.credit += credits
    consumer.consumption.grant(credits)
  }

  cancel(consumer: Watched): void {
    consumer.cancelled = true
    this.free(consumer)
    this.choose()
    consumer.consumption.cancel()
  }

  /** What the settlement of `entry` changes; the engine is told by the caller. */
  settle(entry: Kept, type: 'ack' | 'nack' | 'reject' | 'release', holder: Watched | undefined): void {
    if (entry.out !== undefined) this.stale.push(entry.out)
    if (type === 'reject') this.rejected++
    if (type === 'ack' || type === 'reject') {
      this.kept = this.kept.filter((other) => other !== entry)
      return
    }
    entry.out = undefined
    entry.attempt++
    entry.refusedBy = type === 'nack' ? holder : undefined
  }

  holder(entry: Kept): Watched | undefined {
    return this.holders.get(entry)
  }

  /** Who has credit although something waits for it. */
  idlers(): Watched[] {
    return this.able().filter((consumer) => this.waiting.some((entry) => this.suits(consumer, entry)))
  }

  private readonly holders = new Map<Kept, Watched>()

  private check(consumer: Watched, delivery: Delivery): void {
    const { id } = delivery.message
    const entry = this.waiting.find(({ message }) => message.id === id)
    const first = this.waiting.find((other) => this.suits(consumer, other))
    if (consumer.cancelled) this.wrong.push(`${id} after cancel`)
    if (!this.able().includes(consumer)) this.wrong.push(`${id} without credit or besides an exclusive one`)
    consumer.credit--
    if (entry === undefined) return void this.wrong.push(`${id}, which does not wait`)
    if (!this.suits(consumer, entry)) this.wrong.push(`${id} to one whom it does not suit`)
    if (first !== entry) this.wrong.push(`${id} instead of ${first?.message.id}`)
    if (delivery.attempt !== entry.attempt)
      this.wrong.push(`${id} with attempt ${delivery.attempt}, not ${entry.attempt}`)
    for (const other of this.able()) {
      if (other === consumer || !this.suits(other, entry)) continue
      if (entry.refusedBy === consumer) this.wrong.push(`${id} to the one who refused it`)
      const higher = other.wish.priority > consumer.wish.priority
      const steppedAside = this.waiting.some(({ refusedBy }) => refusedBy === other)
      if (higher && !steppedAside) this.wrong.push(`${id} to a lower priority`)
    }
    const { group } = entry.message.terms
    if (group !== undefined) this.owners.set(group, consumer)
    if (consumer.auto) {
      this.kept = this.kept.filter((other) => other !== entry)
      this.stale.push(delivery)
    } else {
      entry.out = delivery
      this.holders.set(entry, consumer)
    }
    this.act(consumer, entry)
  }

  private act(consumer: Watched, entry: Kept): void {
    const { inside } = consumer.wish
    const { engine, message } = this.rig
    const { out } = entry
    if (inside === 'nothing') return
    if (inside === 'grant') return this.grant(consumer, 1)
    if (inside === 'cancel') return this.cancel(consumer)
    if (inside.startsWith('send')) {
      const kind = this.sequence % 2 === 0 ? 'a' : 'b'
      const sent = message(Q, 'inside', { ...entry.message.terms, priority: 5 }, { kind })
      this.add(sent)
      void engine.commit([{ type: 'send', message: sent }])
      const next = this.live.find((other) => other !== consumer)
      if (inside === 'send and grant' && next !== undefined) this.grant(next, 1)
      if (inside === 'send and cancel' && next !== undefined) this.cancel(next)
      return
    }
    if (out === undefined) return
    const type = inside as 'ack' | 'nack' | 'release' // the others have returned
    this.settle(entry, type, consumer)
    void engine.commit([{ type, delivery: out }])
  }

  private suits(consumer: Watched, { message }: Kept): boolean {
    const owner = this.owners.get(message.terms.group ?? '')
    return (owner === undefined || owner === consumer) && (consumer.accepts?.(message) ?? true)
  }

  /** Those with credit who may get something. */
  private able(): Watched[] {
    return this.live.filter(
      (consumer) => consumer.credit > 0 && (this.exclusive === undefined || this.exclusive === consumer),
    )
  }

  private choose(): void {
    this.exclusive = this.live.find(({ wish }) => wish.exclusive)
    if (this.exclusive === undefined) return
    for (const other of this.consumers) if (other !== this.exclusive) this.free(other)
  }

  private free(consumer: Watched): void {
    for (const [group, owner] of this.owners) if (owner === consumer) this.owners.delete(group)
  }
}

function takes(kind: string): (message: Message) => boolean {
  return ({ headers }) => headers.get('kind') === kind
}
