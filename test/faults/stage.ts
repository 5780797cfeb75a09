import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from './random.ts'
import { mib, Server, type Usage } from './server.ts'
import { Canary, judge, show } from './watch.ts'

/** Where a fault is played. */
export interface Stage {
  readonly server: Server
  readonly random: Random
  readonly seed: number
  /** The one case of many that is to be played again. */
  readonly only: number | undefined
  /** When the load is to end, as performance.now() counts. */
  readonly until: number
  /** Says something for the report. */
  readonly note: (text: string) => void
}

/** Something that clients do to a broker. */
export interface Fault {
  readonly name: string
  /** For the command line of the broker. */
  readonly args?: readonly string[]
  /** Bytes by which the broker's memory may grow meanwhile, garbage included. */
  readonly growth?: number
  /** Does it, and throws if the broker does not do with those clients as it should. */
  run(stage: Stage): Promise<void>
}

/** Milliseconds of good behaviour after which the broker's memory is what it starts with. */
const WARM_UP = 1_000
/** Milliseconds from one look at its memory to the next. */
const LOOK = 100

const LOAD_NICENESS = 5

export interface Play {
  readonly seconds: number
  readonly seed: number
  readonly random: Random
  readonly only: number | undefined
}

/**
 * Plays a fault to a broker of its own while the canary sings, and throws unless the broker stays up, the canary
 * had a good time, and afterwards memory and handles are what they were. Answers what is worth to be read.
 */
export async function play(fault: Fault, { seconds, seed, random, only }: Play): Promise<string> {
  const notes: string[] = []
  const server = await Server.start(fault.args)
  let canary = await Canary.start(server)
  let look: NodeJS.Timeout | undefined
  try {
    await sleep(WARM_UP)
    await canary.stop()
    const before = await server.usage()
    canary = await Canary.start(server)
    // Other clients have machines of their own: the load is not to take the processor from broker and canary.
    setPriority(LOAD_NICENESS)
    let peak = 0
    look = setInterval(() => (peak = Math.max(peak, server.rss())), LOOK)
    const until = performance.now() + seconds * 1000
    await fault.run({ server, random, seed, only, until, note: (text) => notes.push(text) })
    const song = await canary.stop()
    clearInterval(look)
    judge(song)
    const growth = peak - before.rss
    if (growth > (fault.growth ?? Infinity))
      throw new Error(
        `memory grew by ${mib(growth)} MiB meanwhile, ${mib(fault.growth ?? 0)} would be enough`,
      )
    const { longest } = await server.usage()
    const after = await server.settle(before)
    complain(server.log)
    const code = await server.stop()
    if (code !== 0) throw new Error(`the broker was told to stop and ended with ${code}`)
    const memory = `memory ${both(before, after, 'rss')} MiB, at most ${mib(peak)}, reachable ${both(before, after, 'live')}`
    const ways = `canary's topic ${show(song.topic)}; queue ${show(song.queue)}`
    const files = `files ${before.files} → ${after.files}`
    return [...notes, ways, `longest turn ${longest.toFixed(0)} ms`, memory, files].join('; ')
  } catch (error) {
    // Its end may not be known here yet; what a client sees of it says less.
    await sleep(500)
    if (!server.running) throw new Error(`the broker has ended: ${server.log}`, { cause: error })
    throw error
  } finally {
    clearInterval(look)
    await Promise.all([canary.kill(), server.kill()])
  }
}

function both(before: Usage, after: Usage, kind: 'rss' | 'live'): string {
  return `${mib(before[kind])} → ${mib(after[kind])}`
}

/** Throws if the broker's log tells of something that went wrong in the broker, and not in a client. */
function complain(log: string): void {
  for (const line of log.split('\n').filter(Boolean)) {
    const { level = 60, msg = line } = parse(line)
    if (level > 40 || msg.includes('failed')) throw new Error(`the broker's log says: ${line}`)
  }
}

function parse(line: string): { level?: number; msg?: string } {
  try {
    return JSON.parse(line) as { level: number; msg: string }
  } catch {
    return {}
  }
}
