import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, TestEngine, type TestBroker } from '../helpers/broker.ts'
import { selfSigned } from '../helpers/certificate.ts'
import { RawClient } from '../helpers/client.ts'

let broker: TestBroker
let folder: string
const engine = new TestEngine()
const { cert, key } = selfSigned()
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stomp-broker-tls-'))
  const [tlsCert, tlsKey] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  await writeFile(tlsCert, cert)
  await writeFile(tlsKey, key)
  broker = await startBroker({ tlsPort: 0, tlsCert, tlsKey }, engine)
})
afterAll(async () => {
  await broker.close()
  await rm(folder, { recursive: true })
})

type Open = () => Promise<RawClient & { socket: { end(): unknown } }>
const kinds: [string, Open][] = [
  ['tcp', () => RawClient.tcp(broker.tcpPort)],
  ['tls', () => RawClient.tls(broker.tlsPort, Buffer.from(cert))],
]

describe.each(kinds)('%s', (kind, open) => {
  const conversation = (destination: string, ack: string): string =>
    '\r\nSTOMP\r\naccept-version:1.1,1.2\r\nhost:broker\r\n\r\n\0\r\n' +
    `SUBSCRIBE\nid:s\ndestination:${destination}\nack:${ack}\nreceipt:1\n\n\0` +
    `SEND\ndestination:${destination}\ncontent-length:3\ncontent-type:text/plain\n\na\0b\0\n\n` +
    'DISCONNECT\nreceipt:2\n\n\0'

  test('CONNECT to DISCONNECT, byte by byte as the specification writes it', async () => {
    const destination = `/queue/tcp/${kind}`
    const client = await open()
    client.raw(conversation(destination, 'client'))
    const { session, server } = (await client.next('CONNECTED')).headers
    await client.next('RECEIPT')
    const id = (await client.next('MESSAGE')).headers['message-id']
    await client.next('RECEIPT')
    client.socket.end()
    await client.closed
    expect(Buffer.concat(client.messages.map(({ data }) => data)).toString()).toBe(
      `CONNECTED\nversion:1.2\nheart-beat:0,0\nsession:${session}\nserver:${server}\n\n\0` +
        'RECEIPT\nreceipt-id:1\n\n\0' +
        `MESSAGE\nsubscription:s\nack:${id}\nredelivered:false\nmessage-id:${id}\ndestination:${destination}\ncontent-length:3\ncontent-type:text/plain\n\na\0b\0` +
        'RECEIPT\nreceipt-id:2\n\n\0',
    )
    expect(await engine.count(destination)).toEqual({ ready: 1, unacked: 0 })
  })

  /** The conversation on a topic, cut at these places, and what is answered to it. */
  async function cut(places: readonly number[]): Promise<void> {
    const all = Buffer.from(conversation(`/topic/tcp/${kind}/cut`, 'auto'))
    const client = await open()
    for (const [index, start] of [0, ...places].entries()) {
      client.raw(all.subarray(start, places[index]))
      await new Promise(setImmediate)
    }
    await client.receipt('2')
    const commands = client.frames.map(({ command }) => command)
    expect(commands).toEqual(['CONNECTED', 'RECEIPT', 'MESSAGE'])
    expect(client.frames[2]?.body.toString()).toBe('a\0b')
    client.destroy()
    await client.closed
  }
  const { length } = conversation(`/topic/tcp/${kind}/cut`, 'auto')

  test('every byte in a write of its own', () =>
    cut(Array.from({ length: length - 1 }, (_, index) => index + 1)))

  test('split in two at every byte', async () => {
    for (let at = 1; at < length; at++) await cut([at])
  })

  test('a large body and many small ones, both ways', async () => {
    const client = await open()
    client.send('CONNECT', { 'accept-version': '1.2' })
    client.send('SUBSCRIBE', { id: '0', destination: `/topic/tcp/${kind}` })
    const large = Buffer.alloc(4 * 1024 * 1024, 'x')
    client.send('SEND', { destination: `/topic/tcp/${kind}` }, large)
    for (let index = 0; index < 1000; index++)
      client.send('SEND', { destination: `/topic/tcp/${kind}` }, String(index))
    await client.next('CONNECTED')
    expect((await client.next('MESSAGE')).body.equals(large)).toBe(true)
    expect(await client.bodies(1000)).toEqual(Array.from({ length: 1000 }, (_, index) => String(index)))
    client.destroy()
  })

  test('an abrupt end, in the middle of a frame too, returns what was held', async () => {
    const client = await open()
    const held = `/queue/tcp/${kind}/held`
    client.send('CONNECT', { 'accept-version': '1.2' })
    client.send('SUBSCRIBE', { id: '0', destination: held, ack: 'client' })
    client.send('SEND', { destination: held }, 'held')
    await client.next('CONNECTED')
    await client.next('MESSAGE')
    client.raw(`SEND\ndestination:${held}\n\nnever finish`)
    client.destroy()
    const other = await RawClient.tcpConnected(broker)
    await other.request('SUBSCRIBE', { id: '0', destination: held, ack: 'client' })
    const message = await other.next('MESSAGE')
    expect(message.body.toString()).toBe('held')
    expect(message.headers.redelivered).toBe('true')
    await other.request('ACK', { id: message.headers.ack ?? '' })
    expect(await engine.count(held)).toEqual({ ready: 0, unacked: 0 })
    await other.request('UNSUBSCRIBE', { id: '0' })
  })

  test('a peer that ends its side without DISCONNECT is ended', async () => {
    const client = await open()
    client.send('CONNECT', { 'accept-version': '1.2' })
    await client.next('CONNECTED')
    client.socket.end()
    await client.closed
  })

  test('an ERROR is followed by the end', async () => {
    const client = await open()
    client.raw('HELLO\n\n\0')
    const { error } = await client.refusal()
    expect(error.headers.message).toBe('unknown command')
  })
})

