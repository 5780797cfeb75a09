import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { constants, deflateRawSync } from 'node:zlib'
import { WebSocketServer, type RawData, type WebSocket } from 'ws'
import type { Wire } from '../model/wire.ts'
import { SocketConnection, type Accept, type Batch, type ConnectionInfo } from './connection.ts'
import type { Route } from './route.ts'

const TEXT = 0x1
const BINARY = 0x2
/** RSV1: the payload is compressed (RFC 7692). */
const COMPRESSED = 0x40
/** Bytes of a frame that is worth compressing, and of one that would hold up everybody else meanwhile. */
const COMPRESS_FROM = 1024
const COMPRESS_TO = 1024 * 1024
const NUL = Buffer.from([0])

/** Writes the header of an unmasked, final WebSocket frame (RFC 6455, 5.2) for `length` bytes of payload, and room for them. */
function frameFor(length: number, opcode: number): { frame: Buffer; at: number } {
  const at = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(at + length)
  frame[0] = 0x80 | opcode
  if (at === 2) {
    frame[1] = length
  } else if (at === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeUInt32BE(0, 2)
    frame.writeUInt32BE(length, 6)
  }
  return { frame, at }
}

/** One WebSocket message in one frame, as a server sends it. */
export function webSocketFrame(payload: Buffer, opcode: number = TEXT): Buffer {
  const { frame, at } = frameFor(payload.length, opcode)
  payload.copy(frame, at)
  return frame
}

/** One STOMP frame is one WebSocket message, text where it can be: clients such as stompjs on React Native rely on it. */
function webSocketWire(octets: boolean): Wire {
  return {
    name: octets ? 'websocket-binary' : 'websocket',
    binary: 'native',
    octets,
    wrap(head, tail, text) {
      const { frame, at } = frameFor(head.length + tail.length, text ? TEXT : BINARY)
      head.copy(frame, at)
      tail.copy(frame, at + head.length)
      return frame
    },
  }
}

/**
 * The same, compressed by permessage-deflate. No context is taken over from message to message
 * (RFC 7692, 7.1.1), so a compressed frame too is the same bytes for every receiver.
 */
function deflatedWire(plain: Wire): Wire {
  return {
    ...plain,
    name: `${plain.name}-deflate`,
    wrap(head, tail, text) {
      const length = head.length + tail.length
      if (length < COMPRESS_FROM || length > COMPRESS_TO) return plain.wrap(head, tail, text)
      const deflated = deflateRawSync(Buffer.concat([head, tail]), {
        level: constants.Z_BEST_SPEED,
        finishFlush: constants.Z_SYNC_FLUSH,
      })
      // The four bytes of an empty block at the end are left out (RFC 7692, 7.2.1).
      return webSocketFrame(deflated.subarray(0, -4), COMPRESSED | (text ? TEXT : BINARY))
    },
  }
}

interface Wires {
  readonly standard: Wire
  /** For a peer that writes binary messages itself. */
  readonly octets: Wire
}

const plainWires: Wires = { standard: webSocketWire(false), octets: webSocketWire(true) }
const deflatedWires: Wires = {
  standard: deflatedWire(plainWires.standard),
  octets: deflatedWire(plainWires.octets),
}

/**
 * `ws` reads, answers pings and closes; rendered frames are written to the socket under it, which
 * is ours since `upgrade`. Both write whole frames only, so they cannot tear each other's.
 */
export class WebSocketConnection extends SocketConnection {
  wire: Wire
  protected readonly ws: WebSocket

  constructor(info: ConnectionInfo, socket: Socket, ws: WebSocket, wire: Wire = wiresFor(ws).standard) {
    super(info, socket)
    this.wire = wire
    this.ws = ws
    ws.on('close', () => this.ended())
    // ws has told the peer already, with 1009 for a message over the limit.
    ws.on('error', () => this.left())
    // After ws, which listens too, has read the peer's close frame.
    socket.on('data', () => {
      if (ws.readyState === ws.CLOSING) this.left()
    })
  }

  /** Starts listening. `finishCut`: a STOMP frame without its NUL ends with its WebSocket message. */
  open(accept: Accept, finishCut: boolean): void {
    this.receiver = accept(this)
    let first = true
    this.ws.on('message', (data: RawData, isBinary: boolean) => {
      // Who writes binary messages asks for them.
      if (first && isBinary) this.wire = wiresFor(this.ws).octets
      first = false
      const chunk = data as Buffer // ws hands over Buffers: binaryType is left at nodebuffer
      this.receiver?.data(chunk)
      if (finishCut && isCut(chunk)) this.receiver?.data(NUL)
    })
  }

