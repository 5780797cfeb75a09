import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { StompError } from '../broker/protocol/errors.ts'
import { selfSigned } from './helpers/certificate.ts'
import { ownBrokers, startBroker, TestEngine } from './helpers/broker.ts'
import { frame, RawClient } from './helpers/client.ts'

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
  // It is told, too.
  while (!answer.includes('shutting down')) await once(late, 'data')
  expect(answer).toMatch(/^HTTP\/1\.1 503 /)
  vi.advanceTimersByTime(5000)
  await closed
  expect(broker.broker.stats.connections).toBe(0)
  for (const socket of [late, refused]) socket.destroy()
  deaf.destroy()
  plain.destroy()
})

describe('what clients are told', () => {
  const restart = { code: 1012, reason: 'the broker is restarting, reconnect in a moment' }
  const gone = { code: 1001, reason: 'the broker is shutting down' }

  test.each([
    ['restarting', {}, { restarting: true }, restart],
    ['stopCode restart', { stopCode: 'restart' }, {}, restart],
    ['stopCode gone', { stopCode: 'gone' }, {}, gone],
    ['nothing', {}, {}, gone],
    ['not restarting in spite of stopCode', { stopCode: 'restart' }, { restarting: false }, gone],
  ] as const)('%s', async (_says, options, how, told) => {
    const { broker, ...own } = await startBroker(options)
    const client = await RawClient.connected({ broker, ...own })
    const plain = await RawClient.tcpConnected({ broker, ...own })
    const poll = (): Promise<Response> => fetch(`${own.sockJsUrl}/000/s/xhr`, { method: 'POST' })
    expect(await (await poll()).text()).toBe('o\n')
    const answer = poll()
    await fetch(`${own.sockJsUrl}/info`)
    const closed = broker.close(how)
    expect(await client.closed).toEqual(told)
    expect(await (await answer).text()).toBe(`c${JSON.stringify([told.code, told.reason])}\n`)
    // An end and nothing else.
    await plain.closed
    expect(plain.frames).toEqual([])
    await closed
  })

  test('a SockJS client that polls is told, also between two requests', async () => {
    const own = await startBroker()
    const poll = (): Promise<Response> => fetch(`${own.sockJsUrl}/000/s/xhr`, { method: 'POST' })
    expect(await (await poll()).text()).toBe('o\n')
    const closed = own.close()
    expect(await (await poll()).text()).toBe('c[1001,"the broker is shutting down"]\n')
    await closed
    await expect(poll()).rejects.toThrow('fetch failed')
  })

  test('who arrives over TLS while the broker stops is told at once', async () => {
    const { cert, key } = selfSigned()
    const folder = await mkdtemp(join(tmpdir(), 'stomp-broker-test-'))
    const [tlsCert, tlsKey] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    await writeFile(tlsCert, cert)
    await writeFile(tlsKey, key)
    const own = await startBroker({ tlsPort: 0, tlsCert, tlsKey })
    await rm(folder, { recursive: true })
    const socket = connect(own.tlsPort, '127.0.0.1')
    await once(socket, 'connect')
    // The broker has the connection as well once it answers one that was made after it.
    const other = await RawClient.tls(own.tlsPort, Buffer.from(cert))
    other.send('CONNECT', { 'accept-version': '1.2' })
    await other.next('CONNECTED')
    const closed = own.close()
    const secure = connectTls({ socket, host: '127.0.0.1', ca: Buffer.from(cert) })
    secure.resume()
    await once(secure, 'end')
    await closed
    expect(own.broker.stats.connections).toBe(0)
  })
})

