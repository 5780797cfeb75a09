import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface Head {
  /** `1.0` or `1.1`. */
  readonly http: string
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
}

export interface Asking {
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly http?: '1.0' | '1.1'
}

/** An answer with all of its body. */
export interface Reply extends Head {
  readonly body: string
}

/**
 * One HTTP connection on a bare socket. Paths go out as they are written, and what comes back is
 * read byte by byte and strictly: an HTTP library would smooth over what is to be seen here.
 */
export class HttpLine {
  readonly socket: Socket
  private text = ''
  private over = false
  private wakers: (() => void)[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (piece: string) => {
      this.text += piece
      this.wake()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.over = true
      this.wake()
    })
  }

  static async open(port: number): Promise<HttpLine> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new HttpLine(socket)
  }

  send(method: string, path: string, { headers = {}, body = '', http = '1.1' }: Asking = {}): void {
    const all: Record<string, string> = { Host: 'localhost', ...headers }
    if (method === 'POST') all['Content-Length'] = String(Buffer.byteLength(body))
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
    this.socket.write(`${method} ${path} HTTP/${http}\r\n${lines.join('')}\r\n${body}`)
  }

  async head(): Promise<Head> {
    const [, http = '', status = ''] = /^HTTP\/(1\.[01]) (\d{3})( |$)/.exec(await this.line()) ?? []
    const headers: Record<string, string> = {}
    for (let line = await this.line(); line !== ''; line = await this.line()) {
      const colon = line.indexOf(':')
      const name = line.slice(0, colon).toLowerCase()
      if (colon < 1 || name in headers) throw new Error(`a bad or second header: ${line}`)
      headers[name] = line.slice(colon + 1).trim()
    }
    return { http, status: Number(status), headers }
  }

  /** The next chunk of a chunked body, empty at its end. */
  async chunk(): Promise<string> {
    const size = await this.line()
    if (!/^[0-9a-f]+$/i.test(size)) throw new Error(`no size of a chunk: ${size}`)
    const data = await this.bytes(Number.parseInt(size, 16))
    if ((await this.bytes(2)) !== '\r\n') throw new Error('a chunk is longer than it says')
    return data
  }

  async bytes(count: number): Promise<string> {
    await this.until(() => this.text.length >= count)
    return this.take(count)
  }

  /** What comes until the other side closes the connection. */
  async rest(): Promise<string> {
    while (!this.over) await this.more()
    return this.take(this.text.length)
  }

  /** The body that belongs to a head. */
  async body({ status, headers }: Head): Promise<string> {
    if (status === 204 || status === 304) return ''
    const length = headers['content-length']
    if (length !== undefined) return this.bytes(Number(length))
    if (headers['transfer-encoding'] !== 'chunked') return this.rest()
    let body = ''
    for (let chunk = await this.chunk(); chunk !== ''; chunk = await this.chunk()) body += chunk
    return body
  }

  private async line(): Promise<string> {
    await this.until(() => this.text.includes('\r\n'))
    const line = this.take(this.text.indexOf('\r\n'))
    this.take(2)
    return line
  }

  private take(count: number): string {
    const taken = this.text.slice(0, count)
    this.text = this.text.slice(count)
    return Buffer.from(taken, 'latin1').toString()
  }

  private async until(reached: () => boolean): Promise<void> {
    while (!reached()) {
      if (this.over) throw new Error(`the connection ended after ${JSON.stringify(this.text)}`)
      await this.more()
    }
  }

  private more(): Promise<void> {
    return new Promise((wake) => this.wakers.push(wake))
  }

  private wake(): void {
    for (const wake of this.wakers.splice(0)) wake()
  }
}
