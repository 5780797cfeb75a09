import type { Stats } from '../model/stats.ts'
import { StompError } from '../protocol/errors.ts'
import type { Connection } from '../transport/connection.ts'
import type { Slack } from './slack.ts'

/** A session, as what waits for its client is a burden. */
export interface Burden {
  readonly connection: Connection
  readonly slack: Slack | undefined
  readonly pressed: boolean
  readonly ended: boolean
  fail(reason: StompError): void
}

export interface PressureLimits {
  /** Bytes that may wait for one client, */
  readonly sendBudget: number
  /** and for all of them together. */
  readonly totalSendBudget: number
}

/**
 * What waits for all clients together, and the end of those for whom too much does. Sessions that
 * are pressed are weighed whenever they are sent more; the others, which hold little each, are
 * added up by whoever visits them all now and then.
 */
export class Pressure {
  private readonly limits: PressureLimits
  private readonly stats: Stats
  /** What waited in the buffers of each when it was weighed last. */
  private readonly weights = new Map<Burden, number>()
  /** Of all those, and of what waits in the subscriptions of any. */
  private sum = 0
  /** What waited for all others. */
  private rest = 0
  /** Those that were ended and still have what waited for them, the first first. */
  private readonly leaving = new Map<Burden, number>()
  private leavingSum = 0
  private sweeping = false

  constructor(limits: PressureLimits, stats: Stats) {
    this.limits = limits
    this.stats = stats
  }

  /** A session is pressed and was sent more; so many bytes waited before the last of it. */
  weigh(burden: Burden, waiting: number): void {
    const { sendBudget } = this.limits
    this.put(burden, burden.connection.buffered)
    if (waiting > sendBudget)
      this.end(burden, `More than ${sendBudget} bytes wait to be read by this client (limit send-budget).`)
    else if (this.over) this.sweep()
  }

  /** So many more wait in subscriptions. */
  add(bytes: number): void {
    this.sum += bytes
    if (bytes > 0 && this.over) this.sweep()
  }

  /** It is no longer pressed, or has ended. */
  remove(burden: Burden): void {
    const weight = this.weights.get(burden)
    if (weight === undefined) return
    this.weights.delete(burden)
    this.sum -= weight
  }

  /** Its connection is gone. */
  forget(burden: Burden): void {
    this.leavingSum -= this.leaving.get(burden) ?? 0
    this.leaving.delete(burden)
  }

  /** All have been visited: `rest` bytes wait for those that are not pressed. */
  survey(rest: number, all: Iterable<Burden>): void {
    this.rest = rest
    if (!this.over) return
    // It may be many that hold a little each.
    this.rest = 0
    for (const burden of all) if (!burden.ended) this.put(burden, burden.connection.buffered)
    this.sweep()
    for (const [burden, weight] of this.weights) {
      if (burden.pressed) continue
      this.remove(burden)
      this.rest += weight
    }
  }

  private get over(): boolean {
    return this.sum + this.rest > this.limits.totalSendBudget
  }

  private put(burden: Burden, weight: number): void {
    this.sum += weight - (this.weights.get(burden) ?? 0)
    this.weights.set(burden, weight)
  }

  /** Ends those for whom most waits, or takes from them what they may lose, until all together is within the bound. */
  private sweep(): void {
    // What a session gives back when it ends may press others.
    if (this.sweeping) return
    this.sweeping = true
    // Their clients may have read on since they were weighed.
    for (const burden of this.weights.keys()) this.put(burden, burden.connection.buffered)
    while (this.over) {
      const heaviest = this.heaviest()
      if (heaviest === undefined) break
      if (heaviest.slack !== undefined && heaviest.slack.bytes > 0) heaviest.slack.shed()
      else
        this.end(
          heaviest,
          `More than ${this.limits.totalSendBudget} bytes wait to be read by all clients, most of them by this one (limit total-send-budget).`,
        )
    }
    this.sweeping = false
  }

  private heaviest(): Burden | undefined {
    let heaviest: Burden | undefined
    let most = -1
    for (const [burden, weight] of this.weights) {
      const all = weight + (burden.slack?.bytes ?? 0)
      if (all <= most) continue
      heaviest = burden
      most = all
    }
    return heaviest
  }

  private end(burden: Burden, reason: string): void {
    const weight = this.weights.get(burden) ?? 0
    this.remove(burden)
    this.stats.slowConsumers++
    burden.fail(new StompError('slow-consumer', reason))
    // What it has is only freed when it is gone, for which clients are given time: but not all at once.
    this.leaving.set(burden, weight)
    this.leavingSum += weight
    for (const [first] of this.leaving) {
      if (this.leavingSum <= this.limits.totalSendBudget) break
      this.forget(first)
      first.connection.terminate()
    }
  }
}
