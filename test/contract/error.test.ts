import { afterAll, afterEach, beforeAll, describe, expect, vi } from 'vitest'
import { LocalEngine } from '../../broker/engine/local.ts'
import { Stats } from '../../broker/model/stats.ts'
import type { Op } from '../../broker/model/message.ts'
import { readOptions, type BrokerOptions } from '../../broker/options.ts'
import { engineSettings } from '../../broker/policies.ts'
import { fresh, ownBrokers, startBroker, type TestBroker } from '../helpers/broker.ts'
import { frame, look, RawClient, type RawFrame } from '../helpers/client.ts'
import { test } from '../helpers/fixtures.ts'
import { transports } from '../helpers/stompjs.ts'

// The wire contract, 4.11, line by line.

const options: BrokerOptions = {
  maxSubscriptions: 3,
  maxQueueMessages: 3,
  maxTransactions: 2,
  maxTransactionFrames: 2,
  maxBody: 1000,
  maxFrame: 2000,
  app: {
    '/app/broken': () => {
      throw new TypeError('secret is not a function')
    },
  },
}

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker(options)
})
afterAll(() => broker.close())

const start = ownBrokers()
afterEach(() => void vi.useRealTimers())

function receiptsOf(client: RawClient): (string | undefined)[] {
  return client.frames
    .filter(({ command }) => command === 'RECEIPT')
    .map(({ headers }) => headers['receipt-id'])
}

describe('4.11 any client frame except CONNECT may carry receipt', () => {
  test.each(['1.2', '1.1', '1.0'])('exactly one RECEIPT each, in order (%s)', async (version) => {
    const client = await RawClient.connected(broker, {}, version)
    const destination = fresh('queue')
    client.send('SUBSCRIBE', { id: 's', destination, ack: 'client-individual', receipt: 'SUBSCRIBE' })
    client.send('SEND', { destination, receipt: 'SEND' })
    client.send('SEND', { destination })
    await client.until(() => client.frames.length >= 4)
    const [first = '', second = ''] = client.frames
      .filter(({ command }) => command === 'MESSAGE')
      .map(({ headers }) => headers.ack ?? headers['message-id'])
    const form = (id: string): Record<string, string> =>
      version === '1.2' ? { id } : { 'message-id': id, subscription: 's' }
    client.send('ACK', { ...form(first), receipt: 'ACK' })
    client.send('NACK', { ...form(second), requeue: 'false', receipt: 'NACK' })
    client.send('BEGIN', { transaction: 't', receipt: 'BEGIN' })
    client.send('SEND', { destination, transaction: 't', receipt: 'SEND in t' })
    client.send('ABORT', { transaction: 't', receipt: 'ABORT' })
    client.send('BEGIN', { transaction: 'u' })
    client.send('COMMIT', { transaction: 'u', receipt: 'COMMIT' })
    client.send('UNSUBSCRIBE', { id: 's', receipt: 'UNSUBSCRIBE' })
    client.send('DISCONNECT', { receipt: 'DISCONNECT' })
    await client.until(() => receiptsOf(client).includes('DISCONNECT'))
    client.socket.close(1000)
    await client.closed
    expect(receiptsOf(client)).toEqual([
      'SUBSCRIBE',
      'SEND',
      'ACK',
      'NACK',
      'BEGIN',
      'SEND in t',
      'ABORT',
      'COMMIT',
      'UNSUBSCRIBE',
      'DISCONNECT',
    ])
  })

  test('a RECEIPT is nothing but its receipt-id', async () => {
    const client = await RawClient.connected(broker)
    client.send('SEND', { destination: fresh('topic'), receipt: 'a\\cb\\\\c' })
    const receipt = await client.next()
    expect(receipt).toEqual({
      command: 'RECEIPT',
      lines: ['receipt-id:a\\cb\\\\c'],
      headers: { 'receipt-id': 'a\\cb\\\\c' },
      body: Buffer.alloc(0),
    })
  })

  test('CONNECT is answered with CONNECTED alone', async () => {
    const client = await RawClient.connected(broker, { receipt: 'r' })
    await client.sync()
    expect(client.frames).toEqual([])
  })

  test.each(['SEND', 'COMMIT'])(
    'after it is fully processed: the RECEIPT of a %s that waits for room waits too',
    async (command) => {
      const own = await start({ maxQueueMessages: 2, overflow: ['/queue/**=block'] })
      const destination = fresh('queue')
      const [sender, taker] = [await RawClient.connected(own), await RawClient.connected(own)]
      for (const body of ['1', '2']) await sender.request('SEND', { destination }, body)
      if (command === 'SEND') sender.send('SEND', { destination, receipt: 'r' }, '3')
      else {
        await sender.request('BEGIN', { transaction: 't' })
        await sender.request('SEND', { destination, transaction: 't' }, '3')
        sender.send('COMMIT', { transaction: 't', receipt: 'r' })
      }
      // Others go on meanwhile.
      for (let round = 0; round < 5; round++) await taker.sync()
      expect(await look(own, destination)).toEqual(['1', '2'])
      expect(sender.frames).toEqual([])
      await taker.request('SUBSCRIBE', { id: 's', destination })
      expect(await taker.bodies(3)).toEqual(['1', '2', '3'])
      expect((await sender.next('RECEIPT')).headers['receipt-id']).toBe('r')
    },
  )

  test('after it is fully processed: a topic`s own subscriber has the MESSAGE before the RECEIPT', async () => {
    const client = await RawClient.connected(broker)
    const destination = fresh('topic')
    await client.request('SUBSCRIBE', { id: 's', destination })
    client.send('SEND', { destination, receipt: 'r' })
    await client.next('MESSAGE')
    expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('r')
  })

  test('on COMMIT it means the whole transaction is in', async () => {
    const [one, other] = [fresh('queue'), fresh('queue')]
    const client = await RawClient.connected(broker)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('SEND', { destination: one, transaction: 't' }, '1')
    await client.request('SEND', { destination: other, transaction: 't' }, '2')
    expect([await look(broker, one), await look(broker, other)]).toEqual([[], []])
    await client.request('COMMIT', { transaction: 't' })
    expect([await look(broker, one), await look(broker, other)]).toEqual([['1'], ['2']])
  })

  test('on COMMIT an ERROR means that nothing of it is in', async () => {
    const [full, other] = [fresh('queue'), fresh('queue')]
    const client = await RawClient.connected(broker)
    for (const body of ['1', '2', '3']) await client.request('SEND', { destination: full }, body)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('SEND', { destination: other, transaction: 't' })
    await client.request('SEND', { destination: full, transaction: 't' }, '4')
    client.send('COMMIT', { transaction: 't', receipt: 'r' })
    const { error } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'queue full', 'receipt-id': 'r' })
    expect([await look(broker, full), await look(broker, other)]).toEqual([['1', '2', '3'], []])
  })
})

