/** A frame as a client writes it; what is in the headers goes out as it is. */
export function stomp(
  command: string,
  headers: Readonly<Record<string, string | number>> = {},
  body: string | Buffer = '',
): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`)
  return Buffer.concat([Buffer.from(`${command}\n${lines.join('')}\n`), Buffer.from(body), Buffer.from([0])])
}

/** A frame of the broker. */
export interface Answer {
  readonly command: string
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

const COMMANDS = new Set(['CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR'])
const LF = 10

/** Reads what a broker writes, and throws at anything that a broker must not write. */
export class AnswerReader {
  heartbeats = 0
  private rest: Buffer = Buffer.alloc(0)

  /** An answer of which a part is there. */
  get unfinished(): boolean {
    return this.rest.length > 0
  }

  read(bytes: Buffer): Answer[] {
    const answers: Answer[] = []
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    for (;;) {
      let from = 0
      while (this.rest[from] === LF) from++
      this.heartbeats += from
      if (from > 0) this.rest = this.rest.subarray(from)
      const blank = this.rest.indexOf('\n\n')
      if (blank < 0) return answers
      const [command = '', ...lines] = this.rest.toString('utf8', 0, blank).split('\n')
      if (!COMMANDS.has(command)) throw new Error(`the broker wrote ${JSON.stringify(command)}`)
      const headers = new Map<string, string>()
      for (const line of lines) {
        const colon = line.indexOf(':')
        if (colon < 1) throw new Error(`the broker wrote the header ${JSON.stringify(line)}`)
        const name = line.slice(0, colon)
        if (!headers.has(name)) headers.set(name, line.slice(colon + 1))
      }
      const start = blank + 2
      const length = headers.get('content-length')
      const end = length === undefined ? this.rest.indexOf(0, start) : start + Number(length)
      if (end < 0 || end >= this.rest.length) return answers
      if (this.rest[end] !== 0) throw new Error(`the broker wrote no NUL after ${command}`)
      const body = this.rest.subarray(start, end)
      this.rest = this.rest.subarray(end + 1)
      answers.push({ command, headers, body })
    }
  }
}
