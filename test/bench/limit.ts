/**
 * What Node can do for this job with no broker in it: takes every frame for a good one, has no limits, keeps no
 * policy, and renders once, gathers, and writes once to each socket in a turn of the event loop. It is what ratios
 * are taken to, and no more than what the scenarios need. Prints its port when it listens.
 */
import { createHash } from 'node:crypto'
import { createServer, type AddressInfo, type Socket } from 'node:net'

const NUL = 0
const LF = 10
const COLON = 58

// What goes out is written side by side. Nothing in it is used again: a socket may not have sent it yet.
const SLAB = 1024 * 1024
let slab = Buffer.allocUnsafeSlow(SLAB)
let at = 0

function room(length: number): void {
  if (at + length <= slab.length) return
  slab = Buffer.allocUnsafeSlow(length > SLAB / 4 ? length + SLAB : SLAB)
  at = 0
}

function putHead(length: number): void {
  slab[at++] = 0x81
  if (length < 126) slab[at++] = length
  else if (length < 65_536) {
    slab[at++] = 126
    slab[at++] = length >> 8
    slab[at++] = length & 255
  } else {
    slab[at++] = 127
    slab.writeUInt32BE(0, at)
    slab.writeUInt32BE(length, at + 4)
    at += 8
  }
}

function put(bytes: Buffer, from: number, to: number): void {
  // Few bytes are copied faster one by one.
  if (to - from < 48) while (from < to) slab[at++] = bytes[from++] as number
  else at += bytes.copy(slab, at, from, to)
}

const DIGITS = 10
function putId(id: number): void {
  for (let place = at + DIGITS - 1; place >= at; place--) {
    const rest = Math.floor(id / 10)
    slab[place] = 48 + id - rest * 10
    id = rest
  }
  at += DIGITS
  slab[at++] = LF
}

/** A SEND's headers and body, which become a MESSAGE's as they are. */
interface Message {
  readonly bytes: Buffer
  readonly from: number
  readonly to: number
}

let lastId = 0
const ACK = Buffer.from('ack:')

/** Subscriptions that get the same bytes. */
class Group {
  readonly members: Connection[] = []
  readonly acks: boolean
  readonly sockJs: boolean
  private readonly head: Buffer
  private messages: Message[] = []
  private length = 0

  constructor(id: string, acks: boolean, sockJs: boolean) {
    this.acks = acks
    this.sockJs = sockJs
    this.head = Buffer.from(`MESSAGE\nsubscription:${id}\nmessage-id:`)
  }

  add(message: Message): void {
    if (this.messages.push(message) === 1) {
      dirtyGroups.push(this)
      schedule()
    }
    this.length += this.bound(message)
  }

  bound(message: Message): number {
    const plain = message.to - message.from + this.head.length + 64
    return this.sockJs ? 6 * plain : plain
  }

  render(message: Message): void {
    const id = ++lastId
    const { head } = this
    const { bytes, from, to } = message
    if (this.sockJs) {
      const text = `${head.toString('latin1')}${id}\n${bytes.toString('utf8', from, to)}`
      const frame = Buffer.from(`a${JSON.stringify([text])}`)
      putHead(frame.length)
      put(frame, 0, frame.length)
      return
    }
    putHead(head.length + DIGITS + 1 + (this.acks ? ACK.length + DIGITS + 1 : 0) + to - from)
    put(head, 0, head.length)
    putId(id)
    if (this.acks) {
      put(ACK, 0, ACK.length)
      putId(id)
    }
    put(bytes, from, to)
  }

  flush(): void {
    const { messages } = this
    room(this.length)
    const from = at
    for (const message of messages) this.render(message)
    this.messages = []
    this.length = 0
    const bytes = slab.subarray(from, at)
    for (const member of this.members) member.socket.write(bytes)
  }
}

interface Consumer {
  readonly connection: Connection
  readonly group: Group
  credit: number
}

class Destination {
  readonly name: Buffer
  readonly queue: boolean
  readonly groups: Group[] = []
  readonly consumers: Consumer[] = []
  private turn = 0
  private waiting: (Message | undefined)[] = []
  private first = 0

