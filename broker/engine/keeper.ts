import { Entry } from './entry.ts'
import { parseSelector } from '../model/selector.ts'
import type { Message, Op } from '../model/message.ts'
import type { Capacity } from './capacity.ts'
import { Depot } from './depot.ts'
import type { Settling } from './engine.ts'
import { Journal } from './journal.ts'
import { isKept, outlives, readQueue, SCHEDULED, writeQueue } from './kept.ts'
import type { Listener, Listeners } from './listeners.ts'
import type { Queue } from './queue.ts'
import { readRecord, RecordError } from './record.ts'
import { isDurable, type Register } from './register.ts'
import { hasExpired, type Retained } from './retained.ts'
import type { Shelf } from './shelf.ts'
import type { Store } from './store.ts'

/** A message of a topic on its way to a queue, and where it is on disk. */
export interface Copy {
  readonly queue: Queue
  readonly message: Message
  readonly key: number
}

/** Who is told what became of a batch. */
interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** What an op does when its batch is on disk, or refused. */
interface Step {
  apply(): void
  undo?(): void
}

/** The engine, to which what is on disk is given. */
export interface KeeperHost {
  mint(): string
  /** `written`: the store knows of an ack already. */
  apply(op: Op, written: boolean): void
  /** A message to a topic; `copies` are on disk. */
  publish(message: Message, copies: readonly Copy[]): void
  /** A message to a topic, which is on disk under this key, or nowhere if it is 0. */
  postpone(message: Message, delay: number, key: number): void
  /** A message of a topic for a queue, which is on disk. */
  storeCopy(copy: Copy): void
  /** A queue has what was sent to it. */
  stirred(queue: Queue): void
  /** A message for a destination cannot be read. */
  lose(destination: string, reason: RecordError): void
  /** Some of what was said has been done. */
  settled(): void
}

/** Keeps on disk what is to outlive the broker, and hands it on when it is there. */
export class Keeper {
  private readonly journal: Journal
  private readonly host: KeeperHost
  private readonly queues: Register
  private readonly listeners: Listeners
  private readonly capacity: Capacity
  /** Of messages to topics that wait for their time. */
  private scheduled: Shelf | undefined
  /** Destinations of what is being written: what is sent to them comes behind it. */
  private readonly awaited = new Map<string, number>()

  constructor(
    store: Store,
    warn: (text: string) => void,
    host: KeeperHost,
    queues: Register,
    listeners: Listeners,
    capacity: Capacity,
  ) {
    this.journal = new Journal(store, warn)
    this.host = host
    this.queues = queues
    this.listeners = listeners
    this.capacity = capacity
  }

  /** Resolves when nothing is left to be written, or nothing can be. */
  rested(): Promise<void> {
    return this.journal.rested()
  }

  /** Lets go of a store that could not be read. */
  abandon(): Promise<void> {
    return this.journal.store.close(false)
  }

  close(): Promise<void> {
    return this.journal.close(() => {
      // What is known of each message is on disk now.
      for (const { depot } of this.queues.all()) depot?.shelf.rest()
    })
  }

  /** Whether a message is handed out only when it, or what was sent there before it, is on disk. */
  concerns(message: Message): boolean {
    const { terms, destination } = message
    if (this.awaited.size > 0 && this.awaited.has(destination.name)) return true
    if (!isKept(terms, destination)) return false
    const { kind, name } = destination
    if (kind === 'queue') return outlives(this.queues.get(name)?.terms)
    return terms.retain !== undefined || terms.delay > 0 || this.listeners.match(message).length > 0
  }

  /** Resolves when all of a batch is on disk and applied. Throws where nothing can be written at present. */
  commit(ops: readonly Op[]): Settling {
    let bytes = 0
    for (const op of ops) if (op.type === 'send') bytes += op.message.size
    const refusal = this.journal.refusal(bytes)
    if (refusal !== undefined) throw refusal
    const done = new Promise<void>((resolve, reject) => this.submit(ops, { resolve, reject }, 0))
    return this.journal.crowded ? Object.assign(done, { full: true as const }) : done
  }

  /** The same for a message of the engine itself, which is tried until it can be written. */
  keep(message: Message): void {
    this.submit([{ type: 'send', message }], undefined, 0)
  }

  /** The time of a message to a topic has come, which was on disk under this key. */
  release(message: Message, key: number): void {
    this.submit([{ type: 'send', message }], undefined, key)
  }

