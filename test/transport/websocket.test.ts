import { createServer, request } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Broker } from '../../broker/broker.ts'
import type { BrokerOptions } from '../../broker/options.ts'
import { startBroker, type TestBroker } from '../helpers/broker.ts'
import { frame, RawClient } from '../helpers/client.ts'
import { clientFrame, CLOSE, closing, FIN, serverFrames, TEXT } from '../helpers/websocket-frame.ts'

let broker: TestBroker
const opened: TestBroker[] = []
async function start(options?: BrokerOptions): Promise<TestBroker> {
  const own = await startBroker(options)
  opened.push(own)
  return own
}
beforeAll(async () => {
  broker = await start()
})
afterAll(() => Promise.all(opened.map((own) => own.close())))

interface Answer {
  readonly status: number | undefined
  /** The sub-protocol chosen, or what a refusal says. */
  readonly protocol: string | undefined
  readonly body: string
}

/** A handshake by hand; the connection is given up at once. */
function upgrade({ port }: TestBroker, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      port,
      host: '127.0.0.1',
      path,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
      },
    })
    outgoing.on('error', reject)
    outgoing.on('upgrade', (response, socket) => {
      socket.destroy()
      // RFC 6455, 1.3: the accept value that belongs to the key above.
      expect(response.headers['sec-websocket-accept']).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
      resolve({ status: response.statusCode, protocol: response.headers['sec-websocket-protocol'], body: '' })
    })
    outgoing.on('response', (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => (body += text))
      response.on('end', () => resolve({ status: response.statusCode, protocol: undefined, body }))
    })
    outgoing.end()
  })
}

