import type { Op } from '../model/message.ts'
import { StompError } from '../protocol/errors.ts'
import type { Consumer, Consumption, Engine, EngineHost, QueueInfo } from './engine.ts'
import { Queue } from './queue.ts'

export interface QueueLimits {
  /** Messages one queue may hold, waiting and unacked together. */
  readonly maxQueueMessages: number
  /** Bytes of the frames one queue may hold. */
  readonly maxQueueBytes: number
}

/** Queues in memory, each there as long as it holds a message or has a consumer. */
export class LocalEngine implements Engine {
  readonly name = 'memory'
  readonly commits = 'atomic'
  private readonly limits: QueueLimits
  private readonly queues = new Map<string, Queue>()
  private host: EngineHost | undefined

  constructor(limits: QueueLimits) {
    this.limits = limits
  }

  async open(host: EngineHost): Promise<void> {
    this.host = host
  }

  async close(): Promise<void> {
    this.host = undefined
    this.queues.clear()
  }

  commit(ops: readonly Op[]): void {
    this.checkRoom(ops)
    for (const op of ops) this.apply(op)
  }

  /** Every topic message passes here anyway. */
  watch(): void {}

  unwatch(): void {}

  consume(name: string, consumer: Consumer): Consumption {
    const queue = this.queue(name)
    const consumption = queue.consume(consumer)
    return {
      grant: (credits) => consumption.grant(credits),
      cancel: () => {
        consumption.cancel()
        this.reclaim(queue)
      },
    }
  }

  async inspect(): Promise<readonly QueueInfo[]> {
    return [...this.queues.values()].map((queue) => queue.info())
  }

  private apply(op: Op): void {
    if (op.type === 'send') {
      const { message } = op
      if (message.destination.kind === 'topic') return this.host?.deliver(message)
      const queue = this.queue(message.destination.name)
      queue.push(message)
      return this.reclaim(queue)
    }
    const queue = this.queues.get(op.delivery.queue)
    if (queue === undefined) return
    if (op.type === 'ack') queue.ack(op.delivery)
    else queue.putBack(op.delivery, op.type === 'nack')
    this.reclaim(queue)
  }

  private queue(name: string): Queue {
    let queue = this.queues.get(name)
    if (queue === undefined) this.queues.set(name, (queue = new Queue(name)))
    return queue
  }

  private reclaim(queue: Queue): void {
    // It may have been reclaimed before, from inside `deliver` for one: then the name belongs to a later queue.
    if (queue.idle && this.queues.get(queue.name) === queue) this.queues.delete(queue.name)
  }

  /** Nothing is applied unless everything has room. A message that comes back always has. */
  private checkRoom(ops: readonly Op[]): void {
    const added = new Map<string, { messages: number; bytes: number }>()
    for (const op of ops) {
      if (op.type !== 'send' || op.message.destination.kind === 'topic') continue
      const { name } = op.message.destination
      const sum = added.get(name) ?? { messages: 0, bytes: 0 }
      sum.messages++
      sum.bytes += op.message.size
      added.set(name, sum)
    }
    for (const [name, sum] of added) {
      const queue = this.queues.get(name)
      const { maxQueueMessages, maxQueueBytes } = this.limits
      if ((queue?.size ?? 0) + sum.messages > maxQueueMessages) {
        throw new StompError(
          'queue-full',
          `${name} holds its ${maxQueueMessages} messages (limit max-queue-messages); consume some first.`,
        )
      }
      if ((queue?.bytes ?? 0) + sum.bytes > maxQueueBytes) {
        throw new StompError(
          'queue-full',
          `${name} has no room for ${sum.bytes} more bytes (limit max-queue-bytes, ${maxQueueBytes}); consume some first.`,
        )
      }
    }
  }
}
