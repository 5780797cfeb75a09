import { Backlog } from './backlog.ts'
import type { Entry } from './entry.ts'
import type { Journal } from './journal.ts'
import { DELAYED } from './keys.ts'
import type { Shelf } from './shelf.ts'
import { Shelved } from './shelved.ts'

/** Keys ahead of those in memory that a queue with a backlog may hand out without asking again. */
const AHEAD = 4_096

/** What of a queue is on disk, and how its messages come and go there. */
export class Depot {
  readonly shelf: Shelf
  readonly backlog: Backlog<Entry>
  private readonly journal: Journal
  /** The highest key in memory. */
  private reached = 0

  /** `whenSafe` is called when more may be handed out. */
  constructor(journal: Journal, shelf: Shelf, whenSafe: () => void) {
    this.journal = journal
    this.shelf = shelf
    this.backlog = new Backlog(journal.store, shelf)
    shelf.whenSafe = whenSafe
  }

  /** An entry is in memory, in its place. */
  admit(key: number): void {
    if (key > this.reached && key < DELAYED) this.reached = key
  }

  /**
   * Whether nothing is to be handed out yet: it must be on disk first that it may have been, or a
   * message might come again after a crash without a word.
   */
  holds(): boolean {
    const { shelf, reached } = this
    const wanted = this.backlog.active ? reached + AHEAD : reached
    if (shelf.mark < wanted - AHEAD / 2) shelf.want(wanted)
    if (reached <= shelf.safe) return false
    shelf.want(reached)
    // While nothing can be written, what is there goes on being consumed.
    return this.journal.failing === undefined
  }

  remove({ key, message, attempt }: Entry): void {
    if (key > 0) this.journal.remove(this.shelf, key, message.size, attempt > 1)
  }

  /** A message that cannot be read. */
  removeDamaged(key: number, size: number): void {
    this.journal.remove(this.shelf, key, size, true)
  }

  /** It came back. */
  note({ key, attempt, refusals }: Entry): void {
    if (key > 0) this.journal.tries(this.shelf, key, attempt, refusals)
  }

  /** Leaves its content on disk. */
  shelve({ key, message }: Entry): void {
    if (key > 0) message.shelve(new Shelved(this.journal.store, this.shelf, key, message.bodySize))
  }

  /** How often a message of this key may have been handed out, as far as is known without a note. */
  attemptOf(key: number): number {
    return key <= this.shelf.suspect ? 2 : 1
  }
}
