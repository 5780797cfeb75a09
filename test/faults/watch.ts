import type { ChildProcess } from 'node:child_process'
import type { Song, Way } from './canary.ts'
import { hear, kill, program, start, tell } from './child.ts'
import type { Place } from './server.ts'

/** Milliseconds that 99 of 100 round trips of the canary must take less than, whatever others do to the broker. */
const BOUND = 250

/** The canary, seen from the process of the load. */
export class Canary {
  private readonly child: ChildProcess
  private failure: string | undefined

  private constructor(child: ChildProcess) {
    this.child = child
    child.on('message', (message: { failure?: string }) => (this.failure ??= message.failure))
  }

  static async start({ port, tcpPort }: Place): Promise<Canary> {
    const child = start(program('canary'), [String(port), String(tcpPort)])
    child.stderr?.pipe(process.stderr)
    await hear(child, 'the canary')
    return new Canary(child)
  }

  /** Its report, once the last of its messages is back. */
  async stop(): Promise<Song> {
    if (this.failure !== undefined) throw new Error(this.failure)
    const answer = hear<{ song?: Song; failure?: string }>(this.child, "the canary's report")
    tell(this.child, 'stop')
    const { song, failure } = await answer
    if (song === undefined) throw new Error(failure)
    await this.kill()
    return song
  }

  kill(): Promise<void> {
    return kill(this.child)
  }
}

/** Throws unless the canary had a good time. */
export function judge(song: Song): void {
  for (const [name, way] of [
    ['topic', song.topic],
    ['queue', song.queue],
  ] as const) {
    if (way.missing + way.duplicated > 0)
      throw new Error(
        `of ${way.sent} messages of the canary to its ${name} ${way.missing} are missing and ${way.duplicated} came twice`,
      )
    if (!(way.p99 < BOUND))
      throw new Error(
        `the canary's ${name} took ${show(way)}; its own clock was ${song.late.toFixed(0)} ms late`,
      )
  }
}

export function show({ sent, p50, p99, max }: Way): string {
  return `${sent} × p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(0)} ms`
}