describe('contract 4.1: paths', () => {
  test.each([
    '/',
    '/ws',
    '/ws/',
    '/ws/websocket',
    '/stomp',
    '/stomp/',
    '/stomp/websocket',
    '/stomp?token=x',
    '/?a=b',
  ])('raw STOMP at %s', async (path) => {
    const client = await RawClient.webSocket(`ws://127.0.0.1:${broker.port}${path}`)
    client.send('CONNECT', { 'accept-version': '1.2' })
    await client.next('CONNECTED')
    client.destroy()
  })

  test.each([
    '/nowhere',
    '/ws2',
    '/ws/x',
    '/wsx/websocket',
    '/websocket',
    '/ws/a.b/c/websocket',
    '/stomp/stomp',
  ])('404 at %s', async (path) => {
    const { status, body } = await upgrade(broker, path)
    expect(status).toBe(404)
    expect(body).toContain(path)
  })

  test.each(['/nowhere', '/a/b/c?d=e', '/ws/x', '/'])('anyPath: raw STOMP at %s', async (path) => {
    expect((await upgrade(await start({ anyPath: true }), path)).status).toBe(101)
  })

  test('other endpoints', async () => {
    const own = await start({ endpoints: ['/chat', '/a/b'] })
    for (const path of ['/chat', '/chat/websocket', '/a/b', '/']) {
      expect((await upgrade(own, path)).status).toBe(101)
    }
    expect((await upgrade(own, '/stomp')).status).toBe(404)
  })

  test.each([
    ['/', 200, '<!doctype html>'],
    ['/ws', 200, 'Welcome to SockJS!'],
    ['/ws/info', 200, '"websocket":true'],
    ['/nowhere', 404, 'Nothing here'],
  ])(
    'RFC 9110, 7.8: an upgrade to HTTP/2 is ignored, %s is answered as usual',
    async (path, status, body) => {
      const headers = { upgrade: 'h2c', connection: 'Upgrade, HTTP2-Settings', 'http2-settings': '' }
      const answer = await upgrade(broker, path, headers)
      expect(answer.status).toBe(status)
      expect(answer.body).toContain(body)
    },
  )

  test('RFC 9110, 7.8: a body that comes with such an upgrade is read', async () => {
    const session = '/ws/0/h2c-body'
    const poll = (): Promise<Response> =>
      fetch(`${broker.url.slice(0, -1)}${session}/xhr`, { method: 'POST' })
    expect(await (await poll()).text()).toBe('o\n')
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { upgrade: 'h2c', connection: 'Upgrade, HTTP2-Settings', 'http2-settings': '' }
      const outgoing = request({
        port: broker.port,
        host: '127.0.0.1',
        path: `${session}/xhr_send`,
        method: 'POST',
        headers,
      })
      outgoing.on('error', reject)
      outgoing.on('response', (response) => resolve(response.resume().statusCode))
      outgoing.end(JSON.stringify([frame('CONNECT', { 'accept-version': '1.2' }).toString()]))
    })
    expect(status).toBe(204)
    expect(await (await poll()).text()).toContain('CONNECTED')
  })

  test('the body is not taken for the next request, however many headers there are', async () => {
    const body = 'GET /ws HTTP/1.1\r\nHost: x\r\n\r\n'
    const head = `Host: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n${'a:\r\n'.repeat(2_500)}`
    const ending = 'GET /ws/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    const post = `POST /nowhere HTTP/1.1\r\n${head}Content-Length: ${body.length}\r\n\r\n${body}`
    const answer = await converse(broker, post + ending)
    expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 404', 'HTTP/1.1 200'])
    expect(answer).not.toContain('Welcome to SockJS!')
  })

  test('such an upgrade may ask for the end of the connection', async () => {
    const headers = 'Host: x\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n'
    expect(await converse(broker, `GET /ws HTTP/1.1\r\n${headers}\r\n`)).toContain(
      '\r\nConnection: close\r\n',
    )
  })

  test('such an upgrade whose connection breaks ends that connection only', async () => {
    const before = broker.broker.stats.connections
    const broken = Array.from({ length: 20 }, () => {
      const socket = connect(broker.port, '127.0.0.1')
      socket.on('error', () => {})
      const path = `/ws/0/h2c-${Math.random().toString(36).slice(2)}/xhr_streaming`
      socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`)
      return new Promise<void>((resolve) =>
        socket.once('data', () => {
          socket.resetAndDestroy()
          resolve()
        }),
      )
    })
    await Promise.all(broken)
    await expect.poll(() => broker.broker.stats.connections).toBeLessThanOrEqual(before)
    expect((await upgrade(broker, '/ws')).status).toBe(101)
  })

  test('a plain GET is no upgrade, and the two share a path', async () => {
    expect(await (await fetch(broker.sockJsUrl)).text()).toBe('Welcome to SockJS!\n')
    expect((await upgrade(broker, '/ws')).status).toBe(101)
  })
})

describe('contract 4.2: sub-protocol', () => {
  test.each([
    ['v12.stomp, v11.stomp, v10.stomp', 'v12.stomp'],
    ['v10.stomp, v11.stomp, v12.stomp', 'v12.stomp'],
    ['v10.stomp, v11.stomp', 'v11.stomp'],
    ['v10.stomp', 'v10.stomp'],
    ['stomp', 'stomp'],
    ['stomp, v10.stomp', 'v10.stomp'],
    ['mqtt, v11.stomp', 'v11.stomp'],
    [undefined, undefined],
    ['mqtt', undefined],
    ['mqtt, V12.STOMP', undefined],
  ])('offered %s, chosen %s', async (offered, chosen) => {
    const headers = offered === undefined ? {} : { 'sec-websocket-protocol': offered }
    expect(await upgrade(broker, '/stomp', headers)).toMatchObject({ status: 101, protocol: chosen })
  })

  test('none offered is a session like any other', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl, [])
    client.send('CONNECT', { 'accept-version': '1.2' })
    await client.next('CONNECTED')
    await client.sync()
  })
})

describe('contract 4.2: origin', () => {
  test.each([
    ['http://localhost:3000', {}],
    ['http://127.0.0.1:5173', {}],
    ['https://app.localhost', {}],
    ['http://[::1]:80', {}],
    ['https://app.example.com', { origins: ['https://app.example.com'] }],
    ['https://evil.example', { origins: ['*'] }],
    ['null', { origins: ['null'] }],
  ])('%s may connect with %j', async (origin, options) => {
    const own = Object.keys(options).length === 0 ? broker : await start(options)
    expect((await upgrade(own, '/stomp', { origin })).status).toBe(101)
  })

  test.each([
    ['https://evil.example', {}, '--origins https://evil.example'],
    ['http://localhost.evil.example', {}, '--origins http://localhost.evil.example'],
    ['null', {}, '--origins null'],
    ['https://app.example.com.evil.example', { origins: ['https://app.example.com'] }, '--origins'],
    ['http://app.example.com', { origins: ['https://app.example.com'] }, '--origins http://app.example.com'],
    ['https://app.example.com:8443', { origins: ['https://app.example.com'] }, '--origins'],
  ])('%s may not with %j, and is told how to', async (origin, options, hint) => {
    const own = Object.keys(options).length === 0 ? broker : await start(options)
    const { status, body } = await upgrade(own, '/stomp', { origin })
    expect(status).toBe(403)
    expect(body).toContain(hint)
  })

  test.each(['http://x/;sh', 'http://$(sh).example', 'http://x\x9b2J', `http://${'x'.repeat(300)}`, 'x'])(
    '%j is no origin, and nobody is told to allow it',
    async (origin) => {
      const { status, body } = await upgrade(broker, '/stomp', { origin })
      expect(status).toBe(403)
      expect(body).not.toContain('--origins')
      expect(body).toMatch(/^[ -~]{1,200}\n$/)
    },
  )

  test('a foreign name that points here is not same-origin while the broker is for this machine', async () => {
    const headers = { origin: 'http://rebound.example', host: 'rebound.example' }
    expect((await upgrade(broker, '/stomp', headers)).status).toBe(403)
  })

  test('on all interfaces a page of the same host may, one of localhost no longer', async () => {
    const own = await start({ host: '0.0.0.0' })
    const host = 'broker.example:61614'
    expect((await upgrade(own, '/stomp', { origin: `http://${host}`, host })).status).toBe(101)
    expect((await upgrade(own, '/stomp', { origin: 'http://broker.example', host })).status).toBe(403)
    expect((await upgrade(own, '/stomp', { origin: 'http://localhost:3000', host })).status).toBe(403)
  })

  test('no Origin is no browser, and may', async () => {
    expect((await upgrade(broker, '/stomp')).status).toBe(101)
  })
})

test('what a browser hides from its developer is logged, each refusal once', async () => {
  const lines: string[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(JSON.parse(line).msg as string) })
  const own = new Broker({ port: 0, demo: false }, log)
  const { port } = await own.listen()
  const target = { port } as TestBroker
  for (let index = 0; index < 3; index++) {
    await upgrade(target, '/nowhere')
    await upgrade(target, '/ws', { origin: 'https://evil.example' })
    await fetch(`http://127.0.0.1:${port}/ws/info`, { headers: { origin: 'https://evil.example' } })
  }
  expect(lines).toEqual([
    expect.stringContaining('No STOMP endpoint is at "/nowhere"'),
    expect.stringContaining('--origins https://evil.example'),
  ])
  await own.close()
})

