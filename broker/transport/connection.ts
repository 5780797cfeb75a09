import type { Socket } from 'node:net'
import type { Wire } from '../model/wire.ts'
import { newId } from './id.ts'

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
  /** Accepts a rendered payload. False above high water; the Receiver hears `drain` once it is over. Never throws. */
  send(payload: Buffer | string): boolean
  /** Asks for a sign of life that even a sleeping browser tab gives; nothing where the transport has none. */
  ping(): void
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
  data(chunk: Buffer): void
  drain(): void
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
/** Milliseconds of silence before the system probes whether the peer is there. */
const KEEP_ALIVE = 60_000

/**
 * What one connection is to be sent this turn, as a chain of payloads. Connections that were sent
 * the same payloads in the same order hold the same Batch, so its bytes are joined once for all.
 */
export class Batch {
  readonly previous: Batch | undefined
  readonly payload: Buffer | string
  readonly bytes: number
  readonly count: number
  next: Batch | undefined
  private joined: Buffer | undefined

  constructor(previous: Batch | undefined, payload: Buffer | string) {
    this.previous = previous
    this.payload = payload
    this.bytes = (previous?.bytes ?? 0) + payload.length
    this.count = previous === undefined ? 0 : previous.count + 1
  }

  add(payload: Buffer | string): Batch {
    const next = this.next
    if (next !== undefined && next.payload === payload) return next
    return (this.next = new Batch(this, payload))
  }

  /** The payloads in the order they were sent. */
  payloads(): (Buffer | string)[] {
    const list = Array<Buffer | string>(this.count)
    for (let batch: Batch = this; batch.previous !== undefined; batch = batch.previous) {
      list[batch.count - 1] = batch.payload
    }
    return list
  }

  /** The buffers to write, in order: one, unless the pieces are large. */
  buffers(): readonly Buffer[] {
    if (this.joined !== undefined) return [this.joined]
    // Only byte wires are flushed through here; a string wire has a flush of its own.
    const list = this.payloads() as Buffer[]
    if (this.count === 1 || this.bytes > LARGE_PIECE * this.count) return list
    return [(this.joined = Buffer.concat(list, this.bytes))]
  }
}

const EMPTY = new Batch(undefined, '')
const dirty: GatheringConnection[] = []

function flushAll(): void {
  // A flush may end a session, whose farewell to others joins the list: they are flushed too.
  for (let index = 0; index < dirty.length; index++) dirty[index]?.flush()
  dirty.length = 0
  EMPTY.next = undefined
}

/** Gathering, high water and the close deadline: what every transport's connection has in common. */
export abstract class GatheringConnection implements Connection {
  readonly id: string
  readonly info: ConnectionInfo
  abstract readonly wire: Wire
  abstract readonly received: number
  protected receiver: Receiver | undefined
  sent = 0
  private batch: Batch = EMPTY
  private unsent = 0
  private pressed = false
  private closing = false
  private deadline: NodeJS.Timeout | undefined

  constructor(info: ConnectionInfo) {
    this.id = newId()
    this.info = info
  }

  /** Bytes handed over that the system has not taken. */
  protected abstract pending(): number
  /** Hands payloads to the system, in order. */
  protected abstract write(batch: Batch): void
  /** Begins an orderly close after everything written. */
  protected abstract finish(code: number, reason: string): void
  abstract pause(): void
  abstract resume(): void
  abstract terminate(): void

  ping(): void {}
  quiet(): void {}

  get buffered(): number {
    return this.batch.bytes + this.pending()
  }

  send(payload: Buffer | string): boolean {
    if (this.closing) return true
    if (this.batch === EMPTY && dirty.push(this) === 1) setImmediate(flushAll)
    this.batch = this.batch.add(payload)
    if (this.batch.bytes >= EARLY_FLUSH) this.flush()
    if (this.batch.bytes + this.unsent < HIGH_WATER) return true
    this.pressed = true
    return false
  }

  flush(): void {
    const batch = this.batch
    if (batch === EMPTY) return
    this.batch = EMPTY
    this.sent += batch.bytes
    this.write(batch)
    this.relieve()
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

  /** To be called when the peer begins to leave: its session ends now, though the socket may take a while. */
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
    this.batch = EMPTY
    clearTimeout(this.deadline)
    const receiver = this.receiver
    this.receiver = undefined
    receiver?.closed()
  }
}

/** The address is asked for only where it is wanted: that is a system call, and a string for each connection. */
class SocketInfo implements ConnectionInfo {
  readonly transport: string
  private readonly socket: Socket

  constructor(transport: string, socket: Socket) {
    this.transport = transport
    this.socket = socket
  }

  get address(): string {
    return this.socket.remoteAddress ?? 'unknown'
  }
}

/** A connection that is one socket: everything but TCP's and WebSocket's ways to read and to close. */
export abstract class SocketConnection extends GatheringConnection {
  protected readonly socket: Socket

  constructor(transport: string, socket: Socket) {
    super(new SocketInfo(transport, socket))
    this.socket = socket
    // Finds dead peers among those that agreed on no heart-beat.
    socket.setKeepAlive(true, KEEP_ALIVE)
    socket.setNoDelay(true)
    socket.on('drain', () => this.relieve())
  }

  get received(): number {
    return this.socket.bytesRead
  }

  protected pending(): number {
    return this.socket.writableLength
  }

  protected write(batch: Batch): void {
    if (!this.socket.writable) return
    const buffers = batch.buffers()
    if (buffers.length > 1) this.socket.cork()
    for (const buffer of buffers) this.socket.write(buffer)
    if (buffers.length > 1) this.socket.uncork()
  }
}
