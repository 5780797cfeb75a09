import { afterAll, beforeAll, expect, test } from 'vitest'
import { startBroker, type TestBroker } from './helpers/broker.ts'
import { RawClient } from './helpers/client.ts'

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.close())

test('a topic reaches every subscriber, the sender included', async () => {
  const [a, b] = [await RawClient.connected(broker), await RawClient.connected(broker)]
  await a.request('SUBSCRIBE', { id: '0', destination: '/topic/news' })
  await b.request('SUBSCRIBE', { id: 'x', destination: '/topic/news' })
  a.send('SEND', { destination: '/topic/news', 'content-type': 'text/plain', custom: 'kept' }, 'hello 🌍')
  for (const [client, id] of [
    [a, '0'],
    [b, 'x'],
  ] as const) {
    const message = await client.next('MESSAGE')
    expect(message.body.toString()).toBe('hello 🌍')
    expect(message.headers).toMatchObject({
      subscription: id,
      destination: '/topic/news',
      custom: 'kept',
      'content-length': '10',
    })
  }
})

test('a queue gives each message to one consumer in turn', async () => {
  const [a, b] = [await RawClient.connected(broker), await RawClient.connected(broker)]
  await a.request('SUBSCRIBE', { id: '0', destination: '/queue/work', ack: 'client-individual' })
  await b.request('SUBSCRIBE', { id: '0', destination: '/queue/work', ack: 'client-individual' })
  for (const body of ['1', '2', '3', '4']) await a.request('SEND', { destination: '/queue/work' }, body)
  await b.sync()
  expect(a.frames.map((frame) => frame.body.toString())).toEqual(['1', '3'])
  expect(b.frames.map((frame) => frame.body.toString())).toEqual(['2', '4'])
})
