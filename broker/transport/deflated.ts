import type { Socket } from 'node:net'
import type { RawData, WebSocket } from 'ws'
import type { Channel, Listener } from './channel.ts'

/** A WebSocket with permessage-deflate: `ws` reads it, inflates, answers pings and closes. */
export class DeflatedChannel implements Channel {
  private readonly socket: Socket
  private readonly ws: WebSocket

  constructor(socket: Socket, ws: WebSocket) {
    this.socket = socket
    this.ws = ws
  }

  get open(): boolean {
    return this.ws.readyState === this.ws.OPEN
  }

  start(listener: Listener): void {
    const { ws } = this
    ws.on('message', (data: RawData, isBinary: boolean) => {
      const bytes = data as Buffer // ws hands over Buffers: binaryType is left at nodebuffer
      listener.message(bytes, 0, bytes.length, !isBinary)
    })
    ws.on('close', () => listener.ended())
    // ws has told the peer already, with 1009 for a message over the limit.
    ws.on('error', () => listener.left())
    // After ws, which listens too, has read the peer's close frame.
    this.socket.on('data', () => {
      if (ws.readyState === ws.CLOSING) listener.left()
    })
  }

  ping(): void {
    if (this.open) this.ws.ping()
  }

  /** `ws` has one limit for its lifetime. */
  trust(): void {}

  pause(): void {
    this.ws.pause()
  }

  resume(): void {
    this.ws.resume()
  }

  close(code: number, reason: string): void {
    // The peer's close frame must be read for an orderly end.
    this.ws.resume()
    this.ws.close(code, reason)
  }

  terminate(): void {
    this.ws.terminate()
  }
}
