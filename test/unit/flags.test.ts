import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { beforeAll, describe, expect, test } from 'vitest'
import { addFlags, flag, inWordsOf, readFlags, showDefault, variable } from '../../bin/flags.ts'
import { optionName, OptionsError, rows, type Row } from '../../broker/options.ts'

const entries = Object.entries<Row<unknown>>(rows)

/** What a command line and an environment amount to. */
function read(line: string[], environment: Record<string, string> = {}): Record<string, unknown> {
  const program = new Command().exitOverride().configureOutput({ writeErr: () => {} })
  addFlags(program)
  program.parse(line, { from: 'user' })
  return { ...readFlags(program, environment) }
}
/** The complaints about an environment, or about a command line. */
function complaints(line: string[], environment: Record<string, string> = {}): readonly string[] {
  try {
    read(line, environment)
  } catch (error) {
    if (error instanceof OptionsError) return error.problems
    if (error instanceof CommanderError) return [error.message]
    throw error
  }
  return []
}

test('nothing given is nothing set: the defaults are those of the broker', () => {
  expect(read([])).toEqual({})
})

describe('sizes', () => {
  test.each([
    ['0', 0],
    ['65536', 65_536],
    ['65536b', 65_536],
    ['64k', 65_536],
    ['64K', 65_536],
    ['64kb', 65_536],
    ['64 KiB', 65_536],
    ['8m', 8 * 1024 ** 2],
    ['8MB', 8 * 1024 ** 2],
    ['1g', 1024 ** 3],
  ])('%s', (text, value) => {
    expect(read(['--max-body', text])).toEqual({ maxBody: value })
    expect(read([], { STOMP_BROKER_MAX_BODY: text })).toEqual({ maxBody: value })
  })

  test.each(['1.5m', '-1', '64t', 'k', 'm8', '1 2', '64kk', '0x10', '1e3'])('%s is none', (text) => {
    expect(complaints([`--max-body=${text}`])).toEqual([expect.stringContaining('--max-body')])
    expect(complaints([], { STOMP_BROKER_MAX_BODY: text })).toEqual([
      expect.stringContaining('STOMP_BROKER_MAX_BODY'),
    ])
  })
})

describe('whole numbers', () => {
  test('as they are', () => {
    expect(read(['--port', '0', '--prefetch=7'])).toEqual({ port: 0, prefetch: 7 })
    // Whether it will do is the broker's to say.
    expect(read(['--port=-1'])).toEqual({ port: -1 })
  })

  test.each(['x', '1.5', '1k', '1e3', '0x10', ' 1', '∞'])('%j is none', (text) => {
    expect(complaints([`--port=${text}`])).toEqual([expect.stringContaining('--port')])
    expect(complaints([], { STOMP_BROKER_PORT: text })).toEqual([
      expect.stringContaining('STOMP_BROKER_PORT'),
    ])
  })
})

describe('switches', () => {
  test.each([
    ['true', true],
    ['TRUE', true],
    ['1', true],
    ['yes', true],
    ['on', true],
    ['false', false],
    ['0', false],
    ['No', false],
    ['off', false],
  ])('in the environment: %s', (text, value) => {
    expect(read([], { STOMP_BROKER_DEMO: text, STOMP_BROKER_ANY_PATH: text })).toEqual({
      demo: value,
      anyPath: value,
    })
  })

  test.each(['maybe', '2', 'toString', 'constructor'])('%s is neither on nor off', (text) => {
    expect(complaints([], { STOMP_BROKER_DEMO: text })).toEqual([
      expect.stringContaining('STOMP_BROKER_DEMO'),
    ])
  })

  test('on the command line either way, so that it can overrule the environment', () => {
    expect(read(['--no-demo', '--any-path'])).toEqual({ demo: false, anyPath: true })
    const environment = { STOMP_BROKER_DEMO: 'false', STOMP_BROKER_ANY_PATH: 'true' }
    expect(read([], environment)).toEqual({ demo: false, anyPath: true })
    expect(read(['--demo', '--no-any-path'], environment)).toEqual({ demo: true, anyPath: false })
  })
})

test.each([
  ['/a,/b', ['/a', '/b']],
  [' /a , /b ,', ['/a', '/b']],
  [',', []],
])('lists: %j', (text, value) => {
  expect(read(['--endpoints', text])).toEqual({ endpoints: value })
  expect(read([], { STOMP_BROKER_ENDPOINTS: text })).toEqual({ endpoints: value })
})

test('choices', () => {
  expect(read(['--log-level', 'debug'])).toEqual({ logLevel: 'debug' })
  expect(complaints(['--log-level', 'loud'])).toEqual([
    expect.stringContaining('silent, error, warn, info, debug'),
  ])
  expect(complaints([], { STOMP_BROKER_LOG_LEVEL: 'loud' })).toHaveLength(1)
})

describe('precedence', () => {
  test('the command line wins over the environment', () => {
    const environment = { STOMP_BROKER_PORT: '1', STOMP_BROKER_DEMO: 'true', STOMP_BROKER_HOST: '::1' }
    expect(read(['--port', '2', '--no-demo'], environment)).toEqual({ port: 2, demo: false, host: '::1' })
  })

  test('even where it says what is the default anyway', () => {
    expect(read(['--port', '61614'], { STOMP_BROKER_PORT: '1' })).toEqual({ port: 61_614 })
  })

  test('a bad variable does not matter where a flag is given', () => {
    expect(complaints(['--port', '2'], { STOMP_BROKER_PORT: 'x' })).toEqual([])
  })

  test('an empty variable is none', () => {
    expect(read([], { STOMP_BROKER_PORT: '', STOMP_BROKER_DEMO: '' })).toEqual({})
  })
})

