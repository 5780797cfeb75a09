/** What a sender gave, in the form in which it is at hand, and as a MESSAGE frame shows it. */
import { isUtf8 } from 'node:buffer'
import { copyOf, put, putText } from '../protocol/bytes.ts'
import {
  headerLine,
  NO_BODY,
  readLines,
  STRIPPED,
  type Frame,
  type Headers,
  type Version,
} from '../protocol/frame.ts'

export interface Content {
  readonly headers: Headers
  readonly body: Buffer
  /** Bytes of the body. */
  readonly size: number
  /** The body is UTF-8, and so the whole frame. */
  readonly text: boolean
  /** Bytes of the header lines that follow those of the broker, and of the empty line behind them. `shown`: the destination. */
  headSize(shown: string, version: Version): number
  /** Writes them. The position behind them. */
  putHead(target: Buffer, at: number, shown: string, version: Version): number
  /** Writes them, the body and its NUL. The position behind them. */
  put(target: Buffer, at: number, shown: string, version: Version): number
  /** The body and its NUL, where they lie. */
  closing(): readonly Buffer[]
  /** The same in memory of its own: what a socket read is alive as long as a slice of it is. */
  detach(): Content
  /** The same in memory. */
  recall(): Content
}

const NUL = Buffer.from([0])

function putClosed(target: Buffer, at: number, body: Buffer): number {
  const end = put(target, at, body, 0, body.length)
  target[end] = 0
  return end + 1
}

/** Headers and a body, of which a frame has to be made. */
export class Made implements Content {
  readonly headers: Headers
  readonly body: Buffer
  private utf8: boolean | undefined
  private head: Buffer = NO_BODY
  private shown: string | undefined
  private version: Version | undefined

  constructor(headers: Headers, body: Buffer) {
    this.headers = headers
    this.body = body
  }

  get size(): number {
    return this.body.length
  }

  get text(): boolean {
    return (this.utf8 ??= isUtf8(this.body))
  }

  headSize(shown: string, version: Version): number {
    return this.headFor(shown, version).length
  }

  putHead(target: Buffer, at: number, shown: string, version: Version): number {
    const head = this.headFor(shown, version)
    return put(target, at, head, 0, head.length)
  }

  put(target: Buffer, at: number, shown: string, version: Version): number {
    return putClosed(target, this.putHead(target, at, shown, version), this.body)
  }

  closing(): readonly Buffer[] {
    return [this.body, NUL]
  }

  detach(): Content {
    const { body } = this
    if (body.length * 2 >= body.buffer.byteLength) return this
    return new Made(this.headers, copyOf(body))
  }

  recall(): this {
    return this
  }

  private headFor(shown: string, version: Version): Buffer {
    if (this.version !== version || this.shown !== shown) {
      this.version = version
      this.shown = shown
      this.head = this.makeHead(shown, version)
    }
    return this.head
  }

  private makeHead(shown: string, version: Version): Buffer {
    // Ours come first, and the first one counts: also for those who trim the names of headers.
    let head = `${headerLine('destination', shown, version)}content-length:${this.body.length}\n`
    for (const [name, value] of this.headers) {
      if (STRIPPED.has(name) || (name === 'persistent' && value !== 'true')) continue
      head += headerLine(name, value, version)
    }
    return Buffer.from(`${head}\n`)
  }
}

/** What a plain frame holds: its lines pass as they are, and look the same in every version. */
export class Passed implements Content {
  private readonly frame: Frame
  /** What follows the lines of the sender. */
  private readonly rest: string
  private utf8: boolean | undefined

  constructor(frame: Frame) {
    this.frame = frame
    this.rest = frame.measured ? '\n' : `content-length:${frame.bodySize}\n\n`
    this.utf8 = frame.utf8 || undefined
  }

  get headers(): Headers {
    return this.frame.headers
  }

  get body(): Buffer {
    return this.frame.body
  }

  get size(): number {
    return this.frame.bodySize
  }

  get text(): boolean {
    return (this.utf8 ??= isUtf8(this.frame.body))
  }

  headSize(): number {
    return this.frame.headSize + this.rest.length
  }

  putHead(target: Buffer, at: number): number {
    return putText(target, this.frame.putHead(target, at), this.rest)
  }

  put(target: Buffer, at: number): number {
    const { frame } = this
    return frame.measured ? frame.put(target, at) : frame.putBody(target, this.putHead(target, at))
  }

  closing(): readonly Buffer[] {
    return [this.frame.closing]
  }

  detach(): Content {
    const { frame } = this
    const head = this.headSize()
    const length = head + frame.bodySize
    if (length >= SHORT) {
      if (frame.roomy) return this
      const lines = Buffer.allocUnsafe(head)
      this.putHead(lines, 0)
      return new Kept(lines.toString('latin1'), copyOf(frame.body), frame.bodySize, this.utf8)
    }
    this.put(draft, 0)
    return new Kept(draft.toString('latin1', 0, length), undefined, frame.bodySize, this.utf8)
  }

  recall(): this {
    return this
  }
}

/** What is shorter is kept as a string: a Buffer of its own takes more memory than that. */
const SHORT = 1_024
/** Where such a string is put together. */
const draft = Buffer.allocUnsafeSlow(SHORT)

/** What a plain frame held, without the frame. */
export class Kept implements Content {
  readonly size: number
  /** A character for each byte of the lines and, where it is short, of the body. */
  private readonly bytes: string
  private readonly long: Buffer | undefined
  private utf8: boolean | undefined

  constructor(bytes: string, long: Buffer | undefined, size: number, utf8: boolean | undefined) {
    this.bytes = bytes
    this.long = long
    this.size = size
    this.utf8 = utf8
  }

  get headers(): Headers {
    return readLines(this.bytes.slice(0, this.headSize() - 1))
  }

  get body(): Buffer {
    return this.long ?? Buffer.from(this.bytes.slice(this.headSize()), 'latin1')
  }

  get text(): boolean {
    return (this.utf8 ??= isUtf8(this.body))
  }

  headSize(): number {
    return this.long === undefined ? this.bytes.length - this.size : this.bytes.length
  }

  putHead(target: Buffer, at: number): number {
    return putText(target, at, this.long === undefined ? this.bytes.slice(0, this.headSize()) : this.bytes)
  }

  put(target: Buffer, at: number): number {
    const end = putText(target, at, this.bytes)
    if (this.long !== undefined) return putClosed(target, end, this.long)
    target[end] = 0
    return end + 1
  }

  closing(): readonly Buffer[] {
    return [this.body, NUL]
  }

  detach(): this {
    return this
  }

  recall(): this {
    return this
  }
}
