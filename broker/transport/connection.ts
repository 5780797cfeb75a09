import type { Socket } from 'node:net'
import type { Payload, Wire } from '../model/wire.ts'
import { copyOf, put } from '../protocol/bytes.ts'
import type { Place } from './admission.ts'
import { newId } from './id.ts'
import { ALONE, isLent, Memory } from './memory.ts'

/** What a transport knows of a peer before the peer has said a word of STOMP. */
export interface ConnectionInfo {
  /** `tcp`, `tls`, `websocket`, `sockjs-websocket`, `xhr-streaming`, `xhr-polling`, `eventsource`, `htmlfile`, `jsonp-polling`. */
  readonly transport: string
  /** The peer's address, without the port. */
  readonly address: string
}

/**
 * One peer. Bytes in arrive at the Receiver; bytes out are gathered during a turn of the event
 * loop and handed to the system once, at its end: with bursts this is worth more than any other trick.
 */
export interface Connection {
  /** Unguessable; also the `session` header of CONNECTED. */
  readonly id: string
  readonly info: ConnectionInfo
  /** May change once, when the first message shows that the peer wants binary. */
  readonly wire: Wire
  /** Bytes accepted by `send` that the system has not taken yet. */
  readonly buffered: number
  /** Bytes handed to the system so far. Heart-beats fill the time in which it does not grow. */
  readonly sent: number
  /** Bytes heard from the peer so far, pongs included. Heart-beats judge life by its growth. */
  readonly received: number
  /** Those that are sent the same. */
  company(members: readonly Connection[]): Company
  /** Nothing is to be sent this turn, and it does not close: it may join a company. */
  readonly free: boolean
  /** What the company is sent is sent to it as well, until it is sent anything else. */
  join(company: Company): void
  /** Hands over at once what was to be handed over at the end of the turn. */
  flush(): void
  /** Accepts a rendered payload. False above high water; the Receiver hears `drain` once it is over. Never throws. */
  send(payload: Payload): boolean
  /** Asks for a sign of life that even a sleeping browser tab gives. False where the transport has none. */
  ping(): boolean
  /** The peer has connected: more may be kept for it from now on. */
  trust(): void
  /** Stops the transport's own keep-alive frames (SockJS `h`), because STOMP heart-beats were agreed on. */
  quiet(): void
  /** Stops reading from the peer; what it goes on to send waits in the network. */
  pause(): void
  resume(): void
  /** Hands over what was sent, then closes with a WebSocket close code; ends by force when the peer does not follow. */
  close(code: number, reason: string): void
  /** Ends at once; what the system has not taken is lost. */
  terminate(): void
}

/** The session's side. A transport calls none of these after `closed`, and `closed` exactly once. */
export interface Receiver {
  /** The bytes from `from` up to `to`, which nobody changes any more. `utf8`: they are known to be UTF-8. */
  data(chunk: Buffer, from: number, to: number, utf8: boolean): void
  /** What was sent to a company it is in is above high water; so many bytes waited before the last of it. */
  full(waiting: number): void
  /** It is below high water again. */
  drain(): void
  /** The peer says nothing more, but still reads: `close` is to be called when it has been told everything. */
  left(): void
  closed(): void
}

/** What the broker hands to each transport: a new peer is there, who listens to it? */
export type Accept = (connection: Connection) => Receiver

/** Above this many unsent bytes `send` answers false. */
const HIGH_WATER = 256 * 1024
/** A turn that gathers this much for one connection hands it over before the turn ends. */
const EARLY_FLUSH = 64 * 1024
/** Pieces larger than this on average are written one by one: copying them together costs more than it saves. */
const LARGE_PIECE = 16 * 1024
/** Milliseconds a peer gets to follow a close. */
const CLOSE_GRACE = 5_000
/**
 * Milliseconds of silence before the system probes whether the peer's machine is there: ten times, a
 * second apart. A peer that was sent something is given up when that was not acknowledged for long,
 * on Linux for a quarter of an hour.
 */
const KEEP_ALIVE = 60_000

/**
 * What one connection is to be sent this turn, as a chain of payloads. Connections that were sent
 * the same payloads in the same order hold the same Batch, so its bytes are joined once for all.
 */
export class Batch {
  readonly previous: Batch | undefined
  readonly payload: Payload
  readonly bytes: number
  readonly count: number
  next: Batch | undefined
  private made: readonly Buffer[] | undefined
  private own: readonly Buffer[] | undefined

  constructor(previous: Batch | undefined, payload: Payload) {
    this.previous = previous
    this.payload = payload
    this.bytes = previous === undefined ? 0 : previous.bytes + payload.length
    this.count = previous === undefined ? 0 : previous.count + 1
  }

