import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** None of ours outlives this process, however it ends. */
const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Tells a child from its parent over the channel between them. */
export function tell(child: ChildProcess, message: string): void {
  if (child.connected) child.send(message)
}

/** Starts a script with Node, and a channel to it. It ends with this process. */
export function start(
  script: string,
  args: readonly string[],
  nodeArgs: readonly string[] = [],
  more: Readonly<Record<string, string>> = {},
): ChildProcess {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(STOMP_BROKER_|NODE_OPTIONS$|NODE_V8_COVERAGE$)/.test(name),
    ),
  )
  const child = fork(script, args, {
    execArgv: [...nodeArgs],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...env, ...more },
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

/** A program of this folder, as it was compiled. */
export function program(name: string): string {
  return fileURLToPath(new URL(`${name}.js`, import.meta.url))
}

/** The next message of a child. Rejects when it ends before. */
export async function hear<T>(child: ChildProcess, what: string): Promise<T> {
  const stop = new AbortController()
  const { signal } = stop
  try {
    return await Promise.race([
      once(child, 'message', { signal }).then(([message]) => message as T),
      once(child, 'exit', { signal }).then(([code, by]) => {
        throw new Error(`ended (${String(code ?? by)}) while ${what} was awaited`)
      }),
    ])
  } finally {
    stop.abort()
  }
}

/** Ends it at once, if it has not ended. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
