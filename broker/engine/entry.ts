import type { Delivery, Message } from '../model/message.ts'
import type { LocalConsumption } from './consumption.ts'

/**
 * A message in its queue. A return makes a new one, so a stale handle settles nothing.
 *
 * `nowhere` is one that is on its way from one state to the next, or gone.
 */
export class Entry implements Delivery {
  readonly queue: string
  readonly message: Message
  readonly attempt: number
  /** Its place in the queue: lower ones go out first. 0 until it has one. */
  rank: number
  /** Milliseconds since the epoch; 0 for never. */
  readonly expires: number
  /** How often it was nacked. */
  readonly refusals: number
  readonly refusedBy: LocalConsumption | undefined
  holder: LocalConsumption | undefined
  state: 'nowhere' | 'waiting' | 'delayed' | 'out' = 'nowhere'

  constructor(
    queue: string,
    message: Message,
    attempt: number,
    rank: number,
    expires: number,
    refusals: number,
    refusedBy: LocalConsumption | undefined,
  ) {
    this.queue = queue
    this.message = message
    this.attempt = attempt
    this.rank = rank
    this.expires = expires
    this.refusals = refusals
    this.refusedBy = refusedBy
  }
}
