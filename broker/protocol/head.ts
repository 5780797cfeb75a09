/** What can be seen in the bytes of a head without reading it line by line. */
import { holds, Sample } from './bytes.ts'
import { COMMANDS, FOUND, MEANINGFUL, type Command, type Layout } from './frame.ts'

const COLON = 58

/** What the bytes of a head ask for: nothing, a look, or to read the head line by line. */
export const ORDINARY = 0
const LOOK = 1
const ODD = 2
export const KINDS: Uint8Array = new Uint8Array(256).fill(ODD, 0x80)
KINDS.fill(LOOK, 0, 0x21)
KINDS[COLON] = LOOK
KINDS[0x5c] = ODD

/** Names are told apart by their length and their first byte before they are compared. */
const LONGEST_NAME = 31
const spot = (length: number, first: number): number => (length << 7) | (first & 0x7f)

const byName: readonly (readonly string[] | undefined)[] = spots([...FOUND, ...MEANINGFUL])
const byCommand: readonly (readonly Command[] | undefined)[] = spots(COMMANDS)

function spots<T extends string>(names: Iterable<T>): readonly (readonly T[] | undefined)[] {
  const table: (T[] | undefined)[] = Array<undefined>(spot(LONGEST_NAME, 0x7f) + 1).fill(undefined)
  for (const name of names) {
    const at = spot(name.length, name.charCodeAt(0))
    const list = table[at]
    if (list === undefined) table[at] = [name]
    else list.push(name)
  }
  return table
}

/** The lines of the head that is being looked at: where each begins, and the length of its name. */
const MOST_LINES = 64
export const starts: Int32Array = new Int32Array(MOST_LINES)
const lengths = new Int32Array(MOST_LINES)

/** What is found in the head that is being looked at. One is enough: heads are looked at one by one. */
export class Finds implements Layout {
  destination: string | undefined
  /** Its value and the line's end. */
  named = 0
  namedEnd = 0
  receiptLine = 0
  receipt = 0
  receiptEnd = 0
  id = 0
  idEnd = 0
  contentLength = -1
  /** Which names there have been, roughly. */
  private seen = 0

  clear(): void {
    this.named = 0
    this.receipt = 0
    this.id = 0
    this.contentLength = -1
    this.seen = 0
  }

  /** Takes note of a line; false if the head has to be read line by line for it. */
  take(buffer: Buffer, count: number, start: number, colon: number, end: number): boolean {
    const length = colon - start
    if (length < 1 || length > LONGEST_NAME || count >= MOST_LINES) return false
    starts[count] = start
    lengths[count] = length
    const first = buffer[start] as number // start < colon < buffer.length
    const last = buffer[colon - 1] as number
    const bit = 1 << ((length + first * 5 + last * 11) & 31)
    if ((this.seen & bit) !== 0 && repeats(buffer, count)) return false
    this.seen |= bit
    switch (lookUp(byName, buffer, start, colon)) {
      case undefined:
        return true
      case 'destination':
        this.named = colon + 1
        this.namedEnd = end
        return true
      case 'receipt':
        this.receiptLine = start
        this.receipt = colon + 1
        this.receiptEnd = end
        return true
      case 'id':
        this.id = colon + 1
        this.idEnd = end
        return true
      case 'content-length':
        this.contentLength = digits(buffer, colon + 1, end)
        return this.contentLength >= 0
      default:
        return false
    }
  }
}

export const found: Finds = new Finds()

/** Whether the name of the last line that was seen stood in one before it. */
function repeats(buffer: Buffer, last: number): boolean {
  const start = starts[last] as number
  const length = lengths[last] as number // `last` has been written
  for (let index = 0; index < last; index++) {
    if (lengths[index] !== length) continue
    const other = starts[index] as number // index < last
    let at = 0
    while (at < length && buffer[start + at] === buffer[other + at]) at++
    if (at === length) return true
  }
  return false
}

function lookUp<T extends string>(
  table: readonly (readonly T[] | undefined)[],
  buffer: Buffer,
  from: number,
  to: number,
): T | undefined {
  if (to - from > LONGEST_NAME || to === from) return undefined
  const candidates = table[spot(to - from, buffer[from] as number)] // from < to
  if (candidates === undefined) return undefined
  for (let index = 0; index < candidates.length; index++) {
    const name = candidates[index] as T // index < length
    if (holds(buffer, from, to, name)) return name
  }
  return undefined
}

