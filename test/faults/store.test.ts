import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { portOf, type Cli, type Shell } from '../helpers/cli.ts'
import { test } from '../helpers/fixtures.ts'
import { Ledger, Line } from './ledger.ts'
import { Random } from './random.ts'

/** The quick form; the long one is 20 kills with 200 publishers, and hundreds of cases. */
const { FAULTS_SEED = '1', STORE_KILLS = '4', STORE_PUBLISHERS = '50', STORE_CASES = '20' } = process.env
const seed = Number(FAULTS_SEED)
const STORE = 74
const LONG = 60 * 60_000

interface Run {
  readonly cli: Cli
  readonly port: number
}

async function start(shell: Shell, folder: string, ...more: string[]): Promise<Run> {
  const args = [
    '--port',
    '0',
    '--tcp-port',
    '0',
    '--no-demo',
    '--log-level',
    'warn',
    '--data-dir',
    folder,
    ...more,
  ]
  const cli = shell.start(args)
  return { cli, port: portOf((await cli.ready()).get('TCP')?.[0]) }
}

async function stop({ cli }: Run, ...warnings: RegExp[]): Promise<void> {
  cli.signal('SIGTERM')
  const { code, stderr } = await cli.ended
  expect(code).toBe(0)
  // The store's library says in its own words, and without an end of the line, that there is no space.
  const lines = stderr.replace(/Write error: No space left on device position \d+, size \d+/g, '').trim()
  const logged =
    lines === '' ? [] : lines.split('\n').map((line) => (JSON.parse(line) as { msg: string }).msg)
  expect(logged).toEqual(warnings.map((warning) => expect.stringMatching(warning)))
}

/** Starts where it must be refused, in one sentence, and leaves everything as it is. */
async function refused(shell: Shell, folder: string, sentence: RegExp): Promise<void> {
  const before = printOf(folder)
  const { code, stdout, stderr } = await shell.run(['--port', '0', '--data-dir', folder])
  expect(stderr).toMatch(/^error: [^\n]+\n$/)
  expect(stderr).toMatch(sentence)
  expect([code, stdout]).toEqual([STORE, ''])
  expect(printOf(folder)).toEqual(before)
}

/** What lies in a folder, but for the file in which readers are noted while there are any. */
function printOf(folder: string): unknown {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) return existsSync(folder)
  return readdirSync(folder)
    .filter((name) => name !== 'lock.mdb')
    .map((name) => {
      const path = join(folder, name)
      const content = statSync(path).isFile() ? readFileSync(path) : ''
      return [name, createHash('sha256').update(content).digest('hex')]
    })
}

describe('kill -9', () => {
  test(
    `of a busy broker, ${STORE_KILLS} times (seed ${seed}): no receipt is broken`,
    { timeout: LONG },
    async ({ shell, folder }) => {
      const random = new Random(seed)
      const ledger = new Ledger(random)
      const moves = new Ledger(random)
      const queues = [0, 1, 2, 3, 4].map((number) => `/queue/k${number}`)
      const data = join(folder, 'data')
      for (let kill = 0; kill < Number(STORE_KILLS); kill++) {
        const { cli, port } = await start(shell, data)
        const publishers = Array.from({ length: Number(STORE_PUBLISHERS) }, (_, publisher) => {
          const own = publisher % 10 === 9 ? moves : ledger
          return own.publish(port, publisher, own === moves ? '/queue/from' : (queues[publisher % 5] ?? ''))
        })
        // One of the queues only grows.
        for (const queue of queues.slice(1)) ledger.consume(port, queue)
        moves.transfer(port, '/queue/from', '/queue/to')
        await sleep(random.between(200, 1_200))
        cli.signal('SIGKILL')
        await Promise.all(publishers.map(({ closed }) => closed))
        await cli.ended
        expect(cli.stderr).toBe('')
      }
      const last = await start(shell, data)
      await ledger.drain(last.port, queues)
      await moves.drain(last.port, ['/queue/from', '/queue/to'])
      expect([ledger.wrong.slice(0, 5), moves.wrong.slice(0, 5)]).toEqual([[], []])
      expect([ledger.lost, moves.lost]).toEqual([[], []])
      expect(ledger.receipted.size).toBeGreaterThan(100)
      expect(moves.got.size).toBeGreaterThan(10)
      await stop(last)
      // Nothing is left but what was not to be.
      const again = await start(shell, data)
      expect(await listen(again.port, '/queue/k0', 500)).toEqual([])
      await stop(again)
    },
  )

  test(
    'of a broker that is starting leaves a folder in which one can start',
    { timeout: 60_000 },
    async ({ shell, folder }) => {
      const data = join(folder, 'data')
      for (let delay = 150; delay < 700; delay += 60) {
        const run = shell.start(['--port', '0', '--data-dir', data])
        await sleep(delay)
        run.signal('SIGKILL')
        await run.ended
      }
      await stop(await start(shell, data))
      // What a first start leaves that ends in its middle.
      const half = join(folder, 'half')
      mkdirSync(half)
      const label = JSON.parse(readFileSync(join(data, 'store.json'), 'utf8')) as { closed?: object }
      writeFileSync(join(half, 'store.json'), JSON.stringify({ ...label, closed: undefined, making: true }))
      writeFileSync(join(half, 'data.mdb'), 'half of it')
      writeFileSync(join(half, 'store.json.new'), '')
      writeFileSync(join(half, 'lock.4711'), '')
      await stop(await start(shell, half))
      await stop(await start(shell, half))
    },
  )
})

