import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fresh, startBroker, type TestBroker } from './helpers/broker.ts'
import { RawClient, type RawFrame } from './helpers/client.ts'
import { SockJsSession } from './helpers/sockjs-session.ts'

// Topics that spare slow subscribers: a client that does not read for a while stays, and gets the
// newest messages when it reads again.

const KIB = 1024
const SIZE = 60 * KIB
/** Messages kept for one subscription. */
const KEPT = 20

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker({
    maxBody: 64 * KIB,
    maxFrame: 128 * KIB,
    sendBudget: 4096 * KIB,
    slowMessages: KEPT,
    slowConsumers: [
      '/topic/fresh/strict/*=disconnect',
      '/topic/fresh/**=drop-oldest',
      '/topic/price/**=keep-latest',
    ],
  })
})
afterAll(() => broker.close())

function payload(index: number): string {
  return `${index} `.padEnd(SIZE, 'x')
}
function indexOf({ body }: RawFrame): number {
  expect(body.length).toBe(SIZE)
  return Number(body.toString('utf8', 0, body.indexOf(32)))
}
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, index) => from + index)

/** What a client that cannot keep up has to do with. */
interface Counts {
  readonly dropped: number
  readonly conflated: number
  readonly ended: number
}
function counts(): Counts {
  const { slowDropped, slowConflated, slowConsumers } = broker.broker.stats
  return { dropped: slowDropped, conflated: slowConflated, ended: slowConsumers }
}
function since(before: Counts): Counts {
  const now = counts()
  return {
    dropped: now.dropped - before.dropped,
    conflated: now.conflated - before.conflated,
    ended: now.ended - before.ended,
  }
}

async function subscriber(transport: string, destination: string): Promise<RawClient> {
  const client = await (transport === 'tcp' ? RawClient.tcpConnected(broker) : RawClient.connected(broker))
  await client.request('SUBSCRIBE', { id: '0', destination })
  return client
}

/** Publishes so many, each of which a quick subscriber has in hand before the next is sent. */
async function publish(
  publisher: RawClient,
  quick: RawClient,
  count: number,
  destination: (index: number) => string,
  from = 0,
): Promise<void> {
  for (let index = from; index < from + count; index++) {
    publisher.send('SEND', { destination: destination(index) }, payload(index))
    expect(indexOf(await quick.next('MESSAGE'))).toBe(index)
    // What a helper keeps for others.
    quick.messages.length = 0
  }
}

/** Its last message is the newest, or it is not there yet. */
function until(client: RawClient, newest: number): Promise<void> {
  return client.until(() => client.frames.some((frame) => indexOf(frame) === newest))
}

describe.each(['websocket', 'tcp'])('over %s', (transport) => {
  test('drop-oldest: the newest messages come in order, the gap before them is counted', async () => {
    const destination = fresh('topic')
    const [publisher, quick, frozen] = [
      await RawClient.connected(broker),
      await subscriber('websocket', destination),
      await subscriber(transport, destination),
    ]
    const before = counts()
    frozen.pause()
    const count = 500
    await publish(publisher, quick, count, () => destination)
    frozen.resume()
    await until(frozen, count - 1)
    const got = frozen.frames.splice(0).map(indexOf)
    expect(got).toEqual([...new Set(got)].toSorted((a, b) => a - b))
    expect(got.slice(-KEPT)).toEqual(range(count - KEPT, count))
    expect(got.length).toBeLessThan(count)
    expect(since(before)).toEqual({ dropped: count - got.length, conflated: 0, ended: 0 })
    // It is one of the others again.
    await publish(publisher, quick, 10, () => destination, count)
    expect((await frozen.take(10)).map(indexOf)).toEqual(range(count, count + 10))
    await frozen.sync()
  })

  test('keep-latest: the newest message of each destination comes, those before it are counted', async () => {
    const prices = Array.from({ length: 5 }, (_, index) => `/topic/price/${transport}/${index}`)
    const [publisher, quick, frozen] = [
      await RawClient.connected(broker),
      await subscriber('websocket', `/topic/price/${transport}/*`),
      await subscriber(transport, `/topic/price/${transport}/*`),
    ]
    const before = counts()
    frozen.pause()
    const count = 500
    await publish(publisher, quick, count, (index) => prices[index % 5] ?? '')
    frozen.resume()
    await frozen.until(() =>
      range(count - 5, count).every((newest) => frozen.frames.some((one) => indexOf(one) === newest)),
    )
    const got = frozen.frames.splice(0)
    for (const price of prices) {
      const own = got.filter(({ headers }) => headers.destination === price).map(indexOf)
      expect(own).toEqual([...new Set(own)].toSorted((a, b) => a - b))
      expect(own.at(-1)).toBe(count - 5 + prices.indexOf(price))
    }
    expect(got.length).toBeLessThan(count / 2)
    expect(since(before)).toEqual({ dropped: 0, conflated: count - got.length, ended: 0 })
    await publish(publisher, quick, 10, () => prices[0] ?? '', count)
    expect((await frozen.take(10)).map(indexOf)).toEqual(range(count, count + 10))
  })
})

