import { TICK, type Ticking } from './heartbeat.ts'
import type { Burden, Pressure } from './pressure.ts'

export interface Visited extends Burden {
  /** `clock` counts milliseconds, without those in which this process did nothing. */
  visit(clock: number): void
}

/** Milliseconds in which everybody is visited, at most. */
const LONGEST_ROUND = 5_000

/** Visits all sessions one after the other, a few each tick: there may be very many, and most are idle. */
export class Rounds implements Ticking {
  private readonly sessions: ReadonlySet<Visited>
  private readonly pressure: Pressure
  private readonly length: number
  private clock = 0
  private due = 0
  private next: Iterator<Visited> | undefined
  /** Visits before the next round. Those who come meanwhile wait for that one, or it would never begin. */
  private left = 0
  private waiting = 0

  constructor(sessions: ReadonlySet<Visited>, pressure: Pressure, pingInterval: number) {
    this.sessions = sessions
    this.pressure = pressure
    this.length = Math.min(Math.max(pingInterval / 4, TICK), LONGEST_ROUND)
  }

  tick(_elapsed: number, counted: number): void {
    this.clock += counted
    const { size } = this.sessions
    this.due = Math.min(this.due + (size * counted) / this.length, size)
    for (; this.due >= 1; this.due--) {
      const session = this.step()
      if (session === undefined) return
      session.visit(this.clock)
      if (!session.pressed && !session.ended) this.waiting += session.connection.buffered
    }
  }

  private step(): Visited | undefined {
    if (this.left === 0 || this.next === undefined) this.begin()
    this.left--
    const result = this.next?.next()
    if (result?.done === false) return result.value
    this.left = 0
    return undefined
  }

  private begin(): void {
    if (this.next !== undefined) this.pressure.survey(this.waiting, this.sessions)
    this.waiting = 0
    this.left = this.sessions.size
    this.next = this.sessions.values()
  }
}
