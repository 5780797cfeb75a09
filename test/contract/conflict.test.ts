import { afterAll, beforeAll, describe, expect } from 'vitest'
import { fresh, ownBrokers, startBroker, type TestBroker } from '../helpers/broker.ts'
import { RawClient } from '../helpers/client.ts'
import { test } from '../helpers/fixtures.ts'
import { transports } from '../helpers/stompjs.ts'

// The wire contract, 4.13: each row of the table where RabbitMQ, ActiveMQ and Spring differ, and what is ours.

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.close())

const start = ownBrokers()

/** A client with the subscription `s`. */
async function subscriber(
  destination: string,
  headers: Record<string, string> = {},
  on = broker,
  connect: Record<string, string> = {},
  version = '1.2',
): ReturnType<typeof RawClient.connected> {
  const client = await RawClient.connected(on, connect, version)
  await client.request('SUBSCRIBE', { id: 's', destination, ...headers })
  return client
}

async function send(destination: string, bodies: readonly string[] = [''], on = broker): Promise<void> {
  const client = await RawClient.connected(on)
  for (const body of bodies) await client.request('SEND', { destination }, body)
  client.destroy()
}

/** What arrived and nobody has taken, after a round trip: all that was sent before. */
async function arrived(client: RawClient): Promise<string[]> {
  await client.sync()
  return client.frames.splice(0).map(({ body }) => body.toString())
}

describe('4.13 /queue', () => {
  test('is a queue', async () => {
    const queue = fresh('queue')
    const clients = [await subscriber(queue), await subscriber(queue)]
    await send(queue, ['1', '2'])
    expect(await Promise.all(clients.map((client) => arrived(client)))).toEqual([['1'], ['2']])
  })

  test('broadcast: ["/queue/**"] mimics Spring', async () => {
    const own = await start({ broadcast: ['/queue/**'] })
    await send('/queue/a/b', ['nobody keeps it'], own)
    const clients = [await subscriber('/queue/a/b', {}, own), await subscriber('/queue/a/*', {}, own)]
    await send('/queue/a/b', ['to all'], own)
    for (const client of clients) {
      const message = await client.next('MESSAGE')
      expect(message.body.toString()).toBe('to all')
      expect(message.headers.destination).toBe('/queue/a/b')
    }
  })

  test('broadcast: other queues stay queues', async () => {
    const own = await start({ broadcast: ['/queue/news.*'] })
    const clients = [await RawClient.connected(own), await RawClient.connected(own)]
    for (const client of clients) {
      await client.request('SUBSCRIBE', { id: 'topic', destination: '/queue/news.eu' })
      await client.request('SUBSCRIBE', { id: 'queue', destination: '/queue/work' })
    }
    await send('/queue/news.eu', ['news'], own)
    await send('/queue/work', ['1', '2'], own)
    expect(await Promise.all(clients.map((client) => arrived(client)))).toEqual([
      ['news', '1'],
      ['news', '2'],
    ])
  })

  test.for([[], ['/queue/**']])('/user/queue/** is always per session (broadcast: %j)', async (broadcast) => {
    const own = await start({ broadcast })
    const destination = '/user/queue/x'
    const [alice, again, bob] = [
      await subscriber(destination, {}, own, { login: 'alice' }),
      await subscriber(destination, {}, own, { login: 'alice' }),
      await subscriber(destination, {}, own, { login: 'bob' }),
    ]
    await send('/user/alice/queue/x', ['hers'], own)
    await send('/queue/x', ['a queue`s'], own)
    expect(await arrived(alice)).toEqual(['hers'])
    expect(await arrived(again)).toEqual(['hers'])
    expect(await arrived(bob)).toEqual([])
  })
})

test.for(['/topic/conflict/a/b', '/queue/conflict/a/b'])(
  '4.13 slash in names: allowed (%s)',
  async (destination) => {
    const client = await subscriber(destination)
    await send(destination, ['it'])
    expect((await client.next('MESSAGE')).headers.destination).toBe(destination)
  },
)

test.for([
  ['/topic/w.*', '/topic/w.a'],
  ['/topic/w.#', '/topic/w.a.b'],
  ['/topic/w.>', '/topic/w.a.b'],
  ['/topic/w/*', '/topic/w/a'],
  ['/topic/w/**', '/topic/w/a/b'],
  ['/topic/w?', '/topic/wx'],
  ['/topic/w-*', '/topic/w-x'],
] as const)('4.13 wildcard letters: all (%s hears %s)', async ([pattern, name]) => {
  const client = await subscriber(pattern)
  await send('/topic/elsewhere', ['not it'])
  await send(name, ['it'])
  const message = await client.next('MESSAGE')
  expect([message.body.toString(), message.headers.destination]).toEqual(['it', name])
})

