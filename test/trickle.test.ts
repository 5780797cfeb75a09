import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, type TestBroker } from './helpers/broker.ts'
import { selfSigned } from './helpers/certificate.ts'
import { RawClient } from './helpers/client.ts'
import { clientFrame, FIN, TEXT } from './helpers/websocket-frame.ts'

// Whoever says nothing, or says it a byte at a time, is ended by the broker: each test waits for
// that end, and takes as long as the test may if it does not come.

const HASTE = { connectTimeout: 300, requestTimeout: 300 }
/** Milliseconds between two bytes: nothing of what trickles here is whole in less than some seconds. */
const DROP = 20

const { cert, key } = selfSigned()
let folder: string
/** One with http and TCP, one with https and TLS. */
let broker: TestBroker
let secure: TestBroker
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stomp-broker-trickle-'))
  const [tlsCert, tlsKey] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  await writeFile(tlsCert, cert)
  await writeFile(tlsKey, key)
  broker = await startBroker(HASTE)
  secure = await startBroker({ ...HASTE, tlsPort: 0, tlsCert, tlsKey })
})
afterAll(async () => {
  await broker.close()
  await secure.close()
  await rm(folder, { recursive: true })
})

/** The end of a connection, whatever it was like. */
function gone(socket: Socket): Promise<void> {
  socket.on('error', () => {})
  if (socket.listenerCount('data') === 0) socket.resume()
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

/** Writes `first` at once and the rest a byte at a time. What the broker says until it ends the connection. */
async function trickle(socket: Socket, rest: string | Buffer, first: string | Buffer = ''): Promise<string> {
  const bytes = Buffer.from(rest)
  let said = ''
  socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')))
  if (first.length > 0) socket.write(first)
  let at = 0
  const timer = setInterval(() => {
    if (at === bytes.length) throw new Error('all of it was said, and nobody minded')
    if (socket.writable) socket.write(bytes.subarray(at, ++at))
  }, DROP)
  await gone(socket)
  clearInterval(timer)
  return said
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

async function openTls(port: number): Promise<Socket> {
  const socket = connectTls({ port, host: '127.0.0.1', ca: cert })
  await once(socket, 'secureConnect')
  return socket
}

const long = 'x'.repeat(1_000)
const upgrade =
  'Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

describe.concurrent.each([
  ['http', () => open(broker.port)],
  ['https', () => openTls(secure.port)],
])('on the port of %s', (_kind, arrive) => {
  test('a socket that says nothing', async () => {
    const socket = await arrive()
    await gone(socket)
  })

  test('the head of a request', async () => {
    expect(await trickle(await arrive(), `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${long}`)).toMatch(
      /^HTTP\/1.1 408 /,
    )
  })

  test('the head of the second request on a connection', async () => {
    const said = await trickle(
      await arrive(),
      `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${long}`,
      'GET /ws/info HTTP/1.1\r\nHost: localhost\r\n\r\n',
    )
    expect(said).toMatch(/^HTTP\/1.1 200 [^]*HTTP\/1.1 408 /)
  })

  test('an upgrade', async () => {
    expect(await trickle(await arrive(), `GET /ws HTTP/1.1\r\n${upgrade}X: ${long}`)).toMatch(
      /^HTTP\/1.1 408 /,
    )
  })

  test('an upgrade whose last header trickles', async () => {
    const said = await trickle(await arrive(), long, `GET /ws HTTP/1.1\r\n${upgrade}X: `)
    expect(said).toMatch(/^HTTP\/1.1 408 /)
  })

  test('the messages of a SockJS session', async () => {
    const head = 'HTTP/1.1\r\nHost: localhost\r\n'
    const socket = await arrive()
    socket.write(`POST /ws/000/abc/xhr ${head}Content-Length: 0\r\n\r\n`)
    await once(socket, 'data')
    const said = await trickle(socket, long, `POST /ws/000/abc/xhr_send ${head}Content-Length: 1000\r\n\r\n`)
    expect(said).not.toContain(' 204 ')
  })

  test('CONNECT in a WebSocket, a frame of it for each byte', async () => {
    const frames = Buffer.concat(
      `CONNECT\npad:${long}`.split('').map((byte) => clientFrame(FIN | TEXT, byte)),
    )
    const said = await trickle(await arrive(), frames, `GET /ws HTTP/1.1\r\n${upgrade}\r\n`)
    expect(said).toMatch(/^HTTP\/1.1 101 [^]*ERROR\nmessage:CONNECT took too long\n/)
  })

  test('a WebSocket frame', async () => {
    const said = await trickle(
      await arrive(),
      clientFrame(FIN | TEXT, `CONNECT\npad:${long}`),
      `GET /ws HTTP/1.1\r\n${upgrade}\r\n`,
    )
    expect(said).toMatch(/^HTTP\/1.1 101 [^]*ERROR\nmessage:CONNECT took too long\n/)
  })
})

test.each(['xhr_send', 'nothing'])(
  'a SockJS session that polls, and whose CONNECT does not come: %s',
  async (sends) => {
    const session = `${broker.sockJsUrl}/000/${sends}`
    const post = (path: string, body = ''): Promise<Response> =>
      fetch(`${session}/${path}`, { method: 'POST', body })
    expect(await (await post('xhr')).text()).toBe('o\n')
    if (sends === 'xhr_send') expect((await post('xhr_send', '["CONNECT\\n"]')).status).toBe(204)
    expect(await (await post('xhr')).text()).toContain('CONNECT took too long')
  },
)

describe.concurrent.each([
  ['tcp', () => open(broker.tcpPort)],
  ['tls', () => openTls(secure.tlsPort)],
])('on the port of %s', (_kind, arrive) => {
  test('a socket that says nothing', async () => {
    const socket = await arrive()
    let said = ''
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()))
    await gone(socket)
    expect(said).toContain('CONNECT took too long')
  })

  test('CONNECT', async () => {
    expect(await trickle(await arrive(), `CONNECT\npad:${long}`)).toContain('CONNECT took too long')
  })

  test('line ends before CONNECT', async () => {
    expect(await trickle(await arrive(), '\n'.repeat(1_000))).toContain('CONNECT took too long')
  })
})

describe('a TLS handshake', () => {
  /** What a client says first. */
  async function hello(): Promise<Buffer> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = connectTls({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', ca: cert })
    client.on('error', () => {})
    const [peer] = (await once(server, 'connection')) as [Socket]
    const [bytes] = (await once(peer, 'data')) as [Buffer]
    client.destroy()
    peer.destroy()
    await once(server.close(), 'close')
    return bytes
  }

  describe.concurrent.each([
    ['https', () => open(secure.port)],
    ['tls', () => open(secure.tlsPort)],
  ])('on the port of %s', (_kind, arrive) => {
    test('that never begins', async () => {
      const socket = await arrive()
      await gone(socket)
    })

    test('that trickles', async () => {
      await trickle(await arrive(), await hello())
    })

    test('that hangs in its middle', async () => {
      const socket = await arrive()
      socket.write(await hello())
      await gone(socket)
    })
  })
})

test('who is in, and silent, stays', async () => {
  const client = await RawClient.connected(broker)
  const tcp = await RawClient.tcpConnected(broker)
  const silent = await open(broker.port)
  await gone(silent)
  await Promise.all([client.sync(), tcp.sync()])
  client.destroy()
  tcp.destroy()
})