  add(payload: Payload): Batch {
    const next = this.next
    if (next !== undefined && next.payload === payload) return next
    return (this.next = new Batch(this, payload))
  }

  /** The payloads in the order they were sent. */
  payloads(): Payload[] {
    const list = Array<Payload>(this.count)
    for (let batch: Batch = this; batch.previous !== undefined; batch = batch.previous) {
      list[batch.count - 1] = batch.payload
    }
    return list
  }

  /** The buffers to write, in order: one, unless the pieces are large. To be used up at once. */
  buffers(): readonly Buffer[] {
    return (this.made ??= this.bytes > LARGE_PIECE * this.count ? this.apart() : [this.join()])
  }

  /** The same for one who may take a while: in memory that serves nothing else. */
  kept(): readonly Buffer[] {
    return (this.own ??= this.buffers().map((buffer) => (isLent(buffer) ? copyOf(buffer) : buffer)))
  }

  private join(): Buffer {
    if (this.count === 1 && Buffer.isBuffer(this.payload)) return this.payload
    if (this.bytes >= ALONE) {
      const whole = Buffer.allocUnsafeSlow(this.bytes)
      this.putInto(whole, 0)
      return whole
    }
    const { buffer, at } = memory.take(this.bytes)
    this.putInto(buffer, at)
    return buffer.subarray(at, at + this.bytes)
  }

  private putInto(target: Buffer, start: number): void {
    for (let batch: Batch = this; batch.previous !== undefined; batch = batch.previous) {
      // Only byte wires are flushed through here; a string wire has a flush of its own.
      const payload = batch.payload as Exclude<Payload, string>
      const at = start + batch.previous.bytes
      if (Buffer.isBuffer(payload)) put(target, at, payload, 0, payload.length)
      else payload.put(target, at)
    }
  }

  private apart(): readonly Buffer[] {
    return this.payloads().flatMap((payload) => {
      if (Buffer.isBuffer(payload) || typeof payload === 'string') return payload as Buffer // as above
      const parts = payload.parts()
      if (parts !== undefined) return parts
      const target = Buffer.allocUnsafe(payload.length)
      payload.put(target, 0)
      return target
    })
  }
}

const memory = new Memory()
const EMPTY = new Batch(undefined, '')
const dirty: GatheringConnection[] = []
/** Companies live long, and are not to keep alive what they were sent. */
const gathered: Company[] = []
/** Counts the beginnings and the ends of flushes. */
let turn = 0

function flushAll(): void {
  // What is sent from inside a flush comes too late for a company of which some have been flushed.
  turn++
  // A flush may end a session, whose farewell to others joins the list: they are flushed too.
  for (let index = 0; index < dirty.length; index++) dirty[index]?.flush()
  dirty.length = 0
  for (const company of gathered) company.batch = EMPTY
  gathered.length = 0
  EMPTY.next = undefined
  turn++
}

function soil(connection: GatheringConnection): void {
  if (dirty.push(connection) === 1) setImmediate(flushAll)
}

/**
 * Connections that are sent the same: as long as none of them was sent anything else in this turn,
 * they are sent it as one, whatever their number.
 */
export class Company {
  batch: Batch = EMPTY
  /** Nobody has parted from it. */
  whole = false
  private readonly members: readonly Connection[]
  /** That it was gathered in, or could not be. */
  private turn = -1

  constructor(members: readonly Connection[]) {
    this.members = members
  }

  /** False if it has to be sent to each of them. */
  send(payload: Payload): boolean {
    if (this.turn !== turn) this.gather()
    if (!this.whole) return false
    this.batch = this.batch.add(payload)
    if (this.batch.bytes >= EARLY_FLUSH) {
      // Before: a flush may end a session, and what is sent because of that is not for those alone that come after it.
      this.turn = -1
      for (const member of this.members) member.flush()
    }
    return true
  }

  private gather(): void {
    const { members } = this
    this.turn = turn
    this.whole = members.every((member) => member.free)
    if (!this.whole) return
    this.batch = EMPTY
    gathered.push(this)
    for (const member of members) member.join(this)
  }
}

/** Gathering, high water and the close deadline: what every transport's connection has in common. */
export abstract class GatheringConnection implements Connection {
  readonly id: string = newId()
  abstract readonly info: ConnectionInfo
  abstract readonly wire: Wire
  abstract readonly received: number
  protected receiver: Receiver | undefined
  sent = 0
  private batch: Batch = EMPTY
  /** Whose batch is that of this connection as well. */
  private joined: Company | undefined
  private unsent = 0
  private pressed = false
  protected closing = false
  private deadline: NodeJS.Timeout | undefined

