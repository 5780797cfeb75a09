import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Failure } from './failure.ts'

/** A broker that was started to be measured. */
export interface OwnBroker {
  readonly url: string
  stop(): Promise<void>
}

const leash = fileURLToPath(new URL('leash.js', import.meta.url))
const command = fileURLToPath(new URL('../stomp-broker.js', import.meta.url))

/** Starts one in a process of its own, on a free port of this machine. Rejects with Failure. */
export async function startBroker(options: readonly string[]): Promise<OwnBroker> {
  const args = [leash, command, '--port', '0', '--no-demo', '--log-level', 'error', ...options]
  // In a group of its own: Ctrl-C is for the measurement, which still needs it.
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let output = ''
  let complaint = ''
  child.stderr
    ?.setEncoding('utf8')
    .on('data', (text: string) => (complaint = (complaint + text).slice(-2000)))
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text
      const found = /WebSocket +(\S+)\n/.exec(output)?.[1]
      if (found !== undefined) resolve(found)
    })
    child.once('error', (error) => reject(new Failure(`no broker could be started: ${error.message}.`)))
    child.once('close', () =>
      reject(new Failure(`no broker could be started.\n  ${complaint.trim().replace(/^error: /, '')}`)),
    )
  })
  return {
    url,
    stop: async () => {
      // Nothing that it holds is worth a farewell.
      child.kill('SIGKILL')
      await ended
    },
  }
}
