import { readFileSync } from 'node:fs'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { optionName, OptionsError, rows, type BrokerOptions, type Row } from '../broker/options.ts'

type Value = string | number | boolean | readonly string[] | object

const units: Record<string, number> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 }
const switches = new Map([
  ...['true', '1', 'yes', 'on'].map((word) => [word, true] as const),
  ...['false', '0', 'no', 'off'].map((word) => [word, false] as const),
])

export function parseInteger(text: string): number {
  if (!/^-?\d+$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

export function parseBytes(text: string): number {
  const match = /^(\d+) ?([kmg]?)(i?b)?$/i.exec(text)
  if (match === null) throw new InvalidArgumentError('It must be a number of bytes such as 65536, 64k or 8m.')
  return Number(match[1]) * (units[(match[2] ?? '').toLowerCase()] ?? 1)
}

/** Reads what was typed for an option, on the command line or in the environment. */
function parseValue(row: Row<unknown>, text: string): Value {
  switch (row.kind) {
    case 'integer':
      return parseInteger(text)
    case 'bytes':
      return parseBytes(text)
    case 'switch': {
      const value = switches.get(text.toLowerCase())
      if (value === undefined) throw new InvalidArgumentError('It must be true or false.')
      return value
    }
    case 'list':
      return text
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '')
    case 'choice':
      if (!row.choices?.includes(text))
        throw new InvalidArgumentError(`It must be one of ${row.choices?.join(', ')}.`)
      return text
    case 'text':
      return text
    case 'rules':
      return readRules(text)
  }
}

function readRules(path: string): object {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new InvalidArgumentError(`It must be a JSON file: ${(error as Error).message}.`)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new InvalidArgumentError('It must hold an object with a member for each path.')
}

/** A default as one would type it. */
export function showDefault(row: Row<unknown>): string {
  const value = row.default as Value | undefined
  const text = Array.isArray(value) ? value.join(',') : typeof value === 'object' ? '' : String(value ?? '')
  if (text === '') return 'none'
  if (row.kind !== 'bytes') return text
  const unit = ['g', 'm', 'k'].find((letter) => Number(text) % (units[letter] ?? 1) === 0)
  return unit === undefined ? text : `${Number(text) / (units[unit] ?? 1)}${unit}`
}

export function variable(key: string): string {
  return `STOMP_BROKER_${optionName(key).toUpperCase().replaceAll('-', '_')}`
}

/** The flag of an option: `--no-…` for what is on by default. */
export function flag(key: string, row: Row<unknown>): string {
  if (row.kind === 'switch') return row.default === true ? `--no-${optionName(key)}` : `--${optionName(key)}`
  return `--${optionName(key)} <${row.value}>`
}

const entries = Object.entries<Row<unknown>>(rows)

/** Adds one flag for each option of the broker. */
export function addFlags(program: Command): void {
  for (const [key, row] of entries) {
    const help = row.kind === 'switch' && row.default === true ? `do not ${row.help}` : row.help
    const option = new Option(
      flag(key, row),
      row.kind === 'switch' ? help : `${help} (default: ${showDefault(row)})`,
    )
    if (row.kind !== 'switch') option.argParser((text: string) => parseValue(row, text))
    program.addOption(option)
    // Both forms of a switch, so that the command line can overrule the environment either way.
    if (row.kind === 'switch')
      program.addOption(
        new Option(row.default === true ? `--${optionName(key)}` : `--no-${optionName(key)}`).hideHelp(),
      )
  }
}

// A Kubernetes service called stomp-broker puts these into every pod, with STOMP_BROKER_PORT=tcp://...
const fromKubernetes = /^STOMP_BROKER_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))/

/** A flag wins over the environment, the environment over the default. Throws OptionsError. */
export function readFlags(program: Command, environment: NodeJS.ProcessEnv): BrokerOptions {
  const given: Record<string, unknown> = {}
  const problems: string[] = []
  for (const [key, row] of entries) {
    const name = variable(key)
    const text = environment[name]
    if (program.getOptionValueSource(key) === 'cli') {
      given[key] = program.getOptionValue(key)
    } else if (text !== undefined && text !== '' && !text.startsWith('tcp://')) {
      try {
        given[key] = parseValue(row, text)
      } catch (error) {
        problems.push(`${name}: ${JSON.stringify(text)} will not do. ${(error as Error).message}`)
      }
    }
  }
  const known = new Set(entries.map(([key]) => variable(key)))
  for (const name of Object.keys(environment)) {
    if (name.startsWith('STOMP_BROKER_') && !known.has(name) && !fromKubernetes.test(name))
      problems.push(`${name} is not a setting of stomp-broker`)
  }
  if (problems.length > 0) throw new OptionsError(problems)
  return given // checked by readOptions
}

/** A problem of readOptions in the words of who set the option: its flag, or its variable. */
export function inWordsOf(program: Command, environment: NodeJS.ProcessEnv, problem: string): string {
  const name = /^[a-z-]+(?=: )/.exec(problem)?.[0]
  const key = entries.map(([candidate]) => candidate).find((candidate) => optionName(candidate) === name)
  if (name === undefined || key === undefined) return problem
  const byVariable = program.getOptionValueSource(key) !== 'cli' && Boolean(environment[variable(key)])
  return (byVariable ? variable(key) : `--${name}`) + problem.slice(name.length)
}
