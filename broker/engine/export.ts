/** Writes what is in a store as lines, also of one that is damaged. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Audit, type Laid } from './audit.ts'
import { DataFile } from './datafile.ts'
import { DATA, Folder, FORMAT, isUntouched, StoreError, type Label } from './folder.ts'
import { SCHEDULED } from './kept.ts'
import { DELAYED } from './keys.ts'
import { writeLine, type Item, type Line } from './line.ts'
import type { Lock } from './lock.ts'
import { readRecord } from './record.ts'

/** The queue of messages whose own queue cannot be told any more. */
const UNKNOWN = '/queue/RECOVERED'

export class Export {
  /** Messages that were written. */
  messages = 0
  /** Those that could not be; undefined where nobody knows any more. */
  lost: number | undefined
  private unwritten = 0
  private readonly label: Label | undefined
  private readonly lock: Lock
  private readonly file: DataFile
  private readonly audit: Audit
  private readonly clean: boolean
  private count = 0

  private constructor(path: string, label: Label | undefined, lock: Lock) {
    const flaws: string[] = []
    this.label = label
    this.lock = lock
    this.file = new DataFile(join(path, DATA), (what) => flaws.push(what))
    this.audit = new Audit(this.file)
    if (label === undefined) this.audit.complain('store.json is missing or damaged')
    for (const flaw of flaws) this.audit.complain(flaw)
    this.clean = label !== undefined && isUntouched(path, label)
  }

  /** Throws StoreError, InUseError where a broker has the store. */
  static async open(path: string): Promise<Export> {
    const { label, lock } = await Folder.salvage(path)
    try {
      if (!existsSync(join(path, DATA)))
        throw new StoreError(`${path} holds no ${DATA}, so there is nothing to export.`)
      return new Export(path, label, lock)
    } catch (error) {
      await lock.release()
      if (error instanceof StoreError) throw error
      throw new StoreError(`${join(path, DATA)} cannot be read: ${(error as Error).message}.`)
    }
  }

  /** What is wrong with the store, a few examples of it. */
  get damages(): readonly string[] {
    return this.audit.damages
  }

  /** Each with its end. */
  *lines(): Generator<string, void, void> {
    const { audit } = this
    yield this.line({ type: 'store', format: FORMAT, version: this.label?.version ?? 'unknown' })
    audit.readQueues()
    for (const { record } of audit.queues.values())
      if (record !== undefined) yield this.line({ type: 'queue', queue: record })
    for (const laid of audit.messages()) {
      const line = this.lineOf(laid)
      if (line === undefined) continue
      this.messages++
      yield line
    }
    for (const { value } of audit.retainedMessages()) {
      const { message, due, until } = readRecord(value)
      yield this.line({ type: 'retained', item: { message, due, until, deliveries: 0, refusals: 0 } })
    }
    const missing = audit.finish()
    if (missing !== undefined) this.lost = missing + this.unwritten
    yield this.line({ type: 'end', lines: this.count })
  }

  async close(): Promise<void> {
    this.file.close()
    await this.lock.release()
  }

  /** Undefined where it cannot be written. */
  private lineOf(laid: Laid): string | undefined {
    const { queue, key, record, tries } = laid
    const { message, due, until } = readRecord(record)
    const suspect =
      key >= DELAYED
        ? !this.clean && due <= Date.now()
        : queue.counts === undefined || key <= queue.counts.mark
    const item: Item = {
      message,
      due,
      until,
      deliveries: (tries?.attempt ?? (suspect ? 2 : 1)) - 1,
      refusals: tries?.refusals ?? 0,
    }
    const { kind, name } = message.destination
    const likely = kind === 'queue' ? name : key >= DELAYED ? SCHEDULED : UNKNOWN
    try {
      return this.line({ type: 'message', queue: queue.record?.name ?? likely, item })
    } catch (error) {
      // More than one string can hold.
      this.unwritten++
      this.audit.complain(`the message ${message.id} cannot be written: ${(error as Error).message}`)
      return undefined
    }
  }

  private line(line: Line): string {
    const text = `${writeLine(line)}\n`
    this.count++
    return text
  }
}
