import type { Message } from '../model/message.ts'
import type { Lenient } from './leniency.ts'

interface Waiting {
  message: Message
  next: Waiting | undefined
}

/** What a subscription has not been sent yet because its client reads too slowly, oldest first. */
export class Lag {
  count = 0
  bytes = 0
  private first: Waiting | undefined
  private last: Waiting | undefined
  /** Of destinations of which the newest message alone is kept. */
  private latest: Map<string, Waiting> | undefined

  /** True when it took the place of an older one: so a destination that speaks often is not last forever. */
  put(message: Message, policy: Lenient): boolean {
    this.bytes += message.size
    const { name } = message.destination
    const older = policy === 'keep-latest' ? this.latest?.get(name) : undefined
    if (older !== undefined) {
      this.bytes -= older.message.size
      older.message = message
      return true
    }
    const waiting: Waiting = { message, next: undefined }
    if (policy === 'keep-latest') {
      this.latest ??= new Map()
      this.latest.set(name, waiting)
    }
    if (this.last === undefined) this.first = waiting
    else this.last.next = waiting
    this.last = waiting
    this.count++
    return false
  }

  shift(): Message | undefined {
    const waiting = this.first
    if (waiting === undefined) return undefined
    const { message, next } = waiting
    this.first = next
    if (next === undefined) this.last = undefined
    this.latest?.delete(message.destination.name)
    this.count--
    this.bytes -= message.size
    return message
  }
}
