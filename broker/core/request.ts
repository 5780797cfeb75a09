/** What the headers of a SUBSCRIBE ask for, in all the names that RabbitMQ, ActiveMQ, Artemis and Apollo have for it. */
import type { Overflow, QueueTerms } from '../engine/engine.ts'
import { StompError } from '../protocol/errors.ts'
import type { Headers } from '../protocol/frame.ts'
import { copy, quote } from '../protocol/text.ts'
import { readAckMode, readFlag, type AckMode } from './headers.ts'

/** How much a client holds unacked. */
export interface Prefetch {
  readonly messages: number
  readonly bytes: number
}

export interface Request {
  readonly mode: AckMode
  readonly prefetch: Prefetch
  readonly selector: string | undefined
  readonly noLocal: boolean
  /** Look at what waits in a queue; `end` says whether a last frame tells that this was all. */
  readonly browse: { readonly end: boolean } | undefined
  readonly exclusive: boolean
  readonly priority: number
  /** A durable subscription: its name, or true where id and destination name it. */
  readonly durable: string | true | undefined
  /** The queue that stands behind a topic subscription. */
  readonly queueName: string | undefined
  /** What the queue is told, if it is new. */
  readonly terms: QueueTerms
  /** The queue ends with its last consumer, or does not; undefined for as it is usual. */
  readonly autoDelete: boolean | undefined
  /** RabbitMQ's exchange and routing key for the dead letters of the queue. */
  readonly deadLetters: { readonly exchange: string; readonly key: string | undefined } | undefined
}

export interface RequestDefaults {
  readonly prefetch: number
  readonly maxPrefetch: number
}

/** Understood here or elsewhere; every other header of a SUBSCRIBE is told of once. */
const known: ReadonlySet<string> = new Set([
  'id',
  'destination',
  'receipt',
  'content-length',
  'ack',
  'prefetch',
  'prefetch-count',
  'activemq.prefetchSize',
  'credit',
  'consumer-window-size',
  'selector',
  'no-local',
  'activemq.noLocal',
  'browser',
  'browser-end',
  'exclusive',
  'activemq.exclusive',
  'x-priority',
  'activemq.priority',
  'durable',
  'persistent',
  'auto-delete',
  'activemq.subscriptionName',
  'durable-subscription-name',
  'durable-subscriber-name',
  'x-queue-name',
  'x-message-ttl',
  'x-expires',
  'x-max-length',
  'x-max-length-bytes',
  'x-overflow',
  'x-max-priority',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
])

/** Of these none asks for anything but the mode of acking. */
const common: ReadonlySet<string> = new Set(['id', 'destination', 'receipt', 'content-length', 'ack'])
const plain = new WeakMap<RequestDefaults, Request>()

/** Throws `invalid-header`. */
export function readRequest(
  headers: Headers,
  defaults: RequestDefaults,
  tell: (warning: string) => void,
): Request {
  if (isPlain(headers)) return { ...plainRequest(defaults), mode: readAckMode(headers) }
  const unknown = [...headers.keys()].filter((name) => !known.has(name))
  // A few will do: the log says each thing once, and has room for so many.
  for (const name of unknown.slice(0, 10))
    tell(`The header ${quote(name)} of SUBSCRIBE means nothing here and is ignored.`)
  return readAll(headers, defaults)
}

function readAll(headers: Headers, defaults: RequestDefaults): Request {
  return {
    mode: readAckMode(headers),
    prefetch: readPrefetch(headers, defaults),
    selector: headers.get('selector') || undefined,
    noLocal: isTrue(headers, 'no-local', 'activemq.noLocal'),
    browse: readFlag(headers, 'browser') ? { end: readFlag(headers, 'browser-end') ?? true } : undefined,
    exclusive: isTrue(headers, 'exclusive', 'activemq.exclusive'),
    priority: readPriority(headers),
    durable: readDurable(headers),
    queueName: headers.get('x-queue-name') || undefined,
    terms: readTerms(headers),
    autoDelete: readFlag(headers, 'auto-delete'),
    deadLetters: readDeadLetters(headers),
  }
}

/** What is asked for by those who ask for nothing. */
function plainRequest(defaults: RequestDefaults): Request {
  let request = plain.get(defaults)
  if (request === undefined) plain.set(defaults, (request = readAll(new Map(), defaults)))
  return request
}

