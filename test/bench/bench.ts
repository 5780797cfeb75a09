/** What this broker costs, next to the least that Node could do it for, and to what else is installed. */
import { writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { median, scenarios, sum, type Extent, type Sample, type Scenario } from './scenarios.ts'
import { cores, known, ourBroker, pin, running, type Kind, type Need, type Server } from './servers.ts'

const HELP = `npm run bench -- [options]

  --scenarios <list>   which, with commas between (all)
  --servers <list>     which, with commas between (all that are installed)
  --server <name=url>  one more that is running already, with #<pid> to read its CPU time; several times if need be
  --build <name=file>  one more build of this broker, by its dist/bin/stomp-broker.js
  --reps <n>           how often each is measured; medians are shown (3)
  --duration <s>       seconds of one measurement (1)
  --quick              a hundredth of the large numbers, and each for 0.2 s once: to see that it works
  --json <file>        also write every single result there
  --help

Scenarios
${scenarios.map(({ name, title }) => `  ${name.padEnd(13)}${title}`).join('\n')}

Servers on this machine
  ${known()
    .map(({ name }) => name)
    .join(', ')}

Peers that are started where they are found
  rabbitmq         RabbitMQ (Debian: apt-get install rabbitmq-server)
  activemq         ActiveMQ Classic with a Java (Debian: apt-get install activemq), or a download that
                   ACTIVEMQ_HOME names
  stomp-broker-js  in node_modules (npm install --no-save stomp-broker-js)
`

/** Seconds. */
const WARM_UP = 0.4

interface Run {
  readonly scenario: string
  readonly server: string
  readonly sample: Sample
}

interface Options {
  readonly chosen: readonly Scenario[]
  readonly kinds: readonly Kind[]
  readonly reps: number
  readonly extent: Extent
  readonly json: string | undefined
}

function readOptions(): Options {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      scenarios: text,
      servers: text,
      server: { ...text, multiple: true },
      build: { ...text, multiple: true },
      reps: text,
      duration: text,
      json: text,
      quick: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help === true) {
    process.stdout.write(HELP)
    process.exit(0)
  }
  const builds = (values.build ?? []).map((build) => {
    const [name = '', file = ''] = build.split('=')
    if (name === '' || file === '') throw new RangeError(`${JSON.stringify(build)} is no name=file`)
    return ourBroker(name, file)
  })
  return {
    chosen: choose('scenario', scenarios, values.scenarios),
    kinds: [...choose('server', known(), values.servers), ...builds, ...(values.server ?? []).map(running)],
    reps: positive('--reps', values.reps ?? (values.quick === true ? '1' : '3'), true),
    extent: {
      duration: positive('--duration', values.duration ?? (values.quick === true ? '0.2' : '1'), false),
      divisor: values.quick === true ? 100 : 1,
      warmUp: WARM_UP,
    },
    json: values.json,
  }
}

function choose<T extends { name: string }>(
  what: string,
  all: readonly T[],
  list: string | undefined,
): readonly T[] {
  if (list === undefined) return all
  return list.split(',').map((name) => {
    const found = all.find((one) => one.name === name)
    if (found === undefined)
      throw new RangeError(
        `there is no ${what} ${JSON.stringify(name)}, but ${all.map((one) => one.name).join(', ')}`,
      )
    return found
  })
}

function positive(option: string, text: string, whole: boolean): number {
  const value = Number(text)
  if (!(value > 0) || (whole && !Number.isInteger(value)))
    throw new RangeError(`${option} ${text} is no number above zero`)
  return value
}

/** Servers that have been started, by name, also those that are still about to listen. */
const started = new Map<string, Promise<Server>>()

async function serverOf(kind: Kind, fresh: boolean, durable: boolean): Promise<Server> {
  const name = durable && kind.ours ? `${kind.name}, durable` : kind.name
  const one = started.get(name)
  if (one !== undefined && !(fresh && kind.ours)) return one
  await (await one)?.stop()
  const server = kind.start(durable)
  started.set(name, server)
  return server
}

/** One that has not started has nothing to stop. */
async function stop(): Promise<void> {
  await Promise.allSettled(Array.from(started.values(), async (server) => (await server).stop()))
}

function figure(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '-'
  const digits = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 1 ? 2 : 3
  return value.toLocaleString('en', { maximumFractionDigits: digits })
}

/** What a scenario needs and a server lacks. */
function lacking({ needs }: Scenario, { lacks }: Kind): Need | undefined {
  return needs !== undefined && lacks.includes(needs) ? needs : undefined
}

