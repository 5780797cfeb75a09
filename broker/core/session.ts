import type { Logger } from 'pino'
import type { Engine, Settling } from '../engine/engine.ts'
import { Made } from '../model/content.ts'
import { formOf, type Form } from '../model/form.ts'
import { Ledger, type Entry } from '../model/ledger.ts'
import { deliveryId, Message, type Delivery, type MessageIds, type Op } from '../model/message.ts'
import { Receipt } from '../model/receipt.ts'
import type { Stats } from '../model/stats.ts'
import type { Payload } from '../model/wire.ts'
import type { Destination, Destinations } from '../protocol/destination.ts'
import { errorFrame, StompError } from '../protocol/errors.ts'
import {
  encode,
  footprint,
  NO_BODY,
  VERSIONS,
  type Command,
  type Frame,
  type Headers,
  type Version,
} from '../protocol/frame.ts'
import type { Habits } from '../protocol/head.ts'
import { copy, quote } from '../protocol/text.ts'
import type { Connection, Receiver } from '../transport/connection.ts'
import type { AddressLimits } from './addresses.ts'
import type { AllowanceLimits } from './allowance.ts'
import type { Apps, Reply } from './app.ts'
import {
  ackId,
  readErrorScope,
  readHeartbeat,
  readVerdict,
  required,
  type AckMode,
  type ErrorScope,
} from './headers.ts'
import { agree, Heartbeat, type LifeLimits, type Ticker, type Ticking } from './heartbeat.ts'
import type { Hub } from './hub.ts'
import { Inbox, type InboxHost, type InboxLimits } from './inbox.ts'
import { Pending, type PendingHost } from './pending.ts'
import type { Pressure } from './pressure.ts'
import { Publisher } from './publisher.ts'
import { Pulse } from './pulse.ts'
import { Roster, type RosterHost } from './roster.ts'
import type { Visited } from './rounds.ts'
import type { Slack } from './slack.ts'
import {
  QueueSubscription,
  type AppSubscription,
  type BrowseSubscription,
  type TopicSubscription,
} from './subscription.ts'
import { Transactions, type Transaction, type TransactionLimits } from './transaction.ts'
import { Share, type Turns } from './turns.ts'

/** What a transaction holds back until its end. */
const holds: ReadonlySet<Command> = new Set(['SEND', 'ACK', 'NACK'])

/** Messages of queues one session may be handed in a turn of the event loop, before the others get theirs. */
const DELIVERIES_A_TURN = 256
/** Milliseconds a client that sent DISCONNECT gets to close the connection itself, and what is pending to be done. */
const DISCONNECT_GRACE = 5_000

export interface SessionOptions
  extends InboxLimits, LifeLimits, TransactionLimits, AddressLimits, AllowanceLimits {
  /** Milliseconds from the connection to the end of CONNECT. */
  readonly connectTimeout: number
  /** Unacked messages a client-mode subscription holds unless it says otherwise. */
  readonly prefetch: number
  /** The most it may ask for; 0 asks for that. */
  readonly maxPrefetch: number
  /** What an ERROR ends, unless the client says: the connection, or the frame alone where that is enough. */
  readonly errorScope: ErrorScope
  /** A SEND to an application that is not there is an error. */
  readonly strict: boolean
  /** Messages are persistent unless they say that they are not. */
  readonly persistent: boolean
  /** The `server` header of CONNECTED; empty for none. */
  readonly server: string
}

/** The house a session lives in. */
export interface SessionHost {
  readonly options: SessionOptions
  readonly engine: Engine
  readonly hub: Hub
  readonly ids: MessageIds
  readonly destinations: Destinations
  readonly apps: Apps
  readonly ticker: Ticker
  readonly pressure: Pressure
  readonly turns: Turns
  /** Heads that clients repeat. */
  readonly habits: Habits
  readonly stats: Stats
  readonly log: Logger
  /** Makes an unguessable name. */
  newId(): string
  /** Warns in the log, once of each thing. */
  tell(warning: string): void
  /** The session's connection is gone. */
  closed(session: Session): void
}

