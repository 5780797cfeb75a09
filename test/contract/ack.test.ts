import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { fresh, ownBrokers, startBroker, type TestBroker } from '../helpers/broker.ts'
import { look, RawClient, type RawFrame } from '../helpers/client.ts'

// The wire contract, 4.10, line by line.

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.close())

const start = ownBrokers()
afterEach(() => void vi.useRealTimers())

async function fill(queue: string, bodies: readonly string[], on = broker): Promise<void> {
  const client = await RawClient.connected(on)
  for (const body of bodies) client.send('SEND', { destination: queue }, body)
  await client.sync()
  client.destroy()
}

/** A queue no other test uses, with messages 1 to `count` in it. */
async function filled(count: number, on = broker): Promise<string> {
  const queue = fresh('queue')
  const bodies = Array.from({ length: count }, (_, index) => String(index + 1))
  await fill(queue, bodies, on)
  return queue
}

/** A client with the subscription `s`. */
async function consumer(
  destination: string,
  headers: Record<string, string> = {},
  on = broker,
  version = '1.2',
): Promise<RawClient & { socket: { close(code: number): void } }> {
  const client = await RawClient.connected(on, {}, version)
  await client.request('SUBSCRIBE', { id: 's', destination, ack: 'client-individual', ...headers })
  return client
}

function ackOf(message: RawFrame | undefined): string {
  return message?.headers.ack ?? 'none'
}

function text({ body, headers }: RawFrame): string {
  return `${body.toString()}${headers.redelivered === 'true' ? ' again' : ''}`
}

/** All that waits in a queue, as the next consumer sees it. */
async function rest(queue: string, on = broker): Promise<string[]> {
  const { length } = await look(on, queue)
  const client = await consumer(queue, { ack: 'auto' }, on)
  const taken = (await client.take(length)).map((message) => text(message))
  client.destroy()
  return taken
}

/** Until the broker has noticed that somebody is gone, and so many messages wait. */
async function returned(queue: string, count: number, on = broker): Promise<void> {
  while ((await look(on, queue)).length < count);
}

describe('4.10 accept ACK and NACK', () => {
  test.each([
    ['1.2', 'id', (id: string) => ({ id })],
    ['1.1', 'message-id and subscription', (id: string) => ({ 'message-id': id, subscription: 's' })],
    ['1.1', 'message-id alone', (id: string) => ({ 'message-id': id })],
    ['1.0', 'message-id and subscription', (id: string) => ({ 'message-id': id, subscription: 's' })],
    ['1.0', 'message-id alone', (id: string) => ({ 'message-id': id })],
    ['1.1', 'id, tolerated', (id: string) => ({ id })],
    ['1.2', 'id and an extra subscription, tolerated', (id: string) => ({ id, subscription: 's' })],
    ['1.2', 'id and a subscription that is none', (id: string) => ({ id, subscription: 'other' })],
  ])('on %s by %s', async (version, _, form) => {
    const queue = await filled(2)
    const client = await consumer(queue, {}, broker, version)
    const name = version === '1.2' ? 'ack' : 'message-id'
    const [first = '', second = ''] = (await client.take(2)).map(({ headers }) => headers[name])
    await client.request('ACK', form(first))
    await client.request('NACK', form(second))
    expect(text(await client.next('MESSAGE'))).toBe('2 again')
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(['2 again'])
  })

  test.each(['1.1', '1.0'])(
    'on %s a subscription that is not the message`s names no message',
    async (version) => {
      const queue = await filled(1)
      const client = await consumer(queue, {}, broker, version)
      await client.request('SUBSCRIBE', { id: 'other', destination: fresh('queue'), ack: 'client' })
      const { headers } = await client.next('MESSAGE')
      client.send('ACK', { 'message-id': headers['message-id'] ?? '', subscription: 'other', receipt: 'r' })
      const { error } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'unknown ack id', 'receipt-id': 'r' })
      await returned(queue, 1)
    },
  )

  test.each(['ACK', 'NACK'])('%s with id:undefined is a no-op, not a fatal ERROR', async (command) => {
    const queue = await filled(1)
    const client = await consumer(queue, { ack: 'client' })
    await client.next('MESSAGE')
    await client.request(command, { id: 'undefined' })
    await client.sync()
    expect(client.frames).toEqual([])
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(['1 again'])
  })

  test('id:undefined is a warning', async () => {
    const own = await start({})
    const client = await RawClient.connected(own)
    await client.request('ACK', { id: 'undefined' })
    await client.request('ACK', { id: 'undefined' })
    expect(own.warnings).toEqual([expect.stringContaining('undefined')])
  })
})