describe('contract 4.4: out', () => {
  test('one STOMP frame is one WebSocket message, and no LF follows the NUL', async () => {
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: '0', destination: '/topic/websocket/one' })
    const sizes = [0, 1, 100, 124, 125, 126, 65_000, 65_536, 300_000]
    client.raw(
      Buffer.concat(
        sizes.map((size) => frame('SEND', { destination: '/topic/websocket/one' }, 'x'.repeat(size))),
      ),
    )
    const before = client.messages.length
    expect((await client.bodies(sizes.length)).map((body) => body.length)).toEqual(sizes)
    expect(client.messages).toHaveLength(before + sizes.length)
    for (const { data } of client.messages) {
      expect(data.toString()).toMatch(/^[A-Z]+\n/)
      expect(data.at(-1)).toBe(0)
    }
    expect(client.heartbeats).toBe(0)
  })

  const text = Buffer.from('UTF-8 čaj 🍵')
  const bytes = Buffer.from([0, 0xff, 0xfe, 10, 0])
  const octets = 'application/octet-stream'
  test.each([
    ['text', 'text/plain', text, false],
    ['text', 'text/plain', bytes, true],
    ['text', octets, text, false],
    ['text', octets, bytes, true],
    ['binary', 'text/plain', text, false],
    ['binary', 'text/plain', bytes, true],
    ['binary', octets, text, true],
    ['binary', `${octets};x=y`, text, true],
    ['binary', octets, bytes, true],
  ])('to a client of %s messages %s of %j goes as binary: %s', async (kind, type, body, binary) => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    const connect = frame('CONNECT', { 'accept-version': '1.2' })
    client.raw(kind === 'text' ? connect.toString() : connect)
    await client.next('CONNECTED')
    await client.request('SUBSCRIBE', { id: '0', destination: '/topic/websocket/type' })
    const sender = await RawClient.connected(broker)
    sender.send(
      'SEND',
      { destination: '/topic/websocket/type', 'content-type': type, 'content-length': String(body.length) },
      body,
    )
    const message = await client.next('MESSAGE')
    expect(message.body.equals(body)).toBe(true)
    expect(message.headers['content-type']).toBe(type)
    expect(client.messages.at(-1)?.binary).toBe(binary)
    // All that is not such a message stays text.
    expect(client.messages.slice(0, -1).map((other) => other.binary)).not.toContain(true)
    await client.request('UNSUBSCRIBE', { id: '0' })
  })
})

