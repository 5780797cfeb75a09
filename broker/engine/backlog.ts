import type { Message } from '../model/message.ts'
import { Fifo } from './fifo.ts'
import { DELAYED } from './keys.ts'
import { readRecord, RecordError, sizeOf } from './record.ts'
import type { Shelf } from './shelf.ts'
import type { Store, Tries } from './store.ts'

/** Messages and bytes that are taken into memory at a time: at least one. */
const PAGE = 256
const PAGE_BYTES = 256 * 1024

/** A message that is on disk. */
export interface Found {
  readonly key: number
  readonly message: Message
  /** When it expires, in milliseconds since the epoch; 0 for never. */
  readonly until: number
  /** How often it was handed out and refused, if that is known. */
  readonly tries: Tries | undefined
}

/** A record that cannot be read. */
export interface Damaged {
  readonly key: number
  readonly size: number
  readonly reason: RecordError
}

/**
 * The part of a queue that is only on disk, behind all that is in memory, but for messages that
 * are never on disk: those stand where they came.
 */
export class Backlog<T> {
  private readonly store: Store
  private readonly shelf: Shelf
  /** Messages up to this key are in memory, or gone. */
  private cursor = 0
  private count = 0
  /** What is in memory and came behind what is on disk. */
  private readonly guests = new Fifo<{ readonly behind: number; readonly item: T }>()

  constructor(store: Store, shelf: Shelf) {
    this.store = store
    this.shelf = shelf
  }

  /** Everything that comes has to stand behind it. */
  get active(): boolean {
    return this.count > 0
  }

  /** Where it begins. */
  get start(): number {
    return this.cursor
  }

  /** All on disk from this key on is in it, so many messages. */
  begin(key: number, count: number): void {
    this.cursor = key - 1
    this.count = count
  }

  /** One more on disk. */
  push(key: number): void {
    if (this.count === 0) this.cursor = key - 1
    this.count++
  }

  /** One that is in memory comes behind it. */
  seat(item: T): void {
    this.guests.push({ behind: this.shelf.last, item })
  }

  /** Takes a page out, in order. */
  take(found: (item: Found) => void, guest: (item: T) => void, damaged: (item: Damaged) => void): void {
    const page = this.read(this.cursor, PAGE, PAGE_BYTES)
    for (const item of page) {
      this.seatUpTo(item.key, guest)
      this.cursor = item.key
      this.count--
      if ('message' in item) found(item)
      else damaged(item)
    }
    if (page.length === 0) this.count = 0
    if (this.count === 0) this.seatUpTo(Infinity, guest)
  }

  /** What comes behind a key, a page of it, left where it is. */
  peek(key: number, limit: number): readonly Found[] {
    if (!this.active) return []
    return this.read(Math.max(key, this.cursor), limit, Infinity).filter((item) => 'message' in item)
  }

  private seatUpTo(key: number, guest: (item: T) => void): void {
    for (;;) {
      const next = this.guests.peek()
      if (next === undefined || next.behind >= key) return
      this.guests.shift()
      guest(next.item)
    }
  }

  private read(after: number, limit: number, maxBytes: number): (Found | Damaged)[] {
    const { store, shelf } = this
    const records: (readonly [number, Buffer])[] = []
    let bytes = 0
    for (const record of store.messages(shelf.number, after + 1, DELAYED, limit)) {
      records.push(record)
      bytes += record[1].length
      if (bytes >= maxBytes) break
    }
    const last = records.at(-1)
    const tries = last === undefined ? undefined : store.tries(shelf.number, after + 1, last[0])
    return records.map(([key, record]) => {
      try {
        const { message, until } = readRecord(record)
        return { key, message, until, tries: tries?.get(key) }
      } catch (error) {
        if (error instanceof RecordError)
          return { key, size: record.length < 16 ? 0 : sizeOf(record), reason: error }
        throw error
      }
    })
  }
}
