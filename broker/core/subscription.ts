import type { Consumption, Engine } from '../engine/engine.ts'
import type { Delivery, Message } from '../model/message.ts'
import type { AckMode } from './headers.ts'
import type { Hub, Subscriber } from './hub.ts'
import type { Share } from './turns.ts'

/** What a subscription needs of its session. */
export interface SubscriptionHost {
  /** Unsent bytes are above high water: queues hold back until `resume` is called. */
  readonly pressed: boolean
  /** Some messages cannot be sent to this client, and must go back to their place. */
  readonly selective: boolean
  readonly share: Share
  publish(subscription: TopicSubscription, message: Message): void
  dispatch(subscription: QueueSubscription, delivery: Delivery): void
}

/** Every message published from now on. */
export class TopicSubscription implements Subscriber {
  readonly id: string
  readonly mode: AckMode
  private readonly destination: string
  private readonly host: SubscriptionHost
  private readonly hub: Hub

  constructor(id: string, mode: AckMode, destination: string, host: SubscriptionHost, hub: Hub) {
    this.id = id
    this.mode = mode
    this.destination = destination
    this.host = host
    this.hub = hub
  }

  open(): void | Promise<void> {
    return this.hub.add(this.destination, this)
  }

  deliver(message: Message): void {
    this.host.publish(this, message)
  }

  start(): void {}
  resume(): void {}
  settled(): void {}

  close(): void {
    this.hub.remove(this.destination, this)
  }
}

/** A share of a queue, limited by the client's prefetch and by what its connection can take. */
export class QueueSubscription {
  readonly id: string
  readonly mode: AckMode
  readonly destination: string
  private readonly host: SubscriptionHost
  private readonly engine: Engine
  /** How many more unacked messages the client may be handed. */
  private room: number
  private consumption: Consumption | undefined
  private granted = false

  constructor(
    id: string,
    mode: AckMode,
    destination: string,
    prefetch: number,
    host: SubscriptionHost,
    engine: Engine,
  ) {
    this.id = id
    this.mode = mode
    this.destination = destination
    this.room = mode === 'auto' ? Infinity : prefetch
    this.host = host
    this.engine = engine
  }

  /** The engine may forget what it hands out. */
  get auto(): boolean {
    return this.mode === 'auto' && !this.host.selective
  }

  open(): void {
    this.consumption = this.engine.consume(this.destination, this)
  }

  deliver(delivery: Delivery): void {
    this.granted = false
    this.room--
    this.host.dispatch(this, delivery)
    if (this.host.share.take()) this.resume()
    else setImmediate(() => this.resume())
  }

  /** After SUBSCRIBE's receipt, which goes out before the first message. */
  start(): void {
    this.resume()
  }

  /** One credit at a time: so a connection that fills up is handed nothing more at once. */
  resume(): void {
    if (this.granted || this.room <= 0 || this.host.pressed) return
    this.granted = true
    this.consumption?.grant(1)
  }

  /** The client acked or nacked so many. */
  settled(count: number): void {
    this.room += count
    this.resume()
  }

  close(): void {
    this.consumption?.cancel()
    this.consumption = undefined
  }
}

export type Subscription = TopicSubscription | QueueSubscription
