/** The embedded store: an LMDB environment that one thread writes and the broker's own thread reads. */
import { crc32 } from 'node:zlib'
import type { Database, RootDatabase } from 'lmdb'
import { Folder, StoreError } from './folder.ts'
import { endKey, messageKey, messageOf, queueKey, queueOf } from './keys.ts'
import { damaged, survey } from './survey.ts'
import { ENVIRONMENT, TABLES, Writer, WriteError, type Written } from './writer.ts'

/** Milliseconds the files may be looked through before a start that follows a crash. */
const PATIENCE = 5_000

type Table = Database<Buffer, Buffer>
export type TableName = (typeof TABLES)[number]

/** What a queue has on disk. */
export interface Counts {
  readonly messages: number
  readonly bytes: number
  /** No message has had a higher key. */
  readonly last: number
  /** Up to this key messages may have been handed out before. */
  readonly mark: number
}

/** How often a message was handed out and refused. */
export interface Tries {
  readonly attempt: number
  readonly refusals: number
}

export interface StoreOptions {
  /** Of the broker. */
  readonly version: string
  readonly warn: (text: string) => void
}

const OTHER = 'data.mdb is that of another store'
const CRC_END = 4
const COUNTS = CRC_END + 4 * 8

export class Store {
  readonly folder: Folder
  /** Whether it was closed properly, or is new. */
  readonly clean: boolean
  private readonly root: RootDatabase<Buffer, Buffer>
  private readonly tables: Record<TableName, Table>
  private readonly writer: Writer

  private constructor(
    folder: Folder,
    clean: boolean,
    root: RootDatabase<Buffer, Buffer>,
    tables: Record<TableName, Table>,
    writer: Writer,
  ) {
    this.folder = folder
    this.clean = clean
    this.root = root
    this.tables = tables
    this.writer = writer
  }

  /** Throws StoreError with a sentence that says what to do. */
  static async open(path: string, { version, warn }: StoreOptions, make = true): Promise<Store> {
    const lmdb = await load()
    const folder = await Folder.take(path, version, make)
    let root: RootDatabase<Buffer, Buffer> | undefined
    try {
      const clean = folder.fresh || folder.untouched
      if (folder.fresh) folder.begin()
      else if (!clean) await check(folder, warn)
      const opened = (root = lmdb.open<Buffer, Buffer>({ path, ...ENVIRONMENT }))
      const tables = Object.fromEntries(
        TABLES.map((name) => [name, opened.openDB<Buffer, Buffer>(name, ENVIRONMENT)]),
      ) as Record<TableName, Table>
      identify(folder, tables.notes)
      const buried = [...tables.queues.getRange({ snapshot: false })].filter(
        ({ value }) => value.length === 0,
      )
      const writer = new Writer(
        path,
        buried.map(({ key }) => queueOf(key)),
      )
      await writer.open()
      return new Store(folder, clean, opened, tables, writer)
    } catch (error) {
      await root?.close()
      await folder.leave()
      if (error instanceof StoreError) throw error
      throw explain(folder, error as NodeJS.ErrnoException)
    }
  }

  /** See `Writer.write`. */
  async write(memory: Buffer, length: number): Promise<Written> {
    // What is written to a file that nobody will find is lost, and is not to be promised.
    if (!this.folder.intact)
      return { memory, error: new WriteError('its files have been taken away or replaced') }
    const written = await this.writer.write(memory, length)
    this.root.resetReadTxn()
    return written
  }

  /** To be called when nothing is being written. `complete`: nothing is left to be written either. */
  async close(complete = true): Promise<void> {
    await this.writer.close()
    await this.root.close()
    await (complete ? this.folder.release() : this.folder.abandon())
  }

  /** Bytes of what is in it, and of its file, which does not shrink by itself. */
  get bytes(): { readonly live: number; readonly file: number } {
    let pages = 0
    for (const table of Object.values(this.tables)) {
      const { treeBranchPageCount, treeLeafPageCount, overflowPages } = table.getStats() as Record<
        string,
        number
      >
      pages += (treeBranchPageCount ?? 0) + (treeLeafPageCount ?? 0) + (overflowPages ?? 0)
    }
    const { pageSize = 4096 } = this.tables.messages.getStats() as Record<string, number>
    return { live: pages * pageSize, file: this.folder.fileBytes }
  }

  /** The records of queues, by number. */
  *queues(): Generator<readonly [number, Buffer], void, void> {
    for (const { key, value } of this.tables.queues.getRange({ snapshot: false })) {
      if (value.length > 0) yield [queueOf(key), unseal(value, this.folder.path)]
    }
  }

  /** The highest number a queue has had, that is still known. */
  get lastQueue(): number {
    for (const key of this.tables.queues.getKeys({ reverse: true, limit: 1 })) return queueOf(key)
    return 0
  }

