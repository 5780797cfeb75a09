import type { Message, Op } from '../model/message.ts'
import { parseSelector, type Selector } from '../model/selector.ts'
import type { Stats } from '../model/stats.ts'
import { Subscriptions } from '../model/subscriptions.ts'
import type { Destination } from '../protocol/destination.ts'
import { StompError } from '../protocol/errors.ts'
import { interestKey, type Interest } from '../protocol/pattern.ts'
import { quote } from '../protocol/text.ts'
import { DeadLetter, deadLetterQueue, isDeadLetterQueue, returns, type Reason } from './dead-letter.ts'
import type { Consumer, Consumption, Engine, EngineHost, QueueInfo, QueueTerms, Settling } from './engine.ts'
import { Depot } from './depot.ts'
import { Entry } from './entry.ts'
import { Journal } from './journal.ts'
import { isKept, outlives, readQueue, writeQueue } from './keeper.ts'
import { Queue, type House } from './queue.ts'
import { readRecord, RecordError } from './record.ts'
import { hasExpired, Retained } from './retained.ts'
import { Room } from './room.ts'
import { Schedule, type Task } from './schedule.ts'
import { Senders, Waiting, type Load, type Loads } from './senders.ts'
import type { EngineSettings } from './settings.ts'
import type { Shelf } from './shelf.ts'
import type { Store } from './store.ts'

export type { EngineSettings } from './settings.ts'

/** Messages of a page of `browse`. */
const PAGE = 100

/** The name under which messages to topics that wait for their time are on disk: no queue can have it. */
const SCHEDULED = ''

/** Where what is to last is kept. */
export interface Keeping {
  open(): Promise<Store>
  warn(text: string): void
}

/** Queues in memory and on disk, each there as long as it holds a message, has a consumer or is to stay. */
export class LocalEngine implements Engine, House {
  readonly name: string
  readonly commits = 'atomic'
  readonly settings: EngineSettings
  readonly stats: Stats
  readonly schedule = new Schedule(() => this.admitSenders())
  readonly room: Room
  private readonly keeping: Keeping | undefined
  /** Undefined where nothing is on disk. */
  private journal: Journal | undefined
  /** Of messages to topics that wait for their time. */
  private scheduled: Shelf | undefined
  /** Destinations of what is being written: what is sent to them comes behind it. */
  private readonly awaited = new Map<string, number>()
  /** What is being written and retained. */
  private readonly retaining = new Set<Op>()
  private readonly queues = new Map<string, Queue>()
  private readonly retention: Retained
  /** Queues that listen to topics. */
  private readonly listening = new Map<Queue, Listener>()
  private readonly listeners = new Subscriptions<Listener>()
  private durables = 0
  /** Queues that end when nobody consumes from them for a time. */
  private readonly lives = new Map<Queue, Task>()
  /** Topic messages that wait for their time. */
  private readonly delayed: Load = { messages: 0, bytes: 0 }
  private readonly senders = new Senders()
  /** Destinations whose first waiting sender may go on. */
  private readonly roomy = new Set<string>()
  private admitting = false
  private host: EngineHost | undefined

  /** Without `keeping` all is in memory, and ends with it. */
  constructor(settings: EngineSettings, stats: Stats, keeping?: Keeping) {
    this.settings = settings
    this.stats = stats
    this.keeping = keeping
    this.name = keeping === undefined ? 'memory' : 'durable'
    this.room = new Room(settings.maxMemory)
    this.retention = new Retained(settings.maxRetained, settings.maxQueueBytes)
  }

  async open(host: EngineHost): Promise<void> {
    this.host = host
    if (this.keeping === undefined) return
    const store = await this.keeping.open()
    this.journal = new Journal(store, (text) => this.keeping?.warn(text))
    try {
      this.restore(this.journal, store)
    } catch (error) {
      await store.close(false)
      throw error
    }
  }

  async close(): Promise<void> {
    this.senders.close(new StompError('queue-full', 'The broker was stopped before there was room.'))
    // What is due from here on is due after the next start.
    this.schedule.close()
    if (this.journal !== undefined) {
      await this.journal.close(() => {
        // What is known of each message is on disk now.
        for (const { depot } of this.queues.values()) depot?.shelf.rest()
      })
    }
    this.host = undefined
    for (const queue of this.queues.values()) queue.end()
    this.queues.clear()
    this.lives.clear()
  }

  commit(ops: readonly Op[]): void | Settling {
    const settling = this.applySimple(ops) ? undefined : (this.check(ops) ?? this.perform(ops))
    if (this.roomy.size > 0) this.admitSenders()
    return settling
  }

  /** Resolves when nothing is left to be written to the disk, or nothing can be. */
  async flush(): Promise<void> {
    await this.journal?.rested()
  }

  /** Every topic message passes here anyway. */
  watch(): void {}

