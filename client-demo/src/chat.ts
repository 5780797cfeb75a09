/*
 * The chat itself, without a line of user interface: rooms, messages, who is here.
 * A room is a topic. Nothing is stored in the broker, so presence and typing are small messages
 * that clients publish on a second topic of the room, and that expire by themselves.
 */
import type { IMessage } from '@stomp/stompjs'
import { Connection, idHeader, newId, type State, type Transport, transports } from './stomp.ts'

/** waiting: in the outbox; accepted: the broker has it; shown: it came back to us, as to everybody. */
type Status = 'waiting' | 'accepted' | 'shown' | 'refused'

export interface Entry {
  readonly id: string
  readonly author: string
  readonly text: string
  readonly time: number
  readonly mine: boolean
  status: Status
  /** Why the broker refused it. */
  reason?: string
}

interface Person {
  readonly name: string
  expires: number
  typingUntil: number
}

export interface Room {
  readonly name: string
  readonly entries: Entry[]
  /** Other clients in this room, by client id. */
  readonly people: Map<string, Person>
  unread: number
  draft: string
  leave(): void
}

export interface WireFrame {
  readonly id: number
  readonly direction: 'in' | 'out'
  readonly text: string
  readonly time: number
}

type Presence = 'hello' | 'here' | 'typing' | 'bye'

const keptEntries = 500
const keptFrames = 200
const defaultRooms = ['lobby', 'ideas', 'random']
const announceEvery = 30_000
const expiresAfter = 100_000 // timers of a hidden tab may fire once a minute only
const typingLasts = 4_000

