import { hash } from 'node:crypto'
import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { Wire } from '../model/wire.ts'
import { RETRY_AFTER, type Admission, type Place } from './admission.ts'
import type { Handshake } from './arrivals.ts'
import { PlainChannel, type Channel, type Listener } from './channel.ts'
import { SocketConnection, type Accept, type Batch } from './connection.ts'
import { DeflatedChannel } from './deflated.ts'
import { deflatedWires, plainWires, type Wires } from './framing.ts'
import type { Route } from './route.ts'

const NUL = Buffer.from([0])

/** Messages come through a channel; rendered frames are written to the socket under it. Both write whole frames only. */
export class WebSocketConnection extends SocketConnection implements Listener {
  wire: Wire
  protected readonly channel: Channel
  private readonly wires: Wires
  /** A STOMP frame without its NUL ends with its WebSocket message. */
  private readonly finishCut: boolean
  private first = true

  constructor(
    transport: string,
    socket: Socket,
    channel: Channel,
    wires: Wires,
    finishCut: boolean,
    place: Place,
  ) {
    super(transport, socket, place)
    this.channel = channel
    this.wires = wires
    this.wire = wires.standard
    this.finishCut = finishCut
  }

  /** Starts listening. */
  open(accept: Accept): void {
    this.receiver = accept(this)
    this.channel.start(this)
  }

  message(bytes: Buffer, from: number, to: number, text: boolean): void {
    // Who writes binary messages asks for them.
    if (this.first && !text) this.wire = this.wires.octets
    this.first = false
    this.receiver?.data(bytes, from, to, text)
    if (this.finishCut && isCut(bytes, from, to)) this.receiver?.data(NUL, 0, 1, true)
  }

  override left(): void {
    super.left()
  }

  override ended(): void {
    super.ended()
  }

  override ping(): boolean {
    this.channel.ping()
    return true
  }

  override trust(): void {
    this.channel.trust()
  }

  pause(): void {
    this.channel.pause()
  }

  resume(): void {
    this.channel.resume()
  }

  terminate(): void {
    this.channel.terminate()
  }

  protected override write(batch: Batch): void {
    if (this.channel.open) return super.write(batch)
    // Nothing may follow a close frame (RFC 6455, 5.5.1). Not at once: this may be inside the session's own work.
    setImmediate(() => this.left())
  }

  protected finish(code: number, reason: string): void {
    this.channel.close(code, reason)
  }
}

/** Some React Native builds cut an outgoing frame at its NUL. */
function isCut(bytes: Buffer, from: number, to: number): boolean {
  let end = to
  while (end > from && (bytes[end - 1] === 10 || bytes[end - 1] === 13)) end--
  return end > from && bytes[end - 1] !== 0
}

const subprotocols = ['v12.stomp', 'v11.stomp', 'v10.stomp', 'stomp']

/** The highest version offered, or none at all: with only unknown names the browser itself then ends the handshake. */
export function chooseSubprotocol(offered: ReadonlySet<string>): string | false {
  return subprotocols.find((name) => offered.has(name)) ?? false
}

export interface WebSocketsOptions {
  /** What lies at a request's path. */
  route(request: Handshake): Route
  /** What to say when nothing does. */
  noRoute(request: Handshake): string
  /** Why a request is refused, or undefined. */
  refuse(request: Handshake): string | undefined
  admission: Admission
  accept: Accept
  /** The SockJS session for an upgrade below a SockJS path. */
  sockJs(socket: Socket, channel: Channel, place: Place): void
  /** Bytes of one WebSocket message, inflated. */
  maxMessage: number
  /** The same before the client has connected. */
  maxEarly: number
  /** Agree to permessage-deflate. */
  compression: boolean
  /** Accept STOMP frames whose NUL was cut off at the end of a WebSocket message. */
  finishCut: boolean
}

/** Answers `upgrade` requests, for raw STOMP and for the SockJS websocket transport. */
export class WebSockets {
  private readonly options: WebSocketsOptions
  /** Agrees on extensions. */
  private readonly server: WebSocketServer | undefined
  private closed = false

