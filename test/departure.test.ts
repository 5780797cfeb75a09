import type { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { StompError } from '../broker/protocol/errors.ts'
import { fresh, ownBrokers, startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { frame, RawClient } from './helpers/client.ts'

// A client may go at any moment, and by many ways: what it sent counts, what it held goes back.

let broker: TestBroker
const engine = new TestEngine()
beforeAll(async () => {
  broker = await startBroker({}, engine)
})
afterAll(() => broker.close())

describe('a client that writes a lot and leaves at once', () => {
  const count = 2_000

  async function listener(destination: string): Promise<RawClient> {
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: '0', destination })
    return client
  }
  function burst(destination: string): Buffer {
    const sends = Array.from({ length: count }, (_, index) => frame('SEND', { destination }, String(index)))
    return Buffer.concat([frame('CONNECT', { 'accept-version': '1.2' }), ...sends])
  }
  const bodies = Array.from({ length: count }, (_, index) => String(index))

  test('over WebSocket, as legacy stomp.js does: everything arrives', async () => {
    const destination = fresh('topic')
    const other = await listener(destination)
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.raw(burst(destination))
    client.send('DISCONNECT')
    client.socket.close()
    expect(await other.bodies(count)).toEqual(bodies)
  })

  test('over TCP: everything arrives', async () => {
    const destination = fresh('topic')
    const other = await listener(destination)
    const client = await RawClient.tcp(broker.tcpPort)
    client.raw(Buffer.concat([burst(destination), frame('DISCONNECT')]))
    client.socket.end()
    expect(await other.bodies(count)).toEqual(bodies)
  })

  test('over TCP, still reading: every receipt comes', async () => {
    const client = await RawClient.tcp(broker.tcpPort)
    const receipts = Array.from({ length: count }, (_, index) =>
      frame('SEND', { destination: fresh('topic'), receipt: String(index) }),
    )
    client.raw(Buffer.concat([frame('CONNECT', { 'accept-version': '1.2' }), ...receipts]))
    client.socket.end()
    await client.closed
    expect(client.frames.map(({ headers }) => headers['receipt-id']).slice(1)).toEqual(bodies)
  })

  test('what it subscribed to last is not handed to nobody', async () => {
    const destination = fresh('queue')
    const sender = await RawClient.connected(broker)
    for (const body of ['a', 'b', 'c']) await sender.request('SEND', { destination }, body)
    const client = await RawClient.tcp(broker.tcpPort)
    // More frames than a turn takes, so that the last ones are read when the client has left.
    const padding = Array.from({ length: 200 }, () => frame('SEND', { destination: fresh('topic') }))
    client.raw(
      Buffer.concat([
        frame('CONNECT', { 'accept-version': '1.2' }),
        ...padding,
        frame('SUBSCRIBE', { id: '0', destination }),
        frame('SEND', { destination }, 'd'),
      ]),
    )
    client.socket.end()
    await client.closed
    await sender.request('SUBSCRIBE', { id: '0', destination })
    expect(await sender.bodies(4)).toEqual(['a', 'b', 'c', 'd'])
  })
})

describe('a client that begins to leave and takes its time', () => {
  /** Opens a connection that subscribed to a queue; `goodbye` begins its end, and nothing more. */
  const goodbyes: [string, (destination: string) => Promise<{ goodbye: () => void; destroy: () => void }>][] =
    [
      [
        'a WebSocket close frame without an end of the connection',
        async (destination) => {
          const client = await subscribed(await RawClient.webSocket(broker.webSocketUrl), destination)
          const { socket } = client
          const raw = (socket as unknown as { _socket: Socket })._socket
          // A masked close frame, code 1000, written past the client library.
          return {
            goodbye: () => raw.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])),
            destroy: client.destroy,
          }
        },
      ],
      [
        'a WebSocket frame that breaks the protocol',
        async (destination) => {
          const client = await subscribed(await RawClient.webSocket(broker.webSocketUrl), destination)
          const raw = (client.socket as unknown as { _socket: Socket })._socket
          return { goodbye: () => raw.write(Buffer.from([0xff, 0x80, 0, 0, 0, 0])), destroy: client.destroy }
        },
      ],
      [
        'the end of writing on TCP',
        async (destination) => {
          const client = await subscribed(await RawClient.tcp(broker.tcpPort), destination)
          return { goodbye: () => client.socket.end(), destroy: client.destroy }
        },
      ],
    ]

  async function subscribed<C extends RawClient>(client: C, destination: string): Promise<C> {
    client.send('CONNECT', { 'accept-version': '1.2' })
    await client.next('CONNECTED')
    await client.request('SUBSCRIBE', { id: '0', destination })
    return client
  }

  test.each(goodbyes)('%s: it is handed nothing more', async (_says, open) => {
    const destination = fresh('queue')
    const { goodbye, destroy } = await open(destination)
    goodbye()
    const gone = async (): Promise<boolean> =>
      !(await engine.inspect()).some(({ queue, consumers }) => queue === destination && consumers > 0)
    await expect.poll(gone).toBe(true)
    const sender = await RawClient.connected(broker)
    for (const body of ['a', 'b', 'c']) await sender.request('SEND', { destination }, body)
    await sender.request('SUBSCRIBE', { id: '0', destination })
    expect(await sender.bodies(3)).toEqual(['a', 'b', 'c'])
    destroy()
  })
})

