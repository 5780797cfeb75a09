import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fresh, startBroker, TestEngine, type TestBroker } from '../helpers/broker.ts'
import { frame, RawClient, type RawFrame } from '../helpers/client.ts'

let broker: TestBroker
const engine = new TestEngine()
beforeAll(async () => {
  broker = await startBroker({}, engine)
})
afterAll(() => broker.close())

type Headers = Record<string, string>

/** A session that reads `destination` as `s`. */
async function reader(destination: string, headers: Headers = {}, connect: Headers = {}): Promise<RawClient> {
  const client = await RawClient.connected(broker, connect)
  await client.request('SUBSCRIBE', { id: 's', destination, ...headers })
  return client
}

/** Publishes one message for each body, from a session of its own. */
async function publish(destination: string, ...bodies: string[]): Promise<void> {
  const client = await RawClient.connected(broker)
  for (const body of bodies) client.send('SEND', { destination }, body)
  await client.request('DISCONNECT')
}

/** Everything it held is given back when this is done. */
async function leave(client: RawClient): Promise<void> {
  await client.request('DISCONNECT')
}

function ack(client: RawClient, message: RawFrame | undefined): Promise<void> {
  return client.request('ACK', { id: message?.headers.ack ?? '' })
}

function bodiesOf(frames: readonly RawFrame[]): string[] {
  return frames.map(({ body }) => body.toString())
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index + 1))
}

/** Waits until the broker has no such queue. */
async function reclaimed(queue: string): Promise<void> {
  const client = await RawClient.connected(broker)
  while ((await engine.inspect()).some((info) => info.queue === queue)) await client.sync()
}

/** What a SEND of `publish` counts for against a limit of bytes. */
function footprint(destination: string, body: string): number {
  return frame('SEND', { destination }, body).length + 256 + 64
}

async function refused(headers: Headers): Promise<{ message: string; body: string; code: number }> {
  const client = await RawClient.connected(broker)
  client.send('SUBSCRIBE', { id: 's', receipt: 'r', ...headers })
  const { error, close } = await client.refusal()
  expect(error.headers['receipt-id']).toBe('r')
  expect(client.frames).toEqual([])
  return { message: error.headers.message ?? '', body: error.body.toString(), code: close.code }
}

