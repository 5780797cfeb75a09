import { pino } from 'pino'
import { Broker, type Addresses } from '../../broker/broker.ts'
import type { Engine } from '../../broker/engine/engine.ts'
import type { BrokerOptions } from '../../broker/options.ts'

export interface TestBroker {
  readonly broker: Broker
  readonly addresses: Addresses
  readonly port: number
  /** Of the page, with a slash at its end. */
  readonly url: string
  readonly webSocketUrl: string
  readonly sockJsUrl: string
  readonly tcpPort: number
  close(): Promise<void>
}

/** A broker of one's own on free ports, TCP included, which logs nothing. */
export async function startBroker(options: BrokerOptions = {}, engine?: Engine): Promise<TestBroker> {
  const broker = new Broker({ port: 0, tcpPort: 0, ...options }, pino({ level: 'silent' }), engine)
  const addresses = await broker.listen()
  const { port, tcp = '' } = addresses
  return {
    broker,
    addresses,
    port,
    url: `http://127.0.0.1:${port}/`,
    webSocketUrl: `ws://127.0.0.1:${port}/stomp`,
    sockJsUrl: `http://127.0.0.1:${port}/ws`,
    tcpPort: Number(tcp.split(':').at(-1)),
    close: () => broker.close(),
  }
}