test('a close frame behind much unread output: nothing is handed out after it', async () => {
  const [topic, destination] = [fresh('topic'), fresh('queue')]
  const client = await RawClient.connected(broker)
  await client.request('SUBSCRIBE', { id: '0', destination: topic })
  await client.request('SUBSCRIBE', { id: '1', destination })
  client.pause()
  const sender = await RawClient.connected(broker)
  // Below the budget, above what the system takes.
  for (let index = 0; index < 80; index++)
    await sender.request('SEND', { destination: topic }, 'x'.repeat(100_000))
  const raw = (client.socket as unknown as { _socket: Socket })._socket
  raw.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]))
  await expect
    .poll(() => engine.inspect().then((queues) => queues.find(({ queue }) => queue === destination)))
    .toBeUndefined()
  for (const body of ['a', 'b', 'c']) await sender.request('SEND', { destination }, body)
  await sender.request('SUBSCRIBE', { id: '0', destination })
  expect(await sender.bodies(3)).toEqual(['a', 'b', 'c'])
  client.destroy()
})

describe('what a client held goes back', () => {
  test('also after a cumulative ACK in a transaction', async () => {
    const destination = fresh('queue')
    const client = await RawClient.connected(broker)
    for (let index = 0; index < 100; index++) await client.request('SEND', { destination })
    await client.request('SUBSCRIBE', { id: '0', destination, ack: 'client', prefetch: '0' })
    const last = (await client.take(100)).at(-1)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('ACK', { id: last?.headers.ack ?? '', transaction: 't' })
    client.destroy()
    await expect.poll(() => engine.count(destination)).toEqual({ ready: 100, unacked: 0 })
  })

  test('acks in a transaction of a subscription that ended do not widen the next of the same id', async () => {
    const destination = fresh('queue')
    const client = await RawClient.connected(broker)
    for (let index = 0; index < 10; index++) await client.request('SEND', { destination })
    const subscribe = { id: 's', destination, ack: 'client-individual', prefetch: '3' }
    await client.request('SUBSCRIBE', subscribe)
    await client.request('BEGIN', { transaction: 't' })
    for (const { headers } of await client.take(3))
      await client.request('ACK', { id: headers.ack ?? '', transaction: 't' })
    await client.request('UNSUBSCRIBE', { id: 's' })
    await client.request('SUBSCRIBE', subscribe)
    await client.request('COMMIT', { transaction: 't' })
    await client.sync()
    expect(client.frames).toHaveLength(3)
    expect(await engine.count(destination)).toEqual({ ready: 4, unacked: 3 })
  })
})

