import { Client, type IMessage } from '@stomp/stompjs'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import type { AppMessage, AppRules } from '../../broker/core/app.ts'
import { fresh, ownBrokers, startBroker, type TestBroker } from '../helpers/broker.ts'
import { look, RawClient, type RawFrame } from '../helpers/client.ts'
import { test } from '../helpers/fixtures.ts'
import { Inbox, transports } from '../helpers/stompjs.ts'

// The wire contract, 4.12, line by line.

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
  login?: string,
): ReturnType<typeof RawClient.connected> {
  const client = await RawClient.connected(on, login === undefined ? {} : { login })
  await client.request('SUBSCRIBE', { id: 's', destination, ...headers })
  return client
}

async function send(destination: string, body = '', on = broker): Promise<void> {
  const client = await RawClient.connected(on)
  await client.request('SEND', { destination }, body)
  client.destroy()
}

/** What arrived and nobody has taken, after a round trip: all that was sent before. */
async function arrived(client: RawClient): Promise<string[]> {
  await client.sync()
  return client.frames.splice(0).map(({ body }) => body.toString())
}

/** A refused frame of a client of its own. */
async function refused(
  command: string,
  headers: Record<string, string>,
  on = broker,
): Promise<{ message: string | undefined; body: string; code: number }> {
  const client = await RawClient.connected(on)
  client.send(command, headers)
  const { error, close } = await client.refusal()
  return { message: error.headers.message, body: error.body.toString(), code: close.code }
}

describe('4.12 plain topic', () => {
  test.for(['/topic/x', '/topic/a/b', '/topic/a.b', '/topic/a, b', '/topic/ü/😀'])(
    '%s: broadcast',
    async (destination) => {
      const clients = [await subscriber(destination), await subscriber(destination)]
      const sender = await subscriber(destination)
      await sender.request('SEND', { destination }, 'to all')
      for (const client of [...clients, sender]) {
        const message = await client.next('MESSAGE')
        expect(message.lines).toEqual([
          'subscription:s',
          expect.stringMatching(/^message-id:[\w-]+$/),
          `destination:${destination}`,
          'content-length:6',
        ])
        expect(await arrived(client)).toEqual([])
        client.destroy()
      }
    },
  )

  test('exact string match, so /topic/a/b and /topic/a.b are different names', async () => {
    const names = [
      '/topic/e/f',
      '/topic/e.f',
      '/topic/e/F',
      '/topic/e/f/',
      '/topic/e%2Ff',
      '/topic/e',
      '/topic/e/f ',
    ]
    const client = await RawClient.connected(broker)
    for (const name of names) await client.request('SUBSCRIBE', { id: name, destination: name })
    for (const name of names) await client.request('SEND', { destination: name })
    const frames = await client.take(names.length)
    expect(frames.map(({ headers }) => [headers.subscription, headers.destination])).toEqual(
      names.map((name) => [name, name]),
    )
    expect(await arrived(client)).toEqual([])
  })
})

describe('4.12 plain queue', () => {
  const forms = [
    ['/queue/x', (name: string) => `/queue/${name}`],
    ['bare x', (name: string) => name],
    ['/amq/queue/x', (name: string) => `/amq/queue/${name}`],
  ] as const

  for (const [sent, toSend] of forms) {
    for (const [subscribed, toSubscribe] of forms) {
      test(`SEND to ${sent}, SUBSCRIBE to ${subscribed}: the same, MESSAGE shows /queue/x`, async () => {
        const name = fresh('queue').slice('/queue/'.length)
        await send(toSend(name), 'before')
        const client = await subscriber(toSubscribe(name))
        await send(toSend(name), 'after')
        for (const body of ['before', 'after']) {
          const message = await client.next('MESSAGE')
          expect(message.body.toString()).toBe(body)
          expect(message.headers.destination).toBe(`/queue/${name}`)
        }
      })
    }
  }

  test('one consumer per message', async () => {
    const name = fresh('queue').slice('/queue/'.length)
    const clients = [
      await subscriber(`/queue/${name}`),
      await subscriber(name),
      await subscriber(`/amq/queue/${name}`),
    ]
    for (const body of ['1', '2', '3', '4', '5', '6']) await send(name, body)
    const taken = await Promise.all(clients.map((client) => arrived(client)))
    expect(taken.map(({ length }) => length)).toEqual([2, 2, 2])
    expect(taken.flat().sort()).toEqual(['1', '2', '3', '4', '5', '6'])
  })
})

describe('4.12 unknown prefix', () => {
  test.for(['/sub/room/1', '/chat/x', '/pub', '/chatroom.1', '/topics/x', '/queues/x'])(
    '%s is a topic',
    async (destination) => {
      await send(destination, 'nobody keeps it')
      const clients = [await subscriber(destination), await subscriber(destination)]
      await send(destination, 'to all')
      for (const client of clients) {
        const message = await client.next('MESSAGE')
        expect(message.body.toString()).toBe('to all')
        expect(message.headers).toMatchObject({ destination })
        expect(message.headers).not.toHaveProperty('redelivered')
      }
    },
  )

  test('its wildcards are those of topics', async () => {
    const client = await subscriber('/sub/room/*')
    for (const name of ['/sub/room/1', '/sub/room/1/2', '/sub/other/1']) await send(name, name)
    expect(await arrived(client)).toEqual(['/sub/room/1'])
  })
})

describe('4.12 RabbitMQ exchanges', () => {
  test.for([
    ['/exchange/amq.topic/rabbit.a', '/topic/rabbit.a'],
    ['/topic/rabbit.a', '/exchange/amq.topic/rabbit.a'],
    ['/exchange/amq.topic/rabbit.a', '/exchange/amq.topic/rabbit.a'],
    ['/exchange/amq.topic/rabbit.a', '/exchange/amq.topic/rabbit.*'],
    ['/exchange/amq.topic/rabbit.a', '/topic/rabbit.#'],
  ] as const)(
    '/exchange/amq.topic/<key> is an alias of /topic/<key>: SEND %s, SUBSCRIBE %s',
    async ([sent, subscribed]) => {
      const client = await subscriber(subscribed)
      await send('/topic/other', 'other')
      await send(sent, 'it')
      const message = await client.next('MESSAGE')
      expect(message.body.toString()).toBe('it')
      expect(message.headers.destination).toBe('/topic/rabbit.a')
    },
  )

  test('/exchange/amq.direct/<key> is exact routing', async () => {
    const client = await subscriber('/exchange/amq.direct/key.one')
    await send('/topic/key.one', 'topic')
    await send('/exchange/amq.topic/key.one', 'topic exchange')
    await send('/exchange/amq.direct/key', 'shorter')
    await send('/exchange/amq.direct/key.one.more', 'longer')
    await send('/exchange/amq.direct/key.one', 'it')
    const message = await client.next('MESSAGE')
    expect(message.body.toString()).toBe('it')
    expect(message.headers.destination).toBe('/exchange/amq.direct/key.one')
    expect(await arrived(client)).toEqual([])
  })

  test('/exchange/amq.direct/<key> has no wildcards', async () => {
    expect(await refused('SUBSCRIBE', { id: 's', destination: '/exchange/amq.direct/key.*' })).toMatchObject({
      message: 'unsupported destination',
      body: expect.stringContaining('/exchange/amq.direct/key.*') as string,
    })
  })

  test('/exchange/<name>/<key>: <name> is a prefix, literal', async () => {
    const client = await subscriber('/exchange/logs/eu.warn')
    for (const name of [
      '/exchange/log/eu.warn',
      '/exchange/logs2/eu.warn',
      '/exchange/logs/eu',
      '/exchange/logs',
      '/topic/eu.warn',
      '/exchange/logs/eu.warn',
    ])
      await send(name, name)
    const message = await client.next('MESSAGE')
    expect(message.headers.destination).toBe('/exchange/logs/eu.warn')
    expect(await arrived(client)).toEqual([])
  })

  test('/exchange/<name> is the exchange without a key', async () => {
    const client = await subscriber('/exchange/bare')
    await send('/exchange/bare/key', 'with a key')
    await send('/exchange/bare', 'without')
    expect(await client.bodies(1)).toEqual(['without'])
  })

  test('/exchange/amq.fanout goes to all of its subscribers, whatever the key', async () => {
    const clients = [
      await subscriber('/exchange/amq.fanout'),
      await subscriber('/exchange/amq.fanout/one'),
      await subscriber('/exchange/amq.fanout/other'),
    ]
    await send('/exchange/amq.fanout/one', 'it')
    for (const client of clients) expect(await client.bodies(1)).toEqual(['it'])
  })

  test.for(['/exchange', '/exchange/', '/exchange//key', '/amq/queue/', '/amq/other/x'])(
    '%s is none',
    async (destination) => {
      for (const headers of [{ destination }, { destination, id: 's' }]) {
        const { message } = await refused('id' in headers ? 'SUBSCRIBE' : 'SEND', headers)
        expect(message).toMatch(/^(invalid|unsupported) destination$/)
      }
    },
  )
})

