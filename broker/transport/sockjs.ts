import type { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Wire } from '../model/wire.ts'
import { type Accept, type Batch, type ConnectionInfo, GatheringConnection } from './connection.ts'
import { webSocketFrame } from './framing.ts'

export const OPEN_FRAME = 'o'
export const HEARTBEAT_FRAME = 'h'

export function closeFrame(code: number, reason: string): string {
  return `c${JSON.stringify([code, reason])}`
}

/** Characters some browsers lose or change on the way: the SockJS protocol wants them escaped. */
const FRAGILE = /[\ud800-\udfff\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]/g

function quote(head: Buffer, tail: Buffer): string {
  const text = JSON.stringify(head.toString() + tail.toString())
  return text.replace(FRAGILE, (unit) => `\\u${unit.charCodeAt(0).toString(16)}`)
}

/** Renders a frame as one element of an `a[...]` frame: quoted once for all peers. */
export function sockJsHttpWire(binary: Wire['binary']): Wire {
  return { name: 'sockjs-http', binary, octets: false, wrap: quote }
}

/** Renders a frame as a complete WebSocket message. */
export function sockJsWebSocketWire(binary: Wire['binary']): Wire {
  const wrap = (head: Buffer, tail: Buffer): Buffer => webSocketFrame(Buffer.from(`a[${quote(head, tail)}]`))
  return { name: 'sockjs-websocket', binary, octets: false, wrap }
}

/** The messages in a client's payload, a JSON string or an array of them; undefined when it is neither. */
export function readMessages(data: string): string[] | undefined {
  if (data === '') return []
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return undefined
  }
  if (typeof value === 'string') return [value]
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined
}

/**
 * Turns messages into bytes. STOMP clients cut long frames at a number of UTF-16 units, which may
 * fall inside a surrogate pair: its first half waits here for the second.
 */
export class Joiner {
  private half = ''

  join(messages: readonly string[]): Buffer {
    const text = this.half + messages.join('')
    const cut = /[\ud800-\udbff]/.test(text.slice(-1)) ? text.length - 1 : text.length
    this.half = text.slice(cut)
    return Buffer.from(text.slice(0, cut))
  }
}

/** What is used of a `sockjs` receiver: the request whose response carries frames to the peer. */
interface SockJsReceiver {
  readonly protocol: string
  readonly curr_response_size: number
  doSendFrame(frame: string): void
}

/** What is used of a `sockjs` session. All of it is private there; the gate insists on the version. */
export interface SockJsSession {
  readonly connection: EventEmitter
  /** Missing while no request of the peer waits for frames. */
  readonly recv?: SockJsReceiver | null
  close(code: number, reason: string): void
  didTimeout(): void
}

export interface HttpOptions {
  /** Bytes of POSTed messages that one session may have on hold. */
  maxBatch: number
  /** The same before the client has connected. */
  maxEarly: number
  /** Milliseconds between `h` frames. */
  heartbeat: number
  /** Milliseconds a session lives without a receiving request. */
  disconnectDelay: number
  /** Bytes after which a response ends, so that the peer asks for the next. */
  responseLimit: number
  warn(message: string): void
}

/** A POST: its messages until they are handed over, its answer until the receiver reads on. */
interface Post {
  chunk: Buffer | undefined
  readonly bytes: number
  done(): void
}

/**
 * A SockJS session over HTTP requests. `sockjs` writes the frames of its receiving requests; the
 * queue, the timers and the end of the session are kept here, because `sockjs` never tells how much
 * is unsent, puts any amount into one response, and counts a peer that is still reading as gone.
 */
export class HttpConnection extends GatheringConnection {
  readonly wire: Wire
  received = 0
  /** Bytes of POSTs that this session may still take on hold. */
  room: number
  /** How much that is in all. */
  maxBatch: number
  private readonly session: SockJsSession
  private readonly options: HttpOptions
  private readonly joiner = new Joiner()
  private readonly queue: string[] = []
  private queued = 0
  private response: ServerResponse | undefined
  private readonly inbox: Post[] = []
  private paused = false
  private farewell: readonly [code: number, reason: string] | undefined
  private over = false
  /** The peer knows of the end, or will not ask any more. */
  told = false
  private heartbeat: NodeJS.Timeout | undefined
  private absence: NodeJS.Timeout | undefined

  readonly info: ConnectionInfo

  constructor(info: ConnectionInfo, wire: Wire, session: SockJsSession, options: HttpOptions) {
    super()
    this.info = info
    this.wire = wire
    this.session = session
    this.options = options
    this.room = this.maxBatch = Math.min(options.maxBatch, options.maxEarly)
    const beat = (): void => session.recv?.doSendFrame(HEARTBEAT_FRAME)
    this.heartbeat = setInterval(beat, options.heartbeat).unref()
    session.connection.on('close', () => this.gone())
  }

  /** A request of the peer waits for frames. */
  get receiving(): boolean {
    return Boolean(this.session.recv)
  }

  start(accept: Accept): void {
    try {
      this.receiver = accept(this)
    } catch (error) {
      this.fail(error)
    }
  }