  unwatch(): void {}

  retained(interest: Interest): readonly Message[] {
    return this.retention.match(interest)
  }

  declare(name: string, terms: QueueTerms): void | Promise<void> {
    const existing = this.queues.get(name)
    const fresh = existing === undefined || takesTerms(existing, terms)
    const { topics, selector } = terms
    const accepts = selector === undefined ? undefined : parseSelector(selector)
    if (!fresh && topics !== undefined) checkListener(existing, topics, terms)
    if (fresh && topics !== undefined && terms.lasting) this.checkDurables()
    if (existing === undefined) this.checkQueues(name)
    const queue = existing ?? this.queue(name)
    const listens = topics !== undefined && (fresh || (isDurable(queue.terms) && terms.lasting === true))
    if (fresh) {
      if (isDurable(terms)) this.durables++
      queue.declare(terms)
    } else if (listens) {
      queue.declareTopics(topics, selector)
    }
    // Who was handed something just now may have removed it.
    if (this.queues.get(name) !== queue) return
    this.startLife(queue)
    if (listens) this.listen(queue, topics, accepts)
    // Other bounds may hold now.
    this.roomy.add(name)
    this.admitSenders()
    if (this.journal === undefined || !(fresh || listens) || !outlives(queue.terms)) return
    this.describe(queue)
    return this.journal.settled()
  }

  remove(name: string, ifUnused = false): void | Promise<void> {
    const queue = this.queues.get(name)
    if (queue === undefined) return
    if (ifUnused && queue.consumers > 0) {
      throw new StompError(
        'durable-in-use',
        `Others are subscribed to what is to be deleted (${queue.consumers}); let them UNSUBSCRIBE first.`,
      )
    }
    const kept = queue.depot !== undefined
    this.end(queue)
    this.admitSenders()
    if (kept) return this.journal?.settled()
  }

  consume(name: string, consumer: Consumer): Consumption {
    this.checkQueues(name)
    const queue = this.queue(name)
    this.lives.get(queue)?.cancel()
    this.lives.delete(queue)
    const consumption = queue.consume(consumer)
    return {
      grant: (credits) => {
        consumption.grant(credits)
        this.admitSenders()
      },
      cancel: () => {
        if (consumption.consumer === undefined) return
        consumption.cancel()
        this.deserted(queue)
        this.admitSenders()
      },
    }
  }

  browse(name: string): AsyncIterable<readonly Message[]> {
    return this.queues.get(name)?.browse(PAGE) ?? nobodysPages()
  }

  async inspect(): Promise<readonly QueueInfo[]> {
    return [...this.queues.values()].map((queue) => queue.info())
  }

  // --- the queues' side -----------------------------------------------------------------------

  bury(queue: Queue, entry: Entry, reason: Reason, deliveries: number): 'buried' | 'full' | 'nowhere' {
    const { host } = this
    const { message } = entry
    const grave = this.grave(queue, message, reason)
    if (grave === undefined || host === undefined) return 'nowhere'
    if (entry.key > 0 && !queue.recall(entry)) return 'buried'
    const letter = DeadLetter.of(host.mint(), grave, message, queue.name, reason, deliveries)
    if (grave.kind === 'queue' && !this.makeRoom(grave.name, letter)) return 'full'
    queue.drop(entry)
    this.stats.deadLetters++
    if (this.isToKeep(letter)) this.keep([{ type: 'send', message: letter }], undefined)
    else this.send(letter)
    return 'buried'
  }

  freed(queue: Queue): void {
    this.roomy.add(queue.name)
  }

  stirred(queue: Queue): void {
    this.reclaim(queue)
  }

  lost({ name }: Queue, reason: RecordError): void {
    this.lose(name, reason)
  }

  private lose(name: string, { message }: RecordError): void {
    this.stats.lost++
    this.keeping?.warn(`A message of ${name} cannot be read from the disk and is lost: ${message}.`)
  }

  /** Where a message of a queue goes when it dies there. */
  private grave(queue: Queue, message: Message, reason: Reason): Destination | undefined {
    if (isDeadLetterQueue(queue.name) || message.destination.temporary) return undefined
    const declared = queue.terms?.deadLetters
    if (declared === null) return undefined
    if (declared === undefined && !this.settings.deadLetters) return undefined
    const grave = declared ?? deadLetterQueue(queue.name)
    if (grave.name === queue.name || returns(message, queue.name, reason, grave)) return undefined
    return this.isGone(grave) ? undefined : grave
  }

  private makeRoom(name: string, { size }: Message): boolean {
    if (this.queues.size >= this.settings.maxQueues && !this.queues.has(name)) return false
    if (!this.takesLetters(name, 1, size)) return false
    const queue = this.queues.get(name)
    while (queue !== undefined && !queue.fits(1, size) && queue.loseOldest());
    return true
  }

