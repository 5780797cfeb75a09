import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, type TestBroker } from './helpers/broker.ts'
import { frame, RawClient } from './helpers/client.ts'

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.close())

/** A client that has sent nothing but `command`. */
async function open(headers: Record<string, string>, command = 'CONNECT'): Promise<RawClient> {
  const client = await RawClient.webSocket(broker.webSocketUrl)
  client.send(command, headers)
  return client
}

describe('opening', () => {
  test.each(['CONNECT', 'STOMP'])(
    '1.2 CONNECT or STOMP Frame: %s is handled in the same manner',
    async (command) => {
      const client = await open({ 'accept-version': '1.2', host: 'x' }, command)
      expect((await client.next('CONNECTED')).headers.version).toBe('1.2')
      await client.sync()
    },
  )

  test.each([
    [undefined, '1.0'],
    ['1.0', '1.0'],
    ['1.1', '1.1'],
    ['1.2', '1.2'],
    ['1.0,1.1', '1.1'],
    ['1.0,1.1,1.2', '1.2'],
    ['1.2,1.1,1.0', '1.2'],
    ['1.1,9.9', '1.1'],
    ['1.0, 1.1', '1.1'],
  ])(
    '1.2 Protocol Negotiation: accept-version %s gets version %s, the highest in common, 1.0 when absent',
    async (offered, version) => {
      const client = await open(offered === undefined ? {} : { 'accept-version': offered })
      expect((await client.next('CONNECTED')).headers.version).toBe(version)
    },
  )

  test.each(['2.0', '0.9,3.1', '1', ''])(
    '1.2 Protocol Negotiation: none in common (%j) is an ERROR that names the supported ones, then a close',
    async (offered) => {
      const { error, close } = await (await open({ 'accept-version': offered, host: 'x' })).refusal()
      expect(error.headers).toMatchObject({
        version: '1.2,1.1,1.0',
        message: 'no supported protocol version',
      })
      for (const version of ['1.2', '1.1', '1.0']) expect(error.body.toString()).toContain(version)
      expect(close.code).toBe(1002)
    },
  )

  test.each([
    ['v10.stomp', '1.2', 'a\\cb\\r', 'a\\cb\\r'],
    ['v12.stomp', '1.1', 'a\\cb', 'a\\cb'],
    ['v12.stomp', '1.0', 'a\\cb', 'a\\cb'],
  ])(
    'contract 4.2: sub-protocol %s and accept-version %s may disagree; CONNECT is believed',
    async (protocol, version, sent, seen) => {
      const client = await RawClient.webSocket(broker.webSocketUrl, [protocol])
      expect(client.socket.protocol).toBe(protocol)
      client.send('CONNECT', { 'accept-version': version })
      expect((await client.next('CONNECTED')).headers.version).toBe(version)
      const destination = `/topic/connect/${protocol}/${version}`
      await client.request('SUBSCRIBE', { id: '0', destination })
      client.send('SEND', { destination, custom: sent })
      expect((await client.next('MESSAGE')).headers.custom).toBe(seen)
    },
  )

  test.each([undefined, 'localhost', '/', 'nowhere.example', 'a b'])(
    'contract 4.5: host is optional and any value will do (%s)',
    async (host) => {
      const client = await open({ 'accept-version': '1.2', ...(host !== undefined && { host }) })
      await client.next('CONNECTED')
    },
  )

  test('1.2 CONNECT or STOMP Frame: login is shown as user-name, passcode is not shown', async () => {
    const client = await open({ 'accept-version': '1.2', login: 'guest', passcode: 'secret' })
    const connected = await client.next('CONNECTED')
    expect(connected.headers['user-name']).toBe('guest')
    expect(connected.lines.join()).not.toContain('secret')
  })

  test('1.2 STOMP Frames: EOLs before CONNECT and CR LF line ends are accepted', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.raw('\n\r\n\nCONNECT\r\naccept-version:1.1,1.2\r\nhost:x\r\n\r\n\0\r\n')
    expect((await client.next('CONNECTED')).headers.version).toBe('1.2')
  })
})

