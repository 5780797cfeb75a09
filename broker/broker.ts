import { readFileSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type Server as HttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { createRequire } from 'node:module'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createSecureContext, createServer as createTlsServer } from 'node:tls'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { getSystemErrorMap } from 'node:util'
import type { Logger } from 'pino'
import { Apps, type AppRules } from './core/app.ts'
import { Hub } from './core/hub.ts'
import { Ticker } from './core/heartbeat.ts'
import { Leniency } from './core/leniency.ts'
import { Pressure } from './core/pressure.ts'
import { Rounds } from './core/rounds.ts'
import { Session, type SessionHost } from './core/session.ts'
import { Turns } from './core/turns.ts'
import { inWaves } from './core/waves.ts'
import type { Engine, QueueInfo } from './engine/engine.ts'
import { LocalEngine, type Keeping } from './engine/local.ts'
import { Store } from './engine/store.ts'
import { createLog } from './log.ts'
import { MessageIds } from './model/message.ts'
import { Stats } from './model/stats.ts'
import { isLocal, OptionsError, readOptions, type BrokerOptions, type Settings } from './options.ts'
import { pages } from './pages.ts'
import { destinationRules, engineSettings, slowPolicies } from './policies.ts'
import { Destinations } from './protocol/destination.ts'
import { Habits } from './protocol/head.ts'
import { Admission, boundSockets } from './transport/admission.ts'
import { Arrivals, type Handshake } from './transport/arrivals.ts'
import type { Accept } from './transport/connection.ts'
import { newId } from './transport/id.ts'
import { frameAncestors, refuseOrigin } from './transport/origin.ts'
import { pathOf, upgradeRoute } from './transport/route.ts'
import { SockJsWebSocketConnection } from './transport/sockjs-websocket.ts'
import { SockJs } from './transport/gate.ts'
import { sockJsWebSocketWire } from './transport/sockjs.ts'
import { serveTcp } from './transport/tcp.ts'
import { WebSockets } from './transport/websocket.ts'

export const VERSION = (createRequire(import.meta.url)('stomp-broker/package.json') as { version: string })
  .version

/** Where a running broker is reached. */
export interface Addresses {
  /** The chat demo; undefined when it is off. */
  readonly demo: string | undefined
  readonly webSocket: readonly string[]
  readonly sockJs: readonly string[]
  /** host:port, where asked for. */
  readonly tcp: string | undefined
  readonly tls: string | undefined
  /** The port of HTTP, as bound. */
  readonly port: number
}

/** Milliseconds: the SockJS protocol's `h`, and how long a session outlives its last request. */
const SOCKJS_HEARTBEAT = 25_000
const SOCKJS_DISCONNECT_DELAY = 5_000
/** Bytes after which a streaming response is recycled; browsers keep it all in memory. */
const SOCKJS_RESPONSE_LIMIT = 128 * 1024

/**
 * Characters that tell one run of the broker from all others, in the ids of its messages. Few: a
 * short string is made in one piece, and ids are made all the time.
 */
const RUN = 6
/**
 * Bytes of a message before the client is connected, in CONNECTs as long as may be: the JSON of
 * SockJS makes of a character up to six, and some clients write more behind CONNECT at once.
 */
const EARLY = 8
/** Distinct warnings that are logged. */
const MAX_TOLD = 1_000
/** What clients are told at the end: a WebSocket close code and its reason. */
type Goodbye = readonly [code: number, reason: string]
const GONE: Goodbye = [1001, 'the broker is shutting down']
const RESTARTING: Goodbye = [1012, 'the broker is restarting, reconnect in a moment']
/** Milliseconds that HTTP answers under way get when all sessions are gone, and that clients who poll get to ask once more. */
const HTTP_GRACE = 500
/** Milliseconds between two looks at whether they have. */
const HTTP_GRAIN = 20
/** Milliseconds a TLS handshake may take, and so hold up `close`. */
const HANDSHAKE_TIMEOUT = 5_000
/** Sockets beyond the connections: those that have not said yet what they are, that fetch a page, or hear a refusal. */
const SPARE_SOCKETS = 1_000
/** Milliseconds of silence after which a socket on the port of HTTP is left to node:http, and between its looks for requests that take too long. */
const SILENCE = 1_000

export interface CloseOptions {
  /**
   * Clients hear that the broker will be back (close code 1012) rather than that it is gone (1001).
   * By default what the option `stopCode` says, and 1001 where it says nothing.
   */
  readonly restarting?: boolean
}

/**
 * A broker, wired and not yet listening. `createBroker` makes one.
 */
