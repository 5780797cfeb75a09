import type { Entry } from './entry.ts'
import { Expiries } from './expiries.ts'
import type { Schedule, Task } from './schedule.ts'

/** Milliseconds between two searches for what has expired. */
export const SWEEP_PAUSE = 1_000
/** Messages that expire in a turn of the event loop, before everybody else gets theirs. */
const SWEPT_A_TURN = 1_024
/** Times in a turn that more is taken into memory for that. */
const FETCHES_A_TURN = 8

/** Whose messages expire. */
interface Swept {
  /** The time of an entry that waits is over. */
  expire(entry: Entry): void
  /** When the first that is not in memory expires, if nothing that is in memory comes before it; else Infinity. */
  readonly nextAway: number
  /** Takes some of those into memory, where they expire or are watched. */
  fetch(): void
  /** Some may have expired by themselves. */
  stirred(): void
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

  /** Something that is not in memory expires then. */
  expect(expires: number): void {
    if (expires < this.due) this.plan(expires)
  }

  /** An entry that was watched does not wait any more. */
  forget(): void {
    this.expiries.forget()
  }

  /** Ends what has expired, until there is enough of it. */
  sweep(enough: () => boolean): void {
    const now = Date.now()
    let fetches = 0
    while (!enough()) {
      // It may be gone with the queue by now.
      const entry = this.ended ? undefined : this.expiries.take(now)
      if (entry !== undefined) this.queue.expire(entry)
      else if (this.queue.nextAway <= now && fetches++ < FETCHES_A_TURN) this.queue.fetch()
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
      const next = this.ended ? Infinity : Math.min(this.expiries.next ?? Infinity, this.queue.nextAway)
      const end = Date.now()
      // What is left over comes at once.
      this.earliest = next <= end ? end : end + SWEEP_PAUSE
      if (next < Infinity) this.plan(next)
      this.queue.stirred()
    })
  }
}
