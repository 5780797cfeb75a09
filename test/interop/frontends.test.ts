import { RxStompState } from '@stomp/rx-stomp'
import {
  ReconnectionTimeMode,
  type Client,
  type IFrame,
  type IMessage,
  type StompConfig,
} from '@stomp/stompjs'
import { firstValueFrom } from 'rxjs'
import SockJS from 'sockjs-client'
import Stomp from 'stompjs'
import { describe, expect } from 'vitest'
import type { AppMessage } from '../../broker/index.ts'
import type { TestBroker } from '../helpers/broker.ts'
import {
  test,
  type Failure,
  type Frame,
  type LegacyClient,
  type Message,
  type Page,
  type Pages,
} from '../helpers/pages.ts'
import { Inbox } from '../helpers/stompjs.ts'

// Pages as they are written for RabbitMQ, ActiveMQ and Spring. Only host and port are ours.

type Connect = (connected: (frame: Frame) => void, failed: (reason: Failure) => void) => void

/** Runs a page's own connect() to its end. */
function opened(connect: Connect): Promise<Frame> {
  return new Promise((resolve, reject) => {
    connect(resolve, (reason) => reject(new Error(`no connection: ${JSON.stringify(reason)}`)))
  })
}

/** Done when the broker has handled what these pages sent, and what it had for them is there. */
async function settled(...pages: readonly Page[]): Promise<void> {
  await Promise.all(pages.map((page) => page.sync()))
}

/** A connected Client of stompjs 7. */
async function activated(pages: Pages, config: Pick<StompConfig, keyof StompConfig>): Promise<Client> {
  const client = pages.stompjs({ reconnectDelay: 0, heartbeatIncoming: 0, heartbeatOutgoing: 0, ...config })
  const connected = new Promise<IFrame>((resolve) => {
    client.onConnect = resolve
  })
  client.activate()
  await connected
  return client
}

/** What stompjs 7 subscribed to, confirmed. */
async function subscribed(
  client: Client,
  destination: string,
  headers: Record<string, string> = {},
): Promise<Inbox<IMessage>> {
  const inbox = new Inbox<IMessage>()
  await receipt(client, (asked) => client.subscribe(destination, inbox.put, { ...headers, ...asked }))
  return inbox
}

let receipts = 0

function receipt(client: Client, act: (headers: { receipt: string }) => void): Promise<IFrame> {
  const id = `front-end-${++receipts}`
  return new Promise((resolve) => {
    client.watchForReceipt(id, resolve)
    act({ receipt: id })
  })
}

/** As many connections as that, and no more. */
async function connections(broker: TestBroker, count: number): Promise<void> {
  await expect.poll(() => broker.broker.stats.connections).toBe(count)
}

const bodies = (messages: readonly { body: string }[]): string[] => messages.map(({ body }) => body)
const parsed = (messages: readonly { body: string }[]): unknown[] =>
  messages.map(({ body }) => JSON.parse(body) as unknown)

