import { LocalEngine } from '../../broker/engine/local.ts'
import { engineSuite } from './engine.ts'

engineSuite('memory engine', async (host, bounds) => {
  const engine = new LocalEngine(bounds)
  await engine.open(host)
  return engine
})
