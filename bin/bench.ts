import type { Command } from 'commander'
import { VERSION } from '../broker/index.ts'
import { startBroker, type OwnBroker } from './bench/broker.ts'
import { Failure } from './bench/failure.ts'
import { Load } from './bench/load.ts'
import { json, progress, table } from './bench/report.ts'
import { addSettings, checkSettings, planOf, stintOf, type Settings } from './bench/settings.ts'
import { readTarget } from './bench/target.ts'

// sysexits: 64 usage.
const USAGE = 64
const INTERRUPTED = 130

/** Milliseconds between two looks at how it stands, for people and for files. */
const LIVE = 250
const PLAIN = 5_000

/** Adds `bench`, which measures a broker. */
export function addBench(program: Command): void {
  // Options before the word are the broker's, those behind it are the measurement's.
  program.enablePositionalOptions().helpCommand(false)
  const command = program
    .command('bench')
    .description('measure a broker, this one or any other that speaks STOMP 1.1 or 1.2')
  addSettings(command)
  command.action(async (settings: Settings) => {
    const before = process.argv.slice(2, process.argv.length - program.args.length)
    process.exitCode = await bench(settings, before).catch(explain)
  })
}

function explain(error: unknown): number {
  if (!(error instanceof Failure)) throw error
  process.stderr.write(
    `error: ${error.message}\n${error.advice === '' ? '' : `  ${error.advice.replaceAll('\n', '\n  ')}\n`}`,
  )
  return 1
}

async function bench(settings: Settings, brokerOptions: readonly string[]): Promise<number> {
  try {
    checkSettings(settings)
    if (settings.url !== undefined) {
      readTarget(settings.url)
      if (brokerOptions.length > 0)
        throw new Failure(
          `${brokerOptions.join(' ')} is for a broker that is started, and --url is one that is running.`,
          'Leave out one of the two. Options of bench go behind the word.',
        )
    }
  } catch (error) {
    explain(error)
    return USAGE
  }
  const interrupt = new AbortController()
  const stop = (): void => {
    // A second one means now.
    if (interrupt.signal.aborted) process.exit(INTERRUPTED)
    interrupt.abort()
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  let own: OwnBroker | undefined
  let load: Load | undefined
  try {
    const { url } = settings
    if (url === undefined) own = await startBroker(brokerOptions)
    load = new Load(planOf(settings, readTarget(url ?? own?.url ?? '')))
    return await measure(load, settings, interrupt.signal)
  } finally {
    load?.close()
    await own?.stop()
    process.removeListener('SIGINT', stop)
    process.removeListener('SIGTERM', stop)
  }
}

async function measure(load: Load, settings: Settings, signal: AbortSignal): Promise<number> {
  const stint = stintOf(settings)
  const display = new Display(load, settings)
  try {
    // Connections of thousands take a while, which nobody has to wait for.
    const interrupted = new Promise<'interrupted'>((resolve) =>
      signal.addEventListener('abort', () => resolve('interrupted'), { once: true }),
    )
    const opening = load.open()
    opening.catch(() => {})
    if ((await Promise.race([opening, interrupted])) === 'interrupted') return INTERRUPTED
    const figures = await load.measure({ ...stint, signal, mark: (which) => display.mark(which) })
    display.end()
    // It was still warming up.
    if (signal.aborted && figures.seconds === 0) return INTERRUPTED
    const notes: string[] = []
    if (!load.answered)
      notes.push(
        'The broker sends no receipts for SUBSCRIBE, so it was given two seconds; what was lost at first may be due to that.',
      )
    const { failure } = load
    // There is nothing to show then but why.
    if (failure !== undefined && figures.delivered === 0) return explain(failure)
    const verdict = load.verdict()
    const ended =
      failure !== undefined
        ? `It ended early: ${failure.message}`
        : signal.aborted
          ? 'It was ended early.'
          : undefined
    const { plan } = load
    const result = {
      version: VERSION,
      broker: load.server,
      plan,
      pace: stint.pace,
      warmUp: stint.warmUp,
      figures,
      verdict,
      ended,
      notes,
    }
    const unwritten = await write(settings.json === true ? json(result) : table(result))
    if (unwritten) return explain(new Failure(`the result could not be written: ${unwritten.message}.`))
    if (failure !== undefined) return explain(failure)
    return verdict.lost > 0 || verdict.duplicates > 0 ? 1 : 0
  } finally {
    display.end()
  }
}

function write(text: string): Promise<Error | null | undefined> {
  return new Promise((resolve) => process.stdout.write(text, resolve))
}

/** Says on stderr how it stands: in one line that changes on a terminal, else now and then. */
class Display {
  private readonly load: Load
  private readonly settings: Settings
  private readonly live = process.stderr.isTTY
  private timer: NodeJS.Timeout | undefined
  private began = performance.now()
  private state: 'connecting' | 'measuring' | 'waiting' = 'connecting'
  private before = { time: performance.now(), sent: 0, delivered: 0 }

  constructor(load: Load, settings: Settings) {
    this.load = load
    this.settings = settings
    if (settings.json !== true || this.live)
      this.timer = setInterval(() => this.show(), this.live ? LIVE : PLAIN)
  }

  mark(which: 'begin' | 'end'): void {
    this.state = which === 'begin' ? 'measuring' : 'waiting'
    this.began = performance.now()
    this.before = { time: this.began, sent: 0, delivered: 0 }
  }

  end(): void {
    if (this.timer === undefined) return
    clearInterval(this.timer)
    this.timer = undefined
    if (this.live) process.stderr.write('\r\u001B[K')
  }

  private show(): void {
    const { load } = this
    const line =
      this.state === 'measuring'
        ? this.rates()
        : this.state === 'waiting'
          ? 'waiting for what is on its way'
          : this.opening()
    const room = (process.stderr.columns || 80) - 3
    process.stderr.write(this.live ? `\r\u001B[K  ${line.slice(0, room)}` : `  ${line}\n`)
    this.before = { time: performance.now(), sent: load.sent, delivered: load.delivered }
  }

  private rates(): string {
    const { load, before } = this
    const now = performance.now()
    const seconds = (now - before.time) / 1000
    const rate = {
      sent: (load.sent - before.sent) / seconds,
      delivered: (load.delivered - before.delivered) / seconds,
    }
    return progress(load, (now - this.began) / 1000, rate)
  }

  private opening(): string {
    const { load, settings } = this
    const all = settings.publishers + settings.subscribers
    return load.connected < all ? `connected ${load.connected} of ${all}` : 'warming up'
  }
}
