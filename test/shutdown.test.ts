import { once } from 'node:events'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { startBroker } from './helpers/broker.ts'
import { RawClient } from './helpers/client.ts'

/** Rejects unless `port` can be listened on. */
async function listenOn(port: number): Promise<void> {
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  server.close()
}

afterEach(() => {
  vi.useRealTimers()
})

describe.concurrent('close', () => {
  test('contract 4.11: tells every client 1001, resolves and frees the ports', async () => {
    const broker = await startBroker()
    const clients = [
      await RawClient.connected(broker),
      await RawClient.connected(broker, {}, '1.0'),
      // Not yet CONNECTed.
      await RawClient.webSocket(broker.webSocketUrl),
    ]
    const plain = await RawClient.tcpConnected(broker)
    const start = performance.now()
    await broker.close()
    expect(performance.now() - start).toBeLessThan(3000)
    for (const client of clients) {
      expect(await client.closed).toEqual({ code: 1001, reason: 'the broker is shutting down' })
      expect(client.frames).toEqual([])
    }
    await plain.closed
    await listenOn(broker.port)
    await listenOn(broker.tcpPort)
    await expect(RawClient.tcp(broker.tcpPort)).rejects.toThrow('ECONNREFUSED')
  })

  test('tells SockJS clients too', async () => {
    const broker = await startBroker()
    const poll = (): Promise<Response> => fetch(`${broker.sockJsUrl}/000/s/xhr`, { method: 'POST' })
    expect(await (await poll()).text()).toBe('o\n')
    const answer = poll()
    // The request is there once a later one on the same broker was answered.
    await fetch(`${broker.sockJsUrl}/info`)
    const closed = broker.close()
    expect(await (await answer).text()).toBe('c[1001,"the broker is shutting down"]\n')
    await closed
  })

  test('without any client, and twice at a time, it resolves', async () => {
    const broker = await startBroker()
    await Promise.all([broker.close(), broker.close()])
    const other = await startBroker()
    const client = await RawClient.connected(other)
    await Promise.all([other.close(), other.close()])
    expect((await client.closed).code).toBe(1001)
    await other.close()
  })

  test.each(['websocket', 'tcp'])(
    'invariant 10: closing delivers what was accepted, to a %s subscriber that reads late',
    async (transport) => {
      const broker = await startBroker()
      const publisher = await RawClient.connected(broker)
      const reader = await (transport === 'tcp'
        ? RawClient.tcpConnected(broker)
        : RawClient.connected(broker))
      await reader.request('SUBSCRIBE', { id: 't', destination: '/topic/close' })
      await reader.request('SUBSCRIBE', { id: 'q', destination: '/queue/close' })
      reader.pause()
      const body = Buffer.alloc(50_000, 'x')
      for (let index = 0; index < 50; index++) {
        publisher.send('SEND', { destination: '/topic/close' }, body)
        publisher.send('SEND', { destination: '/queue/close' }, String(index))
      }
      await publisher.sync()
      const closed = broker.close()
      reader.resume()
      const close = await reader.closed
      if (transport === 'websocket') expect(close.code).toBe(1001)
      await closed
      const of = (id: string): string[] =>
        reader.frames
          .filter(({ headers }) => headers.subscription === id)
          .map((frame) => frame.body.toString())
      expect(of('t')).toHaveLength(50)
      // The queue holds back when the connection is full: what was handed over comes without a gap.
      expect(of('q')).toEqual(Array.from({ length: of('q').length }, (_, index) => String(index)))
      expect(of('q').length).toBeGreaterThan(0)
    },
  )

  test('invariant 10: what was receipted in the very turn of the end arrives', async () => {
    const broker = await startBroker()
    const [publisher, reader] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    await reader.request('SUBSCRIBE', { id: '0', destination: '/topic/close' })
    for (let index = 0; index < 300; index++) {
      publisher.send('SEND', { destination: '/topic/close', receipt: String(index) }, String(index))
    }
    await publisher.until(() => publisher.frames.length > 0)
    await broker.close()
    await Promise.all([publisher.closed, reader.closed])
    const delivered = reader.frames.map(({ body }) => body.toString())
    const receipted = publisher.frames.map(({ headers }) => headers['receipt-id'])
    expect(receipted.length).toBeGreaterThan(0)
    expect(delivered.slice(0, receipted.length)).toEqual(receipted)
  })

  test('an HTTP request that is never finished does not hold it up', async () => {
    const broker = await startBroker()
    const unfinished = request({
      port: broker.port,
      host: '127.0.0.1',
      method: 'POST',
      path: '/ws/000/s/xhr_send',
      headers: { 'content-length': '10' },
    })
    unfinished.on('error', () => {})
    unfinished.on('response', (response) => response.resume())
    unfinished.write('[')
    await once(unfinished, 'socket')
    await fetch(`${broker.sockJsUrl}/info`)
    const start = performance.now()
    await broker.close()
    expect(performance.now() - start).toBeLessThan(3000)
    unfinished.destroy()
  })
})

test('nobody can hold it up: not a client that ignores its goodbye, nor one that arrives meanwhile', async () => {
  const broker = await startBroker()
  const deaf = await RawClient.connected(broker)
  deaf.pause()
  const plain = await RawClient.tcpConnected(broker)
  plain.pause()
  // One that is in the middle of its upgrade, behind another request on the same connection.
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
  const late = connect(broker.port, '127.0.0.1')
  late.write('GET /stomp/info HTTP/1.1\r\nHost: x\r\n\r\nGET /stomp HTTP/1.1\r\nHost: x\r\n')
  await once(late, 'data')
  // One that was refused, and does not go away by itself.
  const refused = connect({ port: broker.port, host: '127.0.0.1', allowHalfOpen: true })
  refused.write(`GET /nowhere HTTP/1.1\r\nHost: x\r\n${upgrade}`)
  expect(String((await once(refused, 'data'))[0])).toContain('404')
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const closed = broker.close()
  let answer = ''
  late.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
  late.write(upgrade)
  // It is told, too: an upgrade of HTTP, then 1001 in a close frame.
  while (!answer.includes('shutting down')) await once(late, 'data')
  expect(answer).toContain('HTTP/1.1 101 ')
  vi.advanceTimersByTime(5000)
  await closed
  expect(broker.broker.stats.connections).toBe(0)
  for (const socket of [late, refused]) socket.destroy()
  deaf.destroy()
  plain.destroy()
})