type Held = Entry<QueueSubscription>
type Tx = Transaction<QueueSubscription>

/** One client: its state, its commands, its receipts. */
export class Session implements Receiver, InboxHost, PendingHost, RosterHost, Ticking, Visited {
  pressed = false
  readonly connection: Connection
  readonly slack: Slack | undefined
  private readonly host: SessionHost
  private readonly inbox: Inbox
  private readonly roster: Roster
  private entries: Ledger<QueueSubscription> | undefined
  private deliveries: Share | undefined
  private readonly transactions: Transactions<QueueSubscription>
  private state: 'connecting' | 'connected' | 'disconnecting' | 'ended' = 'connecting'
  private version: Version = '1.0'
  private scope: ErrorScope
  private readonly publisher: Publisher<QueueSubscription>
  private heartbeat: Heartbeat | undefined
  private pulse: Pulse | undefined
  /** Milliseconds in the present state, while that is limited. */
  private waited = 0
  private commits: Pending | undefined

  constructor(connection: Connection, host: SessionHost) {
    this.connection = connection
    this.host = host
    this.slack = host.hub.slack(connection.id)
    this.inbox = new Inbox(connection, host.options, host.habits, host.turns, this)
    this.transactions = new Transactions(host.options)
    this.scope = host.options.errorScope
    this.roster = new Roster(connection.id, host, this)
    this.publisher = new Publisher(connection.id, host, this.roster, this.transactions)
    host.ticker.add(this)
  }

  /** Most clients never hold a message that they are to ack. */
  private get ledger(): Ledger<QueueSubscription> {
    return (this.entries ??= new Ledger())
  }

  /** Most engines are done with nearly all work at once. */
  private get pending(): Pending {
    return (this.commits ??= new Pending(this.inbox, this))
  }

  /** Of the messages of queues that are handed out in a turn. */
  get share(): Share {
    return (this.deliveries ??= new Share(this.host.turns, DELIVERIES_A_TURN))
  }

  // --- the transport's side -------------------------------------------------------------------

  data(chunk: Buffer, from: number, to: number, utf8: boolean): void {
    if (this.state === 'ended' || this.state === 'disconnecting') return
    this.heartbeat?.heard()
    this.inbox.data(chunk, from, to, utf8)
  }

  drain(): void {
    if (!this.pressed) return
    this.pressed = false
    this.host.pressure.remove(this)
    this.roster.resume()
    this.slack?.changed()
  }

  left(): void {
    this.withdraw()
    this.finishInput()
    if (this.listening) this.depart()
    this.pending.afterAll(() => this.leave(1000, ''))
  }

  closed(): void {
    this.withdraw()
    this.finishInput()
    this.end()
    this.host.closed(this)
  }

  tick(elapsed: number, counted: number): void {
    this.waited += counted
    if (this.state === 'connecting') {
      const { connectTimeout } = this.host.options
      if (this.waited < connectTimeout) return
      this.fail(
        new StompError(
          'connect-timeout',
          `No CONNECT came within ${connectTimeout} ms; a frame ends with a NUL byte.`,
        ),
      )
    } else if (this.state === 'disconnecting') {
      if (this.waited >= DISCONNECT_GRACE) this.leave(1000, 'DISCONNECT')
    } else if (this.heartbeat?.tick(elapsed, this.inbox.waiting ? 0 : counted) === false) {
      this.fail(new StompError('heart-beat-lost', 'Nothing was heard for three times the agreed heart-beat.'))
    }
  }

  visit(clock: number): void {
    if (this.state !== 'connected' || this.heartbeat?.listens) return
    const { pingInterval } = this.host.options
    this.pulse ??= new Pulse(this.connection, pingInterval, clock)
    if (this.pulse.look(clock, this.inbox.waiting)) return
    this.fail(new StompError('heart-beat-lost', `Two pings, ${pingInterval} ms apart, were not answered.`))
  }

  /** Does what was read before the end: a client may write and leave at once. */
  finishInput(): void {
    this.inbox.finish()
  }

  /** Nothing more is handed to a peer that is leaving, whatever its last frames ask for. */
  withdraw(): void {
    this.roster.close()
    this.pressed = true
  }

