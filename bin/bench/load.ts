import { performance, type EventLoopUtilization } from 'node:perf_hooks'
import { Connection, flush, type Manner, type Receiver } from './connection.ts'
import { Failure } from './failure.ts'
import { frame, template, type Header, type Template } from './frame.ts'
import { Histogram } from './histogram.ts'
import { Pacer } from './pacer.ts'
import { blank, isOf, publisherOf, runName, sequenceOf, STAMP, timeOf } from './stamp.ts'
import { Tally, type Verdict } from './tally.ts'
import type { Target } from './target.ts'

export interface Plan extends Manner {
  readonly target: Target
  /** Where subscribers connect, if elsewhere than publishers. */
  readonly subscriberTarget?: Target
  readonly publishers: number
  readonly subscribers: number
  /** Whether the publishers are the subscribers: as many, and each sends to what it is subscribed to. */
  readonly members: boolean
  /** Where messages are sent; as many subscriptions are made at least. */
  readonly destinations: readonly string[]
  /** What is subscribed to, for each destination; the destinations themselves unless given. */
  readonly patterns?: readonly string[]
  /** Whether all subscriptions have the same id, which they may where no connection has two. */
  readonly sameId: boolean
  readonly queue: boolean
  readonly size: number
  /** 0 leaves it to the broker. */
  readonly prefetch: number
  readonly receipts: boolean
  readonly headers: readonly Header[]
  /** How many connections are being made at a time. */
  readonly concurrency: number
}

/** For each publisher: how many messages may be on their way, or how many are sent in a second. */
export type Pace = { readonly window: number } | { readonly rate: number }

export interface Stint {
  readonly pace: Pace
  /** Seconds that do not count. */
  readonly warmUp: number
  /** Seconds that count. */
  readonly duration: number
  /** Ends when as many messages were sent, in the place of `duration`. */
  readonly messages?: number
  /** Ends it early. */
  readonly signal?: AbortSignal
  /** Called when the warm-up is over and when the time is, for what else is to be measured meanwhile. */
  readonly mark?: (which: 'begin' | 'end') => void
  /** Ends it when as many deliveries are on their way: the broker does not keep up. */
  readonly most?: number
}

export interface Figures {
  /** Seconds measured. */
  readonly seconds: number
  readonly sent: number
  readonly delivered: number
  /** Bytes of the bodies delivered. */
  readonly bytes: number
  /** Of what was sent while it was measured, in microseconds. */
  readonly latency: { p50: number; p99: number; p999: number; max: number }
  /** The share of the time in which the load generator was busy. */
  readonly busy: number
  /** Microseconds that the last message was sent after it was due, at worst; 0 with a window. */
  readonly late: number
  /** Messages that were due and could not be sent while it was measured; 0 with a window. */
  readonly unsent: number
  /** Whether it ended because nothing arrived any more. */
  readonly stalled: boolean
}

interface Publisher {
  readonly connection: Connection
  readonly number: number
  /** Deliveries, and receipts, that have not come. */
  owed: number
  waiting: boolean
}

/** Microseconds without a delivery after which what is on its way is given up, also when it is ended early. */
const PATIENCE = 5_000_000
const HURRY = 1_000_000
/** Messages of one publisher in one turn of the event loop, so that others are read meanwhile. */
const BURST = 256
/** Bytes in a socket beyond which a publisher with a rate adds nothing; what is due stays due. */
const FULL = 1024 * 1024
/** Microseconds for the receipts of SUBSCRIBE, and for the first: Spring's simple broker sends none. */
const ALL_RECEIPTS = 30_000_000
const FIRST_RECEIPT = 2_000_000
/** Milliseconds between signs of life. RabbitMQ ends a WebSocket that is silent for a minute. */
const BEAT = 20_000
/** Milliseconds between looks at the clock. */
const LOOK = 20

