/** What lies at a path: raw STOMP and SockJS share every endpoint, told apart by the upgrade. */
export type Route = 'stomp' | 'sockjs-websocket' | undefined

/** The path of a request target, without query. */
export function pathOf(url: string): string {
  const query = url.indexOf('?')
  return query < 0 ? url : url.slice(0, query)
}

/**
 * Where an upgrade to WebSocket leads. `/` and each endpoint are raw STOMP, as is `websocket`
 * below an endpoint (SockJS calls it raw, Spring's clients use it). With `anyPath` so is every
 * other path, as on ActiveMQ.
 */
export function upgradeRoute(url: string, endpoints: readonly string[], anyPath: boolean): Route {
  const path = pathOf(url).replace(/\/$/, '')
  if (path === '') return 'stomp'
  for (const endpoint of endpoints) {
    if (path === endpoint || path === `${endpoint}/websocket`) return 'stomp'
    // <endpoint>/<server>/<session>/websocket; the two names hold no dot (SockJS protocol).
    if (
      path.startsWith(`${endpoint}/`) &&
      /^\/[^/.]+\/[^/.]+\/websocket$/.test(path.slice(endpoint.length))
    ) {
      return 'sockjs-websocket'
    }
  }
  return anyPath ? 'stomp' : undefined
}
