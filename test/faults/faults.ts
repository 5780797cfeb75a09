/** Plays faults to the built broker: `npm run faults -- --help`. */
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { churn } from './churn.ts'
import { floods } from './floods.ts'
import { fuzz } from './fuzz.ts'
import { loris } from './loris.ts'
import { Random } from './random.ts'
import { sleepers } from './sleepers.ts'
import { soak } from './soak.ts'
import { play, type Fault } from './stage.ts'

const faults: readonly Fault[] = [fuzz, floods, sleepers, loris, churn, soak]

const HELP = `Plays faults to a broker, each to one of its own, while a canary measures what others notice.

  --minutes <n>     how long all of it takes, about; 10 by default
  --seconds <n>     how long the load of each fault lasts, instead
  --only <list>     some of the faults: ${faults.map(({ name }) => name).join(', ')}
  --seed <n>        the random numbers of an earlier run
  --case <n>        one case of the fuzzer, with its seed
`
/** Seconds that a fault may take beyond its load. */
const SPARE = 120

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    seed: { type: 'string' },
    case: { type: 'string' },
    help: { type: 'boolean' },
  },
})
if (values.help) {
  process.stdout.write(HELP)
  process.exit(0)
}

const names = values.only?.split(',') ?? faults.map(({ name }) => name)
const unknown = names.find((name) => faults.every((fault) => fault.name !== name))
if (unknown !== undefined) {
  process.stderr.write(`there is no fault ${JSON.stringify(unknown)}\n\n${HELP}`)
  process.exit(64)
}
const chosen = faults.filter(({ name }) => names.includes(name))
const seconds =
  values.seconds === undefined ? (Number(values.minutes) * 60) / chosen.length : Number(values.seconds)
const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed)
const only = values.case === undefined ? undefined : Number(values.case)

// Nothing is left running by a test that was ended.
const parent = process.ppid
setInterval(() => {
  if (process.ppid !== parent) process.exit(1)
}, 500).unref()

const [fault] = chosen
if (chosen.length === 1 && fault !== undefined) await playOne(fault)
else for (const { name } of chosen) await playApart(name)

async function playOne(fault: Fault): Promise<void> {
  const begun = performance.now()
  const limit = setTimeout(
    () => {
      process.stderr.write(`${fault.name}: not done ${SPARE} s after its time (seed ${seed})\n`)
      process.exit(1)
    },
    (seconds + SPARE) * 1000,
  )
  try {
    const report = await play(fault, { seconds, seed, only, random: new Random(seed) })
    const took = ((performance.now() - begun) / 1000).toFixed(1)
    process.stdout.write(`${fault.name} (seed ${seed}, ${took} s): ${report}\n`)
  } catch (error) {
    process.exitCode = 1
    process.stderr.write(`${fault.name} failed (seed ${seed}): ${describe(error)}\n`)
  }
  clearTimeout(limit)
}

/** In a process of its own, since each gives up some of its priority. */
async function playApart(name: string): Promise<void> {
  const args = ['--only', name, '--seconds', String(seconds), '--seed', String(seed)]
  const child = spawn(process.execPath, [process.argv[1] ?? '', ...args], { stdio: 'inherit' })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) process.exitCode = 1
}

function describe(error: unknown): string {
  const { stack = String(error), cause } = error as Error
  return cause === undefined ? stack : `${stack}\nbecause of ${describe(cause)}`
}