  constructor(options: WebSocketsOptions) {
    this.options = options
    if (!options.compression) return
    this.server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // ws takes it for a 32-bit number.
      maxPayload: Math.min(options.maxMessage, 2 ** 31 - 1),
      perMessageDeflate: {
        serverNoContextTakeover: true,
        clientNoContextTakeover: true,
        // Frames are deflated with the largest window, once for all: a peer that wants a smaller one gets none.
        serverMaxWindowBits: false as unknown as number, // ws takes false here; its types do not know
      },
      handleProtocols: chooseSubprotocol,
    })
  }

  /** From now on it refuses them all. */
  close(): void {
    this.closed = true
  }

  /** A request that node:http has read. */
  upgrade(request: IncomingMessage, duplex: Duplex, head: Buffer): void {
    const socket = duplex as Socket // node:http hands over the TCP or TLS socket
    // 'close' follows.
    socket.on('error', ignore)
    // node:http leaves it unread: its bytes would be taken for the first frames.
    if (hasBody(request)) return refuse(socket, 400, 'A WebSocket handshake must not have a body.')
    if (this.answer(request, socket, head)) return
    const place = this.admit(socket)
    if (place === undefined) return
    this.server?.handleUpgrade(request, socket, head, (ws) => {
      const deflated = ws.extensions.includes('permessage-deflate')
      const route = this.options.route(request)
      this.begin(route, socket, new DeflatedChannel(socket, ws), deflated ? deflatedWires : plainWires, place)
    })
  }

  /** Answers a request, unless it asks for extensions that may be agreed on. */
  answer(request: Handshake, socket: Socket, head: Buffer): boolean {
    const route = this.options.route(request)
    const refusal = route && this.options.refuse(request)
    if (this.closed) refuse(socket, 503, 'The broker is shutting down.')
    else if (route === undefined) refuse(socket, 404, this.options.noRoute(request))
    else if (refusal !== undefined) refuse(socket, 403, refusal)
    else if (this.server !== undefined && request.headers['sec-websocket-extensions'] !== undefined)
      return false
    else this.agree(request, socket, head, route)
    return true
  }

  /** The handshake without extensions (RFC 6455, 4.2). */
  private agree({ headers }: Handshake, socket: Socket, head: Buffer, route: Route): void {
    const key = headers['sec-websocket-key'] ?? ''
    if (!KEY.test(key)) return refuse(socket, 400, 'The header Sec-WebSocket-Key is missing or invalid.')
    const version = headers['sec-websocket-version']
    if (version !== '13' && version !== '8')
      return refuse(socket, 400, 'Sec-WebSocket-Version must be 13.', 'Sec-WebSocket-Version: 13, 8\r\n')
    const offered = readSubprotocols(headers['sec-websocket-protocol'])
    if (offered === undefined) return refuse(socket, 400, 'The header Sec-WebSocket-Protocol is invalid.')
    // The client has left.
    if (!socket.readable || !socket.writable) return void socket.destroy()
    const place = this.admit(socket)
    if (place === undefined) return
    const chosen = chooseSubprotocol(offered)
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${hash('sha1', `${key}${GUID}`, 'base64')}\r\n` +
        (chosen === false ? '\r\n' : `Sec-WebSocket-Protocol: ${chosen}\r\n\r\n`),
      'latin1',
    )
    const { maxMessage, maxEarly } = this.options
    const channel = new PlainChannel(socket, head, maxMessage, Math.min(maxEarly, maxMessage))
    this.begin(route, socket, channel, plainWires, place)
  }

  /** Undefined where there is no room for it, and the peer has been told. */
  private admit(socket: Socket): Place | undefined {
    const place = this.options.admission.place(socket)
    if (typeof place !== 'string') return place
    refuse(socket, 503, place, `Retry-After: ${RETRY_AFTER}\r\n`)
    return undefined
  }

  private begin(route: Route, socket: Socket, channel: Channel, wires: Wires, place: Place): void {
    const { accept, finishCut } = this.options
    if (route === 'sockjs-websocket') this.options.sockJs(socket, channel, place)
    else new WebSocketConnection('websocket', socket, channel, wires, finishCut, place).open(accept)
  }
}

/** RFC 6455, 1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** 16 bytes in base64. */
const KEY = /^[+/\dA-Za-z]{22}==$/
/** A token (RFC 9110, 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

const NONE: ReadonlySet<string> = new Set()
/** What the latest client offered: the next offers the same. */
let latest: { readonly header: string; readonly offered: ReadonlySet<string> } | undefined

/** What a client offers; undefined where it makes no sense. */
function readSubprotocols(header: string | undefined): ReadonlySet<string> | undefined {
  if (header === undefined) return NONE
  if (header === latest?.header) return latest.offered
  const names = header.split(',').map((name) => name.trim())
  const offered = new Set(names)
  if (offered.size < names.length || !names.every((name) => TOKEN.test(name))) return undefined
  latest = { header, offered }
  return offered
}

function ignore(): void {}

function refuse(socket: Socket, status: number, sentence: string, more = ''): void {
  const body = `${sentence}\n`
  socket.once('finish', () => socket.destroy())
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n` +
      'Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n' +
      `${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}
