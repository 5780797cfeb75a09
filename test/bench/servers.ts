import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findActiveMQ, startActiveMQ, type Installation } from '../peers/activemq.ts'
import { findRabbitMQ, startRabbitMQ } from '../peers/rabbitmq.ts'

/** What a scenario may need that not every server has. */
export type Need = 'SockJS' | 'queues' | 'messages back to their sender'

/** A server that runs. */
export interface Server {
  readonly url: string
  readonly sockJsUrl?: string
  readonly login?: string
  readonly pid: number | undefined
  stop(): Promise<void>
}

/** A server that can be started. */
export interface Kind {
  readonly name: string
  /** What others are compared with, and ours: these do everything, peers what can be expected of them. */
  readonly ours: boolean
  readonly lacks: readonly Need[]
  /** What to know of it when figures are compared. */
  readonly note?: string
  /** How many times the length of a measurement a scenario runs before the first: Java compiles what it is used for. */
  readonly slowToWarm?: number
  /** `durable`: what is sent with persistent:true is to be kept on disk; peers do that anyway. */
  start(durable?: boolean): Promise<Server>
}

/** The cores of the servers and of the load generator; undefined where processes cannot be kept on one. */
export const cores: { readonly server: string; readonly load: string } | undefined =
  availableParallelism() > 1 && spawnSync('taskset', ['--version']).status === 0
    ? { server: '0', load: '1' }
    : undefined

/** Keeps a process on a core, with all threads that it has. */
export function pin(pid: number, core: string): void {
  spawnSync('taskset', ['--all-tasks', '--pid', '--cpu-list', core, String(pid)])
}

/** Its scripts are compiled to dist-bench/test/bench, three folders below the root. */
function built(path: string): string {
  return fileURLToPath(new URL(`../../../${path}`, import.meta.url))
}

/** Starts a script with Node. The first thing it writes that `shows` finds is what it is known by. */
async function startNode(
  script: string,
  args: string[],
  shows: RegExp,
): Promise<{ child: ChildProcess; shown: string }> {
  if (!existsSync(script)) throw new Error(`${script} is not there; npm run build makes it.`)
  const command = [process.execPath, built('dist/bin/bench/leash.js'), script, ...args]
  if (cores !== undefined) command.unshift('taskset', '--cpu-list', cores.server)
  const [file = '', ...rest] = command
  const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  let output = ''
  const shown = await new Promise<string>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text
      const found = shows.exec(output)?.[1]
      if (found !== undefined) resolve(found)
    })
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`${script} ended with ${code}:\n${output}`)))
  })
  return { child, shown }
}

function stopper(child: ChildProcess): () => Promise<void> {
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await ended
    }
  }
}

/** What a scenario wants that is beyond the limits of every day. */
const ROOMY = [
  '--max-subscriptions=1000000',
  '--max-queue-messages=10000000',
  '--max-queue-bytes=16g',
  '--max-prefetch=65535',
]

/** The broker of this repository, as it is built; `script` for another build of it. */
export function ourBroker(name = 'stomp-broker', script = built('dist/bin/stomp-broker.js')): Kind {
  return {
    name,
    ours: true,
    lacks: [],
    start: async (durable = false) => {
      const folder = durable ? mkdtempSync(join(tmpdir(), 'bench-data-')) : ''
      const args = ['--port=0', '--no-demo', '--log-level=error', ...ROOMY]
      if (durable) args.push(`--data-dir=${folder}`)
      const { child, shown } = await startNode(script, args, /WebSocket +(\S+)\n/)
      const stop = stopper(child)
      return {
        url: shown,
        sockJsUrl: shown.replace('ws:', 'http:'),
        pid: child.pid,
        stop: async () => {
          await stop()
          if (durable) rmSync(folder, { recursive: true })
        },
      }
    },
  }
}

const limit: Kind = {
  name: 'limit',
  ours: true,
  lacks: [],
  start: async () => {
    const script = fileURLToPath(new URL('limit.js', import.meta.url))
    const { child, shown } = await startNode(script, [], /^(\d+)\n/)
    const host = `127.0.0.1:${shown}/ws`
    return {
      url: `ws://${host}`,
      sockJsUrl: `http://${host}`,
      pid: child.pid,
      stop: stopper(child),
    }
  },
}

function rabbitmq(command: string): Kind {
  return {
    name: 'rabbitmq',
    ours: false,
    lacks: ['SockJS'],
    start: async () => {
      const node = await startRabbitMQ(command)
      if (cores !== undefined) pin(node.pid, cores.server)
      return {
        url: node.webSocketUrl,
        login: 'guest',
        pid: node.pid,
        stop: () => node.close(),
      }
    },
  }
}

function activemq(installation: Installation): Kind {
  return {
    name: 'activemq',
    ours: false,
    lacks: ['SockJS'],
    note: 'over TCP, which is cheaper than the WebSocket of the others',
    slowToWarm: 5,
    start: async () => {
      const broker = await startActiveMQ(installation)
      if (cores !== undefined) pin(broker.pid, cores.server)
      return {
        url: broker.url,
        pid: broker.pid,
        stop: () => broker.close(),
      }
    },
  }
}

const stompBrokerJs: Kind = {
  name: 'stomp-broker-js',
  ours: false,
  // What is sent to a queue comes to every subscriber, and nothing to who has sent it.
  lacks: ['SockJS', 'queues', 'messages back to their sender'],
  start: async () => {
    const script = fileURLToPath(new URL('../peers/stomp-broker-js.js', import.meta.url))
    const { child, shown } = await startNode(script, [], /^(\d+)\n/)
    return {
      url: `ws://127.0.0.1:${shown}/ws`,
      pid: child.pid,
      stop: stopper(child),
    }
  },
}

/** Whether somebody has installed it beside us. */
function hasStompBrokerJs(): boolean {
  try {
    createRequire(import.meta.url).resolve('stomp-broker-js')
    return true
  } catch {
    return false
  }
}

/** A server that somebody else has started: `name=url`, and with `#<pid>` at its end its CPU time is read. */
export function running(text: string): Kind {
  const [, name = '', url = '', pid] = /^([\w.-]+)=([^#]+)(?:#(\d+))?$/.exec(text) ?? []
  if (name === '' || !URL.canParse(url))
    throw new RangeError(`${JSON.stringify(text)} is no name=url, as in artemis=ws://127.0.0.1:61613/#4711`)
  const number = pid === undefined ? undefined : Number(pid)
  return {
    name,
    ours: false,
    lacks: ['SockJS'],
    start: () => Promise.resolve({ url, login: 'guest', pid: number, stop: () => Promise.resolve() }),
  }
}

/** What can be started on this machine. */
export function known(): Kind[] {
  const rabbit = findRabbitMQ()
  const active = findActiveMQ()
  return [
    ourBroker(),
    limit,
    ...(rabbit === undefined ? [] : [rabbitmq(rabbit)]),
    ...(active === undefined ? [] : [activemq(active)]),
    ...(hasStompBrokerJs() ? [stompBrokerJs] : []),
  ]
}
