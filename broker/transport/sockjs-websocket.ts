import type { Socket } from 'node:net'
import type { RawData, WebSocket } from 'ws'
import type { Wire } from '../model/wire.ts'
import type { Accept, ConnectionInfo } from './connection.ts'
import { webSocketFrame } from './framing.ts'
import { closeFrame, HEARTBEAT_FRAME, Joiner, OPEN_FRAME, readMessages } from './sockjs.ts'
import { WebSocketConnection } from './websocket.ts'

/**
 * The websocket transport of SockJS, without the `sockjs` package: that one can be crashed by a
 * message that arrives after the session was closed.
 */
export class SockJsWebSocketConnection extends WebSocketConnection {
  private readonly joiner = new Joiner()
  private beat: NodeJS.Timeout | undefined
  private broken = false

  constructor(info: ConnectionInfo, socket: Socket, ws: WebSocket, wire: Wire) {
    super(info, socket, ws, wire)
    ws.once('close', () => clearInterval(this.beat))
  }

  /** `heartbeat`: milliseconds between two `h` frames. */
  start(accept: Accept, heartbeat: number): void {
    this.frame(OPEN_FRAME)
    this.beat = setInterval(() => this.frame(HEARTBEAT_FRAME), heartbeat).unref()
    this.receiver = accept(this)
    // ws hands over Buffers: binaryType is left at nodebuffer.
    this.ws.on('message', (data: RawData) => this.message((data as Buffer).toString()))
  }

  override quiet(): void {
    clearInterval(this.beat)
  }

  protected override finish(code: number, reason: string): void {
    clearInterval(this.beat)
    // Who breaks the framing hears no more of it; the protocol wants an abrupt end.
    if (this.broken) return super.finish(code, reason)
    this.frame(closeFrame(code, reason))
    super.finish(1000, '')
  }

  private message(data: string): void {
    const messages = readMessages(data)
    if (messages === undefined) {
      this.broken = true
      this.close(3000, 'Broken framing.')
      return this.left()
    }
    const chunk = this.joiner.join(messages)
    this.receiver?.data(chunk, 0, chunk.length, true)
  }

  private frame(text: string): void {
    if (this.ws.readyState === this.ws.OPEN) this.socket.write(webSocketFrame(Buffer.from(text)))
  }
}