  /** A full queue takes dead letters only if what it drops for them is lost there anyway: so nothing goes on and on. */
  private takesLetters(name: string, messages: number, bytes: number): boolean {
    if (this.fits(name, messages, bytes)) return true
    const queue = this.queues.get(name)
    return queue !== undefined && this.dropsFreely(queue) && queue.excess(messages, bytes) !== undefined
  }

  private dropsFreely(queue: Queue): boolean {
    if (queue.overflow !== 'drop-oldest') return false
    const deadLetters = queue.terms?.deadLetters
    return (
      isDeadLetterQueue(queue.name) ||
      deadLetters === null ||
      (deadLetters === undefined && !this.settings.deadLetters)
    )
  }

  // --- ops ------------------------------------------------------------------------------------

  /** What was found to have room: at once, or when it is on disk. */
  private perform(ops: readonly Op[]): void | Settling {
    if (ops.some((op) => op.type === 'send' && this.isToKeep(op.message))) {
      const done = new Promise<void>((resolve, reject) => this.keep(ops, { resolve, reject }))
      return this.journal?.crowded ? Object.assign(done, { full: true as const }) : done
    }
    for (const op of ops) this.apply(op)
  }

  /** `written`: the store knows of an ack already. */
  private apply(op: Op, written = false): void {
    if (op.type === 'send') return this.send(op.message)
    const { delivery } = op
    // Its queue may have ended, and knows.
    if (!(delivery instanceof Entry) || delivery.home.house !== this) return
    const queue = delivery.home
    if (op.type === 'ack') queue.ack(delivery, written)
    else if (op.type === 'nack') queue.nack(delivery)
    else if (op.type === 'reject') queue.reject(delivery)
    else queue.release(delivery)
    this.reclaim(queue)
  }

  private send(message: Message): void {
    const { destination, terms, size } = message
    if (destination.kind === 'topic') {
      if (terms.delay > 0) return this.postpone(message, terms.delay, 0)
      return this.publish(message)
    }
    if (this.isGone(destination)) {
      this.stats.unroutable++
      return
    }
    const { name } = destination
    let queue = this.queue(name)
    if (!queue.fits(1, size) && queue.overflow === 'drop-oldest') {
      while (!queue.fits(1, size) && queue.dropOldest());
      // What is dropped may be consumed at once by somebody who removes the queue.
      queue = this.queue(name)
    }
    queue.push(message, terms.delay)
    this.reclaim(queue)
  }

  /** A topic message, to whoever is there. `copies`: of those who keep it on disk. */
  private publish(message: Message, copies?: readonly Copy[]): void {
    const { terms } = message
    if (terms.expires !== 0 && hasExpired(message)) {
      this.stats.expired++
      // What is on disk already expires there.
      if (copies !== undefined) this.storeCopies(copies)
      return
    }
    if (terms.retain !== undefined && !this.retention.apply(message.detach())) this.stats.dropped++
    this.host?.deliver(message)
    if (copies !== undefined) this.storeCopies(copies)
    if (this.listening.size === 0) return
    const listeners = this.listeners.match(message.destination.name)
    if (listeners.length === 0) return
    message.detach()
    for (const listener of listeners) {
      if (message instanceof DeadLetter && message.died(listener.queue.name)) continue
      if (copies?.some(({ queue }) => queue === listener.queue)) continue
      this.store(listener, message, undefined)
    }
  }

  /** They come to those who listened when they were written, whatever these listen to now. */
  private storeCopies(copies: readonly Copy[]): void {
    for (const copy of copies) this.store({ queue: copy.queue, accepts: undefined }, copy.message, copy)
  }

  /** `key`: where it is on disk, 0 for nowhere. */
  private postpone(message: Message, delay: number, key: number): void {
    const { delayed } = this
    message.detach()
    delayed.messages++
    delayed.bytes += message.size
    this.schedule.add(delay, () => {
      delayed.messages--
      delayed.bytes -= message.size
      if (key === 0) return this.publish(message)
      this.keep([{ type: 'send', message }], undefined, key)
    })
  }

  /**
   * Nobody who sends to a topic is refused because of a durable subscription: its oldest messages
   * go, and not to the dead letters, which would grow for each subscriber that never comes back.
   */
  private store(
    { queue, accepts }: Pick<Listener, 'queue' | 'accepts'>,
    message: Message,
    copy: Copy | undefined,
  ): void {
    if (accepts !== undefined && !accepts(message)) return
    const { name } = queue
    // It may have ended with all that was written for it.
    if (this.queues.get(name) !== queue) return
    const fits = (): boolean => queue.fits(1, message.size)
    // What becomes a dead letter is left to the timer: it may be sent to the same topic.
    if (!queue.terms?.deadLetters) queue.sweep(fits)
    if (!this.couldFit(name, 1, message.size) || queue.excess(1, message.size) === undefined) {
      this.stats.dropped++
      if (copy !== undefined) queue.depot?.removeDamaged(copy.key, message.size)
      return
    }
    while (!fits() && queue.loseOldest());
    // Who got what was dropped may have removed the queue.
    if (this.queues.get(name) !== queue || this.host === undefined) return
    // Under an id of its own: one client may have it from several queues, and acks each.
    if (copy === undefined) queue.push(message.copy(this.host.mint()), 0)
    else queue.push(copy.message, 0, copy.key)
  }

