import { Made, type Content } from '../model/content.ts'
import { NO_BODY, type Headers, type Version } from '../protocol/frame.ts'
import { readRecord, RecordError } from './record.ts'
import type { Shelf } from './shelf.ts'
import type { Store } from './store.ts'

const nothing: Content = new Made(new Map(), NO_BODY)

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
    return this.look().headers
  }

  get body(): Buffer {
    return this.look().body
  }

  get text(): boolean {
    return this.look().text
  }

  headSize(shown: string, version: Version): number {
    return this.look().headSize(shown, version)
  }

  putHead(target: Buffer, at: number, shown: string, version: Version): number {
    return this.look().putHead(target, at, shown, version)
  }

  put(target: Buffer, at: number, shown: string, version: Version): number {
    return this.look().put(target, at, shown, version)
  }

  closing(): readonly Buffer[] {
    return this.look().closing()
  }

  detach(): Content {
    return this
  }

  /** Who cannot do without it recalls it: what is not there is empty for all others. */
  private look(): Content {
    try {
      return this.recall()
    } catch (error) {
      if (error instanceof RecordError) return nothing
      throw error
    }
  }

  /** Throws RecordError where it is damaged or gone. */
  recall(): Content {
    const record = this.store.message(this.shelf.number, this.key)
    if (record === undefined) throw new RecordError('it is not there')
    return readRecord(record).content
  }
}
