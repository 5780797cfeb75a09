/** Messages to `/app/...`, which Spring gives to its controllers: here rules say what becomes of them. */
import { userKey, type Destination, type Destinations } from '../protocol/destination.ts'
import { StompError } from '../protocol/errors.ts'
import type { Headers } from '../protocol/frame.ts'
import { quote } from '../protocol/text.ts'

/** What a handler is given. */
export interface AppMessage {
  /** A SUBSCRIBE is answered to its subscription alone, once. */
  readonly command: 'SEND' | 'SUBSCRIBE'
  /** As the client wrote it, `/app/hello` for example. */
  readonly destination: string
  /** What stood for the `{names}` of the path. */
  readonly params: Readonly<Record<string, string>>
  readonly headers: Headers
  readonly body: Buffer
  /** The client's login; empty for none. */
  readonly user: string
  /** The client's session, as CONNECTED shows it. */
  readonly session: string
}

/**
 * Handles a message of a client. A string or Buffer it returns is sent as it is, anything else as
 * JSON, undefined not at all. What it throws is logged, and the client gets an ERROR.
 */
export type AppHandler = (message: AppMessage) => unknown

/**
 * What becomes of messages to a path. A path may have `{names}` for segments; it and `to` may both
 * end in `/**`, which stands for the rest.
 */
export interface AppRule {
  /** Where the message, or the handler's reply, goes: by default `/topic` and the rest of the path. */
  readonly to?: string
  /**
   * JSON to send instead of the body: `{name}` in its texts is a part of the path, `{user}`, or a
   * member of the JSON that was sent.
   */
  readonly body?: unknown
  readonly handle?: AppHandler
}

/** By path, `/app/hello` for example. A text is a rule's `to`, a function its handler. */
export type AppRules = Readonly<Record<string, string | AppHandler | AppRule>>

/** Where a message goes on, and what with. */
export interface Forward {
  readonly destination: Destination
  readonly headers: Headers
  readonly body: Buffer
}

interface Route {
  readonly segments: readonly string[]
  /** It ends in a double star. */
  readonly open: boolean
  readonly rule: AppRule
}

/** What a handler says. */
export interface Reply {
  readonly body: Buffer
  /** `content-type`, where the handler's value was made JSON. */
  readonly headers: readonly (readonly [string, string])[]
}

/** The rule that speaks of a path. */
export interface Found {
  readonly rule: AppRule
  readonly params: Record<string, string>
  /** What the double star stands for. */
  readonly rest: string
}

export class Apps {
  private readonly routes: readonly Route[]
  private readonly destinations: Destinations

  /** Throws an Error that says what is wrong with the rules. */
  constructor(rules: AppRules, destinations: Destinations) {
    this.destinations = destinations
    this.routes = Object.entries(rules).map(([path, rule]) => this.route(path, rule))
  }

  /** Where a message goes on by a rule without a handler. */
  forward(found: Found, message: AppMessage): Forward {
    const { body } = found.rule
    if (body === undefined) return this.lead(found, message, { body: message.body, headers: [] })
    return this.lead(found, message, asJson(fill(body, values(found, message))))
  }

  /**
   * Where the reply of a handler goes; nothing where it has nothing to say. It rejects and never
   * throws, so that no handler's error is missed because of another's.
   */
  async send(found: Found, message: AppMessage): Promise<Forward | undefined> {
    const reply = await this.answer(found, message)
    return reply && this.lead(found, message, reply)
  }

  /** What the handler of a rule says, to whoever asked. */
  async answer({ rule, params }: Found, message: AppMessage): Promise<Reply | undefined> {
    try {
      return read(await rule.handle?.({ ...message, params }))
    } catch (error) {
      const { destination } = message
      throw new StompError(
        'application-failed',
        `The handler of ${quote(destination)} failed; the broker's log says more.`,
        error,
      )
    }
  }

  private lead(found: Found, message: AppMessage, reply: Reply): Forward {
    const { to } = found.rule
    const name =
      to === undefined
        ? message.destination.replace(/^\/app/, '/topic')
        : target(to, found, values(found, message))
    const destination = this.destinations.sentTo(name)
    if (destination.kind !== 'topic' && destination.kind !== 'queue')
      throw new StompError(
        'unsupported-destination',
        `A rule of ${quote(message.destination)} leads to ${quote(name)}.`,
      )
    const { headers } = message
    return {
      destination,
      headers: reply.headers.length === 0 ? headers : new Map([...headers, ...reply.headers]),
      body: reply.body,
    }
  }

