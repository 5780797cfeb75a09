import { styleText } from 'node:util'
import { VERSION, type Addresses, type Settings } from '../broker/index.ts'
import { isLocal } from '../broker/options.ts'

type Style = Parameters<typeof styleText>[0]

/** What is shown once the broker listens: where to click, and what to know before relying on it. */
export function banner(addresses: Addresses, settings: Settings, startup: number, colours: boolean): string {
  const paint = (style: Style, text: string): string => (colours ? styleText(style, text) : text)
  const row = (mark: string, name: string, text: string): string => `  ${mark}  ${name.padEnd(11)}${text}`
  const link = (name: string, url: string | undefined): string[] =>
    url === undefined ? [] : [row(paint('green', '➜'), name, paint('cyan', url))]
  return [
    '',
    `  ${paint('bold', `stomp-broker ${VERSION}`)}  ready in ${Math.round(startup)} ms`,
    '',
    ...link('Chat demo', addresses.demo),
    ...addresses.webSocket.flatMap((url) => link('WebSocket', url)),
    ...addresses.sockJs.flatMap((url) => link('SockJS', url)),
    ...link('TCP', addresses.tcp),
    ...link('TLS', addresses.tls),
    row(
      ' ',
      'Storage',
      settings.dataDir === ''
        ? 'in memory: what is queued is gone after a restart; --data-dir keeps it'
        : `in ${settings.dataDir}: ${settings.persistent ? 'all messages are' : 'what is sent with persistent:true is'} kept over restarts`,
    ),
    row(
      ' ',
      'Access',
      isLocal(settings)
        ? 'this machine only; --host 0.0.0.0 opens it to the network'
        : paint('yellow', 'everybody who reaches this address, without login'),
    ),
    '',
    addresses.demo === undefined
      ? '  Stop: Ctrl-C'
      : '  Open the demo in two windows and talk.  Stop: Ctrl-C',
    '',
    '',
  ].join('\n')
}

/** What to say when a port cannot be had, and the exit code (sysexits). */
export function explainListenError(
  error: NodeJS.ErrnoException & { port?: number; address?: string },
  settings: Settings,
): {
  text: string
  code: number
} {
  const { port = 0, address = '' } = error
  const option = port === settings.port ? '--port' : port === settings.tcpPort ? '--tcp-port' : '--tls-port'
  switch (error.code) {
    case 'EADDRINUSE':
      return {
        text: `port ${port} on ${address} is already in use.\n  Another broker may be running there.\n  Use another port:  ${option} ${port < 65_535 ? port + 1 : port - 1}\n  Any free port:     ${option} 0`,
        code: 69,
      }
    case 'EACCES':
      return {
        text: `port ${port} may not be used by this user.\n  Ports below 1024 are privileged; try ${option} 61614.`,
        code: 77,
      }
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return {
        text: `this machine has no address ${address || 'of that name'}.\n  Try --host 127.0.0.1 or --host 0.0.0.0.`,
        code: 69,
      }
    default:
      return { text: error.message, code: 69 }
  }
}