test('4.13 NACK: requeue, other consumer first, count, then dead-letter', async () => {
  const own = await start({ maxDeliveries: 3, redeliveryDelay: 1 })
  await send('/queue/nack', ['poison'], own)
  const clients = [
    await subscriber('/queue/nack', { ack: 'client-individual' }, own),
    await subscriber('/queue/nack', { ack: 'client-individual' }, own),
  ]
  // To one, to the other, and to the first again: each refusal is another consumer's turn.
  for (const [turn, count] of [
    [0, undefined],
    [1, '1'],
    [0, '2'],
  ] as const) {
    const client = clients[turn] as RawClient // there are two
    const message = await client.next('MESSAGE')
    expect(message.headers['delivery-count']).toBe(count)
    await client.request('NACK', { id: message.headers.ack ?? '' })
  }
  const dead = await (await subscriber('/queue/DLQ.nack', {}, own)).next('MESSAGE')
  expect(dead.body.toString()).toBe('poison')
  expect(dead.headers['dead-letter-reason']).toBe('max-deliveries')
  for (const client of clients) expect(await arrived(client)).toEqual([])
})

test.for([
  ['client', 32],
  ['client-individual', 32],
  ['auto', 40],
] as const)('4.13 prefetch default: 32 in client ack modes (%s: %i of 40)', async ([ack, count]) => {
  const queue = fresh('queue')
  await send(
    queue,
    Array.from({ length: 40 }, (_, index) => String(index)),
  )
  const client = await subscriber(queue, { ack })
  expect(await arrived(client)).toHaveLength(count)
})

test('4.13 redelivered: always on queues, and on queues only', async () => {
  const [queue, topic] = [fresh('queue'), fresh('topic')]
  const client = await subscriber(queue, { ack: 'client' })
  await client.request('SUBSCRIBE', { id: 't', destination: topic })
  await client.request('SEND', { destination: queue, redelivered: 'maybe' })
  const first = await client.next('MESSAGE')
  expect(first.lines.filter((line) => line.startsWith('redelivered:'))).toEqual(['redelivered:false'])
  await client.request('NACK', { id: first.headers.ack ?? '' })
  expect((await client.next('MESSAGE')).lines).toContain('redelivered:true')
  await client.request('SEND', { destination: topic })
  expect((await client.next('MESSAGE')).headers).not.toHaveProperty('redelivered')
})

describe('4.13 ERROR then close', () => {
  test('yes', async () => {
    const client = await RawClient.connected(broker)
    client.send('SUBSCRIBE', { id: 's', destination: '/queue/>' })
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe('unsupported destination')
    expect(close.code).toBe(1008)
  })

  test('frame-scoped only by opt-in', async () => {
    const client = await RawClient.connected(broker, { 'x-error-scope': 'frame' })
    client.send('SUBSCRIBE', { id: 's', destination: '/queue/>' })
    expect((await client.next('ERROR')).headers.message).toBe('unsupported destination')
    expect(await arrived(client)).toEqual([])
  })
})

test('4.13 ERROR receipt-id: yes', async () => {
  const client = await RawClient.connected(broker)
  client.send('SEND', { destination: '/topic/>', receipt: 'the-receipt' })
  expect((await client.refusal()).error.headers['receipt-id']).toBe('the-receipt')
})

test.for(['auto', 'client'])('4.13 SUBSCRIBE receipt: yes, before first delivery (%s)', async (ack) => {
  const queue = fresh('queue')
  await send(queue, ['1', '2', '3'])
  const client = await RawClient.connected(broker)
  client.send('SUBSCRIBE', { id: 's', destination: queue, ack, receipt: 'r' })
  expect((await client.next()).lines).toEqual(['receipt-id:r'])
  expect(await client.bodies(3)).toEqual(['1', '2', '3'])
})

test.for([
  ['4000,5001', '5001,4000'],
  ['0,0', '0,0'],
  ['1500,0', '0,1500'],
  ['999,60001', '60000,1000'],
] as const)('4.13 heart-beat answer: mirror within a window, ms (%s: %s)', async ([sent, answer]) => {
  const { session } = await RawClient.connected(broker, { 'heart-beat': sent })
  expect(session.headers['heart-beat']).toBe(answer)
})