/** As most are: then there is nothing else to look for. */
function isPlain(headers: Headers): boolean {
  for (const name of headers.keys()) if (!common.has(name)) return false
  return true
}

/**
 * The name of a durable subscription on SUBSCRIBE, and on UNSUBSCRIBE, which deletes it. RabbitMQ
 * and Apollo know it by its id, for them the header is just true.
 */
export function readDurable(headers: Headers): string | true | undefined {
  const name =
    headers.get('activemq.subscriptionName') ??
    headers.get('durable-subscription-name') ??
    headers.get('durable-subscriber-name') ??
    headers.get('durable')
  if (name !== undefined && name !== '' && name !== 'true' && name !== 'false') return copy(name)
  return name === 'true' || readFlag(headers, 'persistent') || undefined
}

/** 0 asks for as many as may be. */
function readPrefetch(headers: Headers, { prefetch, maxPrefetch }: RequestDefaults): Prefetch {
  const name = ['prefetch', 'prefetch-count', 'activemq.prefetchSize', 'credit'].find((each) =>
    headers.has(each),
  )
  let messages = Math.min(prefetch, maxPrefetch)
  let bytes = Infinity
  if (name !== undefined) {
    // Apollo's credit may say how many bytes as well.
    const [count = '', size] = (headers.get(name) ?? '').split(',')
    messages = Math.min(readCount(name, count) || maxPrefetch, maxPrefetch)
    if (size !== undefined) bytes = readCount(name, size) || Infinity
  }
  const window = headers.get('consumer-window-size')
  if (window !== undefined) {
    // Artemis counts bytes: -1 for any number, 0 for one message at a time.
    if (window === '0') messages = 1
    else if (window !== '-1') bytes = readCount('consumer-window-size', window)
    if (name === undefined && window !== '0') messages = maxPrefetch
  }
  return { messages, bytes }
}

function readPriority(headers: Headers): number {
  const name = headers.has('x-priority') ? 'x-priority' : 'activemq.priority'
  const value = headers.get(name) ?? '0'
  if (/^-?\d{1,9}$/.test(value)) return Number(value)
  throw new StompError('invalid-header', `${name} is ${quote(value)}, not a whole number.`)
}

/** RabbitMQ's arguments of a queue. */
function readTerms(headers: Headers): QueueTerms {
  const terms: { -readonly [K in keyof QueueTerms]: QueueTerms[K] } = {}
  const count = (name: string): number | undefined => {
    const value = headers.get(name)
    return value === undefined ? undefined : readCount(name, value)
  }
  const idleLife = count('x-expires')
  if (idleLife !== undefined) terms.idleLife = Math.max(idleLife, 1)
  const messageLife = count('x-message-ttl')
  if (messageLife !== undefined) terms.messageLife = Math.max(messageLife, 1)
  const maxPriority = count('x-max-priority')
  if (maxPriority !== undefined) terms.maxPriority = Math.min(maxPriority, 255)
  const maxMessages = count('x-max-length')
  if (maxMessages !== undefined) terms.maxMessages = maxMessages
  const maxBytes = count('x-max-length-bytes')
  if (maxBytes !== undefined) terms.maxBytes = maxBytes
  if (maxMessages !== undefined || maxBytes !== undefined) terms.overflow = readOverflow(headers)
  return terms
}

function readDeadLetters(headers: Headers): Request['deadLetters'] {
  const exchange = headers.get('x-dead-letter-exchange')
  return exchange === undefined ? undefined : { exchange, key: headers.get('x-dead-letter-routing-key') }
}

function readOverflow(headers: Headers): Overflow {
  const value = headers.get('x-overflow') ?? 'drop-head'
  if (value === 'drop-head') return 'drop-oldest'
  if (value === 'reject-publish' || value === 'reject-publish-dlx') return 'refuse'
  throw new StompError(
    'invalid-header',
    `x-overflow is ${quote(value)}; it may be drop-head or reject-publish.`,
  )
}

function readCount(name: string, value: string): number {
  if (/^\d{1,10}$/.test(value)) return Number(value)
  throw new StompError('invalid-header', `${name} is ${quote(value)}, not a whole number from 0 up.`)
}

function isTrue(headers: Headers, ...names: readonly string[]): boolean {
  // All are read, so that each is checked.
  return names.filter((name) => readFlag(headers, name)).length > 0
}