/** The command from `from` up to `to`. */
export function commandAt(buffer: Buffer, from: number, to: number): Command | undefined {
  return lookUp(byCommand, buffer, from, to)
}

/** A number of at most 15 digits, written as one writes it; -1 for anything else. */
function digits(buffer: Buffer, from: number, to: number): number {
  if (to === from || to - from > 15 || (buffer[from] === 48 && to - from > 1)) return -1
  let value = 0
  for (let at = from; at < to; at++) {
    const digit = (buffer[at] as number) - 48 // at < to
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

/**
 * A head that came before, to know the next one by that is like it, or but for the value of one header:
 * clients send to one destination again and again, or acknowledge one message after the other.
 */
export class Habit {
  readonly command: Command
  readonly count: number
  /** Where the first header line begins, counted from the frame's first byte. */
  readonly lines: number
  readonly destination: string | undefined
  private readonly contentLength: number
  /** The header that varies, if any does, and where its line begins. */
  private readonly varying: 'receipt' | 'id' | undefined
  private readonly line: number
  /** All of the head where nothing varies. */
  private readonly before: Sample
  private readonly behind: Sample

  /** Of the head that was just looked at, which has at most one of `receipt` and `id`. */
  constructor(command: Command, count: number, buffer: Buffer, start: number, lines: number, blank: number) {
    const { destination, contentLength, receipt, receiptLine, id } = found
    const [from, to] = varied(blank)
    this.command = command
    this.count = count
    this.lines = lines - start
    this.destination = destination
    this.contentLength = contentLength
    this.varying = receipt > 0 ? 'receipt' : id > 0 ? 'id' : undefined
    this.line = (receipt > 0 ? receiptLine : id - 'id:'.length) - start
    this.before = new Sample(buffer, start, from)
    this.behind = new Sample(buffer, to, blank + 1)
  }

  /** Finds what is in the head from `start` on; where its empty line is, or -1 for another kind of head. */
  find(buffer: Buffer, start: number, end: number, maxLine: number): number {
    const from = start + this.before.length
    if (from > end || !this.before.stands(buffer, start)) return -1
    found.clear()
    found.destination = this.destination
    found.contentLength = this.contentLength
    if (this.varying === undefined) return from - 1
    let to = from
    while (to < end && KINDS[buffer[to] as number] === ORDINARY) to++ // to < end <= buffer.length
    const blank = to + this.behind.length - 1
    if (blank >= end || to - start - this.line > maxLine || !this.behind.stands(buffer, to)) return -1
    if (this.varying === 'receipt') {
      found.receiptLine = start + this.line
      found.receipt = from
      found.receiptEnd = to
    } else {
      found.id = from
      found.idEnd = to
    }
    return blank
  }
}

/** Heads that are remembered: a client that never repeats one is not to drive out the others' for long. */
export const MOST_HABITS = 4_096

/** The habits of all connections of a broker: those that write to one destination write the same heads. */
export class Habits {
  private readonly known = new Map<string, Habit>()

  /** The one of the head that was just looked at, as the constructor of Habit wants it. */
  of(command: Command, count: number, buffer: Buffer, start: number, lines: number, blank: number): Habit {
    const [from, to] = varied(blank)
    // No NUL stands in a head.
    const key = `${buffer.toString('latin1', start, from)}\0${buffer.toString('latin1', to, blank)}`
    let habit = this.known.get(key)
    if (habit === undefined) {
      if (this.known.size >= MOST_HABITS) this.known.clear()
      habit = new Habit(command, count, buffer, start, lines, blank)
      this.known.set(key, habit)
    }
    return habit
  }
}

/** What differs between two heads of one habit: the value of its receipt or id, else nothing. */
function varied(blank: number): readonly [from: number, to: number] {
  const { receipt, receiptEnd, id, idEnd } = found
  return receipt > 0 ? [receipt, receiptEnd] : id > 0 ? [id, idEnd] : [blank + 1, blank + 1]
}
