import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Op } from '../broker/model/message.ts'
import { startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { RawClient } from './helpers/client.ts'

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.close())

describe('frames that are none', () => {
  test.each([
    ['an unknown command', 'HELLO\n\n\0', 'unknown command', /"HELLO"/],
    ['a command in small letters', 'send\ndestination:/topic/x\n\n\0', 'unknown command', /"send".*capitals/],
    ['a command with a space', 'SEND \ndestination:/topic/x\n\n\0', 'unknown command', /"SEND "/],
    ['CONNECTED', 'CONNECTED\nversion:1.2\n\n\0', 'unknown command', /CONNECTED/],
    ['MESSAGE', 'MESSAGE\ndestination:/topic/x\n\n\0', 'unknown command', /MESSAGE/],
    ['RECEIPT', 'RECEIPT\nreceipt-id:1\n\n\0', 'unknown command', /RECEIPT/],
    ['ERROR', 'ERROR\n\n\0', 'unknown command', /ERROR/],
    ['a header line without a colon', 'SEND\ndestination\n\n\0', 'malformed frame', /"destination"/],
    ['a header line without a name', 'SEND\n:x\n\n\0', 'malformed frame', /":x"/],
    ['a NUL in the head', 'SEND\ndestination:/topic/x\n\0', 'malformed frame', /blank line/],
    [
      'a body on SUBSCRIBE',
      'SUBSCRIBE\nid:0\ndestination:/topic/x\n\nbody\0',
      'malformed frame',
      /SUBSCRIBE.*body/,
    ],
    [
      'a body on BEGIN, counted',
      'BEGIN\ntransaction:t\ncontent-length:1\n\nx\0',
      'malformed frame',
      /BEGIN.*body/,
    ],
    [
      'a content-length of no number',
      'SEND\ncontent-length:many\n\n\0',
      'malformed frame',
      /content-length.*"many"/,
    ],
    ['a negative content-length', 'SEND\ncontent-length:-1\n\n\0', 'malformed frame', /content-length/],
  ])('1.2 STOMP Frames: %s is an ERROR and a close', async (_, bytes, message, body) => {
    const client = await RawClient.connected(broker)
    client.raw(bytes)
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe(message)
    expect(error.body.toString()).toMatch(body)
    expect(close.code).toBe(1002)
  })

  test.each(['name', 'value'])(
    '1.2 STOMP Frames: headers are UTF-8; a %s that is not is an ERROR',
    async (part) => {
      const client = await RawClient.connected(broker)
      const bad = Buffer.from([0xc3, 0x28])
      const [name, value] = part === 'name' ? [bad, Buffer.from('x')] : [Buffer.from('x'), bad]
      client.raw(Buffer.concat([Buffer.from('SEND\n'), name, Buffer.from(':'), value, Buffer.from('\n\n\0')]))
      const { error, close } = await client.refusal()
      expect(error.headers.message).toBe('malformed frame')
      expect(error.body.toString()).toContain('UTF-8')
      expect(close.code).toBe(1002)
    },
  )

  test('before CONNECT too', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.raw('GET / HTTP/1.1\r\nHost: x\r\n\r\n\0')
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe('unknown command')
    expect(close.code).toBe(1002)
  })
})

