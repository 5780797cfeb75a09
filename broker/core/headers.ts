/** What a client may write in the headers that the broker understands, and what is said to the rest. */
import { StompError } from '../protocol/errors.ts'
import type { Frame, Headers, Version } from '../protocol/frame.ts'
import { copy, quote } from '../protocol/text.ts'

const MODES = ['auto', 'client', 'client-individual'] as const
export type AckMode = (typeof MODES)[number]

/** A header that must be there; `asked` is the name to ask for, where several will do. */
export function required(frame: Frame, name: string, asked = name): string {
  const value = frame.header(name)
  if (value === undefined || value === '') {
    throw new StompError('missing-header', `${frame.command} needs the header ${quote(asked)}.`)
  }
  return value
}

/** 1.1 and 1.2 require `id`; 1.0 may leave it out, and then the destination stands in. */
export function subscriptionId(frame: Frame, version: Version): string {
  return copy(frame.header('id') || required(frame, version === '1.0' ? 'destination' : 'id'))
}

/** What an ACK or NACK names: 1.2 has `id`, the earlier versions `message-id`; either will do on all. */
export function ackId(frame: Frame, version: Version): string {
  return frame.header('id') ?? required(frame, 'message-id', version === '1.2' ? 'id' : 'message-id')
}

/** Milliseconds: what the client can do, and what it wants. */
export function readHeartbeat(headers: Headers): [can: number, wants: number] {
  const value = headers.get('heart-beat') ?? '0,0'
  const match = /^\s*(\d{1,10})\s*,\s*(\d{1,10})\s*$/.exec(value)
  if (match === null) {
    throw new StompError(
      'invalid-header',
      `heart-beat is ${quote(value)}, not two numbers of milliseconds such as 10000,10000.`,
    )
  }
  return [Number(match[1]), Number(match[2])]
}

/** What an ERROR ends. */
export type ErrorScope = 'connection' | 'frame'

export function readErrorScope(headers: Headers): ErrorScope | undefined {
  const value = headers.get('x-error-scope')
  if (value === undefined || value === 'connection' || value === 'frame') return value
  throw new StompError('invalid-header', `x-error-scope is ${quote(value)}; it may be connection or frame.`)
}

/** A header that says yes or no; undefined where it says nothing. What is meant seriously is not to be guessed. */
export function readFlag(headers: Headers, name: string): boolean | undefined {
  const value = headers.get(name)
  if (value === undefined) return undefined
  if (value === 'true' || value === 'false') return value === 'true'
  throw new StompError('invalid-header', `${name} is ${quote(value)}; it may be true or false.`)
}

export function readAckMode(headers: Headers): AckMode {
  const value = headers.get('ack') ?? 'auto'
  // The same text for all, not a piece of each frame.
  const mode = MODES.find((each) => each === value)
  if (mode !== undefined) return mode
  throw new StompError(
    'invalid-header',
    `ack is ${quote(value)}; it may be auto, client or client-individual.`,
  )
}

/** What an ACK or NACK says. RabbitMQ: NACK with `requeue:false` is not to be tried again. */
export function readVerdict(frame: Frame): 'ack' | 'nack' | 'reject' {
  if (frame.command === 'ACK') return 'ack'
  return readFlag(frame.headers, 'requeue') === false ? 'reject' : 'nack'
}
