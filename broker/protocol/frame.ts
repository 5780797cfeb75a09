/** Frames, the header escaping of each version, and encoding. */
import { holds, put } from './bytes.ts'

export type Version = '1.0' | '1.1' | '1.2'

/** Highest first: the order in which `accept-version` is answered. */
export const VERSIONS: readonly Version[] = ['1.2', '1.1', '1.0']

export const COMMANDS = [
  'CONNECT',
  'STOMP',
  'SEND',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'ACK',
  'NACK',
  'BEGIN',
  'COMMIT',
  'ABORT',
  'DISCONNECT',
  'CONNECTED',
  'MESSAGE',
  'RECEIPT',
  'ERROR',
] as const
export type Command = (typeof COMMANDS)[number]

/** Of a repeated header the first occurrence is kept (1.2, Repeated Header Entries). */
export type Headers = ReadonlyMap<string, string>

/** Not passed on from SEND to MESSAGE: they speak of the sender's frame, or the broker writes its own. */
export const STRIPPED: ReadonlySet<string> = new Set(
  (
    'ack browser content-length delivery-count destination login message-id passcode receipt redelivered session ' +
    'subscription transaction x-max-length x-stream-offset'
  ).split(' '),
)

/** Names of which a plain frame may have each once: where they lie is found out. */
export const FOUND = ['destination', 'receipt', 'content-length', 'id'] as const

const found: ReadonlySet<string> = new Set(FOUND)

/** All other names that mean something to the broker in the frames of a client. A plain frame has none of them. */
export const MEANINGFUL: ReadonlySet<string> = new Set(
  [
    ...STRIPPED,
    ...(
      'AMQ_SCHEDULED_CRON AMQ_SCHEDULED_DELAY AMQ_SCHEDULED_PERIOD AMQ_SCHEDULED_REPEAT expiration expires ' +
      'JMSXGroupID message_group persistent priority reply-to requeue retain ttl x-delay'
    ).split(' '),
  ].filter((name) => !found.has(name)),
)

/**
 * Where the parts of a plain frame lie in the buffer it came in; 0 for what is not there. Plain is
 * a frame of which no line has to be read to pass it on: it is ASCII, nothing is escaped, no name
 * is repeated, and of those that mean something there are only the four that are found here.
 */
export interface Layout {
  destination: string | undefined
  /** The line, its value and its end. */
  receiptLine: number
  receipt: number
  receiptEnd: number
  id: number
  idEnd: number
  /** Of the body; -1 where there is none. */
  contentLength: number
}

/** A frame as it came in: headers that nobody asks for are not read, a body is not copied. */
export class Frame {
  readonly command: Command
  /** See Layout. */
  readonly plain: boolean
  /** All of it is known to be UTF-8; else nobody has looked. */
  utf8 = false
  /** Header lines. */
  readonly count: number
  /** There is a content-length. Known of a plain frame. */
  readonly measured: boolean
  private known: Headers | undefined
  private bytes: Buffer
  private start: number
  private bodyFrom: number
  private bodyTo: number
  // Of a plain frame, counted from its start.
  private readonly lines: number = 0
  private readonly destination: string | undefined
  private readonly receiptLine: number = 0
  private readonly receiptFrom: number = 0
  private readonly receiptTo: number = 0
  private readonly idFrom: number = 0
  private readonly idTo: number = 0

  /** A plain frame has a layout, with its first line at `lines`, and another one its headers; the body follows with `end`. */
  constructor(
    command: Command,
    count: number,
    bytes: Buffer,
    start: number,
    lines: number,
    bodyFrom: number,
    layout: Readonly<Layout> | undefined,
    headers: Headers | undefined,
  ) {
    this.command = command
    this.plain = layout !== undefined
    this.count = count
    this.measured = layout !== undefined && layout.contentLength >= 0
    this.known = headers
    this.bytes = bytes
    this.start = start
    this.bodyFrom = bodyFrom
    this.bodyTo = bodyFrom
    this.destination = undefined
    if (layout === undefined) return
    this.lines = lines - start
    this.destination = layout.destination
    if (layout.receipt > 0) {
      this.receiptLine = layout.receiptLine - start
      this.receiptFrom = layout.receipt - start
      this.receiptTo = layout.receiptEnd - start
    }
    if (layout.id > 0) {
      this.idFrom = layout.id - start
      this.idTo = layout.idEnd - start
    }
  }