describe.concurrent('pages of RabbitMQ Web-STOMP', () => {
  /** Its login, and the virtual host everybody has. */
  async function rabbit(client: LegacyClient): Promise<Frame> {
    return opened((connected, failed) => client.connect('guest', 'guest', connected, failed, '/'))
  }

  function open({ port }: TestBroker, pages: Pages): Page<LegacyClient> {
    return pages.legacy(Stomp.over(pages.webSocket({ port }, '/ws')))
  }

  test('echo: a page prints what it sends to /topic/test', async ({ house, pages }) => {
    const { client } = open(await house.broker(), pages)
    const printed = new Inbox<Message>()
    const { headers } = await rabbit(client)
    // The examples switch heart-beats off, which SockJS of old could not carry.
    expect(headers['heart-beat']).toBe('0,0')
    client.subscribe('/topic/test', printed.put)
    for (const text of ['Hello', 'Hellö 🐇']) client.send('/topic/test', {}, text)
    expect(bodies(await printed.takeAll(2))).toEqual(['Hello', 'Hellö 🐇'])
  })

  test('bunny: everybody draws on the same picture, over WebSocket and SockJS', async ({ house, pages }) => {
    const broker = await house.broker()
    Stomp.WebSocketClass = SockJS
    const overSockJs = Stomp.client(`http://127.0.0.1:${broker.port}/stomp`)
    delete Stomp.WebSocketClass
    const artists = [open(broker, pages), open(broker, pages), pages.legacy(overSockJs)]
    const pictures = await Promise.all(
      artists.map(async ({ client }) => {
        await rabbit(client)
        const lines = new Inbox<Message>()
        client.subscribe('/topic/bunny', lines.put)
        return lines
      }),
    )
    await settled(...artists)
    const strokes = artists.map((_, artist) =>
      Array.from({ length: 20 }, (__, step) => ({ artist, x1: step, y1: step ** 2, x2: step + 1, y2: -1.5 })),
    )
    artists.forEach(({ client }, artist) => {
      for (const line of strokes[artist] ?? []) client.send('/topic/bunny', {}, JSON.stringify(line))
    })
    for (const picture of pictures) {
      const lines = parsed(await picture.takeAll(60)) as { artist: number }[]
      // Who draws first is open; what one draws is in order.
      expect(strokes.map((_, artist) => lines.filter((line) => line.artist === artist))).toEqual(strokes)
    }
  })

  test('temporary queue: a page answers its own question', async ({ house, pages }) => {
    const { client } = open(await house.broker(), pages)
    const received = new Inbox<Message>()
    client.onreceive = received.put
    await rabbit(client)
    client.subscribe('/queue/test', ({ body, headers }) => {
      const reversed = Array.from(body).toReversed().join('')
      client.send(headers['reply-to'] ?? '', { 'content-type': 'text/plain' }, reversed)
    })
    for (const text of ['stressed', 'grüße 🐇']) {
      client.send('/queue/test', { 'reply-to': '/temp-queue/example' }, text)
    }
    const answers = await received.takeAll(2)
    expect(bodies(answers)).toEqual(['desserts', '🐇 eßürg'])
    for (const { headers } of answers) {
      expect(headers).toMatchObject({ subscription: '/temp-queue/example', 'content-type': 'text/plain' })
    }
  })

  test('temporary queue: pages have one each, whatever they call it', async ({ house, pages }) => {
    const broker = await house.broker()
    const [server, ada, bob] = [open(broker, pages), open(broker, pages), open(broker, pages)]
    await Promise.all([server, ada, bob].map(({ client }) => rabbit(client)))
    server.client.subscribe('/queue/who', ({ body, headers }) => {
      server.client.send(headers['reply-to'] ?? '', { 'correlation-id': body }, `you are ${body}`)
    })
    const [forAda, forBob] = [new Inbox<Message>(), new Inbox<Message>()]
    ada.client.onreceive = forAda.put
    bob.client.onreceive = forBob.put
    ada.client.send('/queue/who', { 'reply-to': '/temp-queue/example' }, 'ada')
    bob.client.send('/queue/who', { 'reply-to': '/temp-queue/example' }, 'bob')
    expect((await forAda.take()).headers['correlation-id']).toBe('ada')
    expect((await forBob.take()).body).toBe('you are bob')
    await settled(ada, bob)
    expect(forAda.size + forBob.size).toBe(0)
  })

  test('work queue: prefetch-count shares the work, and ack asks for more', async ({ house, pages }) => {
    const broker = await house.broker()
    const [boss, one, other] = [open(broker, pages), open(broker, pages), open(broker, pages)]
    await Promise.all([boss, one, other].map(({ client }) => rabbit(client)))
    const [mine, yours] = [new Inbox<Message>(), new Inbox<Message>()]
    const headers = { ack: 'client', 'prefetch-count': '1' }
    one.client.subscribe('/queue/tasks', mine.put, { ...headers })
    other.client.subscribe('/queue/tasks', yours.put, { ...headers })
    await settled(one, other)
    for (const task of ['1', '2', '3', '4']) {
      boss.client.send('/queue/tasks', { persistent: 'true', 'content-type': 'text/plain' }, task)
    }
    const [first, second] = [await mine.take(), await yours.take()]
    expect([first.body, second.body].toSorted()).toEqual(['1', '2'])
    expect(first.headers['persistent']).toBe('true')
    await settled(one, other)
    expect(mine.size + yours.size).toBe(0)
    first.ack()
    const third = await mine.take()
    third.ack()
    // One of them is slow: the other does the rest.
    expect([third.body, (await mine.take()).body]).toEqual(['3', '4'])
    await settled(other)
    expect(yours.size).toBe(0)
  })

  test('x-queue-name: a named queue behind a topic keeps what comes meanwhile', async ({ house, pages }) => {
    const broker = await house.broker()
    const headers = { 'x-queue-name': 'all-logs', durable: 'true', 'auto-delete': 'false', ack: 'client' }
    const before = open(broker, pages)
    await rabbit(before.client)
    const seen = new Inbox<Message>()
    before.client.subscribe('/exchange/amq.topic/logs.#', seen.put, { ...headers })
    const app = open(broker, pages)
    await rabbit(app.client)
    await settled(before)
    await app.send('/exchange/amq.topic/logs.web.error', 'first')
    const first = await seen.take()
    expect(first.body).toBe('first')
    expect(first.headers['destination']).toBe('/topic/logs.web.error')
    first.ack()
    before.client.disconnect()
    await connections(broker, 1)
    await app.send('/topic/logs.db', 'second')
    await app.send('/topic/other', 'not for the logs')
    const after = open(broker, pages)
    await rabbit(after.client)
    after.client.subscribe('/exchange/amq.topic/logs.#', seen.put, { ...headers })
    const second = await seen.take()
    expect(second.body).toBe('second')
    second.ack()
    // It is a queue as others are.
    const reader = open(broker, pages)
    await rabbit(reader.client)
    after.client.disconnect()
    await connections(broker, 2)
    await app.send('/topic/logs', 'third')
    reader.client.subscribe('/amq/queue/all-logs', seen.put)
    expect((await seen.take()).body).toBe('third')
    await settled(reader)
    expect(seen.size).toBe(0)
  })

  test('durable:true with auto-delete:false is a durable subscription of its id', async ({
    house,
    pages,
  }) => {
    const broker = await house.broker()
    const config = {
      brokerURL: `ws://127.0.0.1:${broker.port}/ws`,
      connectHeaders: { login: 'guest', passcode: 'guest', host: '/' },
    }
    const headers = { id: 'news-for-me', durable: 'true', 'auto-delete': 'false' }
    const sender = await activated(pages, config)
    const send = (body: string): Promise<IFrame> =>
      receipt(sender, (asked) => sender.publish({ destination: '/topic/news', body, headers: asked }))
    const reader = await activated(pages, config)
    const before = await subscribed(reader, '/topic/news', headers)
    await send('while it reads')
    expect((await before.take()).body).toBe('while it reads')
    await reader.deactivate()
    await send('while it is away')
    const again = await activated(pages, config)
    const after = new Inbox<IMessage>()
    const subscription = again.subscribe('/topic/news', after.put, headers)
    expect((await after.take()).body).toBe('while it is away')
    await receipt(again, (asked) =>
      subscription.unsubscribe({ durable: 'true', 'auto-delete': 'false', ...asked }),
    )
    await send('when it is deleted')
    const fresh = await subscribed(again, '/topic/news', headers)
    await send('new')
    expect((await fresh.take()).body).toBe('new')
  })

  test('x-queue-name without durable: tabs share the queue, which goes with the last', async ({
    house,
    pages,
  }) => {
    const broker = await house.broker()
    const [sender, one, other] = [open(broker, pages), open(broker, pages), open(broker, pages)]
    await Promise.all([sender, one, other].map(({ client }) => rabbit(client)))
    const headers = { 'x-queue-name': 'shared-by-tabs', ack: 'client-individual' }
    const mine = await one.subscribe('/topic/jobs', headers)
    const yours = await other.subscribe('/topic/jobs', headers)
    for (const body of ['1', '2', '3', '4']) await sender.send('/topic/jobs', body)
    await settled(one, other)
    const [atOne, atOther] = [await mine.takeAll(mine.size), await yours.takeAll(yours.size)]
    expect(bodies([...atOne, ...atOther]).toSorted()).toEqual(['1', '2', '3', '4'])
    expect(atOne.length).toBe(2)
    one.client.disconnect()
    // What one left undone is the other's.
    const left = await yours.takeAll(2)
    expect(bodies(left)).toEqual(bodies(atOne))
    other.client.disconnect()
    await connections(broker, 1)
    await sender.send('/topic/jobs', 'to nobody')
    const late = await sender.subscribe('/topic/jobs', headers)
    await sender.send('/topic/jobs', 'new')
    expect((await late.take()).body).toBe('new')
  })

  test('exchanges: keys with wildcards, exact keys, and an exchange of its own', async ({ house, pages }) => {
    const broker = await house.broker()
    const page = open(broker, pages)
    const { client } = page
    await rabbit(client)
    const [stocks, lazy, direct] = [new Inbox<Message>(), new Inbox<Message>(), new Inbox<Message>()]
    client.subscribe('/exchange/amq.topic/stock.*.nyse', stocks.put)
    client.subscribe('/topic/lazy.#', lazy.put)
    client.subscribe('/exchange/amq.direct/jobs', direct.put)
    for (const key of ['stock.acme.nyse', 'stock.acme.eu.nyse', 'lazy', 'lazy.brown.fox', 'jobs']) {
      client.send(`/exchange/amq.topic/${key}`, {}, key)
    }
    client.send('/exchange/amq.direct/jobs', {}, 'direct')
    await settled(page)
    expect(bodies(await stocks.takeAll(1))).toEqual(['stock.acme.nyse'])
    expect(bodies(await lazy.takeAll(2))).toEqual(['lazy', 'lazy.brown.fox'])
    expect(bodies(await direct.takeAll(1))).toEqual(['direct'])
    expect(stocks.size + lazy.size + direct.size).toBe(0)
    const logs = await page.subscribe('/exchange/logs/web.*')
    for (const key of ['web.a', 'web.a.b', 'db.a']) await page.send(`/exchange/logs/${key}`, key)
    expect(bodies(await logs.takeAll(logs.size))).toEqual(['web.a'])
    // A page of webstomp that watches what a program sends to an exchange.
    const watcher = pages.webstomp(pages.webSocket(broker, '/ws'))
    const inspected = new Inbox<Message>()
    await opened((connected, failed) => watcher.client.connect('guest', 'guest', connected, failed, '/'))
    watcher.client.subscribe('/exchange/inspection', inspected.put)
    await settled(watcher)
    client.send('/exchange/inspection', {}, '{"task":"add"}')
    const task = await inspected.take()
    expect(task.headers['destination']).toBe('/exchange/inspection')
    expect(task.body).toBe('{"task":"add"}')
  })

  test('dead letters: requeue:false sends them where the queue says', async ({ house, pages }) => {
    const page = open(await house.broker(), pages)
    const { client } = page
    await rabbit(client)
    const [jobs, dead] = [new Inbox<Message>(), new Inbox<Message>()]
    client.subscribe('/queue/jobs', jobs.put, {
      ack: 'client-individual',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'failed-jobs',
    })
    client.subscribe('/queue/failed-jobs', dead.put)
    client.send('/queue/jobs', {}, 'impossible')
    ;(await jobs.take()).nack({ requeue: 'false' })
    const letter = await dead.take()
    expect(letter.body).toBe('impossible')
    expect(letter.headers).toMatchObject({
      'x-first-death-queue': 'jobs',
      'x-first-death-reason': 'rejected',
    })
    await settled(page)
    expect(jobs.size).toBe(0)
  })

  test('priorities and lifetimes: what RabbitMQ calls x-max-priority, expiration and priority', async ({
    house,
    pages,
  }) => {
    const broker = await house.broker()
    const [sender, reader] = [open(broker, pages), open(broker, pages)]
    await Promise.all([rabbit(sender.client), rabbit(reader.client)])
    const headers = { ack: 'client-individual', 'prefetch-count': '1', 'x-max-priority': '5' }
    const inbox = await reader.subscribe('/queue/urgent', headers)
    await sender.send('/queue/urgent', 'holds the place')
    const first = await inbox.take()
    for (const priority of ['0', '5', '3']) {
      await sender.send('/queue/urgent', priority, { priority, expiration: '60000' })
    }
    first.ack()
    const taken: Message[] = []
    while (taken.length < 3) {
      const message = await inbox.take()
      message.ack()
      taken.push(message)
    }
    expect(bodies(taken)).toEqual(['5', '3', '0'])
    for (const { body, headers: shown } of taken) {
      expect(shown).toMatchObject({ priority: body, expiration: '60000' })
      expect(Number(shown['expires'])).toBeGreaterThan(1_600_000_000_000)
    }
  })
})

