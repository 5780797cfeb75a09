import type { Delivery, Message, Op } from '../model/message.ts'
import type { Stats } from '../model/stats.ts'
import type { Interest } from '../protocol/pattern.ts'
import { Choice, type Chooser } from './choice.ts'
import { LocalConsumption, type Home } from './consumption.ts'
import type { Reason } from './dead-letter.ts'
import type { Damaged, Late } from './backlog.ts'
import type { Depot } from './depot.ts'
import type { Consumer, Overflow, QueueInfo, QueueTerms } from './engine.ts'
import { Entry } from './entry.ts'
import { Holdings } from './holdings.ts'
import { Ready } from './ready.ts'
import { RecordError } from './record.ts'
import type { Room } from './room.ts'
import type { Schedule, Task } from './schedule.ts'
import type { Load } from './senders.ts'
import type { EngineSettings } from './settings.ts'
import { Sweeper, SWEEP_PAUSE } from './sweeper.ts'
import { Willing } from './willing.ts'

/** JMS's default, for queues that the broker's options made prioritized. */
const USUAL_PRIORITY = 4
const HIGHEST_PRIORITY = 9
/** Ranks of one priority: more than a queue will ever hand out. */
const LEVEL = 2 ** 48
/** An end of life that no clock is set back before. */
const LONG_AGO = 1
/** Messages of one queue that are in memory as well as on disk, and their bytes. */
const WINDOW = 4_096
const WINDOW_BYTES = 4 * 1024 * 1024
/** Pages of it that are taken into memory in a turn of the event loop, before everybody else gets theirs. */
const PAGES_A_TURN = 8
/** Messages that came back beyond which looking for one in order is left to a ranking. */
const MANY_BACKS = 1_024

/** The house a queue lives in. */
export interface House {
  readonly settings: EngineSettings
  readonly stats: Stats
  readonly schedule: Schedule
  readonly room: Room
  /** A message that cannot be read any more. */
  lost(queue: Queue, reason: RecordError): void
  /** Moves the message to the dead letters of the queue; if they are full or there are none it stays. */
  bury(queue: Queue, entry: Entry, reason: Reason, deliveries: number): 'buried' | 'full' | 'nowhere'
  /** A queue for which somebody waits has room. */
  freed(queue: Queue): void
  /** Whether somebody waits for room in a queue. */
  awaits(name: string): boolean
  /** A queue did something by itself, and may have become idle. */
  stirred(queue: Queue): void
}

/**
 * One queue: what waits, who has credit, what came back. No I/O, and no step costs more with a
 * longer backlog or more consumers, unless the consumers choose what they take.
 */
export class Queue implements Home, Chooser {
  readonly name: string
  readonly willing = new Willing()
  /** Senders wait for room in it. */
  awaited: boolean
  /** What of it is on disk; undefined while nothing is. */
  depot: Depot | undefined
  readonly house: House
  private declared: QueueTerms | undefined
  private readonly ready = new Ready()
  /** Takes the place of `ready` where not every message is for every consumer. */
  private choice: Choice | undefined
  private readonly members = new Set<LocalConsumption>()
  /** Those that want it for themselves: the first one has it. */
  private exclusives: LocalConsumption[] = []
  /** How many do not take everything. */
  private selective = 0
  private readonly held: Holdings
  private refilling: Task | undefined
  private sequence = 0
  /** The highest rank that was put behind all others. */
  private appended = 0
  private delayed: Map<Entry, Task> | undefined
  /** Undefined while nothing expires. */
  private sweeper: Sweeper | undefined
  private prioritized: boolean
  private dispatching = false
  private ended = false

  constructor(name: string, house: House) {
    this.name = name
    this.house = house
    this.awaited = house.awaits(name)
    this.held = new Holdings(house.room)
    this.prioritized = house.settings.prioritized(name)
    if (this.prioritized) this.choose()
  }

  get terms(): QueueTerms | undefined {
    return this.declared
  }

  /** Waiting or handed out. */
  get size(): number {
    return this.held.messages
  }

  get bytes(): number {
    return this.held.bytes
  }

  get maxMessages(): number {
    return this.declared?.maxMessages ?? this.house.settings.maxQueueMessages
  }

  get maxBytes(): number {
    return this.declared?.maxBytes ?? this.house.settings.maxQueueBytes
  }