/** A client and the frames with which it runs into a refusal that leaves its session healthy. */
interface Refusal {
  readonly name: string
  readonly before?: (client: RawClient) => Promise<void>
  readonly command: string
  readonly headers: Record<string, string>
  readonly message: string
  readonly code: number
  /** What the body names. */
  readonly names: string
  /** A line for people, unless there is more to see. */
  readonly body?: RegExp
}

const refusals: readonly Refusal[] = [
  {
    name: 'a subscription refused',
    command: 'SUBSCRIBE',
    headers: { id: 'x', destination: '/queue/a.*' },
    message: 'unsupported destination',
    code: 1008,
    names: '"/queue/a.*"',
  },
  {
    name: 'a subscription without a destination',
    command: 'SUBSCRIBE',
    headers: { id: 'x' },
    message: 'missing header',
    code: 1002,
    names: '"destination"',
  },
  {
    name: 'a duplicate subscription id',
    before: (client) => client.request('SUBSCRIBE', { id: 'x', destination: '/topic/contract/twice' }),
    command: 'SUBSCRIBE',
    headers: { id: 'x', destination: '/topic/contract/other' },
    message: 'duplicate subscription id',
    code: 1002,
    names: '"x"',
  },
  {
    name: 'one subscription too many',
    before: async (client) => {
      for (const id of ['1', '2', '3'])
        await client.request('SUBSCRIBE', { id, destination: '/topic/contract/many' })
    },
    command: 'SUBSCRIBE',
    headers: { id: 'x', destination: '/topic/contract/many' },
    message: 'too many subscriptions',
    code: 1008,
    names: 'max-subscriptions',
  },
  {
    name: 'a bad selector',
    command: 'SUBSCRIBE',
    headers: { id: 'x', destination: '/topic/contract/selector', selector: 'colour = ' },
    message: 'invalid selector',
    code: 1008,
    names: 'colour = ',
    // It points at the place.
    body: /^[^\n]+ column 10[^\n]+\ncolour = \n {9}\^\n$/,
  },
  {
    name: 'a publish refused',
    command: 'SEND',
    headers: { destination: '/topic/a.*' },
    message: 'unsupported destination',
    code: 1008,
    names: '"/topic/a.*"',
  },
  {
    name: 'a publish to no destination',
    command: 'SEND',
    headers: { destination: '/topic/' },
    message: 'invalid destination',
    code: 1002,
    names: '"/topic/"',
  },
  {
    name: 'a publish to a full queue',
    before: async (client) => {
      const waiting = (await look(broker, '/queue/contract/full')).length
      for (let count = waiting; count < 3; count++)
        await client.request('SEND', { destination: '/queue/contract/full' })
    },
    command: 'SEND',
    headers: { destination: '/queue/contract/full' },
    message: 'queue full',
    code: 1008,
    names: '/queue/contract/full',
  },
  {
    name: 'an unknown transaction',
    command: 'COMMIT',
    headers: { transaction: 'none' },
    message: 'unknown transaction',
    code: 1002,
    names: '"none"',
  },
  {
    name: 'a transaction that is open already',
    before: (client) => client.request('BEGIN', { transaction: 't' }),
    command: 'BEGIN',
    headers: { transaction: 't' },
    message: 'duplicate transaction',
    code: 1002,
    names: '"t"',
  },
  {
    name: 'a transaction too many',
    before: async (client) => {
      for (const transaction of ['t', 'u']) await client.request('BEGIN', { transaction })
    },
    command: 'BEGIN',
    headers: { transaction: 'v' },
    message: 'transaction over a limit',
    code: 1008,
    names: 'max-transactions',
  },
  {
    name: 'an application that failed',
    command: 'SEND',
    headers: { destination: '/app/broken' },
    message: 'application failed',
    code: 1011,
    names: '"/app/broken"',
  },
]

