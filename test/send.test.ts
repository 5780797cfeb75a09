import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, type TestBroker } from './helpers/broker.ts'
import { RawClient, type RawFrame } from './helpers/client.ts'

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.close())

let count = 0
/** A destination no other test uses. */
function topic(): string {
  return `/topic/send/${++count}`
}

/** What a 1.2 subscriber gets of one SEND, and what the sender's frame was answered with. */
async function echo(
  headers: Record<string, string>,
  body: string | Buffer = '',
  version = '1.2',
): Promise<RawFrame> {
  const destination = topic()
  const [sender, receiver] = [
    await RawClient.connected(broker, {}, version),
    await RawClient.connected(broker),
  ]
  await receiver.request('SUBSCRIBE', { id: '0', destination })
  sender.send('SEND', { destination, ...headers }, body)
  return receiver.next('MESSAGE')
}

test('1.2 SEND: destination is required', async () => {
  const client = await RawClient.connected(broker)
  client.send('SEND', { receipt: 'r' }, 'lost')
  const { error, close } = await client.refusal()
  expect(error.headers).toMatchObject({ message: 'missing header', 'receipt-id': 'r' })
  expect(error.body.toString()).toContain('destination')
  expect(close.code).toBe(1002)
})

describe('escaping', () => {
  // The header  n:a\me  with the value  f:o:o LF bar CR baz \  as STOMP 1.2 writes it.
  const line12 = 'n\\ca\\\\me:f\\co\\co\\nbar\\rbaz\\\\'
  const line11 = 'n\\ca\\\\me:f\\co\\co\\nbar\rbaz\\\\'
  // 1.0 knows no escapes, but a line feed must not end the line, nor a colon the name.
  const line10 = 'n\\ca\\me:f:o:o\\nbar\rbaz\\'

  test.each([
    ['1.2', '1.2', line12, line12],
    ['1.2', '1.1', line12, line11],
    ['1.2', '1.0', line12, line10],
    ['1.1', '1.2', line11, line12],
    ['1.1', '1.1', line11, line11],
    ['1.1', '1.0', line11, line10],
    // For a 1.0 sender backslashes mean themselves.
    ['1.0', '1.2', 'custom:a\\nb\\c', 'custom:a\\\\nb\\\\c'],
    ['1.0', '1.1', 'custom:a\\nb\\c', 'custom:a\\\\nb\\\\c'],
    ['1.0', '1.0', 'custom:a\\nb\\c\\t', 'custom:a\\nb\\c\\t'],
  ])('1.2 Value Encoding: a %s sender and a %s receiver', async (from, to, sent, seen) => {
    const destination = topic()
    const [sender, receiver] = [
      await RawClient.connected(broker, {}, from),
      await RawClient.connected(broker, {}, to),
    ]
    await receiver.request('SUBSCRIBE', { id: '0', destination })
    sender.raw(`SEND\ndestination:${destination}\n${sent}\n\n\0`)
    expect((await receiver.next('MESSAGE')).lines).toContain(seen)
  })

  test.each([
    ['1.2', 'a\\tb'],
    ['1.2', 'a\\'],
    ['1.2', '\\x'],
    ['1.1', '\\r'],
    ['1.1', '\\t'],
    ['1.1', 'a\\'],
  ])(
    '1.2 Value Encoding: on %s the undefined escape %j is a fatal protocol error',
    async (version, value) => {
      const client = await RawClient.connected(broker, {}, version)
      client.send('SEND', { destination: topic(), custom: value })
      const { error, close } = await client.refusal()
      expect(error.headers.message).toBe('malformed frame')
      expect(error.body.toString()).toContain('custom')
      expect(close.code).toBe(1002)
    },
  )
})

describe('body', () => {
  const everyByte = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256))
  test.each([
    ['a NUL inside', Buffer.from('a\0b'), 'a\0b'.length],
    ['NULs only', Buffer.from('\0\0\0'), 3],
    ['something like a frame', Buffer.from('\0\n\nSEND\ndestination:/topic/x\n\n\0'), 31],
    ['every byte', everyByte, 512],
    ['nothing', Buffer.alloc(0), 0],
  ])('1.2 Header content-length: a body of %s arrives as it was', async (_, body, length) => {
    const message = await echo({ 'content-length': String(body.length) }, body)
    expect(message.body.equals(body)).toBe(true)
    expect(message.headers['content-length']).toBe(String(length))
  })

  test('1.2 Body: without content-length it ends at the NUL, and MESSAGE counts it in bytes', async () => {
    const message = await echo({ 'content-type': 'text/plain' }, 'žluť 🐎')
    expect(message.body.toString()).toBe('žluť 🐎')
    expect(message.headers['content-length']).toBe('11')
  })

  test('1.2 STOMP Frames: an empty body has content-length 0', async () => {
    const message = await echo({})
    expect(message.headers['content-length']).toBe('0')
  })

  test.each([
    ['short', '2'],
    ['long', '4'],
  ])(
    '1.2 STOMP Frames: the NUL must follow the body, which a %s content-length breaks',
    async (_, length) => {
      const client = await RawClient.connected(broker)
      client.send('SEND', { destination: topic(), 'content-length': length }, 'abc')
      client.raw('ab')
      const { error, close } = await client.refusal()
      expect(error.headers.message).toBe('malformed frame')
      expect(error.body.toString()).toContain('content-length')
      expect(close.code).toBe(1002)
    },
  )
})