/** The bodies of what comes from a queue for so many milliseconds, without acks. */
async function listen(port: number, queue: string, milliseconds: number): Promise<string[]> {
  const bodies: string[] = []
  const line = new Line(port, ({ command, body }) => {
    if (command === 'MESSAGE') bodies.push(body)
  })
  const many = { 'prefetch-count': '1000' }
  line.send('SUBSCRIBE', { id: '0', destination: queue, ack: 'client-individual', ...many })
  await sleep(milliseconds)
  line.socket.destroy()
  return bodies
}

// --- a full disk ------------------------------------------------------------------------------

/** Undefined where a disk can be made here; else why not. */
function whyNoDisk(): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux'
  if (process.getuid?.() !== 0) return 'needs root, to mount a small disk'
  const place = mkdtempSync(join(tmpdir(), 'stomp-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', place], { stdio: 'ignore' })
    execFileSync('umount', [place], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'this system lets nobody mount a disk'
  } finally {
    rmSync(place, { recursive: true })
  }
}

const noDisk = whyNoDisk()

describe.skipIf(noDisk !== undefined)(`a disk of 16 MiB${noDisk === undefined ? '' : ` (${noDisk})`}`, () => {
  let disk = ''
  const ballast = (): string => join(disk, 'ballast')

  beforeAll(() => {
    disk = mkdtempSync(join(tmpdir(), 'stomp-disk-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk])
  })
  afterAll(() => {
    execFileSync('umount', ['-l', disk])
    rmSync(disk, { recursive: true })
  })

  /** Takes all the room there is. */
  function fill(): void {
    const file = openSync(ballast(), 'a')
    for (let size = 1024 * 1024; size >= 1;) {
      try {
        writeSync(file, Buffer.alloc(size))
      } catch {
        size = Math.floor(size / 2)
      }
    }
    closeSync(file)
  }

  test(
    'that fills: senders are refused, all else goes on, and so do they when there is room',
    {
      timeout: 120_000,
    },
    async ({ shell }) => {
      const random = new Random(seed)
      const ledger = new Ledger(random, 4_000)
      const data = join(disk, 'data')
      let run = await start(shell, data)
      let publisher = ledger.publish(run.port, 1, '/queue/full')
      await publisher.closed
      expect(ledger.refused).toEqual([expect.stringContaining('its disk is full')])
      const before = ledger.receipted.size
      expect(before).toBeGreaterThan(500)
      fill()
      // It is refused again, and nobody else notices.
      ledger.refused.length = 0
      publisher = ledger.publish(run.port, 2, '/queue/full')
      await publisher.closed
      expect(ledger.refused).toEqual([expect.stringContaining('its disk is full')])
      const others = await listen(run.port, '/topic/nobody', 10)
      expect(others).toEqual([])
      // What is there is consumed, and its acks count, though there is no room.
      const acked = new Set<string>()
      const half = before / 2
      const consumer = new Line(run.port, ({ command, headers, body }) => {
        if (command !== 'MESSAGE' || acked.size >= half) return
        acked.add(body.split(' ', 1)[0] ?? '')
        consumer.send('ACK', { id: headers['ack'] ?? '' })
      })
      consumer.send('SUBSCRIBE', {
        id: '0',
        destination: '/queue/full',
        ack: 'client-individual',
        'prefetch-count': '10',
      })
      while (acked.size < half) await sleep(20)
      await consumer.leave()
      await stop(run, /is full; what is to be kept is refused/)
      run = await start(shell, data)
      const back: string[] = []
      const reader = new Line(run.port, ({ command, headers, body }) => {
        const [id = ''] = body.split(' ', 1)
        if (command !== 'MESSAGE') return
        if (headers['redelivered'] !== 'true' && acked.has(id)) back.push(id)
      })
      reader.send('SUBSCRIBE', { id: '0', destination: '/queue/full', ack: 'client-individual' })
      await sleep(500)
      reader.socket.destroy()
      expect(back).toEqual([])
      // Room comes back, and nobody starts anything anew.
      rmSync(ballast())
      let taken = 0
      const retry = ledger.publish(run.port, 3, '/queue/other', () => taken++ >= 200)
      while (![...ledger.receipted].includes('3.200')) await sleep(20)
      retry.socket.destroy()
      for (const id of acked) ledger.got.set(id, 1)
      await ledger.drain(run.port, ['/queue/full', '/queue/other'])
      expect([ledger.wrong.slice(0, 5), ledger.lost]).toEqual([[], []])
      await stop(run)
    },
  )

  test(
    'that is full at the start refuses it, and lets it when there is room',
    { timeout: 30_000 },
    async ({ shell }) => {
      rmSync(join(disk, 'data'), { recursive: true, force: true })
      fill()
      const data = join(disk, 'fresh')
      const { code, stderr } = await shell.run(['--port', '0', '--data-dir', data])
      expect([code, stderr]).toEqual([STORE, expect.stringMatching(/^error: [^\n]*no space[^\n]*\n$/)])
      expect(existsSync(data) ? readdirSync(data) : []).toEqual([])
      rmSync(ballast())
      await stop(await start(shell, data))
    },
  )

  test('that may only be read is refused', { timeout: 30_000 }, async ({ shell }) => {
    execFileSync('mount', ['-o', 'remount,ro', disk])
    try {
      await refused(shell, join(disk, 'fresh'), /read-only/)
    } finally {
      execFileSync('mount', ['-o', 'remount,rw', disk])
    }
  })
})

// --- damaged files ----------------------------------------------------------------------------

describe('files that are damaged', () => {
  let root = ''
  /** A store that was closed in order, and the same one as a kill left it. */
  const stores: { name: string; path: string }[] = []
  /** What is in both: the bodies by queue. */
  const content = new Map<string, string[]>()

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'stomp-damage-'))
    const { Shell: Shells } = await import('../helpers/cli.ts')
    const shell = new Shells()
    const path = join(root, 'original')
    const run = await start(shell, path)
    const random = new Random(seed, 7)
    const line = new Line(run.port)
    const receipt = (): Promise<void> =>
      new Promise((resolve) => {
        line.hear = ({ command, body }) => {
          if (command === 'ERROR') throw new Error(body)
          if (command === 'RECEIPT') resolve()
        }
        // All that was said before it is on disk with it.
        line.send(
          'SEND',
          { destination: '/topic/kept', retain: 'set', persistent: 'true', receipt: 'all' },
          'kept',
        )
      })
    line.send('SUBSCRIBE', {
      id: 'd',
      destination: '/topic/t',
      durable: 'true',
      'auto-delete': 'false',
      'x-queue-name': 'listener',
    })
    line.send('UNSUBSCRIBE', { id: 'd', durable: 'true', 'auto-delete': 'false' })
    for (let number = 0; number < 400; number++) {
      const queue = `/queue/q${number % 5}`
      const length = random.chance(0.1) ? random.between(4_000, 30_000) : random.below(300)
      const body = `${number} ${'y'.repeat(length)}`
      line.send('SEND', { destination: queue, persistent: 'true', number: String(number) }, body)
      const list = content.get(queue)
      if (list === undefined) content.set(queue, [body])
      else list.push(body)
    }
    await receipt()
    // Some are gone, so that there are free pages, and some were handed out.
    const eater = new Line(run.port)
    await new Promise<void>((resolve) => {
      let count = 0
      eater.hear = ({ command, headers, body }) => {
        if (command !== 'MESSAGE' || count === 40) return
        const list = content.get('/queue/q0')
        eater.send('ACK', { id: headers['ack'] ?? '' })
        list?.splice(list.indexOf(body), 1)
        if (++count === 40) resolve()
      }
      eater.send('SUBSCRIBE', {
        id: '0',
        destination: '/queue/q0',
        ack: 'client-individual',
        'prefetch-count': '1',
      })
    })
    await eater.leave()
    await receipt()
    cpSync(path, join(root, 'killed'), { recursive: true, filter: (name) => !name.endsWith('/lock') })
    await line.leave()
    await stop(run)
    stores.push({ name: 'closed', path }, { name: 'killed', path: join(root, 'killed') })
  }, 60_000)

  afterAll(() => rmSync(root, { recursive: true }))

  /** All that is promised is there and intact, or the start is refused in one sentence and changes nothing. */
  async function judge(shell: Shell, path: string): Promise<'whole' | 'refused'> {
    const before = printOf(path)
    const cli = shell.start([
      '--port',
      '0',
      '--tcp-port',
      '0',
      '--no-demo',
      '--log-level',
      'warn',
      '--data-dir',
      path,
    ])
    const up = await Promise.race([
      cli.ready().then((addresses) => addresses),
      cli.ended.then(() => undefined),
    ]).catch(() => undefined)
    if (up === undefined) {
      const { code, stdout, stderr } = await cli.ended
      expect(stderr).toMatch(/^error: [^\n]+\n$/)
      expect([code, stdout]).toEqual([STORE, ''])
      expect(printOf(path)).toEqual(before)
      return 'refused'
    }
    const port = portOf(up.get('TCP')?.[0])
    for (const [queue, bodies] of content) {
      const got: string[] = []
      const line = new Line(port, ({ command, headers, body }) => {
        if (command !== 'MESSAGE' || body === 'end') return
        got.push(body)
        line.send('ACK', { id: headers['ack'] ?? '' })
      })
      line.send('SUBSCRIBE', { id: '0', destination: queue, ack: 'client-individual' })
      const end = Date.now() + 5_000
      while (got.length < bodies.length && Date.now() < end) await sleep(5)
      await line.leave()
      expect([queue, got]).toEqual([queue, bodies])
    }
    cli.signal('SIGTERM')
    const { code, stderr } = await cli.ended
    expect([code, stderr]).toEqual([0, ''])
    return 'whole'
  }

  test(
    `in ${STORE_CASES} ways (seed ${seed}) are refused, or all is there`,
    { timeout: LONG },
    async ({ shell }) => {
      const results = { whole: 0, refused: 0 }
      const cases = Array.from({ length: Number(STORE_CASES) }, (_, number) => number)
      const worker = async (): Promise<void> => {
        for (let number = cases.shift(); number !== undefined; number = cases.shift()) {
          const random = new Random(seed, number)
          const { name, path } = random.pick(stores)
          const copy = join(root, `case-${number}`)
          cpSync(path, copy, { recursive: true, preserveTimestamps: true })
          const what = damage(copy, random)
          try {
            results[await judge(shell, copy)]++
          } catch (error) {
            throw new Error(`case ${number}, ${name}, ${what}: ${(error as Error).message}`, { cause: error })
          }
          rmSync(copy, { recursive: true })
        }
      }
      await Promise.all([worker(), worker()])
      expect(results.refused).toBeGreaterThan(0)
    },
  )

  test('but not, are as they were', { timeout: 30_000 }, async ({ shell }) => {
    for (const { name, path } of stores) {
      const copy = join(root, name)
      if (copy !== path) cpSync(path, copy, { recursive: true })
      expect(await judge(shell, copy)).toBe('whole')
    }
  })

  test(
    'because they are missing, empty, or of another store are refused',
    { timeout: 60_000 },
    async ({ shell }) => {
      const [original] = stores
      const copy = (name: string): string => {
        const path = join(root, name)
        cpSync(original?.path ?? '', path, { recursive: true, preserveTimestamps: true })
        return path
      }
      const missing = copy('missing')
      rmSync(join(missing, 'data.mdb'))
      await refused(shell, missing, /is damaged: data\.mdb is missing or empty\. Restore .*store export/)
      const empty = copy('empty')
      truncateSync(join(empty, 'data.mdb'))
      await refused(shell, empty, /data\.mdb is missing or empty/)
      const unsigned = copy('unsigned')
      rmSync(join(unsigned, 'store.json'))
      await refused(shell, unsigned, /holds data\.mdb but no store\.json/)
      const other = join(root, 'other')
      await stop(await start(shell, other))
      cpSync(join(copy('swapped'), 'store.json'), join(other, 'store.json'))
      await refused(shell, other, /that of another store/)
      const newer = copy('newer')
      const label = JSON.parse(readFileSync(join(newer, 'store.json'), 'utf8')) as object
      writeFileSync(join(newer, 'store.json'), JSON.stringify({ ...label, format: 2, version: '9.9.9' }))
      await refused(shell, newer, /newer stomp-broker \(9\.9\.9\).*npx stomp-broker@latest --data-dir/)
      for (const text of [
        '',
        '{',
        'null',
        '[]',
        '{"format":0,"id":"x"}',
        '{"format":"1","id":"x"}',
        '{"format":1}',
      ]) {
        writeFileSync(join(newer, 'store.json'), text)
        await refused(shell, newer, /store\.json is damaged/)
      }
    },
  )
})