describe('what was accepted', () => {
  const start = ownBrokers()

  test.each(['websocket', 'tcp'])('over %s, has its RECEIPT before the close', async (transport) => {
    const engine = new TestEngine()
    const own = await start({}, engine)
    const other = await RawClient.connected(own)
    const client = await (transport === 'tcp' ? RawClient.tcpConnected(own) : RawClient.connected(own))
    let isClosed = false
    void client.closed.then(() => (isClosed = true))
    engine.held = true
    for (const receipt of ['1', '2']) client.send('SEND', { destination: '/queue/a', receipt })
    await expect.poll(() => engine.waiting.length).toBe(2)
    const flushed = vi.spyOn(engine, 'close')
    const closed = own.close()
    await other.closed
    engine.settle()
    await client.receipt('1')
    expect([isClosed, flushed.mock.calls.length]).toEqual([false, 0])
    engine.settle()
    expect((await client.closed).code).toBe(transport === 'tcp' ? 0 : 1001)
    expect(client.frames.map(({ headers }) => headers['receipt-id'])).toEqual(['2'])
    await closed
    expect(flushed).toHaveBeenCalledOnce()
  })

  test('whatever was read is handled, if many turns later', async () => {
    const own = await start({})
    const client = await RawClient.tcpConnected(own)
    const count = 600
    const sends = Array.from({ length: count }, (_, index) =>
      frame('SEND', { destination: '/topic/a', receipt: String(index) }),
    )
    // It arrives in one piece.
    client.raw(Buffer.concat(sends))
    await client.until(() => client.frames.length > 0)
    expect(client.frames.length).toBeLessThan(count)
    await own.close()
    await client.closed
    expect(client.frames).toHaveLength(count)
  })

  test('what the disk refuses meanwhile has its ERROR', async () => {
    const engine = new TestEngine()
    const own = await start({}, engine)
    const client = await RawClient.connected(own)
    engine.held = true
    client.send('SEND', { destination: '/queue/a', receipt: 'r' })
    await expect.poll(() => engine.waiting.length).toBe(1)
    const closed = own.close()
    engine.settle(new StompError('store-full', 'The disk is full.'))
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'no room on disk', 'receipt-id': 'r' })
    expect(close.code).toBe(1008)
    await closed
  })

  test('what waits for room in a queue was not accepted, and holds nothing up', async () => {
    const own = await start({ overflow: ['/queue/a=block'], maxQueueMessages: 1 })
    const client = await RawClient.connected(own)
    await client.request('SEND', { destination: '/queue/a' })
    client.send('SEND', { destination: '/queue/a', receipt: 'blocked' })
    client.send('DISCONNECT', { receipt: 'bye' })
    await (await RawClient.connected(own)).sync()
    await own.close()
    expect((await client.closed).code).toBe(1001)
    expect(client.frames).toEqual([])
    expect(own.warnings).toEqual([])
  })

  test('close waits for the engine, and rejects with it', async () => {
    let settle: (() => void) | undefined
    const slow = new TestEngine()
    slow.close = () => new Promise((resolve) => (settle = resolve))
    const one = await startBroker({}, slow)
    let done = false
    const closed = one.close().then(() => (done = true))
    await vi.waitUntil(() => settle !== undefined)
    await new Promise(setImmediate)
    expect(done).toBe(false)
    settle?.()
    await closed
    const broken = new TestEngine()
    broken.close = () => Promise.reject(new Error('no disk'))
    await expect((await startBroker({}, broken)).close()).rejects.toThrow('no disk')
  })

  test('what clients held is not handed from one to the next', async () => {
    const own = await start({})
    const sender = await RawClient.connected(own)
    const consumers: RawClient[] = []
    for (let index = 0; index < 10; index++) {
      const consumer = await RawClient.connected(own)
      await consumer.request('SUBSCRIBE', { id: '0', destination: '/queue/a', ack: 'client' })
      consumers.push(consumer)
    }
    for (let index = 0; index < 10; index++) await sender.request('SEND', { destination: '/queue/a' })
    for (const consumer of consumers) await consumer.take(1)
    await own.close()
    for (const consumer of consumers) {
      await consumer.closed
      expect(consumer.frames).toEqual([])
    }
  })
})

describe('a stop that waits', () => {
  const start = ownBrokers()

  test('for commits that never end is over in time, and nothing is left', async () => {
    const engine = new TestEngine()
    const own = await start({ stopSpread: 0, stopTimeout: 200 }, engine)
    const [client, plain] = [await RawClient.connected(own), await RawClient.tcpConnected(own)]
    engine.held = true
    for (const each of [client, plain]) each.send('SEND', { destination: '/queue/a', receipt: '1' })
    await expect.poll(() => engine.waiting.length).toBe(2)
    const flushed = vi.spyOn(engine, 'close')
    await own.close()
    expect((await client.closed).code).toBe(1006)
    await plain.closed
    expect([own.broker.stats.connections, flushed.mock.calls.length]).toEqual([0, 1])
    engine.settle()
    engine.settle(new Error('too late'))
    await new Promise(setImmediate)
  })

  test('for clients that read nothing is over in time', async () => {
    const own = await start({ stopSpread: 0, stopTimeout: 200 })
    const deaf = [await RawClient.connected(own), await RawClient.tcpConnected(own)]
    const poll = (): Promise<Response> => fetch(`${own.sockJsUrl}/000/s/xhr`, { method: 'POST' })
    await (await poll()).text()
    const sender = await RawClient.connected(own)
    for (const each of deaf) await each.request('SUBSCRIBE', { id: '0', destination: '/topic/a' })
    const connect = JSON.stringify([
      'CONNECT\naccept-version:1.2\n\n\0SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0',
    ])
    await fetch(`${own.sockJsUrl}/000/s/xhr_send`, { method: 'POST', body: connect })
    for (const each of deaf) each.pause()
    for (let index = 0; index < 80; index++)
      await sender.request('SEND', { destination: '/topic/a' }, 'x'.repeat(100_000))
    await own.close()
    expect(own.broker.stats.connections).toBe(0)
    for (const each of deaf) each.destroy()
  })
})

