import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { startBroker } from '../helpers/broker.ts'
import type { Shell } from '../helpers/cli.ts'
import { portOf } from '../helpers/cli.ts'
import { RawClient } from '../helpers/client.ts'
import { test } from '../helpers/fixtures.ts'

const binary = Buffer.from([0, 1, 0xff, 0xfe, 10, 0])

type Line = Record<string, unknown>

function linesOf(text: string): Line[] {
  expect(text).toMatch(/^([^\n]+\n)+$/)
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

function textOf(lines: readonly Line[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('')
}

/** An export of a few messages, written by hand. */
function written(...lines: readonly Line[]): string {
  return textOf([
    { type: 'store', format: 1, version: '1' },
    ...lines,
    { type: 'end', lines: lines.length + 1 },
  ])
}

function message(queue: string, body: string, more: Line = {}): Line {
  return {
    type: 'message',
    queue,
    id: `id-${body.replaceAll(' ', '').slice(0, 20)}`,
    kind: 'queue',
    destination: queue,
    body,
    ...more,
  }
}

function inspect(shell: Shell, dataDir: string): Promise<Inventory> {
  return shell
    .run(['store', 'inspect', '--json', '--data-dir', dataDir])
    .then(({ code, stdout }) => ({ code, ...(JSON.parse(stdout) as Omit<Inventory, 'code'>) }))
}

async function exported(shell: Shell, dataDir: string): Promise<string> {
  const { code, stdout, stderr } = await shell.run(['store', 'export', '--data-dir', dataDir])
  expect([code, stderr]).toEqual([0, ''])
  return stdout
}

async function imported(shell: Shell, dataDir: string, text: string | Buffer): Promise<void> {
  const { code, stdout, stderr } = await shell.feed(['store', 'import', '--data-dir', dataDir], text)
  expect([code, stdout, stderr]).toEqual([0, '', expect.stringMatching(/^\d.* added to .*\n/)])
}

interface Inventory {
  readonly code: number | null
  readonly running: boolean
  readonly closed: boolean
  readonly live: number
  readonly file: number
  readonly queues: readonly { name: string; messages: number; bytes: number; delayed: number; terms?: Line }[]
  readonly scheduled: number
  readonly retained: number
  readonly lost: number
  readonly damaged: number
  readonly damages: readonly string[]
}

/** Sends, and waits until it is on disk. */
function send(
  client: RawClient,
  headers: Record<string, string>,
  body: string | Buffer = 'x',
): Promise<void> {
  const length = String(Buffer.byteLength(body))
  return client.request('SEND', { persistent: 'true', 'content-length': length, ...headers }, body)
}

/** A store with something of everything; closed properly. */
async function fill(dataDir: string): Promise<void> {
  const broker = await startBroker({ dataDir, redeliveryDelay: 1, maxRedeliveryDelay: 1 })
  try {
    const client = await RawClient.tcpConnected(broker, { login: 'ada' })
    await client.request('SUBSCRIBE', {
      id: 'd1',
      destination: '/topic/news/**',
      durable: 'all',
      selector: "kind = 'big'",
    })
    await client.request('SUBSCRIBE', { id: 'd2', destination: '/topic/price.one', durable: 'one' })
    await client.request('UNSUBSCRIBE', { id: 'd1' })
    await client.request('UNSUBSCRIBE', { id: 'd2' })
    await send(client, { destination: '/topic/news/a/b', kind: 'big' }, 'kept for who is away')
    await send(client, { destination: '/topic/news/a/b', kind: 'small' }, 'of no interest')
    await send(client, { destination: '/topic/price.one', retain: 'set' }, '17')
    await send(client, { destination: '/topic/later', 'x-delay': '100000000' }, 'a topic can wait')
    for (const priority of ['0', '9'])
      await send(client, { destination: '/queue/work', priority }, `p${priority}`)
    await send(
      client,
      { destination: '/queue/work', message_group: 'g', 'x\\cy': 'a\\nb' },
      'Grüße \u2028 🌍',
    )
    await send(client, { destination: '/queue/work', ttl: '900000000' }, binary)
    await send(client, { destination: '/queue/work' }, Buffer.alloc(5_000, 'long'))
    await send(client, { destination: '/queue/work' }, '')
    await send(client, { destination: '/queue/work', 'x-delay': '100000000' }, 'later')
    // One is refused and comes back, one is refused for good, and one was on its way.
    await send(client, { destination: '/queue/tries' }, 'again')
    await send(client, { destination: '/queue/tries' }, 'never')
    client.send('SUBSCRIBE', {
      id: 't',
      destination: '/queue/tries',
      ack: 'client-individual',
      prefetch: '1',
    })
    const nack = async (requeue: string): Promise<void> => {
      const { headers } = await client.next('MESSAGE')
      client.send('NACK', { id: headers['ack'] ?? '', requeue })
    }
    await nack('true')
    const { headers } = await client.next('MESSAGE')
    client.send('ACK', { id: headers['ack'] ?? '' })
    await nack('false')
    await send(client, { destination: '/queue/tries' }, 'refused once')
    await nack('true')
    await client.next('MESSAGE')
    await client.request('UNSUBSCRIBE', { id: 't' })
    await client.request('DISCONNECT')
  } finally {
    await broker.close()
  }
}

/** The bodies of all that waits in a queue of a store, in the order in which a broker hands them out. */
async function drain(dataDir: string, count: number, headers: Record<string, string>): Promise<string[]> {
  const broker = await startBroker({ dataDir })
  try {
    const client = await RawClient.tcpConnected(broker, { login: 'ada' })
    client.send('SUBSCRIBE', { id: '0', ...headers })
    const bodies = await client.bodies(count)
    await client.sync()
    expect(client.frames).toEqual([])
    client.destroy()
    expect(broker.warnings).toEqual([])
    return bodies
  } finally {
    await broker.close()
  }
}

describe('stomp-broker store', () => {
  test('export, import and export give the same lines, and a broker the same messages', async ({
    shell,
    folder,
  }) => {
    const [first, second] = [join(folder, 'one.dir'), join(folder, 'two')]
    await fill(first)
    const text = await exported(shell, first)
    const lines = linesOf(text)
    expect(lines[0]).toEqual({ type: 'store', format: 1, version: manifest.version })
    expect(lines.at(-1)).toEqual({ type: 'end', lines: lines.length - 1 })
    const queues = Object.fromEntries(
      lines.filter(({ type }) => type === 'queue').map(({ name, terms }) => [name, terms]),
    )
    expect(queues).toMatchObject({
      '/durable/all@ada': {
        selector: "kind = 'big'",
        lasting: true,
        topics: { text: '/topic/news/**', separator: '/' },
      },
      '/durable/one@ada': { topics: '/topic/price.one' },
      '/queue/work': undefined,
    })
    const of = (queue: string): Line[] => lines.filter((line) => line['queue'] === queue)
    expect(of('/durable/all@ada')).toMatchObject([
      { kind: 'topic', destination: '/topic/news/a/b', body: 'kept for who is away' },
    ])
    expect(of('')).toMatchObject([
      { kind: 'topic', destination: '/topic/later', delay: 100_000_000, due: expect.any(Number) as number },
    ])
    expect(of('/queue/work')).toMatchObject([
      { body: 'p0', priority: 0, size: expect.any(Number) as number },
      { body: 'p9', priority: 9 },
      { body: 'Grüße \u2028 🌍', group: 'g', headers: expect.arrayContaining([['x:y', 'a\nb']]) as unknown },
      { base64: binary.toString('base64'), until: expect.any(Number) as number },
      { body: 'long'.repeat(1_250) },
      { body: '' },
      { body: 'later', due: expect.any(Number) as number },
    ])
    expect(of('/queue/tries')).toMatchObject([{ body: 'refused once', deliveries: 2, refusals: 1 }])
    expect(of('/queue/DLQ.tries')).toMatchObject([{ body: 'never', past: { origin: '/queue/tries' } }])
    expect(lines.filter(({ type }) => type === 'retained')).toMatchObject([
      { destination: '/topic/price.one', body: '17' },
    ])

    await imported(shell, second, text)
    expect(await exported(shell, second)).toBe(text)
    expect(await inspect(shell, second)).toMatchObject({ code: 0, closed: true, damages: [] })

    const bodies = ['p0', 'p9', 'Grüße \u2028 🌍', binary.toString(), 'long'.repeat(1_250), '']
    expect(await drain(second, 6, { destination: '/queue/work' })).toEqual(bodies)
    const durable = { destination: '/topic/price.one', durable: 'one' }
    expect(await drain(second, 1, durable)).toEqual(['17'])
    expect(await drain(second, 1, { destination: '/topic/price.one' })).toEqual(['17'])
    const again = await inspect(shell, second)
    expect(again).toMatchObject({ scheduled: 1, retained: 1, damages: [] })
    expect(again.queues.find(({ name }) => name === '/queue/work')).toMatchObject({ messages: 1, delayed: 1 })
  })

  test('inspect shows it as a table', async ({ shell, folder }) => {
    await fill(folder)
    const { code, stdout, stderr } = await shell.run(['store', 'inspect', '--data-dir', folder])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain(
      `  Format    1, made by stomp-broker ${manifest.version}\n  State     closed properly\n`,
    )
    expect(stdout).toContain(
      '11 messages, 1 of them delayed, in 5 queues; 1 retained message; 1 message to topics',
    )
    expect(stdout).toMatch(/ {2}Damage {4}none, in \d+ records\n/)
    expect(stdout).toMatch(/\n {2}Queue +Messages +Bytes +Delayed +Topics +Selector\n {2}\/queue\/work +7 /)
    expect(stdout).toMatch(/\n {2}\/durable\/all@ada +1 +\d+ +0 {2}\/topic\/news\/\*\* +kind = 'big'\n/)
    const heads = stdout.split('\n').filter((line) => /^ {2}(Queue|\/)/.test(line))
    const [head = ''] = heads
    // Numbers end where the names of their columns do.
    for (const line of heads) expect(line.slice(0, head.indexOf('Bytes') + 5)).toMatch(/\S$/)
    expect(stdout).not.toContain('\u001b')
  })

  test('while a broker runs, inspect counts, and the others wait for it to stop', async ({
    shell,
    folder,
  }) => {
    const dataDir = join(folder, 'data')
    const broker = await startBroker({ dataDir })
    try {
      const client = await RawClient.tcpConnected(broker)
      for (const body of ['a', 'b']) await send(client, { destination: '/queue/x' }, body)
      await send(client, { destination: '/queue/x', 'x-delay': '1000000' })
      await send(client, { destination: '/topic/x', retain: 'set' })
      expect(await inspect(shell, dataDir)).toMatchObject({
        code: 0,
        running: true,
        queues: [{ name: '/queue/x', messages: 3, delayed: 1 }],
        retained: 1,
      })
      const shown = await shell.run(['store', 'inspect', '--data-dir', dataDir])
      expect(shown.stdout).toContain('in use by a running broker, so its records were not checked')
      for (const args of [['compact'], ['export'], ['import', '--in', join(folder, 'saved')]]) {
        writeFileSync(join(folder, 'saved'), written())
        const { code, stdout, stderr } = await shell.run(['store', ...args, '--data-dir', dataDir])
        expect([args, code, stdout]).toEqual([args, 75, ''])
        expect(stderr).toMatch(/^error: .* is in use by another stomp-broker; stop that one/)
      }
      await send(client, { destination: '/queue/x' }, 'c')
      client.destroy()
    } finally {
      await broker.close()
    }
    expect(await drain(dataDir, 3, { destination: '/queue/x' })).toEqual(['a', 'b', 'c'])
  })

  test('after a crash inspect says so, and what may have been handed out is exported as such', async ({
    shell,
    folder,
  }) => {
    const run = shell.start(['--port', '0', '--tcp-port', '0', '--data-dir', folder])
    const client = await RawClient.tcp(portOf((await run.ready()).get('TCP')?.[0]))
    client.send('CONNECT', { 'accept-version': '1.2', host: 'x' })
    await client.next('CONNECTED')
    await send(client, { destination: '/queue/x' }, 'taken')
    client.send('SUBSCRIBE', { id: '0', destination: '/queue/x', ack: 'client-individual', prefetch: '1' })
    await client.next('MESSAGE')
    await run.kill()
    expect(await inspect(shell, folder)).toMatchObject({
      code: 0,
      closed: false,
      running: false,
      damages: [],
    })
    const text = await exported(shell, folder)
    expect(linesOf(text).find(({ type }) => type === 'message')).toMatchObject({
      body: 'taken',
      deliveries: 1,
    })
    await imported(shell, join(folder, 'new'), text)
    expect(await exported(shell, join(folder, 'new'))).toBe(text)
  })

  test('compact leaves what is in it, and a smaller file', async ({ shell, folder }) => {
    const many = Array.from({ length: 300 }, (_, index) =>
      message('/queue/x', String(index).padEnd(9_000, '.')),
    )
    await imported(
      shell,
      folder,
      written({ type: 'queue', name: '/queue/y' }, ...many, message('/queue/y', 'last')),
    )
    const bodies = many.map(({ body }) => body)
    expect(await drain(folder, 300, { destination: '/queue/x' })).toEqual(bodies)
    const text = await exported(shell, folder)
    const before = await inspect(shell, folder)
    expect(before.file).toBeGreaterThan(2_000_000)
    expect(before.live).toBeLessThan(200_000)
    const hint = await shell.run(['store', 'inspect', '--data-dir', folder])
    expect(hint.stdout).toContain(`stomp-broker store compact --data-dir ${folder} gives back`)
    const { code, stdout } = await shell.run(['store', 'compact', '--data-dir', folder])
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/ was [\d.]+ MB and is [\d.]+ kB, .* less\.\n$/),
    ])
    expect(await inspect(shell, folder)).toMatchObject({
      code: 0,
      closed: true,
      damages: [],
      live: before.live,
      file: expect.toSatisfy((bytes: number) => bytes <= before.live + 65_536) as number,
    })
    expect(await exported(shell, folder)).toBe(text)
    expect(existsSync(join(folder, 'compacting'))).toBe(false)
    // A broker that finds it changed looks through all of it.
    utimesSync(join(folder, 'data.mdb'), 1, 1)
    expect(await drain(folder, 1, { destination: '/queue/y' })).toEqual(['last'])
  })

  test('a compaction that was killed leaves the old store, and is cleared away', async ({
    shell,
    folder,
  }) => {
    await fill(folder)
    const text = await exported(shell, folder)
    mkdirSync(join(folder, 'compacting'))
    writeFileSync(
      join(folder, 'compacting', 'data.mdb'),
      readFileSync(join(folder, 'data.mdb')).subarray(0, 9_000),
    )
    expect(await inspect(shell, folder)).toMatchObject({ code: 0, closed: true, damages: [] })
    expect(await drain(folder, 1, { destination: '/topic/price.one' })).toEqual(['17'])
    expect(existsSync(join(folder, 'compacting'))).toBe(false)
    expect(await exported(shell, folder)).toBe(text)
    mkdirSync(join(folder, 'compacting'))
    expect((await shell.run(['store', 'compact', '--data-dir', folder, '--json'])).code).toBe(0)
    expect(await exported(shell, folder)).toBe(text)
  })

  test('a broker compacts at its start what is nearly empty', async ({ shell, folder }) => {
    const body = 'x'.repeat(6_000_000)
    const many = Array.from({ length: 12 }, () => message('/queue/x', body))
    await imported(shell, folder, written(...many))
    await drain(folder, 12, { destination: '/queue/x' })
    const before = statSync(join(folder, 'data.mdb')).size
    expect(before).toBeGreaterThan(64 * 1024 * 1024)
    const run = shell.start(['--port', '0', '--data-dir', folder])
    await run.ready()
    expect(run.stderr).toMatch(/was compacted from 7\d\.\d MB to 0\.\d MB/)
    run.signal('SIGTERM')
    await run.ended
    expect(statSync(join(folder, 'data.mdb')).size).toBeLessThan(200_000)
  })

  test('import adds to what is there, which keeps its terms', async ({ shell, folder }) => {
    const terms = { lasting: true, maxMessages: 5 }
    await imported(
      shell,
      folder,
      written({ type: 'queue', name: '/queue/a', terms }, message('/queue/a', 'one'), {
        ...message('/topic/t', 'kept'),
        type: 'retained',
        queue: undefined,
        kind: 'topic',
        retain: 'set',
      }),
    )
    const { code, stderr } = await shell.feed(
      ['store', 'import', '--data-dir', folder],
      written(
        { type: 'queue', name: '/queue/a', terms: { maxMessages: 1 } },
        message('/queue/a', 'two'),
        message('/queue/b', 'three', { deliveries: 3, refusals: 2 }),
        {
          ...message('/topic/t', 'left out'),
          type: 'retained',
          queue: undefined,
          kind: 'topic',
          retain: 'set',
        },
      ),
    )
    expect([code, stderr]).toEqual([
      0,
      `2 messages, 1 queue and 0 retained messages added to ${folder}.\n1 retained message left out: the store has one of the same topic.\n`,
    ])
    const lines = linesOf(await exported(shell, folder))
    expect(lines.filter(({ type }) => type === 'queue')).toEqual([
      { type: 'queue', name: '/queue/a', terms },
      { type: 'queue', name: '/queue/b' },
    ])
    expect(lines.filter(({ body }) => body !== undefined)).toMatchObject([
      { queue: '/queue/a', body: 'one' },
      { queue: '/queue/a', body: 'two' },
      { queue: '/queue/b', body: 'three', deliveries: 3, refusals: 2 },
      { destination: '/topic/t', body: 'kept' },
    ])
    expect(await drain(folder, 2, { destination: '/queue/a' })).toEqual(['one', 'two'])
  })

  test('a bad line is named, what stands before it is in the store, and --skip goes on behind that', async ({
    shell,
    folder,
  }) => {
    const dataDir = join(folder, 'data')
    const lines = written(
      message('/queue/a', 'one'),
      message('/queue/a', 'two'),
      message('/queue/a', 'three'),
    )
    const bad = lines.replace('"id":"id-two"', '"id":"no id"')
    const file = join(folder, 'saved.jsonl')
    writeFileSync(file, bad)
    const { code, stdout, stderr } = await shell.run(['store', 'import', '--data-dir', dataDir, '--in', file])
    expect([code, stdout]).toEqual([65, ''])
    expect(stderr).toBe(
      'error: line 3: its id must be of letters, digits, dots, - and _. The first 2 lines are in the store; go on behind them with --skip 2.\n',
    )
    writeFileSync(file, lines)
    const rest = await shell.run(['store', 'import', '--data-dir', dataDir, '--in', file, '--skip', '2'])
    expect([rest.code, rest.stderr]).toEqual([0, expect.stringContaining('2 messages')])
    expect(await drain(dataDir, 3, { destination: '/queue/a' })).toEqual(['one', 'two', 'three'])
  })

  test('the end of an export must be there', async ({ shell, folder }) => {
    const cut = written(message('/queue/a', 'one')).replace(/\{"type":"end".*\n/, '')
    const { code, stderr } = await shell.feed(['store', 'import', '--data-dir', folder], cut)
    expect([code, stderr]).toEqual([
      65,
      expect.stringMatching(
        /^error: the input ends behind line 2 without its last line, so the rest of it is missing/,
      ),
    ])
    expect(await drain(folder, 1, { destination: '/queue/a' })).toEqual(['one'])
  })

  test('what is no export makes no store', async ({ shell, folder }) => {
    for (const [input, sentence] of [
      ['', /the input ends behind line 0/],
      ['<html>\n', /line 1: it is no JSON in UTF-8: "<html>"\. Nothing was imported\./],
      [Buffer.from([0xff, 10]), /line 1: it is no JSON in UTF-8/],
      ['{"type":"queue","name":"/queue/a"}\n', /line 1: it must be the beginning of an export/],
      ['{"type":"store","format":2,"version":"9.0.0"}\n', /exported by a newer stomp-broker \(9\.0\.0\)/],
    ] as const) {
      const { code, stderr } = await shell.feed(['store', 'import', '--data-dir', join(folder, 'new')], input)
      expect([code, stderr]).toEqual([65, expect.stringMatching(sentence)])
      expect(existsSync(join(folder, 'new'))).toBe(false)
    }
    const missing = await shell.run([
      'store',
      'import',
      '--data-dir',
      folder,
      '--in',
      join(folder, 'nowhere'),
    ])
    expect([missing.code, missing.stderr]).toEqual([
      65,
      expect.stringMatching(/nowhere cannot be read: ENOENT/),
    ])
  })

  test('export does not write over a file, and says when nobody reads it', async ({ shell, folder }) => {
    await fill(join(folder, 'data'))
    const args = ['store', 'export', '--data-dir', join(folder, 'data')]
    const file = join(folder, 'saved.jsonl')
    const saved = await shell.run([...args, '--out', file])
    expect(saved).toEqual({ code: 0, stdout: '', stderr: `12 messages saved in ${file}.\n` })
    const text = readFileSync(file, 'utf8')
    expect(text).toBe(await exported(shell, join(folder, 'data')))
    const again = await shell.run([...args, '--out', file])
    expect([again.code, again.stderr]).toEqual([
      74,
      `error: ${file} is there already; choose another --out.\n`,
    ])
    expect(readFileSync(file, 'utf8')).toBe(text)
    const run = shell.start(args)
    run.deafen()
    const { code, stderr } = await run.ended
    expect([code, stderr]).toEqual([
      74,
      expect.stringMatching(/could not be written, and is not whole: .*EPIPE/),
    ])
  })
})

