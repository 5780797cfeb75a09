/**
 * Clients that subscribe and then do nothing at all, as those of a process that was stopped: told to sleep, this
 * one blocks its only thread. It wakes for nothing but the end of its parent, and ends by itself after a while.
 */
import './leash.ts'
import { Peer, type Transport } from './peer.ts'

/** Milliseconds. */
const LONGEST = 300_000
const GRAIN = 100

const [port = '', tcpPort = '', topic = '', queue = '', count = ''] = process.argv.slice(2)
const place = { port: Number(port), tcpPort: Number(tcpPort) }
for (const transport of ['tcp', 'websocket', 'sockjs'] as const satisfies Transport[]) {
  for (let index = 0; index < Number(count); index++) {
    const peer = await Peer.connected(transport, place)
    await peer.request('SUBSCRIBE', { id: 0, destination: topic })
    await peer.request('SUBSCRIBE', { id: 1, destination: queue, ack: 'client-individual' })
  }
}
process.send?.('ready')
const parent = process.ppid
process.once('message', () => {
  const cell = new Int32Array(new SharedArrayBuffer(4))
  for (let slept = 0; slept < LONGEST && process.ppid === parent; slept += GRAIN)
    Atomics.wait(cell, 0, 0, GRAIN)
  process.exit(1)
})