describe.concurrent('pages of ActiveMQ over WebSocket', () => {
  const login = { login: 'admin', passcode: 'password' }

  /** A page whose URL came from a form. */
  function open({ port }: TestBroker, pages: Pages): Page<LegacyClient> {
    return pages.legacy(Stomp.client(`ws://127.0.0.1:${port}/stomp`))
  }

  test('chat: people come, talk and go', async ({ house, pages }) => {
    const broker = await house.broker()
    const destination = '/topic/chat.general'
    const [ada, bob] = [open(broker, pages), open(broker, pages)]
    const debugged = new Inbox<string>()
    ada.client.debug = debugged.put
    const [atAda, atBob] = await Promise.all(
      [ada, bob].map(async ({ client }) => {
        const messages = new Inbox<Message>()
        await opened((connected) => client.connect('admin', 'password', connected))
        client.subscribe(destination, messages.put)
        return messages
      }),
    )
    await settled(ada, bob)
    // The page writes a number for a header.
    ada.client.send(destination, { foo: 1 }, 'hello <b>everybody</b>')
    const heard = await atBob?.take()
    expect(heard?.body).toBe('hello <b>everybody</b>')
    expect(heard?.headers).toMatchObject({ foo: '1', destination })
    expect((await atAda?.take())?.body).toBe('hello <b>everybody</b>')
    expect(await debugged.take()).toContain('Opening Web Socket')
    await new Promise<void>((resolve) => bob.client.disconnect(resolve))
    ada.client.send(destination, { foo: 2 }, 'alone')
    expect((await atAda?.take())?.headers['foo']).toBe('2')
    await settled(ada)
    expect(atBob?.size).toBe(0)
  })

  test('connects on any path and with the subprotocol "stomp"', async ({ house, pages }) => {
    const broker = await house.broker({ anyPath: true })
    for (const [path, protocols] of [
      ['/', []],
      ['/', ['stomp']],
      ['/ws/anything', ['v11.stomp']],
      ['/activemq', ['v10.stomp', 'v11.stomp', 'v12.stomp', 'stomp']],
    ] as const) {
      const page = pages.legacyOver(pages.webSocket(broker, path, [...protocols]))
      const { headers } = await page.connect({ ...login, 'request-id': 'r1' })
      expect(headers).toMatchObject({ version: '1.1', 'response-id': 'r1' })
    }
  })

  test('selector: a page hears what concerns it', async ({ house, pages }) => {
    const broker = await house.broker()
    const [sender, reader] = [open(broker, pages), open(broker, pages)]
    await Promise.all([sender.connect(login), reader.connect(login)])
    const inbox = await reader.subscribe('/topic/alarms', {
      selector: "site IN ('north', 'west') AND level >= 3 AND NOT (kind LIKE 'test%')",
    })
    const alarms = [
      { site: 'north', level: '3', kind: 'fire' },
      { site: 'south', level: '9', kind: 'fire' },
      { site: 'west', level: '2', kind: 'fire' },
      { site: 'west', level: '10', kind: 'testing' },
      { site: 'west', level: '10', kind: 'water' },
    ]
    for (const alarm of alarms) sender.tell('/topic/alarms', JSON.stringify(alarm), alarm)
    expect(parsed(await inbox.takeAll(2))).toEqual([alarms[0], alarms[4]])
    await settled(sender, reader)
    expect(inbox.size).toBe(0)
  })

  test('selectors share a queue: each takes what fits', async ({ house, pages }) => {
    const broker = await house.broker()
    const [sender, even, odd] = [open(broker, pages), open(broker, pages), open(broker, pages)]
    await Promise.all([sender, even, odd].map((page) => page.connect(login)))
    for (const body of ['1', '2', '3', '4']) {
      await sender.send('/queue/numbers', body, { parity: Number(body) % 2 === 0 ? 'even' : 'odd' })
    }
    const evens = await even.subscribe('/queue/numbers', { selector: "parity = 'even'" })
    expect(bodies(await evens.takeAll(2))).toEqual(['2', '4'])
    const odds = await odd.subscribe('/queue/numbers', { selector: "parity = 'odd'" })
    expect(bodies(await odds.takeAll(2))).toEqual(['1', '3'])
  })

  test('activemq.prefetchSize, with client acks', async ({ house, pages }) => {
    const broker = await house.broker()
    const page = open(broker, pages)
    await page.connect(login)
    const inbox = await page.subscribe('/queue/orders', { ack: 'client', 'activemq.prefetchSize': '2' })
    for (const body of ['1', '2', '3', '4', '5']) await page.send('/queue/orders', body)
    const [, second] = await inbox.takeAll(2)
    await settled(page)
    expect(inbox.size).toBe(0)
    second?.ack()
    expect(bodies(await inbox.takeAll(2))).toEqual(['3', '4'])
    await settled(page)
    expect(inbox.size).toBe(0)
  })

  test('durable subscriber: client-id and activemq.subscriptionName', async ({ house, pages }) => {
    const broker = await house.broker()
    const brokerURL = `ws://127.0.0.1:${broker.port}/stomp`
    const subscriber = (clientId: string): Promise<Client> =>
      activated(pages, { brokerURL, connectHeaders: { ...login, 'client-id': clientId } })
    const headers = { 'activemq.subscriptionName': 'prices' }
    const sender = open(broker, pages)
    await sender.connect(login)
    const [ada, bob] = [await subscriber('ada'), await subscriber('bob')]
    const [forAda, forBob] = [
      await subscribed(ada, '/topic/prices.>', headers),
      await subscribed(bob, '/topic/prices.>', headers),
    ]
    await sender.send('/topic/prices.oil', '1')
    expect((await forAda.take()).body).toBe('1')
    expect((await forBob.take()).body).toBe('1')
    await ada.deactivate()
    await sender.send('/topic/prices.gas', '2')
    // The same name of another client is another subscription.
    expect((await forBob.take()).body).toBe('2')
    const back = await subscriber('ada')
    const missed = await subscribed(back, '/topic/prices.>', headers)
    expect((await missed.take()).body).toBe('2')
    await back.deactivate()
    // It goes with an UNSUBSCRIBE that names it.
    const last = await subscriber('ada')
    await receipt(last, (asked) => last.unsubscribe('prices', { ...headers, ...asked }))
    await sender.send('/topic/prices.oil', '3')
    const fresh = await subscribed(last, '/topic/prices.>', headers)
    await sender.send('/topic/prices.oil', '4')
    expect((await fresh.take()).body).toBe('4')
    expect(bodies(await forBob.takeAll(2))).toEqual(['3', '4'])
  })

  test('dead letters: a page that looks through them takes nothing out', async ({ house, pages }) => {
    const broker = await house.broker({ maxDeliveries: 1 })
    const [worker, desk] = [open(broker, pages), open(broker, pages)]
    await Promise.all([worker.connect(login), desk.connect(login)])
    const orders = await worker.subscribe('/queue/orders', { ack: 'client-individual' })
    for (const body of ['good', 'bad', 'worse']) await worker.send('/queue/orders', body, { kind: body })
    for (const message of await orders.takeAll(3)) {
      if (message.body === 'good') message.ack()
      else message.nack()
    }
    await settled(worker)
    const browse = async (headers = {}): Promise<Message[]> => {
      const inbox = await desk.subscribe('/queue/DLQ.orders', { browser: 'true', ...headers })
      const found: Message[] = []
      for (;;) {
        const message = await inbox.take()
        if (message.headers['browser'] === 'end') return found
        found.push(message)
      }
    }
    const letters = await browse()
    expect(bodies(letters)).toEqual(['bad', 'worse'])
    expect(letters[0]?.headers).toMatchObject({
      kind: 'bad',
      'original-destination': '/queue/orders',
      'dead-letter-reason': 'max-deliveries',
    })
    expect(bodies(await browse({ selector: "kind = 'worse'" }))).toEqual(['worse'])
    const taken = await desk.subscribe('/queue/DLQ.orders')
    expect(bodies(await taken.takeAll(2))).toEqual(['bad', 'worse'])
    expect(await browse()).toEqual([])
  })

  test('monitor: /topic/> hears all topics, and no queues', async ({ house, pages }) => {
    const broker = await house.broker()
    const [sender, monitor] = [open(broker, pages), open(broker, pages)]
    await Promise.all([sender.connect(login), monitor.connect(login)])
    const inbox = await monitor.subscribe('/topic/>')
    const some = await monitor.subscribe('/topic/eu.*.power')
    for (const destination of ['/topic/a', '/topic/eu.de.power', '/queue/q', '/topic/eu.de.north.power']) {
      await sender.send(destination, destination)
    }
    await settled(monitor)
    const heard = await inbox.takeAll(inbox.size)
    expect(bodies(heard).filter((body) => body !== '')).toEqual([
      '/topic/a',
      '/topic/eu.de.power',
      '/topic/eu.de.north.power',
    ])
    expect(heard.every(({ body, headers }) => body === '' || headers['destination'] === body)).toBe(true)
    expect(bodies(await some.takeAll(some.size))).toEqual(['/topic/eu.de.power'])
  })

  test('composite destination: one SEND to a queue and a topic', async ({ house, pages }) => {
    const page = open(await house.broker(), pages)
    await page.connect(login)
    const [queue, topic] = [await page.subscribe('/queue/orders'), await page.subscribe('/topic/orders')]
    await page.send('/queue/orders,/topic/orders', 'one of each')
    expect((await queue.take()).headers['destination']).toBe('/queue/orders')
    expect((await topic.take()).headers['destination']).toBe('/topic/orders')
  })

  test('message groups: JMSXGroupID keeps to one consumer', async ({ house, pages }) => {
    const broker = await house.broker()
    const [sender, one, other] = [open(broker, pages), open(broker, pages), open(broker, pages)]
    await Promise.all([sender, one, other].map((page) => page.connect(login)))
    const [mine, yours] = [await one.subscribe('/queue/grouped'), await other.subscribe('/queue/grouped')]
    for (let round = 0; round < 5; round++) {
      for (const group of ['a', 'b']) await sender.send('/queue/grouped', group, { JMSXGroupID: group })
    }
    await settled(one, other)
    const split = [bodies(await mine.takeAll(mine.size)), bodies(await yours.takeAll(yours.size))]
    expect(split.map((part) => part.join('')).toSorted()).toEqual(['aaaaa', 'bbbbb'])
  })

  test('exclusive consumer: the other waits until it goes', async ({ house, pages }) => {
    const broker = await house.broker()
    const [sender, one, other] = [open(broker, pages), open(broker, pages), open(broker, pages)]
    await Promise.all([sender, one, other].map((page) => page.connect(login)))
    const headers = { 'activemq.exclusive': 'true', ack: 'client-individual' }
    const mine = await one.subscribe('/queue/exclusive', headers)
    const yours = await other.subscribe('/queue/exclusive', headers)
    for (const body of ['1', '2', '3']) await sender.send('/queue/exclusive', body)
    const [first] = await mine.takeAll(3)
    await settled(other)
    expect(yours.size).toBe(0)
    first?.ack()
    await settled(one)
    one.client.disconnect()
    expect(bodies(await yours.takeAll(2))).toEqual(['2', '3'])
  })

  test('durable subscriber in two tabs: each message goes to one of them', async ({ house, pages }) => {
    const broker = await house.broker()
    const [sender, one, other] = [open(broker, pages), open(broker, pages), open(broker, pages)]
    await Promise.all([
      sender.connect(login),
      ...[one, other].map((page) => page.connect({ ...login, 'client-id': 'desk' })),
    ])
    const headers = { 'activemq.subscriptionName': 'shared' }
    const [mine, yours] = [
      await one.subscribe('/topic/shared', headers),
      await other.subscribe('/topic/shared', headers),
    ]
    for (const body of ['1', '2', '3', '4']) await sender.send('/topic/shared', body)
    await settled(one, other)
    const split = [bodies(await mine.takeAll(mine.size)), bodies(await yours.takeAll(yours.size))]
    expect(split.flat().toSorted()).toEqual(['1', '2', '3', '4'])
    expect(split.map((part) => part.length)).toEqual([2, 2])
  })

  test('temp-topic: several answers to all who listen', async ({ house, pages }) => {
    const broker = await house.broker()
    const [asker, server] = [open(broker, pages), open(broker, pages)]
    await Promise.all([asker.connect(login), server.connect(login)])
    const answers = await asker.subscribe('/temp-topic/bids')
    const questions = await server.subscribe('/topic/auction')
    await asker.send('/topic/auction', 'a vase', { 'reply-to': '/temp-topic/bids' })
    const { headers } = await questions.take()
    for (const body of ['10', '20']) await server.send(headers['reply-to'] ?? '', body)
    expect(bodies(await answers.takeAll(2))).toEqual(['10', '20'])
  })

  test('request and reply over a temp-queue it subscribed to', async ({ house, pages }) => {
    const broker = await house.broker()
    const [asker, server] = [open(broker, pages), open(broker, pages)]
    await Promise.all([asker.connect(login), server.connect(login)])
    const answers = await asker.subscribe('/temp-queue/answers', { id: 'answers' })
    const questions = await server.subscribe('/queue/service')
    asker.tell('/queue/service', 'ping', { 'reply-to': '/temp-queue/answers', 'correlation-id': '7' })
    const question = await questions.take()
    server.tell(question.headers['reply-to'] ?? '', 'pong', { 'correlation-id': '7' })
    const answer = await answers.take()
    expect(answer.body).toBe('pong')
    expect(answer.headers).toMatchObject({ subscription: 'answers', 'correlation-id': '7' })
    await settled(asker)
    expect(answers.size).toBe(0)
  })
})