  /** Bytes handed over that the system has not taken. */
  protected abstract pending(): number
  /** Hands payloads to the system, in order. */
  protected abstract write(batch: Batch): void
  /** Begins an orderly close after everything written. */
  protected abstract finish(code: number, reason: string): void
  abstract pause(): void
  abstract resume(): void
  abstract terminate(): void

  ping(): boolean {
    return false
  }

  trust(): void {}
  quiet(): void {}

  get buffered(): number {
    const company = this.joined
    return (company === undefined ? this.batch : company.batch).bytes + this.pending()
  }

  company(members: readonly Connection[]): Company {
    return new Company(members)
  }

  get free(): boolean {
    return this.batch === EMPTY && this.joined === undefined && !this.closing
  }

  join(company: Company): void {
    this.joined = company
    soil(this)
  }

  send(payload: Payload): boolean {
    if (this.closing) return true
    if (this.joined !== undefined) this.part(this.joined)
    else if (this.batch === EMPTY) soil(this)
    this.batch = this.batch.add(payload)
    if (this.batch.bytes >= EARLY_FLUSH) this.flush()
    if (this.batch.bytes + this.unsent < HIGH_WATER) return true
    this.pressed = true
    return false
  }

  flush(): void {
    const company = this.joined
    const batch = company === undefined ? this.batch : company.batch
    this.joined = undefined
    this.batch = EMPTY
    if (batch === EMPTY) return
    this.sent += batch.bytes
    this.write(batch)
    this.relieve()
    if (company === undefined || this.unsent < HIGH_WATER) return
    this.pressed = true
    this.receiver?.full(this.unsent - batch.payload.length)
  }

  private part(company: Company): void {
    company.whole = false
    this.joined = undefined
    this.batch = company.batch
  }

  /** To be called when the system may have taken bytes. */
  protected relieve(): void {
    this.unsent = this.pending()
    if (!this.pressed || this.unsent >= HIGH_WATER / 2) return
    this.pressed = false
    // Not from inside `send`: the sender would be called back before it knows the answer.
    queueMicrotask(() => this.receiver?.drain())
  }

  close(code: number, reason: string): void {
    if (this.closing) return
    this.flush()
    this.closing = true
    this.deadline = setTimeout(() => this.terminate(), CLOSE_GRACE)
    this.finish(code, reason)
  }

  /** To be called when the peer has stopped writing, and still reads. */
  protected fellSilent(): void {
    if (!this.closing) this.receiver?.left()
  }

  /** To be called when the peer begins to leave, and listens no more: its session ends now, though the socket may take a while. */
  protected left(): void {
    const receiver = this.receiver
    this.receiver = undefined
    // Before the close, so that the receipts of its last frames still go out.
    receiver?.closed()
    this.close(1000, '')
  }

  /** To be called once, when the peer is gone. */
  protected ended(): void {
    this.closing = true
    this.joined = undefined
    this.batch = EMPTY
    clearTimeout(this.deadline)
    const receiver = this.receiver
    this.receiver = undefined
    receiver?.closed()
  }
}

/** A connection that is one socket: everything but TCP's and WebSocket's ways to read and to close. */
export abstract class SocketConnection extends GatheringConnection {
  protected readonly socket: Socket
  private readonly transport: string
  /** To be left once, when the socket is gone. */
  private place: Place | undefined
  /** Hears when the system takes bytes again; most never need it. */
  private listens = false

  constructor(transport: string, socket: Socket, place: Place | undefined) {
    super()
    this.socket = socket
    this.transport = transport
    this.place = place
    place?.enter()
    // Finds dead peers among those that agreed on no heart-beat and have no pings.
    socket.setKeepAlive(true, KEEP_ALIVE)
    socket.setNoDelay(true)
  }

  /** The address is asked for only where it is wanted: that is a system call, and a string for each connection. */
  get info(): ConnectionInfo {
    return { transport: this.transport, address: this.socket.remoteAddress ?? 'unknown' }
  }

  get received(): number {
    return this.socket.bytesRead
  }

  protected override ended(): void {
    this.place?.leave()
    this.place = undefined
    super.ended()
  }

  protected pending(): number {
    return this.socket.writableLength
  }

  protected write(batch: Batch): void {
    const { socket } = this
    if (!socket.writable) return
    const buffers = socket.writableLength === 0 ? batch.buffers() : batch.kept()
    let room = true
    if (buffers.length > 1) socket.cork()
    for (const buffer of buffers) room = socket.write(buffer)
    if (buffers.length > 1) socket.uncork()
    if (room || this.listens) return
    this.listens = true
    socket.on('drain', () => this.relieve())
  }
}
