import { isUtf8 } from 'node:buffer'
import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { Wire } from '../model/wire.ts'
import { RETRY_AFTER, type Admission, type Place } from './admission.ts'
import type { Accept } from './connection.ts'
import { pathOf } from './route.ts'
import {
  HttpConnection,
  type HttpOptions,
  readMessages,
  sockJsHttpWire,
  type SockJsSession,
} from './sockjs.ts'

export interface SockJsOptions extends HttpOptions {
  endpoints: readonly string[]
  /** Why a request is refused, as a sentence, judged by its Origin; undefined when it is welcome. */
  refuse(request: IncomingMessage): string | undefined
  /** Who may frame the iframe page: a CSP source list such as `'self' https://example.org`. */
  frameAncestors: string
  /** The URL that clients go on with after `/info`; empty when they are to stay with theirs. */
  baseUrl: string
  /** HTTP sessions in all, those included that are closed but not yet forgotten. */
  maxSessions: number
  binary: Exclude<Wire['binary'], 'native'>
  /** Counts sessions among the connections of all transports. */
  admission: Admission
  accept: Accept
}

type Handler = (request: IncomingMessage, response: ServerResponse) => boolean

interface SockJsLibrary {
  createServer(options: object): { listener(): { getHandler(): Handler } }
}

/** The package has no types, and its sessions are reachable only through its insides. */
const load = createRequire(import.meta.url)
const VERSION = '0.3.24'

/** The requests that bring frames to the peer, by the last segment of their path. */
const receiving = new Map([
  ['xhr', { method: 'POST', name: 'xhr-polling' }],
  ['xhr_streaming', { method: 'POST', name: 'xhr-streaming' }],
  ['eventsource', { method: 'GET', name: 'eventsource' }],
  ['htmlfile', { method: 'GET', name: 'htmlfile' }],
  ['jsonp', { method: 'GET', name: 'jsonp-polling' }],
])
/** The methods of all transports, for preflights. */
const methods = new Map([
  ...[...receiving].map(([path, { method }]) => [path, method] as const),
  ['xhr_send', 'POST'],
  ['jsonp_send', 'POST'],
])

const SESSION_PATH = /^\/[^/.]+\/([^/.]+)\/([a-z_]+)\/?$/
const IFRAME_PATH = /^\/iframe[0-9-.a-z_]*\.html\/?$/
const INFO_PATH = /^\/info\/?$/
const RAW_PATH = /^\/websocket\/?$/
const YEAR = 365 * 24 * 60 * 60
/** Longer than any session: `sockjs` needs numbers for timers that are kept by HttpConnection. */
const NEVER = 2 ** 31 - 1

/**
 * The HTTP side of SockJS. Every request passes here before `sockjs` sees it: that package trusts
 * origins, session ids and body sizes, and keeps one table of sessions for the whole process.
 * It is left with the responses that carry frames.
 */
export class SockJs {
  private readonly options: SockJsOptions
  private readonly endpoints: readonly string[]
  private readonly wire: Wire
  private readonly connections = new Map<string, HttpConnection>()
  /** Keeps our sessions apart from those of another broker in this process. */
  private readonly prefix = randomBytes(8).toString('hex')
  private readonly pass: Handler
  private readonly find: (id: string) => SockJsSession | null
  private stopping = false

  constructor(options: SockJsOptions) {
    const { version } = load('sockjs/package.json') as { version: string }
    if (version !== VERSION) throw new Error(`sockjs ${VERSION} is needed for its insides, found ${version}`)
    const library = load('sockjs') as SockJsLibrary
    const { Session } = load('sockjs/lib/transport') as { Session: { bySessionId: SockJs['find'] } }

    this.options = options
    // The longest first, so that one endpoint may lie below another.
    this.endpoints = options.endpoints.toSorted((a, b) => b.length - a.length)
    this.wire = sockJsHttpWire(options.binary)
    this.find = (id) => Session.bySessionId(id)
    const server = library.createServer({
      prefix: '',
      websocket: false,
      disable_cors: true,
      response_limit: options.responseLimit,
      heartbeat_delay: NEVER,
      disconnect_delay: NEVER,
      log: (severity: string, line: string) => {
        if (severity === 'error') options.warn(line)
      },
    })
    this.pass = server.listener().getHandler()
  }

