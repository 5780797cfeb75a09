import { putAll, putText } from '../protocol/bytes.ts'
import type { Destination } from '../protocol/destination.ts'
import type { Headers, Version } from '../protocol/frame.ts'
import { Made, type Content } from './content.ts'
import type { Form } from './form.ts'
import type { Envelope, Payload, Piece, Wire } from './wire.ts'

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
}

export const NO_TERMS: Terms = {
  expires: 0,
  priority: undefined,
  delay: 0,
  group: undefined,
  retain: undefined,
  persistent: false,
}

/** A published message. It renders itself once per distinct form, and equal forms share the very same bytes. */
export class Message {
  /** The `message-id` header, the same for every subscriber of a topic. */
  readonly id: string
  readonly destination: Destination
  /** What it counts for against a limit of bytes. */
  readonly size: number
  readonly terms: Terms
  /** The session it came from; empty for none. */
  readonly sender: string
  private content: Content
  // Nearly always there is one form: it is kept outside the map.
  private form: Form | undefined
  private payload: Payload = ''
  private payloads: Map<string, Payload> | undefined
  /** What forms share that differ in their opening only. */
  private tails: Map<string, Buffer> | undefined

  constructor(
    id: string,
    destination: Destination,
    content: Content,
    size: number = content.size,
    terms: Terms = NO_TERMS,
    sender = '',
  ) {
    this.id = id
    this.destination = destination
    this.content = content
    this.size = size
    this.terms = terms
    this.sender = sender
  }

  /** As the sender gave them. */
  get headers(): Headers {
    return this.content.headers
  }

  get body(): Buffer {
    return this.content.body
  }

  /** Bytes of the body. */
  get bodySize(): number {
    return this.content.size
  }

  /** To be called before it is kept for longer than a turn. */
  detach(): this {
    this.content = this.content.detach()
    return this
  }

  /** From now on its content is elsewhere. */
  shelve(content: Content): void {
    this.content = content
  }

  /** Takes it into memory again. */
  recall(): void {
    this.content = this.content.recall()
  }

  /** The same in memory, for whoever only looks at it. */
  recalled(): Message {
    const content = this.content.recall()
    return new Message(this.id, this.destination, content, this.size, this.terms, this.sender)
  }

  /** The same under another id, with nothing rendered yet. */
  copy(id: string): Message {
    return new Message(id, this.destination, this.content, this.size, this.terms, this.sender)
  }

  /** Whether the body is UTF-8, and so the whole frame. */
  get text(): boolean {
    return this.content.text
  }

  /** The MESSAGE frame for a topic subscription. Equal forms return the identical object. */
  render(form: Form): Payload {
    if (this.form === undefined) {
      this.form = form
      return (this.payload = this.dress(form, this.id, 0))
    }
    if (this.form === form || this.form.key === form.key) return this.payload
    this.payloads ??= new Map()
    let payload = this.payloads.get(form.key)
    if (payload === undefined) this.payloads.set(form.key, (payload = this.dress(form, this.id, 0)))
    return payload
  }

  /** The MESSAGE frame for the one consumer of a queue, under the id of the delivery. */
  renderDelivery(form: Form, id: string, attempt: number): Payload {
    return this.dress(form, id, attempt)
  }

  private dress(form: Form, id: string, attempt: number): Payload {
    const { wire } = form
    const { shown } = this.destination
    const { envelope } = wire
    if (envelope !== undefined) {
      const text = envelope.typed && this.isText(wire)
      return new MessagePiece(form, envelope, this.content, shown, id, attempt, text)
    }
    const base64 = wire.binary === 'base64' && !this.text
    const text = base64 || this.isText(wire)
    const opening = Buffer.from(own(form, id, attempt))
    return wire.wrap(Buffer.concat([form.opening, opening]), this.tail(form, base64), text)
  }

  private isText(wire: Wire): boolean {
    return this.text && !(wire.octets && this.isOctets())
  }

  private isOctets(): boolean {
    return this.headers.get('content-type')?.startsWith('application/octet-stream') ?? false
  }

  /** All of the frame that depends neither on the subscription nor on the delivery. */
  private tail({ version }: Form, base64: boolean): Buffer {
    const key = base64 ? `${version} base64` : version
    this.tails ??= new Map()
    let tail = this.tails.get(key)
    if (tail === undefined) this.tails.set(key, (tail = this.makeTail(version, base64)))
    return tail
  }

  private makeTail(version: Version, base64: boolean): Buffer {
    let { content } = this
    if (base64) {
      const headers = new Map([['content-transfer-encoding', 'base64'], ...content.headers])
      headers.set('content-transfer-encoding', 'base64')
      content = new Made(headers, Buffer.from(content.body.toString('base64')))
    }
    const { shown } = this.destination
    const tail = Buffer.allocUnsafe(content.headSize(shown, version) + content.size + 1)
    content.put(tail, 0, shown, version)
    return tail
  }
}

