import type { Overflow } from './engine.ts'

/** What an engine is told by the options of the broker. */
export interface EngineSettings {
  /** Messages one queue may hold, waiting and unacked together, unless its terms say otherwise. */
  readonly maxQueueMessages: number
  /** Bytes of the frames one queue may hold, unless its terms say otherwise. */
  readonly maxQueueBytes: number
  /** Queues. */
  readonly maxQueues: number
  /** Bytes of messages in memory, those of all queues together. */
  readonly maxMemory: number
  /** Lasting queues that listen to topics. */
  readonly maxDurableSubscriptions: number
  /** Topics that retain a message. */
  readonly maxRetained: number
  /** Deliveries after which a nack makes a message a dead letter. */
  readonly maxDeliveries: number
  /** Milliseconds a message that was nacked twice waits; it doubles with each nack. */
  readonly redeliveryDelay: number
  readonly maxRedeliveryDelay: number
  /** Whether there are dead letters where the terms of a queue do not say. */
  readonly deadLetters: boolean
  /** What becomes of a message to this queue when it is full, where its terms do not say. */
  overflow(queue: string): Overflow
  /** Whether this queue keeps priorities 0 to 9 apart, where its terms do not say. */
  prioritized(queue: string): boolean
}
