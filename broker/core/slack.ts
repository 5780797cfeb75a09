import type { Message } from '../model/message.ts'
import type { Lag } from './lag.ts'
import type { Leniency, Lenient } from './leniency.ts'

/** How far the subscriptions of one session lag behind the topics that spare slow subscribers. */
export class Slack {
  /** Of the messages that wait. */
  bytes = 0
  private readonly session: string
  private readonly leniency: Leniency
  /** Those in which something waits. */
  private readonly lags = new Set<Lag>()
  /** Others count on it to say when it begins or ceases to lag. */
  private watched = false
  private told = false

  constructor(session: string, leniency: Leniency) {
    this.session = session
    this.leniency = leniency
  }

  watch(): void {
    this.watched = true
  }

  /** The session has become pressed, or is no longer. */
  changed(): void {
    if (this.watched) this.leniency.changes++
    this.watched = false
  }

  keep(lag: Lag, message: Message, policy: Lenient): void {
    const { limits, stats } = this.leniency
    const { bytes } = lag
    this.lags.add(lag)
    // In memory of its own: it may wait for long.
    if (lag.put(message.detach(), policy)) {
      stats.slowConflated++
      this.tell()
    }
    this.weigh(lag.bytes - bytes)
    while (lag.count > limits.slowMessages) this.drop(lag)
    while (this.bytes > limits.sendBudget) this.drop(this.fullest(lag))
  }

  /** The next one to be sent. */
  take(lag: Lag): Message | undefined {
    for (;;) {
      const message = this.shift(lag)
      if (message === undefined) return undefined
      const { expires } = message.terms
      if (expires === 0 || expires > Date.now()) return message
      this.leniency.stats.expired++
    }
  }

  /** Nobody is to get what waits there. */
  forget(lag: Lag): void {
    while (this.shift(lag) !== undefined) {}
  }

  /** Loses all that waits, for the sake of the broker's memory. */
  shed(): void {
    for (const lag of this.lags) while (lag.count > 0) this.drop(lag)
  }

  /** `lag`, unless another has more than its share of the bytes while it has not: then that one. */
  private fullest(lag: Lag): Lag {
    const share = this.leniency.limits.sendBudget / this.lags.size
    if (lag.bytes > share) return lag
    for (const other of this.lags) if (other.bytes > share) return other
    return lag
  }

  private drop(lag: Lag): void {
    this.shift(lag)
    this.leniency.stats.slowDropped++
    this.tell()
  }

  private shift(lag: Lag): Message | undefined {
    const message = lag.shift()
    if (message !== undefined) this.weigh(-message.size)
    if (lag.count === 0) this.lags.delete(lag)
    return message
  }

  private weigh(bytes: number): void {
    this.bytes += bytes
    this.leniency.pressure.add(bytes)
  }

  private tell(): void {
    if (this.told) return
    this.told = true
    this.leniency.log.info(
      `${this.session}: reads too slowly and begins to lose messages (option slow-consumers)`,
    )
  }
}
