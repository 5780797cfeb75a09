/** Takes lines of an export into a store. */
import { Batch } from './batch.ts'
import { countsRecord, seal, triesRecord } from './counts.ts'
import { StoreError } from './folder.ts'
import { readQueue, writeQueue, type QueueRecord } from './kept.ts'
import { DELAYED, messageKey, queueKey } from './keys.ts'
import { LineError, MAX_LINE, readLine, type Item, type Line } from './line.ts'
import { Draft } from './record.ts'
import { Store, type StoreOptions } from './store.ts'

/** Bytes that are written at a time. */
const FULL = 4 * 1024 * 1024
const LF = 10
const ENOSPC = 28

/** Something that cannot be taken: all before it is in the store. */
export class ImportError extends Error {
  override readonly name = 'ImportError'
}

interface Room {
  readonly number: number
  messages: number
  bytes: number
  last: number
  readonly mark: number
}

export class Import {
  /** What was taken. */
  messages = 0
  queues = 0
  retained = 0
  /** What was left out, because the store retains a message of that topic already. */
  known = 0
  private readonly path: string
  private readonly options: StoreOptions
  /** Opened when the first line is there. */
  private store: Store | undefined
  private batch = new Batch()
  private readonly rooms = new Map<string, Room>()
  private readonly changed = new Set<Room>()
  private readonly topics = new Set<string>()
  private lastQueue = 0
  /** The line that is being read, and those that are on disk. */
  private number = 0
  private written = 0
  /** Those that were there before. */
  private skipped = 0
  private ended = false

  constructor(path: string, options: StoreOptions) {
    this.path = path
    this.options = options
  }

  /**
   * Takes all lines; the first `skip` of them are in the store already. Throws ImportError for a line
   * that cannot be taken, and StoreError where the store cannot be had or written to.
   */
  async take(lines: AsyncIterable<Buffer>, skip: number, progress: () => void): Promise<void> {
    this.skipped = skip
    try {
      for await (const bytes of lines) {
        this.number++
        const line = this.read(bytes)
        this.store ??= await this.open()
        if (this.number > skip) this.apply(line)
        if (this.batch.length >= FULL) await this.write()
        progress()
      }
      await this.write()
    } catch (error) {
      if (!(error instanceof LineError)) throw error
      const { number } = this
      // What stands before it is whole.
      this.number--
      await this.write()
      throw new ImportError(`line ${number}: ${error.message}. ${this.state}`)
    } finally {
      await this.store?.close()
    }
    if (!this.ended)
      throw new ImportError(
        `the input ends behind line ${this.number} without its last line, so the rest of it is missing. ${this.state}`,
      )
  }

  /** What is in the store of what was read. */
  get state(): string {
    const done = Math.max(this.written, this.skipped)
    return done <= 1
      ? 'Nothing was imported.'
      : `The first ${done} lines are in the store; go on behind them with --skip ${done}.`
  }

  private read(bytes: Buffer): Line {
    const line = readLine(bytes)
    if ((line.type === 'store') !== (this.number === 1))
      throw new LineError(
        this.number === 1
          ? 'it must be the beginning of an export: {"type":"store","format":1,"version":"..."}'
          : 'it is the beginning of another export; import that by itself',
      )
    if (this.ended) throw new LineError('it comes behind the end of the export')
    if (line.type === 'end' && line.lines !== this.number - 1)
      throw new LineError(`it says that ${line.lines} lines come before it, and not ${this.number - 1}`)
    return line
  }

  private async open(): Promise<Store> {
    const store = await Store.open(this.path, this.options)
    this.lastQueue = store.lastQueue
    for (const [number, record] of store.queues()) {
      const { messages, bytes, last, mark } = store.counts(number)
      this.rooms.set(readQueue(record).name, { number, messages, bytes, last, mark })
    }
    for (const { key } of store.retained()) this.topics.add(key.toString())
    return store
  }

  private apply(line: Line): void {
    switch (line.type) {
      case 'store':
        return
      case 'queue':
        this.room(line.queue)
        return
      case 'message':
        this.messages++
        return this.add(this.room({ name: line.queue, terms: undefined }), line.item)
      case 'retained':
        return this.retain(line.item)
      case 'end':
        this.ended = true
    }
  }

  private room(queue: QueueRecord): Room {
    let room = this.rooms.get(queue.name)
    if (room === undefined) {
      room = { number: ++this.lastQueue, messages: 0, bytes: 0, last: 0, mark: 0 }
      this.rooms.set(queue.name, room)
      this.queues++
      this.batch.putBytes('queues', queueKey(room.number), seal(writeQueue(queue)))
      this.changed.add(room)
    }
    return room
  }

  private add(room: Room, { message, due, until, deliveries, refusals }: Item): void {
    const key = ++room.last
    const place = messageKey(room.number, due > 0 ? key + DELAYED : key)
    room.messages++
    room.bytes += message.size
    this.changed.add(room)
    this.batch.put('messages', place, new Draft(message, due, until))
    if (deliveries > 0 || refusals > 0)
      this.batch.putBytes('attempts', place, triesRecord({ attempt: deliveries + 1, refusals }))
  }

  private retain({ message }: Item): void {
    const { name } = message.destination
    if (this.topics.has(name)) {
      this.known++
      return
    }
    this.topics.add(name)
    this.retained++
    this.batch.put('retained', Buffer.from(name), new Draft(message, 0, 0))
  }

  private async write(): Promise<void> {
    const { store, batch, changed } = this
    if (store !== undefined && batch.length > 0) {
      for (const room of changed) batch.putBytes('counts', queueKey(room.number), countsRecord(room))
      changed.clear()
      const { memory, error } = await store.write(batch.memory, batch.length)
      if (error !== undefined) {
        const why = error.code === ENOSPC ? 'its disk is full' : error.message
        throw new StoreError(`Nothing more can be written to ${this.path}: ${why}. ${this.state}`)
      }
      this.batch = new Batch(memory)
    }
    this.written = this.number
  }
}

/** Parts what is read at each end of a line. */
export async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let parts: Buffer[] = []
  let length = 0
  for await (const chunk of input) {
    let start = 0
    for (;;) {
      const end = chunk.indexOf(LF, start)
      if (end === -1) break
      parts.push(chunk.subarray(start, end))
      yield parts.length === 1 ? chunk.subarray(start, end) : Buffer.concat(parts)
      parts = []
      length = 0
      start = end + 1
    }
    parts.push(chunk.subarray(start))
    length += chunk.length - start
    // Something else than lines: whoever reads them says so.
    if (length > MAX_LINE) break
  }
  if (length > 0) yield Buffer.concat(parts)
}
