import type { Delivery, Message } from '../model/message.ts'
import type { Consumer, Consumption, QueueInfo } from './engine.ts'

/**
 * One queue: what waits, who has credit, what came back. No I/O, no timers, and no step costs
 * more with a longer backlog or more consumers.
 */
export class Queue {
  readonly name: string
  private readonly fresh = new Fifo<Entry>()
  /** Everything in it is older than everything in `fresh`, because messages go out in order. */
  private readonly returned = new OldestFirst()
  /** Consumers with credit, each once, next one first. */
  private readonly willing = new Fifo<LocalConsumption>()
  private consumers = 0
  private held = 0
  private heldBytes = 0
  private unacked = 0
  private sequence = 0
  /** Cancelled consumers that still stand among the willing. */
  private stale = 0
  private dispatching = false

  constructor(name: string) {
    this.name = name
  }

  /** Waiting or handed out. */
  get size(): number {
    return this.held
  }

  get bytes(): number {
    return this.heldBytes
  }

  /** Nothing would be lost by forgetting it. */
  get idle(): boolean {
    return this.held === 0 && this.consumers === 0
  }

  push(message: Message): void {
    this.held++
    this.heldBytes += message.size
    this.fresh.push(new Entry(this.name, message, 1, ++this.sequence, undefined))
    this.dispatch()
  }

  ack(delivery: Delivery): void {
    if (this.takeBack(delivery)) this.forget(delivery.message)
  }

  /** Back to its place, for another consumer first if this one refused it. */
  putBack(delivery: Delivery, refused: boolean): void {
    const entry = this.takeBack(delivery)
    if (entry === undefined) return
    this.returned.push(
      new Entry(
        this.name,
        entry.message,
        entry.attempt + 1,
        entry.sequence,
        refused ? entry.holder : undefined,
      ),
    )
    this.dispatch()
  }

  consume(consumer: Consumer): Consumption {
    this.consumers++
    return new LocalConsumption(this, consumer)
  }

  info(): QueueInfo {
    return {
      queue: this.name,
      ready: this.held - this.unacked,
      unacked: this.unacked,
      bytes: this.heldBytes,
      consumers: this.consumers,
    }
  }

  /** The consumption has credit again. */
  join(consumption: LocalConsumption): void {
    this.willing.push(consumption)
    this.dispatch()
  }

  leave(consumption: LocalConsumption): void {
    this.consumers--
    if (!consumption.waiting || ++this.stale * 2 <= this.willing.length) return
    this.willing.retain((other) => other.consumer !== undefined)
    this.stale = 0
  }

  /** Undefined when it was settled or returned before. */
  private takeBack(delivery: Delivery): Entry | undefined {
    if (!(delivery instanceof Entry) || !delivery.out) return undefined
    delivery.out = false
    this.unacked--
    return delivery
  }

  private forget(message: Message): void {
    this.held--
    this.heldBytes -= message.size
  }

  private dispatch(): void {
    // A consumer may settle, cancel or send from inside `deliver`: the outer loop goes on with what it finds.
    if (this.dispatching) return
    this.dispatching = true
    for (;;) {
      const source = this.returned.peek() === undefined ? this.fresh : this.returned
      const entry = source.peek()
      if (entry === undefined) break
      const consumption = this.pick(entry.refusedBy)
      const consumer = consumption?.consumer
      if (consumption === undefined || consumer === undefined) break
      source.shift()
      entry.holder = consumption
      if (consumer.auto) {
        this.forget(entry.message)
      } else {
        entry.out = true
        this.unacked++
      }
      if (--consumption.credit > 0) this.willing.push(consumption)
      else consumption.waiting = false
      consumer.deliver(entry)
    }
    this.dispatching = false
  }

  /** The next consumer with credit, `refusedBy` only when there is no other. */
  private pick(refusedBy: LocalConsumption | undefined): LocalConsumption | undefined {
    const next = this.nextWilling()
    if (next === undefined || next !== refusedBy) return next
    const other = this.nextWilling()
    if (other === undefined) return next
    this.willing.unshift(next)
    return other
  }

  private nextWilling(): LocalConsumption | undefined {
    for (;;) {
      const consumption = this.willing.shift()
      if (consumption === undefined || consumption.consumer !== undefined) return consumption
      this.stale--
    }
  }
}

class Entry implements Delivery {
  readonly queue: string
  readonly message: Message
  readonly attempt: number
  readonly sequence: number
  readonly refusedBy: LocalConsumption | undefined
  holder: LocalConsumption | undefined
  /** Handed out and not settled. A return makes a new Entry, so a stale handle settles nothing. */
  out = false

  constructor(
    queue: string,
    message: Message,
    attempt: number,
    sequence: number,
    refusedBy: LocalConsumption | undefined,
  ) {
    this.queue = queue
    this.message = message
    this.attempt = attempt
    this.sequence = sequence
    this.refusedBy = refusedBy
  }
}

class LocalConsumption implements Consumption {
  /** Undefined once cancelled, so that a message it refused keeps nothing of it in memory. */
  consumer: Consumer | undefined
  private readonly queue: Queue
  credit = 0
  /** Stands in the queue's list of the willing. */
  waiting = false

  constructor(queue: Queue, consumer: Consumer) {
    this.queue = queue
    this.consumer = consumer
  }

  grant(credits: number): void {
    this.credit += credits
    if (this.waiting || this.consumer === undefined || this.credit <= 0) return
    this.waiting = true
    this.queue.join(this)
  }

  cancel(): void {
    if (this.consumer === undefined) return
    this.consumer = undefined
    this.queue.leave(this)
  }
}

/** First in, first out, without moving the rest at each step. */
class Fifo<T> {
  private items: (T | undefined)[] = []
  private head = 0

  push(item: T): void {
    this.items.push(item)
  }

  unshift(item: T): void {
    if (this.head > 0) this.items[--this.head] = item
    else this.items.unshift(item)
  }

  peek(): T | undefined {
    return this.items[this.head]
  }

  get length(): number {
    return this.items.length - this.head
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

/** A binary heap by sequence. */
class OldestFirst {
  private readonly items: Entry[] = []

  push(entry: Entry): void {
    const { items } = this
    let at = items.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const other = items[parent] as Entry // parent < at < length
      if (other.sequence <= entry.sequence) break
      items[at] = other
      at = parent
    }
    items[at] = entry
  }

  peek(): Entry | undefined {
    return this.items[0]
  }

  shift(): Entry | undefined {
    const { items } = this
    const first = items[0]
    const last = items.pop()
    if (last === undefined || items.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      const left = items[child]
      if (left === undefined) break
      const right = items[child + 1]
      let smaller = left
      if (right !== undefined && right.sequence < left.sequence) {
        smaller = right
        child++
      }
      if (smaller.sequence >= last.sequence) break
      items[at] = smaller
      at = child
    }
    items[at] = last
    return first
  }
}
