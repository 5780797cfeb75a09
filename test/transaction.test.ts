import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { RawClient, type RawFrame } from './helpers/client.ts'

let broker: TestBroker
const engine = new TestEngine({ maxQueueMessages: 20 })
beforeAll(async () => {
  broker = await startBroker({}, engine)
})
afterAll(() => broker.close())

let names = 0
function queue(): string {
  return `/queue/transaction/${++names}`
}

/** A client that holds messages 1 to `count` of `destination`. */
async function holding(
  destination: string,
  count: number,
  ack = 'client-individual',
): Promise<{ client: RawClient; messages: RawFrame[] }> {
  const client = await RawClient.connected(broker)
  await client.request('SUBSCRIBE', { id: 's', destination, ack, prefetch: '0' })
  for (let index = 1; index <= count; index++) client.send('SEND', { destination }, String(index))
  return { client, messages: await client.take(count) }
}

function ackOf(message: RawFrame | undefined): string {
  return message?.headers.ack ?? ''
}

describe('SEND', () => {
  test.each(['/queue/transaction/send', '/topic/transaction/send'])(
    '1.2 BEGIN and COMMIT: what is sent to %s arrives at COMMIT, in order, and not before',
    async (destination) => {
      const [sender, receiver] = [await RawClient.connected(broker), await RawClient.connected(broker)]
      await receiver.request('SUBSCRIBE', { id: '0', destination })
      await sender.request('BEGIN', { transaction: 't' })
      for (const body of ['1', '2', '3'])
        await sender.request('SEND', { destination, transaction: 't' }, body)
      await sender.request('SEND', { destination }, 'outside')
      expect(await receiver.bodies(1)).toEqual(['outside'])
      await sender.request('COMMIT', { transaction: 't' })
      expect(await receiver.bodies(3)).toEqual(['1', '2', '3'])
    },
  )

  test('1.2 ABORT: what was sent never arrives', async () => {
    const destination = queue()
    const client = await RawClient.connected(broker)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('SEND', { destination, transaction: 't' }, 'x')
    await client.request('ABORT', { transaction: 't' })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 0 })
  })

  test('several open transactions of a client are apart, and so are those of two clients by one name', async () => {
    const destination = queue()
    const [a, b] = [await RawClient.connected(broker), await RawClient.connected(broker)]
    for (const transaction of ['t', 'u']) {
      await a.request('BEGIN', { transaction })
      await a.request('SEND', { destination, transaction }, `a ${transaction}`)
    }
    await b.request('BEGIN', { transaction: 't' })
    await b.request('SEND', { destination, transaction: 't' }, 'b t')
    await a.request('ABORT', { transaction: 't' })
    await b.request('COMMIT', { transaction: 't' })
    await a.request('COMMIT', { transaction: 'u' })
    await a.request('SUBSCRIBE', { id: '0', destination })
    await a.sync()
    expect(a.frames.map(({ body }) => body.toString())).toEqual(['b t', 'a u'])
  })

  test('an id is free again after COMMIT and after ABORT', async () => {
    const client = await RawClient.connected(broker)
    for (const end of ['COMMIT', 'ABORT', 'COMMIT']) {
      await client.request('BEGIN', { transaction: 't' })
      await client.request(end, { transaction: 't' })
    }
  })

  test('all or nothing: a COMMIT that does not fit its queue delivers none of it', async () => {
    const [full, other] = [queue(), queue()]
    const client = await RawClient.connected(broker)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('SEND', { destination: other, transaction: 't' })
    for (let index = 0; index < 21; index++) client.send('SEND', { destination: full, transaction: 't' })
    client.send('COMMIT', { transaction: 't', receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'queue full', 'receipt-id': 'r' })
    expect(close.code).toBe(1008)
    for (const name of [full, other]) expect(await engine.count(name)).toEqual({ ready: 0, unacked: 0 })
  })
})

