import type { IncomingHttpHeaders, Server } from 'node:http'
import type { Socket } from 'node:net'

/** The headers of a handshake that anybody looks at; others are not kept. */
const LOOKED = [
  'host',
  'origin',
  'upgrade',
  'connection',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
] as const
type Looked = (typeof LOOKED)[number]
/** Headers that tell of a body. */
const BODY: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'expect'])

/** A request to become a WebSocket. */
export interface Handshake {
  readonly url?: string | undefined
  readonly headers: Readonly<Pick<IncomingHttpHeaders, Looked>>
}

/** Bytes of a request's head that are looked at. */
const MAX_HEAD = 8 * 1024

/**
 * New connections of an HTTP server. node:http spends as much on a WebSocket's handshake as all
 * the rest of a connection's beginning costs, so one that comes as they all do, in one piece, is
 * read here. What is in any way unusual, or wrong, goes to node:http as if nobody had looked at it.
 */
export class Arrivals {
  private readonly server: Server
  /** Answers, or says that it cannot. */
  private readonly answer: (request: Handshake, socket: Socket, head: Buffer) => boolean
  /** How node:http takes connections. */
  private readonly listeners: readonly ((socket: Socket) => void)[]
  private readonly onData: (this: Socket, chunk: Buffer) => void
  private readonly onEnd: (this: Socket) => void
  /** They have not said a word: since the last look at the clock, and for longer. */
  private recent = new Set<Socket>()
  private silent = new Set<Socket>()
  private readonly timer: NodeJS.Timeout
  private closed = false

  /**
   * `event`: what the server emits for a new connection. `silence`: milliseconds after which, or
   * at most twice of them, a silent one is left to node:http, which has limits for it.
   */
  constructor(
    server: Server,
    event: 'connection' | 'secureConnection',
    answer: Arrivals['answer'],
    silence: number,
  ) {
    this.server = server
    this.answer = answer
    this.timer = setInterval(() => this.age(), silence).unref()
    this.listeners = server.listeners(event) as ((socket: Socket) => void)[]
    server.removeAllListeners(event)
    server.on(event, (socket: Socket) => this.arrive(socket))
    const read = (socket: Socket, chunk: Buffer): void => this.read(socket, chunk)
    const pass = (socket: Socket): void => this.release(socket)
    this.onData = function (chunk) {
      read(this, chunk)
    }
    this.onEnd = function () {
      pass(this)
      this.destroy()
    }
  }

  /** Leaves a connection to node:http. */
  pass(socket: Socket): void {
    for (const listener of this.listeners) listener.call(this.server, socket)
  }

  /** From now on node:http has them all. */
  close(): void {
    this.closed = true
    clearInterval(this.timer)
    this.age()
    this.age()
  }

  private arrive(socket: Socket): void {
    if (this.closed) return this.pass(socket)
    this.recent.add(socket)
    // 'close' follows.
    socket.on('error', ignore)
    socket.on('data', this.onData)
    socket.on('end', this.onEnd)
  }

  private read(socket: Socket, chunk: Buffer): void {
    this.release(socket)
    const head = readHead(chunk)
    if (head !== undefined && this.answer(head.request, socket, chunk.subarray(head.end))) return
    this.giveBack(socket, chunk)
  }

  /** node:http is to find the socket as new as it was. */
  private giveBack(socket: Socket, chunk?: Buffer): void {
    socket.off('error', ignore)
    socket.pause()
    if (chunk !== undefined) socket.unshift(chunk)
    this.pass(socket)
    socket.resume()
  }

  private release(socket: Socket): void {
    if (!this.recent.delete(socket)) this.silent.delete(socket)
    socket.off('data', this.onData)
    socket.off('end', this.onEnd)
  }

  private age(): void {
    const { silent } = this
    for (const socket of silent) {
      this.release(socket)
      if (!socket.destroyed) this.giveBack(socket)
    }
    this.silent = this.recent
    this.recent = silent
  }
}

function ignore(): void {}

/** In ASCII: node:http keeps a no-break space that `trim` would take away. */
const REQUEST = /^GET (\/[!-~]*) HTTP\/1\.1\r\n((?:[!#$%&'*+\-.^_`|~\dA-Za-z]+:[\t -~]*\r\n)+)\r\n/
const UPGRADE = /(?:^|,)[\t ]*upgrade[\t ]*(?:,|$)/i

/** The usual request of a WebSocket client, and where it ends; undefined for anything else. */
function readHead(chunk: Buffer): { request: Handshake; end: number } | undefined {
  const [whole, url, lines] = REQUEST.exec(chunk.toString('latin1', 0, MAX_HEAD)) ?? []
  if (whole === undefined || lines === undefined) return undefined
  const headers: Pick<IncomingHttpHeaders, Looked> = {}
  for (let from = 0; from < lines.length;) {
    const colon = lines.indexOf(':', from)
    const end = lines.indexOf('\r\n', colon)
    const name = lines.slice(from, colon).toLowerCase()
    const looked = LOOKED.find((each) => each === name)
    // What is said twice is for node:http to judge, and so is a body.
    if (looked === undefined ? BODY.has(name) : headers[looked] !== undefined) return undefined
    if (looked !== undefined) headers[looked] = lines.slice(colon + 1, end).trim()
    from = end + 2
  }
  if (headers.host === undefined || headers.upgrade?.toLowerCase() !== 'websocket') return undefined
  if (!UPGRADE.test(headers.connection ?? '')) return undefined
  return { request: { url: url ?? '', headers }, end: whole.length }
}
