import type { Delivery, Message, Op } from '../model/message.ts'

/**
 * Where messages are kept and ordered. Storing and sending are one act here, so there is no
 * separate store, bus or journal to agree with. Every engine passes `test/conformance/engine.ts`.
 *
 * Order. Ops are applied in the order `commit` was called and, within a call, in the order given.
 * A topic delivers to the host in that order; a queue hands out in that order, a returned message
 * before everything that was sent after it.
 *
 * Failure. A `commit` that throws or rejects has refused the whole batch where `commits` is
 * `atomic`; what is refused for a reason the client can mend is a StompError.
 *
 * At least once. A delivery that was not acked returns when it is nacked or released, with its
 * attempt counted. To settle a delivery a second time changes nothing.
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
   * this engine gets, and only then may a RECEIPT go out. Topic messages reach the host before
   * it returns.
   */
  commit(ops: readonly Op[]): void | Promise<void>
  /** The first local subscriber of a topic pattern is there: its messages are wanted from now on. */
  watch(pattern: string): void | Promise<void>
  /** The last one is gone. */
  unwatch(pattern: string): void
  /** Nothing is delivered until credit is granted. */
  consume(queue: string, consumer: Consumer): Consumption
  /** The queues that hold messages or have consumers. */
  inspect(): Promise<readonly QueueInfo[]>
}

export interface EngineHost {
  /** A topic message for the local subscribers. Never throws. */
  deliver(message: Message): void
}

export interface Consumer {
  /** Deliveries are settled as they are handed out and need no ack (`ack:auto`). */
  readonly auto: boolean
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
  /** Waiting for a consumer. */
  readonly ready: number
  /** Handed out and not settled. */
  readonly unacked: number
  /** Bytes of both, as their frames came in. */
  readonly bytes: number
  readonly consumers: number
}
