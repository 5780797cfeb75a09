import { once } from 'node:events'
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
} from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import SockJsClient from 'sockjs-client'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Admission } from '../../broker/transport/admission.ts'
import type { Connection, Receiver } from '../../broker/transport/connection.ts'
import { SockJs, type SockJsOptions } from '../../broker/transport/gate.ts'
import {
  closeFrame,
  Joiner,
  OPEN_FRAME,
  readMessages,
  sockJsWebSocketWire,
} from '../../broker/transport/sockjs.ts'

const ORIGIN = 'https://app.example'
const NOTHING = Buffer.alloc(0)
const MiB = 1024 * 1024

/** What the application sees of one session. */
class Peer implements Receiver {
  readonly connection: Connection
  readonly chunks: string[] = []
  ends = 0
  drains = 0
  onData: (text: string) => void = (text) => this.say(text)
  private readonly watchers = new Set<() => void>()

  constructor(connection: Connection) {
    this.connection = connection
  }

  data(chunk: Buffer): void {
    expect(this.ends).toBe(0)
    this.chunks.push(chunk.toString())
    this.wake()
    this.onData(chunk.toString())
  }

  full(): void {}

  drain(): void {
    expect(this.ends).toBe(0)
    this.drains++
    this.wake()
  }

  left(): void {}

  closed(): void {
    this.ends++
    this.wake()
  }

  say(text: string): boolean {
    return this.connection.send(this.connection.wire.wrap(Buffer.from(text), NOTHING, true))
  }

  async until(reached: () => boolean): Promise<void> {
    while (!reached()) {
      await new Promise<void>((wake) => this.watchers.add(wake))
    }
  }

  private wake(): void {
    for (const watcher of this.watchers) watcher()
    this.watchers.clear()
  }
}

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0).toReversed()) close()
})

interface Broker {
  port: number
  server: Server
  sockJs: SockJs
  peers: Peer[]
  warnings: string[]
}

async function start(options: Partial<SockJsOptions> = {}): Promise<Broker> {
  const peers: Peer[] = []
  const warnings: string[] = []
  const sockJs = new SockJs({
    endpoints: ['/ws', '/stomp'],
    refuse: ({ headers }) =>
      headers.origin === undefined || headers.origin === ORIGIN ? undefined : `Not from ${headers.origin}.`,
    frameAncestors: `'self' ${ORIGIN}`,
    baseUrl: '',
    maxBatch: 4 * MiB,
    maxEarly: Infinity,
    heartbeat: 25_000,
    disconnectDelay: 5_000,
    responseLimit: 128 * 1024,
    maxSessions: 100,
    binary: 'refuse',
    admission: new Admission({ maxConnections: 1_000, maxConnectionsPerAddress: 1_000 }, () => {}),
    warn: (message) => warnings.push(message),
    accept: (connection) => {
      const peer = new Peer(connection)
      peers.push(peer)
      return peer
    },
    ...options,
  })
  const server = createServer((request, response) => {
    if (!sockJs.handle(request, response)) response.writeHead(418).end('elsewhere')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    sockJs.close()
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, server, sockJs, peers, warnings }
}

/** A response that may still be coming. */
class Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly message: IncomingMessage
  text = ''
  ended = false

  constructor(message: IncomingMessage) {
    this.message = message
    this.status = message.statusCode ?? 0
    this.headers = message.headers
    message.setEncoding('utf8')
    message.on('data', (piece: string) => (this.text += piece))
    message.on('end', () => (this.ended = true))
    message.on('error', () => {})
  }

  async until(pattern: string): Promise<string> {
    while (!this.text.includes(pattern)) {
      if (this.ended) throw new Error(`ended without ${pattern}: ${this.text}`)
      await new Promise<void>((resolve) => {
        this.message.once('data', () => resolve())
        this.message.once('end', () => resolve())
      })
    }
    return this.text
  }

  async body(): Promise<string> {
    if (!this.ended) await once(this.message, 'end')
    return this.text
  }
}

interface Asking {
  headers?: Record<string, string>
  body?: string | Buffer
  chunked?: boolean
}

async function open(port: number, method: string, path: string, asking: Asking = {}): Promise<Answer> {
  const headers: Record<string, string | number> = { ...asking.headers }
  if (!asking.chunked && method === 'POST') headers['Content-Length'] = Buffer.byteLength(asking.body ?? '')
  const request = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent: false })
  request.on('error', () => {})
  closers.push(() => request.destroy())
  if (asking.chunked) request.write(asking.body ?? '')
  request.end(asking.chunked ? undefined : asking.body)
  const [message] = (await once(request, 'response')) as [IncomingMessage]
  return new Answer(message)
}

async function ask(port: number, method: string, path: string, asking: Asking = {}): Promise<Answer> {
  const answer = await open(port, method, path, asking)
  await answer.body()
  return answer
}

const get = (port: number, path: string, asking?: Asking): Promise<Answer> => ask(port, 'GET', path, asking)
const post = (port: number, path: string, body = '', headers: Record<string, string> = {}): Promise<Answer> =>
  ask(port, 'POST', path, { body, headers })

async function poll(port: number, path: string): Promise<string> {
  return (await post(port, `${path}/xhr`)).text
}

/** Opens a polling session and gives the application's side of it. */
async function session(broker: Broker, path = '/ws/000/session1'): Promise<Peer> {
  expect(await poll(broker.port, path)).toBe('o\n')
  const peer = broker.peers.at(-1)
  if (peer === undefined) throw new Error('no session was accepted')
  return peer
}

