import type { Op } from '../model/message.ts'
import { Heap } from './heap.ts'

/** Messages and bytes. */
export interface Load {
  messages: number
  bytes: number
}

/** What a batch brings to each queue. */
export type Loads = ReadonlyMap<string, Readonly<Load>>

/** A batch whose sender waits for room. */
export class Waiting {
  readonly ops: readonly Op[]
  readonly loads: Loads
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
  /** The queues in whose lines it stands. */
  readonly lines = new Set<string>()
  /** Its place in each of them. */
  order = 0

  constructor(ops: readonly Op[], loads: Loads, resolve: () => void, reject: (error: unknown) => void) {
    this.ops = ops
    this.loads = loads
    this.resolve = resolve
    this.reject = reject
  }
}

/**
 * Senders that wait, in a line for each full queue of their batch. They stand in the order they
 * came, in all lines alike, so whoever came first is the first wherever it waits.
 */
export class Senders {
  private readonly lines = new Map<string, Line>()
  private order = 0

  /** How many queues are waited for. */
  get size(): number {
    return this.lines.size
  }

  has(queue: string): boolean {
    return this.lines.has(queue)
  }

  /** What waits for a queue. */
  load(queue: string): Readonly<Load> {
    return this.lines.get(queue)?.load ?? nothing
  }

  join(waiting: Waiting, queue: string): void {
    if (waiting.lines.has(queue)) return
    waiting.order ||= ++this.order
    waiting.lines.add(queue)
    let line = this.lines.get(queue)
    if (line === undefined) this.lines.set(queue, (line = new Line()))
    line.batches.push(waiting)
    const { messages, bytes } = waiting.loads.get(queue) ?? nothing
    line.load.messages += messages
    line.load.bytes += bytes
  }

  /** The first in the line for a queue, if it is the first wherever it waits. */
  first(queue: string): Waiting | undefined {
    const waiting = this.lines.get(queue)?.batches.peek()
    if (waiting === undefined) return undefined
    for (const other of waiting.lines) if (this.lines.get(other)?.batches.peek() !== waiting) return undefined
    return waiting
  }

  /** It is the first wherever it waits, and waits no more. */
  leave(waiting: Waiting): void {
    for (const queue of waiting.lines) {
      const line = this.lines.get(queue)
      if (line === undefined) continue
      line.batches.shift()
      const { messages, bytes } = waiting.loads.get(queue) ?? nothing
      line.load.messages -= messages
      line.load.bytes -= bytes
      if (line.batches.length === 0) this.lines.delete(queue)
    }
  }

  close(error: Error): void {
    const all = new Set<Waiting>()
    for (const { batches } of this.lines.values()) for (const waiting of batches.list()) all.add(waiting)
    this.lines.clear()
    for (const { reject } of all) reject(error)
  }
}

class Line {
  readonly batches = new Heap<Waiting>((one, other) => one.order < other.order)
  readonly load: Load = { messages: 0, bytes: 0 }
}

const nothing: Readonly<Load> = { messages: 0, bytes: 0 }
