import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { frameAncestors, isLoopback, refuseOrigin } from '../../broker/transport/origin.ts'
import { pathOf, upgradeRoute } from '../../broker/transport/route.ts'
import { chooseSubprotocol } from '../../broker/transport/websocket.ts'

describe('origins', () => {
  function welcome(
    origin: string | undefined,
    { host = 'broker.example:61614', local = false, origins = [] as string[] } = {},
  ): boolean {
    const request = new IncomingMessage(new Socket())
    if (host !== '') request.headers.host = host
    return refuseOrigin(origin, request, { origins, local }) === undefined
  }

  test.each<
    [says: string, origin: string | undefined, situation: Parameters<typeof welcome>[1], good: boolean]
  >([
    ['no Origin is no browser', undefined, {}, true],
    ['a page of the broker’s own host', 'http://broker.example:61614', {}, true],
    ['behind a proxy that ends TLS', 'https://broker.example', { host: 'broker.example' }, true],
    ['another host', 'http://evil.example:61614', {}, false],
    ['another port of the same host', 'http://broker.example:8080', {}, false],
    ['a subdomain', 'http://a.broker.example:61614', {}, false],
    ['a host that begins alike', 'http://broker.example:61614.evil.example', {}, false],
    ['a request without Host', 'http://broker.example', { host: '' }, false],
    ['a page without an origin', 'null', {}, false],
    ['a page without an origin, allowed', 'null', { origins: ['null'] }, true],
    ['no URL at all', 'x', { host: 'x' }, false],
    ['an empty Origin', '', {}, false],
    ['an allowed origin', 'https://app.example', { origins: ['https://app.example'] }, true],
    [
      'an allowed origin on another port',
      'https://app.example:8443',
      { origins: ['https://app.example'] },
      false,
    ],
    ['an allowed origin over http', 'http://app.example', { origins: ['https://app.example'] }, false],
    ['any origin where all are allowed', 'https://evil.example', { origins: ['*'] }, true],
    [
      'local: any port of this machine',
      'http://localhost:5173',
      { host: '127.0.0.1:61614', local: true },
      true,
    ],
    ['local: by address', 'http://127.0.0.1:5173', { host: 'localhost:61614', local: true }, true],
    ['local: by IPv6 address', 'http://[::1]:5173', { local: true }, true],
    ['local: by a name under localhost', 'http://app.localhost:5173', { local: true }, true],
    [
      'local: a name rebound to this machine',
      'http://evil.example:61614',
      { host: 'evil.example:61614', local: true },
      false,
    ],
    ['local: a name that begins like this machine', 'http://localhost.evil.example', { local: true }, false],
    [
      'local: an address that begins like this machine',
      'http://127.0.0.1.evil.example',
      { local: true },
      false,
    ],
    [
      'local: an allowed origin',
      'https://app.example',
      { local: true, origins: ['https://app.example'] },
      true,
    ],
    ['not local: this machine is not special', 'http://localhost:5173', {}, false],
  ])('%s', (_says, origin, situation, good) => {
    expect(welcome(origin, situation)).toBe(good)
  })

  test('a refusal says how to allow it, and shows no more than a part of what was sent', () => {
    const request = new IncomingMessage(new Socket())
    const rules = { origins: [], local: true }
    expect(refuseOrigin('https://app.example', request, rules)).toContain('--origins https://app.example')
    expect(refuseOrigin('null', request, rules)).toContain('--origins null')
    expect(refuseOrigin('x\n'.repeat(1_000), request, rules)).toHaveLength(
      refuseOrigin('x\n'.repeat(2_000), request, rules)?.length ?? 0,
    )
  })

  test.each([
    [{ origins: [], local: false }, "'self'"],
    [{ origins: ['https://app.example', 'null'], local: false }, "'self' https://app.example"],
    [{ origins: ['https://app.example', '*'], local: true }, '*'],
  ])('as the source list of a Content-Security-Policy: %j', (rules, list) => {
    expect(frameAncestors(rules)).toBe(list)
  })

  test('pages of this machine may frame a local broker', () => {
    expect(frameAncestors({ origins: [], local: true })).toContain(' http://localhost:* ')
  })

  test.each([
    ['localhost', true],
    ['127.0.0.1', true],
    ['127.255.255.255', true],
    ['::1', true],
    ['[::1]', true],
    ['a.localhost', true],
    ['128.0.0.1', false],
    ['127.0.0', false],
    ['localhost.', false],
    ['xlocalhost', false],
    ['', false],
  ])('%j is this machine: %s', (host, local) => {
    expect(isLoopback(host)).toBe(local)
  })
})

describe('where an upgrade leads', () => {
  const endpoints = ['/ws', '/stomp', '/ws/deep']
  test.each([
    ['/', 'stomp'],
    ['/?token=a/b', 'stomp'],
    ['/ws', 'stomp'],
    ['/ws/', 'stomp'],
    ['/ws?x=1', 'stomp'],
    ['/ws/?x=/y', 'stomp'],
    ['/stomp', 'stomp'],
    ['/ws/websocket', 'stomp'],
    ['/ws/websocket/', 'stomp'],
    ['/ws/deep', 'stomp'],
    ['/ws/deep/websocket', 'stomp'],
    ['/ws/000/abc/websocket', 'sockjs-websocket'],
    ['/ws/000/abc/websocket?x', 'sockjs-websocket'],
    ['/ws/deep/000/abc/websocket', 'sockjs-websocket'],
    ['/stomp/a/b/websocket', 'sockjs-websocket'],
    ['/ws/a.b/c/websocket', undefined],
    ['/ws/a/b.c/websocket', undefined],
    ['/ws//b/websocket', undefined],
    ['/ws/a//websocket', undefined],
    ['/ws/a/b/xhr', undefined],
    ['/ws/a/b/c/websocket', undefined],
    ['/ws/a', undefined],
    ['/WS', undefined],
    ['/wsx', undefined],
    ['/ws//', undefined],
    ['/other', undefined],
    ['/other/ws', undefined],
    ['/websocket', undefined],
    ['//', undefined],
  ])('%s: %s', (url, route) => {
    expect(upgradeRoute(url, endpoints, false)).toBe(route)
    // ActiveMQ accepts every path; SockJS stays what it is.
    expect(upgradeRoute(url, endpoints, true)).toBe(route ?? 'stomp')
  })

  test.each([
    ['/a', '/a'],
    ['/a?', '/a'],
    ['/a?b?c', '/a'],
    ['?', ''],
  ])('the path of %s is %j', (url, path) => {
    expect(pathOf(url)).toBe(path)
  })
})

describe('sub-protocols', () => {
  test.each<[offered: string[], chosen: string | false]>([
    [['v10.stomp', 'v11.stomp', 'v12.stomp'], 'v12.stomp'],
    [['v12.stomp', 'v11.stomp', 'v10.stomp'], 'v12.stomp'],
    [['v10.stomp', 'v11.stomp'], 'v11.stomp'],
    [['stomp', 'v10.stomp'], 'v10.stomp'],
    [['mqtt', 'stomp'], 'stomp'],
    [['mqtt'], false],
    [['V12.STOMP', 'v13.stomp'], false],
    [[], false],
  ])('of %j the highest version: %s', (offered, chosen) => {
    expect(chooseSubprotocol(new Set(offered))).toBe(chosen)
  })
})
