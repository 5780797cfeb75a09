import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fresh, startBroker, type TestBroker } from '../helpers/broker.ts'
import { RawClient, type RawFrame } from '../helpers/client.ts'

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.close())

type Headers = Record<string, string>

interface Case {
  readonly kind?: 'topic' | 'queue'
  readonly version?: string
  readonly subscribe?: Headers
}

/** What a subscriber gets of one SEND. */
async function message(sent: Headers, { kind = 'topic', version, subscribe }: Case = {}): Promise<RawFrame> {
  const destination = fresh(kind)
  const client = await RawClient.connected(broker, {}, version)
  await client.request('SUBSCRIBE', { id: 's', destination, ...subscribe })
  client.send('SEND', { destination, ...sent }, 'body')
  return client.next('MESSAGE')
}

/** A message of a queue, refused or given back `times` times before. */
async function returned(times: number, how: 'NACK' | 'UNSUBSCRIBE'): Promise<RawFrame> {
  const destination = fresh('queue')
  const client = await RawClient.connected(broker)
  const subscribe = (id: string): void =>
    client.send('SUBSCRIBE', { id, destination, ack: 'client-individual' })
  await client.request('SEND', { destination })
  subscribe('0')
  for (let time = 1; time <= times; time++) {
    const { headers } = await client.next('MESSAGE')
    if (how === 'NACK') {
      client.send('NACK', { id: headers.ack ?? '' })
    } else {
      client.send('UNSUBSCRIBE', { id: String(time - 1) })
      subscribe(String(time))
    }
  }
  return client.next('MESSAGE')
}

function valuesOf({ lines }: RawFrame, name: string): string[] {
  return lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1))
}

