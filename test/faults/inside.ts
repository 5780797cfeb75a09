/**
 * Loaded into the broker's process before the broker: tells, when asked over the channel, what is in its memory
 * once the garbage is gone, and what it holds open. Needs --expose-gc.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import './leash.ts'

/** What the broker's process says of itself. */
export interface Inside {
  readonly rss: number
  /** Bytes that are reachable, on the heap and outside of it. */
  readonly live: number
  /** Open connections, and timers that would keep the process alive. */
  readonly sockets: number
  readonly timers: number
  /** Milliseconds of the longest turn of its event loop since the last time it was asked. */
  readonly longest: number
}

const delay = monitorEventLoopDelay({ resolution: 10 })
delay.enable()
const collect = globalThis.gc as () => void // --expose-gc

process.on('message', () => {
  const longest = delay.max / 1e6
  // Buffers that the first has found to be garbage are counted until the second.
  for (let round = 0; round < 2; round++) collect()
  const { rss, heapUsed, external } = process.memoryUsage()
  const open = process.getActiveResourcesInfo()
  const count = (kind: string): number => open.filter((name) => name === kind).length
  const answer: Inside = {
    rss,
    live: heapUsed + external,
    sockets: count('TCPSocketWrap'),
    timers: count('Timeout'),
    longest,
  }
  process.send?.(answer)
  // Not the turn in which it was asked.
  setImmediate(() => delay.reset())
})
// The channel alone is no reason for the broker to go on.
process.channel?.unref()
