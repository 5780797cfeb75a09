import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { RawClient } from './helpers/client.ts'

let broker: TestBroker
const engine = new TestEngine()
beforeAll(async () => {
  broker = await startBroker({}, engine)
})
afterAll(() => broker.close())
afterEach(() => {
  vi.useRealTimers()
})

describe('DISCONNECT', () => {
  test('1.2 DISCONNECT: the RECEIPT tells that all frames before it were received', async () => {
    const client = await RawClient.connected(broker)
    for (let index = 0; index < 300; index++) client.send('SEND', { destination: '/queue/disconnect/all' })
    client.send('DISCONNECT', { receipt: '77' })
    expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('77')
    expect(await engine.count('/queue/disconnect/all')).toEqual({ ready: 300, unacked: 0 })
  })

  test('contract 4.11: the client may close first, after its RECEIPT', async () => {
    const client = await RawClient.connected(broker)
    await client.request('DISCONNECT')
    client.socket.close(1000)
    expect((await client.closed).code).toBe(1000)
  })

  test('1.2 DISCONNECT: frames after it are ignored', async () => {
    const client = await RawClient.connected(broker)
    client.send('DISCONNECT', { receipt: 'bye' })
    client.send('SEND', { destination: '/queue/disconnect/after', receipt: 'late' })
    client.raw('NONSENSE\n\n\0')
    await client.receipt('bye')
    client.socket.close()
    await client.closed
    expect(client.frames).toEqual([])
    expect(await engine.count('/queue/disconnect/after')).toEqual({ ready: 0, unacked: 0 })
  })

  test('after it a client gets no message, and what it held has returned', async () => {
    const destination = '/topic/disconnect/stop'
    const queue = '/queue/disconnect/held'
    const [leaving, other] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    await leaving.request('SUBSCRIBE', { id: 't', destination })
    await leaving.request('SUBSCRIBE', { id: 'q', destination: queue, ack: 'client' })
    await other.request('SEND', { destination: queue }, 'held')
    await leaving.next('MESSAGE')
    await leaving.request('DISCONNECT')
    await other.request('SEND', { destination })
    await other.request('SEND', { destination: queue }, 'new')
    leaving.socket.close()
    await leaving.closed
    expect(leaving.frames).toEqual([])
    await other.request('SUBSCRIBE', { id: 'q', destination: queue })
    expect(await other.bodies(2)).toEqual(['held', 'new'])
  })

  test.each(['a close frame', 'an abrupt end'])('a client may end by %s alone', async (way) => {
    const client = await RawClient.connected(broker)
    const { session } = client
    expect(session.headers.session).toBeDefined()
    if (way === 'a close frame') client.socket.close(1000, 'bye')
    else client.destroy()
    expect((await client.closed).code).toBe(way === 'a close frame' ? 1000 : 1006)
    await (await RawClient.connected(broker)).sync()
  })
})

test('contract 4.11: no connection stays behind', async () => {
  const own = await startBroker()
  const clients = [
    await RawClient.connected(own),
    await RawClient.connected(own),
    await RawClient.tcpConnected(own),
    await RawClient.tcpConnected(own),
    await RawClient.webSocket(own.webSocketUrl),
  ]
  const watcher = await RawClient.connected(own)
  expect(own.broker.stats.connections).toBe(6)
  clients[0]?.destroy()
  clients[1]?.send('NONSENSE')
  clients[2]?.destroy()
  clients[3]?.raw('NONSENSE\n\n\0')
  clients[4]?.destroy()
  await Promise.all(clients.map(({ closed }) => closed))
  while (own.broker.stats.connections > 1) await watcher.sync()
  await watcher.sync()
  await own.close()
})

test('contract 4.11: a client that does not close is closed with 1000, after five seconds', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  const own = await startBroker()
  const [client, plain] = [await RawClient.connected(own), await RawClient.tcpConnected(own)]
  const watcher = await RawClient.connected(own)
  await client.request('DISCONNECT')
  await plain.request('DISCONNECT')
  vi.advanceTimersByTime(4900)
  for (let round = 0; round < 20; round++) await watcher.sync()
  expect(own.broker.stats.connections).toBe(3)
  vi.advanceTimersByTime(250)
  expect((await client.closed).code).toBe(1000)
  await plain.closed
  expect([...client.frames, ...plain.frames]).toEqual([])
  await own.close()
})
