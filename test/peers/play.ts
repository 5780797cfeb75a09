import { randomBytes } from 'node:crypto'
import { frame, RawClient, type RawFrame } from '../helpers/client.ts'

/** A broker that rows are played against. */
export interface Peer {
  readonly webSocketUrl: string
  readonly habits: Habits
}

/** What counts for nothing in the MESSAGE frames of one broker, because the difference is meant. */
export interface Habits {
  readonly ignored: ReadonlySet<string>
  /** Headers of the sender may stand a second time behind those of the broker. */
  readonly repeats: boolean
}

export const HABITS_OF_RABBITMQ: Habits = {
  ignored: new Set([
    // Contract 4.13, content-length out: if body, or always. That it is right shows when the frame is parsed.
    'content-length',
    // Contract 4.13, MESSAGE copies the sender's headers: all, or all but those of the sender's own frame.
    'receipt',
    'transaction',
    'session',
    'login',
    'passcode',
  ]),
  repeats: true,
}

export const OUR_HABITS: Habits = {
  ignored: new Set([
    'content-length',
    // Contract 4.9: how often it was given before, and when it expires as a time.
    'delivery-count',
    'expires',
    // Contract 4.10: why it became a dead letter, beside what RabbitMQ says of that.
    'dead-letter-deliveries',
    'dead-letter-reason',
    'original-destination',
  ]),
  repeats: false,
}

/** One step of a row. */
export type Step = (stage: Stage) => Promise<void> | void

export type Headers = Readonly<Record<string, string>>

/**
 * What every client was sent, told in words that are the same for every broker: under the client's
 * name its frames in their order, under its name and a subscription's id the messages of that.
 * `notes` has what a step waited for in vain.
 */
export type Story = Readonly<Record<string, readonly string[]>>

export interface Telling {
  /** Messages stand among the other frames of their client: the row is about their order. */
  readonly together?: boolean
  /** The row is about an ERROR: its receipt and what comes after it are told too. */
  readonly errors?: boolean
}

/** Milliseconds a step waits. What has not come by then is missing in the story. */
const PATIENCE = 5_000

/** Plays the steps, one after the other. */
export async function play(peer: Peer, steps: readonly Step[], telling: Telling = {}): Promise<Story> {
  const stage = new Stage(peer)
  try {
    for (const step of steps) await step(stage)
    await stage.settle()
    return stage.tell(telling)
  } finally {
    stage.clear()
  }
}

const run = `row${randomBytes(4).toString('hex')}`
let plays = 0
let receipts = 0

/** The clients of one row on one broker. */
export class Stage {
  private readonly peer: Peer
  /** Stands for `$`, so that no row meets another's destinations. Always of one length, as content-length wants it. */
  private readonly name = `${run}${String(++plays).padStart(4, '0')}`
  private readonly clients = new Map<string, RawClient>()
  /** Clients whose connection has ended. */
  private readonly ended = new Set<RawClient>()
  /** Those that ended it themselves. */
  private readonly left = new Set<RawClient>()
  /** Clients of which nothing is asked at the end: they have not connected, or have gone. */
  private readonly silent = new Set<RawClient>()
  /** Frames that steps have dealt with and that are no part of the story. */
  private readonly dealt = new Set<RawFrame>()
  private readonly notes: string[] = []

  constructor(peer: Peer) {
    this.peer = peer
  }

  async enter(name: string): Promise<void> {
    const client = await RawClient.webSocket(this.peer.webSocketUrl)
    this.clients.set(name, client)
    this.silent.add(client)
    void client.closed.then(() => this.ended.add(client))
  }

  /** From now on it can be asked for a receipt. */
  connected(name: string): void {
    const client = this.client(name)
    this.silent.delete(client)
    const answer = client.frames.find(({ command }) => command === 'CONNECTED')
    if (answer !== undefined) this.dealt.add(answer)
  }

  /** Ends the connection, with DISCONNECT or without a word. That is no part of the story. */
  async leave(name: string, politely: boolean): Promise<void> {
    const client = this.client(name)
    this.silent.add(client)
    this.left.add(client)
    // RabbitMQ closes the connection and forgets the receipt.
    if (politely) await this.request(name, 'DISCONNECT', {}, '')
    client.destroy()
    await client.closed
  }

  write(name: string, data: string | Buffer): void {
    this.client(name).raw(typeof data === 'string' ? this.fill(data) : data)
  }

  frame(name: string, command: string, headers: Headers, body: string | Buffer): void {
    const filled = Object.entries(headers).map(([header, value]) => [this.fill(header), this.fill(value)])
    this.client(name).raw(frame(command, Object.fromEntries(filled), body))
  }

  /** A frame with a receipt, which is waited for. */
  async request(name: string, command: string, headers: Headers, body: string | Buffer): Promise<void> {
    const receipt = `play-${++receipts}`
    this.frame(name, command, { ...headers, receipt }, body)
    await this.wait(name, `receipt of ${command}`, this.client(name).receipt(receipt))
  }

  /** Until so many frames of a command are there, those of earlier steps included. */
  async until(name: string, command: string, count: number): Promise<void> {
    const client = this.client(name)
    const arrived = (): boolean => client.frames.filter((one) => one.command === command).length >= count
    await this.wait(name, `${command} ${count}`, client.until(arrived))
  }

  /** Until it has been refused, with an ERROR or without a word. */
  async refused(name: string): Promise<void> {
    // A refusal ends every wait.
    await this.wait(
      name,
      'a refusal',
      this.client(name).until(() => false),
    )
  }

