/** The classic stomp.js, which has no types of its own. */
declare module 'stompjs' {
  export type Headers = Record<string, string>

  export interface Frame {
    readonly command: string
    readonly headers: Readonly<Record<string, string | undefined>>
    readonly body: string
  }

  export interface Message extends Frame {
    ack(headers?: Headers): void
    nack(headers?: Headers): void
  }

  export interface Socket {
    readonly url: string
    readonly protocol?: string
    onclose: ((event: { readonly code?: number }) => void) | null
    onerror?: ((event: object) => void) | null
    send(data: string | Uint8Array): void
    close(): void
  }

  export interface Client {
    readonly ws: Socket
    readonly connected: boolean
    heartbeat: { outgoing: number; incoming: number }
    maxWebSocketFrameSize: number
    debug: ((line: string) => void) | null
    onreceive?: (message: Message) => void
    onreceipt?: (frame: Frame) => void
    connect(
      headers: Headers,
      connected: (frame: Frame) => void,
      failed?: (reason: Frame | string) => void,
    ): void
    connect(
      login: string,
      passcode: string,
      connected: (frame: Frame) => void,
      failed?: (reason: Frame | string) => void,
      host?: string,
    ): void
    disconnect(done?: () => void, headers?: Headers): void
    send(destination: string, headers?: Record<string, string | number | boolean>, body?: string): void
    subscribe(
      destination: string,
      receive: (message: Message) => void,
      headers?: Headers,
    ): { readonly id: string; unsubscribe(): void }
    unsubscribe(id: string): void
    begin(id?: string): { readonly id: string; commit(): void; abort(): void }
    commit(id: string): void
    abort(id: string): void
    ack(messageId: string, subscription: string, headers?: Headers): void
    nack(messageId: string, subscription: string, headers?: Headers): void
  }

  const Stomp: {
    /** Stands in for WebSocket, SockJS for example. */
    WebSocketClass?: unknown
    client(url: string, protocols?: string[]): Client
    over(socket: object): Client
    overTCP(host: string, port: number): Client
    overWS(url: string): Client
  }
  export default Stomp
}
