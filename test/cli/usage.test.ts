import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { describe, expect } from 'vitest'
import { addFlags, flag, readFlags, showDefault, variable } from '../../bin/flags.ts'
import { readOptions, rows, type Row } from '../../broker/options.ts'
import manifest from '../../package.json' with { type: 'json' }
import { selfSigned } from '../helpers/certificate.ts'
import { test } from '../helpers/fixtures.ts'

const options = Object.entries<Row<unknown>>(rows)

describe('the usage of stomp-broker', () => {
  test.for(['--version', '-V'])('%s', async (option, { shell }) => {
    expect(await shell.run([option])).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: '' })
  })

  test.for(['--help', '-h'])(
    '%s lists every option with its default, and has examples',
    async (option, { shell }) => {
      const { code, stdout, stderr } = await shell.run([option])
      expect([code, stderr]).toEqual([0, ''])
      const [, list = '', examples = ''] = /\nOptions:\n(.*)\nExamples:\n(.*)$/s.exec(stdout) ?? []
      // Descriptions go over several lines.
      const entries = list.split(/\n(?= {2}-)/).map((entry) => entry.replaceAll(/\s+/g, ' ').trim())
      for (const [key, row] of options) {
        const entry = entries.find((text) => text.startsWith(`${flag(key, row)} `)) ?? ''
        expect(entry).toContain(row.help)
        if (row.kind !== 'switch') expect(entry).toContain(`(default: ${showDefault(row)})`)
      }
      // And nothing that is not there; --version and --help are commander's.
      expect(entries.filter((entry) => entry.startsWith('-'))).toHaveLength(options.length + 2)
      expect(examples.trim().split('\n').length).toBeGreaterThan(2)
      expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(110)
    },
  )

  test('the examples of --help work as they stand', async ({ shell, folder }) => {
    const { stdout } = await shell.run(['--help'])
    const lines = [...stdout.matchAll(/^ {2}stomp-broker( .*?)? {3,}\S/gm)]
    expect(lines.length).toBeGreaterThan(2)
    // The ports may be taken, and the network is none of a test's business.
    const here = ['--port', '0', '--tcp-port', '0', '--host', '127.0.0.1']
    const own = (word: string): string => (word === './data' ? join(folder, 'data') : word)
    for (const [, words = ''] of lines) {
      const run = shell.start([...words.trim().split(/ +/).filter(Boolean).map(own), ...here])
      await run.ready()
      await run.kill()
    }
  })

  test.for<[string, string[], string | RegExp]>([
    [
      'an unknown option, with a suggestion',
      ['--prot', '1'],
      "unknown option '--prot'\n(Did you mean --port?)",
    ],
    ['a word too much', ['start'], '"start" is not understood'],
    ['a wrong value', ['--port', 'abc'], "argument 'abc' is invalid. It must be a whole number."],
    ['options that do not go together', ['--tls-port', '0'], 'tls-port: needs tls-cert and tls-key'],
    [
      'all that is wrong, not only the first',
      ['--port', '70000', '--prefetch', '0', '--endpoints', 'ws'],
      /--port: .*\n.*--endpoints: .*\n.*--prefetch: /,
    ],
  ])('refuses %s', async ([, args, sentence], { shell }) => {
    const { code, stdout, stderr } = await shell.run(args)
    expect([code, stdout]).toEqual([64, ''])
    expect(stderr).toMatch(/^error: /)
    expect(stderr).toMatch(sentence)
    expect(stderr).not.toMatch(/\n\s+at /)
  })

  // Without a process for each.
  test.for<[string[], string | RegExp]>([
    [['--port'], "option '--port <n>' argument missing"],
    [['--port', ''], "argument '' is invalid. It must be a whole number."],
    [['--port', '0x10'], "argument '0x10' is invalid. It must be a whole number."],
    [['--port', '-1'], /^port: .*-1/],
    [['--tcp-port', '65536'], /^tcp-port: .*65535.*65536/],
    [['--host', ''], 'host: must be an address such as 127.0.0.1'],
    [
      ['--max-body', '8x'],
      "argument '8x' is invalid. It must be a number of bytes such as 65536, 64k or 8m.",
    ],
    [['--max-body', '1.5m'], "argument '1.5m' is invalid."],
    [['--max-frame', '99999999999g'], /^max-frame: /],
    [['--log-level', 'loud'], 'It must be one of silent, error, warn, info, debug.'],
    [['--endpoints', 'ws'], 'endpoints: must be a path such as /ws, of letters'],
    [['--endpoints', ' , '], 'endpoints: at least one is needed'],
    [['--origins', 'app.example.com'], 'origins: must be an origin such as https://app.example.com'],
    [['--tls-cert', 'cert.pem'], 'tls-cert and tls-key go together'],
    [['--tls-key', 'key.pem'], 'tls-cert and tls-key go together'],
    [['--max-body', '1g'], 'max-frame: must be at least max-body'],
    [['--send-budget', '64k'], 'send-budget: must be at least max-frame'],
    [['--stop-timeout', '2000'], 'stop-timeout: must be more than stop-spread'],
    [
      ['--heartbeat-min', '9000', '--heartbeat-max', '1000'],
      'heartbeat-min: must not be larger than heartbeat-max',
    ],
    [['--port', '7', '--tcp-port', '7'], 'port, tcp-port and tls-port must differ'],
    [['--any-path=true'], 'any-path'],
  ])('refuses %j', ([args, sentence]) => {
    const program = new Command('stomp-broker').exitOverride().configureOutput({ writeErr: () => {} })
    addFlags(program)
    expect(() => {
      program.parse(args, { from: 'user' })
      readOptions(readFlags(program, {}))
    }).toThrow(sentence)
  })

  test('reads sizes, lists and switches', () => {
    const program = new Command('stomp-broker').exitOverride()
    addFlags(program)
    const args = ['--max-body', '64k', '--max-frame', '1 MiB', '--send-budget=2m', '--max-queue-bytes', '3G']
    program.parse([...args, '--endpoints', ' /a ,/b/c,', '--no-demo', '--any-path'], { from: 'user' })
    expect(readOptions(readFlags(program, { STOMP_BROKER_SERVER_HEADER: 'OFF' }))).toMatchObject({
      maxBody: 65_536,
      maxFrame: 1_048_576,
      sendBudget: 2_097_152,
      maxQueueBytes: 3 * 1024 ** 3,
      endpoints: ['/a', '/b/c'],
      demo: false,
      anyPath: true,
      serverHeader: false,
      port: 61_614,
    })
  })

  test('refuses wrong variables, all at once and by name', async ({ shell }) => {
    const { code, stdout, stderr } = await shell.run([], {
      STOMP_BROKER_PORT: 'abc',
      STOMP_BROKER_DEMO: 'perhaps',
      STOMP_BROKER_PROT: '1',
    })
    expect([code, stdout]).toEqual([64, ''])
    expect(stderr.split('\n')).toEqual([
      'error: STOMP_BROKER_PORT: "abc" will not do. It must be a whole number.',
      '  STOMP_BROKER_DEMO: "perhaps" will not do. It must be true or false.',
      '  STOMP_BROKER_PROT is not a setting of stomp-broker',
      '',
    ])
  })

  test('takes every option by its variable', async ({ shell, folder }) => {
    const { cert, key } = selfSigned()
    await writeFile(join(folder, 'cert.pem'), cert)
    await writeFile(join(folder, 'key.pem'), key)
    const special: Record<string, string> = {
      port: '0',
      tcpPort: '0',
      tlsPort: '0',
      dataDir: join(folder, 'data'),
      tlsCert: join(folder, 'cert.pem'),
      tlsKey: join(folder, 'key.pem'),
      origins: 'https://one.example,https://two.example',
      sockjsBaseUrl: 'https://node1.example.com/ws',
      app: join(folder, 'app.json'),
      broadcast: '/queue/news.**',
      overflow: '/queue/logs.*=drop-oldest,/queue/x=block',
      priorityQueues: '/queue/urgent.*',
      slowConsumers: '/topic/logs.*=drop-oldest,/topic/prices.*=keep-latest',
    }
    await writeFile(join(folder, 'app.json'), '{"/app/chat":"/topic/messages"}')
    const environment = Object.fromEntries(
      options.map(([key, row]) => [variable(key), special[key] ?? showDefault(row)]),
    )
    const shown = await shell.start([], environment).ready()
    expect([...shown.keys()]).toEqual(['Chat demo', 'WebSocket', 'SockJS', 'TCP', 'TLS'])
  })

  test('says which certificate file is not there', async ({ shell, folder }) => {
    const missing = join(folder, 'missing.pem')
    const { code, stdout, stderr } = await shell.run(['--tls-cert', missing, '--tls-key', missing])
    expect([code, stdout]).toEqual([64, ''])
    expect(stderr).toBe(`error: --tls-cert: ${missing} cannot be read, no such file or directory\n`)
  })

  test.for(['cert', 'key', 'other key'])(
    'says so when the certificate will not do: %s',
    async (what, { shell, folder }) => {
      const { cert, key } = selfSigned()
      const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
      await writeFile(certFile, what === 'cert' ? 'junk' : cert)
      await writeFile(keyFile, what === 'key' ? 'junk' : what === 'other key' ? selfSigned().key : key)
      const { code, stdout, stderr } = await shell.run([
        '--port',
        '0',
        '--tls-cert',
        certFile,
        '--tls-key',
        keyFile,
      ])
      expect([code, stdout]).toEqual([64, ''])
      expect(stderr).toMatch(/^error: tls-cert and tls-key will not do: .+\n$/)
    },
  )
})
