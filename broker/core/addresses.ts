import type { QueueTerms } from '../engine/engine.ts'
import { StompError } from '../protocol/errors.ts'
import {
  MAX_DESTINATION,
  userKey,
  type Destination,
  type Destinations,
  type Personal,
} from '../protocol/destination.ts'
import type { Interest } from '../protocol/pattern.ts'
import { copy, quote } from '../protocol/text.ts'
import type { Request } from './request.ts'

/** What a subscription reads from. */
export type Source =
  | { readonly kind: 'topics'; readonly interests: readonly Interest[] }
  /** With `terms` the queue is declared first. */
  | { readonly kind: 'queue'; readonly queue: string; readonly terms: QueueTerms | undefined }
  | { readonly kind: 'app'; readonly path: string }

/** The client as its addresses know it. */
export interface Identity {
  /** As it logged in; empty for nobody. */
  readonly user: string
  /** CONNECT's `client-id`, ActiveMQ's owner of durable subscriptions; empty for none. */
  readonly clientId: string
}

export interface AddressLimits {
  /** Reply queues and topics of one client. */
  readonly maxSubscriptions: number
  /** Messages and bytes kept for one durable subscription. */
  readonly maxDurableMessages: number
  readonly maxDurableBytes: number
}

/** What the addresses need of their session. */
export interface AddressHost {
  /** An unguessable name, safe in a destination. */
  newId(): string
  /** A reply queue is made. */
  declare(queue: string, terms: QueueTerms): void
}

/** It is there until its session ends, and what is refused is gone: nobody else could read its dead letters. */
export const REPLY_TERMS: QueueTerms = { temporary: true, lasting: true, deadLetters: null }

const NOBODY: Identity = { user: '', clientId: '' }

/** What the names that a client writes stand for in its own session. */
export class Addresses {
  private readonly destinations: Destinations
  private readonly limits: AddressLimits
  private identity: Identity = NOBODY
  private readonly host: AddressHost
  /** By the name the client gave it, `/temp-queue/x` or `/temp-topic/x`. */
  private made: Map<string, Destination> | undefined
  /** Reaches this session's user destinations, and no other session's. */
  private alias: string | undefined

  constructor(destinations: Destinations, limits: AddressLimits, host: AddressHost) {
    this.destinations = destinations
    this.limits = limits
    this.host = host
  }

  /** The client has said who it is. */
  identify(identity: Identity): void {
    this.identity = identity
  }

  /** The reply queues of this session. */
  get replyQueues(): readonly Destination[] {
    return [...(this.made?.values() ?? [])].filter(({ kind }) => kind === 'queue')
  }

  /** The destination behind `/temp-queue/x` or `/temp-topic/x`, made at its first mention. */
  temporary(shown: string): Destination {
    const made = (this.made ??= new Map<string, Destination>())
    const known = made.get(shown)
    if (known !== undefined) return known
    const { maxSubscriptions } = this.limits
    if (made.size >= maxSubscriptions) {
      throw new StompError(
        'subscription-limit',
        `A client may have at most ${maxSubscriptions} reply queues (limit max-subscriptions).`,
      )
    }
    const queue = shown.startsWith('/temp-queue/')
    const name = `${queue ? '/reply-queue/' : '/remote-temp-topic/'}${this.host.newId()}`
    const destination = { kind: queue ? 'queue' : 'topic', name, shown: name, temporary: true } as const
    made.set(copy(shown), destination)
    if (queue) this.host.declare(name, REPLY_TERMS)
    return destination
  }

  /** The client's own name of one of its reply queues or topics. */
  ownName(address: string): string | undefined {
    for (const [shown, { name }] of this.made ?? []) if (name === address) return shown
    return undefined
  }

  /** The address under which others reach what this client calls `replyTo`. */
  replyAddress(replyTo: string): string {
    if (/^\/temp-(queue|topic)\/./.test(replyTo)) return this.temporary(replyTo).name
    if (!replyTo.startsWith('/user/')) return replyTo
    this.alias ??= `~${this.host.newId()}`
    return `/user/${this.alias}${replyTo.slice('/user'.length)}`
  }

  /** What a SUBSCRIBE to `text` reads from. */
  source(text: string, id: string, request: Request): Source {
    const address = this.destinations.subscribed(text)
    switch (address.kind) {
      case 'topic':
        return this.topic(address.interest, address.shown, id, request)
      case 'queue':
        return { kind: 'queue', queue: address.name, terms: this.queueTerms(address.name, request) }
      case 'app':
        return { kind: 'app', path: address.shown }
      default:
        return this.personal(address, request)
    }
  }

