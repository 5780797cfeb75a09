import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import { frame, parse, type RawFrame } from './client.ts'

let sessions = 0

/**
 * A STOMP client over SockJS and HTTP, by hand: it asks for messages only when it is told to, and
 * reads an answer only while it is not paused.
 */
export class SockJsSession {
  readonly frames: RawFrame[] = []
  /** The close frame of SockJS, once it was read. */
  closed: readonly [code: number, reason: string] | undefined
  private readonly url: string
  private readonly agent = new Agent({ keepAlive: true })
  private rest = ''

  private constructor(base: string) {
    this.url = `${base}/000/held-${++sessions}`
  }

  /** `base`: the URL of the endpoint. CONNECTED has been taken. */
  static async connected(base: string): Promise<SockJsSession> {
    const session = new SockJsSession(base)
    await session.poll()
    await session.send('CONNECT', { 'accept-version': '1.2', host: 'test' })
    await session.poll()
    if (session.frames.shift()?.command !== 'CONNECTED') throw new Error('not connected')
    return session
  }

  /** Done when the broker has answered. */
  async send(command: string, headers: Record<string, string>, body = ''): Promise<void> {
    const answer = await this.ask('xhr_send', JSON.stringify([frame(command, headers, body).toString()]))
    answer.resume()
    await once(answer, 'end')
    if (answer.statusCode !== 204) throw new Error(`xhr_send was answered ${answer.statusCode}`)
  }

  async subscribe(destination: string, headers: Record<string, string> = {}): Promise<void> {
    await this.send('SUBSCRIBE', { id: '0', destination, receipt: 'subscribed', ...headers })
    await this.poll()
    if (this.frames.shift()?.command !== 'RECEIPT') throw new Error('not subscribed')
  }

  /** One request of the polling transport, read to the end of its answer. */
  async poll(): Promise<void> {
    await this.read(await this.ask('xhr'))
  }

  /** Polls until `reached`, or until the end. */
  async pollUntil(reached: () => boolean): Promise<void> {
    while (!reached() && this.closed === undefined) await this.poll()
  }

  /** A request of the streaming transport, of whose answer nothing is read until `read`. */
  stream(): Promise<IncomingMessage> {
    return this.ask('xhr_streaming')
  }

  /** Takes the frames of an answer, up to its end. */
  async read(answer: IncomingMessage): Promise<void> {
    answer.setEncoding('utf8')
    for await (const piece of answer as AsyncIterable<string>) {
      const lines = (this.rest + piece).split('\n')
      this.rest = lines.pop() ?? ''
      for (const line of lines) this.take(line)
    }
  }

  destroy(): void {
    this.agent.destroy()
  }

  private take(line: string): void {
    if (line.startsWith('c')) this.closed = JSON.parse(line.slice(1)) as [number, string]
    if (!line.startsWith('a')) return
    for (const text of JSON.parse(line.slice(1)) as string[]) {
      // Each is one frame, or an EOL between frames.
      const bytes = Buffer.from(text)
      if (text === '\n') continue
      const parsed = parse(bytes)
      if (parsed?.end !== bytes.length) throw new Error(`no whole frame: ${text.slice(0, 200)}`)
      this.frames.push(parsed.frame)
    }
  }

  private async ask(transport: string, body = ''): Promise<IncomingMessage> {
    const headers = { 'Content-Length': Buffer.byteLength(body) }
    const asking = request(`${this.url}/${transport}`, { method: 'POST', agent: this.agent, headers })
    asking.on('error', () => {})
    asking.end(body)
    const [answer] = (await once(asking, 'response')) as [IncomingMessage]
    return answer
  }
}