export class Broker {
  readonly settings: Settings
  readonly stats = new Stats()
  private readonly log: Logger
  private readonly engine: Engine
  private readonly ids: MessageIds
  private readonly hub: Hub
  private readonly pressure: Pressure
  private readonly ticker = new Ticker()
  private readonly sessions = new Set<Session>()
  private readonly http: HttpServer
  private readonly arrivals: Arrivals
  private readonly sockJs: SockJs
  private readonly webSockets: WebSockets
  private readonly tcp: Server | undefined
  private readonly tls: Server | undefined
  private readonly told = new Set<string>()
  private closing: Promise<void> | undefined
  /** What to tell clients, once the broker has begun to close. */
  private goodbye: Goodbye | undefined
  private allGone: (() => void) | undefined

  /** `engine` is for tests of the broker itself; the default keeps messages in memory. */
  constructor(options: BrokerOptions, log?: Logger, engine?: Engine) {
    const settings = (this.settings = readOptions(options))
    this.log = log ?? createLog(settings.logLevel)
    this.ids = new MessageIds(newId().slice(0, RUN), settings.dataDir !== '')
    this.engine = engine ?? new LocalEngine(engineSettings(settings), this.stats, this.keeping())
    this.pressure = new Pressure(settings, this.stats)
    const judge = slowPolicies(settings)
    const leniency = judge && new Leniency(judge, settings, this.stats, this.log, this.pressure)
    this.hub = new Hub(this.engine, this.ids, leniency)
    this.ticker.add(new Rounds(this.sessions, this.pressure, settings.pingInterval))
    const accept = this.acceptor()
    const certificate = readCertificate(settings)
    const patience = httpPatience(settings)
    this.http = certificate ? createHttpsServer({ ...certificate, ...patience }) : createHttpServer(patience)
    // Longer than the idle time of the usual proxies, which would else reuse a closing connection.
    this.http.keepAliveTimeout = 65_000
    // Its bytes are limited anyway, and `ignoreUpgrade` needs every header: one of the last may be the length of a body.
    this.http.maxHeadersCount = 0
    const warn = (warning: string): void => this.log.warn(warning)
    const admission = new Admission(settings, warn)
    const { sockJs, webSockets } = this.serveHttp(accept, admission)
    this.sockJs = sockJs
    this.webSockets = webSockets
    const arrival = certificate ? 'secureConnection' : 'connection'
    const answer: WebSockets['answer'] = (...request) => webSockets.answer(...request)
    this.arrivals = new Arrivals(this.http, arrival, answer, patience.connectionsCheckingInterval)
    if (settings.tcpPort !== undefined) {
      this.tcp = createTcpServer({ allowHalfOpen: true })
      serveTcp(this.tcp, 'tcp', accept, admission)
    }
    if (settings.tlsPort !== undefined && certificate) {
      this.tls = createTlsServer({ ...certificate, allowHalfOpen: true })
      serveTcp(this.tls, 'tls', accept, admission)
    }
    // A session of SockJS over HTTP has one to hear with and one to speak with.
    boundSockets(this.http, 2 * settings.maxConnections + SPARE_SOCKETS, warn)
    for (const server of [this.tcp, this.tls])
      if (server) boundSockets(server, settings.maxConnections + SPARE_SOCKETS, warn)
  }

  /** Starts listening. Rejects with the system's error, EADDRINUSE for example, and then holds no port. */
  async listen(): Promise<Addresses> {
    const { host, port, tcpPort = 0, tlsPort = 0 } = this.settings
    await this.engine.open(this.hub)
    try {
      await listenOn(this.http, port, host)
      if (this.tcp) await listenOn(this.tcp, tcpPort, host)
      if (this.tls) await listenOn(this.tls, tlsPort, host)
    } catch (error) {
      await this.close()
      throw error
    }
    return this.addresses()
  }

  /**
   * The queues that hold messages, have consumers or are to stay, dead letters among them. Those
   * of durable subscriptions say in `topics` what they listen to.
   */
  queues(): Promise<readonly QueueInfo[]> {
    return this.engine.inspect()
  }

  /**
   * Stops accepting, finishes what was accepted, tells every client, the many one after another
   * (option `stopSpread`), and resolves when all is as durable as the engine makes it. Those who
   * are not told yet are served as ever. Connections that are left after `stopTimeout` are cut.
   */
  close({ restarting = this.settings.stopCode === 'restart' }: CloseOptions = {}): Promise<void> {
    return (this.closing ??= this.stop(restarting ? RESTARTING : GONE))
  }

