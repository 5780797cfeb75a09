import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { WebSocket, type ClientOptions } from 'ws'
import type { TestBroker } from './broker.ts'

/** A frame as it came over the wire: headers undecoded, in order. */
export interface RawFrame {
  readonly command: string
  readonly lines: readonly string[]
  /** First occurrence wins; values as sent, still escaped. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Buffer
}

export interface Close {
  readonly code: number
  readonly reason: string
}

/**
 * A STOMP client made of bytes: what a test writes is what goes out, what the broker writes is
 * parsed strictly and by other code than the broker's own.
 */
export class RawClient {
  /** Frames nobody has taken yet. */
  readonly frames: RawFrame[] = []
  /** Every WebSocket message, or TCP chunk, as it came. */
  readonly messages: { data: Buffer; binary: boolean }[] = []
  /** EOLs between frames. */
  heartbeats = 0
  readonly closed: Promise<Close>
  private isClosed: Close | undefined
  private rest: Buffer = Buffer.alloc(0)
  private wakers: (() => void)[] = []
  private readonly write: (data: string | Buffer) => void
  /** Ends at once, without a goodbye. */
  readonly destroy: () => void
  /** Begins to leave in order: by a close frame, or on TCP by writing no more. */
  readonly end: () => void
  /** Stops reading, so that the broker finds a slow consumer. */
  readonly pause: () => void
  readonly resume: () => void

  private constructor(
    transport: {
      write(data: string | Buffer): void
      destroy(): void
      end(): void
      pause(): void
      resume(): void
    },
    closed: Promise<Close>,
  ) {
    this.write = (data) => transport.write(data)
    this.destroy = () => transport.destroy()
    this.end = () => transport.end()
    this.pause = () => transport.pause()
    this.resume = () => transport.resume()
    this.closed = closed.then((close) => {
      this.isClosed = close
      this.wake()
      return close
    })
  }

  static async webSocket(
    url: string,
    protocols: string[] = ['v12.stomp', 'v11.stomp', 'v10.stomp'],
    headers: Record<string, string> = {},
    options: ClientOptions = {},
  ): Promise<RawClient & { socket: WebSocket }> {
    const socket = new WebSocket(url, protocols, { ...options, headers })
    const closed = new Promise<Close>((resolve) => {
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
    })
    const client = new RawClient(
      {
        write: (data) => socket.send(data),
        destroy: () => socket.terminate(),
        end: () => socket.close(1000),
        pause: () => socket.pause(),
        resume: () => socket.resume(),
      },
      closed,
    )
    // Before `open`: the first frame may come with the handshake's answer.
    socket.on('message', (data, binary) => client.receive(data as Buffer, binary))
    await new Promise<void>((resolve, reject) => {
      socket.once('open', () => resolve())
      socket.once('error', reject)
    })
    return Object.assign(client, { socket })
  }

  static tcp(port: number): Promise<RawClient & { socket: Socket }> {
    return RawClient.over(connectTcp(port, '127.0.0.1'), 'connect')
  }

  /** `ca`: the certificate to trust. */
  static tls(port: number, ca: Buffer): Promise<RawClient & { socket: Socket }> {
    return RawClient.over(connectTls({ port, host: '127.0.0.1', ca }), 'secureConnect')
  }

  private static async over(socket: Socket, opened: string): Promise<RawClient & { socket: Socket }> {
    const closed = new Promise<Close>((resolve) => socket.on('close', () => resolve({ code: 0, reason: '' })))
    socket.on('error', () => {})
    await new Promise<void>((resolve, reject) => {
      socket.once(opened, () => resolve())
      socket.once('error', reject)
    })
    const client = new RawClient(
      {
        write: (data) => socket.write(data),
        destroy: () => socket.destroy(),
        end: () => void socket.end(),
        pause: () => socket.pause(),
        resume: () => socket.resume(),
      },
      closed,
    )
    socket.on('data', (chunk: Buffer) => client.receive(chunk, true))
    return Object.assign(client, { socket })
  }

  /** A WebSocket client that has sent CONNECT and taken CONNECTED. */
  static async connected(
    broker: TestBroker,
    headers: Record<string, string> = {},
    version = '1.2',
  ): Promise<RawClient & { socket: WebSocket; session: RawFrame }> {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.send('CONNECT', { 'accept-version': version, host: 'test', ...headers })
    return Object.assign(client, { session: await client.next('CONNECTED') })
  }

  /** The same over TCP. */
  static async tcpConnected(
    broker: TestBroker,
    headers: Record<string, string> = {},
    version = '1.2',
  ): Promise<RawClient & { socket: Socket; session: RawFrame }> {
    const client = await RawClient.tcp(broker.tcpPort)
    client.send('CONNECT', { 'accept-version': version, host: 'test', ...headers })
    return Object.assign(client, { session: await client.next('CONNECTED') })
  }

  /** Bytes as they are: one WebSocket message or one TCP write. */
  raw(data: string | Buffer): void {
    this.write(data)
  }

  /** One frame; header values are written as given, unescaped. */
  send(command: string, headers: Record<string, string> = {}, body: string | Buffer = ''): void {
    this.write(frame(command, headers, body))
  }

