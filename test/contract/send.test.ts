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

/** What a subscriber gets of one SEND. */
async function echo(headers: Headers, body: string | Buffer = 'x'): Promise<RawFrame> {
  const destination = fresh('topic')
  const client = await RawClient.connected(broker)
  await client.request('SUBSCRIBE', { id: '0', destination })
  await client.request('SEND', { destination, ...headers }, body)
  return client.next('MESSAGE')
}

/** A session that reads `destination`. */
async function reader(destination: string, headers: Headers = {}, connect: Headers = {}): Promise<RawClient> {
  const client = await RawClient.connected(broker, connect)
  await client.request('SUBSCRIBE', { id: 's', destination, ...headers })
  return client
}

function namesOf({ lines }: RawFrame): string[] {
  return lines.map((line) => line.slice(0, line.indexOf(':')))
}

describe('4.7 SEND', () => {
  describe('destination', () => {
    test('required', async () => {
      const client = await RawClient.connected(broker)
      client.send('SEND', { receipt: 'r' }, 'nowhere')
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'missing header', 'receipt-id': 'r' })
      expect(error.body.toString()).toContain('"destination"')
      expect(close.code).toBe(1002)
    })

    test.each([
      ['/topic/concrete/plain', '/topic/concrete/plain', '/topic/concrete/plain'],
      ['/topic/concrete.*', '/topic/concrete.dotted', '/topic/concrete.dotted'],
      ['/topic/concrete/**', '/topic/concrete/slashed/deep', '/topic/concrete/slashed/deep'],
      ['/queue/concrete', 'concrete', '/queue/concrete'],
    ])(
      'MESSAGE always carries the concrete published destination: on %s, of a SEND to %s, %s',
      async (subscribed, sent, shown) => {
        const client = await reader(subscribed)
        client.send('SEND', { destination: sent })
        expect((await client.next('MESSAGE')).headers.destination).toBe(shown)
      },
    )

    test('MESSAGE always carries the concrete published destination: of a composite each its own', async () => {
      const [one, two] = [fresh('topic'), fresh('queue')]
      const client = await reader(one)
      await client.request('SUBSCRIBE', { id: 'other', destination: two })
      client.send('SEND', { destination: `${one},${two}` })
      expect((await client.take(2)).map(({ headers }) => headers.destination)).toEqual([one, two])
    })
  })

  describe('receipt', () => {
    test.each(['topic', 'queue'] as const)('RECEIPT when routed: on a %s', async (kind) => {
      const destination = fresh(kind)
      const client = await reader(destination)
      client.send('SEND', { destination, receipt: 'r' })
      // The sender's own copy is on its way before the sender is told that all are.
      await client.next('MESSAGE')
      expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('r')
    })

    test('RECEIPT when routed and, for persistent messages, flushed', async () => {
      const client = await RawClient.connected(broker)
      engine.held = true
      client.send('SEND', { destination: fresh('queue'), persistent: 'true', receipt: 'flushed' })
      await client.request('SUBSCRIBE', { id: '0', destination: fresh('topic') })
      expect(client.frames).toEqual([])
      engine.held = false
      engine.settle()
      expect((await client.next('RECEIPT')).headers['receipt-id']).toBe('flushed')
    })
  })

  describe('persistence', () => {
    test('persistent:true is honoured and shown', async () => {
      expect((await echo({ persistent: 'true' })).headers.persistent).toBe('true')
    })
  })

  describe('expiry', () => {
    test.each(['expiration', 'ttl'])('%s:<relative ms> is shown as the time it ends', async (name) => {
      const before = Date.now()
      const { headers } = await echo({ [name]: '60000' })
      const after = Date.now()
      expect(Number(headers.expires)).toBeGreaterThanOrEqual(before + 60_000)
      expect(Number(headers.expires)).toBeLessThanOrEqual(after + 60_000)
    })

    test.each(['expiration', 'ttl', 'expires'])(
      '%s:<relative ms> ends: nobody gets it any more',
      async (name) => {
        const destination = fresh('queue')
        const grave = fresh('topic')
        const dead = await reader(grave)
        // It tells the queue to show what it drops, and takes nothing itself.
        const onlooker = await reader(destination, {
          selector: "onlooker = 'never'",
          'x-dead-letter-exchange': 'amq.topic',
          'x-dead-letter-routing-key': grave.replace('/topic/', ''),
        })
        await onlooker.request('SEND', { destination, [name]: '20' }, 'short')
        await onlooker.request('SEND', { destination, [name]: '600000' }, 'long')
        const message = await dead.next('MESSAGE')
        expect(message.body.toString()).toBe('short')
        expect(message.headers['dead-letter-reason']).toBe('expired')
        expect(await (await reader(destination)).bodies(1)).toEqual(['long'])
      },
    )

    test('expires:<absolute epoch ms> is kept and shown as it was', async () => {
      const expires = String(Date.now() + 3_600_000)
      expect((await echo({ expires })).headers.expires).toBe(expires)
    })

    test.each(['topic', 'queue'] as const)(
      'expires:<absolute epoch ms> that is over: nobody gets it from a %s',
      async (kind) => {
        const destination = fresh(kind)
        const client = await reader(destination)
        await client.request('SEND', { destination, expires: String(Date.now() - 1) }, 'late')
        await client.request('SEND', { destination, expires: String(Date.now() + 3_600_000) }, 'in time')
        expect(await client.bodies(1)).toEqual(['in time'])
      },
    )

    test('of several expiries the earliest counts', async () => {
      const expires = String(Date.now() + 3_600_000)
      expect((await echo({ expires, ttl: '7200000' })).headers.expires).toBe(expires)
      expect(Number((await echo({ expires, expiration: '60000' })).headers.expires)).toBeLessThan(
        Number(expires),
      )
    })

    test('expires:0 = never', async () => {
      const destination = fresh('queue')
      const client = await RawClient.connected(broker)
      await client.request('SEND', { destination, expires: '0' }, 'never')
      await client.request('SEND', { destination, expires: '1000000000' }, 'long ago')
      await client.request('SEND', { destination }, 'plain')
      await client.request('SUBSCRIBE', { id: '0', destination })
      expect(await client.bodies(2)).toEqual(['never', 'plain'])
    })

    test('numbers below 10^9 in expires are treated as relative and warned about', async () => {
      const own = await startBroker()
      const { warnings } = own
      const client = await RawClient.connected(own)
      await client.request('SUBSCRIBE', { id: '0', destination: '/topic/expires' })
      const send = (expires: string): Promise<void> =>
        client.request('SEND', { destination: '/topic/expires', expires }, expires)
      // A moment of 1970, so nobody gets it.
      await send('1000000000')
      expect(warnings).toEqual([])
      const before = Date.now()
      await send('999999999')
      const after = Date.now()
      const message = await client.next('MESSAGE')
      expect(message.body.toString()).toBe('999999999')
      expect(Number(message.headers.expires)).toBeGreaterThanOrEqual(before + 999_999_999)
      expect(Number(message.headers.expires)).toBeLessThanOrEqual(after + 999_999_999)
      await send('999999999')
      expect(warnings).toHaveLength(1)
      expect(warnings[0]).toContain('expires:999999999')
      await own.close()
    })

    test.each([
      ['expiration', '-1'],
      ['expiration', '1.5'],
      ['ttl', 'soon'],
      ['ttl', ''],
      ['expires', '-1'],
      ['expires', 'tomorrow'],
    ])('%s:%s says no time', async (name, value) => {
      const client = await RawClient.connected(broker)
      client.send('SEND', { destination: fresh('topic'), receipt: 'r', [name]: value })
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'invalid header', 'receipt-id': 'r' })
      expect(error.body.toString()).toContain(`${name} is "${value}"`)
      expect(close.code).toBe(1002)
    })
  })

  describe('priority', () => {
    /** In which order a queue hands out what waits, each with its priority as its body. */
    async function order(headers: Headers): Promise<string[]> {
      const destination = fresh('queue')
      const client = await reader(destination, { ack: 'client-individual', prefetch: '1', ...headers })
      await client.request('SEND', { destination }, 'first')
      for (const priority of ['0', '5', '9', '4'])
        await client.request('SEND', { destination, priority }, priority)
      const bodies: string[] = []
      for (let index = 0; index < 5; index++) {
        const message = await client.next('MESSAGE')
        bodies.push(message.body.toString())
        await client.request('ACK', { id: message.headers.ack ?? '' })
      }
      return bodies
    }

    test('priority (0-9) is used by queues that declared it', async () => {
      expect(await order({ 'x-max-priority': '9' })).toEqual(['first', '9', '5', '4', '0'])
    })

    test('priority (0-9) is used only by queues that declared it', async () => {
      expect(await order({})).toEqual(['first', '0', '5', '9', '4'])
    })

    // RabbitMQ counts to 255.
    test.each(['0', '9', '255'])('priority:%s passes through', async (priority) => {
      expect((await echo({ priority })).headers.priority).toBe(priority)
    })

    test.each(['high', '-1', '256'])('priority:%s is none', async (priority) => {
      const client = await RawClient.connected(broker)
      client.send('SEND', { destination: fresh('queue'), priority, receipt: 'r' })
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'invalid header', 'receipt-id': 'r' })
      expect(close.code).toBe(1002)
    })
  })

  describe('correlation', () => {
    test('correlation-id passes through', async () => {
      expect((await echo({ 'correlation-id': 'a 1' })).headers['correlation-id']).toBe('a 1')
    })

    /** What the one who is asked sees as reply-to. */
    async function ask(client: RawClient, replyTo: string): Promise<{ other: RawClient; shown: string }> {
      const destination = fresh('queue')
      const other = await reader(destination)
      await client.request('SEND', { destination, 'reply-to': replyTo }, 'question')
      return { other, shown: (await other.next('MESSAGE')).headers['reply-to'] ?? '' }
    }

    test('reply-to /temp-queue/x: the reply comes without a SUBSCRIBE', async () => {
      const client = await RawClient.connected(broker)
      const { other, shown } = await ask(client, '/temp-queue/x')
      expect(shown).toMatch(/^\/reply-queue\/[\w-]{16,}$/)
      await other.request('SEND', { destination: shown }, 'answer')
      const message = await client.next('MESSAGE')
      expect(message.headers).toMatchObject({ subscription: '/temp-queue/x', destination: shown })
      expect(message.body.toString()).toBe('answer')
    })

    test('reply-to /reply-queue/x: an address that was shown can be handed on', async () => {
      const client = await RawClient.connected(broker)
      const { other, shown } = await ask(client, '/temp-queue/x')
      const { other: third, shown: handedOn } = await ask(other, shown)
      expect(handedOn).toBe(shown)
      await third.request('SEND', { destination: handedOn }, 'from the third')
      expect(await client.bodies(1)).toEqual(['from the third'])
    })

    test('reply-to /queue/x: shown as it is', async () => {
      const queue = fresh('queue')
      const client = await reader(queue)
      const { other, shown } = await ask(client, queue)
      expect(shown).toBe(queue)
      await other.request('SEND', { destination: shown }, 'answer')
      expect(await client.bodies(1)).toEqual(['answer'])
    })

    test('reply-to /user/queue/x: reaches that session, and no other of the same user', async () => {
      const login = { login: 'correlated' }
      const client = await reader('/user/queue/x', {}, login)
      const same = await reader('/user/queue/x', {}, login)
      const { other, shown } = await ask(client, '/user/queue/x')
      expect(shown).toMatch(/^\/user\/~[\w-]{16,}\/queue\/x$/)
      await other.request('SEND', { destination: shown }, 'to one')
      await other.request('SEND', { destination: '/user/correlated/queue/x' }, 'to both')
      const message = await client.next('MESSAGE')
      expect(message.headers).toMatchObject({ subscription: 's', destination: '/user/queue/x' })
      expect(message.body.toString()).toBe('to one')
      expect(await client.bodies(1)).toEqual(['to both'])
      expect(await same.bodies(1)).toEqual(['to both'])
    })
  })

  describe('grouping', () => {
    const names = ['JMSXGroupID', 'message_group', 'JMSXGroupID', 'message_group']
    test.each([
      ['JMSXGroupID', names.map(() => 'JMSXGroupID')],
      ['message_group', names.map(() => 'message_group')],
      ['JMSXGroupID = message_group', names],
    ])('%s: one consumer gets all of a group', async (_, headers) => {
      const destination = fresh('queue')
      const client = await reader(destination, { ack: 'client-individual' })
      await client.request('SUBSCRIBE', { id: 't', destination, ack: 'client-individual' })
      for (const group of ['a', 'b', 'c'])
        for (const name of headers) await client.request('SEND', { destination, [name]: group }, group)
      const consumers = (await client.take(12)).map(
        ({ headers: { subscription }, body }) => `${body.toString()} ${subscription}`,
      )
      expect(new Set(consumers).size).toBe(3)
      expect(new Set(consumers.map((each) => each.at(-1)))).toEqual(new Set(['s', 't']))
    })
  })

  describe('delayed delivery', () => {
    const cases = ['AMQ_SCHEDULED_DELAY', 'x-delay'].flatMap((name) =>
      (['topic', 'queue'] as const).map((kind) => [name, kind] as const),
    )
    test.each(cases)('%s (ms) on a %s', async (name, kind) => {
      const destination = fresh(kind)
      const client = await reader(destination)
      // In one piece, so that they count from the same moment.
      client.raw(
        Buffer.concat([
          frame('SEND', { destination, [name]: '120' }, 'last'),
          frame('SEND', { destination, [name]: '30' }, 'later'),
          frame('SEND', { destination, [name]: '0' }, 'first'),
          frame('SEND', { destination }, 'second'),
        ]),
      )
      expect(await client.bodies(4)).toEqual(['first', 'second', 'later', 'last'])
    })

    test.each(['AMQ_SCHEDULED_DELAY', 'x-delay'])('%s that is no number of ms', async (name) => {
      const client = await RawClient.connected(broker)
      client.send('SEND', { destination: fresh('topic'), [name]: '1s', receipt: 'r' })
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'invalid header', 'receipt-id': 'r' })
      expect(error.body.toString()).toContain(name)
      expect(close.code).toBe(1002)
    })
  })

  describe('transaction', () => {
    test('transaction:<id> of a BEGIN on this connection: nothing is sent before COMMIT', async () => {
      const destination = fresh('topic')
      const client = await reader(destination)
      await client.request('BEGIN', { transaction: 't' })
      await client.request('SEND', { destination, transaction: 't' }, 'inside 1')
      await client.request('SEND', { destination, transaction: 't' }, 'inside 2')
      await client.request('SEND', { destination }, 'outside')
      await client.request('COMMIT', { transaction: 't' })
      expect(await client.bodies(3)).toEqual(['outside', 'inside 1', 'inside 2'])
    })

    test('transaction:<id> of a BEGIN on another connection is unknown', async () => {
      const [client, other] = [await RawClient.connected(broker), await RawClient.connected(broker)]
      await other.request('BEGIN', { transaction: 't' })
      client.send('SEND', { destination: fresh('topic'), transaction: 't', receipt: 'r' })
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'unknown transaction', 'receipt-id': 'r' })
      expect(close.code).toBe(1002)
    })
  })

  test('content-type, content-length, any custom header: passed through to MESSAGE', async () => {
    const body = Buffer.from('{"a":"\0"}')
    const sent = {
      'content-type': 'application/json;charset=utf-8',
      'content-length': String(body.length),
      custom: 'yes',
      'X-Custom Name': 'a\\cb',
      type: 'order',
      timestamp: '1700000000000',
      JMSXGroupID: 'g',
    }
    const message = await echo(sent, body)
    expect(message.headers).toMatchObject(sent)
    expect(message.body).toEqual(body)
  })

  describe('MUST strip before MESSAGE', () => {
    test.each([
      'receipt',
      'ack',
      'subscription',
      'message-id',
      'redelivered',
      'session',
      'login',
      'passcode',
      'x-stream-offset',
      'x-max-length',
    ])('%s', async (name) => {
      for (const kind of ['topic', 'queue'] as const) {
        const destination = fresh(kind)
        const client = await reader(destination)
        client.send('SEND', { destination, [name]: 'stranger', kept: 'yes' })
        const message = await client.next('MESSAGE')
        expect(message.headers.kept).toBe('yes')
        expect(Object.values(message.headers)).not.toContain('stranger')
        expect(new Set(namesOf(message)).size).toBe(message.lines.length)
      }
    })

    test('transaction', async () => {
      const destination = fresh('topic')
      const client = await reader(destination)
      client.send('BEGIN', { transaction: 't' })
      client.send('SEND', { destination, transaction: 't', kept: 'yes' })
      client.send('COMMIT', { transaction: 't' })
      const message = await client.next('MESSAGE')
      expect(message.headers.kept).toBe('yes')
      expect(namesOf(message)).not.toContain('transaction')
    })

    test.each([
      ['true', 'true'],
      ['false', undefined],
      ['1', undefined],
      ['', undefined],
    ])('persistent kept only if true: %j', async (persistent, shown) => {
      expect((await echo({ persistent })).headers.persistent).toBe(shown)
    })

    test('content-length recomputed', async () => {
      // Without one the body ends at the NUL; it counts in bytes.
      expect((await echo({}, 'žluť')).headers['content-length']).toBe('6')
      const { headers, lines } = await echo({ 'content-length': '0003' }, 'a\0b')
      expect(headers['content-length']).toBe('3')
      expect(lines.filter((line) => line.startsWith('content-length'))).toHaveLength(1)
    })
  })

  test('message-id on SEND: accept and overwrite, never an ERROR', async () => {
    const destination = fresh('topic')
    const client = await reader(destination)
    for (let index = 0; index < 2; index++)
      await client.request('SEND', { destination, 'message-id': 'ID:mine-1' })
    const ids = (await client.take(2)).map(({ headers }) => headers['message-id'])
    expect(new Set(ids).size).toBe(2)
    expect(ids).not.toContain('ID:mine-1')
  })

  describe('publishing to a pattern MUST NOT fan out to matching topics; refuse it with ERROR', () => {
    test.each([
      ['/topic/refused.*', '/topic/refused.a'],
      ['/topic/refused.#', '/topic/refused.b'],
      ['/topic/refused.>', '/topic/refused.c'],
      ['/topic/refused/**', '/topic/refused/d/e'],
      ['/topic/refused-*', '/topic/refused-f'],
      ['/topic/refused-?', '/topic/refused-g'],
      ['/topic/refused/h,/topic/refused/*', '/topic/refused/h'],
      ['/chat/refused/*', '/chat/refused/i'],
      ['/exchange/amq.topic/refused.*', '/topic/refused.j'],
    ])('%s', async (pattern, matching) => {
      const receiver = await reader(matching)
      const client = await RawClient.connected(broker)
      client.send('SEND', { destination: pattern, receipt: 'r' }, 'to all')
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'unsupported destination', 'receipt-id': 'r' })
      expect(error.body.toString()).toContain('wildcard')
      expect(close.code).toBe(1008)
      expect(client.frames).toEqual([])
      await receiver.request('SEND', { destination: matching }, 'to one')
      expect(await receiver.bodies(1)).toEqual(['to one'])
    })
  })
})
