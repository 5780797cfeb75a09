import { isUtf8 } from 'node:buffer'
import type { Socket } from 'node:net'
import { BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, webSocketFrame } from './framing.ts'
import { unmask } from './mask.ts'
import { Pieces } from './pieces.ts'

/** Who reads what a WebSocket brings. */
export interface Listener {
  /** `bytes[from, to)` is a whole message; one of text is UTF-8. The bytes are the listener's. */
  message(bytes: Buffer, from: number, to: number, text: boolean): void
  /** The peer begins to leave, or can no longer be understood: `close` is to be called. */
  left(): void
  /** The socket is gone. */
  ended(): void
}

/** The server's side of one WebSocket: reads messages, answers pings, and closes. Frames out are written to the socket by others. */
export interface Channel {
  /** Frames may still be written: none may follow a close frame (RFC 6455, 5.5.1). */
  readonly open: boolean
  start(listener: Listener): void
  ping(): void
  /** The peer has connected: its messages may be as long as any. */
  trust(): void
  /** No more messages, also of those that have arrived, until `resume`. */
  pause(): void
  resume(): void
  /** Begins the closing handshake, or answers the peer's. */
  close(code: number, reason: string): void
  terminate(): void
}

const FIN = 0x80
/** RSV1 to RSV3: of extensions, and none was agreed on. */
const RESERVED = 0x70
const OPCODE = 0x0f
const CONTROL = 0x08
const MASKED = 0x80
/** Frames read in one go, of a session that does not pause because what they bring is no STOMP frame: others are to be answered too. */
const FRAMES_A_TURN = 256
/** The most a control frame carries (RFC 6455, 5.5). */
const MAX_CONTROL = 125

const PROTOCOL_ERROR = 1002
const NOT_UTF8 = 1007
const TOO_BIG = 1009

const PING_FRAME = webSocketFrame(Buffer.alloc(0), PING)

/** What there is of a message in several frames. */
class Fragments extends Pieces {
  readonly text: boolean
  ascii = true

  constructor(text: boolean) {
    super()
    this.text = text
  }
}

/** Whose socket it is: handlers that all share cost nothing for each. */
const reader = Symbol('reader')

interface ReadSocket extends Socket {
  [reader]?: PlainChannel
}

function onData(this: ReadSocket, chunk: Buffer): void {
  this[reader]?.data(chunk)
}

function onEnd(this: ReadSocket): void {
  this[reader]?.conclude()
}

function onClose(this: ReadSocket): void {
  this[reader]?.ended()
}

/** A WebSocket without extensions on a socket that is ours. */
export class PlainChannel implements Channel {
  open = true
  private readonly socket: Socket
  private readonly maxMessage: number
  /** What a message may have now. */
  private limit: number
  private listener: Listener | undefined
  /** The beginning of a frame whose rest is still to come, and how many bytes of it are worth another look. */
  private partial: Pieces | undefined
  private wanted = 0
  private fragments: Fragments | undefined
  /** What came with the last bytes and was not read, because of a pause. */
  private rest: Buffer | undefined
  private paused = false
  /** Frames since the last pause, and that they were too many: nothing is read until the next turn of the event loop. */
  private frames = 0
  private resting = false
  /** Nothing more will arrive, so there is nothing to be gained by a pause. */
  private hurried = false
  /** The peer's last word was heard, or is not wanted any more. */
  private over = false
  /** What the close frame is to carry, where that is not for the session to say. */
  private verdict: Buffer | undefined
  /** Of a ping that is not answered yet. Only the latest needs an answer (RFC 6455, 5.5.3). */
  private pinged: Buffer | undefined
  private pongWaits = false

  /** `head`: what came right behind the handshake. `maxEarly`: bytes of a message of a peer that has not connected. */
  constructor(socket: Socket, head: Buffer, maxMessage: number, maxEarly: number = maxMessage) {
    this.socket = socket
    if (head.length > 0) this.rest = head
    this.maxMessage = maxMessage
    this.limit = maxEarly
  }