  /** Writes what of a batch is to be on disk, and applies all of it when it is there. `key`: of one whose time has come. */
  private submit(ops: readonly Op[], waiting: Waiting | undefined, key: number): void {
    const steps: Step[] = []
    const write = (): void => {
      for (const op of ops) steps.push(this.plan(op, key))
    }
    const apply = (): void => {
      for (const step of steps) step.apply()
      waiting?.resolve()
      this.host.settled()
    }
    if (waiting === undefined) return this.journal.submit(write, apply)
    this.journal.submit(write, apply, (error) => {
      for (const step of steps) step.undo?.()
      waiting.reject(error)
      this.host.settled()
    })
  }

  /** Writes what is to be on disk of an op. */
  private plan(op: Op, key: number): Step {
    if (op.type === 'ack') return this.planAck(op)
    if (op.type !== 'send') return { apply: () => this.host.apply(op, false) }
    const { destination } = op.message.detach()
    this.await(destination.name)
    if (destination.kind === 'topic') return this.planTopic(op, key)
    if (!this.capacity.isGone(destination)) return this.planQueue(op.message)
    return this.following(destination.name, () => this.host.apply(op, false))
  }

  /** What is sent to a destination comes behind what is being written. */
  private await(name: string): void {
    this.awaited.set(name, (this.awaited.get(name) ?? 0) + 1)
  }

  private leave(name: string): void {
    const left = (this.awaited.get(name) ?? 1) - 1
    if (left > 0) this.awaited.set(name, left)
    else this.awaited.delete(name)
  }

  private following(name: string, apply: () => void, undo?: () => void): Step {
    return {
      apply: () => {
        this.leave(name)
        apply()
      },
      undo: () => {
        this.leave(name)
        undo?.()
      },
    }
  }

  private planTopic(op: Op & { type: 'send' }, key: number): Step {
    const { journal, host, scheduled } = this
    const { message } = op
    const { destination, terms } = message
    const { name } = destination
    if (key > 0 && scheduled !== undefined) {
      journal.remove(scheduled, key, message.size, false)
    } else if (terms.delay > 0) {
      const due = Date.now() + terms.delay
      const later = isKept(terms, destination) ? journal.append(this.scheduleShelf(), message, due, 0) : 0
      return this.following(name, () => host.postpone(message, due - Date.now(), later))
    }
    const copies = terms.persistent ? this.copies(message) : []
    if (terms.retain === undefined) return this.following(name, () => host.publish(message, copies))
    const { retaining } = this.capacity
    const leave = (): void => void retaining.delete(op)
    retaining.add(op)
    journal.retain(name, terms.retain === 'set' ? message : undefined)
    const publish = (): void => {
      leave()
      host.publish(message, copies)
    }
    return this.following(name, publish, leave)
  }

  private planQueue(message: Message): Step {
    const { destination, terms, size } = message
    const { name } = destination
    const queue = this.queues.make(name)
    const due = terms.delay > 0 ? Date.now() + terms.delay : 0
    const until = queue.until(message)
    const stays = isKept(terms, destination) && outlives(queue.terms)
    const key = stays ? this.journal.append(this.shelfOf(queue), message, due, until) : 0
    const drops = queue.overflow === 'drop-oldest'
    queue.expect(size, !drops)
    const free = (): void => {
      this.leave(name)
      queue.unexpect(size, !drops)
    }
    return {
      apply: () => {
        free()
        while (drops && this.isHere(queue) && !queue.fits(1, size) && queue.dropOldest());
        // It may have ended with all that was sent to it.
        if (!this.isHere(queue)) return
        queue.push(message, due === 0 ? 0 : Math.max(1, due - Date.now()), key, until)
        this.host.stirred(queue)
      },
      undo: () => {
        free()
        this.host.stirred(queue)
      },
    }
  }

  private isHere(queue: Queue): boolean {
    return this.queues.get(queue.name) === queue
  }

  /** The ack of a batch is on disk with its messages. */
  private planAck(op: Exclude<Op, { type: 'send' }>): Step {
    const { delivery } = op
    if (!(delivery instanceof Entry) || delivery.home.house !== this.queues.house || delivery.state !== 'out')
      return { apply: () => this.host.apply(op, false) }
    delivery.home.depot?.remove(delivery)
    // Until then nothing else is to be done to it.
    delivery.state = 'leaving'
    const undo = (): void => {
      delivery.state = 'out'
    }
    return {
      apply: () => {
        undo()
        this.host.apply(op, true)
      },
      undo,
    }
  }