describe('the environment', () => {
  test('an unknown variable of ours is a typing error', () => {
    expect(complaints([], { STOMP_BROKER_PROT: '1', STOMP_BROKER_: '1' })).toEqual([
      'STOMP_BROKER_PROT is not a setting of stomp-broker',
      'STOMP_BROKER_ is not a setting of stomp-broker',
    ])
  })

  test('variables of others are none of our business', () => {
    expect(
      complaints([], { PORT: '1', STOMP_PORT: 'x', STOMP_BROKERPORT: 'x', stomp_broker_port: 'x' }),
    ).toEqual([])
  })

  test('every problem is reported at once', () => {
    const environment = { STOMP_BROKER_PORT: 'x', STOMP_BROKER_MAX_BODY: 'y', STOMP_BROKER_NO: '1' }
    expect(complaints([], environment).map((problem) => problem.split(/[: ]/)[0])).toEqual([
      'STOMP_BROKER_PORT',
      'STOMP_BROKER_MAX_BODY',
      'STOMP_BROKER_NO',
    ])
  })
})

describe('every option', () => {
  let rules: string
  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'flags-'))
    rules = join(folder, 'rules.json')
    await writeFile(rules, '{"/app/x":"/topic/x"}')
    return () => rm(folder, { recursive: true })
  })
  const samples = { integer: '7', bytes: '7', text: 'x', list: '/x', switch: '', choice: '' }
  test.each(entries)('%s has its flag and its variable', (key, row) => {
    const text = row.choices?.[0] ?? (row.kind === 'rules' ? rules : samples[row.kind])
    const value = {
      integer: 7,
      bytes: 7,
      text: 'x',
      list: ['/x'],
      switch: row.default !== true,
      choice: text,
      rules: { '/app/x': '/topic/x' },
    }[row.kind]
    const name = flag(key, row).split(' ')[0] ?? ''
    expect(name).toBe(`--${row.default === true ? 'no-' : ''}${optionName(key)}`)
    expect(read(row.kind === 'switch' ? [name] : [name, text])).toEqual({ [key]: value })
    expect(variable(key)).toMatch(/^STOMP_BROKER_[A-Z_]+$/)
    expect(read([], { [variable(key)]: row.kind === 'switch' ? `${row.default !== true}` : text })).toEqual({
      [key]: value,
    })
  })

  test('rules are read from a file of JSON, and what is wrong with it is said', async () => {
    expect(complaints(['--app', '/nowhere/rules.json'])[0]).toMatch(/It must be a JSON file: ENOENT/)
    await writeFile(`${rules}.bad`, '{"/app/x":')
    expect(complaints(['--app', `${rules}.bad`])[0]).toMatch(/It must be a JSON file: .*JSON/)
    for (const text of ['["/app/x"]', 'null', '5']) {
      await writeFile(`${rules}.odd`, text)
      expect(complaints(['--app', `${rules}.odd`])[0]).toContain('It must hold an object')
    }
    expect(complaints([], { STOMP_BROKER_APP: `${rules}.bad` })[0]).toMatch(/^STOMP_BROKER_APP: .*JSON file/)
  })

  test.each(entries.filter(([, row]) => row.kind !== 'switch'))(
    '%s shows a default one could type',
    (key, row) => {
      const shown = showDefault(row)
      if (row.kind === 'rules') expect([shown, row.default]).toEqual(['none', {}])
      else if (shown === 'none')
        expect([undefined, '', 0]).toContain(Array.isArray(row.default) ? row.default.length : row.default)
      else expect(read([`--${optionName(key)}`, shown])).toEqual({ [key]: row.default })
    },
  )

  test.each([
    ['maxBody', '8m'],
    ['maxFrame', '8256k'],
    ['maxCommand', '32'],
    ['maxHeaderLine', '8k'],
    ['port', '61614'],
    ['tcpPort', 'none'],
    ['endpoints', '/ws,/stomp'],
    ['origins', 'none'],
    ['logLevel', 'info'],
  ] as const)('the default of %s is shown as %s', (key, shown) => {
    expect(showDefault(rows[key])).toBe(shown)
  })
})

test('what Kubernetes sets for a service called stomp-broker is no setting', () => {
  expect(
    read([], {
      STOMP_BROKER_SERVICE_HOST: '10.0.0.1',
      STOMP_BROKER_SERVICE_PORT: '61614',
      STOMP_BROKER_SERVICE_PORT_HTTP: '61614',
      STOMP_BROKER_PORT: 'tcp://10.0.0.1:61614',
      STOMP_BROKER_PORT_61614_TCP_ADDR: '10.0.0.1',
    }),
  ).toEqual({})
})

test.each([
  [['--port', '70000'], {}, '--port: no'],
  [[], { STOMP_BROKER_PORT: '70000' }, 'STOMP_BROKER_PORT: no'],
  [['--port', '70000'], { STOMP_BROKER_PORT: '1' }, '--port: no'],
])('a problem names what was typed: %j %j', (line, environment, expected) => {
  const program = new Command().exitOverride()
  addFlags(program)
  program.parse(line, { from: 'user' })
  expect(inWordsOf(program, environment, 'port: no')).toBe(expected)
})