/** A client on a bare socket, which reads only when told to. */
async function rawPoll(port: number, path: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  closers.push(() => socket.destroy())
  await once(socket, 'connect')
  socket.pause()
  socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`)
  return socket
}

/** The messages in the `a` frames of a text. */
function messagesIn(text: string): string[] {
  const frames = text.split('\n').filter((line) => line.startsWith('a'))
  return frames.flatMap((line) => JSON.parse(line.slice(1)) as string[])
}

describe('the way in', () => {
  test('serves the greeting at each endpoint and leaves other paths alone', async () => {
    const { port } = await start()
    for (const path of ['/ws', '/ws/', '/ws?x=1', '/stomp']) {
      const answer = await get(port, path)
      expect([answer.status, answer.text, answer.headers['content-type']]).toEqual([
        200,
        'Welcome to SockJS!\n',
        'text/plain; charset=UTF-8',
      ])
    }
    for (const path of ['/', '/wsx', '/other/info']) expect((await get(port, path)).status).toBe(418)
    expect((await get(port, '/ws/unknown')).status).toBe(404)
  })

  test('an endpoint may lie below another', async () => {
    const { port } = await start({ endpoints: ['/ws', '/ws/deep'] })
    expect((await get(port, '/ws/deep/info')).status).toBe(200)
    expect(await poll(port, '/ws/deep/0/abc')).toBe('o\n')
  })

  test('refuses a foreign origin with the sentence, wherever it asks', async () => {
    const { port, peers } = await start()
    const headers = { Origin: 'https://evil.example' }
    for (const [method, path] of [
      ['GET', '/ws/info'],
      ['OPTIONS', '/ws/info'],
      ['POST', '/ws/000/abc/xhr'],
      ['POST', '/ws/000/abc/xhr_streaming'],
      ['GET', '/ws/000/abc/eventsource'],
      ['GET', '/ws/iframe.html'],
    ] as const) {
      const answer = await ask(port, method, path, { headers })
      expect([path, answer.status, answer.text]).toEqual([path, 403, 'Not from https://evil.example.'])
      expect(answer.headers['access-control-allow-origin']).toBeUndefined()
    }
    expect(peers).toHaveLength(0)
  })

  test('takes any session id without a dot or a slash', async () => {
    const { port } = await start()
    const ids = [
      'a',
      'x'.repeat(8_000),
      'a_b-C9',
      '%20',
      '%2e%2f',
      '@:;',
      '__proto__',
      'constructor',
      'toString',
    ]
    for (const id of ids) {
      expect(await poll(port, `/ws/000/${id}`)).toBe('o\n')
      expect((await post(port, `/ws/000/${id}/xhr_send`, '["x"]')).status).toBe(204)
    }
    for (const path of [
      '/ws/000//xhr',
      '/ws/000/a.b/xhr',
      '/ws/0.0/abc/xhr',
      '/ws//abc/xhr',
      '/ws/000/abc/constructor',
      '/ws/000/abc/xhr/x',
    ]) {
      expect((await post(port, path)).status).toBe(404)
    }
  })

  test('keeps the sessions of endpoints and of brokers apart', async () => {
    const one = await start()
    const two = await start()
    const peer = await session(one, '/ws/000/same')
    expect((await post(one.port, '/stomp/000/same/xhr_send', '["x"]')).status).toBe(404)
    expect((await post(two.port, '/ws/000/same/xhr_send', '["x"]')).status).toBe(404)
    await session(one, '/stomp/000/same')
    await session(two, '/ws/000/same')
    expect([one.peers.length, two.peers.length]).toEqual([2, 1])
    expect((await post(one.port, '/ws/999/same/xhr_send', '["x"]')).status).toBe(204)
    expect(peer.chunks).toEqual(['x'])
  })

  test('answers a wrong method with 405, and WebSocket paths without an upgrade with 400', async () => {
    const { port, peers } = await start()
    const wrong = await get(port, '/ws/000/abc/xhr')
    expect([wrong.status, wrong.headers.allow]).toEqual([405, 'OPTIONS, POST'])
    expect((await post(port, '/ws/info')).status).toBe(405)
    expect((await post(port, '/ws/000/abc/websocket')).status).toBe(405)
    for (const path of ['/ws/websocket', '/ws/000/abc/websocket']) {
      const answer = await get(port, path)
      expect([answer.status, answer.text]).toEqual([400, 'Can "Upgrade" only to "WebSocket".'])
    }
    expect(peers).toHaveLength(0)
  })

  test('tells the address of the peer, its transport, and an id nobody can guess', async () => {
    const broker = await start()
    await session(broker, '/ws/000/abc')
    await (await open(broker.port, 'POST', '/ws/000/def/xhr_streaming')).until('o\n')
    await (await open(broker.port, 'GET', '/ws/000/ghi/eventsource')).until('o\r\n')
    await (await open(broker.port, 'GET', '/ws/000/jkl/htmlfile?c=x')).until('p("o")')
    await get(broker.port, '/ws/000/mno/jsonp?c=x')
    const names = ['xhr-polling', 'xhr-streaming', 'eventsource', 'htmlfile', 'jsonp-polling']
    expect(broker.peers.map(({ connection }) => connection.info)).toEqual(
      names.map((transport) => ({ transport, address: '127.0.0.1' })),
    )
    const ids = broker.peers.map(({ connection }) => connection.id)
    expect(new Set(ids).size).toBe(5)
    expect(ids[0]).not.toContain('abc')
  })

  test('holds maxSessions and not one more', async () => {
    const broker = await start({ maxSessions: 2 })
    const first = await session(broker, '/ws/000/one')
    await session(broker, '/stomp/000/two')
    const refused = await post(broker.port, '/ws/000/three/xhr')
    expect([refused.status, refused.text]).toEqual([
      503,
      'The broker takes no more than 2 SockJS sessions at a time (limit sockjs-max-sessions). Try again later.',
    ])
    // Those that are there go on.
    expect((await post(broker.port, '/ws/000/one/xhr_send', '["x"]')).status).toBe(204)
    expect(await poll(broker.port, '/ws/000/one')).toBe('a["x"]\n')
    // A request that opens no session takes no place.
    const waiting = await open(broker.port, 'POST', '/ws/000/one/xhr_streaming')
    waiting.message.destroy()
    await first.until(() => first.ends === 1)
    expect((await get(broker.port, '/ws/000/three/jsonp')).status).toBe(500)
    await session(broker, '/ws/000/three')
  })

  test.each(['opened', 'told something'])(
    'a session that is %s behind other answers is forgotten when its peer leaves',
    async (what) => {
      const broker = await start({ maxSessions: 2, disconnectDelay: 50 })
      // Before, or with the request that waits.
      if (what === 'told something') await session(broker, '/ws/000/behind')
      const socket = connect(broker.port, '127.0.0.1')
      socket.on('error', () => {})
      // The first answer has no end.
      for (const path of ['/ws/000/first/xhr_streaming', '/ws/000/behind/xhr'])
        socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`)
      await expect.poll(() => broker.peers.length).toBe(2)
      if (what === 'told something') {
        const [behind] = broker.peers
        await expect
          .poll(() => (behind?.connection as { receiving?: boolean } | undefined)?.receiving)
          .toBe(true)
        behind?.say('x')
      }
      socket.resetAndDestroy()
      for (const peer of broker.peers) await peer.until(() => peer.ends === 1)
      for (const name of ['one', 'two']) await session(broker, `/ws/000/${name}`)
    },
  )
})