  get overflow(): Overflow {
    return this.declared?.overflow ?? this.house.settings.overflow(this.name)
  }

  get consumers(): number {
    return this.members.size
  }

  /** Nothing would be lost by forgetting it. */
  get idle(): boolean {
    if (!this.held.empty || this.members.size > 0) return false
    const { declared } = this
    return (
      declared === undefined ||
      !(declared.lasting || declared.topics !== undefined || declared.idleLife !== undefined)
    )
  }

  fits(messages: number, bytes: number): boolean {
    return this.counted + messages <= this.maxMessages && this.countedBytes + bytes <= this.maxBytes
  }

  private get counted(): number {
    return this.held.count(this.declared?.maxMessages !== undefined)
  }

  private get countedBytes(): number {
    return this.held.countBytes(this.declared?.maxBytes !== undefined)
  }

  /** What the settlements of a batch leave room for. What comes back, as the dead letters have none, always has some. */
  roomLeftBy(ops: readonly Op[]): Readonly<Load> {
    const gone = new Set<Message>()
    for (const op of ops) {
      if (op.type !== 'ack' && op.type !== 'reject') continue
      if (this.isOut(op.delivery)) gone.add(op.delivery.message)
    }
    let bytes = 0
    for (const { size } of gone) bytes += size
    const { maxMessages, maxBytes } = this.declared ?? {}
    return { messages: maxMessages === undefined ? gone.size : 0, bytes: maxBytes === undefined ? bytes : 0 }
  }

  /** Whether a batch takes no more room than it leaves. */
  isRepaid({ messages, bytes }: Readonly<Load>, ops: readonly Op[]): boolean {
    const left = this.roomLeftBy(ops)
    return messages <= left.messages && bytes <= left.bytes
  }

  /** What waits already keeps the time it was given. */
  declare(terms: QueueTerms): void {
    this.declared = terms
    const { maxPriority } = terms
    if (maxPriority === undefined) return
    this.prioritized = maxPriority > 0
    if (this.choice === undefined && !this.prioritized) return
    this.choose()
    const entries = [...this.list(0, Infinity)]
    for (const entry of entries) entry.rank = this.place(entry.message, entry.rank % LEVEL)
    this.choice?.start(entries.sort((a, b) => a.rank - b.rank))
    this.dispatch()
  }

  declareTopics(topics: Interest, selector: string | undefined): void {
    const { selector: _before, ...terms } = this.declared ?? {}
    this.declared = selector === undefined ? { ...terms, topics } : { ...terms, topics, selector }
  }

  /** A message is on its way. `roomy`: it has its room. */
  expect(bytes: number, roomy: boolean): void {
    this.held.expect(bytes, roomy)
  }

  /** It is here, or does not come. */
  unexpect(bytes: number, roomy: boolean): void {
    this.held.unexpect(bytes, roomy)
  }

  /** Ends it with all it holds: its consumers are cut off, and what is out cannot come back. */
  end(): void {
    this.ended = true
    for (const consumption of this.members) {
      consumption.consumer = undefined
      if (consumption.waiting) this.willing.remove(consumption)
    }
    this.members.clear()
    for (const task of this.delayed?.values() ?? []) task.cancel()
    this.delayed = undefined
    this.sweeper?.end()
    this.refilling?.cancel()
    this.choice = undefined
    this.ready.clear()
    this.held.clear()
  }

  // --- messages -------------------------------------------------------------------------------

  /** When a message expires that comes now. */
  until({ terms: { expires } }: Message): number {
    const life = this.declared?.messageLife
    return life === undefined ? expires : Math.min(expires || Infinity, Date.now() + life)
  }

  /** `delay` is 0 for a message that has waited for its time elsewhere. `key`: where it is on disk. */
  push(message: Message, delay: number, key = 0, until: number = this.until(message)): void {
    this.held.add(message.size)
    if (this.depot !== undefined && key > 0) {
      if (delay === 0 && this.spills()) {
        this.depot.backlog.push(key)
        return this.dispatch()
      }
      this.depot.admit(key)
    }
    this.hold(message)
    const guest = delay === 0 && key === 0 && this.depot?.backlog.active === true
    const rank = delay > 0 || guest ? 0 : this.place(message, ++this.sequence)
    const entry = new Entry(this, message, 1, rank, until, 0, undefined, key)
    if (guest) return this.seat(entry)
    if (until > 0 || delay > 0 || !this.passOn(entry)) this.enter(entry, delay)
  }