  /** Ends the session for the broker's sake, once the client was told what became of what it sent. */
  shutdown(code: number, reason: string): void {
    if (this.listening) this.retire('disconnecting')
    this.pending.afterAccepted(() => this.leave(code, reason))
  }

  // --- the inbox's side -----------------------------------------------------------------------

  get listening(): boolean {
    return this.state === 'connecting' || this.state === 'connected'
  }

  handle(frame: Frame): void {
    try {
      if (this.state === 'connecting') this.first(frame)
      else this.perform(frame)
    } catch (error) {
      this.fail(error, frame)
    }
  }

  // --- frames ---------------------------------------------------------------------------------

  private first(frame: Frame): void {
    if (frame.command === 'CONNECT' || frame.command === 'STOMP') return this.connect(frame)
    throw new StompError('not-connected', `The first frame must be CONNECT, not ${frame.command}.`)
  }

  private perform(frame: Frame): void {
    switch (frame.command) {
      case 'SEND':
        return this.publishFrom(frame)
      case 'SUBSCRIBE':
        return this.roster.subscribe(frame, this.version)
      case 'UNSUBSCRIBE':
        return this.roster.unsubscribe(frame, this.version)
      case 'ACK':
      case 'NACK':
        return this.acknowledge(frame)
      case 'BEGIN':
        this.transactions.begin(required(frame, 'transaction'))
        return this.receipt(frame)
      case 'COMMIT':
        return this.commitTransaction(frame)
      case 'ABORT':
        return this.abortTransaction(frame)
      case 'DISCONNECT':
        return this.disconnect(frame)
      case 'CONNECT':
      case 'STOMP':
        throw new StompError('already-connected', 'CONNECT was sent before on this connection.')
      default:
        throw new StompError('unknown-command', `${frame.command} is sent by servers only.`)
    }
  }

  private connect(frame: Frame): void {
    const { headers } = frame
    const accepted = headers.get('accept-version')
    // 1.2 and 1.1, Protocol Negotiation: without accept-version the client speaks 1.0.
    const offered = accepted === undefined ? ['1.0'] : accepted.split(',').map((version) => version.trim())
    const version = VERSIONS.find((candidate) => offered.includes(candidate))
    if (version === undefined) {
      throw new StompError(
        'unsupported-version',
        `Supported protocol versions are ${VERSIONS.join(' ')}, offered was ${quote(accepted ?? '')}.`,
      )
    }
    const { options } = this.host
    const scope = readErrorScope(headers)
    const host = headers.get('host') ?? ''
    if (/^\/./.test(host))
      this.host.tell(
        `CONNECT has host:${quote(host)}; there are no virtual hosts here, all clients share one.`,
      )
    const { answer, agreement } = agree(readHeartbeat(headers), {
      min: options.heartbeatMin,
      max: options.heartbeatMax,
    })
    this.version = version
    this.inbox.speak(version)
    this.connection.trust()
    this.state = 'connected'
    const connected: [string, string][] = [
      ['version', version],
      ['heart-beat', answer],
      ['session', this.connection.id],
    ]
    const user = copy(headers.get('login') ?? '')
    this.roster.identify({ user, clientId: copy(headers.get('client-id') ?? '') })
    this.publisher.user = user
    // Spring says it, and stompjs applications read it.
    if (user !== '') connected.push(['user-name', user])
    if (scope !== undefined) this.scope = scope
    if (this.scope === 'frame') connected.push(['x-error-scope', 'frame'])
    if (options.server !== '') connected.push(['server', options.server])
    // ActiveMQ and Artemis answer CONNECT's receipt and request-id on CONNECTED.
    const receipt = headers.get('receipt')
    if (receipt !== undefined) connected.push(['receipt-id', receipt])
    const request = headers.get('request-id')
    if (request !== undefined) connected.push(['response-id', request])
    this.write('CONNECTED', connected)
    if (agreement.send === 0 && agreement.hear === 0) {
      this.host.ticker.remove(this)
    } else {
      this.heartbeat = new Heartbeat(this.connection, agreement, options.heartbeatCeiling)
      this.connection.quiet()
    }
  }

