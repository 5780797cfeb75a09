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

/** How much one session may do in a turn, before the others get theirs. */
export class Share {
  private readonly turns: Turns
  private readonly size: number
  private turn = 0
  private taken = 0

  constructor(turns: Turns, size: number) {
    this.turns = turns
    this.size = size
  }

  /** False when this turn's share is used up. */
  get left(): boolean {
    return this.taken < this.size || this.turns.current() !== this.turn
  }

  /** False when this turn's share was used up before. */
  take(): boolean {
    const turn = this.turns.current()
    if (turn !== this.turn) {
      this.turn = turn
      this.taken = 0
    }
    return ++this.taken <= this.size
  }
}