describe('4.10 client is cumulative', () => {
  test('ACK covers all before it in its subscription', async () => {
    const queue = await filled(5)
    const client = await consumer(queue, { ack: 'client' })
    const messages = await client.take(5)
    await client.request('ACK', { id: ackOf(messages[2]) })
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(['4 again', '5 again'])
  })

  test('NACK too', async () => {
    const queue = await filled(3)
    const client = await consumer(queue, { ack: 'client' })
    const messages = await client.take(3)
    await client.request('NACK', { id: ackOf(messages[1]) })
    expect((await client.take(2)).map((message) => text(message))).toEqual(['1 again', '2 again'])
  })

  test('per subscription, not per connection', async () => {
    const [one, other] = [await filled(2), await filled(2)]
    const client = await consumer(one, { ack: 'client' })
    await client.take(2)
    await client.request('SUBSCRIBE', { id: 'later', destination: other, ack: 'client' })
    const messages = await client.take(2)
    await client.request('ACK', { id: ackOf(messages[1]) })
    await client.request('DISCONNECT')
    expect(await rest(one)).toEqual(['1 again', '2 again'])
    expect(await rest(other)).toEqual([])
  })

  test('per subscription, also where two of a connection share a queue', async () => {
    const queue = fresh('queue')
    const client = await consumer(queue, { ack: 'client' })
    await client.request('SUBSCRIBE', { id: 't', destination: queue, ack: 'client' })
    await fill(queue, ['1', '2', '3', '4'])
    const messages = await client.take(4)
    const ofT = messages.filter(({ headers }) => headers.subscription === 't')
    const ofS = messages.filter(({ headers }) => headers.subscription === 's')
    expect([ofS.length, ofT.length]).toEqual([2, 2])
    await client.request('ACK', {
      id: ackOf(messages.findLast(({ headers }) => headers.subscription === 't')),
    })
    await client.request('DISCONNECT')
    expect(await rest(queue)).toEqual(ofS.map(({ body }) => `${body.toString()} again`))
  })

  test('client-individual is not', async () => {
    const queue = await filled(3)
    const client = await consumer(queue)
    const messages = await client.take(3)
    await client.request('ACK', { id: ackOf(messages[2]) })
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(['1 again', '2 again'])
  })
})