  private publishFrom(frame: Frame): void {
    const transaction = this.transaction(frame)
    const ops = this.publisher.read(frame, transaction)
    this.host.stats.published++
    if (!(ops instanceof Promise)) return this.submit(frame, transaction, ops, [])
    this.finish(
      frame,
      ops.then((all) => this.host.engine.commit(all)),
    )
  }

  private acknowledge(frame: Frame): void {
    const transaction = this.transaction(frame)
    const entry = this.findEntry(frame)
    if (entry === undefined) return this.receipt(frame)
    if (transaction !== undefined) this.transactions.charge(transaction, footprint(frame))
    if (transaction === undefined && entry.subscription.mode === 'client-individual') {
      return this.settle(frame, entry)
    }
    // 1.2, NACK: it concerns one message in client-individual and, like ACK, all before it in client mode.
    const taken = this.ledger.take(entry, entry.subscription.mode === 'client')
    const type = readVerdict(frame)
    const ops = taken.map(({ delivery }): Op => ({ type, delivery }))
    this.submit(frame, transaction, ops, taken)
  }

  /** What nearly all clients do with nearly all messages: one ACK for one of them. */
  private settle(frame: Frame, entry: Held): void {
    this.commit(
      frame,
      [{ type: readVerdict(frame), delivery: entry.delivery }],
      this.ledger.take(entry, false),
    )
  }

  /** The delivery an ACK or NACK names; undefined for one that is harmless and to be ignored. */
  private findEntry(frame: Frame): Held | undefined {
    const { expected } = this.ledger
    if (expected !== undefined && this.version === '1.2' && frame.hasId(expected.id)) return expected
    const id = ackId(frame, this.version)
    // stompjs writes it where a message showed no ack header, that is, where none is needed.
    if (id === 'undefined') {
      this.host.tell(`${frame.command} with id:undefined is ignored: it answers a message that needs no ack.`)
      return undefined
    }
    const entry = this.ledger.find(id)
    const name = frame.header('subscription')
    const named = name === undefined ? undefined : this.roster.get(name)
    // 1.0 and 1.1 name the subscription too; on 1.2 the id says it all.
    if (
      entry !== undefined &&
      (this.version === '1.2' || name === undefined || named === entry.subscription)
    ) {
      return entry
    }
    if (named !== undefined && (!(named instanceof QueueSubscription) || named.mode === 'auto'))
      return undefined
    const held = this.ledger.held(id)
    const plausible = held === 'unsure' || this.roster.unledgered
    if (held === true || (plausible && this.host.ids.minted(id.replace(/\.\d+$/, '')))) {
      this.host.stats.lateAcks++
      return undefined
    }
    throw new StompError(
      'unknown-ack',
      `${frame.command} names ${quote(id)}, which no message on this connection carried.`,
    )
  }

  private commitTransaction(frame: Frame): void {
    const id = required(frame, 'transaction')
    const { ops, taken } = this.transactions.end(id)
    this.commit(frame, ops, taken)
  }

  private abortTransaction(frame: Frame): void {
    const { taken } = this.transactions.end(required(frame, 'transaction'))
    this.giveBack(taken)
    this.receipt(frame)
  }

  private disconnect(frame: Frame): void {
    this.depart()
    // 1.2, DISCONNECT: its receipt tells that everything before it was received.
    this.pending.afterAll(() => {
      if (this.state === 'ended') return
      this.receipt(frame)
      this.waited = 0
    })
  }

  // --- settling -------------------------------------------------------------------------------

  private transaction(frame: Frame): Tx | undefined {
    const id = frame.header('transaction')
    return id === undefined ? undefined : this.transactions.get(id)
  }

  private submit(frame: Frame, transaction: Tx | undefined, ops: Op[], taken: readonly Held[]): void {
    if (transaction === undefined) return this.commit(frame, ops, taken)
    // One by one: a cumulative ACK may cover more than a call takes arguments.
    for (const op of ops) transaction.ops.push(op)
    for (const entry of taken) transaction.taken.push(entry)
    this.receipt(frame)
  }

