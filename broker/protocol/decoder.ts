/**
 * Pull parser for STOMP 1.0, 1.1 and 1.2: feed bytes in any split, read frames.
 *
 *   frame   = *EOL command EOL *( name ":" value EOL ) EOL *OCTET NUL      EOL = [CR] LF
 *
 * Deviations, all on the liberal side unless noted: CR LF ends a line on every version; a header
 * splits at its first colon and the value may hold more; a NUL inside the head is refused, because
 * it nearly always means that the blank line is missing and waiting for one would be silence.
 * All size limits live here, so that no frame, finished or not, holds more than its bound.
 */
import { isUtf8 } from 'node:buffer'
import { holds } from './bytes.ts'
import { StompError } from './errors.ts'
import { COMMANDS, Frame, NO_BODY, unescape, type Command, type Headers, type Version } from './frame.ts'
import { commandAt, found, KINDS, ORDINARY, starts, type Habit, type Habits } from './head.ts'
import { quote } from './text.ts'

export interface FrameLimits {
  /** Bytes of the command line. */
  readonly maxCommand: number
  /** Header lines of one frame. */
  readonly maxHeaders: number
  /** Bytes of one header line, as sent. */
  readonly maxHeaderLine: number
  /** Bytes of a body. */
  readonly maxBody: number
  /** Bytes of a whole frame, so also of an unfinished one. */
  readonly maxFrame: number
}

const commands: ReadonlyMap<string, Command> = new Map(COMMANDS.map((command) => [command, command]))
// Only these may have a body (1.2, Body).
const withBody: ReadonlySet<Command> = new Set(['SEND', 'MESSAGE', 'ERROR'])
// What the broker itself must understand is trimmed on 1.0, whose clients pad values; 1.1 and 1.2 forbid it.
const trimmed: ReadonlySet<string> = new Set(
  'accept-version ack content-length content-type destination heart-beat host id login message-id persistent receipt subscription transaction'.split(
    ' ',
  ),
)

const NUL = 0
const LF = 10
const CR = 13
const SPACE = 32
const COLON = 58
const S = 83

/** Bytes of a head that is remembered: a connection is not to hold much while it is silent. */
const LONGEST_HABIT = 1_024

/** Heads that are remembered though the next one was never like them. */
const PATIENCE = 8

export class Decoder {
  /** Set after CONNECT; until then nothing is unescaped. */
  version: Version | undefined
  private readonly limits: FrameLimits
  private readonly habits: Habits
  private buffer: Buffer = NO_BODY
  private end = 0
  /** The buffer is one of our own. */
  private owned = false
  /** Where the frame being read begins. */
  private start = 0
  /** How far it has been looked at. */
  private at = 0
  private lineStart = 0
  private lines = 0
  private highBits = 0
  /** The head has been read, the body has not. */
  private frame: Frame | undefined
  private bodyStart = 0
  /** Of the body, by `content-length`; -1 means up to the NUL. */
  private length = -1
  /** All bytes of the buffer are known to be UTF-8. */
  private utf8 = false
  /** Clients write to the same destination again and again. */
  private destination = ''
  /** Of the heads that begin with S as SEND does, and of others, such as ACK. */
  private sending: Habit | undefined
  private other: Habit | undefined
  /** How many more heads are remembered in vain before no more are. */
  private patience = PATIENCE

  /** `habits`: shared with others that have the same limits. */
  constructor(limits: FrameLimits, habits: Habits) {
    this.limits = limits
    this.habits = habits
  }

  /** `utf8`: these bytes are known to be UTF-8, from the first to the last. Nobody changes them any more. */
  feed(chunk: Buffer, from = 0, to: number = chunk.length, utf8 = false): void {
    if (this.start === this.end) {
      this.buffer = chunk
      this.owned = false
      this.end = to
      this.start = this.at = this.lineStart = from
      this.utf8 = utf8
      return
    }
    this.utf8 &&= utf8
    const needed = this.end + to - from
    // A chunk is full; only a buffer of our own has room. Bodies already handed out are views of it: it is only ever appended to.
    if (!this.owned || needed > this.buffer.length) this.move(needed - this.start)
    chunk.copy(this.buffer, this.end, from, to)
    this.end += to - from
  }

