import { RxStomp, RxStompRPC, RxStompState, type RxStompConfig } from '@stomp/rx-stomp'
import type { IFrame, IMessage } from '@stomp/stompjs'
import { filter, first, firstValueFrom, map, merge, scan, take, toArray, type Observable } from 'rxjs'
import { describe, expect } from 'vitest'
import { startBroker } from '../helpers/broker.ts'
import { sockJsTransports, test, type Pages } from '../helpers/pages.ts'
import { Inbox, type Ports } from '../helpers/stompjs.ts'

// What an Angular application does with rx-stomp.

/** Just the settings, without the class. */
type Settings = Pick<RxStompConfig, keyof RxStompConfig>

interface Way {
  readonly name: string
  config(ports: Pick<Ports, 'port'>, pages: Pages): Settings
}

const ways: readonly Way[] = [
  { name: 'WebSocket', config: ({ port }) => ({ brokerURL: `ws://127.0.0.1:${port}/ws` }) },
  ...sockJsTransports.map((transport) => ({
    name: `SockJS ${transport}`,
    config: (ports: Pick<Ports, 'port'>, pages: Pages) => ({
      webSocketFactory: () => pages.sockJs(ports, transport),
    }),
  })),
]

let receipts = 0

/** Publishes, and waits until the broker says so. */
async function publish(
  rxStomp: RxStomp,
  destination: string,
  body: string,
  headers: Record<string, string> = {},
): Promise<void> {
  const receipt = `published-${++receipts}`
  const done = rxStomp.asyncReceipt(receipt)
  rxStomp.publish({ destination, body, headers: { ...headers, receipt } })
  await done
}

/** What a stream brings, from now on. */
function collect<T>(messages: Observable<T>, pages: Pages): Inbox<T> {
  const inbox = new Inbox<T>()
  const subscription = messages.subscribe(inbox.put)
  pages.finally(() => subscription.unsubscribe())
  return inbox
}

/** Watches a destination; done when the broker has confirmed the subscription. */
async function watch(
  rxStomp: RxStomp,
  pages: Pages,
  destination: string,
  headers: Record<string, string> = {},
): Promise<Inbox<IMessage>> {
  const receipt = `watched-${++receipts}`
  const done = rxStomp.asyncReceipt(receipt)
  const inbox = collect(rxStomp.watch(destination, { ...headers, receipt }), pages)
  await done
  return inbox
}

function activate(pages: Pages, config: Settings): RxStomp {
  const rxStomp = pages.rx({ reconnectDelay: 0, heartbeatIncoming: 0, heartbeatOutgoing: 0, ...config })
  rxStomp.activate()
  return rxStomp
}

/** Done when the client knows that its connection is gone. */
async function closed(rxStomp: RxStomp): Promise<void> {
  await firstValueFrom(rxStomp.connectionState$.pipe(first((state) => state === RxStompState.CLOSED)))
}

const bodies = (messages: readonly IMessage[]): string[] => messages.map(({ body }) => body)