  /** The only caller of the engine's write door for this client's frames. */
  private commit(frame: Frame, ops: readonly Op[], taken: readonly Held[]): void {
    let done: void | Settling
    try {
      done = this.host.engine.commit(ops)
    } catch (error) {
      this.giveBack(taken)
      throw error
    }
    if (done === undefined) {
      this.receipt(frame)
      this.settled(taken)
      return
    }
    this.finish(
      frame,
      done,
      () => this.settled(taken),
      () => this.giveBack(taken),
    )
  }

  /** Receipt and what follows, once the work is done; an ERROR if it failed. */
  finish(frame: Frame | undefined, done: void | Settling, then?: () => void, undo?: () => void): void {
    if (done !== undefined) return this.pending.add(frame, done, then, undo)
    this.receipt(frame)
    then?.()
  }

  private settled(entries: readonly Held[]): void {
    for (const { subscription, delivery } of entries) subscription.settled(delivery.message.size)
  }

  /** Undoes `take`: back into the ledger, or, where the subscription is gone, back to the queue. */
  private giveBack(entries: readonly Held[]): void {
    const open = ({ subscription }: Held): boolean => this.roster.get(subscription.id) === subscription
    this.ledger.restore(entries.filter(open))
    this.release(entries.filter((entry) => !open(entry)))
  }

  /** A subscription is closed: what it still holds goes back. */
  abandon(subscription: QueueSubscription): void {
    this.release(this.ledger.drain(subscription))
  }

  private release(entries: readonly Held[]): void {
    if (entries.length === 0) return
    this.give(entries.map(({ delivery }): Op => ({ type: 'release', delivery })))
    this.roster.allowance.free(entries.length)
  }

  /** To the engine, for the session itself: there is no frame to answer. */
  private give(ops: readonly Op[]): void {
    this.attempt(() => this.host.engine.commit(ops))
  }