/** A client that asked `service` something, the address under which it is to be answered, and who was asked. */
async function asked(
  replyTo = '/temp-queue/n',
): Promise<{ asker: RawClient; service: RawClient; address: string }> {
  const destination = fresh('queue')
  const service = await subscriber(destination)
  const asker = await RawClient.connected(broker)
  await asker.request('SEND', { destination, 'reply-to': replyTo, 'correlation-id': '7' }, 'question')
  const { headers } = await service.next('MESSAGE')
  expect(headers['correlation-id']).toBe('7')
  return { asker, service, address: headers['reply-to'] ?? 'none' }
}

describe('4.12 reply queues', () => {
  test('reply-to:/temp-queue/n is made for the connection, and delivered to the sender with subscription:/temp-queue/n', async () => {
    const { asker, service, address } = await asked()
    await service.request('SEND', { destination: address, 'correlation-id': '7' }, 'answer')
    const answer = await asker.next('MESSAGE')
    expect(answer.body.toString()).toBe('answer')
    expect(answer.lines).toEqual([
      'subscription:/temp-queue/n',
      'redelivered:false',
      expect.stringMatching(/^message-id:[\w.-]+$/),
      `destination:${address}`,
      'correlation-id:7',
      'content-length:6',
    ])
    await service.request('SEND', { destination: address }, 'another')
    expect(await asker.bodies(1)).toEqual(['another'])
  })

  test('let it SUBSCRIBE /temp-queue/n too: first', async () => {
    const [destination, asker] = [fresh('queue'), await subscriber('/temp-queue/n', { ack: 'client' })]
    const service = await subscriber(destination)
    await asker.request('SEND', { destination, 'reply-to': '/temp-queue/n' })
    const { headers } = await service.next('MESSAGE')
    await service.request('SEND', { destination: headers['reply-to'] ?? '' }, 'answer')
    const answer = await asker.next('MESSAGE')
    expect(answer.headers.subscription).toBe('s')
    await asker.request('ACK', { id: answer.headers.ack ?? '' })
    expect(await arrived(asker)).toEqual([])
  })

  test('let it SUBSCRIBE /temp-queue/n too: afterwards, and no second copy comes', async () => {
    const { asker, service, address } = await asked()
    await service.request('SEND', { destination: address }, 'automatic')
    expect((await asker.next('MESSAGE')).headers.subscription).toBe('/temp-queue/n')
    await asker.request('SUBSCRIBE', { id: 'mine', destination: '/temp-queue/n' })
    await service.request('SEND', { destination: address }, 'asked for')
    const message = await asker.next('MESSAGE')
    expect(message.headers.subscription).toBe('mine')
    expect(message.body.toString()).toBe('asked for')
    expect(await arrived(asker)).toEqual([])
  })

  test('several of a connection are apart, and the same is the same', async () => {
    const destination = fresh('queue')
    const service = await subscriber(destination)
    const asker = await RawClient.connected(broker)
    for (const name of ['one', 'other', 'one'])
      await asker.request('SEND', { destination, 'reply-to': `/temp-queue/${name}` })
    const [one, other, again] = (await service.take(3)).map(({ headers }) => headers['reply-to'] ?? '')
    expect(again).toBe(one)
    expect(other).not.toBe(one)
    await service.request('SEND', { destination: other ?? '' })
    expect((await asker.next('MESSAGE')).headers.subscription).toBe('/temp-queue/other')
    await service.request('SEND', { destination: one ?? '' })
    expect((await asker.next('MESSAGE')).headers.subscription).toBe('/temp-queue/one')
    expect(await arrived(asker)).toEqual([])
  })

  test('the peer is shown an address it can SEND to (/reply-queue/<id>), unguessable', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => asked()))
    const addresses = all.map(({ address }) => address)
    expect(new Set(addresses).size).toBe(10)
    for (const address of addresses) expect(address).toMatch(/^\/reply-queue\/[\w-]{16,}$/)
    // Nothing that others see of a session leads to it.
    const { session } = await RawClient.connected(broker)
    expect(session.headers.session).toBeDefined()
    for (const address of addresses) expect(session.lines.join('\n')).not.toContain(address.slice(13))
    await Promise.all(
      all.map(({ service, address }) => service.request('SEND', { destination: address }, address)),
    )
    for (const { asker, address } of all) expect(await asker.bodies(1)).toEqual([address])
  })

  test('the reply may be sent by anybody who knows the address, also in a transaction', async () => {
    const { asker, address } = await asked()
    const other = await RawClient.connected(broker)
    await other.request('BEGIN', { transaction: 't' })
    await other.request('SEND', { destination: address, transaction: 't' }, 'answer')
    await other.request('COMMIT', { transaction: 't' })
    expect(await asker.bodies(1)).toEqual(['answer'])
  })

  test('a reply address that is no temporary one is shown as it is', async () => {
    const addresses = ['/queue/x', '/topic/x', '/reply-queue/x', 'bare', '/remote-temp-queue/x']
    const destination = fresh('topic')
    const client = await subscriber(destination)
    for (const replyTo of addresses) await client.request('SEND', { destination, 'reply-to': replyTo })
    expect((await client.take(addresses.length)).map(({ headers }) => headers['reply-to'])).toEqual(addresses)
  })

  test.for([
    ['the address', (address: string) => ({ destination: address })],
    [
      'its remote name',
      (address: string) => ({ destination: address.replace('/reply-queue/', '/remote-temp-queue/') }),
    ],
    ['the address, to look at', (address: string) => ({ destination: address, browser: 'true' })],
    [
      'the address behind a topic',
      (address: string) => ({ destination: '/topic/x', 'x-queue-name': address }),
    ],
    ['the address, kept', (address: string) => ({ destination: address, durable: 'spy' })],
    ['a guess', () => ({ destination: '/reply-queue/guess' })],
    ['a pattern', () => ({ destination: '/reply-queue/*' })],
    ['a pattern of the remote name', () => ({ destination: '/remote-temp-queue/**' })],
    ['a pattern of the own name', () => ({ destination: '/temp-queue/*' })],
  ] as const)('another`s cannot be read: SUBSCRIBE to %s is an ERROR', async ([, headers]) => {
    const { asker, service, address } = await asked()
    const { message, code } = await refused('SUBSCRIBE', { id: 's', ...headers(address) })
    expect(message).toMatch(/^(unsupported destination|invalid header)$/)
    expect([1002, 1008]).toContain(code)
    await service.request('SEND', { destination: address }, 'answer')
    expect(await asker.bodies(1)).toEqual(['answer'])
  })

  test('another`s cannot be read: the same /temp-queue/n is each client`s own', async () => {
    const { asker, service, address } = await asked('/temp-queue/same')
    const thief = await subscriber('/temp-queue/same')
    await service.request('SEND', { destination: address }, 'answer')
    expect(await asker.bodies(1)).toEqual(['answer'])
    await thief.request('SEND', { destination: '/temp-queue/same' }, 'own')
    expect(await thief.bodies(1)).toEqual(['own'])
    expect(await arrived(asker)).toEqual([])
  })

  test('gone with the connection: a reply to it is dropped and counted, its receipt comes', async () => {
    const { asker, service, address } = await asked()
    await asker.request('DISCONNECT')
    const { unroutable } = broker.broker.stats
    await service.request('SEND', { destination: address }, 'too late')
    expect(broker.broker.stats.unroutable).toBe(unroutable + 1)
    // Nor does the next client that asks by the same name get it.
    const next = await subscriber('/temp-queue/n')
    expect(await arrived(next)).toEqual([])
  })

  test('request and reply between two stompjs clients, by onUnhandledMessage', async ({ house }) => {
    const own = await house.broker()
    const [transport] = transports
    if (transport === undefined) throw new Error('no transport')
    const replies = new Inbox<IMessage>()
    const asker = await house.peer(transport, own, { onUnhandledMessage: replies.put })
    const service = await house.peer(transport, own)
    const questions = await service.subscribe('/queue/add', { ack: 'client-individual' })
    for (const [id, body] of [
      ['1', '2+3'],
      ['2', '4+5'],
    ] as const) {
      const headers = { 'reply-to': '/temp-queue/sums', 'correlation-id': id }
      asker.client.publish({ destination: '/queue/add', body, headers })
    }
    for (const question of await questions.takeAll(2)) {
      const [one = 0, other = 0] = question.body.split('+').map(Number)
      service.client.publish({
        destination: question.headers['reply-to'] ?? '',
        body: String(one + other),
        headers: { 'correlation-id': question.headers['correlation-id'] ?? '' },
      })
      question.ack()
    }
    const answers = await replies.takeAll(2)
    expect(
      answers.map(({ body, headers }) => [headers['subscription'], headers['correlation-id'], body]),
    ).toEqual([
      ['/temp-queue/sums', '1', '5'],
      ['/temp-queue/sums', '2', '9'],
    ])
  })

  test('request and reply between two stompjs clients, by a subscription', async ({ house }) => {
    const own = await house.broker()
    const [transport] = transports
    if (transport === undefined) throw new Error('no transport')
    const strays = new Inbox<IMessage>()
    const [asker, service] = [
      await house.peer(transport, own, { onUnhandledMessage: strays.put }),
      await house.peer(transport, own),
    ]
    const replies = await asker.subscribe('/temp-queue/mine')
    const questions = await service.subscribe('/queue/echo')
    asker.client.publish({
      destination: '/queue/echo',
      body: 'hi',
      headers: { 'reply-to': '/temp-queue/mine' },
    })
    const question = await questions.take()
    await service.send(question.headers['reply-to'] ?? '', question.body.toUpperCase())
    expect((await replies.take()).body).toBe('HI')
    await asker.sync()
    expect([replies.size, strays.size]).toEqual([0, 0])
  })
})

