import type { Message } from '../model/message.ts'
import { StompError } from '../protocol/errors.ts'
import type { Damaged, Late } from './backlog.ts'
import { Batch } from './batch.ts'
import { countsRecord, seal, triesRecord } from './counts.ts'
import { DELAYED, messageKey, queueKey } from './keys.ts'
import { Draft, readRecord, RecordError, sizeOf } from './record.ts'
import { Shelf } from './shelf.ts'
import { RESERVE, Space } from './space.ts'
import type { WriteError } from './writer.ts'
import type { Store } from './store.ts'

/** Milliseconds before what could not be written is tried again. */
const RETRY = 1_000
/** Bytes to be written from which on senders are read no further. */
const CROWDED = 32 * 1024 * 1024
/** What was written and is applied in a turn of the event loop, before everybody else gets theirs. */
const APPLIED_A_TURN = 512
/** Free bytes below which a disk counts as full. */
const SCARCE = 1024 * 1024
const ENOSPC = 28
/** Bytes of messages that are to have gone from a full disk before others take their pages. */
const CLEARED = 2 * 1024 * 1024

/**
 * What is to be done when something is on disk. Jobs are done in the order in which they were
 * given. One that can be refused is, if its part cannot be written; any other is tried until it can.
 */
interface Job {
  readonly apply: () => void
  readonly refuse: ((error: StompError) => void) | undefined
  /** Where its part of the batch lies. */
  readonly from: number
  readonly to: number
  /** What its part makes of the counts of queues. */
  readonly changes: readonly Change[]
}

interface Change {
  readonly shelf: Shelf
  readonly messages: number
  readonly bytes: number
}

/** What is written of a queue with a batch: as it was when the batch was closed, whatever was said since. */
interface Standing {
  messages: number
  bytes: number
  readonly last: number
  readonly mark: number
  /** What is to be said of the queue itself. */
  readonly record: Buffer | undefined
}

type Standings = ReadonlyMap<Shelf, Standing>

/**
 * Everything that is to be on disk, written in the order in which it was said: what comes while a
 * batch is being written goes into the next one, so that one wait for the disk serves many senders.
 */
export class Journal {
  readonly store: Store
  /** Bytes that are being written. */
  private taken = 0
  private batch = new Batch()
  private jobs: Job[] = []
  /** Of the job that is being written. */
  private changes: Change[] | undefined
  private readonly dirty = new Set<Shelf>()
  /** Of queues that are to be described. That is no part of a job: others rely on it. */
  private readonly records = new Map<Shelf, Buffer>()
  private spare: Buffer | undefined
  private writing = false
  private planned = false
  private retry: NodeJS.Timeout | undefined
  /** Done by the disk, and not by us yet. */
  private ready: Job[] = []
  private applying = false
  private queues: number
  private failure: StompError | undefined
  private readonly space: Space
  /** Bytes of all messages. */
  private bytes = 0
  /** The disk was full, when there were so many of them. */
  private full: { readonly reason: StompError; readonly bytes: number } | undefined
  private flushing: Promise<void> | undefined
  private closed = false
  private readonly idle: (() => void)[] = []
  private readonly warn: (text: string) => void

  constructor(store: Store, warn: (text: string) => void) {
    this.store = store
    this.warn = warn
    this.queues = store.lastQueue
    this.space = new Space(store.folder.path)
    this.space.keep()
  }

  /** Senders are to wait. */
  get crowded(): boolean {
    return this.taken + this.batch.length > CROWDED
  }

  /** Why nothing can be written at present; undefined nearly always. */
  get failing(): StompError | undefined {
    return this.failure
  }

  /**
   * Why so many bytes of messages are not taken, without trying: on a disk that was full what is
   * left is for acks, until there is room again or enough of them have made some.
   */
  refusal(bytes: number): StompError | undefined {
    if (this.failure !== undefined || this.full === undefined) return this.failure
    if (this.space.free < 2 * (RESERVE + bytes))
      return this.bytes + bytes + CLEARED > this.full.bytes ? this.full.reason : undefined
    this.full = undefined
    this.space.keep()
    this.warn(`There is room again on the disk of ${this.store.folder.path}.`)
    return undefined
  }

  /** A job: what it writes, what it does when that is on disk, and what else if it never will be. */
  submit(write: () => void, apply: () => void, refuse?: (error: StompError) => void): void {
    const from = this.batch.length
    const changes: Change[] = []
    this.changes = changes
    write()
    this.changes = undefined
    this.jobs.push({ apply, refuse, from, to: this.batch.length, changes })
    this.plan()
  }

  // --- what can be written --------------------------------------------------------------------

  /** A queue that has something on disk from now on. */
  shelve(record: Buffer): Shelf {
    const shelf = new Shelf(this, ++this.queues)
    this.describe(shelf, record)
    return shelf
  }

  /** One that was there before. */
  shelfAt(number: number): Shelf {
    const shelf = new Shelf(this, number, this.store.counts(number))
    this.bytes += shelf.bytes
    return shelf
  }

