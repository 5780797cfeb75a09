import { existsSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import sirv from 'sirv'
import { pathOf } from './transport/route.ts'

const manifest = createRequire(import.meta.url).resolve('stomp-broker/package.json')
const folder = join(dirname(manifest), 'dist', 'client-demo')

// The worker is stompjs's, which keeps heart-beats alive in background tabs.
const policy =
  "default-src 'self'; connect-src 'self'; worker-src blob:; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"

export type Pages = (request: IncomingMessage, response: ServerResponse) => void

/** The chat demo at `/`, the SockJS client for iframes, and a helpful 404 for the rest. */
export function pages(demo: boolean, endpoints: readonly string[]): Pages {
  const built = existsSync(folder)
  const serve = built
    ? sirv(folder, {
        etag: true,
        setHeaders(response) {
          response.setHeader('Content-Security-Policy', policy)
          response.setHeader('X-Content-Type-Options', 'nosniff')
          response.setHeader('Referrer-Policy', 'no-referrer')
        },
      })
    : undefined
  const hint =
    demo && !built
      ? 'The chat demo is not built: npm run build.'
      : `STOMP is spoken at ${endpoints.join(' and ')}.`

  return (request, response) => {
    const missing = (): void => {
      response.writeHead(404, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`Nothing here. ${hint}\n`)
    }
    if (serve === undefined || (!demo && pathOf(request.url ?? '') !== '/sockjs.min.js')) return missing()
    serve(request, response, missing)
  }
}