  private async stop(goodbye: Goodbye): Promise<void> {
    const { stopSpread, stopTimeout } = this.settings
    this.goodbye = goodbye
    this.arrivals.close()
    this.webSockets.close()
    this.sockJs.stop()
    const stopped = [this.tcp, this.tls].map((server) => stop(server))
    // Each request of a SockJS client may come with a connection of its own.
    const polled = this.sockJs.busy
    if (!polled) stopped.push(stop(this.http))
    let late = false
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        late = true
        this.cut()
        resolve()
      }, stopTimeout)
    })
    await inWaves(this.sessions, stopSpread, (wave) => dismiss(wave, goodbye))
    await this.gone()
    for (let left = HTTP_GRACE; left > 0 && !late && this.sockJs.busy; left -= HTTP_GRAIN) {
      await sleep(HTTP_GRAIN)
    }
    this.sockJs.close()
    if (polled) stopped.push(stop(this.http))
    this.http.closeIdleConnections()
    // What is being answered gets a moment.
    const impatience = setTimeout(() => this.http.closeAllConnections(), HTTP_GRACE)
    await Promise.race([Promise.all(stopped), deadline])
    clearTimeout(impatience)
    clearTimeout(timer)
    // Who arrived since, over a handshake that took its time.
    this.cut()
    await this.gone()
    this.ticker.close()
    await this.engine.close()
  }

  /** Where what is persistent is kept; undefined for nowhere. */
  private keeping(): Keeping | undefined {
    const { dataDir } = this.settings
    if (dataDir === '') return undefined
    const warn = (text: string): void => this.log.warn(text)
    const inform = (text: string): void => this.log.info(text)
    return { open: () => Store.open(resolve(dataDir), { version: VERSION, warn, inform }), warn }
  }

  /** Ends all connections at once. */
  private cut(): void {
    for (const { connection } of this.sessions) connection.terminate()
    this.http.closeAllConnections()
  }

  private async gone(): Promise<void> {
    while (this.sessions.size > 0) await new Promise<void>((resolve) => (this.allGone = resolve))
  }

  private acceptor(): Accept {
    const { settings, stats } = this
    const destinations = new Destinations(destinationRules(settings))
    this.ticker.add(destinations)
    const host: SessionHost = {
      options: { ...settings, server: settings.serverHeader ? `stomp-broker/${VERSION}` : '' },
      engine: this.engine,
      hub: this.hub,
      ids: this.ids,
      destinations,
      apps: readApps(settings.app, destinations),
      ticker: this.ticker,
      pressure: this.pressure,
      turns: new Turns(),
      habits: new Habits(),
      stats,
      log: this.log,
      newId,
      tell: (warning) => void this.tell(warning),
      closed: (session) => {
        this.sessions.delete(session)
        this.pressure.forget(session)
        stats.connections--
        if (this.sessions.size === 0) this.allGone?.()
      },
    }
    return (connection) => {
      const session = new Session(connection, host)
      this.sessions.add(session)
      stats.connections++
      // It was on its way in when the broker began to close.
      if (this.goodbye) session.shutdown(...this.goodbye)
      if (this.log.isLevelEnabled('debug')) {
        const { transport, address } = connection.info
        this.log.debug(`${connection.id}: connected over ${transport} from ${address}`)
      }
      return session
    }
  }

  /** Logs what a client hides from its developer: each thing once, and no more than so many. */
  private tell(warning: string): string {
    if (this.told.size < MAX_TOLD && !this.told.has(warning)) {
      this.told.add(warning)
      this.log.warn(warning)
    }
    return warning
  }

  private serveHttp(accept: Accept, admission: Admission): { sockJs: SockJs; webSockets: WebSockets } {
    const { settings, http } = this
    const rules = { origins: settings.origins, local: isLocal(settings) }
    const refuse = (request: Handshake): string | undefined => {
      const refusal = refuseOrigin(request.headers.origin, request, rules)
      return refusal && this.tell(refusal)
    }
    const maxEarly = EARLY * settings.maxConnectBytes
    const sockJs = new SockJs({
      endpoints: settings.endpoints,
      refuse,
      frameAncestors: frameAncestors(rules),
      baseUrl: settings.sockjsBaseUrl,
      maxBatch: settings.sockjsMaxBatch,
      maxEarly,
      heartbeat: SOCKJS_HEARTBEAT,
      disconnectDelay: SOCKJS_DISCONNECT_DELAY,
      responseLimit: SOCKJS_RESPONSE_LIMIT,
      maxSessions: settings.sockjsMaxSessions,
      binary: settings.sockjsBinary,
      admission,
      accept,
      warn: (message) => this.log.warn(message),
    })
    const wire = sockJsWebSocketWire(settings.sockjsBinary)
    const wires = { standard: wire, octets: wire }
    const webSockets = new WebSockets({
      route: (request) => upgradeRoute(request.url ?? '/', settings.endpoints, settings.anyPath),
      noRoute: ({ url = '' }) =>
        this.tell(
          `No STOMP endpoint is at ${JSON.stringify(pathOf(url).slice(0, 100))}; STOMP is spoken at ${settings.endpoints.join(' and ')} (options --endpoints, --any-path).`,
        ),
      refuse,
      admission,
      accept,
      sockJs: (socket, channel, place) => {
        new SockJsWebSocketConnection(socket, channel, wires, place).start(accept, SOCKJS_HEARTBEAT)
      },
      // A frame over its limit is to be answered with an ERROR, so the message that holds it must come through.
      maxMessage: 2 * settings.maxFrame,
      maxEarly,
      compression: settings.compression,
      finishCut: settings.acceptCutFrames,
    })
    const page = pages(settings.demo, settings.endpoints)
    http.on('request', (request, response) => {
      if (sockJs.handle(request, response)) return
      if (this.goodbye === undefined) page(request, response)
      else response.writeHead(503, { connection: 'close' }).end('The broker is shutting down.\n')
    })
    http.on('upgrade', (request, socket, head) => {
      const webSocket = request.method === 'GET' && request.headers.upgrade?.toLowerCase() === 'websocket'
      if (webSocket) webSockets.upgrade(request, socket, head)
      else ignoreUpgrade(request, socket as Socket, head, (again) => this.arrivals.pass(again))
    })
    return { sockJs, webSockets }
  }

  private addresses(): Addresses {
    const { host, demo, endpoints, tlsCert } = this.settings
    // An address that means every interface is no address to click on.
    const shown = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host
    const port = portOf(this.http)
    const secure = tlsCert === '' ? '' : 's'
    const at = (server: Server | undefined): string | undefined => server && `${shown}:${portOf(server)}`
    return {
      demo: demo ? `http${secure}://${shown}:${port}/` : undefined,
      webSocket: endpoints.map((path) => `ws${secure}://${shown}:${port}${path}`),
      sockJs: endpoints.map((path) => `http${secure}://${shown}:${port}${path}`),
      tcp: at(this.tcp),
      tls: at(this.tls),
      port,
    }
  }
}