describe.concurrent('pages of Spring', () => {
  const greetings = {
    endpoints: ['/gs-guide-websocket'],
    app: { '/app/hello': { to: '/topic/greetings', body: { content: 'Hello, {name}!' } } },
  }

  test('getting started, with SockJS and stomp.js', async ({ house, pages }) => {
    const broker = await house.broker(greetings)
    const { client } = pages.legacyOver(pages.sockJs(broker, undefined, '/gs-guide-websocket'))
    await opened((connected, failed) => client.connect({}, connected, failed))
    const shown = new Inbox<string>()
    client.subscribe('/topic/greetings', ({ body }) => {
      shown.put((JSON.parse(body) as { content: string }).content)
    })
    for (const name of ['Ada', 'Zoë "Z" {name}']) client.send('/app/hello', {}, JSON.stringify({ name }))
    expect(await shown.takeAll(2)).toEqual(['Hello, Ada!', 'Hello, Zoë "Z" {name}!'])
    client.disconnect()
    expect(client.connected).toBe(false)
  })

  test('getting started, with stompjs and a broker URL', async ({ house, pages }) => {
    const { port } = await house.broker(greetings)
    const client = pages.stompjs({ brokerURL: `ws://127.0.0.1:${port}/gs-guide-websocket` })
    const shown = new Inbox<IMessage>()
    const connected = new Inbox<IFrame>()
    client.onConnect = (frame) => {
      client.subscribe('/topic/greetings', shown.put)
      connected.put(frame)
    }
    client.activate()
    await connected.take()
    client.publish({ destination: '/app/hello', body: JSON.stringify({ name: 'Ada' }) })
    const { headers, body } = await shown.take()
    expect(JSON.parse(body)).toEqual({ content: 'Hello, Ada!' })
    expect(headers).toMatchObject({ destination: '/topic/greetings', 'content-type': 'application/json' })
    await client.deactivate()
  })

  test('chat room: join and talk, each with a path of its own', async ({ house, pages }) => {
    const broker = await house.broker({
      app: {
        '/app/chat.addUser': '/topic/public',
        '/app/chat.sendMessage': '/topic/public',
        '/app/room/{room}': '/topic/room/{room}',
      },
    })
    const [ada, bob] = [
      pages.legacyOver(pages.sockJs(broker, 'xhr-streaming')),
      pages.legacyOver(pages.sockJs(broker)),
    ]
    await Promise.all([ada.connect(), bob.connect()])
    const [forAda, forBob] = [await ada.subscribe('/topic/public'), await bob.subscribe('/topic/public')]
    const room = await bob.subscribe('/topic/room/**')
    const join = { sender: 'ada', type: 'JOIN' }
    const talk = { sender: 'ada', type: 'CHAT', content: 'grüße 🌍' }
    ada.client.send('/app/chat.addUser', {}, JSON.stringify(join))
    ada.client.send('/app/chat.sendMessage', {}, JSON.stringify(talk))
    ada.client.send('/app/room/7', {}, JSON.stringify(talk))
    for (const inbox of [forAda, forBob]) expect(parsed(await inbox.takeAll(2))).toEqual([join, talk])
    const inRoom = await room.take()
    expect(inRoom.headers['destination']).toBe('/topic/room/7')
    expect(JSON.parse(inRoom.body)).toEqual(talk)
  })

  test('stock portfolio: positions, quotes, updates and errors', async ({ house, pages }) => {
    const positions: Record<string, { ticker: string; shares: number }[]> = {
      'ada@example.org': [{ ticker: 'ACME', shares: 75 }],
      bob: [{ ticker: 'GLOBEX', shares: 33 }],
    }
    const broker = await house.broker({
      endpoints: ['/portfolio'],
      app: {
        '/app/positions': ({ user, command }: AppMessage) =>
          command === 'SUBSCRIBE' ? (positions[user] ?? []) : undefined,
        '/app/trade': {
          to: '/user/{user}/queue/position-updates',
          handle: ({ body, user }: AppMessage) => {
            const { action, ticker, shares } = JSON.parse(body.toString()) as {
              action: string
              ticker: string
              shares: number
            }
            const position = positions[user]?.find((held) => held.ticker === ticker)
            if (position === undefined) return undefined
            position.shares += action === 'Buy' ? shares : -shares
            return position
          },
        },
      },
    })
    const page = async (login: string): Promise<Record<string, Inbox<Message>>> => {
      const { client } = pages.legacyOver(pages.sockJs(broker, undefined, '/portfolio'))
      const { headers } = await opened((connected, failed) => client.connect(login, '', connected, failed))
      expect(headers['user-name']).toBe(login)
      const inboxes: Record<string, Inbox<Message>> = {}
      for (const destination of [
        '/app/positions',
        '/topic/price.stock.*',
        '/user/queue/position-updates',
        '/user/queue/errors',
      ]) {
        const inbox = new Inbox<Message>()
        client.subscribe(destination, inbox.put)
        inboxes[destination] = inbox
      }
      clients.push(client)
      return inboxes
    }
    const clients: LegacyClient[] = []
    const ada = await page('ada@example.org')
    const elsewhere = await page('ada@example.org')
    const bob = await page('bob')
    for (const each of [ada, elsewhere]) {
      const answer = await each['/app/positions']?.take()
      expect(JSON.parse(answer?.body ?? '')).toEqual([{ ticker: 'ACME', shares: 75 }])
      expect(answer?.headers['destination']).toBe('/app/positions')
    }
    expect(JSON.parse((await bob['/app/positions']?.take())?.body ?? '')).toEqual(positions['bob'])
    // Of the client in the back office that stands for the application's own messaging.
    const office = pages.legacyOver(pages.webSocket(broker, '/portfolio/websocket'))
    await office.connect()
    for (const ticker of ['ACME', 'GLOBEX']) {
      await office.send(`/topic/price.stock.${ticker}`, JSON.stringify({ ticker, price: 10.5 }))
    }
    for (const each of [ada, elsewhere, bob]) {
      expect(parsed((await each['/topic/price.stock.*']?.takeAll(2)) ?? [])).toEqual([
        { ticker: 'ACME', price: 10.5 },
        { ticker: 'GLOBEX', price: 10.5 },
      ])
    }
    clients[0]?.send('/app/trade', {}, JSON.stringify({ action: 'Sell', ticker: 'ACME', shares: 5 }))
    for (const each of [ada, elsewhere]) {
      const update = await each['/user/queue/position-updates']?.take()
      expect(update?.headers).toMatchObject({
        destination: '/user/queue/position-updates',
        'content-type': 'application/json',
      })
      expect(JSON.parse(update?.body ?? '')).toEqual({ ticker: 'ACME', shares: 70 })
    }
    await office.send('/user/bob/queue/errors', 'The market is closed.')
    expect((await bob['/user/queue/errors']?.take())?.body).toBe('The market is closed.')
    // Bob's last trade is answered after everything that could have come to him.
    clients[2]?.send('/app/trade', {}, JSON.stringify({ action: 'Buy', ticker: 'GLOBEX', shares: 1 }))
    const last = await bob['/user/queue/position-updates']?.take()
    expect(JSON.parse(last?.body ?? '')).toEqual({ ticker: 'GLOBEX', shares: 34 })
    for (const each of [ada, elsewhere, bob]) {
      for (const inbox of Object.values(each)) expect(inbox?.size).toBe(0)
    }
  })

  test('private messages go to all sessions of a name, slashes and all', async ({ house, pages }) => {
    const broker = await house.broker({
      app: { '/app/private': { to: '/user/{to}/queue/messages', body: { from: '{user}', text: '{text}' } } },
    })
    const open = async (login: string): Promise<[Page<LegacyClient>, Inbox<Message>]> => {
      const page = pages.legacyOver(pages.sockJs(broker, 'websocket'))
      await page.connect({ login, passcode: '' })
      return [page, await page.subscribe('/user/queue/messages')]
    }
    const [[ada, forAda], [ops, forOps], [other, alsoForOps], [team, forTeam]] = [
      await open('ada'),
      await open('team/ops'),
      await open('team/ops'),
      await open('team'),
    ]
    await ada.send('/app/private', JSON.stringify({ to: 'ada', text: 'to myself' }))
    expect(JSON.parse((await forAda.take()).body)).toEqual({ from: 'ada', text: 'to myself' })
    // As Spring escapes a name.
    await ada.send('/user/team%2Fops/queue/messages', '"directly"')
    await ada.send('/app/private', JSON.stringify({ to: 'team/ops', text: 'by the application' }))
    await settled(ada, ops, other, team)
    const expected = ['directly', { from: 'ada', text: 'by the application' }]
    for (const inbox of [forOps, alsoForOps]) {
      expect(parsed(await inbox.takeAll(inbox.size))).toEqual(expected)
    }
    expect(forTeam.size + forAda.size).toBe(0)
  })

  test('a user destination as the address of a reply reaches the tab that asked', async ({
    house,
    pages,
  }) => {
    const broker = await house.broker()
    const open = async (login: string): Promise<Page<LegacyClient>> => {
      const page = pages.legacyOver(pages.sockJs(broker, 'websocket'))
      await page.connect({ login, passcode: '' })
      return page
    }
    const [tab, otherTab, server] = [await open('ada'), await open('ada'), await open('server')]
    const answers = await tab.subscribe('/user/queue/answers')
    const others = await otherTab.subscribe('/user/queue/answers')
    const questions = await server.subscribe('/topic/questions')
    await tab.send('/topic/questions', '?', { 'reply-to': '/user/queue/answers' })
    const { headers } = await questions.take()
    await server.send(headers['reply-to'] ?? '', 'to this tab')
    await server.send('/user/ada/queue/answers', 'to all tabs')
    await settled(tab, otherTab)
    const heard = await answers.takeAll(answers.size)
    expect(bodies(heard)).toEqual(['to this tab', 'to all tabs'])
    for (const message of heard) expect(message.headers['destination']).toBe('/user/queue/answers')
    expect(bodies(await others.takeAll(others.size))).toEqual(['to all tabs'])
  })

  test('queues that everybody hears, as in the simple broker', async ({ house, pages }) => {
    const broker = await house.broker({ broadcast: ['/queue/**'] })
    const [one, other] = [
      pages.legacyOver(pages.sockJs(broker, 'xhr-streaming')),
      pages.legacyOver(pages.sockJs(broker, 'websocket')),
    ]
    await Promise.all([one.connect(), other.connect()])
    const inboxes = [
      await one.subscribe('/queue/notifications'),
      await one.subscribe('/queue/notifications'),
      await other.subscribe('/queue/notifications', { ack: 'client' }),
    ]
    for (const body of ['1', '2']) await other.send('/queue/notifications', body)
    for (const inbox of inboxes) {
      const heard = await inbox.takeAll(2)
      expect(bodies(heard)).toEqual(['1', '2'])
      expect(heard[0]?.headers['destination']).toBe('/queue/notifications')
      // Acks mean nothing there, and do no harm.
      heard[0]?.ack()
    }
    await settled(one, other)
    // Nothing was kept for those who come later.
    const late = await other.subscribe('/queue/notifications')
    await settled(other)
    expect(late.size).toBe(0)
  })

  test('a star that stops at slashes only, in Spring mode', async ({ house, pages }) => {
    const broker = await house.broker({ compat: 'spring' })
    const page = pages.legacyOver(pages.sockJs(broker, 'websocket'))
    await page.connect()
    const stocks = await page.subscribe('/topic/price.stock.*')
    const rooms = await page.subscribe('/topic/rooms/*/talk')
    // RabbitMQ's exchanges part their keys at dots everywhere.
    const keys = await page.subscribe('/exchange/amq.topic/price.stock.*')
    for (const destination of [
      '/topic/price.stock.ACME',
      '/topic/price.stock.NASDAQ.ACME',
      '/topic/price.bond.ACME',
      '/topic/rooms/1.2/talk',
      '/topic/rooms/1/2/talk',
    ]) {
      await page.send(destination, destination)
    }
    expect(bodies(await stocks.takeAll(stocks.size))).toEqual([
      '/topic/price.stock.ACME',
      '/topic/price.stock.NASDAQ.ACME',
    ])
    expect(bodies(await rooms.takeAll(rooms.size))).toEqual(['/topic/rooms/1.2/talk'])
    expect(bodies(await keys.takeAll(keys.size))).toEqual(['/topic/price.stock.ACME'])
  })

  test('a page that opens a new connection when it lost the old one', async ({ house, pages }) => {
    const first = await house.broker(greetings)
    const { port } = first
    const [shown, connects] = [new Inbox<Message>(), new Inbox<LegacyClient>()]
    let timer: NodeJS.Timeout | undefined
    pages.finally(() => clearTimeout(timer))
    const connect = (): void => {
      const { client } = pages.legacyOver(pages.sockJs({ port }, undefined, '/gs-guide-websocket'))
      client.connect(
        {},
        () => {
          client.subscribe('/topic/greetings', shown.put)
          connects.put(client)
        },
        () => void (timer = setTimeout(connect, 20)),
      )
    }
    connect()
    await connects.take()
    await first.close()
    await house.broker({ ...greetings, port })
    const client = await connects.take()
    client.send('/app/hello', {}, JSON.stringify({ name: 'again' }))
    expect(parsed([await shown.take()])).toEqual([{ content: 'Hello, again!' }])
  })

  test('prefixes of the application’s own, such as /sub/room/1', async ({ house, pages }) => {
    const broker = await house.broker()
    const page = pages.legacyOver(pages.sockJs(broker, 'websocket'))
    await page.connect()
    const inbox = await page.subscribe('/sub/chat/room/1')
    await page.send('/sub/chat/room/1', 'hello')
    expect((await inbox.take()).headers['destination']).toBe('/sub/chat/room/1')
  })

  test('what no controller takes is gone, and the page goes on', async ({ house, pages }) => {
    const broker = await house.broker()
    const page = pages.legacyOver(pages.sockJs(broker, 'websocket'))
    await page.connect()
    const inbox = await page.subscribe('/app/nobody')
    await page.send('/app/nobody', 'lost')
    await settled(page)
    expect(inbox.size).toBe(0)
    expect(page.failures.size).toBe(0)
    expect(broker.broker.stats.unroutable).toBe(2)
  })
})

