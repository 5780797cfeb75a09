import type { Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { startBroker, type TestBroker } from '../helpers/broker.ts'
import { frame, RawClient } from '../helpers/client.ts'

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker({ compression: true })
})
afterAll(() => broker.close())

/** A client that offers permessage-deflate, and the bytes it has read from the network. */
async function deflating(
  url: string,
): Promise<{ socket: WebSocket; next(): Promise<string>; read(): number }> {
  const socket = new WebSocket(url, ['v12.stomp'], { perMessageDeflate: { threshold: 0 } })
  const received: string[] = []
  let wake = (): void => {}
  let read = (): number => 0
  socket.on('upgrade', (response) => (read = () => response.socket.bytesRead))
  socket.on('message', (data) => {
    received.push((data as Buffer).toString())
    wake()
  })
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  socket.send(frame('CONNECT', { 'accept-version': '1.2', host: 'x' }))
  const next = async (): Promise<string> => {
    while (received.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    return received.shift() ?? ''
  }
  expect(await next()).toMatch(/^CONNECTED/)
  return { socket, next, read: () => read() }
}

const body = 'all work and no play '.repeat(5_000)

test('RFC 7692: large frames are compressed for who offers it, and the same message reaches others plain', async () => {
  const [a, b] = [await deflating(broker.webSocketUrl), await deflating(broker.webSocketUrl)]
  const plain = await RawClient.connected(broker)
  expect(a.socket.extensions).toContain('permessage-deflate')
  await plain.request('SUBSCRIBE', { id: '0', destination: '/topic/deflate' })
  for (const client of [a, b]) {
    client.socket.send(frame('SUBSCRIBE', { id: '0', destination: '/topic/deflate', receipt: 's' }))
    expect(await client.next()).toMatch(/^RECEIPT/)
  }
  const before = b.read()
  a.socket.send(frame('SEND', { destination: '/topic/deflate' }, body))
  for (const client of [a, b]) expect(await client.next()).toContain(`\n\n${body}\0`)
  expect(b.read() - before).toBeLessThan(body.length / 20)
  expect((await plain.next('MESSAGE')).body.toString()).toBe(body)
  for (const client of [a, b]) client.socket.close()
})

test('a message that inflates beyond the limit ends its own connection only', async () => {
  const small = await startBroker({ compression: true, maxFrame: 64 * 1024, maxBody: 32 * 1024 })
  const bomb = await deflating(small.webSocketUrl)
  const closed = new Promise((resolve) => bomb.socket.once('close', resolve))
  bomb.socket.send(frame('SEND', { destination: '/topic/x' }, 'a'.repeat(10_000_000)))
  expect(await closed).toBe(1009)
  const other = await RawClient.connected(small)
  await other.sync()
  await small.close()
})

test('what was sent before the connection ended is not lost in the inflating', async () => {
  const listener = await RawClient.connected(broker)
  await listener.request('SUBSCRIBE', { id: '0', destination: '/topic/deflate/end' })
  const { socket } = await deflating(broker.webSocketUrl)
  const count = 1_000
  for (let index = 0; index < count; index++)
    socket.send(frame('SEND', { destination: '/topic/deflate/end' }, String(index)))
  // The end of the connection without a close frame, once all is written.
  const raw = (socket as unknown as { _socket: Socket })._socket
  socket.send(frame('SEND', { destination: '/topic/deflate/end' }, 'last'), () => raw.end())
  expect((await listener.bodies(count + 1)).at(-1)).toBe('last')
})

test('no compression by default', async () => {
  const standard = await startBroker()
  const client = await deflating(standard.webSocketUrl)
  expect(client.socket.extensions).toBe('')
  client.socket.close()
  await standard.close()
})