describe('CORS', () => {
  test('echoes an allowed origin with credentials, and nothing to no origin', async () => {
    const { port } = await start()
    const requests = [
      ['GET', '/ws/info'],
      ['POST', '/ws/000/abc/xhr'],
      ['POST', '/ws/000/abc/xhr_send'],
      ['POST', '/ws/000/def/xhr_streaming'],
      ['GET', '/ws/000/ghi/eventsource'],
    ] as const
    for (const [method, path] of requests) {
      const body = method === 'POST' ? '["x"]' : ''
      const known = await open(port, method, path, { headers: { Origin: ORIGIN }, body })
      expect(known.headers).toMatchObject({
        'access-control-allow-origin': ORIGIN,
        'access-control-allow-credentials': 'true',
        vary: 'Origin',
      })
      const unknown = await open(port, method, path.replace('/000/', '/000/n'), { body })
      expect(unknown.headers).toMatchObject({ 'access-control-allow-origin': '*', vary: 'Origin' })
      expect(unknown.headers['access-control-allow-credentials']).toBeUndefined()
    }
  })

  test('answers preflights for a year', async () => {
    const { port } = await start()
    for (const [path, methods] of [
      ['/ws/info', 'OPTIONS, GET'],
      ['/ws/000/abc/xhr', 'OPTIONS, POST'],
      ['/ws/000/abc/xhr_send', 'OPTIONS, POST'],
      ['/ws/000/abc/xhr_streaming', 'OPTIONS, POST'],
    ] as const) {
      const headers = { Origin: ORIGIN, 'Access-Control-Request-Headers': 'content-type, x-mine' }
      const answer = await ask(port, 'OPTIONS', path, { headers })
      expect([answer.status, answer.text]).toEqual([204, ''])
      expect(answer.headers).toMatchObject({
        'access-control-allow-origin': ORIGIN,
        'access-control-allow-credentials': 'true',
        'access-control-allow-methods': methods,
        'access-control-allow-headers': 'content-type, x-mine',
        'access-control-max-age': '31536000',
        'cache-control': 'public, max-age=31536000',
      })
      expect(Date.parse(answer.headers.expires ?? '')).toBeGreaterThan(Date.now() + 364 * 86_400_000)
    }
  })

  test('info says what sockjs-client wants to know, and is not cached', async () => {
    const { port } = await start()
    const answer = await get(port, '/ws/info')
    const { entropy, ...info } = JSON.parse(answer.text) as Record<string, unknown>
    expect(info).toEqual({ websocket: true, origins: ['*:*'], cookie_needed: false })
    expect(Number.isInteger(entropy)).toBe(true)
    expect((JSON.parse((await get(port, '/stomp/info')).text) as { entropy: number }).entropy).not.toBe(
      entropy,
    )
    expect(answer.headers['content-type']).toBe('application/json; charset=UTF-8')
    expect(answer.headers['cache-control']).toContain('no-store')
  })
})

describe('pages that send no Origin', () => {
  const paths = ['jsonp?c=x', 'htmlfile?c=x', 'eventsource']

  test('are known by their Referer when the browser says they are foreign', async () => {
    const { port, peers } = await start()
    for (const path of paths) {
      // Over plain http, except from this machine, browsers do not send Sec-Fetch-Site.
      for (const site of ['cross-site', 'same-site', undefined]) {
        for (const page of ['https://evil.example/page', 'nonsense', ...(site ? [undefined] : [])]) {
          const headers = { ...(site && { 'Sec-Fetch-Site': site }), ...(page && { Referer: page }) }
          const answer = await get(port, `/ws/000/abc/${path}`, { headers })
          const origin = page?.startsWith('https') ? 'https://evil.example' : 'null'
          expect([answer.status, answer.text]).toEqual([403, `Not from ${origin}.`])
        }
      }
    }
    expect(peers).toHaveLength(0)
  })

  test('are served when they are not, or their origin is allowed', async () => {
    const { port } = await start()
    let id = 0
    for (const path of paths) {
      for (const headers of [
        { 'Sec-Fetch-Site': 'cross-site', Referer: `${ORIGIN}/deep/page?x` },
        { 'Sec-Fetch-Site': 'same-origin' },
        { 'Sec-Fetch-Site': 'none' },
        { 'Sec-Fetch-Site': 'same-origin', Referer: 'https://evil.example/' },
        { Referer: `${ORIGIN}/page` },
        {},
      ]) {
        expect((await open(port, 'GET', `/ws/000/s${id++}/${path}`, { headers })).status).toBe(200)
      }
    }
  })

  test('the iframe page can be framed by allowed origins only, and is cached', async () => {
    const { port } = await start()
    const body = [
      '<!DOCTYPE html>',
      '<html>',
      '<head>',
      '  <meta http-equiv="X-UA-Compatible" content="IE=edge" />',
      '  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />',
      '  <script src="/sockjs.min.js"></script>',
      '  <script>',
      '    document.domain = document.domain;',
      '    SockJS.bootstrap_iframe();',
      '  </script>',
      '</head>',
      '<body>',
      "  <h2>Don't panic!</h2>",
      "  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>",
      '</body>',
      '</html>',
    ].join('\n')
    const { etag = '' } = (await get(port, '/ws/iframe.html')).headers
    expect(etag).toMatch(/^"[\w-]{20,}"$/)
    for (const path of ['/ws/iframe.html', '/ws/iframe-1.6.1.html?t=1', '/stomp/iframe-.html']) {
      // A page that may frame it is on another site, as a rule.
      const answer = await get(port, path, { headers: { 'Sec-Fetch-Site': 'cross-site' } })
      expect([answer.status, answer.text]).toEqual([200, body])
      expect(answer.headers).toMatchObject({
        'content-security-policy': `frame-ancestors 'self' ${ORIGIN}`,
        'content-type': 'text/html; charset=UTF-8',
        'cache-control': 'public, max-age=31536000',
        etag,
      })
    }
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const answer = await get(port, '/ws/iframe.html', { headers: { 'If-None-Match': known } })
      expect([answer.status, answer.text]).toEqual([304, ''])
      expect(answer.headers).toMatchObject({ etag, 'cache-control': 'public, max-age=31536000' })
    }
    const others = await get(port, '/ws/iframe.html', { headers: { 'If-None-Match': '"other"' } })
    expect([others.status, others.text]).toEqual([200, body])
    expect((await get(port, '/ws/iframe_x.php')).status).toBe(404)
  })
})

