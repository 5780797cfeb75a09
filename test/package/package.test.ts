import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { Cli, root } from '../helpers/cli.ts'

const run = promisify(execFile)

let folder: string
/** A project that has installed the package, without what only our own development needs. */
let project: string
let tarball: string
let files: string[]

async function link(name: string): Promise<void> {
  const path = join(project, 'node_modules', name)
  await mkdir(dirname(path), { recursive: true })
  await symlink(join(root, 'node_modules', name), path, 'junction')
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stomp-broker-package-'))
  // Its prepack would build again, under the feet of other tests.
  const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder]
  const { stdout } = await run('npm', pack, { cwd: root, shell: process.platform === 'win32' })
  const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]
  tarball = join(folder, packed.filename)
  files = packed.files.map(({ path }) => path)

  project = join(folder, 'project')
  await mkdir(join(project, 'node_modules'), { recursive: true })
  await run('tar', ['-xzf', packed.filename], { cwd: folder })
  await rename(join(folder, 'package'), join(project, 'node_modules', 'stomp-broker'))
  for (const name of Object.keys(manifest.dependencies)) await link(name)
  await writeFile(join(project, 'package.json'), '{ "name": "project", "private": true, "type": "module" }')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Runs a program in the project; its stdout. Rejects when it fails or does not come to an end. */
async function program(name: string, text: string): Promise<string> {
  await writeFile(join(project, name), text)
  const { stdout } = await run(process.execPath, [name], { cwd: project, timeout: 14_000 })
  return stdout
}

const isAsset = (path: string): boolean => /^dist\/client-demo\/assets\/[\w.-]+\.(js|css|svg)$/.test(path)

describe('the package', () => {
  test('holds what was built, and nothing else', async () => {
    const built: string[] = []
    for (const part of ['broker', 'bin']) {
      const sources = await readdir(join(root, part), { recursive: true })
      for (const source of sources.filter((name) => name.endsWith('.ts'))) {
        const name = `dist/${part}/${source.slice(0, -3).replaceAll('\\', '/')}`
        built.push(`${name}.js`, `${name}.d.ts`)
      }
    }
    expect(built.length).toBeGreaterThan(50)
    const demo = files.filter((path) => path.startsWith('dist/client-demo/'))
    expect(demo).toContain('dist/client-demo/index.html')
    expect(demo).toContain('dist/client-demo/sockjs.min.js')
    const [assets, rest] = [demo.filter(isAsset), demo.filter((path) => !isAsset(path))]
    expect(assets.some((path) => path.endsWith('.js'))).toBe(true)
    expect(rest).toHaveLength(2)
    const documents = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']
    expect(files.toSorted()).toEqual([...documents, ...built, ...demo].toSorted())
  })

  test('says nothing of the machine it was built on', async () => {
    for (const path of files) {
      const text = await readFile(join(project, 'node_modules', 'stomp-broker', path), 'latin1')
      expect([path, text.includes(root)]).toEqual([path, false])
    }
  })

  test('passes publint, strictly', async () => {
    const bytes = await readFile(tarball)
    const { messages, pkg } = await publint({
      strict: true,
      pack: { tarball: new Uint8Array(bytes).buffer },
    })
    expect(messages.map((message) => formatMessage(message, pkg ?? {}))).toEqual([])
  })

  test('can be imported, listens, and lets the process end', async () => {
    const output = await program(
      'main.js',
      `import { createBroker, OptionsError, VERSION } from 'stomp-broker'
       const broker = createBroker({ port: 0, tcpPort: 0, logLevel: 'silent' })
       const { demo, tcp } = await broker.listen()
       const page = await fetch(demo, { headers: { connection: 'close' } })
       const html = await page.text()
       await broker.close()
       const refused = await fetch(demo).catch(() => 'refused')
       let sentence
       try { createBroker({ port: -1 }) } catch (error) { sentence = error instanceof OptionsError }
       console.log(JSON.stringify([VERSION, page.status, html.includes('<script'), /:\\d+$/.test(tcp), refused, sentence]))`,
    )
    expect(JSON.parse(output)).toEqual([manifest.version, 200, true, true, 'refused', true])
  })

  test('can be required, and shows nothing of its inside', async () => {
    const output = await program(
      'main.cjs',
      `const { createBroker } = require('stomp-broker')
       const codes = ['stomp-broker/dist/broker/broker.js', 'stomp-broker/broker'].map((name) => {
         try { return typeof require(name) } catch (error) { return error.code }
       })
       const { version } = require('stomp-broker/package.json')
       console.log(JSON.stringify([typeof createBroker, codes, version]))`,
    )
    const hidden = 'ERR_PACKAGE_PATH_NOT_EXPORTED'
    expect(JSON.parse(output)).toEqual(['function', [hidden, hidden], manifest.version])
  })

  test('has a command that runs', async () => {
    const script = join(project, 'node_modules', 'stomp-broker', manifest.bin['stomp-broker'])
    expect(await readFile(script, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/)
    const command = new Cli(['--port', '0'], {}, script)
    onTestFinished(() => command.kill())
    const [page = ''] = (await command.ready()).get('Chat demo') ?? []
    const answer = await fetch(page)
    expect([answer.status, await answer.text()]).toEqual([200, expect.stringMatching('<script')])
    command.signal('SIGTERM')
    expect((await command.ended).code).toBe(0)
  })

  test('has types that a strict project can use', async () => {
    await link('@types/node')
    await writeFile(
      join(project, 'consumer.ts'),
      `import { createBroker, OptionsError, VERSION } from 'stomp-broker'
import type { Addresses, Broker, BrokerOptions, Settings, Stats } from 'stomp-broker'

const options: BrokerOptions = { port: 0, endpoints: ['/ws'], logLevel: 'warn', sockjsBinary: 'base64' }
const broker: Broker = createBroker(options)
const settings: Settings = broker.settings
const stats: Stats = broker.stats
const addresses: Addresses = await broker.listen()
const demo: string | undefined = addresses.demo
const numbers: number[] = [addresses.port, settings.maxBody, stats.connections]
const done: Promise<void> = broker.close()
export const problems = (error: unknown): readonly string[] => (error instanceof OptionsError ? error.problems : [])
export default [demo, numbers, done, VERSION.length]

// @ts-expect-error: no such option
createBroker({ prot: 1 })
// @ts-expect-error: no number
createBroker({ port: '61614' })
// @ts-expect-error: not one of the choices
createBroker({ logLevel: 'loud' })
// @ts-expect-error: settings are read, not written
settings.port = 1
// @ts-expect-error: not a part of the public API
broker.sessions.clear()
`,
    )
    const compilerOptions = {
      module: 'NodeNext',
      target: 'ES2023',
      lib: ['ES2023'],
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      noEmit: true,
    }
    await writeFile(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['consumer.ts'] }),
    )
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const complaints = await run(process.execPath, [tsc, '-p', project], { cwd: project }).then(
      () => '',
      (error: { stdout: string }) => error.stdout,
    )
    expect(complaints).toBe('')
  }, 60_000)
})
