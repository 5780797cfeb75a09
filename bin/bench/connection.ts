/**
 * A client that costs little, so that it is the broker that is measured: it reads bytes in place, builds nothing
 * for a message that arrives, and writes what belongs together at once.
 */
import { createHash, randomBytes } from 'node:crypto'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import {
  broken,
  closed,
  dismissed,
  noWebSocket,
  refused,
  rejected,
  slow,
  stranger,
  type Stage,
} from './advice.ts'
import { Failure } from './failure.ts'
import {
  frame,
  headLength,
  mask,
  PONG,
  putHead,
  template,
  TEXT,
  unescape,
  type Header,
  type Template,
} from './frame.ts'
import { found, scan } from './head.ts'
import { STAMP, write } from './stamp.ts'
import type { Target } from './target.ts'

export interface Manner {
  readonly login: string | undefined
  readonly passcode: string | undefined
  /** The virtual host. */
  readonly host: string
  /** What is offered to a WebSocket server; empty for nothing. */
  readonly subprotocol: string
  readonly origin: string
  /** Take a certificate whoever has signed it. */
  readonly insecure: boolean
  readonly ack: 'auto' | 'client' | 'client-individual'
}

/** Who is told of what arrives. */
export interface Receiver {
  /** Connections that have been made. */
  readonly connected: number
  /** Something has come, which is told of next. */
  arrival(): void
  /** A body of `length` bytes begins at `body`; STAMP bytes of it are there if it has as many. */
  message(connection: Connection, bytes: Buffer, body: number, length: number): void
  receipt(connection: Connection): void
  /** The connection has ended without being asked to. */
  failed(failure: Failure): void
}

/** Milliseconds for the way from the first byte to CONNECTED. */
const PATIENCE = 15_000

const NUL = 0
const LF = 10
const CR = 13
const NOTHING = Buffer.alloc(0)
const ACK = Buffer.from('ACK\nid:')
/** How many more or fewer digits a message may have in its head than the one before. */
const SLACK = 8

// Sockets read into this one after the other; nothing of it is kept.
const inbound = Buffer.allocUnsafeSlow(256 * 1024)

// What goes out lies side by side until another connection writes, or flush().
const SLAB = 1024 * 1024
let slab = Buffer.allocUnsafeSlow(SLAB)
let from = 0
let to = 0
let writer: Connection | undefined

/** Sends what the last connection has put out. */
export function flush(): void {
  const connection = writer
  writer = undefined
  if (connection === undefined || from === to) return
  const bytes = slab.subarray(from, to)
  from = to
  connection.transmit(bytes)
}

export class Connection {
  /** The one the message being told of is for. */
  addressed = -1
  /** The number of the publisher that it belongs to, if any. */
  publisher = -1
  /** What the broker calls itself. */
  server = ''
  /** The last subscription made over it, and whether there are more. */
  private subscription = -1
  private readonly target: Target
  private readonly manner: Manner
  private readonly receiver: Receiver
  private socket: Socket | undefined
  private several = false
  /** Whether messages are acked, so that their `ack` header is wanted. */
  private acks = false
  private state: Stage = 'shaking hands'
  private settle: ((failure: Failure | undefined) => void) | undefined
  /** Bytes of an unfinished frame, of STOMP or of the handshake. */
  private rest: Buffer = NOTHING
  /** Bytes of a WebSocket frame's unfinished head, and of the payload still to come. */
  private wrapper: Buffer = NOTHING
  private left = 0
  private opcode = 0
  private final = true
  private control: Buffer = NOTHING
  /** Of a SockJS message that comes in pieces. */
  private pieces: Buffer[] = []
  /** The beginning of a message whose body is still coming: its bytes, where the body begins, and its length. */
  private begun: Buffer = NOTHING
  private begunBody = 0
  private begunLength = 0
  private skip = 0
  /** Bytes of the last message's head. */
  private lastHead = -1
  private key = ''

  constructor(target: Target, manner: Manner, receiver: Receiver) {
    this.target = target
    this.manner = manner
    this.receiver = receiver
  }

