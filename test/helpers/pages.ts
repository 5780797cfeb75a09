import { Client, type StompConfig } from '@stomp/stompjs'
import { RxStomp, type RxStompConfig } from '@stomp/rx-stomp'
import SockJsClient from 'sockjs-client'
import Stomp, { type Client as LegacyClient, type Frame, type Headers, type Message } from 'stompjs'
import webstomp from 'webstomp-client'
import { WebSocket } from 'ws'
import { test as base } from './fixtures.ts'
import { Inbox, type Ports } from './stompjs.ts'

export type { Frame, Headers, LegacyClient, Message }

/** webstomp-client as it is; its own types are those of an older release. */
export interface WebstompClient extends Omit<LegacyClient, 'send' | 'unsubscribe' | 'subscribe' | 'connect'> {
  readonly version: string
  connect(headers: Headers, connected: (frame: Frame) => void, failed?: (reason: Failure) => void): void
  connect(
    login: string,
    passcode: string,
    connected: (frame: Frame) => void,
    failed?: (reason: Failure) => void,
    host?: string,
  ): void
  send(destination: string, body?: string, headers?: Headers): void
  subscribe(
    destination: string,
    receive: (message: Message) => void,
    headers?: Headers,
  ): { readonly id: string; unsubscribe(headers?: Headers): void }
  unsubscribe(id: string, headers?: Headers): void
}

/** An ERROR, or how the connection ended: a text from stomp.js, an event from webstomp. */
export type Failure = Frame | string | { readonly code: number }

export interface WebstompOptions {
  protocols?: string[]
  binary?: boolean
  heartbeat?: { outgoing: number; incoming: number } | false
  debug?: boolean
}

/** The SockJS transports that sockjs-client has in Node; the others need a document. */
export const sockJsTransports = ['websocket', 'xhr-streaming', 'eventsource', 'xhr-polling'] as const

let receipts = 0

/** A page that uses stomp.js or webstomp, with promises for the callbacks. */
export class Page<C extends LegacyClient | WebstompClient = LegacyClient | WebstompClient> {
  readonly client: C
  readonly failures = new Inbox<Failure>()
  private readonly publish: (destination: string, headers: Headers, body: string) => void
  private readonly waiting = new Map<string, (frame: Frame) => void>()

  constructor(client: C, publish: (destination: string, headers: Headers, body: string) => void) {
    this.client = client
    this.publish = publish
    client.onreceipt = (frame) => {
      const id = frame.headers['receipt-id'] ?? ''
      this.waiting.get(id)?.(frame)
      this.waiting.delete(id)
    }
  }

  /** To be called in the turn that made the page: stomp.js does not look whether its socket is open already. */
  connect(headers: Headers = {}): Promise<Frame> {
    return new Promise((resolve) => {
      this.client.connect(headers, resolve, this.failures.put)
    })
  }

  /** Does something that asks for the receipt it is given. */
  receipt(act: (headers: { receipt: string }) => void): Promise<Frame> {
    const receipt = `receipt-${++receipts}`
    return new Promise((resolve) => {
      this.waiting.set(receipt, resolve)
      act({ receipt })
    })
  }

  /** A subscription that the broker has confirmed. */
  async subscribe(destination: string, headers: Headers = {}): Promise<Inbox<Message>> {
    const inbox = new Inbox<Message>()
    await this.receipt((receipt) => {
      this.client.subscribe(destination, inbox.put, { ...headers, ...receipt })
    })
    return inbox
  }

  async send(destination: string, body: string, headers: Headers = {}): Promise<void> {
    await this.receipt((receipt) => this.publish(destination, { ...headers, ...receipt }, body))
  }

  /** Without a receipt. */
  tell(destination: string, body: string, headers: Headers = {}): void {
    this.publish(destination, { ...headers }, body)
  }

  /** A round trip: what the broker had sent to this page before is here afterwards. */
  async sync(): Promise<void> {
    await this.send('/topic/nobody-listens', '')
  }
}

/** What the pages of a test have open, to be closed with it. */
export class Pages {
  private readonly enders: (() => void | Promise<void>)[] = []

  /** A SockJS connection of one transport, or of the best that works. */
  sockJs({ port }: Pick<Ports, 'port'>, transport?: string, path = '/ws'): WebSocketLike {
    const options = transport === undefined ? {} : { transports: transport }
    return new SockJsClient(`http://127.0.0.1:${port}${path}`, undefined, options)
  }

  webSocket({ port }: Pick<Ports, 'port'>, path = '/stomp', protocols: string[] = []): WebSocket {
    return new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols)
  }

  /** Closes a client of stomp.js when the test ends. */
  keep<C extends LegacyClient | WebstompClient>(client: C): C {
    // A test that fails early closes a socket that is still opening, which is an error to it.
    client.ws.onerror ??= () => {}
    this.enders.push(() => {
      client.ws.onclose = null
      if (client.connected) client.disconnect()
      else client.ws.close()
    })
    return client
  }

  /** stomp.js without its heart-beats, which tests of other things do not need. */
  legacy(client: LegacyClient): Page<LegacyClient> {
    client.heartbeat = { outgoing: 0, incoming: 0 }
    return new Page(this.keep(client), (destination, headers, body) =>
      client.send(destination, headers, body),
    )
  }

  /** stomp.js over a socket. */
  legacyOver(socket: object): Page<LegacyClient> {
    return this.legacy(Stomp.over(socket))
  }

  /** webstomp over a socket, or to a URL, silent and without heart-beats unless told to have them. */
  webstomp(target: string | object, options: WebstompOptions = {}): Page<WebstompClient> {
    const all = { debug: false, heartbeat: false, ...options }
    const client = (typeof target === 'string'
      ? webstomp.client(target, all)
      : webstomp.over(target, all)) as unknown as WebstompClient
    return new Page(this.keep(client), (destination, headers, body) =>
      client.send(destination, body, headers),
    )
  }

  /** A stompjs Client as a page makes it: not activated yet. */
  stompjs(config: StompConfig): Client {
    const client = new Client(config)
    this.enders.push(() => client.deactivate({ force: true }))
    return client
  }

  /** An RxStomp as a page makes it, configured. */
  rx(config: RxStompConfig): RxStomp {
    const rxStomp = new RxStomp()
    rxStomp.configure(config)
    this.enders.push(() => rxStomp.deactivate({ force: true }))
    return rxStomp
  }

  /** Does something else when the test ends. */
  finally(end: () => void | Promise<void>): void {
    this.enders.push(end)
  }

  async close(): Promise<void> {
    // All of them, whatever happens to one.
    const ends = await Promise.allSettled(this.enders.toReversed().map(async (end) => end()))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }
}

/** What SockJS has of a WebSocket, and what it adds. */
type WebSocketLike = InstanceType<typeof SockJsClient> & { readonly transport?: string }

/** A test with brokers, and pages that are closed before them. */
export const test = base.extend<{ pages: Pages }>({
  // eslint-disable-next-line no-unused-vars -- named for the order alone: what is set up first ends last
  pages: async ({ house: _ }, use) => {
    const pages = new Pages()
    await use(pages)
    await pages.close()
  },
})