describe('4.10 NACK', () => {
  test('back to its original position', async () => {
    const queue = await filled(4)
    const client = await consumer(queue, { prefetch: '2' })
    const messages = await client.take(2)
    await client.request('NACK', { id: ackOf(messages[1]) })
    expect(text(await client.next('MESSAGE'))).toBe('2 again')
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(['1 again', '2 again', '3', '4'])
  })

  test('offered first to a consumer other than the one that refused it', async () => {
    const queue = await filled(1)
    const refuser = await consumer(queue)
    const message = await refuser.next('MESSAGE')
    const other = await consumer(queue)
    await refuser.request('NACK', { id: ackOf(message) })
    expect(text(await other.next('MESSAGE'))).toBe('1 again')
    await refuser.sync()
    expect(refuser.frames).toEqual([])
  })

  test('offered to the one that refused it where there is no other', async () => {
    const client = await consumer(await filled(1))
    await client.request('NACK', { id: ackOf(await client.next('MESSAGE')) })
    expect(text(await client.next('MESSAGE'))).toBe('1 again')
  })

  test('count++', async () => {
    const own = await start({ redeliveryDelay: 1, maxRedeliveryDelay: 1 })
    const client = await consumer(await filled(1, own), {}, own)
    const counts: (string | undefined)[] = []
    for (let delivery = 1; delivery <= 4; delivery++) {
      const message = await client.next('MESSAGE')
      counts.push(message.headers['delivery-count'])
      await client.request('NACK', { id: ackOf(message) })
    }
    expect(counts).toEqual([undefined, '1', '2', '3'])
  })

  test('a short growing delay from the second refusal on', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const own = await start({ redeliveryDelay: 1000, maxRedeliveryDelay: 3000 })
    const client = await consumer(await filled(1, own), {}, own)
    // The first comes again at once: no time passes here unless it is told to.
    for (const delay of [0, 1000, 2000, 3000, 3000]) {
      await client.request('NACK', { id: ackOf(await client.next('MESSAGE')) })
      if (delay === 0) continue
      vi.advanceTimersByTime(delay - 1)
      await client.sync()
      expect(client.frames).toEqual([])
      vi.advanceTimersByTime(1)
    }
    expect((await client.next('MESSAGE')).headers['delivery-count']).toBe('5')
  })

  test('dead-letter after maxDeliveries (default 16) to /queue/DLQ.<queue>', async () => {
    const own = await start({ redeliveryDelay: 1, maxRedeliveryDelay: 1 })
    const queue = fresh('queue')
    const client = await consumer(queue, {}, own)
    await client.request('SEND', { destination: queue, custom: 'kept' }, 'poison')
    for (let delivery = 1; delivery <= 16; delivery++) {
      const message = await client.next('MESSAGE')
      expect(message.headers['delivery-count']).toBe(delivery === 1 ? undefined : String(delivery - 1))
      expect(await look(own, `/queue/DLQ.${queue.slice('/queue/'.length)}`)).toEqual([])
      await client.request('NACK', { id: ackOf(message) })
    }
    const grave = `/queue/DLQ.${queue.slice('/queue/'.length)}`
    const reader = await consumer(grave, { ack: 'auto' }, own)
    const dead = await reader.next('MESSAGE')
    expect(dead.body.toString()).toBe('poison')
    expect(dead.headers).toMatchObject({
      destination: grave,
      redelivered: 'false',
      custom: 'kept',
      'original-destination': queue,
      'dead-letter-reason': 'max-deliveries',
      'dead-letter-deliveries': '16',
    })
    expect(await look(own, queue)).toEqual([])
    await client.sync()
    expect(client.frames).toEqual([])
    expect(own.broker.stats.deadLetters).toBe(1)
  })

  test('dead-letter after maxDeliveries, which is an option', async () => {
    const own = await start({ maxDeliveries: 2 })
    const queue = await filled(1, own)
    const client = await consumer(queue, {}, own)
    await client.request('NACK', { id: ackOf(await client.next('MESSAGE')) })
    await client.request('NACK', { id: ackOf(await client.next('MESSAGE')) })
    expect(await look(own, `/queue/DLQ.${queue.slice('/queue/'.length)}`)).toEqual(['1'])
  })

  test.each([
    ['the default exchange and a key', '', 'contract.grave', '/queue/contract.grave'],
    ['amq.topic and a key', 'amq.topic', 'contract.grave', '/topic/contract.grave'],
    ['amq.direct and a key', 'amq.direct', 'contract.grave', '/exchange/amq.direct/contract.grave'],
    ['another exchange and a key', 'graves', 'contract.grave', '/exchange/graves/contract.grave'],
  ])('or x-dead-letter-exchange`s routing: %s', async (_, exchange, key, expected) => {
    const reader = await consumer(expected, { ack: 'auto' })
    const queue = fresh('queue')
    const client = await consumer(queue, {
      'x-dead-letter-exchange': exchange,
      'x-dead-letter-routing-key': key,
    })
    await fill(queue, ['dead'])
    await client.request('NACK', { id: ackOf(await client.next('MESSAGE')), requeue: 'false' })
    const dead = await reader.next('MESSAGE')
    expect(dead.body.toString()).toBe('dead')
    expect(dead.headers).toMatchObject({
      destination: expected,
      'original-destination': queue,
      'dead-letter-reason': 'rejected',
    })
    expect(await look(broker, `/queue/DLQ.${queue.slice('/queue/'.length)}`)).toEqual([])
    reader.destroy()
  })

  test('or x-dead-letter-exchange`s routing: without a key, by the name of the queue', async () => {
    const queue = fresh('queue')
    const expected = queue.replace('/queue/', '/topic/')
    const reader = await consumer(expected, { ack: 'auto' })
    const client = await consumer(queue, { 'x-dead-letter-exchange': 'amq.topic' })
    await fill(queue, ['dead'])
    await client.request('NACK', { id: ackOf(await client.next('MESSAGE')), requeue: 'false' })
    expect((await reader.next('MESSAGE')).headers).toMatchObject({
      destination: expected,
      'original-destination': queue,
    })
  })

  test('requeue:false: dead-letter at once', async () => {
    const queue = await filled(2)
    const client = await consumer(queue)
    const [first] = await client.take(2)
    await client.request('NACK', { id: ackOf(first), requeue: 'false' })
    const reader = await consumer(`/queue/DLQ.${queue.slice('/queue/'.length)}`, { ack: 'auto' })
    const dead = await reader.next('MESSAGE')
    expect(dead.body.toString()).toBe('1')
    expect(dead.headers).toMatchObject({
      'original-destination': queue,
      'dead-letter-reason': 'rejected',
      'dead-letter-deliveries': '1',
    })
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(['2 again'])
  })

  test('requeue:false: discard only if no DLQ is configured', async () => {
    const own = await start({ deadLetters: false })
    const queue = await filled(2, own)
    const client = await consumer(queue, {}, own)
    const [first] = await client.take(2)
    await client.request('NACK', { id: ackOf(first), requeue: 'false' })
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await look(own, `/queue/DLQ.${queue.slice('/queue/'.length)}`)).toEqual([])
    expect(await rest(queue, own)).toEqual(['2 again'])
    expect(own.broker.stats).toMatchObject({ deadLetters: 0, dropped: 1 })
  })

  test('what only returned, without a NACK, is never dead-lettered', async () => {
    const own = await start({ maxDeliveries: 2 })
    const queue = await filled(1, own)
    for (let delivery = 1; delivery <= 4; delivery++) {
      const client = await consumer(queue, {}, own)
      expect((await client.next('MESSAGE')).headers['delivery-count']).toBe(
        delivery === 1 ? undefined : String(delivery - 1),
      )
      await client.request('UNSUBSCRIBE', { id: 's' })
    }
    expect(await look(own, queue)).toEqual(['1'])
  })
})

