import type { Entry } from './entry.ts'

/** Entries a piece holds before it is cut in two. */
const PIECE = 512

/**
 * Entries by rank, to be taken from any place: a list in pieces, so that a step costs a search
 * and the moving of one piece, however long the list is. No two entries have the same rank.
 */
export class Ranking {
  /** None is empty. */
  private pieces: Entry[][] = []
  private count = 0

  get size(): number {
    return this.count
  }

  clear(): void {
    this.pieces = []
    this.count = 0
  }

  insert(entry: Entry): void {
    this.count++
    const last = this.pieces.at(-1)
    if (last === undefined) return void this.pieces.push([entry])
    if (entry.rank > (last.at(-1)?.rank ?? 0)) {
      // Most come here: pieces that are only ever appended to are full ones.
      if (last.length < PIECE) last.push(entry)
      else this.pieces.push([entry])
      return
    }
    const at = this.pieceOf(entry.rank)
    const piece = this.pieces[at] as Entry[] // a last rank is not below it
    piece.splice(firstFrom(piece, entry.rank), 0, entry)
    if (piece.length > PIECE) this.pieces.splice(at + 1, 0, piece.splice(PIECE >> 1))
  }

  remove(entry: Entry): void {
    const at = this.pieceOf(entry.rank)
    const piece = this.pieces[at]
    const index = piece === undefined ? 0 : firstFrom(piece, entry.rank)
    if (piece?.[index] !== entry) return
    this.count--
    piece.splice(index, 1)
    if (piece.length === 0) this.pieces.splice(at, 1)
  }

  at(rank: number): Entry | undefined {
    const piece = this.pieces[this.pieceOf(rank)]
    const entry = piece?.[firstFrom(piece, rank)]
    return entry?.rank === rank ? entry : undefined
  }

  /** The first behind a rank. */
  after(rank: number): Entry | undefined {
    // Ranks are whole numbers.
    const piece = this.pieces[this.pieceOf(rank + 1)]
    return piece?.[firstFrom(piece, rank + 1)]
  }

  /** The first behind a rank that passes the test, which is asked in order. */
  find(rank: number, test: (entry: Entry) => boolean): Entry | undefined {
    let at = this.pieceOf(rank + 1)
    let piece = this.pieces[at]
    let index = piece === undefined ? 0 : firstFrom(piece, rank + 1)
    while (piece !== undefined) {
      const entry = piece[index++]
      if (entry === undefined) {
        piece = this.pieces[++at]
        index = 0
      } else if (test(entry)) {
        return entry
      }
    }
    return undefined
  }

  /** The next behind a rank, in order. */
  page(rank: number, limit: number): readonly Entry[] {
    const entries: Entry[] = []
    this.find(rank, (entry) => entries.push(entry) >= limit)
    return entries
  }

  /** The first piece that ends with `rank` or behind it. */
  private pieceOf(rank: number): number {
    let low = 0
    let high = this.pieces.length
    while (low < high) {
      const middle = (low + high) >> 1
      const end = this.pieces[middle]?.at(-1) as Entry // middle < length, and none is empty
      if (end.rank < rank) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Index of the first entry with `rank` or a later one. */
function firstFrom(piece: readonly Entry[], rank: number): number {
  let low = 0
  let high = piece.length
  while (low < high) {
    const middle = (low + high) >> 1
    const entry = piece[middle] as Entry // middle < length
    if (entry.rank < rank) low = middle + 1
    else high = middle
  }
  return low
}
