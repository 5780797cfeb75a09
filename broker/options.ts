import * as v from 'valibot'
import type { AppHandler, AppRules } from './core/app.ts'
import { parsePattern } from './protocol/pattern.ts'
import { isLoopback } from './transport/origin.ts'

/** One option: what it may be, what it is by default, and what `--help` says of it. */
export interface Row<T> {
  readonly kind: 'integer' | 'bytes' | 'text' | 'list' | 'switch' | 'choice' | 'rules'
  readonly default: T
  readonly schema: v.GenericSchema<T>
  readonly help: string
  /** What stands for its value in `--help`. */
  readonly value: string
  readonly choices?: readonly string[]
}

const LARGEST_PORT = 65_535

function wholeNumber(min: number, max: number): v.GenericSchema<number> {
  const message = (issue: { received: string }): string =>
    `must be a whole number from ${min} to ${max}, not ${issue.received}`
  return v.pipe(v.number(message), v.integer(message), v.minValue(min, message), v.maxValue(max, message))
}

function integer(help: string, standard: number, min = 1, max = 2 ** 31 - 1): Row<number> {
  return { kind: 'integer', default: standard, help, value: 'n', schema: wholeNumber(min, max) }
}
function bytes(help: string, standard: number, min = 1): Row<number> {
  return { kind: 'bytes', default: standard, help, value: 'size', schema: wholeNumber(min, 2 ** 40) }
}
/** A port that may be left out. */
function port(help: string): Row<number | undefined> {
  return { ...integer(help, 0), default: undefined, schema: v.optional(wholeNumber(0, LARGEST_PORT)) }
}
function address(help: string, standard: string): Row<string> {
  // Node takes an empty one, an unset variable of a script for example, for all interfaces.
  const message = 'must be an address such as 127.0.0.1'
  return {
    kind: 'text',
    default: standard,
    help,
    value: 'address',
    schema: v.pipe(v.string(message), v.nonEmpty(message)),
  }
}
function folder(help: string): Row<string> {
  return {
    kind: 'text',
    default: '',
    help,
    value: 'folder',
    schema: v.string('must be the path of a folder'),
  }
}
function file(help: string): Row<string> {
  return { kind: 'text', default: '', help, value: 'file', schema: v.string('must be the path of a file') }
}
/** A URL that others are to append to; may be left out. */
function baseUrl(help: string): Row<string> {
  const message = 'must be a URL such as https://node1.example.com/ws, without a slash at its end'
  const pattern = /^https?:\/\/[^\s/?#@]+(\/[^\s/?#]+)*$/
  const isBase = (text: string): boolean => text === '' || (pattern.test(text) && URL.canParse(text))
  const schema = v.pipe(v.string(message), v.check(isBase, message))
  return { kind: 'text', default: '', help, value: 'url', schema }
}
function list(
  help: string,
  standard: readonly string[],
  entry: v.GenericSchema<string>,
): Row<readonly string[]> {
  const schema = v.pipe(
    v.array(entry, 'must be a list'),
    v.check((items) => new Set(items).size === items.length, 'holds the same entry twice'),
  )
  return { kind: 'list', default: standard, help, value: 'list', schema }
}
function onOff(help: string, standard: boolean): Row<boolean> {
  return { kind: 'switch', default: standard, help, value: '', schema: v.boolean('must be true or false') }
}
/** `value` is what the choices are of. */
function choice<const T extends string>(
  help: string,
  value: string,
  standard: T,
  choices: readonly T[],
): Row<T> {
  const all = `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`
  const schema = v.picklist(choices, ({ received }) => `must be ${all}, not ${received}`)
  return { kind: 'choice', default: standard, help: `${help}: ${all}`, value, choices, schema }
}

/** Says which of several values is meant. */
function not(demand: string): (issue: { received: string }) => string {
  return ({ received }) => `${demand}, not ${received}`
}

const endpoint = v.pipe(
  v.string(),
  v.regex(/^(\/[A-Za-z0-9_~-]+)+$/, not('must be a path such as /ws, of letters, digits, - and _')),
)
const origin = v.pipe(
  v.string(),
  v.regex(
    /^(\*|null|https?:\/\/[^/\s]+)$/,
    not('must be an origin such as https://app.example.com, with nothing behind it, or * for all'),
  ),
)

/** `/queue/logs.*` and the like: an exact name or a pattern. */
const queues = v.pipe(
  v.string(),
  v.regex(/^\/queue\/[^\s=]+$/, not('must be a queue or a pattern of queues such as /queue/logs.*')),
)
const overflowRule = v.pipe(
  v.string(),
  v.regex(
    /^\/queue\/[^\s=]+=(refuse|drop-oldest|block)$/,
    not('must be a queue or pattern, = and refuse, drop-oldest or block, such as /queue/logs.*=drop-oldest'),
  ),
)

const slowRule = v.pipe(
  v.string(),
  v.regex(
    /^\/[^\s=]+=(disconnect|drop-oldest|keep-latest)$/,
    not(
      'must be a topic or pattern, = and disconnect, drop-oldest or keep-latest, such as /topic/logs.*=drop-oldest',
    ),
  ),
)

const appRules = v.record(
  v.string(),
  v.union(
    [
      v.string(),
      v.custom<AppHandler>((value) => typeof value === 'function'),
      v.strictObject({
        to: v.exactOptional(v.string()),
        body: v.exactOptional(v.unknown()),
        handle: v.exactOptional(v.custom<AppHandler>((value) => typeof value === 'function')),
      }),
    ],
    'must lead to a destination, or to an object of to and body',
  ),
  'must be an object with a member for each path',
)

function rules(help: string): Row<AppRules> {
  return { kind: 'rules', default: {}, help, value: 'file', schema: appRules }
}

const KIB = 1024
const MIB = 1024 * KIB

/** Every option of the broker, in the order of `--help` and of the README. */
export const rows = {
  /** TCP port of HTTP, WebSocket and SockJS; 0 takes any free one. Default 61614, ActiveMQ's ws port. */
  port: integer('port for WebSocket, SockJS and the demo; 0 for any free one', 61_614, 0, LARGEST_PORT),
  /** Address to listen on. Default 127.0.0.1: this machine only. */
  host: address('address to listen on; 0.0.0.0 opens the broker to the network', '127.0.0.1'),
  /** Port of plain TCP STOMP, usually 61613. Default: none. */
  tcpPort: port('also speak STOMP over plain TCP, usually on 61613'),
  /** Port of STOMP over TLS. Default: none. Needs `tlsCert` and `tlsKey`. */
  tlsPort: port('also speak STOMP over TLS; needs --tls-cert and --tls-key'),
  /** PEM file. With `tlsKey` it also turns `port` to https and wss. Default: none. */
  tlsCert: file('PEM file with the certificate; makes --port https and wss'),
  /** PEM file. Default: none. */
  tlsKey: file('PEM file with the private key'),
  /** Paths of raw WebSocket and SockJS alike. Default /ws (RabbitMQ, Spring) and /stomp (ActiveMQ, vert.x). */
  endpoints: list('paths of WebSocket and SockJS, with commas between', ['/ws', '/stomp'], endpoint),
  /** Accept raw WebSocket on every path, as ActiveMQ does. Default false. */
  anyPath: onOff('accept WebSocket on every path, as ActiveMQ does', false),
  /** Origins whose pages may connect, beyond the broker's own host. Default: none. */
  origins: list('origins whose pages may connect, with commas between; * for all', [], origin),
  /** Agree to permessage-deflate where a WebSocket client offers it. Default false: it costs more than it saves on most networks. */
  compression: onOff('compress WebSocket messages of 1k to 1m where the client can', false),
  /** Which wildcards a pattern is read with: `*` stops at dots unless it has a slash, or (`spring`) never. Default `auto`. */
  compat: choice(
    'where wildcards part names, at slashes only for spring, at dots only for rabbitmq and activemq',
    'dialect',
    'auto',
    ['auto', 'rabbitmq', 'activemq', 'spring'],
  ),
  /** Queues that are topics, as all are with Spring's simple broker. Default: none. */
  broadcast: list('queues that every subscriber hears, as with Spring: /queue/** for all', [], queues),
  /** Refuse destinations of an unknown prefix, and messages to applications that are not there. Default false. */
  strict: onOff('refuse destinations of unknown prefixes instead of taking them for topics', false),
  /** What becomes of messages to `/app/...`, where Spring has its controllers. On the command line a JSON file. Default: nothing. */
  app: rules('JSON file that says what becomes of messages to /app/...: {"/app/chat": "/topic/messages"}'),
  /** `frame`: an ERROR that leaves the session healthy does not close the connection. Default `connection`, the specification's. */
  errorScope: choice('what an ERROR ends unless the client sends x-error-scope', 'scope', 'connection', [
    'connection',
    'frame',
  ]),
  /**
   * Folder in which persistent messages, durable subscriptions, retained messages and dead letters
   * outlive a restart and a crash. Default: none, all is in memory. Needs the package lmdb.
   */
  dataDir: folder('folder that keeps what is persistent over restarts and crashes'),
  /** Messages are persistent unless they are sent with `persistent:false`. Default false. Needs `dataDir`. */
  persistent: onOff('take all messages for persistent unless sent with persistent:false', false),
  /** Serve the chat demo at `/`. Default true. */
  demo: onOff('serve the chat demo at /', true),
  /** The `server` header of CONNECTED. Default true. */
  serverHeader: onOff('tell clients the version of the broker', true),
  /** `debug` tells of refused frames and more. Default `info`. */
  logLevel: choice('what to log', 'level', 'info', ['silent', 'error', 'warn', 'info', 'debug']),
  /** What clients hear when the broker stops: that it restarts (close code 1012) or is gone (1001). Default `auto`: on SIGTERM the former, else the latter. */
  stopCode: choice(
    'what clients hear at the end, restart with close code 1012, gone with 1001, auto by the signal',
    'code',
    'auto',
    ['auto', 'restart', 'gone'],
  ),
  /** Milliseconds over which more than 50 clients are told of the end; 0 for at once. Default 2000. */
  stopSpread: integer('time over which many clients are told of the end, in ms; 0 for at once', 2_000, 0),
  /** Milliseconds after which a stop waits for no client any more. Default 10000. */
  stopTimeout: integer('how long clients may hold up the end, in ms', 10_000, 100),

  /** Milliseconds: the shortest heart-beat agreed to. Default 1000. */
  heartbeatMin: integer('shortest heart-beat agreed to, in ms', 1_000, 500),
  /** Milliseconds: the longest heart-beat agreed to. Default 60000. */
  heartbeatMax: integer('longest heart-beat agreed to, in ms', 60_000, 500),
  /** Milliseconds a client may live on WebSocket pongs alone. Default 600000: a sleeping browser tab stays. */
  heartbeatCeiling: integer('how long a client may live on pongs alone, in ms', 600_000),
  /** Milliseconds of silence before a WebSocket client without heart-beats is pinged; after two pings without an answer its connection ends. Default 30000. */
  pingInterval: integer(
    'silence before a WebSocket client without heart-beats is pinged, in ms; two unanswered pings end it',
    30_000,
    500,
  ),
  /** Milliseconds from the connection to the end of CONNECT. Default 10000, as RabbitMQ. */
  connectTimeout: integer('time to send CONNECT, in ms', 10_000, 100),
  /** Milliseconds an HTTP request may take to arrive, its body included. Default 10000. */
  requestTimeout: integer('time to send an HTTP request, body included, in ms', 10_000, 100),
  /** Connections that speak STOMP, over whatever transport. Default 50000. */
  maxConnections: integer('most clients at a time', 50_000),
  /** Those of one IPv4 address or one /64 of IPv6. Default 20000: behind a proxy all share its address. */
  maxConnectionsPerAddress: integer(
    'most clients of one address, or of one /64 of IPv6, at a time; behind a proxy all have its address',
    20_000,
  ),
  /** Bytes a client may send up to the end of its CONNECT. Default 64 KiB. */
  maxConnectBytes: bytes('most bytes of a client until it is connected', 64 * KIB, 64),

  /** Bytes of the command line. Default 32. */
  maxCommand: bytes('longest command', 32, 16),
  /** Header lines of a frame. Default 128. */
  maxHeaders: integer('most headers of a frame', 128),
  /** Bytes of a header line. Default 8 KiB. */
  maxHeaderLine: bytes('longest header line', 8 * KIB, 64),
  /** Bytes of a body. Default 8 MiB. */
  maxBody: bytes('largest body', 8 * MIB, 0),
  /** Bytes of a whole frame, finished or not. Default 8 MiB and 64 KiB. */
  maxFrame: bytes('largest frame, finished or not', 8 * MIB + 64 * KIB, KIB),
  /** Accept frames whose NUL was cut off at the end of a WebSocket message (old React Native). Default false. */
  acceptCutFrames: onOff('accept frames whose NUL was cut off, as some React Native clients do', false),
  /** Bytes waiting for one client before it is ended as a slow consumer. Default 16 MiB. */
  sendBudget: bytes('bytes waiting for one client before it is disconnected as too slow', 16 * MIB, 64 * KIB),
  /** Bytes waiting for all clients together before those for whom most waits are ended. Default 512 MiB. */
  totalSendBudget: bytes(
    'bytes waiting for all clients before those with the most are disconnected as too slow',
    512 * MIB,
    64 * KIB,
  ),
  /** What topics do with subscribers that are too slow, by name or pattern; the first that fits. Default: disconnect. */
  slowConsumers: list(
    'what a too slow subscriber loses: /topic/logs.*=drop-oldest, =keep-latest, or =disconnect',
    [],
    slowRule,
  ),
  /** Messages kept back for one subscription, of topics that drop the oldest or keep the latest. Default 1000. */
  slowMessages: integer('most messages kept for a slow subscription that loses the rest', 1_000),
  /** Unacked messages of a subscription with `ack:client` or `client-individual`. Default 32. */
  prefetch: integer('unacked messages of one subscription, unless it asks otherwise', 32),
  /** The most unacked messages a subscription may ask for; `prefetch:0` asks for that. Default 10000. */
  maxPrefetch: integer('most unacked messages a subscription may ask for; prefetch:0 asks for that', 10_000),
  /** Unacked messages of all subscriptions of one client; then its queues wait for acks. Default 50000. */
  maxUnacked: integer('most unacked messages of one client; then it gets no more before it acks', 50_000),
  /** Subscriptions of one client. Default 1000. */
  maxSubscriptions: integer('most subscriptions of one client', 1_000),
  /** Deliveries of a message after which a NACK makes it a dead letter. Default 16. */
  maxDeliveries: integer('deliveries of a message after which a NACK makes it a dead letter', 16),
  /** Milliseconds before a message that was refused twice comes again; it doubles each time. Default 100. */
  redeliveryDelay: integer(
    'wait before a message that was refused twice comes again, in ms, doubled each time',
    100,
  ),
  /** Milliseconds: the longest such wait. Default 10000. */
  maxRedeliveryDelay: integer('longest such wait, in ms', 10_000),
  /** Keep dead letters in /queue/DLQ.<queue>. Default true. */
  deadLetters: onOff('keep refused messages in /queue/DLQ.<queue>', true),
  /** What a full queue does, by name or pattern; the first that fits. Default: refuse. */
  overflow: list(
    'what a full queue does: /queue/logs.*=drop-oldest, or =block to make senders wait, or =refuse',
    [],
    overflowRule,
  ),
  /** Queues that hand out higher priorities first. Default: those a consumer declares with x-max-priority. */
  priorityQueues: list('queues that hand out messages of higher priority first', [], queues),
  /** Durable subscriptions of all clients. Default 10000. */
  maxDurableSubscriptions: integer('most durable subscriptions', 10_000),
  /** Messages kept for one durable subscription; then the oldest goes. Default 10000. */
  maxDurableMessages: integer('most messages kept for a durable subscription; then the oldest goes', 10_000),
  /** Bytes kept for one durable subscription; then the oldest goes. Default 16 MiB. */
  maxDurableBytes: bytes('most bytes kept for a durable subscription; then the oldest goes', 16 * MIB),
  /** Topics that retain a message. Default 10000. */
  maxRetained: integer('most topics with a retained message', 10_000),
  /** Messages in one queue. Default 1000000. */
  maxQueueMessages: integer('most messages in one queue', 1_000_000),
  /** Bytes of the messages in one queue, headers and what they cost in memory included. Default 256 MiB. */
  maxQueueBytes: bytes('most bytes in one queue', 256 * MIB),
  /** Queues, those of durable subscriptions among them. Default 100000. */
  maxQueues: integer('most queues', 100_000),
  /**
   * Bytes of messages in memory, those of all queues together; what is persistent stays on disk
   * beyond it, what is not is refused. Default 512 MiB, or half of the heap where that is less.
   */
  maxMemory: bytes('most bytes of messages in memory, or half of the heap if that is less', 512 * MIB, MIB),
  /** Open transactions of one client. Default 16. */
  maxTransactions: integer('most open transactions of one client', 16),
  /** Frames of one transaction. Default 1000. */
  maxTransactionFrames: integer('most frames in one transaction', 1_000),
  /** Bytes of the frames in one client's transactions. Default 16 MiB. */
  maxTransactionBytes: bytes('most bytes in the transactions of one client', 16 * MIB),
  /** Frames of one client that wait for the engine before their receipts; then it is read no further. Default 10000. */
  maxPendingReceipts: integer(
    'most frames of one client whose receipts are not due yet; then it is read no further',
    10_000,
  ),
  /** SEND frames a second of one client, in the long run; what is faster is read more slowly. Default 0: no limit. */
  maxSendRate: integer('most SEND frames a second of one client, which is read more slowly; 0 for any', 0, 0),
  /** Milliseconds a client may go on above `maxSendRate` before it gets an ERROR. Default 30000. */
  sendRatePatience: integer('how long a client may try to send faster than that, in ms', 30_000),
  /** Bytes of one SockJS POST, which may batch many messages. Default 16 MiB. */
  sockjsMaxBatch: bytes('largest SockJS POST', 16 * MIB, KIB),
  /** SockJS sessions over HTTP. Default 10000. */
  sockjsMaxSessions: integer('most SockJS sessions over HTTP', 10_000),
  /** Where SockJS clients go on after `/info`, past a load balancer that would scatter their requests. Default: none. */
  sockjsBaseUrl: baseUrl('own URL of this broker, where SockJS clients go on past a load balancer'),
  /** What a SockJS client gets of a body that is not UTF-8: an ERROR, or base64. Default `refuse`. */
  sockjsBinary: choice(
    'a body that is not text, for a SockJS client, to end it with an ERROR or to send base64',
    'way',
    'refuse',
    ['refuse', 'base64'],
  ),
} as const satisfies Record<string, Row<unknown>>

type Rows = typeof rows
type ValueOf<R> = R extends Row<infer T> ? T : never

/** All options with their values. */
export type Settings = { readonly [K in keyof Rows]: ValueOf<Rows[K]> }

/** The options of a broker; what is left out has its default. */
export type BrokerOptions = { readonly [K in keyof Rows]?: ValueOf<Rows[K]> }

/** Options that cannot be: one sentence each. */
export class OptionsError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'OptionsError'
    this.problems = problems
  }
}

