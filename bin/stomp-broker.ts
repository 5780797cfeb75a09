#!/usr/bin/env node
import { Command } from 'commander'
import { createBroker, OptionsError, StoreError, VERSION, type Broker } from '../broker/index.ts'
import { addBench } from './bench.ts'
import { banner, explainListenError } from './banner.ts'
import { addFlags, inWordsOf, readFlags } from './flags.ts'
import { addStore } from './store.ts'

// sysexits: 64 usage, 74 input and output.
const USAGE = 64
const STORE = 74
/** Milliseconds between two words about a stop that takes its time. */
const PROGRESS_INTERVAL = 1_000

const program = new Command('stomp-broker')
  .description('STOMP 1.0, 1.1 and 1.2 message broker: WebSocket, SockJS and TCP on one command.')
  .version(VERSION)
  .helpOption('-h, --help', 'show this help')
  .showHelpAfterError('(stomp-broker --help lists the options)')
  .configureHelp({ helpWidth: Math.min(process.stdout.columns ?? 100, 110) })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : USAGE))

addFlags(program)
addBench(program)
addStore(program)
// A closed pipe or a full disk behind the banner is no reason to stop.
process.stdout.on('error', () => {})

program.addHelpText(
  'after',
  `
Sizes may be written as 64k, 8m or 1g. Every option can also be set in the environment, for
example STOMP_BROKER_PORT=8080 or STOMP_BROKER_DEMO=false; the command line wins.

SIGTERM and Ctrl-C finish what was accepted and tell the clients; a second one ends at once.

Examples:
  stomp-broker                                      broker and chat demo on http://127.0.0.1:61614/
  stomp-broker --port 15674 --tcp-port 61613        in the place of RabbitMQ
  stomp-broker --origins https://app.example.com    let pages of that site connect
  stomp-broker --data-dir ./data --persistent       keep what is queued over restarts and crashes
  stomp-broker --host 0.0.0.0 --no-demo             for the network, without the demo
  stomp-broker --port 0 --log-level debug           any free port, and tell all`,
)

program.allowExcessArguments()
program.action(async () => {
  const [word] = program.args
  if (word !== undefined) {
    quit(`${JSON.stringify(word)} is not understood; see stomp-broker --help`, USAGE)
  }
  const broker = configure()
  const addresses = await broker.listen().catch((error: NodeJS.ErrnoException) => {
    if (error instanceof StoreError) return quit(error.message, STORE)
    const { text, code } = explainListenError(error, broker.settings)
    return quit(text, code)
  })
  let stopping = false
  const stop = (signal: NodeJS.Signals): void => {
    // A second signal means now.
    if (stopping) process.exit(1)
    stopping = true
    process.stdout.write('  Closing connections ...\n')
    setInterval(() => process.stdout.write(`  ${progress(broker.stats.connections)}\n`), PROGRESS_INTERVAL)
    const { stopCode } = broker.settings
    // Supervisors stop what they start anew with SIGTERM; Ctrl-C is somebody who has had enough.
    const restarting = stopCode === 'auto' ? signal === 'SIGTERM' : stopCode === 'restart'
    broker.close({ restarting }).then(
      () => process.exit(0),
      (error: Error) => quit(`the broker could not stop in order: ${error.message}`, 1),
    )
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  // Who reads that it runs may stop it at once.
  process.stdout.write(
    banner(addresses, broker.settings, performance.now(), process.stdout.isTTY && !process.env.NO_COLOR),
  )
})

function progress(connections: number): string {
  return connections > 0 ? `Closing connections: ${connections} left ...` : 'Finishing ...'
}

function configure(): Broker {
  try {
    return createBroker(readFlags(program, process.env))
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error
    return quit(error.problems.map((problem) => inWordsOf(program, process.env, problem)).join('\n  '), USAGE)
  }
}

function quit(text: string, code: number): never {
  process.stderr.write(`error: ${text}\n`)
  process.exit(code)
}

await program.parseAsync()
