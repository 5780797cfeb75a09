import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { fresh, startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { RawClient } from './helpers/client.ts'
import { SockJsSession } from './helpers/sockjs-session.ts'

const KIB = 1024
const MIB = 1024 * KIB
const BUDGET = MIB
/** What the two sockets of a connection may hold beside the broker, whatever the system. */
const SYSTEM = 24 * MIB
const SIZE = 60 * KIB
/** Bytes that may wait for a client before its queues hold back. */
const HIGH_WATER = 256 * KIB

let broker: TestBroker
const engine = new TestEngine()
beforeAll(async () => {
  broker = await startBroker({ maxBody: 64 * KIB, maxFrame: 128 * KIB, sendBudget: BUDGET }, engine)
})
afterAll(() => broker.close())
afterEach(() => {
  vi.useRealTimers()
})

function payload(index: number): string {
  return `${index} `.padEnd(SIZE, 'x')
}
function indexOf(body: string): number {
  return Number(body.slice(0, body.indexOf(' ')))
}

async function subscriber(transport: string, headers: Record<string, string>): Promise<RawClient> {
  const client = await (transport === 'tcp' ? RawClient.tcpConnected(broker) : RawClient.connected(broker))
  await client.request('SUBSCRIBE', { id: '0', ...headers })
  return client
}

describe('topics', () => {
  test.each(['websocket', 'tcp'])(
    'invariant 7: a frozen %s socket hinders nobody, and ends with an ERROR once its budget is used up',
    async (transport) => {
      const destination = `/topic/slow/${transport}`
      const [publisher, quick, frozen] = [
        await RawClient.connected(broker),
        await subscriber('websocket', { destination }),
        await subscriber(transport, { destination }),
      ]
      const { stats } = broker.broker
      const before = stats.slowConsumers
      frozen.pause()
      let published = 0
      let droppedAt = 0
      // Each message is in the quick one's hands before the next is sent, and goes on so after the end of the other.
      while (droppedAt === 0 || published < droppedAt + 50) {
        const index = published++
        publisher.send('SEND', { destination }, payload(index))
        expect(indexOf((await quick.bodies(1))[0] ?? '')).toBe(index)
        if (droppedAt === 0 && stats.slowConsumers > before) droppedAt = published
        if (published * SIZE > SYSTEM + 2 * BUDGET) throw new Error('the budget has no effect')
      }
      expect(droppedAt * SIZE).toBeGreaterThan(BUDGET)
      frozen.resume()
      const { error, close } = await frozen.refusal()
      expect(error.headers.message).toBe('send limit exceeded')
      expect(error.body.toString()).toContain('limit send-budget')
      if (transport === 'websocket') expect(close.code).toBe(4500)
      // It was kept no more than until then, and that without a gap.
      const got = frozen.frames.map(({ body }) => indexOf(body.toString()))
      expect(got).toEqual(Array.from({ length: droppedAt }, (_, index) => index))
    },
  )

  test('a burst within the budget is no reason to end anybody', async () => {
    const destination = '/topic/slow/burst'
    const [publisher, reader] = [await RawClient.connected(broker), await subscriber('tcp', { destination })]
    reader.pause()
    const count = Math.floor((BUDGET * 0.9) / SIZE)
    for (let index = 0; index < count; index++) publisher.send('SEND', { destination }, payload(index))
    await publisher.sync()
    reader.resume()
    expect((await reader.bodies(count)).map(indexOf)).toEqual(
      Array.from({ length: count }, (_, index) => index),
    )
    await reader.sync()
  })

  test('a reader that never comes back is cut off after five seconds', async () => {
    const destination = '/topic/slow/never'
    const [publisher, frozen] = [await RawClient.connected(broker), await subscriber('tcp', { destination })]
    const { stats } = broker.broker
    const before = stats.slowConsumers
    frozen.pause()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    while (stats.slowConsumers === before) await publisher.request('SEND', { destination }, payload(0))
    const { connections } = stats
    vi.advanceTimersByTime(4900)
    for (let round = 0; round < 20; round++) await publisher.sync()
    expect(stats.connections).toBe(connections)
    vi.advanceTimersByTime(100)
    while (stats.connections === connections) await publisher.sync()
    frozen.destroy()
  })
})

describe('queues', () => {
  /** Publishes to a queue with a frozen and a quick consumer; everything must reach one of them in the end. */
  async function share(
    name: string,
    frozenHeaders: Record<string, string>,
    count: number,
  ): Promise<{ frozen: RawClient; quick: RawClient; quickHad: number[]; destination: string }> {
    const destination = `/queue/slow/${name}`
    const publisher = await RawClient.connected(broker)
    const quick = await subscriber('websocket', { destination })
    const frozen = await subscriber('tcp', { destination, ...frozenHeaders })
    frozen.pause()
    for (let index = 0; index < count; index++)
      await publisher.request('SEND', { destination }, payload(index))
    await quick.sync()
    const quickHad = (await quick.bodies(quick.frames.length)).map(indexOf)
    return { frozen, quick, quickHad, destination }
  }

  const all = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
  const sorted = (list: number[]): number[] => list.toSorted((a, b) => a - b)

  test('a frozen consumer holds its prefetch and no more; the others get the rest, nothing is lost', async () => {
    const { frozen, quick, quickHad, destination } = await share(
      'prefetch',
      { ack: 'client-individual', prefetch: '5' },
      40,
    )
    expect(quickHad).toHaveLength(35)
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 5 })
    frozen.destroy()
    expect(sorted([...quickHad, ...(await quick.bodies(5)).map(indexOf)])).toEqual(all(40))
  })

  test('one without a limit holds what its connection takes; all of it returns when it ends', async () => {
    const count = 800
    const { frozen, quick, quickHad, destination } = await share(
      'unlimited',
      { ack: 'client-individual', prefetch: '0' },
      count,
    )
    const { unacked, ready } = await engine.count(destination)
    expect(ready).toBe(0)
    expect(unacked + quickHad.length).toBe(count)
    // Not half of all, as it would be by turns, and no ERROR: a queue waits for its consumers.
    expect(unacked * SIZE).toBeLessThan(SYSTEM)
    expect(unacked).toBeLessThan(count / 2)
    frozen.destroy()
    expect(sorted([...quickHad, ...(await quick.bodies(unacked)).map(indexOf)])).toEqual(all(count))
  })

  test('a SockJS poller that stops polling holds what high water is, and one message; the others get the rest', async () => {
    const destination = fresh('queue')
    const [publisher, poller] = [
      await RawClient.connected(broker),
      await SockJsSession.connected(broker.sockJsUrl),
    ]
    await poller.subscribe(destination, { ack: 'client', prefetch: '0' })
    const count = 40
    for (let index = 0; index < count; index++)
      await publisher.request('SEND', { destination }, payload(index))
    // No system holds anything for it.
    const held = Math.ceil(HIGH_WATER / SIZE)
    expect(await engine.count(destination)).toEqual({ ready: count - held, unacked: held })
    const quick = await subscriber('websocket', { destination })
    expect((await quick.bodies(count - held)).map(indexOf)).toEqual(all(count).slice(held))
    await poller.send('DISCONNECT', {})
    expect((await quick.bodies(held)).map(indexOf)).toEqual(all(held))
    poller.destroy()
  })

  test.each([
    ['auto', { ack: 'auto' }],
    ['without a limit', { ack: 'client', prefetch: '0' }],
  ])(
    'a consumer %s which thaws goes on where it was, and is not ended as a topic subscriber is',
    async (name, headers) => {
      const destination = `/queue/slow/thaw/${name}`
      const publisher = await RawClient.connected(broker)
      const frozen = await subscriber('tcp', { destination, ...headers })
      frozen.pause()
      const count = 300
      for (let index = 0; index < count; index++)
        await publisher.request('SEND', { destination }, payload(index))
      const { ready } = await engine.count(destination)
      expect(ready).toBeGreaterThan(0)
      frozen.resume()
      expect((await frozen.bodies(count)).map(indexOf)).toEqual(all(count))
    },
  )
})