describe('4.13 host', () => {
  test.for(['localhost', '/', 'nowhere.example', '/staging', ''])('ignored (%j)', async (host) => {
    const { session } = await RawClient.connected(broker, { host })
    expect(session.headers.version).toBe('1.2')
  })

  test('missing: ignored', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.send('CONNECT', { 'accept-version': '1.2' })
    await client.next('CONNECTED')
  })

  test('warn if it looks like a vhost', async () => {
    const own = await start({})
    const { warnings } = own
    await RawClient.connected(own, { host: 'localhost' })
    await RawClient.connected(own, { host: '127.0.0.1' })
    expect(warnings).toEqual([])
    await RawClient.connected(own, { host: '/staging' })
    await RawClient.connected(own, { host: '/staging' })
    expect(warnings).toEqual([expect.stringContaining('/staging')])
  })
})

test('4.13 accept-version missing: 1.0', async () => {
  const client = await RawClient.webSocket(broker.webSocketUrl)
  client.send('CONNECT', { login: 'me' })
  expect((await client.next('CONNECTED')).headers.version).toBe('1.0')
})

test('4.13 subprotocol none: fine', async () => {
  const client = await RawClient.webSocket(broker.webSocketUrl, [])
  expect(client.socket.protocol).toBe('')
  client.send('CONNECT', { 'accept-version': '1.2' })
  expect((await client.next('CONNECTED')).headers.version).toBe('1.2')
  await client.sync()
})

test.for(['/ws', '/stomp'])('4.13 SockJS on P: both on P (%s)', async (path) => {
  const url = `127.0.0.1:${broker.port}${path}`
  const client = await RawClient.webSocket(`ws://${url}`)
  client.send('CONNECT', { 'accept-version': '1.2' })
  await client.next('CONNECTED')
  const greeting = await fetch(`http://${url}`)
  expect(await greeting.text()).toBe('Welcome to SockJS!\n')
  const info = (await (await fetch(`http://${url}/info`)).json()) as { websocket: boolean }
  expect(info.websocket).toBe(true)
  const opened = await fetch(`http://${url}/000/${path.slice(1)}/xhr`, { method: 'POST' })
  expect(await opened.text()).toBe('o\n')
})

test('4.13 extra LF after NUL: no', async () => {
  const topic = fresh('topic')
  const client = await subscriber(topic)
  await client.request('SEND', { destination: topic }, 'it')
  client.send('SEND', { destination: '/topic/>' })
  await client.closed
  expect(client.frames.map(({ command }) => command)).toEqual(['MESSAGE', 'ERROR'])
  // CONNECTED, two RECEIPTs, MESSAGE and ERROR: one WebSocket message each, which ends with the NUL.
  expect(client.messages.map(({ data }) => data.at(-1))).toEqual([0, 0, 0, 0, 0])
  expect(client.messages.map(({ data }) => data.indexOf(0) + 1)).toEqual(
    client.messages.map(({ data }) => data.length),
  )
  expect(client.heartbeats).toBe(0)
})

test.for([
  ['', '0'],
  ['text', '4'],
  ['ü😀', '6'],
] as const)('4.13 content-length out: always (%j)', async ([body, length]) => {
  for (const destination of [fresh('topic'), fresh('queue')]) {
    const client = await subscriber(destination)
    await client.request('SEND', { destination }, body)
    const message = await client.next('MESSAGE')
    expect(message.lines.filter((line) => line.startsWith('content-length:'))).toEqual([
      `content-length:${length}`,
    ])
  }
})

test('4.13 text/binary: per message', async () => {
  const topic = fresh('topic')
  const client = await subscriber(topic)
  const sent = [Buffer.from('text'), Buffer.from([0xff, 0xfe]), Buffer.from('ü😀'), Buffer.from([0x80])]
  for (const body of sent) client.send('SEND', { destination: topic }, body)
  expect((await client.take(4)).map(({ body }) => body)).toEqual(sent)
  expect(client.messages.slice(-4).map(({ binary }) => binary)).toEqual([false, true, false, true])
})