describe('many clients', () => {
  const start = ownBrokers()
  const crowd = 80
  const spread = 1_000

  test('are told one after another, in no order, and served until then', async () => {
    const engine = new TestEngine()
    const own = await start({ stopSpread: spread }, engine)
    const clients: RawClient[] = []
    for (let index = 0; index < crowd; index++) {
      const client = await RawClient.connected(own)
      await client.request('SUBSCRIBE', { id: '0', destination: '/queue/work', ack: 'client-individual' })
      clients.push(client)
    }
    const order: number[] = []
    let worked = 0
    // Each does what it is given, and makes as much work for others, until it is told to go.
    const lives = clients.map(async (client, index) => {
      void client.closed.then(() => order.push(index))
      for (;;) {
        const message = await client.next().catch(() => undefined)
        if (message === undefined) break
        if (message.command !== 'MESSAGE') continue
        if (order.length > 0) worked++
        client.send('ACK', { id: message.headers.ack ?? '' })
        client.send('SEND', { destination: '/queue/work' }, message.body)
      }
      return client.closed
    })
    for (const client of clients.slice(0, 5)) client.send('SEND', { destination: '/queue/work' })
    const closed = own.close()
    expect(new Set((await Promise.all(lives)).map(({ code }) => code))).toEqual(new Set([1001]))
    await closed
    expect(order).toHaveLength(crowd)
    expect(order).not.toEqual(order.toSorted((a, b) => a - b))
    // While those that were told first had long left.
    expect(worked).toBeGreaterThan(crowd)
  })

  test('meanwhile newcomers are refused, and SockJS sessions go on', async () => {
    const own = await start({ stopSpread: spread })
    const clients: RawClient[] = []
    for (let index = 0; index < crowd; index++) clients.push(await RawClient.webSocket(own.webSocketUrl))
    const post = (path: string, body?: string): Promise<Response> =>
      fetch(`${own.sockJsUrl}/000/${path}`, { method: 'POST', ...(body !== undefined && { body }) })
    const sessions = Array.from({ length: 10 }, (_, index) => `s${index}`)
    const frames = ['CONNECT\naccept-version:1.2\n\n\0', 'SEND\ndestination:/topic/a\nreceipt:r\n\n\0']
    for (const session of sessions) {
      expect(await (await post(`${session}/xhr`)).text()).toBe('o\n')
      await post(`${session}/xhr_send`, JSON.stringify(frames.slice(0, 1)))
      expect(await (await post(`${session}/xhr`)).text()).toMatch(/^a\["CONNECTED/)
    }
    const late = connect(own.port, '127.0.0.1')
    await once(late, 'connect')
    const closed = own.close()
    await Promise.race(clients.map((client) => client.closed))
    // Some of them are asked first, and so are still served.
    const answers: string[] = []
    const ends: string[] = []
    await Promise.all(
      sessions.map(async (session) => {
        const { status } = await post(`${session}/xhr_send`, JSON.stringify(frames.slice(1)))
        for (let text = ''; !text.startsWith('c');) {
          text = await (await post(`${session}/xhr`)).text()
          ;(text.startsWith('c') ? ends : answers).push(text)
        }
        expect(status).toBe(204)
      }),
    )
    expect(answers.length).toBeGreaterThan(0)
    for (const text of answers) expect(text).toContain('RECEIPT\\nreceipt-id:r')
    expect(ends).toEqual(sessions.map(() => 'c[1001,"the broker is shutting down"]\n'))
    await closed
    late.destroy()
  })

  test('a newcomer finds every door closed', async () => {
    const own = await start({ stopSpread: spread })
    const clients: RawClient[] = []
    for (let index = 0; index < crowd; index++) clients.push(await RawClient.webSocket(own.webSocketUrl))
    await (await fetch(`${own.sockJsUrl}/000/s/xhr`, { method: 'POST' })).text()
    const closed = own.close()
    const status = async (path: string, method = 'GET'): Promise<number> =>
      (await fetch(`http://127.0.0.1:${own.port}${path}`, { method })).status
    // HTTP is open for the one SockJS session that there is.
    expect(
      await Promise.all([
        status('/'),
        status('/ws/info'),
        status('/ws/000/new/xhr', 'POST'),
        status('/ws/000/new/xhr_send', 'POST'),
        RawClient.webSocket(own.webSocketUrl).catch((error: Error) => error.message),
        RawClient.webSocket(`ws://127.0.0.1:${own.port}/ws/000/s/websocket`).catch(
          (error: Error) => error.message,
        ),
        RawClient.tcp(own.tcpPort).catch((error: NodeJS.ErrnoException) => error.code),
      ]),
    ).toEqual([
      503,
      503,
      503,
      503,
      'Unexpected server response: 503',
      'Unexpected server response: 503',
      'ECONNREFUSED',
    ])
    await Promise.race(clients.map((client) => client.closed))
    await closed
    await listenOn(own.port)
  })
})
