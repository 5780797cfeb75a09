import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket, type ClientOptions } from 'ws'
import { ownBrokers, type TestBroker } from './helpers/broker.ts'
import { selfSigned } from './helpers/certificate.ts'
import { RawClient } from './helpers/client.ts'

const start = ownBrokers()
const { cert, key } = selfSigned()
let folder: string
let tls: { tlsPort: number; tlsCert: string; tlsKey: string }
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stomp-broker-admission-'))
  tls = { tlsPort: 0, tlsCert: join(folder, 'cert.pem'), tlsKey: join(folder, 'key.pem') }
  await writeFile(tls.tlsCert, cert)
  await writeFile(tls.tlsKey, key)
})
afterAll(() => rm(folder, { recursive: true }))

interface Refusal {
  readonly status: number
  readonly retry: string | undefined
  readonly text: string
}

async function answerOf(response: IncomingMessage): Promise<Refusal> {
  let text = ''
  for await (const piece of response) text += String(piece)
  return { status: response.statusCode ?? 0, retry: response.headers['retry-after'], text }
}

/** What a WebSocket client hears that is not let in. */
async function knock(url: string, options: ClientOptions = {}): Promise<Refusal> {
  const socket = new WebSocket(url, ['v12.stomp'], options)
  return new Promise((resolve, reject) => {
    socket.on('open', () => reject(new Error('it was let in')))
    socket.on('error', reject)
    socket.on('unexpected-response', (_request, response) => resolve(answerOf(response)))
  })
}

async function post(url: string): Promise<Refusal> {
  const asking = request(url, { method: 'POST', agent: false }).end()
  const [response] = (await once(asking, 'response')) as [IncomingMessage]
  return answerOf(response)
}

/** The session of a client that streams, and its end. */
async function stream(broker: TestBroker, id: string): Promise<() => void> {
  const asking = request(`${broker.sockJsUrl}/000/${id}/xhr_streaming`, { method: 'POST', agent: false })
  asking.on('error', () => {})
  asking.end()
  const [response] = (await once(asking, 'response')) as [IncomingMessage]
  expect(response.statusCode).toBe(200)
  response.on('error', () => {})
  response.resume()
  return () => asking.destroy()
}

const full = /^The broker takes no more than 2 connections at a time \(limit max-connections\)\. .*later\.$/

/** All ways in are shut, and each says so. */
async function expectFull(broker: TestBroker): Promise<void> {
  for (const path of ['/stomp', '/ws', '/ws/000/full/websocket']) {
    const { status, retry, text } = await knock(`ws://127.0.0.1:${broker.port}${path}`)
    expect([status, Number(retry) > 0]).toEqual([503, true])
    expect(text.trimEnd()).toMatch(full)
  }
  for (const way of ['xhr', 'xhr_streaming']) {
    const { status, retry, text } = await post(`${broker.sockJsUrl}/000/full/${way}`)
    expect([status, Number(retry) > 0]).toEqual([503, true])
    expect(text).toMatch(full)
  }
  const client = await RawClient.tcp(broker.tcpPort)
  // What it says meanwhile must not make the system swallow the answer.
  client.send('CONNECT', { 'accept-version': '1.2' })
  const { error } = await client.refusal()
  expect(error.headers.message).toBe('too many connections')
  expect(error.body.toString().trimEnd()).toMatch(full)
}

/** Tries until there is room: the broker may hear of an end later than we do. */
async function comeIn<T>(enter: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await enter()
    } catch {
      // Each try is a round trip, and the test has a time limit.
    }
  }
}

