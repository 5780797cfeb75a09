/** What to tell whoever started a measurement of a connection that failed, and what to do about it. */
import { Failure } from './failure.ts'
import type { Target } from './target.ts'

/** How far a connection has come; it shakes hands until CONNECT is sent. */
export type Stage = 'shaking hands' | 'connecting' | 'connected' | 'ended'

/** The system has said why. `others` are the connections that were made. */
export function broken(target: Target, error: NodeJS.ErrnoException, stage: Stage, others: number): Failure {
  const { host, authority, url } = target
  switch (error.code) {
    case 'ECONNREFUSED':
      return new Failure(
        `nothing listens on ${authority}.`,
        /^(localhost$|127\.|::1$)/.test(host)
          ? `Is the broker running? This starts one there:  ${start(target)}`
          : 'Is the broker running, and does it listen on more than 127.0.0.1 there?',
      )
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new Failure(`there is no machine called ${host}.`, 'Look at the spelling of --url.')
    case 'EMFILE':
      return new Failure(
        'this process may not open as many connections.',
        'Raise the limit of your shell first:  ulimit -n 65536',
      )
    case 'EADDRNOTAVAIL':
      return new Failure(
        'this machine has no ports left for more connections.',
        'Use fewer, or wait a minute.',
      )
    case 'ECONNRESET':
    case 'EPIPE':
      return closed(target, stage, others)
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return new Failure(
        `${url} does not speak TLS.`,
        'Write ws://, http:// or tcp:// in the place of wss://, https:// or tls://',
      )
    default:
      if (/CERT|SELF_SIGNED|ISSUER/.test(error.code ?? ''))
        return new Failure(
          `the certificate of ${host} will not do: ${error.message}.`,
          'Say who has signed it with NODE_EXTRA_CA_CERTS=<file>, or take any with --insecure.',
        )
      return new Failure(`${url}: ${error.message}.`)
  }
}

/** The other side has hung up without a word. */
export function closed(target: Target, stage: Stage, others: number): Failure {
  if (stage === 'connected') return dismissed()
  const { url, transport, secure } = target
  if (others > 0)
    return new Failure(
      `${url} has taken ${others} connections, and closed the next.`,
      'It may take no more: look at its limits, and at the ulimit -n that it runs with.',
    )
  if (stage !== 'shaking hands')
    return new Failure(
      `${url} has closed the connection without an answer to CONNECT.`,
      'Does this port speak plain STOMP? Look at --login and --passcode too.',
    )
  const guesses = secure ? [] : [`${address({ ...target, secure: true }, transport)} if it speaks TLS`]
  if (transport !== 'tcp') guesses.push(`${address(target, 'tcp')} if it speaks STOMP without WebSocket`)
  return new Failure(
    `${url} has closed the connection without an answer.`,
    guesses.length === 0 ? 'Does it speak TLS?' : `Write ${guesses.join(', or\n')}`,
  )
}

/** The broker has ended a connection, and said why if it did. */
export function dismissed(why = ''): Failure {
  return new Failure(`the broker has closed a connection${why === '' ? '.' : `: ${why}`}`)
}

/** It took more than so many seconds. */
export function slow({ url }: Target, stage: Stage, seconds: number): Failure {
  const what =
    stage === 'shaking hands' ? 'does not answer' : 'has taken the connection, but does not answer CONNECT'
  return new Failure(
    `${url} ${what} within ${seconds} s.`,
    'Is it overloaded, or does it speak something else?',
  )
}

/** What answers a handshake is no WebSocket server. */
export function noWebSocket(target: Target): Failure {
  return new Failure(
    `${target.url} does not answer as a WebSocket server does.`,
    `If it speaks plain STOMP, write ${address(target, 'tcp')}`,
  )
}

/** What answers a handshake will not be a WebSocket. */
export function refused({ url, transport }: Target, status: number, body: string): Failure {
  const said = body === '' || body.startsWith('<') ? '' : `\n  ${body.split('\n', 1)[0] ?? ''}`
  const reason = `${url} refuses WebSocket connections with HTTP status ${status}.${said}`
  if (status === 403)
    return new Failure(reason, 'It may want another --origin than none, such as that of your page.')
  if (status === 401) return new Failure(reason, 'It wants a login before STOMP begins.')
  return new Failure(
    reason,
    transport === 'sockjs'
      ? 'Is that the prefix of SockJS? For WebSocket without SockJS write ws://'
      : 'Is the path right? Usual are /ws (stomp-broker, RabbitMQ, Spring) and /stomp (stomp-broker, ActiveMQ).',
  )
}

/** What has come is nothing that a STOMP broker sends. */
export function stranger(target: Target, text: string): Failure {
  const { authority } = target
  if (text.startsWith('HTTP/'))
    return new Failure(
      `${authority} speaks HTTP.`,
      `Write ${address({ ...target, path: '/ws' }, 'websocket')}`,
    )
  const [line = ''] = text.split(/[\r\n\0]/, 1)
  return new Failure(
    `${authority} has sent ${JSON.stringify(line.slice(0, 40))}, which is no frame of STOMP.`,
  )
}

/** The broker has answered with ERROR. */
export function rejected(message: string, body: string, passcode: string | undefined, stage: Stage): Failure {
  // A broker might repeat what it was given.
  const hide = (text: string): string => (passcode ? text.replaceAll(passcode, '***') : text)
  const text = hide(body).trim()
  const more = text === '' ? '' : `\n  ${text.replaceAll('\n', '\n  ')}`
  return new Failure(
    `the broker answered with an ERROR: ${hide(message)}${more}`,
    stage === 'connected'
      ? ''
      : 'Look at --login and --passcode, and at --vhost, which is / unless you say otherwise.',
  )
}

const schemes = { tcp: ['tcp', 'tls'], websocket: ['ws', 'wss'], sockjs: ['http', 'https'] } as const

/** How to write the same place if it is reached by another transport. */
function address({ authority, path, secure }: Target, transport: Target['transport']): string {
  return `${schemes[transport][secure ? 1 : 0]}://${authority}${transport === 'tcp' ? '' : path}`
}

/** A command that starts a broker there. */
function start({ transport, secure, port }: Target): string {
  const option = transport !== 'tcp' ? 'port' : secure ? 'tls-port' : 'tcp-port'
  return `stomp-broker --${option} ${port}${secure ? ' --tls-cert <file> --tls-key <file>' : ''}`
}
