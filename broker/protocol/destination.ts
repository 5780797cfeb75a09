/** Destination names: what a client may write, in the dialects of RabbitMQ, ActiveMQ and Spring. */
import { StompError } from './errors.ts'
import {
  isPattern,
  matchesPattern,
  parsePattern,
  type Interest,
  type Pattern,
  type Separator,
} from './pattern.ts'
import { copy, quote } from './text.ts'

export interface Destination {
  readonly kind: 'topic' | 'queue'
  /** What routing goes by. */
  readonly name: string
  /** As MESSAGE shows it: a bare `x` becomes `/queue/x`, a message to a user `/user/queue/x`. */
  readonly shown: string
  /** It ends with its connection, and what is sent to it afterwards is dropped. */
  readonly temporary: boolean
}

/** What stands for something else in each session, or for an application. */
export interface Personal {
  readonly kind: 'user' | 'temp-queue' | 'temp-topic' | 'reply' | 'app'
  readonly shown: string
}

/** What a SUBSCRIBE names; `interest` is the topics of a topic. */
export type Subscribed = (Destination & { readonly interest: Interest }) | Personal

/** Bytes of a destination. */
export const MAX_DESTINATION = 512

export interface DestinationRules {
  /** What parts the segments of a pattern. */
  readonly separator: Separator
  /** Queue names that are topics nevertheless, as they are with Spring's simple broker. */
  readonly broadcast: readonly Pattern[]
  /** Only the prefixes that mean something are allowed. */
  readonly strict: boolean
}

const NO_RULES: DestinationRules = { separator: 'auto', broadcast: [], strict: false }

// eslint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f-\u009f]/

/** Names that are remembered, and characters of them. */
const KNOWN = 100_000
const KNOWN_CHARACTERS = 10_000_000

/** Milliseconds, or at most twice of them, after which a name that nobody uses is forgotten. */
const REMEMBERED_FOR = 5_000

/** What was found out about a name. Bounded, and emptied when it is full: it refills in no time. */
class Known<T> {
  private young = new Map<string, T>()
  private youngCharacters = 0
  /** Not asked for since the last aging. */
  private old = new Map<string, T>()
  private oldCharacters = 0

  get(name: string): T | undefined {
    return this.young.get(name) ?? (this.old.size === 0 ? undefined : this.renew(name))
  }

  set(name: string, value: T): void {
    const characters = this.youngCharacters + this.oldCharacters + name.length
    if (this.young.size + this.old.size >= KNOWN || characters > KNOWN_CHARACTERS) {
      this.young.clear()
      this.old.clear()
      this.youngCharacters = this.oldCharacters = 0
    }
    this.youngCharacters += name.length
    this.young.set(name, value)
  }

  /** Forgets what was not asked for since the last time. */
  age(): void {
    if (this.young.size + this.old.size === 0) return
    this.old = this.young
    this.oldCharacters = this.youngCharacters
    this.young = new Map()
    this.youngCharacters = 0
  }

  private renew(name: string): T | undefined {
    const value = this.old.get(name)
    if (value === undefined) return undefined
    this.old.delete(name)
    this.oldCharacters -= name.length
    this.young.set(name, value)
    this.youngCharacters += name.length
    return value
  }
}

/** Reads the names of one broker. All methods throw `invalid-destination` or `unsupported-destination`. */
export class Destinations {
  private readonly rules: DestinationRules
  /** Names repeat with every SEND; the checks need not. */
  private readonly known = new Known<readonly (Destination | Personal)[]>()
  /** And with every client that subscribes. */
  private readonly interests = new Known<Subscribed>()
  private sinceAging = 0

  constructor(rules: DestinationRules = NO_RULES) {
    this.rules = rules
  }

  /** To be called now and then, with the milliseconds since the last time. */
  tick(elapsed: number): void {
    this.sinceAging += elapsed
    if (this.sinceAging < REMEMBERED_FOR) return
    this.sinceAging = 0
    this.known.age()
    this.interests.age()
  }

  /** What a SEND names: more than one where a comma and a slash part them, as on ActiveMQ. */
  sent(text: string): readonly (Destination | Personal)[] {
    let list = this.known.get(text)
    if (list === undefined) {
      const name = copy(text)
      checkText(name)
      list = name.split(/,(?=\/)/).map((each) => this.sentTo(each))
      // Composites can be many, of the same few names.
      if (list.length === 1) this.known.set(name, list)
    }
    return list
  }

  /** What a SUBSCRIBE names. */
  subscribed(text: string): Subscribed {
    let known = this.interests.get(text)
    if (known === undefined) {
      const name = copy(text)
      known = this.readInterest(name)
      this.interests.set(name, known)
    }
    return known
  }

  private readInterest(name: string): Subscribed {
    checkText(name)
    const address = this.read(name)
    if (name.includes(',/')) throw unsupported(`${quote(name)} is several destinations; SUBSCRIBE to each.`)
    const pattern = isPattern(address.shown)
    switch (address.kind) {
      case 'topic':
      case 'queue':
        break
      default:
        if (pattern) throw noPattern(name, 'Wildcards are for topics only')
        return address
    }
    // Only its maker may read a reply queue; everybody else may send to it.
    if (address.temporary) return { kind: 'reply', shown: address.name }
    if (!pattern) return heard(address, address.name)
    if (address.kind === 'queue')
      throw noPattern(name, 'Wildcards on queues are not supported, they are for topics')
    if (address.name.startsWith('/exchange/amq.direct/'))
      throw noPattern(
        name,
        'A direct exchange routes by the exact key, wildcards are for /exchange/amq.topic/',
      )
    const dotted = name.startsWith('/exchange/')
    return heard(address, parsePattern(address.name, dotted ? '.' : this.rules.separator))
  }