/** ERROR as the contract has it, with `receipt-id` and without. */
function expectError(error: RawFrame, message: string, receipt?: string, body = /^[^\n]+\n$/): void {
  expect(error.lines).toEqual([
    `message:${message}`,
    'content-type:text/plain;charset=utf-8',
    ...(receipt === undefined ? [] : [`receipt-id:${receipt}`]),
    `content-length:${error.body.length}`,
  ])
  expect(error.body.toString()).toMatch(body)
}

describe('4.11 ERROR', () => {
  test.each(refusals)(
    'message, content-type, receipt-id and one human line: $name',
    async ({ before, command, headers, message, names, body }) => {
      const client = await RawClient.connected(broker)
      await before?.(client)
      client.send(command, { ...headers, receipt: 'r' })
      const { error } = await client.refusal()
      expectError(error, message, 'r', body)
      expect(error.body.toString()).toContain(names)
    },
  )

  test.each(refusals)(
    'receipt-id only when the frame had receipt: $name',
    async ({ before, command, headers, message, body }) => {
      const client = await RawClient.connected(broker)
      await before?.(client)
      client.send(command, headers)
      expectError((await client.refusal()).error, message, undefined, body)
    },
  )

  test.each([
    ['SEND', {}, 'destination'],
    ['SEND', { destination: '' }, 'destination'],
    ['SUBSCRIBE', { destination: '/topic/x' }, 'id'],
    ['SUBSCRIBE', { id: '0' }, 'destination'],
    ['SUBSCRIBE', { id: '0', destination: '/topic/x', ack: 'manual' }, 'ack'],
    ['SUBSCRIBE', { id: '0', destination: '/queue/x', prefetch: 'many' }, 'prefetch'],
    ['SUBSCRIBE', { id: '0', destination: '/queue/x', 'prefetch-count': '-1' }, 'prefetch-count'],
    [
      'SUBSCRIBE',
      { id: '0', destination: '/queue/x', 'activemq.prefetchSize': 'x' },
      'activemq.prefetchSize',
    ],
    ['SUBSCRIBE', { id: '0', destination: '/queue/x', credit: '1,x' }, 'credit'],
    ['SUBSCRIBE', { id: '0', destination: '/queue/x', 'consumer-window-size': '-2' }, 'consumer-window-size'],
    ['SUBSCRIBE', { id: '0', destination: '/queue/x', 'x-priority': 'high' }, 'x-priority'],
    ['SUBSCRIBE', { id: '0', destination: '/queue/x', 'x-max-length': 'long' }, 'x-max-length'],
    ['SEND', { destination: '/queue/x', expires: 'soon' }, 'expires'],
    ['SEND', { destination: '/queue/x', expiration: '-1' }, 'expiration'],
    ['SEND', { destination: '/queue/x', ttl: '1.5' }, 'ttl'],
    ['SEND', { destination: '/queue/x', priority: 'high' }, 'priority'],
    ['SEND', { destination: '/queue/x', 'x-delay': 'x' }, 'x-delay'],
    ['SEND', { destination: '/queue/x', AMQ_SCHEDULED_DELAY: 'x' }, 'AMQ_SCHEDULED_DELAY'],
    ['SEND', { destination: '/topic/x', retain: 'yes' }, 'retain'],
    ['UNSUBSCRIBE', {}, 'id'],
    ['ACK', {}, 'id'],
    ['NACK', {}, 'id'],
    ['BEGIN', {}, 'transaction'],
    ['COMMIT', {}, 'transaction'],
    ['ABORT', {}, 'transaction'],
  ])('body names the offending header: %s %j names %s', async (command, headers, name) => {
    const client = await RawClient.connected(broker)
    client.send(command, { ...headers })
    const { error } = await client.refusal()
    expect(error.headers.message).toMatch(/^(missing header|invalid header|invalid destination)$/)
    expect(error.body.toString()).toMatch(new RegExp(`(^|[ "])${name.replaceAll('.', '\\.')}([ ",.;]|$)`))
    expect(error.body.toString()).toMatch(/^[^\n]+\n$/)
  })

  test('body names the offending header of CONNECT', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.send('CONNECT', { 'accept-version': '1.2', 'heart-beat': 'often' })
    const { error } = await client.refusal()
    expectError(error, 'invalid header')
    expect(error.body.toString()).toContain('heart-beat')
  })

  test('never a stack trace: an application that throws', async () => {
    const client = await RawClient.connected(broker)
    client.send('SEND', { destination: '/app/broken' })
    const { error } = await client.refusal()
    expect(`${error.lines.join('\n')}${error.body.toString()}`).not.toMatch(/secret|TypeError|\bat |\.ts\b/)
  })

  test.each([
    ['CONNECT', { 'accept-version': '9.9' }],
    ['CONNECT', { 'accept-version': '1.2', 'heart-beat': 'x' }],
    ['CONNECT\naccept-version:1.2\npasscode=hunter2', undefined],
    ['NONSENSE', {}],
  ])('never a copy of the password: %s %j', async (command, headers) => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    if (headers === undefined) client.raw(`${command}\n\n\0`)
    else client.send(command, { login: 'me', passcode: 'hunter2', ...headers })
    const { error } = await client.refusal()
    expect(`${error.lines.join('\n')}${error.body.toString()}`).not.toContain('hunter2')
  })

  test('never a copy of the password: long after CONNECT', async () => {
    const client = await RawClient.connected(broker, { login: 'me', passcode: 'hunter2' })
    client.send('CONNECT', { 'accept-version': '1.2', login: 'me', passcode: 'hunter2' })
    const { error } = await client.refusal()
    expect(`${error.lines.join('\n')}${error.body.toString()}`).not.toContain('hunter2')
  })

  test.each(['2.0', '0.9,3', ''])('on version mismatch it adds version (%j)', async (versions) => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.send('CONNECT', { 'accept-version': versions })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({
      message: 'no supported protocol version',
      version: '1.2,1.1,1.0',
    })
    expect(error.body.toString()).toContain('1.2 1.1 1.0')
    expect(close.code).toBe(1002)
  })
})

