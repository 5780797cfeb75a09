import { availableParallelism } from 'node:os'
import { flush } from './connection.ts'

/** Who sends what is due. */
export interface Sender {
  /** Microseconds. */
  clock(): number
  publishDue(turn: number, due: number, now: number): boolean
  rested(since: number, now: number): void
}

/** Messages sent in one turn of the event loop, so that others are read meanwhile. */
const BURST = 256
/** Microseconds before a message is due in which timers are too coarse to wait for it. */
const COARSE = 2_000

/** Sends messages when they are due, whatever has become of those before: nobody waits for a slow broker. */
export class Pacer {
  private readonly rate: number
  private readonly sender: Sender
  private readonly began: number
  // With one core, to watch the clock would take it away from the broker.
  private readonly watches = availableParallelism() > 1
  private turn = 0
  private last: number
  private timer: NodeJS.Timeout | undefined
  private stopped = false

  /** `rate` is in messages per second. */
  constructor(rate: number, sender: Sender) {
    this.rate = rate
    this.sender = sender
    this.began = this.last = sender.clock()
  }

  start(): void {
    this.go()
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
  }

  /** How many messages were due in that time and are not sent. */
  arrears(from: number, until: number): number {
    const first = Math.max(from, this.due())
    return Math.max(0, Math.floor(((until - first) * this.rate) / 1e6))
  }

  private due(): number {
    return Math.floor(this.began + (this.turn * 1e6) / this.rate)
  }

  private readonly go = (): void => {
    if (this.stopped) return
    const now = this.sender.clock()
    this.sender.rested(this.last, now)
    this.last = now
    let due = this.due()
    for (let count = 0; due <= now && count < BURST; count++) {
      if (!this.sender.publishDue(this.turn, due, now)) break
      this.turn++
      due = this.due()
    }
    flush()
    const wait = due - now
    if (this.watches && wait < COARSE) setImmediate(this.go)
    else {
      const sleep = Math.max(1, Math.floor((wait - (this.watches ? COARSE : 0)) / 1000))
      this.timer = setTimeout(() => {
        this.last = this.sender.clock()
        this.go()
      }, sleep)
    }
  }
}