test('a peer that ends its side after its frames gets the answers to all of them', async () => {
  const socket = connect({ port: broker.tcpPort, host: '127.0.0.1', allowHalfOpen: true })
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.end(
    'CONNECT\naccept-version:1.2\n\n\0SEND\ndestination:/topic/tcp/half\nreceipt:1\n\n\0DISCONNECT\nreceipt:2\n\n\0',
  )
  await new Promise((resolve) => socket.on('end', resolve))
  expect(Buffer.concat(chunks).toString()).toMatch(/^CONNECTED\n[^]*receipt-id:1\n[^]*receipt-id:2\n\n\0$/)
})

test('a certificate turns the port of WebSocket to wss', async () => {
  const client = await RawClient.webSocket(
    `wss://127.0.0.1:${broker.port}/stomp`,
    ['v12.stomp'],
    {},
    { ca: cert },
  )
  client.send('CONNECT', { 'accept-version': '1.2' })
  await client.next('CONNECTED')
  await client.sync()
  expect(broker.addresses.webSocket[0]).toMatch(/^wss:/)
  client.destroy()
})

test('STOMP in the clear on the TLS port ends that connection alone', async () => {
  const client = await RawClient.tcp(broker.tlsPort)
  client.send('CONNECT', { 'accept-version': '1.2' })
  await client.closed
  expect(client.frames).toEqual([])
  const other = await RawClient.tls(broker.tlsPort, Buffer.from(cert))
  other.send('CONNECT', { 'accept-version': '1.2' })
  await other.next('CONNECTED')
  other.destroy()
})

test('a TLS handshake that never begins holds up the end no longer than five seconds', async () => {
  const own = await startBroker({
    tlsPort: 0,
    tlsCert: join(folder, 'cert.pem'),
    tlsKey: join(folder, 'key.pem'),
  })
  const mute = await RawClient.tcp(own.tlsPort)
  const muteHttps = await RawClient.tcp(own.port)
  const start = performance.now()
  await own.close()
  expect(performance.now() - start).toBeLessThan(9000)
  for (const client of [mute, muteHttps]) await client.closed
})