/** Spoils one of the files; says how. */
function damage(folder: string, random: Random): string {
  const name = random.pick(['data.mdb', 'data.mdb', 'data.mdb', 'data.mdb', 'store.json', 'lock.mdb'])
  const path = join(folder, name)
  const { size } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0 }
  if (random.chance(0.3)) {
    const length = random.below(size + 1)
    truncateSync(path, length)
    return `${name} cut to ${length} of ${size} bytes`
  }
  const places: number[] = []
  const file = openSync(path, 'r+')
  for (let count = random.pick([1, 1, 4, 64]); count > 0; count--) {
    // The beginning is where everything hangs.
    const at = random.chance(0.3) ? random.below(Math.min(size, 8_192)) : random.below(size)
    places.push(at)
    writeSync(file, random.bytes(random.pick([1, 1, 8, 512])), 0, undefined, at)
  }
  closeSync(file)
  return `${name} of ${size} bytes overwritten at ${places.join(', ')}`
}

// --- other folders ----------------------------------------------------------------------------

describe('a folder', () => {
  test(
    'that is none, is not empty, or is used already is refused',
    { timeout: 60_000 },
    async ({ shell, folder }) => {
      const file = join(folder, 'file')
      writeFileSync(file, 'text')
      await refused(
        shell,
        file,
        /file cannot be used: it is not a folder; name one, or choose another --data-dir/,
      )
      await refused(shell, join(file, 'below'), /it is not a folder/)
      const foreign = join(folder, 'foreign')
      mkdirSync(foreign)
      writeFileSync(join(foreign, 'letter.txt'), 'text')
      await refused(shell, foreign, /is no folder of stomp-broker \(it holds letter\.txt\)/)
      const used = join(folder, 'used')
      const run = await start(shell, used)
      await refused(shell, used, /is in use by another stomp-broker; stop that one/)
      await stop(run)
    },
  )

  test.skipIf(process.getuid?.() === 0)(
    'that may not be written to is refused (not as root, who may)',
    async ({ shell, folder }) => {
      chmodSync(folder, 0o500)
      await refused(shell, folder, /this user may not write to it; change its owner/)
      chmodSync(folder, 0o700)
    },
  )

  test(
    'that is taken away while it is used costs no receipted message that is in it',
    { timeout: 30_000 },
    async ({ shell, folder }) => {
      const data = join(folder, 'data')
      const run = await start(shell, data)
      const ledger = new Ledger(new Random(seed))
      let count = 0
      const first = ledger.publish(run.port, 1, '/queue/q', () => count++ >= 50)
      while (ledger.receipted.size < 50) await sleep(5)
      rmSync(data, { recursive: true })
      const second = ledger.publish(run.port, 2, '/queue/q')
      await second.closed
      expect(ledger.refused).toEqual([expect.stringContaining('its files have been taken away or replaced')])
      expect([...ledger.receipted].filter((id) => id.startsWith('2.'))).toEqual([])
      // What is in memory is consumed.
      expect(await listen(run.port, '/queue/q', 300)).toHaveLength(50)
      first.socket.destroy()
      run.cli.signal('SIGTERM')
      expect((await run.cli.ended).code).toBe(0)
    },
  )
})
