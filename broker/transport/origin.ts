import type { IncomingMessage } from 'node:http'

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\]|[\w-]+\.localhost)$/

/** As browsers write it. Who is no browser may write anything, and what we tell developers to type is no place for it. */
const ORIGIN = /^(null|[a-z][a-z\d+.-]*:\/\/[\w.:[\]-]{1,260})$/i

export function isLoopback(host: string): boolean {
  return loopback.test(host) || host === '::1'
}

export interface OriginRules {
  /** Origins allowed beyond the default, such as `https://app.example.com`; `*` allows all, `null` pages without one. */
  readonly origins: readonly string[]
  /** The broker listens on this machine only. */
  readonly local: boolean
}

/**
 * Why a page of `origin` may not talk to this broker, or undefined if it may. No Origin means no
 * browser page. By default a page may talk to the host it came from. While the broker is for this
 * machine only, that host must be this machine, or a foreign page could rebind its name to
 * 127.0.0.1; pages of any port of this machine are then welcome, as development servers use.
 */
export function refuseOrigin(
  origin: string | undefined,
  request: Pick<IncomingMessage, 'headers'>,
  rules: OriginRules,
): string | undefined {
  if (origin === undefined || rules.origins.includes('*') || rules.origins.includes(origin)) return undefined
  const url = parse(origin)
  if (url !== undefined) {
    if (rules.local ? isLoopback(url.hostname) : url.host === request.headers.host) return undefined
  }
  const shown = JSON.stringify(origin.slice(0, 100)).replaceAll(/[^ -~]/g, '?')
  const refusal = `Pages of the origin ${shown} may not connect.`
  return ORIGIN.test(origin)
    ? `${refusal} To allow them, start the broker with --origins ${origin}.`
    : refusal
}

/** The same rule as the source list of a Content-Security-Policy. */
export function frameAncestors(rules: OriginRules): string {
  if (rules.origins.includes('*')) return '*'
  const local = rules.local
    ? ['http://localhost:*', 'http://127.0.0.1:*', 'https://localhost:*', 'https://127.0.0.1:*']
    : []
  return ["'self'", ...local, ...rules.origins.filter((origin) => origin !== 'null')].join(' ')
}

function parse(origin: string): URL | undefined {
  try {
    return new URL(origin)
  } catch {
    return undefined
  }
}