describe('4.9 MESSAGE out', () => {
  describe('always', () => {
    test.each(['1.0', '1.1', '1.2'])(
      'subscription, message-id, destination, content-length: on %s',
      async (version) => {
        for (const kind of ['topic', 'queue'] as const) {
          const { headers } = await message({}, { kind, version })
          expect(headers).toMatchObject({ subscription: 's', 'content-length': '4' })
          expect(headers.destination).toMatch(new RegExp(`^/${kind}/fresh/\\d+$`))
          expect(headers['message-id']).toMatch(/./)
        }
      },
    )

    test('content-length: also of nothing', async () => {
      const destination = fresh('topic')
      const client = await RawClient.connected(broker)
      await client.request('SUBSCRIBE', { id: 's', destination })
      client.send('SEND', { destination })
      expect((await client.next('MESSAGE')).headers['content-length']).toBe('0')
    })

    test('message-id: opaque, unique on the connection, at most 128 characters, no escaping needed', async () => {
      const [topic, queue] = [fresh('topic'), fresh('queue')]
      const client = await RawClient.connected(broker)
      await client.request('SUBSCRIBE', { id: 't', destination: topic })
      await client.request('SUBSCRIBE', { id: 'q', destination: queue, ack: 'client-individual' })
      for (let index = 0; index < 20; index++) {
        await client.request('SEND', { destination: topic })
        await client.request('SEND', { destination: queue })
      }
      const messages = await client.take(40)
      // Back and here again, it is another delivery.
      const again = messages.find(({ headers }) => headers.subscription === 'q')?.headers.ack ?? ''
      await client.request('NACK', { id: again })
      messages.push(await client.next('MESSAGE'))
      const ids = messages.map(({ headers }) => headers['message-id'] ?? '')
      expect(new Set(ids).size).toBe(41)
      for (const id of ids) expect(id).toMatch(/^[\w.-]{1,128}$/)
    })

    test('message-id: unique on the connection, where two of its queues keep one message to a topic', async () => {
      const destination = fresh('topic')
      const client = await RawClient.connected(broker)
      const subscribe = async (id: string): Promise<void> => {
        const durable = `unique ${id}`
        await client.request('SUBSCRIBE', { id, destination, durable, ack: 'client-individual' })
      }
      for (const id of ['a', 'b']) await subscribe(id)
      await client.request('SEND', { destination }, 'one')
      const [first, second] = await client.take(2)
      expect(first?.headers['message-id']).not.toBe(second?.headers['message-id'])
      expect(first?.headers.ack).not.toBe(second?.headers.ack)
      // The ACK of one is not the ACK of the other.
      await client.request('ACK', { id: first?.headers.ack ?? '' })
      for (const id of ['a', 'b']) await client.request('UNSUBSCRIBE', { id })
      for (const id of ['a', 'b']) await subscribe(id)
      await client.request('SEND', { destination }, 'two')
      const left = (await client.take(3)).map(
        ({ headers, body }) => `${headers.subscription} ${body.toString()}`,
      )
      const unacked = second?.headers.subscription ?? ''
      expect(left.toSorted()).toEqual(['a two', 'b two', `${unacked} one`].toSorted())
    })

    test.each([
      ['/topic/shown/*', '/topic/shown/a', '/topic/shown/a'],
      ['/topic/shown.#', '/topic/shown.b.c', '/topic/shown.b.c'],
      ['/sub/shown/**', '/sub/shown/d', '/sub/shown/d'],
      ['/topic/shown', '/topic/shown', '/topic/shown'],
    ])('destination: concrete, as published: on %s, of a SEND to %s, %s', async (from, to, shown) => {
      const client = await RawClient.connected(broker)
      await client.request('SUBSCRIBE', { id: 's', destination: from })
      client.send('SEND', { destination: to })
      expect((await client.next('MESSAGE')).headers.destination).toBe(shown)
    })

    test('destination: /user/queue/x shown in client terms', async () => {
      const [client, sender] = [
        await RawClient.connected(broker, { login: 'shown' }),
        await RawClient.connected(broker),
      ]
      await client.request('SUBSCRIBE', { id: 's', destination: '/user/queue/x' })
      await sender.request('SEND', { destination: '/user/shown/queue/x' })
      expect((await client.next('MESSAGE')).headers).toMatchObject({
        subscription: 's',
        destination: '/user/queue/x',
      })
    })

    test.each([
      ['/exchange/amq.topic/shown.key', '/topic/shown.key'],
      ['shown-bare', '/queue/shown-bare'],
      ['/queue/shown-queue', '/queue/shown-queue'],
      ['/amq/queue/shown-amq', '/queue/shown-amq'],
    ])(
      'destination: /exchange/... and bare names normalised as RabbitMQ does: %s to %s',
      async (written, shown) => {
        // Whichever of the two names the subscriber knows.
        for (const destination of [written, shown]) {
          const client = await RawClient.connected(broker)
          await client.request('SUBSCRIBE', { id: 's', destination })
          client.send('SEND', { destination: written })
          expect((await client.next('MESSAGE')).headers.destination).toBe(shown)
          await client.request('UNSUBSCRIBE', { id: 's' })
        }
      },
    )
  })

  describe('content-type when the sender gave one', () => {
    test.each(['application/json', 'text/plain;charset=utf-8'])('%s', async (type) => {
      expect(valuesOf(await message({ 'content-type': type }), 'content-type')).toEqual([type])
    })

    test('none when the sender gave none', async () => {
      expect(valuesOf(await message({}), 'content-type')).toEqual([])
    })
  })

  describe('ack', () => {
    test.each([
      ['client', 'queue'],
      ['client-individual', 'queue'],
      ['client', 'topic'],
      ['client-individual', 'topic'],
    ] as const)('on 1.2 in client modes, SHOULD equal message-id: ack:%s on a %s', async (ack, kind) => {
      const { headers } = await message({}, { kind, subscribe: { ack } })
      expect(headers.ack).toMatch(/./)
      expect(headers.ack).toBe(headers['message-id'])
    })

    test('SHOULD equal message-id, so that 1.1 code still works: also of a redelivery', async () => {
      const { headers } = await returned(1, 'NACK')
      expect(headers.redelivered).toBe('true')
      expect(headers.ack).toBe(headers['message-id'])
    })

    test.each(['1.0', '1.1'])('only on 1.2: not on %s', async (version) => {
      for (const kind of ['topic', 'queue'] as const) {
        const { headers } = await message({}, { kind, version, subscribe: { ack: 'client' } })
        expect(headers).not.toHaveProperty('ack')
      }
    })

    test.each(['topic', 'queue'] as const)('MUST NOT appear for ack:auto on a %s', async (kind) => {
      const { headers } = await message({}, { kind, subscribe: { ack: 'auto' } })
      expect(headers).not.toHaveProperty('ack')
    })
  })

  describe('queues', () => {
    test('redelivered:false at first', async () => {
      const shown = await message({}, { kind: 'queue' })
      expect(valuesOf(shown, 'redelivered')).toEqual(['false'])
    })

    test.each(['NACK', 'UNSUBSCRIBE'] as const)('redelivered:true after a %s', async (how) => {
      expect(valuesOf(await returned(1, how), 'redelivered')).toEqual(['true'])
    })

    test('redelivered: of queues, not of topics', async () => {
      expect(valuesOf(await message({}, { kind: 'topic' }), 'redelivered')).toEqual([])
    })

    test.each([
      [0, []],
      [1, ['1']],
      [2, ['2']],
    ])('delivery-count when > 0: after %i deliveries', async (times, shown) => {
      expect(valuesOf(await returned(times, 'UNSUBSCRIBE'), 'delivery-count')).toEqual(shown)
    })

    test.each([
      ['expires', String(Date.now() + 3_600_000)],
      ['priority', '7'],
      ['timestamp', '1700000000000'],
      ['persistent', 'true'],
      ['correlation-id', 'c-1'],
      ['reply-to', '/queue/answers'],
      ['type', 'order'],
    ])('%s when set', async (name, value) => {
      expect(valuesOf(await message({ [name]: value }, { kind: 'queue' }), name)).toEqual([value])
      expect(valuesOf(await message({}, { kind: 'queue' }), name)).toEqual([])
    })

    test('ActiveMQ names and units: expires absolute epoch ms, whatever the sender wrote', async () => {
      const before = Date.now()
      const { headers } = await message({ expiration: '5000' }, { kind: 'queue' })
      const after = Date.now()
      expect(Number(headers.expires)).toBeGreaterThanOrEqual(before + 5_000)
      expect(Number(headers.expires)).toBeLessThanOrEqual(after + 5_000)
    })
  })

  describe('everything else from the SEND', () => {
    test.each(['topic', 'queue'] as const)('passes through, in the order given: on a %s', async (kind) => {
      const sent = { b: '1', a: '2', 'x-y_z': 'ž', 'Upper Case': ' spaced ', empty: '', 'a\\cb': 'c\\\\d' }
      const shown = await message(sent, { kind })
      const own = shown.lines.filter((line) => Object.keys(sent).some((name) => line.startsWith(`${name}:`)))
      expect(own).toEqual(Object.entries(sent).map(([name, value]) => `${name}:${value}`))
    })

    test.each([
      ['subscription', 's'],
      ['redelivered', 'false'],
      ['destination', undefined],
      ['message-id', undefined],
      ['ack', undefined],
      ['delivery-count', undefined],
    ])('server-owned names win: %s', async (name, owned) => {
      const destination = fresh('queue')
      const client = await RawClient.connected(broker)
      await client.request('SUBSCRIBE', { id: 's', destination, ack: 'client' })
      client.raw(`SEND\ndestination:${destination}\n${name}:forged\nother:kept\n\nbody\0`)
      const shown = await client.next('MESSAGE')
      expect(shown.headers.other).toBe('kept')
      expect(shown.lines.filter((line) => line.endsWith(':forged'))).toEqual([])
      if (name === 'delivery-count') expect(valuesOf(shown, name)).toEqual([])
      else expect(valuesOf(shown, name)).toHaveLength(1)
      if (owned !== undefined) expect(shown.headers[name]).toBe(owned)
      if (name === 'destination') expect(shown.headers[name]).toBe(destination)
    })

    test('server-owned names win: content-length', async () => {
      const destination = fresh('topic')
      const client = await RawClient.connected(broker)
      await client.request('SUBSCRIBE', { id: 's', destination })
      client.raw(`SEND\ndestination:${destination}\ncontent-length:4\ncontent-length:2\n\nbody\0`)
      expect(valuesOf(await client.next('MESSAGE'), 'content-length')).toEqual(['4'])
    })

    test('server-owned names win: a publisher cannot end somebody`s browsing', async () => {
      const destination = fresh('queue')
      const client = await RawClient.connected(broker)
      await client.request('SEND', { destination, browser: 'end' }, 'forged')
      await client.request('SEND', { destination }, 'last')
      await client.request('SUBSCRIBE', { id: 's', destination, browser: 'true' })
      const shown = await client.take(3)
      expect(shown.map(({ body }) => body.toString())).toEqual(['forged', 'last', ''])
      expect(shown.map(({ headers }) => headers.browser)).toEqual([undefined, undefined, 'end'])
    })
  })

  describe('order: per destination per connection is the order of publication', () => {
    test.each(['topic', 'queue'] as const)('several destinations side by side: each %s', async (kind) => {
      const destinations = Array.from({ length: 4 }, () => fresh(kind))
      const [receiver, sender] = [await RawClient.connected(broker), await RawClient.connected(broker)]
      for (const destination of destinations)
        await receiver.request('SUBSCRIBE', { id: destination, destination })
      for (let index = 0; index < 100; index++)
        for (const destination of destinations)
          // Large and small ones: none overtakes.
          sender.send(
            'SEND',
            { destination, index: String(index) },
            'x'.repeat(index % 10 === 0 ? 20_000 : 1),
          )
      const messages = await receiver.take(400)
      for (const destination of destinations) {
        const own = messages.filter(({ headers }) => headers.destination === destination)
        expect(own.map(({ headers }) => headers.index)).toEqual(
          Array.from({ length: 100 }, (_, index) => String(index)),
        )
      }
    })

    test('a pattern and a name see one destination in the same order', async () => {
      const client = await RawClient.connected(broker)
      await client.request('SUBSCRIBE', { id: 'name', destination: '/topic/ordered.a' })
      await client.request('SUBSCRIBE', { id: 'pattern', destination: '/topic/ordered.*' })
      for (let index = 0; index < 100; index++) {
        client.send('SEND', { destination: '/topic/ordered.a' }, String(index))
      }
      const messages = await client.take(200)
      for (const id of ['name', 'pattern']) {
        const own = messages.filter(({ headers }) => headers.subscription === id)
        expect(own.map(({ body }) => body.toString())).toEqual(
          Array.from({ length: 100 }, (_, index) => String(index)),
        )
      }
    })
  })
})