describe('CONNECTED', () => {
  test('1.2 CONNECTED Frame: version, heart-beat, session and server', async () => {
    const { session } = await RawClient.connected(broker)
    expect(session.headers).toMatchObject({ version: '1.2', 'heart-beat': '0,0' })
    expect(session.headers.server).toMatch(/^stomp-broker\/\d+\.\d+\.\d+\S*$/)
    expect(session.body).toHaveLength(0)
  })

  test('1.2 CONNECTED Frame: session identifies the session and needs no escaping', async () => {
    const sessions = await Promise.all(Array.from({ length: 10 }, () => RawClient.connected(broker)))
    const ids = sessions.map(({ session }) => session.headers.session ?? '')
    expect(new Set(ids).size).toBe(10)
    for (const id of ids) expect(id).toMatch(/^[\w-]{8,}$/)
  })

  test('contract 4.5: the server header can be hidden', async () => {
    const quiet = await startBroker({ serverHeader: false })
    const { session } = await RawClient.connected(quiet)
    expect(session.headers).not.toHaveProperty('server')
    expect(session.headers.version).toBe('1.2')
    await quiet.close()
  })

  test('contract 4.5: receipt and request-id are answered on CONNECTED, and nowhere else', async () => {
    const client = await open({ 'accept-version': '1.2', receipt: 'r1', 'request-id': 'q1' })
    expect((await client.next('CONNECTED')).headers).toMatchObject({
      'receipt-id': 'r1',
      'response-id': 'q1',
    })
    await client.sync()
    expect(client.frames).toEqual([])
  })

  test.each(['1.2', '1.1'])(
    '1.2 Value Encoding: on %s neither CONNECT nor CONNECTED is escaped',
    async (version) => {
      const client = await open({ 'accept-version': version, receipt: 'a\\cb\\n:\\\\ \\t', login: '\\x' })
      expect((await client.next('CONNECTED')).lines).toContain('receipt-id:a\\cb\\n:\\\\ \\t')
    },
  )

  test('1.2 Repeated Header Entries: of two accept-version the first counts', async () => {
    const client = await RawClient.webSocket(broker.webSocketUrl)
    client.raw('CONNECT\naccept-version:1.1\naccept-version:1.2\nhost:x\n\n\0')
    expect((await client.next('CONNECTED')).headers.version).toBe('1.1')
  })
})

describe('out of turn', () => {
  test.each(['CONNECT', 'STOMP'])('contract 4.5: a second %s is an ERROR, close 1002', async (command) => {
    const client = await RawClient.connected(broker)
    // Never unescaped, so this is not what is wrong with it.
    client.send(command, { 'accept-version': '1.2', login: '\\t' })
    const { error, close } = await client.refusal()
    expect(error.headers.message).toBe('already connected')
    expect(close.code).toBe(1002)
  })

  test.each([
    ['SEND', { destination: '/topic/early' }],
    ['SUBSCRIBE', { id: '0', destination: '/topic/early' }],
    ['UNSUBSCRIBE', { id: '0' }],
    ['ACK', { id: '0' }],
    ['NACK', { id: '0' }],
    ['BEGIN', { transaction: '0' }],
    ['COMMIT', { transaction: '0' }],
    ['ABORT', { transaction: '0' }],
    ['DISCONNECT', {}],
  ])(
    '1.2 Connecting: %s before CONNECT is an ERROR with its receipt-id, close 1002',
    async (command, headers) => {
      const client = await RawClient.webSocket(broker.webSocketUrl)
      client.raw(frame(command, { ...headers, receipt: 'early' }))
      const { error, close } = await client.refusal()
      expect(error.headers).toMatchObject({ message: 'not connected', 'receipt-id': 'early' })
      expect(close.code).toBe(1002)
    },
  )

  test('contract 4.5: who does not CONNECT in time gets an ERROR and is closed, who does stays', async () => {
    const hasty = await startBroker({ connectTimeout: 100 })
    const connected = await RawClient.connected(hasty)
    const silent = await RawClient.webSocket(hasty.webSocketUrl)
    const beating = await RawClient.webSocket(hasty.webSocketUrl)
    beating.raw('\n\n')
    const halfway = await RawClient.tcp(hasty.tcpPort)
    halfway.raw('CONNECT\naccept-version:1.2\n')
    for (const client of [silent, beating, halfway]) {
      const { error, close } = await client.refusal()
      expect(error.headers.message).toBe('CONNECT took too long')
      expect(close.code).toBe(client === halfway ? 0 : 1002)
    }
    await connected.sync()
    await hasty.close()
  })
})
