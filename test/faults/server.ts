import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { hear, kill, program, start, tell } from './child.ts'
import type { Inside } from './inside.ts'

const root = dirname(createRequire(import.meta.url).resolve('stomp-broker/package.json'))
const command = join(root, 'dist', 'bin', 'stomp-broker.js')

const MIB = 1024 * 1024
/**
 * glibc keeps much of what was freed, and the more the larger it was. So that the resident set tells of the broker,
 * it is to give back what it can.
 */
const GLIBC_TUNABLES = [
  'mxfast=0',
  'tcache_count=0',
  'arena_max=1',
  'mmap_threshold=4096',
  'trim_threshold=65536',
]
  .map((setting) => `glibc.malloc.${setting}`)
  .join(':')
/** What memory may be above its start afterwards: a tenth of it, or so many bytes. */
const TOLERANCE = 32 * MIB
/** Milliseconds for memory and handles to come back. */
const PATIENCE = 30_000

/** Where a broker is reached. */
export interface Place {
  readonly port: number
  readonly tcpPort: number
}

/** What a broker takes of the machine, without garbage. */
export interface Usage extends Inside {
  /** Open file descriptors; NaN where there is no /proc. */
  readonly files: number
}

/** The built command in a process of its own, seen from outside. */
export class Server implements Place {
  readonly port: number
  readonly tcpPort: number
  readonly child: ChildProcess
  /** All it has written to stderr: its log. */
  log = ''

  private constructor(child: ChildProcess, port: number, tcpPort: number) {
    this.child = child
    this.port = port
    this.tcpPort = tcpPort
  }

  /** On free ports, with TCP. `args` are those of the command line. */
  static async start(args: readonly string[] = []): Promise<Server> {
    const child = start(
      command,
      ['--port=0', '--tcp-port=0', '--no-demo', '--log-level=warn', ...args],
      ['--expose-gc', '--import', pathToFileURL(program('inside')).href],
      { GLIBC_TUNABLES },
    )
    let [banner, log] = ['', '']
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (log += text))
    await new Promise<void>((resolve, reject) => {
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        banner += text
        if (banner.includes('Stop: Ctrl-C')) resolve()
      })
      child.once('error', reject)
      child.once('exit', (code) => reject(new Error(`the broker ended with ${code}: ${banner}${log}`)))
    })
    const port = Number(/WebSocket +ws:\/\/[^:]+:(\d+)\//.exec(banner)?.[1])
    const tcpPort = Number(/TCP +\S+:(\d+)\n/.exec(banner)?.[1])
    const server = new Server(child, port, tcpPort)
    server.log = log
    child.stderr?.on('data', (text: string) => (server.log += text))
    return server
  }

  get pid(): number {
    return this.child.pid ?? NaN
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** What it takes once the garbage is gone. */
  async usage(): Promise<Usage> {
    const answer = hear<Inside>(this.child, 'its memory')
    tell(this.child, 'usage')
    const inside = await answer
    return { ...inside, files: this.files() }
  }

  /** Bytes of it that are in memory now, garbage included; NaN where there is no /proc. */
  rss(): number {
    try {
      const status = readFileSync(`/proc/${this.pid}/status`, 'latin1')
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
    } catch {
      return NaN
    }
  }

  private files(): number {
    try {
      return readdirSync(`/proc/${this.pid}/fd`).length
    } catch {
      return NaN
    }
  }

  /** Waits until it takes what it took at the start, and rejects with what does not come back. */
  async settle(before: Usage): Promise<Usage> {
    const deadline = performance.now() + PATIENCE
    for (;;) {
      const now = await this.usage()
      const found = excess(before, now)
      if (found.length === 0) return now
      if (performance.now() > deadline) throw new Error(`not as before: ${found.join(', ')}`)
      await sleep(250)
    }
  }

  /** SIGTERM, and how it has ended. */
  async stop(): Promise<number | null> {
    if (!this.running) return this.child.exitCode
    const ended = new Promise<number | null>((resolve) => this.child.once('exit', (code) => resolve(code)))
    this.child.kill('SIGTERM')
    return ended
  }

  kill(): Promise<void> {
    return kill(this.child)
  }
}

/** What is above what it was at the start. */
function excess(before: Usage, now: Usage): string[] {
  const found: string[] = []
  for (const kind of ['rss', 'live'] as const) {
    if (now[kind] > before[kind] + Math.max(TOLERANCE, before[kind] / 10))
      found.push(`${kind} ${mib(before[kind])} MiB before and ${mib(now[kind])} now`)
  }
  for (const kind of ['files', 'sockets', 'timers'] as const) {
    if (now[kind] > before[kind]) found.push(`${kind} ${before[kind]} before and ${now[kind]} now`)
  }
  return found
}

export function mib(bytes: number): string {
  return (bytes / MIB).toFixed(1)
}