describe('4.11 ERROR is flushed, then the socket is closed', () => {
  test.each(refusals)('$name', async ({ before, command, headers, message, code }) => {
    const client = await RawClient.connected(broker)
    await before?.(client)
    client.send(command, headers)
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe(message)
    expect(close).toEqual({ code, reason: message })
  })

  test('also behind much that the client has not read', async () => {
    const own = await start({})
    const client = await RawClient.connected(own)
    const destination = fresh('topic')
    await client.request('SUBSCRIBE', { id: 's', destination })
    client.pause()
    const sender = await RawClient.connected(own)
    const body = Buffer.alloc(2 * 1024 * 1024, 'x')
    for (let count = 0; count < 5; count++) await sender.request('SEND', { destination }, body)
    client.send('SUBSCRIBE', { id: 't', destination: '/queue/>' })
    await sender.sync()
    client.resume()
    expect((await client.refusal()).error.headers.message).toBe('unsupported destination')
    expect(client.frames.map((message) => message.body.length)).toEqual(
      Array.from({ length: 5 }, () => body.length),
    )
  })

  test('what follows the refused frame is not done', async () => {
    const [client, destination] = [await RawClient.connected(broker), fresh('queue')]
    client.raw(
      Buffer.concat([
        frame('SEND', { destination }, 'before'),
        frame('SUBSCRIBE', { id: 's', destination: '/queue/>' }),
        frame('SEND', { destination }, 'after'),
      ]),
    )
    await client.refusal()
    expect(await look(broker, destination)).toEqual(['before'])
  })
})