describe('headers', () => {
  test('1.2 MESSAGE: all user-defined headers of SEND arrive, and content-type', async () => {
    const sent = {
      'content-type': 'application/json;charset=utf-8',
      'correlation-id': 'c 1',
      'reply-to': '/topic/answers',
      type: 't',
      priority: '4',
      persistent: 'true',
      expires: '0',
      timestamp: '1',
      'x-custom': 'ä\\cb\\\\ č',
      ' spaced ': ' kept ',
      empty: '',
    }
    expect((await echo(sent, '{}')).headers).toMatchObject(sent)
  })

  test('contract 4.4: a header line splits at its first colon', async () => {
    const { lines } = await echo({ link: 'https://a:1/b' })
    expect(lines).toContain('link:https\\c//a\\c1/b')
  })

  test('1.2 Repeated Header Entries: the first one counts', async () => {
    const destination = topic()
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: '0', destination })
    client.raw(`SEND\nfoo:World\nfoo:Hello\ndestination:${destination}\ndestination:/topic/else\n\n\0`)
    const message = await client.next('MESSAGE')
    expect(message.lines.filter((line) => line.startsWith('foo:'))).toEqual(['foo:World'])
  })

  test('contract 4.7: what speaks of the sender is stripped, what the broker owns is its own', async () => {
    const message = await echo({
      receipt: 'r',
      ack: 'mine',
      subscription: 'mine',
      'message-id': 'mine',
      redelivered: 'true',
      'delivery-count': '7',
      session: 'mine',
      login: 'me',
      passcode: 'secret',
      'x-stream-offset': 'first',
      'x-max-length': '1',
      persistent: 'false',
      kept: 'yes',
    })
    const names = message.lines.map((line) => line.slice(0, line.indexOf(':'))).sort()
    expect(names).toEqual(['content-length', 'destination', 'kept', 'message-id', 'subscription'])
    expect(message.headers.subscription).toBe('0')
    expect(message.headers['message-id']).not.toBe('mine')
  })

  test('contract 4.7: transaction is stripped too', async () => {
    const destination = topic()
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: '0', destination })
    client.send('BEGIN', { transaction: 't' })
    client.send('SEND', { destination, transaction: 't' })
    client.send('COMMIT', { transaction: 't' })
    expect((await client.next('MESSAGE')).headers).not.toHaveProperty('transaction')
  })

  test('1.2 MESSAGE: message-id is unique, short, and needs no escaping', async () => {
    const destination = topic()
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: '0', destination })
    for (let index = 0; index < 100; index++) client.send('SEND', { destination, 'message-id': 'same' })
    const ids = (await client.take(100)).map((message) => message.headers['message-id'] ?? '')
    expect(new Set(ids).size).toBe(100)
    for (const id of ids) expect(id).toMatch(/^[\w-]{1,128}$/)
  })

  test('1.0 sender: what the broker must understand is trimmed, the rest is kept', async () => {
    const destination = topic()
    const [sender, receiver] = [
      await RawClient.connected(broker, {}, '1.0'),
      await RawClient.connected(broker),
    ]
    await receiver.request('SUBSCRIBE', { id: '0', destination })
    sender.raw(`SEND\ndestination: ${destination} \ncontent-length: 3 \ncustom: a \n\na\0b\0`)
    const message = await receiver.next('MESSAGE')
    expect(message.headers).toMatchObject({ destination, custom: ' a ' })
    expect(message.body.toString()).toBe('a\0b')
  })
})

