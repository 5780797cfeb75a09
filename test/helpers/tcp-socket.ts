import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { IStompSocket } from '@stomp/stompjs'

type Handler<T> = (event: T) => unknown

/** A TCP or TLS connection in the shape of a WebSocket, for the `webSocketFactory` of stompjs. */
export class TcpSocket implements IStompSocket {
  readonly url: string
  binaryType = 'arraybuffer'
  readyState = 0
  onopen: Handler<object> | null = null
  onmessage: Handler<{ data: ArrayBuffer }> | null = null
  onerror: Handler<Error> | null = null
  onclose: Handler<{ code: undefined; wasClean: boolean }> | null = null
  private readonly socket: Socket

  /** `ca` makes it TLS. */
  constructor(port: number, ca?: string) {
    this.url = `${ca === undefined ? 'tcp' : 'tls'}://127.0.0.1:${port}`
    const opened = (): void => {
      this.readyState = 1
      this.onopen?.({})
    }
    this.socket =
      ca === undefined
        ? connectTcp(port, '127.0.0.1', opened)
        : connectTls({ port, host: '127.0.0.1', ca }, opened)
    this.socket.on('data', (chunk: Buffer) => this.onmessage?.({ data: new Uint8Array(chunk).buffer }))
    this.socket.on('error', (error) => this.onerror?.(error))
    this.socket.on('close', (hadError) => {
      this.readyState = 3
      this.onclose?.({ code: undefined, wasClean: !hadError })
    })
  }

  send(data: string | ArrayBufferLike | Blob | ArrayBufferView): void {
    if (typeof data === 'string' || data instanceof Uint8Array) this.socket.write(data)
    else if (data instanceof ArrayBuffer) this.socket.write(new Uint8Array(data))
    else throw new TypeError('only text and bytes can be sent')
  }

  close(): void {
    if (this.readyState === 0) return this.terminate()
    this.readyState = 2
    this.socket.end()
  }

  terminate(): void {
    this.socket.destroy()
  }
}
