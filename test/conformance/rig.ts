import { afterAll, beforeAll, describe } from 'vitest'
import type {
  Consumer,
  Consumption,
  Engine,
  EngineHost,
  QueueInfo,
  QueueTerms,
} from '../../broker/engine/engine.ts'
import { Made } from '../../broker/model/content.ts'
import type { EngineSettings } from '../../broker/engine/settings.ts'
import {
  Message,
  MessageIds,
  NO_TERMS,
  type Delivery,
  type Op,
  type Terms,
} from '../../broker/model/message.ts'
import { Stats } from '../../broker/model/stats.ts'
import type { Destination } from '../../broker/protocol/destination.ts'
import { parseDestination } from '../helpers/destination.ts'
import { StompError } from '../../broker/protocol/errors.ts'

/** Makes an engine that is open. */
export type Open = (host: EngineHost, settings: EngineSettings, stats: Stats) => Promise<Engine>

export interface SuiteOptions {
  /** Resolves once all that can be handed out has been: for engines that deliver after `commit`. */
  readonly settle?: () => Promise<void>
  /** Lets so many milliseconds pass, by the engine's clock and by ours. */
  readonly advance: (milliseconds: number) => Promise<void>
  /** Messages are to outlive the engine, so that it has to store them. */
  readonly persistent?: boolean
  /** How much of what is done many times is done: less where each step waits for a disk. */
  readonly share?: number
  /** Chapters in which they are not: they ask for what comes at once. */
  readonly transient?: readonly string[]
  /** Chapters this engine does not pass, each with the reason. */
  readonly skips?: Readonly<Record<string, string>>
}

export type Traits = Pick<Consumer, 'exclusive' | 'priority' | 'accepts'>

export const Q = '/queue/q'
export const DLQ = '/queue/DLQ.q'

/** Enough room for everything, and no message is put off or given up. */
export const ROOMY: EngineSettings = {
  maxQueueMessages: 1_000,
  maxQueueBytes: 1_000_000,
  maxQueues: 10_000,
  maxMemory: 10_000_000,
  maxDurableSubscriptions: 100,
  maxRetained: 100,
  maxDeliveries: 1_000,
  redeliveryDelay: 0,
  maxRedeliveryDelay: 0,
  deadLetters: true,
  overflow: () => 'refuse',
  prioritized: () => false,
}

/** What the chapters of the suite act with: an engine for each test, and its host. */
export class Rig {
  engine!: Engine // opened before each test
  private opened = false
  /** Topic messages the host was given. */
  heard: Message[] = []
  stats = new Stats()
  readonly settle: () => Promise<void>
  readonly advance: (milliseconds: number) => Promise<void>
  /** Of what is done many times. */
  readonly share: number
  private terms: Terms
  private readonly transient: readonly string[]
  private readonly openEngine: Open
  private readonly skips: Readonly<Record<string, string>>
  private readonly ids = new MessageIds('test')

  constructor(
    open: Open,
    {
      settle = async () => {},
      advance,
      persistent = false,
      transient = [],
      share = 1,
      skips = {},
    }: SuiteOptions,
  ) {
    this.terms = { ...NO_TERMS, persistent }
    this.transient = transient
    this.share = share
    this.openEngine = open
    this.settle = settle
    this.advance = async (milliseconds) => {
      await advance(milliseconds)
      await settle()
    }
    this.skips = skips
  }

  readonly chapter = (title: string, body: () => void): void => {
    const reason = this.skips[title]
    if (reason !== undefined) describe.skip(`${title} (${reason})`, body)
    else if (this.transient.includes(title)) describe(title, () => this.passing(body))
    else describe(title, body)
  }

  /** Tests whose messages are not to outlive the engine. */
  private passing(body: () => void): void {
    const { terms } = this
    beforeAll(() => void (this.terms = NO_TERMS))
    afterAll(() => void (this.terms = terms))
    body()
  }

  readonly openWith = async (settings: Partial<EngineSettings>): Promise<void> => {
    if (this.opened) await this.engine.close()
    this.opened = true
    await this.openAgain(settings, this.openEngine)
  }

  /** The next engine of the same test; the one before it is closed. */
  readonly openAgain = async (settings: Partial<EngineSettings>, open: Open): Promise<void> => {
    this.heard = []
    this.stats = new Stats()
    const host: EngineHost = {
      deliver: (message) => void this.heard.push(message),
      mint: () => this.ids.next(),
    }
    this.engine = await open(host, { ...ROOMY, ...settings }, this.stats)
  }

