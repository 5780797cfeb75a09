import type { Message, Op } from '../model/message.ts'
import { StompError } from '../protocol/errors.ts'
import { copy } from '../protocol/text.ts'
import { matchesInterest, type Interest } from '../protocol/pattern.ts'

/** The last message of each topic whose senders asked for that. */
export class Retained {
  private readonly messages = new Map<string, Message>()
  private readonly maxMessages: number
  private readonly maxBytes: number
  private bytes = 0

  constructor(maxMessages: number, maxBytes: number) {
    this.maxMessages = maxMessages
    this.maxBytes = maxBytes
  }

  /** Throws where `ops` retain more than there is room for. */
  check(ops: readonly Op[]): void {
    if (this.lacking(ops) === undefined) return
    this.sweep()
    const lacking = this.lacking(ops)
    if (lacking !== undefined) throw new StompError('retained-limit', lacking)
  }

  /** What a topic message asks for; false if there is no room for it. */
  apply(message: Message): boolean {
    const { name } = message.destination
    const before = this.messages.get(name)
    if (message.terms.retain === 'remove') {
      this.messages.delete(name)
      this.bytes -= before?.size ?? 0
      return true
    }
    const added = before === undefined ? 1 : 0
    const bytes = this.bytes + message.size - (before?.size ?? 0)
    if (this.messages.size + added > this.maxMessages || bytes > this.maxBytes) return false
    // In the place of the one before it, and a copy: what is kept is not to keep what others rendered.
    this.messages.set(before === undefined ? copy(name) : name, message.copy(message.id))
    this.bytes = bytes
    return true
  }

  /** The topic that was first to retain first; copies, for the reason above. */
  match(interest: Interest): readonly Message[] {
    const now = Date.now()
    if (typeof interest === 'string') {
      const message = this.messages.get(interest)
      return message === undefined || hasExpired(message, now) ? [] : [message.copy(message.id)]
    }
    const matching: Message[] = []
    for (const [name, message] of this.messages) {
      if (hasExpired(message, now) || !matchesInterest(interest, name)) continue
      matching.push(message.copy(message.id))
    }
    return matching
  }

  private sweep(): void {
    const now = Date.now()
    for (const [name, message] of this.messages) {
      if (!hasExpired(message, now)) continue
      this.messages.delete(name)
      this.bytes -= message.size
    }
  }

  /** What there is too little of for `ops`. */
  private lacking(ops: readonly Op[]): string | undefined {
    let count = this.messages.size
    let { bytes } = this
    // What the ops before it leave of a topic.
    const sizes = new Map<string, number | undefined>()
    for (const op of ops) {
      if (op.type !== 'send') continue
      const { destination, terms, size } = op.message
      if (destination.kind !== 'topic' || terms.retain === undefined || terms.delay > 0) continue
      const { name } = destination
      const before = sizes.has(name) ? sizes.get(name) : this.messages.get(name)?.size
      const after = terms.retain === 'set' ? size : undefined
      if (before !== undefined) count--
      if (after !== undefined) count++
      bytes += (after ?? 0) - (before ?? 0)
      sizes.set(name, after)
      if (count > this.maxMessages) {
        return `${this.maxMessages} topics retain a message (limit max-retained); send retain:remove to one first.`
      }
      if (bytes > this.maxBytes) {
        return `There is no room to retain ${size} more bytes (limit max-queue-bytes, ${this.maxBytes}); send retain:remove to a topic first.`
      }
    }
    return undefined
  }
}

export function hasExpired({ terms }: Message, now = Date.now()): boolean {
  return terms.expires !== 0 && terms.expires <= now
}