  /** A message comes into memory. */
  private hold({ size, terms: { group } }: Message): void {
    this.held.load(size)
    if (group !== undefined) {
      this.choose()
      this.choice?.groups.hold(group)
    } else if (this.choice !== undefined) {
      this.relax()
    }
  }

  /** `written`: its store knows already. */
  ack(delivery: Delivery, written = false): void {
    const entry = this.takeBack(delivery)
    if (entry !== undefined) this.forget(entry, written)
  }

  /** Back to its place without a word. */
  release(delivery: Delivery): void {
    const entry = this.takeBack(delivery)
    if (entry !== undefined) this.putBack(entry, undefined, entry.refusals, 0)
  }

  /** Back to its place, for another consumer first and with a delay that grows, or to the dead letters. */
  nack(delivery: Delivery): void {
    const entry = this.takeBack(delivery)
    if (entry === undefined) return
    const { maxDeliveries, redeliveryDelay, maxRedeliveryDelay } = this.house.settings
    const refusals = entry.refusals + 1
    let delay = refusals < 2 ? 0 : Math.min(redeliveryDelay * 2 ** (refusals - 2), maxRedeliveryDelay)
    if (entry.attempt >= maxDeliveries) {
      const fate = this.house.bury(this, entry, 'max-deliveries', entry.attempt)
      if (fate === 'buried') return
      if (fate === 'nowhere' && !this.house.settings.deadLetters) return this.discard(entry)
      delay = maxRedeliveryDelay
    }
    this.putBack(entry, entry.holder, refusals, delay)
  }

  /** To the dead letters. */
  reject(delivery: Delivery): void {
    const entry = this.takeBack(delivery)
    if (entry === undefined) return
    const fate = this.house.bury(this, entry, 'rejected', entry.attempt)
    if (fate === 'nowhere') {
      this.discard(entry)
    } else if (fate === 'full') {
      this.putBack(entry, entry.holder, entry.refusals + 1, this.house.settings.maxRedeliveryDelay)
    }
  }

  /** What was handed out and is for nobody. */
  private discard(entry: Entry): void {
    this.house.stats.dropped++
    this.forget(entry)
  }

  /** Makes room by one message, the oldest that waits; false if there is none or its dead letters are full. */
  dropOldest(): boolean {
    const entry = this.oldest()
    if (entry === undefined) return false
    const fate = this.house.bury(this, entry, 'queue-full', entry.attempt - 1)
    if (fate === 'nowhere') this.loseOldest()
    return fate !== 'full'
  }

  /** The oldest that waits is for nobody; false if there is none. */
  loseOldest(): boolean {
    const entry = this.oldest()
    if (entry === undefined) return false
    this.house.stats.dropped++
    this.drop(entry)
    return true
  }

  /** What `dropOldest` would take, in order, until so many messages and bytes have room; undefined if that is not enough. */
  excess(messages: number, bytes: number): readonly Message[] | undefined {
    let over = this.counted + messages - this.maxMessages
    let bytesOver = this.countedBytes + bytes - this.maxBytes
    if (over <= 0 && bytesOver <= 0) return []
    const first = this.oldest()?.message
    if (first !== undefined && over <= 1 && bytesOver <= first.size) return [first]
    const excess: Message[] = []
    for (const { message } of this.fromOldest()) {
      if (over <= 0 && bytesOver <= 0) return excess
      excess.push(message)
      over--
      bytesOver -= message.size
    }
    return over <= 0 && bytesOver <= 0 ? excess : undefined
  }

  /** Takes an entry away, wherever it is. */
  drop(entry: Entry): void {
    this.detach(entry)
    this.forget(entry)
  }

  /** Some of it is only on disk. */
  get spilled(): boolean {
    return this.depot?.backlog.active === true
  }

  /** More may be handed out. */
  wake(): void {
    this.dispatch()
  }

