/** The embedded store: an LMDB environment that one thread writes and the broker's own thread reads. */
import type { Database, RootDatabase } from 'lmdb'
import { slim } from './compaction.ts'
import { contentOf, readCounts, readTries, type Counts, type Tries } from './counts.ts'
import { Folder, StoreError } from './folder.ts'
import { endKey, messageKey, messageOf, queueKey, queueOf } from './keys.ts'
import { load } from './library.ts'
import { damaged, survey } from './survey.ts'
import { ENVIRONMENT, TABLES, Writer, WriteError, type Written } from './writer.ts'

/** Milliseconds the files may be looked through before a start that follows a crash. */
const PATIENCE = 5_000

type Table = Database<Buffer, Buffer>
export type TableName = (typeof TABLES)[number]

export interface StoreOptions {
  /** Of the broker. */
  readonly version: string
  readonly warn: (text: string) => void
  readonly inform?: (text: string) => void
}

const OTHER = 'data.mdb is that of another store'

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
  static async open(path: string, { version, warn, inform }: StoreOptions): Promise<Store> {
    const lmdb = await load()
    const folder = await Folder.take(path, version)
    let root: RootDatabase<Buffer, Buffer> | undefined
    try {
      const clean = folder.fresh || folder.untouched
      if (folder.fresh) folder.begin()
      else if (!clean) await check(folder, warn)
      await slim(folder, warn, inform)
      const opened = (root = lmdb.open<Buffer, Buffer>({ path, ...ENVIRONMENT }))
      const tables = tablesOf(opened)
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

  /** Bytes of what is in it, as many as are left when it is compacted, and of its file, which does not shrink by itself. */
  get bytes(): { readonly live: number; readonly file: number } {
    return { live: liveBytes(this.root, Object.values(this.tables)), file: this.folder.fileBytes }
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
    return readCounts(unseal(value, this.folder.path))
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
    for (const { key, value } of this.tables.attempts.getRange(range))
      found.set(messageOf(key), readTries(unseal(value, this.folder.path)))
    return found
  }

  /** Whether a queue that has ended still has messages here. */
  has(queue: number): boolean {
    for (const _key of this.tables.messages.getKeys({ start: queueKey(queue), end: endKey(queue), limit: 1 }))
      return true
    return false
  }
}

export function tablesOf(root: RootDatabase<Buffer, Buffer>): Record<TableName, Table> {
  return Object.fromEntries(
    TABLES.map((name) => [name, root.openDB<Buffer, Buffer>(name, ENVIRONMENT)]),
  ) as Record<TableName, Table>
}

interface TreeStats {
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}

/** Of two first pages, of the tree that knows the tables, and of theirs. */
export function liveBytes(root: RootDatabase<Buffer, Buffer>, tables: readonly Table[]): number {
  const stats = root.getStats() as { readonly pageSize: number; readonly root: TreeStats }
  let pages = 2
  for (const tree of [stats.root, ...tables.map((table) => table.getStats() as TreeStats)])
    pages += tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages
  return pages * stats.pageSize
}

function unseal(value: Buffer, path: string): Buffer {
  const content = contentOf(value)
  if (content === undefined) throw damaged(path, 'a queue is not what was written')
  return content
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