describe('ACK and NACK', () => {
  test('1.2 ACK: within a transaction it counts at COMMIT', async () => {
    const destination = queue()
    const { client, messages } = await holding(destination, 2)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('ACK', { id: ackOf(messages[0]), transaction: 't' })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 2 })
    await client.request('COMMIT', { transaction: 't' })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 1 })
  })

  test('1.2 NACK: within a transaction it counts at COMMIT', async () => {
    const destination = queue()
    const { client, messages } = await holding(destination, 1)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('NACK', { id: ackOf(messages[0]), transaction: 't' })
    await client.sync()
    expect(client.frames).toEqual([])
    await client.request('COMMIT', { transaction: 't' })
    expect((await client.next('MESSAGE')).headers.redelivered).toBe('true')
  })

  test('1.2 COMMIT: receive, answer and acknowledge as one', async () => {
    const [requests, answers] = [queue(), queue()]
    const { client, messages } = await holding(requests, 1)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('SEND', { destination: answers, transaction: 't' }, 'answer')
    await client.request('ACK', { id: ackOf(messages[0]), transaction: 't' })
    await client.request('COMMIT', { transaction: 't' })
    expect(await engine.count(requests)).toEqual({ ready: 0, unacked: 0 })
    expect(await engine.count(answers)).toEqual({ ready: 1, unacked: 0 })
  })

  test('1.2 ABORT: an ACK is undone and can be made again', async () => {
    const destination = queue()
    const { client, messages } = await holding(destination, 1)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('ACK', { id: ackOf(messages[0]), transaction: 't' })
    await client.request('ABORT', { transaction: 't' })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 1 })
    await client.request('ACK', { id: ackOf(messages[0]) })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 0 })
  })

  test('invariant 4: ABORT leaves the ledger as it was before BEGIN', async () => {
    const destination = queue()
    const { client, messages } = await holding(destination, 5, 'client')
    await client.request('BEGIN', { transaction: 't' })
    await client.request('ACK', { id: ackOf(messages[1]), transaction: 't' })
    await client.request('NACK', { id: ackOf(messages[3]), transaction: 't' })
    await client.request('ABORT', { transaction: 't' })
    expect(client.frames).toEqual([])
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 5 })
    // The order is that of the deliveries again: a cumulative ACK covers 1 to 3, and 4 and 5 return in order.
    await client.request('ACK', { id: ackOf(messages[2]) })
    expect(await engine.count(destination)).toEqual({ ready: 0, unacked: 2 })
    await client.request('UNSUBSCRIBE', { id: 's' })
    await client.request('SUBSCRIBE', { id: 's', destination })
    const left = await client.take(2)
    expect(left.map(({ body, headers }) => [body.toString(), headers['delivery-count']])).toEqual([
      ['4', '1'],
      ['5', '1'],
    ])
  })

  test('UNSUBSCRIBE gives back what ABORT undoes afterwards, and COMMIT settles it still', async () => {
    for (const [end, left] of [
      ['ABORT', 1],
      ['COMMIT', 0],
    ] as const) {
      const destination = queue()
      const { client, messages } = await holding(destination, 1)
      await client.request('BEGIN', { transaction: 't' })
      await client.request('ACK', { id: ackOf(messages[0]), transaction: 't' })
      await client.request('UNSUBSCRIBE', { id: 's' })
      await client.request(end, { transaction: 't' })
      expect(await engine.count(destination)).toEqual({ ready: left, unacked: 0 })
    }
  })
})

describe('the end of the connection', () => {
  test.each(['DISCONNECT', 'an abrupt end', 'an ERROR'])(
    '1.2 BEGIN: %s aborts what was not committed',
    async (end) => {
      const [held, sent] = [queue(), queue()]
      const { client, messages } = await holding(held, 3)
      await client.request('BEGIN', { transaction: 't' })
      await client.request('ACK', { id: ackOf(messages[1]), transaction: 't' })
      await client.request('SEND', { destination: sent, transaction: 't' })
      if (end === 'DISCONNECT') await client.request('DISCONNECT')
      else if (end === 'an ERROR') client.raw('NONSENSE\n\n\0')
      else client.destroy()
      const other = await RawClient.connected(broker)
      other.send('SUBSCRIBE', { id: '0', destination: held })
      expect(await other.bodies(3)).toEqual(['1', '2', '3'])
      expect(await engine.count(sent)).toEqual({ ready: 0, unacked: 0 })
    },
  )
})

describe('errors', () => {
  test.each([
    ['SEND', { destination: '/queue/transaction/x' }],
    ['ACK', {}],
    ['NACK', {}],
    ['COMMIT', {}],
    ['ABORT', {}],
    ['ACK', { id: 'undefined', transaction: 'none' }],
  ])('1.2 %s: an unknown transaction is an ERROR', async (command, headers) => {
    const { client, messages } = await holding(queue(), 1)
    client.send(command, { ...headers, id: ackOf(messages[0]), transaction: 'nope', receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'unknown transaction', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('nope')
    expect(close.code).toBe(1002)
  })

  test.each(['COMMIT', 'ABORT'])('1.2 %s: a transaction that has ended is unknown', async (command) => {
    const client = await RawClient.connected(broker)
    await client.request('BEGIN', { transaction: 't' })
    await client.request('COMMIT', { transaction: 't' })
    client.send(command, { transaction: 't' })
    expect((await client.refusal()).error.headers.message).toBe('unknown transaction')
  })

  test('1.2 BEGIN: transactions of a connection must have different ids', async () => {
    const client = await RawClient.connected(broker)
    await client.request('BEGIN', { transaction: 't' })
    client.send('BEGIN', { transaction: 't', receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'duplicate transaction', 'receipt-id': 'r' })
    expect(close.code).toBe(1002)
  })

  test.each(['BEGIN', 'COMMIT', 'ABORT'])('1.2 %s: the transaction header is required', async (command) => {
    const client = await RawClient.connected(broker)
    client.send(command, { receipt: 'r' })
    const { error, close } = await client.refusal()
    expect(error.headers).toMatchObject({ message: 'missing header', 'receipt-id': 'r' })
    expect(error.body.toString()).toContain('"transaction"')
    expect(close.code).toBe(1002)
  })
})