  /** For those who listen to its topic while they are away. */
  private copies(message: Message): readonly Copy[] {
    const copies: Copy[] = []
    for (const { queue, accepts } of this.listeners.match(message)) {
      if (!outlives(queue.terms) || !this.capacity.couldFit(queue.name, 1, message.size)) continue
      if (accepts === undefined || accepts(message)) copies.push(this.copy(message, queue))
    }
    return copies
  }

  /** Under an id of its own: one client may have it from several queues, and acks each. */
  private copy(original: Message, queue: Queue): Copy {
    const message = original.copy(this.host.mint())
    const key = this.journal.append(this.shelfOf(queue), message, 0, queue.until(message))
    return { queue, message, key }
  }

  /** What a topic retains, for a queue that begins to listen; false where it is not to be on disk. */
  keepRetained(listener: Listener, message: Message): boolean {
    const { queue } = listener
    if (!message.terms.persistent || !outlives(queue.terms)) return false
    let copy: Copy | undefined
    this.journal.submit(
      () => (copy = this.copy(message, queue)),
      () => {
        if (copy !== undefined) this.host.storeCopy(copy)
      },
    )
    return true
  }

  /** Resolves when the terms of a queue are on disk; undefined where they are not to be. */
  declare(queue: Queue): Promise<void> | undefined {
    if (!outlives(queue.terms)) return undefined
    if (queue.depot === undefined) this.shelfOf(queue)
    else this.journal.describe(queue.depot.shelf, writeQueue(queue))
    return this.journal.settled()
  }

  /** A queue has ended with all it held. */
  bury({ depot }: Queue): void {
    if (depot !== undefined) this.journal.bury(depot.shelf)
  }

  /** Resolves when all that was said until now is on disk. */
  settled(): Promise<void> {
    return this.journal.settled()
  }

  /** Its message has no place any more. */
  drop({ queue, key, message }: Copy): void {
    queue.depot?.removeDamaged(key, message.size)
  }

  private shelfOf(queue: Queue): Shelf {
    if (queue.depot === undefined) {
      const shelf = this.journal.shelve(writeQueue(queue))
      queue.depot = new Depot(this.journal, shelf, () => this.wake(queue))
    }
    const { shelf } = queue.depot
    // Who is there gets it as soon as it is on disk.
    if (queue.consumers > 0 && !queue.spilled) shelf.want(shelf.last + 1)
    return shelf
  }

  private scheduleShelf(): Shelf {
    return (this.scheduled ??= this.journal.shelve(writeQueue({ name: SCHEDULED, terms: undefined })))
  }

  private wake(queue: Queue): void {
    queue.wake()
    this.host.stirred(queue)
    this.host.settled()
  }

  /** What there was when the broker ended. */
  restore(retention: Retained): void {
    const { journal } = this
    const { store } = journal
    for (const { key, value } of store.retained()) {
      const topic = key.toString()
      const message = this.readRetained(topic, value)
      // Where the limits are lower than they were, some of it has no room.
      if (message === undefined || hasExpired(message) || !retention.apply(message))
        journal.retain(topic, undefined)
    }
    for (const [number, record] of store.queues()) {
      const { name, terms } = readQueue(record)
      const shelf = journal.shelfAt(number)
      const delayed = journal.delayed(shelf)
      if (name === SCHEDULED) {
        this.scheduled = shelf
        for (const item of delayed) {
          if ('message' in item) {
            this.host.postpone(item.message, item.due - Date.now(), item.key)
          } else {
            journal.remove(shelf, item.key, item.size, false)
            this.host.lose('a topic', item.reason)
          }
        }
        continue
      }
      const queue = this.queues.make(name)
      if (terms !== undefined) this.queues.declare(queue, terms)
      queue.restore(new Depot(journal, shelf, () => this.wake(queue)), delayed, store.clean)
      this.queues.startLife(queue)
      if (isDurable(terms) || terms?.topics !== undefined) this.listen(queue)
      this.queues.reclaim(queue)
    }
  }

  private readRetained(topic: string, record: Buffer): Message | undefined {
    try {
      return readRecord(record).message
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.host.lose(topic, error)
      return undefined
    }
  }

  private listen(queue: Queue): void {
    const { topics, selector } = queue.terms ?? {}
    if (topics === undefined) return
    this.listeners.set({
      queue,
      topics,
      accepts: selector === undefined ? undefined : parseSelector(selector),
    })
  }
}
