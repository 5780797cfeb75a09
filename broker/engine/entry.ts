import type { Delivery, Message } from '../model/message.ts'
import type { LocalConsumption } from './consumption.ts'
import type { Queue } from './queue.ts'

/**
 * A message in its queue. A return makes a new one, so a stale handle settles nothing.
 *
 * `nowhere` is one that is on its way from one state to the next, or gone; `leaving` one whose ack
 * is being written.
 */
export class Entry implements Delivery {
  readonly home: Queue
  readonly message: Message
  readonly attempt: number
  /** Its place in the queue: lower ones go out first. 0 until it has one. */
  rank: number
  /** Milliseconds since the epoch; 0 for never. */
  readonly expires: number
  /** How often it was nacked. */
  readonly refusals: number
  /** Who has it or, while it waits, who refused it last. */
  holder: LocalConsumption | undefined
  state: 'nowhere' | 'waiting' | 'delayed' | 'out' | 'leaving' = 'nowhere'
  /** Where it is on disk; 0 for nowhere. */
  readonly key: number

  constructor(
    home: Queue,
    message: Message,
    attempt: number,
    rank: number,
    expires: number,
    refusals: number,
    holder: LocalConsumption | undefined,
    key: number,
  ) {
    this.home = home
    this.message = message
    this.attempt = attempt
    this.rank = rank
    this.expires = expires
    this.refusals = refusals
    this.holder = holder
    this.key = key
  }

  get queue(): string {
    return this.home.name
  }
}
