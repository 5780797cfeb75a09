import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts, isExecutable, Program } from './program.ts'

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
  return places.find(isExecutable)
}

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
      const program = new Program(command, [], environment)
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