test('a topic that a rule before says so of disconnects, beside others that do not', async () => {
  const [strict, lenient] = [`/topic/fresh/strict/a`, fresh('topic')]
  const publisher = await RawClient.connected(broker)
  const quick = await subscriber('websocket', strict)
  const frozen = await RawClient.connected(broker)
  for (const [id, destination] of [strict, lenient].entries())
    await frozen.request('SUBSCRIBE', { id: String(id), destination })
  const before = counts()
  frozen.pause()
  for (let index = 0; since(before).ended === 0; index++) {
    publisher.send('SEND', { destination: lenient }, payload(index))
    await publish(publisher, quick, 1, () => strict, index)
    if (index > 1_000) throw new Error('the budget has no effect')
  }
  frozen.resume()
  const { error, close } = await frozen.refusal()
  expect([error.headers.message, close.code]).toEqual(['send limit exceeded', 4500])
})

test('who unsubscribes while messages wait for it gets none of them', async () => {
  const destination = fresh('topic')
  const [publisher, quick, frozen] = [
    await RawClient.connected(broker),
    await subscriber('websocket', destination),
    await subscriber('websocket', destination),
  ]
  frozen.pause()
  await publish(publisher, quick, 300, () => destination)
  frozen.send('UNSUBSCRIBE', { id: '0', receipt: 'gone' })
  await publisher.sync()
  // The broker reads what a client sends, whatever that client reads.
  while ((await listeners(destination)) > 1) await publisher.sync()
  frozen.resume()
  await frozen.receipt('gone')
  await frozen.sync()
  expect(frozen.frames.map(indexOf)).not.toContain(299)
})

/** How many get a message to a topic, by what is counted in the broker: those that lag, and the quick one. */
async function listeners(destination: string): Promise<number> {
  const probe = await RawClient.connected(broker)
  const { dropped } = counts()
  await probe.request('SEND', { destination }, payload(999))
  const lagging = counts().dropped > dropped
  probe.destroy()
  return lagging ? 2 : 1
}

describe('SockJS over HTTP', () => {
  async function opened(destination: string): Promise<SockJsSession> {
    const session = await SockJsSession.connected(broker.sockJsUrl)
    await session.subscribe(destination)
    return session
  }

  test('a poller that stops polling, and a stream that is not read, go on with the newest messages', async () => {
    const destination = fresh('topic')
    const [publisher, quick] = [await RawClient.connected(broker), await subscriber('websocket', destination)]
    const [poller, streamer] = [await opened(destination), await opened(destination)]
    const stream = await streamer.stream()
    const before = counts()
    const count = 120
    await publish(publisher, quick, count, () => destination)
    const newest = (session: SockJsSession) => () => session.frames.some((one) => indexOf(one) === count - 1)
    await Promise.all([
      poller.pollUntil(newest(poller)),
      streamer.read(stream).then(() => streamer.pollUntil(newest(streamer))),
    ])
    for (const { frames, closed } of [poller, streamer]) {
      expect(closed).toBeUndefined()
      const got = frames.map(indexOf)
      expect(got).toEqual([...new Set(got)].toSorted((a, b) => a - b))
      expect(got.slice(-KEPT)).toEqual(range(count - KEPT, count))
    }
    const lost = 2 * count - poller.frames.length - streamer.frames.length
    expect(lost).toBeGreaterThan(0)
    expect(since(before)).toEqual({ dropped: lost, conflated: 0, ended: 0 })
    for (const session of [poller, streamer]) session.destroy()
  })

  test('and with the latest of each destination', async () => {
    const prices = ['/topic/price/http/a', '/topic/price/http/b']
    const publisher = await RawClient.connected(broker)
    const quick = await subscriber('websocket', '/topic/price/http/*')
    const poller = await opened('/topic/price/http/*')
    const before = counts()
    const count = 60
    await publish(publisher, quick, count, (index) => prices[index % 2] ?? '')
    await poller.pollUntil(() =>
      [count - 2, count - 1].every((newest) => poller.frames.some((one) => indexOf(one) === newest)),
    )
    const got = poller.frames.map(indexOf)
    expect(got.slice(-2).toSorted((a, b) => a - b)).toEqual([count - 2, count - 1])
    expect(since(before)).toEqual({ dropped: 0, conflated: count - got.length, ended: 0 })
    expect(got.length).toBeLessThan(count / 2)
    poller.destroy()
  })
})
