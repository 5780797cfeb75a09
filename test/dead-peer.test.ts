import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { frame, RawClient } from './helpers/client.ts'

// Peers that are gone without a word, and others that only look like it.

const INTERVAL = 500
const engine = new TestEngine()
let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker({ heartbeatMin: INTERVAL, pingInterval: INTERVAL }, engine)
})
afterAll(() => broker.close())

type Mute = RawClient & { socket: { on(event: 'ping', heard: (data: Buffer) => void): void; pong(): void } }

/** A WebSocket client that answers pings only as it is told to. */
async function mute(headers: Record<string, string> = {}, url = broker.webSocketUrl): Promise<Mute> {
  const client = await RawClient.webSocket(url, undefined, {}, { autoPong: false })
  client.send('CONNECT', { 'accept-version': '1.2', host: 'test', ...headers })
  await client.next('CONNECTED')
  return client
}

/** Waits for so many pings, of which some are answered. */
function pings(client: Mute, count: number, answered: (index: number) => boolean): Promise<void> {
  let heard = 0
  return new Promise((resolve) => {
    client.socket.on('ping', () => {
      if (answered(heard)) client.socket.pong()
      if (++heard === count) resolve()
    })
  })
}

// These take their time, so they take it together.
describe.concurrent('clients without heart-beats', () => {
  test.each([
    ['0,0', {}],
    ['that want to hear beats and have none', { 'heart-beat': '0,9000' }],
  ])('%s are ended when two pings were not answered', async (_which, headers) => {
    const destination = `/queue/dead/${_which.length}`
    const client = await mute(headers)
    let heard = 0
    client.socket.on('ping', () => void heard++)
    client.send('SUBSCRIBE', { id: '0', destination, ack: 'client' })
    client.send('SEND', { destination }, 'held')
    const { error, close } = await client.refusal()
    expect([error.headers.message, close.code, heard]).toEqual(['heart-beat lost', 1002, 2])
    expect(error.body.toString()).toContain('pings')
    expect(await engine.count(destination)).toEqual({ ready: 1, unacked: 0 })
  })

  test('stay as long as they answer, if only every second ping', async () => {
    const [all, second] = [await mute(), await mute()]
    await Promise.all([pings(all, 4, () => true), pings(second, 6, (index) => index % 2 === 1)])
    await all.sync()
    await second.sync()
  })

  test('stay when they send anything at all, and are not pinged then', async () => {
    const client = await mute()
    let heard = 0
    client.socket.on('ping', () => void heard++)
    const answers = RawClient.connected(broker)
    const timer = setInterval(() => client.raw('\n'), INTERVAL / 5)
    // Others are pinged meanwhile.
    await pings(await answers, 6, () => false)
    clearInterval(timer)
    expect(heard).toBe(0)
    await client.sync()
  })

  test('are no model for those with heart-beats, which are judged by these alone', async () => {
    const [beating, clock] = [await mute({ 'heart-beat': '9000,0' }), await RawClient.connected(broker)]
    await pings(clock, 6, () => false)
    await beating.sync()
  })

  test('stay over TCP, where the system looks after them', async () => {
    const [idle, clock] = [await RawClient.tcpConnected(broker), await RawClient.connected(broker)]
    await pings(clock, 6, () => false)
    await idle.sync()
  })

  test('over the websocket of SockJS are no different', async () => {
    const open = async (autoPong: boolean): Promise<RawClient & { messages: { data: Buffer }[] }> => {
      const url = `ws://127.0.0.1:${broker.port}/ws/000/${autoPong ? 'alive' : 'dead'}/websocket`
      const client = await RawClient.webSocket(url, [], {}, { autoPong }).catch(() => undefined)
      if (client === undefined) throw new Error('no SockJS')
      client.raw(JSON.stringify([frame('CONNECT', { 'accept-version': '1.2', host: 'x' }).toString()]))
      return client
    }
    const [alive, dead] = [await open(true), await open(false)]
    await dead.closed
    const said = (client: RawClient): string => client.messages.map(({ data }) => data.toString()).join('\n')
    expect(said(dead)).toContain('heart-beat lost')
    expect(said(dead)).toContain('c[1002,')
    alive.raw(JSON.stringify([frame('SEND', { destination: '/topic/x', receipt: 'here' }).toString()]))
    await alive.until(() => said(alive).includes('receipt-id:here'))
    alive.destroy()
  })

  test('and those that were paused by the broker are not taken for dead', async () => {
    const held = new TestEngine()
    const own = await startBroker({ pingInterval: INTERVAL }, held)
    const client = await mute({}, own.webSocketUrl)
    held.held = true
    // More than may be on its way to the engine: the broker stops reading.
    for (let sent = 0; sent < 6; sent++)
      client.send('SEND', { destination: '/queue/dead/held' }, 'x'.repeat(1_000_000))
    const clock = await RawClient.connected(own)
    await pings(clock, 6, () => false)
    held.held = false
    while (held.waiting.length > 0) held.settle()
    await client.sync()
    await own.close()
  })
})

/** A client in a process of its own, which can be stopped without its system closing anything. */
const CLIENT = `
  const { WebSocket } = await import('ws')
  const [url, beat, queue] = process.argv.slice(1)
  const socket = new WebSocket(url, ['v12.stomp'])
  const send = (...lines) => socket.send(lines.join('\\n') + '\\0')
  socket.on('open', () => send('CONNECT', 'accept-version:1.2', 'host:x', 'heart-beat:' + beat, '', ''))
  socket.on('message', (data) => {
    const command = data.toString().split('\\n')[0]
    if (command === 'CONNECTED') send('SUBSCRIBE', 'id:0', 'destination:' + queue, 'ack:client', '', '')
    if (command === 'MESSAGE') console.log('held')
  })
  if (!beat.startsWith('0')) setInterval(() => socket.readyState === 1 && socket.send('\\n'), 100)
`

describe.concurrent('a process that is stopped', () => {
  const children: ChildProcess[] = []
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL')
  })

  test.each([
    ['with heart-beats', '500,500'],
    ['without', '0,0'],
  ])('%s is found, and what it held goes to others', async (which, beat) => {
    const queue = `/queue/dead/stopped-${which}`.replaceAll(' ', '-')
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', CLIENT, broker.webSocketUrl, beat, queue],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    children.push(child)
    const publisher = await RawClient.connected(broker)
    await publisher.request('SEND', { destination: queue }, 'held')
    const { stdout } = child
    await once(stdout, 'data')
    child.kill('SIGSTOP')
    await publisher.request('SUBSCRIBE', { id: '0', destination: queue })
    expect(await engine.count(queue)).toEqual({ ready: 0, unacked: 1 })
    const message = await publisher.next('MESSAGE')
    expect([message.body.toString(), message.headers.redelivered]).toEqual(['held', 'true'])
  })
})
