import { readFile } from 'node:fs/promises'
import { describe, expect } from 'vitest'
import type { TestBroker } from './helpers/broker.ts'
import { portOf, type Shell } from './helpers/cli.ts'
import { RawClient, type RawFrame } from './helpers/client.ts'
import { test } from './helpers/fixtures.ts'
import { SockJsSession } from './helpers/sockjs-session.ts'

// Two hundred megabytes go by clients that read nothing, on every transport: the broker, a process
// of its own, takes no more memory than it may, and those that read get everything in order.

const MIB = 1024 * 1024
const SIZE = 64 * 1024
const COUNT = 3_200
const BUDGET = 4 * MIB
const OPTIONS = (
  '--port 0 --tcp-port 0 --no-demo --send-budget 4m --max-body 64k --max-frame 128k --slow-messages 50 ' +
  '--slow-consumers /topic/oldest=drop-oldest,/topic/latest.*=keep-latest'
).split(' ')
/** What a collector of garbage may leave lying about for a while. */
const GARBAGE = 150 * MIB

const payload = (index: number): string => `${index} `.padEnd(SIZE, 'x')
const indexOf = ({ body }: RawFrame): number => {
  expect(body.length).toBe(SIZE)
  return Number(body.toString('utf8', 0, body.indexOf(32)))
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

interface Flood {
  readonly at: TestBroker
  readonly publisher: RawClient
  readonly quick: RawClient
  readonly frozen: readonly RawClient[]
  /** So many more messages, read by the quick one at once; the most memory that was seen, beyond that before. */
  readonly pour: (count: number, destination: (index: number) => string) => Promise<number>
}

describe.runIf(process.platform === 'linux')('200 MB to clients that read nothing', () => {
  async function open(shell: Shell, destination: string): Promise<Flood> {
    const run = shell.start(OPTIONS)
    const shown = await run.ready()
    const port = portOf(shown.get('WebSocket')?.[0])
    const at = {
      webSocketUrl: `ws://127.0.0.1:${port}/ws`,
      sockJsUrl: `http://127.0.0.1:${port}/ws`,
      tcpPort: portOf(shown.get('TCP')?.[0]),
    } as TestBroker
    const [publisher, quick] = [await RawClient.tcpConnected(at), await RawClient.connected(at)]
    const frozen = [await RawClient.connected(at), await RawClient.tcpConnected(at)]
    for (const client of [quick, ...frozen]) await client.request('SUBSCRIBE', { id: '0', destination })
    for (const client of frozen) client.pause()
    const before = await residentBytes(run.pid)
    let sent = 0
    let got = 0
    const pour = async (count: number, name: (index: number) => string): Promise<number> => {
      let most = 0
      for (const end = sent + count; sent < end;) {
        for (const next = Math.min(sent + 16, end); sent < next; sent++)
          publisher.send('SEND', { destination: name(sent) }, payload(sent))
        for (; got < sent; got++) expect(indexOf(await quick.next('MESSAGE'))).toBe(got)
        quick.messages.length = 0
        if (sent % 320 === 0) most = Math.max(most, (await residentBytes(run.pid)) - before)
      }
      return most
    }
    return { at, publisher, quick, frozen, pour }
  }

  test('to topics that disconnect, each is ended at its budget', { timeout: 120_000 }, async ({ shell }) => {
    const destination = '/topic/strict'
    const { at, frozen, pour } = await open(shell, destination)
    const [poller, streamer] = [
      await SockJsSession.connected(at.sockJsUrl),
      await SockJsSession.connected(at.sockJsUrl),
    ]
    for (const session of [poller, streamer]) await session.subscribe(destination)
    const stream = await streamer.stream()
    // Those over HTTP have to come back soon, to hear how they ended.
    const first = await pour(160, () => destination)
    await Promise.all([
      poller.pollUntil(() => false),
      streamer.read(stream).then(() => streamer.pollUntil(() => false)),
    ])
    for (const { closed, frames } of [poller, streamer]) {
      expect(closed).toEqual([4500, 'send limit exceeded'])
      expect(frames.pop()?.body.toString()).toContain('limit send-budget')
      // All up to its end, and no more than its budget, high water and what the system took.
      expect(frames.map(indexOf)).toEqual(frames.map((_, index) => index))
      expect(frames.length * SIZE).toBeGreaterThan(BUDGET - SIZE)
    }
    expect(poller.frames.length * SIZE).toBeLessThan(BUDGET + 2 * SIZE)
    const most = Math.max(first, await pour(COUNT - 160, () => destination))
    expect(most).toBeLessThan(4 * BUDGET + GARBAGE)
    for (const client of frozen) {
      client.resume()
      await client.closed
    }
    for (const session of [poller, streamer]) session.destroy()
  })

  test(
    'to topics that drop the oldest, all stay and get the newest',
    { timeout: 120_000 },
    async ({ shell }) => {
      const destination = '/topic/oldest'
      const { frozen, pour } = await open(shell, destination)
      expect(await pour(COUNT, () => destination)).toBeLessThan(2 * (BUDGET + MIB) + GARBAGE)
      for (const client of frozen) {
        client.resume()
        await client.until(() => client.frames.some((one) => indexOf(one) === COUNT - 1))
        const got = client.frames.map(indexOf)
        expect(got).toEqual([...new Set(got)].toSorted((a, b) => a - b))
        expect(got.slice(-50)).toEqual(Array.from({ length: 50 }, (_, index) => COUNT - 50 + index))
        client.frames.length = 0
        await client.sync()
      }
    },
  )

  test('to topics that keep the latest, all stay and get that', { timeout: 120_000 }, async ({ shell }) => {
    const { frozen, pour } = await open(shell, '/topic/latest.*')
    expect(await pour(COUNT, (index) => `/topic/latest.${index % 10}`)).toBeLessThan(
      2 * (BUDGET + MIB) + GARBAGE,
    )
    const newest = Array.from({ length: 10 }, (_, index) => COUNT - 10 + index)
    for (const client of frozen) {
      client.resume()
      await client.until(() => {
        const got = new Set(client.frames.map(indexOf))
        return newest.every((index) => got.has(index))
      })
      const got = client.frames.map(indexOf)
      expect(got.slice(-10).toSorted((a, b) => a - b)).toEqual(newest)
      client.frames.length = 0
      await client.sync()
    }
  })
})