  /** The body is there, and so is the last that was to be known of the bytes. */
  end(at: number, utf8: boolean): void {
    this.bodyTo = at
    this.utf8 = utf8
  }

  /** The bytes have been brought to another buffer, so much nearer to its beginning. */
  moved(bytes: Buffer, by: number): void {
    this.bytes = bytes
    this.start -= by
    this.bodyFrom -= by
  }

  /** Bytes on the wire. */
  get size(): number {
    return this.bodyTo + 1 - this.start
  }

  get bodySize(): number {
    return this.bodyTo - this.bodyFrom
  }

  get body(): Buffer {
    return this.bodySize === 0 ? NO_BODY : this.bytes.subarray(this.bodyFrom, this.bodyTo)
  }

  get headers(): Headers {
    return (this.known ??= this.read())
  }

  /** One header, without a look at the others where that can be avoided. */
  header(name: string): string | undefined {
    if (!this.plain) return this.headers.get(name)
    if (name === 'destination') return this.destination
    if (name === 'receipt') return this.value(this.receiptFrom, this.receiptTo)
    if (name === 'id') return this.value(this.idFrom, this.idTo)
    // Those that are asked for most come first.
    if (name === 'transaction' || name === 'subscription' || MEANINGFUL.has(name)) return undefined
    return this.headers.get(name)
  }

  /** Whether it is known to have this `id`, of ASCII characters; false may mean that nobody has looked. */
  hasId(id: string): boolean {
    return this.idTo > 0 && holds(this.bytes, this.start + this.idFrom, this.start + this.idTo, id)
  }

  // What follows is for plain frames, whose lines and body pass from SEND to MESSAGE as they are.

  /** There is a `receipt`, if only an empty one. */
  get receipted(): boolean {
    return this.receiptTo > 0
  }

  /** Bytes of its value; 0 for none. */
  get receiptSize(): number {
    return this.receiptTo - this.receiptFrom
  }

  /** Writes the value of `receipt`. The position behind it. */
  putReceipt(target: Buffer, at: number): number {
    return put(target, at, this.bytes, this.start + this.receiptFrom, this.start + this.receiptTo)
  }

  /** Bytes of the header lines but the receipt's. */
  get headSize(): number {
    const size = this.bodyFrom - 1 - this.start - this.lines
    return this.receiptTo === 0 ? size : size - (this.receiptTo + 1 - this.receiptLine)
  }

  /** Writes what `headSize` counts. The position behind it. */
  putHead(target: Buffer, at: number): number {
    return this.putUpTo(target, at, this.bodyFrom - 1)
  }

  /** Writes all but the command and the receipt, up to the NUL. The position behind it. */
  put(target: Buffer, at: number): number {
    return this.putUpTo(target, at, this.bodyTo + 1)
  }

  /** Writes the body and its NUL. The position behind them. */
  putBody(target: Buffer, at: number): number {
    return put(target, at, this.bytes, this.bodyFrom, this.bodyTo + 1)
  }

  /** Much of what holds its bytes is its own. */
  get roomy(): boolean {
    return this.size * 2 >= this.bytes.buffer.byteLength
  }

  /** The body and its NUL, where they lie. */
  get closing(): Buffer {
    return this.bytes.subarray(this.bodyFrom, this.bodyTo + 1)
  }

  private putUpTo(target: Buffer, at: number, end: number): number {
    const { bytes, start, lines } = this
    if (this.receiptTo === 0) return put(target, at, bytes, start + lines, end)
    const next = put(target, at, bytes, start + lines, start + this.receiptLine)
    return put(target, next, bytes, start + this.receiptTo + 1, end)
  }

  private value(from: number, to: number): string | undefined {
    return to === 0 ? undefined : this.bytes.toString('latin1', this.start + from, this.start + to)
  }

