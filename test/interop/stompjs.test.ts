import { Versions, type IMessage, type IStompSocket } from '@stomp/stompjs'
import { describe, expect } from 'vitest'
import { test } from '../helpers/fixtures.ts'
import { Inbox, transports, type Peer, type Transport } from '../helpers/stompjs.ts'
import { startBroker } from '../helpers/broker.ts'

// The wire contract's acceptance item 1: what stompjs's own tests ask of a broker, over every transport.

const special = 'f:o:o\nbar\rbaz\\'
const MIB = 1024 * 1024

const bodies = (messages: readonly IMessage[]): string[] => messages.map(({ body }) => body)

/** One message, held by `holder` on a queue that acks by `mode`. */
async function hold(holder: Peer, queue: string, mode = 'client-individual'): Promise<IMessage> {
  const inbox = await holder.subscribe(queue, { ack: mode })
  await holder.send(queue, 'held')
  const message = await inbox.take()
  expect(message.headers['redelivered']).toBe('false')
  return message
}

/** Lets the transport's socket swallow the client's heart-beats: the client looks dead, its socket does not. */
function withoutBeats(transport: Transport, ports: { port: number; tcpPort: number }): () => IStompSocket {
  const { brokerURL, webSocketFactory } = transport.config(ports)
  return () => {
    const socket = (webSocketFactory?.() ?? new WebSocket(brokerURL ?? '', 'v12.stomp')) as IStompSocket
    const send = socket.send.bind(socket)
    socket.send = (data) => {
      if (data !== '\n') send(data)
    }
    return socket
  }
}

