import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, vi } from 'vitest'
import { LocalEngine } from '../../broker/engine/local.ts'
import { Store } from '../../broker/engine/store.ts'
import { engineSuite } from './engine.ts'

const folder = mkdtempSync(join(tmpdir(), 'stomp-durable-'))
/** Of the time that passes at once. */
const STEPS = 200
let count = 0
let engine: LocalEngine | undefined

beforeAll(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] }))
afterAll(async () => {
  vi.useRealTimers()
  await engine?.close()
  rmSync(folder, { recursive: true })
})

engineSuite(
  'durable engine',
  async (host, settings, stats) => {
    const warn = (text: string): never => {
      throw new Error(text)
    }
    const path = join(folder, String(count++))
    engine = new LocalEngine(settings, stats, {
      open: () => Store.open(path, { version: 'test', warn }),
      warn,
    })
    await engine.open(host)
    return engine
  },
  {
    persistent: true,
    share: 0.02,
    // What is to be stored is not handed out inside the call that sends it.
    transient: ['consumers that call the engine from inside deliver'],
    // Little by little: what is due may have to be written before it has consequences.
    advance: async (milliseconds) => {
      const step = Math.ceil(milliseconds / STEPS)
      for (let left = milliseconds; left > 0; left -= step) {
        vi.advanceTimersByTime(Math.min(step, left))
        await engine?.flush()
      }
    },
    settle: async () => engine?.flush(),
  },
)