describe.concurrent('rx-stomp', () => {
  describe.each(ways)('over $name', (way) => {
    test('tells the states of its connection', async ({ house, pages }) => {
      const rxStomp = pages.rx({ ...way.config(await house.broker(), pages), reconnectDelay: 0 })
      const states: string[] = []
      const watching = rxStomp.connectionState$
        .pipe(map((state) => RxStompState[state]))
        .subscribe((state) => states.push(state))
      pages.finally(() => watching.unsubscribe())
      const serverHeaders = firstValueFrom(rxStomp.serverHeaders$)
      rxStomp.activate()
      await firstValueFrom(rxStomp.connected$)
      expect(rxStomp.connected()).toBe(true)
      expect(await serverHeaders).toMatchObject({ version: '1.2', 'heart-beat': '10000,10000' })
      await rxStomp.deactivate()
      expect(states.filter((state, index) => state !== states[index - 1])).toEqual([
        'CLOSED',
        'CONNECTING',
        'OPEN',
        'CLOSING',
        'CLOSED',
      ])
      expect(rxStomp.active).toBe(false)
    })

    test('a chat: everybody reads what anybody writes', async ({ house, pages }) => {
      const broker = await house.broker()
      const [ada, bob] = [
        activate(pages, { ...way.config(broker, pages), connectHeaders: { login: 'ada', passcode: 'x' } }),
        activate(pages, { ...way.config(broker, pages), connectHeaders: { login: 'bob', passcode: 'x' } }),
      ]
      const [forAda, forBob] = await Promise.all([
        watch(ada, pages, '/topic/chat'),
        watch(bob, pages, '/topic/chat'),
      ])
      const said = (from: string, text: string): string => JSON.stringify({ from, text })
      await publish(ada, '/topic/chat', said('ada', 'grüße 🌍'), { 'content-type': 'application/json' })
      await publish(bob, '/topic/chat', said('bob', 'and to you'))
      const expected = [said('ada', 'grüße 🌍'), said('bob', 'and to you')]
      const [first_, second] = await forAda.takeAll(2)
      expect([first_?.body, second?.body]).toEqual(expected)
      expect(first_?.headers['content-type']).toBe('application/json')
      expect(second?.headers['content-type']).toBeUndefined()
      expect(bodies(await forBob.takeAll(2))).toEqual(expected)
    })

    test('asks by RPC, and each question gets its own answer', async ({ house, pages }) => {
      const broker = await house.broker()
      const [asker, server] = [
        activate(pages, way.config(broker, pages)),
        activate(pages, way.config(broker, pages)),
      ]
      const questions = await watch(server, pages, '/queue/rpc-double', { ack: 'client' })
      const rpc = new RxStompRPC(asker)
      const ask = (number: number): Promise<IMessage> =>
        firstValueFrom(rpc.rpc({ destination: '/queue/rpc-double', body: String(number) }))
      const answers = Promise.all([ask(1), ask(20), ask(300)])
      const asked = await questions.takeAll(3)
      // The last one first: the answers must find their questions themselves.
      for (const question of asked.toReversed()) {
        const { 'reply-to': destination = '', 'correlation-id': correlation = '' } = question.headers
        expect(destination).toMatch(/^\/reply-queue\/./)
        server.publish({
          destination,
          body: String(2 * Number(question.body)),
          headers: { 'correlation-id': correlation },
        })
        question.ack()
      }
      expect(bodies(await answers)).toEqual(['2', '40', '600'])
      for (const { headers } of await answers) {
        expect(headers['subscription']).toBe('/temp-queue/rpc-replies')
      }
    })

    test('resubscribes and sends what waited when the broker is back', async ({ house, pages }) => {
      const before = await startBroker()
      const { port } = before
      const rxStomp = activate(pages, { ...way.config({ port }, pages), reconnectDelay: 50 })
      const other = activate(pages, { ...way.config({ port }, pages), reconnectDelay: 50 })
      const [mine, yours] = await Promise.all([
        watch(rxStomp, pages, '/topic/news'),
        watch(other, pages, '/topic/news'),
      ])
      await publish(rxStomp, '/topic/news', 'before')
      const subscribed = collect(rxStomp.unhandledReceipts$, pages)
      await Promise.all([closed(rxStomp), closed(other), before.close()])
      // Queued, as rx-stomp does by default, and not where that is not wanted.
      rxStomp.publish({ destination: '/queue/waiting', body: 'written meanwhile' })
      expect(() =>
        rxStomp.publish({ destination: '/queue/waiting', body: 'lost', retryIfDisconnected: false }),
      ).toThrow('not connected')
      await house.broker({ port })
      // The receipt of the SUBSCRIBE comes again, unhandled now.
      await subscribed.take()
      await firstValueFrom(other.connected$)
      await publish(other, '/topic/news', 'after')
      expect(bodies(await mine.takeAll(2))).toEqual(['before', 'after'])
      expect(bodies(await yours.takeAll(2))).toEqual(['before', 'after'])
      const late = await watch(other, pages, '/queue/waiting')
      expect((await late.take()).body).toBe('written meanwhile')
    })
  })

  const [plain] = ways as [Way] // the list above begins with it

  test('several observers share one subscription, which ends with the last', async ({ house, pages }) => {
    const rxStomp = activate(pages, plain.config(await house.broker(), pages))
    const queue = rxStomp.watch({
      destination: '/queue/shared',
      subHeaders: () => ({ ack: 'client', receipt: 'shared' }),
      unsubHeaders: () => ({ receipt: 'unshared' }),
    })
    const confirmed = rxStomp.asyncReceipt('shared')
    const [one, other] = [new Inbox<IMessage>(), new Inbox<IMessage>()]
    const [first_, second] = [queue.subscribe(one.put), queue.subscribe(other.put)]
    await confirmed
    await publish(rxStomp, '/queue/shared', 'to both')
    const [mine, yours] = [await one.take(), await other.take()]
    // Two subscriptions would share the queue, and one would get nothing.
    expect([mine.body, yours.body]).toEqual(['to both', 'to both'])
    expect(mine.headers['message-id']).toBe(yours.headers['message-id'])
    mine.ack()
    first_.unsubscribe()
    await publish(rxStomp, '/queue/shared', 'to one')
    expect((await other.take()).body).toBe('to one')
    const ended = rxStomp.asyncReceipt('unshared')
    second.unsubscribe()
    await ended
    await publish(rxStomp, '/queue/shared', 'to none')
    expect(one.size + other.size).toBe(0)
    // Neither was acked.
    const later = await watch(rxStomp, pages, '/queue/shared')
    expect(bodies(await later.takeAll(2))).toEqual(['to one', 'to none'])
  })

  test('an ERROR comes as a value, or ends the stream it belongs to', async ({ house, pages }) => {
    const broker = await house.broker()
    const rxStomp = activate(pages, {
      ...plain.config(broker, pages),
      correlateErrors: (error) => error.headers['receipt-id'] ?? '',
    })
    const error = firstValueFrom(rxStomp.stompErrors$)
    const stream = rxStomp.watch({
      destination: '/topic/wrong',
      subHeaders: { ack: 'sometimes', receipt: '/topic/wrong' },
    })
    const failure = await firstValueFrom(stream).then(
      () => undefined,
      (reason: unknown) => reason as IFrame,
    )
    expect(failure?.headers).toMatchObject({ message: 'invalid header', 'receipt-id': '/topic/wrong' })
    expect(failure?.body).toContain('ack is "sometimes"')
    expect(await error).toBe(failure)
  })

  test('asyncReceipt tells of SEND, SUBSCRIBE and a transaction', async ({ house, pages }) => {
    const rxStomp = activate(pages, plain.config(await house.broker(), pages))
    const inbox = await watch(rxStomp, pages, '/topic/tx')
    const { stompClient } = rxStomp
    const transaction = stompClient.begin()
    await publish(rxStomp, '/topic/tx', 'in', { transaction: transaction.id })
    await publish(rxStomp, '/topic/tx', 'before')
    transaction.commit()
    const receipt = rxStomp.asyncReceipt('last')
    rxStomp.publish({ destination: '/topic/tx', body: 'last', headers: { receipt: 'last' } })
    expect((await receipt).headers['receipt-id']).toBe('last')
    expect(bodies(await inbox.takeAll(3))).toEqual(['before', 'in', 'last'])
  })

  test('acks and nacks what it watches', async ({ house, pages }) => {
    const broker = await house.broker()
    const [one, other] = [
      activate(pages, plain.config(broker, pages)),
      activate(pages, plain.config(broker, pages)),
    ]
    const held = await watch(one, pages, '/queue/work', { ack: 'client-individual', 'prefetch-count': '1' })
    for (const body of ['1', '2', '3']) await publish(one, '/queue/work', body)
    const message = await held.take()
    expect(held.size).toBe(0)
    message.ack()
    const second = await held.take()
    expect(second.body).toBe('2')
    const inbox = await watch(other, pages, '/queue/work', { ack: 'client-individual' })
    expect((await inbox.take()).body).toBe('3')
    second.nack()
    const again = await inbox.take()
    expect(again.body).toBe('2')
    expect(again.headers['redelivered']).toBe('true')
  })

  test('RPC streams several answers, and stops listening when told to', async ({ house, pages }) => {
    const broker = await house.broker()
    const [asker, server] = [
      activate(pages, plain.config(broker, pages)),
      activate(pages, plain.config(broker, pages)),
    ]
    const questions = await watch(server, pages, '/topic/rpc-count')
    const rpc = new RxStompRPC(asker)
    const counted = firstValueFrom(
      rpc.stream({ destination: '/topic/rpc-count', body: '3', headers: { 'correlation-id': 'mine' } }).pipe(
        map(({ body }) => body),
        take(3),
        toArray(),
      ),
    )
    const { headers } = await questions.take()
    expect(headers['correlation-id']).toBe('mine')
    for (const body of ['1', '2', '3']) {
      server.publish({
        destination: headers['reply-to'] ?? '',
        body,
        headers: { 'correlation-id': 'mine' },
      })
    }
    expect(await counted).toEqual(['1', '2', '3'])
  })

  test('RPC with a reply queue of its own', async ({ house, pages }) => {
    const broker = await house.broker()
    const [asker, server] = [
      activate(pages, plain.config(broker, pages)),
      activate(pages, plain.config(broker, pages)),
    ]
    const questions = await watch(server, pages, '/queue/rpc-shout')
    // As with brokers that know no reply queues.
    const rpc = new RxStompRPC(asker, {
      replyQueueName: '/topic/answers-of-ada',
      setupReplyQueue: (name, rxStomp) => rxStomp.watch(name),
    })
    const answer = firstValueFrom(rpc.rpc({ destination: '/queue/rpc-shout', body: 'hello' }))
    const { body, headers } = await questions.take()
    expect(headers['reply-to']).toBe('/topic/answers-of-ada')
    server.publish({
      destination: headers['reply-to'] ?? '',
      body: body.toUpperCase(),
      headers: { 'correlation-id': headers['correlation-id'] ?? '' },
    })
    expect((await answer).body).toBe('HELLO')
  })

  test('RPC goes on after the broker was restarted', async ({ house, pages }) => {
    const before = await startBroker()
    const { port } = before
    const config = { ...plain.config(before, pages), reconnectDelay: 50 }
    const [asker, server] = [activate(pages, config), activate(pages, config)]
    const answering = server.watch('/queue/rpc-echo').subscribe(({ body, headers }) => {
      server.publish({
        destination: headers['reply-to'] ?? '',
        body,
        headers: { 'correlation-id': headers['correlation-id'] ?? '' },
      })
    })
    pages.finally(() => answering.unsubscribe())
    const rpc = new RxStompRPC(asker)
    const ask = (body: string): Promise<IMessage> =>
      firstValueFrom(rpc.rpc({ destination: '/queue/rpc-echo', body }))
    expect((await ask('before')).body).toBe('before')
    await Promise.all([closed(asker), before.close()])
    await house.broker({ port })
    // Published while there is no connection, it waits for one.
    expect((await ask('after')).body).toBe('after')
  })

  test('streams can be combined as streams are', async ({ house, pages }) => {
    const rxStomp = activate(pages, plain.config(await house.broker(), pages))
    const confirmed = Promise.all([rxStomp.asyncReceipt('prices'), rxStomp.asyncReceipt('totals')])
    const total = firstValueFrom(
      merge(
        rxStomp.watch('/topic/price.*', { receipt: 'prices' }),
        rxStomp.watch({ destination: '/topic/totals', subHeaders: { receipt: 'totals' } }),
      ).pipe(
        map(({ body }) => Number(body)),
        scan((sum, price) => sum + price, 0),
        filter((sum) => sum >= 100),
      ),
    )
    await confirmed
    for (const [destination, body] of [
      ['/topic/price.a', '30'],
      ['/topic/price.b', '50'],
      ['/topic/price', '1000'],
      ['/topic/totals', '25'],
    ] as const) {
      rxStomp.publish({ destination, body })
    }
    expect(await total).toBe(105)
  })

  test('subscribeOnlyOnce does not subscribe again', async ({ house, pages }) => {
    const before = await startBroker()
    const { port } = before
    const rxStomp = activate(pages, { ...plain.config(before, pages), reconnectDelay: 50 })
    const confirmed = rxStomp.asyncReceipt('once')
    const inbox = collect(
      rxStomp.watch({ destination: '/topic/once', subscribeOnlyOnce: true, subHeaders: { receipt: 'once' } }),
      pages,
    )
    await confirmed
    await publish(rxStomp, '/topic/once', 'first life')
    expect((await inbox.take()).body).toBe('first life')
    await Promise.all([closed(rxStomp), before.close()])
    await house.broker({ port })
    await firstValueFrom(rxStomp.connected$)
    await publish(rxStomp, '/topic/once', 'second life')
    await publish(rxStomp, '/topic/once', 'second life')
    expect(inbox.size).toBe(0)
  })
})
