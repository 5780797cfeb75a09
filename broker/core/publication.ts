/** What the headers of a SEND ask of the broker, whichever dialect they are written in. */
import type { Terms } from '../model/message.ts'
import { StompError } from '../protocol/errors.ts'
import type { Headers } from '../protocol/frame.ts'
import { copy, quote } from '../protocol/text.ts'

/** What a session knows that its SENDs need. */
export interface Sender {
  /** What a SEND asks for that asks for nothing. */
  readonly terms: Terms
  /** The address under which others reach what this client calls `replyTo`. */
  replyAddress(replyTo: string): string
  /** Says something once, in the broker's log. */
  tell(warning: string): void
}

export interface Publication {
  readonly terms: Terms
  /** As MESSAGE shows them. */
  readonly headers: Headers
}

/** Below it `expires` cannot be a time: the senders that write small numbers mean a length of time. */
const EARLIEST = 1_000_000_000
/** Milliseconds: some three years. */
const LONGEST = 100_000_000_000
/** RabbitMQ's highest; a queue takes what is above its own highest for that. */
const MAX_PRIORITY = 255

/** Throws `invalid-header`. */
export function readPublication(headers: Headers, sender: Sender): Publication {
  let { expires, priority, delay, group, retain, persistent } = sender.terms
  let replyTo: string | undefined
  let plain = true
  for (const [name, value] of headers) {
    switch (name) {
      // RabbitMQ and Apollo: milliseconds from now. None at all would leave no time to deliver in.
      case 'expiration':
      case 'ttl':
        expires = earlier(expires, Date.now() + Math.max(readMilliseconds(name, value), 1))
        break
      case 'expires':
        expires = earlier(expires, readExpires(value, sender))
        break
      case 'priority':
        priority = readNumber(name, value, MAX_PRIORITY, `from 0 to ${MAX_PRIORITY}`)
        break
      case 'x-delay':
      case 'AMQ_SCHEDULED_DELAY':
        delay = Math.max(delay, readMilliseconds(name, value))
        break
      case 'AMQ_SCHEDULED_PERIOD':
      case 'AMQ_SCHEDULED_REPEAT':
      case 'AMQ_SCHEDULED_CRON':
        sender.tell(`The header ${name} of SEND means nothing here: a message is delivered once.`)
        continue
      case 'JMSXGroupID':
      case 'message_group':
        group = value === '' ? undefined : copy(value)
        break
      case 'retain':
        if (value !== 'set' && value !== 'remove')
          throw new StompError('invalid-header', `retain is ${quote(value)}; it may be set or remove.`)
        retain = value
        break
      case 'persistent':
        persistent = value === 'true'
        break
      case 'reply-to': {
        const address = sender.replyAddress(value)
        if (address !== value) replyTo = address
        break
      }
      default:
        continue
    }
    plain = false
  }
  if (plain) return { terms: sender.terms, headers }
  const terms: Terms = { expires, priority, delay, group, retain, persistent }
  if (expires === 0 && replyTo === undefined) return { terms, headers }
  const shown = new Map(headers)
  // ActiveMQ's name and unit, which the readers of all dialects know.
  if (expires !== 0) shown.set('expires', String(expires))
  if (replyTo !== undefined) shown.set('reply-to', replyTo)
  return { terms, headers: shown }
}

/** ActiveMQ, Artemis and Apollo: milliseconds since the epoch; 0 for never. */
function readExpires(value: string, sender: Sender): number {
  const expires = readNumber('expires', value, Number.MAX_SAFE_INTEGER, 'of milliseconds since 1970')
  if (expires === 0 || expires >= EARLIEST) return expires
  sender.tell(
    `A SEND has expires:${value}, which is taken for milliseconds from now; expires counts from 1970, write ttl or expiration.`,
  )
  return Date.now() + expires
}

function earlier(first: number, second: number): number {
  return first === 0 || second === 0 ? first + second : Math.min(first, second)
}

function readMilliseconds(name: string, value: string): number {
  return readNumber(name, value, LONGEST, `of milliseconds up to ${LONGEST}`)
}

function readNumber(name: string, value: string, most: number, what: string): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : NaN
  if (number <= most) return number
  throw new StompError('invalid-header', `${name} is ${quote(value)}, not a whole number ${what}.`)
}