describe('messages from the peer', () => {
  test('reach the application in order', async () => {
    const broker = await start()
    const peer = await session(broker)
    const answer = await post(broker.port, '/ws/000/session1/xhr_send', '["one","two \\u0000 ü"]')
    expect([answer.status, answer.text]).toEqual([204, ''])
    expect((await post(broker.port, '/ws/000/session1/xhr_send', '["three"]')).status).toBe(204)
    expect((await post(broker.port, '/ws/000/session1/xhr_send', '[]')).status).toBe(204)
    expect(peer.chunks.join('|')).toBe('onetwo \0 ü|three')
  })

  test('a character cut in two by the client is whole again', async () => {
    const broker = await start()
    const peer = await session(broker)
    for (const body of [
      '["a","\\ud83d"]',
      '["\\ude00b","\\ud83d","\\ude01"]',
      '["\\ud83d"]',
      '["\\ude02"]',
    ]) {
      await post(broker.port, '/ws/000/session1/xhr_send', body)
    }
    expect(peer.chunks.join('')).toBe('a😀b😁😂')
  })

  test.each(['xhr_send', 'jsonp_send'])('%s refuses what is not an array of strings', async (transport) => {
    // Little room, so that a refused body must give back what it took.
    const broker = await start({ maxBatch: 20 })
    const peer = await session(broker)
    const path = `/ws/000/session1/${transport}`
    for (const [body, sentence] of [
      ['', 'Payload expected.'],
      ['["x', 'Broken JSON encoding.'],
      ['{}', 'Payload expected.'],
      ['5', 'Payload expected.'],
      ['null', 'Payload expected.'],
      ['["x",null]', 'Payload expected.'],
      ['[{"a":1}]', 'Payload expected.'],
    ] as const) {
      const answer = await post(broker.port, path, body, { 'Content-Type': 'text/plain' })
      expect([body, answer.status, answer.text]).toEqual([body, 500, sentence])
    }
    const invalid = await ask(broker.port, 'POST', path, {
      body: Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]),
    })
    expect([invalid.status, invalid.text]).toEqual([500, 'Broken JSON encoding.'])
    expect(peer.chunks).toEqual([])
    expect((await post(broker.port, path, '["ok"]')).status).toBeLessThan(300)
    expect(peer.chunks).toEqual(['ok'])
  })

  test('jsonp_send takes a form or plain text and says ok', async () => {
    const broker = await start()
    const peer = await session(broker)
    const path = '/ws/000/session1/jsonp_send'
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
    const answer = await post(broker.port, path, 'd=%5B%22a+b%26%22%5D', form)
    expect([answer.status, answer.text, answer.headers['content-type']]).toEqual([
      200,
      'ok',
      'text/plain; charset=UTF-8',
    ])
    expect((await post(broker.port, path, '["c%20d"]', { 'Content-Type': 'text/plain' })).text).toBe('ok')
    expect((await post(broker.port, path, 'd=%5B%22x', form)).text).toBe('Broken JSON encoding.')
    for (const body of ['', 'd=', 'p=p'])
      expect((await post(broker.port, path, body, form)).text).toBe('Payload expected.')
    expect(peer.chunks).toEqual(['a b&', 'c%20d'])
  })

  test('for an unknown session there is 404', async () => {
    const { port, peers } = await start()
    for (const transport of ['xhr_send', 'jsonp_send']) {
      expect((await post(port, `/ws/000/nobody/${transport}`, '["x"]')).status).toBe(404)
    }
    expect(peers).toHaveLength(0)
  })

  test.each([false, true])(
    'a body of maxBatch bytes passes, one byte more is 413 (chunked: %s)',
    async (chunked) => {
      const broker = await start({ maxBatch: 1000 })
      const peer = await session(broker)
      const send = (bytes: number): Promise<Answer> =>
        ask(broker.port, 'POST', '/ws/000/session1/xhr_send', {
          body: `["${'x'.repeat(bytes - 4)}"]`,
          chunked,
        })
      expect((await send(1000)).status).toBe(204)
      const refused = await send(1001)
      expect([refused.status, refused.text]).toEqual([
        413,
        'The messages sent at a time may have 1000 bytes in all, these have more.',
      ])
      // Nothing of the refused one stays on the account.
      expect((await send(1000)).status).toBe(204)
      expect(peer.chunks.map((chunk) => chunk.length)).toEqual([996, 996])
    },
  )

  test('a body that says it is too long is not waited for', async () => {
    const broker = await start({ maxBatch: 1000 })
    await session(broker)
    const headers = { 'Content-Length': 1001 }
    const { port } = broker
    const request = httpRequest({ port, method: 'POST', path: '/ws/000/session1/xhr_send', headers })
    closers.push(() => request.destroy())
    request.on('error', () => {}).flushHeaders()
    const [message] = (await once(request, 'response')) as [IncomingMessage]
    expect(message.statusCode).toBe(413)
  })

  test('a body that grows too long gives back what it took', async () => {
    const broker = await start({ maxBatch: 1000 })
    const peer = await session(broker)
    const request = httpRequest({ port: broker.port, method: 'POST', path: '/ws/000/session1/xhr_send' })
    closers.push(() => request.destroy())
    request.on('error', () => {}).write('x'.repeat(600))
    await vi.waitFor(() => expect(peer.connection.received).toBe(601))
    request.write('x'.repeat(600))
    const [message] = (await once(request, 'response')) as [IncomingMessage]
    expect(message.statusCode).toBe(413)
    const body = `["${'x'.repeat(996)}"]`
    expect((await post(broker.port, '/ws/000/session1/xhr_send', body)).status).toBe(204)
  })

  test('bodies that come at the same time share the limit, and one that breaks off gives it back', async () => {
    const broker = await start({ maxBatch: 1000 })
    const peer = await session(broker)
    const socket = connect(broker.port, '127.0.0.1')
    closers.push(() => socket.destroy())
    socket.write('POST /ws/000/session1/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n')
    const before = peer.connection.received
    socket.write('x'.repeat(600))
    await vi.waitFor(() => expect(peer.connection.received).toBe(before + 600))
    const body = `["${'x'.repeat(500)}"]`
    expect((await post(broker.port, '/ws/000/session1/xhr_send', body)).status).toBe(413)
    socket.destroy()
    await vi.waitFor(async () => {
      expect((await post(broker.port, '/ws/000/session1/xhr_send', body)).status).toBe(204)
    })
  })

  test('a large batch takes time in proportion', async () => {
    const broker = await start({ maxBatch: 64 * MiB })
    const peer = await session(broker)
    peer.onData = () => {}
    const body = `["${'x'.repeat(48 * MiB)}"]`
    const began = performance.now()
    expect((await post(broker.port, '/ws/000/session1/xhr_send', body)).status).toBe(204)
    // Joined anew with each piece this takes half a minute.
    expect(performance.now() - began).toBeLessThan(5_000)
    expect(peer.chunks[0]?.length).toBe(48 * MiB)
  })

  test('wait while the application is paused, and so does the answer', async () => {
    const broker = await start({ maxBatch: 1000 })
    const peer = await session(broker)
    peer.connection.pause()
    let answered = false
    const held = post(broker.port, '/ws/000/session1/xhr_send', `["${'x'.repeat(600)}"]`).then((answer) => {
      answered = true
      return answer
    })
    await vi.waitFor(() => expect(peer.connection.received).toBeGreaterThan(600))
    // A second one at the same time would be over the limit.
    expect((await post(broker.port, '/ws/000/session1/xhr_send', `["${'x'.repeat(500)}"]`)).status).toBe(413)
    const small = post(broker.port, '/ws/000/session1/xhr_send', '["second"]')
    await vi.waitFor(() => expect(peer.connection.received).toBeGreaterThan(1100))
    expect([answered, peer.chunks]).toEqual([false, []])
    peer.connection.resume()
    expect([(await held).status, (await small).status]).toEqual([204, 204])
    expect(peer.chunks).toEqual(['x'.repeat(600), 'second'])
  })

  test('an application that pauses on a message holds its answer back', async () => {
    const broker = await start()
    const peer = await session(broker)
    peer.onData = () => peer.connection.pause()
    let answered = false
    const held = post(broker.port, '/ws/000/session1/xhr_send', '["x"]').then(() => (answered = true))
    await peer.until(() => peer.chunks.length === 1)
    await poll(broker.port, '/ws/000/another')
    expect(answered).toBe(false)
    peer.connection.resume()
    await held
  })

  test('the rest is dropped once the application has closed', async () => {
    const broker = await start()
    const peer = await session(broker)
    peer.connection.pause()
    const sent = ['["junk","x"]', '["y"]'].map((body) => post(broker.port, '/ws/000/session1/xhr_send', body))
    await vi.waitFor(() => expect(peer.connection.received).toBe(1 + 17))
    peer.onData = () => peer.connection.close(1002, 'malformed frame')
    peer.connection.resume()
    for (const answer of sent) expect((await answer).status).toBe(204)
    expect([peer.chunks.length, peer.ends]).toEqual([1, 1])
    // The peer is not bothered with errors before it has seen the reason.
    expect((await post(broker.port, '/ws/000/session1/xhr_send', '["z"]')).status).toBe(204)
    expect(peer.chunks.length).toBe(1)
    expect(await poll(broker.port, '/ws/000/session1')).toBe('c[1002,"malformed frame"]\n')
  })

  test('each of them and each poll is a sign of life', async () => {
    const broker = await start()
    const peer = await session(broker)
    const opened = peer.connection.received
    expect(opened).toBeGreaterThan(0)
    await post(broker.port, '/ws/000/session1/xhr_send', '["x"]')
    expect(peer.connection.received).toBe(opened + 5)
    await poll(broker.port, '/ws/000/session1')
    expect(peer.connection.received).toBeGreaterThan(opened + 5)
  })
})