describe('4.10 an ack id this connection once held but that is settled or returned', () => {
  test.each([
    [
      'a double ACK',
      async (client: RawClient, id: string) => client.request('ACK', { id }),
      'ACK',
      [] as string[],
    ],
    [
      'a NACK after an ACK',
      async (client: RawClient, id: string) => client.request('ACK', { id }),
      'NACK',
      [],
    ],
    [
      'an ACK after a NACK that made it a dead letter',
      async (client: RawClient, id: string) => client.request('NACK', { id, requeue: 'false' }),
      'ACK',
      [],
    ],
    [
      'a late ACK after UNSUBSCRIBE',
      async (client: RawClient) => client.request('UNSUBSCRIBE', { id: 's' }),
      'ACK',
      ['1 again'],
    ],
    [
      'a late NACK after UNSUBSCRIBE',
      async (client: RawClient) => client.request('UNSUBSCRIBE', { id: 's' }),
      'NACK',
      ['1 again'],
    ],
  ])('%s is ignored and counted', async (_, before, command, left) => {
    const queue = await filled(1)
    const client = await consumer(queue)
    const id = ackOf(await client.next('MESSAGE'))
    await before(client, id)
    const { lateAcks } = broker.broker.stats
    await client.request(command, { id })
    expect(broker.broker.stats.lateAcks).toBe(lateAcks + 1)
    await client.sync()
    expect(client.frames).toEqual([])
    expect(await rest(queue)).toEqual(left)
  })

  test('an ACK of the delivery that was refused does not settle the next one', async () => {
    const queue = await filled(1)
    const client = await consumer(queue)
    const id = ackOf(await client.next('MESSAGE'))
    await client.request('NACK', { id })
    await client.next('MESSAGE')
    await client.request('ACK', { id })
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(['1 again'])
  })
})