  readonly message = (
    destination: string | Destination,
    body: string,
    terms: Partial<Terms> = {},
    headers: Readonly<Record<string, string>> = { kind: 'test' },
  ): Message => {
    const bytes = Buffer.from(body)
    const to = typeof destination === 'string' ? parseDestination(destination) : destination
    const map = new Map(Object.entries(headers))
    return new Message(this.ids.next(), to, new Made(map, bytes), bytes.length, { ...this.terms, ...terms })
  }

  readonly sends = (destination: string, ...bodies: string[]): Op[] =>
    bodies.map((body) => ({ type: 'send', message: this.message(destination, body) }))

  readonly commit = async (...ops: Op[]): Promise<void> => {
    await this.engine.commit(ops)
    await this.settle()
  }

  readonly send = async (destination: string, ...bodies: string[]): Promise<void> => {
    for (const op of this.sends(destination, ...bodies)) await this.commit(op)
  }

  /** Sends one message with terms and headers. */
  readonly post = async (
    destination: string | Destination,
    body: string,
    terms: Partial<Terms>,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Message> => {
    const message = this.message(destination, body, terms, headers)
    await this.commit({ type: 'send', message })
    return message
  }

  /** The code of the StompError that refuses the batch. */
  readonly refusal = (...ops: Op[]): Promise<string> => this.code(() => this.engine.commit(ops))

  /** The code of the StompError that `act` ends with. */
  readonly code = async (act: () => unknown): Promise<string> => {
    try {
      await act()
    } catch (error) {
      if (error instanceof StompError) return error.code
      throw error
    }
    return 'accepted'
  }

  readonly declare = async (queue: string, terms: QueueTerms): Promise<void> => {
    await this.engine.declare(queue, terms)
    await this.settle()
  }

  readonly remove = async (queue: string): Promise<void> => {
    await this.engine.remove(queue)
    await this.settle()
  }

  readonly info = async (queue = Q): Promise<QueueInfo | undefined> =>
    (await this.engine.inspect()).find((candidate) => candidate.queue === queue)

  /** Messages of a queue: waiting, and handed out. */
  readonly count = async (queue = Q): Promise<readonly [number, number]> => {
    const { ready = 0, unacked = 0 } = (await this.info(queue)) ?? {}
    return [ready, unacked]
  }

  /** The bodies that wait in a queue, by its pages. */
  readonly browse = async (queue = Q): Promise<readonly string[]> => {
    const bodies: string[] = []
    for await (const page of this.engine.browse(queue))
      bodies.push(...page.map(({ body }) => body.toString()))
    return bodies
  }

  /** A consumer without credit. */
  readonly idle = (queue = Q, auto = false, traits: Traits = {}): Hand => new Hand(this, queue, auto, traits)

  /** A consumer with credit. */
  readonly hand = (credits: number, queue = Q, auto = false, traits: Traits = {}): Promise<Hand> =>
    this.idle(queue, auto, traits).grant(credits)
}

export class Hand implements Consumer {
  readonly auto: boolean
  readonly exclusive: boolean
  readonly priority: number
  readonly accepts: ((message: Message) => boolean) | undefined
  readonly got: Delivery[] = []
  readonly consumption: Consumption
  react: (delivery: Delivery) => void = () => {}
  private readonly rig: Rig

  constructor(rig: Rig, queue: string, auto: boolean, traits: Traits) {
    this.rig = rig
    this.auto = auto
    this.exclusive = traits.exclusive ?? false
    this.priority = traits.priority ?? 0
    this.accepts = traits.accepts
    this.consumption = rig.engine.consume(queue, this)
  }

  deliver(delivery: Delivery): void {
    this.got.push(delivery)
    this.react(delivery)
  }

  async grant(credits: number): Promise<this> {
    this.consumption.grant(credits)
    await this.rig.settle()
    return this
  }

  async cancel(): Promise<void> {
    this.consumption.cancel()
    await this.rig.settle()
  }

  /** Settles the latest delivery of `body`, or of whatever came last. */
  async does(type: 'ack' | 'nack' | 'reject' | 'release', body?: string): Promise<void> {
    await this.rig.commit({ type, delivery: body === undefined ? this.last : this.of(body) })
  }

  /** What it got: the body, from the second attempt on with its number. */
  get log(): string[] {
    return this.got.map(
      ({ message: { body }, attempt }) => `${body.toString()}${attempt > 1 ? `#${attempt}` : ''}`,
    )
  }

  /** The last delivery. */
  get last(): Delivery {
    const delivery = this.got.at(-1)
    if (delivery === undefined) throw new Error('nothing was delivered')
    return delivery
  }

  /** The delivery of `body`, the latest if there were several. */
  of(body: string): Delivery {
    const delivery = this.got.findLast((candidate) => candidate.message.body.toString() === body)
    if (delivery === undefined) throw new Error(`${body} was not delivered`)
    return delivery
  }
}
