/**
 * A well-behaved client, in a process of its own so that no load delays its clock. It hears its own topic over
 * WebSocket and consumes its own queue over TCP, sends to both every 20 ms whatever comes back, and measures how
 * long each message takes. Told to stop, it waits for what is under way and reports.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import './leash.ts'
import { Peer } from './peer.ts'

/** What became of the messages on one way. */
export interface Way {
  readonly sent: number
  readonly missing: number
  readonly duplicated: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface Song {
  readonly topic: Way
  readonly queue: Way
  /** Milliseconds that its own clock was late at p99: the machine's doing, not the broker's. */
  readonly late: number
}

const INTERVAL = 20
/** Milliseconds that the last messages get. */
const PATIENCE = 20_000

class Trip {
  readonly times: number[] = []
  sent = 0
  duplicated = 0
  private readonly open = new Map<number, number>()

  get missing(): number {
    return this.open.size
  }

  begin(): string {
    this.open.set(++this.sent, performance.now())
    return String(this.sent)
  }

  end(body: string): void {
    const begun = this.open.get(Number(body))
    if (begun === undefined) this.duplicated++
    else this.times.push(performance.now() - begun)
    this.open.delete(Number(body))
  }

  report(): Way {
    const { sent, missing, duplicated } = this
    return {
      sent,
      missing,
      duplicated,
      p50: at(this.times, 0.5),
      p99: at(this.times, 0.99),
      max: at(this.times, 1),
    }
  }
}

function at(times: readonly number[], quantile: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.ceil(quantile * sorted.length) - 1] ?? NaN
}

const [port = '', tcpPort = ''] = process.argv.slice(2)
const place = { port: Number(port), tcpPort: Number(tcpPort) }
const name = randomUUID()
const topic = { destination: `/topic/canary/${name}` }
const queue = { destination: `/queue/canary/${name}` }
const [hearer, worker] = [await Peer.connected('websocket', place), await Peer.connected('tcp', place)]
const [topicTrip, queueTrip] = [new Trip(), new Trip()]
let stopping = false

hearer.onMessage = ({ body }) => topicTrip.end(body.toString())
worker.onMessage = ({ headers, body }) => {
  queueTrip.end(body.toString())
  worker.send('ACK', { id: headers.get('ack') ?? '' })
}
for (const peer of [hearer, worker]) {
  void peer.ended.then(() => {
    if (stopping) return
    process.send?.({
      failure: `the canary's ${peer.transport} connection ended: ${peer.error?.body.toString() ?? 'without an ERROR'}`,
    })
  })
}
await hearer.request('SUBSCRIBE', { id: 0, ...topic })
await worker.request('SUBSCRIBE', { id: 0, ...queue, ack: 'client-individual' })

const late: number[] = []
let due = performance.now() + INTERVAL
const timer = setInterval(() => {
  const now = performance.now()
  late.push(Math.max(now - due, 0))
  due = now + INTERVAL
  hearer.send('SEND', topic, topicTrip.begin())
  worker.send('SEND', queue, queueTrip.begin())
}, INTERVAL)
process.send?.('ready')

process.once('message', () => {
  void finish()
})

async function finish(): Promise<void> {
  clearInterval(timer)
  const deadline = performance.now() + PATIENCE
  while (
    topicTrip.missing + queueTrip.missing > 0 &&
    performance.now() < deadline &&
    !hearer.over &&
    !worker.over
  )
    await sleep(10)
  stopping = true
  const song: Song = { topic: topicTrip.report(), queue: queueTrip.report(), late: at(late, 0.99) }
  // Otherwise its queue would stay for what is still to be acked.
  await Promise.all([hearer.leave(), worker.leave()]).catch(() => {})
  process.send?.({ song })
}