  // --- what is on disk ------------------------------------------------------------------------

  /** Whether a message is handed out only when it, or what was sent there before it, is on disk. */
  private isToKeep({ terms, destination }: Message): boolean {
    if (this.journal === undefined) return false
    if (this.awaited.size > 0 && this.awaited.has(destination.name)) return true
    if (!isKept(terms, destination)) return false
    const { kind, name } = destination
    if (kind === 'queue') return outlives(this.queues.get(name)?.terms)
    if (terms.retain !== undefined || terms.delay > 0) return true
    return this.listening.size > 0 && this.listeners.match(name).length > 0
  }

  /**
   * Writes what of a batch is to be on disk, and applies all of it when it is there. `waiting`: who
   * is told; a batch that nobody waits for is tried until it can be written. `scheduled`: the batch
   * is a message to a topic whose time has come, and was on disk under this key.
   */
  private keep(
    ops: readonly Op[],
    waiting: { resolve: () => void; reject: (error: unknown) => void } | undefined,
    scheduled = 0,
  ): void {
    const { journal } = this
    if (journal === undefined) return
    if (waiting !== undefined && journal.failing !== undefined) throw journal.failing
    const steps: (() => void)[] = []
    const undone: (() => void)[] = []
    journal.submit(
      () => {
        if (scheduled > 0 && this.scheduled !== undefined) {
          for (const op of ops)
            if (op.type === 'send') journal.remove(this.scheduled, scheduled, op.message.size, false)
        }
        for (const op of ops) {
          if (op.type === 'send') this.plan(journal, op, scheduled > 0, steps, undone)
          else if (op.type === 'ack') steps.push(this.planAck(op, undone))
          else steps.push(() => this.apply(op))
        }
      },
      () => {
        for (const step of steps) step()
        waiting?.resolve()
        this.admitSenders()
      },
      waiting &&
        ((error) => {
          for (const undo of undone) undo()
          waiting.reject(error)
          this.admitSenders()
        }),
    )
  }

  /** Writes a message, and notes what is to be done when it is on disk or refused. */
  private plan(
    journal: Journal,
    op: Op & { type: 'send' },
    isDue: boolean,
    steps: (() => void)[],
    undone: (() => void)[],
  ): void {
    const message = op.message.detach()
    const { destination, terms, size } = message
    const { name } = destination
    const leave = (): void => {
      const left = (this.awaited.get(name) ?? 1) - 1
      if (left > 0) this.awaited.set(name, left)
      else this.awaited.delete(name)
      this.retaining.delete(op)
    }
    this.awaited.set(name, (this.awaited.get(name) ?? 0) + 1)
    undone.push(leave)
    steps.push(leave)
    const kept = isKept(terms, destination)
    const due = terms.delay > 0 ? Date.now() + terms.delay : 0
    if (destination.kind === 'topic') {
      if (due > 0 && !isDue) {
        const key = kept ? journal.append(this.scheduleShelf(journal), message, due, 0) : 0
        steps.push(() => this.postpone(message, due - Date.now(), key))
        return
      }
      if (terms.retain !== undefined) {
        this.retaining.add(op)
        journal.retain(name, terms.retain === 'set' ? message : undefined)
      }
      const copies = terms.persistent ? this.copies(journal, message) : []
      steps.push(() => this.publish(message, copies))
      return
    }
    if (this.isGone(destination)) return void steps.push(() => this.send(message))
    const queue = this.queue(name)
    const until = queue.until(message)
    const key =
      kept && outlives(queue.terms) ? journal.append(this.shelfOf(journal, queue), message, due, until) : 0
    const drops = queue.overflow === 'drop-oldest'
    const free = (): void => queue.unexpect(size, !drops)
    queue.expect(size, !drops)
    undone.push(() => {
      free()
      this.reclaim(queue)
    })
    steps.push(() => {
      free()
      // It may have ended with all that was sent to it.
      if (this.queues.get(name) !== queue) return
      while (!queue.fits(1, size) && drops && queue.dropOldest());
      if (this.queues.get(name) !== queue) return
      queue.push(message, due === 0 ? 0 : Math.max(1, due - Date.now()), key, until)
      this.reclaim(queue)
    })
  }