describe.concurrent('pages of stompjs 7', () => {
  const url = ({ port }: TestBroker): string => `ws://127.0.0.1:${port}/ws`

  test('request and reply between two clients', async ({ house, pages }) => {
    const broker = await house.broker()
    const replies = new Inbox<IMessage>()
    const asker = await activated(pages, { brokerURL: url(broker), onUnhandledMessage: replies.put })
    const server = await activated(pages, { brokerURL: url(broker) })
    const questions = await subscribed(server, '/queue/questions', { ack: 'client' })
    for (const name of ['one', 'two']) {
      asker.publish({
        destination: '/queue/questions',
        headers: { 'reply-to': `/temp-queue/${name}`, 'correlation-id': name },
        body: name,
      })
    }
    const asked = await questions.takeAll(2)
    const addresses = asked.map(({ headers }) => headers['reply-to'] ?? '')
    expect(new Set(addresses).size).toBe(2)
    for (const question of asked.toReversed()) {
      await receipt(server, (headers) =>
        server.publish({
          destination: question.headers['reply-to'] ?? '',
          body: question.body.toUpperCase(),
          headers,
        }),
      )
      question.ack()
    }
    const answers = await replies.takeAll(2)
    expect(
      answers.map(({ body, headers }) => [body, headers['subscription'], headers['destination']]),
    ).toEqual([
      ['TWO', '/temp-queue/two', addresses[1]],
      ['ONE', '/temp-queue/one', addresses[0]],
    ])
    // Once the asker is gone its addresses lead nowhere, which is no error to the one who answers.
    await asker.deactivate()
    await receipt(server, (headers) =>
      server.publish({ destination: addresses[0] ?? '', body: 'late', headers }),
    )
    expect(broker.broker.stats.unroutable).toBe(1)
  })

  test('replies go to the subscription that the page makes for them', async ({ house, pages }) => {
    const broker = await house.broker()
    const unhandled = new Inbox<IMessage>()
    const asker = await activated(pages, { brokerURL: url(broker), onUnhandledMessage: unhandled.put })
    const server = await activated(pages, { brokerURL: url(broker) })
    const questions = await subscribed(server, '/topic/questions')
    const ask = (): void =>
      asker.publish({ destination: '/topic/questions', headers: { 'reply-to': '/temp-queue/mine' } })
    const answer = async (body: string): Promise<void> => {
      const { headers } = await questions.take()
      server.publish({ destination: headers['reply-to'] ?? '', body })
    }
    ask()
    await answer('without a subscription')
    expect((await unhandled.take()).body).toBe('without a subscription')
    // From now on it wants them here, and nowhere else.
    const replies = await subscribed(asker, '/temp-queue/mine', { id: 'mine' })
    ask()
    await answer('with a subscription')
    ask()
    await answer('and again')
    expect(bodies(await replies.takeAll(2))).toEqual(['with a subscription', 'and again'])
    await receipt(asker, (headers) => asker.publish({ destination: '/topic/x', headers }))
    expect(unhandled.size).toBe(0)
  })

  test('nobody else reads the replies to a page', async ({ house, pages }) => {
    const broker = await house.broker()
    const errors = new Inbox<IFrame>()
    const asker = await activated(pages, { brokerURL: url(broker) })
    const thief = await activated(pages, { brokerURL: url(broker), onStompError: errors.put })
    const questions = await subscribed(thief, '/topic/questions')
    asker.publish({ destination: '/topic/questions', headers: { 'reply-to': '/temp-queue/mine' } })
    const { headers } = await questions.take()
    thief.subscribe(headers['reply-to'] ?? '', () => {}, { receipt: 'theft' })
    expect((await errors.take()).headers).toMatchObject({
      message: 'unsupported destination',
      'receipt-id': 'theft',
    })
  })

  test('receipts nobody watches and messages nobody subscribed to are told of', async ({ house, pages }) => {
    const broker = await house.broker()
    const [unhandled, messages] = [new Inbox<IFrame>(), new Inbox<IMessage>()]
    const client = await activated(pages, {
      brokerURL: url(broker),
      onUnhandledReceipt: unhandled.put,
      onUnhandledMessage: messages.put,
    })
    client.publish({ destination: '/topic/x', headers: { receipt: 'nobody watches' } })
    expect((await unhandled.take()).headers['receipt-id']).toBe('nobody watches')
    client.publish({ destination: '/queue/self', headers: { 'reply-to': '/temp-queue/self' }, body: '?' })
    const self = await subscribed(client, '/queue/self')
    const { headers } = await self.take()
    client.publish({ destination: headers['reply-to'] ?? '', body: '!' })
    const answer = await messages.take()
    expect(answer.body).toBe('!')
    // No ack is needed: today's stompjs sends none, older ones name a message "undefined".
    answer.ack()
    client.ack('undefined', '/temp-queue/self')
    await receipt(client, (asked) => client.publish({ destination: '/topic/x', headers: asked }))
    expect(client.connected).toBe(true)
  })

  test('the settings of a React Native application, all at once', async ({ house, pages }) => {
    const broker = await house.broker()
    const config = {
      brokerURL: url(broker),
      forceBinaryWSFrames: true,
      appendMissingNULLonIncoming: true,
      splitLargeFrames: true,
      maxWebSocketChunkSize: 1_000,
    }
    const [one, other] = [await activated(pages, config), await activated(pages, config)]
    const inbox = await subscribed(other, '/topic/mobile')
    const sent = ['grüße 🌍', '', 'x'.repeat(999), 'grüße 🌍'.repeat(10_000)]
    for (const body of sent) one.publish({ destination: '/topic/mobile', body })
    expect((await inbox.takeAll(4)).map(({ body }, index) => body === sent[index])).toEqual(
      Array.from({ length: 4 }, () => true),
    )
  })

  test('reconnects by itself, with a new login each time', async ({ house, pages }) => {
    const first = await house.broker()
    const { port } = first
    const connects = new Inbox<IFrame>()
    let tokens = 0
    const client = pages.stompjs({
      brokerURL: url(first),
      reconnectDelay: 20,
      reconnectTimeMode: ReconnectionTimeMode.EXPONENTIAL,
      maxReconnectDelay: 100,
      beforeConnect: (self: Client) => {
        self.connectHeaders = { login: `token-${++tokens}`, passcode: '' }
      },
      onConnect: connects.put,
    })
    client.activate()
    expect((await connects.take()).headers['user-name']).toBe('token-1')
    await first.close()
    await house.broker({ port })
    const again = await connects.take()
    expect(again.headers['user-name']).toBe(`token-${tokens}`)
    expect(tokens).toBeGreaterThan(1)
  })

  test('rejects what is wrong and goes on, where the page asked for that', async ({ house, pages }) => {
    const broker = await house.broker()
    const errors = new Inbox<IFrame>()
    const client = await activated(pages, {
      brokerURL: url(broker),
      connectHeaders: { 'x-error-scope': 'frame' },
      onStompError: errors.put,
    })
    client.subscribe('/topic/x', () => {}, { selector: 'not a selector (', receipt: 'bad' })
    const { headers, body } = await errors.take()
    expect(headers['receipt-id']).toBe('bad')
    expect(typeof body).toBe('string')
    const inbox = await subscribed(client, '/topic/x')
    client.publish({ destination: '/topic/x', body: 'still here' })
    expect((await inbox.take()).body).toBe('still here')
  })
})

