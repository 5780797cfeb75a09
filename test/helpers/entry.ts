import { Entry } from '../../broker/engine/entry.ts'
import { LocalEngine } from '../../broker/engine/local.ts'
import { Queue } from '../../broker/engine/queue.ts'
import { Made } from '../../broker/model/content.ts'
import { Message } from '../../broker/model/message.ts'
import { Stats } from '../../broker/model/stats.ts'
import { ROOMY } from '../conformance/rig.ts'
import { parseDestination } from './destination.ts'

const queue = new Queue('/queue/q', new LocalEngine(ROOMY, new Stats()))
const message = new Message('m', parseDestination('/queue/q'), new Made(new Map(), Buffer.alloc(0)))

/** An entry of a queue that does not know of it. */
export function entryOf(rank: number): Entry {
  return new Entry(queue, message, 1, rank, 0, 0, undefined, 0)
}
