import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type RawData, type WebSocket } from 'ws'
import type { Wire } from '../model/wire.ts'
import { SocketConnection, type Accept, type Batch, type ConnectionInfo } from './connection.ts'
import { deflatedWires, plainWires, type Wires } from './framing.ts'
import type { Route } from './route.ts'

const NUL = Buffer.from([0])

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
      this.receiver?.data(chunk, 0, chunk.length, !isBinary)
      if (finishCut && isCut(chunk)) this.receiver?.data(NUL, 0, 1, true)
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
