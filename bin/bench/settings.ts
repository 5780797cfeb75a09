import { InvalidArgumentError, Option, type Command } from 'commander'
import { parseBytes, parseInteger } from '../flags.ts'
import { Failure } from './failure.ts'
import type { Header } from './frame.ts'
import type { Pace, Plan, Stint } from './load.ts'
import { MOST_PUBLISHERS, runName, STAMP } from './stamp.ts'
import type { Target } from './target.ts'

/** What was asked for on the command line. */
export interface Settings {
  readonly url?: string
  readonly publishers: number
  readonly subscribers: number
  readonly size: number
  readonly duration: number
  readonly warmUp: number
  readonly window?: number
  readonly rate?: number
  readonly queue?: boolean
  readonly destination?: string
  readonly destinations: number
  readonly ack: Plan['ack']
  readonly prefetch?: number
  readonly receipts?: boolean
  readonly login?: string
  readonly passcode?: string
  readonly vhost: string
  readonly subprotocol: string
  readonly origin?: string
  readonly header: readonly Header[]
  readonly insecure?: boolean
  readonly json?: boolean
}

const WINDOW = 32
/** Times are counted in microseconds, in 32 bits: that is 71 minutes. */
const LONGEST = 3600
const LONGEST_WARM_UP = 300
const CONCURRENCY = 32

function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = parseInteger(text)
    if (value < min || value > max) throw new InvalidArgumentError(`It must be from ${min} to ${max}.`)
    return value
  }
}

function decimal(min: number, max: number, what: string): (text: string) => number {
  return (text) => {
    const value = /^(\d+\.?|\d*\.\d+)$/.test(text) ? Number(text) : NaN
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(`It must be a number of ${what} from ${min} to ${max}.`)
    return value
  }
}

function size(text: string): number {
  const value = parseBytes(text)
  if (value < STAMP)
    throw new InvalidArgumentError(
      `It must be at least ${STAMP}: each body carries the number of its publisher, its own, and its time.`,
    )
  if (value > 2 ** 29) throw new InvalidArgumentError('It must not be more than 512m.')
  return value
}