/** The header lines of the broker, behind the opening. */
function own({ acks }: Form, id: string, attempt: number): string {
  let lines = acks ? `ack:${id}\n` : ''
  if (attempt > 0) lines += `redelivered:${attempt > 1}\n`
  if (attempt > 1) lines += `delivery-count:${attempt - 1}\n`
  return `${lines}message-id:${id}\n`
}

/** Bodies from this on are handed to the socket where they lie. */
const LARGE_BODY = 16 * 1024

/** A MESSAGE frame, written where it is needed. */
class MessagePiece implements Piece {
  readonly length: number
  private readonly form: Form
  private readonly envelope: Envelope
  private readonly content: Content
  private readonly shown: string
  private readonly id: string
  private readonly attempt: number
  private readonly text: boolean
  /** Of the frame without its envelope. */
  private readonly frameLength: number
  private shared: readonly Buffer[] | undefined

  constructor(
    form: Form,
    envelope: Envelope,
    content: Content,
    shown: string,
    id: string,
    attempt: number,
    text: boolean,
  ) {
    this.form = form
    this.envelope = envelope
    this.content = content
    this.shown = shown
    this.id = id
    this.attempt = attempt
    this.text = text
    const head = form.opening.length + ownSize(form, id, attempt) + content.headSize(shown, form.version)
    this.frameLength = head + content.size + 1
    this.length = envelope.size(this.frameLength) + this.frameLength
  }

  put(target: Buffer, at: number): number {
    return this.content.put(target, this.putOwn(target, at), this.shown, this.form.version)
  }

  parts(): readonly Buffer[] | undefined {
    if (this.content.size < LARGE_BODY) return undefined
    if (this.shared === undefined) {
      const head = Buffer.allocUnsafe(this.length - this.content.size - 1)
      this.content.putHead(head, this.putOwn(head, 0), this.shown, this.form.version)
      this.shared = [head, ...this.content.closing()]
    }
    return this.shared
  }

  /** All that stands before the content. */
  private putOwn(target: Buffer, at: number): number {
    const { form, id, attempt } = this
    const { opening } = form
    let next = this.envelope.put(target, at, this.frameLength, this.text)
    next = putAll(target, next, opening)
    if (attempt > 1) return putText(target, next, own(form, id, attempt))
    if (form.acks) next = putText(target, putAll(target, next, ACK), id)
    next = putAll(target, next, before(form.acks, attempt))
    next = putText(target, next, id)
    target[next] = LF
    return next + 1
  }
}

const ACK = Buffer.from('ack:')
/** What stands before the message-id, at the beginning of a line or behind an ack. */
const ID = [Buffer.from('message-id:'), Buffer.from('\nmessage-id:')] as const
const FIRST = [
  Buffer.from('redelivered:false\nmessage-id:'),
  Buffer.from('\nredelivered:false\nmessage-id:'),
] as const
const LF = 10

function before(acks: boolean, attempt: number): Buffer {
  const [first, behind] = attempt === 1 ? FIRST : ID
  return acks ? behind : first
}

/** Bytes of what `own` would say. */
function ownSize(form: Form, id: string, attempt: number): number {
  if (attempt > 1) return own(form, id, attempt).length
  const line = (attempt === 1 ? FIRST[0] : ID[0]).length + id.length + 1
  return form.acks ? line + ACK.length + id.length + 1 : line
}

/** Two digits of base 36 are looked up, the others change seldom. */
const STEP = 36 * 36
const LOW: readonly string[] = Array.from({ length: STEP }, (_, low) => low.toString(36).padStart(2, '0'))

/** Ids as runs give them out. */
const EARLIER = /^[\w-]{6}-[\da-z]+$/

/** Message ids: short, URL-safe, never repeated by another run of the broker. */
export class MessageIds {
  private readonly prefix: string
  private count = STEP - 1
  /** Up to the last two digits. */
  private high = ''

  private readonly lasting: boolean

  /** `node` tells runs and nodes apart; letters and digits. `lasting`: messages of earlier runs may be there. */
  constructor(node: string, lasting = false) {
    this.prefix = `${node}-`
    this.lasting = lasting
  }

  next(): string {
    const count = ++this.count
    const low = count % STEP
    if (low === 0) this.high = this.prefix + (count / STEP).toString(36)
    return this.high + LOW[low]
  }

  /** Whether this run has given out `id`, or an earlier one may have. */
  minted(id: string): boolean {
    if (this.lasting && !id.startsWith(this.prefix)) return EARLIER.test(id)
    const count = parseInt(id.slice(this.prefix.length), 36)
    return count >= STEP && count <= this.count && id === this.prefix + count.toString(36)
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
