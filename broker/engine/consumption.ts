import type { Consumer, Consumption } from './engine.ts'

/** What a consumption tells its queue. */
export interface Home {
  /** It has credit again. */
  join(consumption: LocalConsumption): void
  /** It was cancelled. */
  leave(consumption: LocalConsumption): void
}

/** A consumer at a queue, with its credit. */
export class LocalConsumption implements Consumption {
  /** Undefined once cancelled, so that a message it refused keeps nothing of it in memory. */
  consumer: Consumer | undefined
  readonly home: Home
  readonly priority: number
  readonly exclusive: boolean
  /** Not every message is for it. */
  readonly selective: boolean
  credit = 0
  /** Stands among the willing, between these two. */
  waiting = false
  before: LocalConsumption | undefined
  after: LocalConsumption | undefined

  constructor(home: Home, consumer: Consumer) {
    this.home = home
    this.consumer = consumer
    this.priority = consumer.priority ?? 0
    this.exclusive = consumer.exclusive ?? false
    this.selective = consumer.accepts !== undefined
  }

  grant(credits: number): void {
    this.credit += credits
    if (this.waiting || this.consumer === undefined || this.credit <= 0) return
    this.home.join(this)
  }

  cancel(): void {
    if (this.consumer === undefined) return
    this.consumer = undefined
    this.home.leave(this)
  }
}
