/** The one writer of a store: a thread of its own, because a commit waits for the disk. */
import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'

/** What a batch is made of: an operation, the table, the key and, for `PUT`, the value. */
export const PUT = 1
export const REMOVE = 2
/** Ends a queue: its number is the key. Its messages go little by little, when there is nothing else to do. */
export const BURY = 3
/** Operation, table, length of the key, length of the value. */
export const OP_HEAD = 8

/** The tables of a store, by their numbers in a batch. */
export const TABLES = ['messages', 'attempts', 'queues', 'counts', 'retained', 'notes'] as const

/** How the environment is opened, on every thread alike. */
export const ENVIRONMENT = {
  encoding: 'binary',
  keyEncoding: 'binary',
  maxDbs: TABLES.length,
  // A folder whose name has a dot in it would be taken for a file.
  noSubdir: false,
  // A commit returns when it is on disk, so that its errors are exceptions.
  overlappingSync: false,
} as const

interface Start {
  readonly lmdb: string
  readonly path: string
  readonly tables: typeof TABLES
  readonly environment: typeof ENVIRONMENT
  readonly ops: {
    readonly PUT: number
    readonly REMOVE: number
    readonly BURY: number
    readonly HEAD: number
  }
  /** Numbers of queues that have ended and still have messages. */
  readonly buried: readonly number[]
}

type Answer =
  | { readonly type: 'open' }
  | { readonly type: 'done'; readonly memory: ArrayBuffer; readonly error?: string; readonly code?: number }

/**
 * The thread. Its text is given to the worker, so that it runs from sources and from a build alike:
 * it must not use anything outside itself.
 */
function thread(): void {
  const threads = require('node:worker_threads') as typeof import('node:worker_threads')
  const { lmdb, path, tables, environment, ops, buried } = threads.workerData as Start
  const { open } = require(lmdb) as typeof import('lmdb')
  const { parentPort: port } = threads
  if (port === null) return
  /** Messages of an ended queue that are removed at a time. */
  const CLEARED = 2_000
  const root = open<Buffer, Buffer>({ path, ...environment })
  const stores = tables.map((name) => root.openDB<Buffer, Buffer>(name, environment))
  const [messages, attempts, queues] = stores
  const dead = [...buried]
  let clearing: NodeJS.Immediate | undefined

  const apply = (bytes: Buffer): void => {
    for (let at = 0; at < bytes.length;) {
      const op = bytes[at]
      const store = stores[bytes[at + 1] ?? 0]
      const start = at + ops.HEAD
      const end = start + bytes.readUInt16LE(at + 2)
      const key = bytes.subarray(start, end)
      at = end + bytes.readUInt32LE(at + 4)
      if (op === ops.PUT) {
        store?.putSync(key, bytes.subarray(end, at))
      } else if (op === ops.REMOVE) {
        store?.removeSync(key)
      } else {
        // An empty record says that it has ended, until all of it is gone.
        queues?.putSync(key, Buffer.alloc(0))
        dead.push(key.readUInt32BE(0))
      }
    }
  }

  /** Removes some messages of a queue that has ended; false once none is left. */
  const clear = (queue: number): boolean => {
    const bound = (number: number): Buffer => {
      const key = Buffer.alloc(4)
      key.writeUInt32BE(number)
      return key
    }
    let count = 0
    root.transactionSync(() => {
      for (const store of [messages, attempts]) {
        const range = { start: bound(queue), end: bound(queue + 1), limit: CLEARED }
        const keys = [...(store?.getKeys(range) ?? [])]
        for (const key of keys) store?.removeSync(Buffer.from(key))
        count += keys.length
      }
      if (count === 0) queues?.removeSync(bound(queue))
    })
    return count > 0
  }

  const clearSome = (): void => {
    clearing = undefined
    const [queue] = dead
    if (queue === undefined) return
    try {
      if (!clear(queue)) dead.shift()
    } catch {
      // No room to make room: with the next batch it is tried again.
      return
    }
    plan()
  }
  const plan = (): void => {
    if (dead.length > 0) clearing ??= setImmediate(clearSome)
  }

  port.on('message', (message: { memory: ArrayBuffer; length: number } | 'close') => {
    if (message === 'close') {
      clearImmediate(clearing)
      dead.length = 0
      void root.close().then(() => port.close())
      return
    }
    const { memory, length } = message
    const before = dead.length
    let answer: Answer = { type: 'done', memory }
    try {
      root.transactionSync(() => apply(Buffer.from(memory, 0, length)))
    } catch (error) {
      dead.length = before
      const { message: text, code } = error as Error & { code?: number }
      answer = { type: 'done', memory, error: text, code: Number(code) }
    }
    port.postMessage(answer, [memory])
    plan()
  })
  plan()
  port.postMessage({ type: 'open' } satisfies Answer)
}

/** Nothing of a batch was written, and this is why. */
export class WriteError extends Error {
  override readonly name = 'WriteError'
  /** The system's number for what went wrong; NaN where there is none. */
  readonly code: number

  constructor(message: string, code = NaN) {
    super(message)
    this.code = code
  }
}

/** What became of a batch, and its memory, which is the caller's again. */
export interface Written {
  readonly memory: Buffer
  readonly error: WriteError | undefined
}

/** Hands batches to the thread, one at a time. */
export class Writer {
  private readonly worker: Worker
  private readonly opened: Promise<void>
  private readonly ended: Promise<void>
  private hear: ((written: Written) => void) | undefined
  /** There is no writer any more. */
  private failed: WriteError | undefined

  /** `buried`: queues that have ended and still have messages. */
  constructor(path: string, buried: readonly number[]) {
    const start: Start = {
      lmdb: createRequire(import.meta.url).resolve('lmdb'),
      path,
      tables: TABLES,
      environment: ENVIRONMENT,
      ops: { PUT, REMOVE, BURY, HEAD: OP_HEAD },
      buried,
    }
    const worker = (this.worker = new Worker(`(${thread.toString()})()`, { eval: true, workerData: start }))
    this.opened = new Promise((resolve, reject) => {
      worker.on('message', (answer: Answer) => {
        if (answer.type === 'open') return resolve()
        const { memory, error, code } = answer
        const { hear } = this
        this.hear = undefined
        hear?.({
          memory: Buffer.from(memory),
          error: error === undefined ? undefined : new WriteError(error, code),
        })
      })
      worker.on('error', (error) => {
        this.failed = new WriteError(error.message)
        reject(error)
      })
    })
    this.ended = new Promise((resolve) => {
      worker.on('exit', () => {
        this.failed ??= new WriteError('the thread that writes to the store has ended')
        // What it was writing is gone with it.
        this.hear?.({ memory: Buffer.alloc(0), error: this.failed })
        resolve()
      })
    })
  }

  /** Rejects where the store cannot be opened. */
  open(): Promise<void> {
    return this.opened
  }

  /** The first `length` bytes of `memory`, which is lent; on disk when the promise resolves without an error. */
  write(memory: Buffer, length: number): Promise<Written> {
    return new Promise((resolve) => {
      if (this.failed !== undefined) return resolve({ memory, error: this.failed })
      this.hear = resolve
      const bytes = memory.buffer as ArrayBuffer // made by `allocUnsafeSlow`, whole
      this.worker.postMessage({ memory: bytes, length }, [bytes])
    })
  }

  /** To be called when no batch is under way. */
  async close(): Promise<void> {
    this.worker.postMessage('close', [])
    await this.ended
  }
}