async function once(scenario: Scenario, kind: Kind, usual: Extent, first: boolean): Promise<Run> {
  const { slowToWarm = 0 } = kind
  const warmUp = first ? Math.max(usual.warmUp, slowToWarm * usual.duration) : usual.warmUp
  const extent = { ...usual, warmUp }
  const began = performance.now()
  let sample: Sample
  try {
    sample = await scenario.run(
      await serverOf(kind, scenario.fresh === true, scenario.durable === true),
      extent,
      kind,
    )
  } catch (error) {
    const verdict = { lost: 0, duplicates: 0, outOfOrder: 0, strange: 0 }
    sample = { values: {}, verdict, busy: 0, failure: (error as Error).message }
  }
  const shown = scenario.columns.map(({ key, title }) => `${figure(sample.values[key])} ${title}`)
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`
  tell(scenario, kind, took, sample.failure === undefined ? shown.join(', ') : `FAILED: ${sample.failure}`)
  return { scenario: scenario.name, server: kind.name, sample }
}

function tell(scenario: Scenario, kind: Kind, took: string, said: string): void {
  process.stderr.write(
    `  ${scenario.name.padEnd(12)} ${kind.name.padEnd(15)} ${took.padStart(7)}   ${said}\n`,
  )
}

async function runAll({ chosen, kinds, reps, extent }: Options): Promise<Run[]> {
  const runs: Run[] = []
  for (let rep = 0; rep < reps; rep++) {
    for (const scenario of chosen) {
      if (rep > 0 && scenario.heavy === true) continue
      // Another one begins each time, so that none always follows the same neighbour.
      for (let place = 0; place < kinds.length; place++) {
        const kind = kinds[(place + rep) % kinds.length]
        if (kind === undefined || (scenario.own === true && !kind.ours)) continue
        const missing = lacking(scenario, kind)
        if (missing === undefined) runs.push(await once(scenario, kind, extent, rep === 0))
        else if (rep === 0) tell(scenario, kind, '-', `no ${missing}`)
      }
    }
  }
  return runs
}

/** One table for each scenario, in Markdown. */
function report({ chosen, kinds, reps, extent }: Options, runs: readonly Run[]): string {
  const [cpu] = cpus()
  const pinned =
    cores === undefined ? 'processes on any core' : 'servers on one core, the load generator on another'
  const text = [
    `Node ${process.version}, ${process.platform} ${process.arch}, ${cpus().length} × ${cpu?.model.trim() ?? 'unknown'}; ${pinned}; medians of ${reps} interleaved runs of ${extent.duration} s, one run of what takes long.`,
    '',
    ...(extent.divisor === 1
      ? []
      : [
          `--quick: rooms, connections, messages that wait and so on are 1/${extent.divisor} of what is said.`,
          '',
        ]),
  ]
  const notes = kinds.flatMap(({ name, note }) => (note === undefined ? [] : `${name}: ${note}.`))
  if (notes.length > 0) text.push(...notes, '')
  for (const scenario of chosen) {
    const { name, title, columns, ratio } = scenario
    const of = (server: string): Sample[] =>
      runs.filter((run) => run.scenario === name && run.server === server).map(({ sample }) => sample)
    const value = (server: string, key: string): number =>
      median(of(server).flatMap(({ values }) => values[key] ?? []))
    const compared = columns.find(({ key }) => key === ratio)?.title ?? ratio
    const heads = [
      '',
      ...columns.map((column) => column.title),
      `${compared}, to limit`,
      'generator busy',
      'lost / twice / disordered',
    ]
    const rows = kinds
      .filter(({ ours }) => ours || scenario.own !== true)
      .map((kind) => {
        const samples = of(kind.name)
        const missing = lacking(scenario, kind)
        if (missing !== undefined) {
          const dashes = Array.from({ length: heads.length - 2 }, () => '-')
          return [kind.name, ...dashes, `no ${missing}`]
        }
        const verdict = samples.map((sample) => sample.verdict).reduce(sum)
        const failure = samples.find((sample) => sample.failure !== undefined)?.failure
        // With fewer connections it is another measurement. Others have no count.
        const alike = Object.is(value(kind.name, 'count'), value('limit', 'count'))
        const part = alike ? value(kind.name, ratio) / value('limit', ratio) : NaN
        return [
          kind.name,
          ...columns.map(({ key }) => figure(value(kind.name, key))),
          Number.isNaN(part) ? '-' : `${part.toFixed(2)} ×`,
          `${Math.round(100 * median(samples.map(({ busy }) => busy)))} %`,
          failure === undefined
            ? `${verdict.lost} / ${verdict.duplicates} / ${verdict.outOfOrder}`
            : `FAILED: ${failure.replaceAll('\n', ' ')}`,
        ]
      })
    const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
    text.push(`### ${name}: ${title}`, '', line(heads), line(heads.map(() => '---')), ...rows.map(line), '')
  }
  return text.join('\n')
}

async function main(): Promise<void> {
  let options: Options
  try {
    options = readOptions()
  } catch (error) {
    process.stderr.write(`error: ${(error as Error).message}\n(npm run bench -- --help lists the options)\n`)
    process.exitCode = 64
    return
  }
  if (cores !== undefined) pin(process.pid, cores.load)
  const leave = (): void => void stop().then(() => process.exit(130))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, leave)
  // Nobody reads on, as behind `| head`.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', leave)
  try {
    const runs = await runAll(options)
    process.stdout.write(`${report(options, runs)}\n`)
    if (options.json !== undefined) await writeFile(options.json, JSON.stringify(runs, undefined, 1))
    const bad = runs.some(
      ({ sample: { verdict, failure } }) =>
        failure !== undefined || verdict.lost > 0 || verdict.duplicates > 0,
    )
    process.exitCode = bad ? 1 : 0
  } finally {
    await stop()
  }
}

await main()
