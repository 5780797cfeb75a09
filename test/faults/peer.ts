import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { BINARY, clientFrame, CLOSE, FIN, PING, PONG, TEXT } from '../helpers/websocket-frame.ts'
import { stomp, AnswerReader, type Answer } from './frame.ts'
import type { Place } from './server.ts'
import { Unframer } from './unframer.ts'

export type Transport = 'tcp' | 'websocket' | 'sockjs'
export const TRANSPORTS: readonly Transport[] = ['tcp', 'websocket', 'sockjs']

/** The head of a request to become a WebSocket. */
export function handshake(path: string): string {
  return (
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
  )
}

let sessions = 0

export function pathOf(transport: Exclude<Transport, 'tcp'>): string {
  return transport === 'websocket' ? '/stomp' : `/ws/000/s${process.pid}-${++sessions}/websocket`
}

/** A client on a bare socket that can be as rude as a socket can be. It never answers a ping. */
export class Peer {
  readonly transport: Transport
  readonly socket: Socket
  /** Messages that have come. */
  messages = 0
  /** The ERROR that has come. */
  error: Answer | undefined
  /** Called with each MESSAGE. */
  onMessage: ((message: Answer) => void) | undefined
  readonly ended: Promise<void>
  over = false
  private head = ''
  private readonly unframer = new Unframer()
  private readonly reader = new AnswerReader()
  private readonly waiting = new Map<string, (answer: Answer | undefined) => void>()
  private receipts = 0

  private constructor(transport: Transport, socket: Socket) {
    this.transport = transport
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => this.receive(bytes))
    this.ended = new Promise((resolve) => {
      socket.once('close', () => {
        this.over = true
        for (const settle of this.waiting.values()) settle(undefined)
        this.waiting.clear()
        resolve()
      })
    })
  }

  /** A socket, and with WebSocket the handshake. */
  static async open(transport: Transport, place: Place): Promise<Peer> {
    const socket = connect({
      port: transport === 'tcp' ? place.tcpPort : place.port,
      host: '127.0.0.1',
      noDelay: true,
    })
    const peer = new Peer(transport, socket)
    await Promise.race([once(socket, 'connect'), peer.ended])
    if (transport === 'tcp') return peer
    const opened = peer.wait('101')
    socket.write(handshake(pathOf(transport)))
    await opened
    return peer
  }

  /** A client that has its CONNECTED. */
  static async connected(
    transport: Transport,
    place: Place,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Peer> {
    const peer = await Peer.open(transport, place)
    const connected = peer.wait('CONNECTED')
    peer.write(stomp('CONNECT', { 'accept-version': '1.2', host: 'x', ...headers }))
    await connected
    return peer
  }

  /** STOMP in the shape of the transport. */
  wrap(bytes: Buffer): Buffer {
    if (this.transport === 'tcp') return bytes
    if (this.transport === 'websocket') return clientFrame(FIN | BINARY, bytes)
    return clientFrame(FIN | TEXT, JSON.stringify([bytes.toString()]))
  }

  /** False: the system takes no more for now. */
  write(bytes: Buffer): boolean {
    return this.socket.write(this.wrap(bytes))
  }

  send(
    command: string,
    headers: Readonly<Record<string, string | number>>,
    body: string | Buffer = '',
  ): void {
    this.write(stomp(command, headers, body))
  }

  /** Sends a frame and waits for its receipt. Rejects when the connection ends before. */
  async request(
    command: string,
    headers: Readonly<Record<string, string | number>>,
    body: string | Buffer = '',
  ): Promise<void> {
    const receipt = `r${++this.receipts}`
    const received = this.wait(receipt)
    this.send(command, { ...headers, receipt }, body)
    await received
  }

  /** Writes bytes as fast as they are taken, until a time or its end. Answers how often. */
  async flood(wire: Buffer, until: number): Promise<number> {
    let count = 0
    while (!this.over && this.socket.writable && performance.now() < until) {
      count++
      if (this.socket.write(wire)) await new Promise((resolve) => setImmediate(resolve))
      else {
        const stop = new AbortController()
        const timer = setTimeout(() => stop.abort(), Math.max(until - performance.now(), 0))
        const drained = once(this.socket, 'drain', { signal: stop.signal }).catch(() => {})
        await Promise.race([drained, this.ended])
        clearTimeout(timer)
        stop.abort()
      }
    }
    return count
  }

  /** DISCONNECT, its receipt, and the end. */
  async leave(): Promise<void> {
    if (this.over) return
    await this.request('DISCONNECT', {})
    this.socket.end()
    await this.ended
  }

  /** A reset. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  private async wait(name: string): Promise<Answer | undefined> {
    const answer = this.over
      ? undefined
      : await new Promise<Answer | undefined>((resolve) => this.waiting.set(name, resolve))
    if (answer === undefined && this.over)
      throw new Error(`a ${this.transport} connection ended while ${name} was awaited: ${this.reason}`)
    return answer
  }

  private get reason(): string {
    const { error } = this
    return error === undefined ? 'no ERROR' : `${error.headers.get('message')}: ${error.body.toString()}`
  }

  private receive(bytes: Buffer): void {
    if (this.transport === 'tcp') return this.read(bytes)
    if (!this.head.endsWith('\r\n\r\n')) {
      this.head += bytes.toString('latin1')
      const end = this.head.indexOf('\r\n\r\n') + 4
      if (end < 4) return
      const rest = Buffer.from(this.head.slice(end), 'latin1')
      this.head = this.head.slice(0, end)
      if (!this.head.startsWith('HTTP/1.1 101 ')) return void this.socket.destroy()
      this.settle('101', undefined)
      bytes = rest
    }
    for (const { opcode, payload } of this.unframer.read(bytes)) {
      if (opcode === CLOSE) {
        if (this.socket.writable) this.socket.end(clientFrame(FIN | CLOSE, payload.subarray(0, 2)))
      } else if (opcode !== PING && opcode !== PONG) this.unwrap(payload)
    }
  }

  private unwrap(payload: Buffer): void {
    if (this.transport === 'websocket') return this.read(payload)
    const text = payload.toString()
    if (text.startsWith('a')) this.read(Buffer.from((JSON.parse(text.slice(1)) as string[]).join('')))
  }

  private read(bytes: Buffer): void {
    for (const answer of this.reader.read(bytes)) {
      const { command, headers } = answer
      if (command === 'MESSAGE') {
        this.messages++
        this.onMessage?.(answer)
      } else if (command === 'ERROR') this.error = answer
      else this.settle(command === 'RECEIPT' ? (headers.get('receipt-id') ?? '') : command, answer)
    }
  }

  private settle(name: string, answer: Answer | undefined): void {
    this.waiting.get(name)?.(answer)
    this.waiting.delete(name)
  }
}