/** Publishers and subscribers that put a broker to work, and check what it does. */
export class Load implements Receiver {
  /** What ended it before its time. */
  failure: Failure | undefined
  /** Whether the broker has answered SUBSCRIBE with receipts; if not it was given a moment. */
  answered = true
  /** Connections that are made, and what the broker calls itself on them. */
  connected = 0
  server = ''
  readonly latency = new Histogram()
  readonly tally: Tally
  sent = 0
  delivered = 0
  readonly plan: Plan
  private readonly run = runName()
  private readonly runBytes = Buffer.from(this.run)
  private readonly publishers: Publisher[] = []
  private readonly connections: Connection[] = []
  private readonly templates: Template[] = []
  private readonly subscriptions: number
  /** What the time is counted from, in microseconds. */
  private readonly epoch = performance.now()
  /** When what is being read has arrived. */
  private now = 0
  private subscribed = false
  private receipts = 0
  private sending = false
  /** Messages that may still be sent. */
  private left = 0
  /** What all publishers are owed, and how much one of them may be. */
  private owed = 0
  private allowance = 0
  /** The most that one message adds to that. */
  private share = 0
  private ready: Publisher[] = []
  private pumping = false
  private begin = Infinity
  private finish = Infinity
  private lastArrival = 0
  private worked = false
  private idle = 0
  private late = 0
  private beat: NodeJS.Timeout | undefined
  private wake: (() => void) | undefined

  constructor(plan: Plan) {
    this.plan = plan
    const { publishers, subscribers, destinations, members, queue, size } = plan
    if (size < STAMP) throw new RangeError(`a body needs ${STAMP} bytes`)
    this.subscriptions = subscribers === 0 ? 0 : Math.max(subscribers, destinations.length)
    this.tally = new Tally({
      publishers,
      subscriptions: this.subscriptions,
      destinations: destinations.length,
      rotating: !members,
      queue,
    })
  }

  /** Makes all connections, and subscribes unless that is to come later. Rejects with Failure. */
  async open(subscribe = true): Promise<void> {
    const { plan } = this
    for (let number = 0; number < plan.subscribers; number++)
      this.connections.push(new Connection(plan.subscriberTarget ?? plan.target, plan, this))
    for (let number = 0; number < plan.publishers; number++) {
      const own = plan.members ? this.connections[number] : undefined
      const connection = own ?? new Connection(plan.target, plan, this)
      if (own === undefined) this.connections.push(connection)
      connection.publisher = number
      this.publishers.push({ connection, number, owed: 0, waiting: false })
    }
    this.beat = setInterval(() => {
      for (const connection of this.connections) connection.beat()
      flush()
    }, BEAT)
    this.beat.unref()
    const todo = this.connections.entries()
    const work = async (): Promise<void> => {
      for (const [number, connection] of todo) {
        if (this.failure !== undefined) throw this.failure
        await connection.open()
        this.connected++
        this.server = connection.server
        if (subscribe) this.subscribeOne(connection, number)
      }
    }
    await Promise.all(Array.from({ length: plan.concurrency }, work))
    if (subscribe) await this.confirm()
  }

  /** Makes the subscriptions that open() has left out. */
  async subscribe(): Promise<void> {
    this.lastArrival = this.clock()
    this.receipts = 0
    for (const [number, connection] of this.connections.entries()) this.subscribeOne(connection, number)
    await this.confirm()
  }

