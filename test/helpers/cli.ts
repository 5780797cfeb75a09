import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))
const built = fileURLToPath(new URL('../../dist/bin/stomp-broker.js', import.meta.url))

export interface Exit {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The environment of a shell in which nobody has set up anything for the broker. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) =>
        !/^(STOMP_BROKER_|NO_COLOR$|FORCE_COLOR$|NODE_OPTIONS$|NODE_V8_COVERAGE$|VITEST|NODE_ENV$)/.test(
          name,
        ),
    ),
  )
}

/** One run of the built command. */
export class Cli {
  stdout = ''
  stderr = ''
  /** Fulfilled once the process has ended and all it wrote was read. */
  readonly ended: Promise<Exit>
  private readonly child: ChildProcess
  private over = false
  private wakers: (() => void)[] = []

  /** `input`: what it reads from its standard input, which is empty by default. */
  constructor(
    args: readonly string[],
    environment: Record<string, string> = {},
    script = built,
    input?: string | Buffer,
  ) {
    if (!existsSync(script)) throw new Error('The command is not built; npm run build does that.')
    const child = (this.child = spawn(process.execPath, [script, ...args], {
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: { ...cleanEnvironment(), ...environment },
    }))
    // It may end without having read it.
    child.stdin?.on('error', () => {}).end(input)
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
      this.wake()
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
      this.wake()
    })
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code) => {
        this.over = true
        this.wake()
        resolve({ code, stdout: this.stdout, stderr: this.stderr })
      })
    })
  }

  get pid(): number {
    return this.child.pid ?? NaN
  }

  /** Waits for what it says, on stdout or stderr. Rejects when it ends without having said it. */
  async says(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stdout) && !pattern.test(this.stderr)) {
      if (this.over) throw new Error(`ended without ${pattern}:\n${this.stdout}${this.stderr}`)
      await new Promise<void>((resolve) => this.wakers.push(resolve))
    }
  }

  /** Waits for the banner and returns the addresses in it, by name. */
  async ready(): Promise<ReadonlyMap<string, readonly string[]>> {
    await this.says(/Stop: Ctrl-C\n/)
    const found = new Map<string, string[]>()
    for (const [, name = '', address = ''] of this.stdout.matchAll(/ {2}➜ {2}(.{11})(\S+)\n/g)) {
      found.set(name.trim(), [...(found.get(name.trim()) ?? []), address])
    }
    return found
  }

  /** Reads no more of what it writes to stdout. */
  deafen(): void {
    this.child.stdout?.destroy()
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Ends it by force, if it has not ended. */
  async kill(): Promise<void> {
    if (!this.over) this.child.kill('SIGKILL')
    await this.ended
  }

  private wake(): void {
    const { wakers } = this
    this.wakers = []
    for (const waker of wakers) waker()
  }
}

/** The runs of one test, which end with it at the latest. */
export class Shell {
  private readonly runs: Cli[] = []

  /** Starts a run that goes on. */
  start(args: readonly string[], environment: Record<string, string> = {}, script?: string): Cli {
    const run = new Cli(args, environment, script)
    this.runs.push(run)
    return run
  }

  /** A run that is expected to end by itself. */
  run(args: readonly string[], environment: Record<string, string> = {}): Promise<Exit> {
    return this.start(args, environment).ended
  }

  /** The same, with something to read. */
  feed(args: readonly string[], input: string | Buffer): Promise<Exit> {
    const run = new Cli(args, {}, undefined, input)
    this.runs.push(run)
    return run.ended
  }

  async close(): Promise<void> {
    await Promise.all(this.runs.map((run) => run.kill()))
  }
}

/** The port of an address, with or without a scheme. */
export function portOf(address: string | undefined): number {
  return Number(/:(\d+)(\/|$)/.exec(address ?? '')?.[1])
}