  /** What it had when the broker ended: so many messages on disk, of which some wait for their time. */
  restore(depot: Depot, delayed: Iterable<Late | Damaged>, clean: boolean): void {
    const { shelf, backlog } = depot
    const { messages, bytes } = shelf
    this.depot = depot
    this.held.restore(messages, bytes)
    const now = Date.now()
    let late = 0
    for (const item of delayed) {
      late++
      if ('reason' in item) {
        this.lose(item)
        continue
      }
      const { key, message, until, tries, due } = item
      this.hold(message)
      // Its time may have come before the end.
      const attempt = tries?.attempt ?? (clean || due > now ? 1 : 2)
      const entry = new Entry(this, message, attempt, 0, until, tries?.refusals ?? 0, undefined, key)
      if (attempt > 1 && tries === undefined) depot.note(entry)
      this.enter(entry, Math.max(1, due - now))
    }
    backlog.begin(messages - late)
    if (this.prioritized) while (backlog.active) this.load()
    this.attend()
  }

  /** Ends what has expired, until there is enough of it. */
  sweep(enough: () => boolean): void {
    this.sweeper?.sweep(enough)
  }

  /** What waits behind a rank, in order. */
  list(rank: number, limit: number): readonly Entry[] {
    if (this.choice === undefined && this.ready.backs > MANY_BACKS) this.choose()
    return this.choice?.page(rank, limit) ?? this.ready.page(rank, limit)
  }

  /** The waiting messages page by page, without those that come after the first page. */
  async *browse(size: number): AsyncGenerator<readonly Message[], void, void> {
    const last = this.sequence
    const lastKey = this.depot?.shelf.last ?? 0
    const lastGuest = this.depot?.backlog.guestsSoFar ?? 0
    let rank = 0
    /** On disk, and of those that stand there but are not, it has been looked at up to here. */
    let key = 0
    let guest = 0
    const isNew = (entry: Entry): boolean =>
      entry.key > 0 && entry.key <= lastKey ? entry.key > key : entry.rank % LEVEL <= last
    for (;;) {
      const now = Date.now()
      const entries = this.list(rank, size)
      const end = entries.at(-1)
      const page: Message[] = []
      const show = ({ message, expires, key: place }: Pick<Entry, 'message' | 'expires' | 'key'>): void => {
        if (expires !== 0 && expires <= now) return
        // Its content may be left on disk, and be gone from there, before it is written to who looks.
        const shown = place > 0 ? readable(message) : message
        if (shown !== undefined) page.push(shown)
      }
      for (const entry of entries) if (isNew(entry)) show(entry)
      const found = end === undefined ? (this.depot?.backlog.peek(key, guest, size) ?? []) : []
      if (end === undefined && found.length === 0) return
      for (const item of found) {
        if ('number' in item) {
          guest = item.number
          if (guest <= lastGuest) show(item.item)
        } else {
          ;({ key } = item)
          if (key <= lastKey) show({ message: item.message, expires: item.until, key: 0 })
        }
      }
      rank = end?.rank ?? rank
      if (page.length > 0) yield page
    }
  }

  // --- consumers ------------------------------------------------------------------------------

  consume(consumer: Consumer): LocalConsumption {
    const consumption = new LocalConsumption(this, consumer)
    this.members.add(consumption)
    if (consumption.selective) {
      this.selective++
      this.choose()
    }
    if (consumption.exclusive) {
      this.exclusives.push(consumption)
      if (this.exclusives.length === 1) this.rearrange()
    }
    return consumption
  }

  join(consumption: LocalConsumption): void {
    if (!this.admits(consumption)) return
    this.welcome(consumption)
    this.dispatch()
  }

  leave(consumption: LocalConsumption): void {
    this.members.delete(consumption)
    if (consumption.waiting) this.dismiss(consumption)
    if (consumption.selective) this.selective--
    this.choice?.leave(consumption)
    const wasFirst = this.exclusives[0] === consumption
    if (consumption.exclusive) this.exclusives = this.exclusives.filter((other) => other !== consumption)
    if (wasFirst) this.rearrange()
    this.dispatch()
  }

  info(): QueueInfo {
    const topics = this.declared?.topics ?? ''
    return {
      queue: this.name,
      ready: this.held.messages - this.held.out,
      unacked: this.held.out,
      bytes: this.held.bytes,
      consumers: this.members.size,
      topics: typeof topics === 'string' ? topics : topics.text,
    }
  }

  // --- handing out ----------------------------------------------------------------------------