function destination(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('It must be a name such as /topic/bench.')
  if (/[*#>]/.test(text))
    throw new InvalidArgumentError('Messages are sent there, so it may hold no wildcard.')
  return text
}

const spoken = new Set(['destination', 'content-length', 'receipt', 'transaction'])

function header(text: string, before: readonly Header[] = []): readonly Header[] {
  const colon = text.indexOf(':')
  if (colon < 1) throw new InvalidArgumentError('It must be a name and a value such as persistent:true.')
  const name = text.slice(0, colon)
  if (spoken.has(name)) throw new InvalidArgumentError(`${name} is set by this command itself.`)
  return [...before, [name, text.slice(colon + 1)]]
}

export function addSettings(command: Command): void {
  command.showHelpAfterError('(stomp-broker bench --help lists the options)')
  const add = (flags: string, help: string, parse?: (text: string) => unknown, value?: unknown): void => {
    const option = new Option(flags, help)
    if (parse !== undefined) option.argParser((text: string): unknown => parse(text))
    if (value !== undefined) option.default(value)
    command.addOption(option)
  }
  const choice = (flags: string, help: string, choices: string[], value: string): void => {
    command.addOption(new Option(flags, help).choices(choices).default(value))
  }
  add(
    '--url <url>',
    'the broker: ws://, wss://, tcp://, tls://, or http:// and https:// for SockJS; without it one is started for the purpose',
  )
  add('--publishers <n>', 'connections that send', whole(1, MOST_PUBLISHERS), 1)
  add('--subscribers <n>', 'connections that receive', whole(0, 1_000_000), 10)
  add('--size <size>', 'bytes of a body', size, 128)
  add('--duration <seconds>', 'how long to measure', decimal(0.1, LONGEST, 'seconds'), 10)
  add('--warm-up <seconds>', 'how long to send before that', decimal(0, LONGEST_WARM_UP, 'seconds'), 2)
  add(
    '--window <n>',
    `messages of each publisher on their way at a time (default: ${WINDOW})`,
    whole(1, 1_000_000),
  )
  add(
    '--rate <n>',
    'or messages that each publisher sends in a second, come what may; latency then counts from when a message was due',
    decimal(0.001, 1_000_000, 'messages'),
  )
  add(
    '--queue',
    'each message goes to one subscriber; goes without saying for /queue/..., /amq/queue/... and names without a slash before them',
  )
  add(
    '--destination <name>',
    'where messages go (default: a topic, or with --queue a queue, of a new name)',
    destination,
  )
  add(
    '--destinations <n>',
    'as many of them, with -1, -2 ... at the end, which publishers send to in turn',
    whole(1, 1_000_000),
    1,
  )
  choice('--ack <mode>', 'how subscribers ack', ['auto', 'client', 'client-individual'], 'auto')
  add('--prefetch <n>', 'unacked messages of a subscriber (default: as the broker likes)', whole(1, 65_535))
  add('--receipts', 'ask for a receipt for every message, and count it as on its way until it comes')
  add('--login <name>', 'login to connect with')
  command.addOption(new Option('--passcode <word>', 'passcode to connect with').env('STOMP_PASSCODE'))
  add('--vhost <name>', 'virtual host', undefined, '/')
  add('--subprotocol <name>', 'WebSocket subprotocol to offer, "" for none', undefined, 'v12.stomp')
  add('--origin <origin>', 'origin to connect from, as a browser shows it')
  command.addOption(
    new Option('--header <name:value>', 'header of every message, several times if need be').argParser(
      header,
    ),
  )
  add('--insecure', 'take any certificate')
  add('--json', 'print one line of JSON for scripts')
  command.addHelpText(
    'after',
    `
Sizes may be written as 64k or 8m. Ends with 0 when nothing was lost and nothing
came twice, else with 1. Ctrl-C ends it early, with what was measured by then.

Examples:
  a broker started for the purpose, and with options of its own:
    stomp-broker bench
    stomp-broker --compression bench
  one that is running, and RabbitMQ:
    stomp-broker bench --url ws://127.0.0.1:61614/ws
    stomp-broker bench --url ws://127.0.0.1:15674/ws --login guest --passcode guest
  one message at a time to a thousand:
    stomp-broker bench --subscribers 1000 --window 1
  latency at 1000 messages a second:
    stomp-broker bench --rate 100 --publishers 10
  a queue:
    stomp-broker bench --queue --publishers 4 --receipts --ack client-individual`,
  )
}

/** What goes together, and what does not. Throws Failure. */
export function checkSettings(settings: Settings): void {
  const { subscribers, receipts, rate, window, destinations, publishers } = settings
  if (rate !== undefined && window !== undefined)
    throw new Failure(
      '--window and --rate do not go together.',
      'A window waits for deliveries, a rate for nothing.',
    )
  if (subscribers === 0 && receipts !== true)
    throw new Failure(
      'with --subscribers 0 nobody knows when a message has arrived.',
      'Add --receipts, so that the broker says so.',
    )
  if (Math.max(subscribers, destinations) * publishers > 2 ** 28)
    throw new Failure('that many publishers and subscribers are too much to keep count of.')
}

export function planOf(settings: Settings, target: Target): Plan {
  const queue = settings.queue ?? /^(\/(amq\/)?queue\/|[^/])/.test(settings.destination ?? '')
  const name = settings.destination ?? `/${queue ? 'queue' : 'topic'}/bench-${runName()}`
  const { destinations: count, publishers, subscribers, size: bytes, ack } = settings
  return {
    target,
    login: settings.login ?? target.login,
    passcode: settings.passcode ?? target.passcode,
    host: settings.vhost,
    subprotocol: settings.subprotocol,
    origin: settings.origin ?? '',
    insecure: settings.insecure === true,
    publishers,
    subscribers,
    members: false,
    destinations: count === 1 ? [name] : Array.from({ length: count }, (_, index) => `${name}-${index + 1}`),
    // As with @stomp/stompjs, whose first subscription is `sub-0` on every page.
    sameId: count <= subscribers,
    queue,
    size: bytes,
    ack,
    prefetch: settings.prefetch ?? 0,
    receipts: settings.receipts === true,
    headers: settings.header ?? [],
    concurrency: CONCURRENCY,
  }
}

export function stintOf(settings: Settings): Stint {
  const pace: Pace =
    settings.rate === undefined ? { window: settings.window ?? WINDOW } : { rate: settings.rate }
  return { pace, warmUp: settings.warmUp, duration: settings.duration }
}