describe('stomp-broker store, of a damaged store', () => {
  /** Changes a text wherever it stands in the file: what is free may still hold a copy of it. */
  function damage(dataDir: string, text: string): void {
    const path = join(dataDir, 'data.mdb')
    const file = readFileSync(path)
    let at = file.indexOf(text)
    expect(at).toBeGreaterThan(0)
    for (; at >= 0; at = file.indexOf(text, at + 1)) file[at] = 0x58
    writeFileSync(path, file)
  }

  test('a broker refuses it, inspect says what is wrong, and export and import save the rest', async ({
    shell,
    folder,
  }) => {
    const [old, fresh, file] = [join(folder, 'old'), join(folder, 'new'), join(folder, 'saved.jsonl')]
    await fill(old)
    const lines = linesOf(await exported(shell, old))
    damage(old, 'Grüße')
    const refused = await shell.run(['--port', '0', '--data-dir', old])
    expect(refused.code).toBe(74)
    // The command that it names does it.
    const [, command = ''] = /"stomp-broker (store export .*?)"/.exec(refused.stderr) ?? []
    const saved = await shell.run(command.replace('saved.jsonl', file).split(' '))
    expect([saved.code, saved.stdout]).toEqual([74, ''])
    expect(saved.stderr).toMatch(/ is damaged: .*11 messages could be read, 1 message could not\.\n$/)
    expect(await inspect(shell, old)).toMatchObject({ code: 74, lost: 1 })
    const { stdout } = await shell.run(['store', 'inspect', '--data-dir', old])
    expect(stdout).toMatch(
      /Damage {4}in 2 places; 10 messages could be read, 1 message could not\n {12}the record [0-9a-f]+ of messages/,
    )
    expect(stdout).toMatch(/\/queue\/work has 6 messages of \d+ bytes, and should have 7 of/)
    expect((await shell.run(['store', 'compact', '--data-dir', old])).code).toBe(74)

    await imported(shell, fresh, readFileSync(file))
    const left = lines.filter(({ body }) => !String(body).startsWith('Grüße'))
    expect(linesOf(await exported(shell, fresh)).slice(0, -1)).toEqual(left.slice(0, -1))
  })

  test('without its label, or with that of another', async ({ shell, folder }) => {
    const dataDir = join(folder, 'data')
    await fill(dataDir)
    const text = await exported(shell, dataDir)
    writeFileSync(join(dataDir, 'store.json'), '{')
    for (const _ of [1, 2]) {
      expect((await shell.run(['--port', '0', '--data-dir', dataDir])).code).toBe(74)
      expect(await inspect(shell, dataDir)).toMatchObject({ code: 74, lost: 0, damaged: 1 })
      const { code, stdout, stderr } = await shell.run(['store', 'export', '--data-dir', dataDir])
      expect([code, stderr]).toEqual([74, expect.stringContaining('store.json is missing or damaged')])
      expect(linesOf(stdout).slice(1)).toEqual(linesOf(text).slice(1))
      rmSync(join(dataDir, 'store.json'), { force: true })
    }
    writeFileSync(join(dataDir, 'store.json'), '{"format":2,"version":"9.0.0","id":"x"}')
    for (const word of ['inspect', 'export', 'compact', 'import']) {
      const { code, stderr } = await shell.feed(['store', word, '--data-dir', dataDir], written())
      expect([word, code, stderr]).toEqual([word, 74, expect.stringContaining('newer stomp-broker (9.0.0)')])
    }
  })

  test('what is no store', async ({ shell, folder }) => {
    const nothing = join(folder, 'nothing')
    mkdirSync(join(folder, 'other'))
    copyFileSync('package.json', join(folder, 'other', 'package.json'))
    for (const word of ['inspect', 'export', 'compact'])
      for (const [path, sentence] of [
        [nothing, /nothing cannot be used: it is not there; correct the path/],
        [join(folder, 'other'), /other is no folder of stomp-broker; --data-dir is to say/],
        [join(folder, 'other', 'package.json'), /package\.json cannot be used: it is not a folder/],
      ] as const) {
        const { code, stdout, stderr } = await shell.run(['store', word, '--data-dir', path])
        expect([word, code, stdout, stderr]).toEqual([word, 74, '', expect.stringMatching(sentence)])
      }
    expect(existsSync(nothing)).toBe(false)
  })
})