describe('messages to the peer', () => {
  test('are dressed for each transport', async () => {
    const broker = await start()
    const frame = '"\n\0ü\u2028😀'
    const element = '"\\"\\n\\u0000ü\\u2028\\ud83d\\ude00"'
    const streaming = await open(broker.port, 'POST', '/ws/000/a/xhr_streaming')
    const events = await open(broker.port, 'GET', '/ws/000/b/eventsource')
    const html = await open(broker.port, 'GET', '/ws/000/c/htmlfile?c=parent.cb')
    const first = await get(broker.port, '/ws/000/d/jsonp?c=cb')
    expect(first.text).toBe('/**/cb("o");\r\n')
    const jsonp = open(broker.port, 'GET', '/ws/000/d/jsonp?callback=cb')
    await vi.waitFor(() => expect(broker.peers[3]?.connection.received).toBe(2))
    await Promise.all([streaming.until('o\n'), events.until('o\r\n'), html.until('"o"')])
    for (const peer of broker.peers) peer.say(frame)
    expect(await streaming.until(']\n')).toBe(`${'h'.repeat(2048)}\no\na[${element}]\n`)
    expect(await events.until(']\r\n\r\n')).toBe(`\r\ndata: o\r\n\r\ndata: a[${element}]\r\n\r\n`)
    expect(await html.until('a[')).toContain(
      `<script>\np(${JSON.stringify(`a[${element}]`)});\n</script>\r\n`,
    )
    expect(html.text).toContain('var c = parent.parent.cb;')
    expect(html.text.indexOf('<script>\np("o")')).toBeGreaterThanOrEqual(1024)
    expect(await (await jsonp).body()).toBe(`/**/cb(${JSON.stringify(`a[${element}]`)});\r\n`)
    for (const answer of [streaming, events, html, first]) {
      expect(answer.headers['x-accel-buffering']).toBe('no')
      expect(answer.headers['cache-control']).toContain('no-store, no-cache, no-transform')
    }
  })

  test('jsonp and htmlfile insist on a harmless callback', async () => {
    const { port, peers } = await start()
    for (const transport of ['jsonp', 'htmlfile']) {
      expect((await get(port, `/ws/000/a/${transport}`)).text).toBe('"callback" parameter required')
      expect((await get(port, `/ws/000/a/${transport}?c=alert(1)`)).text).toBe('invalid "callback" parameter')
    }
    expect(peers).toHaveLength(0)
  })

  test('a second request that wants to receive is turned away', async () => {
    const broker = await start()
    const first = await open(broker.port, 'POST', '/ws/000/session1/xhr_streaming')
    await first.until('o\n')
    expect(await poll(broker.port, '/ws/000/session1')).toBe('c[2010,"Another connection still open"]\n')
    broker.peers[0]?.say('still here')
    await first.until('a["still here"]\n')
    expect(broker.peers).toHaveLength(1)
  })

  test('a poll takes no more than the limit, and one message at least', async () => {
    const broker = await start({ responseLimit: 10_000 })
    const peer = await session(broker)
    const sent = Array.from({ length: 30 }, (_, index) => `${index}:`.padEnd(900, '.'))
    sent.push('L'.repeat(50_000), 'last')
    for (const message of sent) peer.say(message)
    const heard: string[] = []
    while (heard.length < sent.length) {
      const messages = messagesIn(await poll(broker.port, '/ws/000/session1'))
      expect(messages.length === 1 || messages.join('').length <= 10_000).toBe(true)
      heard.push(...messages)
    }
    expect(heard).toEqual(sent)
  })

  test('a streaming response ends at the limit and the next one goes on', async () => {
    const broker = await start({ responseLimit: 10_000 })
    const first = await open(broker.port, 'POST', '/ws/000/session1/xhr_streaming')
    await first.until('o\n')
    const sent = Array.from({ length: 200 }, (_, index) => `${index}:`.padEnd(900, '.'))
    for (const message of sent) broker.peers[0]?.say(message)
    const heard = messagesIn(await first.body())
    while (heard.length < sent.length - 8) {
      const response = await open(broker.port, 'POST', '/ws/000/session1/xhr_streaming')
      const text = await response.body()
      expect(text.length).toBeLessThan(2049 + 12_000)
      heard.push(...messagesIn(text))
    }
    const end = await open(broker.port, 'POST', '/ws/000/session1/xhr_streaming')
    if (heard.length < sent.length) heard.push(...messagesIn(await end.until('199:')))
    expect(heard).toEqual(sent)
  })

  test('count as unsent until a poll has taken them; then comes drain', async () => {
    const broker = await start()
    const peer = await session(broker)
    const message = 'x'.repeat(100_000)
    expect([peer.say(message), peer.say(message), peer.say(message)]).toEqual([true, true, false])
    expect(peer.connection.buffered).toBeGreaterThan(300_000)
    expect(peer.drains).toBe(0)
    let heard = 0
    while (heard < 3) heard += messagesIn(await poll(broker.port, '/ws/000/session1')).length
    await peer.until(() => peer.drains === 1)
    await vi.waitFor(() => expect(peer.connection.buffered).toBe(0))
  })

  test('count as unsent while a peer does not read its response, which does not live long', async () => {
    const broker = await start({ disconnectDelay: 100 })
    const peer = await session(broker)
    await rawPoll(broker.port, '/ws/000/session1/xhr')
    await vi.waitFor(() => expect(peer.connection.received).toBe(2))
    expect(peer.say('x'.repeat(16 * MiB))).toBe(false)
    await vi.waitFor(() => expect(peer.connection.sent).toBeGreaterThan(0))
    expect(peer.connection.buffered).toBeGreaterThan(4 * MiB)
    // That there is always more to send makes no difference.
    for (; peer.ends === 0; await new Promise(setImmediate)) peer.say('more')
    expect([peer.drains, peer.connection.buffered]).toEqual([0, 0])
    expect(await poll(broker.port, '/ws/000/session1')).toBe('c[3000,"Go away!"]\n')
  })

  test('reach a peer that reads slowly, though it takes longer than the disconnect delay', async () => {
    const broker = await start({ disconnectDelay: 500 })
    const peer = await session(broker)
    const socket = await rawPoll(broker.port, '/ws/000/session1/xhr')
    await vi.waitFor(() => expect(peer.connection.received).toBe(2))
    peer.say('x'.repeat(48 * MiB))
    let end = ''
    let bytes = 0
    socket.on('data', (chunk) => {
      end = (end + chunk.toString('latin1')).slice(-10)
      bytes += chunk.length
      socket.pause()
    })
    // The pace of the reader is the point here.
    const began = performance.now()
    for (let step = 1; peer.connection.buffered > 0; step++) {
      while (bytes < step * MiB && peer.connection.buffered > 0) {
        socket.resume()
        await new Promise(setImmediate)
        expect(peer.ends).toBe(0)
      }
      await delay(25)
    }
    expect(performance.now() - began).toBeGreaterThan(750)
    socket.on('data', () => socket.resume()).resume()
    await vi.waitFor(() => expect(end).toContain('\r\n0\r\n\r\n'), { interval: 5 })
    peer.say('next')
    expect(await poll(broker.port, '/ws/000/session1')).toBe('a["next"]\n')
    expect(peer.ends).toBe(0)
  })

  test('through a stream that is read again: drain comes without another request', async () => {
    const broker = await start({ responseLimit: 64 * MiB })
    const socket = await rawPoll(broker.port, '/ws/000/session1/xhr_streaming')
    await vi.waitFor(() => expect(broker.peers).toHaveLength(1))
    const peer = broker.peers[0]
    expect(peer?.say('x'.repeat(16 * MiB))).toBe(false)
    await vi.waitFor(() => expect(peer?.connection.sent).toBeGreaterThan(0))
    expect([peer?.drains, peer?.connection.received]).toEqual([0, 1])
    socket.resume()
    await peer?.until(() => peer.drains === 1)
    expect([peer?.connection.buffered, peer?.connection.received]).toEqual([0, 1])
  })

  test('an unread response is destroyed when the peer asks for the next, and the session with it', async () => {
    const broker = await start()
    const peer = await session(broker)
    const greedy = await rawPoll(broker.port, '/ws/000/session1/xhr')
    await vi.waitFor(() => expect(peer.connection.received).toBe(2))
    peer.say('x'.repeat(16 * MiB))
    await vi.waitFor(() => expect(peer.connection.sent).toBeGreaterThan(0))
    expect(await poll(broker.port, '/ws/000/session1')).toBe('c[3000,"Go away!"]\n')
    expect([peer.ends, peer.connection.buffered]).toEqual([1, 0])
    greedy.resume()
    await once(greedy, 'close')
    expect(greedy.bytesRead).toBeLessThan(16 * MiB)
  })
})