describe.concurrent('stompjs', () => {
  describe.each(transports)('over $name', (transport) => {
    test('connects, with the heart-beats it asked for', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const peer = house.start(transport, broker, { heartbeatIncoming: 10_000, heartbeatOutgoing: 20_000 })
      const { headers } = await peer.connects.take()
      expect(headers).toMatchObject({ version: '1.2', 'heart-beat': '10000,20000' })
      expect(headers['server']).toMatch(/^stomp-broker\/\d/)
      expect(headers['session']).toMatch(/^[\w-]{16,}$/)
      expect(peer.client.connected).toBe(true)
      expect(peer.client.webSocket).toMatchObject(transport.socket)
      expect(broker.broker.stats.connections).toBe(1)
    })

    test.for(['1.0', '1.1'])('speaks %s when that is all the client speaks', async (version, { house }) => {
      const broker = await house.broker(transport.options)
      const old = { stompVersions: new Versions([version]) }
      const [one, other] = [
        await house.peer(transport, broker, old),
        await house.peer(transport, broker, old),
      ]
      expect(one.client.connectedVersion).toBe(version)
      const message = await hold(one, '/queue/old', 'client')
      expect(message.headers['ack']).toBeUndefined()
      message.ack()
      await one.sync()
      const inbox = await other.subscribe('/queue/old', { ack: 'client' })
      await one.client.deactivate()
      await other.send('/queue/old', 'next')
      expect((await inbox.take()).body).toBe('next')
    })

    test('gets receipts on SEND, SUBSCRIBE and UNSUBSCRIBE', async ({ house }) => {
      const peer = await house.peer(transport, await house.broker(transport.options))
      const inbox = new Inbox<IMessage>()
      const subscribed = await peer.receipt((receipt) => {
        peer.client.subscribe('/topic/receipts', inbox.put, { ...receipt, id: 'mine' })
      })
      expect(subscribed.command).toBe('RECEIPT')
      await peer.send('/topic/receipts', 'one')
      // The own message does not come after the receipt that says it was handed on.
      expect((await inbox.take()).body).toBe('one')
      await peer.receipt((receipt) => peer.client.unsubscribe('mine', receipt))
      await peer.send('/topic/receipts', 'two')
      await peer.sync()
      expect(inbox.size).toBe(0)
    })

    test('carries 200 messages in order, beyond the basic plane as well', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const [sender, receiver] = [await house.peer(transport, broker), await house.peer(transport, broker)]
      const inbox = await receiver.subscribe('/topic/order')
      const sent = Array.from(
        { length: 200 },
        (_, index) => `${index} 🌍👩‍👩‍👧 \u2028 grüße ${'𝄞'.repeat(index)}`,
      )
      for (const body of sent) sender.client.publish({ destination: '/topic/order', body })
      expect(bodies(await inbox.takeAll(200))).toEqual(sent)
    })

    test('carries bodies of one special character, and an empty one', async ({ house }) => {
      const peer = await house.peer(transport, await house.broker(transport.options))
      const inbox = await peer.subscribe('/topic/special')
      const sent = [
        ...Array.from(
          '\0\n\r\t\b:\\"\'[]{},\u007f\u0080\u00ad\u200b\u200d\u2028\u2029\u202e\u2060\ufff0\ufffd\uffff',
        ),
        'a\ufeff',
        '\n\n',
        '\r\n',
        '\0\0',
        '\u{10ffff}',
        '',
      ]
      for (const body of sent) peer.client.publish({ destination: '/topic/special', body })
      expect(bodies(await inbox.takeAll(sent.length))).toEqual(sent)
      // Half a surrogate pair has no UTF-8 form: like every encoder, the way there puts U+FFFD in its place.
      peer.client.publish({ destination: '/topic/special', body: 'half \ud83d.' })
      expect((await inbox.take()).body).toBe('half \ufffd.')
    })

    test('carries special characters in header values', async ({ house }) => {
      const peer = await house.peer(transport, await house.broker(transport.options))
      const destination = '/topic/f:o:o\\🌍'
      const inbox = await peer.subscribe(destination)
      const headers = { plain: special, emoji: '🌍\u2028.', blank: '' }
      await peer.send(destination, '', headers)
      expect((await inbox.take()).headers).toMatchObject({ ...headers, destination })
    })

    test('NACK gives the message to another client', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const [one, other] = [await house.peer(transport, broker), await house.peer(transport, broker)]
      const message = await hold(one, '/queue/refused')
      const inbox = await other.subscribe('/queue/refused', { ack: 'client-individual' })
      message.nack()
      const again = await inbox.take()
      expect(again.body).toBe('held')
      expect(again.headers).toMatchObject({ redelivered: 'true' })
      again.ack()
      await other.sync()
    })

    test('a dropped connection gives the message to another client', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const cable = await house.cable(transport, broker)
      const [one, other] = [await house.peer(transport, cable), await house.peer(transport, broker)]
      await hold(one, '/queue/dropped')
      const inbox = await other.subscribe('/queue/dropped', { ack: 'client-individual' })
      cable.cut()
      const again = await inbox.take()
      expect(again.body).toBe('held')
      expect(again.headers['redelivered']).toBe('true')
    })

    test('what was acked does not come again', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const [one, other] = [await house.peer(transport, broker), await house.peer(transport, broker)]
      const message = await hold(one, '/queue/acked')
      await one.receipt((receipt) => message.ack(receipt))
      await one.client.deactivate()
      const inbox = await other.subscribe('/queue/acked', { ack: 'client-individual' })
      await other.send('/queue/acked', 'next')
      expect(bodies(await inbox.takeAll(1))).toEqual(['next'])
      await other.sync()
      expect(inbox.size).toBe(0)
    })

    test('ack:client acks all before it', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const [one, other] = [await house.peer(transport, broker), await house.peer(transport, broker)]
      const held = await one.subscribe('/queue/cumulative', { ack: 'client' })
      for (const body of ['1', '2', '3']) await one.send('/queue/cumulative', body)
      const [, second] = await held.takeAll(3)
      await one.receipt((receipt) => second?.ack(receipt))
      await one.client.deactivate()
      const inbox = await other.subscribe('/queue/cumulative', { ack: 'client' })
      expect(bodies(await inbox.takeAll(1))).toEqual(['3'])
      await other.sync()
      expect(inbox.size).toBe(0)
    })

    test('COMMIT sends what the transaction holds, in order, and not before', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const [sender, receiver] = [await house.peer(transport, broker), await house.peer(transport, broker)]
      const inbox = await receiver.subscribe('/topic/commit')
      const transaction = sender.client.begin()
      for (const body of ['1', '2']) await sender.send('/topic/commit', body, { transaction: transaction.id })
      await receiver.sync()
      expect(inbox.size).toBe(0)
      transaction.commit()
      await sender.send('/topic/commit', '3')
      expect(bodies(await inbox.takeAll(3))).toEqual(['1', '2', '3'])
    })

    test('ABORT sends nothing, and takes acks back', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const [one, other] = [await house.peer(transport, broker), await house.peer(transport, broker)]
      const inbox = await other.subscribe('/topic/abort')
      const message = await hold(one, '/queue/abort')
      const transaction = one.client.begin('mine')
      await one.send('/topic/abort', 'never', { transaction: 'mine' })
      message.ack({ transaction: 'mine' })
      transaction.abort()
      await one.send('/topic/abort', 'after')
      expect(bodies(await inbox.takeAll(1))).toEqual(['after'])
      await one.client.deactivate()
      const queue = await other.subscribe('/queue/abort')
      expect((await queue.take()).headers['redelivered']).toBe('true')
    })

    test('deactivate() waits for the receipt of DISCONNECT', async ({ house }) => {
      const peer = await house.peer(transport, await house.broker(transport.options), {
        disconnectHeaders: { receipt: 'goodbye' },
      })
      await peer.client.deactivate()
      expect(peer.order).toEqual(['connect', 'disconnect', 'close'])
      expect((await peer.disconnects.take()).headers['receipt-id']).toBe('goodbye')
      expect(peer.client.connected).toBe(false)
    })

    test('an ERROR arrives with a text body, and then the close', async ({ house }) => {
      const peer = await house.peer(transport, await house.broker(transport.options))
      peer.client.subscribe('/topic/x', () => {}, { ack: 'sometimes', receipt: 'asked' })
      const { command, headers, body } = await peer.errors.take()
      expect(command).toBe('ERROR')
      expect(headers).toMatchObject({
        message: 'invalid header',
        'receipt-id': 'asked',
        'content-type': 'text/plain;charset=utf-8',
      })
      expect(body).toBe('ack is "sometimes"; it may be auto, client or client-individual.\n')
      const { code } = await peer.closes.take()
      expect(code).toBe(transport.kind === 'tcp' ? undefined : 1002)
      expect(peer.order).toEqual(['connect', 'error', 'close'])
    })

    test('an ERROR before CONNECTED arrives as well', async ({ house }) => {
      const peer = house.start(transport, await house.broker(transport.options), { heartbeatIncoming: -1 })
      const { headers, body } = await peer.errors.take()
      expect(headers['message']).toBe('invalid header')
      expect(body).toContain('"0,-1"')
      await peer.closes.take()
      expect(peer.order).toEqual(['error', 'close'])
    })

    test('keeps heart-beats both ways', async ({ house }) => {
      const beats = new Inbox<'heard' | 'said'>()
      const seen = { heard: 0, said: 0 }
      const peer = await house.peer(transport, await house.broker(transport.options), {
        heartbeatIncoming: 1_000,
        heartbeatOutgoing: 1_000,
        onHeartbeatReceived: () => beats.put('heard'),
        debug: (line) => {
          if (line === '>>> PING') beats.put('said')
        },
      })
      // Longer than the broker's patience of three intervals.
      while (seen.heard < 4 || seen.said < 4) seen[await beats.take()]++
      await peer.sync()
      expect(peer.order).toEqual(['connect'])
    })

    test('the client finds out when the broker falls silent', async ({ house }) => {
      const broker = await house.broker({ ...transport.options, heartbeatMin: 500 })
      const cable = await house.cable(transport, broker)
      const lost = new Inbox<void>()
      const peer = await house.peer(transport, cable, {
        heartbeatIncoming: 500,
        discardWebsocketOnCommFailure: true,
        onHeartbeatLost: () => lost.put(),
      })
      expect(lost.size).toBe(0)
      cable.deafen()
      await lost.take()
      await peer.closes.take()
    })

    test('the broker finds out when the client falls silent', async ({ house }) => {
      const broker = await house.broker({ ...transport.options, heartbeatMin: 500, heartbeatCeiling: 500 })
      const peer = await house.peer(transport, broker, {
        brokerURL: '',
        webSocketFactory: withoutBeats(transport, broker),
        heartbeatOutgoing: 500,
      })
      expect((await peer.errors.take()).headers['message']).toBe('heart-beat lost')
      await peer.closes.take()
    })

    test('comes back after a restart of the broker and subscribes again', async ({ house }) => {
      const first = await startBroker(transport.options)
      const { port, tcpPort } = first
      const inbox = new Inbox<IMessage>()
      const peer = house.start(transport, { port, tcpPort }, { reconnectDelay: 50 })
      const { onConnect } = peer.client
      peer.client.onConnect = (frame) => {
        peer.client.subscribe('/topic/news', inbox.put)
        onConnect(frame)
      }
      const before = await peer.connects.take()
      await peer.send('/topic/news', 'before')
      await first.close()
      const { code } = await peer.closes.take()
      // A client that polls may be between two requests, and then finds the port closed instead.
      if (transport.name === 'SockJS xhr-polling') expect([1001, 1006]).toContain(code)
      else expect(code).toBe(transport.kind === 'tcp' ? undefined : 1001)
      await house.broker({ ...transport.options, port, tcpPort })
      const after = await peer.connects.take()
      expect(after.headers['session']).not.toBe(before.headers['session'])
      await peer.send('/topic/news', 'after')
      expect(bodies(await inbox.takeAll(2))).toEqual(['before', 'after'])
    })

    test('splitLargeFrames: a frame in pieces arrives whole', async ({ house }) => {
      const peer = await house.peer(transport, await house.broker(transport.options), {
        splitLargeFrames: true,
      })
      const inbox = await peer.subscribe('/topic/split')
      // stompjs cuts after 8192 UTF-16 units. Within a pair only SockJS carries both halves unharmed.
      const pairs = transport.kind === 'sockjs' ? ['🌍', 'x🌍', 'xx🌍'] : []
      for (const text of ['grüße ', ...pairs]) {
        const body = text.repeat(20_000)
        await peer.send('/topic/split', body)
        expect((await inbox.take()).body === body).toBe(true)
      }
    })

    test('carries a text of 1 MiB', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const [sender, receiver] = [await house.peer(transport, broker), await house.peer(transport, broker)]
      const inbox = await receiver.subscribe('/topic/large')
      const body = 'grüße 🌍\u2028'.repeat(MIB / 14).padEnd(MIB, '.')
      await sender.send('/topic/large', body)
      const { headers, body: arrived } = await inbox.take()
      expect(Number(headers['content-length'])).toBe(Buffer.byteLength(body))
      expect(Buffer.byteLength(body)).toBeGreaterThan(MIB)
      expect(arrived === body).toBe(true)
    })
  })

  describe.each(transports.filter(({ kind }) => kind !== 'tcp'))('over $name', (transport) => {
    test('appendMissingNULLonIncoming: every frame comes as one message of its own', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const sender = await house.peer(transport, broker)
      const receiver = await house.peer(transport, broker, { appendMissingNULLonIncoming: true })
      const inbox = await receiver.subscribe('/topic/one-each')
      const sent = Array.from({ length: 100 }, (_, index) => `message ${index}`)
      for (const body of sent) sender.client.publish({ destination: '/topic/one-each', body })
      expect(bodies(await inbox.takeAll(100))).toEqual(sent)
      await receiver.sync()
      expect(inbox.size).toBe(0)
    })
  })

  describe.each(transports.filter(({ kind }) => kind !== 'sockjs'))('over $name', (transport) => {
    test.for([false, true])('carries any bytes, forceBinaryWSFrames %s', async (force, { house }) => {
      const broker = await house.broker(transport.options)
      const [sender, receiver] = [
        await house.peer(transport, broker, { forceBinaryWSFrames: force }),
        await house.peer(transport, broker, { forceBinaryWSFrames: force }),
      ]
      const inbox = await receiver.subscribe('/topic/bytes')
      const all = Uint8Array.from({ length: 1024 }, (_, index) => (index * 7) % 256)
      const sent = [all, Uint8Array.of(0), Uint8Array.of(0xc3), Uint8Array.of(0xff, 0, 10), new Uint8Array(0)]
      for (const type of ['application/octet-stream', undefined]) {
        const headers: Record<string, string> = type === undefined ? {} : { 'content-type': type }
        for (const binaryBody of sent)
          sender.client.publish({ destination: '/topic/bytes', binaryBody, headers })
        for (const binaryBody of sent) {
          const message = await inbox.take()
          expect(Buffer.from(message.binaryBody).equals(binaryBody)).toBe(true)
          expect(message.headers['content-type']).toBe(type)
        }
      }
      sender.client.publish({ destination: '/topic/bytes', body: 'grüße 🌍' })
      expect((await inbox.take()).body).toBe('grüße 🌍')
    })
  })

  describe.each(transports.filter(({ kind }) => kind === 'sockjs'))('over $name', (transport) => {
    const [webSocket] = transports as [Transport] // the list above begins with it
    const bytes = Uint8Array.of(0xff, 0, 0x80)

    test('a body that is not text is an ERROR', async ({ house }) => {
      const broker = await house.broker(transport.options)
      const [sender, receiver] = [await house.peer(webSocket, broker), await house.peer(transport, broker)]
      await receiver.subscribe('/topic/bytes')
      sender.client.publish({ destination: '/topic/bytes', binaryBody: bytes })
      const { headers, body } = await receiver.errors.take()
      expect(headers['message']).toBe('message is not text')
      expect(body).toContain('SockJS carries text only')
      expect((await receiver.closes.take()).code).toBe(1003)
      await sender.sync()
      expect(sender.order).toEqual(['connect'])
    })

    test('a body that is not text is base64 where that was chosen', async ({ house }) => {
      const broker = await house.broker({ ...transport.options, sockjsBinary: 'base64' })
      const [sender, receiver] = [await house.peer(webSocket, broker), await house.peer(transport, broker)]
      const inbox = await receiver.subscribe('/topic/bytes')
      sender.client.publish({ destination: '/topic/bytes', binaryBody: bytes })
      sender.client.publish({ destination: '/topic/bytes', body: 'text' })
      const [binary, text] = await inbox.takeAll(2)
      expect(binary?.headers['content-transfer-encoding']).toBe('base64')
      expect(binary?.body).toBe(Buffer.from(bytes).toString('base64'))
      expect(text?.headers['content-transfer-encoding']).toBeUndefined()
      expect(text?.body).toBe('text')
    })
  })
})
