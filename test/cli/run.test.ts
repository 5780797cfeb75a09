import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { request as httpsRequest } from 'node:https'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { IncomingMessage } from 'node:http'
import type { IMessage, IStompSocket } from '@stomp/stompjs'
import { WebSocket } from 'ws'
import { describe, expect } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { selfSigned } from '../helpers/certificate.ts'
import { RawClient } from '../helpers/client.ts'
import { portOf } from '../helpers/cli.ts'
import { test } from '../helpers/fixtures.ts'
import { transports, type Peer, type Transport } from '../helpers/stompjs.ts'
import { TcpSocket } from '../helpers/tcp-socket.ts'

const anyPorts = ['--port', '0', '--tcp-port', '0']

async function echoes(peer: Peer, destination: string): Promise<void> {
  const inbox = await peer.subscribe(destination)
  await peer.send(destination, 'grüße 🌍')
  expect((await inbox.take()).body).toBe('grüße 🌍')
}

function transportOf(name: string, socket: () => IStompSocket): Transport {
  return { name, kind: 'websocket', socket: {}, config: () => ({ webSocketFactory: socket }) }
}

const nowhere = { port: 0, tcpPort: 0 }

describe('a run of stomp-broker', () => {
  test('shows addresses, and each answers', async ({ shell, house }) => {
    const run = shell.start(anyPorts)
    const shown = await run.ready()
    expect([...shown.keys()]).toEqual(['Chat demo', 'WebSocket', 'SockJS', 'TCP'])
    expect(run.stdout).toMatch(new RegExp(`^\n  stomp-broker ${manifest.version}  ready in \\d+ ms\n`))
    expect(run.stdout).toContain('Storage    in memory')
    expect(run.stdout).toContain('Access     this machine only')

    const [page = ''] = shown.get('Chat demo') ?? []
    const answer = await fetch(page)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      200,
      expect.stringMatching('text/html'),
    ])
    const html = await answer.text()
    expect(html).toMatch(/<script/)
    const [asset = ''] = html.match(/(?<=src=")[^"]+/) ?? []
    expect((await fetch(new URL(asset, page))).status).toBe(200)

    const webSockets = shown.get('WebSocket') ?? []
    expect(webSockets.map((url) => new URL(url).pathname)).toEqual(['/ws', '/stomp'])
    for (const url of webSockets) {
      const transport = transportOf(url, () => new WebSocket(url, 'v12.stomp'))
      await echoes(await house.peer(transport, nowhere), '/topic/cli')
    }
    const [sockJs = ''] = shown.get('SockJS') ?? []
    expect(await (await fetch(`${sockJs}/info`)).json()).toMatchObject({ websocket: true })

    const port = portOf(sockJs)
    const tcpPort = portOf(shown.get('TCP')?.[0])
    expect(shown.get('TCP')?.[0]).toBe(`127.0.0.1:${tcpPort}`)
    for (const transport of transports.filter(
      ({ name }) => name === 'SockJS xhr-streaming' || name === 'TCP',
    ))
      await echoes(await house.peer(transport, { port, tcpPort }), '/topic/cli')
  })

  test('says on stdout what is for people, and logs on stderr', async ({ shell }) => {
    const run = shell.start([...anyPorts, '--log-level', 'debug'])
    const client = await RawClient.tcp(portOf((await run.ready()).get('TCP')?.[0]))
    client.send('NONSENSE')
    expect((await client.next('ERROR')).headers['message']).toBe('unknown command')
    await client.closed
    await run.says(/unknown command.*\n/)
    run.signal('SIGTERM')
    const { stdout, stderr } = await run.ended
    const logged = stderr.trimEnd().split('\n')
    const lines = logged.map((line) => JSON.parse(line) as { level: number; time: number; msg: string })
    expect(lines.map(({ msg }) => msg)).toContainEqual(expect.stringMatching(/connected over tcp from 127/))
    expect(lines.map(({ msg }) => msg)).toContainEqual(expect.stringMatching('unknown command'))
    expect(stdout).not.toMatch(/unknown command|connected over|"level"/)
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('  Closing connections ...')
    // No colours where nobody sees them.
    expect(stdout).not.toContain('\u001b')
  })

  test('--no-demo serves no page', async ({ shell }) => {
    const run = shell.start(['--port', '0', '--no-demo'])
    const shown = await run.ready()
    expect([...shown.keys()]).toEqual(['WebSocket', 'SockJS'])
    const [url = ''] = shown.get('SockJS') ?? []
    expect((await fetch(new URL('/', url))).status).toBe(404)
    expect((await fetch(`${url}/info`)).status).toBe(200)
  })

  test('reads the environment, and the command line wins', async ({ shell }) => {
    const environment = {
      STOMP_BROKER_PORT: 'spoilt',
      STOMP_BROKER_TCP_PORT: '0',
      STOMP_BROKER_DEMO: 'no',
      STOMP_BROKER_ENDPOINTS: '/one, /two',
      STOMP_BROKER_MAX_BODY: '1k',
      STOMP_BROKER_LOG_LEVEL: '',
      STOMP_BROKER_SERVER_HEADER: 'false',
    }
    const run = shell.start(['--port', '0', '--endpoints', '/three'], environment)
    const shown = await run.ready()
    expect([...shown.keys()]).toEqual(['WebSocket', 'SockJS', 'TCP'])
    expect(shown.get('WebSocket')).toEqual([expect.stringMatching(/^ws:\/\/127\.0\.0\.1:\d+\/three$/)])
    const client = await RawClient.tcp(portOf(shown.get('TCP')?.[0]))
    client.send('CONNECT', { 'accept-version': '1.2', host: 'x' })
    expect((await client.next('CONNECTED')).headers['server']).toBeUndefined()
    client.send('SEND', { destination: '/topic/x' }, 'x'.repeat(1025))
    expect((await client.next('ERROR')).headers['message']).toBe('frame over a limit')

    const other = shell.start([], { ...environment, STOMP_BROKER_PORT: '0' })
    const two = (await other.ready()).get('WebSocket') ?? []
    expect(two.map((url) => new URL(url).pathname)).toEqual(['/one', '/two'])
  })

  test.for([
    ['SIGINT', 1001, []],
    ['SIGTERM', 1012, []],
    ['SIGINT', 1012, ['--stop-code', 'restart']],
    ['SIGTERM', 1001, ['--stop-code', 'gone']],
  ] as const)(
    '%s tells the clients %i and ends with 0 (%j)',
    async ([signal, told, options], { shell, house }) => {
      const run = shell.start([...anyPorts, ...options])
      const shown = await run.ready()
      const port = portOf(shown.get('SockJS')?.[0])
      const tcpPort = portOf(shown.get('TCP')?.[0])
      const peers = await Promise.all(transports.map((transport) => house.peer(transport, { port, tcpPort })))
      const idle = await RawClient.webSocket(`ws://127.0.0.1:${port}/stomp`)
      run.signal(signal)
      const codes = await Promise.all(peers.map(async ({ closes }) => (await closes.take()).code))
      expect(codes).toEqual(transports.map(({ kind }) => (kind === 'tcp' ? undefined : told)))
      expect((await idle.closed).code).toBe(told)
      expect(peers.map(({ errors }) => errors.size)).toEqual(peers.map(() => 0))
      const { code, stdout, stderr } = await run.ended
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toMatch(/Stop: Ctrl-C\n\n {2}Closing connections \.\.\.\n$/)
    },
  )

  test('three hundred clients are told, one after another', async ({ shell }) => {
    const run = shell.start([...anyPorts, '--stop-spread', '300'])
    const shown = await run.ready()
    const port = portOf(shown.get('SockJS')?.[0])
    const tcpPort = portOf(shown.get('TCP')?.[0])
    const clients: RawClient[] = []
    const order: number[] = []
    for (let index = 0; index < 300; index++) {
      const client = await (index % 3 === 0
        ? RawClient.tcp(tcpPort)
        : RawClient.webSocket(`ws://127.0.0.1:${port}${index % 3 === 1 ? '/stomp' : '/ws/0/s/websocket'}`))
      void client.closed.then(() => order.push(index))
      clients.push(client)
    }
    run.signal('SIGTERM')
    const codes = await Promise.all(clients.map(async ({ closed }) => (await closed).code))
    // A WebSocket of SockJS is closed with 1000, behind the frame that tells.
    expect(codes).toEqual(clients.map((_, index) => [0, 1012, 1000][index % 3]))
    const sockJs = clients.filter((_, index) => index % 3 === 2)
    for (const { messages } of sockJs) expect(messages.at(-1)?.data.toString()).toMatch(/^c\[1012,/)
    expect(order).not.toEqual(order.toSorted((a, b) => a - b))
    expect((await run.ended).code).toBe(0)
  })

  test('what was accepted before SIGTERM has its RECEIPT, and nothing else has', async ({ shell }) => {
    const run = shell.start(anyPorts)
    const shown = await run.ready()
    const [reader, sender] = [
      await RawClient.webSocket(shown.get('WebSocket')?.[0] ?? ''),
      await RawClient.tcp(portOf(shown.get('TCP')?.[0])),
    ]
    for (const client of [reader, sender]) {
      client.send('CONNECT', { 'accept-version': '1.2', host: 'x' })
      await client.next('CONNECTED')
    }
    await reader.request('SUBSCRIBE', { id: '0', destination: '/topic/stop' })
    let count = 0
    const send = (): void => {
      for (let index = 0; index < 500; index++, count++)
        sender.send('SEND', { destination: '/topic/stop', receipt: String(count) }, String(count))
    }
    send()
    await sender.until(() => sender.frames.length > 0)
    run.signal('SIGTERM')
    send()
    await Promise.all([reader.closed, sender.closed])
    const receipted = sender.frames.map(({ headers }) => headers['receipt-id'])
    expect(receipted.length).toBeGreaterThanOrEqual(1)
    expect(reader.frames.map(({ body }) => body.toString())).toEqual(receipted)
    expect((await run.ended).code).toBe(0)
  })

  test('clients that never read hold it up no longer than --stop-timeout; it says what it waits for', async ({
    shell,
  }) => {
    const run = shell.start([...anyPorts, '--stop-spread', '0', '--stop-timeout', '1500'])
    const shown = await run.ready()
    const deaf = [
      await RawClient.webSocket(shown.get('WebSocket')?.[0] ?? ''),
      await RawClient.tcp(portOf(shown.get('TCP')?.[0])),
    ]
    for (const client of deaf) {
      client.send('CONNECT', { 'accept-version': '1.2', host: 'x' })
      await client.next('CONNECTED')
      await client.request('SUBSCRIBE', { id: '0', destination: '/topic/stop' })
    }
    const sender = await RawClient.webSocket(shown.get('WebSocket')?.[0] ?? '')
    sender.send('CONNECT', { 'accept-version': '1.2', host: 'x' })
    await sender.next('CONNECTED')
    for (const client of deaf) client.pause()
    for (let index = 0; index < 80; index++)
      await sender.request('SEND', { destination: '/topic/stop' }, 'x'.repeat(100_000))
    run.signal('SIGTERM')
    await sender.closed
    const { code, stdout } = await run.ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/ {2}Closing connections \.\.\.\n {2}Closing connections: 2 left \.\.\.\n/)
    for (const client of deaf) client.destroy()
  })

  test('a second signal ends it at once', async ({ shell, onTestFinished }) => {
    const run = shell.start(anyPorts)
    const port = portOf((await run.ready()).get('TCP')?.[0])
    // This one hears that the broker closes, and does not follow.
    const stubborn = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    onTestFinished(() => void stubborn.destroy())
    stubborn.on('error', () => {})
    stubborn.resume()
    await once(stubborn, 'connect')
    stubborn.write('CONNECT\naccept-version:1.2\nhost:x\n\n\0')
    await once(stubborn, 'data')
    run.signal('SIGTERM')
    await once(stubborn, 'end')
    run.signal('SIGINT')
    // Not 0, which it would be if it had waited for the client to be given up.
    expect((await run.ended).code).toBe(1)
    expect(run.stdout.match(/Closing connections/g)).toHaveLength(1)
  })

  test('what was taken is free again afterwards', async ({ shell, house }) => {
    const first = shell.start(anyPorts)
    const shown = await first.ready()
    const ports = { port: portOf(shown.get('SockJS')?.[0]), tcpPort: portOf(shown.get('TCP')?.[0]) }
    const [webSocket] = transports
    if (webSocket === undefined) throw new Error('no transports')
    const peer = await house.peer(webSocket, ports)
    first.signal('SIGTERM')
    await first.ended
    await peer.closes.take()
    const second = shell.start(['--port', String(ports.port), '--tcp-port', String(ports.tcpPort)])
    await second.ready()
    await echoes(await house.peer(webSocket, ports), '/topic/again')
  })

  test('https, wss and TLS with a certificate', async ({ shell, house, folder }) => {
    const { cert, key } = selfSigned()
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    await writeFile(certFile, cert)
    await writeFile(keyFile, key)
    const run = shell.start([...anyPorts, '--tls-port', '0', '--tls-cert', certFile, '--tls-key', keyFile])
    const shown = await run.ready()
    expect([...shown.keys()]).toEqual(['Chat demo', 'WebSocket', 'SockJS', 'TCP', 'TLS'])
    const get = async (url: string): Promise<[number | undefined, string]> => {
      const request = httpsRequest(url, { ca: cert, agent: false }).end()
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      let text = ''
      for await (const piece of response.setEncoding('utf8')) text += String(piece)
      return [response.statusCode, text]
    }
    const [page = ''] = shown.get('Chat demo') ?? []
    expect(page).toMatch(/^https:/)
    expect(await get(page)).toEqual([200, expect.stringMatching(/<script/)])
    const [sockJs = ''] = shown.get('SockJS') ?? []
    expect(await get(`${sockJs}/info`)).toEqual([200, expect.stringMatching(/"websocket":true/)])
    await expect(fetch(page)).rejects.toThrow('fetch failed') // it does not know our certificate

    const [wss = ''] = shown.get('WebSocket') ?? []
    expect(wss).toMatch(/^wss:/)
    const secure = () => new WebSocket(wss, 'v12.stomp', { ca: cert })
    const tls = () => new TcpSocket(portOf(shown.get('TLS')?.[0]), cert)
    const plain = () => new TcpSocket(portOf(shown.get('TCP')?.[0]))
    const peers: Peer[] = []
    const inboxes: { take(): Promise<IMessage> }[] = []
    for (const socket of [secure, tls, plain]) {
      const peer = await house.peer(transportOf('secure', socket), nowhere)
      peers.push(peer)
      inboxes.push(await peer.subscribe('/topic/secret'))
    }
    await peers[0]?.send('/topic/secret', 'grüße 🌍')
    for (const inbox of inboxes) expect((await inbox.take()).body).toBe('grüße 🌍')
    run.signal('SIGTERM')
    expect((await run.ended).code).toBe(0)
    for (const peer of peers) await peer.closes.take()
  })

  test.for(['--port', '--tcp-port'])(
    'says so when %s is taken',
    async (option, { shell, onTestFinished }) => {
      const other = createServer()
      onTestFinished(() => void other.close())
      other.listen(0, '127.0.0.1')
      await once(other, 'listening')
      const { port } = other.address() as AddressInfo
      const { code, stdout, stderr } = await shell.run([...anyPorts, option, String(port)])
      expect([code, stdout]).toEqual([69, ''])
      expect(stderr).toContain(`error: port ${port} on 127.0.0.1 is already in use.\n`)
      expect(stderr).toContain(`${option} ${port + 1}\n`)
      expect(stderr).toContain(`${option} 0\n`)
      expect(stderr).not.toMatch(/\n\s+at |EADDRINUSE/)
    },
  )

  test('says so when the machine has no such address', async ({ shell }) => {
    // Reserved for documentation (RFC 5737), so no machine's own.
    const { code, stdout, stderr } = await shell.run(['--port', '0', '--host', '192.0.2.1'])
    expect([code, stdout]).toEqual([69, ''])
    expect(stderr).toBe(
      'error: this machine has no address 192.0.2.1.\n  Try --host 127.0.0.1 or --host 0.0.0.0.\n',
    )
  })
})