describe('a client that leaves while commits are pending', () => {
  const start = ownBrokers()
  afterEach(() => {
    vi.useRealTimers()
  })

  /** A broker whose commits wait from now on. */
  async function slow(): Promise<{ own: TestBroker; engine: TestEngine }> {
    const engine = new TestEngine()
    const own = await start({}, engine)
    engine.held = true
    return { own, engine }
  }
  const waiting = (engine: TestEngine, count: number): Promise<void> =>
    expect.poll(() => engine.waiting.length).toBe(count)
  const receipts = (client: RawClient): (string | undefined)[] =>
    client.frames.map(({ command, headers }) => `${command} ${headers['receipt-id']}`)

  test.each([
    ['TCP', 'no DISCONNECT', []],
    ['TCP', 'a DISCONNECT', ['RECEIPT bye']],
  ])('over %s with %s: the RECEIPTs come, and then the end', async (_transport, says, goodbye) => {
    const { own, engine } = await slow()
    const client = await RawClient.tcpConnected(own)
    for (const receipt of ['1', '2']) client.send('SEND', { destination: '/queue/a', receipt })
    if (says === 'a DISCONNECT') client.send('DISCONNECT', { receipt: 'bye' })
    client.socket.end()
    await waiting(engine, 2)
    // Its end has been heard of when this has.
    await (await RawClient.tcpConnected(own)).request('BEGIN', { transaction: 't' })
    engine.settle()
    await client.until(() => client.frames.length === 1)
    expect(receipts(client)).toEqual(['RECEIPT 1'])
    engine.settle()
    await client.closed
    expect(receipts(client)).toEqual(['RECEIPT 1', 'RECEIPT 2', ...goodbye])
  })

  test('over TCP: what fails after its last word is still an ERROR', async () => {
    const { own, engine } = await slow()
    const client = await RawClient.tcpConnected(own)
    client.send('SEND', { destination: '/queue/a', receipt: '1' })
    client.socket.end()
    await waiting(engine, 1)
    await (await RawClient.tcpConnected(own)).request('BEGIN', { transaction: 't' })
    engine.settle(new StompError('store-full', 'The disk is full.'))
    expect((await client.refusal()).error.headers).toMatchObject({ 'receipt-id': '1' })
  })

  test('over TCP: it is waited for no longer than five seconds', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    const { own, engine } = await slow()
    const client = await RawClient.tcpConnected(own)
    const watcher = await RawClient.tcpConnected(own)
    client.send('SEND', { destination: '/queue/a', receipt: '1' })
    client.socket.end()
    await waiting(engine, 1)
    vi.advanceTimersByTime(4_900)
    for (let round = 0; round < 20; round++) await watcher.request('UNSUBSCRIBE', { id: 'none' })
    expect(own.broker.stats.connections).toBe(2)
    vi.advanceTimersByTime(250)
    await client.closed
    expect(client.frames).toEqual([])
    engine.settle()
    await expect.poll(() => engine.count('/queue/a')).toEqual({ ready: 1, unacked: 0 })
  })

  test('over WebSocket with a close frame right behind: it counts, and nothing follows the close', async () => {
    const { own, engine } = await slow()
    const client = await RawClient.connected(own)
    for (const receipt of ['1', '2']) client.send('SEND', { destination: '/queue/a', receipt })
    client.socket.close(1000)
    expect((await client.closed).code).toBe(1000)
    await waiting(engine, 2)
    engine.settle()
    engine.settle()
    await expect.poll(() => engine.count('/queue/a')).toEqual({ ready: 2, unacked: 0 })
    expect(client.frames).toEqual([])
    expect([own.broker.stats.connections, own.warnings]).toEqual([0, []])
  })

  test.each(['an ERROR', 'a close frame', 'an abrupt end', 'a DISCONNECT', 'the end of writing'])(
    'by %s: what a COMMIT would have acked goes back when it is refused',
    async (way) => {
      const { own, engine } = await slow()
      engine.held = false
      const client = await (way === 'the end of writing'
        ? RawClient.tcpConnected(own)
        : RawClient.connected(own))
      for (const body of ['1', '2']) await client.request('SEND', { destination: '/queue/a' }, body)
      await client.request('SUBSCRIBE', { id: '0', destination: '/queue/a', ack: 'client' })
      const last = (await client.take(2)).at(-1)
      await client.request('BEGIN', { transaction: 't' })
      await client.request('ACK', { id: last?.headers.ack ?? '', transaction: 't' })
      engine.held = true
      client.send('COMMIT', { transaction: 't', receipt: 'commit' })
      await waiting(engine, 1)
      if (way === 'an ERROR') client.send('NONSENSE')
      else if (way === 'a close frame' || way === 'the end of writing') client.end()
      else if (way === 'a DISCONNECT') client.send('DISCONNECT')
      else client.destroy()
      await expect
        .poll(async () => (await engine.inspect()).map(({ consumers, unacked }) => [consumers, unacked]))
        .toEqual([[0, 2]])
      engine.settle(new StompError('store-full', 'The disk is full.'))
      await expect.poll(() => engine.count('/queue/a')).toEqual({ ready: 2, unacked: 0 })
      await client.closed
      const told = ['a DISCONNECT', 'the end of writing'].includes(way)
      expect(receipts(client).filter((line) => line === 'ERROR commit')).toHaveLength(told ? 1 : 0)
      expect(own.warnings).toEqual([])
    },
  )
})

describe('a full disk', () => {
  const start = ownBrokers()

  async function refused(
    headers: Record<string, string>,
  ): Promise<{ own: TestBroker; client: RawClient; engine: TestEngine }> {
    const engine = new TestEngine()
    const own = await start({}, engine)
    const client = await RawClient.connected(own, headers)
    engine.held = true
    client.send('SEND', { destination: '/queue/a', receipt: 'r' })
    await expect.poll(() => engine.waiting.length).toBe(1)
    return { own, client, engine }
  }
  const full = new StompError('store-full', 'The disk is full.')

  test('is an ERROR with the receipt-id, and ends the connection with 1008', async () => {
    const { client, engine } = await refused({})
    engine.settle(full)
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'no room on disk', 'receipt-id': 'r' })
    expect([error.body.toString(), close.code]).toEqual(['The disk is full.\n', 1008])
  })

  test('a client with the error scope of a frame stays', async () => {
    const { client, engine } = await refused({ 'x-error-scope': 'frame' })
    engine.settle(full)
    expect((await client.next('ERROR')).headers).toMatchObject({ 'receipt-id': 'r' })
    engine.held = false
    await client.request('SEND', { destination: '/queue/a' })
    expect(await engine.count('/queue/a')).toEqual({ ready: 1, unacked: 0 })
  })

  test('and has the RECEIPT of its DISCONNECT after the ERROR', async () => {
    const { own, client, engine } = await refused({ 'x-error-scope': 'frame' })
    client.send('DISCONNECT', { receipt: 'bye' })
    client.send('SEND', { destination: '/queue/a', receipt: 'late' })
    // The broker has heard both when it has heard this.
    await (await RawClient.connected(own)).request('BEGIN', { transaction: 't' })
    expect([engine.waiting.length, client.frames]).toEqual([1, []])
    engine.settle(full)
    expect((await client.next('ERROR')).headers).toMatchObject({ 'receipt-id': 'r' })
    await client.receipt('bye')
    client.end()
    await client.closed
    expect(client.frames).toEqual([])
  })
})