  handOut(entry: Entry, consumption: LocalConsumption): void {
    const { consumer } = consumption
    if (consumer === undefined) throw new Error('a consumer that left is among the willing')
    entry.holder = consumption
    entry.state = consumer.auto ? 'nowhere' : 'out'
    if (entry.expires !== 0) this.sweeper?.forget()
    if (consumer.auto) {
      this.forget(entry)
    } else {
      this.held.handOut(entry.message.size)
      if (this.awaited) this.house.freed(this)
    }
    if (--consumption.credit > 0) this.willing.rotate(consumption)
    else this.dismiss(consumption)
    consumer.deliver(entry)
    // It is written by then, from where it was read.
    if (entry.state === 'out') this.settleDown(entry)
  }

  unfit(entry: Entry): boolean {
    if (isOver(entry)) {
      this.expire(entry)
      return true
    }
    return entry.key > 0 && !this.recall(entry)
  }

  /** Takes its content into memory; false where that is lost, and the entry with it. */
  recall(entry: Entry): boolean {
    try {
      entry.message.recall()
      return true
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.house.lost(this, error)
      this.drop(entry)
      return false
    }
  }

  /** It stays for a while. */
  private settleDown(entry: Entry): void {
    if (entry.key > 0 && this.house.room.scarce) this.depot?.shelve(entry)
    else entry.message.detach()
  }

  private dispatch(): void {
    // A consumer may settle, cancel or send from inside `deliver`: the outer loop goes on with what it finds.
    if (this.dispatching) return
    this.dispatching = true
    for (let pages = 0; !this.withheld;) {
      if (this.choice === undefined ? this.handOutNext() : this.choice.step()) continue
      if (!this.refill(pages++)) break
    }
    this.dispatching = false
    if (this.depot !== undefined) this.attend()
  }

  /** The store has to know first. */
  private get withheld(): boolean {
    return this.depot !== undefined && this.willing.first() !== undefined && this.depot.holds()
  }

  /** There was nothing for anybody: more is taken into memory, but not all in one go. */
  private refill(pages: number): boolean {
    if (this.depot?.backlog.active !== true || this.willing.first() === undefined) return false
    if (pages < (this.choice === undefined ? PAGES_A_TURN : 1) && this.refilling === undefined) {
      this.load()
      return true
    }
    this.refilling ??= this.house.schedule.add(1, () => {
      this.refilling = undefined
      this.dispatch()
      this.house.stirred(this)
    })
    return false
  }

  /** Takes a page of what is on disk only into memory. */
  private load(): void {
    const { depot } = this
    if (depot === undefined) return
    const { dispatching } = this
    this.dispatching = true
    depot.backlog.take(
      ({ key, message, until, tries }) => {
        depot.admit(key)
        this.hold(message)
        const rank = this.place(message, ++this.sequence)
        const attempt = tries?.attempt ?? depot.attemptOf(key)
        this.enter(new Entry(this, message, attempt, rank, until, tries?.refusals ?? 0, undefined, key), 0)
      },
      (guest) => this.enter(guest, 0),
      (item) => this.lose(item),
    )
    this.dispatching = dispatching
  }

  /** A message that was on disk only, and cannot be read. */
  private lose({ key, size, reason }: Damaged): void {
    this.held.lose(size)
    this.depot?.removeDamaged(key, size)
    this.house.lost(this, reason)
  }

  /** Whether what comes is left on disk. */
  private spills(): boolean {
    if (this.prioritized) return false
    if (this.depot?.backlog.active === true) return true
    const { waitingHere, waitingBytesHere } = this.held
    if (waitingHere === 0) return false
    return waitingHere >= WINDOW || waitingBytesHere >= WINDOW_BYTES || this.house.room.scarce
  }

  /** Never on disk, and behind what is there only. */
  private seat(entry: Entry): void {
    entry.message.detach()
    this.depot?.backlog.seat(entry)
    this.dispatch()
  }

  /** A new one goes straight to who is willing; false where it has to wait or somebody chooses. */
  private passOn(entry: Entry): boolean {
    if (this.choice !== undefined || this.dispatching || this.withheld) return false
    // Nothing waits while somebody is willing.
    const consumption = this.willing.first()
    if (consumption === undefined) return false
    // It was behind all others: what comes back from before it has its place before what comes now.
    this.appended = entry.rank
    this.dispatching = true
    this.handOut(entry, consumption)
    this.dispatching = false
    // What was sent or came back from inside `deliver`.
    this.dispatch()
    return true
  }