  counts(queue: number): Counts {
    const value = this.tables.counts.get(queueKey(queue))
    if (value === undefined) return { messages: 0, bytes: 0, last: 0, mark: 0 }
    const sealed = unseal(value, this.folder.path)
    const [messages, bytes, last, mark] = [0, 8, 16, 24].map((at) => sealed.readDoubleLE(at))
    return { messages, bytes, last, mark } as Counts // there are four
  }

  retained(): Iterable<{ key: Buffer; value: Buffer }> {
    return this.tables.retained.getRange({ snapshot: false })
  }

  message(queue: number, key: number): Buffer | undefined {
    return this.tables.messages.get(messageKey(queue, key))
  }

  /** The messages of a queue from one key up to, and without, another, in order. */
  *messages(
    queue: number,
    from: number,
    to: number,
    limit: number,
  ): Generator<readonly [number, Buffer], void, void> {
    const range = { start: messageKey(queue, from), end: messageKey(queue, to), limit }
    for (const { key, value } of this.tables.messages.getRange(range)) yield [messageOf(key), value]
  }

  /** What is known of how often messages were handed out, from one key up to and with another. */
  tries(queue: number, from: number, to: number): ReadonlyMap<number, Tries> {
    const found = new Map<number, Tries>()
    const range = { start: messageKey(queue, from), end: messageKey(queue, to + 1) }
    for (const { key, value } of this.tables.attempts.getRange(range)) {
      const note = unseal(value, this.folder.path)
      found.set(messageOf(key), { attempt: note.readUInt32LE(0), refusals: note.readUInt32LE(4) })
    }
    return found
  }

  /** The whole of it without what is free, in another file. */
  copyTo(path: string): Promise<void> {
    return this.root.backup(path, true)
  }

  /** Whether a queue that has ended still has messages here. */
  has(queue: number): boolean {
    for (const _key of this.tables.messages.getKeys({ start: queueKey(queue), end: endKey(queue), limit: 1 }))
      return true
    return false
  }
}

/** With a checksum before it. */
export function seal(value: Buffer): Buffer {
  const sealed = Buffer.allocUnsafe(CRC_END + value.length)
  sealed.writeUInt32LE(crc32(value), 0)
  value.copy(sealed, CRC_END)
  return sealed
}

export function countsRecord({ messages, bytes, last, mark }: Counts): Buffer {
  const value = Buffer.allocUnsafe(COUNTS - CRC_END)
  for (const [index, number] of [messages, bytes, last, mark].entries())
    value.writeDoubleLE(number, index * 8)
  return seal(value)
}

export function triesRecord({ attempt, refusals }: Tries): Buffer {
  const value = Buffer.allocUnsafe(8)
  value.writeUInt32LE(attempt, 0)
  value.writeUInt32LE(refusals, 4)
  return seal(value)
}

function unseal(value: Buffer, path: string): Buffer {
  const content = value.subarray(CRC_END)
  if (value.length < CRC_END || crc32(content) !== value.readUInt32LE(0))
    throw damaged(path, 'a queue is not what was written')
  return content
}

async function load(): Promise<typeof import('lmdb')> {
  try {
    return await import('lmdb')
  } catch (error) {
    throw new StoreError(
      `--data-dir needs the package lmdb, which is not here or does not run on this system (${(error as Error).message.split('\n', 1)[0]}); install it with: npm install lmdb`,
    )
  }
}

/** After a crash, or when somebody has changed the files. */
async function check(folder: Folder, warn: (text: string) => void): Promise<void> {
  if (folder.fileBytes === 0) throw damaged(folder.path, 'data.mdb is missing or empty')
  const findings = await survey(folder.path, PATIENCE)
  if (findings === undefined) {
    warn(
      `The store in ${folder.path} was not closed properly and is too large to be checked in ${PATIENCE / 1000} s; "stomp-broker store inspect --data-dir ${folder.path}" checks all of it.`,
    )
  } else if (findings.damages.length > 0) {
    throw damaged(folder.path, findings.damages.join(', '))
  } else if (findings.id !== folder.id) {
    throw damaged(folder.path, OTHER)
  }
}

/** Data and label belong together. */
function identify(folder: Folder, notes: Table): void {
  const key = Buffer.from('id')
  if (folder.fresh) notes.putSync(key, Buffer.from(folder.id))
  else if (notes.get(key)?.toString() !== folder.id) throw damaged(folder.path, OTHER)
  folder.sign()
}

function explain({ path }: Folder, error: NodeJS.ErrnoException): StoreError {
  const { message, code } = error
  if (code === 'ENOSPC' || /no space/i.test(message))
    return new StoreError(
      `There is no space left on the disk of ${path}; make some, or choose another --data-dir.`,
    )
  if (code === 'EACCES' || /permission/i.test(message))
    return new StoreError(
      `This user may not read and write the files in ${path}; change their owner (chown) or their mode, or choose another --data-dir.`,
    )
  return damaged(path, message)
}