  /** All that was fed has been read. */
  get empty(): boolean {
    return this.start === this.end
  }

  /** The next whole frame; `heartbeat` for a run of EOLs between frames; undefined when more bytes are needed. */
  read(): Frame | 'heartbeat' | undefined {
    if (this.frame === undefined && !this.followHabit()) {
      if (this.at === this.start) {
        if (this.skipLineEnds()) return 'heartbeat'
        // Half an EOL: its LF is still to come.
        if (this.end - this.start === 1 && this.buffer[this.start] === CR) return undefined
      }
      if (!this.readHead()) {
        this.checkFrame(this.end)
        return undefined
      }
    }
    return this.readBody()
  }

  private move(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(growth(needed, this.limits.maxFrame))
    this.buffer.copy(larger, 0, this.start, this.end)
    const shift = this.start
    this.frame?.moved(larger, shift)
    this.owned = true
    this.buffer = larger
    this.end -= shift
    this.start = 0
    this.at -= shift
    this.lineStart -= shift
    this.bodyStart -= shift
  }

  private skipLineEnds(): boolean {
    const { buffer, end } = this
    let at = this.start
    for (; at < end; at++) {
      if (buffer[at] === LF) continue
      if (buffer[at] === CR && buffer[at + 1] === LF && at + 1 < end) continue
      break
    }
    if (at === this.start) return false
    this.begin(at)
    return true
  }

  private begin(at: number): void {
    this.start = this.at = this.lineStart = at
    this.lines = 0
    this.highBits = 0
  }

  /** Looks for the blank line that ends the head; true once `frame` is set. */
  private readHead(): boolean {
    const { buffer, end } = this
    let { at, lineStart, lines, highBits } = this
    // What a head in pieces held before is not remembered: it is read line by line, like an odd one.
    let odd = at !== this.start || this.version === undefined || this.version === '1.0'
    let colon = -1
    found.clear()
    for (; ; at++) {
      let byte = 0
      while (at < end && KINDS[(byte = buffer[at] as number)] === ORDINARY) at++ // at < end <= buffer.length
      if (at >= end) break
      if (byte === COLON) {
        // A second one is not written that way by 1.2, Value Encoding.
        if (colon < 0) colon = at
        else odd = true
      } else if (byte === LF) {
        const length = at - lineStart
        const blank = length === 0 || (length === 1 && buffer[lineStart] === CR)
        this.checkLine(lines, length)
        if (blank && lines > 0) {
          if (odd || length > 0 || !this.layOut(lines - 1, at)) this.parseHead(lines - 1, at, highBits)
          return true
        }
        if (!odd && lines > 0) odd = !found.take(buffer, lines - 1, lineStart, colon, at)
        lines++
        lineStart = at + 1
        colon = -1
      } else if (byte === NUL) {
        throw new StompError(
          'malformed-frame',
          'A NUL byte stands in the head: is the blank line after the headers missing?',
        )
      } else if (byte > SPACE || byte === CR) {
        odd = true
        highBits |= byte
      } else if (colon < 0) {
        odd = true
      }
    }
    this.at = at
    this.lineStart = lineStart
    this.lines = lines
    this.highBits = highBits
    this.checkLine(lines, at - lineStart)
    return false
  }

  private checkLine(lines: number, length: number): void {
    const { maxCommand, maxHeaderLine, maxHeaders } = this.limits
    if (lines === 0) {
      if (length > maxCommand) throw over('command', length, 'max-command', maxCommand)
    } else if (length > maxHeaderLine) {
      throw over('header line', length, 'max-header-line', maxHeaderLine)
    } else if (lines > maxHeaders && length > 1) {
      throw new StompError(
        'frame-too-large',
        `The frame has more than ${maxHeaders} headers (limit max-headers).`,
      )
    }
  }