  /** True when the request was below an endpoint and has been answered, or will be. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const path = pathOf(request.url ?? '')
    const endpoint = this.endpoints.findIndex((prefix) => path === prefix || path.startsWith(`${prefix}/`))
    const prefix = this.endpoints[endpoint]
    if (prefix === undefined) return false
    try {
      this.route(request, response, endpoint, path.slice(prefix.length))
    } catch (error) {
      this.options.warn(`SockJS request failed: ${String(error)}`)
      if (response.headersSent) response.destroy()
      else answer(response, 500, 'Internal error.')
    }
    return true
  }

  /** Takes no new sessions. Those that are there go on. */
  stop(): void {
    this.stopping = true
  }

  /** Some peers have not been told of their end, and may yet ask. */
  get busy(): boolean {
    for (const connection of this.connections.values()) if (!connection.told) return true
    return false
  }

  /** Ends every session and forgets it, timers included. */
  close(): void {
    this.stop()
    for (const connection of this.connections.values()) connection.discard()
  }

  private route(request: IncomingMessage, response: ServerResponse, endpoint: number, path: string): void {
    const [, session, transport = ''] = SESSION_PATH.exec(path) ?? []
    if (session !== undefined) nameForeignPage(request)
    const refusal = this.options.refuse(request)
    if (refusal !== undefined) return answer(response, 403, refusal)
    if (this.stopping && session === undefined) return refuseNew(response)

    allowOrigin(request, response)
    if (path === '' || path === '/') return sendGreeting(request, response)
    if (INFO_PATH.test(path)) return sendInfo(request, response, this.options.baseUrl)
    if (IFRAME_PATH.test(path)) return sendIframe(request, response, this.options.frameAncestors)
    const upgrade = RAW_PATH.test(path) || (session !== undefined && transport === 'websocket')
    if (upgrade) return sendNoUpgrade(request, response)
    const method = methods.get(transport)
    if (session === undefined || method === undefined) return notFound(response)
    if (request.method === 'OPTIONS') return sendPreflight(response, method)
    if (request.method !== method) return refuseMethod(response, `OPTIONS, ${method}`)

    // Hashed, an id is short, no name of an inherited property, and reaches no other endpoint or broker.
    const id = createHash('sha256').update(`${this.prefix}/${endpoint}/${session}`).digest('base64url')
    if (this.stopping && !this.connections.has(id)) return refuseNew(response)
    const kind = receiving.get(transport)
    if (kind === undefined) this.send(request, response, id, transport)
    else this.receive(request, response, id, transport, kind.name)
  }

  private receive(
    request: IncomingMessage,
    response: ServerResponse,
    id: string,
    transport: string,
    name: string,
  ): void {
    let connection = this.connections.get(id)
    const place = connection === undefined ? this.admit(request) : undefined
    if (typeof place === 'string') {
      response.setHeader('Retry-After', RETRY_AFTER)
      return answer(response, 503, place)
    }
    const second = connection?.receiving
    const query = request.url?.split('?').slice(1).join('?')
    // Its body says nothing, but unread it would hide that the peer has left.
    request.resume()
    response.setHeader('X-Accel-Buffering', 'no')
    response.setHeader('Cache-Control', NO_CACHE)
    request.url = `/0/${id}/${transport}?${query ?? ''}`
    this.pass(request, response)

    const session = this.find(id)
    // None was opened when `sockjs` refused the request, such as a jsonp one without a callback.
    if (session === null || second) return
    if (connection !== undefined) return connection.attach(response)
    const info = { transport: name, address: request.socket.remoteAddress ?? 'unknown' }
    connection = new HttpConnection(info, this.wire, session, this.options)
    this.connections.set(id, connection)
    place?.enter()
    session.connection.on('close', () => {
      this.connections.delete(id)
      place?.leave()
    })
    connection.attach(response)
    connection.start(this.options.accept)
  }