  constructor(name: string) {
    this.name = Buffer.from(name)
    this.queue = name.startsWith('/queue/')
  }

  send(message: Message): void {
    if (!this.queue) for (const group of this.groups) group.add(message)
    else if (this.first < this.waiting.length || !this.dispatch(message)) this.waiting.push(message)
  }

  drain(): void {
    for (; this.first < this.waiting.length; this.first++) {
      const message = this.waiting[this.first]
      if (message === undefined || !this.dispatch(message)) break
      this.waiting[this.first] = undefined
    }
    if (this.first === this.waiting.length) {
      this.waiting = []
      this.first = 0
    }
  }

  private dispatch(message: Message): boolean {
    const { consumers } = this
    for (let tried = 0; tried < consumers.length; tried++) {
      this.turn = this.turn + 1 < consumers.length ? this.turn + 1 : 0
      const consumer = consumers[this.turn] as Consumer // turn < consumers.length
      if (consumer.credit <= 0) continue
      if (consumer.group.acks) consumer.credit--
      consumer.connection.add(consumer.group, message)
      return true
    }
    return false
  }
}

const destinations = new Map<string, Destination>()
/** Groups of `name.*`, by the name. */
const patterns = new Map<string, Map<string, Group>>()
const topics = new Map<string, Map<string, Group>>()

function destinationOf(name: string): Destination {
  let destination = destinations.get(name)
  if (destination === undefined) {
    destinations.set(name, (destination = new Destination(name)))
    const dot = name.lastIndexOf('.')
    for (const groups of [topics.get(name), dot < 0 ? undefined : patterns.get(name.slice(0, dot))])
      if (groups !== undefined) destination.groups.push(...groups.values())
  }
  return destination
}

function subscribe(connection: Connection, headers: Map<string, string>): void {
  const name = headers.get('destination') ?? ''
  const id = headers.get('id') ?? ''
  const acks = (headers.get('ack') ?? 'auto') !== 'auto'
  const credit = acks ? Number(headers.get('prefetch-count') ?? 100) : Infinity
  if (name.startsWith('/queue/')) {
    const destination = destinationOf(name)
    const consumer = { connection, group: new Group(id, acks, connection.sockJs), credit }
    destination.consumers.push(consumer)
    connection.consumption = { destination, consumer }
    connection.left.push(() => destination.consumers.splice(destination.consumers.indexOf(consumer), 1))
    destination.drain()
    return
  }
  const wild = name.endsWith('.*')
  const table = wild ? patterns : topics
  const key = wild ? name.slice(0, -2) : name
  let groups = table.get(key)
  if (groups === undefined) table.set(key, (groups = new Map()))
  const form = `${connection.sockJs ? 's' : 'w'}${id}`
  let group = groups.get(form)
  if (group === undefined) {
    groups.set(form, (group = new Group(id, false, connection.sockJs)))
    for (const [other, destination] of destinations)
      if (wild ? other.slice(0, other.lastIndexOf('.')) === key : other === key)
        destination.groups.push(group)
  }
  const own = group
  own.members.push(connection)
  connection.left.push(() => own.members.splice(own.members.indexOf(connection), 1))
}

let dirtyGroups: Group[] = []
let dirtyConnections: Connection[] = []
let scheduled = false

function schedule(): void {
  if (scheduled) return
  scheduled = true
  setImmediate(flush)
}

function flush(): void {
  scheduled = false
  const groups = dirtyGroups
  const connections = dirtyConnections
  dirtyGroups = []
  dirtyConnections = []
  for (const group of groups) group.flush()
  for (const connection of connections) connection.flush()
}

const GREETING = 'CONNECTED\nversion:1.2\nserver:limit\nheart-beat:0,0\n\n\0'

class Connection {
  readonly socket: Socket
  sockJs = false
  consumption: { destination: Destination; consumer: Consumer } | undefined
  /** What is to be done when it is gone. */
  readonly left: (() => void)[] = []
  private upgraded = false
  private rest: Buffer | undefined
  /** A frame that is larger than what is read at once: its pieces, and bytes to come. */
  private pieces: Buffer[] = []
  private missing = 0
  private destination: Destination | undefined
  private groups: Group[] = []
  private messages: Message[] = []
  private receipts = ''
  private length = 0
  private dirty = false

