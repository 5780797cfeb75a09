import type { Engine, EngineHost } from '../engine/engine.ts'
import type { Message, MessageIds } from '../model/message.ts'
import { Subscriptions } from '../model/subscriptions.ts'
import type { Form } from '../model/form.ts'
import type { Interest } from '../protocol/pattern.ts'
import type { Company, Connection } from '../transport/connection.ts'

/** One subscription of one session to a topic. */
export interface Subscriber {
  /** Never throws. */
  deliver(message: Message): void
  /** Where every message goes as it is; undefined where each is looked at. */
  readonly outlet?: Outlet | undefined
}

/** A connection, and how messages look on it. */
export interface Outlet {
  readonly connection: Connection
  readonly form: Form
}

/** Subscribers whose messages look the same. */
interface Chorus {
  readonly form: Form
  readonly company: Company
}

/** Topic fan-out: every subscriber of this node, and the engine's word for the first and the last. */
export class Hub implements EngineHost {
  private readonly engine: Engine
  private readonly ids: MessageIds
  private readonly subscriptions = new Subscriptions<Subscriber>()
  /** By the list of subscribers, which is another one as soon as anybody comes or goes. */
  private readonly choruses = new WeakMap<readonly Subscriber[], Chorus>()

  constructor(engine: Engine, ids: MessageIds) {
    this.engine = engine
    this.ids = ids
  }

  /** Done when every message published from then on will arrive. */
  add(interest: Interest, subscriber: Subscriber): void | Promise<void> {
    if (this.subscriptions.add(interest, subscriber)) return this.engine.watch(interest)
  }

  remove(interest: Interest, subscriber: Subscriber): void {
    if (this.subscriptions.remove(interest, subscriber)) this.engine.unwatch(interest)
  }

  retained(interest: Interest): readonly Message[] {
    return this.engine.retained(interest)
  }

  deliver(message: Message): void {
    // The list is a snapshot: who subscribes from inside the loop does not get this message.
    const subscribers = this.subscriptions.match(message.destination.name)
    if (subscribers.length > 1 && this.sing(subscribers, message)) return
    for (let index = 0; index < subscribers.length; index++) subscribers[index]?.deliver(message)
  }

  /** Sends to all as one; false where that cannot be done. */
  private sing(subscribers: readonly Subscriber[], message: Message): boolean {
    let chorus = this.choruses.get(subscribers)
    if (chorus === undefined) {
      chorus = chorusOf(subscribers)
      if (chorus === undefined) return false
      this.choruses.set(subscribers, chorus)
    }
    const { form, company } = chorus
    if (form.wire.binary === 'refuse' && !message.text) return false
    return company.send(message.render(form))
  }

  mint(): string {
    return this.ids.next()
  }
}

function chorusOf(subscribers: readonly Subscriber[]): Chorus | undefined {
  const first = subscribers[0]?.outlet
  if (first === undefined) return undefined
  const { form } = first
  const connections: Connection[] = []
  for (const { outlet } of subscribers) {
    if (outlet?.form !== form) return undefined
    connections.push(outlet.connection)
  }
  return { form, company: first.connection.company(connections) }
}
