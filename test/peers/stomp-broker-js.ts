/** Runs stomp-broker-js, where somebody has installed it beside us. Prints its port when it listens. */
import type { EventEmitter } from 'node:events'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'

const StompServer = createRequire(import.meta.url)('stomp-broker-js') as new (options: {
  server: unknown
  path: string
}) => EventEmitter

const http = createServer()
const broker = new StompServer({ server: http, path: '/ws' })
// One connection that fails is not the end of it.
broker.on('error', () => {})
http.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  process.stdout.write(`${(http.address() as AddressInfo).port}\n`)
})
