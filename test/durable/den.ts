import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, vi } from 'vitest'
import { LocalEngine } from '../../broker/engine/local.ts'
import { Store } from '../../broker/engine/store.ts'
import { WriteError, type Written } from '../../broker/engine/writer.ts'
import type { EngineSettings } from '../../broker/engine/settings.ts'
import { Rig, type Open } from '../conformance/rig.ts'

/** How an engine ends and begins again. */
export type Pause = 'restart' | 'crash'

const ENOSPC = 28

/**
 * A durable engine for each test, in a folder of its own, that can be stopped, killed and kept from
 * writing. A kill goes by a copy of its files between two writes: in one process a store is open
 * only once.
 */
export class Den extends Rig {
  readonly warnings: string[] = []
  local!: LocalEngine // opened before each test
  store!: Store // with it
  /** Batches that were written. */
  writes = 0
  private root = ''
  private folders = 0
  private path = ''
  private settings: Partial<EngineSettings> = {}
  private held: Promise<void> | undefined
  private letGo: () => void = () => {}
  /** Batches that are being written. */
  writing = 0
  /** Batches that fail, from the next one on. */
  private failures = 0

  constructor() {
    super(
      async (host, settings, stats) => {
        this.path = join(this.root, String(this.folders++))
        return this.start(host, settings, stats)
      },
      {
        persistent: true,
        advance: async (milliseconds) => {
          for (let left = milliseconds; left > 0; left -= STEP) {
            vi.advanceTimersByTime(Math.min(STEP, left))
            await this.local.flush()
          }
        },
        settle: () => this.local.flush(),
      },
    )
  }

  /** To be called by a file of tests. */
  live(settings: Partial<EngineSettings> = {}): this {
    beforeAll(() => {
      this.root = mkdtempSync(join(tmpdir(), 'stomp-den-'))
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
    })
    beforeEach(() => this.begin(settings))
    afterEach(async () => {
      this.go()
      this.heal()
      await this.local.close()
      this.warnings.length = 0
    })
    afterAll(() => {
      vi.useRealTimers()
      rmSync(this.root, { recursive: true })
    })
    return this
  }

  /** A new engine in a new folder. */
  async begin(settings: Partial<EngineSettings> = {}): Promise<void> {
    this.settings = settings
    await this.openWith(settings)
  }

  /** Stops the engine in order, or kills it, and starts another on its folder, after so many milliseconds. */
  async pause(how: Pause, milliseconds = 0, settings = this.settings): Promise<void> {
    const { engine: old, path } = this
    if (how === 'restart') {
      await old.close()
      vi.setSystemTime(Date.now() + milliseconds)
      await this.reopen(path, settings)
      return
    }
    const copy = this.snapshot()
    this.go()
    this.heal()
    await old.close()
    vi.setSystemTime(Date.now() + milliseconds)
    await this.reopen(copy, settings)
  }

  /** What a kill at this moment leaves on disk. */
  snapshot(): string {
    if (this.writing > 0) throw new Error('a batch is being written')
    const copy = join(this.root, String(this.folders++))
    mkdirSync(copy)
    for (const name of ['data.mdb', 'store.json']) copyFileSync(join(this.path, name), join(copy, name))
    return copy
  }

  /** Looks at such a copy through an engine of its own. */
  async look(copy: string, look: () => Promise<void>): Promise<void> {
    const { local, store, engine, path } = this
    await this.reopen(copy, this.settings)
    try {
      await look()
    } finally {
      await this.local.close()
      Object.assign(this, { local, store, engine, path })
    }
  }

  /** Its files are somewhere else, until they are brought back. */
  takeAway(): void {
    renameSync(this.path, `${this.path}-away`)
  }

  bringBack(): void {
    renameSync(`${this.path}-away`, this.path)
  }

  /** From now on nothing is written, and nobody is told, until `go`. */
  hold(): void {
    this.held ??= new Promise((resolve) => (this.letGo = resolve))
  }

  go(): void {
    this.held = undefined
    this.letGo()
  }

  /** The next batches cannot be written. */
  fail(batches = Infinity): void {
    this.failures = batches
  }

  heal(): void {
    this.failures = 0
  }

  /** Batches can be written again, and what waited for that is. */
  async recover(): Promise<void> {
    this.heal()
    vi.advanceTimersByTime(1_000)
    while (this.warnings.at(-1)?.includes('can be written to again') !== true) await turn()
    await this.local.flush()
  }

  /** How many messages the store has of a queue, by what it says itself. */
  counts(queue: string): { messages: number; bytes: number } {
    for (const [number, record] of this.store.queues()) {
      const [name] = JSON.parse(record.toString()) as [string]
      if (name !== queue) continue
      const { messages, bytes } = this.store.counts(number)
      return { messages, bytes }
    }
    return { messages: 0, bytes: 0 }
  }

  /** Messages in the store, those of queues that have ended included. */
  left(): number {
    let count = 0
    for (let queue = 1; queue < 20; queue++)
      for (const _message of this.store.messages(queue, 0, 2 ** 48 - 2, Infinity)) count++
    return count
  }

  /** Lets the writer do what it does by itself; a store that is only looked at does not hear of it. */
  async nap(): Promise<void> {
    await sleep(5)
    await this.send('/queue/nap', 'x')
    await (await this.hand(1, '/queue/nap', true)).cancel()
    await this.settle()
  }

  private async reopen(path: string, settings: Partial<EngineSettings>): Promise<void> {
    this.path = path
    await this.openAgain(settings, (host, all, stats) => this.start(host, all, stats))
  }

  private async start(...[host, settings, stats]: Parameters<Open>): Promise<LocalEngine> {
    const warn = (text: string): void => void this.warnings.push(text)
    this.local = new LocalEngine(settings, stats, {
      open: async () => {
        this.store = await Store.open(this.path, { version: 'test', warn })
        this.meddle(this.store)
        return this.store
      },
      warn,
    })
    await this.local.open(host)
    return this.local
  }

  private meddle(store: Store): void {
    const write = store.write.bind(store)
    store.write = async (memory: Buffer, length: number): Promise<Written> => {
      await this.held
      if (this.failures > 0) {
        this.failures--
        return { memory, error: new WriteError('no space left on device', ENOSPC) }
      }
      this.writing++
      const written = await write(memory, length)
      this.writing--
      this.writes++
      return written
    }
  }
}

/** Of the time that passes at once. */
const STEP = 50

/** Lets what is to happen next happen. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