describe('destinations', () => {
  test('contract 4.9: a publisher`s messages arrive in order, several publishers side by side', async () => {
    const destination = topic()
    const [receiver, ...publishers] = await Promise.all(
      Array.from({ length: 5 }, () => RawClient.connected(broker)),
    )
    if (receiver === undefined) throw new Error('unreachable')
    await receiver.request('SUBSCRIBE', { id: '0', destination })
    for (let index = 0; index < 500; index++) {
      for (const [name, publisher] of publishers.entries())
        publisher.send('SEND', { destination }, `${name}:${index}`)
    }
    const bodies = await receiver.bodies(2000)
    for (const name of publishers.keys()) {
      const own = bodies.filter((body) => body.startsWith(`${name}:`))
      expect(own).toEqual(Array.from({ length: 500 }, (_, index) => `${name}:${index}`))
    }
  })

  test('contract 4.9: a queue`s messages arrive in order, those that waited first', async () => {
    const client = await RawClient.connected(broker)
    const send = (index: number): void =>
      client.send('SEND', { destination: '/queue/send/order' }, String(index))
    for (let index = 0; index < 200; index++) send(index)
    client.send('SUBSCRIBE', { id: '0', destination: '/queue/send/order' })
    for (let index = 200; index < 400; index++) send(index)
    expect(await client.bodies(400)).toEqual(Array.from({ length: 400 }, (_, index) => String(index)))
  })

  test.each([
    ['send-bare-1', '/queue/send-bare-1', '/queue/send-bare-1'],
    ['/queue/send-bare-2', 'send-bare-2', '/queue/send-bare-2'],
    ['send-bare.3/x', 'send-bare.3/x', '/queue/send-bare.3/x'],
    ['/sub/room/1', '/sub/room/1', '/sub/room/1'],
    ['/topic/a%2Fb', '/topic/a%2Fb', '/topic/a%2Fb'],
    ['/topic/čaj 🍵', '/topic/čaj 🍵', '/topic/čaj 🍵'],
  ])('contract 4.12: SEND to %s reaches SUBSCRIBE to %s as %s', async (to, from, shown) => {
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: '0', destination: from })
    client.send('SEND', { destination: to }, 'x')
    expect((await client.next('MESSAGE')).headers.destination).toBe(shown)
  })

  test('contract 4.12: a name with an unknown prefix is a topic, a bare one a queue', async () => {
    const [a, b] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    for (const client of [a, b]) {
      await client.request('SUBSCRIBE', { id: 't', destination: '/chat/send' })
      await client.request('SUBSCRIBE', { id: 'q', destination: 'chat-send' })
    }
    await a.request('SEND', { destination: '/chat/send' })
    await a.request('SEND', { destination: 'chat-send' })
    await b.sync()
    const destinations = (client: RawClient): string[] =>
      client.frames.map(({ headers }) => headers.destination ?? '')
    expect([...destinations(a), ...destinations(b)].toSorted((x, y) => x.localeCompare(y))).toEqual([
      '/chat/send',
      '/chat/send',
      '/queue/chat-send',
    ])
  })

  test('contract 4.12: names are matched exactly', async () => {
    const client = await RawClient.connected(broker)
    await client.request('SUBSCRIBE', { id: '0', destination: '/topic/send/a/b' })
    for (const destination of ['/topic/send/a.b', '/topic/send/a', '/topic/send/a/b/c', '/topic/send/A/b']) {
      client.send('SEND', { destination })
    }
    await client.sync()
    expect(client.frames).toEqual([])
  })

  test('contract 4.12: SEND to a queue nobody consumes keeps the message', async () => {
    const sender = await RawClient.connected(broker)
    await sender.request('SEND', { destination: '/queue/send/kept' }, 'still here')
    sender.destroy()
    const receiver = await RawClient.connected(broker)
    receiver.send('SUBSCRIBE', { id: '0', destination: '/queue/send/kept' })
    expect(await receiver.bodies(1)).toEqual(['still here'])
  })

  const unsupported = ['/queue/>', '/queue/a*', '/user/a/queue/*', '/amq/x', '/temp-queue/*', '/app/*']
  const invalid = ['/', '/topic', '/topic/', '/queue/', '/topic/a\\nb', '/topic/a\u0001']
  test.each([
    ...unsupported.map((name) => [name, 'unsupported destination', 1008] as const),
    ...invalid.map((name) => [name, 'invalid destination', 1002] as const),
  ])(
    'contract 4.12: SEND and SUBSCRIBE to %j are refused: %s, close %i',
    async (destination, message, code) => {
      for (const command of ['SEND', 'SUBSCRIBE']) {
        const client = await RawClient.connected(broker)
        client.send(command, { id: '0', destination, receipt: 'r' })
        const { error, close } = await client.refusal()
        expect(error.headers).toMatchObject({ message, 'receipt-id': 'r' })
        expect(close.code).toBe(code)
        expect(client.frames).toEqual([])
      }
    },
  )
})
