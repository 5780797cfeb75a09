import type { Entry } from './entry.ts'
import type { Schedule } from './schedule.ts'

/** Deliveries that may be young at a time: each holds up what a socket reads at once, 64 KiB, or little more. */
const MOST = 1_024
/** What is as large was read into memory of its own, where it stays; here it would be held up when it is acked. */
const LARGE = 64 * 1024
/** Milliseconds after which nothing is young any more. */
const YOUTH = 1_000

/**
 * Messages that were handed out just now. Nearly all are acked in no time, so they are left where
 * they were read; what is still out when its youth is over is taken out of there.
 */
export class Young {
  private readonly schedule: Schedule
  private readonly entries: (Entry | undefined)[] = []
  private next = 0
  private watched = false

  constructor(schedule: Schedule) {
    this.schedule = schedule
  }

  add(entry: Entry): void {
    if (entry.message.size >= LARGE) return settle(entry)
    const { next } = this
    settle(this.entries[next])
    this.entries[next] = entry
    this.next = (next + 1) % MOST
    if (this.watched) return
    this.watched = true
    this.schedule.add(YOUTH, () => this.clear())
  }

  private clear(): void {
    this.watched = false
    this.next = 0
    for (const entry of this.entries.splice(0)) settle(entry)
  }
}

function settle(entry: Entry | undefined): void {
  if (entry?.state === 'out') entry.message.detach()
}