  override ping(): void {
    if (this.ws.readyState === this.ws.OPEN) this.ws.ping()
  }

  pause(): void {
    this.ws.pause()
  }

  resume(): void {
    this.ws.resume()
  }

  terminate(): void {
    this.ws.terminate()
  }

  protected override write(batch: Batch): void {
    if (this.ws.readyState === this.ws.OPEN) return super.write(batch)
    // Nothing may follow a close frame (RFC 6455, 5.5.1). Not at once: this may be inside the session's own work.
    setImmediate(() => this.left())
  }

  protected finish(code: number, reason: string): void {
    // The peer's close frame must be read for an orderly end.
    this.ws.resume()
    this.ws.close(code, reason)
  }
}

function wiresFor(ws: WebSocket): Wires {
  return ws.extensions.includes('permessage-deflate') ? deflatedWires : plainWires
}

/** Some React Native builds cut an outgoing frame at its NUL. */
function isCut(chunk: Buffer): boolean {
  let end = chunk.length
  while (end > 0 && (chunk[end - 1] === 10 || chunk[end - 1] === 13)) end--
  return end > 0 && chunk[end - 1] !== 0
}

const subprotocols = ['v12.stomp', 'v11.stomp', 'v10.stomp', 'stomp']

/** The highest version offered, or none at all: with only unknown names the browser itself then ends the handshake. */
export function chooseSubprotocol(offered: ReadonlySet<string>): string | false {
  return subprotocols.find((name) => offered.has(name)) ?? false
}

export interface WebSocketsOptions {
  /** What lies at a request's path. */
  route(request: IncomingMessage): Route
  /** What to say when nothing does. */
  noRoute(request: IncomingMessage): string
  /** Why a request is refused, or undefined. */
  refuse(request: IncomingMessage): string | undefined
  accept: Accept
  /** The SockJS session for an upgrade below a SockJS path. */
  sockJs(info: ConnectionInfo, socket: Socket, ws: WebSocket): void
  /** Bytes of one WebSocket message, inflated. */
  maxMessage: number
  /** Agree to permessage-deflate. */
  compression: boolean
  /** Accept STOMP frames whose NUL was cut off at the end of a WebSocket message. */
  finishCut: boolean
}

/** Answers `upgrade` requests, for raw STOMP and for the SockJS websocket transport. */
export class WebSockets {
  private readonly options: WebSocketsOptions
  private readonly server: WebSocketServer

  constructor(options: WebSocketsOptions) {
    this.options = options
    this.server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // ws takes it for a 32-bit number.
      maxPayload: Math.min(options.maxMessage, 2 ** 31 - 1),
      perMessageDeflate: options.compression && {
        serverNoContextTakeover: true,
        clientNoContextTakeover: true,
        // Frames are deflated with the largest window, once for all: a peer that wants a smaller one gets none.
        serverMaxWindowBits: false as unknown as number, // ws takes false here; its types do not know
      },
      handleProtocols: chooseSubprotocol,
    })
  }

  upgrade(request: IncomingMessage, duplex: Duplex, head: Buffer): void {
    const socket = duplex as Socket // node:http hands over the TCP or TLS socket
    socket.on('error', () => socket.destroy())
    const route = this.options.route(request)
    if (route === undefined) {
      return refuseUpgrade(socket, 404, this.options.noRoute(request))
    }
    const refusal = this.options.refuse(request)
    if (refusal !== undefined) return refuseUpgrade(socket, 403, refusal)
    this.server.handleUpgrade(request, socket, head, (ws) => {
      const address = socket.remoteAddress ?? 'unknown'
      if (route === 'sockjs-websocket') {
        this.options.sockJs({ transport: 'sockjs-websocket', address }, socket, ws)
      } else {
        new WebSocketConnection({ transport: 'websocket', address }, socket, ws).open(
          this.options.accept,
          this.options.finishCut,
        )
      }
    })
  }
}

function refuseUpgrade(socket: Socket, status: number, sentence: string): void {
  const body = `${sentence}\n`
  socket.once('finish', () => socket.destroy())
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n` +
      'Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n' +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}
