import { connect, type Socket } from 'node:net'
import type { Random } from './random.ts'

/** Messages of one publisher that may be without a receipt. */
const AHEAD = 8
const BYE = 'bye'

/** A frame as far as it is of interest here. */
interface Frame {
  readonly command: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

/** A STOMP client on a bare socket that hands each frame on. */
export class Line {
  readonly socket: Socket
  readonly closed: Promise<void>
  /** Heard from then on. */
  hear: (frame: Frame) => void
  private rest: Buffer = Buffer.alloc(0)

  constructor(port: number, hear: (frame: Frame) => void = () => {}) {
    this.hear = hear
    this.socket = connect(port, '127.0.0.1')
    this.socket.setNoDelay()
    this.socket.on('error', () => {})
    this.socket.on('data', (chunk: Buffer) => this.read(chunk))
    this.closed = new Promise((resolve) => this.socket.on('close', () => resolve()))
    this.send('CONNECT', { 'accept-version': '1.2', host: 'test' })
  }

  send(command: string, headers: Readonly<Record<string, string>> = {}, body = ''): void {
    let head = `${command}\n`
    for (const [name, value] of Object.entries(headers)) head += `${name}:${value}\n`
    if (body !== '') head += `content-length:${Buffer.byteLength(body)}\n`
    this.socket.write(`${head}\n${body}\0`)
  }

  /** Leaves in order: all it said before has been heard. */
  async leave(): Promise<void> {
    this.send('DISCONNECT', { receipt: BYE })
    await this.closed
  }

  private read(chunk: Buffer): void {
    this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk])
    for (;;) {
      let start = 0
      while (this.rest[start] === 10) start++
      const blank = this.rest.indexOf('\n\n', start)
      if (blank < 0) return
      const [command = '', ...lines] = this.rest.toString('utf8', start, blank).split('\n')
      const headers: Record<string, string> = {}
      for (const line of lines) {
        const colon = line.indexOf(':')
        headers[line.slice(0, colon)] ??= line.slice(colon + 1)
      }
      const from = blank + 2
      const length = headers['content-length']
      const end = length === undefined ? this.rest.indexOf(0, from) : from + Number(length)
      if (end < 0 || end >= this.rest.length) return
      const body = this.rest.toString('utf8', from, end)
      this.rest = this.rest.subarray(end + 1)
      this.hear({ command, headers, body })
      // The broker waits for that, lest its last words be lost.
      if (command === 'ERROR' || headers['receipt-id'] === BYE) this.socket.end()
    }
  }
}

/**
 * What was promised, kept where no broker can lose it: which messages got a receipt, and what came
 * of them. A message is `publisher.number`, its number and what fills it up.
 */
export class Ledger {
  readonly sent = new Set<string>()
  readonly receipted = new Set<string>()
  /** How often each came. */
  readonly got = new Map<string, number>()
  /** Those that came again as they should, with a word. */
  again = 0
  readonly wrong: string[] = []
  /** Refusals of messages: their text. */
  readonly refused: string[] = []
  private readonly random: Random
  private readonly least: number
  private readonly numbers = new Map<number, number>()
  /** By queue and publisher, the last that came for the first time. */
  private readonly last = new Map<string, number>()

  /** `least`: bytes of the smallest messages. */
  constructor(random: Random, least = 0) {
    this.random = random
    this.least = least
  }

  /** Sends until the connection ends or `enough` says so, as fast as receipts come. */
  publish(port: number, publisher: number, queue: string, enough: () => boolean = () => false): Line {
    let open = 0
    const line = new Line(port, ({ command, headers, body }) => {
      if (command === 'RECEIPT') {
        this.receipted.add(headers['receipt-id'] ?? '')
        open--
      } else if (command === 'ERROR') {
        this.refused.push(body)
        return
      }
      while (open < AHEAD && !enough()) {
        open++
        const number = (this.numbers.get(publisher) ?? 0) + 1
        this.numbers.set(publisher, number)
        const id = `${publisher}.${number}`
        this.sent.add(id)
        line.send('SEND', { destination: queue, persistent: 'true', receipt: id }, this.fill(id))
      }
    })
    return line
  }

  /** Acks what comes; now and then it refuses what comes for the first time. */
  consume(port: number, queue: string): Line {
    const line = this.listen(port, queue, ({ headers, again }) => {
      const refuses = !again && this.random.chance(0.1)
      line.send(refuses ? 'NACK' : 'ACK', { id: headers['ack'] ?? '' })
    })
    return line
  }

  /** Hands on what comes, each in a transaction: it is in the one queue or in the other. */
  transfer(port: number, from: string, to: string): Line {
    const line: Line = this.open(port, from, ({ headers, body }) => {
      const transaction = headers['ack'] ?? ''
      line.send('BEGIN', { transaction })
      line.send('SEND', { destination: to, persistent: 'true', transaction }, body)
      line.send('ACK', { id: transaction, transaction })
      line.send('COMMIT', { transaction })
    })
    return line
  }

  /** Acks all there is in some queues; resolves when everything that was there has come. */
  async drain(port: number, queues: readonly string[]): Promise<void> {
    const lines: Line[] = []
    await Promise.all(
      queues.map(
        (queue) =>
          new Promise<void>((resolve) => {
            const line = this.listen(
              port,
              queue,
              ({ headers }) => line.send('ACK', { id: headers['ack'] ?? '' }),
              resolve,
            )
            line.send('SEND', { destination: queue, persistent: 'true' }, 'end')
            lines.push(line)
          }),
      ),
    )
    await Promise.all(lines.map((line) => line.leave()))
  }

  /** Receipts for messages that never came. */
  get lost(): readonly string[] {
    return [...this.receipted].filter((id) => !this.got.has(id))
  }

  private fill(id: string): string {
    const [publisher, number] = id.split('.').map(Number) as [number, number]
    // Of some the body is a page of the store of its own, or many.
    const length = number % 50 === 0 ? 20_000 : number % 7 === 0 ? 3_000 : publisher % 10
    return `${id} ${'x'.repeat(this.least + length)}`
  }

  private open(port: number, queue: string, take: (frame: Frame) => void): Line {
    const line = new Line(port, (frame) => {
      if (frame.command === 'MESSAGE') take(frame)
      else if (frame.command === 'ERROR') this.wrong.push(`ERROR: ${frame.body}`)
    })
    line.send('SUBSCRIBE', { id: '0', destination: queue, ack: 'client-individual' })
    return line
  }

  private listen(
    port: number,
    queue: string,
    answer: (frame: Frame & { again: boolean }) => void,
    end: () => void = () => {},
  ): Line {
    return this.open(port, queue, (frame) => {
      const again = frame.headers['redelivered'] === 'true'
      if (frame.body === 'end') end()
      else this.note(queue, frame.body, again)
      answer({ ...frame, again })
    })
  }

  private note(queue: string, body: string, again: boolean): void {
    const [id = ''] = body.split(' ', 1)
    if (body !== this.fill(id)) return void this.wrong.push(`${id} is not what was sent`)
    if (!this.sent.has(id)) return void this.wrong.push(`${id} was never sent`)
    const times = (this.got.get(id) ?? 0) + 1
    this.got.set(id, times)
    if (again) {
      this.again++
      return
    }
    if (times > 1) this.wrong.push(`${id} came again without a word`)
    const [publisher = '', number = ''] = id.split('.')
    const before = this.last.get(`${queue} ${publisher}`) ?? 0
    if (Number(number) <= before) this.wrong.push(`${id} came after ${publisher}.${before}`)
    this.last.set(`${queue} ${publisher}`, Number(number))
  }
}
