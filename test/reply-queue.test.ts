import { afterAll, beforeAll, expect, test } from 'vitest'
import { fresh, startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { RawClient } from './helpers/client.ts'

const engine = new TestEngine()
let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker({ maxSubscriptions: 3 }, engine)
})
afterAll(() => broker.close())

/** Sends a request to a listener of a test's own, and tells the address it is answered at. */
async function ask(client: RawClient, name = '/temp-queue/r'): Promise<string> {
  const destination = fresh('queue')
  const service = await RawClient.connected(broker)
  await service.request('SUBSCRIBE', { id: 's', destination })
  client.send('SEND', { destination, 'reply-to': name })
  const { headers } = await service.next('MESSAGE')
  return headers['reply-to'] ?? ''
}

async function answer(address: string, body: string): Promise<void> {
  const service = await RawClient.connected(broker)
  await service.request('SEND', { destination: address }, body)
}

test('a subscription that has the name of a reply queue for its id stays, and ends with its client', async () => {
  const client = await RawClient.connected(broker)
  const destination = fresh('queue')
  await client.request('SUBSCRIBE', { id: '/temp-queue/r', destination })
  await answer(await ask(client), 'reply')
  expect(await client.bodies(1)).toEqual(['reply'])
  await client.request('SEND', { destination }, 'work')
  expect(await client.bodies(1)).toEqual(['work'])
  client.destroy()
  const next = await RawClient.connected(broker)
  await next.request('SUBSCRIBE', { id: '0', destination })
  while ((await engine.inspect()).find(({ queue }) => queue === destination)?.consumers !== 1)
    await next.sync()
  await next.request('SEND', { destination }, 'more')
  expect(await next.bodies(1)).toEqual(['more'])
})

test.each([
  ['an id in use', { id: 'taken', destination: '/temp-queue/r' }],
  ['a bad selector', { id: 'new', destination: '/temp-queue/r', selector: '(' }],
  ['a bad header', { id: 'new', destination: '/temp-queue/r', browser: 'yes' }],
])('a SUBSCRIBE that is refused leaves the replies as they come: %s', async (_, headers) => {
  const client = await RawClient.connected(broker, { 'x-error-scope': 'frame' })
  await client.request('SUBSCRIBE', { id: 'taken', destination: fresh('topic') })
  const address = await ask(client)
  client.send('SUBSCRIBE', headers)
  await client.next('ERROR')
  await answer(address, 'reply')
  const message = await client.next('MESSAGE')
  expect([message.headers.subscription, message.body.toString()]).toEqual(['/temp-queue/r', 'reply'])
})

test('browsing a reply queue takes nothing away', async () => {
  const client = await RawClient.connected(broker)
  const address = await ask(client)
  await client.request('SUBSCRIBE', { id: 'b', destination: '/temp-queue/r', browser: 'true' })
  expect((await client.next('MESSAGE')).headers.browser).toBe('end')
  await answer(address, 'reply')
  expect((await client.next('MESSAGE')).headers.subscription).toBe('/temp-queue/r')
})

test.each(['its name', 'its address'])('who subscribes by %s gets each reply once', async (how) => {
  const client = await RawClient.connected(broker)
  const address = await ask(client)
  await client.request('SUBSCRIBE', {
    id: 'own',
    destination: how === 'its name' ? '/temp-queue/r' : address,
  })
  for (const body of ['1', '2', '3']) await answer(address, body)
  expect((await client.take(3)).map(({ headers, body }) => [headers.subscription, body.toString()])).toEqual([
    ['own', '1'],
    ['own', '2'],
    ['own', '3'],
  ])
})

test('UNSUBSCRIBE by the name ends the replies until the next request', async () => {
  const client = await RawClient.connected(broker)
  const address = await ask(client)
  await client.request('UNSUBSCRIBE', { id: '/temp-queue/r' })
  await answer(address, 'kept')
  await client.sync()
  expect(client.frames).toEqual([])
  expect(await ask(client)).toBe(address)
  expect(await client.bodies(1)).toEqual(['kept'])
})

test('max-subscriptions counts those that came by themselves', async () => {
  const client = await RawClient.connected(broker)
  for (const name of ['1', '2', '3']) await ask(client, `/temp-queue/${name}`)
  client.send('SUBSCRIBE', { id: '0', destination: fresh('topic') })
  const { error } = await client.refusal()
  expect(error.body.toString()).toContain('limit max-subscriptions')
})
