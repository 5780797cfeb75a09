/** What an export is made of: lines of JSON, each of which says what it is. */
import * as v from 'valibot'
import { Made } from '../model/content.ts'
import { Message, type Terms } from '../model/message.ts'
import { parseSelector } from '../model/selector.ts'
import { MAX_DESTINATION, type Destination } from '../protocol/destination.ts'
import { weigh } from '../protocol/frame.ts'
import { parsePattern } from '../protocol/pattern.ts'
import { quote } from '../protocol/text.ts'
import { DeadLetter } from './dead-letter.ts'
import { FORMAT } from './folder.ts'
import { readQueue, SCHEDULED, writeQueue, type QueueRecord } from './kept.ts'

/** Bytes a name may have: those of users stand in it encoded, up to three bytes for one. */
const MAX_NAME = 3 * MAX_DESTINATION
/** That of a durable subscription's queue is made of all that its owner is called. */
const MAX_QUEUE = 100_000
/** Bytes of a line, which has to be one string. */
export const MAX_LINE = 2 ** 29 - 1024

/** A message and what its queue knows of it. */
export interface Item {
  readonly message: Message
  /** When its time comes, in milliseconds since the epoch; 0 for at once. */
  readonly due: number
  /** When it expires in its queue, in milliseconds since the epoch; 0 for never. */
  readonly until: number
  /** How often it was handed out before, and refused. */
  readonly deliveries: number
  readonly refusals: number
}

export type Line =
  | { readonly type: 'store'; readonly format: number; readonly version: string }
  | { readonly type: 'queue'; readonly queue: QueueRecord }
  /** In a queue without a name are messages to topics that wait for their time. */
  | { readonly type: 'message'; readonly queue: string; readonly item: Item }
  | { readonly type: 'retained'; readonly item: Item }
  /** The last one: without it the rest is missing. */
  | { readonly type: 'end'; readonly lines: number }

/** A line that is none, in a few words. */
export class LineError extends Error {
  override readonly name = 'LineError'
}

export function writeLine(line: Line): string {
  if (line.type === 'queue') {
    const [name, terms] = JSON.parse(writeQueue(line.queue).toString()) as [string, unknown]
    return JSON.stringify({ type: 'queue', name, terms })
  }
  if (line.type === 'store' || line.type === 'end') return JSON.stringify(line)
  const { message, due, until, deliveries, refusals } = line.item
  const { id, destination, terms, sender, size, headers, body } = message
  return JSON.stringify({
    type: line.type,
    ...(line.type === 'message' && { queue: line.queue }),
    id,
    kind: destination.kind,
    destination: destination.name,
    ...(destination.shown !== destination.name && { shown: destination.shown }),
    ...(due > 0 && { due }),
    ...(until > 0 && { until }),
    ...(deliveries > 0 && { deliveries }),
    ...(refusals > 0 && { refusals }),
    ...(terms.expires > 0 && { expires: terms.expires }),
    priority: terms.priority,
    ...(terms.delay > 0 && { delay: terms.delay }),
    group: terms.group,
    retain: terms.retain,
    ...(!terms.persistent && { persistent: false }),
    ...(sender !== '' && { sender }),
    past: message instanceof DeadLetter ? message.past : undefined,
    size,
    headers: [...headers],
    ...(message.text ? { body: body.toString() } : { base64: body.toString('base64') }),
  })
}

/** Throws LineError. */
export function readLine(bytes: Buffer): Line {
  if (bytes.length > MAX_LINE) throw new LineError('it is longer than a line may be')
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    throw new LineError(`it is no JSON in UTF-8: ${quote(bytes.toString('utf8', 0, 80))}`)
  }
  const { type } = (value ?? {}) as { type?: unknown }
  switch (type) {
    case 'store':
      return { type, ...readStore(value) }
    case 'queue':
      return { type, queue: readQueueLine(value) }
    case 'message': {
      const { queue, ...rest } = parse(messageLine, value)
      if (queue === SCHEDULED && !rest.due)
        throw new LineError('it has neither a queue nor a time at which it is due')
      return { type, queue, item: readItem(rest) }
    }
    case 'retained':
      return { type, item: readItem(parse(topicLine, value)) }
    case 'end':
      return { type, lines: parse(endLine, value).lines }
    default:
      throw new LineError('its type must be store, queue, message, retained or end')
  }
}