  /** The messages of a queue that wait for their time. */
  *delayed(shelf: Shelf): Generator<Late | Damaged, void, void> {
    const { store } = this
    const tries = store.tries(shelf.number, DELAYED, 2 * DELAYED - 2)
    for (const [key, record] of store.messages(shelf.number, DELAYED, 2 * DELAYED - 1, Infinity)) {
      try {
        const { message, due, until } = readRecord(record)
        yield { key, message, due, until, tries: tries.get(key) }
      } catch (error) {
        if (!(error instanceof RecordError)) throw error
        yield { key, size: sizeOf(record), reason: error }
      }
    }
  }

  describe(shelf: Shelf, record: Buffer): void {
    this.records.set(shelf, seal(record))
    this.touch(shelf)
  }

  /** Ends a queue with all it has. */
  bury(shelf: Shelf): void {
    const key = queueKey(shelf.number)
    shelf.buried = true
    this.bytes -= shelf.bytes
    this.dirty.delete(shelf)
    this.records.delete(shelf)
    this.batch.remove('counts', key)
    if (shelf.messages > 0) this.batch.bury(key)
    else this.batch.remove('queues', key)
    this.plan()
  }

  /** The key of the message. When its time comes, and when it expires in the queue: milliseconds since the epoch, or 0. */
  append(shelf: Shelf, message: Message, due: number, until: number): number {
    const key = shelf.last + 1
    shelf.last = key
    const place = due > 0 ? key + DELAYED : key
    this.batch.put('messages', messageKey(shelf.number, place), new Draft(message, due, until))
    this.change(shelf, 1, message.size)
    return place
  }

  remove(shelf: Shelf, key: number, size: number, tried: boolean): void {
    if (shelf.buried) return
    const place = messageKey(shelf.number, key)
    this.batch.remove('messages', place)
    if (tried) this.batch.remove('attempts', place)
    this.change(shelf, -1, -size)
  }

  tries(shelf: Shelf, key: number, attempt: number, refusals: number): void {
    if (shelf.buried) return
    this.batch.putBytes('attempts', messageKey(shelf.number, key), triesRecord({ attempt, refusals }))
    this.plan()
  }

  retain(topic: string, message: Message | undefined): void {
    const key = Buffer.from(topic)
    if (message === undefined) this.batch.remove('retained', key)
    else this.batch.put('retained', key, new Draft(message, 0, 0))
    this.plan()
  }

  /** Its counts have changed. */
  touch(shelf: Shelf): void {
    if (shelf.buried) return
    this.dirty.add(shelf)
    this.plan()
  }

  private change(shelf: Shelf, messages: number, bytes: number): void {
    shelf.change(messages, bytes)
    this.bytes += bytes
    this.changes?.push({ shelf, messages, bytes })
    this.touch(shelf)
  }

  // --- writing --------------------------------------------------------------------------------