describe('4.10 an id never issued to this connection', () => {
  test.each([
    ['1.2', 'ACK', { id: 'invented' }],
    ['1.2', 'NACK', { id: 'invented' }],
    ['1.1', 'ACK', { 'message-id': 'invented', subscription: 's' }],
    ['1.1', 'NACK', { 'message-id': 'invented', subscription: 's' }],
    ['1.0', 'ACK', { 'message-id': 'invented' }],
  ])('%s %s: ERROR and close', async (version, command, headers) => {
    const queue = await filled(1)
    const client = await consumer(queue, {}, broker, version)
    await client.next('MESSAGE')
    client.send(command, { ...headers, receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'unknown ack id', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('"invented"')
    expect(close.code).toBe(1002)
    expect(await rest(queue)).toEqual(['1 again'])
  })

  test('nor does one that another connection holds settle anything', async () => {
    const queue = await filled(1)
    const owner = await consumer(queue)
    const id = ackOf(await owner.next('MESSAGE'))
    const thief = await consumer(fresh('queue'))
    thief.send('ACK', { id })
    expect((await thief.refusal()).error.headers.message).toBe('unknown ack id')
    await owner.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(['1 again'])
  })
})

describe('4.10 ACK on a topic or an ack:auto subscription', () => {
  test.each([
    ['1.2', 'topic', 'auto'],
    ['1.2', 'topic', 'client'],
    ['1.2', 'topic', 'client-individual'],
    ['1.1', 'topic', 'client'],
    ['1.0', 'topic', 'client'],
    ['1.2', 'queue', 'auto'],
    ['1.1', 'queue', 'auto'],
    ['1.0', 'queue', 'auto'],
  ] as const)('%s, %s, ack:%s: ignored silently', async (version, kind, ack) => {
    const destination = fresh(kind)
    const client = await consumer(destination, { ack }, broker, version)
    await client.request('SEND', { destination }, 'first')
    const { headers } = await client.next('MESSAGE')
    const id = headers.ack ?? headers['message-id'] ?? ''
    const form = version === '1.2' ? { id } : { 'message-id': id, subscription: 's' }
    for (const command of ['ACK', 'NACK', 'ACK']) await client.request(command, form)
    await client.request('SEND', { destination }, 'second')
    expect((await client.next('MESSAGE')).body.toString()).toBe('second')
    expect(client.frames).toEqual([])
  })
})

describe('4.10 BEGIN, COMMIT, ABORT', () => {
  test.each(['queue', 'topic'] as const)(
    'SEND with transaction to a %s arrives at COMMIT, in order',
    async (kind) => {
      const destination = fresh(kind)
      const receiver = await consumer(destination, { ack: 'auto' })
      const sender = await RawClient.connected(broker)
      await sender.request('BEGIN', { transaction: 't' })
      for (const body of ['1', '2']) await sender.request('SEND', { destination, transaction: 't' }, body)
      await sender.request('SEND', { destination }, 'outside')
      await sender.request('COMMIT', { transaction: 't' })
      expect(await receiver.bodies(3)).toEqual(['outside', '1', '2'])
    },
  )

  test('ACK with transaction counts at COMMIT', async () => {
    const queue = await filled(2)
    const client = await consumer(queue)
    const [first] = await client.take(2)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('ACK', { id: ackOf(first), transaction: 't' })
    await client.request('COMMIT', { transaction: 't' })
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(['2 again'])
  })

  test('NACK with transaction counts at COMMIT', async () => {
    const client = await consumer(await filled(1))
    const message = await client.next('MESSAGE')
    await client.request('BEGIN', { transaction: 't' })
    await client.request('NACK', { id: ackOf(message), transaction: 't' })
    await client.sync()
    expect(client.frames).toEqual([])
    await client.request('COMMIT', { transaction: 't' })
    expect(text(await client.next('MESSAGE'))).toBe('1 again')
  })

  test('what ABORT ends never arrives', async () => {
    const destination = fresh('topic')
    const client = await consumer(destination, { ack: 'auto' })
    await client.request('BEGIN', { transaction: 't' })
    await client.request('SEND', { destination, transaction: 't' }, 'aborted')
    await client.request('ABORT', { transaction: 't' })
    await client.request('SEND', { destination }, 'later')
    expect(await client.bodies(1)).toEqual(['later'])
  })

  test('16 may be open, the 17th is an ERROR', async () => {
    const client = await RawClient.connected(broker)
    for (let count = 1; count <= 16; count++) await client.request('BEGIN', { transaction: `t${count}` })
    client.send('BEGIN', { transaction: 't17', receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'transaction over a limit', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('max-transactions')
    expect(close.code).toBe(1008)
  })

  test('16 are open again when one has ended', async () => {
    const client = await RawClient.connected(broker)
    for (let count = 1; count <= 16; count++) await client.request('BEGIN', { transaction: `t${count}` })
    await client.request('COMMIT', { transaction: 't1' })
    await client.request('ABORT', { transaction: 't2' })
    await client.request('BEGIN', { transaction: 't17' })
    await client.request('BEGIN', { transaction: 't18' })
  })

  test('1000 frames fit, ACK and NACK among them; the next is an ERROR', async () => {
    const queue = await filled(2)
    const [client, other] = [await consumer(queue), fresh('queue')]
    const [first, second] = await client.take(2)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('ACK', { id: ackOf(first), transaction: 't' })
    await client.request('NACK', { id: ackOf(second), transaction: 't' })
    for (let count = 3; count <= 1000; count++)
      client.send('SEND', { destination: other, transaction: 't' }, String(count))
    await client.sync()
    client.send('SEND', { destination: other, transaction: 't', receipt: 'r' }, '1001')
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'transaction over a limit', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('max-transaction-frames')
    expect(close.code).toBe(1008)
    expect(await look(broker, other)).toEqual([])
    expect(await rest(queue)).toEqual(['1 again', '2 again'])
  })

  test('1000 frames are committed whole', async () => {
    const queue = fresh('queue')
    const client = await RawClient.connected(broker)
    await client.request('BEGIN', { transaction: 't' })
    for (let count = 1; count <= 1000; count++)
      client.send('SEND', { destination: queue, transaction: 't' }, String(count))
    await client.request('COMMIT', { transaction: 't' })
    expect(await look(broker, queue)).toHaveLength(1000)
  })

  test.each([
    ['SEND', { destination: '/queue/contract/unknown-transaction' }],
    ['ACK', {}],
    ['NACK', {}],
    ['COMMIT', {}],
    ['ABORT', {}],
  ])('unknown id: %s is an ERROR', async (command, headers) => {
    const queue = await filled(1)
    const client = await consumer(queue)
    const id = ackOf(await client.next('MESSAGE'))
    client.send(command, { id, ...headers, transaction: 'unknown', receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'unknown transaction', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('"unknown"')
    expect(close.code).toBe(1002)
    expect(await look(broker, '/queue/contract/unknown-transaction')).toEqual([])
    expect(await rest(queue)).toEqual(['1 again'])
  })

  test.each(['COMMIT', 'ABORT'])('after %s its id is unknown', async (end) => {
    const client = await RawClient.connected(broker)
    await client.request('BEGIN', { transaction: 't' })
    await client.request(end, { transaction: 't' })
    client.send('SEND', { destination: fresh('queue'), transaction: 't' })
    expect((await client.refusal()).error.headers.message).toBe('unknown transaction')
  })

  test('a transaction is its connection`s own', async () => {
    const [one, other] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    await one.request('BEGIN', { transaction: 't' })
    other.send('COMMIT', { transaction: 't' })
    expect((await other.refusal()).error.headers.message).toBe('unknown transaction')
    await one.request('COMMIT', { transaction: 't' })
  })

  test.each([
    ['client-individual', ['1 again', '2 again']],
    ['client', ['2 again']],
  ])('ABORT restores the acks (%s): they are held again, in their order', async (ack, left) => {
    const queue = await filled(ack === 'client' ? 2 : 3)
    const client = await consumer(queue, { ack })
    const messages = await client.take(ack === 'client' ? 2 : 3)
    const { lateAcks } = broker.broker.stats
    await client.request('BEGIN', { transaction: 't' })
    await client.request('ACK', { id: ackOf(messages.at(-1)), transaction: 't' })
    await client.request('ABORT', { transaction: 't' })
    // Had it been settled, this would be a late one.
    await client.request('ACK', { id: ackOf(ack === 'client' ? messages[0] : messages[2]) })
    expect(broker.broker.stats.lateAcks).toBe(lateAcks)
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(left)
  })

  test('ABORT restores a NACK: the message is neither offered again nor counted', async () => {
    const queue = await filled(1)
    const client = await consumer(queue)
    const message = await client.next('MESSAGE')
    await client.request('BEGIN', { transaction: 't' })
    await client.request('NACK', { id: ackOf(message), transaction: 't' })
    await client.request('ABORT', { transaction: 't' })
    await client.request('ACK', { id: ackOf(message) })
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual([])
    expect(client.frames).toEqual([])
  })

  test.each(['DISCONNECT', 'a close frame', 'an abrupt end', 'an ERROR'])(
    'on disconnect (%s) all are aborted',
    async (way) => {
      const [queue, sent] = [await filled(2), fresh('queue')]
      const client = await consumer(queue)
      const messages = await client.take(2)
      for (const [index, transaction] of ['t', 'u'].entries()) {
        await client.request('BEGIN', { transaction })
        await client.request('SEND', { destination: sent, transaction })
        await client.request('ACK', { id: ackOf(messages[index]), transaction })
      }
      await leave(client, way)
      await returned(queue, 2)
      expect(await rest(queue)).toEqual(['1 again', '2 again'])
      expect(await look(broker, sent)).toEqual([])
    },
  )
})

/** Ends a connection, in one of the ways there are. */
async function leave(client: Awaited<ReturnType<typeof consumer>>, way: string): Promise<void> {
  if (way === 'DISCONNECT') await client.request('DISCONNECT')
  else if (way === 'UNSUBSCRIBE') await client.request('UNSUBSCRIBE', { id: 's' })
  else if (way === 'a close frame') client.socket.close(1000)
  else if (way === 'an abrupt end') client.destroy()
  else {
    client.raw('NONSENSE\n\n\0')
    await client.refusal()
  }
}

const ways = ['UNSUBSCRIBE', 'DISCONNECT', 'a close frame', 'an abrupt end', 'an ERROR']

describe('4.10 unacked messages', () => {
  test.each(ways)('on %s: back to the head of the queue with redelivered:true', async (way) => {
    const queue = await filled(4)
    const client = await consumer(queue, { prefetch: '3' })
    const messages = await client.take(3)
    await client.request('ACK', { id: ackOf(messages[1]) })
    await client.next('MESSAGE')
    await leave(client, way)
    await returned(queue, 3)
    expect(await rest(queue)).toEqual(['1 again', '3 again', '4 again'])
    await fill(queue, ['5'])
    expect(await rest(queue)).toEqual(['5'])
  })

  test('at the head: before what was never delivered', async () => {
    const queue = await filled(4)
    const client = await consumer(queue, { prefetch: '2' })
    await client.take(2)
    await client.request('UNSUBSCRIBE', { id: 's' })
    expect(await rest(queue)).toEqual(['1 again', '2 again', '3', '4'])
  })

  test.each(['queue', 'topic'] as const)(
    'on heart-beat loss: back to the head of the queue, dropped on topics (%s)',
    async (kind) => {
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
      const own = await start({ heartbeatMin: 500 })
      const destination = fresh(kind)
      const mute = await RawClient.webSocket(own.webSocketUrl, undefined, {}, { autoPong: false })
      mute.send('CONNECT', { 'accept-version': '1.2', 'heart-beat': '500,0' })
      await mute.next('CONNECTED')
      await mute.request('SUBSCRIBE', { id: 's', destination, ack: 'client', prefetch: '2' })
      for (const body of ['1', '2']) await mute.request('SEND', { destination }, body)
      await mute.take(2)
      await fill(destination, kind === 'queue' ? ['3'] : [], own)
      vi.advanceTimersByTime(2500)
      expect((await mute.refusal()).error.headers.message).toBe('heart-beat lost')
      const next = await consumer(destination, { ack: 'auto' }, own)
      await next.request('SEND', { destination }, 'later')
      expect((await next.take(kind === 'queue' ? 4 : 1)).map((message) => text(message))).toEqual(
        kind === 'queue' ? ['1 again', '2 again', '3', 'later'] : ['later'],
      )
    },
  )

  test.each(ways)('on %s: dropped on topics', async (way) => {
    const destination = fresh('topic')
    const client = await consumer(destination, { ack: 'client' })
    await client.request('SEND', { destination }, 'held')
    await client.next('MESSAGE')
    await leave(client, way)
    const next = await consumer(destination, { ack: 'client' })
    await next.request('SEND', { destination }, 'later')
    expect((await next.next('MESSAGE')).body.toString()).toBe('later')
  })
})
