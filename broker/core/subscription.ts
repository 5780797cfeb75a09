import type { Consumer, Consumption, Engine, QueueTerms } from '../engine/engine.ts'
import type { Form } from '../model/form.ts'
import type { Delivery, Message } from '../model/message.ts'
import type { Interest } from '../protocol/pattern.ts'
import type { Connection } from '../transport/connection.ts'
import type { Allowance } from './allowance.ts'
import type { Reply } from './app.ts'
import type { AckMode } from './headers.ts'
import type { Hub, Outlet, Subscriber } from './hub.ts'
import { Lag } from './lag.ts'
import type { Lenient } from './leniency.ts'
import type { Prefetch } from './request.ts'
import type { Slack } from './slack.ts'
import type { Share } from './turns.ts'

/** What a subscription needs of its session. */
export interface SubscriptionHost {
  /** Unsent bytes are above high water: queues hold back until `resume` is called. */
  readonly pressed: boolean
  /** Some messages cannot be sent to this client, and must go back to their place. */
  readonly selective: boolean
  readonly share: Share
  /** Undefined where no topic spares slow subscribers. */
  readonly slack: Slack | undefined
  publish(subscription: TopicSubscription, message: Message): void
  dispatch(subscription: QueueSubscription, delivery: Delivery): void
  /** Nobody is to get it. */
  discard(delivery: Delivery): void
  /** A message to be looked at; undefined when there are no more. */
  show(subscription: BrowseSubscription, message: Message | undefined): void
  /** What an application says to a SUBSCRIBE. */
  answer(subscription: AppSubscription, destination: string, reply: Reply): void
  fail(reason: unknown): void
  readonly connection: Connection
  /** How a subscription's messages look. */
  form(id: string, mode: AckMode): Form
}

/** Which messages a subscription takes; undefined for all. */
export type Filter = ((message: Message) => boolean) | undefined

/** What all subscriptions have. */
interface Common {
  readonly id: string
  readonly mode: AckMode
  readonly form: Form
  /** Done when it is in the routing table. */
  open(): void | Promise<void>
  /** After SUBSCRIBE's receipt, which goes out before the first message. */
  start(): void
  /** The connection takes more. */
  resume(): void
  /** Delivers nothing from now on. */
  close(): void
}

/** Every message published from now on, after what the topics retain. */
export class TopicSubscription implements Subscriber, Common {
  readonly id: string
  readonly mode: AckMode
  readonly form: Form
  private readonly interests: readonly Interest[]
  private readonly filter: Filter
  private readonly host: SubscriptionHost
  private readonly hub: Hub
  private started = false
  /** What the topics retain and the client has not got yet, by name. */
  private backlog: Map<string, Message> | undefined
  /** What topics that spare slow subscribers keep back, while the client does not read. */
  private lag: Lag | undefined
  private closed = false

  constructor(
    id: string,
    mode: AckMode,
    interests: readonly Interest[],
    filter: Filter,
    host: SubscriptionHost,
    hub: Hub,
  ) {
    this.id = id
    this.mode = mode
    this.form = host.form(id, mode)
    this.interests = interests
    this.filter = filter
    this.host = host
    this.hub = hub
  }

  open(): void | Promise<void> {
    const waiting = this.interests
      .map((interest) => this.hub.add(interest, this))
      .filter((done) => done !== undefined)
    if (waiting.length > 0) return Promise.all(waiting).then(() => {})
  }

  get outlet(): Outlet | 'later' | undefined {
    if (this.filter !== undefined) return undefined
    if (!this.started || this.backlog !== undefined) return 'later'
    return { connection: this.host.connection, form: this.form }
  }

  deliver(message: Message): void {
    // What is retained of this topic is old news now.
    this.backlog?.delete(message.destination.name)
    this.pass(message)
  }

  lags(): boolean {
    this.host.slack?.watch()
    return this.lagging
  }

  spare(message: Message, policy: Lenient): void {
    const { slack } = this.host
    // A delivery loop may still hold it when it is closed.
    if (slack === undefined || this.closed || !this.lagging) return this.deliver(message)
    this.backlog?.delete(message.destination.name)
    if (this.filter !== undefined && !this.filter(message)) return
    slack.keep((this.lag ??= new Lag()), message, policy)
  }

