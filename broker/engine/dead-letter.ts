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
const past: ReadonlySet<string> = new Set(['expires', 'expiration', 'ttl', 'x-delay', 'AMQ_SCHEDULED_DELAY'])

/** What a header costs in memory beside its text, roughly. */
const HEADER_OVERHEAD = 64

const PREFIX = '/queue/DLQ.'

/** A message that nobody was to have, or could take, on its way to where somebody looks after it. */
export class DeadLetter extends Message {
  private readonly origin: string
  private readonly firstQueue: string
  private readonly firstReason: string
  /** The queues it left since a client refused it last. */
  readonly path: readonly string[]

  constructor(
    id: string,
    destination: Destination,
    message: Message,
    queue: string,
    reason: Reason,
    deliveries: number,
  ) {
    const earlier = message instanceof DeadLetter ? message : undefined
    const origin = earlier?.origin ?? message.destination.shown
    const firstQueue = earlier?.firstQueue ?? bare(queue)
    const firstReason = earlier?.firstReason ?? reasons[reason]
    const added = [
      ['original-destination', origin],
      ['dead-letter-reason', reason],
      ['dead-letter-deliveries', String(deliveries)],
      // Those of RabbitMQ, whose queues are behind an exchange without a name.
      ['x-first-death-exchange', ''],
      ['x-first-death-queue', firstQueue],
      ['x-first-death-reason', firstReason],
    ] as const
    const headers = new Map(message.headers)
    for (const name of past) headers.delete(name)
    let { size } = message
    for (const [name, value] of added) {
      headers.set(name, value)
      size += name.length + value.length + HEADER_OVERHEAD
    }
    const terms = { ...message.terms, expires: 0, delay: 0, retain: undefined }
    super(id, destination, headers, message.body, size, terms)
    this.origin = origin
    this.firstQueue = firstQueue
    this.firstReason = firstReason
    this.path = [...(isAutomatic(reason) ? (earlier?.path ?? []) : []), queue]
  }
}

/** Whether it can go round in circles without anybody doing anything. */
function isAutomatic(reason: Reason): boolean {
  return reason === 'expired' || reason === 'queue-full'
}

/** Whether the message came round in a circle. */
export function returns(message: Message, queue: string, reason: Reason): boolean {
  return isAutomatic(reason) && message instanceof DeadLetter && message.path.includes(queue)
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
