import type { Message, Op } from '../model/message.ts'
import type { Destination } from '../protocol/destination.ts'
import { StompError } from '../protocol/errors.ts'
import { DeadLetter, deadLetterQueue, isDeadLetterQueue, returns, type Reason } from './dead-letter.ts'
import { isKept } from './kept.ts'
import type { Queue } from './queue.ts'
import type { Register } from './register.ts'
import type { Retained } from './retained.ts'
import type { Room } from './room.ts'
import type { Load, Loads } from './senders.ts'
import type { EngineSettings } from './settings.ts'

/** What there is room for: in the queues, in what topics remember and delay, and in memory. */
export class Capacity {
  /** Topic messages that wait for their time. */
  readonly delayed: Load = { messages: 0, bytes: 0 }
  /** What is on its way to being retained. */
  readonly retaining = new Set<Op>()
  private readonly settings: EngineSettings
  private readonly queues: Register
  private readonly retention: Retained
  private readonly room: Room
  /** Messages may be on disk. */
  private readonly durable: boolean

  constructor(settings: EngineSettings, queues: Register, retention: Retained, room: Room, durable: boolean) {
    this.settings = settings
    this.queues = queues
    this.retention = retention
    this.room = room
    this.durable = durable
  }

  /** A reply queue that nobody has, or has any more. */
  isGone({ temporary, kind, name }: Destination): boolean {
    return temporary && kind === 'queue' && this.queues.get(name)?.terms === undefined
  }

  measure(ops: readonly Op[]): Loads {
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
  findLacking(ops: readonly Op[], loads: Loads): Set<string> {
    this.checkTopics(ops)
    this.checkRoom(ops)
    for (const name of loads.keys()) this.queues.check(name)
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

  fits(name: string, messages: number, bytes: number): boolean {
    return this.queues.get(name)?.fits(messages, bytes) ?? this.couldFit(name, messages, bytes)
  }

  /** Whether there would be room if the queue were empty. */
  couldFit(name: string, messages: number, bytes: number): boolean {
    const { maxMessages, maxBytes } = this.bounds(name)
    return messages <= maxMessages && bytes <= maxBytes
  }

  bounds(name: string): { maxMessages: number; maxBytes: number } {
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

  /** Where a message of a queue goes when it dies there. */
  grave(queue: Queue, message: Message, reason: Reason): Destination | undefined {
    if (isDeadLetterQueue(queue.name) || message.destination.temporary) return undefined
    const declared = queue.terms?.deadLetters
    if (declared === null) return undefined
    if (declared === undefined && !this.settings.deadLetters) return undefined
    const grave = declared ?? deadLetterQueue(queue.name)
    if (grave.name === queue.name || returns(message, queue.name, reason, grave)) return undefined
    return this.isGone(grave) ? undefined : grave
  }

  makeRoom(name: string, { size }: Message): boolean {
    if (this.queues.isFull(name)) return false
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

  private sweep(name: string, enough: () => boolean): void {
    const queue = this.queues.get(name)
    if (queue === undefined) return
    const before = queue.size
    queue.sweep(enough)
    if (queue.size < before) this.queues.reclaim(queue)
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
      if (!this.durable || !isKept(op.message.terms, op.message.destination)) bytes += op.message.size
    }
    if (bytes === 0 || this.room.has(bytes)) return
    const more = !this.durable ? '' : ', or send it with persistent:true'
    throw new StompError(
      'memory-full',
      `There is no room for ${bytes} more bytes of messages in memory (limit max-memory, ${this.room.limit}); consume some first${more}.`,
    )
  }
}