describe('heart-beats', () => {
  test('come as h frames until the session is quiet', async () => {
    const broker = await start({ heartbeat: 20 })
    const loud = await open(broker.port, 'POST', '/ws/000/loud/xhr_streaming')
    const quiet = await open(broker.port, 'POST', '/ws/000/quiet/xhr_streaming')
    await quiet.until('o\nh\n')
    broker.peers[1]?.connection.quiet()
    broker.peers[1]?.say('quiet')
    const before = await quiet.until('a["quiet"]\n')
    await loud.until('o\nh\nh\nh\nh\nh\nh\n')
    expect(quiet.text).toBe(before)
    expect(await poll(broker.port, '/ws/000/poll')).toBe('o\n')
    expect(await poll(broker.port, '/ws/000/poll')).toBe('h\n')
  })
})

describe('the end', () => {
  test('a waiting poll hears the reason, and so does every later one', async () => {
    const broker = await start()
    const peer = await session(broker)
    const waiting = open(broker.port, 'POST', '/ws/000/session1/xhr')
    await vi.waitFor(() => expect(peer.connection.received).toBe(2))
    peer.connection.close(1001, 'going "away"')
    expect(peer.ends).toBe(1)
    expect(await (await waiting).body()).toBe('c[1001,"going \\"away\\""]\n')
    for (let round = 0; round < 3; round++) {
      expect(await poll(broker.port, '/ws/000/session1')).toBe('c[1001,"going \\"away\\""]\n')
    }
    peer.connection.terminate()
    peer.connection.close(1000, 'again')
    expect([peer.ends, broker.peers.length]).toEqual([1, 1])
  })

  test('what was sent before comes before', async () => {
    const broker = await start()
    const streaming = await open(broker.port, 'POST', '/ws/000/stream/xhr_streaming')
    await streaming.until('o\n')
    broker.peers[0]?.say('ERROR')
    broker.peers[0]?.connection.close(1002, 'malformed frame')
    expect(await streaming.body()).toContain('o\na["ERROR"]\nc[1002,"malformed frame"]\n')
    expect(broker.peers[0]?.ends).toBe(1)

    const peer = await session(broker, '/ws/000/poll')
    peer.say('ERROR')
    peer.connection.close(1002, 'malformed frame')
    // Until a poll has come for the ERROR nothing is over, but nothing more is heard either.
    expect((await post(broker.port, '/ws/000/poll/xhr_send', '["x"]')).status).toBe(204)
    expect([peer.chunks, peer.ends]).toEqual([[], 0])
    expect(await poll(broker.port, '/ws/000/poll')).toBe('a["ERROR"]\n')
    expect(await poll(broker.port, '/ws/000/poll')).toBe('c[1002,"malformed frame"]\n')
    expect(peer.ends).toBe(1)
  })

  test('a closed session is forgotten after a while, though its peer polls on', async () => {
    const broker = await start({ disconnectDelay: 100 })
    const peer = await session(broker)
    const waiting = open(broker.port, 'POST', '/ws/000/session1/xhr')
    await vi.waitFor(() => expect(peer.connection.received).toBe(2))
    peer.connection.close(3000, 'Go away!')
    let text = await (await waiting).body()
    expect(text).toBe('c[3000,"Go away!"]\n')
    let rounds = 0
    while ((text = await poll(broker.port, '/ws/000/session1')) !== 'o\n') {
      expect(text).toBe('c[3000,"Go away!"]\n')
      rounds++
    }
    expect(rounds).toBeGreaterThan(0)
    expect([peer.ends, broker.peers.length]).toEqual([1, 2])
  })

  test('terminate ends at once, whatever waits', async () => {
    const broker = await start()
    const peer = await session(broker)
    peer.say('x'.repeat(300_000))
    peer.connection.terminate()
    expect([peer.ends, peer.connection.buffered]).toEqual([1, 0])
    expect(peer.say('more')).toBe(true)
    expect(await poll(broker.port, '/ws/000/session1')).toBe('c[3000,"Go away!"]\n')
  })

  test('terminate gives up a response nobody reads', async () => {
    const broker = await start()
    const peer = await session(broker)
    const socket = await rawPoll(broker.port, '/ws/000/session1/xhr_streaming')
    await vi.waitFor(() => expect(peer.connection.received).toBe(2))
    peer.say('x'.repeat(16 * MiB))
    await vi.waitFor(() => expect(peer.connection.sent).toBeGreaterThan(0))
    peer.connection.terminate()
    expect([peer.ends, peer.connection.buffered]).toEqual([1, 0])
    socket.resume()
    await once(socket, 'close')
    expect(socket.bytesRead).toBeLessThan(16 * MiB)
  })

  test('a peer that leaves its request is gone at once', async () => {
    const broker = await start()
    for (const [method, path] of [
      ['POST', '/ws/000/a/xhr_streaming'],
      ['GET', '/ws/000/b/eventsource'],
    ] as const) {
      const answer = await open(broker.port, method, path)
      const peer = broker.peers.at(-1)
      answer.message.destroy()
      await peer?.until(() => peer.ends === 1)
      expect(peer?.say('nobody hears this')).toBe(true)
    }
  })

  test('a peer is missed even if it sent a body with its request', async () => {
    const broker = await start()
    const socket = connect(broker.port, '127.0.0.1')
    socket.on('error', () => {})
    const head = 'POST /ws/000/a/xhr_streaming HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n'
    socket.write(head + 'x'.repeat(1_000_000))
    await once(socket, 'data')
    socket.end()
    const peer = broker.peers[0]
    await peer?.until(() => peer.ends === 1)
  })

  test('a server that cuts idle connections leaves a waiting request alone', async () => {
    const broker = await start({ heartbeat: 1_000 })
    broker.server.timeout = 400
    const answer = await open(broker.port, 'POST', '/ws/000/a/xhr_streaming')
    await answer.until('o\nh\n')
  })

  test('a peer that does not poll again is gone after the delay, one that does is not', async () => {
    const broker = await start({ disconnectDelay: 150, heartbeat: 60 })
    const gone = await session(broker, '/ws/000/gone')
    const there = await session(broker, '/ws/000/there')
    // Each poll lasts for a heart-beat.
    while (gone.ends === 0) expect(await poll(broker.port, '/ws/000/there')).toBe('h\n')
    expect([gone.ends, there.ends]).toEqual([1, 0])
    expect((await post(broker.port, '/ws/000/gone/xhr_send', '["x"]')).status).toBe(404)
  })

  test('is busy until each peer has been told of its end, or is gone', async () => {
    const broker = await start()
    expect(broker.sockJs.busy).toBe(false)
    const one = await session(broker, '/ws/000/one')
    const streaming = await open(broker.port, 'POST', '/ws/000/two/xhr_streaming')
    await streaming.until('o\n')
    broker.sockJs.stop()
    broker.peers.at(-1)?.connection.close(1012, 'bye')
    expect(await streaming.body()).toContain('c[1012,"bye"]\n')
    one.connection.close(1012, 'bye')
    expect(broker.sockJs.busy).toBe(true)
    expect(await poll(broker.port, '/ws/000/one')).toBe('c[1012,"bye"]\n')
    expect(broker.sockJs.busy).toBe(false)
  })

  test('close forgets all sessions and all timers', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const before = timers()
    const broker = await start()
    await session(broker, '/ws/000/one')
    const closed = await session(broker, '/ws/000/two')
    closed.connection.close(1000, 'bye')
    const waiting = await session(broker, '/ws/000/three')
    waiting.say('never polled for')
    waiting.connection.close(1000, 'bye')
    const streaming = await open(broker.port, 'POST', '/ws/000/four/xhr_streaming')
    await streaming.until('o\n')
    expect(timers()).toBeGreaterThan(before)
    broker.sockJs.close()
    expect(broker.peers.map((peer) => peer.ends)).toEqual([1, 1, 1, 1])
    expect(await streaming.body()).toContain('c[3000,"Go away!"]\n')
    expect(timers()).toBeLessThanOrEqual(before)
    const late = await post(broker.port, '/ws/000/one/xhr')
    expect([late.status, late.text]).toEqual([503, 'The broker is shutting down.'])
  })
})