  /** Resolves once everything said until now is on disk and done; rejects if it cannot be written at present. */
  settled(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.submit(
        () => {},
        resolve,
        (error) => reject(error),
      )
    })
  }

  /** Writes and does all that is left, and what `last` still says, unless nothing can be written. */
  async close(last: () => void): Promise<void> {
    await this.rested()
    if (this.failure !== undefined) await this.tryNow()
    if (this.failure === undefined) last()
    await this.rested()
    this.closed = true
    clearTimeout(this.retry)
    const { failure } = this
    if (failure !== undefined)
      this.warn(`What was acked last could not be written and comes again: ${failure.message}`)
    await this.store.close(failure === undefined)
  }

  /** Resolves when nothing is left to be written or done, or nothing can be. */
  async rested(): Promise<void> {
    while (this.busy && this.failure === undefined) {
      await new Promise<void>((resolve) => {
        this.idle.push(resolve)
        this.plan()
      })
    }
  }

  private get busy(): boolean {
    return (
      this.writing ||
      this.planned ||
      this.applying ||
      this.batch.length > 0 ||
      this.dirty.size > 0 ||
      this.jobs.length > 0
    )
  }

  private plan(): void {
    if (this.planned || this.writing || this.retry !== undefined || this.closed) return
    this.planned = true
    setImmediate(() => {
      this.planned = false
      this.flushing = this.flush()
    })
  }

  /** Once more what could not be written. */
  private async tryNow(): Promise<void> {
    await this.flushing
    if (this.failure !== undefined) {
      clearTimeout(this.retry)
      this.retry = undefined
      await this.flush()
    }
    await this.rested()
  }

  private async flush(): Promise<void> {
    const { batch, jobs } = this
    const standings = this.takeStandings()
    this.batch = new Batch(this.spare)
    this.spare = undefined
    this.jobs = []
    this.writing = true
    await this.write(batch, jobs, standings)
    this.writing = false
    this.taken = 0
    if (this.retry !== undefined) return
    if (this.batch.length > 0 || this.jobs.length > 0 || this.dirty.size > 0) this.plan()
    else this.rest()
  }

  private takeStandings(): Standings {
    const standings = new Map<Shelf, Standing>()
    for (const shelf of this.dirty) {
      const { messages, bytes, last, mark } = shelf
      standings.set(shelf, { messages, bytes, last, mark, record: this.records.get(shelf) })
    }
    this.dirty.clear()
    this.records.clear()
    return standings
  }

  private async write(batch: Batch, jobs: readonly Job[], standings: Standings): Promise<void> {
    const ops = batch.length
    for (const [shelf, standing] of standings) {
      const key = queueKey(shelf.number)
      if (standing.record !== undefined) batch.putBytes('queues', key, standing.record)
      batch.putBytes('counts', key, countsRecord(standing))
    }
    this.taken = batch.length
    if (batch.length > 0) {
      const { memory, error } = await this.store.write(batch.memory, batch.length)
      if (error !== undefined) return this.undo(memory.subarray(0, ops), jobs, standings, error)
      this.spare = memory
    }
    this.recover()
    for (const [shelf, { mark }] of standings) shelf.assure(mark)
    this.do(jobs)
  }

  /** Nothing of a batch is on disk: what can be refused is, and the rest is written without it. */
  private undo(
    ops: Buffer,
    jobs: readonly Job[],
    standings: Standings,
    error: WriteError,
  ): void | Promise<void> {
    const isFull = error.code === ENOSPC || this.space.free < SCARCE
    const reason = explain(error, isFull)
    // One that writes nothing only waits for the others.
    const refused = jobs.filter(({ refuse, from, to }) => refuse !== undefined && to > from)
    if (refused.length === 0) {
      if (!isFull || !this.space.spend()) return this.fail(ops, jobs, standings, reason)
      const again = new Batch()
      again.copy(ops)
      return this.write(again, jobs, standings)
    }
    const rest = new Batch()
    const moved: Job[] = []
    let at = 0
    for (const job of jobs) {
      rest.copy(ops.subarray(at, job.from))
      at = job.to
      if (job.refuse === undefined || job.from === job.to) {
        const from = rest.length
        rest.copy(ops.subarray(job.from, job.to))
        moved.push({ ...job, from, to: rest.length })
        continue
      }
      for (const { shelf, messages, bytes } of job.changes) {
        shelf.change(-messages, -bytes)
        if (!shelf.buried) this.bytes -= bytes
        const standing = standings.get(shelf)
        if (standing === undefined) continue
        standing.messages -= messages
        standing.bytes -= bytes
      }
    }
    rest.copy(ops.subarray(at))
    if (isFull && this.full === undefined) {
      this.full = { reason, bytes: this.bytes }
      this.warn(
        `The disk of ${this.store.folder.path} is full; what is to be kept is refused until there is room.`,
      )
    }
    this.do(refused.map((job) => ({ ...job, apply: () => job.refuse?.(reason) })))
    return this.write(rest, moved, standings)
  }

  /** Not even what makes room can be written: it is tried again, before all that came since. */
  private fail(ops: Buffer, jobs: readonly Job[], standings: Standings, reason: StompError): void {
    if (this.failure === undefined)
      this.warn(`Nothing can be written to ${this.store.folder.path}: ${reason.message}`)
    this.failure = reason
    const { batch, jobs: later } = this
    const all = new Batch()
    all.copy(ops)
    all.copy(batch.memory.subarray(0, batch.length))
    this.batch = all
    this.jobs = [
      ...jobs.filter(({ refuse }) => refuse === undefined),
      ...later.map((job) => ({ ...job, from: job.from + ops.length, to: job.to + ops.length })),
    ]
    for (const [shelf, { record }] of standings) {
      if (shelf.buried) continue
      this.dirty.add(shelf)
      if (record !== undefined && !this.records.has(shelf)) this.records.set(shelf, record)
    }
    this.retry = setTimeout(() => {
      this.retry = undefined
      this.plan()
    }, RETRY).unref()
    this.do(
      jobs
        .filter(({ refuse }) => refuse !== undefined)
        .map((job) => ({ ...job, apply: () => job.refuse?.(reason) })),
    )
    // Better a message that comes again without a word than none.
    for (const shelf of Array.from(this.dirty)) shelf.whenSafe?.()
    this.rest()
  }

  private recover(): void {
    if (this.failure === undefined) return
    this.failure = undefined
    if (this.space.free > 2 * RESERVE) this.space.keep()
    this.warn(`${this.store.folder.path} can be written to again.`)
  }

  private rest(): void {
    if (this.failure === undefined && this.busy) return
    for (const resolve of this.idle.splice(0)) resolve()
  }

  private do(jobs: readonly Job[]): void {
    for (const job of jobs) this.ready.push(job)
    if (!this.applying && this.ready.length > 0) this.work()
  }

  private work(): void {
    this.applying = true
    const now = this.ready.splice(0, APPLIED_A_TURN)
    for (const { apply } of now) apply()
    if (this.ready.length > 0) {
      setImmediate(() => this.work())
      return
    }
    this.applying = false
    this.rest()
  }
}

function explain({ message }: WriteError, isFull: boolean): StompError {
  const why = isFull ? 'its disk is full' : message
  return new StompError(
    'store-full',
    `The broker cannot keep the message, because ${why}; it was not taken. Send it again later.`,
    isFull ? undefined : message,
  )
}
