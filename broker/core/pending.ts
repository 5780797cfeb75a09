import type { Settling } from '../engine/engine.ts'
import { footprint, type Frame } from '../protocol/frame.ts'
import { EVERYTHING, type Inbox } from './inbox.ts'

/** Who answers the frames. */
export interface PendingHost {
  receipt(frame: Frame | undefined): void
  fail(reason: unknown, frame?: Frame): void
}

/** What is to follow the work of earlier frames. */
interface Follower {
  /** It also waits for what waits for room in a queue. */
  readonly patient: boolean
  readonly follow: () => void
}

/** The work of one session's frames that is not done yet, and what is to follow it. */
export class Pending {
  private readonly inbox: Inbox
  private readonly host: PendingHost
  private count = 0
  /** Those of them that wait for room in a queue, which may never come. */
  private blocked = 0
  private followers: Follower[] = []

  constructor(inbox: Inbox, host: PendingHost) {
    this.inbox = inbox
    this.host = host
  }

  /** Receipt and `then` once the work is done; `undo` and an ERROR if it failed. */
  add(frame: Frame | undefined, done: Settling, then?: () => void, undo?: () => void): void {
    const full = done.full === true
    const bytes = full ? EVERYTHING : frame === undefined ? 0 : footprint(frame)
    this.inbox.hold(bytes)
    this.count++
    if (full) this.blocked++
    const leave = (): void => {
      this.inbox.settle(bytes)
      this.count--
      if (full) this.blocked--
      this.advance()
    }
    done.then(
      () => {
        this.host.receipt(frame)
        then?.()
        leave()
      },
      (error: unknown) => {
        undo?.()
        this.host.fail(error, frame)
        leave()
      },
    )
  }

  /** Once nothing is pending; at once if nothing is. */
  afterAll(follow: () => void): void {
    this.followers.push({ patient: true, follow })
    this.advance()
  }

  /** Once the engine has what it took: what waits for room in a queue has not been accepted yet. */
  afterAccepted(follow: () => void): void {
    this.followers.push({ patient: false, follow })
    this.advance()
  }

  private advance(): void {
    if (this.followers.length === 0) return
    const due = this.followers.filter(({ patient }) => this.count === (patient ? 0 : this.blocked))
    this.followers = this.followers.filter((follower) => !due.includes(follower))
    for (const { follow } of due) follow()
  }
}