describe('an application that fails', () => {
  test('ends that session with 1011, and nothing else', async () => {
    const fail = (): never => {
      throw new Error('broken')
    }
    const printed = [vi.spyOn(console, 'log'), vi.spyOn(process.stdout, 'write')]
    let broken: Partial<Receiver> | undefined
    const broker = await start({
      accept: () => {
        if (broken === undefined) return fail()
        return {
          data: () => {},
          full: () => {},
          drain: () => {},
          left: () => {},
          closed: () => {},
          ...broken,
        }
      },
    })
    expect(await poll(broker.port, '/ws/000/accept')).toBe('o\n')
    expect(await poll(broker.port, '/ws/000/accept')).toBe('c[1011,"Internal error"]\n')
    broken = { data: fail, closed: fail }
    expect(await poll(broker.port, '/ws/000/data')).toBe('o\n')
    expect((await post(broker.port, '/ws/000/data/xhr_send', '["x","y"]')).status).toBe(204)
    expect(await poll(broker.port, '/ws/000/data')).toBe('c[1011,"Internal error"]\n')
    expect(broker.warnings).toEqual(Array(3).fill('SockJS session failed: Error: broken'))
    for (const spy of printed) {
      expect(spy).not.toHaveBeenCalled()
      spy.mockRestore()
    }
  })

  test('an origin check that fails is a 500', async () => {
    const broker = await start({
      refuse: () => {
        throw new Error('broken')
      },
    })
    expect((await get(broker.port, '/ws/info')).status).toBe(500)
    expect(broker.warnings).toEqual(['SockJS request failed: Error: broken'])
  })
})

