import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Arrivals } from '../../broker/transport/arrivals.ts'
import { HttpLine } from '../helpers/http-line.ts'

const answer = vi.fn<ConstructorParameters<typeof Arrivals>[2]>()
/** Upgrades and plain requests that node:http has read, and what came behind the head. */
const upgrade = vi.fn<(request: IncomingMessage, head: string) => void>()
const plain = vi.fn<(request: IncomingMessage) => void>()
let server: Server
let arrivals: Arrivals

beforeEach(async () => {
  vi.resetAllMocks()
  answer.mockImplementation((_, socket) => {
    socket.end('read here')
    return true
  })
  server = createServer((request, response) => {
    plain(request)
    response.end()
  })
  server.on('upgrade', (request, socket, head: Buffer) => {
    upgrade(request, head.toString('latin1'))
    socket.end('read by node:http')
  })
  arrivals = new Arrivals(server, 'connection', answer, 1_000)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(async () => {
  arrivals.close()
  const closed = once(server, 'close')
  server.close()
  // After a failure there may be some.
  server.closeAllConnections()
  await closed
})

const lines = [
  'GET /ws?a=b HTTP/1.1',
  'Host: x',
  'Connection: keep-alive, Upgrade',
  'Upgrade: WebSocket',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version: 13',
]
const handshake = `${lines.join('\r\n')}\r\n`
const behind = 'GET /next HTTP/1.1\r\nHost: x\r\n\r\n'

function arrive(): Promise<HttpLine> {
  return HttpLine.open((server.address() as AddressInfo).port)
}

async function send(request: string): Promise<string> {
  const line = await arrive()
  line.socket.write(request, 'latin1')
  return line.rest()
}

/** A head of so many bytes. */
function long(bytes: number): string {
  const rest = 'Cookie: \r\n\r\n'.length + handshake.length
  return `${handshake}Cookie: ${'x'.repeat(bytes - rest)}\r\n\r\n`
}

describe('read here', () => {
  test.each([
    ['the usual', `${handshake}\r\n`],
    [
      'with a header whose name begins as one of a body',
      `${handshake}Content-Lengths: 5\r\nExpected: x\r\n\r\n`,
    ],
    ['with one whose name ends so', `${handshake}X-Transfer-Encoding: chunked\r\n\r\n`],
    ['with one whose value is such a name', `${handshake}X: Content-Length: 5\r\n\r\n`],
    ['as long as may be', long(8 * 1024)],
  ])('%s', async (_says, request) => {
    expect(await send(request + behind)).toBe('read here')
    const [read, , head] = answer.mock.lastCall ?? []
    expect(read).toEqual({
      url: '/ws?a=b',
      headers: {
        host: 'x',
        connection: 'keep-alive, Upgrade',
        upgrade: 'WebSocket',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-version': '13',
      },
    })
    expect(String(head)).toBe(behind)
    expect([upgrade, plain].flatMap((each) => each.mock.calls)).toEqual([])
  })
})

describe('left to node:http, with what is behind it', () => {
  test.each([
    ['content-length', '5'],
    ['Content-Length', String(behind.length)],
    ['CONTENT-LENGTH', '0'],
    ['transfer-encoding', 'chunked'],
    ['Transfer-Encoding', 'gzip, chunked'],
    ['tRANSFER-eNCODING', 'chunked'],
    ['expect', '100-continue'],
    ['Expect', 'anything'],
    ['EXPECT', ''],
  ])('%s: %s', async (name, value) => {
    // Wherever it stands.
    const [first = '', ...others] = lines
    const header = `${name}: ${value}`
    const heads = [
      [...lines, header],
      [first, header, ...others],
    ]
    for (const head of heads) {
      for (const body of ['', behind, 'hello', '5\r\nhello\r\n0\r\n\r\n']) {
        expect(await send(`${head.join('\r\n')}\r\n\r\n${body}`)).toBe('read by node:http')
        const [request, rest] = upgrade.mock.lastCall ?? []
        expect([request?.url, request?.headers[name.toLowerCase()], rest]).toEqual(['/ws?a=b', value, body])
      }
    }
    expect(answer).not.toHaveBeenCalled()
    expect(plain).not.toHaveBeenCalled()
  })

  test.each([
    ['a header twice that is looked at', `${handshake}Host: x\r\n\r\n`],
    ['a head that is longer', long(8 * 1024 + 1)],
    ['a body beyond what is looked at', `${long(9_000).slice(0, -2)}Content-Length: 5\r\n\r\n`],
    ['another method', `${handshake}\r\n`.replace('GET', 'PUT')],
    ['HTTP/1.0', `${handshake}\r\n`.replace('HTTP/1.1', 'HTTP/1.0')],
    ['no host', `${handshake}\r\n`.replace('Host', 'X')],
    ['another protocol', `${handshake}\r\n`.replace('WebSocket', 'h2c')],
    ['more than ASCII', `${handshake}X: \xa0\r\n\r\n`],
  ])('%s', async (_says, request) => {
    expect(await send(request + behind)).toBe('read by node:http')
    expect(answer).not.toHaveBeenCalled()
    expect(upgrade.mock.lastCall?.[1]).toBe(behind)
  })

  test('what cannot be answered', async () => {
    answer.mockReturnValue(false)
    expect(await send(`${handshake}\r\n${behind}`)).toBe('read by node:http')
    expect(answer).toHaveBeenCalledOnce()
    expect(upgrade.mock.lastCall?.[1]).toBe(behind)
  })

  test('what comes in pieces', async () => {
    const line = await arrive()
    const given = vi.spyOn(arrivals, 'pass')
    line.socket.write(handshake.slice(0, 30))
    await expect.poll(() => given.mock.calls.length).toBe(1)
    line.socket.write(`${handshake.slice(30)}\r\n${behind}`)
    expect(await line.rest()).toBe('read by node:http')
    expect(answer).not.toHaveBeenCalled()
    expect(upgrade.mock.lastCall?.[1]).toBe(behind)
  })

  test('no upgrade at all', async () => {
    const request = `${handshake}\r\n`.replace('keep-alive, Upgrade', 'close')
    expect(await send(request)).toMatch(/^HTTP\/1.1 200 /)
    expect(answer).not.toHaveBeenCalled()
    expect(plain).toHaveBeenCalledOnce()
  })
})