  /** The ack of a batch is on disk with its messages. */
  private planAck(op: Op & { type: 'ack' | 'nack' | 'reject' | 'release' }, undone: (() => void)[]): () => void {
    const { delivery } = op
    if (!(delivery instanceof Entry) || delivery.home.house !== this || delivery.state !== 'out')
      return () => this.apply(op)
    delivery.home.depot?.remove(delivery)
    // Until then nothing else is to be done to it.
    delivery.state = 'leaving'
    const stay = (): void => {
      delivery.state = 'out'
    }
    undone.push(stay)
    return () => {
      stay()
      this.apply(op, true)
    }
  }

  /** For those who listen to its topic while they are away. */
  private copies(journal: Journal, message: Message): readonly Copy[] {
    const copies: Copy[] = []
    for (const { queue, accepts } of this.listeners.match(message.destination.name)) {
      const { name } = queue
      if (!outlives(queue.terms) || this.host === undefined) continue
      if (message instanceof DeadLetter && message.died(name)) continue
      if ((accepts !== undefined && !accepts(message)) || !this.couldFit(name, 1, message.size)) continue
      const copy = message.copy(this.host.mint())
      const key = journal.append(this.shelfOf(journal, queue), copy, 0, queue.until(copy))
      copies.push({ queue, message: copy, key })
    }
    return copies
  }

  private shelfOf(journal: Journal, queue: Queue): Shelf {
    if (queue.depot === undefined) {
      const shelf = journal.shelve(writeQueue(queue))
      queue.depot = new Depot(journal, shelf, () => this.wake(queue))
    }
    const { shelf } = queue.depot
    // Who is there gets it as soon as it is on disk.
    if (queue.consumers > 0 && !queue.spilled) shelf.want(shelf.last + 1)
    return shelf
  }

  private scheduleShelf(journal: Journal): Shelf {
    return (this.scheduled ??= journal.shelve(writeQueue({ name: SCHEDULED, terms: undefined })))
  }

  private describe(queue: Queue): void {
    const { journal } = this
    if (journal === undefined) return
    if (queue.depot === undefined) this.shelfOf(journal, queue)
    else journal.describe(queue.depot.shelf, writeQueue(queue))
  }

  private wake(queue: Queue): void {
    queue.wake()
    this.reclaim(queue)
    this.admitSenders()
  }

  /** What there was when the broker ended. */
  private restore(journal: Journal, store: Store): void {
    for (const { key, value } of store.retained()) {
      const topic = key.toString()
      const message = this.readRetained(topic, value)
      // Where the limits are lower than they were, some of it has no room.
      if (message === undefined || hasExpired(message) || !this.retention.apply(message))
        journal.retain(topic, undefined)
    }
    for (const [number, record] of store.queues()) {
      const { name, terms } = readQueue(record)
      const shelf = journal.shelfAt(number)
      const delayed = journal.delayed(shelf)
      if (name === SCHEDULED) {
        this.scheduled = shelf
        for (const item of delayed) {
          const { key } = item
          if ('message' in item) {
            this.postpone(item.message, item.due - Date.now(), key)
          } else {
            journal.remove(shelf, key, item.size, false)
            this.lose('a topic', item.reason)
          }
        }
        continue
      }
      const queue = this.queue(name)
      if (terms !== undefined) queue.declare(terms)
      queue.restore(new Depot(journal, shelf, () => this.wake(queue)), delayed, store.clean)
      if (isDurable(terms)) this.durables++
      this.startLife(queue)
      if (terms?.topics !== undefined) {
        const { topics, selector } = terms
        const listener = {
          queue,
          topics,
          accepts: selector === undefined ? undefined : parseSelector(selector),
        }
        this.listening.set(queue, listener)
        this.listeners.add(topics, listener)
      }
      this.reclaim(queue)
    }
  }

  private readRetained(topic: string, record: Buffer): Message | undefined {
    try {
      return readRecord(record).message
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.lose(topic, error)
      return undefined
    }
  }

  // --- room -----------------------------------------------------------------------------------

  /** Nearly every batch is one op that costs nothing but itself; false for any other. */
  private applySimple(ops: readonly Op[]): boolean {
    const [op] = ops
    if (op === undefined) return true
    if (ops.length !== 1) return false
    if (op.type !== 'send') {
      this.apply(op)
      return true
    }
    const { message } = op
    const { destination, terms, size } = message
    if (this.senders.size > 0) return false
    if (this.journal !== undefined && this.isToKeep(message)) return false
    if (destination.kind === 'topic') {
      if (terms.delay > 0 || terms.retain !== undefined) return false
      this.publish(message)
      return true
    }
    const queue = this.queues.get(destination.name)
    if (queue === undefined || this.isGone(destination) || !queue.fits(1, size) || !this.room.has(size))
      return false
    queue.push(message, terms.delay)
    this.reclaim(queue)
    return true
  }