  constructor(socket: Socket) {
    this.socket = socket
  }

  add(group: Group, message: Message): void {
    this.groups.push(group)
    this.messages.push(message)
    this.length += group.bound(message)
    this.mark()
  }

  flush(): void {
    this.dirty = false
    room(this.length + this.receipts.length)
    const from = at
    at += slab.write(this.receipts, at, 'latin1')
    const { messages, groups } = this
    for (let index = 0; index < messages.length; index++)
      (groups[index] as Group).render(messages[index] as Message) // as many of one as of the other
    this.receipts = ''
    messages.length = groups.length = this.length = 0
    this.socket.write(slab.subarray(from, at))
  }

  read(chunk: Buffer): void {
    if (!this.upgraded) {
      this.upgrade(chunk)
      return
    }
    let bytes = chunk
    if (this.missing > 0) {
      this.pieces.push(chunk)
      this.missing -= chunk.length
      if (this.missing > 0) return
      bytes = Buffer.concat(this.pieces)
      this.pieces = []
    } else if (this.rest !== undefined) {
      bytes = Buffer.concat([this.rest, chunk])
    }
    this.rest = undefined
    let start = 0
    while (start < bytes.length) {
      const code = (bytes[start + 1] ?? 0) & 127
      const head = code < 126 ? 6 : code === 126 ? 8 : 14
      if (start + head > bytes.length) break
      const length =
        code < 126 ? code : code === 126 ? bytes.readUInt16BE(start + 2) : bytes.readUInt32BE(start + 6)
      const end = start + head + length
      if (end > bytes.length) {
        if (length > 65_536) {
          this.pieces = [bytes.subarray(start)]
          this.missing = end - bytes.length
          return
        }
        break
      }
      const opcode = (bytes[start] as number) & 15
      unmask(bytes, start + head, end)
      if (opcode === 8) this.socket.end()
      else if (opcode < 3) this.payload(bytes, start + head, end)
      start = end
    }
    if (start < bytes.length) this.rest = bytes.subarray(start)
  }

  private upgrade(chunk: Buffer): void {
    const bytes = this.rest === undefined ? chunk : Buffer.concat([this.rest, chunk])
    const end = bytes.indexOf('\r\n\r\n')
    this.rest = bytes
    if (end < 0) return
    const head = bytes.toString('latin1', 0, end)
    const key = /sec-websocket-key: *(\S+)/i.exec(head)?.[1] ?? ''
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    this.sockJs = /^GET \S+\/\w+\/\w+\/websocket /.test(head)
    this.upgraded = true
    this.rest = undefined
    const protocol = /sec-websocket-protocol/i.test(head) ? 'Sec-WebSocket-Protocol: v12.stomp\r\n' : ''
    this.socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${protocol}Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
    if (this.sockJs) this.socket.write(Buffer.from([0x81, 1, 0x6f]))
    if (end + 4 < bytes.length) this.read(bytes.subarray(end + 4))
  }

  private payload(bytes: Buffer, start: number, end: number): void {
    if (this.sockJs) {
      for (const text of JSON.parse(bytes.toString('utf8', start, end)) as string[]) {
        const frame = Buffer.from(text)
        this.frames(frame, 0, frame.length)
      }
    } else this.frames(bytes, start, end)
  }

  private frames(bytes: Buffer, start: number, end: number): void {
    while (start < end) {
      if (bytes[start] === LF) start++
      else
        start =
          bytes[start] === 83 && bytes[start + 1] === 69 ? this.send(bytes, start) : this.other(bytes, start)
    }
  }

