import { setTimeout as sleep } from 'node:timers/promises'
import { Peer, TRANSPORTS } from './peer.ts'
import type { Random } from './random.ts'
import { mib, type Usage } from './server.ts'
import type { Fault } from './stage.ts'

/** Clients of each transport that stay, and those that are replaced now and then. */
const STAYING = 6
const GOING = 6
/** Looks at memory and handles in the time there is. */
const LOOKS = 12
/** Bytes by which what is reachable may be more in the last third of them than in the first. */
const DRIFT = 4 * 1024 * 1024

/** What well-behaved clients do all day: memory and handles stay where they are. */
export const soak: Fault = {
  name: 'soak',
  async run({ server, random, until, note }) {
    const begun = performance.now()
    const goes = (): boolean => performance.now() < until
    const counts = { clients: 0, messages: 0 }
    const live = async (calls: number): Promise<void> => {
      const peer = await Peer.connected(random.pick(TRANSPORTS), server, { 'heart-beat': '0,1000' })
      counts.clients++
      await work(peer, random, calls, goes)
      counts.messages += peer.messages
      await peer.leave()
    }
    const stay = (): Promise<void> => live(Infinity)
    const go = async (): Promise<void> => {
      while (goes()) await live(random.between(20, 100))
    }
    const looks: Usage[] = []
    const look = async (): Promise<void> => {
      for (let count = 0; count < LOOKS; count++) {
        await sleep(Math.max(begun + ((count + 1) * (until - begun)) / (LOOKS + 1) - performance.now(), 0))
        looks.push(await server.usage())
      }
    }
    const stays = Array.from({ length: STAYING }, stay)
    const goers = Array.from({ length: GOING }, go)
    await Promise.all([...stays, ...goers, look()])
    judge(looks)
    const lives = looks.map(({ live }) => mib(live)).join(' ')
    note(`${counts.clients} clients got ${counts.messages} messages; reachable ${lives} MiB`)
  },
}

/** A chat, a work queue, and now and then something rarer. */
async function work(peer: Peer, random: Random, calls: number, goes: () => boolean): Promise<void> {
  const room = `/topic/soak.room.${random.below(5)}`
  const jobs = `/queue/soak.jobs.${random.below(3)}`
  peer.onMessage = ({ headers }) => {
    const id = headers.get('ack')
    if (id !== undefined) peer.send(random.chance(0.02) ? 'NACK' : 'ACK', { id })
  }
  await peer.request('SUBSCRIBE', { id: 'room', destination: room })
  await peer.request('SUBSCRIBE', { id: 'jobs', destination: jobs, ack: 'client-individual' })
  for (let call = 0; call < calls && goes(); call++) {
    if (peer.over)
      throw new Error(`a well-behaved client was ended: ${peer.error?.body.toString() ?? 'without an ERROR'}`)
    const body = 'x'.repeat(random.between(1, 2_000))
    switch (random.below(8)) {
      case 0:
        await peer.request('SEND', { destination: jobs, persistent: 'true' }, body)
        break
      case 1:
        peer.send('BEGIN', { transaction: 't' })
        peer.send('SEND', { destination: jobs, transaction: 't' }, body)
        await peer.request(random.pick(['COMMIT', 'ABORT']), { transaction: 't' })
        break
      case 2:
        await peer.request('SUBSCRIBE', {
          id: 'wild',
          destination: '/topic/soak.*.1',
          selector: 'hot = TRUE',
        })
        await peer.request('UNSUBSCRIBE', { id: 'wild' })
        break
      case 3:
        peer.send('SEND', { destination: room, retain: 'set', hot: 'TRUE' }, body)
        break
      case 4:
        peer.send('SEND', { destination: jobs, ttl: 20, 'reply-to': '/temp-queue/answers' }, body)
        break
      default:
        peer.send('SEND', { destination: room, 'content-type': 'text/plain' }, body)
    }
    await sleep(random.between(1, 30))
  }
}

/** Throws if there is more in the last third than in the first. */
function judge(looks: readonly Usage[]): void {
  const third = Math.floor(looks.length / 3)
  const median = (list: readonly Usage[], of: (usage: Usage) => number): number =>
    list.map(of).toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? NaN
  const [first, last] = [looks.slice(0, third), looks.slice(-third)]
  const drift = median(last, ({ live }) => live) - median(first, ({ live }) => live)
  if (drift > DRIFT) throw new Error(`what is reachable grew by ${mib(drift)} MiB`)
  for (const kind of ['files', 'timers'] as const) {
    const [before, after] = [median(first, (usage) => usage[kind]), median(last, (usage) => usage[kind])]
    // Those that go are not always replaced at once.
    if (after > before + GOING) throw new Error(`${kind} went from ${before} to ${after}`)
  }
}