  /** Throws where the batch is refused; undefined if it is to be applied now. */
  private check(ops: readonly Op[]): Settling | undefined {
    const loads = this.measure(ops)
    let settling: Settling | undefined
    try {
      const lacking = this.findLacking(ops, loads)
      if (this.senders.size > 0) {
        // Nobody overtakes those who wait already, unless it takes no more room than it leaves.
        for (const [name, load] of loads) {
          if (this.senders.has(name) && !this.queues.get(name)?.isRepaid(load, ops)) lacking.add(name)
        }
      }
      if (lacking.size === 0) return undefined
      settling = this.wait(lacking, ops, loads)
    } catch (error) {
      // What had expired made room for others.
      this.admitSenders()
      throw error
    }
    this.admitSenders()
    return settling
  }

  private measure(ops: readonly Op[]): Loads {
    const loads = new Map<string, Load>()
    for (const op of ops) {
      if (op.type !== 'send') continue
      const { destination, size } = op.message
      if (destination.kind === 'topic' || this.isGone(destination)) continue
      let load = loads.get(destination.name)
      if (load === undefined) loads.set(destination.name, (load = { messages: 0, bytes: 0 }))
      load.messages++
      load.bytes += size
    }
    return loads
  }

  /** The full queues that its sender is to wait for. Throws what refuses the batch. A message that comes back always has room. */
  private findLacking(ops: readonly Op[], loads: Loads): Set<string> {
    this.checkTopics(ops)
    this.checkRoom(ops)
    for (const name of loads.keys()) this.checkQueues(name)
    const lacking = new Set<string>()
    const letters = new Map<string, Load>()
    for (const [name, { messages, bytes }] of loads) {
      const fits = (): boolean => this.fits(name, messages, bytes)
      if (fits()) continue
      this.sweep(name, fits)
      if (fits()) continue
      const queue = this.queues.get(name)
      const policy = queue?.overflow ?? this.settings.overflow(name)
      // What it acks itself makes room as well; it would wait for that for ever.
      const left = policy === 'drop-oldest' ? undefined : queue?.roomLeftBy(ops)
      if (left && this.fits(name, messages - left.messages, bytes - left.bytes)) continue
      if (policy === 'refuse' || !this.couldFit(name, messages, bytes)) throw this.full(name, bytes)
      if (policy === 'block') lacking.add(name)
      else this.planDrops(name, queue?.excess(messages, bytes), bytes, letters)
    }
    for (const [name, { messages, bytes }] of letters) {
      const load = loads.get(name)
      const sum = bytes + (load?.bytes ?? 0)
      if (!this.takesLetters(name, messages + (load?.messages ?? 0), sum)) throw this.full(name, sum)
    }
    return lacking
  }

  private sweep(name: string, enough: () => boolean): void {
    const queue = this.queues.get(name)
    if (queue === undefined) return
    const before = queue.size
    queue.sweep(enough)
    if (queue.size < before) this.reclaim(queue)
  }

  /** What a queue is going to drop is added to `letters`, by the queue that gets it. */
  private planDrops(
    name: string,
    excess: readonly Message[] | undefined,
    bytes: number,
    letters: Map<string, Load>,
  ): void {
    const queue = this.queues.get(name)
    if (queue === undefined || excess === undefined) throw this.full(name, bytes)
    for (const message of excess) {
      const grave = this.grave(queue, message, 'queue-full')
      if (grave?.kind !== 'queue') continue
      const load = letters.get(grave.name) ?? { messages: 0, bytes: 0 }
      load.messages++
      load.bytes += DeadLetter.of('', grave, message, name, 'queue-full', 0).size
      letters.set(grave.name, load)
    }
  }

  /** Throws where topics are asked to remember or to delay more than there is room for. */
  private checkTopics(ops: readonly Op[]): void {
    const { maxQueueMessages, maxQueueBytes } = this.settings
    let { messages, bytes } = this.delayed
    let retains = false
    for (const op of ops) {
      if (op.type !== 'send' || op.message.destination.kind !== 'topic') continue
      const { terms, size } = op.message
      if (terms.delay > 0) {
        messages++
        bytes += size
        if (messages > maxQueueMessages) {
          throw new StompError(
            'schedule-full',
            `${maxQueueMessages} messages to topics wait for their time (limit max-queue-messages); send later, or without a delay.`,
          )
        }
        if (bytes > maxQueueBytes) {
          throw new StompError(
            'schedule-full',
            `There is no room for ${size} more bytes to be delayed (limit max-queue-bytes, ${maxQueueBytes}); send later, or without a delay.`,
          )
        }
      }
      retains ||= terms.retain !== undefined
    }
    if (retains) this.retention.check(this.retaining.size === 0 ? ops : [...this.retaining, ...ops])
  }