  start(listener: Listener): void {
    const socket: ReadSocket = this.socket
    this.listener = listener
    socket[reader] = this
    socket.on('data', onData)
    socket.on('end', onEnd)
    socket.on('close', onClose)
    if (this.rest !== undefined) this.resume()
  }

  ping(): void {
    if (this.open) this.socket.write(PING_FRAME)
  }

  trust(): void {
    this.limit = this.maxMessage
  }

  pause(): void {
    this.frames = 0
    // The peer's answer to a close frame must be heard.
    if (this.open && !this.hurried) this.paused = true
  }

  resume(): void {
    this.paused = false
    if (this.resting) return
    const { rest } = this
    // There is none yet for a handler that pauses and resumes: the loop around it goes on.
    if (rest !== undefined) {
      this.rest = undefined
      this.read(rest)
    }
    if (!this.paused && !this.resting && this.socket.isPaused()) this.socket.resume()
  }

  close(code: number, reason: string): void {
    if (!this.open) return
    this.open = false
    this.socket.write(webSocketFrame(this.verdict ?? closePayload(code, reason), CLOSE))
    if (this.over) this.socket.end()
    // Not at once: this may be inside the session's own work.
    setImmediate(() => this.resume())
  }

  terminate(): void {
    this.socket.destroy()
  }

  /** The socket's: bytes have come. */
  data(chunk: Buffer): void {
    if (this.over) return
    if (!this.paused && !this.resting) return this.read(chunk)
    // A pause is seldom so long that anything arrives meanwhile.
    this.socket.pause()
    this.socket.unshift(chunk)
  }

  /** The socket's: the peer has stopped writing. */
  conclude(): void {
    if (this.over) return
    this.readAll()
    if (!this.over) this.leave()
  }

  /** The socket's: it is gone. */
  ended(): void {
    this.readAll()
    this.over = true
    this.open = false
    this.listener?.ended()
  }

  /** What has arrived is handed on, pause or no pause: a client may write and leave at once. */
  private readAll(): void {
    if (this.over) return
    this.hurried = true
    this.paused = this.resting = false
    const { rest } = this
    this.rest = undefined
    if (rest !== undefined) this.read(rest)
    // There is some if the socket was paused, and then broke.
    const unread = this.socket.read() as Buffer | null
    if (unread !== null) this.data(unread)
  }

