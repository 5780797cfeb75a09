import type { Logger } from 'pino'
import type { Engine, QueueTerms, Settling } from '../engine/engine.ts'
import { parseSelector } from '../model/selector.ts'
import type { Destination, Destinations } from '../protocol/destination.ts'
import { StompError } from '../protocol/errors.ts'
import type { Frame, Headers, Version } from '../protocol/frame.ts'
import { copy, quote } from '../protocol/text.ts'
import {
  Addresses,
  REPLY_TERMS,
  type AddressHost,
  type AddressLimits,
  type Identity,
  type Source,
} from './addresses.ts'
import { Allowance, type AllowanceLimits } from './allowance.ts'
import type { Reply } from './app.ts'
import { required, subscriptionId } from './headers.ts'
import type { Hub } from './hub.ts'
import { readDurable, readRequest, type Request, type RequestDefaults } from './request.ts'
import {
  AppSubscription,
  BrowseSubscription,
  QueueSubscription,
  TopicSubscription,
  type Filter,
  type Subscription,
  type SubscriptionHost,
} from './subscription.ts'

/** What the subscriptions need of the house. */
export interface RosterHouse {
  readonly options: AddressLimits & AllowanceLimits & RequestDefaults
  readonly engine: Engine
  readonly hub: Hub
  readonly destinations: Destinations
  readonly log: Logger
  newId(): string
  tell(warning: string): void
}

const NO_HEADERS: Headers = new Map()

/** What they need of their session. */
export interface RosterHost extends SubscriptionHost {
  /** Receipt and `then` once the work is done; `undo` and an ERROR if it failed. */
  finish(frame: Frame | undefined, done: void | Settling, then?: () => void, undo?: () => void): void
  /** The same where there is no frame to answer. */
  attempt(act: () => void | Promise<void>): void
  /** What the application at `path` says to a SUBSCRIBE. */
  ask(path: string, headers: Headers): Promise<Reply | undefined> | undefined
  /** A subscription is closed: what it still holds goes back. */
  abandon(subscription: QueueSubscription): void
}

/** The subscriptions of one session, and the addresses that are its own. */
export class Roster implements AddressHost {
  /** Messages went out that need no ack, so an unknown id may be one of theirs. */
  unledgered = false
  private readonly session: string
  private readonly house: RosterHouse
  private readonly host: RosterHost
  private readonly subscriptions = new Map<string, Subscription>()
  /** Those to reply queues that the client did not ask for by SUBSCRIBE, by its name of the queue. */
  private automatic: Map<string, QueueSubscription> | undefined
  private readonly addresses: Addresses
  private unacked: Allowance | undefined

  constructor(session: string, house: RosterHouse, host: RosterHost) {
    this.session = session
    this.house = house
    this.host = host
    this.addresses = new Addresses(house.destinations, house.options, this)
  }

  /** The client has said who it is. */
  identify(identity: Identity): void {
    this.addresses.identify(identity)
  }

  /** Of unacked messages; most clients never hold any. */
  get allowance(): Allowance {
    return (this.unacked ??= new Allowance(this.house.options))
  }

  get(id: string): Subscription | undefined {
    return this.subscriptions.get(id) ?? this.automatic?.get(id)
  }

  /** The destination behind `/temp-queue/x` or `/temp-topic/x`. */
  temporary(shown: string): Destination {
    return this.addresses.temporary(shown)
  }

  /** The connection takes more. */
  resume(): void {
    for (const subscription of this.automatic?.values() ?? []) subscription.resume()
    for (const subscription of this.subscriptions.values()) {
      subscription.resume()
      if (!this.host.pressed) continue
      // It filled the connection: the next time the others come first.
      this.subscriptions.delete(subscription.id)
      this.subscriptions.set(subscription.id, subscription)
      return
    }
  }

  /** Nothing more is delivered, but what was may still be acked. */
  close(): void {
    for (const subscription of this.subscriptions.values()) subscription.close()
    for (const subscription of this.automatic?.values() ?? []) subscription.close()
  }

  clear(): void {
    this.close()
    this.subscriptions.clear()
    this.automatic = undefined
  }

  removeReplyQueues(): void {
    for (const { name } of this.addresses.replyQueues) {
      this.host.attempt(() => this.house.engine.remove(name))
    }
  }

  subscribe(frame: Frame, version: Version): void {
    const { headers } = frame
    const name = required(frame, 'destination')
    const id = subscriptionId(frame, version)
    const request = readRequest(headers, this.house.options, (warning) => this.house.tell(warning))
    const source = this.addresses.source(name, id, request)
    if (this.subscriptions.has(id)) {
      // 1.2, SUBSCRIBE id Header: ids of one connection must differ.
      throw new StompError(
        'duplicate-subscription',
        `The subscription id ${quote(id)} is in use; UNSUBSCRIBE it first or choose another.`,
      )
    }
    const subscription = this.subscription(id, source, request, headers)
    if (!(subscription instanceof QueueSubscription) || subscription.mode === 'auto') this.unledgered = true
    this.checkRoom()
    const opened = subscription.open()
    this.subscriptions.set(id, subscription)
    // The id may be another's by the time a promise settles.
    const current = (): boolean => this.subscriptions.get(id) === subscription
    this.host.finish(
      frame,
      opened,
      () => {
        if (!current()) return
        if (subscription instanceof QueueSubscription) this.takeOver(subscription)
        subscription.start()
      },
      () => {
        if (current()) this.closeSubscription(subscription)
      },
    )
  }

