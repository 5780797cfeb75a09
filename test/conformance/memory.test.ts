import { afterAll, beforeAll, vi } from 'vitest'
import { LocalEngine } from '../../broker/engine/local.ts'
import { engineSuite } from './engine.ts'

beforeAll(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] }))
afterAll(() => void vi.useRealTimers())

engineSuite(
  'memory engine',
  async (host, settings, stats) => {
    const engine = new LocalEngine(settings, stats)
    await engine.open(host)
    return engine
  },
  { advance: async (milliseconds) => void vi.advanceTimersByTime(milliseconds) },
)