  /** What a SEND to one destination names, whatever commas are in it. */
  sentTo(name: string): Destination | Personal {
    checkText(name)
    const address = this.read(name)
    if (address.kind === 'user') return toUser(name)
    // A pattern does not fan out: one client could write to every topic that way.
    if (isPattern(address.shown)) throw noPattern(name, 'Messages cannot be sent to a wildcard pattern')
    return address
  }

  private read(text: string): Destination | Personal {
    const name = text.startsWith('/') ? text : `/queue/${text}`
    // As shown on MESSAGE, so that a reply to what is shown is never too long.
    if (Buffer.byteLength(name) > MAX_DESTINATION) {
      throw invalid(`The destination ${quote(text)} has more than ${MAX_DESTINATION} bytes.`)
    }
    const prefix = /^\/([^/]*)/.exec(name)?.[1] ?? ''
    if (name.length <= prefix.length + 2 && (prefix === '' || reserved.has(prefix))) {
      throw invalid(
        `The destination ${quote(text)} lacks a name; write for example /topic/news or /queue/work.`,
      )
    }
    switch (prefix) {
      case 'topic':
        return topic(name)
      case 'queue':
        return this.queue(name)
      case 'exchange':
        return exchange(name)
      case 'amq':
        if (!/^\/amq\/queue\/./.test(name))
          throw unsupported(
            `${quote(text)} is not known; /amq/queue/<name> is another name of /queue/<name>.`,
          )
        return this.queue(name.slice('/amq'.length))
      case 'user':
        return { kind: 'user', shown: name }
      case 'app':
        return { kind: 'app', shown: name }
      case 'temp-queue':
      case 'temp-topic':
        return { kind: prefix, shown: name }
      case 'reply-queue':
        return { kind: 'queue', name, shown: name, temporary: true }
      case 'remote-temp-queue':
        return this.read(name.replace('/remote-temp-queue/', '/reply-queue/'))
      case 'remote-temp-topic':
        return { kind: 'topic', name, shown: name, temporary: true }
      default:
        if (this.rules.strict)
          throw unsupported(
            `${quote(text)} has an unknown prefix; write /topic/... or /queue/... (option strict).`,
          )
        return topic(name)
    }
  }

  private queue(name: string): Destination {
    if (this.rules.broadcast.some((pattern) => matchesPattern(pattern, name))) return topic(name)
    return { kind: 'queue', name, shown: name, temporary: false }
  }
}

// Prefixes that need something behind them; a topic of another prefix may be that prefix alone.
const reserved: ReadonlySet<string> = new Set([
  'topic',
  'queue',
  'exchange',
  'amq',
  'user',
  'app',
  'temp-queue',
  'temp-topic',
  'reply-queue',
  'remote-temp-queue',
  'remote-temp-topic',
])

function topic(name: string, shown = name): Destination {
  return { kind: 'topic', name, shown, temporary: false }
}

/** Written out: of what `...` copies V8 makes a class for each object, which takes more than the object itself. */
function heard({ kind, name, shown, temporary }: Destination, interest: Interest): Subscribed {
  return { kind, name, shown, temporary, interest }
}

/** RabbitMQ's exchanges: the ones everybody has are other names of topics, the rest are topics of their own. */
function exchange(name: string): Destination {
  const [, which = '', key] = /^\/exchange\/([^/]+)(?:\/(.*))?$/s.exec(name) ?? []
  if (which === '') throw invalid(`${quote(name)} lacks a name; write /exchange/<name>/<routing key>.`)
  if (which === 'amq.topic' && key) return topic(`/topic/${key}`)
  // It hands every message to all of its subscribers, whatever the key.
  if (which === 'amq.fanout') return topic('/exchange/amq.fanout', name)
  return topic(name)
}

/**
 * A message for the sessions of one user, `/user/{name}/queue/x`. The name may hold a slash as
 * `%2F`. A tilde and the letters of an id are the address of one session.
 */
function toUser(shown: string): Destination {
  const [, written = '', rest = ''] = /^\/user\/([^/]+)(\/.+)$/s.exec(shown) ?? []
  if (rest === '' || (/^(queue|topic)$/.test(written) && !/^\/(queue|topic)\//.test(rest))) {
    throw invalid(`${quote(shown)} does not say which user; write /user/<name>/queue/<name>.`)
  }
  if (isPattern(shown)) throw noPattern(shown, 'Messages cannot be sent to a wildcard pattern')
  const key = /^~[\w-]{20}$/.test(written) ? written : userKey(decode(written))
  return topic(`/user/${key}${rest}`, `/user${rest}`)
}

/** How a user's name stands in the names that routing goes by: as one segment, and as no pattern. */
export function userKey(name: string): string {
  // By way of bytes it becomes well-formed: half a surrogate pair has no encoding.
  return encodeURIComponent(Buffer.from(name).toString()).replace(/^~/, '%7E').replaceAll('*', '%2A')
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // A lone percent sign is one.
    return text
  }
}

function checkText(text: string): void {
  // All names of a composite together, too: each of them costs a message.
  if (Buffer.byteLength(text) > MAX_DESTINATION)
    throw invalid(`The destination ${quote(text)} has more than ${MAX_DESTINATION} bytes.`)
  if (text === '') throw invalid('The destination is empty; write for example /topic/news or /queue/work.')
  if (control.test(text)) throw invalid(`The destination ${quote(text)} holds a control character.`)
}

function invalid(detail: string): StompError {
  return new StompError('invalid-destination', detail)
}

function unsupported(detail: string): StompError {
  return new StompError('unsupported-destination', detail)
}

function noPattern(name: string, why: string): StompError {
  return unsupported(`${why}; the destination was ${quote(name)}.`)
}