  /** The next frame, which must be of `command`. Rejects when the connection ends before. */
  async next(command?: string): Promise<RawFrame> {
    for (;;) {
      const found = this.frames.shift()
      if (found !== undefined) {
        if (command !== undefined && found.command !== command) {
          throw new Error(
            `expected ${command}, got ${found.command} ${JSON.stringify(found.headers)} ${found.body.toString()}`,
          )
        }
        return found
      }
      if (this.isClosed !== undefined)
        throw new Error(`closed (${this.isClosed.code} ${this.isClosed.reason}) while waiting for ${command}`)
      await new Promise<void>((resolve) => this.wakers.push(resolve))
    }
  }

  /** Sends a frame with a receipt and waits for it; messages that came before stay in `frames`. */
  async request(
    command: string,
    headers: Record<string, string> = {},
    body: string | Buffer = '',
  ): Promise<void> {
    const receipt = `r-${++receipts}`
    this.send(command, { ...headers, receipt }, body)
    await this.receipt(receipt)
  }

  /** Waits for one RECEIPT, whatever else comes first. Rejects on ERROR and at the end. */
  async receipt(id: string): Promise<void> {
    for (;;) {
      const at = this.frames.findIndex(
        (candidate) => candidate.command === 'RECEIPT' && candidate.headers['receipt-id'] === id,
      )
      if (at >= 0) {
        this.frames.splice(at, 1)
        return
      }
      const error = this.frames.find((candidate) => candidate.command === 'ERROR')
      if (error !== undefined) throw new Error(`ERROR ${error.headers.message}: ${error.body.toString()}`)
      if (this.isClosed !== undefined) throw new Error(`closed while waiting for receipt ${id}`)
      await new Promise<void>((resolve) => this.wakers.push(resolve))
    }
  }

  /** The next `count` frames, each a MESSAGE. */
  async take(count: number): Promise<RawFrame[]> {
    const taken: RawFrame[] = []
    while (taken.length < count) taken.push(await this.next('MESSAGE'))
    return taken
  }

  /** The bodies of the next `count` messages. */
  async bodies(count: number): Promise<string[]> {
    return (await this.take(count)).map((message) => message.body.toString())
  }

  /** Waits for the end, which must come with one ERROR as its last frame; what came before stays in `frames`. */
  async refusal(): Promise<{ error: RawFrame; close: Close }> {
    const close = await this.closed
    const error = this.frames.pop()
    if (error?.command !== 'ERROR')
      throw new Error(
        `closed (${close.code} ${close.reason}) after ${error?.command ?? 'nothing'}, not after an ERROR`,
      )
    if (this.frames.some((other) => other.command === 'ERROR')) throw new Error('more than one ERROR')
    return { error, close }
  }

  /** A round trip through the broker: what it sent before has arrived afterwards. */
  async sync(): Promise<void> {
    await this.request('SEND', { destination: `/topic/nobody-listens` })
  }

  /** Waits until `condition` holds, looking after each arrival. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.isClosed !== undefined) throw new Error('closed while waiting')
      await new Promise<void>((resolve) => this.wakers.push(resolve))
    }
  }

  private receive(data: Buffer, binary: boolean): void {
    this.messages.push({ data, binary })
    this.rest = Buffer.concat([this.rest, data])
    for (;;) {
      while (this.rest[0] === 10) {
        this.heartbeats++
        this.rest = this.rest.subarray(1)
      }
      const parsed = parse(this.rest)
      if (parsed === undefined) break
      this.frames.push(parsed.frame)
      this.rest = this.rest.subarray(parsed.end)
    }
    this.wake()
  }

  private wake(): void {
    const { wakers } = this
    this.wakers = []
    for (const waker of wakers) waker()
  }
}

/** The bodies of what waits in a queue, which stays there. */
export async function look(broker: TestBroker, queue: string): Promise<string[]> {
  const client = await RawClient.connected(broker)
  await client.request('SUBSCRIBE', { id: 'look', destination: queue, browser: 'true' })
  const seen: string[] = []
  for (;;) {
    const message = await client.next('MESSAGE')
    if (message.headers.browser === 'end') break
    seen.push(message.body.toString())
  }
  client.destroy()
  return seen
}

let receipts = 0

/** A frame's bytes; header values are written as given, unescaped. */
export function frame(
  command: string,
  headers: Record<string, string> = {},
  body: string | Buffer = '',
): Buffer {
  const head = Object.entries(headers)
    .map(([name, value]) => `${name}:${value}\n`)
    .join('')
  return Buffer.concat([Buffer.from(`${command}\n${head}\n`), Buffer.from(body), Buffer.from([0])])
}

/** The first frame, and where it ends; undefined where it is not all there. Strict. */
export function parse(bytes: Buffer): { frame: RawFrame; end: number } | undefined {
  const blank = bytes.indexOf('\n\n')
  if (blank < 0) return undefined
  const [command = '', ...lines] = bytes.toString('utf8', 0, blank).split('\n')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon < 1) throw new Error(`bad header line ${JSON.stringify(line)}`)
    headers[line.slice(0, colon)] ??= line.slice(colon + 1)
  }
  const start = blank + 2
  const length = headers['content-length']
  const end = length === undefined ? bytes.indexOf(0, start) : start + Number(length)
  if (end < 0 || end >= bytes.length) return undefined
  if (bytes[end] !== 0) throw new Error(`no NUL after ${command}`)
  return { frame: { command, lines, headers, body: Buffer.from(bytes.subarray(start, end)) }, end: end + 1 }
}
