/** Counts the turns of the event loop in which anybody asked. */
export class Turns {
  private count = 0
  private ending = false

  /** The same number until this turn is over. */
  current(): number {
    if (!this.ending) {
      this.ending = true
      setImmediate(() => {
        this.ending = false
        this.count++
      })
    }
    return this.count
  }
}