const scoped = { 'x-error-scope': 'frame' }

describe('4.11 opt-in error scope', () => {
  test('CONNECTED echoes x-error-scope:frame so the client knows', async () => {
    const { session } = await RawClient.connected(broker, scoped)
    expect(session.lines).toContain('x-error-scope:frame')
  })

  test.each([{}, { 'x-error-scope': 'connection' }])(
    'it is not on for %j',
    async (headers: Record<string, string>) => {
      const client = await RawClient.connected(broker, headers)
      expect(client.session.headers).not.toHaveProperty('x-error-scope')
      client.send('SUBSCRIBE', { id: 's', destination: '/queue/>' })
      expect((await client.refusal()).close.code).toBe(1008)
    },
  )

  test('what is neither is refused', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.send('CONNECT', { 'accept-version': '1.2', host: 'test', 'x-error-scope': 'FRAME' })
    expect((await client.refusal()).error.body.toString()).toContain('it may be connection or frame')
  })

  test('or a broker configured so', async () => {
    const own = await start({ errorScope: 'frame' })
    const client = await RawClient.connected(own)
    expect(client.session.lines).toContain('x-error-scope:frame')
    client.send('SUBSCRIBE', { id: 's', destination: '/queue/>', receipt: 'r' })
    expectError(await client.next('ERROR'), 'unsupported destination', 'r')
    await client.sync()
  })

  test.each(refusals)(
    'the same ERROR without the close: $name',
    async ({ before, command, headers, message, names, body }) => {
      const client = await RawClient.connected(broker, scoped)
      await before?.(client)
      client.send(command, { ...headers, receipt: 'r' })
      const error = await client.next('ERROR')
      expectError(error, message, 'r', body)
      expect(error.body.toString()).toContain(names)
      // The session is healthy: it sends, and what it refused did nothing.
      const destination = fresh('queue')
      await client.request('SEND', { destination }, 'after')
      expect(await look(broker, destination)).toEqual(['after'])
      expect(client.frames).toEqual([])
      expect(client.socket.readyState).toBe(client.socket.OPEN)
    },
  )

  test('a subscription that was there before goes on', async () => {
    const client = await RawClient.connected(broker, scoped)
    const destination = fresh('topic')
    await client.request('SUBSCRIBE', { id: 's', destination })
    client.send('SUBSCRIBE', { id: 's', destination })
    await client.next('ERROR')
    await client.request('SEND', { destination }, 'once')
    expect(await client.bodies(1)).toEqual(['once'])
    expect(client.frames).toEqual([])
  })

  test('a transaction that lacks a refused frame is not committed without it', async () => {
    const client = await RawClient.connected(broker, scoped)
    const destination = fresh('queue')
    await client.request('BEGIN', { transaction: 't' })
    await client.request('SEND', { destination, transaction: 't' }, '1')
    client.send('SEND', { destination: '/topic/>', transaction: 't' }, '2')
    expect((await client.next('ERROR')).headers.message).toBe('unsupported destination')
    client.send('COMMIT', { transaction: 't', receipt: 'r' })
    expectError(await client.next('ERROR'), 'unknown transaction', 'r')
    expect(await look(broker, destination)).toEqual([])
  })

  test.each([
    ['an unknown command', 'NONSENSE\n\n\0', 'unknown command', 1002],
    ['a header line without a colon', 'SEND\ndestination\n\n\0', 'malformed frame', 1002],
    ['an undefined escape', 'SEND\ndestination:/topic/\\x\n\n\0', 'malformed frame', 1002],
    [
      'a content-length that is none',
      'SEND\ndestination:/topic/x\ncontent-length:x\n\n\0',
      'malformed frame',
      1002,
    ],
    [
      'a body that is longer than its content-length',
      'SEND\ndestination:/topic/x\ncontent-length:1\n\nxx\0',
      'malformed frame',
      1002,
    ],
    [
      'a body over the limit',
      `SEND\ndestination:/topic/x\n\n${'x'.repeat(1001)}\0`,
      'frame over a limit',
      1009,
    ],
  ])('framing errors always close: %s', async (_, bytes, message, code) => {
    const client = await RawClient.connected(broker, scoped)
    client.raw(bytes)
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe(message)
    expect(close.code).toBe(code)
  })

  test.each([
    ['a CONNECT that is refused', { 'accept-version': '9' }, 'no supported protocol version'],
    ['a CONNECT with a bad header', { 'accept-version': '1.2', 'heart-beat': 'x' }, 'invalid header'],
  ])('%s always closes', async (_, headers, message) => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.send('CONNECT', { ...scoped, ...headers })
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe(message)
    expect(close.code).toBe(1002)
  })

  test.each([
    ['a second CONNECT', 'CONNECT', { 'accept-version': '1.2' }, 'already connected'],
    ['an ack id never issued', 'ACK', { id: 'invented' }, 'unknown ack id'],
  ])('%s always closes', async (_, command, headers, message) => {
    const client = await RawClient.connected(broker, scoped)
    client.send(command, headers)
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe(message)
    expect(close.code).toBe(1002)
  })
})