  /** The queue that keeps a durable subscription's messages: one for each owner and name. */
  durableQueue(name: string): string {
    const { user, clientId } = this.identity
    if (Buffer.byteLength(name) > MAX_DESTINATION) {
      throw new StompError(
        'invalid-header',
        `The name ${quote(name)} of a durable subscription has more than ${MAX_DESTINATION} bytes.`,
      )
    }
    const owner = user + clientId === '' ? '' : `@${userKey(user)}`
    return `/durable/${userKey(name)}${owner}${clientId === '' ? '' : `/${userKey(clientId)}`}`
  }

  /** RabbitMQ and Apollo name a durable subscription by its id; RabbitMQ by its destination as well. */
  durableName(id: string, destination: string): string {
    return `${id} ${this.destinations.subscribed(destination).shown}`
  }

  private personal({ kind, shown }: Personal, request: Request): Source {
    if (request.durable !== undefined && kind === 'user')
      throw new StompError(
        'unsupported-destination',
        `${quote(shown)} lasts as long as its session, it cannot be durable; subscribe to a topic or queue.`,
      )
    if (kind === 'user') return { kind: 'topics', interests: this.userTopics(shown.slice('/user'.length)) }
    const name = kind === 'reply' ? this.ownName(shown) : shown
    if (name === undefined)
      throw new StompError(
        'unsupported-destination',
        `${quote(shown)} is the reply address of another client; it can be sent to, not read.`,
      )
    const destination = this.temporary(name)
    if (destination.kind === 'topic') return { kind: 'topics', interests: [destination.name] }
    return { kind: 'queue', queue: destination.name, terms: REPLY_TERMS }
  }

  /** Its user's messages, and those meant for this session alone. */
  private userTopics(rest: string): string[] {
    this.alias ??= `~${this.host.newId()}`
    const names = [`/user/${this.alias}${rest}`]
    if (this.identity.user !== '') names.push(`/user/${userKey(this.identity.user)}${rest}`)
    return names
  }

  private topic(interest: Interest, shown: string, id: string, request: Request): Source {
    const { durable, queueName, selector } = request
    if (durable === undefined && queueName === undefined) return { kind: 'topics', interests: [interest] }
    const { maxDurableMessages: maxMessages, maxDurableBytes: maxBytes } = this.limits
    const name = typeof durable === 'string' ? durable : `${id} ${shown}`
    const behind = queueName === undefined ? undefined : this.destinations.subscribed(queueName)
    if (behind !== undefined && (behind.kind !== 'queue' || behind.temporary))
      throw new StompError(
        'invalid-header',
        `x-queue-name is ${quote(queueName ?? '')}, not the name of a queue.`,
      )
    const queue = behind?.name ?? this.durableQueue(name)
    // RabbitMQ's queue behind a topic ends with its last consumer unless it is told to stay.
    const autoDelete = request.autoDelete ?? durable === undefined
    const terms: QueueTerms = {
      maxMessages,
      maxBytes,
      overflow: 'drop-oldest',
      ...this.queueTerms(queue, request),
      topics: interest,
      ...(selector !== undefined && { selector }),
      ...(autoDelete ? { autoDelete } : { lasting: true }),
    }
    return { kind: 'queue', queue, terms }
  }

  /** What the client wants the queue to be told, if anything. */
  private queueTerms(queue: string, { terms, autoDelete, deadLetters }: Request): QueueTerms | undefined {
    const all: QueueTerms = {
      ...terms,
      ...(autoDelete === true && { autoDelete }),
      ...(deadLetters !== undefined && this.deadLetterTerms(queue, deadLetters.exchange, deadLetters.key)),
    }
    return Object.keys(all).length > 0 ? all : undefined
  }

  /** Without a key of its own a dead letter keeps that of the message: here, the name of its queue. */
  private deadLetterTerms(
    queue: string,
    exchange: string,
    key = queue.replace(/^\/queue\//, ''),
  ): QueueTerms {
    const name = exchange === '' ? `/queue/${key}` : `/exchange/${exchange}/${key}`
    const [destination] = this.destinations.sent(name)
    if (destination?.kind !== 'topic' && destination?.kind !== 'queue') return {}
    return { deadLetters: destination }
  }
}