/**
 * Makes a broker; `listen()` starts it.
 * Throws OptionsError when an option cannot be.
 */
export function createBroker(options: BrokerOptions = {}, log?: Logger): Broker {
  return new Broker(options, log)
}

function dismiss(wave: readonly Session[], goodbye: Goodbye): void {
  // Everybody's last frames first: they may be for a session that comes later.
  for (const session of wave) session.finishInput()
  // What one gives back is not to be handed to the next.
  for (const session of wave) session.withdraw()
  for (const session of wave) session.shutdown(...goodbye)
}

/**
 * Java's and curl's clients offer HTTP/2 that way. A server may ignore it (RFC 9110, 7.8): the
 * connection goes back to node:http, which has let go of it, as if the offer had not been made.
 */
function ignoreUpgrade(
  { method, url, httpVersion, rawHeaders }: IncomingMessage,
  socket: Socket,
  head: Buffer,
  arrive: (socket: Socket) => void,
): void {
  let text = `${method} ${url} HTTP/${httpVersion}\r\n`
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2)
    // Connection stays: it may also ask for the connection's end.
    if (!/^(upgrade|http2-settings)$/i.test(name)) text += `${name}: ${value}\r\n`
  }
  socket.unshift(Buffer.concat([Buffer.from(`${text}\r\n`, 'latin1'), head]))
  arrive(socket)
}

function readApps(rules: AppRules, destinations: Destinations): Apps {
  try {
    return new Apps(rules, destinations)
  } catch (error) {
    throw new OptionsError([`app: ${(error as Error).message}`])
  }
}

/** What node:http has limits for: a request, its head or its body, that trickles, and a socket that says nothing. */
function httpPatience({ requestTimeout }: Settings): {
  requestTimeout: number
  headersTimeout: number
  connectionsCheckingInterval: number
} {
  return {
    requestTimeout,
    headersTimeout: requestTimeout,
    connectionsCheckingInterval: Math.min(SILENCE, requestTimeout),
  }
}

function readCertificate(
  settings: Settings,
): { cert: Buffer; key: Buffer; handshakeTimeout: number } | undefined {
  if (settings.tlsCert === '') return undefined
  const cert = readPem('tls-cert', settings.tlsCert)
  const key = readPem('tls-key', settings.tlsKey)
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    throw new OptionsError([`tls-cert and tls-key will not do: ${(error as Error).message}`])
  }
  return { cert, key, handshakeTimeout: Math.min(HANDSHAKE_TIMEOUT, settings.connectTimeout) }
}

function readPem(option: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    const [, reason = ''] = getSystemErrorMap().get((error as NodeJS.ErrnoException).errno ?? 0) ?? []
    throw new OptionsError([`${option}: ${path} cannot be read, ${reason}`])
  }
}

function listenOn(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function stop(server: Server | undefined): Promise<void> {
  if (!server?.listening) return Promise.resolve()
  return new Promise((done) => server.close(() => done()))
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port // an AddressInfo once it listens on a port
}