describe('4.11 close codes', () => {
  test('1000 after DISCONNECT', async () => {
    const client = await RawClient.connected(broker)
    await client.request('DISCONNECT')
    client.socket.close(1000)
    expect((await client.closed).code).toBe(1000)
    expect(client.frames).toEqual([])
  })

  test.each([
    ['an unknown command', 'NONSENSE\n\n\0'],
    ['a malformed frame', 'SEND\nnonsense\n\n\0'],
    ['a second CONNECT', 'CONNECT\naccept-version:1.2\n\n\0'],
    ['a missing header', 'SEND\n\n\0'],
  ])('1002 protocol error: %s', async (_, bytes) => {
    const client = await RawClient.connected(broker)
    client.raw(bytes)
    expect((await client.refusal()).close.code).toBe(1002)
  })

  test.each([
    ['a binary message', Buffer.from('text')],
    ['a body that is not UTF-8', Buffer.from([0xff, 0xfe])],
  ])('1003 only if we really cannot read: not for %s', async (_, body) => {
    const [client, destination] = [await RawClient.connected(broker), fresh('queue')]
    await client.request('SUBSCRIBE', { id: 's', destination })
    client.raw(frame('SEND', { destination }, body))
    expect((await client.next('MESSAGE')).body).toEqual(body)
    await client.sync()
    expect(client.socket.readyState).toBe(client.socket.OPEN)
  })

  test('1008 policy: one subscription more than are allowed', async () => {
    const client = await RawClient.connected(broker)
    for (const id of ['1', '2', '3']) await client.request('SUBSCRIBE', { id, destination: fresh('topic') })
    client.send('SUBSCRIBE', { id: '4', destination: fresh('topic') })
    expect((await client.refusal()).close.code).toBe(1008)
  })

  test('1009 frame too large: one byte more than is allowed', async () => {
    const client = await RawClient.connected(broker)
    const destination = fresh('topic')
    await client.request('SEND', { destination }, Buffer.alloc(1000, 'x'))
    client.send('SEND', { destination }, Buffer.alloc(1001, 'x'))
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe('frame over a limit')
    expect(close.code).toBe(1009)
  })

  test('1011 internal', async () => {
    class Broken extends LocalEngine {
      override commit(ops: readonly Op[]): void | Promise<void> {
        if (ops.some((op) => op.type === 'send' && op.message.headers.has('boom')))
          throw new TypeError('secret is not a function')
        return super.commit(ops)
      }
    }
    const engine = new Broken(engineSettings(readOptions({})), new Stats())
    const own = await start({}, engine)
    const client = await RawClient.connected(own)
    client.send('SEND', { destination: fresh('topic'), boom: '1', receipt: 'r' })
    const { error, close } = await client.refusal()
    expectError(error, 'internal error', 'r')
    expect(error.body.toString()).not.toMatch(/secret|TypeError/)
    expect(close.code).toBe(1011)
  })

  test('1001 shutting down', async () => {
    const own = await startBroker()
    const [connected, early] = [await RawClient.connected(own), await RawClient.webSocket(own.webSocketUrl)]
    await own.close()
    for (const client of [connected, early])
      expect(await client.closed).toEqual({ code: 1001, reason: 'the broker is shutting down' })
  })

  test('4500 send limit exceeded', async () => {
    const own = await start({ sendBudget: 128 * 1024, maxBody: 100_000, maxFrame: 128 * 1024 })
    const [frozen, sender] = [await RawClient.connected(own), await RawClient.connected(own)]
    const destination = fresh('topic')
    await frozen.request('SUBSCRIBE', { id: 's', destination })
    frozen.pause()
    const body = Buffer.alloc(100_000, 'x')
    while (own.broker.stats.slowConsumers === 0) await sender.request('SEND', { destination }, body)
    frozen.resume()
    const { error, close } = await frozen.refusal()
    expectError(error, 'send limit exceeded')
    expect(error.body.toString()).toContain('send-budget')
    expect(close.code).toBe(4500)
    await sender.sync()
  })
})

