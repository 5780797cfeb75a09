import { Failure } from './failure.ts'

/** Where a broker listens, and how to speak to it there. */
export interface Target {
  readonly transport: 'tcp' | 'websocket' | 'sockjs'
  readonly secure: boolean
  readonly host: string
  readonly port: number
  /** Both, as they are written in a URL. */
  readonly authority: string
  /** Of the WebSocket, or the prefix of SockJS. */
  readonly path: string
  /** As it may be shown: without what stood before an @. */
  readonly url: string
  readonly login: string | undefined
  readonly passcode: string | undefined
}

const schemes: Record<string, { transport: Target['transport']; secure: boolean; port: number }> = {
  'ws:': { transport: 'websocket', secure: false, port: 80 },
  'wss:': { transport: 'websocket', secure: true, port: 443 },
  'http:': { transport: 'sockjs', secure: false, port: 80 },
  'https:': { transport: 'sockjs', secure: true, port: 443 },
  'tcp:': { transport: 'tcp', secure: false, port: 61_613 },
  'tls:': { transport: 'tcp', secure: true, port: 61_614 },
}

const FORMS = `Write for example
  ws://127.0.0.1:61614/ws     STOMP over WebSocket; wss:// with TLS
  tcp://127.0.0.1:61613       plain STOMP; tls:// with TLS
  http://127.0.0.1:61614/ws   SockJS; https:// with TLS`

/** Reads an address. Throws Failure. */
export function readTarget(text: string): Target {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const scheme = schemes[url?.protocol ?? '']
  if (url === undefined || scheme === undefined || url.hostname === '') {
    throw new Failure(`${JSON.stringify(withoutLogin(text))} is no address of a broker.`, FORMS)
  }
  if (scheme.transport === 'tcp' && url.pathname !== '' && url.pathname !== '/')
    throw new Failure(`${url.protocol}// has no path: ${url.pathname} is too much.`, FORMS)
  const [login, passcode] = [url.username, url.password].map(decode)
  url.username = ''
  url.password = ''
  const path = url.pathname === '' ? '/' : url.pathname
  const port = url.port === '' ? scheme.port : Number(url.port)
  return {
    ...scheme,
    // Brackets are how a URL writes an IPv6 address.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    authority: `${url.hostname}:${port}`,
    path: scheme.transport === 'sockjs' ? path.replace(/\/+$/, '') : path + url.search,
    url: url.href.replace(/^(tcp|tls):\/\/([^/]*)\/$/, '$1://$2'),
    login: login === '' ? undefined : login,
    passcode: passcode === '' ? undefined : passcode,
  }
}

function withoutLogin(text: string): string {
  return text.replace(/^([a-z+]+:\/\/)?.*@/i, '$1')
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
