import { isUtf8 } from 'node:buffer'
import type { Destination } from '../protocol/destination.ts'
import { headerLine, joinFrame, type Headers, type Version } from '../protocol/frame.ts'
import type { Wire } from './wire.ts'

// Not passed on from SEND to MESSAGE: they speak of the sender's frame, or the broker writes its own.
const stripped: ReadonlySet<string> = new Set([
  'receipt',
  'transaction',
  'ack',
  'subscription',
  'message-id',
  'destination',
  'redelivered',
  'delivery-count',
  'browser',
  'session',
  'login',
  'passcode',
  'x-stream-offset',
  'x-max-length',
  'content-length',
])

/** What a sender asks of the broker beside delivery. */
export interface Terms {
  /** Milliseconds since the epoch from which on nobody is to get it; 0 for never. */
  readonly expires: number
  /** 0 to 9, RabbitMQ's clients go on to 255; undefined where the sender gave none. Only queues that declared priorities look at it. */
  readonly priority: number | undefined
  /** Milliseconds to wait before it is delivered. */
  readonly delay: number
  /** Messages of one group go to one consumer of their queue. */
  readonly group: string | undefined
  /** The topic is to remember it for new subscribers, or to forget what it remembers. */
  readonly retain: 'set' | 'remove' | undefined
  /** To be there after a restart of the broker. */
  readonly persistent: boolean
  /** The session it came from; empty for none. */
  readonly sender: string
}

export const NO_TERMS: Terms = {
  expires: 0,
  priority: undefined,
  delay: 0,
  group: undefined,
  retain: undefined,
  persistent: false,
  sender: '',
}

/** A published message. It renders itself once per distinct form, and equal forms share the very same bytes. */
export class Message {
  /** The `message-id` header, the same for every subscriber of a topic. */
  readonly id: string
  readonly destination: Destination
  /** As the sender gave them. */
  readonly headers: Headers
  private bytes: Buffer
  /** What it counts for against a limit of bytes. */
  readonly size: number
  readonly terms: Terms
  private utf8: boolean | undefined
  // Nearly always one form is asked for again and again: it is kept outside the map.
  private lastSubscription: string | undefined
  private lastAck: string | undefined
  private lastVersion: Version | undefined
  private lastWire: Wire | undefined
  private lastPayload: Buffer | string = ''
  private payloads: Map<string, Buffer | string> | undefined
  private tails: Map<string, Buffer> | undefined

  constructor(
    id: string,
    destination: Destination,
    headers: Headers,
    body: Buffer,
    size = body.length,
    terms = NO_TERMS,
  ) {
    this.id = id
    this.destination = destination
    this.headers = headers
    this.bytes = body
    this.size = size
    this.terms = terms
  }

  get body(): Buffer {
    return this.bytes
  }

  /**
   * To be called before it is kept for longer than a turn: a body is a slice of what the socket
   * read, and keeps all of that alive for as long as it is kept itself.
   */
  detach(): this {
    const { bytes } = this
    if (bytes.length * 2 >= bytes.buffer.byteLength) return this
    // A small one in memory of its own, not in Node's pool, of which it would keep 8 kB alive.
    this.bytes = Buffer.allocUnsafeSlow(bytes.length)
    bytes.copy(this.bytes)
    return this
  }

  /** The same under another id, with nothing rendered yet. */
  copy(id: string): Message {
    return new Message(id, this.destination, this.headers, this.bytes, this.size, this.terms)
  }

  /** Whether the body is UTF-8, and so the whole frame. */
  get text(): boolean {
    return (this.utf8 ??= isUtf8(this.body))
  }

  /**
   * The MESSAGE frame for a topic subscription. Equal arguments return the identical object.
   * `ack` is given in the client ack modes of 1.2, which MUST show one (1.2, SUBSCRIBE ack header).
   */
  render(subscription: string, ack: string | undefined, version: Version, wire: Wire): Buffer | string {
    if (
      this.lastSubscription === subscription &&
      this.lastAck === ack &&
      this.lastVersion === version &&
      this.lastWire === wire
    ) {
      return this.lastPayload
    }
    const key = `${wire.name} ${version} ${ack ?? ''} ${subscription}`
    this.payloads ??= new Map()
    let payload = this.payloads.get(key)
    if (payload === undefined) {
      payload = this.dress(opening(subscription, ack, version), this.sharedTail(version, wire), wire)
      this.payloads.set(key, payload)
    }
    this.lastSubscription = subscription
    this.lastAck = ack
    this.lastVersion = version
    this.lastWire = wire
    return (this.lastPayload = payload)
  }