  /** Sends and receives for a while, then waits for what is on its way. */
  async measure(stint: Stint): Promise<Figures> {
    const { pace, signal, warmUp, duration, messages, most = Infinity } = stint
    const began = this.clock()
    this.begin = began + warmUp * 1e6
    this.finish = Infinity
    this.left = messages ?? Infinity
    this.latency.clear()
    this.sent = this.delivered = this.late = this.idle = 0
    this.lastArrival = began
    this.sending = true
    const receipt = this.plan.receipts ? 1 : 0
    this.share = receipt + Math.max(...this.plan.destinations.map((_, index) => this.reaches(index)))
    this.allowance = 'window' in pace ? pace.window * this.share : 0
    const pacer = 'rate' in pace ? new Pacer(pace.rate * this.publishers.length, this) : undefined
    pacer?.start()
    if (pacer === undefined) for (const publisher of this.publishers) this.want(publisher)
    const stop = (): void => this.wake?.()
    signal?.addEventListener('abort', stop)
    let loop: EventLoopUtilization | undefined
    let ended = 0
    while (ended === 0) {
      const now = this.clock()
      if (loop === undefined && now >= this.begin) {
        this.begin = now
        if (messages === undefined) this.finish = now + duration * 1e6
        loop = performance.eventLoopUtilization()
        this.sent = this.delivered = this.late = this.idle = 0
        stint.mark?.('begin')
      }
      const over = signal?.aborted === true || this.failure !== undefined || now >= this.finish
      if (over || this.stalled(now) || this.owed > most || (this.left === 0 && this.owed === 0)) ended = now
      else await this.pause(Math.min(LOOK, ((loop === undefined ? this.begin : this.finish) - now) / 1000))
    }
    const active = loop === undefined ? 0 : performance.eventLoopUtilization(loop).active * 1000 - this.idle
    stint.mark?.('end')
    pacer?.stop()
    signal?.removeEventListener('abort', stop)
    this.sending = false
    this.finish = ended
    const elapsed = Math.max(0, ended - this.begin)
    const { sent, delivered, late } = this
    const unsent = this.failure === undefined ? (pacer?.arrears(this.begin, ended) ?? 0) : 0
    const stalled = !(await this.settle(signal)) && this.failure === undefined
    return {
      seconds: elapsed / 1e6,
      sent,
      delivered,
      bytes: delivered * this.plan.size,
      latency: {
        p50: this.latency.quantile(0.5),
        p99: this.latency.quantile(0.99),
        p999: this.latency.quantile(0.999),
        max: this.latency.max,
      },
      busy: elapsed === 0 ? 0 : Math.min(1, Math.max(0, active / elapsed)),
      late,
      unsent,
      stalled,
    }
  }

  /** Waits until all that was sent has arrived; false if it does not. */
  async settle(signal?: AbortSignal): Promise<boolean> {
    while (this.owed > 0) {
      const now = this.clock()
      if (this.failure !== undefined || this.stalled(now, signal?.aborted === true ? HURRY : PATIENCE))
        return false
      await this.pause(LOOK)
    }
    return true
  }

  /** Waits for what was sent before there was a subscription; false if it does not come. */
  async collect(): Promise<boolean> {
    while (this.verdict().lost > 0) {
      if (this.failure !== undefined || this.clock() - this.lastArrival > PATIENCE) return false
      await this.pause(LOOK)
    }
    return true
  }

  /** Of all that was sent so far. */
  verdict(): Verdict {
    const verdict = this.tally.verdict()
    return this.subscriptions === 0 ? { ...verdict, lost: 0 } : verdict
  }

  close(): void {
    clearInterval(this.beat)
    for (const connection of this.connections) connection.end()
  }

  /** Sends a message of the publisher whose turn it is; false when its socket is full. */
  publishDue(turn: number, due: number, now: number): boolean {
    const publisher = this.publishers[turn % this.publishers.length]
    if (publisher === undefined || publisher.connection.backlog > FULL) return false
    this.publish(publisher, due)
    this.worked = true
    if (now - due > this.late) this.late = now - due
    return true
  }

  /** If nothing was done since `since`, that time was rest. */
  rested(since: number, now: number): void {
    if (!this.worked) this.idle += now - since
    this.worked = false
  }

  clock(): number {
    return Math.floor((performance.now() - this.epoch) * 1000)
  }

  arrival(): void {
    this.now = this.clock()
    this.worked = true
  }

  message(connection: Connection, bytes: Buffer, body: number, length: number): void {
    if (this.plan.ack !== 'auto') connection.ack(bytes)
    if (length !== this.plan.size || !isOf(this.runBytes, bytes, body)) {
      this.tally.strange++
      return
    }
    const publisher = publisherOf(bytes, body)
    if (!this.tally.arrive(connection.addressed, publisher, sequenceOf(bytes, body))) return
    const time = timeOf(bytes, body)
    if (this.now < this.finish) this.delivered++
    if (time >= this.begin && time < this.finish) this.latency.add(Math.max(0, this.now - time))
    this.pay(this.publishers[publisher] as Publisher) // arrive() knows its publishers
  }

  receipt(connection: Connection): void {
    const publisher = this.publishers[connection.publisher]
    // That of a SUBSCRIBE comes before anything is sent.
    if (publisher !== undefined && publisher.owed > 0) this.pay(publisher)
    else this.receipts++
  }

