import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flag, showDefault, variable } from '../../bin/flags.ts'
import { rows, type Row } from '../../broker/options.ts'
import { startBroker, type TestBroker } from '../helpers/broker.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const readme = await readFile(join(root, 'README.md'), 'utf8')

/** A switch that is on has a flag that turns it off. */
function off(row: Row<unknown>): string {
  return row.kind === 'switch' && row.default === true ? 'do not ' : ''
}
function shown(row: Row<unknown>): string {
  if (row.kind !== 'switch') return showDefault(row)
  return row.default === true ? 'on' : 'off'
}

test('the options table is that of options.ts', () => {
  const expected = Object.entries<Row<unknown>>(rows).map(
    ([key, row]) =>
      `| \`${flag(key, row).replaceAll('|', '\\|')}\` | ${shown(row)} | ${off(row)}${row.help} | \`${variable(key)}${row.kind === 'switch' ? `=${row.default !== true}` : ''}\` |`,
  )
  const table = readme.slice(readme.indexOf('<!-- options -->'), readme.indexOf('<!-- /options -->'))
  expect(table.trim().split('\n').slice(4)).toEqual(expected)
})

// The snippets marked with `run:` are run as they stand, but for the ports.
const snippets = [...readme.matchAll(/<!-- run: prints "(.*)" -->\n```js\n([^]*?)```/g)]

let broker: TestBroker
let folder: string
beforeAll(async () => {
  broker = await startBroker()
  folder = await mkdtemp(join(tmpdir(), 'readme-'))
  await mkdir(join(folder, 'node_modules'))
  for (const [name, target] of [
    ['stomp-broker', root],
    ...['@stomp', 'ws'].map((dependency) => [dependency, join(root, 'node_modules', dependency)]),
  ]) {
    await symlink(target ?? '', join(folder, 'node_modules', name ?? ''), 'junction')
  }
})
afterAll(async () => {
  await rm(folder, { recursive: true })
  await broker.close()
})

test.each(snippets.map(([, prints = '', code = ''], index) => ({ prints, code, index })))(
  'the snippet that prints $prints',
  async ({ prints, code, index }) => {
    const file = join(folder, `${index}.mjs`)
    await writeFile(
      file,
      code.replaceAll('61614', String(broker.port)).replaceAll('61613', String(broker.tcpPort)),
    )
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    await new Promise((resolve) => child.on('close', resolve))
    expect(output).toContain(prints)
  },
)

test('the marked snippets are found', () => {
  expect(snippets).toHaveLength(4)
})