describe('max-connections', () => {
  test('met exactly and crossed by one; who is in stays, and pages are served', async () => {
    const broker = await start({ maxConnections: 2 })
    const one = await RawClient.connected(broker)
    const two = await RawClient.tcpConnected(broker)
    await expectFull(broker)
    await Promise.all([one.sync(), two.sync()])
    expect((await fetch(broker.url)).status).toBeLessThan(500)
    expect((await fetch(`${broker.sockJsUrl}/info`)).status).toBe(200)
    expect(broker.warnings).toEqual([expect.stringContaining('(limit max-connections)')])
  })

  test('SockJS sessions over HTTP are connections too', async () => {
    const broker = await start({ maxConnections: 2 })
    await stream(broker, 'one')
    await stream(broker, 'two')
    await expectFull(broker)
    // A request of a session that is there needs no place.
    expect((await post(`${broker.sockJsUrl}/000/one/xhr`)).status).toBe(200)
  })

  type End = () => unknown
  const session = (open: (broker: TestBroker) => Promise<RawClient>, end: (client: RawClient) => unknown) => {
    return async (broker: TestBroker): Promise<End> => {
      const client = await open(broker)
      return () => end(client)
    }
  }
  const webSocket = (broker: TestBroker): Promise<RawClient> => RawClient.connected(broker)
  const tcp = (broker: TestBroker): Promise<RawClient> => RawClient.tcpConnected(broker)
  const sockJs = (broker: TestBroker): Promise<RawClient> =>
    RawClient.webSocket(`ws://127.0.0.1:${broker.port}/ws/0/abc/websocket`, [])
  const disconnect = async (client: RawClient): Promise<void> => {
    await client.request('DISCONNECT')
    client.destroy()
  }
  const mistake = (client: RawClient): void => client.raw('HELLO\n\n\0')
  const destroy = (client: RawClient): void => client.destroy()
  const secure = (broker: TestBroker): Promise<RawClient> => RawClient.tls(broker.tlsPort, Buffer.from(cert))

  test.each<[string, (broker: TestBroker) => Promise<End>]>([
    ['WebSocket, DISCONNECT', session(webSocket, disconnect)],
    ['WebSocket, ERROR', session(webSocket, mistake)],
    ['WebSocket, abrupt', session(webSocket, destroy)],
    [
      'WebSocket, close frame',
      async (broker) => {
        const { socket } = await RawClient.connected(broker)
        return () => socket.close()
      },
    ],
    ['WebSocket with compression, DISCONNECT', session(webSocket, disconnect)],
    ['WebSocket with compression, abrupt', session(webSocket, destroy)],
    ['TCP, DISCONNECT', session(tcp, disconnect)],
    ['TCP, ERROR', session(tcp, mistake)],
    ['TCP, abrupt', session(tcp, destroy)],
    ['TLS, abrupt', session(secure, destroy)],
    ['SockJS over WebSocket, broken framing', session(sockJs, mistake)],
    ['SockJS over WebSocket, abrupt', session(sockJs, destroy)],
    ['SockJS over HTTP, abrupt', (broker) => stream(broker, 'abc')],
  ])('a connection that ends gives back one place, once: %s', async (name, enter) => {
    const secured = name.startsWith('TLS')
    const broker = await start({
      maxConnections: 2,
      compression: name.includes('compression'),
      ...(secured && tls),
    })
    const url = broker.webSocketUrl.replace('ws:', secured ? 'wss:' : 'ws:')
    const stays = await RawClient.tcpConnected(broker)
    for (let time = 0; time < 3; time++) {
      const end = await comeIn(() => enter(broker))
      expect((await knock(url, { ca: cert })).status).toBe(503)
      await end()
    }
    await stays.sync()
  })

  test('who is refused on the TLS port hears why', async () => {
    const broker = await start({ maxConnections: 1, ...tls })
    const client = await RawClient.tls(broker.tlsPort, Buffer.from(cert))
    const refused = await RawClient.tls(broker.tlsPort, Buffer.from(cert))
    expect((await refused.refusal()).error.body.toString()).toContain('(limit max-connections)')
    client.destroy()
  })

  test('what is wrong with a request is said before that there is no room', async () => {
    const broker = await start({ maxConnections: 1 })
    await RawClient.connected(broker)
    expect((await knock(`ws://127.0.0.1:${broker.port}/nowhere`)).status).toBe(404)
    expect((await knock(broker.webSocketUrl, { origin: 'https://evil.example' })).status).toBe(403)
  })
})

describe('max-connections-per-address', () => {
  test('met exactly and crossed by one, while others come in', async () => {
    const broker = await start({ maxConnectionsPerAddress: 2 })
    const one = await RawClient.connected(broker)
    await RawClient.tcpConnected(broker)
    for (let time = 0; time < 2; time++) {
      const { status, text } = await knock(broker.webSocketUrl)
      expect([status, text]).toEqual([503, expect.stringContaining('(limit max-connections-per-address)')])
    }
    const tcp = await RawClient.tcp(broker.tcpPort)
    expect((await tcp.refusal()).error.body.toString()).toContain('(limit max-connections-per-address)')
    const other = await RawClient.webSocket(broker.webSocketUrl, [], {}, { localAddress: '127.0.0.2' })
    other.send('CONNECT', { 'accept-version': '1.2' })
    await other.next('CONNECTED')
    one.destroy()
    await comeIn(() => RawClient.connected(broker))
    expect(broker.warnings).toEqual([
      expect.stringMatching(/limit max-connections-per-address.* 127\.0\.0\.1\.$/),
    ])
  })
})