test('4.13 MESSAGE copies the sender`s headers: all but the stripped list in 4.7', async () => {
  const topic = fresh('topic')
  const client = await subscriber(topic)
  await client.request('BEGIN', { transaction: 't' })
  const kept = {
    'content-type': 'application/json',
    custom: 'kept',
    'X-Custom': 'kept too',
    'x-stream-filter': 'kept',
    persistent: 'true',
    'correlation-id': '7',
    priority: '4',
    'reply-to': '/queue/answers',
    type: 'order',
    empty: '',
  }
  const stripped = {
    receipt: 'r',
    transaction: 't',
    ack: 'forged',
    subscription: 'forged',
    'message-id': 'forged',
    redelivered: 'true',
    session: 'forged',
    login: 'me',
    passcode: 'hunter2',
    'x-stream-offset': 'first',
    'x-max-length': '1',
  }
  client.send('SEND', { ...stripped, ...kept, destination: topic, 'content-length': '2' }, '{}')
  await client.receipt('r')
  await client.request('COMMIT', { transaction: 't' })
  const message = await client.next('MESSAGE')
  expect(message.headers['message-id']).not.toBe('forged')
  const lines = message.lines.filter((line) => !line.startsWith('message-id:'))
  expect(lines).toHaveLength(message.lines.length - 1)
  expect([...lines].sort()).toEqual(
    [
      'subscription:s',
      `destination:${topic}`,
      'content-length:2',
      ...Object.entries(kept).map(([name, value]) => `${name}:${value}`),
    ].sort(),
  )
})

test.for(['false', 'no', ''])(
  '4.13 MESSAGE copies the sender`s headers: persistent kept only if true (%j)',
  async (persistent) => {
    const topic = fresh('topic')
    const client = await subscriber(topic)
    await client.request('SEND', { destination: topic, persistent })
    expect((await client.next('MESSAGE')).headers).not.toHaveProperty('persistent')
  },
)

describe('4.13 unknown destination', () => {
  test('topic', async () => {
    const clients = [await subscriber('/unknown/x'), await subscriber('/unknown/x')]
    await send('/unknown/x', ['to all'])
    for (const client of clients) expect(await client.bodies(1)).toEqual(['to all'])
  })

  test('or ERROR in strict mode', async () => {
    const own = await start({ strict: true })
    for (const [command, headers] of [
      ['SEND', {}],
      ['SUBSCRIBE', { id: 's' }],
    ] as const) {
      const client = await RawClient.connected(own)
      client.send(command, { ...headers, destination: '/unknown/x' })
      const { error } = await client.refusal()
      expect(error.headers.message).toBe('unsupported destination')
      expect(error.body.toString()).toContain('"/unknown/x"')
    }
    // What is known works.
    for (const destination of [
      '/topic/x',
      '/queue/x',
      'bare',
      '/exchange/logs/x',
      '/amq/queue/y',
      '/user/queue/x',
    ])
      await (await subscriber(destination, {}, own)).sync()
  })
})

describe('4.13 durable key', () => {
  test.for([
    ['durable:<name>', { durable: 'news' }, {}],
    ['RabbitMQ`s durable:true, by id and destination', { id: 'mine', durable: 'true' }, {}],
    [
      'RabbitMQ`s durable:true with auto-delete:false',
      { id: 'mine', durable: 'true', 'auto-delete': 'false' },
      {},
    ],
    ['RabbitMQ`s persistent:true', { id: 'mine', persistent: 'true' }, {}],
    ['ActiveMQ`s activemq.subscriptionName', { 'activemq.subscriptionName': 'news' }, { 'client-id': 'me' }],
    ['Artemis` durable-subscription-name', { 'durable-subscription-name': 'news' }, { 'client-id': 'me' }],
  ] as const)('%s: what comes while it is away is kept', async ([name, headers, connect]) => {
    const login = { login: `durable ${name.replace(/[^a-z]/gi, ' ')}`, ...connect }
    const topic = fresh('topic')
    const first = await subscriber(topic, headers, broker, login)
    await send(topic, ['1'])
    expect(await first.bodies(1)).toEqual(['1'])
    await first.request('DISCONNECT')
    await send(topic, ['2', '3'])
    const again = await subscriber(topic, headers, broker, login)
    expect(await again.bodies(2)).toEqual(['2', '3'])
    await send(topic, ['4'])
    expect(await again.bodies(1)).toEqual(['4'])
    // UNSUBSCRIBE with the same header ends it.
    await again.request('UNSUBSCRIBE', { id: 's', destination: topic, ...headers })
    await send(topic, ['5'])
    const afterwards = await subscriber(topic, headers, broker, login)
    await send(topic, ['6'])
    expect(await afterwards.bodies(1)).toEqual(['6'])
  })

  test('the aliases of a name are the same name', async () => {
    const topic = fresh('topic')
    const login = { login: 'durable aliases', 'client-id': 'me' }
    const first = await subscriber(topic, { durable: 'same' }, broker, login)
    await first.request('DISCONNECT')
    const names = [
      'activemq.subscriptionName',
      'durable-subscription-name',
      'durable-subscriber-name',
      'durable',
    ]
    for (const name of names) {
      await send(topic, [name])
      const client = await subscriber(topic, { [name]: 'same' }, broker, login)
      expect(await client.bodies(1)).toEqual([name])
      await client.request('DISCONNECT')
    }
  })

  test.for([
    ['another login', { login: 'durable other', 'client-id': 'one' }],
    ['another client-id', { login: 'durable owner', 'client-id': 'other' }],
  ] as const)('one name of %s is another subscription', async ([, connect]) => {
    const topic = fresh('topic')
    const headers = { durable: topic }
    const owner = { login: 'durable owner', 'client-id': 'one' }
    await (await subscriber(topic, headers, broker, owner)).request('DISCONNECT')
    await send(topic, ['kept'])
    const other = await subscriber(topic, headers, broker, connect)
    expect(await arrived(other)).toEqual([])
    expect(await (await subscriber(topic, headers, broker, owner)).bodies(1)).toEqual(['kept'])
  })
})