  /** Until a receipt has come, or the end: an ERROR before it ends nothing. */
  async answered(name: string, receipt: string): Promise<void> {
    const client = this.client(name)
    const answer = client.until(() => client.frames.some(({ headers }) => headers['receipt-id'] === receipt))
    await this.within(
      name,
      'an answer',
      Promise.race([answer, client.closed]).catch(() => {}),
    )
  }

  async ends(name: string): Promise<void> {
    const { closed } = this.client(name)
    await this.within(name, 'its end', closed)
  }

  /** A round trip of every client, twice: the first may have caused what the second waits for. */
  async settle(): Promise<void> {
    for (const round of [1, 2]) {
      for (const [name, client] of this.clients) {
        if (this.silent.has(client) || this.ended.has(client) || this.failed(client)) continue
        const receipt = `settle-${round}-${++receipts}`
        this.frame(name, 'SEND', { destination: '/topic/nobody-listens', receipt }, '')
        await this.wait(name, 'a round trip', client.receipt(receipt))
      }
    }
  }

  tell({ together = false, errors = false }: Telling): Story {
    const story: Record<string, string[]> = {}
    const add = (list: string, line: string): void => {
      ;(story[list.replaceAll(this.name, '$')] ??= []).push(line.replaceAll(this.name, '$'))
    }
    const ids = new Ids()
    for (const [name, client] of this.clients) {
      let failed = false
      for (const one of client.frames) {
        if (this.dealt.has(one) || (failed && !errors)) continue
        const { subscription } = one.headers
        const list = one.command !== 'MESSAGE' || together ? name : `${name} ${subscription ?? '-'}`
        add(list, describe(one, name, ids, errors, this.peer.habits))
        failed ||= one.command === 'ERROR'
      }
      if (this.ended.has(client) && !this.left.has(client) && (!failed || errors)) add(name, 'closed')
    }
    if (this.notes.length > 0) story['notes'] = this.notes
    return story
  }

  clear(): void {
    for (const client of this.clients.values()) client.destroy()
  }

  private client(name: string): RawClient {
    const client = this.clients.get(name)
    if (client === undefined) throw new Error(`${name} has not connected`)
    return client
  }

  private failed(client: RawClient): boolean {
    return client.frames.some(({ command }) => command === 'ERROR')
  }

  /** Fills in `$`, and what a broker has made up: `<A 2 ack>` is the `ack` of the second MESSAGE of A. */
  private fill(text: string): string {
    return text
      .replace(/<(\w+) (\d+) ([\w-]+)>/g, (_, name: string, count: string, header: string) => {
        const messages = this.client(name).frames.filter(({ command }) => command === 'MESSAGE')
        return messages[Number(count) - 1]?.headers[header] ?? `no ${header}`
      })
      .replaceAll('$', this.name)
  }

  /** Waits for something, or for a refusal: then it will not come, and the story tells why. */
  private async wait(name: string, what: string, coming: Promise<unknown>): Promise<void> {
    const client = this.client(name)
    await this.within(
      name,
      what,
      Promise.race([coming, client.until(() => this.failed(client))]).catch(() => {}),
    )
  }

  private async within(name: string, what: string, coming: Promise<unknown>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve('in vain'), PATIENCE)
    })
    const outcome = await Promise.race([coming, patience])
    clearTimeout(timer)
    if (outcome === 'in vain') this.notes.push(`${name} waited in vain for ${what}`)
  }
}

/** Symbols for what brokers make up, in the order in which it appears. */
class Ids {
  private readonly known = new Map<string, Map<string, number>>()

  /** `scope`: within which symbols are counted, and one thing has one symbol. */
  symbol(scope: string, id: string): string {
    let numbers = this.known.get(scope)
    if (numbers === undefined) this.known.set(scope, (numbers = new Map<string, number>()))
    let number = numbers.get(id)
    if (number === undefined) numbers.set(id, (number = numbers.size + 1))
    return `#${number}`
  }
}

function describe(one: RawFrame, client: string, ids: Ids, errors: boolean, habits: Habits): string {
  const { command, headers, body } = one
  // Each broker has its own words for it.
  if (command === 'ERROR') {
    const receipt = headers['receipt-id']
    return errors && receipt !== undefined ? `ERROR receipt-id:${receipt}` : 'ERROR'
  }
  const { destination = '', subscription = '', 'message-id': messageId = '', ...others } = headers
  const words = [command]
  if (command === 'MESSAGE') {
    const id = ids.symbol(`${client} ${subscription}`, messageId)
    words.push(id, generated(destination, ids), JSON.stringify(body.toString()))
    if (!habits.repeats && one.lines.length > Object.keys(headers).length) words.push('(repeated headers)')
  }
  for (const name of Object.keys(others).toSorted()) {
    const value = others[name] ?? ''
    if (command === 'MESSAGE' && habits.ignored.has(name)) continue
    // Contract 4.13, redelivered: always, or always on queues.
    if (name === 'redelivered' && value === 'false' && !/^\/(reply-)?queue\//.test(destination)) continue
    if (name === 'ack') words.push(`ack:${ids.symbol(`${client} ${subscription}`, value)}`)
    else if (command === 'CONNECTED' && (name === 'session' || name === 'server')) words.push(`${name}:…`)
    else words.push(`${name}:${generated(value, ids)}`)
  }
  return words.join(' ')
}

/**
 * The public address of a reply queue, which nobody can foresee. By contract 4.7 a MESSAGE shows where it was
 * sent to; RabbitMQ shows its own name of the queue behind that address.
 */
function generated(value: string, ids: Ids): string {
  return value.replace(
    /^\/(?:reply-queue\/|queue\/(?=amq\.gen-))(\S+)$/,
    (_, id: string) => `/reply-queue/${ids.symbol('reply', id)}`,
  )
}
