/**
 * What the store can do with no broker before it: messages are appended, read and removed again,
 * each by a closed loop that goes on when its message is on disk, and whatever comes while one
 * batch is being written goes into the next.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Batch } from '../../broker/engine/batch.ts'
import { messageKey } from '../../broker/engine/keys.ts'
import { Store } from '../../broker/engine/store.ts'

const QUEUE = 1
/** What a broker writes beside a body. */
const HEAD = 160

export interface RawFigures {
  /** Messages that went through, in a second. */
  readonly rate: number
  /** CPU microseconds for each of them, all threads. */
  readonly cpu: number
}

/** `loops`: messages on their way at a time. Seconds. */
export async function measureStore(
  loops: number,
  size: number,
  warmUp: number,
  duration: number,
): Promise<RawFigures> {
  const folder = mkdtempSync(join(tmpdir(), 'raw-store-'))
  const store = await Store.open(folder, { version: 'bench', warn: () => {} })
  try {
    const value = Buffer.alloc(HEAD + size, 7)
    let last = 0
    let through = 0
    let began = performance.now()
    let cpu = process.cpuUsage()
    let counted = false
    /** On disk and not read yet. */
    let ready: number[] = []
    let free = loops
    let batch = new Batch()
    for (;;) {
      const now = performance.now()
      if (!counted && now - began >= warmUp * 1000) {
        counted = true
        through = 0
        began = now
        cpu = process.cpuUsage()
      }
      if (counted && now - began >= duration * 1000) break
      for (const key of ready) {
        if (store.message(QUEUE, key) === undefined) throw new Error(`message ${key} is not there`)
        batch.remove('messages', messageKey(QUEUE, key))
      }
      free += ready.length
      through += ready.length
      ready = []
      for (; free > 0; free--) {
        last++
        batch.putBytes('messages', messageKey(QUEUE, last), value)
        ready.push(last)
      }
      const { memory, error } = await store.write(batch.memory, batch.length)
      if (error !== undefined) throw error
      batch = new Batch(memory)
    }
    const { user, system } = process.cpuUsage(cpu)
    const seconds = (performance.now() - began) / 1000
    return { rate: through / seconds, cpu: (user + system) / through }
  } finally {
    await store.close()
    rmSync(folder, { recursive: true })
  }
}