  /** The MESSAGE frame for the one consumer of a queue, under the id of the delivery. */
  renderDelivery(
    subscription: string,
    id: string,
    ack: string | undefined,
    version: Version,
    wire: Wire,
    attempt: number,
  ): Buffer | string {
    let head = `${opening(subscription, ack, version)}redelivered:${attempt > 1}\n`
    if (attempt > 1) head += `delivery-count:${attempt - 1}\n`
    return this.dress(head, this.tail(id, version, this.asBase64(wire)), wire)
  }

  private dress(head: string, tail: Buffer, wire: Wire): Buffer | string {
    const text = this.text ? !(wire.octets && this.isOctets()) : this.asBase64(wire)
    return wire.wrap(Buffer.from(head), tail, text)
  }

  private asBase64(wire: Wire): boolean {
    return wire.binary === 'base64' && !this.text
  }

  private isOctets(): boolean {
    return this.headers.get('content-type')?.startsWith('application/octet-stream') ?? false
  }

  private sharedTail(version: Version, wire: Wire): Buffer {
    const base64 = this.asBase64(wire)
    const key = base64 ? `${version} base64` : version
    this.tails ??= new Map()
    let tail = this.tails.get(key)
    if (tail === undefined) this.tails.set(key, (tail = this.tail(this.id, version, base64)))
    return tail
  }

  /** All of the frame that does not depend on the subscription. */
  private tail(id: string, version: Version, base64: boolean): Buffer {
    const body = base64 ? Buffer.from(this.body.toString('base64')) : this.body
    let head = `message-id:${id}\n${headerLine('destination', this.destination.shown, version)}`
    // Ours come first, and the first one counts: also for those who trim the names of headers.
    head += `content-length:${body.length}\n`
    if (base64) head += 'content-transfer-encoding:base64\n'
    for (const [name, value] of this.headers) {
      if (stripped.has(name) || (name === 'persistent' && value !== 'true')) continue
      head += headerLine(name, value, version)
    }
    return joinFrame(Buffer.from(`${head}\n`), body)
  }
}

function opening(subscription: string, ack: string | undefined, version: Version): string {
  const head = `MESSAGE\n${headerLine('subscription', subscription, version)}`
  return ack === undefined ? head : `${head}ack:${ack}\n`
}

/** Message ids: short, URL-safe, never repeated by another run of the broker. */
export class MessageIds {
  private readonly prefix: string
  private count = 0

  /** `node` tells runs and nodes apart; letters and digits. */
  constructor(node: string) {
    this.prefix = `${node}-`
  }

  next(): string {
    return this.prefix + (++this.count).toString(36)
  }

  /** Whether this run has given out `id`. */
  minted(id: string): boolean {
    const count = parseInt(id.slice(this.prefix.length), 36)
    return count >= 1 && count <= this.count && id === this.prefix + count.toString(36)
  }
}

/** A message handed to one consumer of a queue, until it is acked, nacked or released. */
export interface Delivery {
  readonly queue: string
  readonly message: Message
  /** From 1; above 1 the client sees `redelivered:true`. */
  readonly attempt: number
}

/**
 * What a delivery's MESSAGE shows as `message-id`, and as `ack` where there is one: peers show the
 * same in both, so 1.1 code works on 1.2. From the second delivery on the attempt stands behind the
 * message's id, so that a late ACK of the first cannot settle the second.
 */
export function deliveryId({ message, attempt }: Delivery): string {
  return attempt === 1 ? message.id : `${message.id}.${attempt}`
}

/**
 * What can be done to an engine. `nack` is a refusal by the client, `release` a return without a
 * word, as when its session ended; both put the message back in its place. `reject` is a refusal
 * for good: the message becomes a dead letter.
 */
export type Op =
  | { readonly type: 'send'; readonly message: Message }
  | { readonly type: 'ack' | 'nack' | 'reject' | 'release'; readonly delivery: Delivery }
