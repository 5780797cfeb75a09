import { closeSync, createReadStream, fsyncSync, openSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { StoreError, VERSION } from '../broker/index.ts'
import { compact } from '../broker/engine/compaction.ts'
import { Export } from '../broker/engine/export.ts'
import { Folder, InUseError } from '../broker/engine/folder.ts'
import { Import, ImportError, linesOf } from '../broker/engine/import.ts'
import { takeInventory } from '../broker/engine/inventory.ts'
import { parseInteger, variable } from './flags.ts'
import { many, Progress, size, table, unread } from './store/report.ts'

// sysexits: 64 usage, 65 what was to be imported, 74 input and output, 75 try again later.
const USAGE = 64
const INPUT = 65
const STORE = 74
const IN_USE = 75

/** Characters that are written at a time. */
const CHUNK = 256 * 1024

interface Settings {
  readonly dataDir?: string
  readonly json?: boolean
  readonly out?: string
  readonly in?: string
  readonly skip?: number
}

/** Adds `store`, which looks after what a broker keeps on disk. */
export function addStore(program: Command): void {
  const store = program
    .command('store')
    .description('look at, compact, save and restore what --data-dir keeps')
    .showHelpAfterError('(stomp-broker store --help shows how it is used)')
    .helpCommand(false)
    .addHelpText('after', HELP)
  const add = (
    name: string,
    help: string,
    run: (path: string, settings: Settings) => Promise<number>,
  ): Command =>
    store
      .command(name)
      .description(help)
      .addOption(new Option('--data-dir <folder>', `folder of the store (or ${variable('dataDir')})`))
      .action(async (settings: Settings) => {
        // It may stand before the word, where a broker has it.
        const before = program.getOptionValue('dataDir') as string | undefined
        const dataDir = settings.dataDir ?? before ?? process.env[variable('dataDir')] ?? ''
        if (dataDir === '') return quit('--data-dir <folder> is to say where the store is', USAGE)
        process.exitCode = await run(resolve(dataDir), settings).catch(explain)
      })
  add('inspect', 'show what is in it, and check all of it', inspect).option('--json', 'print JSON')
  add('compact', 'give back the space that is free in its file', compactStore).option('--json', 'print JSON')
  add('export', 'write all of it as lines of JSON, also if it is damaged', exportStore).addOption(
    new Option('--out <file>', 'a new file to write to (default: the standard output)'),
  )
  add('import', 'add what was exported to a store, new or not', importStore)
    .addOption(new Option('--in <file>', 'the file to read (default: the standard input)'))
    .addOption(
      new Option('--skip <n>', 'lines at the beginning that are in the store already').argParser(parseSkip),
    )
}

const HELP = `
Exit codes: 0 done; 64 wrong usage; 65 the input of import cannot be taken; 74 the store is damaged,
or something cannot be read or written; 75 a broker has the store, stop it first.

Examples:
  stomp-broker store inspect --data-dir ./data                        what is in it, and is it whole?
  stomp-broker store inspect --data-dir ./data --json                 the same for scripts
  stomp-broker store compact --data-dir ./data                        make its file smaller
  stomp-broker store export --data-dir ./data --out saved.jsonl       save it, or what is left of it
  stomp-broker store import --data-dir ./new-data --in saved.jsonl    and into a new folder`

function parseSkip(text: string): number {
  const value = parseInteger(text)
  if (value < 0) throw new InvalidArgumentError('It must not be negative.')
  return value
}

function quit(text: string, code: number): void {
  process.stderr.write(`error: ${text}\n`)
  process.exitCode = code
}

function explain(error: unknown): number {
  if (!(error instanceof StoreError || error instanceof ImportError)) throw error
  process.stderr.write(`error: ${error.message}\n`)
  if (error instanceof ImportError) return INPUT
  return error instanceof InUseError ? IN_USE : STORE
}

async function inspect(path: string, { json }: Settings): Promise<number> {
  const progress = new Progress('looked at', 'records')
  const inventory = await takeInventory(path, (records) => progress.show(records))
  progress.end()
  await print(
    json === true
      ? `${JSON.stringify(inventory)}\n`
      : table(path, inventory, process.stdout.isTTY && !process.env.NO_COLOR),
  )
  return inventory.damaged > 0 ? STORE : 0
}

async function compactStore(path: string, { json }: Settings): Promise<number> {
  const folder = await Folder.take(path, VERSION, false)
  const clean = folder.untouched
  try {
    const sizes = await compact(folder)
    const { before, after } = sizes
    const told =
      after < before
        ? `${path} was ${size(before)} and is ${size(after)}, ${size(before - after)} less.`
        : `${path} is ${size(after)}; there was nothing to give back.`
    await print(json === true ? `${JSON.stringify(sizes)}\n` : `${told}\n`)
    return 0
  } finally {
    // What was not closed properly is still to be looked at by the broker.
    await (clean ? folder.release() : folder.abandon())
  }
}

async function exportStore(path: string, { out }: Settings): Promise<number> {
  const saved = await Export.open(path)
  const progress = new Progress('exported', 'messages')
  const output = out === undefined ? undefined : create(out)
  try {
    let text = ''
    const flush = async (): Promise<void> => {
      if (output === undefined) await print(text)
      else writeFileSync(output, text)
      text = ''
    }
    for (const line of saved.lines()) {
      text += line
      progress.show(saved.messages)
      if (text.length >= CHUNK) await flush()
    }
    await flush()
    if (output !== undefined) fsyncSync(output)
  } catch (error) {
    const { message } = error as Error
    throw new StoreError(`The export could not be written, and is not whole: ${message}.`)
  } finally {
    progress.end()
    if (output !== undefined) closeSync(output)
    await saved.close()
  }
  const { messages, lost, damages } = saved
  if (damages.length === 0) {
    if (out !== undefined) process.stderr.write(`${many(messages, 'message')} saved in ${out}.\n`)
    return 0
  }
  process.stderr.write(
    `error: The store in ${path} is damaged: ${damages.join(', ')}. ${many(messages, 'message')} could be read, ${unread(lost)}.\n`,
  )
  return STORE
}

/** A file that was not there: nobody's backup is written over. */
function create(path: string): number {
  try {
    return openSync(path, 'wx', 0o600)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new StoreError(
      code === 'EEXIST'
        ? `${path} is there already; choose another --out.`
        : `${path} cannot be written: ${message}.`,
    )
  }
}

async function importStore(path: string, settings: Settings): Promise<number> {
  const { in: file, skip = 0 } = settings
  if (file === undefined && process.stdin.isTTY) {
    quit('there is nothing to import; say --in <file>, or pipe an export into it', USAGE)
    return USAGE
  }
  const warn = (text: string): void => void process.stderr.write(`warning: ${text}\n`)
  const taken = new Import(path, { version: VERSION, warn })
  const progress = new Progress('imported', 'messages')
  const input = file === undefined ? process.stdin : createReadStream(file)
  try {
    await taken.take(linesOf(input), skip, () => progress.show(taken.messages))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    throw new ImportError(`${file ?? 'the standard input'} cannot be read: ${message}. ${taken.state}`)
  } finally {
    progress.end()
  }
  const { messages, queues, retained, known } = taken
  process.stderr.write(
    `${many(messages, 'message')}, ${many(queues, 'queue')} and ${many(retained, 'retained message')} added to ${path}.\n`,
  )
  if (known > 0)
    process.stderr.write(
      `${many(known, 'retained message')} left out: the store has one of the same topic.\n`,
    )
  return 0
}

/** Rejects where nobody reads it. */
function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (error) reject(error)
      else resolve()
    })
  })
}
