import { Made, Passed } from '../model/content.ts'
import { Message, NO_TERMS, type MessageIds, type Op, type Terms } from '../model/message.ts'
import type { Stats } from '../model/stats.ts'
import type { Destination, Destinations, Personal } from '../protocol/destination.ts'
import { StompError } from '../protocol/errors.ts'
import { footprint, NO_BODY, type Frame, type Headers } from '../protocol/frame.ts'
import { quote } from '../protocol/text.ts'
import type { AppMessage, Apps, Forward, Found, Reply } from './app.ts'
import { required } from './headers.ts'
import { readPublication, type Sender } from './publication.ts'
import type { Roster } from './roster.ts'
import type { Transaction, Transactions } from './transaction.ts'

/** What publishing needs of the house. */
export interface PublisherHouse {
  readonly options: { readonly strict: boolean; readonly persistent: boolean }
  readonly destinations: Destinations
  readonly apps: Apps
  readonly ids: MessageIds
  readonly stats: Stats
  tell(warning: string): void
}

const PERSISTENT: Terms = { ...NO_TERMS, persistent: true }

/** Turns what one client sends into what the engine is to do. */
export class Publisher<S> implements Sender {
  /** As the client logged in; empty for nobody. */
  user = ''
  readonly terms: Terms
  private readonly session: string
  private readonly house: PublisherHouse
  private readonly roster: Roster
  private readonly transactions: Transactions<S>
  private latest: string | undefined
  private latestAddresses: readonly (Destination | Personal)[] = []

  constructor(session: string, house: PublisherHouse, roster: Roster, transactions: Transactions<S>) {
    this.terms = house.options.persistent ? PERSISTENT : NO_TERMS
    this.session = session
    this.house = house
    this.roster = roster
    this.transactions = transactions
  }

  replyAddress(replyTo: string): string {
    return this.roster.replyAddress(replyTo)
  }

  tell(warning: string): void {
    this.house.tell(warning)
  }

  /** The messages of a SEND; a promise where an application has to think about it. */
  read(frame: Frame, transaction: Transaction<S> | undefined): Op[] | Promise<Op[]> {
    const destination = required(frame, 'destination')
    const addresses = this.addresses(destination)
    const plain = this.pass(frame, destination, addresses)
    if (plain !== undefined) return [{ type: 'send', message: plain }]
    const { body } = frame
    const { terms, headers } = readPublication(frame.headers, this)
    const size = footprint(frame)
    const ops: Op[] = []
    const add = (forward: Forward): void => {
      if (transaction !== undefined) this.transactions.charge(transaction, size)
      const id = this.house.ids.next()
      const content = new Made(forward.headers, forward.body)
      const message = new Message(id, forward.destination, content, size, terms, this.session)
      if (transaction !== undefined) message.detach()
      ops.push({ type: 'send', message })
    }
    // Handlers come last: what is refused has not been handled.
    const handled: (readonly [Found, AppMessage])[] = []
    for (const address of addresses) {
      if (address.kind !== 'app') {
        add({ destination: this.resolve(address), headers, body })
        continue
      }
      const found = this.find(address.shown)
      if (found === undefined) continue
      const message = this.message('SEND', address.shown, headers, body)
      if (found.rule.handle !== undefined) handled.push([found, message])
      else add(this.house.apps.forward(found, message))
    }
    if (handled.length === 0) return ops
    if (transaction !== undefined)
      throw new StompError(
        'unsupported-destination',
        `What ${quote(destination)} answers is not known before COMMIT; send to it outside of transactions.`,
      )
    const replies = handled.map(([found, message]) => this.house.apps.send(found, message))
    return Promise.all(replies).then((forwards) => {
      for (const forward of forwards) if (forward !== undefined) add(forward)
      return ops
    })
  }

  /** A client writes to one destination again and again, and the decoder then gives the very same text. */
  private addresses(destination: string): readonly (Destination | Personal)[] {
    if (destination !== this.latest) {
      this.latestAddresses = this.house.destinations.sent(destination)
      this.latest = destination
    }
    return this.latestAddresses
  }

  /** The message of a plain frame, which is in no transaction, to one topic or queue by its own name, which nearly all are. */
  private pass(
    frame: Frame,
    name: string,
    addresses: readonly (Destination | Personal)[],
  ): Message | undefined {
    const [address] = addresses
    if (!frame.plain || address === undefined || addresses.length > 1) return undefined
    if ((address.kind !== 'topic' && address.kind !== 'queue') || address.shown !== name) return undefined
    const id = this.house.ids.next()
    return new Message(id, address, new Passed(frame), footprint(frame), this.terms, this.session)
  }

  /** What the application at `path` says to a SUBSCRIBE. */
  ask(path: string, headers: Headers): Promise<Reply | undefined> | undefined {
    const found = this.find(path)
    if (found?.rule.handle === undefined) return undefined
    return this.house.apps.answer(found, this.message('SUBSCRIBE', path, headers, NO_BODY))
  }

  private resolve(address: Destination | Personal): Destination {
    return address.kind === 'topic' || address.kind === 'queue'
      ? address
      : this.roster.temporary(address.shown)
  }

  /** Nothing where there is no such application: as with Spring, what is sent to it is gone. */
  private find(path: string): Found | undefined {
    const { apps, options, stats } = this.house
    const found = apps.find(path)
    if (found !== undefined) return found
    const missing = `No rule says what becomes of frames to ${quote(path)} (option app).`
    if (options.strict) throw new StompError('unsupported-destination', missing)
    stats.unroutable++
    this.house.tell(missing)
    return undefined
  }

  private message(
    command: AppMessage['command'],
    destination: string,
    headers: Headers,
    body: Buffer,
  ): AppMessage {
    return { command, destination, params: {}, headers, body, user: this.user, session: this.session }
  }
}