describe('4.12 ActiveMQ', () => {
  test('/temp-topic/x: its maker may have several subscriptions, others may SEND to it', async () => {
    const { asker, service, address } = await asked('/temp-topic/x')
    expect(address).toMatch(/^\/remote-temp-topic\/[\w-]{16,}$/)
    // Unlike a reply queue it delivers to those who subscribed, and keeps nothing.
    await service.request('SEND', { destination: address }, 'nobody listens')
    for (const id of ['a', 'b']) await asker.request('SUBSCRIBE', { id, destination: '/temp-topic/x' })
    await service.request('SEND', { destination: address }, 'both')
    const messages = await asker.take(2)
    expect(messages.map(({ headers, body }) => [headers.subscription, body.toString()])).toEqual([
      ['a', 'both'],
      ['b', 'both'],
    ])
    for (const { headers } of messages) expect(headers.destination).toBe(address)
    expect(await arrived(asker)).toEqual([])
  })

  test('/temp-topic/x of another client is another', async () => {
    const [one, other] = [await subscriber('/temp-topic/x'), await subscriber('/temp-topic/x')]
    await one.request('SEND', { destination: '/temp-topic/x' }, 'own')
    expect(await one.bodies(1)).toEqual(['own'])
    expect(await arrived(other)).toEqual([])
  })

  test('/remote-temp-topic/<id> of another client cannot be subscribed to', async () => {
    const { address } = await asked('/temp-topic/x')
    for (const destination of [address, '/remote-temp-topic/guess', '/remote-temp-topic/*', '/temp-topic/*'])
      expect((await refused('SUBSCRIBE', { id: 's', destination })).message).toBe('unsupported destination')
  })

  test('/remote-temp-queue/<id> is /reply-queue/<id>', async () => {
    const { asker, service, address } = await asked()
    await service.request(
      'SEND',
      { destination: address.replace('/reply-queue/', '/remote-temp-queue/') },
      'answer',
    )
    const answer = await asker.next('MESSAGE')
    expect(answer.headers).toMatchObject({ subscription: '/temp-queue/n', destination: address })
  })

  test('/temp-queue/x: its maker sends to it and reads it', async () => {
    const client = await subscriber('/temp-queue/x')
    await client.request('SEND', { destination: '/temp-queue/x' }, 'own')
    expect(await client.bodies(1)).toEqual(['own'])
  })

  test('comma composites on SEND: each gets its copy, which shows its own destination', async () => {
    const [queue, topic] = [fresh('queue'), fresh('topic')]
    const client = await subscriber(topic)
    client.send('SEND', { destination: `${queue},${topic}`, receipt: 'once', custom: 'kept' }, 'both')
    await client.receipt('once')
    const message = await client.next('MESSAGE')
    expect(message.headers).toMatchObject({ destination: topic, custom: 'kept' })
    await client.request('SUBSCRIBE', { id: 'q', destination: queue })
    const other = await client.next('MESSAGE')
    expect(other.headers).toMatchObject({ destination: queue, custom: 'kept' })
    expect(other.headers['message-id']).not.toBe(message.headers['message-id'])
    expect([message, other].map(({ body }) => body.toString())).toEqual(['both', 'both'])
    expect(await arrived(client)).toEqual([])
  })

  test('comma composites on SEND: all or none', async () => {
    const queue = fresh('queue')
    expect((await refused('SEND', { destination: `${queue},/topic/*` })).message).toBe(
      'unsupported destination',
    )
    expect(await look(broker, queue)).toEqual([])
  })

  test('a comma without a slash behind it is part of the name', async () => {
    const destination = `${fresh('topic')},b`
    const client = await subscriber(destination)
    await send(destination, 'one')
    expect((await client.next('MESSAGE')).headers.destination).toBe(destination)
  })

  test('comma composites are not for SUBSCRIBE, which says so', async () => {
    const destination = `${fresh('topic')},${fresh('topic')}`
    expect(await refused('SUBSCRIBE', { id: 's', destination })).toMatchObject({
      message: 'unsupported destination',
      body: expect.stringContaining('SUBSCRIBE to each') as string,
    })
  })
})