  /** False when nothing waits, or nobody. */
  private handOutNext(): boolean {
    if (this.ready.empty) return false
    const entry = this.ready.peek()
    if (entry === undefined) return false
    let consumption = this.willing.first()
    if (consumption === undefined) return false
    // To the one who refused it only when there is no other; whose turn it is does not change by that.
    if (consumption === entry.holder) consumption = this.willing.after(consumption) ?? consumption
    if (this.unfit(entry)) return true
    this.ready.shift()
    this.handOut(entry, consumption)
    return true
  }

  private admits(consumption: LocalConsumption): boolean {
    return this.exclusives.length === 0 || this.exclusives[0] === consumption
  }

  private welcome(consumption: LocalConsumption): void {
    this.choice?.join(consumption)
    this.willing.push(consumption)
  }

  private dismiss(consumption: LocalConsumption): void {
    this.choice?.rest(consumption)
    this.willing.remove(consumption)
  }

  /** Another consumer has the queue for itself, or nobody any more. */
  private rearrange(): void {
    for (const consumption of this.members) {
      const admitted = this.admits(consumption)
      if (consumption.waiting && !admitted) this.dismiss(consumption)
      else if (!consumption.waiting && admitted && consumption.credit > 0) this.welcome(consumption)
      if (!admitted) this.choice?.free(consumption)
    }
    this.dispatch()
  }

  /** From now on what waits is looked at one by one. */
  private choose(): void {
    if (this.choice !== undefined) return
    const entries = this.ready.drain()
    this.choice = new Choice(this)
    this.choice.start(entries)
  }

  /** The simple way will do again, where the change costs nothing. */
  private relax(): void {
    if (this.dispatching || this.prioritized || this.selective > 0) return
    if (!this.choice?.idle) return
    this.choice = undefined
    this.appended = this.sequence
  }

  // --- places ---------------------------------------------------------------------------------

  private place({ terms }: Message, sequence: number): number {
    if (!this.prioritized) return sequence
    const { maxPriority } = this.declared ?? {}
    const highest = Math.min(maxPriority ?? HIGHEST_PRIORITY, HIGHEST_PRIORITY)
    const priority = terms.priority ?? (maxPriority === undefined ? USUAL_PRIORITY : 0)
    return (HIGHEST_PRIORITY - Math.min(priority, highest)) * LEVEL + sequence
  }

  private insert(entry: Entry): void {
    entry.state = 'waiting'
    if (this.choice !== undefined) {
      this.choice.insert(entry)
    } else if (entry.rank > this.appended) {
      this.appended = entry.rank
      this.ready.append(entry)
    } else {
      this.ready.putBack(entry)
    }
    this.dispatch()
  }

  private putBack(
    { message, attempt, rank, expires, key }: Entry,
    refusedBy: LocalConsumption | undefined,
    refusals: number,
    delay: number,
  ): void {
    // The queue's priorities may have been declared while it was out.
    const place = this.place(message, rank % LEVEL)
    const entry = new Entry(this, message, attempt + 1, place, expires, refusals, refusedBy, key)
    this.depot?.note(entry)
    this.enter(entry, delay)
  }

  private enter(entry: Entry, delay: number): void {
    this.settleDown(entry)
    if (entry.expires !== 0) {
      // A dead letter made here might come back here, or to the next such queue, and so on in one go.
      if (isOver(entry)) return this.declared?.deadLetters ? this.putOff(entry, delay) : this.expire(entry)
      this.watch(entry)
    }
    if (delay > 0) this.postpone(entry, delay)
    else this.takePlace(entry)
  }

  private postpone(entry: Entry, delay: number): void {
    entry.state = 'delayed'
    const due = (): void => {
      this.delayed?.delete(entry)
      if (isOver(entry)) this.expire(entry)
      else if (entry.rank === 0 && this.spilled) this.seat(entry)
      else this.takePlace(entry)
      this.house.stirred(this)
    }
    this.delayed ??= new Map()
    this.delayed.set(entry, this.house.schedule.add(delay, due))
  }

  /** A new one comes last, and priorities may have been declared while it was away. */
  private takePlace(entry: Entry): void {
    entry.rank = this.place(entry.message, entry.rank % LEVEL || ++this.sequence)
    this.insert(entry)
  }

