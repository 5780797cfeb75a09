import { pino } from 'pino'
import { afterEach } from 'vitest'
import { Broker, type Addresses } from '../../broker/broker.ts'
import type { Engine } from '../../broker/engine/engine.ts'
import { LocalEngine } from '../../broker/engine/local.ts'
import type { Op } from '../../broker/model/message.ts'
import { Stats } from '../../broker/model/stats.ts'
import { readOptions, type BrokerOptions } from '../../broker/options.ts'
import { engineSettings } from '../../broker/policies.ts'

export interface TestBroker {
  readonly broker: Broker
  readonly addresses: Addresses
  readonly port: number
  /** Of the page, with a slash at its end. */
  readonly url: string
  readonly webSocketUrl: string
  readonly sockJsUrl: string
  readonly tcpPort: number
  /** NaN unless asked for. */
  readonly tlsPort: number
  /** What it has warned of in its log. */
  readonly warnings: string[]
  close(): Promise<void>
}

/** A broker of one's own on free ports, TCP included, which logs to `warnings` alone. */
export async function startBroker(options: BrokerOptions = {}, engine?: Engine): Promise<TestBroker> {
  const warnings: string[] = []
  const keep = { write: (line: string) => warnings.push((JSON.parse(line) as { msg: string }).msg) }
  const broker = new Broker({ port: 0, tcpPort: 0, ...options }, pino({ level: 'warn' }, keep), engine)
  const addresses = await broker.listen()
  const { port, tcp = '', tls = '' } = addresses
  return {
    broker,
    addresses,
    port,
    url: `http://127.0.0.1:${port}/`,
    webSocketUrl: `ws://127.0.0.1:${port}/stomp`,
    sockJsUrl: `http://127.0.0.1:${port}/ws`,
    tcpPort: Number(tcp.split(':').at(-1)),
    tlsPort: tls === '' ? NaN : Number(tls.split(':').at(-1)),
    warnings,
    close: () => broker.close(),
  }
}

/** To be called by a file of tests: makes brokers that end with the test they were started in. */
export function ownBrokers(): (options: BrokerOptions, engine?: Engine) => Promise<TestBroker> {
  const brokers: TestBroker[] = []
  afterEach(async () => {
    await Promise.all(brokers.splice(0).map((own) => own.close()))
  })
  return async (options, engine) => {
    const own = await startBroker(options, engine)
    brokers.push(own)
    return own
  }
}

/** The memory engine, which tells of its queues, and whose commits wait for `open` while it is held. */
export class TestEngine extends LocalEngine {
  /** Batches that wait, oldest first. */
  readonly waiting: { ops: readonly Op[]; settle(error?: Error): void }[] = []
  /** True: commits of clients wait. What the broker itself gives back does not. */
  held = false

  constructor(options: BrokerOptions = {}) {
    super(engineSettings(readOptions(options)), new Stats())
  }

  override commit(ops: readonly Op[]): void | Promise<void> {
    if (!this.held || ops.every((op) => op.type === 'release')) return super.commit(ops)
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        if (error !== undefined) return reject(error)
        resolve(super.commit(ops))
      }
      this.waiting.push({ ops, settle })
    })
  }

  /** Finishes the oldest waiting batch, or fails it. */
  settle(error?: Error): void {
    const batch = this.waiting.shift()
    if (batch === undefined) throw new Error('no commit is waiting')
    batch.settle(error)
  }

  /** Messages of a queue: waiting, and handed out without an ack. */
  async count(queue: string): Promise<{ ready: number; unacked: number }> {
    const { ready = 0, unacked = 0 } = (await this.inspect()).find((info) => info.queue === queue) ?? {}
    return { ready, unacked }
  }
}

let names = 0

/** A destination that no other test of the file uses. */
export function fresh(kind: 'topic' | 'queue'): string {
  return `/${kind}/fresh/${++names}`
}