/** Logins that are hard on addresses, and how a SEND writes them. */
const users = [
  ['alice', 'alice'],
  ['dept/alice', 'dept%2Falice'],
  ['dept/alice', 'dept%2falice'],
  ['~tilde', '%7Etilde'],
  ['~tilde', '~tilde'],
  ['50%', '50%25'],
  ['50%', '50%'],
  ['%2F', '%252F'],
  ['a"b\'c`d', 'a"b\'c`d'],
  ['a"b', 'a%22b'],
  ['white space', 'white space'],
  ['a:b@c.example', 'a\\cb@c.example'],
  ['a,b', 'a,b'],
  ['a.b.#', 'a.b.%23'],
  ['*', '%2A'],
  ['zoë 😀', 'zoë 😀'],
  ['queue', 'queue'],
  ['..', '..'],
  ['__proto__', '__proto__'],
] as const

describe('4.12 Spring user', () => {
  test.for(users)(
    'SEND /user/{name}/queue/x reaches every session of {name}, and MESSAGE shows /user/queue/x: %j as %j',
    async ([login, written]) => {
      const destination = '/user/queue/x'
      const sessions = [
        await subscriber(destination, {}, broker, login),
        await subscriber(destination, {}, broker, login),
      ]
      const others = [
        await subscriber(destination, {}, broker, `${login}x`),
        await subscriber(destination, {}, broker, 'bob'),
        await subscriber(destination),
      ]
      expect(sessions[0]?.session.lines).toContain(`user-name:${login}`)
      const sender = await RawClient.connected(broker)
      await sender.request('SEND', { destination: `/user/${written}/queue/x` }, 'for you')
      for (const session of sessions) {
        await session.sync()
        const message = session.frames.shift()
        expect(message?.body.toString()).toBe('for you')
        expect(message?.lines).toEqual([
          'subscription:s',
          expect.stringMatching(/^message-id:[\w-]+$/),
          'destination:/user/queue/x',
          'content-length:7',
        ])
      }
      for (const client of [...sessions, ...others]) {
        expect(await arrived(client)).toEqual([])
        client.destroy()
      }
    },
  )

  test('only the session`s own: another user, another destination, a session that logged in as nobody', async () => {
    const alice = await subscriber('/user/queue/own', {}, broker, 'alice')
    const bob = await subscriber('/user/queue/own', {}, broker, 'bob')
    const elsewhere = await subscriber('/user/queue/other', {}, broker, 'alice')
    const nobody = await subscriber('/user/queue/own')
    await send('/user/bob/queue/own', 'for bob')
    await send('/user/alice/queue/own', 'for alice')
    expect(await arrived(alice)).toEqual(['for alice'])
    expect(await arrived(bob)).toEqual(['for bob'])
    expect(await arrived(elsewhere)).toEqual([])
    expect(await arrived(nobody)).toEqual([])
  })

  test.for(['/user/topic/news', '/user/queue/a/b', '/user/queue/a.b', '/user/exchange/x', '/user/x'])(
    'any destination may stand behind it: %s',
    async (destination) => {
      const client = await subscriber(destination, {}, broker, 'carol')
      await send(destination.replace('/user', '/user/carol'), 'hers')
      expect((await client.next('MESSAGE')).headers.destination).toBe(destination)
    },
  )

  test.for([
    '/user/alice/queue/secret',
    '/user//alice/queue/secret',
    '/user/../alice/queue/secret',
    '/user/queue/../../alice/queue/secret',
    '/user/queue/secret%00',
    '/user/%61lice/queue/secret',
    '/topic/user/alice/queue/secret',
  ])('a user cannot read another`s: SUBSCRIBE %s hears nothing of it', async (destination) => {
    const alice = await subscriber('/user/queue/secret', {}, broker, 'alice')
    const thief = await subscriber(destination, {}, broker, 'mallory')
    await send('/user/alice/queue/secret', 'secret')
    expect(await alice.bodies(1)).toEqual(['secret'])
    expect(await arrived(thief)).toEqual([])
    alice.destroy()
    thief.destroy()
  })

  test.for([
    '/user/**',
    '/user/*/queue/secret',
    '/user/queue/*',
    '/user/alice/#',
    '/user/>',
    '/*/alice/queue/secret',
    '/user?/x',
  ])('a user cannot read another`s: SUBSCRIBE %s is an ERROR', async (destination) => {
    const { message } = await refused('SUBSCRIBE', { id: 's', destination })
    expect(message).toMatch(/^(unsupported|invalid) destination$/)
  })

  test('a user cannot read another`s by a name that looks like the address of a session', async () => {
    const destination = fresh('topic')
    const watcher = await subscriber(destination)
    const alice = await subscriber('/user/queue/x', {}, broker, 'alice')
    await alice.request('SEND', { destination, 'reply-to': '/user/queue/x' })
    const address = (await watcher.next('MESSAGE')).headers['reply-to'] ?? ''
    const [, alias = ''] = /^\/user\/(~[\w-]{16,})\/queue\/x$/.exec(address) ?? []
    expect(alias).not.toBe('')
    const thief = await subscriber('/user/queue/x', {}, broker, alias)
    await send(address, 'answer')
    expect(await alice.bodies(1)).toEqual(['answer'])
    expect(await arrived(thief)).toEqual([])
  })

  test('reply-to:/user/queue/x is answered to the session that wrote it, not to others of its user', async () => {
    const destination = fresh('topic')
    const watcher = await subscriber(destination)
    const [asker, other] = [
      await subscriber('/user/queue/answers', {}, broker, 'dora'),
      await subscriber('/user/queue/answers', {}, broker, 'dora'),
    ]
    await asker.request('SEND', { destination, 'reply-to': '/user/queue/answers' })
    await send((await watcher.next('MESSAGE')).headers['reply-to'] ?? '', 'answer')
    expect((await asker.next('MESSAGE')).headers.destination).toBe('/user/queue/answers')
    expect(await arrived(other)).toEqual([])
  })

  test('reply-to:/user/queue/x works for a session that logged in as nobody', async () => {
    const destination = fresh('topic')
    const watcher = await subscriber(destination)
    const [asker, other] = [await subscriber('/user/queue/x'), await subscriber('/user/queue/x')]
    await asker.request('SEND', { destination, 'reply-to': '/user/queue/x' })
    await send((await watcher.next('MESSAGE')).headers['reply-to'] ?? '', 'answer')
    expect(await asker.bodies(1)).toEqual(['answer'])
    expect(await arrived(other)).toEqual([])
  })

  test.for([
    '/user/queue/x',
    '/user',
    '/user/',
    '/user/alice',
    '/user//queue/x',
    '/user/alice/',
    '/user/topic/x',
  ])('SEND %s says no user and is an ERROR', async (destination) => {
    expect((await refused('SEND', { destination })).message).toBe('invalid destination')
  })

  test.for(['/user/*/queue/x', '/user/alice/queue/*', '/user/alice/queue/a.#'])(
    'SEND %s is to a pattern, and an ERROR',
    async (destination) => {
      expect((await refused('SEND', { destination })).message).toBe('unsupported destination')
    },
  )

  test('a session hears nothing more when it has gone, and its user`s others still do', async () => {
    const [one, other] = [
      await subscriber('/user/queue/x', {}, broker, 'erin'),
      await subscriber('/user/queue/x', {}, broker, 'erin'),
    ]
    await one.request('UNSUBSCRIBE', { id: 's' })
    await send('/user/erin/queue/x', 'one left')
    expect(await arrived(one)).toEqual([])
    expect(await arrived(other)).toEqual(['one left'])
  })
})

