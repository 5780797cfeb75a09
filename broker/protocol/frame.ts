/** Frames, the header escaping of each version, and encoding. */

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

export interface Frame {
  readonly command: Command
  readonly headers: Headers
  readonly body: Buffer
  /** Bytes on the wire: what it takes to keep it. */
  readonly size: number
}

/** What an object in memory costs beside its bytes, roughly: so that many small ones count for what they are. */
const FRAME_OVERHEAD = 256
const HEADER_OVERHEAD = 64

/** What a frame counts for against a limit of bytes while it is kept. */
export function footprint(frame: Frame): number {
  return frame.size + FRAME_OVERHEAD + HEADER_OVERHEAD * frame.headers.size
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