  failed(failure: Failure): void {
    this.failure ??= failure
    this.wake?.()
  }

  private subscribeOne(connection: Connection, number: number): void {
    const { subscribers, destinations, patterns = destinations, ack, prefetch, sameId } = this.plan
    for (let index = number; index < this.subscriptions && number < subscribers; index += subscribers) {
      const headers: Header[] = [
        ['id', `bench-${sameId ? 0 : index}`],
        ['destination', patterns[index % patterns.length] ?? ''],
        ['ack', ack],
        ['receipt', `subscribed-${index}`],
      ]
      // The same in the words of RabbitMQ and of ActiveMQ.
      if (prefetch > 0)
        headers.push(['prefetch-count', String(prefetch)], ['activemq.prefetchSize', String(prefetch)])
      connection.subscribed(index, ack !== 'auto')
      connection.send('SUBSCRIBE', headers)
    }
    flush()
  }

  private async confirm(): Promise<void> {
    const began = this.clock()
    const patience = (): number => (this.receipts === 0 ? FIRST_RECEIPT : ALL_RECEIPTS)
    while (this.receipts < this.subscriptions && this.clock() - began < patience()) {
      if (this.failure !== undefined) throw this.failure
      await this.pause(LOOK)
    }
    if (this.failure !== undefined) throw this.failure
    this.answered = this.receipts >= this.subscriptions
    this.subscribed = true
  }

  /** Deliveries of a message, as things are. */
  private reaches(destination: number): number {
    return this.subscribed && this.subscriptions > 0 ? this.tally.deliveries(destination) : 0
  }

  private publish(publisher: Publisher, time: number): void {
    const { number } = publisher
    const sequence = this.tally.send(number)
    const destination = this.tally.destination(number, sequence)
    publisher.connection.publish(this.templateOf(destination), number, sequence, time)
    this.sent++
    this.left--
    const owed = this.reaches(destination) + (this.plan.receipts ? 1 : 0)
    publisher.owed += owed
    this.owed += owed
  }

  private templateOf(destination: number): Template {
    const known = this.templates[destination]
    if (known !== undefined) return known
    const { target, destinations, size, receipts, headers } = this.plan
    const lines: Header[] = [['destination', destinations[destination] ?? '']]
    if (receipts) lines.push(['receipt', 'sent'])
    lines.push(...headers, ['content-length', String(size)])
    const stamp = blank(this.run)
    const body = stamp.padEnd(size, 'x')
    const made = template(target.transport, frame('SEND', lines, body), stamp)
    this.templates[destination] = made
    return made
  }

  /** A delivery or a receipt has come. */
  private pay(publisher: Publisher): void {
    this.lastArrival = this.now
    // Of what was sent before there was a subscription nothing was owed but the receipt.
    if (publisher.owed === 0) return
    publisher.owed--
    this.owed--
    if (this.allowance > 0) this.want(publisher)
    if (this.owed === 0 && this.left === 0) this.wake?.()
  }

  /** Lets a publisher send at the end of this turn, if it may. */
  private want(publisher: Publisher): void {
    if (publisher.waiting || !this.sending || publisher.owed + this.share > this.allowance) return
    publisher.waiting = true
    this.ready.push(publisher)
    if (this.pumping) return
    this.pumping = true
    setImmediate(this.pump)
  }

  private readonly pump = (): void => {
    this.pumping = false
    const { ready, allowance, share } = this
    this.ready = []
    for (const publisher of ready) {
      publisher.waiting = false
      const now = this.clock()
      for (let count = 0; count < BURST && this.sending && this.left > 0; count++) {
        if (publisher.owed + share > allowance) break
        this.publish(publisher, now)
      }
      this.want(publisher)
    }
    flush()
  }

  private stalled(now: number, patience = PATIENCE): boolean {
    return this.owed > 0 && now - this.lastArrival > patience
  }

  /** Returns when the time is over, or earlier when something is worth a look. */
  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.wake?.(), Math.max(0, milliseconds))
      this.wake = (): void => {
        clearTimeout(timer)
        this.wake = undefined
        resolve()
      }
    })
  }
}