  /** A plain frame, whose lines have all been looked at; false if it is none after all. */
  private layOut(count: number, blank: number): boolean {
    const { buffer, start } = this
    const lines = count === 0 ? blank : (starts[0] as number) // it has `count` lines
    const command = commandAt(buffer, start, lines - 1)
    // CONNECT is not escaped, and comes once.
    if (command === undefined || command === 'CONNECT' || command === 'STOMP') return false
    const { named, namedEnd } = found
    const usual = named === 0 || holds(buffer, named, namedEnd, this.destination)
    if (!usual) this.destination = buffer.toString('latin1', named, namedEnd)
    found.destination = named > 0 ? this.destination : undefined
    const varied = found.receipt > 0 && found.id > 0
    if (usual && !varied && this.patience > 0 && blank - start < LONGEST_HABIT) {
      this.patience--
      const habit = this.habits.of(command, count, buffer, start, lines, blank)
      // The same text for all, instead of one for each.
      if (habit.destination !== undefined) this.destination = found.destination = habit.destination
      if (buffer[start] === S) this.sending = habit
      else this.other = habit
    }
    this.begun(command, count, lines, blank)
    return true
  }

  /** True once `frame` is set, because its head is like the one before. */
  private followHabit(): boolean {
    const { buffer, start } = this
    const habit = buffer[start] === S ? this.sending : this.other
    if (habit === undefined || this.at !== start) return false
    const blank = habit.find(buffer, start, this.end, this.limits.maxHeaderLine)
    if (blank < 0) return false
    this.patience = PATIENCE
    this.begun(habit.command, habit.count, start + habit.lines, blank)
    return true
  }

  /** The head of a plain frame has been found. */
  private begun(command: Command, count: number, lines: number, blank: number): void {
    const { buffer, start } = this
    this.checkFrame(blank)
    this.length = found.contentLength
    if (this.length >= 0) this.checkBody(this.length)
    this.bodyStart = this.at = blank + 1
    this.frame = new Frame(command, count, buffer, start, lines, blank + 1, found, undefined)
  }

  private checkFrame(end: number): void {
    const length = end - this.start
    if (length > this.limits.maxFrame) throw over('frame', length, 'max-frame', this.limits.maxFrame)
  }

  private parseHead(count: number, end: number, highBits: number): void {
    const ascii = highBits < 0x80
    if (!ascii && !isUtf8(this.buffer.subarray(this.start, end))) {
      throw new StompError('malformed-frame', 'The command and the headers must be UTF-8.')
    }
    this.checkFrame(end)
    const text = this.buffer.toString(ascii ? 'latin1' : 'utf8', this.start, end)
    let lineEnd = text.indexOf('\n')
    const name = line(text, 0, lineEnd)
    const command = commands.get(name)
    if (command === undefined) {
      throw new StompError(
        'unknown-command',
        /^[A-Z]+ .* HTTP\//.test(name)
          ? 'This is HTTP, but plain STOMP is spoken here; browsers use the port of --port.'
          : `${quote(name)} is not a STOMP command; commands are written in capitals.`,
      )
    }
    const headers = new Map<string, string>()
    let from = lineEnd + 1
    while (from < text.length) {
      lineEnd = text.indexOf('\n', from)
      if (lineEnd < 0) lineEnd = text.length
      const entry = line(text, from, lineEnd)
      if (entry !== '') this.addHeader(headers, entry, command)
      from = lineEnd + 1
    }
    if (this.isTrimmed(command, headers)) trim(headers)
    this.length = this.bodyLength(headers)
    this.bodyStart = this.at = end + 1
    this.frame = new Frame(command, count, this.buffer, this.start, 0, end + 1, undefined, headers)
  }