describe('ERROR', () => {
  test('contract 4.11: message, content-type, content-length, receipt-id and one line for people', async () => {
    const client = await RawClient.connected(broker)
    client.send('SUBSCRIBE', { id: '0', destination: '/queue/a.*', receipt: 'r\\c1' })
    const { error } = await client.refusal()
    expect(error.headers).toMatchObject({
      message: 'unsupported destination',
      'content-type': 'text/plain;charset=utf-8',
      'receipt-id': 'r\\c1',
      'content-length': String(error.body.length),
    })
    expect(error.body.toString()).toMatch(/^[^\n]*\/queue\/a\.\*[^\n]*\n$/)
  })

  test('contract 4.11: no receipt-id when none was asked for, no version but on a version mismatch', async () => {
    const client = await RawClient.connected(broker)
    client.send('SEND', {})
    const { error } = await client.refusal()
    expect(error.headers).not.toHaveProperty('receipt-id')
    expect(error.headers).not.toHaveProperty('version')
  })

  test('contract 4.11: never a copy of the password', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.send('CONNECT', { login: 'me', passcode: 'hunter2', 'accept-version': '3', 'heart-beat': 'x' })
    const { error } = await client.refusal()
    expect(`${error.lines.join()}${error.body.toString()}`).not.toContain('hunter2')
  })

  test('contract 4.11: nothing of a CONNECT is repeated, lest it be a password', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.raw('CONNECT\naccept-version:1.2\npasscode=hunter2\n\n\0')
    const { error } = await client.refusal()
    expect(error.headers.message).toBe('malformed frame')
    expect(error.body.toString()).not.toContain('hunter2')
  })

  test('contract 4.11: what it quotes holds nothing that a terminal obeys', async () => {
    const client = await RawClient.connected(broker)
    client.send('SUBSCRIBE', { id: '0', destination: '/topic/x', ack: '\u009b31m\u202egnp\u2028\u001b' })
    const { error } = await client.refusal()
    expect(error.body.toString()).toContain('"\\u009b31m\\u202egnp\\u2028\\u001b"')
  })

  test('contract 4.11: what it quotes of the client is short and on one line', async () => {
    const client = await RawClient.connected(broker)
    client.send('SEND', { destination: `/topic/${'\\n'.repeat(200)}${'x'.repeat(1000)}` })
    const { error } = await client.refusal()
    expect(error.body.length).toBeLessThan(400)
    expect(error.body.toString().trimEnd()).not.toContain('\n')
  })

  test.each([
    ['text', true],
    ['binary', false],
  ])('1.2 ERROR: it reaches a %s WebSocket client as one message, before the close', async (_, text) => {
    const client = await RawClient.connected(broker)
    client.raw(text ? 'WHAT\n\n\0' : Buffer.from('WHAT\n\n\0'))
    await client.refusal()
    expect(client.messages.at(-1)?.data.toString()).toMatch(/^ERROR\n[^]*\n\n[^]*\0$/)
    expect(client.messages.at(-1)?.binary).toBe(false)
  })

  test('1.2 ERROR: over TCP it arrives before the FIN, with all that was sent before it, if the reader is slow', async () => {
    const client = await RawClient.tcpConnected(broker)
    const destination = '/topic/error/before'
    await client.request('SUBSCRIBE', { id: '0', destination })
    client.pause()
    // More than the sockets of any system hold, less than the send budget.
    const sender = await RawClient.connected(broker)
    const body = Buffer.alloc(3 * 1024 * 1024, 'x')
    for (let index = 0; index < 5; index++) await sender.request('SEND', { destination }, body)
    client.raw(`WHAT\n\n\0${'more that nobody reads '.repeat(10_000)}`)
    await sender.sync()
    client.resume()
    await client.refusal()
    expect(client.frames.map((frame) => frame.body.length)).toEqual(
      Array.from({ length: 5 }, () => body.length),
    )
  })

  test('1.2 ERROR: nothing after the bad frame is done', async () => {
    const [bad, good] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    await good.request('SUBSCRIBE', { id: '0', destination: '/topic/error/after' })
    const send = (body: string): string => `SEND\ndestination:/topic/error/after\n\n${body}\0`
    bad.raw(`${send('before')}WHAT\n\n\0${send('after')}`)
    bad.raw(send('later'))
    await bad.refusal()
    await good.sync()
    expect(good.frames.map(({ body }) => body.toString())).toEqual(['before'])
  })

  test('the broker survives a hundred bad clients, and the good one among them notices nothing', async () => {
    const good = await RawClient.connected(broker)
    await good.request('SUBSCRIBE', { id: '0', destination: '/topic/error/good' })
    const garbage = [
      '\0',
      '\0\0\0',
      'x'.repeat(5000),
      '{"type":"hello"}\n\n\0',
      'SEND\n\n\n',
      Buffer.from([255, 254, 0, 10]),
    ]
    const bad = Array.from({ length: 100 }, async (_, index) => {
      const client = index % 2 === 0 ? await RawClient.connected(broker) : await RawClient.tcp(broker.tcpPort)
      client.raw(garbage[index % garbage.length] ?? '')
      client.raw('\0')
      await client.closed
    })
    await Promise.all(bad)
    await good.request('SEND', { destination: '/topic/error/good' }, 'still')
    expect(await good.bodies(1)).toEqual(['still'])
  })
})

test('contract 4.11: what the broker itself did wrong is close 1011, without a word of its insides', async () => {
  class Broken extends TestEngine {
    override commit(ops: readonly Op[]): void | Promise<void> {
      if (ops.some((op) => op.type === 'send' && op.message.headers.has('boom'))) {
        throw new TypeError('secret is not a function')
      }
      return super.commit(ops)
    }
  }
  const own = await startBroker({}, new Broken())
  const client = await RawClient.connected(own)
  client.send('SEND', { destination: '/topic/x', boom: '1', receipt: 'r' })
  const { error, close } = await client.refusal()
  expect(error.headers).toMatchObject({ message: 'internal error', 'receipt-id': 'r' })
  expect(error.body.toString()).not.toMatch(/secret|TypeError|\bat /)
  expect(close.code).toBe(1011)
  await (await RawClient.connected(own)).sync()
  await own.close()
})
