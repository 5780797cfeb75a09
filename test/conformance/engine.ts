import { afterEach, beforeEach, describe } from 'vitest'
import { browsing } from './browsing.ts'
import { choice } from './choice.ts'
import { deadLetters } from './dead-letters.ts'
import { lifetimes } from './lifetimes.ts'
import { queues } from './queues.ts'
import { reentrancy } from './reentrancy.ts'
import { Rig, type Open, type SuiteOptions } from './rig.ts'
import { room } from './room.ts'
import { sequences } from './sequences.ts'
import { time } from './time.ts'
import { topics } from './topics.ts'

export type { Open, SuiteOptions } from './rig.ts'

/** The contract of `broker/engine/engine.ts`. */
export function engineSuite(name: string, open: Open, options: SuiteOptions): void {
  const rig = new Rig(open, options)
  describe(name, () => {
    beforeEach(() => rig.openWith({}))
    afterEach(() => rig.engine.close())
    topics(rig)
    queues(rig)
    choice(rig)
    deadLetters(rig)
    time(rig)
    room(rig)
    lifetimes(rig)
    browsing(rig)
    reentrancy(rig)
    sequences(rig)
  })
}
