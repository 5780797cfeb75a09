import { randomBytes } from 'node:crypto'
import type { Target } from './target.ts'

export type Transport = Target['transport']

/**
 * What masks all that is sent. A client has to mask what it sends with a key that its page cannot foresee; there
 * is no page here, so one key serves for all frames and they can be masked once, long before they are sent.
 */
export const KEY = randomBytes(4)
const NO_KEY = new Uint8Array(4)

/** A frame in the form in which it goes over the wire, with a place in it that is filled in as it is sent. */
export interface Template {
  readonly bytes: Buffer
  /** Where the stamp begins; -1 when there is none. */
  readonly stamp: number
  readonly key: Uint8Array
  /** Which byte of the key goes to the first one of the stamp. */
  readonly phase: number
}

export type Header = readonly [name: string, value: string]

const escapes: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', ':': '\\c' }

/** A STOMP 1.2 frame as text. */
export function frame(command: string, headers: readonly Header[], body = ''): string {
  // CONNECT escapes nothing, for the sake of 1.0.
  const escape = (text: string): string =>
    command === 'CONNECT' ? text : text.replaceAll(/[\\\n\r:]/g, (character) => escapes[character] ?? '')
  const lines = headers.map(([name, value]) => `${escape(name)}:${escape(value)}\n`)
  return `${command}\n${lines.join('')}\n${body}\0`
}

/** Brings a frame into the form of the transport. */
export function template(transport: Transport, text: string, stamp = ''): Template {
  const payload = Buffer.from(transport === 'sockjs' ? JSON.stringify([text]) : text)
  const at = stamp === '' ? -1 : payload.indexOf(stamp)
  if (transport === 'tcp') return { bytes: payload, stamp: at, key: NO_KEY, phase: 0 }
  const head = headLength(payload.length)
  const bytes = Buffer.allocUnsafe(head + payload.length)
  putHead(bytes, 0, TEXT, payload.length)
  payload.copy(bytes, head)
  mask(bytes, head, bytes.length)
  return { bytes, stamp: at < 0 ? -1 : head + at, key: KEY, phase: at & 3 }
}

export const TEXT = 0x81
export const PONG = 0x8a

/** Bytes before the payload of a WebSocket frame, its key included. */
export function headLength(payload: number): number {
  return payload < 126 ? 6 : payload < 65_536 ? 8 : 14
}

export function putHead(bytes: Buffer, at: number, code: number, payload: number): void {
  bytes[at] = code
  if (payload < 126) bytes[at + 1] = 0x80 | payload
  else if (payload < 65_536) {
    bytes[at + 1] = 0x80 | 126
    bytes.writeUInt16BE(payload, at + 2)
  } else {
    bytes[at + 1] = 0x80 | 127
    bytes.writeUInt32BE(Math.floor(payload / 2 ** 32), at + 2)
    bytes.writeUInt32BE(payload % 2 ** 32, at + 6)
  }
  KEY.copy(bytes, at + headLength(payload) - 4)
}

export function mask(bytes: Buffer, from: number, to: number): void {
  for (let at = from; at < to; at++) bytes[at] = (bytes[at] as number) ^ (KEY[(at - from) & 3] as number)
}

const simple = new Map(
  Array.from('bfnrt', (letter, index) => [letter.charCodeAt(0), '\b\f\n\r\t'.charCodeAt(index)]),
)
let scratch = Buffer.allocUnsafeSlow(64 * 1024)

/** The strings of a JSON array one behind the other. They are frames, so where each ends can be seen. */
export function unescape(bytes: Buffer, at: number, end: number): Buffer {
  if (scratch.length < end - at) scratch = Buffer.allocUnsafeSlow(2 * (end - at))
  let out = 0
  let inside = false
  for (; at < end; at++) {
    const byte = bytes[at] as number
    if (byte === 34) inside = !inside
    else if (!inside) continue
    else if (byte !== 92) scratch[out++] = byte
    else {
      const code = bytes[++at] as number
      if (code === 117) {
        let text = codeUnit(bytes, at)
        at += 4
        // Servers of SockJS escape both halves of what is beyond 16 bits.
        if (text >= '\ud800' && text < '\udc00' && bytes[at + 1] === 92 && bytes[at + 2] === 117) {
          text += codeUnit(bytes, at + 2)
          at += 6
        }
        out += scratch.write(text, out)
      } else scratch[out++] = simple.get(code) ?? code
    }
  }
  return scratch.subarray(0, out)
}

/** What follows the `u` of an escape. */
function codeUnit(bytes: Buffer, at: number): string {
  return String.fromCharCode(Number.parseInt(bytes.toString('latin1', at + 1, at + 5), 16))
}
