import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const oxlint = join(root, 'node_modules', '.bin', 'oxlint')

const value = (from: string): string => `import { x } from '${from}'\nexport const y: unknown = x\n`
const type = (from: string): string => `export type { x } from '${from}'\n`

const refused = [
  ['protocol', value('../model/message.ts')],
  ['protocol', type('../options.ts')],
  ['model', value('../engine/engine.ts')],
  ['model', value('../broker.ts')],
  ['engine', value('../transport/id.ts')],
  ['engine', type('../core/hub.ts')],
  ['transport', value('../engine/engine.ts')],
  ['transport', value('../options.ts')],
  ['core', type('../engine/local.ts')],
  ['core', type('../transport/tcp.ts')],
  ['core', value('../engine/engine.ts')],
  ['core', value('../broker.ts')],
] as const
const allowed = [
  ['protocol', value('./frame.ts')],
  ['model', value('../protocol/frame.ts')],
  ['engine', value('../model/message.ts')],
  ['transport', value('../protocol/frame.ts')],
  ['core', type('../engine/engine.ts')],
  ['core', type('../transport/connection.ts')],
  ['core', value('../model/message.ts')],
] as const

let folder: string
let output: string

// One run of the linter over a tree of files that hold one import each.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'floors-'))
  await copyFile(join(root, '.oxlintrc.json'), join(folder, '.oxlintrc.json'))
  for (const [index, [floor, text]] of [...refused, ...allowed].entries()) {
    const path = join(folder, 'broker', floor, `file${index}.ts`)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
  output = await new Promise((resolve) => {
    execFile(oxlint, ['--format=unix'], { cwd: folder }, (_error, stdout) => resolve(stdout))
  })
})
afterAll(() => rm(folder, { recursive: true }))

function complaints(floor: string, index: number): string[] {
  return output
    .split('\n')
    .filter(
      (line) => line.includes(`broker/${floor}/file${index}.ts:`) && line.includes('no-restricted-imports'),
    )
}

describe('the linter keeps the floors: a lower one never imports a higher one', () => {
  test.each(refused.map((row, index) => [...row, index] as const))(
    '%s/ may not have: %s',
    (floor, _text, index) => {
      expect(complaints(floor, index)).not.toEqual([])
    },
  )
  test.each(allowed.map((row, index) => [...row, refused.length + index] as const))(
    '%s/ may have: %s',
    (floor, _text, index) => {
      expect(complaints(floor, index)).toEqual([])
    },
  )
})
