import type { Message, Op } from '../model/message.ts'
import { parseSelector } from '../model/selector.ts'
import type { Stats } from '../model/stats.ts'
import { StompError } from '../protocol/errors.ts'
import { interestKey, type Interest } from '../protocol/pattern.ts'
import { quote } from '../protocol/text.ts'
import { Capacity } from './capacity.ts'
import { DeadLetter, type Reason } from './dead-letter.ts'
import type { Consumer, Consumption, Engine, EngineHost, QueueInfo, QueueTerms, Settling } from './engine.ts'
import { Entry } from './entry.ts'
import { Keeper, type Copy, type KeeperHost } from './keeper.ts'
import { Listeners, type Listener } from './listeners.ts'
import type { House, Queue } from './queue.ts'
import { RecordError } from './record.ts'
import { isDurable, Register } from './register.ts'
import { hasExpired, Retained } from './retained.ts'
import { Room } from './room.ts'
import { Schedule } from './schedule.ts'
import { Senders, Waiting, type Loads } from './senders.ts'
import type { EngineSettings } from './settings.ts'
import type { Store } from './store.ts'

export type { EngineSettings } from './settings.ts'

/** Messages of a page of `browse`. */
const PAGE = 100

/** Where what is to last is kept. */
export interface Keeping {
  open(): Promise<Store>
  readonly warn: (text: string) => void
}