  /** Fulfilled with CONNECTED. Rejects with Failure. */
  async open(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        this.settle = (failure) => {
          this.settle = undefined
          if (failure === undefined) resolve()
          else reject(failure)
        }
        timer = setTimeout(() => this.fail(slow(this.target, this.state, PATIENCE / 1000)), PATIENCE)
        this.dial()
      })
    } finally {
      clearTimeout(timer)
    }
  }

  /** A frame that is the same each time. */
  send(command: string, headers: readonly Header[]): void {
    this.put(template(this.target.transport, frame(command, headers)))
  }

  /** Tells it of a subscription, which goes by the number that its id ends with where there are several. */
  subscribed(number: number, acks: boolean): void {
    this.several = this.subscription >= 0
    this.subscription = number
    this.acks = acks
  }

  put(made: Template): void {
    // room() may make another slab.
    const at = this.room(made.bytes.length)
    made.bytes.copy(slab, at)
  }

  publish(made: Template, publisher: number, sequence: number, time: number): void {
    const at = this.room(made.bytes.length)
    made.bytes.copy(slab, at)
    write(slab, at + made.stamp, made.key, made.phase, publisher, sequence, time)
  }

  /** Acks the message being told of. */
  ack(bytes: Buffer): void {
    if (this.target.transport === 'sockjs') {
      // The value is escaped already.
      const text = `ACK\nid:${bytes.toString('latin1', found.ackFrom, found.ackTo)}\n\n\0`
      this.put(template('sockjs', text))
      return
    }
    const payload = ACK.length + found.ackTo - found.ackFrom + 3
    const head = this.target.transport === 'tcp' ? 0 : headLength(payload)
    const at = this.room(head + payload)
    let end = at + head
    end += ACK.copy(slab, end)
    end += bytes.copy(slab, end, found.ackFrom, found.ackTo)
    slab[end] = LF
    slab[end + 1] = LF
    slab[end + 2] = NUL
    if (head === 0) return
    putHead(slab, at, TEXT, payload)
    mask(slab, at + head, at + head + payload)
  }

  /** Bytes that the other side has not taken. */
  get backlog(): number {
    return this.socket?.writableLength ?? 0
  }

  /** Something to show that it is alive. */
  beat(): void {
    if (this.state === 'connected') this.put(template(this.target.transport, '\n'))
  }

  /** Ends it; nobody is told. */
  end(): void {
    this.state = 'ended'
    this.socket?.destroy()
    this.settle?.(new Failure('the connection is no longer wanted.'))
  }

  /** Called by flush(). */
  transmit(bytes: Buffer): void {
    if (this.state !== 'ended') this.socket?.write(bytes)
  }

  /** Where `length` bytes may be put. */
  private room(length: number): number {
    if (writer !== this) {
      flush()
      writer = this
    }
    if (to + length > slab.length) {
      flush()
      writer = this
      slab = Buffer.allocUnsafeSlow(Math.max(SLAB, length))
      from = to = 0
    }
    const at = to
    to += length
    return at
  }

  private dial(): void {
    const { host, port, secure } = this.target
    let socket: Socket
    const ready = (): void => this.greet()
    if (secure) {
      // An address is no name that a certificate could be asked for by.
      const servername = /^[\d.]+$|:/.test(host) ? '' : host
      socket = connectTls({ host, port, servername, rejectUnauthorized: !this.manner.insecure }, ready)
      socket.on('data', (chunk) => this.read(chunk))
    } else {
      const callback = (length: number): boolean => {
        this.read(inbound.subarray(0, length))
        return true
      }
      socket = connectTcp({ host, port, onread: { buffer: inbound, callback } }, ready)
    }
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('error', (error: NodeJS.ErrnoException) =>
      this.fail(broken(this.target, error, this.state, this.receiver.connected)),
    )
    socket.on('close', () => this.fail(closed(this.target, this.state, this.receiver.connected)))
  }

  private greet(): void {
    const { transport, path, port, authority, secure } = this.target
    if (transport === 'tcp') {
      this.connect()
      return
    }
    this.key = randomBytes(16).toString('base64')
    const number = String(Math.floor(Math.random() * 1000)).padStart(3, '0')
    const where =
      transport === 'sockjs' ? `${path}/${number}/${randomBytes(6).toString('hex')}/websocket` : path
    const { subprotocol, origin } = this.manner
    const lines = [
      `GET ${where} HTTP/1.1`,
      `Host: ${port === (secure ? 443 : 80) ? authority.replace(/:\d+$/, '') : authority}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Key: ${this.key}`,
      'Sec-WebSocket-Version: 13',
    ]
    if (subprotocol !== '' && transport === 'websocket') lines.push(`Sec-WebSocket-Protocol: ${subprotocol}`)
    if (origin !== '') lines.push(`Origin: ${origin}`)
    this.socket?.write(`${lines.join('\r\n')}\r\n\r\n`)
  }

  /** Those it can speak, as far as it will have to: it knows the ACK of 1.2, not that of 1.1. */
  private get versions(): readonly string[] {
    return this.manner.ack === 'auto' ? ['1.1', '1.2'] : ['1.2']
  }

  private connect(): void {
    this.state = 'connecting'
    const { host, login, passcode } = this.manner
    const headers: Header[] = [
      ['accept-version', this.versions.join(',')],
      ['host', host],
      ['heart-beat', '0,0'],
    ]
    if (login !== undefined) headers.push(['login', login])
    if (passcode !== undefined) headers.push(['passcode', passcode])
    this.send('CONNECT', headers)
    flush()
  }

  private read(chunk: Buffer): void {
    if (this.state === 'shaking hands' && this.target.transport !== 'tcp') {
      this.handshake(Buffer.concat([this.rest, chunk]))
    } else if (this.state !== 'ended') {
      this.receiver.arrival()
      if (this.target.transport === 'tcp') this.readStomp(chunk, 0, chunk.length)
      else this.readWebSocket(chunk)
    }
    flush()
  }

  private handshake(bytes: Buffer): void {
    this.rest = bytes
    const end = bytes.indexOf('\r\n\r\n')
    const head = bytes.toString('latin1', 0, Math.max(0, end))
    const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(head)?.[1])
    const accept = /\r\nsec-websocket-accept: *(\S+)/i.exec(head)?.[1]
    const expected = createHash('sha1')
      .update(`${this.key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64')
    const strange = bytes.toString('latin1', 0, 5) !== 'HTTP/'.slice(0, bytes.length)
    if (strange || (status === 101 && accept !== expected)) {
      this.fail(noWebSocket(this.target))
      return
    }
    if (end < 0) return
    if (status !== 101) {
      // A body in chunks begins with the length of one.
      const body = bytes.toString('utf8', end + 4, end + 304).replace(/^[\da-f]+\r\n/i, '')
      this.fail(refused(this.target, status, body.trim()))
      return
    }
    this.rest = NOTHING
    this.state = 'connecting'
    // SockJS is open with the `o` that comes first.
    if (this.target.transport === 'websocket') this.connect()
    if (bytes.length > end + 4) this.readWebSocket(bytes.subarray(end + 4))
  }

  private readWebSocket(chunk: Buffer): void {
    let bytes = chunk
    if (this.wrapper.length > 0) {
      bytes = Buffer.concat([this.wrapper, chunk])
      this.wrapper = NOTHING
    }
    let at = 0
    while (at < bytes.length && this.state !== 'ended') {
      let whole = false
      if (this.left === 0) {
        const first = bytes[at] as number
        const code = (bytes[at + 1] ?? 0) & 127
        const head = code < 126 ? 2 : code === 126 ? 4 : 10
        if (at + head > bytes.length) {
          this.wrapper = Buffer.from(bytes.subarray(at))
          return
        }
        const length =
          code < 126
            ? code
            : code === 126
              ? bytes.readUInt16BE(at + 2)
              : Number(bytes.readBigUInt64BE(at + 2))
        this.final = first >= 128
        this.opcode = first & 15
        this.left = length
        at += head
        whole = at + length <= bytes.length
        if (length === 0) this.payload(bytes, at, at, true)
      }
      const end = Math.min(at + this.left, bytes.length)
      if (end === at) continue
      this.left -= end - at
      this.payload(bytes, at, end, whole)
      at = end
    }
  }

  /** Bytes of one WebSocket frame, all of them if `whole`. */
  private payload(bytes: Buffer, start: number, end: number, whole: boolean): void {
    if (this.opcode >= 8) {
      this.control = Buffer.concat([this.control, bytes.subarray(start, end)])
      if (this.left > 0) return
      const { control } = this
      this.control = NOTHING
      if (this.opcode === 9) {
        const at = this.room(6 + control.length)
        putHead(slab, at, PONG, control.length)
        control.copy(slab, at + 6)
        mask(slab, at + 6, at + 6 + control.length)
      } else if (this.opcode === 8) {
        const code = control.length < 2 ? 1005 : control.readUInt16BE(0)
        const reason = control.toString('utf8', 2)
        this.fail(dismissed(`${code} ${reason}`.trimEnd()))
      }
    } else if (this.target.transport === 'sockjs') {
      if (whole && this.final && this.pieces.length === 0) this.readSockJs(bytes, start, end)
      else {
        this.pieces.push(Buffer.from(bytes.subarray(start, end)))
        if (this.left > 0 || !this.final) return
        const message = Buffer.concat(this.pieces)
        this.pieces = []
        this.readSockJs(message, 0, message.length)
      }
    } else if (!whole || !this.readAlike(bytes, start, end)) this.readStomp(bytes, start, end)
  }

  /**
   * A message with a head as long as the one before, give or take the digits of its id, fills the frame: then
   * where its body begins is known without a look at its headers. False if it must be looked at.
   */
  private readAlike(bytes: Buffer, start: number, end: number): boolean {
    if (this.lastHead < 0 || this.several || this.acks || this.skip > 0 || this.rest.length > 0) return false
    if (bytes[start] !== 77) return false
    while (end > start && bytes[end - 1] === LF) end--
    const body = end - 1 - this.begunLength
    if (Math.abs(body - start - this.lastHead) > SLACK) return false
    if (bytes[end - 1] !== NUL || bytes[body - 1] !== LF || bytes[body - 2] !== LF) return false
    this.addressed = this.subscription
    this.receiver.message(this, bytes, body, this.begunLength)
    return true
  }

  private readSockJs(bytes: Buffer, start: number, end: number): void {
    const kind = bytes[start]
    if (kind === 0x6f) this.connect()
    else if (kind === 0x63) this.fail(dismissed(bytes.toString('utf8', start + 1, end)))
    else if (kind === 0x61) {
      const text = unescape(bytes, start + 1, end)
      this.readStomp(text, 0, text.length)
    }
  }

  /** Bytes of frames, however they are split. */
  private readStomp(bytes: Buffer, start: number, end: number): void {
    if (this.rest.length > 0) {
      bytes = Buffer.concat([this.rest, bytes.subarray(start, end)])
      start = 0
      end = bytes.length
      this.rest = NOTHING
    }
    while (start < end && this.state !== 'ended') {
      if (this.skip > 0) {
        const taken = Math.min(this.skip, end - start)
        this.skip -= taken
        start += taken
        if (this.skip === 0) this.finishBegun(bytes[start - 1])
        continue
      }
      const first = bytes[start] as number
      if (first === LF || first === CR) {
        start++
        continue
      }
      // What answers CONNECT begins with CONNECTED or ERROR; of anything else the end need not be waited for.
      if (this.state === 'connecting' && first !== 67 && first !== 69) {
        this.fail(stranger(this.target, bytes.toString('latin1', start, end)))
        return
      }
      const body = scan(bytes, start, end)
      let length = found.contentLength
      if (body >= 0 && length < 0) {
        const nul = bytes.indexOf(NUL, body)
        length = nul < 0 || nul >= end ? -1 : nul - body
      }
      const after = body + length + 1
      if (body < 0 || length < 0 || after > end) {
        const begun = body >= 0 && length >= 0 && first === 77 && end - body >= Math.min(STAMP, length)
        if (!begun) {
          this.rest = Buffer.from(bytes.subarray(start, end))
          return
        }
        this.begun = Buffer.from(bytes.subarray(start, body + Math.min(STAMP, length)))
        this.begunBody = body - start
        this.begunLength = length
        this.skip = after - end
        return
      }
      if (first === 77) {
        this.lastHead = body - start
        this.begunLength = length
        this.deliver(bytes, body, length, bytes[after - 1])
      } else this.readOther(bytes, start, body, length)
      start = after
    }
  }

  private finishBegun(last: number | undefined): void {
    const { begun } = this
    // Where its ack is must be found again: other messages may have come between.
    scan(begun, 0, begun.length)
    this.begun = NOTHING
    this.deliver(begun, this.begunBody, this.begunLength, last)
  }

  /** Tells of a message that scan() has looked at; `last` is what stands where its NUL must. */
  private deliver(bytes: Buffer, body: number, length: number, last: number | undefined): void {
    if (last !== NUL) {
      this.fail(new Failure('the broker has sent a MESSAGE that its content-length does not fit.'))
      return
    }
    this.addressed = this.several ? found.subscription : this.subscription
    this.receiver.message(this, bytes, body, length)
  }

  private readOther(bytes: Buffer, start: number, body: number, length: number): void {
    if (bytes[start] === 82) {
      this.receiver.receipt(this)
      return
    }
    const [command = '', ...lines] = bytes.toString('utf8', start, body).trimEnd().split(/\r?\n/)
    const headers = new Map(
      lines.map((line) => [line.split(':', 1)[0] ?? '', line.slice(line.indexOf(':') + 1)]),
    )
    if (command === 'CONNECTED') {
      const version = headers.get('version') ?? '1.0'
      if (this.versions.includes(version)) {
        this.state = 'connected'
        this.server = headers.get('server') ?? ''
        this.settle?.(undefined)
      } else {
        const needed = this.versions.length > 1 ? this.versions.join(' or ') : '1.2 for its acks'
        this.fail(new Failure(`the broker speaks STOMP ${version}; this command needs ${needed}.`))
      }
    } else if (command === 'ERROR') {
      const message = headers.get('message') ?? 'without a message'
      const text = bytes.toString('utf8', body, body + length)
      this.fail(rejected(message, text, this.manner.passcode, this.state))
    } else this.fail(stranger(this.target, command))
  }

  private fail(failure: Failure): void {
    if (this.state === 'ended') return
    const { settle } = this
    this.settle = undefined
    this.end()
    if (settle === undefined) this.receiver.failed(failure)
    else settle(failure)
  }
}