describe('the usage of stomp-broker store', () => {
  test('--help has examples that work as they stand', async ({ shell, folder }) => {
    const { code, stdout } = await shell.run(['store', '--help'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/Exit codes: 0 done; 64 .*; 65 .*; 74 .*; 75 /s)
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(110)
    await imported(shell, join(folder, 'data'), written(message('/queue/a', 'one')))
    const lines = [...stdout.matchAll(/^ {2}stomp-broker (store .*?) {3,}\S/gm)]
    expect(lines.map(([, line = '']) => line.split(' ')[1])).toEqual(
      expect.arrayContaining(['inspect', 'compact', 'export', 'import']),
    )
    for (const [, line = ''] of lines) {
      const words = line.replaceAll('./', `${folder}/`).replace('saved.jsonl', join(folder, 'saved.jsonl'))
      expect([line, (await shell.run(words.split(' '))).code]).toEqual([line, 0])
    }
    expect(await drain(join(folder, 'new-data'), 1, { destination: '/queue/a' })).toEqual(['one'])
  })

  test.for<[string[], RegExp]>([
    [['inspct', '--data-dir', '.'], /unknown command 'inspct'\n\(Did you mean inspect\?\)/],
    [['inspect'], /--data-dir <folder> is to say where the store is/],
    [['inspect', '--data-dri', '.'], /unknown option '--data-dri'\n\(Did you mean --data-dir\?\)/],
    [['compact', 'now', '--data-dir', '.'], /too many arguments/],
    [['import', '--data-dir', '.', '--skip', 'x'], /It must be a whole number/],
    [[], /Usage: stomp-broker store/],
  ])('refuses %j', async ([args, sentence], { shell }) => {
    const { code, stdout, stderr } = await shell.run(['store', ...args])
    expect([code, stdout, stderr]).toEqual([64, '', expect.stringMatching(sentence)])
  })

  test('the folder may stand before the word, or in the environment', async ({ shell, folder }) => {
    await imported(shell, folder, written(message('/queue/a', 'one')))
    const text = await exported(shell, folder)
    expect((await shell.run(['--data-dir', folder, 'store', 'export'])).stdout).toBe(text)
    expect((await shell.run(['store', 'export'], { STOMP_BROKER_DATA_DIR: folder })).stdout).toBe(text)
  })
})
