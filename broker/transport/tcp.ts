import type { Server, Socket } from 'node:net'
import type { Wire } from '../model/wire.ts'
import { errorFrame, StompError } from '../protocol/errors.ts'
import type { Admission, Place } from './admission.ts'
import { SocketConnection, type Accept } from './connection.ts'

/**
 * Milliseconds a peer gets to close after an ERROR, before we do. Spring's relay loses one in six
 * ERRORs when the end of the connection is on their heels.
 */
const ERROR_GRACE = 500
/** Close codes without an ERROR before them. */
const QUIET: ReadonlySet<number> = new Set([1000, 1001, 1012])

/** Frames as they are. */
const wire: Wire = {
  name: 'plain',
  binary: 'native',
  octets: false,
  envelope: { typed: false, size: () => 0, put: (_target, at) => at },
  wrap: (head, tail) => (tail.length === 0 ? head : Buffer.concat([head, tail])),
}

/** STOMP without WebSocket, for services and for Spring's broker relay. */
class TcpConnection extends SocketConnection {
  readonly wire = wire

  constructor(transport: 'tcp' | 'tls', socket: Socket, place?: Place) {
    super(transport, socket, place)
    socket.on('close', () => this.ended())
    // 'close' follows.
    socket.on('error', () => {})
    // A peer that only stopped writing still gets its last frames: sockets are half-open until then.
    socket.on('end', () => {
      this.fellSilent()
      if (this.closing) socket.end()
    })
  }

  /** Starts listening. */
  open(accept: Accept): void {
    this.receiver = accept(this)
    this.socket.on('data', (chunk) => this.receiver?.data(chunk, 0, chunk.length, false))
  }

  /** Tells why it is not listened to. */
  refuse(error: StompError): void {
    this.send(errorFrame(error, [], '1.0'))
    this.close(error.closeCode, error.summary)
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  terminate(): void {
    this.socket.destroy()
  }

  /** TCP has no close codes: the ERROR before it says why. */
  protected finish(code: number): void {
    // What still arrives must be read, or the peer gets a reset that may swallow the ERROR.
    this.socket.resume()
    if (QUIET.has(code)) this.socket.end()
    else setTimeout(() => this.socket.end(), ERROR_GRACE).unref()
  }
}

/** Serves STOMP on a listening net or tls server. */
export function serveTcp(
  server: Server,
  transport: 'tcp' | 'tls',
  accept: Accept,
  admission: Admission,
): void {
  server.on(transport === 'tcp' ? 'connection' : 'secureConnection', (socket: Socket) => {
    const place = admission.place(socket)
    if (typeof place !== 'string') new TcpConnection(transport, socket, place).open(accept)
    else new TcpConnection(transport, socket).refuse(new StompError('connection-limit', place))
  })
  // Node tells of a handshake that took too long, and leaves its connection open.
  server.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy())
}
