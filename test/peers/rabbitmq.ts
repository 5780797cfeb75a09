import { spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** A RabbitMQ node of our own, which shares nothing with one that the machine may be running. */
export interface RabbitMQ {
  readonly webSocketUrl: string
  readonly pid: number
  close(): Promise<void>
}

// The scripts themselves: the command that Debian puts on the PATH is for root, and turns into another user.
const places = [
  '/usr/lib/rabbitmq/bin/rabbitmq-server',
  '/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server',
  '/usr/local/opt/rabbitmq/sbin/rabbitmq-server',
]

/** Where RabbitMQ is installed; undefined where it is not. */
export function findRabbitMQ(): string | undefined {
  return places.find((place) => {
    try {
      accessSync(place, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Milliseconds the node gets to open its listener, and a process to end when it is asked to. */
const START = 90_000
const STOP = 15_000
/** Milliseconds between two attempts to connect. */
const POLL = 100

export async function startRabbitMQ(server: string): Promise<RabbitMQ> {
  const folder = await mkdtemp(join(tmpdir(), 'rabbitmq-'))
  const [webStomp = 0, stomp = 0, distribution = 0, names = 0] = await freePorts(4)
  const settings = [
    'listeners.tcp = none',
    `stomp.listeners.tcp.1 = 127.0.0.1:${stomp}`,
    'web_stomp.tcp.ip = 127.0.0.1',
    `web_stomp.tcp.port = ${webStomp}`,
    'log.file.level = error',
    // How full the machine is must not make the node refuse messages.
    'disk_free_limit.absolute = 1MB',
    'vm_memory_high_watermark.relative = 0.9',
  ]
  await writeFile(join(folder, 'rabbitmq.conf'), settings.join('\n'))
  await writeFile(join(folder, 'plugins'), '[rabbitmq_stomp,rabbitmq_web_stomp].')
  const environment: NodeJS.ProcessEnv = {
    ...inherited(),
    HOME: folder,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(names),
    RABBITMQ_NODENAME: `stomp-broker-${names}@localhost`,
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'none.config'),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'none.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_LOGS: join(folder, 'log', 'node.log'),
    RABBITMQ_SCHEMA_DIR: join(folder, 'schema'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'config'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    // Its script then turns into the Erlang machine, where it would else stay as the parent of it.
    RUNNING_UNDER_SYSTEMD: 'true',
  }
  const programs: Program[] = []
  const close = async (): Promise<void> => {
    // The node before the register that it is in.
    for (const program of programs.toReversed()) await program.stop()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    // Erlang's register of nodes. A node that finds none starts one, which outlives it.
    for (const [command, port] of [
      ['epmd', names],
      [server, webStomp],
    ] as const) {
      const program = new Program(command, environment)
      programs.push(program)
      await program.listens(port)
    }
  } catch (error) {
    await close()
    throw error
  }
  const pid = programs.at(-1)?.pid ?? 0
  return { webSocketUrl: `ws://127.0.0.1:${webStomp}/ws`, pid, close }
}

/** Nothing of what may be set up here for another node. */
function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(RABBITMQ_|ERL_|NOTIFY_SOCKET$)/.test(name)),
  )
}

/** Ports that nobody listened on a moment ago. */
async function freePorts(count: number): Promise<number[]> {
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
class Program {
  private readonly command: string
  private readonly child: ChildProcess
  private readonly ended: Promise<void>
  private over: string | undefined
  private output = ''

  constructor(command: string, env: NodeJS.ProcessEnv) {
    this.command = command
    this.child = spawn(command, [], { env, stdio: ['ignore', 'pipe', 'pipe'] })
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
