import type { Content } from '../model/content.ts'
import type { Headers, Version } from '../protocol/frame.ts'
import { readRecord, RecordError } from './record.ts'
import type { Shelf } from './shelf.ts'
import type { Store } from './store.ts'

/** What a sender gave, left on disk and read when it is looked at. */
export class Shelved implements Content {
  readonly size: number
  private readonly store: Store
  private readonly shelf: Shelf
  private readonly key: number

  constructor(store: Store, shelf: Shelf, key: number, size: number) {
    this.store = store
    this.shelf = shelf
    this.key = key
    this.size = size
  }

  get headers(): Headers {
    return this.recall().headers
  }

  get body(): Buffer {
    return this.recall().body
  }

  get text(): boolean {
    return this.recall().text
  }

  headSize(shown: string, version: Version): number {
    return this.recall().headSize(shown, version)
  }

  putHead(target: Buffer, at: number, shown: string, version: Version): number {
    return this.recall().putHead(target, at, shown, version)
  }

  put(target: Buffer, at: number, shown: string, version: Version): number {
    return this.recall().put(target, at, shown, version)
  }

  closing(): readonly Buffer[] {
    return this.recall().closing()
  }

  detach(): Content {
    return this
  }

  /** Throws RecordError where it is damaged or gone. */
  recall(): Content {
    const record = this.store.message(this.shelf.number, this.key)
    if (record === undefined) throw new RecordError('it is not there')
    return readRecord(record).content
  }
}
