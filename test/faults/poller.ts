import { request } from 'node:http'
import { stomp } from './frame.ts'
import type { Place } from './server.ts'

let sessions = 0

/** A SockJS client that subscribes over HTTP, polls as long as that takes, and never again. */
export async function poller({ port }: Place, topic: string): Promise<void> {
  const session = `/ws/000/p${process.pid}-${++sessions}`
  const post = (path: string, body: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = request({
        port,
        host: '127.0.0.1',
        method: 'POST',
        path: `${session}/${path}`,
        agent: false,
      })
      asked.once('error', reject)
      asked.once('response', (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (piece: string) => (text += piece))
        response.once('end', () => resolve(text))
        response.once('error', reject)
      })
      asked.end(body)
    })
  const said = (frame: Buffer): string => JSON.stringify([frame.toString()])
  await post('xhr', '')
  await post('xhr_send', said(stomp('CONNECT', { 'accept-version': '1.2', host: 'x' })))
  await post('xhr_send', said(stomp('SUBSCRIBE', { id: 0, destination: topic, receipt: 'r' })))
  for (let heard = ''; !heard.includes('receipt-id:r');) heard += await post('xhr', '')
}
