import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ownBrokers, type TestBroker } from './helpers/broker.ts'
import { frame, RawClient } from './helpers/client.ts'

// The broker's clock stands still but where a test moves it: what waits, waits until then.

const RATE = 10
const PATIENCE = 1_000
/** Milliseconds in which one more may be sent. */
const STEP = 1_000 / RATE

const start = ownBrokers()
let broker: TestBroker
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  broker = await start({ maxSendRate: RATE, sendRatePatience: PATIENCE })
})
afterEach(() => {
  vi.useRealTimers()
})

const SEND = { destination: '/topic/rate' }

/** Sends so many at once, with receipts that are numbered on. */
function flood(client: RawClient, from: number, count: number): void {
  const frames = Array.from({ length: count }, (_, index) =>
    frame('SEND', { ...SEND, receipt: String(from + index) }),
  )
  client.raw(Buffer.concat(frames))
}

/** The receipts that came, once all those have come that will without the clock. */
async function receipts(client: RawClient, count: number): Promise<string[]> {
  await client.until(() => client.frames.length >= count)
  const other = await RawClient.connected(broker)
  for (let time = 0; time < 3; time++) await other.request('UNSUBSCRIBE', { id: 'none' })
  other.destroy()
  return client.frames.splice(0).map(({ command, headers }) => headers['receipt-id'] ?? command)
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => String(from + index))
}

const ways: [string, (headers?: Record<string, string>) => Promise<RawClient>][] = [
  ['WebSocket', (headers) => RawClient.connected(broker, headers)],
  ['TCP', (headers) => RawClient.tcpConnected(broker, headers)],
]

describe.each(ways)('max-send-rate over %s', (way, connected) => {
  test("a second's worth at once, and one more waits for its time", async () => {
    const client = await connected()
    flood(client, 1, RATE + 1)
    expect(await receipts(client, RATE)).toEqual(numbers(1, RATE))
    vi.advanceTimersByTime(STEP - 1)
    expect(await receipts(client, 0)).toEqual([])
    vi.advanceTimersByTime(1)
    expect(await receipts(client, 1)).toEqual([String(RATE + 1)])
  })

  test('what was not used in a second is not kept for the next', async () => {
    const client = await connected()
    vi.advanceTimersByTime(5_000)
    flood(client, 1, RATE + 1)
    expect(await receipts(client, RATE)).toEqual(numbers(1, RATE))
  })

  test('other frames come as they like, until they stand behind one that waits', async () => {
    const client = await connected()
    for (let time = 0; time < 3 * RATE; time++) await client.request('UNSUBSCRIBE', { id: 'none' })
    flood(client, 1, RATE + 1)
    client.send('UNSUBSCRIBE', { id: 'none', receipt: 'behind' })
    expect(await receipts(client, RATE)).toEqual(numbers(1, RATE))
    vi.advanceTimersByTime(2 * STEP)
    expect(await receipts(client, 2)).toEqual([String(RATE + 1), 'behind'])
  })

  test('who goes on for too long gets an ERROR, and nobody else does', async () => {
    const [client, other] = [await connected(), await connected()]
    flood(client, 1, 3 * RATE)
    let next = RATE + 1
    expect(await receipts(client, RATE)).toEqual(numbers(1, RATE))
    // Its tokens come a few at a time.
    for (const count of [1, 5, 3]) {
      vi.advanceTimersByTime(count * STEP)
      expect(await receipts(client, count)).toEqual(numbers(next, next + count - 1))
      next += count
    }
    vi.advanceTimersByTime(STEP)
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'sending too fast', 'receipt-id': String(next) })
    expect(error.body.toString()).toContain('limit max-send-rate')
    if (way === 'WebSocket') expect(close.code).toBe(1008)
    await other.request('SEND', SEND)
  })

  test('who pauses is forgiven', async () => {
    const client = await connected()
    flood(client, 1, RATE + 5)
    expect(await receipts(client, RATE)).toEqual(numbers(1, RATE))
    vi.advanceTimersByTime(PATIENCE / 2)
    expect(await receipts(client, 5)).toEqual(numbers(RATE + 1, RATE + 5))
    vi.advanceTimersByTime(PATIENCE / 2)
    flood(client, 50, 6)
    expect(await receipts(client, 5)).toEqual(numbers(50, 54))
    vi.advanceTimersByTime(STEP)
    expect(await receipts(client, 1)).toEqual(['55'])
  })

  test('with the error scope frame one message is refused, and the client stays', async () => {
    const client = await connected({ 'x-error-scope': 'frame' })
    flood(client, 1, RATE + 3)
    expect(await receipts(client, RATE)).toEqual(numbers(1, RATE))
    vi.advanceTimersByTime(PATIENCE)
    await client.until(() => client.frames.length >= 3)
    const answers = client.frames.splice(0).map(({ command, headers }) => [command, headers['receipt-id']])
    expect(answers).toEqual([
      ['ERROR', String(RATE + 1)],
      ['RECEIPT', String(RATE + 2)],
      ['RECEIPT', String(RATE + 3)],
    ])
    await client.request('SEND', SEND)
  })
})

test('what a client sent before it left is done, however fast it was', async () => {
  const [reader, client] = [await RawClient.connected(broker), await RawClient.tcpConnected(broker)]
  await reader.request('SUBSCRIBE', { id: '0', ...SEND })
  flood(client, 1, RATE + 5)
  client.socket.end()
  await reader.take(RATE + 5)
})

test('a client that writes on and on is stopped by its socket, and hears why in the end', async () => {
  vi.useRealTimers()
  const own = await start({ maxSendRate: 100, sendRatePatience: 500 })
  const client = await RawClient.tcpConnected(own)
  const body = 'x'.repeat(10_000)
  let written = 0
  const write = (): void => {
    while (written < 5_000) {
      written++
      if (!client.socket.write(frame('SEND', SEND, body))) return
    }
  }
  client.socket.on('drain', write)
  write()
  const { error } = await client.refusal()
  expect(error.headers.message).toBe('sending too fast')
  expect(own.broker.stats.published).toBeLessThan(500)
})

test('by default everybody sends as fast as may be', async () => {
  const own = await start({})
  const client = await RawClient.connected(own)
  flood(client, 1, 5_000)
  await client.receipt('5000')
})