  private addHeader(headers: Map<string, string>, entry: string, command: Command): void {
    const colon = entry.indexOf(':')
    if (colon < 1) {
      throw new StompError('malformed-frame', `${this.sight(entry)} is not of the form name:value.`)
    }
    let name: string | undefined = entry.slice(0, colon)
    let value: string | undefined = entry.slice(colon + 1)
    // CONNECT and CONNECTED are never unescaped (1.2, Value Encoding), STOMP being CONNECT by another name.
    const escaped =
      this.version !== undefined && command !== 'CONNECT' && command !== 'STOMP' && command !== 'CONNECTED'
    if (escaped && this.version !== undefined && entry.includes('\\')) {
      name = unescape(name, this.version)
      value = unescape(value, this.version)
      if (name === undefined || value === undefined) {
        throw new StompError(
          'malformed-frame',
          `The header line ${quote(entry)} holds an escape that STOMP ${this.version} does not define.`,
        )
      }
    }
    // 1.2, Repeated Header Entries: the first one counts.
    if (!headers.has(name)) headers.set(name, value)
  }

  /** A line of CONNECT may be a mistyped passcode, and is not repeated. */
  private sight(entry: string): string {
    return this.version === undefined ? 'A header line' : `The header line ${quote(entry)}`
  }

  private isTrimmed(command: Command, headers: Headers): boolean {
    if (this.version !== undefined) return this.version === '1.0'
    // A CONNECT without accept-version comes from a 1.0 client.
    return (command === 'CONNECT' || command === 'STOMP') && !headers.has('accept-version')
  }

  private bodyLength(headers: Headers): number {
    const value = headers.get('content-length')
    if (value === undefined) return -1
    if (!/^\d{1,15}$/.test(value)) {
      throw new StompError('malformed-frame', `content-length is ${quote(value)}, not a number of bytes.`)
    }
    const length = Number(value)
    this.checkBody(length)
    return length
  }

  private checkBody(length: number): void {
    if (length > this.limits.maxBody) throw over('body', length, 'max-body', this.limits.maxBody)
  }

  private readBody(): Frame | undefined {
    const frame = this.frame as Frame // read() calls this only with a head
    const { length } = this
    let bodyEnd: number
    if (length >= 0) {
      bodyEnd = this.bodyStart + length
      this.checkFrame(bodyEnd + 1)
      if (bodyEnd >= this.end) return undefined
      if (this.buffer[bodyEnd] !== NUL) {
        throw new StompError(
          'malformed-frame',
          `content-length is ${length}, but no NUL follows the body there.`,
        )
      }
    } else {
      // Nearly all that announce no length have no body. Not beyond `end`: what lies there is none of ours, and may be long.
      const { at, end, buffer } = this
      const offset = at < end && buffer[at] === NUL ? 0 : buffer.subarray(at, end).indexOf(NUL)
      bodyEnd = this.at + offset
      if (offset < 0) {
        this.at = this.end
        this.checkBody(this.end - this.bodyStart)
        this.checkFrame(this.end)
        return undefined
      }
      this.checkBody(bodyEnd - this.bodyStart)
      this.checkFrame(bodyEnd + 1)
    }
    if (bodyEnd > this.bodyStart && !withBody.has(frame.command)) {
      throw new StompError('malformed-frame', `A ${frame.command} frame must not have a body.`)
    }
    // Not before: a frame may begin in bytes that are UTF-8 and end in others.
    frame.end(bodyEnd, this.utf8)
    this.frame = undefined
    this.begin(bodyEnd + 1)
    if (this.start === this.end) this.buffer = NO_BODY
    return frame
  }
}

function line(text: string, from: number, to: number): string {
  return text.slice(from, to > from && text.charCodeAt(to - 1) === CR ? to - 1 : to)
}

function trim(headers: Map<string, string>): void {
  for (const [name, value] of headers) {
    const plain = name.trim()
    if (plain === '') throw new StompError('malformed-frame', 'A header has no name but white space.')
    if (plain !== name) headers.delete(name)
    if (plain === name || !headers.has(plain)) headers.set(plain, trimmed.has(plain) ? value.trim() : value)
  }
}

function over(what: string, length: number, option: string, limit: number): StompError {
  return new StompError(
    'frame-too-large',
    `The ${what} has ${length} bytes or more; at most ${limit} are allowed (limit ${option}).`,
  )
}

/** Room for a frame and, since one chunk may bring many messages while frames wait, always some more. */
function growth(needed: number, maxFrame: number): number {
  return needed < maxFrame ? Math.min(needed * 2, maxFrame) : needed + (needed >> 1)
}
