/*
 * A STOMP connection that looks after itself. It knows nothing of the chat or of any framework:
 * copy this file into your own project.
 *
 *   const connection = new Connection('/ws', { ... })
 *   connection.subscribe('/topic/news', message => show(message.body))
 *   connection.connect('native')
 *   connection.send({ id: newId(), destination: '/topic/news', headers: {}, body: 'hello' })
 *
 * What it adds to @stomp/stompjs: subscriptions that survive a reconnect, back-off with jitter,
 * and an outbox, so that what was written without a connection is sent when there is one again.
 */
import { Client, TickerStrategy, type IMessage, type StompSubscription } from '@stomp/stompjs'
import SockJS from 'sockjs-client'

export const transports = {
  native: 'WebSocket',
  auto: 'SockJS, automatic',
  websocket: 'SockJS, websocket',
  'xhr-streaming': 'SockJS, xhr-streaming',
  eventsource: 'SockJS, eventsource',
  'xhr-polling': 'SockJS, xhr-polling',
} as const
export type Transport = keyof typeof transports

/** `until` is the time of the next try; it lies in the past while that try is under way. */
export type State =
  | { readonly name: 'connecting' }
  | { readonly name: 'connected'; readonly via: string }
  | { readonly name: 'reconnecting' | 'offline'; readonly until: number }

export interface Outgoing {
  readonly id: string
  readonly destination: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Events {
  state(state: State): void
  /** The broker has it (its RECEIPT came), so it will not be sent again. */
  accepted(id: string): void
  /** The broker answered ERROR. `id` is the message it was about, when it was about one. */
  refused(reason: string, id: string | undefined): void
  /** Every frame as it crosses the wire, heart-beats ('\n') included. */
  frame(direction: 'in' | 'out', text: string): void
}

type Handler = (message: IMessage) => void

/** Messages that are sent twice, because their RECEIPT was lost, carry the same id in this header. */
export const idHeader = 'client-message-id'

/** crypto.randomUUID() is missing on plain http, which is how a phone opens a page on the local network. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join('-')
}

export class Connection {
  readonly #endpoint: string
  readonly #events: Events
  readonly #subscriptions = new Map<string, { handler: Handler; live?: StompSubscription }>()
  readonly #outbox = new Map<string, Outgoing>()
  #client: Client | undefined
  #connectedAt = 0
  #failures = 0
  #wake = (): void => {}

  /** `endpoint` is the path that speaks WebSocket and SockJS, on the server of this page. */
  constructor(endpoint: string, events: Events) {
    this.#endpoint = endpoint
    this.#events = events
    addEventListener('online', () => this.retry())
    // Timers of a hidden tab are slow; somebody who looks at the page should not wait for one.
    document.addEventListener('visibilitychange', () => this.retry())
  }

  /** Connects, and stays connected. Call it again to change the transport. */
  connect(transport: Transport): void {
    const previous = this.#client
    const client = new Client({
      ...(transport === 'native'
        ? { brokerURL: `${location.origin.replace(/^http/, 'ws')}${this.#endpoint}` }
        : { webSocketFactory: () => openSockJs(this.#endpoint, transport) }),
      heartbeatOutgoing: 10_000,
      heartbeatIncoming: 10_000,
      heartbeatStrategy: TickerStrategy.Worker, // a worker's timer keeps time when the tab is hidden
      connectionTimeout: 10_000,
      discardWebsocketOnCommFailure: true, // a dead socket may take minutes to close; do not wait for it
      reconnectDelay: 1, // the real pause, with its count-down, is in #pause
      beforeConnect: () => this.#pause(client),
      onConnect: () => this.#connected(client),
      onWebSocketClose: () => this.#closed(client),
      onStompError: (frame) => {
        const id = frame.headers['receipt-id']
        if (id !== undefined) this.#outbox.delete(id) // sending it again would be refused again
        this.#events.refused(frame.headers['message'] ?? 'The broker reported an error', id)
      },
      logRawCommunication: true,
      debug: (line) => {
        if (line.startsWith('>>> ')) this.#events.frame('out', line === '>>> PING' ? '\n' : line.slice(4))
        if (line.startsWith('<<< ') && line !== '<<< PONG') this.#events.frame('in', line.slice(4))
      },
    })
    this.#client = client
    this.#failures = 0
    this.#events.state({ name: 'connecting' })
    void previous?.deactivate()
    this.#wake() // a previous client that was waiting for its next try ends here
    client.activate()
  }

  /** Ends the wait for the next try. */
  retry(): void {
    this.#wake()
  }

  /** One handler for each destination. Returns the function that unsubscribes. */
  subscribe(destination: string, handler: Handler): () => void {
    this.#subscriptions.set(destination, { handler })
    if (this.#client?.connected) this.#subscribe(this.#client, destination)
    return () => {
      const live = this.#subscriptions.get(destination)?.live
      this.#subscriptions.delete(destination)
      if (this.#client?.connected) live?.unsubscribe()
    }
  }

  /** Sends now, or as soon as there is a connection, until the broker has confirmed it. */
  send(message: Outgoing): void {
    this.#outbox.set(message.id, message)
    if (this.#client?.connected) this.#transmit(this.#client, message)
  }

  /** Sends now or never: for hints that are worthless when late. */
  hint(destination: string, headers: Record<string, string>, body: string): void {
    if (this.#client?.connected) this.#client.publish({ destination, headers, body })
  }

  #transmit(client: Client, { id, destination, headers, body }: Outgoing): void {
    client.watchForReceipt(id, () => {
      this.#outbox.delete(id)
      this.#events.accepted(id)
    })
    client.publish({ destination, body, headers: { ...headers, [idHeader]: id, receipt: id } })
  }

  #subscribe(client: Client, destination: string): void {
    const subscription = this.#subscriptions.get(destination)
    if (!subscription) return
    subscription.live = client.subscribe(destination, (message) => {
      if (client === this.#client) subscription.handler(message)
    })
  }

  #connected(client: Client): void {
    if (client !== this.#client) return
    this.#connectedAt = Date.now()
    // First listen, then send: the sender wants to see its own messages come back.
    for (const destination of this.#subscriptions.keys()) this.#subscribe(client, destination)
    for (const message of this.#outbox.values()) this.#transmit(client, message)
    const socket = client.webSocket
    const via = socket && 'transport' in socket ? `SockJS ${String(socket.transport)}` : 'WebSocket'
    this.#events.state({ name: 'connected', via })
  }

  #closed(client: Client): void {
    if (client !== this.#client) return
    // A connection that did not last is a failure too, or a broker that hangs up on us would be hammered.
    const lasted = this.#connectedAt > 0 && Date.now() - this.#connectedAt > 5_000
    this.#failures = lasted ? 1 : this.#failures + 1
    this.#connectedAt = 0
  }

  /** stompjs waits for this before every try. The first one after a good connection comes quickly. */
  async #pause(client: Client): Promise<void> {
    if (this.#failures === 0 || client !== this.#client) return
    const longest = Math.min(20_000, 250 * 2 ** this.#failures)
    const pause = longest * (0.5 + Math.random() / 2) // jitter, or all clients of a restarted broker return at once
    const name = navigator.onLine ? 'reconnecting' : 'offline'
    this.#events.state({ name, until: Date.now() + pause })
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      setTimeout(resolve, pause)
    })
    if (client === this.#client) this.#events.state({ name, until: 0 })
  }
}

function openSockJs(endpoint: string, transport: Exclude<Transport, 'native'>): WebSocket {
  return new SockJS(endpoint, null, transport === 'auto' ? {} : { transports: transport })
}