  private get lagging(): boolean {
    return this.host.pressed || (this.lag?.count ?? 0) > 0
  }

  start(): void {
    this.started = true
    for (const interest of this.interests) {
      for (const message of this.hub.retained(interest)) {
        this.backlog ??= new Map()
        this.backlog.set(message.destination.name, message)
      }
    }
    this.resume()
  }

  resume(): void {
    for (const [name, message] of this.backlog ?? []) {
      if (this.host.pressed) return
      this.backlog?.delete(name)
      this.pass(message)
    }
    this.backlog = undefined
    const { slack } = this.host
    if (slack === undefined || this.lag === undefined) return
    while (!this.host.pressed) {
      const message = slack.take(this.lag)
      if (message === undefined) return
      this.host.publish(this, message)
    }
  }

  private pass(message: Message): void {
    if (this.filter === undefined || this.filter(message)) this.host.publish(this, message)
  }

  close(): void {
    this.backlog = undefined
    this.closed = true
    if (this.lag !== undefined) this.host.slack?.forget(this.lag)
    for (const interest of this.interests) this.hub.remove(interest, this)
  }
}

/** How a client wants to share a queue. */
export interface Sharing {
  readonly prefetch: Prefetch
  /** The others get what it does not take. */
  readonly filter: Filter
  /** Nobody gets what it does not keep. */
  readonly keeps: Filter
  readonly exclusive: boolean
  readonly priority: number
}

/** A share of a queue, limited by the client's prefetch and by what its connection can take. */
export class QueueSubscription implements Consumer, Common {
  readonly id: string
  readonly mode: AckMode
  readonly form: Form
  readonly queue: string
  /** The engine may forget what it hands out. */
  readonly auto: boolean
  readonly exclusive: boolean
  readonly priority: number
  readonly accepts: Filter
  private readonly keeps: Filter
  private readonly terms: QueueTerms | undefined
  private readonly host: SubscriptionHost
  private readonly engine: Engine
  /** How many more unacked messages, and bytes of them, the client may be handed. */
  private room: number
  private roomBytes: number
  /** What it shares with the client's other subscriptions; undefined where nothing is acked. */
  private readonly allowance: Allowance | undefined
  private consumption: Consumption | undefined
  private granted = false
  private closed = false

  /** With `terms` the queue is declared first. */
  constructor(
    id: string,
    mode: AckMode,
    queue: string,
    terms: QueueTerms | undefined,
    sharing: Sharing,
    allowance: Allowance,
    host: SubscriptionHost,
    engine: Engine,
  ) {
    this.id = id
    this.mode = mode
    this.form = host.form(id, mode)
    this.queue = queue
    this.auto = mode === 'auto' && !host.selective
    this.terms = terms
    this.exclusive = sharing.exclusive
    this.priority = sharing.priority
    this.accepts = sharing.filter
    this.keeps = sharing.keeps
    this.room = mode === 'auto' ? Infinity : sharing.prefetch.messages
    this.roomBytes = mode === 'auto' ? Infinity : sharing.prefetch.bytes
    this.allowance = mode === 'auto' ? undefined : allowance
    this.host = host
    this.engine = engine
  }

  /** Its queue keeps the messages to a topic, also while nobody reads it. */
  get durable(): boolean {
    return this.terms?.topics !== undefined
  }

  open(): void | Promise<void> {
    const declared = this.terms && this.engine.declare(this.queue, this.terms)
    if (declared === undefined) this.consume()
    else return declared.then(() => this.consume())
  }

  deliver(delivery: Delivery): void {
    this.granted = false
    if (this.keeps === undefined || this.keeps(delivery.message)) {
      this.room--
      this.allowance?.take()
      this.roomBytes -= delivery.message.size
      this.host.dispatch(this, delivery)
    } else {
      this.host.discard(delivery)
    }
    if (this.host.share.take()) this.resume()
    else setImmediate(() => this.resume())
  }

