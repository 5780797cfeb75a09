import type { Socket } from 'node:net'
import type { Place } from './admission.ts'
import type { Channel } from './channel.ts'
import type { Accept } from './connection.ts'
import { webSocketFrame, type Wires } from './framing.ts'
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

  constructor(socket: Socket, channel: Channel, wires: Wires, place: Place) {
    super('sockjs-websocket', socket, channel, wires, false, place)
  }

  /** `heartbeat`: milliseconds between two `h` frames. */
  start(accept: Accept, heartbeat: number): void {
    this.frame(OPEN_FRAME)
    this.beat = setInterval(() => this.frame(HEARTBEAT_FRAME), heartbeat).unref()
    this.open(accept)
  }

  override message(bytes: Buffer, from: number, to: number): void {
    const messages = readMessages(bytes.toString('utf8', from, to))
    if (messages === undefined) {
      this.broken = true
      this.close(3000, 'Broken framing.')
      return this.left()
    }
    const chunk = this.joiner.join(messages)
    this.receiver?.data(chunk, 0, chunk.length, true)
  }

  override ended(): void {
    clearInterval(this.beat)
    super.ended()
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

  private frame(text: string): void {
    if (this.channel.open) this.socket.write(webSocketFrame(Buffer.from(text)))
  }
}
