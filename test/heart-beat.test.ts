import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, TestEngine, type TestBroker } from './helpers/broker.ts'
import { RawClient } from './helpers/client.ts'

let broker: TestBroker
const engine = new TestEngine()
beforeAll(async () => {
  broker = await startBroker({ heartbeatMin: 500 }, engine)
})
afterAll(() => broker.close())

/** A TCP client: nothing answers pings for it, so it lives by what it writes. */
function tcp(beat: string): Promise<RawClient> {
  return RawClient.tcpConnected(broker, { 'heart-beat': beat })
}

describe('agreement', () => {
  test.each([
    [undefined, '0,0'],
    ['0,0', '0,0'],
    ['10000,0', '0,10000'],
    ['0,10000', '10000,0'],
    ['4000,5000', '5000,4000'],
    ['700,701', '701,700'],
    ['1,499', '500,500'],
    ['500,500', '500,500'],
    ['60000,60000', '60000,60000'],
    ['60001,999999999', '60000,60000'],
  ])(
    'contract 4.6: %s is answered %s: the client`s own numbers, clamped to the window, 0 kept, in ms',
    async (sent, answered) => {
      const { session } = await RawClient.connected(broker, sent === undefined ? {} : { 'heart-beat': sent })
      expect(session.headers['heart-beat']).toBe(answered)
    },
  )

  test('contract 4.6: the default window is 1000 to 60000 ms', async () => {
    const standard = await startBroker()
    const { session } = await RawClient.connected(standard, { 'heart-beat': '999,60001' })
    expect(session.headers['heart-beat']).toBe('60000,1000')
    await standard.close()
  })

  test('what clients write beside the specification is understood: blanks, and the largest number of Java', async () => {
    for (const beat of ['2000, 3000', ' 2000,3000 ']) {
      const { session } = await RawClient.connected(broker, { 'heart-beat': beat })
      expect(session.headers['heart-beat']).toBe('3000,2000')
    }
    const { session } = await RawClient.connected(broker, { 'heart-beat': '0,2147483647' })
    expect(session.headers['heart-beat']).toMatch(/^\d+,0$/)
  })

  test.each(['', '1', '1,', '1,2,3', 'a,b', '-1,0', '1.5,1', '1 2', '10000000000,1'])(
    '1.2 Heart-beating: %j is not two positive integers, which is an ERROR',
    async (beat) => {
      const client = await RawClient.webSocket(broker.webSocketUrl)
      client.send('CONNECT', { 'accept-version': '1.2', 'heart-beat': beat })
      const { error, close } = await client.refusal()
      expect(error.headers.message).toBe('invalid header')
      expect(error.body.toString()).toContain('heart-beat')
      expect(close.code).toBe(1002)
    },
  )
})

// These take their time, so they take it together.
describe.concurrent('beats', () => {
  test('1.2 Heart-beating: with nothing else to send the broker sends an EOL, to those who asked', async () => {
    const asked = await RawClient.connected(broker, { 'heart-beat': '0,500' })
    const askedTcp = await tcp('0,500')
    const others = [
      await RawClient.connected(broker),
      await RawClient.connected(broker, { 'heart-beat': '9000,0' }),
    ]
    const start = performance.now()
    await asked.until(() => asked.heartbeats >= 4)
    // 500 ms apart at most; twice the time is left for a busy machine.
    expect(performance.now() - start).toBeLessThan(4000)
    await askedTcp.until(() => askedTcp.heartbeats >= 3)
    // On WebSocket each is a text message of its own.
    for (const { data, binary } of asked.messages.slice(1)) {
      expect(binary).toBe(false)
      expect(data.toString()).toBe('\n')
    }
    for (const other of others) {
      await other.sync()
      expect(other.heartbeats).toBe(0)
    }
  })

  test('contract 4.6: who is silent for three intervals is dropped; EOLs and frames keep a client', async () => {
    const [silent, beating, sending] = [await tcp('500,0'), await tcp('500,0'), await tcp('500,0')]
    const start = performance.now()
    const timer = setInterval(() => {
      beating.raw('\n')
      sending.send('SEND', { destination: '/topic/heart-beat' })
    }, 200)
    const { error } = await silent.refusal()
    expect(error.headers.message).toBe('heart-beat lost')
    expect(performance.now() - start).toBeGreaterThan(1300)
    const again = await tcp('500,0')
    await again.closed
    await beating.sync()
    await sending.sync()
    clearInterval(timer)
  })

  test('contract 4.6: on WebSocket the close code is 1002, and unacked messages return', async () => {
    const destination = '/queue/heart-beat/held'
    const mute = await RawClient.webSocket(broker.webSocketUrl, undefined, {}, { autoPong: false })
    mute.send('CONNECT', { 'accept-version': '1.2', 'heart-beat': '500,0' })
    mute.send('SUBSCRIBE', { id: '0', destination, ack: 'client' })
    mute.send('SEND', { destination }, 'held')
    const { error, close } = await mute.refusal()
    expect(error.headers.message).toBe('heart-beat lost')
    expect(close.code).toBe(1002)
    expect(await engine.count(destination)).toEqual({ ready: 1, unacked: 0 })
  })

  test('contract 4.6: pongs keep a client whose timers sleep, 0,0 is never dropped', async () => {
    const sleeping = await RawClient.connected(broker, { 'heart-beat': '500,0' })
    const idle = await tcp('0,0')
    let pings = 0
    await new Promise<void>((resolve) => {
      sleeping.socket.on('ping', () => {
        if (++pings === 5) resolve()
      })
    })
    // Five pings are at least 2500 ms of silence; the limit is 1500.
    await sleeping.sync()
    await idle.sync()
  })

  test('contract 4.6: pongs alone are no life beyond the ceiling; 0,0 has none', async () => {
    const strict = await startBroker({ heartbeatMin: 500, heartbeatCeiling: 2000 })
    const idle = await RawClient.connected(strict)
    const start = performance.now()
    const sleeping = await RawClient.connected(strict, { 'heart-beat': '500,0' })
    const beating = await RawClient.connected(strict, { 'heart-beat': '500,0' })
    const timer = setInterval(() => beating.raw('\n'), 200)
    const { error, close } = await sleeping.refusal()
    expect(error.headers.message).toBe('heart-beat lost')
    expect(close.code).toBe(1002)
    expect(performance.now() - start).toBeGreaterThan(1800)
    await beating.sync()
    await idle.sync()
    clearInterval(timer)
    await strict.close()
  })
})