describe('4.11 DISCONNECT', () => {
  test('process, send the RECEIPT: all that came before is in', async () => {
    const [client, destination] = [await RawClient.connected(broker), fresh('queue')]
    client.raw(
      Buffer.concat([
        frame('SEND', { destination }, '1'),
        frame('SEND', { destination }, '2'),
        frame('DISCONNECT', { receipt: 'bye' }),
        frame('SEND', { destination }, '3'),
      ]),
    )
    expect((await client.next()).lines).toEqual(['receipt-id:bye'])
    expect(await look(broker, destination)).toEqual(['1', '2'])
  })

  test('close 1000 after 5 s, and not before', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    const own = await start({})
    const [client, other] = [await RawClient.connected(own), await RawClient.connected(own)]
    await client.request('DISCONNECT')
    vi.advanceTimersByTime(4750)
    for (let round = 0; round < 5; round++) await other.sync()
    expect(client.socket.readyState).toBe(client.socket.OPEN)
    vi.advanceTimersByTime(500)
    expect((await client.closed).code).toBe(1000)
  })

  test('or when the client closes', async () => {
    const client = await RawClient.connected(broker)
    await client.request('DISCONNECT')
    client.socket.close(1000)
    expect((await client.closed).code).toBe(1000)
  })

  test('the receipt is not lost: onDisconnect of stompjs fires, before its socket closes', async ({
    house,
  }) => {
    const [transport] = transports
    if (transport === undefined) throw new Error('no transport')
    const peer = await house.peer(transport, await house.broker())
    await peer.client.deactivate()
    expect((await peer.disconnects.take()).command).toBe('RECEIPT')
    await peer.closes.take()
    expect(peer.order).toEqual(['connect', 'disconnect', 'close'])
  })
})
