import * as v from 'valibot'
import { isLoopback } from './transport/origin.ts'

/** One option: what it may be, what it is by default, and what `--help` says of it. */
export interface Row<T> {
  readonly kind: 'integer' | 'bytes' | 'text' | 'list' | 'switch' | 'choice'
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
function file(help: string): Row<string> {
  return { kind: 'text', default: '', help, value: 'file', schema: v.string('must be the path of a file') }
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
function choice<const T extends string>(help: string, standard: T, choices: readonly T[]): Row<T> {
  const schema = v.picklist(choices, `must be one of ${choices.join(', ')}`)
  return { kind: 'choice', default: standard, help, value: choices.join('|'), choices, schema }
}

const endpoint = v.pipe(
  v.string(),
  v.regex(/^(\/[A-Za-z0-9_~-]+)+$/, 'must be a path such as /ws, of letters, digits, - and _'),
)
const origin = v.pipe(
  v.string(),
  v.regex(
    /^(\*|null|https?:\/\/[^/\s]+)$/,
    'must be an origin such as https://app.example.com, with nothing behind it, or * for all',
  ),
)

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
  /** Serve the chat demo at `/`. Default true. */
  demo: onOff('serve the chat demo at /', true),
  /** The `server` header of CONNECTED. Default true. */
  serverHeader: onOff('tell clients the version of the broker', true),
  /** `debug` tells of refused frames and more. Default `info`. */
  logLevel: choice('what to log', 'info', ['silent', 'error', 'warn', 'info', 'debug']),

  /** Milliseconds: the shortest heart-beat agreed to. Default 1000. */
  heartbeatMin: integer('shortest heart-beat agreed to, in ms', 1_000, 500),
  /** Milliseconds: the longest heart-beat agreed to. Default 60000. */
  heartbeatMax: integer('longest heart-beat agreed to, in ms', 60_000, 500),
  /** Milliseconds a client may live on WebSocket pongs alone. Default 600000: a sleeping browser tab stays. */
  heartbeatCeiling: integer('how long a client may live on pongs alone, in ms', 600_000),
  /** Milliseconds from the connection to the end of CONNECT. Default 10000, as RabbitMQ. */
  connectTimeout: integer('time to send CONNECT, in ms', 10_000, 100),

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
  /** Unacked messages of a subscription with `ack:client` or `client-individual`. Default 32. */
  prefetch: integer('unacked messages of one subscription, unless it asks otherwise', 32),
  /** The most unacked messages a subscription may ask for; `prefetch:0` asks for that. Default 10000. */
  maxPrefetch: integer('most unacked messages a subscription may ask for; prefetch:0 asks for that', 10_000),
  /** Subscriptions of one client. Default 1000. */
  maxSubscriptions: integer('most subscriptions of one client', 1_000),
  /** Messages in one queue. Default 1000000. */
  maxQueueMessages: integer('most messages in one queue', 1_000_000),
  /** Bytes of the messages in one queue, headers and what they cost in memory included. Default 256 MiB. */
  maxQueueBytes: bytes('most bytes in one queue', 256 * MIB),
  /** Open transactions of one client. Default 16. */
  maxTransactions: integer('most open transactions of one client', 16),
  /** Frames of one transaction. Default 1000. */
  maxTransactionFrames: integer('most frames in one transaction', 1_000),
  /** Bytes of the frames in one client's transactions. Default 16 MiB. */
  maxTransactionBytes: bytes('most bytes in the transactions of one client', 16 * MIB),
  /** Bytes of one SockJS POST, which may batch many messages. Default 16 MiB. */
  sockjsMaxBatch: bytes('largest SockJS POST', 16 * MIB, KIB),
  /** SockJS sessions over HTTP. Default 10000. */
  sockjsMaxSessions: integer('most SockJS sessions over HTTP', 10_000),
  /** What a SockJS client gets of a body that is not UTF-8: an ERROR, or base64. Default `refuse`. */
  sockjsBinary: choice(
    'a body that is not text, for a SockJS client: end it with an ERROR, or send base64',
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
    ...(v.safeParse(schema, options).issues ?? []).map(
      (issue) => `${optionName(v.getDotPath(issue)?.split('.')[0] ?? '')}: ${issue.message}`,
    ),
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
  if (settings.endpoints.length === 0) problems.push('endpoints: at least one is needed')
  if (settings.maxFrame < settings.maxBody)
    problems.push('max-frame: must be at least max-body, raise it too')
  if (settings.sendBudget < settings.maxFrame)
    problems.push('send-budget: must be at least max-frame, or no client could take such a frame')
  return problems
}

/** The broker can be reached from this machine only. */
export function isLocal(settings: Settings): boolean {
  return isLoopback(settings.host)
}