  start(): void {
    this.resume()
  }

  /** One credit at a time: so a connection that fills up is handed nothing more at once. */
  resume(): void {
    if (this.granted || this.closed || this.room <= 0 || this.roomBytes <= 0 || this.host.pressed) return
    if (this.allowance?.admits(this) === false) return
    this.granted = true
    this.consumption?.grant(1)
  }

  /** The client acked or nacked a message of so many bytes. */
  settled(bytes: number): void {
    this.room++
    this.roomBytes += bytes
    this.resume()
    this.allowance?.free(1)
  }

  close(): void {
    this.closed = true
    this.allowance?.leave(this)
    this.consumption?.cancel()
    this.consumption = undefined
  }

  private consume(): void {
    if (!this.closed) this.consumption = this.engine.consume(this.queue, this)
  }
}

/** A look at what waits in a queue, which takes nothing out. */
export class BrowseSubscription implements Common {
  readonly id: string
  readonly mode = 'auto'
  readonly form: Form
  readonly queue: string
  /** A last frame tells that this was all. */
  readonly ends: boolean
  private readonly filter: Filter
  private readonly host: SubscriptionHost
  private readonly engine: Engine
  private pages: AsyncIterator<readonly Message[]> | undefined
  private page: Iterator<Message> | undefined
  private running = false

  constructor(
    id: string,
    queue: string,
    ends: boolean,
    filter: Filter,
    host: SubscriptionHost,
    engine: Engine,
  ) {
    this.id = id
    this.form = host.form(id, 'auto')
    this.queue = queue
    this.ends = ends
    this.filter = filter
    this.host = host
    this.engine = engine
  }

  open(): void {}

  start(): void {
    this.pages = this.engine.browse(this.queue)[Symbol.asyncIterator]()
    this.resume()
  }

  resume(): void {
    if (this.running) return
    this.running = true
    this.run()
      .catch((error: unknown) => {
        this.close()
        this.host.fail(error)
      })
      .finally(() => {
        this.running = false
        // The connection may have been emptied meanwhile.
        if (this.pages !== undefined && !this.host.pressed) this.resume()
      })
  }

  close(): void {
    this.pages = undefined
  }

  /** The headers of ActiveMQ's last frame. */
  ending(id: string): readonly [string, string][] {
    return [
      ['subscription', this.id],
      ['message-id', `end-${id}`],
      ['destination', this.queue],
      ['browser', 'end'],
      ['content-length', '0'],
    ]
  }

  private async run(): Promise<void> {
    while (this.pages !== undefined && !this.host.pressed) {
      const next = this.page?.next()
      if (next !== undefined && next.done !== true) {
        if (this.filter === undefined || this.filter(next.value)) this.host.show(this, next.value)
        continue
      }
      const { pages } = this
      const result = await pages.next()
      if (this.pages !== pages) return
      if (result.done !== true) {
        this.page = result.value.values()
        // A selector may have to look at many.
        await new Promise((resolve) => setImmediate(resolve))
      } else {
        this.close()
        if (this.ends) this.host.show(this, undefined)
      }
    }
  }
}

/** What an application answers to a SUBSCRIBE, once. */
export class AppSubscription implements Common {
  readonly id: string
  readonly mode = 'auto'
  readonly form: Form
  private readonly destination: string
  private readonly ask: () => Promise<Reply | undefined> | undefined
  private readonly host: SubscriptionHost
  private reply: Reply | undefined

  constructor(
    id: string,
    destination: string,
    ask: () => Promise<Reply | undefined> | undefined,
    host: SubscriptionHost,
  ) {
    this.id = id
    this.form = host.form(id, 'auto')
    this.destination = destination
    this.ask = ask
    this.host = host
  }

  open(): void | Promise<void> {
    return this.ask()?.then((reply) => void (this.reply = reply))
  }

  start(): void {
    if (this.reply !== undefined) this.host.answer(this, this.destination, this.reply)
    this.reply = undefined
  }

  resume(): void {}
  close(): void {}
}

export type Subscription = TopicSubscription | QueueSubscription | BrowseSubscription | AppSubscription