/** `maxHeaderLine` to `max-header-line`: the flag, and the name used in errors. */
export function optionName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

const schema = v.object(
  Object.fromEntries(Object.entries<Row<unknown>>(rows).map(([key, row]) => [key, v.optional(row.schema)])),
)

/** Checks all options and fills in the defaults. Throws OptionsError with every problem at once. */
export function readOptions(options: BrokerOptions): Settings {
  const problems = [
    ...(v.safeParse(schema, options).issues ?? []).map(({ path, message }) => {
      const [option, member] = path?.map(({ key }) => key) ?? []
      // Members of a list have no names.
      return `${optionName(String(option))}: ${typeof member === 'string' ? `${member} ` : ''}${message}`
    }),
    ...Object.keys(options)
      .filter((key) => !Object.hasOwn(rows, key))
      .map((key) => `${key} is not an option`),
  ]
  if (problems.length > 0) throw new OptionsError(problems)
  const defaults = Object.fromEntries(Object.entries(rows).map(([key, row]) => [key, row.default]))
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const settings = { ...defaults, ...given } as unknown as Settings // each value was checked against its row
  const conflicts = findConflicts(settings)
  if (conflicts.length > 0) throw new OptionsError(conflicts)
  return settings
}

function findConflicts(settings: Settings): string[] {
  const problems: string[] = []
  if (settings.heartbeatMin > settings.heartbeatMax)
    problems.push('heartbeat-min: must not be larger than heartbeat-max')
  if ((settings.tlsCert === '') !== (settings.tlsKey === ''))
    problems.push('tls-cert and tls-key go together')
  if (settings.tlsPort !== undefined && settings.tlsCert === '')
    problems.push('tls-port: needs tls-cert and tls-key')
  const ports = [settings.port, settings.tcpPort, settings.tlsPort].filter(Boolean)
  if (new Set(ports).size < ports.length) problems.push('port, tcp-port and tls-port must differ')
  if (settings.persistent && settings.dataDir === '')
    problems.push('persistent: needs data-dir, or nothing would be kept')
  if (settings.endpoints.length === 0) problems.push('endpoints: at least one is needed')
  if (settings.maxFrame < settings.maxBody)
    problems.push('max-frame: must be at least max-body, raise it too')
  const { broadcast, priorityQueues, overflow, slowConsumers } = settings
  for (const name of [...broadcast, ...priorityQueues, ...overflow, ...slowConsumers]) {
    try {
      parsePattern(name.replace(/=.*/, ''), 'auto')
    } catch (error) {
      problems.push((error as Error).message)
    }
  }
  if (settings.stopTimeout <= settings.stopSpread)
    problems.push('stop-timeout: must be more than stop-spread, or some clients would never be told')
  if (settings.maxRedeliveryDelay < settings.redeliveryDelay)
    problems.push('max-redelivery-delay: must be at least redelivery-delay')
  if (settings.sendBudget < settings.maxFrame)
    problems.push('send-budget: must be at least max-frame, or no client could take such a frame')
  if (settings.totalSendBudget < settings.maxFrame)
    problems.push('total-send-budget: must be at least max-frame, or no client could take such a frame')
  return problems
}

/** The broker can be reached from this machine only. */
export function isLocal(settings: Settings): boolean {
  return isLoopback(settings.host)
}
