import type { Counts } from './counts.ts'

/** What a shelf tells of itself. */
interface Keeper {
  touch(shelf: Shelf): void
}

/** What one queue has on disk, as it will be when all that was said is written. */
export class Shelf implements Counts {
  readonly number: number
  messages = 0
  bytes = 0
  /** No message has had a higher key. */
  last = 0
  /**
   * Up to this key messages may have been handed out: after a crash they count as redelivered. It
   * is on disk before any of them is.
   */
  mark = 0
  /** The same as of the last start: these may have been handed out before a crash. */
  suspect = 0
  /** Up to this key messages may be handed out. */
  safe = 0
  /** Its queue has ended. */
  buried = false
  /** Is called when `safe` has grown. */
  whenSafe: (() => void) | undefined
  private readonly keeper: Keeper

  constructor(keeper: Keeper, number: number, counts?: Counts) {
    this.keeper = keeper
    this.number = number
    if (counts === undefined) return
    this.messages = counts.messages
    this.bytes = counts.bytes
    this.last = counts.last
    this.mark = counts.mark
    this.suspect = counts.mark
    this.safe = counts.mark
  }

  change(messages: number, bytes: number): void {
    this.messages += messages
    this.bytes += bytes
  }

  /** What was handed out since the last start has been noted one by one, or is done with. */
  rest(): void {
    this.mark = this.suspect
    this.keeper.touch(this)
  }

  /** Messages up to this key are about to be handed out. */
  want(key: number): void {
    if (key <= this.mark) return
    this.mark = key
    this.keeper.touch(this)
  }

  /** A mark is on disk. */
  assure(mark: number): void {
    if (mark <= this.safe) return
    this.safe = mark
    this.whenSafe?.()
  }
}
