/** Destination names: which kind a name is of, and which names are refused. */
import { StompError } from './errors.ts'
import { copy, quote } from './text.ts'

export interface Destination {
  readonly kind: 'topic' | 'queue'
  /** What routing goes by. */
  readonly name: string
  /** As MESSAGE shows it: a bare `x` becomes `/queue/x`, a message to a user `/user/queue/x`. */
  readonly shown: string
  /** A reply queue: it ends with its connection, and what is sent to it afterwards is dropped. */
  readonly temporary: boolean
}

/** Bytes of a destination name. */
export const MAX_DESTINATION = 512

// These mean something of their own to RabbitMQ, ActiveMQ or Spring. As plain topics they would
// look as if they worked, and `/user/` would show everybody what is meant for one.
const reserved =
  /^\/(user|app|temp-queue|temp-topic|remote-temp-queue|remote-temp-topic|reply-queue|exchange|amq)(\/|$)/

// eslint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f-\u009f]/

// Names repeat with every SEND; the checks need not. Bounded, and emptied rather than aged: it refills in no time.
const known = new Map<string, Destination>()
const KNOWN = 10_000

/**
 * Any prefix other than `/queue/` names a topic, a name without a leading slash a queue.
 * Throws `invalid-destination` or `unsupported-destination`.
 */
export function parseDestination(text: string): Destination {
  let destination = known.get(text)
  if (destination === undefined) {
    const name = copy(text)
    destination = check(name)
    if (known.size >= KNOWN) known.clear()
    known.set(name, destination)
  }
  return destination
}

function check(text: string): Destination {
  // As shown on MESSAGE, so that a reply to what is shown is never too long.
  const name = text.startsWith('/') ? text : `/queue/${text}`
  if (Buffer.byteLength(name) > MAX_DESTINATION) {
    throw new StompError(
      'invalid-destination',
      `The destination ${quote(text)} has more than ${MAX_DESTINATION} bytes.`,
    )
  }
  if (text === '' || /^\/(topic|queue)?\/?$/.test(text)) {
    throw new StompError(
      'invalid-destination',
      `The destination ${quote(text)} lacks a name; write for example /topic/news or /queue/work.`,
    )
  }
  if (control.test(text)) {
    throw new StompError('invalid-destination', `The destination ${quote(text)} holds a control character.`)
  }
  if (reserved.test(text)) {
    throw new StompError(
      'unsupported-destination',
      `Destinations like ${quote(text)} are not supported by this version; use /topic/... or /queue/...`,
    )
  }
  if (isPattern(text)) {
    throw new StompError(
      'unsupported-destination',
      `${quote(text)} is a wildcard pattern; this version supports exact names only.`,
    )
  }
  return { kind: name.startsWith('/queue/') ? 'queue' : 'topic', name, shown: name, temporary: false }
}

/** The wildcards of the three dialects: `*` and `?` anywhere, `#` and `>` as a whole segment. */
function isPattern(text: string): boolean {
  return /[*?]/.test(text) || /(^|[./])[#>](?=$|[./])/.test(text)
}
