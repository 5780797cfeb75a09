import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, extname, join } from 'node:path'
import { pathOf } from './transport/route.ts'

const manifest = createRequire(import.meta.url).resolve('stomp-broker/package.json')
const folder = join(dirname(manifest), 'dist', 'client-demo')

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
}

// The worker is stompjs's, which keeps heart-beats alive in background tabs.
const policy =
  "default-src 'self'; connect-src 'self'; worker-src blob:; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"

interface Page {
  readonly body: Buffer
  readonly headers: Record<string, string>
}

export type Pages = (request: IncomingMessage, response: ServerResponse) => void

/**
 * The chat demo at `/`, the SockJS client for iframes, and a helpful 404 for the rest. The few
 * files are read once, so that a build under a running broker changes nothing.
 */
export function pages(demo: boolean, endpoints: readonly string[]): Pages {
  const built = readPages(demo, endpoints)
  const hint =
    demo && !built.has('/')
      ? 'The chat demo is not built: npm run build.'
      : `STOMP is spoken at ${endpoints.join(' and ')}.`

  return (request, response) => {
    const page = built.get(pathOf(request.url ?? '/'))
    if (page === undefined) {
      response.writeHead(404, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`Nothing here. ${hint}\n`)
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { Allow: 'GET, HEAD' }).end()
    } else if (request.headers['if-none-match'] === page.headers.ETag) {
      response.writeHead(304, page.headers).end()
    } else {
      // node:http leaves the body out of the answer to HEAD.
      response.writeHead(200, { ...page.headers, 'Content-Length': page.body.length }).end(page.body)
    }
  }
}

/** By path. Without the demo only the SockJS client is left. */
function readPages(demo: boolean, endpoints: readonly string[]): Map<string, Page> {
  const found = new Map<string, Page>()
  if (!existsSync(folder)) return found
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = join(entry.parentPath, entry.name)
    const path = file
      .slice(folder.length)
      .replaceAll('\\', '/')
      .replace(/^\/index\.html$/, '/')
    if (!demo && path !== '/sockjs.min.js') continue
    const content = readFileSync(file)
    const body = path === '/' ? tellEndpoint(content, endpoints) : content
    found.set(path, {
      body,
      headers: {
        'Content-Type': types[extname(file)] ?? 'application/octet-stream',
        // Vite writes a hash of the content into the names of assets.
        'Cache-Control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
        ETag: `"${createHash('sha256').update(body).digest('base64url')}"`,
        'Content-Security-Policy': policy,
        'X-Content-Type-Options': 'nosniff',
        // With no-referrer the forms of the jsonp transport would be of the origin null.
        'Referrer-Policy': 'same-origin',
      },
    })
  }
  return found
}

/** The page connects to the first endpoint, whatever it is called. */
function tellEndpoint(page: Buffer, [endpoint = '/ws']: readonly string[]): Buffer {
  return Buffer.from(page.toString().replace(/(name="stomp-endpoint" content=)"[^"]*"/, `$1"${endpoint}"`))
}
