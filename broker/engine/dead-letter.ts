import { Made } from '../model/content.ts'
import { Message } from '../model/message.ts'
import { MAX_DESTINATION, type Destination } from '../protocol/destination.ts'

/** Why a message became a dead letter, and what RabbitMQ calls that. */
const reasons = {
  rejected: 'rejected',
  'max-deliveries': 'delivery_limit',
  expired: 'expired',
  'queue-full': 'maxlen',
} as const

export type Reason = keyof typeof reasons

/** They asked for what is over: a dead letter neither expires nor waits because its sender said so. */
const over: ReadonlySet<string> = new Set(['expires', 'expiration', 'ttl', 'x-delay', 'AMQ_SCHEDULED_DELAY'])

/** What a header costs in memory beside its text, roughly. */
const HEADER_OVERHEAD = 64

const PREFIX = '/queue/DLQ.'

/** What a dead letter has been through. */
export interface Past {
  readonly origin: string
  readonly firstQueue: string
  readonly firstReason: string
  /** The queues it died in by itself since a client refused it last. */
  readonly path: readonly string[]
  /** It was sent to a topic by itself since then. */
  readonly spread: boolean
}

/** A message that nobody was to have, or could take, on its way to where somebody looks after it. */
export class DeadLetter extends Message {
  readonly past: Past

  private constructor(id: string, message: Message, past: Past) {
    const { destination, headers, body, size, terms, sender } = message
    super(id, destination, new Made(headers, body), size, terms, sender)
    this.past = past
  }

  /** Of a message that died in a queue. */
  static of(
    id: string,
    destination: Destination,
    message: Message,
    queue: string,
    reason: Reason,
    deliveries: number,
  ): DeadLetter {
    const earlier = message instanceof DeadLetter ? message.past : undefined
    const since = isAutomatic(reason) ? earlier : undefined
    const past: Past = {
      origin: earlier?.origin ?? message.destination.shown,
      firstQueue: earlier?.firstQueue ?? bare(queue),
      firstReason: earlier?.firstReason ?? reasons[reason],
      path: isAutomatic(reason) ? [...(since?.path ?? []), queue] : [],
      spread: isAutomatic(reason) && (since?.spread === true || destination.kind === 'topic'),
    }
    const added = [
      ['original-destination', past.origin],
      ['dead-letter-reason', reason],
      ['dead-letter-deliveries', String(deliveries)],
      // Those of RabbitMQ, whose queues are behind an exchange without a name.
      ['x-first-death-exchange', ''],
      ['x-first-death-queue', past.firstQueue],
      ['x-first-death-reason', past.firstReason],
    ] as const
    const headers = new Map(message.headers)
    for (const name of over) headers.delete(name)
    let { size } = message
    for (const [name, value] of added) {
      const before = headers.get(name)
      headers.set(name, value)
      size += value.length - (before?.length ?? -name.length - HEADER_OVERHEAD)
    }
    const terms = { ...message.terms, expires: 0, delay: 0, retain: undefined }
    return new DeadLetter(
      id,
      new Message(id, destination, new Made(headers, message.body), size, terms, message.sender),
      past,
    )
  }

  /** One that was kept, with what it had been through. */
  static again(message: Message, past: Past): DeadLetter {
    return new DeadLetter(message.id, message, past)
  }

  override copy(id: string): DeadLetter {
    return new DeadLetter(id, this, this.past)
  }

  /** Whether it died in the queue already, and nobody did anything since. */
  died(queue: string): boolean {
    return this.past.path.includes(queue)
  }

  /**
   * Whether it would go round, or become more and more, with nobody doing anything, if it died once
   * more: topics copy it to many queues, and it takes that way once.
   */
  goesOn(queue: string, grave: Destination): boolean {
    return this.died(queue) || (this.past.spread && grave.kind === 'topic')
  }
}

/** Whether a message dies of it without anybody doing anything. */
function isAutomatic(reason: Reason): boolean {
  return reason === 'expired' || reason === 'queue-full'
}

/** Whether a message that dies in a queue is not to go on to its grave. */
export function returns(message: Message, queue: string, reason: Reason, grave: Destination): boolean {
  return isAutomatic(reason) && message instanceof DeadLetter && message.goesOn(queue, grave)
}

export function isDeadLetterQueue(queue: string): boolean {
  return queue.startsWith(PREFIX)
}

/** Where the dead letters of a queue go unless it says otherwise. */
export function deadLetterQueue(queue: string): Destination {
  let name = PREFIX + bare(queue)
  const bytes = Buffer.from(name)
  // It must be a name that can be consumed from; what cutting makes of half a character has three bytes.
  if (bytes.length > MAX_DESTINATION) name = bytes.subarray(0, MAX_DESTINATION - 3).toString()
  return { kind: 'queue', name, shown: name, temporary: false }
}

function bare(queue: string): string {
  return queue.replace(/^\/(queue\/)?/, '')
}