  /** What the client subscribes to itself comes under its own id alone. */
  private takeOver({ queue }: QueueSubscription): void {
    for (const [name, automatic] of this.automatic ?? []) {
      if (automatic.queue !== queue) continue
      this.automatic?.delete(name)
      automatic.close()
    }
  }

  private checkRoom(): void {
    const { maxSubscriptions } = this.house.options
    if (this.subscriptions.size + (this.automatic?.size ?? 0) < maxSubscriptions) return
    throw new StompError(
      'subscription-limit',
      `A client may have at most ${maxSubscriptions} subscriptions (limit max-subscriptions).`,
    )
  }

  private subscription(id: string, source: Source, request: Request, headers: Headers): Subscription {
    const { engine, hub } = this.house
    const { mode, browse, selector, noLocal } = request
    const own = this.session
    const foreign: Filter = noLocal ? ({ sender }) => sender !== own : undefined
    const filter = both(foreign, selector === undefined ? undefined : parseSelector(selector))
    if (source.kind === 'app') {
      const { path } = source
      return new AppSubscription(id, path, () => this.host.ask(path, headers), this.host)
    }
    if (browse !== undefined && source.kind !== 'queue')
      throw new StompError(
        'invalid-header',
        'browser looks at what waits in a queue; nothing waits in a topic.',
      )
    if (source.kind === 'topics')
      return new TopicSubscription(id, mode, source.interests, filter, this.host, hub)
    const { queue, terms } = source
    if (browse !== undefined) return new BrowseSubscription(id, queue, browse.end, filter, this.host, engine)
    // What a durable subscription keeps is its own: what it does not want is not for others either.
    const sharing =
      terms?.topics === undefined
        ? { ...request, filter, keeps: undefined }
        : { ...request, filter: undefined, keeps: foreign }
    return new QueueSubscription(id, mode, queue, terms, sharing, this.allowance, this.host, engine)
  }

  /** What this client calls `replyTo`, as others are to call it. Replies come without a SUBSCRIBE, as with RabbitMQ. */
  replyAddress(replyTo: string): string {
    const address = this.addresses.replyAddress(replyTo)
    if (!address.startsWith('/reply-queue/') || address === replyTo || this.automatic?.has(replyTo))
      return address
    for (const other of this.subscriptions.values()) {
      if (other instanceof QueueSubscription && other.queue === address) return address
    }
    this.checkRoom()
    const name = copy(replyTo)
    const { prefetch } = readRequest(NO_HEADERS, this.house.options, () => {})
    const sharing = { prefetch, filter: undefined, keeps: undefined, exclusive: false, priority: 0 }
    const subscription = new QueueSubscription(
      name,
      'auto',
      address,
      REPLY_TERMS,
      sharing,
      this.allowance,
      this.host,
      this.house.engine,
    )
    const opened = subscription.open()
    this.automatic ??= new Map()
    this.automatic.set(name, subscription)
    this.unledgered = true
    this.host.finish(undefined, opened, () => subscription.start())
    return address
  }

  unsubscribe(frame: Frame, version: Version): void {
    const durable = readDurable(frame.headers)
    // ActiveMQ's clients delete a durable subscription by its name alone.
    const named = typeof durable === 'string' && !frame.headers.has('id')
    const id = named ? '' : subscriptionId(frame, version)
    const subscription = this.get(id)
    const queue = durable === undefined ? undefined : this.durableQueue(durable, subscription, frame)
    // An unknown id is what a second unsubscribe() of a client looks like: the end it wants is reached.
    if (subscription !== undefined) this.closeSubscription(subscription)
    else if (!named) this.house.log.debug(`${this.session}: UNSUBSCRIBE of unknown id ${quote(id)}`)
    this.host.finish(frame, queue === undefined ? undefined : this.house.engine.remove(queue, true))
  }

  /** The queue of the durable subscription that an UNSUBSCRIBE is to delete. */
  private durableQueue(
    durable: string | true,
    subscription: Subscription | undefined,
    { headers }: Frame,
  ): string | undefined {
    // It may have a queue of another name, by x-queue-name.
    if (subscription instanceof QueueSubscription && (durable === true || subscription.durable))
      return subscription.durable ? subscription.queue : undefined
    if (durable !== true) return this.addresses.durableQueue(durable)
    const [id, destination] = [headers.get('id'), headers.get('destination')]
    return id && destination && this.addresses.durableQueue(this.addresses.durableName(id, destination))
  }

  private closeSubscription(subscription: Subscription): void {
    if (!this.subscriptions.delete(subscription.id)) this.automatic?.delete(subscription.id)
    // Cancel before release, or the subscription is handed what it just gave back.
    subscription.close()
    if (subscription instanceof QueueSubscription) this.host.abandon(subscription)
  }

  newId(): string {
    return this.house.newId()
  }

  /** A reply queue is made. */
  declare(queue: string, terms: QueueTerms): void {
    this.host.attempt(() => this.house.engine.declare(queue, terms))
  }
}

function both(first: Filter, second: Filter): Filter {
  if (first === undefined || second === undefined) return first ?? second
  return (message) => first(message) && second(message)
}
