/** Tells what is in a store, whether a broker has it or not. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Audit } from './audit.ts'
import { contentOf, readCounts } from './counts.ts'
import { DataFile } from './datafile.ts'
import { DATA, Folder, InUseError, isUntouched, salvageLabel, StoreError, type Label } from './folder.ts'
import { readQueue, SCHEDULED, type QueueRecord } from './kept.ts'
import { DELAYED, endKey, messageKey, queueOf } from './keys.ts'
import { load } from './library.ts'
import { liveBytes, tablesOf } from './store.ts'
import { ENVIRONMENT } from './writer.ts'

/** A queue that is on disk. */
export interface Shown extends QueueRecord {
  readonly messages: number
  readonly bytes: number
  /** Of the messages, those that wait for their time. */
  readonly delayed: number
}

export interface Inventory {
  /** Undefined where they are not known any more. */
  readonly format: number | undefined
  readonly version: string | undefined
  /** A broker has it: its records were not looked at. */
  readonly running: boolean
  /** Whether it was closed properly. */
  readonly closed: boolean
  readonly live: number
  readonly file: number
  readonly queues: readonly Shown[]
  /** Messages to topics that wait for their time. */
  readonly scheduled: number
  readonly retained: number
  /** Records that were looked at. */
  readonly records: number
  /** Messages that cannot be read; undefined where nobody knows any more. */
  readonly lost: number | undefined
  /** What is wrong: how much, and a few examples of it. */
  readonly damaged: number
  readonly damages: readonly string[]
}

/** Throws StoreError where there is nothing to be seen. `progress` is told how many records were looked at. */
export async function takeInventory(path: string, progress: (records: number) => void): Promise<Inventory> {
  try {
    const { label, lock } = await Folder.salvage(path)
    try {
      return lookThrough(path, label, progress)
    } finally {
      await lock.release()
    }
  } catch (error) {
    if (error instanceof InUseError) return await glance(path)
    throw error
  }
}

function lookThrough(path: string, label: Label | undefined, progress: (records: number) => void): Inventory {
  const data = join(path, DATA)
  if (!existsSync(data))
    throw new StoreError(`${path} holds no ${DATA}; restore the whole folder from a backup.`)
  const flaws: string[] = []
  const file = new DataFile(data, (what) => flaws.push(what))
  try {
    const audit = new Audit(file)
    if (label === undefined) audit.complain('store.json is missing or damaged')
    for (const flaw of flaws) audit.complain(flaw)
    const lost = audit.run(progress)
    const queues = [...audit.queues.values()].map(({ number, record, messages, bytes, delayed }) => ({
      ...(record ?? { name: `queue ${number}`, terms: undefined }),
      messages,
      bytes,
      delayed,
    }))
    const { records, retained, damaged, damages } = audit
    return {
      ...described(label),
      ...parted(queues),
      ...file.bytes,
      running: false,
      closed: label !== undefined && isUntouched(path, label),
      records,
      retained,
      lost,
      damaged,
      damages,
    }
  } finally {
    file.close()
  }
}

/** What its counts say, as of one commit; the broker does not wait for it. */
async function glance(path: string): Promise<Inventory> {
  const label = salvageLabel(path)
  const { open } = await load()
  try {
    const root = open<Buffer, Buffer>({ path, ...ENVIRONMENT, readOnly: true })
    try {
      const tables = tablesOf(root)
      const queues: Shown[] = []
      for (const { key, value } of tables.queues.getRange()) {
        const record = contentOf(value)
        // It has ended.
        if (record === undefined) continue
        const counted = contentOf(tables.counts.get(key) ?? Buffer.alloc(0))
        const { messages, bytes } = counted === undefined ? { messages: 0, bytes: 0 } : readCounts(counted)
        const waiting = { start: messageKey(queueOf(key), DELAYED), end: endKey(queueOf(key)) }
        const delayed = tables.messages.getKeysCount(waiting)
        queues.push({ ...readQueue(record), messages, bytes, delayed })
      }
      return {
        ...described(label),
        ...parted(queues),
        live: liveBytes(root, Object.values(tables)),
        file: statSync(join(path, DATA)).size,
        running: true,
        closed: false,
        retained: tables.retained.getKeysCount(),
        records: 0,
        lost: 0,
        damaged: 0,
        damages: [],
      }
    } finally {
      await root.close()
    }
  } catch (error) {
    throw new InUseError(
      `${path} is in use by a running broker, and cannot be looked at just now: ${(error as Error).message}.`,
    )
  }
}

function described(label: Label | undefined): Pick<Inventory, 'format' | 'version'> {
  return { format: label?.format, version: label?.version }
}

/** What waits for its time on its way to topics is no queue of anybody. */
function parted(all: readonly Shown[]): Pick<Inventory, 'queues' | 'scheduled'> {
  const queues = all.filter(({ name }) => name !== SCHEDULED)
  const scheduled = all.find(({ name }) => name === SCHEDULED)?.messages ?? 0
  return { queues, scheduled }
}
