import type { Entry } from './entry.ts'
import { Expiries } from './expiries.ts'
import type { Schedule, Task } from './schedule.ts'

/** Milliseconds between two searches for what has expired. */
export const SWEEP_PAUSE = 1_000
/** Messages that expire in a turn of the event loop, before everybody else gets theirs. */
const SWEPT_A_TURN = 1_024

/** Times that more is fetched from the disk in a turn of the event loop. */
const FETCHED_A_TURN = 8

/** Whose messages expire. */
interface Swept {
  /** The time of an entry that waits is over. */
  expire(entry: Entry): void
  /** Some may have expired by themselves. */
  stirred(): void
  /** When the next expires of those that are on disk only: milliseconds since the epoch, or Infinity. */
  readonly diskDue: number
  /** Some of these come into memory, and expire there. */
  fetch(): void
}

/** Ends the messages of a queue when they have expired, by a timer or when their room is wanted. */
export class Sweeper {
  private readonly queue: Swept
  private readonly schedule: Schedule
  private readonly expiries = new Expiries<Entry>(({ state }) => state === 'waiting' || state === 'delayed')
  private task: Task | undefined
  /** When it is due, and when it may be: milliseconds since the epoch. */
  private due = Infinity
  private earliest = 0
  private ended = false

  constructor(queue: Swept, schedule: Schedule) {
    this.queue = queue
    this.schedule = schedule
  }

  watch(entry: Entry): void {
    this.expiries.add(entry)
    if (entry.expires < this.due) this.plan(entry.expires)
  }

  /** What is on disk only is to be ended as well. */
  attend(): void {
    const due = this.queue.diskDue
    if (due < this.due) this.plan(due)
  }

  /** An entry that was watched does not wait any more. */
  forget(): void {
    this.expiries.forget()
  }

  /** Ends what has expired, until there is enough of it. */
  sweep(enough: () => boolean): void {
    const now = Date.now()
    let fetched = 0
    // It may end with the queue.
    while (!this.ended && !enough()) {
      const entry = this.expiries.take(now)
      if (entry !== undefined) this.queue.expire(entry)
      else if (this.queue.diskDue <= now && fetched++ < FETCHED_A_TURN) this.queue.fetch()
      else return
    }
  }

  end(): void {
    this.ended = true
    this.task?.cancel()
  }

  private plan(expires: number): void {
    this.task?.cancel()
    const now = Date.now()
    // The clock may have been set back.
    this.due = Math.max(expires, Math.min(this.earliest, now + SWEEP_PAUSE))
    this.task = this.schedule.add(this.due - now, () => {
      this.task = undefined
      this.due = Infinity
      let count = 0
      this.sweep(() => count++ === SWEPT_A_TURN)
      const next = this.ended ? Infinity : Math.min(this.expiries.next ?? Infinity, this.queue.diskDue)
      const end = Date.now()
      // What is left over comes at once.
      this.earliest = next <= end ? end : end + SWEEP_PAUSE
      if (next < Infinity) this.plan(next)
      this.queue.stirred()
    })
  }
}
