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
import { StompError } from './errors.ts'
import { COMMANDS, NO_BODY, unescape, type Command, type Frame, type Headers, type Version } from './frame.ts'
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

interface Head {
  readonly command: Command
  readonly headers: Headers
  /** From `content-length`; undefined means up to the NUL. */
  readonly length: number | undefined
}

export class Decoder {
  /** Set after CONNECT; until then nothing is unescaped. */
  version: Version | undefined
  private readonly limits: FrameLimits
  private buffer: Buffer = NO_BODY
  private end = 0
  /** Where the frame being read begins. */
  private start = 0
  /** How far it has been looked at. */
  private at = 0
  private lineStart = 0
  private lines = 0
  private highBits = 0
  private head: Head | undefined
  private bodyStart = 0

  constructor(limits: FrameLimits) {
    this.limits = limits
  }

  feed(chunk: Buffer): void {
    if (this.start === this.end) {
      this.buffer = chunk
      this.end = chunk.length
      this.start = this.at = this.lineStart = 0
      return
    }
    const needed = this.end + chunk.length
    // A chunk is full; only a buffer of our own has room. Bodies already handed out are views of it: it is only ever appended to.
    if (needed > this.buffer.length) this.move(this.end - this.start + chunk.length)
    chunk.copy(this.buffer, this.end)
    this.end += chunk.length
  }

  /** The next whole frame; `heartbeat` for a run of EOLs between frames; undefined when more bytes are needed. */
  read(): Frame | 'heartbeat' | undefined {
    if (this.head === undefined) {
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

  /** Looks for the blank line that ends the head; true once `head` is set. */
  private readHead(): boolean {
    const { buffer, end } = this
    let at = this.at
    let highBits = this.highBits
    for (; at < end; at++) {
      const byte = buffer[at] as number // at < end <= buffer.length
      highBits |= byte
      if (byte === NUL) {
        throw new StompError(
          'malformed-frame',
          'A NUL byte stands in the head: is the blank line after the headers missing?',
        )
      }
      if (byte !== LF) continue
      const length = at - this.lineStart
      const blank = length === 0 || (length === 1 && buffer[this.lineStart] === CR)
      this.checkLine(length)
      if (blank && this.lines > 0) {
        this.parseHead(at, highBits)
        return true
      }
      this.lines++
      this.lineStart = at + 1
    }
    this.at = at
    this.highBits = highBits
    this.checkLine(at - this.lineStart)
    return false
  }

  private checkLine(length: number): void {
    const { maxCommand, maxHeaderLine, maxHeaders } = this.limits
    if (this.lines === 0) {
      if (length > maxCommand) throw over('command', length, 'max-command', maxCommand)
    } else if (length > maxHeaderLine) {
      throw over('header line', length, 'max-header-line', maxHeaderLine)
    } else if (this.lines > maxHeaders && length > 1) {
      throw new StompError(
        'frame-too-large',
        `The frame has more than ${maxHeaders} headers (limit max-headers).`,
      )
    }
  }

  private checkFrame(end: number): void {
    const length = end - this.start
    if (length > this.limits.maxFrame) throw over('frame', length, 'max-frame', this.limits.maxFrame)
  }

  private parseHead(end: number, highBits: number): void {
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
    this.head = { command, headers, length: this.bodyLength(headers) }
    this.bodyStart = this.at = end + 1
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

  private bodyLength(headers: Headers): number | undefined {
    const value = headers.get('content-length')
    if (value === undefined) return undefined
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
    const { command, headers, length } = this.head as Head // read() calls this only with a head
    let bodyEnd: number
    if (length !== undefined) {
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
      // Not beyond `end`: what lies there is none of ours, and may be long.
      const offset = this.buffer.subarray(this.at, this.end).indexOf(NUL)
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
    if (bodyEnd > this.bodyStart && !withBody.has(command)) {
      throw new StompError('malformed-frame', `A ${command} frame must not have a body.`)
    }
    const body = bodyEnd === this.bodyStart ? NO_BODY : this.buffer.subarray(this.bodyStart, bodyEnd)
    const size = bodyEnd + 1 - this.start
    this.head = undefined
    this.begin(bodyEnd + 1)
    if (this.start === this.end) this.buffer = NO_BODY
    return { command, headers, body, size }
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
