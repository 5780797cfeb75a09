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
import { Entry } from './entry.ts'
import { Queue, type House } from './queue.ts'
import { hasExpired, Retained } from './retained.ts'
import { Schedule, type Task } from './schedule.ts'
import { Senders, Waiting, type Load, type Loads } from './senders.ts'
import type { EngineSettings } from './settings.ts'

export type { EngineSettings } from './settings.ts'

/** Messages of a page of `browse`. */
const PAGE = 100

/** Queues in memory, each there as long as it holds a message, has a consumer or is to stay. */
export class LocalEngine implements Engine, House {
  readonly name = 'memory'
  readonly commits = 'atomic'
  readonly settings: EngineSettings
  readonly stats: Stats
  readonly schedule = new Schedule(() => this.admitSenders())
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

  constructor(settings: EngineSettings, stats: Stats) {
    this.settings = settings
    this.stats = stats
    this.retention = new Retained(settings.maxRetained, settings.maxQueueBytes)
  }

  async open(host: EngineHost): Promise<void> {
    this.host = host
  }

  async close(): Promise<void> {
    this.host = undefined
    this.schedule.close()
    this.senders.close(new StompError('queue-full', 'The broker was stopped before there was room.'))
    for (const queue of this.queues.values()) queue.end()
    this.queues.clear()
    this.lives.clear()
  }

  commit(ops: readonly Op[]): void | Settling {
    if (!this.applySimple(ops)) {
      const settling = this.check(ops)
      if (settling !== undefined) return settling
      for (const op of ops) this.apply(op)
    }
    if (this.roomy.size > 0) this.admitSenders()
  }

  /** Every topic message passes here anyway. */
  watch(): void {}

  unwatch(): void {}

  retained(interest: Interest): readonly Message[] {
    return this.retention.match(interest)
  }

  declare(name: string, terms: QueueTerms): void {
    const existing = this.queues.get(name)
    const fresh = existing === undefined || takesTerms(existing, terms)
    const { topics, selector } = terms
    const accepts = selector === undefined ? undefined : parseSelector(selector)
    if (!fresh && topics !== undefined) checkListener(existing, topics, terms)
    if (fresh && topics !== undefined && terms.lasting) this.checkDurables()
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
  }

  remove(name: string, ifUnused = false): void {
    const queue = this.queues.get(name)
    if (queue === undefined) return
    if (ifUnused && queue.consumers > 0) {
      throw new StompError(
        'durable-in-use',
        `Others are subscribed to what is to be deleted (${queue.consumers}); let them UNSUBSCRIBE first.`,
      )
    }
    this.end(queue)
    this.admitSenders()
  }

  consume(name: string, consumer: Consumer): Consumption {
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
    const letter = DeadLetter.of(host.mint(), grave, message, queue.name, reason, deliveries)
    if (grave.kind === 'queue' && !this.makeRoom(grave.name, letter)) return 'full'
    queue.drop(entry)
    this.stats.deadLetters++
    this.send(letter)
    return 'buried'
  }

  freed(queue: Queue): void {
    this.roomy.add(queue.name)
  }

  stirred(queue: Queue): void {
    this.reclaim(queue)
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

  private apply(op: Op): void {
    if (op.type === 'send') return this.send(op.message)
    const { delivery } = op
    // Its queue may have ended, and knows.
    if (!(delivery instanceof Entry) || delivery.home.house !== this) return
    const queue = delivery.home
    if (op.type === 'ack') queue.ack(delivery)
    else if (op.type === 'nack') queue.nack(delivery)
    else if (op.type === 'reject') queue.reject(delivery)
    else queue.release(delivery)
    this.reclaim(queue)
  }

  private send(message: Message): void {
    const { destination, terms, size } = message
    if (destination.kind === 'topic') {
      if (terms.delay > 0) return this.postpone(message)
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

  /** A topic message, to whoever is there. */
  private publish(message: Message): void {
    const { terms } = message
    if (terms.expires !== 0 && hasExpired(message)) {
      this.stats.expired++
      return
    }
    if (terms.retain !== undefined && !this.retention.apply(message.detach())) this.stats.dropped++
    this.host?.deliver(message)
    if (this.listening.size === 0) return
    const listeners = this.listeners.match(message.destination.name)
    if (listeners.length === 0) return
    message.detach()
    for (const listener of listeners) {
      if (message instanceof DeadLetter && message.died(listener.queue.name)) continue
      this.keep(listener, message)
    }
  }

  private postpone(message: Message): void {
    const { delayed } = this
    message.detach()
    delayed.messages++
    delayed.bytes += message.size
    this.schedule.add(message.terms.delay, () => {
      delayed.messages--
      delayed.bytes -= message.size
      this.publish(message)
    })
  }

  /**
   * Nobody who sends to a topic is refused because of a durable subscription: its oldest messages
   * go, and not to the dead letters, which would grow for each subscriber that never comes back.
   */
  private keep({ queue, accepts }: Listener, message: Message): void {
    if (accepts !== undefined && !accepts(message)) return
    const { name } = queue
    const fits = (): boolean => queue.fits(1, message.size)
    // What becomes a dead letter is left to the timer: it may be sent to the same topic.
    if (!queue.terms?.deadLetters) queue.sweep(fits)
    if (!this.couldFit(name, 1, message.size) || queue.excess(1, message.size) === undefined) {
      this.stats.dropped++
      return
    }
    while (!fits() && queue.loseOldest());
    // Who got what was dropped may have removed the queue.
    if (this.queues.get(name) !== queue || this.host === undefined) return
    // Under an id of its own: one client may have it from several queues, and acks each.
    queue.push(message.copy(this.host.mint()), 0)
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
    if (destination.kind === 'topic') {
      if (terms.delay > 0 || terms.retain !== undefined) return false
      this.publish(message)
      return true
    }
    const queue = this.queues.get(destination.name)
    if (queue === undefined || this.isGone(destination) || !queue.fits(1, size)) return false
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
    if (retains) this.retention.check(ops)
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
    for (const op of ops) this.apply(op)
    resolve()
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
    for (const message of this.retention.match(topics)) this.keep(listener, message)
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

/** What waits without terms has its sender's word that it waits: nobody puts an end to it, or a bound. */
function takesTerms({ size, terms: before }: Queue, terms: QueueTerms): boolean {
  if (before !== undefined) return false
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