  /** Its time is over, also if the clock is set back; it is to die in a while. */
  private putOff({ message, attempt, rank, refusals, holder, key }: Entry, delay: number): void {
    this.postpone(new Entry(this, message, attempt, rank, LONG_AGO, refusals, holder, key), delay)
  }

  /** Not when it was settled or returned before, or its queue has ended. */
  private isOut(delivery: Delivery): delivery is Entry {
    return delivery instanceof Entry && delivery.state === 'out' && delivery.home === this && !this.ended
  }

  private takeBack(delivery: Delivery): Entry | undefined {
    if (!this.isOut(delivery)) return undefined
    delivery.state = 'nowhere'
    this.held.takeBack(delivery.message.size)
    return delivery
  }

  private detach(entry: Entry): void {
    const { state } = entry
    entry.state = 'nowhere'
    if (state === 'waiting') {
      if (this.choice === undefined) this.ready.discard()
      else this.choice.remove(entry)
    } else if (state === 'delayed') {
      this.delayed?.get(entry)?.cancel()
      this.delayed?.delete(entry)
    } else {
      return
    }
    if (entry.expires !== 0) this.sweeper?.forget()
  }

  private forget(entry: Entry, written = false): void {
    const { message, key } = entry
    this.held.remove(message.size)
    if (key > 0 && !written) this.depot?.remove(entry)
    const { group } = message.terms
    if (group !== undefined) this.choice?.groups.drop(group)
    if (this.awaited) this.house.freed(this)
  }

  private oldest(): Entry | undefined {
    const entry = this.oldestHere()
    if (entry !== undefined || this.depot?.backlog.active !== true) return entry
    this.load()
    return this.oldestHere()
  }

  private oldestHere(): Entry | undefined {
    if (this.choice === undefined) return this.ready.peek()
    if (!this.prioritized) return this.choice.first()
    for (const entry of this.fromOldest()) return entry
    return undefined
  }

  /** What waits, the lowest priority first. */
  private *fromOldest(): Generator<Entry, void, void> {
    if (!this.prioritized || this.choice === undefined) {
      let rank = 0
      for (;;) {
        const entries = this.list(rank, MANY_BACKS)
        yield* entries
        const last = entries.at(-1)
        if (last !== undefined) rank = last.rank
        else if (this.depot?.backlog.active === true) this.load()
        else return
      }
    }
    for (let level = HIGHEST_PRIORITY; level >= 0; level--) {
      let entry = this.choice.after(level * LEVEL)
      while (entry !== undefined && entry.rank < (level + 1) * LEVEL) {
        yield entry
        entry = this.choice.after(entry.rank)
      }
    }
  }

  // --- expiry ---------------------------------------------------------------------------------

  private watch(entry: Entry): void {
    this.sweeper ??= new Sweeper(this, this.house.schedule)
    this.sweeper.watch(entry)
  }

  /** What is on disk only expires as well, when it is the first of all that waits. */
  private attend(): void {
    const { nextAway } = this
    if (nextAway === Infinity) return
    this.sweeper ??= new Sweeper(this, this.house.schedule)
    this.sweeper.expect(nextAway)
  }

  get nextAway(): number {
    if (this.ended || !this.spilled || this.oldestHere() !== undefined) return Infinity
    return this.depot?.backlog.until || Infinity
  }

  fetch(): void {
    this.load()
  }

  stirred(): void {
    this.house.stirred(this)
  }

  /** To the dead letters if the queue asked for that by name, else away. */
  expire(entry: Entry): void {
    const { stats, settings } = this.house
    if (this.declared?.deadLetters) {
      const fate = this.house.bury(this, entry, 'expired', entry.attempt - 1)
      if (fate === 'full') {
        this.detach(entry)
        this.putOff(entry, Math.max(SWEEP_PAUSE, settings.maxRedeliveryDelay))
        return
      }
      stats.expired++
      if (fate === 'buried') return
    } else {
      stats.expired++
    }
    this.drop(entry)
  }
}

/** A copy that stays in memory; undefined where there is nothing to be read. */
function readable(message: Message): Message | undefined {
  try {
    return message.recalled()
  } catch (error) {
    if (error instanceof RecordError) return undefined
    throw error
  }
}

function isOver({ expires }: Entry): boolean {
  return expires !== 0 && expires <= Date.now()
}
