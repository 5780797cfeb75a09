import type { Logger } from 'pino'
import type { Stats } from '../model/stats.ts'
import type { Pressure } from './pressure.ts'

/** What becomes of a subscriber that cannot keep up with a topic. */
export type SlowPolicy = 'disconnect' | 'drop-oldest' | 'keep-latest'
/** Those that cost it messages rather than its connection. */
export type Lenient = Exclude<SlowPolicy, 'disconnect'>

export interface LeniencyLimits {
  /** Messages that wait in one subscription. */
  readonly slowMessages: number
  /** Bytes of what waits in the subscriptions of one session. */
  readonly sendBudget: number
}

/** Names whose policy is remembered. */
const KNOWN = 10_000

/** Which topics spare their slow subscribers, and how far. */
export class Leniency {
  readonly limits: LeniencyLimits
  readonly stats: Stats
  readonly log: Logger
  readonly pressure: Pressure
  /** Another number whenever a subscriber that is sent things together with others has begun or ceased to lag. */
  changes = 0
  private readonly judge: (destination: string) => SlowPolicy
  private readonly known = new Map<string, SlowPolicy>()

  constructor(
    judge: (destination: string) => SlowPolicy,
    limits: LeniencyLimits,
    stats: Stats,
    log: Logger,
    pressure: Pressure,
  ) {
    this.judge = judge
    this.limits = limits
    this.stats = stats
    this.log = log
    this.pressure = pressure
  }

  /** Undefined where slow subscribers are disconnected. */
  policy(destination: string): Lenient | undefined {
    let policy = this.known.get(destination)
    if (policy === undefined) {
      policy = this.judge(destination)
      // Emptied rather than aged: it refills in no time.
      if (this.known.size >= KNOWN) this.known.clear()
      this.known.set(destination, policy)
    }
    return policy === 'disconnect' ? undefined : policy
  }
}