describe('contract 4.4: in', () => {
  const destination = '/topic/websocket/in'
  const conversation = Buffer.concat([
    Buffer.from('\r\n'),
    frame('CONNECT', { 'accept-version': '1.2', host: 'x' }),
    Buffer.from('\n\r\n'),
    frame('SUBSCRIBE', { id: '0', destination, receipt: 'a' }),
    frame('SEND', { destination, 'content-length': '5', custom: 'č\\c' }, 'a\0b\n\n'),
    Buffer.from('\r\n\r\n'),
    Buffer.from(`SEND\r\ndestination:${destination}\r\n\r\ntwo\0`),
    frame('DISCONNECT', { receipt: 'b' }),
  ])

  async function answers(client: RawClient): Promise<void> {
    await client.next('CONNECTED')
    expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('a')
    const [first, second] = await client.take(2)
    expect(first?.body.toString()).toBe('a\0b\n\n')
    expect(first?.headers.custom).toBe('č\\c')
    expect(second?.body.toString()).toBe('two')
    expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('b')
    client.destroy()
    await client.closed
  }

  test('any number of frames in one message', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.raw(conversation)
    await answers(client)
  })

  test('frames split over two messages, at every byte', async () => {
    for (let at = 1; at < conversation.length; at++) {
      const client = await RawClient.webSocket(broker.webSocketUrl)
      client.raw(conversation.subarray(0, at))
      client.raw(conversation.subarray(at))
      await answers(client)
    }
  })

  test('every byte a message of its own', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    for (const byte of conversation) client.raw(Buffer.from([byte]))
    await answers(client)
  })

  test('a frame that begins in a text message and ends, with other octets, in a binary one goes as binary', async () => {
    const destination = '/topic/begins-in-text'
    const [sender, client] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    await client.request('SUBSCRIBE', { id: 's', destination })
    sender.socket.send(`SEND\ndestination:${destination}\ncontent-length:3\n\na`)
    sender.socket.send(Buffer.from([0xff, 0xfe, 0]))
    const [message] = await client.take(1)
    expect([...(message?.body ?? [])]).toEqual([0x61, 0xff, 0xfe])
    expect(client.messages.at(-1)?.binary).toBe(true)
  })

  test('text and binary messages mixed, in the middle of a frame', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    const middle = conversation.indexOf('destination')
    client.raw(conversation.toString('utf8', 0, middle))
    client.raw(conversation.subarray(middle, middle + 10))
    client.raw(conversation.toString('utf8', middle + 10))
    await answers(client)
  })

  test('a message in several WebSocket fragments', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    const half = conversation.length / 2
    client.socket.send(conversation.subarray(0, half), { fin: false, binary: true })
    client.socket.send(conversation.subarray(half), { fin: true, binary: true })
    await answers(client)
  })

  test('a bare EOL or nothing at all in a message is no frame', async () => {
    const client = await RawClient.connected(broker)
    for (const text of ['\n', '\r\n', '', '\n\n\r\n']) client.raw(text)
    await client.sync()
    expect(client.frames).toEqual([])
  })

  test('acceptCutFrames: a frame may lack its NUL at the end of a message', async () => {
    const own = await start({ acceptCutFrames: true })
    const client = await RawClient.webSocket(own.webSocketUrl)
    client.raw('CONNECT\naccept-version:1.2\n\n')
    await client.next('CONNECTED')
    client.raw(`SUBSCRIBE\nid:0\ndestination:${destination}\n\n`)
    client.raw(`SEND\ndestination:${destination}\n\ncut`)
    // Whole frames and heart-beats are as ever.
    client.raw(`SEND\ndestination:${destination}\n\nwhole\0\n`)
    client.raw('\n')
    client.raw(`SEND\ndestination:${destination}\n\nfirst\0SEND\ndestination:${destination}\n\nsecond`)
    expect(await client.bodies(4)).toEqual(['cut', 'whole', 'first', 'second'])
  })

  test('by default a frame without its NUL waits for it', async () => {
    const client = await RawClient.connected(broker)
    const own = '/topic/websocket/wait'
    await client.request('SUBSCRIBE', { id: '0', destination: own })
    client.raw(`SEND\ndestination:${own}\n\ncut`)
    client.raw(' not\0')
    expect(await client.bodies(1)).toEqual(['cut not'])
  })

  test('a WebSocket frame that is none is close 1002, or 1007 where text is not UTF-8', async () => {
    const client = await RawClient.connected(broker)
    client.socket.send(Buffer.from([0xc3, 0x28]), { binary: false })
    expect((await client.closed).code).toBe(1007)
    const other = await RawClient.connected(broker)
    await other.sync()
  })
})

