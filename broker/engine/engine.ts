import type { Delivery, Message, Op } from '../model/message.ts'
import type { Destination } from '../protocol/destination.ts'
import type { Interest } from '../protocol/pattern.ts'

/**
 * Where messages are kept and ordered. Storing and sending are one act here, so there is no
 * separate store, bus or journal to agree with. Every engine passes `test/conformance/engine.ts`.
 *
 * Order. Ops are applied in the order `commit` was called and, within a call, in the order given.
 * A topic delivers to the host in that order; a queue hands out in that order, a returned message
 * before everything that was sent after it. Higher priorities come first where the queue knows
 * them; a delayed message takes its place when its time has come.
 *
 * Memory. A message lies in what a socket read: an engine that keeps it for longer than the call
 * to `commit` detaches it.
 *
 * Failure. A `commit` that throws or rejects has refused the whole batch where `commits` is
 * `atomic`; what is refused for a reason the client can mend is a StompError.
 *
 * At least once. A delivery that was not acked returns when it is nacked or released, with its
 * attempt counted. To settle a delivery a second time changes nothing.
 *
 * Dead letters. A message that is rejected, or nacked in its last allowed delivery, moves to the
 * dead letters of its queue, with headers that say why. Until it is there it is in its queue.
 */
export interface Engine {
  /** For banners and logs. */
  readonly name: string
  /** What a batch is worth: all or nothing; sends all or nothing and settlements after them; one after another. */
  readonly commits: 'atomic' | 'sends-atomic' | 'sequential'
  open(host: EngineHost): Promise<void>
  close(): Promise<void>
  /**
   * The one write door. Undefined means done; a promise settles when the batch is as durable as
   * this engine gets, or when a full queue that blocks its senders has room, and only then may a
   * RECEIPT go out. Topic messages reach the host before it returns, unless it waits for room.
   */
  commit(ops: readonly Op[]): void | Settling
  /** The first local subscriber of a topic or pattern is there: its messages are wanted from now on. */
  watch(interest: Interest): void | Promise<void>
  /** The last one is gone. */
  unwatch(interest: Interest): void
  /** What is retained of these topics, the topic that was first to retain first; nobody else renders the messages. */
  retained(interest: Interest): readonly Message[]
  /**
   * Sets the terms of a queue, made if it is not there. One that has terms or messages keeps what
   * others made of it: it takes no terms, except that `maxPriority` alone is given to messages that
   * wait without terms, and that a durable subscription may change its `topics` and `selector`.
   * Throws `queue-terms` where other topics than its own are asked of it.
   * A queue that starts to listen to topics gets what they retain first.
   */
  declare(queue: string, terms: QueueTerms): void | Promise<void>
  /**
   * Ends a queue with all it holds; its consumers get nothing more. With `ifUnused` it throws
   * `durable-in-use` instead while there are any.
   */
  remove(queue: string, ifUnused?: boolean): void | Promise<void>
  /** Nothing is delivered until credit is granted. */
  consume(queue: string, consumer: Consumer): Consumption
  /** What waits in a queue, in order, page by page; messages that are gone when their page comes are left out. */
  browse(queue: string): AsyncIterable<readonly Message[]>
  /** The queues that hold messages, have consumers or are to stay. */
  inspect(): Promise<readonly QueueInfo[]>
}

/** `full`: it waits for room in a queue, and whoever sent it is to be read no further until then. */
export type Settling = Promise<void> & { readonly full?: true }

export interface EngineHost {
  /** A topic message for the local subscribers. Never throws. */
  deliver(message: Message): void
  /** An id for a message that the engine makes, such as a dead letter. */
  mint(): string
}

/** What a queue is told by those who make it. What is left out has the engine's default. */
export interface QueueTerms {
  /** One client's, for as long as it is connected: nothing of it is on disk. */
  readonly temporary?: boolean
  /** Stays until it is removed, although it is empty and has no consumer. */
  readonly lasting?: boolean
  /** Ends with all it holds when its last consumer leaves. */
  readonly autoDelete?: boolean
  /** Milliseconds without a consumer after which it ends with all it holds. */
  readonly idleLife?: number
  /** It gets every message to these topics: a durable subscription. */
  readonly topics?: Interest
  /** Of these only what the selector accepts. */
  readonly selector?: string
  /** Priorities 0 to this are kept apart; 0 for none. */
  readonly maxPriority?: number
  /** Milliseconds a message may wait in it. */
  readonly messageLife?: number
  /** Of those that wait. The engine's own bounds count the unacked ones as well. */
  readonly maxMessages?: number
  readonly maxBytes?: number
  readonly overflow?: Overflow
  /** Where its dead letters go, `/queue/DLQ.<name>` by default; null for nowhere. */
  readonly deadLetters?: Destination | null
}

/**
 * What becomes of a message to a full queue: it is refused, it makes the oldest messages dead
 * letters, or its sender waits for room.
 */
export type Overflow = 'refuse' | 'drop-oldest' | 'block'

export interface Consumer {
  /** Deliveries are settled as they are handed out and need no ack (`ack:auto`). */
  readonly auto: boolean
  /** While it is there, the queue hands out to nobody else; the next exclusive one follows it. */
  readonly exclusive?: boolean
  /** Those of a higher priority come first while they have credit. 0 unless given. */
  readonly priority?: number
  /** It takes only these; always the same answer for the same message. */
  readonly accepts?: ((message: Message) => boolean) | undefined
  /** Takes a delivery, which costs one credit. Never throws; may call the engine. */
  deliver(delivery: Delivery): void
}

export interface Consumption {
  /** Allows so many more deliveries. */
  grant(credits: number): void
  /** No delivery arrives after it; those handed out stay unsettled until acked, nacked or released. */
  cancel(): void
}

export interface QueueInfo {
  readonly queue: string
  /** Waiting for a consumer, the delayed ones included. */
  readonly ready: number
  /** Handed out and not settled. */
  readonly unacked: number
  /** Bytes of both, as their frames came in. */
  readonly bytes: number
  readonly consumers: number
  /** The topic or pattern it listens to; empty for none. */
  readonly topics: string
}
