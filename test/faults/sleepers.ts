import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { hear, kill, program, start, tell } from './child.ts'
import { stomp } from './frame.ts'
import { Peer, TRANSPORTS } from './peer.ts'
import { poller } from './poller.ts'
import type { Server } from './server.ts'
import type { Fault } from './stage.ts'

const KIB = 1024
const MIB = 1024 * KIB
const BUDGET = 2 * MIB
/** Sleeping subscribers on each transport, slow ones in all, and SockJS clients that stop polling. */
const SLEEPING = 3
const SLOW = 4
const POLLING = 10
const BODY = 64 * KIB
/** Messages to the topic that may be on their way to the reader who reads. */
const WINDOW = 4

/**
 * Subscribers that do not read, or hardly: asleep on each transport, a few bytes at a time, and pollers that never
 * poll again. One who reads gets everything meanwhile.
 */
export const sleepers: Fault = {
  name: 'sleepers',
  args: ['--max-body=1m', '--max-frame=1100k', `--send-budget=${BUDGET}`],
  // What may wait for each of them, and garbage.
  growth: (3 * SLEEPING + SLOW + POLLING) * BUDGET + 128 * MIB,
  async run({ server, until, note }) {
    const name = randomUUID()
    const [topic, queue] = [`/topic/sleepers/${name}`, `/queue/sleepers/${name}`]
    const child = start(program('sleeper'), [server.port, server.tcpPort, topic, queue, SLEEPING].map(String))
    child.stderr?.pipe(process.stderr)
    try {
      await hear(child, 'the sleepers')
      const crawlers = await Promise.all(Array.from({ length: SLOW }, () => crawl(server, topic, until)))
      await Promise.all(Array.from({ length: POLLING }, () => poller(server, topic)))
      tell(child, 'sleep')
      const readers = await Promise.all(TRANSPORTS.map((transport) => Peer.connected(transport, server)))
      for (const reader of readers) {
        await reader.request('SUBSCRIBE', { id: 0, destination: topic })
        await reader.request('SUBSCRIBE', { id: 1, destination: queue })
      }
      const published = await publish(server, readers, topic, queue, until)
      for (const reader of readers) {
        while (reader.messages < published && !reader.over) await sleep(10)
        if (reader.over)
          throw new Error(
            `a client that reads over ${reader.transport} was ended: ${reader.error?.body.toString()}`,
          )
        await reader.leave()
      }
      for (const crawler of crawlers) crawler.destroy()
      note(`${published} messages of ${BODY / KIB} KiB to ${3 * SLEEPING + SLOW + POLLING} that do not read`)
    } finally {
      await kill(child)
    }
    // What the sleepers held of the queue has come back, and is taken.
    const heir = await Peer.connected('tcp', server)
    await heir.request('SUBSCRIBE', { id: 0, destination: queue })
    let seen = -1
    while (seen < heir.messages) {
      seen = heir.messages
      await sleep(300)
    }
    await heir.leave()
  },
}

/** Publishes no faster than those who read, and to the queue a little of it. */
async function publish(
  server: Server,
  readers: readonly Peer[],
  topic: string,
  queue: string,
  until: number,
): Promise<number> {
  const publisher = await Peer.connected('websocket', server)
  const message = publisher.wrap(stomp('SEND', { destination: topic }, Buffer.alloc(BODY, 'x')))
  let count = 0
  const wake: { up: () => void } = { up: () => {} }
  const heard = readers.map(() => 0)
  for (const [index, reader] of readers.entries())
    reader.onMessage = ({ headers }) => {
      if (headers.get('destination') === topic) heard[index] = (heard[index] ?? 0) + 1
      wake.up()
    }
  while (performance.now() < until && readers.every(({ over }) => !over)) {
    if (count - Math.min(...heard) >= WINDOW) {
      const woken = new Promise<void>((resolve) => (wake.up = resolve))
      await Promise.race([woken, sleep(1_000)])
      continue
    }
    publisher.socket.write(message)
    if (count++ % 20 === 0) publisher.send('SEND', { destination: queue }, 'x'.repeat(100))
  }
  await publisher.leave()
  return Math.max(...heard, count)
}

/** A subscriber who reads a few bytes and rests, again and again. */
async function crawl(server: Server, topic: string, until: number): Promise<{ destroy(): void }> {
  const buffer = Buffer.alloc(64)
  const socket = connect({
    port: server.tcpPort,
    host: '127.0.0.1',
    onread: {
      buffer,
      callback: () => {
        setTimeout(() => socket.resume(), 10).unref()
        return performance.now() > until + 60_000
      },
    },
  })
  socket.on('error', () => {})
  socket.write(stomp('CONNECT', { 'accept-version': '1.2', host: 'x' }))
  socket.write(stomp('SUBSCRIBE', { id: 0, destination: topic }))
  await sleep(100)
  return socket
}
