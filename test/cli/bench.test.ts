import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
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
  readonly unsent: number
  readonly latency: {
    readonly p50: number
    readonly p99: number
    readonly p999: number
    readonly max: number
  }
  readonly conditions: Record<string, unknown>
  readonly warnings: string[]
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port // it listens on a port
}

/** A server that says nothing of STOMP, and hangs up or waits. */
function serve(answer: string | undefined, waits = false): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (answer === undefined) socket.destroy()
    else socket.once('data', () => (waits ? socket.write(answer) : socket.end(answer)))
  })
  return portOf(server)
}

/** A broker over TCP for one subscriber, who gets what `deliver` makes of each message. */
function serveBadly(
  deliver: (body: string, number: number, publisher: Socket) => readonly string[],
  version = '1.2',
): Promise<number> {
  let subscriber: Socket | undefined
  let count = 0
  const server = createServer((socket) => {
    let rest = ''
    socket.on('error', () => {})
    socket.setEncoding('latin1').on('data', (text: string) => {
      const frames = (rest + text).split('\0')
      rest = frames.pop() ?? ''
      for (const frame of frames) {
        if (frame.startsWith('CONNECT')) socket.write(`CONNECTED\nversion:${version}\n\n\0`)
        else if (frame.startsWith('SUBSCRIBE')) {
          subscriber = socket
          socket.write('RECEIPT\nreceipt-id:subscribed-0\n\n\0')
        } else
          for (const body of deliver(frame.split('\n\n')[1] ?? '', count++, socket))
            subscriber?.write(`MESSAGE\nsubscription:bench-0\nmessage-id:1\ndestination:/x/y\n\n${body}\0`)
      }
    })
  })
  return portOf(server)
}

