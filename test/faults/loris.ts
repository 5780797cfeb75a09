import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { FIN, TEXT } from '../helpers/websocket-frame.ts'
import { stomp } from './frame.ts'
import { handshake } from './peer.ts'
import type { Server } from './server.ts'
import type { Fault } from './stage.ts'

/** Sockets of each kind at a time. */
const EACH = 40
/** Milliseconds from one byte to the next. */
const PACE = 200
/** For the broker. */
const TIMEOUT = 2_000
/** Milliseconds after which it must have ended one that has not brought its request or its CONNECT: the time for it, and to part. */
const BOUND = TIMEOUT + 12_000

/** One way to take one's time. */
interface Crawl {
  readonly name: string
  readonly tcp: boolean
  /** What is written at once. */
  readonly first: string | Buffer
  /** What is written byte by byte; then the first of it again, for ever. */
  readonly trickle: string | Buffer
}

const long = stomp('CONNECT', { 'accept-version': '1.2', host: 'x'.repeat(2_000) })
const frameHead = Buffer.from([FIN | TEXT, 0xfe, 0x10, 0, 0, 0, 0, 0])

const crawls: readonly Crawl[] = [
  { name: 'a CONNECT over TCP', tcp: true, first: '', trickle: long },
  { name: 'nothing over TCP', tcp: true, first: '', trickle: '' },
  { name: 'heart-beats over TCP', tcp: true, first: '', trickle: '\n' },
  { name: 'nothing over HTTP', tcp: false, first: '', trickle: '' },
  {
    name: 'a request',
    tcp: false,
    first: '',
    trickle: `GET /ws/info HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(2_000)}`,
  },
  { name: 'headers without end', tcp: false, first: 'GET / HTTP/1.1\r\nHost: x\r\n', trickle: 'a: b\r\n' },
  {
    name: 'the body of a POST',
    tcp: false,
    first: 'POST /ws/1/2/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n',
    trickle: '[',
  },
  {
    name: 'a body that nobody reads',
    tcp: false,
    first: 'POST /ws/1/3/xhr_streaming HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n',
    trickle: '[',
  },
  { name: 'an upgrade', tcp: false, first: '', trickle: handshake('/stomp').slice(0, -2) },
  {
    name: 'a CONNECT in a WebSocket frame',
    tcp: false,
    first: Buffer.concat([Buffer.from(handshake('/stomp')), frameHead]),
    trickle: long,
  },
  { name: 'nothing on a WebSocket', tcp: false, first: handshake('/stomp'), trickle: '' },
  {
    name: 'nothing on a WebSocket of SockJS',
    tcp: false,
    first: handshake('/ws/1/loris/websocket'),
    trickle: '',
  },
]

/** Sockets that bring what a broker waits for byte by byte: they are ended in time, and nobody waits for them. */
export const loris: Fault = {
  name: 'loris',
  args: [`--connect-timeout=${TIMEOUT}`, `--request-timeout=${TIMEOUT}`],
  async run({ server, until, note }) {
    let ended = 0
    let slowest = 0
    do {
      const times = await Promise.all(
        crawls.flatMap((each) => Array.from({ length: EACH }, () => meet(server, each))),
      )
      ended += times.length
      slowest = Math.max(slowest, ...times)
    } while (performance.now() < until)
    note(`${ended} slow clients ended, the last of them after ${(slowest / 1000).toFixed(1)} s`)
  },
}

/** Milliseconds that one of them had. */
async function meet({ port, tcpPort }: Server, { name, tcp, first, trickle }: Crawl): Promise<number> {
  const begun = performance.now()
  const socket = connect(tcp ? tcpPort : port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  await once(socket, 'connect')
  socket.write(first)
  const timer = setInterval(() => drop(socket, trickle, begun), PACE)
  try {
    const stop = new AbortController()
    const late = setTimeout(() => stop.abort(new Error(`${name}: not ended after ${BOUND} ms`)), BOUND)
    await once(socket, 'close', { signal: stop.signal })
    clearTimeout(late)
  } finally {
    clearInterval(timer)
    socket.destroy()
  }
  return performance.now() - begun
}

function drop(socket: Socket, trickle: string | Buffer, begun: number): void {
  if (trickle.length === 0 || !socket.writable) return
  const at = Math.floor((performance.now() - begun) / PACE) % trickle.length
  socket.write(Buffer.from(trickle).subarray(at, at + 1))
}
