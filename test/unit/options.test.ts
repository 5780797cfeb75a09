import { describe, expect, test } from 'vitest'
import {
  isLocal,
  optionName,
  OptionsError,
  readOptions,
  rows,
  type BrokerOptions,
} from '../../broker/options.ts'

/** The problems of options that may be of any type, as from plain JavaScript. */
function problems(options: Record<string, unknown>): readonly string[] {
  try {
    readOptions(options)
  } catch (error) {
    if (error instanceof OptionsError) return error.problems
    throw error
  }
  return []
}

describe('defaults', () => {
  test('what is left out, or undefined, has its default', () => {
    const defaults = Object.fromEntries(Object.entries(rows).map(([key, row]) => [key, row.default]))
    expect(readOptions({})).toEqual(defaults)
    expect(readOptions({ port: undefined, demo: undefined } as unknown as BrokerOptions)).toEqual(defaults)
    expect(readOptions({ port: 0, demo: false })).toEqual({ ...defaults, port: 0, demo: false })
  })

  test('a broker without options is for this machine only', () => {
    const settings = readOptions({})
    expect(settings).toMatchObject({
      host: '127.0.0.1',
      port: 61_614,
      endpoints: ['/ws', '/stomp'],
      origins: [],
    })
    expect([settings.tcpPort, settings.tlsPort, settings.tlsCert]).toEqual([undefined, undefined, ''])
    expect(isLocal(settings)).toBe(true)
  })

  test.each([
    ['localhost', true],
    ['::1', true],
    ['127.8.9.10', true],
    ['0.0.0.0', false],
    ['::', false],
    ['192.168.0.1', false],
    ['127.0.0.1.example.com', false],
  ])('on %s it is for this machine only: %s', (host, local) => {
    expect(isLocal(readOptions({ host }))).toBe(local)
  })

  test('the default of every option passes its own check', () => {
    for (const [key, row] of Object.entries(rows)) expect(problems({ [key]: row.default })).toEqual([])
  })
})

describe('bounds, met and crossed by one', () => {
  test.each([
    ['port', 0, 65_535],
    ['tcpPort', 0, 65_535],
    ['tlsPort', undefined, 65_535],
    ['heartbeatMin', 500, 60_000],
    ['heartbeatMax', 1_000, 2 ** 31 - 1],
    ['heartbeatCeiling', 1, 2 ** 31 - 1],
    ['pingInterval', 500, 2 ** 31 - 1],
    ['connectTimeout', 100, 2 ** 31 - 1],
    ['requestTimeout', 100, 2 ** 31 - 1],
    ['maxConnections', 1, 2 ** 31 - 1],
    ['maxConnectionsPerAddress', 1, 2 ** 31 - 1],
    ['maxConnectBytes', 64, 2 ** 40],
    ['maxCommand', 16, 2 ** 40],
    ['maxHeaders', 1, 2 ** 31 - 1],
    ['maxHeaderLine', 64, 2 ** 40],
    ['maxBody', 0, undefined],
    ['sendBudget', undefined, 2 ** 40],
    ['totalSendBudget', 8 * 2 ** 20 + 2 ** 16, 2 ** 40],
    ['slowMessages', 1, 2 ** 31 - 1],
    ['prefetch', 1, 2 ** 31 - 1],
    ['maxUnacked', 1, 2 ** 31 - 1],
    ['maxPendingReceipts', 1, 2 ** 31 - 1],
    ['maxSendRate', 0, 2 ** 31 - 1],
    ['sendRatePatience', 1, 2 ** 31 - 1],
    ['maxQueueMessages', 1, 2 ** 31 - 1],
    ['maxQueueBytes', 1, 2 ** 40],
    ['maxTransactions', 1, 2 ** 31 - 1],
    ['maxTransactionFrames', 1, 2 ** 31 - 1],
    ['maxTransactionBytes', 1, 2 ** 40],
    ['sockjsMaxBatch', 1_024, 2 ** 40],
    ['sockjsMaxSessions', 1, 2 ** 31 - 1],
  ] as const)('%s from %s to %s', (key, min, max) => {
    const others = { tlsCert: 'c', tlsKey: 'k' }
    for (const [value, good] of [
      [min, true],
      [max, true],
      [min === undefined ? undefined : min - 1, false],
      [max === undefined ? undefined : max + 1, false],
    ] as const) {
      if (value === undefined) continue
      expect([value, problems({ ...others, [key]: value }).length === 0]).toEqual([value, good])
    }
  })

  test('the smallest frame and budget', () => {
    expect(problems({ maxBody: 0, maxFrame: 1_024, sendBudget: 65_536 })).toEqual([])
    expect(problems({ maxBody: 0, maxFrame: 1_023 })[0]).toMatch(/^max-frame: /)
    expect(problems({ maxBody: 0, maxFrame: 1_024, sendBudget: 65_535 })[0]).toMatch(/^send-budget: /)
  })
})

