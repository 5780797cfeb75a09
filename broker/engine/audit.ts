/** Looks through all of a store's file. */
import { contentOf, readCounts, readTries, type Counts, type Tries } from './counts.ts'
import type { DataFile, DataRecord } from './datafile.ts'
import { readQueue, type QueueRecord } from './kept.ts'
import { DELAYED, messageOf, queueOf } from './keys.ts'
import { isIntact, sizeOf } from './record.ts'

/** Damages that are told of one by one. */
const EXAMPLES = 5
/** Bytes of the keys of queues and of messages. */
const QUEUE_KEY = 4
const MESSAGE_KEY = 10

/** A queue as it was found. */
export interface Found {
  readonly number: number
  /** Undefined where it cannot be read. */
  readonly record: QueueRecord | undefined
  readonly counts: Counts | undefined
  messages: number
  bytes: number
  /** Of them, those that wait for their time. */
  delayed: number
}

/** A message as it lies on disk, not damaged. */
export interface Laid {
  readonly queue: Found
  readonly key: number
  readonly record: Buffer
  readonly tries: Tries | undefined
}

export class Audit {
  readonly queues = new Map<number, Found>()
  /** What is wrong, a few examples of it. */
  readonly damages: string[] = []
  /** How many there are. */
  damaged = 0
  /** Records that were looked at. */
  records = 0
  retained = 0
  /** Messages that are not damaged, those of queues that have ended included. */
  private intact = 0
  private readonly file: DataFile
  /** Queues that have ended: what is left of their messages is on its way out. */
  private readonly ended = new Set<number>()

  constructor(file: DataFile) {
    this.file = file
  }

  readonly complain = (what: string): void => {
    this.damaged++
    if (this.damages.length < EXAMPLES) this.damages.push(what)
  }

  /** All there is to see. How many messages are missing, if that is known. */
  run(progress?: (records: number) => void): number | undefined {
    this.readQueues()
    for (const _ of this.messages()) progress?.(this.records)
    for (const _ of this.retainedMessages()) progress?.(this.records)
    return this.finish()
  }

  /** What there is of queues; comes first. */
  readQueues(): void {
    const counts = new Map<number, Counts>()
    for (const { key, value } of this.sealed('counts', QUEUE_KEY)) counts.set(queueOf(key), readCounts(value))
    for (const { key, value } of this.sealed('queues', QUEUE_KEY))
      this.queue(queueOf(key), readQueue(value), counts.get(queueOf(key)))
    for (const [number, counted] of counts)
      if (counted.messages > 0 && !this.ended.has(number)) this.queue(number, undefined, counted)
  }

  /** All messages that are not damaged, queue by queue, in order. */
  *messages(): Generator<Laid, void, void> {
    const notes = this.sealed('attempts', MESSAGE_KEY)
    let note = notes.next()
    for (const { key, value } of this.file.records('messages', this.complain)) {
      this.records++
      if (!this.check('messages', key, value)) continue
      this.intact++
      const number = queueOf(key)
      if (this.ended.has(number)) continue
      while (!note.done && Buffer.compare(note.value.key, key) < 0) note = notes.next()
      const tries = !note.done && note.value.key.equals(key) ? readTries(note.value.value) : undefined
      const queue = this.queue(number, undefined, undefined)
      const place = messageOf(key)
      queue.messages++
      queue.bytes += sizeOf(value)
      if (place >= DELAYED) queue.delayed++
      yield { queue, key: place, record: value, tries }
    }
    // Those that are left are to be looked at as well.
    while (!note.done) note = notes.next()
  }

  *retainedMessages(): Generator<DataRecord, void, void> {
    for (const record of this.file.records('retained', this.complain)) {
      this.records++
      if (!this.check('retained', record.key, record.value)) continue
      this.retained++
      yield record
    }
  }

  /** Compares what was found with what should be there; comes last. How many messages are missing, if that is known. */
  finish(): number | undefined {
    let expected = 0
    let found = 0
    for (const { number, record, counts, messages, bytes } of this.queues.values()) {
      const name = record === undefined ? `queue ${number}` : record.name || 'what waits for its time'
      if (record === undefined)
        this.complain(`the name of ${name} cannot be read, which has ${messages} messages`)
      found += messages
      expected += counts?.messages ?? 0
      if (counts === undefined) this.complain(`it cannot be read how many messages ${name} should have`)
      else if (messages !== counts.messages || bytes !== counts.bytes)
        this.complain(
          `${name} has ${messages} messages of ${bytes} bytes, and should have ${counts.messages} of ${counts.bytes}`,
        )
    }
    const { file, intact, retained } = this
    const entries = file.entries('messages')
    if (entries === undefined) return undefined
    return Math.max(expected - found, entries - intact, 0) + (file.entries('retained') ?? 0) - retained
  }

  private *sealed(
    table: 'queues' | 'counts' | 'attempts',
    keyLength: number,
  ): Generator<DataRecord, void, void> {
    for (const { key, value } of this.file.records(table, this.complain)) {
      this.records++
      if (table === 'queues' && value.length === 0 && key.length === keyLength) {
        this.ended.add(queueOf(key))
        continue
      }
      const content = key.length === keyLength ? contentOf(value) : undefined
      if (content !== undefined) yield { key, value: content }
      else this.complain(`the record ${key.toString('hex')} of ${table} is not what was written`)
    }
  }

  private check(table: 'messages' | 'retained', key: Buffer, value: Buffer): boolean {
    if ((table === 'retained' || key.length === MESSAGE_KEY) && isIntact(value)) return true
    this.complain(`the record ${key.toString('hex')} of ${table} is not what was written`)
    return false
  }

  private queue(number: number, record: QueueRecord | undefined, counts: Counts | undefined): Found {
    let queue = this.queues.get(number)
    if (queue === undefined)
      this.queues.set(number, (queue = { number, record, counts, messages: 0, bytes: 0, delayed: 0 }))
    return queue
  }
}
