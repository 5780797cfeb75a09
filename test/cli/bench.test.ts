import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { selfSigned } from '../helpers/certificate.ts'
import { ownBrokers } from '../helpers/broker.ts'
import { RawClient } from '../helpers/client.ts'
import { test } from '../helpers/fixtures.ts'

const short = ['--duration', '0.3', '--warm-up', '0.1']
const start = ownBrokers()

interface Told {
  readonly lost: number
  readonly duplicates: number
  readonly outOfOrder: number
  readonly strange: number
  readonly sent: number
  readonly delivered: number
  readonly latency: {
    readonly p50: number
    readonly p99: number
    readonly p999: number
    readonly max: number
  }
  readonly conditions: Record<string, unknown>
  readonly warnings: string[]
}

/** A server that says nothing of STOMP. */
async function serve(answer: string | undefined): Promise<number> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => {})
    if (answer === undefined) socket.destroy()
    else socket.once('data', () => socket.end(answer))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port // it listens on a port
}

describe('stomp-broker bench', () => {
  test('--help lists the options, and has examples', async ({ shell }) => {
    const { code, stdout, stderr } = await shell.run(['bench', '--help'])
    expect([code, stderr]).toEqual([0, ''])
    for (const option of ['--url', '--window', '--rate', '--ack', '--passcode', '--json'])
      expect(stdout).toContain(`  ${option}`)
    expect(stdout).toMatch(/\nExamples:\n {2}stomp-broker bench /)
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(110)
  })

  test('without --url starts a broker of its own, and shows a table', async ({ shell }) => {
    const { code, stdout, stderr } = await shell.run([
      '--max-body',
      '10m',
      '--max-frame',
      '12m',
      'bench',
      ...short,
      '--size',
      '9m',
      '--window',
      '1',
    ])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/\n {2}Delivered +[1-9][\d,]* \/s\n/)
    expect(stdout).toMatch(/\n {2}Latency p99\.9 +[\d.]+ ms\n/)
    for (const name of ['Lost', 'Duplicates', 'Out of order'])
      expect(stdout).toMatch(new RegExp(`\n {2}${name} +0\n`))
    expect(stdout).toMatch(/\n {2}Broker +ws:\/\/127\.0\.0\.1:\d+\/ws, stomp-broker\//)
  })

  test.for<[string, (broker: Awaited<ReturnType<typeof start>>) => string, string[]]>([
    ['WebSocket, fan-out', ({ webSocketUrl }) => webSocketUrl, ['--subscribers', '20']],
    ['TCP, fan-out', ({ tcpPort }) => `tcp://127.0.0.1:${tcpPort}`, ['--subscribers', '20']],
    ['SockJS, fan-out', ({ sockJsUrl }) => sockJsUrl, ['--subscribers', '20']],
    ['a rate', ({ webSocketUrl }) => webSocketUrl, ['--rate', '300', '--publishers', '3']],
    ['large bodies', ({ webSocketUrl }) => webSocketUrl, ['--size', '1m', '--window', '2']],
    [
      'large bodies over TCP',
      ({ tcpPort }) => `tcp://127.0.0.1:${tcpPort}`,
      ['--size', '300k', '--window', '2'],
    ],
    [
      'several destinations',
      ({ webSocketUrl }) => webSocketUrl,
      ['--destinations', '7', '--publishers', '3', '--subscribers', '3'],
    ],
    ...['WebSocket', 'TCP', 'SockJS'].flatMap((transport) =>
      ['auto', 'client', 'client-individual'].map(
        (ack): [string, (broker: Awaited<ReturnType<typeof start>>) => string, string[]] => [
          `${transport}, a queue, ack:${ack}`,
          ({ webSocketUrl, tcpPort, sockJsUrl }) =>
            ({ WebSocket: webSocketUrl, TCP: `tcp://127.0.0.1:${tcpPort}`, SockJS: sockJsUrl })[transport] ??
            '',
          [
            '--queue',
            '--publishers',
            '3',
            '--subscribers',
            '4',
            '--receipts',
            '--prefetch',
            '10',
            '--ack',
            ack,
          ],
        ],
      ),
    ),
  ])('measures and verifies: %s', async ([, url, args], { shell }) => {
    const broker = await start({})
    const { code, stdout, stderr } = await shell.run([
      'bench',
      '--url',
      url(broker),
      '--json',
      ...short,
      ...args,
    ])
    expect([code, stderr]).toEqual([0, ''])
    const told = JSON.parse(stdout) as Told
    expect(told).toMatchObject({ lost: 0, duplicates: 0, outOfOrder: 0, strange: 0 })
    expect(told.delivered).toBeGreaterThan(10)
    const { p50, p99, p999, max } = told.latency
    expect(p50).toBeGreaterThan(0)
    expect([p50, p99, p999, max]).toEqual([p50, p99, p999, max].toSorted((one, other) => one - other))
  })

  test('speaks TLS, and says so when a certificate will not do', async ({ shell, folder }) => {
    const { cert, key } = selfSigned()
    const [tlsCert, tlsKey] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    await writeFile(tlsCert, cert)
    await writeFile(tlsKey, key)
    const { tlsPort } = await start({ tlsPort: 0, tlsCert, tlsKey })
    const args = ['bench', '--url', `tls://127.0.0.1:${tlsPort}`, ...short]
    const { code, stdout } = await shell.run([...args, '--insecure'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/\n {2}Lost +0\n/)
    const refused = await shell.run(args)
    expect([refused.code, refused.stdout]).toEqual([1, ''])
    expect(refused.stderr).toMatch(/^error: the certificate of .*\n.*--insecure/)
  })

  test('Ctrl-C ends it early, with what was measured', async ({ shell }) => {
    const { webSocketUrl } = await start({})
    const run = shell.start(['bench', '--url', webSocketUrl, '--duration', '1000', '--warm-up', '0'])
    await run.says(/ sent\/s/)
    run.signal('SIGINT')
    const { code, stdout } = await run.ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/\n {2}Delivered +[1-9][\d,]* \/s\n[^]*\n {2}Lost +0\n[^]*It was ended early\./)
  })

  test('shows messages that it has not sent, which are neither lost nor twice', async ({ shell }) => {
    const broker = await start({})
    const client = await RawClient.connected(broker)
    await client.request('SEND', { destination: '/queue/shared' }, 'from long ago')
    const args = ['bench', '--url', broker.webSocketUrl, '--destination', '/queue/shared', '--json', ...short]
    const { code, stdout } = await shell.run(args)
    const told = JSON.parse(stdout) as Told
    expect([code, told.strange, told.lost]).toEqual([0, 1, 0])
    expect(told.conditions).toMatchObject({ queue: true })
    expect(told.warnings).toEqual([expect.stringMatching(/^1 message arrived that this run has not sent/)])
  })

  test('ends with 1 when something was lost, and says how much', async ({ shell }) => {
    // Somebody else takes every other message of the queue.
    const broker = await start({})
    const thief = await RawClient.connected(broker)
    await thief.request('SUBSCRIBE', { id: '0', destination: '/queue/shared' })
    const args = [
      'bench',
      '--url',
      broker.webSocketUrl,
      '--destination',
      '/queue/shared',
      '--json',
      '--rate',
      '100',
    ]
    const { code, stdout } = await shell.run([...args, ...short, '--subscribers', '1'])
    const told = JSON.parse(stdout) as Told
    expect(code).toBe(1)
    expect(told.lost).toBeGreaterThan(1)
    expect(told.delivered).toBeGreaterThan(1)
  })

  test.for<[string, (broker: Awaited<ReturnType<typeof start>>) => Promise<string[]> | string[], RegExp[]]>([
    [
      'a port where nobody listens',
      () => ['--url', 'ws://127.0.0.1:1/ws'],
      [/nothing listens on 127\.0\.0\.1:1\./, /stomp-broker --port 1$/m],
    ],
    [
      'a path that is none',
      ({ port }) => ['--url', `ws://127.0.0.1:${port}/nowhere`],
      [/HTTP status 404/, /\/ws .*\/stomp/],
    ],
    [
      'an origin that may not',
      ({ webSocketUrl }) => ['--url', webSocketUrl, '--origin', 'https://elsewhere.example'],
      [/HTTP status 403/, /--origin/],
    ],
    [
      'plain STOMP where HTTP is spoken',
      ({ port }) => ['--url', `tcp://127.0.0.1:${port}`],
      [/speaks HTTP|without an answer to CONNECT/],
    ],
    [
      'WebSocket where plain STOMP is spoken',
      ({ tcpPort }) => ['--url', `ws://127.0.0.1:${tcpPort}`],
      [/does not answer as a WebSocket server does|without an answer/, /tcp:\/\//],
    ],
    [
      'a server that hangs up',
      async () => ['--url', `ws://127.0.0.1:${await serve(undefined)}/ws`],
      [/has closed the connection without an answer/],
    ],
    [
      'a server of something else',
      async () => ['--url', `tcp://127.0.0.1:${await serve('220 mail\n\n\0')}`],
      [/no frame of STOMP/],
    ],
    [
      'a broker that refuses the login, which is not shown',
      async () => [
        '--url',
        `tcp://127.0.0.1:${await serve('ERROR\nmessage:Bad CONNECT\n\nno sesame for you\0')}`,
        '--login',
        'me',
        '--passcode',
        'sesame',
      ],
      [/ERROR: Bad CONNECT\n {2}no \*\*\* for you\n/, /--login/],
    ],
    [
      'a body that the broker refuses',
      ({ webSocketUrl }) => ['--url', webSocketUrl, '--size', '9m', '--window', '1'],
      [/ERROR: .*\n.*max-body/],
    ],
  ])('says what is wrong and what to do: %s', async ([, args, sentences], { shell }) => {
    const broker = await start({})
    const { code, stdout, stderr } = await shell.run(['bench', ...short, ...(await args(broker))])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^error: /)
    for (const sentence of sentences) expect(stderr).toMatch(sentence)
    expect(stderr).not.toMatch(/\n\s+at |sesame/)
  })

  test.for<[string[], RegExp]>([
    [['--url', 'nonsense'], /"nonsense" is no address of a broker.*\n[^]*ws:\/\//],
    [['--url', 'ftp://me:sesame@host/x'], /"ftp:\/\/host\/x" is no address/],
    [['--size', '26'], /It must be at least 27: each body carries/],
    [['--publishers', '0'], /It must be from 1 to /],
    [['--duration', 'long'], /It must be a number of seconds from /],
    [['--window', '2', '--rate', '3'], /--window and --rate do not go together/],
    [['--subscribers', '0'], /--receipts/],
    [['--destination', '/topic/*'], /it may hold no wildcard/],
    [['--header', 'receipt:x'], /receipt is set by this command itself/],
    [['--ack', 'never'], /Allowed choices are auto, client, client-individual/],
    [['--prot', '1'], /unknown option '--prot'/],
    [['now'], /too many arguments/],
  ])('refuses %j', async ([args, sentence], { shell }) => {
    const { code, stdout, stderr } = await shell.run(['bench', ...args])
    expect([code, stdout]).toEqual([64, ''])
    expect(stderr).toMatch(sentence)
    expect(stderr).not.toMatch(/sesame|\n\s+at /)
  })

  test('does not take options of a broker for one that is running', async ({ shell }) => {
    const { code, stderr } = await shell.run(['--port', '7', 'bench', '--url', 'ws://127.0.0.1:7/'])
    expect(code).toBe(64)
    expect(stderr).toMatch(/--port 7 is for a broker that is started/)
  })
})