  private read(): Headers {
    return readLines(this.bytes.toString('latin1', this.start + this.lines, this.bodyFrom - 1))
  }
}

/** The headers of lines in which nothing is escaped and no name is repeated. */
export function readLines(text: string): Headers {
  const headers = new Map<string, string>()
  for (let from = 0, end: number; from < text.length; from = end + 1) {
    const colon = text.indexOf(':', from)
    end = text.indexOf('\n', colon)
    headers.set(text.slice(from, colon), text.slice(colon + 1, end))
  }
  return headers
}

/** What an object in memory costs beside its bytes, roughly: so that many small ones count for what they are. */
const FRAME_OVERHEAD = 256
const HEADER_OVERHEAD = 64

/** What a frame counts for against a limit of bytes while it is kept. */
export function footprint(frame: Frame): number {
  return weigh(frame.size, frame.count)
}

/** The same of so many bytes and headers. */
export function weigh(bytes: number, headers: number): number {
  return bytes + FRAME_OVERHEAD + HEADER_OVERHEAD * headers
}

export const NO_BODY: Buffer = Buffer.alloc(0)

const needsEscape = { '1.0': /[\n]/, '1.1': /[\n:\\]/, '1.2': /[\r\n:\\]/ }
// 1.0 knows no escapes; a line feed is still written as one, or a value could add headers of its own.
const escapable = { '1.0': /[\n]/g, '1.1': /[\n:\\]/g, '1.2': /[\r\n:\\]/g }
const escapes: Record<string, string> = { '\n': '\\n', '\r': '\\r', ':': '\\c', '\\': '\\\\' }

/** Escapes a header name or value (1.2 and 1.1, Value Encoding). */
export function escape(text: string, version: Version): string {
  if (!needsEscape[version].test(text)) return text
  return text.replace(escapable[version], (character) => escapes[character] ?? character)
}

const unescapes: Record<string, string> = { '\\n': '\n', '\\r': '\r', '\\c': ':', '\\\\': '\\' }

/** Undoes `escape`; undefined where an escape is not one of the version's (a fatal error, 1.2 Value Encoding). */
export function unescape(text: string, version: Version): string | undefined {
  if (version === '1.0' || !text.includes('\\')) return text
  let valid = true
  const plain = text.replace(/\\[^]?/g, (sequence) => {
    const character = unescapes[sequence]
    // \r is an escape of 1.2 only.
    if (character === undefined || (character === '\r' && version === '1.1')) valid = false
    return character ?? ''
  })
  return valid ? plain : undefined
}

/**
 * One header line, escaped. What a version cannot escape in a name is written as 1.2 would: a name
 * `content-length:5` of a 1.2 sender must not become a content-length on 1.0, where a colon ends
 * it, nor CR `content-length` become one on 1.1, where common readers skip every CR.
 */
export function headerLine(name: string, value: string, version: Version): string {
  let shown = version !== '1.2' && name.includes('\r') ? name.replaceAll('\r', '\\r') : name
  shown = escape(shown, version)
  if (version === '1.0' && shown.includes(':')) shown = shown.replaceAll(':', '\\c')
  return `${shown}:${escape(value, version)}\n`
}

/** A whole frame as bytes. CONNECT, by either name, and CONNECTED are never escaped (1.2, Value Encoding). */
export function encode(
  command: Command,
  headers: Iterable<readonly [string, string]>,
  body: Buffer,
  version: Version,
): Buffer {
  const plain = command === 'CONNECT' || command === 'STOMP' || command === 'CONNECTED'
  const escaping = plain ? '1.0' : version
  let head = `${command}\n`
  for (const [name, value] of headers) head += headerLine(name, value, escaping)
  return body.length === 0 ? Buffer.from(`${head}\n\0`) : joinFrame(Buffer.from(`${head}\n`), body)
}

/** Head (with its blank line), body and the closing NUL in one piece. */
export function joinFrame(head: Buffer, body: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(head.length + body.length + 1)
  head.copy(frame, 0)
  body.copy(frame, head.length)
  frame[frame.length - 1] = 0
  return frame
}