describe('what cannot be', () => {
  test.each<[string, unknown]>([
    ['port', '61614'],
    ['port', 1.5],
    ['port', Number.NaN],
    ['port', null],
    ['host', 1],
    ['demo', 'true'],
    ['endpoints', '/ws'],
    ['endpoints', ['ws']],
    ['endpoints', ['/']],
    ['endpoints', ['/ws/']],
    ['endpoints', ['/ws?x']],
    ['endpoints', ['/a.b']],
    ['origins', ['example.com']],
    ['origins', ['https://example.com/']],
    ['origins', ['ftp://example.com']],
    ['origins', ['*.example.com']],
    ['logLevel', 'loud'],
    ['sockjsBinary', 'native'],
    ['slowConsumers', ['/topic/a']],
    ['slowConsumers', ['/topic/a=refuse']],
    ['slowConsumers', ['topic/a=keep-latest']],
    ['slowConsumers', ['/topic/a=drop-oldest', '/topic/a=drop-oldest']],
  ])('%s: %j', (key, value) => {
    const found = problems({ [key]: value })
    expect(found.length).toBeGreaterThan(0)
    for (const problem of found) expect(problem).toMatch(new RegExp(`^${optionName(key)}: `))
  })

  test.each<[string, unknown]>([
    ['endpoints', ['/a', '/b/c', '/D-e_f~1']],
    ['slowConsumers', ['/topic/a.*=drop-oldest', '/queue/b=keep-latest', '/topic/**=disconnect']],
    ['origins', ['*', 'null', 'http://localhost:8080', 'https://app.example.com']],
  ])('%s may be %j', (key, value) => {
    expect(problems({ [key]: value })).toEqual([])
  })

  test('every problem is reported at once', () => {
    const found = problems({ port: -1, host: 1, endpoints: ['ws', '/ok', 'x'], logLevel: 'loud', unknown: 1 })
    expect(found.map((problem) => problem.split(':')[0])).toEqual([
      'port',
      'host',
      'endpoints',
      'endpoints',
      'log-level',
      'unknown is not an option',
    ])
  })

  test('every unknown option is reported, not only the first', () => {
    expect(problems({ prot: 1, hots: 'x' })).toEqual(['prot is not an option', 'hots is not an option'])
  })

  test('the error says all of it', () => {
    expect(() => readOptions({ port: -1, prefetch: 0 })).toThrow(/port: .*\nprefetch: /)
  })

  test.each<[options: BrokerOptions, problem: RegExp]>([
    [{ heartbeatMin: 2_000, heartbeatMax: 1_999 }, /heartbeat-min/],
    [{ tlsCert: 'a.pem' }, /tls-cert and tls-key/],
    [{ tlsKey: 'a.pem' }, /tls-cert and tls-key/],
    [{ tlsPort: 61_617 }, /tls-port/],
    [{ endpoints: [] }, /endpoints/],
    [{ maxFrame: 2_000, maxBody: 2_001 }, /max-frame/],
    [{ sendBudget: 8 * 2 ** 20 + 2 ** 16 - 1 }, /^send-budget/],
    [{ totalSendBudget: 8 * 2 ** 20 + 2 ** 16 - 1 }, /^total-send-budget/],
    [{ slowConsumers: ['/*/a=keep-latest'] }, /prefix/],
  ])('options that contradict each other: %j', (options, problem) => {
    const found = problems(options)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(problem)
  })

  test.each<BrokerOptions>([
    { heartbeatMin: 2_000, heartbeatMax: 2_000 },
    { tlsCert: 'a', tlsKey: 'b', tlsPort: 61_617 },
    { maxFrame: 2_000, maxBody: 2_000 },
    { sendBudget: 8 * 2 ** 20 + 2 ** 16 },
  ])('options that just agree: %j', (options) => {
    expect(problems(options as Record<string, unknown>)).toEqual([])
  })

  test('every contradiction is reported at once', () => {
    expect(problems({ heartbeatMin: 2_000, heartbeatMax: 1_000, tlsKey: 'k', endpoints: [] })).toHaveLength(3)
  })
})