describe('stomp-broker bench', () => {
  test('--help lists the options, and has examples', async ({ shell }) => {
    const { code, stdout, stderr } = await shell.run(['bench', '--help'])
    expect([code, stderr]).toEqual([0, ''])
    for (const option of ['--url', '--window', '--rate', '--ack', '--passcode', '--json'])
      expect(stdout).toContain(`  ${option}`)
    expect(stdout).toMatch(/\nExamples:\n[^]*\n {4}stomp-broker bench\n/)
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
      '--subscribers',
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

  test.for([['a topic'], ['a queue', '--queue']])(
    'sees what is lost, comes twice, and overtakes: %s',
    async ([, ...args], { shell }) => {
      let held = ''
      const port = await serveBadly((body, number) => {
        if (number === 400) run.signal('SIGINT')
        if (number === 30) held = body
        if (number === 10 || number === 30) return []
        return number === 20 ? [body, body] : number === 31 ? [body, held] : [body]
      })
      const run = shell.start([
        'bench',
        '--url',
        `tcp://127.0.0.1:${port}`,
        '--subscribers',
        '1',
        '--warm-up',
        '0',
        '--json',
        ...args,
      ])
      const { code, stdout } = await run.ended
      expect([code, JSON.parse(stdout)]).toMatchObject([
        1,
        { lost: 1, duplicates: 1, outOfOrder: 1, strange: 0 },
      ])
    },
  )

  test('measures a broker that speaks 1.1 alone', async ({ shell }) => {
    const port = await serveBadly((body) => [body], '1.1')
    const url = `tcp://127.0.0.1:${port}`
    const run = await shell.run(['bench', ...short, '--url', url, '--subscribers', '1', '--json'])
    const { delivered, lost, strange } = JSON.parse(run.stdout) as Record<string, number>
    expect([run.code, lost, strange]).toEqual([0, 0, 0])
    expect(delivered).toBeGreaterThan(0)
  })

  test('with a rate counts all that had to wait while the broker stopped', async ({ shell }) => {
    const port = await serveBadly((body, number, publisher) => {
      if (number === 50) {
        publisher.pause()
        void setTimeout(200).then(() => publisher.resume())
      }
      return [body]
    })
    const args = ['bench', '--url', `tcp://127.0.0.1:${port}`, '--subscribers', '1', '--json']
    const { code, stdout } = await shell.run([
      ...args,
      '--warm-up',
      '0',
      '--duration',
      '0.5',
      '--rate',
      '1000',
    ])
    const told = JSON.parse(stdout) as Told
    expect([code, told.lost]).toEqual([0, 0])
    // A hundred messages at least were due more than 100 ms before it went on.
    expect(told.latency.p99).toBeGreaterThan(100)
  })

  test('says that a rate was too high, of which the latencies know nothing', async ({ shell }) => {
    const port = await serveBadly((_, __, publisher) => {
      publisher.pause()
      void setTimeout(200).then(() => run.signal('SIGINT'))
      return []
    })
    const args = ['bench', '--url', `tcp://127.0.0.1:${port}`, '--subscribers', '1', '--json', '--size', '1m']
    const run = shell.start([...args, '--warm-up', '0', '--rate', '1000'])
    const { code, stdout } = await run.ended
    const told = JSON.parse(stdout) as Told
    expect([code, told.latency]).toEqual([1, { p50: null, p99: null, p999: null, max: null }])
    expect(told.unsent).toBeGreaterThan(100)
    expect(told.warnings).toContainEqual(
      expect.stringMatching(/^It was too much: \d+ messages that were due/),
    )
  })

  test('ends with 1 when the result goes nowhere', async ({ shell }) => {
    const { webSocketUrl } = await start({})
    const run = shell.start(['bench', '--url', webSocketUrl, ...short])
    run.deafen()
    const { code, stderr } = await run.ended
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^error: the result could not be written: .*EPIPE/),
    ])
  })

  test('takes the broker that it started with it, also when it is killed', async ({ shell }) => {
    const free = createServer()
    const port = await portOf(free)
    free.close()
    const run = shell.start(['--tcp-port', String(port), 'bench', '--duration', '1000'])
    let socket: Socket
    do socket = connect(port, '127.0.0.1').on('error', () => {})
    while (!(await once(socket, 'connect').catch(() => setTimeout(10))))
    // Reset, if it was killed before it had accepted: gone all the same.
    const gone = new Promise((resolve) => socket.once('close', resolve))
    await run.kill()
    await gone
  })

  test.for<[string, (broker: Awaited<ReturnType<typeof start>>) => Promise<string[]> | string[], RegExp[]]>([
    [
      'a port where nobody listens',
      () => ['--url', 'ws://127.0.0.1:1/ws'],
      [/nothing listens on 127\.0\.0\.1:1\./, /stomp-broker --port 1$/m],
    ],
    [
      'a port where nobody listens, with TLS',
      () => ['--url', 'tls://127.0.0.1:1'],
      [/stomp-broker --tls-port 1 --tls-cert <file> --tls-key <file>$/m],
    ],
    [
      'TLS where there is none',
      ({ sockJsUrl }) => ['--url', sockJsUrl.replace('http', 'https')],
      [/does not speak TLS\.\n {2}Write ws:.* http:.* https:/],
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
      [/speaks HTTP\.\n {2}Write ws:/],
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
      'a server of something else that waits for more',
      async () => ['--url', `tcp://127.0.0.1:${await serve('220 mail\r\n', true)}`],
      [/has sent "220 mail", which is no frame of STOMP/],
    ],
    [
      'a page',
      async () => [
        '--url',
        `ws://127.0.0.1:${await serve('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n')}`,
      ],
      [/HTTP status 200\.\n {2}Is the path right\?/],
    ],
    [
      'a server that upgrades to something else',
      async () => [
        '--url',
        `ws://127.0.0.1:${await serve('HTTP/1.1 101 Yes\r\nUpgrade: other\r\n\r\n', true)}`,
      ],
      [/does not answer as a WebSocket server does/],
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
      'a broker that speaks 1.0 alone',
      async () => ['--url', `tcp://127.0.0.1:${await serveBadly(() => [], '1.0')}`],
      [/speaks STOMP 1\.0; this command needs 1\.1 or 1\.2\./],
    ],
    [
      'acks to a broker that speaks 1.1 alone',
      async () => ['--url', `tcp://127.0.0.1:${await serveBadly(() => [], '1.1')}`, '--ack', 'client'],
      [/speaks STOMP 1\.1; this command needs 1\.2 for its acks\./],
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
    [['--url', 'me:sesame@host:61613'], /"host:61613" is no address/],
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