  find(path: string): Found | undefined {
    const segments = path.split('/')
    for (const { segments: wanted, open, rule } of this.routes) {
      if (open ? segments.length <= wanted.length : segments.length !== wanted.length) continue
      const params: Record<string, string> = Object.create(null) as Record<string, string>
      const fits = wanted.every((each, index) => {
        const given = segments[index] ?? ''
        if (!each.startsWith('{')) return each === given
        params[each.slice(1, -1)] = given
        return given !== ''
      })
      if (fits) return { rule, params, rest: `/${segments.slice(wanted.length).join('/')}` }
    }
    return undefined
  }

  private route(path: string, given: string | AppHandler | AppRule): Route {
    const open = path.endsWith('/**')
    const segments = (open ? path.slice(0, -3) : path).split('/')
    if (!/^\/app(\/([^/{}*]+|\{\w+\}))*(\/\*\*)?$/.test(path) || path === '/app')
      throw new Error(`${quote(path)} is no path such as /app/chat or /app/room/{room}`)
    const rule =
      typeof given === 'string' ? { to: given } : typeof given === 'function' ? { handle: given } : given
    if (rule.to !== undefined) {
      try {
        const { kind } = this.destinations.sentTo(
          rule.to.replace(/\/\*\*$/, '/x').replace(/\{[\w.]+\}/g, 'x'),
        )
        if (rule.to.endsWith('/**') && !open)
          throw new Error(`${quote(rule.to)} ends in /** and the path does not, so nothing stands for it.`)
        if (!rule.to.startsWith('/') || (kind !== 'topic' && kind !== 'queue'))
          throw new Error(`${quote(rule.to)} is no place to send to; write for example /topic/messages.`)
      } catch (error) {
        throw new Error(`${path}: ${(error as Error).message}`, { cause: error })
      }
    }
    return { segments, open, rule }
  }
}

/** What was filled in is not filled in again, nor is what the double star stands for. */
function target(to: string, { rest }: Found, lookup: Values): string {
  const open = to.endsWith('/**')
  const [, user = '', path = ''] = /^(\/user\/[^/]*|)(.*)$/s.exec(open ? to.slice(0, -3) : to) ?? []
  // Whatever is in the name of a user, it stays one segment.
  const name = fillText(user, (key) => userKey(show(lookup(key)))) + fillText(path, lookup)
  return open ? name + rest : name
}

function read(value: unknown): Reply | undefined {
  if (value === undefined) return undefined
  if (Buffer.isBuffer(value)) return { body: value, headers: [] }
  return typeof value === 'string' ? { body: Buffer.from(value), headers: [] } : asJson(value)
}

function asJson(value: unknown): Reply {
  return { body: Buffer.from(JSON.stringify(value)), headers: [['content-type', 'application/json']] }
}

/** What `{names}` stand for; members of members by dots. */
type Values = (name: string) => unknown

function values({ params }: Found, { body, user }: AppMessage): Values {
  let sent: unknown
  let parsed = false
  return (name) => {
    if (name in params) return params[name]
    if (name === 'user') return user
    if (!parsed) {
      parsed = true
      try {
        sent = JSON.parse(body.toString())
      } catch {
        // What is not JSON has no members.
      }
    }
    let value = sent
    for (const key of name.split('.')) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
      value = (value as Record<string, unknown>)[key]
    }
    return value
  }
}

function fill(template: unknown, lookup: Values): unknown {
  if (typeof template === 'string') {
    // Alone it stays what it is, a number for example.
    const alone = /^\{([\w.]+)\}$/.exec(template)?.[1]
    return alone === undefined ? fillText(template, lookup) : (lookup(alone) ?? null)
  }
  if (Array.isArray(template)) return template.map((each) => fill(each, lookup))
  if (typeof template !== 'object' || template === null) return template
  return Object.fromEntries(Object.entries(template).map(([key, value]) => [key, fill(value, lookup)]))
}

function fillText(template: string, lookup: Values): string {
  return template.replace(/\{([\w.]+)\}/g, (_, name: string) => show(lookup(name)))
}

function show(value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined || value === null ? '' : JSON.stringify(value)
}
