import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fresh, startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
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
