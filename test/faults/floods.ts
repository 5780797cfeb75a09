import { BINARY, clientFrame, CONTINUATION, FIN, PING, PONG, TEXT } from '../helpers/websocket-frame.ts'
import { stomp } from './frame.ts'
import { Peer, type Transport } from './peer.ts'
import type { Server } from './server.ts'
import type { Fault, Stage } from './stage.ts'

const KIB = 1024
const MIB = 1024 * KIB
/** Clients of each kind at a time. */
const CLIENTS = 2
/** Kinds at once, in the end. What each costs in a turn of the event loop adds up. */
const TOGETHER = 6

/** One way to write as fast as the broker reads. */
interface Flood {
  readonly name: string
  readonly transport: Transport
  /** What is written over and over. */
  readonly wire: Buffer
  /** Before it. */
  readonly subscribe?: string
  /** Its receipts and messages are not read. */
  readonly deaf?: boolean
}

function times(count: number, bytes: Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => bytes))
}

const nobody = '/topic/flood/nobody'
const send = stomp('SEND', { destination: nobody }, 'x'.repeat(100))
const manyHeaders = stomp('SEND', {
  destination: nobody,
  ...Object.fromEntries(Array.from({ length: 120 }, (_, index) => [`header-${index}`, 'x'.repeat(40)])),
})
const longLines = stomp('SEND', { destination: nobody, long: 'x'.repeat(8 * KIB - 10) })
const escapes = stomp('SEND', { destination: nobody, escapes: '\\n\\c\\\\'.repeat(1000) })

const kinds: readonly Flood[] = [
  { name: 'small messages that nobody hears', transport: 'tcp', wire: times(600, send) },
  {
    name: 'small messages that nobody hears',
    transport: 'websocket',
    wire: times(400, clientFrame(FIN | BINARY, send)),
  },
  {
    name: 'small messages that nobody hears',
    transport: 'sockjs',
    wire: times(200, clientFrame(FIN | TEXT, JSON.stringify([send.toString()]))),
  },
  { name: 'many headers', transport: 'tcp', wire: times(20, manyHeaders) },
  { name: 'long header lines', transport: 'tcp', wire: times(16, longLines) },
  { name: 'escaped headers', transport: 'tcp', wire: times(16, escapes) },
  {
    name: 'the largest messages',
    transport: 'tcp',
    wire: stomp('SEND', { destination: nobody, 'content-length': 8 * MIB }, Buffer.alloc(8 * MIB, 'x')),
  },
  {
    name: 'the largest messages',
    transport: 'websocket',
    wire: clientFrame(FIN | BINARY, stomp('SEND', { destination: nobody }, Buffer.alloc(8 * MIB, 'x'))),
  },
  { name: 'heart-beats', transport: 'tcp', wire: Buffer.alloc(64 * KIB, '\n') },
  { name: 'heart-beats', transport: 'websocket', wire: times(4000, clientFrame(FIN | TEXT, '\n')) },
  { name: 'pings', transport: 'websocket', wire: times(500, clientFrame(FIN | PING, Buffer.alloc(125))) },
  {
    name: 'pings that are not read',
    transport: 'websocket',
    wire: times(500, clientFrame(FIN | PING, Buffer.alloc(125))),
    deaf: true,
  },
  { name: 'pongs', transport: 'websocket', wire: times(4000, clientFrame(FIN | PONG)) },
  {
    name: 'fragments of a byte',
    transport: 'websocket',
    wire: Buffer.concat([
      clientFrame(TEXT, ''),
      ...Array.from(send.toString(), (letter) => clientFrame(CONTINUATION, letter)),
      clientFrame(FIN | CONTINUATION, ''),
    ]),
  },
  {
    name: 'fragments of nothing',
    transport: 'websocket',
    wire: Buffer.concat([
      clientFrame(TEXT),
      times(4000, clientFrame(CONTINUATION)),
      clientFrame(FIN | CONTINUATION),
    ]),
  },
  {
    name: 'receipts that are not read',
    transport: 'tcp',
    wire: times(600, stomp('SEND', { destination: nobody, receipt: 'r'.repeat(50) })),
    deaf: true,
  },
  {
    name: 'own messages that are not read',
    transport: 'tcp',
    subscribe: '/topic/flood/own',
    wire: times(100, stomp('SEND', { destination: '/topic/flood/own' }, 'x'.repeat(KIB))),
    deaf: true,
  },
  {
    name: 'a queue that is fed and emptied',
    transport: 'websocket',
    subscribe: '/queue/flood/own',
    wire: times(400, clientFrame(FIN | BINARY, stomp('SEND', { destination: '/queue/flood/own' }, 'x'))),
  },
  {
    name: 'subscriptions that come and go',
    transport: 'tcp',
    wire: times(
      400,
      Buffer.concat([
        stomp('SUBSCRIBE', { id: 'x', destination: '/topic/flood/*/x' }),
        stomp('UNSUBSCRIBE', { id: 'x' }),
      ]),
    ),
  },
  {
    name: 'transactions that are begun and dropped',
    transport: 'tcp',
    wire: times(
      200,
      Buffer.concat([
        stomp('BEGIN', { transaction: 't' }),
        stomp('SEND', { destination: nobody, transaction: 't' }),
        stomp('ABORT', { transaction: 't' }),
      ]),
    ),
  },
]

/** Clients that write as fast as they can, one kind after the other and then some kinds at once. */
export const floods: Fault = {
  name: 'floods',
  async run(stage) {
    const { random, until } = stage
    const start = performance.now()
    const part = (until - start) / (kinds.length + 4)
    let end = start
    for (const flood of kinds) {
      end += part
      await Promise.all(Array.from({ length: CLIENTS }, () => pour(stage.server, flood, end)))
    }
    end += part
    await subscribeToTheLimit(stage, end)
    const mixed = new Set(Array.from({ length: TOGETHER }, () => random.pick(kinds)))
    await Promise.all(Array.from(mixed, (flood) => pour(stage.server, flood, until)))
  },
}

/** One client of a kind, and another one in its place whenever it is ended. */
async function pour(server: Server, flood: Flood, until: number): Promise<void> {
  while (performance.now() < until) {
    const peer = await Peer.connected(flood.transport, server)
    if (flood.subscribe !== undefined)
      await peer.request('SUBSCRIBE', { id: 0, destination: flood.subscribe })
    if (flood.deaf === true) peer.socket.pause()
    const count = await peer.flood(flood.wire, until)
    if (count === 0 && !peer.over) throw new Error(`nothing could be written of ${flood.name}`)
    peer.reset()
    await peer.ended
  }
}

/** Subscriptions up to the limit and one more, which ends the client. */
async function subscribeToTheLimit({ server, note }: Stage, until: number): Promise<void> {
  let refused = 0
  do {
    const peer = await Peer.connected('tcp', server)
    const frames = Array.from({ length: 1001 }, (_, id) =>
      stomp('SUBSCRIBE', { id, destination: `/topic/flood/limit/${id}/*`, ack: 'client' }),
    )
    peer.write(Buffer.concat(frames))
    await peer.ended
    if (peer.error?.headers.get('message') !== 'too many subscriptions')
      throw new Error(`1001 subscriptions ended with ${peer.error?.headers.get('message') ?? 'no ERROR'}`)
    refused++
  } while (performance.now() < until)
  note(`${refused} clients refused at the limit of subscriptions`)
}