  /** Reads the frames of a chunk, up to a pause or to the end of the conversation. */
  private read(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && !this.over) {
      if (this.paused || this.resting) {
        this.rest = at === 0 ? chunk : chunk.subarray(at)
        break
      }
      at = this.partial === undefined ? this.frame(chunk, at) : this.goOn(this.partial, chunk, at)
    }
    if (this.pinged !== undefined) this.pong()
  }

  /** Adds to a frame that lies in several chunks, and reads it once it is whole. Answers how far. */
  private goOn(partial: Pieces, chunk: Buffer, at: number): number {
    const end = Math.min(at + this.wanted - partial.length, chunk.length)
    partial.add(chunk, at, end)
    if (partial.length < this.wanted) return end
    this.partial = undefined
    this.frame(partial.take(), 0)
    return end
  }

  /** Reads the frame at `at`, or keeps what there is of it. Answers where the next one begins. */
  private frame(buffer: Buffer, at: number): number {
    const there = buffer.length - at
    if (there < 2) return this.keep(buffer, at, 2)
    const first = buffer[at] as number // there >= 2
    const second = buffer[at + 1] as number
    if (!this.isLegal(first, second)) return this.fail(PROTOCOL_ERROR)
    let length = second & ~MASKED
    const header = length < 126 ? 6 : length === 126 ? 8 : 14
    if (there < header) return this.keep(buffer, at, header)
    if (length === 126) length = buffer.readUInt16BE(at + 2)
    else if (length === 127) length = buffer.readUInt32BE(at + 2) * 2 ** 32 + buffer.readUInt32BE(at + 6)
    const opcode = first & OPCODE
    if (opcode < CONTROL && (this.fragments?.length ?? 0) + length > this.limit) return this.fail(TOO_BIG)
    if (there < header + length) return this.keep(buffer, at, header + length)
    const from = at + header
    const to = from + length
    const ascii = unmask(buffer, from, to)
    if (++this.frames >= FRAMES_A_TURN) this.breathe()
    if (opcode >= CONTROL) this.control(opcode, buffer, from, to)
    else if (opcode === CONTINUATION || first < FIN) this.fragment(first, buffer, from, to, ascii)
    else this.message(buffer, from, to, opcode === TEXT, ascii)
    return to
  }

  /** What the first two bytes of a frame may be (RFC 6455, 5.2). */
  private isLegal(first: number, second: number): boolean {
    if ((first & RESERVED) !== 0 || second < MASKED) return false
    switch (first & OPCODE) {
      case CONTINUATION:
        return this.fragments !== undefined
      case TEXT:
      case BINARY:
        return this.fragments === undefined
      case CLOSE:
      case PING:
      case PONG:
        return first >= FIN && (second & ~MASKED) <= MAX_CONTROL
      default:
        return false
    }
  }

  /** Lets others have the rest of this turn. */
  private breathe(): void {
    this.frames = 0
    if (this.hurried) return
    this.resting = true
    setImmediate(() => {
      this.resting = false
      if (!this.paused && !this.over) this.resume()
    })
  }

  private keep(buffer: Buffer, at: number, wanted: number): number {
    this.partial = new Pieces()
    this.wanted = wanted
    this.partial.add(buffer, at, buffer.length)
    return buffer.length
  }

  private fragment(first: number, buffer: Buffer, from: number, to: number, ascii: boolean): void {
    const fragments = (this.fragments ??= new Fragments((first & OPCODE) === TEXT))
    fragments.add(buffer, from, to)
    fragments.ascii &&= ascii
    if (first < FIN) return
    this.fragments = undefined
    const whole = fragments.take()
    this.message(whole, 0, whole.length, fragments.text, fragments.ascii)
  }

  private message(bytes: Buffer, from: number, to: number, text: boolean, ascii: boolean): void {
    if (text && !ascii && !isUtf8(bytes.subarray(from, to))) this.fail(NOT_UTF8)
    else this.listener?.message(bytes, from, to, text)
  }

  private control(opcode: number, buffer: Buffer, from: number, to: number): void {
    if (opcode === PONG) return
    // A copy: the chunk it lies in may be large.
    const payload = Buffer.from(buffer.subarray(from, to))
    if (opcode === PING) {
      this.pinged = payload
      return
    }
    if (payload.length > 0 && !isCloseCode(payload)) this.fail(PROTOCOL_ERROR)
    else if (!isUtf8(payload.subarray(2))) this.fail(NOT_UTF8)
    else {
      this.verdict = payload
      this.leave()
    }
  }

  /** Answers the latest ping, but not on top of what the peer does not read. */
  private pong(): void {
    if (this.pinged === undefined || !this.open) return
    if (this.socket.writableNeedDrain) {
      if (!this.pongWaits) this.socket.once('drain', () => this.pong())
      this.pongWaits = true
      return
    }
    this.pongWaits = false
    this.socket.write(webSocketFrame(this.pinged, PONG))
    this.pinged = undefined
  }

  private fail(code: number): number {
    this.verdict = closePayload(code, '')
    this.leave()
    return 0
  }

  private leave(): void {
    this.over = true
    this.partial = this.fragments = this.rest = undefined
    if (this.open) this.listener?.left()
    // The close frame went out before the peer's.
    else this.socket.end()
  }
}

function closePayload(code: number, reason: string): Buffer {
  const payload = Buffer.allocUnsafe(2 + Buffer.byteLength(reason))
  payload.writeUInt16BE(code)
  payload.write(reason, 2)
  return payload
}

/** RFC 6455, 7.4: those that may go over the network. */
function isCloseCode(payload: Buffer): boolean {
  if (payload.length < 2) return false
  const code = payload.readUInt16BE()
  if (code >= 3000) return code < 5000
  return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)
}