/** Any Unicode, one line, no control characters; at most 64 characters keeps a destination below 512 bytes. */
export function roomName(text: string): string {
  const line = text.normalize('NFC').replace(/[\p{Cc}\p{Cs}]/gu, ' ')
  return Array.from(line.replace(/\s+/g, ' ').replace(/^[\s#]+/, ''))
    .slice(0, 64)
    .join('')
    .trim()
}

/** ASCII other than letters, digits, - and _ is escaped: so no room name holds a wildcard or a separator. */
function topic(room: string): string {
  const name = room.replace(/(?![\w-])[ -~]/g, (char) => `%${char.charCodeAt(0).toString(16)}`)
  return `/topic/chat.${name}`
}

export function hash(room: string): string {
  return `#${encodeURIComponent(room)}`
}

function roomInUrl(): string {
  try {
    return roomName(decodeURIComponent(location.hash))
  } catch {
    return '' // somebody edited the link
  }
}

function setQuery(key: string, value: string): void {
  const url = new URL(location.href)
  url.searchParams.set(key, value)
  history.replaceState(null, '', url)
}

function readRooms(): string[] {
  try {
    const rooms: unknown = JSON.parse(localStorage.getItem('rooms') ?? '')
    if (Array.isArray(rooms)) return rooms.map((room) => roomName(String(room))).filter(Boolean)
  } catch {
    // Nothing stored yet, or not by us.
  }
  return defaultRooms
}

export class Chat {
  name: string
  transport: Transport
  state: State = { name: 'connecting' }
  problem = ''
  open: Room
  readonly rooms = new Map<string, Room>()
  readonly frames: WireFrame[] = []
  readonly #client = newId() // two tabs of one person are two clients
  readonly #changed: () => void
  readonly #connection: Connection
  #frameCount = 0
  #typingSent = 0

  /** The address of this room for somebody else, to talk to oneself in the first minute. */
  get secondUser(): string {
    const taken = new Set([this.name, ...[...this.open.people.values()].map((person) => person.name)])
    const free = ['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara'].find((name) => !taken.has(name))
    return `?name=${encodeURIComponent(free ?? `Guest ${taken.size}`)}${hash(this.open.name)}`
  }

  constructor(changed: () => void) {
    this.#changed = changed
    const query = new URLSearchParams(location.search)
    const transport = query.get('transport') ?? ''
    this.name = query.get('name')?.trim().slice(0, 40) || (localStorage.getItem('name') ?? '')
    this.transport = Object.hasOwn(transports, transport) ? (transport as Transport) : 'native'
    // The broker writes its first endpoint into the page.
    const endpoint = document.querySelector<HTMLMetaElement>('meta[name=stomp-endpoint]')?.content ?? '/ws'
    this.#connection = new Connection(endpoint, {
      state: (state) => this.#setState(state),
      accepted: (id) => {
        const entry = this.#find(id)
        if (entry?.status === 'waiting') entry.status = 'accepted'
        this.#changed()
      },
      refused: (reason, id) => {
        const entry = id === undefined ? undefined : this.#find(id)
        if (entry) Object.assign(entry, { status: 'refused', reason })
        else this.problem = reason
        this.#changed()
      },
      frame: (direction, text) => {
        this.frames.push({ id: ++this.#frameCount, direction, text, time: Date.now() })
        if (this.frames.length > keptFrames) this.frames.shift()
        this.#changed()
      },
    })
    for (const room of readRooms()) this.#join(room)
    this.open = this.#join(roomInUrl() || this.rooms.keys().next().value || 'lobby')
    history.replaceState(null, '', hash(this.open.name)) // so that the address can be shared from the start
    addEventListener('hashchange', () => this.enter(roomInUrl()))
    addEventListener('pagehide', () => this.#announceAll('bye'))
    document.addEventListener('visibilitychange', () => this.#read())
    setInterval(() => this.#announceAll('here'), announceEvery)
    setInterval(() => this.#expire(), 1_000)
    if (this.name) this.#connection.connect(this.transport)
  }

  /** Also the way in: a first visitor has no name, and no connection before giving one. */
  rename(name: string): void {
    const first = !this.name
    this.name = name
    // A second user lives in the URL, so that it does not take the place of the remembered one.
    if (new URLSearchParams(location.search).has('name')) setQuery('name', name)
    else localStorage.setItem('name', name)
    if (first) this.#connection.connect(this.transport)
    else this.#announceAll('here')
    this.#changed()
  }

  useTransport(transport: Transport): void {
    this.transport = transport
    setQuery('transport', transport)
    this.#connection.connect(transport)
  }

  retry(): void {
    this.#connection.retry()
  }

  clearFrames(): void {
    this.frames.length = 0
    this.#changed()
  }

  enter(name: string): void {
    if (!name) return
    this.open = this.#join(name)
    this.#read()
  }

  leave(room: Room): void {
    room.leave()
    this.rooms.delete(room.name)
    this.#rememberRooms()
    const next = this.rooms.keys().next().value ?? 'lobby'
    if (room === this.open) location.hash = hash(next)
    this.#changed()
  }

  say(text: string): void {
    const room = this.open
    const id = newId()
    const time = Date.now()
    room.entries.push({ id, author: this.name, text, time, mine: true, status: 'waiting' })
    room.draft = ''
    this.#typingSent = 0
    this.#connection.send({
      id,
      destination: topic(room.name),
      headers: {
        client: this.#client,
        author: this.name,
        sent: new Date(time).toISOString(),
        'content-type': 'text/plain;charset=utf-8',
      },
      body: text,
    })
    this.#changed()
  }

  /** Called for every key; tells the others at most every two seconds. */
  typing(): void {
    if (Date.now() - this.#typingSent < 2_000) return
    this.#typingSent = Date.now()
    this.#announce(this.open, 'typing')
  }

  #join(name: string): Room {
    const joined = this.rooms.get(name)
    if (joined) return joined
    const unsubscribes = [
      this.#connection.subscribe(topic(name), (message) => this.#arrived(room, message)),
      this.#connection.subscribe(`${topic(name)}.presence`, (message) => this.#heard(room, message)),
    ]
    const leave = (): void => {
      this.#announce(room, 'bye')
      for (const unsubscribe of unsubscribes) unsubscribe()
    }
    const room: Room = { name, entries: [], people: new Map(), unread: 0, draft: '', leave }
    this.rooms.set(name, room)
    this.#rememberRooms()
    this.#announce(room, 'hello')
    return room
  }

  #rememberRooms(): void {
    localStorage.setItem('rooms', JSON.stringify([...this.rooms.keys()]))
  }

  /** Own messages come back like those of others; the copy says where everybody else sees them. */
  #arrived(room: Room, { headers, body }: IMessage): void {
    const id = headers[idHeader] ?? newId() // other STOMP clients may write here too: only a body is needed
    const known = room.entries.findIndex((entry) => entry.id === id)
    const own = room.entries[known]
    if (own?.status === 'shown') return // sent twice because a RECEIPT was lost
    if (own) room.entries.splice(known, 1)
    const sent = Date.parse(headers['sent'] ?? '')
    const time = sent < Date.now() ? sent : Date.now() // the clock of others may be wrong; NaN compares false
    const author = headers['author'] || 'someone'
    const entry: Entry = own ?? { id, author, text: body, time, mine: false, status: 'shown' }
    entry.status = 'shown'
    const outbox = room.entries.findIndex((other) => other.status === 'waiting')
    room.entries.splice(outbox < 0 ? room.entries.length : outbox, 0, entry)
    if (room.entries.length > keptEntries) room.entries.shift()
    const writer = room.people.get(headers['client'] ?? '')
    if (writer) writer.typingUntil = 0
    if (!entry.mine && (room !== this.open || document.hidden)) room.unread++
    this.#changed()
  }

  #find(id: string): Entry | undefined {
    for (const room of this.rooms.values()) {
      const entry = room.entries.find((other) => other.id === id)
      if (entry) return entry
    }
    return undefined
  }

  #read(): void {
    if (!document.hidden) this.open.unread = 0
    this.#changed()
  }

  #setState(state: State): void {
    this.state = state
    if (state.name === 'connected') {
      this.problem = ''
      for (const room of this.rooms.values()) room.people.clear()
      this.#announceAll('hello')
    }
    this.#changed()
  }

  #announce(room: Room, presence: Presence): void {
    this.#connection.hint(
      `${topic(room.name)}.presence`,
      { client: this.#client, author: this.name },
      presence,
    )
  }

  #announceAll(presence: Presence): void {
    for (const room of this.rooms.values()) this.#announce(room, presence)
  }

  #heard(room: Room, { headers, body }: IMessage): void {
    const { client, author } = headers
    if (!client || !author || client === this.#client) return
    const now = Date.now()
    if (body === 'bye') room.people.delete(client)
    else {
      const typingUntil = body === 'typing' ? now + typingLasts : (room.people.get(client)?.typingUntil ?? 0)
      room.people.set(client, { name: author, expires: now + expiresAfter, typingUntil })
    }
    if (body === 'hello') this.#announce(room, 'here')
    this.#changed()
  }

  #expire(): void {
    const now = Date.now()
    let changed = false
    for (const { people } of this.rooms.values()) {
      for (const [client, person] of people) {
        if (person.expires < now) changed = people.delete(client)
        if (person.typingUntil > 0 && person.typingUntil < now) {
          person.typingUntil = 0
          changed = true
        }
      }
    }
    if (changed) this.#changed()
  }
}
