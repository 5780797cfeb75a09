import { afterAll, beforeAll, expect, test } from 'vitest'
import { fresh, startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { frame, RawClient } from './helpers/client.ts'

// One client, whatever it does, must not keep another waiting. Nothing is timed here: the order of
// what arrives tells who waited for whom.

let broker: TestBroker
const engine = new TestEngine()
beforeAll(async () => {
  broker = await startBroker({}, engine)
})
afterAll(() => broker.close())

test('a subscription with a large backlog does not starve another of the same client', async () => {
  const [large, small] = [fresh('queue'), fresh('queue')]
  const sender = await RawClient.connected(broker)
  const body = 'x'.repeat(50_000)
  for (let index = 0; index < 400; index++) sender.send('SEND', { destination: large }, body)
  for (let index = 0; index < 10; index++) sender.send('SEND', { destination: small }, String(index))
  await sender.sync()
  const client = await RawClient.connected(broker)
  client.send('SUBSCRIBE', { id: 'large', destination: large })
  client.send('SUBSCRIBE', { id: 'small', destination: small })
  const order = (await client.take(410)).map(({ headers }) => headers.subscription)
  expect(order.lastIndexOf('small')).toBeLessThan(200)
})

test('a backlog is handed out over many turns, and others are answered in between', async () => {
  const destination = fresh('queue')
  const sender = await RawClient.tcpConnected(broker)
  const count = 20_000
  for (let sent = 0; sent < count; sent += 1_000)
    sender.raw(Buffer.concat(Array.from({ length: 1_000 }, () => frame('SEND', { destination }))))
  await sender.sync()
  const client = await RawClient.tcpConnected(broker)
  const other = await RawClient.tcpConnected(broker)
  const { ready } = await engine.count(destination)
  expect(ready).toBe(count)
  client.pause()
  client.send('SUBSCRIBE', { id: '0', destination })
  // Its consumer is there, and takes the whole backlog in one turn or in many.
  const seen: number[] = []
  while (seen.at(-1) !== 0 && seen.length < 1_000) {
    await other.sync()
    seen.push((await engine.count(destination)).ready)
    if (seen.length === 3) client.resume()
  }
  expect(seen.filter((left) => left > 0 && left < count).length).toBeGreaterThan(3)
  client.destroy()
})

test('one frame to many subscriptions of one client stops when that client is ended', async () => {
  const small = await startBroker({ sendBudget: 1024 * 1024, maxFrame: 1024 * 1024, maxBody: 900 * 1024 })
  const destination = fresh('topic')
  const greedy = await RawClient.connected(small)
  for (let id = 0; id < 500; id++) greedy.send('SUBSCRIBE', { id: String(id), destination })
  await greedy.sync()
  greedy.pause()
  const before = process.memoryUsage.rss()
  const sender = await RawClient.connected(small)
  await sender.request('SEND', { destination }, 'x'.repeat(800 * 1024))
  // 500 copies would be 400 MB.
  expect(process.memoryUsage.rss() - before).toBeLessThan(150 * 1024 * 1024)
  expect(small.broker.stats.slowConsumers).toBe(1)
  greedy.destroy()
  await small.close()
})

test('one large message is not slowness, however it grows on the wire', async () => {
  const small = await startBroker({ sendBudget: 1024 * 1024, maxFrame: 1024 * 1024, maxBody: 900 * 1024 })
  const destination = fresh('topic')
  const client = await RawClient.webSocket(
    `${small.webSocketUrl.replace('/stomp', '/ws')}/0/fair/websocket`,
    [],
  )
  const parts: string[] = []
  client.socket.on('message', (data) => parts.push((data as Buffer).toString()))
  const send = (command: string, headers: Record<string, string>): void =>
    client.socket.send(JSON.stringify([frame(command, headers).toString()]))
  send('CONNECT', { 'accept-version': '1.2' })
  send('SUBSCRIBE', { id: '0', destination, receipt: 'r' })
  await expect.poll(() => parts.some((part) => part.includes('RECEIPT'))).toBe(true)
  const sender = await RawClient.connected(small)
  // Every byte becomes six in JSON.
  await sender.request('SEND', { destination }, '\u0001'.repeat(800 * 1024))
  await expect.poll(() => parts.some((part) => part.startsWith('a["MESSAGE'))).toBe(true)
  expect(parts.filter((part) => part.startsWith('c['))).toEqual([])
  client.destroy()
  await small.close()
})