  /** Of the engine, where there is no frame to answer. */
  attempt(act: () => void | Promise<void>): void {
    const failed = (error: unknown): void => this.host.log.error({ err: error }, 'the engine failed')
    try {
      act()?.catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  // --- to the client --------------------------------------------------------------------------

  publish(subscription: TopicSubscription | AppSubscription, message: Message): void {
    // A delivery loop may still hold subscriptions of a session that it ended.
    if (this.state !== 'connected') return
    if (this.selective && !message.text) return this.refuseBinary(message)
    this.transmit(message.render(subscription.form))
  }

  form(id: string, mode: AckMode): Form {
    // Only 1.2 knows the ack header (1.2, MESSAGE).
    return formOf(id, mode !== 'auto' && this.version === '1.2', this.version, this.connection.wire)
  }

  /** Some messages cannot be sent to this client. */
  get selective(): boolean {
    return this.connection.wire.binary === 'refuse'
  }

  dispatch(subscription: QueueSubscription, delivery: Delivery): void {
    const { message } = delivery
    const explicit = subscription.mode !== 'auto'
    const id = deliveryId(delivery)
    if (explicit) this.ledger.add(id, subscription, delivery)
    if (this.selective && !message.text) {
      this.refuseBinary(message)
      if (!explicit) this.give([{ type: 'release', delivery }])
      return
    }
    this.transmit(message.renderDelivery(subscription.form, id, delivery.attempt))
    if (!explicit && !subscription.auto) this.give([{ type: 'ack', delivery }])
  }

  ask(path: string, headers: Headers): Promise<Reply | undefined> | undefined {
    return this.publisher.ask(path, headers)
  }

  answer(subscription: AppSubscription, destination: string, { body, headers }: Reply): void {
    const { ids } = this.host
    const source: Destination = { kind: 'topic', name: destination, shown: destination, temporary: false }
    this.publish(subscription, new Message(ids.next(), source, new Made(new Map(headers), body)))
  }

  discard(delivery: Delivery): void {
    this.give([{ type: 'ack', delivery }])
  }

  show(subscription: BrowseSubscription, message: Message | undefined): void {
    if (this.state !== 'connected') return
    if (message === undefined) return this.write('MESSAGE', subscription.ending(this.host.newId()))
    if (this.selective && !message.text) return this.refuseBinary(message)
    this.transmit(message.renderDelivery(subscription.form, message.id, 1))
  }

  private refuseBinary(message: Message): void {
    this.fail(
      new StompError(
        'binary-over-text',
        `The message ${message.id} to ${message.destination.name} is not UTF-8, and SockJS carries text only; connect over WebSocket or TCP, or start the broker with --sockjs-binary base64.`,
      ),
    )
  }

  private transmit(payload: Payload): void {
    // Judged by what waited before it: one message, however large, is not slowness.
    if (!this.connection.send(payload)) this.full(this.connection.buffered - payload.length)
  }

  full(waiting: number): void {
    const { pressed } = this
    this.pressed = true
    if (!pressed) this.slack?.changed()
    if (!this.ended) this.host.pressure.weigh(this, waiting)
  }

  receipt(frame: Frame | undefined): void {
    if (frame === undefined) return
    const { envelope } = this.connection.wire
    if (frame.plain && envelope !== undefined) {
      if (frame.receipted) this.transmit(new Receipt(envelope, frame))
      return
    }
    const id = frame.header('receipt')
    if (id !== undefined) this.write('RECEIPT', [['receipt-id', id]])
  }

  private write(command: Command, headers: readonly [string, string][]): void {
    this.post(encode(command, headers, NO_BODY, this.version))
  }

  private post(frame: Buffer): void {
    this.transmit(this.connection.wire.wrap(frame, NO_BODY, true))
  }

  /**
   * Sends an ERROR, which a STOMP server MUST follow with closing the connection (1.2, ERROR),
   * unless the client agreed to be told of its refused frames and to go on.
   */
  fail(reason: unknown, frame?: Frame): void {
    if (!(reason instanceof StompError) || reason.cause !== undefined)
      this.host.log.error({ err: reason }, 'a frame could not be handled')
    if (this.state === 'ended') return
    const error =
      reason instanceof StompError
        ? reason
        : new StompError('internal', 'The broker failed to handle this frame; its log says more.')
    this.host.log.info(`${this.connection.id}: ${error.summary}: ${error.message}`)
    const more: [string, string][] = []
    const receipt = frame?.headers.get('receipt')
    if (receipt !== undefined) more.push(['receipt-id', receipt])
    if (error.code === 'unsupported-version') more.push(['version', VERSIONS.join(',')])
    const bytes = errorFrame(error, more, this.version)
    if (this.scope === 'frame' && this.state !== 'connecting' && error.spares && frame !== undefined) {
      this.doom(frame)
      return this.post(bytes)
    }
    this.end()
    this.post(bytes)
    this.connection.close(error.closeCode, error.summary)
  }

  /** A transaction that lacks one of its frames is not to be committed without it. */
  private doom({ command, headers }: Frame): void {
    const id = headers.get('transaction')
    if (id !== undefined && holds.has(command) && this.transactions.has(id))
      this.giveBack(this.transactions.end(id).taken)
  }

  // --- the end --------------------------------------------------------------------------------

  /** Listens no more, and stays for what is pending, but not for ever. */
  private depart(): void {
    this.retire('disconnecting')
    this.waited = 0
    this.host.ticker.add(this)
  }

  private leave(code: number, reason: string): void {
    this.end()
    this.connection.close(code, reason)
  }

  /** Gives back everything the session holds. */
  private retire(state: 'disconnecting' | 'ended'): void {
    this.state = state
    this.host.ticker.remove(this)
    this.host.pressure.remove(this)
    this.heartbeat = undefined
    const held = [...this.transactions.abort(), ...(this.entries?.drain() ?? [])]
    this.roster.clear()
    this.release(held.sort((a, b) => a.order - b.order))
    this.roster.removeReplyQueues()
  }

  get ended(): boolean {
    return this.state === 'ended'
  }

  private end(): void {
    if (!this.ended) this.retire('ended')
  }
}