  /** A new receiving request was registered with the session. */
  attach(response: ServerResponse): void {
    this.received++
    const earlier = this.response
    // In this turn of the loop TLS may not yet have said that all of it was sent.
    if (earlier !== undefined) setImmediate(() => this.checkRead(earlier))
    this.response = response
    // A quiet session may have nothing to say for long.
    response.setTimeout(0)
    response.on('timeout', () => this.terminate())
    response.on('drain', () => this.relieve())
    response.on('close', () => this.detach(response))
    if (this.over) {
      this.told = true
      return
    }
    clearTimeout(this.absence)
    this.heartbeat?.refresh()
    this.pump()
    this.checkSocket(response)
  }

  /** `done` is called once the messages are handed over and the receiver reads on, or they are void. */
  post(messages: readonly string[], bytes: number, done: () => void): void {
    this.inbox.push({ chunk: this.joiner.join(messages), bytes, done })
    this.deliver()
  }

  override trust(): void {
    this.room += this.options.maxBatch - this.maxBatch
    this.maxBatch = this.options.maxBatch
  }

  override quiet(): void {
    clearInterval(this.heartbeat)
    this.heartbeat = undefined
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    setImmediate(() => this.deliver())
  }

  terminate(): void {
    this.queue.length = this.queued = 0
    this.farewell ??= [3000, 'Go away!']
    this.shut()
    this.told = true
    if (this.response !== undefined && this.response.writableLength > 0) this.response.destroy()
    this.response = undefined
  }

  /** Ends the session and its memory: the peer will not even be told again that it was closed. */
  discard(): void {
    this.terminate()
    this.session.didTimeout()
  }

  protected pending(): number {
    return this.queued + (this.response?.writableLength ?? 0)
  }

  protected write(batch: Batch): void {
    // The wire renders nothing but strings.
    for (const payload of batch.payloads()) this.queue.push(payload as string)
    this.queued += batch.bytes
    this.pump()
  }

  protected finish(code: number, reason: string): void {
    this.farewell = [code, reason]
    this.pump()
  }

  /** Gives the receiving request what fits its response. */
  private pump(): void {
    for (let recv = this.session.recv; recv && this.queue.length > 0; recv = this.session.recv) {
      const frame = `a[${this.take(this.options.responseLimit - recv.curr_response_size)}]`
      // There a frame lies in a script element, which the text of a message could end, or leave.
      recv.doSendFrame(recv.protocol === 'htmlfile' ? frame.replaceAll('<', '\\u003c') : frame)
      const response = this.response
      if (response !== undefined) this.checkSocket(response)
      if (response === undefined || this.receiving || response.writableLength === 0) continue
      // It has ended and is to be read. The timer starts anew whenever the peer takes some of it.
      response.setTimeout(this.options.disconnectDelay)
    }
    if (this.farewell !== undefined && this.queue.length === 0) this.shut()
    this.relieve()
  }

  private take(room: number): string {
    let bytes = 0
    let count = 0
    for (const element of this.queue) {
      if (count > 0 && bytes + element.length > room) break
      bytes += element.length
      count++
    }
    this.queued -= bytes
    return this.queue.splice(0, count).join(',')
  }

  private deliver(): void {
    for (let post = this.inbox[0]; post !== undefined; post = this.inbox[0]) {
      if (this.paused && !this.over) return
      const chunk = post.chunk
      post.chunk = undefined
      if (chunk === undefined) {
        this.inbox.shift()
        this.room += post.bytes
        post.done()
      } else if (chunk.length > 0 && this.farewell === undefined) {
        try {
          this.receiver?.data(chunk, 0, chunk.length, true)
        } catch (error) {
          this.fail(error)
        }
      }
    }
  }

  /**
   * A peer that makes the next request has read the earlier response to its end. One that has not
   * would make responses pile up, and what destroys them loses messages, so its session ends too.
   */
  private checkRead(earlier: ServerResponse): void {
    if (earlier.writableFinished || earlier.destroyed) return
    earlier.destroy()
    this.terminate()
  }

  /** A response that has ended but waits behind others has no socket, and never tells that its peer has left. */
  private checkSocket(response: ServerResponse): void {
    if (!this.receiving && response.socket === null) this.expire()
  }

  /** A response has been taken by the system, or its peer has left it. */
  private detach(response: ServerResponse): void {
    if (response !== this.response) return
    this.relieve()
    if (!this.over && !this.receiving) this.expire()
  }

  private expire(): void {
    clearTimeout(this.absence)
    this.absence = setTimeout(() => this.session.didTimeout(), this.options.disconnectDelay).unref()
  }

  /** The end of our side. The peer hears the close frame now, or for a while with each request it makes. */
  private shut(): void {
    if (this.over) return
    this.over = true
    this.quiet()
    this.told = this.receiving
    this.session.close(...(this.farewell ?? [1000, 'Normal closure']))
    this.expire()
    this.leave()
  }

  /** `sockjs` has forgotten the session: the peer left, or its time is up. */
  private gone(): void {
    this.over = this.told = true
    this.quiet()
    clearTimeout(this.absence)
    this.queue.length = this.queued = 0
    if (this.response !== undefined && !this.response.writableFinished) this.response.destroy()
    this.response = undefined
    this.leave()
  }

  private leave(): void {
    try {
      this.ended()
    } catch (error) {
      this.fail(error)
    }
    this.deliver()
  }

  private fail(error: unknown): void {
    this.options.warn(`SockJS session failed: ${String(error)}`)
    this.close(1011, 'Internal error')
  }
}