  /** A place for a new session, or why there is none. */
  private admit(request: IncomingMessage): Place | string {
    const { admission, maxSessions } = this.options
    if (this.connections.size < maxSessions) return admission.place(request.socket)
    return `The broker takes no more than ${maxSessions} SockJS sessions at a time (limit sockjs-max-sessions). Try again later.`
  }

  /** Takes the messages of an `xhr_send` or `jsonp_send` request. */
  private send(request: IncomingMessage, response: ServerResponse, id: string, transport: string): void {
    const connection = this.connections.get(id)
    if (connection === undefined) return notFound(response)
    const jsonp = transport === 'jsonp_send'
    response.setHeader('Cache-Control', NO_CACHE)
    this.collect(request, response, connection, (body) => {
      const form = jsonp && request.headers['content-type']?.startsWith('application/x-www-form-urlencoded')
      // What is not UTF-8 is not JSON either.
      const text = isUtf8(body) ? body.toString() : '['
      const payload = form ? (new URLSearchParams(text).get('d') ?? '') : text
      const messages = payload === '' ? undefined : readMessages(payload)
      if (messages === undefined) {
        connection.room += body.length
        return answer(response, 500, complaint(payload))
      }
      const [status, reply] = jsonp ? ([200, 'ok'] as const) : ([204, ''] as const)
      connection.post(messages, body.length, () => answer(response, status, reply))
    })
  }

  /** Gathers a body out of the session's room, so that many POSTs at a time are bounded like one. */
  private collect(
    request: IncomingMessage,
    response: ServerResponse,
    connection: HttpConnection,
    use: (body: Buffer) => void,
  ): void {
    const chunks: Buffer[] = []
    let size = 0
    let refused = false
    const refuse = (): void => {
      refused = true
      connection.room += size
      size = chunks.length = 0
      const { maxBatch } = connection
      answer(response, 413, `The messages sent at a time may have ${maxBatch} bytes in all, these have more.`)
    }
    if (Number(request.headers['content-length'] ?? 0) > connection.room) refuse()
    request.on('data', (chunk: Buffer) => {
      connection.received += chunk.length
      if (refused) return
      if (chunk.length > connection.room) return refuse()
      connection.room -= chunk.length
      size += chunk.length
      chunks.push(chunk)
    })
    request.on('end', () => {
      if (refused) return
      const body = Buffer.concat(chunks, size)
      // From here on the bytes are accounted for by whoever uses them.
      size = 0
      use(body)
    })
    request.on('close', () => {
      connection.room += size
    })
  }
}

const NO_CACHE = 'no-store, no-cache, no-transform, must-revalidate, max-age=0'

function answer(response: ServerResponse, status: number, text = ''): void {
  response.statusCode = status
  response.setHeader('Content-Type', 'text/plain; charset=UTF-8')
  response.end(text)
}

function refuseNew(response: ServerResponse): void {
  response.setHeader('Connection', 'close')
  answer(response, 503, 'The broker is shutting down.')
}

function notFound(response: ServerResponse): void {
  answer(response, 404, '404 Error: Page not found\n')
}

/** The protocol wants neither a body nor its type. */
function refuseMethod(response: ServerResponse, allowed: string): void {
  response.statusCode = 405
  response.setHeader('Allow', allowed)
  response.end()
}

/** For what never changes. */
function cacheForYear(response: ServerResponse): void {
  response.setHeader('Cache-Control', `public, max-age=${YEAR}`)
  response.setHeader('Expires', new Date(Date.now() + YEAR * 1000).toUTCString())
}

/**
 * Scripts and frames of a foreign page are fetched without an Origin, and their answers tell that
 * page what the broker says. Browsers give them away; then the page's address counts as the Origin.
 */
