import { afterAll, beforeAll, expect, test } from 'vitest'
import { startBroker, type TestBroker } from './helpers/broker.ts'
import { RawClient } from './helpers/client.ts'

const KIB = 1024
let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker({ maxFrame: 128 * KIB, maxBody: 120 * KIB, sendBudget: 1024 * KIB })
})
afterAll(() => broker.close())

async function retain(topic: string, body: string | Buffer): Promise<void> {
  const client = await RawClient.connected(broker)
  await client.request('SEND', { destination: topic, retain: 'set' }, body)
  client.destroy()
}

test('more than the send budget is retained, and a new subscriber gets it all in its own time', async () => {
  const topics = Array.from({ length: 50 }, (_, index) => `/topic/much/${index}`)
  for (const topic of topics) await retain(topic, Buffer.alloc(100 * KIB, 'x'))
  const client = await RawClient.connected(broker)
  client.send('SUBSCRIBE', { id: '0', destination: '/topic/much/*' })
  client.pause()
  // The broker has filled what it may, and waits.
  const other = await RawClient.connected(broker)
  await other.sync()
  client.resume()
  const messages = await client.take(topics.length)
  expect(new Set(messages.map(({ headers }) => headers.destination))).toEqual(new Set(topics))
})

test('what comes in while old values wait is the newer one, and the last', async () => {
  const topics = Array.from({ length: 60 }, (_, index) => `/topic/news/${index}`)
  for (const topic of topics) await retain(topic, Buffer.alloc(100 * KIB, 'old'))
  const client = await RawClient.connected(broker)
  client.pause()
  client.send('SUBSCRIBE', { id: '0', destination: '/topic/news/*' })
  // Behind what fills the connection.
  const last = topics.at(-1) ?? ''
  await retain(last, 'new')
  client.resume()
  const seen: string[] = []
  while (!seen.includes('new')) {
    const { headers, body } = await client.next('MESSAGE')
    if (headers.destination === last) seen.push(body.toString('utf8', 0, 3))
  }
  await client.sync()
  const after = client.frames.filter(({ headers }) => headers.destination === last)
  expect(after).toEqual([])
})

test('each subscriber has its own id on what is retained, however often', async () => {
  await retain('/topic/often', 'value')
  const client = await RawClient.connected(broker)
  for (const id of ['a', 'b', 'c']) {
    await client.request('SUBSCRIBE', { id, destination: '/topic/often' })
    const { headers, body } = await client.next('MESSAGE')
    expect([headers.subscription, body.toString()]).toEqual([id, 'value'])
  }
})