test('4.13 session in CONNECTED: opaque, always', async () => {
  const sessions = [
    await RawClient.connected(broker, {}, '1.2'),
    await RawClient.connected(broker, { login: 'me', 'client-id': 'mine' }, '1.1'),
    await RawClient.connected(broker, {}, '1.0'),
  ].map(({ session }) => session.headers.session)
  for (const session of sessions) expect(session).toMatch(/^[\w-]{8,}$/)
  expect(new Set(sessions).size).toBe(3)
  expect(sessions.join()).not.toMatch(/mine/)
})

test('4.13 user-name: if authenticated', async () => {
  expect((await RawClient.connected(broker, { login: 'alice' })).session.headers['user-name']).toBe('alice')
  expect((await RawClient.connected(broker)).session.headers).not.toHaveProperty('user-name')
})

describe('4.13 ACK/NACK: settled id / never-issued id', () => {
  test.for(['ACK', 'NACK'])('%s of a settled id: ignored', async (command) => {
    const queue = fresh('queue')
    await send(queue)
    const client = await subscriber(queue, { ack: 'client' })
    const id = (await client.next('MESSAGE')).headers.ack ?? ''
    await client.request('ACK', { id })
    await client.request(command, { id })
    expect(await arrived(client)).toEqual([])
  })

  test.for(['ACK', 'NACK'])('%s of a never-issued id: ERROR and close', async (command) => {
    const client = await subscriber(fresh('queue'), { ack: 'client' })
    client.send(command, { id: 'never-issued' })
    const { error, close } = await client.refusal()
    expect([error.headers.message, close.code]).toEqual(['unknown ack id', 1002])
  })
})

test.for([
  ['ABORT', ['1', '2']],
  ['COMMIT', ['2']],
] as const)('4.13 ACK inside transaction: yes (%s)', async ([end, left]) => {
  const queue = fresh('queue')
  await send(queue, ['1', '2'])
  const client = await subscriber(queue, { ack: 'client-individual' })
  const [first] = await client.take(2)
  await client.request('BEGIN', { transaction: 't' })
  await client.request('ACK', { id: first?.headers.ack ?? '', transaction: 't' })
  await client.request(end, { transaction: 't' })
  await client.request('UNSUBSCRIBE', { id: 's' })
  const next = await subscriber(queue)
  expect(await arrived(next)).toEqual(left)
})

describe('4.13 DISCONNECT receipt over WS', () => {
  test('sent, then close', async () => {
    const client = await RawClient.connected(broker)
    client.send('DISCONNECT', { receipt: 'bye' })
    expect((await client.next()).lines).toEqual(['receipt-id:bye'])
    client.socket.close(1000)
    expect((await client.closed).code).toBe(1000)
    expect(client.frames).toEqual([])
  })

  test('sent, then close: as stompjs sees it', async ({ house }) => {
    const [transport] = transports
    if (transport === undefined) throw new Error('no transport')
    const peer = await house.peer(transport, await house.broker())
    await peer.client.deactivate()
    await peer.closes.take()
    expect(peer.order).toEqual(['connect', 'disconnect', 'close'])
  })
})