  /** Throws where there would be more in memory than there may be. */
  private checkRoom(ops: readonly Op[]): void {
    let bytes = 0
    for (const op of ops) {
      if (op.type !== 'send' || op.message.destination.kind === 'topic') continue
      if (this.journal === undefined || !isKept(op.message.terms, op.message.destination))
        bytes += op.message.size
    }
    if (bytes === 0 || this.room.has(bytes)) return
    const more = this.journal === undefined ? '' : ', or send it with persistent:true'
    throw new StompError(
      'memory-full',
      `There is no room for ${bytes} more bytes of messages in memory (limit max-memory, ${this.room.limit}); consume some first${more}.`,
    )
  }

  private checkQueues(name: string): void {
    const { maxQueues } = this.settings
    if (this.queues.size < maxQueues || this.queues.has(name)) return
    throw new StompError(
      'queue-limit',
      `There are ${maxQueues} queues (limit max-queues); consume from some first, or end durable subscriptions.`,
    )
  }

  private fits(name: string, messages: number, bytes: number): boolean {
    return this.queues.get(name)?.fits(messages, bytes) ?? this.couldFit(name, messages, bytes)
  }

  /** Whether there would be room if the queue were empty. */
  private couldFit(name: string, messages: number, bytes: number): boolean {
    const { maxMessages, maxBytes } = this.bounds(name)
    return messages <= maxMessages && bytes <= maxBytes
  }

  private bounds(name: string): { maxMessages: number; maxBytes: number } {
    const { maxQueueMessages, maxQueueBytes } = this.settings
    return this.queues.get(name) ?? { maxMessages: maxQueueMessages, maxBytes: maxQueueBytes }
  }

  private full(name: string, bytes: number): StompError {
    const { maxMessages, maxBytes } = this.bounds(name)
    const terms = this.queues.get(name)?.terms
    if ((this.queues.get(name)?.size ?? 0) >= maxMessages || this.fits(name, 0, bytes)) {
      const limit = terms?.maxMessages === undefined ? 'limit max-queue-messages' : 'a limit of its own'
      return new StompError(
        'queue-full',
        `${name} has no room beyond its ${maxMessages} messages (${limit}); consume some first.`,
      )
    }
    const limit = terms?.maxBytes === undefined ? 'limit max-queue-bytes' : 'a limit of its own'
    return new StompError(
      'queue-full',
      `${name} has no room for ${bytes} more bytes (${limit}, ${maxBytes}); consume some first.`,
    )
  }

  // --- senders that wait ----------------------------------------------------------------------

  private wait(lacking: ReadonlySet<string>, ops: readonly Op[], loads: Loads): Settling {
    for (const name of lacking) {
      const { messages, bytes } = loads.get(name) ?? { messages: 0, bytes: 0 }
      const waiting = this.senders.load(name)
      const { maxMessages, maxBytes } = this.bounds(name)
      if (waiting.messages + messages > maxMessages || waiting.bytes + bytes > maxBytes) {
        throw new StompError(
          'queue-full',
          `${name} is full, and as much again waits to be taken by it; consume some first.`,
        )
      }
    }
    for (const op of ops) if (op.type === 'send') op.message.detach()
    const room = new Promise<void>((resolve, reject) => {
      this.lineUp(new Waiting(ops, loads, resolve, reject), lacking)
    })
    return Object.assign(room, { full: true as const })
  }

  private lineUp(waiting: Waiting, lacking: ReadonlySet<string>): void {
    for (const name of lacking) {
      this.senders.join(waiting, name)
      const queue = this.queues.get(name)
      if (queue !== undefined) queue.awaited = true
    }
  }

  /** Takes in what has room now. At the end of all that may have made some. */
  private admitSenders(): void {
    if (this.roomy.size === 0 || this.admitting) return
    this.admitting = true
    for (const name of this.roomy) {
      // A name that is added again from here on comes again.
      this.roomy.delete(name)
      const waiting = this.senders.first(name)
      if (waiting !== undefined) this.take(waiting)
    }
    this.admitting = false
  }

  private take(waiting: Waiting): void {
    const { ops, loads, resolve, reject } = waiting
    let lacking: ReadonlySet<string>
    try {
      lacking = this.findLacking(ops, loads)
    } catch (error) {
      this.goOn(waiting)
      reject(error)
      return
    }
    // Another of its queues may have become full.
    if (lacking.size > 0) return this.lineUp(waiting, lacking)
    this.goOn(waiting)
    try {
      const settling = this.perform(ops)
      if (settling === undefined) resolve()
      else settling.then(resolve, reject)
    } catch (error) {
      reject(error)
    }
  }

  /** Those behind it are next. */
  private goOn(waiting: Waiting): void {
    this.senders.leave(waiting)
    for (const name of waiting.lines) {
      const queue = this.queues.get(name)
      if (this.senders.has(name)) this.roomy.add(name)
      else if (queue !== undefined) queue.awaited = false
    }
  }