describe('4.12 Spring app', () => {
  const seen: AppMessage[] = []
  const app: AppRules = {
    '/app/chat': '/topic/messages',
    '/app/hello': {
      to: '/topic/greetings',
      body: { content: 'Hello, {name}!', raw: '{name}', by: '{user}' },
    },
    '/app/room/{room}': '/topic/room/{room}',
    '/app/mirror/**': '/topic/mirrored/**',
    '/app/echo': (message) => {
      seen.push(message)
      return message.body.toString().toUpperCase()
    },
    '/app/silent': () => undefined,
    '/app/later': (message) => Promise.resolve({ later: message.body.toString() }),
    '/app/told': { to: '/topic/elsewhere', handle: () => 'elsewhere' },
    '/app/queued': '/queue/jobs',
    '/app/private/{who}': '/user/{who}/queue/private',
    '/app/snapshot/{room}': ({ command, params }) => ({ command, room: params['room'] }),
    '/app/broken': () => {
      throw new Error('secret')
    },
  }
  let own: TestBroker
  beforeAll(async () => {
    own = await startBroker({ app })
  })
  afterAll(() => own.close())

  test('registered handlers get what was sent', async () => {
    const client = await RawClient.connected(own, { login: 'alice' })
    await client.request('SEND', { destination: '/app/echo', custom: 'a\\cb' }, 'hi')
    const [message] = seen
    expect(message).toMatchObject({ command: 'SEND', destination: '/app/echo', params: {}, user: 'alice' })
    expect(message?.session).toBe(client.session.headers.session)
    expect(message?.headers.get('custom')).toBe('a:b')
    expect(message?.body.toString()).toBe('hi')
  })

  test.for([
    ['a text', '/app/echo', '/topic/echo', 'HI', undefined],
    ['what is no text, as JSON', '/app/later', '/topic/later', '{"later":"hi"}', 'application/json'],
  ] as const)('reply to /topic/<same path>: %s', async ([, sent, replied, body, type]) => {
    const client = await subscriber(replied, {}, own)
    await client.request('SEND', { destination: sent }, 'hi')
    const message = await client.next('MESSAGE')
    expect(message.headers).toMatchObject({ subscription: 's', destination: replied })
    expect(message.headers['content-type']).toBe(type)
    expect(message.body.toString()).toBe(body)
  })

  test('unless the handler says', async () => {
    const client = await subscriber('/topic/elsewhere', {}, own)
    await client.request('SUBSCRIBE', { id: 'same', destination: '/topic/told' })
    await client.request('SEND', { destination: '/app/told' })
    const message = await client.next('MESSAGE')
    expect(message.headers).toMatchObject({ subscription: 's', destination: '/topic/elsewhere' })
    expect(await arrived(client)).toEqual([])
  })

  test('a handler that says nothing sends nothing, and the receipt comes', async () => {
    const client = await subscriber('/topic/silent', {}, own)
    await client.request('SEND', { destination: '/app/silent' })
    expect(await arrived(client)).toEqual([])
  })

  test('nobody who subscribes to /app/... hears what is sent there', async () => {
    const client = await RawClient.connected(own)
    await client.request('SUBSCRIBE', { id: 's', destination: '/app/silent' })
    await client.request('SEND', { destination: '/app/silent' }, 'hi')
    expect(await arrived(client)).toEqual([])
  })

  test('@SubscribeMapping: a handler answers a SUBSCRIBE once, with that subscription`s id, after its receipt', async () => {
    const [client, other] = [await RawClient.connected(own), await subscriber('/topic/snapshot/7', {}, own)]
    client.send('SUBSCRIBE', { id: 'snap', destination: '/app/snapshot/7', receipt: 'r' })
    expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('r')
    const answer = await client.next('MESSAGE')
    expect(answer.headers).toMatchObject({ subscription: 'snap', destination: '/app/snapshot/7' })
    expect(answer.headers['message-id']).toMatch(/^[\w-]+$/)
    expect(JSON.parse(answer.body.toString())).toEqual({ command: 'SUBSCRIBE', room: '7' })
    // Once: what is sent there goes to the topic, and the answer went to nobody else.
    await client.request('SEND', { destination: '/app/snapshot/7' })
    expect(await other.bodies(1)).toEqual(['{"command":"SEND","room":"7"}'])
    expect(await arrived(client)).toEqual([])
    await client.request('UNSUBSCRIBE', { id: 'snap' })
  })

  test('@SubscribeMapping: what is to be parsed as JSON says so', async () => {
    const client = await subscriber('/app/snapshot/8', {}, own)
    expect((await client.next('MESSAGE')).headers['content-type']).toBe('application/json')
  })

  test('a handler that throws is an ERROR, which does not say what', async () => {
    for (const [command, headers] of [
      ['SEND', {}],
      ['SUBSCRIBE', { id: 's' }],
    ] as const) {
      const { message, body, code } = await refused(command, { ...headers, destination: '/app/broken' }, own)
      expect([message, code]).toEqual(['application failed', 1011])
      expect(body).not.toContain('secret')
    }
  })

  test('with no handler: drop, count, log', async () => {
    const bare = await start({})
    const client = await subscriber('/topic/nothing', {}, bare)
    await client.request('SEND', { destination: '/app/nothing' })
    await client.request('SEND', { destination: '/app/nothing' })
    await client.request('SUBSCRIBE', { id: 'app', destination: '/app/nothing' })
    expect(await arrived(client)).toEqual([])
    expect(bare.broker.stats.unroutable).toBe(3)
    expect(bare.warnings).toEqual([expect.stringContaining('"/app/nothing"')])
  })

  test.for([
    ['SEND', {}],
    ['SUBSCRIBE', { id: 's' }],
  ] as const)('with no handler: ERROR in strict mode (%s)', async ([command, headers]) => {
    const strict = await start({ strict: true, app: { '/app/there': '/topic/there' } })
    expect(await refused(command, { ...headers, destination: '/app/nothing' }, strict)).toMatchObject({
      message: 'unsupported destination',
      body: expect.stringContaining('"/app/nothing"') as string,
    })
    const client = await subscriber('/topic/there', {}, strict)
    await client.request('SEND', { destination: '/app/there' }, 'there')
    expect(await client.bodies(1)).toEqual(['there'])
  })

  test.for([
    ['/app/chat', '/topic/messages'],
    ['/app/room/7', '/topic/room/7'],
    ['/app/mirror/a/b', '/topic/mirrored/a/b'],
    ['/app/queued', '/queue/jobs'],
  ] as const)('a declarative map: %s => %s, with all that was sent', async ([sent, expected]) => {
    const client = await subscriber(expected, {}, own)
    await client.request(
      'SEND',
      { destination: sent, 'content-type': 'application/json', custom: 'kept' },
      '{"text":"hi"}',
    )
    const message = await client.next('MESSAGE')
    expect(message.body.toString()).toBe('{"text":"hi"}')
    expect(message.headers).toMatchObject({
      destination: expected,
      'content-type': 'application/json',
      custom: 'kept',
    })
  })

  test('a declarative map to a user', async () => {
    const client = await subscriber('/user/queue/private', {}, own, 'zoë')
    await client.request('SEND', { destination: '/app/private/zoë' }, 'psst')
    expect((await client.next('MESSAGE')).headers.destination).toBe('/user/queue/private')
  })

  test('with optional JSON templating', async () => {
    const client = await subscriber('/topic/greetings', {}, own, 'alice')
    await client.request('SEND', { destination: '/app/hello' }, '{"name":"a \\"b\\" {user}"}')
    const message = await client.next('MESSAGE')
    expect(message.headers).toMatchObject({
      destination: '/topic/greetings',
      'content-type': 'application/json',
    })
    expect(JSON.parse(message.body.toString())).toEqual({
      content: 'Hello, a "b" {user}!',
      raw: 'a "b" {user}',
      by: 'alice',
    })
  })

  test('in a transaction the message goes on at COMMIT', async () => {
    const client = await subscriber('/topic/messages', {}, own)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('SEND', { destination: '/app/chat', transaction: 't' }, 'hi')
    expect(await arrived(client)).toEqual([])
    await client.request('COMMIT', { transaction: 't' })
    expect(await client.bodies(1)).toEqual(['hi'])
  })

  test('a Spring tutorial front-end runs unmodified', async ({ house }) => {
    const spring = await house.broker({
      endpoints: ['/gs-guide-websocket'],
      app: { '/app/hello': { to: '/topic/greetings', body: { content: 'Hello, {name}!' } } },
    })
    const greetings = new Inbox<string>()
    const client = new Client({
      brokerURL: `ws://127.0.0.1:${spring.port}/gs-guide-websocket`,
      onConnect: () => {
        client.subscribe('/topic/greetings', (greeting) => {
          greetings.put((JSON.parse(greeting.body) as { content: string }).content)
        })
        client.publish({ destination: '/app/hello', body: JSON.stringify({ name: 'World' }) })
      },
    })
    client.activate()
    expect(await greetings.take()).toBe('Hello, World!')
    await client.deactivate()
  })
})

