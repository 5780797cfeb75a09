import { Client, type IFrame, type IMessage, type IStompSocket, type StompConfig } from '@stomp/stompjs'
import SockJsClient from 'sockjs-client'
import { WebSocket } from 'ws'
import type { BrokerOptions } from '../../broker/options.ts'
import { startBroker, type TestBroker } from './broker.ts'
import { startCable, type Cable } from './cable.ts'
import { TcpSocket } from './tcp-socket.ts'

/** The ports of a broker, or of a cable that leads to it. */
export interface Ports {
  readonly port: number
  readonly tcpPort: number
}

/** A way for stompjs to reach a broker. */
export interface Transport {
  readonly name: string
  readonly kind: 'websocket' | 'sockjs' | 'tcp'
  /** What shows on the connected socket that it is this transport. */
  readonly socket: object
  /** What the broker needs to be told for it. */
  readonly options?: BrokerOptions
  /** Fresh on each call: a config may be changed by a test. */
  config(ports: Ports): StompConfig
}

// Node 20 has no WebSocket of its own; `brokerURL` wants a global one.
Object.assign(globalThis, { WebSocket })

function sockJs(transport: string): Transport {
  return {
    name: `SockJS ${transport}`,
    kind: 'sockjs',
    socket: { transport },
    config: ({ port }) => ({
      webSocketFactory: () =>
        new SockJsClient(`http://127.0.0.1:${port}/ws`, undefined, { transports: transport }),
    }),
  }
}

export const transports: readonly Transport[] = [
  {
    name: 'WebSocket',
    kind: 'websocket',
    socket: { protocol: 'v12.stomp', extensions: '' },
    config: ({ port }) => ({ brokerURL: `ws://127.0.0.1:${port}/stomp` }),
  },
  {
    name: 'WebSocket by factory, no subprotocol',
    kind: 'websocket',
    socket: { protocol: '', extensions: '' },
    config: ({ port }) => ({
      webSocketFactory: () => new WebSocket(`ws://127.0.0.1:${port}/ws/websocket`) as IStompSocket,
    }),
  },
  {
    name: 'WebSocket with compression',
    kind: 'websocket',
    socket: { protocol: 'v12.stomp', extensions: 'permessage-deflate' },
    options: { compression: true },
    config: ({ port }) => ({ brokerURL: `ws://127.0.0.1:${port}/ws` }),
  },
  sockJs('websocket'),
  sockJs('xhr-streaming'),
  sockJs('eventsource'),
  sockJs('xhr-polling'),
  {
    name: 'TCP',
    kind: 'tcp',
    socket: { binaryType: 'arraybuffer' },
    config: ({ tcpPort }) => ({ webSocketFactory: () => new TcpSocket(tcpPort) }),
  },
]

/** What arrived and nobody has taken yet. */
export class Inbox<T> {
  private readonly items: T[] = []
  private readonly takers: ((item: T) => void)[] = []

  readonly put = (item: T): void => {
    const taker = this.takers.shift()
    if (taker === undefined) this.items.push(item)
    else taker(item)
  }

  get size(): number {
    return this.items.length
  }

  take(): Promise<T> {
    const item = this.items.shift()
    if (item !== undefined) return Promise.resolve(item)
    return new Promise((resolve) => this.takers.push(resolve))
  }

  async takeAll(count: number): Promise<T[]> {
    const taken: T[] = []
    while (taken.length < count) taken.push(await this.take())
    return taken
  }
}

interface CloseEvent {
  readonly code: number | undefined
}

let receipts = 0

/** An unmodified stompjs Client and what happened to it. It does not reconnect unless told to. */
export class Peer {
  readonly client: Client
  readonly connects = new Inbox<IFrame>()
  readonly disconnects = new Inbox<IFrame>()
  readonly errors = new Inbox<IFrame>()
  readonly closes = new Inbox<CloseEvent>()
  /** The kinds of the events above, in the order in which they came. */
  readonly order: string[] = []
  /** Receipts that are waited for, to be given up when an ERROR or the end comes instead. */
  private readonly waiting = new Set<(reason: Error) => void>()

  constructor(config: StompConfig) {
    const note =
      <T>(kind: string, inbox: Inbox<T>) =>
      (event: T): void => {
        this.order.push(kind)
        inbox.put(event)
        if (kind !== 'error' && kind !== 'close') return
        const body = kind === 'error' ? (event as IFrame).body : ''
        for (const giveUp of this.waiting) giveUp(new Error(`${kind} instead of a receipt. ${body}`))
        this.waiting.clear()
      }
    const own: StompConfig = {
      reconnectDelay: 0,
      heartbeatIncoming: 0,
      heartbeatOutgoing: 0,
      onConnect: note('connect', this.connects),
      onDisconnect: note('disconnect', this.disconnects),
      onStompError: note('error', this.errors),
      onWebSocketClose: note('close', this.closes),
    }
    this.client = new Client(Object.assign(own, config))
  }

  /** Does something that asks for the receipt it is given. Rejects when an ERROR or the end comes before it. */
  receipt(act: (headers: { receipt: string }) => void): Promise<IFrame> {
    const receipt = `receipt-${++receipts}`
    return new Promise((resolve, reject) => {
      this.waiting.add(reject)
      this.client.watchForReceipt(receipt, (frame) => {
        this.waiting.delete(reject)
        resolve(frame)
      })
      act({ receipt })
    })
  }

  /** A subscription that the broker has confirmed. */
  async subscribe(destination: string, headers: Record<string, string> = {}): Promise<Inbox<IMessage>> {
    const inbox = new Inbox<IMessage>()
    await this.receipt((receipt) => {
      this.client.subscribe(destination, inbox.put, { ...headers, ...receipt })
    })
    return inbox
  }

  async send(destination: string, body: string, headers: Record<string, string> = {}): Promise<void> {
    await this.receipt((receipt) => {
      this.client.publish({ destination, body, headers: { ...headers, ...receipt } })
    })
  }

  /** A round trip: what the broker had sent to this client before is here afterwards. */
  async sync(): Promise<void> {
    await this.send('/topic/nobody-listens', '')
  }
}

/** What a test has started, to be ended with it. */
export class House {
  private readonly peers: Peer[] = []
  private readonly cables: Cable[] = []
  private readonly brokers: TestBroker[] = []

  async broker(options: BrokerOptions = {}): Promise<TestBroker> {
    const broker = await startBroker(options)
    this.brokers.push(broker)
    return broker
  }

  /** A cable that leads to the broker, whatever the transport. */
  async cable(transport: Transport, broker: TestBroker): Promise<Cable & Ports> {
    const cable = await startCable(transport.kind === 'tcp' ? broker.tcpPort : broker.port)
    this.cables.push(cable)
    const port = Number(new URL(cable.url).port)
    return Object.assign(cable, { port, tcpPort: port })
  }

  /** A client that is about to connect. */
  start(transport: Transport, ports: Ports, config: StompConfig = {}): Peer {
    const peer = new Peer(Object.assign(transport.config(ports), config))
    this.peers.push(peer)
    peer.client.activate()
    return peer
  }

  /** A connected client. */
  async peer(transport: Transport, ports: Ports, config: StompConfig = {}): Promise<Peer> {
    const peer = this.start(transport, ports, config)
    await peer.connects.take()
    return peer
  }

  async close(): Promise<void> {
    await Promise.all(this.peers.map(({ client }) => client.deactivate({ force: true })))
    await Promise.all(this.cables.map((cable) => cable.close()))
    await Promise.all(this.brokers.map((broker) => broker.close()))
  }
}