describe('4.8 SUBSCRIBE', () => {
  describe('Ack mode', () => {
    test.each([
      ['auto', []],
      ['client', ['3']],
      ['client-individual', ['1', '3']],
    ])('ack:%s', async (mode, left) => {
      const destination = fresh('queue')
      await publish(destination, '1', '2', '3')
      const client = await reader(destination, { ack: mode })
      const [, second] = await client.take(3)
      if (mode !== 'auto') await ack(client, second)
      await leave(client)
      await publish(destination, 'later')
      expect(await (await reader(destination)).bodies(left.length + 1)).toEqual([...left, 'later'])
    })

    test('any other is an ERROR', async () => {
      const { message, body, code } = await refused({ destination: fresh('queue'), ack: 'sometimes' })
      expect(message).toBe('invalid header')
      expect(body).toContain('ack is "sometimes"')
      expect(code).toBe(1002)
    })
  })

  describe('Prefetch', () => {
    const names = ['prefetch-count', 'activemq.prefetchSize', 'credit', 'prefetch']
    test.each(names.flatMap((name) => ['client', 'client-individual'].map((mode) => [name, mode] as const)))(
      '%s:<n> with ack:%s',
      async (name, mode) => {
        const destination = fresh('queue')
        await publish(destination, ...numbers(5))
        const client = await reader(destination, { ack: mode, [name]: '3' })
        await client.sync()
        expect(bodiesOf(client.frames)).toEqual(['1', '2', '3'])
        const [first] = await client.take(3)
        await ack(client, first)
        await client.sync()
        expect(bodiesOf(client.frames)).toEqual(['4'])
      },
    )

    /** How many of 50 messages come before an ACK; `size` is what one counts for. */
    async function handedOut(headers: (size: number) => Headers): Promise<number> {
      const destination = fresh('queue')
      const bodies = Array.from({ length: 50 }, () => 'x')
      await publish(destination, ...bodies)
      const client = await reader(destination, { ack: 'client', ...headers(footprint(destination, 'x')) })
      await client.sync()
      return client.frames.length
    }

    test.each(names)('%s:0 = unlimited, only where asked', async (name) => {
      expect(await handedOut(() => ({ [name]: '0' }))).toBe(50)
    })

    test.each([
      ['0', 1],
      ['-1', 50],
      ['1', 1],
    ])('consumer-window-size:%s', async (window, count) => {
      expect(await handedOut(() => ({ 'consumer-window-size': window }))).toBe(count)
    })

    test('consumer-window-size:<bytes>', async () => {
      expect(await handedOut((size) => ({ 'consumer-window-size': String(40 * size) }))).toBe(40)
      // One byte of room is room: a message is never split.
      expect(await handedOut((size) => ({ 'consumer-window-size': String(40 * size + 1) }))).toBe(41)
    })

    test('credit:<n>,<bytes>: whichever is used up first', async () => {
      expect(await handedOut((size) => ({ credit: `10,${20 * size}` }))).toBe(10)
      expect(await handedOut((size) => ({ credit: `20,${10 * size}` }))).toBe(10)
      expect(await handedOut((size) => ({ credit: `20,${10 * size + 1}` }))).toBe(11)
    })

    test('consumer-window-size:<bytes>: an ACK makes room', async () => {
      const destination = fresh('queue')
      await publish(destination, ...numbers(4))
      const client = await reader(destination, {
        ack: 'client-individual',
        'consumer-window-size': String(2 * footprint(destination, '1')),
      })
      await client.sync()
      const messages = await client.take(2)
      await ack(client, messages[1])
      expect(await client.bodies(1)).toEqual(['3'])
      await client.sync()
      expect(client.frames).toEqual([])
    })

    test.each([...names, 'consumer-window-size'])('%s that is no number is an ERROR', async (name) => {
      const { message, body, code } = await refused({ destination: fresh('queue'), [name]: 'many' })
      expect(message).toBe('invalid header')
      expect(body).toContain(`${name} is "many"`)
      expect(code).toBe(1002)
    })
  })

  describe('Durable subscription', () => {
    const dialects: [string, Headers, Headers][] = [
      ['durable:true', {}, { durable: 'true', 'auto-delete': 'false' }],
      ['persistent:true', {}, { persistent: 'true', 'auto-delete': 'false' }],
      [
        'activemq.subscriptionName + CONNECT client-id',
        { 'client-id': 'a' },
        { 'activemq.subscriptionName': 'sub' },
      ],
      ['durable-subscription-name + client-id', { 'client-id': 'b' }, { 'durable-subscription-name': 'sub' }],
      ['durable-subscriber-name + client-id', { 'client-id': 'c' }, { 'durable-subscriber-name': 'sub' }],
      ['persistent:true + id', {}, { persistent: 'true', id: 'mine' }],
      ['durable:<name>', {}, { durable: 'sub' }],
    ]
    test.each(dialects)('%s', async (_, connect, headers) => {
      const destination = fresh('topic')
      const first = await reader(destination, headers, connect)
      await publish(destination, 'there')
      expect(await first.bodies(1)).toEqual(['there'])
      await leave(first)
      await publish(destination, 'away 1', 'away 2')
      const again = await reader(destination, headers, connect)
      await publish(destination, 'back')
      const messages = await again.take(3)
      expect(bodiesOf(messages)).toEqual(['away 1', 'away 2', 'back'])
      for (const message of messages) {
        expect(message.headers).toMatchObject({ subscription: headers.id ?? 's', destination })
      }
      await again.sync()
      expect(again.frames).toEqual([])
    })

    test.each<[string, Headers]>([
      ['no header', {}],
      ['durable:false', { durable: 'false' }],
      ['persistent:false', { persistent: 'false' }],
      ['durable:', { durable: '' }],
    ])('nothing is kept with %s', async (_, headers) => {
      const destination = fresh('topic')
      await leave(await reader(destination, headers))
      await publish(destination, 'away')
      const again = await reader(destination, headers)
      await publish(destination, 'back')
      expect(await again.bodies(1)).toEqual(['back'])
    })

    test.each(['activemq.subscriptionName', 'durable-subscription-name', 'durable-subscriber-name'])(
      'same meaning, many names: durable:<name> is found again as %s:<name>',
      async (name) => {
        const destination = fresh('topic')
        const connect = { 'client-id': `names of ${name}` }
        await leave(await reader(destination, { durable: 'sub' }, connect))
        await publish(destination, 'away')
        expect(await (await reader(destination, { [name]: 'sub' }, connect)).bodies(1)).toEqual(['away'])
      },
    )

    test.each<[string, Headers, Headers]>([
      ['client-id', { 'client-id': 'other' }, {}],
      ['login', { login: 'other' }, {}],
      ['name', {}, { 'activemq.subscriptionName': 'other' }],
    ])('activemq.subscriptionName: another %s is another subscription', async (what, connect, subscribe) => {
      const destination = fresh('topic')
      const mine = { 'client-id': 'mine', login: 'mine' }
      const name = { 'activemq.subscriptionName': `not for another ${what}` }
      await leave(await reader(destination, name, mine))
      await publish(destination, 'mine alone')
      const other = await reader(destination, { ...name, ...subscribe }, { ...mine, ...connect })
      await publish(destination, 'both')
      expect(await other.bodies(1)).toEqual(['both'])
      expect(await (await reader(destination, name, mine)).bodies(2)).toEqual(['mine alone', 'both'])
    })

    test('durable:true: id and destination are its name', async () => {
      const [destination, elsewhere] = [fresh('topic'), fresh('topic')]
      await leave(await reader(destination, { durable: 'true', id: 'a' }))
      await publish(destination, 'away')
      for (const other of [
        { destination, id: 'b' },
        { destination: elsewhere, id: 'a' },
      ]) {
        const client = await reader(destination, { durable: 'true', ...other })
        await publish(other.destination, 'now')
        expect(await client.bodies(1)).toEqual(['now'])
        await client.request('UNSUBSCRIBE', { ...other, durable: 'true' })
      }
      expect(await (await reader(destination, { durable: 'true', id: 'a' })).bodies(2)).toEqual([
        'away',
        'now',
      ])
    })

    test.each<[string, Headers, Headers, Headers]>([
      ['durable:true', {}, { durable: 'true' }, { id: 's', durable: 'true' }],
      ['persistent:true', {}, { persistent: 'true' }, { id: 's', persistent: 'true' }],
      [
        'activemq.subscriptionName',
        { 'client-id': 'u' },
        { 'activemq.subscriptionName': 'gone' },
        { 'activemq.subscriptionName': 'gone' },
      ],
      [
        'durable-subscription-name',
        { 'client-id': 'u' },
        { 'durable-subscription-name': 'gone too' },
        { id: 's', 'durable-subscription-name': 'gone too' },
      ],
      ['durable:<name>', {}, { durable: 'gone as well' }, { id: 's', durable: 'gone as well' }],
    ])('UNSUBSCRIBE with %s deletes it', async (_, connect, subscribe, unsubscribe) => {
      const destination = fresh('topic')
      const client = await reader(destination, subscribe, connect)
      if ('id' in unsubscribe) {
        await client.request('UNSUBSCRIBE', unsubscribe)
      } else {
        // By its name alone, while it is not in use.
        await client.request('UNSUBSCRIBE', { id: 's' })
        await client.request('UNSUBSCRIBE', unsubscribe)
      }
      await publish(destination, 'away')
      await client.request('SUBSCRIBE', { id: 's', destination, ...subscribe })
      await publish(destination, 'back')
      expect(await client.bodies(1)).toEqual(['back'])
    })

    test.each<[string, Headers]>([
      ['in use by the one who asks as well', { id: 's' }],
      ['by its name alone', {}],
    ])('UNSUBSCRIBE while another client is subscribed is refused: %s', async (what, id) => {
      const destination = fresh('topic')
      const durable = `in use, ${what}`
      const other = await reader(destination, { durable })
      const client = 'id' in id ? await reader(destination, { durable }) : await RawClient.connected(broker)
      await expect(client.request('UNSUBSCRIBE', { ...id, durable })).rejects.toThrow(
        'ERROR durable subscription in use',
      )
      expect((await client.refusal()).close.code).toBe(1008)
      await publish(destination, 'still here')
      expect(await other.bodies(1)).toEqual(['still here'])
    })

    test('UNSUBSCRIBE without the header leaves it', async () => {
      const destination = fresh('topic')
      const client = await reader(destination, { durable: 'left' })
      await client.request('UNSUBSCRIBE', { id: 's' })
      await publish(destination, 'away')
      await client.request('SUBSCRIBE', { id: 's', destination, durable: 'left' })
      expect(await client.bodies(1)).toEqual(['away'])
    })
  })

  describe('Auto-delete / exclusive', () => {
    test.each([
      ['true', ['new']],
      ['false', ['1', '2', 'new']],
    ])('auto-delete:%s', async (value, left) => {
      const destination = fresh('queue')
      const client = await reader(destination, { 'auto-delete': value, ack: 'client' })
      await publish(destination, '1', '2')
      await client.take(2)
      await leave(client)
      await publish(destination, 'new')
      expect(await (await reader(destination)).bodies(left.length)).toEqual(left)
    })

    test.each(['exclusive', 'activemq.exclusive'])('%s:true', async (name) => {
      const destination = fresh('queue')
      const before = await reader(destination)
      const alone = await reader(destination, { [name]: 'true' })
      const after = await reader(destination)
      await publish(destination, ...numbers(4))
      expect(await alone.bodies(4)).toEqual(numbers(4))
      await leave(alone)
      await publish(destination, 'a', 'b')
      const shared = [...(await before.bodies(1)), ...(await after.bodies(1))]
      expect(shared.toSorted()).toEqual(['a', 'b'])
    })
  })

  describe('Queue name behind the topic', () => {
    test('x-queue-name: those who name one queue share its messages', async () => {
      const [topic, queue] = [fresh('topic'), fresh('queue')]
      const headers = { 'x-queue-name': queue.replace('/queue/', ''), ack: 'client-individual' }
      const [one, two] = [await reader(topic, headers), await reader(topic, headers)]
      const plain = await reader(topic)
      await publish(topic, ...numbers(4))
      expect(await one.bodies(2)).toEqual(['1', '3'])
      expect(await two.bodies(2)).toEqual(['2', '4'])
      expect(await plain.bodies(4)).toEqual(numbers(4))
    })

    test('x-queue-name: it is /queue/<name>, and MESSAGE shows what was published to', async () => {
      const [topic, queue] = [fresh('topic'), fresh('queue')]
      const client = await reader(topic, { 'x-queue-name': queue.replace('/queue/', '') })
      await publish(topic, 'by topic')
      await publish(queue, 'by queue')
      const messages = await client.take(2)
      expect(messages.map(({ headers, body }) => [headers.destination, body.toString()])).toEqual([
        [topic, 'by topic'],
        [queue, 'by queue'],
      ])
    })

    test('x-queue-name: with durable:true it stays', async () => {
      const topic = fresh('topic')
      const headers = { 'x-queue-name': 'behind-durable', durable: 'true' }
      await leave(await reader(topic, headers))
      await publish(topic, 'away')
      expect(await (await reader(topic, headers)).bodies(1)).toEqual(['away'])
    })
  })

  describe('Queue arguments', () => {
    /** It keeps the queue and what it was told, and takes nothing. */
    const onlooker = { selector: "onlooker = 'never'" }

    test('x-message-ttl', async () => {
      const [destination, grave] = [fresh('queue'), fresh('topic')]
      const dead = await reader(grave)
      await reader(destination, {
        ...onlooker,
        'x-message-ttl': '20',
        'x-dead-letter-exchange': 'amq.topic',
        'x-dead-letter-routing-key': grave.replace('/topic/', ''),
      })
      await publish(destination, 'short-lived')
      const message = await dead.next('MESSAGE')
      expect(message.body.toString()).toBe('short-lived')
      expect(message.headers['dead-letter-reason']).toBe('expired')
      // Nothing is left where it was.
      const client = await reader(destination, { browser: 'true' })
      expect((await client.next('MESSAGE')).headers.browser).toBe('end')
    })

    test('x-expires', async () => {
      const destination = fresh('queue')
      const client = await reader(destination, { ...onlooker, 'x-expires': '20' })
      await publish(destination, 'old')
      await leave(client)
      await reclaimed(destination)
      await publish(destination, 'new')
      expect(await (await reader(destination)).bodies(1)).toEqual(['new'])
    })

    test('x-max-length: the oldest makes room', async () => {
      const destination = fresh('queue')
      const dead = await reader(destination.replace('/queue/', '/queue/DLQ.'))
      await reader(destination, { ...onlooker, 'x-max-length': '2' })
      await publish(destination, '1', '2', '3')
      const message = await dead.next('MESSAGE')
      expect(message.body.toString()).toBe('1')
      expect(message.headers['dead-letter-reason']).toBe('queue-full')
      expect(await (await reader(destination)).bodies(2)).toEqual(['2', '3'])
      await dead.sync()
      expect(dead.frames).toEqual([])
    })

    test('x-max-length with x-overflow:reject-publish: the newest is refused', async () => {
      const destination = fresh('queue')
      await reader(destination, { ...onlooker, 'x-max-length': '2', 'x-overflow': 'reject-publish' })
      await publish(destination, '1', '2')
      const client = await RawClient.connected(broker)
      client.send('SEND', { destination, receipt: 'r' }, '3')
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'queue full', 'receipt-id': 'r' })
      expect(error.body.toString()).toContain(destination)
      expect(close.code).toBe(1008)
      expect(await (await reader(destination)).bodies(2)).toEqual(['1', '2'])
    })

    test.each([
      ['as many as fit', 0, ['2', '3']],
      ['one byte less', -1, ['3']],
    ])('x-max-length-bytes: %s', async (_, more, left) => {
      const destination = fresh('queue')
      const bytes = 2 * footprint(destination, '1') + more
      await reader(destination, { ...onlooker, 'x-max-length-bytes': String(bytes) })
      await publish(destination, '1', '2', '3')
      const client = await reader(destination)
      expect(await client.bodies(left.length)).toEqual(left)
      await client.sync()
      expect(client.frames).toEqual([])
    })

    test('x-max-priority', async () => {
      const destination = fresh('queue')
      const client = await reader(destination, { ...onlooker, 'x-max-priority': '5' })
      // What is above the highest counts for it.
      for (const priority of ['1', '5', '9', '3'])
        await client.request('SEND', { destination, priority }, priority)
      expect(await (await reader(destination)).bodies(4)).toEqual(['5', '9', '3', '1'])
    })

    test.each([
      ['', 'dead-a', '/queue/dead-a'],
      ['amq.topic', 'dead.b', '/topic/dead.b'],
      ['amq.direct', 'dead.c', '/exchange/amq.direct/dead.c'],
      ['graveyard', 'dead.d', '/exchange/graveyard/dead.d'],
    ])(
      'x-dead-letter-exchange:%s, x-dead-letter-routing-key:%s leads to %s',
      async (exchange, key, place) => {
        const destination = fresh('queue')
        const dead = await reader(place)
        const client = await reader(destination, {
          ack: 'client',
          'x-dead-letter-exchange': exchange,
          'x-dead-letter-routing-key': key,
        })
        await publish(destination, 'dead')
        const id = (await client.next('MESSAGE')).headers.ack ?? ''
        await client.request('NACK', { id, requeue: 'false' })
        const message = await dead.next('MESSAGE')
        expect(message.body.toString()).toBe('dead')
        expect(message.headers).toMatchObject({
          destination: place,
          'original-destination': destination,
          'dead-letter-reason': 'rejected',
        })
      },
    )

    test('x-dead-letter-exchange without a key: the name of the queue is the key', async () => {
      const dead = await reader('/topic/dead-by-name')
      const client = await reader('/queue/dead-by-name', {
        ack: 'client',
        'x-dead-letter-exchange': 'amq.topic',
      })
      await publish('/queue/dead-by-name', 'dead')
      const id = (await client.next('MESSAGE')).headers.ack ?? ''
      await client.request('NACK', { id, requeue: 'false' })
      expect(await dead.bodies(1)).toEqual(['dead'])
    })

    test.each(['x-message-ttl', 'x-expires', 'x-max-length', 'x-max-length-bytes', 'x-max-priority'])(
      '%s that is no number is an ERROR',
      async (name) => {
        const { message, body, code } = await refused({ destination: fresh('queue'), [name]: 'some' })
        expect(message).toBe('invalid header')
        expect(body).toContain(`${name} is "some"`)
        expect(code).toBe(1002)
      },
    )
  })

  describe('what we cannot honour', () => {
    test.each([
      ['Queue arguments', 'x-queue-type', 'quorum'],
      ['Queue arguments', 'x-stream-offset', 'first'],
      ['Queue arguments', 'x-stream-filter', 'a'],
      ['Queue arguments', 'quota', '10M'],
      ['Replay', 'from-offset', '5'],
      ['Replay', 'activemq.retroactive', 'true'],
      ['Replay', 'from-seq', '0'],
      ['any other', 'x-unheard-of', '1'],
    ])('%s: %s is accepted and ignored, logged once', async (_, name, value) => {
      broker.warnings.length = 0
      for (const kind of ['topic', 'queue'] as const) {
        const destination = fresh(kind)
        const client = await RawClient.connected(broker)
        await client.request('SUBSCRIBE', { id: 's', destination, [name]: value })
        await client.request('SEND', { destination }, 'heard')
        expect(await client.bodies(1)).toEqual(['heard'])
      }
      expect(broker.warnings).toHaveLength(1)
      expect(broker.warnings[0]).toContain(`"${name}"`)
    })

    test('what we honour is not logged', async () => {
      broker.warnings.length = 0
      const client = await RawClient.connected(broker)
      const honoured = {
        ack: 'client',
        prefetch: '1',
        'prefetch-count': '1',
        'activemq.prefetchSize': '1',
        credit: '1',
        'consumer-window-size': '1',
        selector: 'a = 1',
        'no-local': 'false',
        'activemq.noLocal': 'false',
        browser: 'false',
        'browser-end': 'false',
        exclusive: 'false',
        'activemq.exclusive': 'false',
        'x-priority': '1',
        'activemq.priority': '1',
        durable: 'true',
        persistent: 'true',
        'auto-delete': 'false',
        'activemq.subscriptionName': 'n',
        'durable-subscription-name': 'n',
        'durable-subscriber-name': 'n',
        'x-queue-name': 'honoured',
        'x-message-ttl': '60000',
        'x-expires': '60000',
        'x-max-length': '10',
        'x-max-length-bytes': '10000',
        'x-overflow': 'drop-head',
        'x-max-priority': '9',
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': 'k',
        'content-length': '0',
      }
      await client.request('SUBSCRIBE', { id: 's', destination: fresh('topic'), ...honoured })
      expect(broker.warnings).toEqual([])
    })
  })

  describe('Selector', () => {
    async function send(client: RawClient, destination: string, colours: string[]): Promise<void> {
      for (const colour of colours)
        await client.request('SEND', { destination, colour, weight: String(colour.length) }, colour)
    }

    test('selector:<SQL-92> on a topic', async () => {
      const destination = fresh('topic')
      const client = await reader(destination, { selector: "colour = 'red' OR weight BETWEEN 5 AND 6" })
      await send(client, destination, ['red', 'blue', 'green', 'violet', 'magenta'])
      expect(await client.bodies(3)).toEqual(['red', 'green', 'violet'])
      await client.sync()
      expect(client.frames).toEqual([])
    })

    test('selector:<SQL-92> on a queue: the others get the rest', async () => {
      const destination = fresh('queue')
      const red = await reader(destination, { selector: "colour LIKE 'r%'" })
      await send(red, destination, ['blue', 'red', 'green', 'rose'])
      expect(await red.bodies(2)).toEqual(['red', 'rose'])
      expect(await (await reader(destination)).bodies(2)).toEqual(['blue', 'green'])
    })

    test('selector on a durable subscription: what it does not want is not kept', async () => {
      const destination = fresh('topic')
      const headers = { durable: 'selective', selector: "colour <> 'blue'" }
      await leave(await reader(destination, headers))
      await send(await RawClient.connected(broker), destination, ['blue', 'red', 'blue', 'green'])
      expect(await (await reader(destination, headers)).bodies(2)).toEqual(['red', 'green'])
    })

    test.each([
      "a ~ 'x'",
      'a == 1',
      "a REGEXP 'x'",
      "a ILIKE 'x'",
      'a % 2 = 0',
      "a || 'x' = 'y'",
      'a = 1 XOR b = 2',
      'a =',
    ])('unknown operators are an ERROR, not silence: %s', async (selector) => {
      for (const kind of ['topic', 'queue'] as const) {
        const { message, body, code } = await refused({ destination: fresh(kind), selector })
        expect(message).toBe('invalid selector')
        expect(body.length).toBeGreaterThan(20)
        expect(code).toBe(1008)
      }
    })
  })

  describe('No local', () => {
    const names = ['activemq.noLocal', 'no-local']
    test.each(names.flatMap((name) => (['topic', 'queue'] as const).map((kind) => [name, kind] as const)))(
      '%s:true on a %s',
      async (name, kind) => {
        const destination = fresh(kind)
        const client = await reader(destination, { [name]: 'true' })
        await client.request('SEND', { destination }, 'own')
        await publish(destination, 'foreign')
        expect(await client.bodies(1)).toEqual(['foreign'])
        await client.sync()
        expect(client.frames).toEqual([])
        // On a queue it is for somebody else.
        if (kind === 'queue') expect(await (await reader(destination)).bodies(1)).toEqual(['own'])
      },
    )

    test('no-local:true on a durable subscription', async () => {
      const destination = fresh('topic')
      const client = await reader(destination, { 'no-local': 'true', durable: 'not local' })
      await client.request('SEND', { destination }, 'own')
      await publish(destination, 'foreign')
      expect(await client.bodies(1)).toEqual(['foreign'])
    })

    test('no-local:false: the own ones come', async () => {
      const destination = fresh('topic')
      const client = await reader(destination, { 'no-local': 'false' })
      await client.request('SEND', { destination }, 'own')
      expect(await client.bodies(1)).toEqual(['own'])
    })
  })

  describe('Browse', () => {
    test('browser:true: shows all in order, ends with browser:end, and takes nothing', async () => {
      const destination = fresh('queue')
      await publish(destination, '1', '2', '3')
      for (let time = 0; time < 2; time++) {
        const client = await reader(destination, { browser: 'true' })
        const messages = await client.take(4)
        expect(bodiesOf(messages)).toEqual(['1', '2', '3', ''])
        expect(messages.map(({ headers }) => headers.browser)).toEqual([
          undefined,
          undefined,
          undefined,
          'end',
        ])
        for (const { headers } of messages) {
          expect(headers).toMatchObject({ subscription: 's', destination })
          expect(headers).not.toHaveProperty('ack')
        }
        await leave(client)
      }
      const taker = await reader(destination)
      const taken = await taker.take(3)
      expect(bodiesOf(taken)).toEqual(['1', '2', '3'])
      for (const { headers } of taken) expect(headers.redelivered).toBe('false')
    })

    test('browser:true of an empty queue is its end', async () => {
      const client = await reader(fresh('queue'), { browser: 'true' })
      expect((await client.next('MESSAGE')).headers).toMatchObject({
        subscription: 's',
        browser: 'end',
        'content-length': '0',
      })
    })

    test('browser-end:false: no end frame', async () => {
      const destination = fresh('queue')
      await publish(destination, '1')
      const client = await reader(destination, { browser: 'true', 'browser-end': 'false' })
      // A look from later on has its end, and by then the first would have had it.
      await client.request('SUBSCRIBE', { id: 't', destination, browser: 'true' })
      await client.until(() => client.frames.some(({ headers }) => headers.browser === 'end'))
      expect(client.frames.map(({ headers, body }) => `${headers.subscription} ${body.toString()}`)).toEqual([
        's 1',
        't 1',
        't ',
      ])
    })

    test('browser:true with a selector', async () => {
      const destination = fresh('queue')
      const client = await RawClient.connected(broker)
      for (const colour of ['red', 'blue', 'red'])
        await client.request('SEND', { destination, colour }, colour)
      await client.request('SUBSCRIBE', {
        id: 's',
        destination,
        browser: 'true',
        selector: "colour = 'red'",
      })
      expect(await client.bodies(3)).toEqual(['red', 'red', ''])
    })
  })

  describe('Consumer priority', () => {
    test.each(['x-priority', 'activemq.priority'])('%s', async (name) => {
      const destination = fresh('queue')
      const shared = { ack: 'client-individual', prefetch: '2' }
      const low = await reader(destination, { ...shared, [name]: '-1' })
      const usual = await reader(destination, shared)
      const high = await reader(destination, { ...shared, [name]: '10' })
      await publish(destination, ...numbers(6))
      expect(await high.bodies(2)).toEqual(['1', '2'])
      expect(await usual.bodies(2)).toEqual(['3', '4'])
      expect(await low.bodies(2)).toEqual(['5', '6'])
    })

    test.each(['x-priority', 'activemq.priority'])('%s that is no number is an ERROR', async (name) => {
      const { message, body } = await refused({ destination: fresh('queue'), [name]: 'top' })
      expect(message).toBe('invalid header')
      expect(body).toContain(`${name} is "top"`)
    })
  })

  describe('id', () => {
    test.each(['1.1', '1.2'])('required on %s', async (version) => {
      const client = await RawClient.connected(broker, {}, version)
      client.send('SUBSCRIBE', { destination: fresh('topic'), receipt: 'r' })
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'missing header', 'receipt-id': 'r' })
      expect(error.body.toString()).toContain('"id"')
      expect(close.code).toBe(1002)
    })

    test('synthesised on 1.0', async () => {
      const [one, two] = [fresh('topic'), fresh('topic')]
      const client = await RawClient.connected(broker, {}, '1.0')
      for (const destination of [one, two]) await client.request('SUBSCRIBE', { destination })
      await publish(one, 'one')
      await publish(two, 'two')
      const ids = (await client.take(2)).map(({ headers }) => headers.subscription)
      expect(ids[0]).toMatch(/./)
      expect(ids[1]).toMatch(/./)
      expect(ids[0]).not.toBe(ids[1])
    })

    test.each(['topic', 'queue'] as const)(
      'duplicate id on one connection: ERROR and close, on a %s',
      async (kind) => {
        const client = await reader(fresh('topic'))
        client.send('SUBSCRIBE', { id: 's', destination: fresh(kind), receipt: 'r' })
        const { error, close } = await client.refusal()
        expect(error.headers).toMatchObject({ message: 'duplicate subscription id', 'receipt-id': 'r' })
        expect(error.body.toString()).toContain('"s"')
        expect(close.code).toBe(1002)
      },
    )
  })

  describe('a RECEIPT for SUBSCRIBE', () => {
    test.each([
      ['a name', '/topic/routing/a', '/topic/routing/a', {}],
      ['a pattern', '/topic/routing.*', '/topic/routing.b', {}],
      ['a user destination', '/user/queue/routing', '/user/routing/queue/routing', {}],
      ['a durable subscription', '/topic/routing/c', '/topic/routing/c', { durable: 'routing' }],
      ['a queue', '/queue/routing', '/queue/routing', {}],
    ])('means "in the routing table": %s', async (_, subscribed, sent, headers) => {
      const client = await RawClient.connected(broker, { login: 'routing' })
      const sender = await RawClient.connected(broker)
      client.send('SUBSCRIBE', { id: 's', destination: subscribed, receipt: 'routed', ...headers })
      await client.receipt('routed')
      await sender.request('SEND', { destination: sent }, 'now')
      expect(await client.bodies(1)).toEqual(['now'])
    })

    test.each<[string, string, Headers, Headers]>([
      ['what waits in a queue', '/queue/receipt/waiting', {}, {}],
      ['what a queue shows', '/queue/receipt/browsed', {}, { browser: 'true' }],
      ['what a topic retains', '/topic/receipt/retained', { retain: 'set' }, {}],
      ['what was kept', '/topic/receipt/kept', {}, { durable: 'receipt' }],
    ])('is sent before the first MESSAGE: %s', async (_, destination, sent, subscribe) => {
      const client = await RawClient.connected(broker)
      if ('durable' in subscribe) await leave(await reader(destination, subscribe))
      await client.request('SEND', { destination, ...sent }, 'before')
      client.send('SUBSCRIBE', { id: 's', destination, receipt: 'first', ...subscribe })
      expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('first')
      expect(await client.bodies(1)).toEqual(['before'])
    })
  })

  describe('a refused subscription', () => {
    const refusals: [string, Headers, string, number][] = [
      ['a queue pattern', { destination: '/queue/a.*' }, 'unsupported destination', 1008],
      ['a bad name', { destination: '/topic/' }, 'invalid destination', 1002],
      ['a bad selector', { destination: '/topic/refused', selector: 'a is b' }, 'invalid selector', 1008],
      ['a bad header', { destination: '/topic/refused', prefetch: '-1' }, 'invalid header', 1002],
      ['no destination', {}, 'missing header', 1002],
    ]
    test.each(refusals)(
      'gets ERROR (with receipt-id when there was a receipt) and, by default, the close: %s',
      async (_, headers, message, code) => {
        expect(await refused(headers)).toMatchObject({ message, code })
        const client = await RawClient.connected(broker)
        client.send('SUBSCRIBE', { id: 's', ...headers })
        const { error, close } = await client.refusal()
        expect(error.headers.message).toBe(message)
        expect(error.headers).not.toHaveProperty('receipt-id')
        expect(close.code).toBe(code)
      },
    )

    test.each(refusals)(
      'keeps the session alive by the opt-in error scope: %s',
      async (_, headers, message) => {
        const client = await RawClient.connected(broker, { 'x-error-scope': 'frame' })
        client.send('SUBSCRIBE', { id: 's', receipt: 'r', ...headers })
        expect((await client.next('ERROR')).headers).toMatchObject({ message, 'receipt-id': 'r' })
        // Its id is free, and nothing of it is left.
        const destination = fresh('topic')
        await client.request('SUBSCRIBE', { id: 's', destination })
        await client.request('SEND', { destination }, 'alive')
        expect(await client.bodies(1)).toEqual(['alive'])
      },
    )
  })

  describe('ack and prefetch defaults', () => {
    test('ack:auto', async () => {
      const destination = fresh('queue')
      await publish(destination, '1')
      const client = await reader(destination)
      expect((await client.next('MESSAGE')).headers).not.toHaveProperty('ack')
      await leave(client)
      await publish(destination, '2')
      expect(await (await reader(destination)).bodies(1)).toEqual(['2'])
    })

    test.each([
      ['client', undefined, 32],
      ['client-individual', undefined, 32],
      ['client', '33', 33],
      ['client-individual', '31', 31],
      ['auto', undefined, 400],
      ['auto', '5', 400],
    ])(
      'prefetch 32 for client modes, unlimited for auto, unless the client says otherwise: ack:%s, prefetch %s, %i',
      async (mode, prefetch, count) => {
        const destination = fresh('queue')
        await publish(destination, ...numbers(400))
        const client = await reader(destination, { ack: mode, ...(prefetch !== undefined && { prefetch }) })
        // What is handed out turn by turn is all there when as many came, and no more come after them.
        expect(await client.bodies(count)).toEqual(numbers(count))
        await client.sync()
        expect(client.frames).toEqual([])
      },
    )
  })
})