type Profile = 'auto' | 'rabbitmq' | 'activemq' | 'spring'

/** In each profile: the pattern, the names it hears, and those it does not. */
const wildcards: readonly [Profile, string, readonly string[], readonly string[]][] = [
  // * is one segment
  [
    'auto',
    '/topic/a.*',
    ['/topic/a.b', '/topic/a.'],
    ['/topic/a', '/topic/a.b.c', '/topic/a.b/c', '/topic/b.a'],
  ],
  ['auto', '/topic/*', ['/topic/a'], ['/topic/a.b', '/topic/a/b', '/sub/a']],
  ['auto', '/topic/*.stock.*', ['/topic/eu.stock.ibm'], ['/topic/stock.ibm', '/topic/eu.stock.ibm.x']],
  ['auto', '/topic/room/*', ['/topic/room/1', '/topic/room/a.b'], ['/topic/room', '/topic/room/1/2']],
  ['auto', '/topic/*/x', ['/topic/a/x', '/topic/a.b/x'], ['/topic/a/b/x', '/topic/x']],
  // # and ** are the rest, or zero or more anywhere
  ['auto', '/topic/a.#', ['/topic/a', '/topic/a.b', '/topic/a.b.c'], ['/topic/ab', '/topic/b.a']],
  ['auto', '/topic/#.z', ['/topic/z', '/topic/a.z', '/topic/a.b.z'], ['/topic/z.a', '/topic/az']],
  ['auto', '/topic/a.#.z', ['/topic/a.z', '/topic/a.b.c.z'], ['/topic/a', '/topic/a.z.b']],
  ['auto', '/topic/#', ['/topic/a', '/topic/a.b', '/topic/a/b'], ['/sub/a', '/topics/a']],
  ['auto', '/topic/a/**', ['/topic/a', '/topic/a/b', '/topic/a/b/c.d'], ['/topic/a.b', '/topic/ab']],
  ['auto', '/topic/**/end', ['/topic/end', '/topic/a/b/end'], ['/topic/end/a', '/topic/a.end']],
  ['auto', '/topic/a/**/z', ['/topic/a/z', '/topic/a/b/c/z'], ['/topic/a', '/topic/a/z/b']],
  ['auto', '/topic/**', ['/topic/a', '/topic/a.b.c', '/topic/a/b'], ['/sub/a']],
  // > is the rest at the end
  ['auto', '/topic/a.>', ['/topic/a', '/topic/a.b', '/topic/a.b.c'], ['/topic/ab', '/topic/b']],
  ['auto', '/topic/>', ['/topic/a', '/topic/a.b', '/topic/a/b'], ['/sub/a']],
  ['auto', '/topic/a/>', ['/topic/a/b', '/topic/a/b/c'], ['/topic/a.b', '/topic/b/a']],
  // ? is one character
  [
    'auto',
    '/topic/room?',
    ['/topic/room1', '/topic/room😀'],
    ['/topic/room', '/topic/room12', '/topic/room.', '/topic/room/'],
  ],
  ['auto', '/topic/a.?.c', ['/topic/a.b.c'], ['/topic/a..c', '/topic/a.bb.c']],
  // globs inside a segment
  [
    'auto',
    '/topic/a-*',
    ['/topic/a-', '/topic/a-1', '/topic/a-b-c'],
    ['/topic/a', '/topic/a-1.b', '/topic/a-1/b'],
  ],
  ['auto', '/topic/*.txt', ['/topic/a.txt'], ['/topic/a.b.txt', '/topic/a.txt.gz']],
  [
    'auto',
    '/topic/docs/*.txt',
    ['/topic/docs/a.txt', '/topic/docs/a.b.txt'],
    ['/topic/docs/a/b.txt', '/topic/docs/a.md'],
  ],
  ['auto', '/topic/x*y*z', ['/topic/xyz', '/topic/x-y-z'], ['/topic/xz', '/topic/x.y.z']],
  // letters that are no wildcards
  ['auto', '/topic/C#', ['/topic/C#'], ['/topic/C', '/topic/C.b']],
  // other prefixes, and RabbitMQ's exchanges, which are dotted
  ['auto', '/sub/*', ['/sub/a'], ['/sub/a/b', '/topic/a']],
  [
    'auto',
    '/exchange/logs/eu.*',
    ['/exchange/logs/eu.warn'],
    ['/exchange/logs/eu', '/exchange/other/eu.warn'],
  ],
  // RabbitMQ: dots separate, always
  ['rabbitmq', '/topic/a.*', ['/topic/a.b'], ['/topic/a', '/topic/a.b.c']],
  ['rabbitmq', '/topic/*', ['/topic/a'], ['/topic/a.b', '/topic/a/b']],
  ['rabbitmq', '/topic/room/*', ['/topic/room/1'], ['/topic/room/a.b', '/topic/room/1/2']],
  ['rabbitmq', '/topic/#.z', ['/topic/z', '/topic/a.b.z'], ['/topic/a.z.b']],
  ['rabbitmq', '/exchange/amq.topic/a.#', ['/topic/a', '/topic/a.b.c'], ['/topic/b']],
  // ActiveMQ: so too
  ['activemq', '/topic/PRICE.STOCK.*.IBM', ['/topic/PRICE.STOCK.NYSE.IBM'], ['/topic/PRICE.STOCK.IBM']],
  [
    'activemq',
    '/topic/PRICE.>',
    ['/topic/PRICE.STOCK.NYSE.IBM', '/topic/PRICE.GOLD'],
    ['/topic/PRICES.GOLD'],
  ],
  ['activemq', '/topic/*', ['/topic/a'], ['/topic/a.b']],
  ['activemq', '/topic/room/*', ['/topic/room/1'], ['/topic/room/a.b']],
  // Spring: slashes separate, and * matches dots inside a segment
  ['spring', '/topic/*', ['/topic/a', '/topic/a.b'], ['/topic/a/b', '/sub/a']],
  [
    'spring',
    '/topic/price.stock.*',
    ['/topic/price.stock.ibm', '/topic/price.stock.a.b'],
    ['/topic/price.stock', '/topic/price.stock.a/b'],
  ],
  ['spring', '/topic/a/**', ['/topic/a', '/topic/a/b.c/d'], ['/topic/a.b']],
  ['spring', '/topic/ro?m/*', ['/topic/room/1', '/topic/ro.m/a.b'], ['/topic/room/1/2', '/topic/rom/1']],
]