  /** SEND, which is whole: where it ends. */
  private send(bytes: Buffer, start: number): number {
    let place = start + 5
    const block = place
    let [nameFrom, nameTo, receiptFrom, receiptTo, length] = [0, 0, 0, 0, -1]
    while (bytes[place] !== LF) {
      const line = place
      const first = bytes[line]
      while (bytes[place] !== LF) place++
      if (first === 100 && bytes[line + 11] === COLON) {
        nameFrom = line + 12
        nameTo = place
      } else if (first === 114 && bytes[line + 7] === COLON) {
        receiptFrom = line
        receiptTo = place + 1
      } else if (first === 99 && bytes[line + 14] === COLON) {
        length = 0
        for (let digit = line + 15; digit < place; digit++)
          length = length * 10 + (bytes[digit] as number) - 48
      }
      place++
    }
    const body = place + 1
    const end = (length < 0 ? bytes.indexOf(NUL, body) : body + length) + 1
    let { destination } = this
    if (destination === undefined || !same(destination.name, bytes, nameFrom, nameTo))
      this.destination = destination = destinationOf(bytes.toString('latin1', nameFrom, nameTo))
    let from = block
    if (receiptTo > 0) {
      this.receipt(bytes.toString('latin1', receiptFrom + 8, receiptTo - 1))
      // What stands before it moves up to close the gap.
      from += receiptTo - receiptFrom
      bytes.copyWithin(from, block, receiptFrom)
    }
    destination.send({ bytes, from, to: end })
    return end
  }

  private other(bytes: Buffer, start: number): number {
    const end = bytes.indexOf(NUL, start) + 1
    if (bytes[start] === 65 && this.consumption !== undefined) {
      this.consumption.consumer.credit++
      this.consumption.destination.drain()
      return end
    }
    const [command, ...lines] = bytes.toString('utf8', start, end - 1).split('\n')
    const headers = new Map(
      lines.map((line) => [line.split(':', 1)[0] ?? '', line.slice(line.indexOf(':') + 1)]),
    )
    if (command === 'CONNECT') this.reply(GREETING)
    const receipt = headers.get('receipt')
    if (receipt !== undefined) this.receipt(receipt)
    if (command === 'SUBSCRIBE') subscribe(this, headers)
    return end
  }

  private receipt(id: string): void {
    this.reply(`RECEIPT\nreceipt-id:${id}\n\n\0`)
  }

  /** Short text, in the bytes that go out, one character for each. */
  private reply(frame: string): void {
    const text = this.sockJs ? `a${JSON.stringify([frame])}` : frame
    const { length } = text
    const head = length < 126 ? [0x81, length] : [0x81, 126, length >> 8, length & 255]
    this.receipts += String.fromCharCode(...head) + text
    this.mark()
  }

  private mark(): void {
    if (this.dirty) return
    this.dirty = true
    dirtyConnections.push(this)
    schedule()
  }
}

function same(name: Buffer, bytes: Buffer, from: number, to: number): boolean {
  if (to - from !== name.length) return false
  for (let index = 0; index < name.length; index++) if (name[index] !== bytes[from + index]) return false
  return true
}

/** The key lies before the payload. */
function unmask(bytes: Buffer, start: number, end: number): void {
  const key = start - 4
  let place = start
  // Bytes one by one to where words begin, then words.
  const aligned = Math.min(end, place + ((4 - ((bytes.byteOffset + place) & 3)) & 3))
  for (; place < aligned; place++)
    bytes[place] = (bytes[place] as number) ^ (bytes[key + ((place - start) & 3)] as number)
  if (end - place >= 64) {
    let word = 0
    for (let index = 3; index >= 0; index--)
      word = (word << 8) | (bytes[key + ((place - start + index) & 3)] as number)
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + place, (end - place) >> 2)
    for (let index = 0; index < words.length; index++) words[index] = (words[index] as number) ^ word
    place += words.length << 2
  }
  for (; place < end; place++)
    bytes[place] = (bytes[place] as number) ^ (bytes[key + ((place - start) & 3)] as number)
}

const server = createServer({ noDelay: true }, (socket) => {
  const connection = new Connection(socket)
  socket.on('data', (chunk: Buffer) => connection.read(chunk))
  socket.on('error', () => socket.destroy())
  socket.on('close', () => {
    for (const leave of connection.left) leave()
  })
})
server.listen({ port: Number(process.argv[2] ?? 0), host: '127.0.0.1', backlog: 4096 }, () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`)
})
