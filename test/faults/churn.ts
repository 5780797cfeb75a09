import { BINARY, clientFrame, CLOSE, closing, FIN } from '../helpers/websocket-frame.ts'
import { stomp } from './frame.ts'
import { Peer, TRANSPORTS, type Transport } from './peer.ts'
import { poller } from './poller.ts'
import type { Random } from './random.ts'
import type { Server } from './server.ts'
import type { Fault } from './stage.ts'

/** Clients that come and go at a time. */
const COMING = 6
/** Names that are used between two receipts. */
const BATCH = 100

/** Ways to leave. */
const exits: readonly ((peer: Peer) => Promise<void>)[] = [
  (peer) => peer.leave(),
  (peer) => {
    peer.reset()
    return peer.ended
  },
  (peer) => {
    peer.socket.destroy()
    return peer.ended
  },
  (peer) => {
    peer.socket.end()
    return peer.ended
  },
  // In the middle of a frame.
  (peer) => {
    const headers = { destination: '/topic/churn', 'content-length': 1_000 }
    peer.socket.end(peer.wrap(stomp('SEND', headers, 'x')).subarray(0, 40))
    return peer.ended
  },
  // With an ERROR.
  (peer) => {
    peer.send('NONSENSE', {})
    return peer.ended
  },
  // With a close frame, where there are any.
  (peer) => {
    if (peer.transport === 'tcp') return peer.leave()
    peer.socket.write(clientFrame(FIN | CLOSE, closing(1001)))
    return peer.ended
  },
]

/** Connections, subscriptions, destinations and transactions that come and go: nothing of them stays. */
export const churn: Fault = {
  name: 'churn',
  // The least a broker may have of what it keeps, so that it shows what is not given back.
  args: ['--max-durable-subscriptions=100', '--max-retained=100', '--sockjs-max-sessions=200'],
  async run({ server, random, until, note }) {
    const counts = { connections: 0, names: 0 }
    const goes = (): boolean => performance.now() < until
    const come = async (): Promise<void> => {
      while (goes()) {
        await visit(server, random)
        counts.connections++
      }
    }
    const name = async (use: Use): Promise<void> => {
      let next = 0
      while (goes()) {
        const peer = await Peer.connected('tcp', server)
        for (let batch = 0; batch < 50 && goes(); batch++) {
          const frames: Buffer[] = []
          for (let index = 0; index < BATCH; index++) frames.push(...use(next++))
          peer.write(Buffer.concat(frames))
          await peer.request('SEND', { destination: '/topic/churn' })
        }
        await peer.leave()
      }
      counts.names += next
    }
    const poll = async (): Promise<void> => {
      // Each is remembered for five seconds.
      for (let count = 0; count < 150 && goes(); count++) await poller(server, '/topic/churn')
    }
    await Promise.all([...Array.from({ length: COMING }, come), ...uses.map(name), poll()])
    note(`${counts.connections} connections and ${counts.names} names`)
  },
}

/** What a client does with a name that was never used before, and never will be again. */
type Use = (name: number) => Buffer[]

const uses: readonly Use[] = [
  (name) => [stomp('SEND', { destination: `/topic/churn.${name}.x` }, 'x')],
  (name) => [
    stomp('SUBSCRIBE', { id: name, destination: `/topic/churn.${name}.*`, selector: `a = '${name}'` }),
    stomp('UNSUBSCRIBE', { id: name }),
  ],
  (name) => {
    const destination = `/queue/churn.${name}`
    return [
      stomp('SEND', { destination }, 'x'),
      stomp('SUBSCRIBE', { id: name, destination }),
      stomp('UNSUBSCRIBE', { id: name }),
    ]
  },
  (name) => {
    const [destination, durable] = [`/topic/churn.durable.${name}`, `d${name}`]
    return [
      stomp('SUBSCRIBE', { id: name, destination, durable }),
      stomp('UNSUBSCRIBE', { id: name }),
      stomp('SEND', { destination }, 'x'.repeat(100)),
      stomp('UNSUBSCRIBE', { id: name, durable }),
    ]
  },
  (name) => {
    const destination = `/topic/churn.retained.${name}`
    return [
      stomp('SEND', { destination, retain: 'set' }, 'x'),
      stomp('SEND', { destination, retain: 'remove' }),
    ]
  },
  (name) => {
    const transaction = `t${name}`
    const destination = `/queue/churn.transaction.${name}`
    return [
      stomp('BEGIN', { transaction }),
      stomp('SEND', { destination, transaction }, 'x'),
      stomp('ABORT', { transaction }),
    ]
  },
  (name) => {
    const destination = `/queue/churn.expired.${name}`
    return [stomp('SEND', { destination, ttl: 1 }, 'x')]
  },
]

/** One client: comes, does something that it leaves undone, and goes in one way or another. */
async function visit(server: Server, random: Random): Promise<void> {
  const transport: Transport = random.pick(TRANSPORTS)
  if (random.chance(0.1)) {
    // Without a word of STOMP, or with half of one.
    const peer = await Peer.open(transport, server)
    if (random.chance(0.5))
      peer.socket.write(transport === 'tcp' ? 'CONN' : clientFrame(FIN | BINARY, 'CONN').subarray(0, 8))
    peer.reset()
    return peer.ended
  }
  const peer = await Peer.connected(
    transport,
    server,
    random.chance(0.5) ? { login: `u${random.below(1e9)}` } : {},
  )
  const name = random.below(1e9)
  if (random.chance(0.5))
    peer.send('SUBSCRIBE', { id: 0, destination: random.pick(['/topic/churn', `/topic/churn.${name}`]) })
  if (random.chance(0.3))
    peer.send('SUBSCRIBE', { id: 1, destination: `/queue/churn.left.${name}`, ack: 'client' })
  if (random.chance(0.3)) peer.send('SUBSCRIBE', { id: 2, destination: '/user/queue/x' })
  if (random.chance(0.3)) {
    peer.send('BEGIN', { transaction: 't' })
    peer.send('SEND', { destination: '/topic/churn', transaction: 't' }, 'x'.repeat(1_000))
  }
  if (random.chance(0.3)) peer.send('SEND', { destination: '/topic/churn', 'reply-to': '/temp-queue/r' })
  if (random.chance(0.3)) peer.send('SEND', { destination: '/topic/churn.nobody', receipt: 'unheard' })
  await random.pick(exits)(peer)
}