describe('sockjs-client', () => {
  test.each(['xhr-streaming', 'xhr-polling', 'eventsource'])('talks through %s', async (transport) => {
    const broker = await start({ responseLimit: 4096 })
    const client = new SockJsClient(`http://127.0.0.1:${broker.port}/ws`, undefined, {
      transports: transport,
    })
    closers.push(() => client.close())
    await new Promise((resolve) => (client.onopen = resolve))
    expect(broker.peers[0]?.connection.info.transport).toBe(transport)
    const sent = Array.from({ length: 200 }, (_, index) => `${index} ü😀\n\u2028${'.'.repeat(50)}\0`)
    let heard = ''
    const all = new Promise<void>((resolve) => {
      client.onmessage = ({ data }) => {
        heard += data
        if (heard.length >= sent.join('').length) resolve()
      }
    })
    for (const message of sent) client.send(message)
    await all
    expect(heard).toBe(sent.join(''))
    const closed = new Promise<{ code: number; reason: string }>((resolve) => (client.onclose = resolve))
    broker.peers[0]?.connection.close(1008, 'enough')
    expect(await closed).toMatchObject({ code: 1008, reason: 'enough' })
    expect(broker.peers[0]?.ends).toBe(1)
  })

  test('leaves, and the application hears of it', async () => {
    const broker = await start({ disconnectDelay: 50 })
    const client = new SockJsClient(`http://127.0.0.1:${broker.port}/stomp`, undefined, {
      transports: 'xhr-polling',
    })
    await new Promise((resolve) => (client.onopen = resolve))
    client.close()
    const peer = broker.peers[0]
    await peer?.until(() => peer.ends === 1)
  })
})

describe('framing', () => {
  test('readMessages takes a string or an array of strings', () => {
    expect(readMessages('')).toEqual([])
    expect(readMessages('[]')).toEqual([])
    expect(readMessages('"one"')).toEqual(['one'])
    expect(readMessages('["one",""]')).toEqual(['one', ''])
    for (const bad of ['[', '5', 'null', '{}', '["x",5]', '[["x"]]', '[null]'])
      expect(readMessages(bad)).toBeUndefined()
  })

  test('the WebSocket wire makes one text frame of one STOMP frame', () => {
    const wire = sockJsWebSocketWire('base64')
    const frame = wire.wrap(Buffer.from('MESSAGE\n\n'), Buffer.from('😀\0'), true) as Buffer
    const text = 'a["MESSAGE\\n\\n\\ud83d\\ude00\\u0000"]'
    expect([frame[0], frame[1], frame.subarray(2).toString()]).toEqual([0x81, text.length, text])
    expect([wire.binary, wire.octets]).toEqual(['base64', false])
    expect([OPEN_FRAME, closeFrame(1002, 'a "b"')]).toEqual(['o', 'c[1002,"a \\"b\\""]'])
  })

  test('every character the protocol lists is escaped, and comes back', () => {
    const wire = sockJsWebSocketWire('refuse')
    const ranges = [
      [0x00, 0x1f],
      [0x200c, 0x200f],
      [0x2028, 0x202f],
      [0x2060, 0x206f],
      [0xfff0, 0xffff],
    ] as const
    for (const [first, last] of ranges) {
      for (let code = first; code <= last; code++) {
        const text = String.fromCharCode(code)
        const frame = (wire.wrap(Buffer.from(text), NOTHING, true) as Buffer).subarray(2).toString()
        expect(frame).toMatch(/^a\["[\x21-\x7e]+"\]$/)
        expect(JSON.parse(frame.slice(1))).toEqual([text])
      }
    }
  })

  test('Joiner keeps half a character for the next message', () => {
    const joiner = new Joiner()
    expect(joiner.join(['a', '\ud83d']).toString()).toBe('a')
    expect(joiner.join([]).toString()).toBe('')
    expect(joiner.join(['\ude00']).toString()).toBe('😀')
  })
})