/** Queues in memory and, where they are to outlive the broker, on disk. */
export class LocalEngine implements Engine, House, KeeperHost {
  readonly name: string
  readonly commits = 'atomic'
  readonly settings: EngineSettings
  readonly stats: Stats
  readonly schedule = new Schedule(() => this.admitSenders())
  readonly room: Room
  private readonly keeping: Keeping | undefined
  /** Undefined where nothing is on disk. */
  private keeper: Keeper | undefined
  private readonly queues = new Register(this, (queue) => this.ended(queue))
  private readonly listeners = new Listeners()
  private readonly retention: Retained
  private readonly capacity: Capacity
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
    this.capacity = new Capacity(settings, this.queues, this.retention, this.room, keeping !== undefined)
  }

  async open(host: EngineHost): Promise<void> {
    this.host = host
    const { keeping } = this
    if (keeping === undefined) return
    const store = await keeping.open()
    this.keeper = new Keeper(store, keeping.warn, this, this.queues, this.listeners, this.capacity)
    try {
      this.keeper.restore(this.retention)
    } catch (error) {
      await this.keeper.abandon()
      throw error
    }
  }

  async close(): Promise<void> {
    this.senders.close(new StompError('queue-full', 'The broker was stopped before there was room.'))
    // What is due from here on is due after the next start.
    this.schedule.close()
    this.queues.silence()
    if (this.keeper !== undefined) await this.keeper.close()
    this.host = undefined
    this.queues.clear()
  }

  commit(ops: readonly Op[]): void | Settling {
    const settling = this.applySimple(ops) ? undefined : (this.check(ops) ?? this.perform(ops))
    if (this.roomy.size > 0) this.admitSenders()
    return settling
  }

  /** Resolves when nothing is left to be written to the disk, or nothing can be. */
  async flush(): Promise<void> {
    await this.keeper?.rested()
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
    if (fresh && topics !== undefined && terms.lasting) this.queues.checkDurables()
    if (existing === undefined) this.queues.check(name)
    const queue = this.queues.make(name)
    const listens = topics !== undefined && (fresh || (isDurable(queue.terms) && terms.lasting === true))
    if (fresh) {
      this.queues.declare(queue, terms)
    } else if (listens) {
      queue.declareTopics(topics, selector)
    }
    // Who was handed something just now may have removed it.
    if (this.queues.get(name) !== queue) return
    this.queues.startLife(queue)
    if (listens) this.listen({ queue, topics, accepts })
    // Other bounds may hold now.
    this.roomy.add(name)
    this.admitSenders()
    return fresh || listens ? this.keeper?.declare(queue) : undefined
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
    this.queues.end(queue)
    this.admitSenders()
    return kept ? this.keeper?.settled() : undefined
  }

  consume(name: string, consumer: Consumer): Consumption {
    this.queues.check(name)
    const queue = this.queues.make(name)
    this.queues.stopLife(queue)
    const consumption = queue.consume(this.keeper === undefined ? consumer : asking(consumer))
    return {
      grant: (credits) => {
        consumption.grant(credits)
        this.admitSenders()
      },
      cancel: () => {
        if (consumption.consumer === undefined) return
        consumption.cancel()
        this.queues.deserted(queue)
        this.admitSenders()
      },
    }
  }

  browse(name: string): AsyncIterable<readonly Message[]> {
    return this.queues.get(name)?.browse(PAGE) ?? nobodysPages()
  }

  async inspect(): Promise<readonly QueueInfo[]> {
    return Array.from(this.queues.all(), (queue) => queue.info())
  }

  // --- the queues' side -----------------------------------------------------------------------

  bury(queue: Queue, entry: Entry, reason: Reason, deliveries: number): 'buried' | 'full' | 'nowhere' {
    const { host } = this
    const { message } = entry
    const grave = this.capacity.grave(queue, message, reason)
    if (grave === undefined || host === undefined) return 'nowhere'
    if (entry.key > 0 && !queue.recall(entry)) return 'buried'
    const letter = DeadLetter.of(host.mint(), grave, message, queue.name, reason, deliveries)
    if (grave.kind === 'queue' && !this.capacity.makeRoom(grave.name, letter)) return 'full'
    queue.drop(entry)
    this.stats.deadLetters++
    if (this.keeper?.concerns(letter)) this.keeper.keep(letter)
    else this.send(letter)
    return 'buried'
  }

  freed(queue: Queue): void {
    this.roomy.add(queue.name)
  }

  awaits(name: string): boolean {
    return this.senders.has(name)
  }

  stirred(queue: Queue): void {
    this.queues.reclaim(queue)
  }

  lost({ name }: Queue, reason: RecordError): void {
    this.lose(name, reason)
  }

  private ended(queue: Queue): void {
    this.listeners.remove(queue)
    this.keeper?.bury(queue)
    if (this.senders.has(queue.name)) this.roomy.add(queue.name)
  }

  // --- the keeper's side ----------------------------------------------------------------------

  mint(): string {
    if (this.host === undefined) throw new Error('a message is made by an engine that is closed')
    return this.host.mint()
  }

  lose(destination: string, { message }: RecordError): void {
    this.stats.lost++
    this.keeping?.warn(`A message for ${destination} cannot be read from the disk and is lost: ${message}.`)
  }

  settled(): void {
    this.admitSenders()
  }

  /** `written`: the store knows of an ack already. */
  apply(op: Op, written = false): void {
    if (op.type === 'send') return this.send(op.message)
    const { delivery } = op
    // Its queue may have ended, and knows.
    if (!(delivery instanceof Entry) || delivery.home.house !== this) return
    const queue = delivery.home
    if (op.type === 'ack') queue.ack(delivery, written)
    else if (op.type === 'nack') queue.nack(delivery)
    else if (op.type === 'reject') queue.reject(delivery)
    else queue.release(delivery)
    this.queues.reclaim(queue)
  }

  /** A topic message, to whoever is there. `copies`: of those who keep it on disk. */
  publish(message: Message, copies?: readonly Copy[]): void {
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
    const listeners = this.listeners.match(message)
    if (listeners.length === 0) return
    message.detach()
    for (const listener of listeners) {
      if (copies?.some(({ queue }) => queue === listener.queue)) continue
      const { queue, accepts } = listener
      if (accepts === undefined || accepts(message)) this.store(queue, message)
    }
  }

  /** They come to those who listened when they were written, whatever these listen to now. */
  private storeCopies(copies: readonly Copy[]): void {
    for (const copy of copies) this.storeCopy(copy)
  }

  storeCopy(copy: Copy): void {
    this.store(copy.queue, copy.message, copy)
  }

  /** `key`: where it is on disk, 0 for nowhere. */
  postpone(message: Message, delay: number, key: number): void {
    const { delayed } = this.capacity
    message.detach()
    delayed.messages++
    delayed.bytes += message.size
    this.schedule.add(delay, () => {
      delayed.messages--
      delayed.bytes -= message.size
      if (key === 0) this.publish(message)
      else this.keeper?.release(message, key)
    })
  }

  /**
   * Nobody who sends to a topic is refused because of a durable subscription: its oldest messages
   * go, and not to the dead letters, which would grow for each subscriber that never comes back.
   */
  private store(queue: Queue, message: Message, copy?: Copy): void {
    const { name } = queue
    // It may have ended with all that was written for it.
    if (this.queues.get(name) !== queue) return
    const fits = (): boolean => queue.fits(1, message.size)
    // What becomes a dead letter is left to the timer: it may be sent to the same topic.
    if (!queue.terms?.deadLetters) queue.sweep(fits)
    if (!this.capacity.couldFit(name, 1, message.size) || queue.excess(1, message.size) === undefined) {
      this.stats.dropped++
      if (copy !== undefined) this.keeper?.drop(copy)
      return
    }
    while (!fits() && queue.loseOldest());
    // Who got what was dropped may have removed the queue.
    if (this.queues.get(name) !== queue) return
    // Under an id of its own: one client may have it from several queues, and acks each.
    if (copy === undefined) queue.push(message.copy(this.mint()), 0)
    else queue.push(copy.message, 0, copy.key)
  }

  // --- ops ------------------------------------------------------------------------------------

  /** What was found to have room: at once, or when it is on disk. */
  private perform(ops: readonly Op[]): void | Settling {
    const { keeper } = this
    if (keeper !== undefined && ops.some((op) => op.type === 'send' && keeper.concerns(op.message)))
      return keeper.commit(ops)
    for (const op of ops) this.apply(op)
  }

  private send(message: Message): void {
    const { destination, terms, size } = message
    if (destination.kind === 'topic') {
      if (terms.delay > 0) return this.postpone(message, terms.delay, 0)
      return this.publish(message)
    }
    if (this.capacity.isGone(destination)) {
      this.stats.unroutable++
      return
    }
    const { name } = destination
    let queue = this.queues.make(name)
    if (!queue.fits(1, size) && queue.overflow === 'drop-oldest') {
      while (!queue.fits(1, size) && queue.dropOldest());
      // What is dropped may be consumed at once by somebody who removes the queue.
      queue = this.queues.make(name)
    }
    queue.push(message, terms.delay)
    this.queues.reclaim(queue)
  }

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
    if (this.keeper?.concerns(message)) return false
    if (destination.kind === 'topic') {
      if (terms.delay > 0 || terms.retain !== undefined) return false
      this.publish(message)
      return true
    }
    const queue = this.queues.get(destination.name)
    if (
      queue === undefined ||
      this.capacity.isGone(destination) ||
      !queue.fits(1, size) ||
      !this.room.has(size)
    )
      return false
    queue.push(message, terms.delay)
    this.queues.reclaim(queue)
    return true
  }

  /** Throws where the batch is refused; undefined if it is to be applied now. */
  private check(ops: readonly Op[]): Settling | undefined {
    const loads = this.capacity.measure(ops)
    let settling: Settling | undefined
    try {
      const lacking = this.capacity.findLacking(ops, loads)
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

  // --- senders that wait ----------------------------------------------------------------------

  private wait(lacking: ReadonlySet<string>, ops: readonly Op[], loads: Loads): Settling {
    for (const name of lacking) {
      const { messages, bytes } = loads.get(name) ?? { messages: 0, bytes: 0 }
      const waiting = this.senders.load(name)
      const { maxMessages, maxBytes } = this.capacity.bounds(name)
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
      lacking = this.capacity.findLacking(ops, loads)
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

  // --- queues that listen ---------------------------------------------------------------------

  private listen(listener: Listener): void {
    if (!this.listeners.set(listener)) return
    for (const message of this.retention.match(listener.topics)) {
      const { accepts } = listener
      if (accepts !== undefined && !accepts(message)) continue
      if (this.keeper?.keepRetained(listener, message) !== true) this.store(listener.queue, message)
    }
  }
}

/** What cannot be read any more is for whoever looks at it first, and found out then. */
function asking(consumer: Consumer): Consumer {
  const { accepts } = consumer
  if (accepts === undefined) return consumer
  const careful = (message: Message): boolean => {
    try {
      return accepts(message)
    } catch (error) {
      if (error instanceof RecordError) return true
      throw error
    }
  }
  return {
    auto: consumer.auto,
    ...(consumer.exclusive === undefined ? {} : { exclusive: consumer.exclusive }),
    ...(consumer.priority === undefined ? {} : { priority: consumer.priority }),
    accepts: careful,
    deliver: (delivery) => consumer.deliver(delivery),
  }
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