describe('4.12 wildcards in SUBSCRIBE', () => {
  const started = new Map<Profile, TestBroker>()
  beforeAll(async () => {
    for (const compat of ['auto', 'rabbitmq', 'activemq', 'spring'] as const)
      started.set(compat, await startBroker({ compat }))
  })
  afterAll(() => Promise.all([...started.values()].map((each) => each.close())))
  const by = (profile: Profile): TestBroker => started.get(profile) as TestBroker // beforeAll set each

  test.for(wildcards)('%s: %s hears %j, not %j', async ([profile, pattern, heard, unheard]) => {
    const client = await subscriber(pattern, {}, by(profile))
    const names = [...unheard, ...heard, ...unheard]
    for (const destination of names) client.send('SEND', { destination }, destination)
    // A round trip that sends nothing anybody could hear.
    await client.request('UNSUBSCRIBE', { id: 's' })
    const shown = client.frames.splice(0).map(({ headers, body }) => [headers.destination, body.toString()])
    // MESSAGE carries the concrete destination.
    expect(shown).toEqual(heard.map((name) => [name, name]))
    for (const destination of heard) client.send('SEND', { destination })
    expect(await arrived(client)).toEqual([])
    client.destroy()
  })

  test('default dotted', () => {
    expect(broker.broker.settings.compat).toBe('auto')
  })

  test('several patterns and names of one client each get a copy, the same message-id', async () => {
    const client = await RawClient.connected(broker)
    const patterns = [
      '/topic/multi.a',
      '/topic/multi.*',
      '/topic/multi.#',
      '/topic/multi.>',
      '/topic/**',
      '/topic/other.*',
    ]
    for (const id of patterns) await client.request('SUBSCRIBE', { id, destination: id })
    await client.request('SEND', { destination: '/topic/multi.a' })
    const frames = await client.take(5)
    expect(new Set(frames.map(({ headers }) => headers.subscription))).toEqual(new Set(patterns.slice(0, 5)))
    expect(new Set(frames.map(({ headers }) => headers['message-id'])).size).toBe(1)
    // What the round trip itself sends is heard by one of them.
    await client.request('UNSUBSCRIBE', { id: '/topic/**' })
    expect(await arrived(client)).toEqual([])
  })

  test.for(['/topic/a.>.b', '/*/x', '/to*/x', '/topic?', '/#', '/topic/#/a.b'])(
    'what cannot be a pattern is an ERROR, not silence: %s',
    async (destination) => {
      const profile = destination === '/topic/#/a.b' ? by('rabbitmq') : broker
      const { message, body } = await refused('SUBSCRIBE', { id: 's', destination }, profile)
      expect(message).toBe('invalid destination')
      expect(body).toContain(destination)
    },
  )

  test.for([
    '/topic/a.*',
    '/topic/>',
    '/topic/a/**',
    '/topic/a?',
    '/sub/*',
    '/exchange/amq.topic/#',
    '/queue/a.*',
    '/app/*',
  ])('they are for SUBSCRIBE alone: SEND to %s is an ERROR and reaches nobody', async (destination) => {
    const client = await subscriber('/topic/a.b')
    expect(await refused('SEND', { destination })).toMatchObject({
      message: 'unsupported destination',
      body: expect.stringContaining('wildcard') as string,
      code: 1008,
    })
    expect(await arrived(client)).toEqual([])
  })
})

describe('4.12 wildcards on /queue', () => {
  test.for([
    '/queue/>',
    '/queue/*',
    '/queue/a.*',
    '/queue/a.#',
    '/queue/**',
    '/queue/a?',
    'a.*',
    '/amq/queue/a.*',
  ])('%s: not supported; ERROR, not silence', async (destination) => {
    const { message, body, code } = await refused('SUBSCRIBE', { id: 's', destination })
    expect([message, code]).toEqual(['unsupported destination', 1008])
    expect(body).toMatch(/[Ww]ildcards on queues are not supported/)
    expect(body).toContain(destination)
  })
})