  // --- queues that come and go ----------------------------------------------------------------

  private queue(name: string): Queue {
    let queue = this.queues.get(name)
    if (queue === undefined) {
      queue = new Queue(name, this)
      queue.awaited = this.senders.has(name)
      this.queues.set(name, queue)
    }
    return queue
  }

  /** A reply queue that nobody has, or has any more. */
  private isGone({ temporary, kind, name }: Destination): boolean {
    return temporary && kind === 'queue' && this.queues.get(name)?.terms === undefined
  }

  private reclaim(queue: Queue): void {
    // It may have been reclaimed before, from inside `deliver` for one: then the name belongs to a later queue.
    if (queue.idle && this.queues.get(queue.name) === queue) this.end(queue)
  }

  /** A consumer left. */
  private deserted(queue: Queue): void {
    if (queue.consumers > 0 || this.queues.get(queue.name) !== queue) return
    if (queue.terms?.autoDelete) return this.end(queue)
    this.startLife(queue)
    this.reclaim(queue)
  }

  private startLife(queue: Queue): void {
    const life = queue.terms?.idleLife
    if (life === undefined || queue.consumers > 0) return
    this.lives.get(queue)?.cancel()
    this.lives.set(
      queue,
      this.schedule.add(life, () => this.end(queue)),
    )
  }

  private end(queue: Queue): void {
    if (isDurable(queue.terms)) this.durables--
    this.deafen(queue)
    this.lives.get(queue)?.cancel()
    this.lives.delete(queue)
    this.queues.delete(queue.name)
    queue.end()
    if (queue.depot !== undefined) this.journal?.bury(queue.depot.shelf)
    if (this.senders.has(queue.name)) this.roomy.add(queue.name)
  }

  private checkDurables(): void {
    const { maxDurableSubscriptions } = this.settings
    if (this.durables < maxDurableSubscriptions) return
    throw new StompError(
      'durable-limit',
      `There are ${maxDurableSubscriptions} durable subscriptions (limit max-durable-subscriptions); end one first.`,
    )
  }

  private listen(queue: Queue, topics: Interest, accepts: Selector | undefined): void {
    const before = this.listening.get(queue)
    const listener: Listener = { queue, topics, accepts }
    this.deafen(queue)
    this.listening.set(queue, listener)
    this.listeners.add(topics, listener)
    if (before !== undefined && interestKey(before.topics) === interestKey(topics)) return
    for (const message of this.retention.match(topics)) this.storeRetained(listener, message)
  }

  private storeRetained(listener: Listener, message: Message): void {
    const { journal, host } = this
    const { queue, accepts } = listener
    if (journal === undefined || host === undefined || !message.terms.persistent || !outlives(queue.terms))
      return this.store(listener, message, undefined)
    if (accepts !== undefined && !accepts(message)) return
    const copy = message.copy(host.mint())
    let key = 0
    journal.submit(
      () => (key = journal.append(this.shelfOf(journal, queue), copy, 0, queue.until(copy))),
      () => this.store(listener, message, { queue, message: copy, key }),
    )
  }

  private deafen(queue: Queue): void {
    const listener = this.listening.get(queue)
    if (listener === undefined) return
    this.listening.delete(queue)
    this.listeners.remove(listener.topics, listener)
  }
}

/** A queue that gets what is sent to topics. */
interface Listener {
  readonly queue: Queue
  readonly topics: Interest
  readonly accepts: Selector | undefined
}

function isDurable(terms: QueueTerms | undefined): boolean {
  return terms?.lasting === true && terms.topics !== undefined
}

/** A message of a topic on its way to a queue, and where it is on disk. */
interface Copy {
  readonly queue: Queue
  readonly message: Message
  readonly key: number
}

/** What waits without terms has its sender's word that it waits: nobody puts an end to it, or a bound. */
function takesTerms({ size, spilled, terms: before }: Queue, terms: QueueTerms): boolean {
  // What is only on disk would have to be read at once to be sorted.
  if (before !== undefined || spilled) return false
  return size === 0 || (terms.maxPriority !== undefined && Object.keys(terms).length === 1)
}

/** Throws where somebody else's queue would get other messages. */
function checkListener({ name, terms: before }: Queue, topics: Interest, terms: QueueTerms): void {
  if (isDurable(before) && terms.lasting) return
  if (before?.topics !== undefined && interestKey(before.topics) === interestKey(topics)) return
  const shown = quote(typeof topics === 'string' ? topics : topics.text)
  throw new StompError(
    'queue-terms',
    `${name} exists already with other terms, and does not listen to ${shown}; choose another name.`,
  )
}

async function* nobodysPages(): AsyncGenerator<readonly Message[], void, void> {}