// --- what a line may hold -----------------------------------------------------------------------

function object<const T extends v.ObjectEntries>(
  entries: T,
): v.StrictObjectSchema<T, (issue: v.StrictObjectIssue) => string> {
  return v.strictObject(entries, (issue) => {
    if (issue.expected === 'never') return 'is nothing that is known'
    return issue.path === undefined ? 'must be an object' : 'is missing'
  })
}

function whole(max = Number.MAX_SAFE_INTEGER, min = 0): v.GenericSchema<number> {
  const message = `must be a whole number from ${min}${max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`}`
  return v.pipe(v.number(message), v.safeInteger(message), v.minValue(min, message), v.maxValue(max, message))
}

/** What no header and no name may hold, because it would end the frame. */
const clean = (text: string): boolean => !text.includes('\0')
// eslint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f-\u009f]/

function text(max: number, min = 0): v.GenericSchema<string> {
  const message = `must be a text of ${min} to ${max} bytes without a NUL`
  const fits = (given: string): boolean => given.length >= min && Buffer.byteLength(given) <= max
  return v.pipe(v.string(message), v.check(clean, message), v.check(fits, message))
}

function name(max: number, min = 1): v.GenericSchema<string> {
  const message = `must be a name of at most ${max} bytes without control characters`
  const fits = (given: string): boolean =>
    given.length >= min && Buffer.byteLength(given) <= max && !control.test(given)
  return v.pipe(v.string(message), v.check(fits, message))
}

function choice<const T extends string>(...choices: T[]): v.GenericSchema<T> {
  return v.picklist(choices, `must be ${choices.join(' or ')}`)
}

/** What another part of the broker reads, and what that says against it. */
function readable(max: number, read: (given: string) => unknown): v.GenericSchema<string> {
  return v.pipe(
    text(max, 1),
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return
      try {
        read(dataset.value)
      } catch (error) {
        addIssue({ message: `cannot be read: ${(error as Error).message}` })
      }
    }),
  )
}

const yes = v.boolean('must be true or false')
const separator = choice('.', '/')

const queueName = name(MAX_QUEUE, SCHEDULED.length)

const storeLine = v.looseObject({ format: whole(2 ** 31, 1), version: text(100) }, 'is missing')

const queueLine = object({
  type: v.literal('queue'),
  name: queueName,
  terms: v.optional(
    object({
      lasting: v.optional(yes),
      idleLife: v.optional(whole()),
      topics: v.optional(
        v.union(
          [
            name(MAX_NAME),
            v.pipe(
              object({ text: name(MAX_NAME), separator }),
              v.check(({ text: pattern, separator: parted }) => isReadable(pattern, parted)),
            ),
          ],
          'must be a topic, or a pattern and its separator',
        ),
      ),
      selector: v.optional(readable(100_000, parseSelector)),
      maxPriority: v.optional(whole(255)),
      messageLife: v.optional(whole()),
      maxMessages: v.optional(whole()),
      maxBytes: v.optional(whole()),
      overflow: v.optional(choice('refuse', 'drop-oldest', 'block')),
      deadLetters: v.optional(
        v.nullable(
          object({
            kind: choice('topic', 'queue'),
            name: name(MAX_NAME),
            shown: name(MAX_NAME),
            temporary: v.literal(false, 'must be false'),
          }),
        ),
      ),
    }),
  ),
})

const item = {
  type: v.string(),
  // What a message-id is made of; clients send it back as it is.
  id: v.pipe(
    v.string('must be a text'),
    v.regex(/^[\w.-]{1,100}$/, 'must be of letters, digits, dots, - and _'),
  ),
  kind: choice('topic', 'queue'),
  destination: name(MAX_NAME),
  shown: v.optional(name(MAX_NAME)),
  due: v.optional(whole()),
  until: v.optional(whole()),
  deliveries: v.optional(whole(2 ** 32 - 2)),
  refusals: v.optional(whole(2 ** 32 - 1)),
  expires: v.optional(whole()),
  priority: v.optional(whole(255)),
  delay: v.optional(whole()),
  group: v.optional(text(2 ** 20)),
  retain: v.optional(choice('set', 'remove')),
  persistent: v.optional(yes),
  sender: v.optional(text(1_000)),
  past: v.optional(
    object({
      origin: text(MAX_NAME),
      firstQueue: text(MAX_QUEUE),
      firstReason: text(100),
      path: v.array(text(MAX_QUEUE), 'must be a list'),
      spread: yes,
    }),
  ),
  size: v.optional(whole()),
  headers: v.optional(
    v.array(
      v.tuple([text(2 ** 26, 1), text(2 ** 26)], 'must be a name and a value'),
      'must be a list of names and values',
    ),
  ),
  body: v.optional(v.string('must be a text')),
  base64: v.optional(v.pipe(v.string('must be a text'), v.check(isBase64, 'must be base64'))),
}
const messageLine = object({ ...item, queue: queueName })
const topicLine = object({ ...item, kind: choice('topic') })
const endLine = object({ type: v.string(), lines: whole() })

type Given = Omit<v.InferOutput<typeof messageLine>, 'queue'>

function parse<T>(schema: v.GenericSchema<T>, value: unknown): T {
  const { success, issues, output } = v.safeParse(schema, value)
  if (success) return output
  const [{ path, message }] = issues
  const where = path?.map(({ key }) => String(key)).join('.')
  throw new LineError(where === undefined ? `it ${message}` : `its ${quote(where).slice(1, -1)} ${message}`)
}

function readStore(value: unknown): { readonly format: number; readonly version: string } {
  const { format, version } = parse(storeLine, value)
  if (format > FORMAT)
    throw new LineError(
      `it was exported by a newer stomp-broker (${quote(version).slice(1, -1)}); use that one or a newer one`,
    )
  return { format, version }
}

/** Bodies are too long for a regular expression. */
function isBase64(given: string): boolean {
  return Buffer.from(given, 'base64').toString('base64') === given
}

function isReadable(pattern: string, parted: '.' | '/'): boolean {
  try {
    parsePattern(pattern, parted)
    return true
  } catch {
    return false
  }
}

function readQueueLine(value: unknown): QueueRecord {
  parse(queueLine, value)
  // As it stands, with its members in their order.
  const { name: queue, terms } = value as { name: string; terms?: unknown }
  return readQueue(Buffer.from(JSON.stringify(terms === undefined ? [queue] : [queue, terms])))
}

function readItem(given: Given): Item {
  const { body: words, base64, headers = [], past } = given
  if (words !== undefined && base64 !== undefined) throw new LineError('it has a body twice: body and base64')
  const body = base64 === undefined ? Buffer.from(words ?? '') : Buffer.from(base64, 'base64')
  const terms: Terms = {
    expires: given.expires ?? 0,
    priority: given.priority,
    delay: given.delay ?? 0,
    group: given.group,
    retain: given.retain,
    persistent: given.persistent ?? true,
  }
  const { id, kind, destination: named, shown = named, sender = '' } = given
  const letters = headers.reduce((sum, [header, value]) => sum + header.length + value.length, 0)
  const size = given.size ?? weigh(body.length + letters, headers.length)
  const destination: Destination = { kind, name: named, shown, temporary: false }
  const plain = new Message(id, destination, new Made(new Map(headers), body), size, terms, sender)
  return {
    message: past === undefined ? plain : DeadLetter.again(plain, past),
    due: given.due ?? 0,
    until: given.until ?? 0,
    deliveries: given.deliveries ?? 0,
    refusals: given.refusals ?? 0,
  }
}