describe('4.12 names', () => {
  test.for([
    'ü',
    '日本語/部屋',
    '😀.😀',
    'white space',
    'a"b\'c`d',
    '$&+;=@[]{}|^',
    'a\\cb',
    'back\\\\slash',
    '%2F',
    'a%2Fb',
    'a/b',
    'a//b',
    '../x',
  ])('any UTF-8 except control characters: %s', async (name) => {
    for (const kind of ['topic', 'queue'] as const) {
      const destination = `${fresh(kind)}/${name}`
      const client = await subscriber(destination)
      await send(destination, 'it')
      const message = await client.next('MESSAGE')
      expect(message.headers.destination).toBe(destination)
    }
  })

  test.for(['\u0001', '\t', '\\n', '\\r', '\u001b', '\u007f', '\u0085', '\u009b'])(
    'a control character is an ERROR: %j',
    async (character) => {
      for (const prefix of ['/topic/', '/queue/', '', '/user/bob/queue/', '/sub/']) {
        const destination = `${prefix}a${character}b`
        expect((await refused('SEND', { destination })).message).toBe('invalid destination')
        expect((await refused('SUBSCRIBE', { id: 's', destination })).message).toBe('invalid destination')
      }
    },
  )

  test.for([
    ['ASCII', 'x', 512],
    ['two bytes a character', 'ü', 256],
    ['four bytes a character', '😀', 128],
  ] as const)('up to 512 bytes, not one more: %s', async ([, character, count]) => {
    for (const prefix of ['/topic/', '/queue/']) {
      const size = Buffer.byteLength(character)
      const rest = count * size - prefix.length
      const filler = 'x'.repeat(rest % size)
      const destination = `${prefix}${filler}${character.repeat(Math.floor(rest / size))}`
      expect(Buffer.byteLength(destination)).toBe(512)
      const client = await subscriber(destination)
      await send(destination, 'it')
      expect((await client.next('MESSAGE')).headers.destination).toBe(destination)
      for (const [command, headers] of [
        ['SEND', {}],
        ['SUBSCRIBE', { id: 's' }],
      ] as const) {
        const { message, body } = await refused(command, { ...headers, destination: `${destination}x` })
        expect(message).toBe('invalid destination')
        expect(body).toContain('512 bytes')
      }
      client.destroy()
    }
  })

  test('%2F may appear but a literal slash must work', async () => {
    const [name, other] = ['/queue/contract/slash', '/queue/contract%2Fslash']
    const client = await subscriber(name)
    await send(name, 'literal')
    expect(await client.bodies(1)).toEqual(['literal'])
    await send(other, 'escaped')
    const reader = await subscriber(other)
    const frames: RawFrame[] = [await reader.next('MESSAGE')]
    expect(frames[0]?.headers.destination).toBe(other)
  })
})

describe('4.12 SEND to a queue nobody consumes', () => {
  test('keeps it', async () => {
    const queue = fresh('queue')
    for (const body of ['1', '2']) await send(queue, body)
    const client = await subscriber(queue)
    expect(await client.bodies(2)).toEqual(['1', '2'])
  })

  test.for([
    ['messages', { maxQueueMessages: 3 }, 'max-queue-messages'],
    ['bytes', { maxQueueBytes: 40_000 }, 'max-queue-bytes'],
  ] as const)(
    'bounded in %s: at the bound the new message is refused with an ERROR that names the queue and the limit',
    async ([, options, limit]) => {
      const own = await start(options)
      const queue = fresh('queue')
      const sender = await RawClient.connected(own)
      for (const body of ['1', '2', '3'])
        await sender.request('SEND', { destination: queue }, body.repeat(10_000))
      sender.send('SEND', { destination: queue, receipt: 'r' }, '4'.repeat(10_000))
      const { error, close } = await sender.refusal()
      expect(error.headers).toMatchObject({ message: 'queue full', 'receipt-id': 'r' })
      expect(error.body.toString()).toContain(queue)
      expect(error.body.toString()).toContain(limit)
      expect(error.body.toString()).toContain(String(Object.values(options)[0]))
      expect(close.code).toBe(1008)
      // Nothing that was receipted is ever dropped.
      expect((await look(own, queue)).map((body) => body[0])).toEqual(['1', '2', '3'])
      // Other queues have room.
      await send(fresh('queue'), 'x'.repeat(10_000), own)
    },
  )

  test('bounded per queue: there is room again when a message was taken', async () => {
    const own = await start({ maxQueueMessages: 1 })
    const queue = fresh('queue')
    await send(queue, '1', own)
    const client = await subscriber(queue, {}, own)
    expect(await client.bodies(1)).toEqual(['1'])
    await client.request('UNSUBSCRIBE', { id: 's' })
    await send(queue, '2', own)
    expect((await refused('SEND', { destination: queue }, own)).message).toBe('queue full')
  })

  test('generous defaults', () => {
    expect(broker.broker.settings.maxQueueMessages).toBe(1_000_000)
    expect(broker.broker.settings.maxQueueBytes).toBe(256 * 1024 * 1024)
  })

  test('drop-oldest, to the dead-letter queue, is an option per destination pattern', async () => {
    const own = await start({ maxQueueMessages: 2, overflow: ['/queue/logs.*=drop-oldest'] })
    for (const body of ['1', '2', '3']) await send('/queue/logs.eu', body, own)
    expect(await look(own, '/queue/logs.eu')).toEqual(['2', '3'])
    const dead = await (await subscriber('/queue/DLQ.logs.eu', {}, own)).next('MESSAGE')
    expect(dead.body.toString()).toBe('1')
    expect(dead.headers).toMatchObject({
      'original-destination': '/queue/logs.eu',
      'dead-letter-reason': 'queue-full',
    })
    // The others refuse.
    for (const body of ['1', '2']) await send('/queue/work.eu', body, own)
    expect((await refused('SEND', { destination: '/queue/work.eu' }, own)).message).toBe('queue full')
    expect(await look(own, '/queue/work.eu')).toEqual(['1', '2'])
  })

  test('block is an option per destination pattern: the publisher waits for room', async () => {
    const own = await start({ maxQueueMessages: 1, overflow: ['/queue/slow.**=block'] })
    const [queue, topic] = ['/queue/slow.one', fresh('topic')]
    const [sender, other] = [await RawClient.connected(own), await subscriber(topic, {}, own)]
    await sender.request('SEND', { destination: queue }, '1')
    sender.send('SEND', { destination: queue, receipt: 'r' }, '2')
    // Others go on meanwhile.
    await send(topic, 'meanwhile', own)
    expect(await other.bodies(1)).toEqual(['meanwhile'])
    expect(await look(own, queue)).toEqual(['1'])
    expect(sender.frames).toEqual([])
    await other.request('SUBSCRIBE', { id: 'q', destination: queue })
    expect(await other.bodies(2)).toEqual(['1', '2'])
    expect((await sender.next('RECEIPT')).headers['receipt-id']).toBe('r')
    // The others refuse.
    await send('/queue/work', '1', own)
    expect((await refused('SEND', { destination: '/queue/work' }, own)).message).toBe('queue full')
  })

  test('block stops reading the publisher: it is not refused for what it has written meanwhile', async () => {
    const own = await start({ maxQueueMessages: 2, overflow: ['/queue/slow.**=block'] })
    const [queue, sender] = ['/queue/slow.many', await RawClient.connected(own)]
    const bodies = Array.from({ length: 20 }, (_, index) => String(index))
    for (const body of bodies) sender.send('SEND', { destination: queue, receipt: body }, body)
    await sender.receipt('1')
    expect(await look(own, queue)).toEqual(['0', '1'])
    const reader = await subscriber(queue, {}, own)
    await sender.receipt('19')
    expect(await reader.bodies(20)).toEqual(bodies)
  })
})