function nameForeignPage(request: IncomingMessage): void {
  const { headers } = request
  const site = headers['sec-fetch-site']
  const page = headers.referer
  // Over plain http, except from this machine, browsers say no more than the Referer.
  const unknown = site === undefined && page === undefined
  if (headers.origin !== undefined || unknown || site === 'same-origin' || site === 'none') return
  headers.origin = page !== undefined && URL.canParse(page) ? new URL(page).origin : 'null'
}

/** Only after the origin was found welcome. */
function allowOrigin(request: IncomingMessage, response: ServerResponse): void {
  const { origin, 'access-control-request-headers': wanted } = request.headers
  response.setHeader('Vary', 'Origin')
  response.setHeader('Access-Control-Allow-Origin', origin ?? '*')
  if (origin !== undefined) response.setHeader('Access-Control-Allow-Credentials', 'true')
  if (wanted) response.setHeader('Access-Control-Allow-Headers', wanted)
}

function sendPreflight(response: ServerResponse, method: string): void {
  response.setHeader('Access-Control-Allow-Methods', `OPTIONS, ${method}`)
  response.setHeader('Access-Control-Max-Age', YEAR)
  cacheForYear(response)
  response.writeHead(204).end()
}

function sendGreeting(request: IncomingMessage, response: ServerResponse): void {
  if (request.method !== 'GET') return refuseMethod(response, 'GET')
  answer(response, 200, 'Welcome to SockJS!\n')
}

function sendInfo(request: IncomingMessage, response: ServerResponse, baseUrl: string): void {
  if (request.method === 'OPTIONS') return sendPreflight(response, 'GET')
  if (request.method !== 'GET') return refuseMethod(response, 'OPTIONS, GET')
  const info = {
    websocket: true,
    origins: ['*:*'],
    cookie_needed: false,
    entropy: randomBytes(4).readUInt32LE(),
    ...(baseUrl !== '' && { base_url: baseUrl }),
  }
  response.setHeader('Content-Type', 'application/json; charset=UTF-8')
  response.setHeader('Cache-Control', NO_CACHE)
  response.end(JSON.stringify(info))
}

/** Clients that cannot ask across origins frame this page, which asks for them. Its text is the protocol's. */
const IFRAME = `<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="/sockjs.min.js"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>`
const IFRAME_TAG = `"${createHash('sha256').update(IFRAME).digest('base64url')}"`

function sendIframe(request: IncomingMessage, response: ServerResponse, ancestors: string): void {
  if (request.method !== 'GET') return refuseMethod(response, 'GET')
  // Whoever frames this page can talk through it with the origin of the broker.
  response.setHeader('Content-Security-Policy', `frame-ancestors ${ancestors}`)
  response.setHeader('ETag', IFRAME_TAG)
  cacheForYear(response)
  const known = request.headers['if-none-match']?.split(',') ?? []
  // Proxies that compress make the tag a weak one.
  if (known.some((tag) => tag.trim().replace(/^W\//, '') === IFRAME_TAG)) {
    response.writeHead(304).end()
    return
  }
  response.setHeader('Content-Type', 'text/html; charset=UTF-8')
  response.end(IFRAME)
}

/** For a request to a WebSocket path that node:http did not take for an upgrade. */
function sendNoUpgrade(request: IncomingMessage, response: ServerResponse): void {
  if (request.method !== 'GET') return refuseMethod(response, 'GET')
  // It lacks the other header, which some proxies rewrite.
  const webSocket = request.headers.upgrade?.toLowerCase() === 'websocket'
  answer(response, 400, webSocket ? '"Connection" must be "Upgrade".' : 'Can "Upgrade" only to "WebSocket".')
}

/** What the SockJS protocol says to a payload that is not an array of messages. */
function complaint(payload: string): string {
  try {
    if (payload !== '') JSON.parse(payload)
    return 'Payload expected.'
  } catch {
    return 'Broken JSON encoding.'
  }
}
