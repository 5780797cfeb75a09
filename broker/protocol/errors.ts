import { encode, type Version } from './frame.ts'

/**
 * Every reason the broker has to send an ERROR frame: one row a code. `message` is the ERROR's
 * `message` header (no colon in it, so that a 1.0 client reads it unescaped); `close` is the
 * WebSocket close code that follows: a STOMP ERROR ends the connection (1.2, ERROR). `spares` says
 * that the session is none the worse for it, so that clients with the error scope `frame` stay.
 */
const table = {
  'malformed-frame': { message: 'malformed frame', close: 1002 },
  'frame-too-large': { message: 'frame over a limit', close: 1009 },
  'unknown-command': { message: 'unknown command', close: 1002 },
  'unsupported-version': { message: 'no supported protocol version', close: 1002 },
  'not-connected': { message: 'not connected', close: 1002 },
  'already-connected': { message: 'already connected', close: 1002 },
  'connect-timeout': { message: 'CONNECT took too long', close: 1002 },
  'connection-limit': { message: 'too many connections', close: 1008 },
  'missing-header': { message: 'missing header', close: 1002, spares: true },
  'invalid-header': { message: 'invalid header', close: 1002, spares: true },
  'invalid-destination': { message: 'invalid destination', close: 1002, spares: true },
  'unsupported-destination': { message: 'unsupported destination', close: 1008, spares: true },
  'invalid-selector': { message: 'invalid selector', close: 1008, spares: true },
  'duplicate-subscription': { message: 'duplicate subscription id', close: 1002, spares: true },
  'subscription-limit': { message: 'too many subscriptions', close: 1008, spares: true },
  'durable-limit': { message: 'too many durable subscriptions', close: 1008, spares: true },
  'durable-in-use': { message: 'durable subscription in use', close: 1008, spares: true },
  'unknown-transaction': { message: 'unknown transaction', close: 1002, spares: true },
  'duplicate-transaction': { message: 'duplicate transaction', close: 1002, spares: true },
  'transaction-limit': { message: 'transaction over a limit', close: 1008, spares: true },
  'unknown-ack': { message: 'unknown ack id', close: 1002 },
  'queue-full': { message: 'queue full', close: 1008, spares: true },
  'queue-terms': { message: 'queue has other terms', close: 1008, spares: true },
  'retained-limit': { message: 'too many retained messages', close: 1008, spares: true },
  'schedule-full': { message: 'too many delayed messages', close: 1008, spares: true },
  'queue-limit': { message: 'too many queues', close: 1008, spares: true },
  'memory-full': { message: 'no room in memory', close: 1008, spares: true },
  'store-full': { message: 'no room on disk', close: 1008, spares: true },
  'rate-limit': { message: 'sending too fast', close: 1008, spares: true },
  'binary-over-text': { message: 'message is not text', close: 1003 },
  'application-failed': { message: 'application failed', close: 1011, spares: true },
  'heart-beat-lost': { message: 'heart-beat lost', close: 1002 },
  'slow-consumer': { message: 'send limit exceeded', close: 4500 },
  internal: { message: 'internal error', close: 1011 },
} as const satisfies Record<string, { message: string; close: number; spares?: true }>

export type ErrorCode = keyof typeof table

/** A refusal that the client is told of: `detail` becomes the body of the ERROR frame. */
export class StompError extends Error {
  readonly code: ErrorCode
  /** The ERROR's `message` header. */
  readonly summary: string
  /** The WebSocket close code that follows the ERROR. */
  readonly closeCode: number
  /** A refusal that leaves the session healthy. */
  readonly spares: boolean

  /** `cause` is for the log alone. */
  constructor(code: ErrorCode, detail: string, cause?: unknown) {
    super(detail, { cause })
    this.name = 'StompError'
    this.code = code
    this.summary = table[code].message
    this.closeCode = table[code].close
    this.spares = 'spares' in table[code]
  }
}

/** The ERROR frame that tells of it, with what more its headers are to say. */
export function errorFrame(
  error: StompError,
  more: readonly (readonly [string, string])[],
  version: Version,
): Buffer {
  const body = Buffer.from(`${error.message}\n`)
  const type = ['content-type', 'text/plain;charset=utf-8'] as const
  const length = ['content-length', String(body.length)] as const
  return encode('ERROR', [['message', error.summary], type, ...more, length], body, version)
}
