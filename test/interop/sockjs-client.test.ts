import { createServer, request, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Client, IFrame, IMessage, StompConfig } from '@stomp/stompjs'
import Stomp from 'stompjs'
import { describe, expect } from 'vitest'
import {
  sockJsTransports,
  test,
  type Failure,
  type Frame,
  type LegacyClient,
  type Message,
  type Pages,
} from '../helpers/pages.ts'
import { Inbox } from '../helpers/stompjs.ts'

// What pages do that were written for Spring's SockJS endpoints: `new SockJS('/portfolio')`, and a
// client of STOMP over it.

type Connect = (socket: () => InstanceType<typeof globalThis.WebSocket>, pages: Pages) => Promise<User>

/** A user of either client library. */
interface User {
  readonly version: string
  readonly socket: { readonly transport?: string; readonly readyState?: number }
  /** The codes of its ends; 0 where the library does not tell them. */
  readonly ends: Inbox<number>
  subscribe(destination: string, inbox: Inbox<{ body: string }>, ack?: string): void
  send(destination: string, body: string): void
  leave(): Promise<void>
}

/** stompjs 7, as a page uses it. */
const modern: Connect = async (socket, pages) => {
  const ends = new Inbox<number>()
  const config: Pick<StompConfig, keyof StompConfig> = {
    webSocketFactory: socket,
    reconnectDelay: 0,
    onWebSocketClose: ({ code }: { code: number }) => ends.put(code),
  }
  const { client, frame } = await new Promise<{ client: Client; frame: IFrame }>((resolve) => {
    const started = pages.stompjs({
      ...config,
      onConnect: (connected) => resolve({ client: started, frame: connected }),
    })
    started.activate()
  })
  return {
    version: frame.headers['version'] ?? '',
    socket: client.webSocket as User['socket'],
    ends,
    subscribe: (destination, inbox, ack = 'auto') => void client.subscribe(destination, inbox.put, { ack }),
    send: (destination, body) => client.publish({ destination, body }),
    leave: () => client.deactivate(),
  }
}

/** stomp.js 2.3.3, as a page uses it. */
const legacy: Connect = async (socket, pages) => {
  const ends = new Inbox<number>()
  const client: LegacyClient = pages.keep(Stomp.over(socket()))
  const { headers } = await new Promise<Frame>((resolve) => {
    client.connect({}, resolve, (failure: Failure) => {
      if (typeof failure === 'string') ends.put(0)
    })
  })
  return {
    version: headers['version'] ?? '',
    socket: client.ws as unknown as User['socket'],
    ends,
    subscribe: (destination, inbox, ack = 'auto') => void client.subscribe(destination, inbox.put, { ack }),
    send: (destination, body) => client.send(destination, {}, body),
    leave: () => new Promise((resolve) => client.disconnect(resolve)),
  }
}

const libraries = [
  { library: 'stompjs 7', connect: modern, version: '1.2' },
  { library: 'stompjs 2.3.3', connect: legacy, version: '1.1' },
]

const cases = sockJsTransports.flatMap((transport) => libraries.map((library) => ({ transport, ...library })))