/** What a server answers to these bytes, written one after another, up to its end. */
function converse({ port }: Pick<TestBroker, 'port'>, ...writes: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let answer = ''
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text
      // The next follows what was heard of those before.
      const next = writes.shift()
      if (next !== undefined) socket.write(next, 'latin1')
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
    socket.write(writes.shift() ?? '', 'latin1')
  })
}

describe('RFC 6455, 4.2: the handshake', () => {
  const head =
    'GET /stomp HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v12.stomp\r\n'
  const goodbye = clientFrame(FIN | CLOSE, closing(1000)).toString('latin1')

  test.each([
    ['as they all come', `${head}\r\n`],
    ['with a header twice', `${head}Cookie: a\r\nCookie: b\r\n\r\n`],
    ['with two hosts', `${head}Host: y\r\n\r\n`],
    ['without a host', `${head}\r\n`.replace('Host: x\r\n', '')],
    ['with a long head', `${head}Cookie: ${'x'.repeat(9_000)}\r\n\r\n`],
    ['of a whole URL', `${head}\r\n`.replace('/stomp', 'http://x/stomp')],
    ['with extensions', `${head}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n`],
    ['of draft 8', `${head}\r\n`.replace('Version: 13', 'Version: 8')],
    ['with white space around values', `${head}\r\n`.replaceAll(': ', ':\t  ').replaceAll('\r\nS', ' \r\nS')],
  ])('%s', async (says, request) => {
    const [answer, frames] = (await converse(broker, `${request}${goodbye}`)).split('\r\n\r\n')
    if (says === 'of a whole URL') return expect(answer).toMatch(/^HTTP\/1.1 404 /)
    expect(answer).toMatch(/^HTTP\/1.1 101 Switching Protocols\r\n/)
    expect(answer).toContain('\r\nUpgrade: websocket')
    expect(answer).toContain('\r\nConnection: Upgrade')
    expect(answer).toContain('\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
    expect(answer).toContain('\r\nSec-WebSocket-Protocol: v12.stomp')
    expect(answer).not.toContain('Extensions')
    // What came right behind the head was heard.
    expect(serverFrames(Buffer.from(frames ?? '', 'latin1'))).toEqual([
      { first: FIN | CLOSE, payload: closing(1000) },
    ])
  })

  // Where it is no white space of HTTP's, it is part of the value.
  test.each([
    ['the key', /Key: .*/, '$&\xa0', 400],
    ['the version', /Version: .*/, '$&\xa0', 400],
    ['the origin', /Host: .*/, '$&\r\nOrigin: http://localhost\xa0', 403],
    ['the upgrade', /Upgrade: .*/, '$&\xa0', 200],
  ])('a no-break space behind %s', async (_says, what, instead, status) => {
    const request = `${head}\r\n`.replace(what, instead)
    const ending = 'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    expect(await converse(broker, request, ending)).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })

  test('in two pieces', async () => {
    const socket = connect(broker.port, '127.0.0.1')
    socket.write(head.slice(0, 30))
    const answer = new Promise<string>((resolve) =>
      socket.once('data', (data: Buffer) => resolve(data.toString())),
    )
    // Another connection's round trip later the first piece has been read.
    await (await fetch(broker.url)).text()
    socket.write(`${head.slice(30)}\r\n`)
    expect(await answer).toMatch(/^HTTP\/1.1 101 /)
    socket.destroy()
  })

  test.each([
    ['no key', /Sec-WebSocket-Key: .*\r\n/, '', 400],
    ['an empty key', /Key: .*/, 'Key:', 400],
    ['a key of 15 bytes', /Key: .*/, 'Key: dGhlIHNhbXBsZSBub24=', 400],
    ['a key of 17 bytes', /Key: .*/, 'Key: dGhlIHNhbXBsZSBub25jZWE=', 400],
    ['no version', /Sec-WebSocket-Version: .*\r\n/, '', 400],
    ['version 12', /Version: .*/, 'Version: 12', 400],
    ['an empty sub-protocol', /Protocol: .*/, 'Protocol: ', 400],
    ['an empty one between two', /Protocol: .*/, 'Protocol: a, ,b', 400],
    ['a sub-protocol twice', /Protocol: .*/, 'Protocol: v12.stomp, v12.stomp', 400],
    ['a sub-protocol that is no token', /Protocol: .*/, 'Protocol: v12.stomp x', 400],
    ['two keys', /Key: (.*)/, 'Key: $1\r\nSec-WebSocket-Key: $1', 400],
    ['a name with a space', /Host: .*/, 'Host: x\r\nA B: y', 400],
    ['a control character', /Host: .*/, 'Host: x\u0001', 400],
    ['a bare LF', /Host: .*\r\n/, 'Host: x\n', 400],
  ])('with %s is refused', async (_says, what, instead, status) => {
    const answer = await converse(broker, `${head}\r\n`.replace(what, instead))
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })

  describe('with what tells of a body', () => {
    const connectFrame = clientFrame(FIN | TEXT, frame('CONNECT', { 'accept-version': '1.2' }))
    const bodies = {
      nothing: '',
      frames: Buffer.concat([connectFrame, clientFrame(FIN | CLOSE, closing(1000))]).toString('latin1'),
      'a request': 'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      'a handshake': `${head}\r\n${goodbye}`,
    }
    const cases = (headers: readonly string[]): (readonly [header: string, says: string, body: string])[] =>
      headers.flatMap((header) => Object.entries(bodies).map((body) => [header, ...body] as const))

    /** What node:http says of itself. */
    async function conversePlainly(request: string): Promise<string> {
      const server = createServer().on('upgrade', (_, socket) => socket.end('an upgrade'))
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      try {
        return await converse(server.address() as AddressInfo, request)
      } finally {
        server.close()
      }
    }

    test.each(
      cases([
        'Content-Length: LENGTH',
        'cOnTeNt-LeNgTh:LENGTH',
        'Content-Length: 1',
        'Content-Length: 900',
        'Content-Length: LENGTH\r\nExpect: 100-continue',
        'Transfer-Encoding: chunked',
        'TRANSFER-ENCODING: Chunked',
        'Transfer-Encoding: gzip, chunked',
        'Transfer-Encoding: identity',
      ]),
    )('%s and then %s: refused, and nothing behind the head is heard', async (header, _says, body) => {
      const length = String(Math.max(1, body.length))
      const request = `${head}${header.replace('LENGTH', length)}\r\n\r\n${body}`
      const answer = await converse(broker, request)
      expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 400'])
      expect(answer).toMatch(
        /\r\nConnection: close\r\n[^]*\r\n\r\nA WebSocket handshake must not have a body\.\n$/,
      )
      expect((await upgrade(broker, '/stomp')).status).toBe(101)
    })

    test.each(
      cases([
        'Content-Length: x',
        'Content-Length: -1',
        'Content-Length: 1, 1',
        'Content-Length:',
        'Content-Length: 0\r\nContent-Length: 0',
        'content-length: 1\r\nCONTENT-LENGTH: 2',
        'Transfer-Encoding: chunked\r\nContent-Length: 0',
        'Transfer-Encoding: chunked, gzip',
      ]),
    )('%s and then %s: node:http refuses it', async (header, _says, body) => {
      const request = `${head}${header}\r\n\r\n${body}`
      const answer = await converse(broker, request)
      expect(answer).toMatch(/^HTTP\/1.1 400 /)
      expect(answer).toBe(await conversePlainly(request))
      expect((await upgrade(broker, '/stomp')).status).toBe(101)
    })

    test.each([
      'Content-Length: 0',
      'CONTENT-LENGTH:00',
      'Expect: 100-continue',
      'eXPECT: x',
      'Content-Lengths: 9',
    ])('%s: there is none, and what comes behind the head was heard', async (header) => {
      const [answer, frames] = (await converse(broker, `${head}${header}\r\n\r\n${bodies.frames}`)).split(
        '\r\n\r\n',
      )
      expect(answer).toMatch(/^HTTP\/1.1 101 /)
      const [connected, end] = serverFrames(Buffer.from(frames ?? '', 'latin1'))
      expect(String(connected?.payload)).toMatch(/^CONNECTED\n/)
      expect(end).toEqual({ first: FIN | CLOSE, payload: closing(1000) })
    })
  })

  test('that does not say so in Connection is a plain GET', async () => {
    const answer = await converse(broker, `${head}\r\n`.replace('keep-alive, Upgrade', 'close, upgrades'))
    expect(answer).toMatch(/^HTTP\/1.1 200 [^]*Welcome to SockJS!\n/)
  })

  test('of another version hears which there are', async () => {
    const answer = await converse(broker, `${head}\r\n`.replace('Version: 13', 'Version: 14'))
    expect(answer).toContain('\r\nSec-WebSocket-Version: 13, 8\r\n')
  })

  test('after another request on the same connection', async () => {
    const first = 'GET /ws HTTP/1.1\r\nHost: x\r\n\r\n'
    const answer = await converse(broker, first, `${head}\r\n${goodbye}`)
    expect(answer).toMatch(/^HTTP\/1.1 200 [^]*Welcome to SockJS!\n[^]*HTTP\/1.1 101 /)
  })
})

test('a connection that says nothing does not hold up the end', async () => {
  const own = await start()
  const socket = connect(own.port, '127.0.0.1')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('connect', resolve))
  await (await fetch(own.url)).text()
  await own.close()
  await closed
})

test('a connection that says nothing for long, and then asks for a page, gets it', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  const own = await start()
  const socket = connect(own.port, '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  await (await fetch(own.url)).text()
  vi.advanceTimersByTime(5_000)
  vi.useRealTimers()
  const answer = new Promise<string>((resolve) =>
    socket.once('data', (data: Buffer) => resolve(data.toString())),
  )
  socket.write('GET /ws HTTP/1.1\r\nHost: x\r\n\r\n')
  expect(await answer).toMatch(/^HTTP\/1.1 200 /)
  socket.destroy()
})

test('a client that only stops writing, before a word, is let go', async () => {
  const socket = connect({ port: broker.port, host: '127.0.0.1', allowHalfOpen: true })
  const ended = new Promise((resolve) => socket.once('end', resolve).resume())
  socket.on('error', () => {})
  socket.end()
  await ended
  socket.destroy()
})

test('a message may have twice as many bytes as a frame, and not one more', async () => {
  const own = await start({ maxFrame: 2_000, maxBody: 1_000 })
  const client = await RawClient.connected(own)
  client.raw('\n'.repeat(4_000))
  await client.sync()
  client.raw('\n'.repeat(4_001))
  expect((await client.closed).code).toBe(1009)
})

test('the receipts of a client that closes at once still go out before the close frame', async () => {
  const client = await RawClient.connected(broker)
  client.send('SEND', { destination: '/topic/nobody-listens', receipt: 'last' }, 'x')
  client.socket.close(1000, 'done')
  expect(await client.closed).toEqual({ code: 1000, reason: 'done' })
  expect(client.frames.map((each) => each.headers['receipt-id'])).toEqual(['last'])
})
