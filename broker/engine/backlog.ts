import type { Message } from '../model/message.ts'
import type { Tries } from './counts.ts'
import { Fifo } from './fifo.ts'
import { readRecord, RecordError, sizeOf } from './record.ts'
import type { Shelf } from './shelf.ts'
import type { Store } from './store.ts'

/** Messages and bytes that are taken into memory at a time: at least one. */
const PAGE = 256
const PAGE_BYTES = 256 * 1024
/** Bytes of messages on disk that are looked at in a page, and one message more. */
const PEEKED_BYTES = 1024 * 1024

/** A message that is on disk. */
export interface Found {
  readonly key: number
  readonly message: Message
  /** When it expires, in milliseconds since the epoch; 0 for never. */
  readonly until: number
  /** How often it was handed out and refused, if that is known. */
  readonly tries: Tries | undefined
}

/** One that waits for its time, in milliseconds since the epoch. */
export interface Late extends Found {
  readonly due: number
}

/** What is in memory and has its place among them. The first one has number 1. */
export interface Guest<T> {
  readonly number: number
  readonly item: T
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
  /** Those behind this key are on disk, but not in the queue yet. */
  private end = 0
  private count = 0
  /** What is in memory and came behind what is on disk. */
  private readonly guests = new Fifo<{ readonly behind: number; readonly item: T }>()
  /** Of guests, those that have left and all there were. */
  private left = 0
  private came = 0
  /** When the first behind a cursor expires. */
  private first: { readonly cursor: number; readonly until: number } | undefined

  constructor(store: Store, shelf: Shelf) {
    this.store = store
    this.shelf = shelf
  }

  /** Everything that comes has to stand behind it. */
  get active(): boolean {
    return this.count > 0
  }

  /** All on disk is in it, so many messages. */
  begin(count: number): void {
    this.count = count
    this.end = this.shelf.last
  }

  /** One more on disk. */
  push(key: number): void {
    if (this.count === 0) this.cursor = key - 1
    this.count++
    this.end = key
  }

  /** One that is in memory comes behind it. */
  seat(item: T): void {
    this.came++
    this.guests.push({ behind: this.end, item })
  }

  /** When its first message on disk expires, in milliseconds since the epoch; 0 for never. */
  get until(): number {
    const { cursor } = this
    if (this.first?.cursor !== cursor) {
      const [item] = this.active ? this.read(cursor, 1, Infinity) : []
      this.first = { cursor, until: item !== undefined && 'message' in item ? item.until : 0 }
    }
    return this.first.until
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

  /** How many guests there have been. */
  get guestsSoFar(): number {
    return this.came
  }

  /** What comes behind a key and a guest, a page of it, left where it is. */
  peek(key: number, guest: number, limit: number): readonly (Found | Guest<T>)[] {
    if (!this.active) return []
    const page: (Found | Guest<T>)[] = []
    let number = Math.max(guest, this.left)
    const addUpTo = (end: number): void => {
      for (; page.length < limit; number++) {
        const next = this.guests.at(number - this.left)
        if (next === undefined || next.behind >= end) return
        page.push({ number: number + 1, item: next.item })
      }
    }
    const found = this.read(Math.max(key, this.cursor), limit, PEEKED_BYTES)
    for (const item of found) {
      addUpTo(item.key)
      if (page.length >= limit) return page
      if ('message' in item) page.push(item)
    }
    if (found.length === 0) addUpTo(Infinity)
    return page
  }

  private seatUpTo(key: number, guest: (item: T) => void): void {
    for (;;) {
      const next = this.guests.peek()
      if (next === undefined || next.behind >= key) return
      this.guests.shift()
      this.left++
      guest(next.item)
    }
  }

  private read(after: number, limit: number, maxBytes: number): (Found | Damaged)[] {
    const { store, shelf, end } = this
    const records: (readonly [number, Buffer])[] = []
    let bytes = 0
    for (const record of store.messages(shelf.number, after + 1, end + 1, limit)) {
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
        if (error instanceof RecordError) return { key, size: sizeOf(record), reason: error }
        throw error
      }
    })
  }
}