describe.concurrent('all of them', () => {
  test('share a room, each in its own way', async ({ house, pages }) => {
    const broker = await house.broker()
    const { port } = broker
    const old = pages.legacy(Stomp.over(pages.webSocket(broker, '/ws')))
    const spring = pages.legacyOver(pages.sockJs(broker, 'xhr-streaming'))
    const polling = pages.webstomp(pages.sockJs(broker, 'xhr-polling'))
    const webstomp = pages.webstomp(broker.webSocketUrl)
    await Promise.all([old, spring, polling, webstomp].map((page) => page.connect()))
    const modern = await activated(pages, { brokerURL: `ws://127.0.0.1:${port}/` })
    const tcp = pages.legacy(Stomp.overTCP('127.0.0.1', broker.tcpPort))
    await tcp.connect()
    const angular = pages.rx({ brokerURL: `ws://127.0.0.1:${port}/ws`, reconnectDelay: 0 })
    angular.activate()
    const watched = new Inbox<IMessage>()
    const watching = angular.watch('/topic/room', { receipt: 'watching' }).subscribe(watched.put)
    pages.finally(() => watching.unsubscribe())
    await angular.asyncReceipt('watching')
    expect(await firstValueFrom(angular.connectionState$)).toBe(RxStompState.OPEN)
    const inboxes: (Inbox<IMessage> | Inbox<Message>)[] = [
      watched,
      await subscribed(modern, '/exchange/amq.topic/room'),
      await old.subscribe('/topic/room'),
      await spring.subscribe('/topic/room'),
      await polling.subscribe('/topic/*'),
      await webstomp.subscribe('/topic/room'),
      await tcp.subscribe('/topic/room'),
    ]
    for (const page of [old, spring, polling, webstomp, tcp]) await page.send('/topic/room', 'grüße 🌍')
    await receipt(modern, (headers) =>
      modern.publish({ destination: '/topic/room', body: 'grüße 🌍', headers }),
    )
    angular.publish({ destination: '/exchange/amq.topic/room', body: 'last' })
    const expected = [...Array.from({ length: 6 }, () => 'grüße 🌍'), 'last']
    for (const inbox of inboxes) {
      const heard: string[] = []
      while (heard.length < 7) {
        const { body } = await inbox.take()
        heard.push(body)
      }
      expect(heard).toEqual(expected)
    }
  })
})