/** A proxy that knows no WebSocket; tells the paths it was asked for. */
async function startProxy(port: number, pages: Pages): Promise<{ port: number; paths: string[] }> {
  const paths: string[] = []
  const proxy = createServer((incoming, outgoing) => {
    paths.push(incoming.url ?? '')
    const { method = 'GET', url = '/', headers } = incoming
    const onward = request({ port, method, path: url, headers }, (answer: IncomingMessage) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => onward.destroy())
    incoming.pipe(onward)
  })
  proxy.on('upgrade', ({ url = '' }: IncomingMessage, socket) => {
    paths.push(url)
    socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  pages.finally(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  return { port: (proxy.address() as AddressInfo).port, paths }
}

const bodies = (messages: readonly { body: string }[]): string[] => messages.map(({ body }) => body)

describe.concurrent('sockjs-client', () => {
  describe.each(cases)('$transport under $library', ({ transport, connect, version }) => {
    test('connects, and hears what it says', async ({ house, pages }) => {
      const broker = await house.broker()
      const user = await connect(() => pages.sockJs(broker, transport), pages)
      expect(user.version).toBe(version)
      expect(user.socket.transport).toBe(transport)
      const inbox = new Inbox<{ body: string }>()
      user.subscribe('/topic/x', inbox)
      user.send('/topic/x', 'hello')
      expect((await inbox.take()).body).toBe('hello')
    })

    test('carries many messages in order, and large ones', async ({ house, pages }) => {
      const broker = await house.broker()
      const [one, other] = [
        await connect(() => pages.sockJs(broker, transport), pages),
        await connect(() => pages.sockJs(broker, transport), pages),
      ]
      const [inbox, echo] = [new Inbox<{ body: string }>(), new Inbox<{ body: string }>()]
      other.subscribe('/topic/many', inbox)
      other.subscribe('/topic/other-is-there', echo)
      other.send('/topic/other-is-there', '')
      await echo.take()
      const sent = Array.from({ length: 200 }, (_, index) => `${index} grüße \u2028\u200d"\\`)
      // More than a streaming response carries before the client asks for the next one.
      sent.push('x'.repeat(200_000), 'after')
      for (const body of sent) one.send('/topic/many', body)
      expect(bodies(await inbox.takeAll(sent.length))).toEqual(sent)
    })

    test('leaves, and the broker knows', async ({ house, pages }) => {
      const broker = await house.broker()
      const [one, other] = [
        await connect(() => pages.sockJs(broker, transport), pages),
        await connect(() => pages.sockJs(broker, transport), pages),
      ]
      const [left, taken] = [new Inbox<{ body: string }>(), new Inbox<{ body: string }>()]
      one.subscribe('/queue/left', left, 'client')
      one.send('/queue/left', 'mine')
      expect((await left.take()).body).toBe('mine')
      other.subscribe('/queue/left', taken, 'client')
      await one.leave()
      // It was not acked. A goodbye that its own close() overtook is found out after the disconnect delay.
      expect((await taken.take()).body).toBe('mine')
    })

    test('hears that the broker shuts down', async ({ house, pages }) => {
      const broker = await house.broker()
      const user = await connect(() => pages.sockJs(broker, transport), pages)
      await broker.close()
      const code = await user.ends.take()
      // A client that polls may be between two requests, and then finds the port closed instead.
      if (version === '1.2') expect(transport === 'xhr-polling' ? [1001, 1006] : [1001]).toContain(code)
      expect(user.socket.readyState).toBe(3)
    })
  })

  describe.each(libraries)('under $library', ({ connect, version }) => {
    test('takes WebSocket when it may choose', async ({ house, pages }) => {
      const broker = await house.broker()
      // It gives each transport a time that it takes from how long /info took: on a busy machine it may give up.
      const taken: (string | undefined)[] = []
      while (taken.length < 10 && taken.at(-1) !== 'websocket') {
        const user = await connect(() => pages.sockJs(broker), pages)
        taken.push(user.socket.transport)
      }
      expect(taken).toContain('websocket')
    })

    test('falls back to HTTP behind a proxy that knows no WebSocket', async ({ house, pages }) => {
      const proxy = await startProxy((await house.broker()).port, pages)
      const user = await connect(() => pages.sockJs(proxy), pages)
      expect(user.version).toBe(version)
      expect(user.socket.transport).toBe('xhr-streaming')
      expect(proxy.paths[0]).toBe('/ws/info')
      expect(proxy.paths[1]).toMatch(/^\/ws\/[^/.]+\/[^/.]+\/websocket$/)
      expect(proxy.paths[2]).toMatch(/^\/ws\/[^/.]+\/[^/.]+\/xhr_streaming$/)
      const inbox = new Inbox<{ body: string }>()
      user.subscribe('/topic/x', inbox)
      user.send('/topic/x', 'through the proxy')
      expect((await inbox.take()).body).toBe('through the proxy')
    })

    test('finds the endpoints an application of Spring gave it', async ({ house, pages }) => {
      const broker = await house.broker({ endpoints: ['/gs-guide-websocket', '/portfolio'] })
      const raw = pages.webSocket(broker, '/portfolio/websocket', ['v12.stomp'])
      const users = await Promise.all([
        connect(() => pages.sockJs(broker, 'xhr-streaming', '/gs-guide-websocket'), pages),
        connect(() => pages.sockJs(broker, undefined, '/portfolio/'), pages),
        connect(() => raw as unknown as InstanceType<typeof globalThis.WebSocket>, pages),
      ])
      const inboxes = users.map((user, index) => {
        const inbox = new Inbox<{ body: string }>()
        user.subscribe(`/topic/${index}`, inbox)
        user.send(`/topic/${index}`, String(index))
        return inbox
      })
      expect(bodies(await Promise.all(inboxes.map((inbox) => inbox.take())))).toEqual(['0', '1', '2'])
    })

    test('gives up where there is no such endpoint', async ({ house, pages }) => {
      const broker = await house.broker()
      const socket = pages.sockJs(broker, undefined, '/elsewhere')
      const { code } = await new Promise<CloseEvent>((resolve) => {
        socket.onclose = resolve
      })
      expect(code).toBe(1002)
    })
  })

  test('a raw WebSocket and SockJS share an endpoint, and talk', async ({ house, pages }) => {
    const broker = await house.broker()
    const raw = pages.legacyOver(pages.webSocket(broker, '/ws', ['v10.stomp', 'v11.stomp']))
    const sockJs = pages.legacyOver(pages.sockJs(broker, 'xhr-streaming', '/ws'))
    await Promise.all([raw.connect(), sockJs.connect()])
    const inbox: Inbox<Message> = await sockJs.subscribe('/topic/x')
    raw.tell('/topic/x', 'grüße')
    expect((await inbox.take()).body).toBe('grüße')
  })

  test('stompjs comes back over SockJS when its broker does', async ({ house, pages }) => {
    const first = await house.broker()
    const { port } = first
    const [connects, inbox] = [new Inbox<IFrame>(), new Inbox<IMessage>()]
    const client = pages.stompjs({
      webSocketFactory: () => pages.sockJs({ port }),
      reconnectDelay: 50,
      onConnect: (frame) => {
        client.subscribe('/topic/news', inbox.put)
        connects.put(frame)
      },
    })
    client.activate()
    await connects.take()
    await first.close()
    await house.broker({ port })
    await connects.take()
    client.publish({ destination: '/topic/news', body: 'back' })
    expect((await inbox.take()).body).toBe('back')
  })
})
