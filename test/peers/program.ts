import { spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'

/** Milliseconds a program gets to open its listener, and to end when it is asked to. */
const START = 90_000
const STOP = 15_000
/** Milliseconds between two attempts to connect. */
const POLL = 100

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Ports that nobody listened on a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports: number[] = []
  // All of them at once, or one port might be found twice.
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    ports.push((server.address() as AddressInfo).port) // an AddressInfo once it listens on a port
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** A program that runs until it is told to stop. */
export class Program {
  private readonly command: string
  private readonly child: ChildProcess
  private readonly ended: Promise<void>
  private over: string | undefined
  private output = ''

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.command = command
    this.child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text))
    }
    this.ended = new Promise((resolve) => {
      this.child.on('error', (error) => {
        this.over = error.message
        resolve()
      })
      this.child.on('exit', (code, signal) => {
        this.over = `it ended with ${signal ?? code}`
        resolve()
      })
    })
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** Until something accepts connections on `port`. Rejects when the program ends before. */
  async listens(port: number): Promise<void> {
    const deadline = Date.now() + START
    while (!(await accepts(port))) {
      const reason = this.over ?? (Date.now() > deadline ? 'it does not listen' : undefined)
      if (reason !== undefined) throw new Error(`${this.command} has not started: ${reason}.\n${this.output}`)
      await setTimeout(POLL)
    }
  }

  async stop(): Promise<void> {
    if (this.over !== undefined) return
    this.child.kill('SIGTERM')
    const patience = new AbortController()
    await Promise.race([
      this.ended,
      setTimeout(STOP, undefined, patience).then(() => this.child.kill('SIGKILL')),
    ]).catch(() => {})
    patience.abort()
    await this.ended
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}