test('all together: the one for whom most waits is ended, and told of the limit', async () => {
  const own = await startBroker({ maxBody: 64 * KIB, maxFrame: 128 * KIB, totalSendBudget: 2 * MIB })
  const { stats } = own.broker
  const publisher = await RawClient.connected(own)
  // What waits for a poller waits in the broker alone.
  const pollers = await Promise.all(
    [0, 1, 2].map(async () => {
      const session = await SockJsSession.connected(own.sockJsUrl)
      const destination = fresh('topic')
      await session.subscribe(destination)
      return { session, destination }
    }),
  )
  const send = async (index: number, count: number): Promise<void> => {
    const destination = pollers[index]?.destination ?? ''
    for (let sent = 0; sent < count; sent++) await publisher.request('SEND', { destination }, payload(sent))
  }
  await send(0, 6)
  await send(1, 18)
  await send(2, 6)
  expect(stats.slowConsumers).toBe(0)
  // 35 messages are more than two MiB.
  await send(0, 5)
  expect(stats.slowConsumers).toBe(1)
  // There is room again.
  await send(0, 6)
  expect(stats.slowConsumers).toBe(1)
  for (const { session } of pollers) {
    const count = pollers.findIndex((one) => one.session === session) === 2 ? 6 : 17
    await session.pollUntil(() => session.frames.length === count)
  }
  const [first, most, last] = pollers.map(({ session }) => session)
  expect([first?.closed, first?.frames.length]).toEqual([undefined, 17])
  expect([last?.closed, last?.frames.length]).toEqual([undefined, 6])
  await most?.pollUntil(() => false)
  expect(most?.closed).toEqual([4500, 'send limit exceeded'])
  const error = most?.frames.pop()
  expect([error?.command, most?.frames.length]).toEqual(['ERROR', 18])
  expect(error?.body.toString()).toContain('limit total-send-budget')
  for (const { session } of pollers) session.destroy()
  await own.close()
})
