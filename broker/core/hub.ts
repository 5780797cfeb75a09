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
  /**
   * Where every message goes as it is. Undefined where each is looked at; `later` while it is
   * still being brought up to date.
   */
  readonly outlet?: Outlet | 'later' | undefined
}

/** A connection, and how messages look on it. */
export interface Outlet {
  readonly connection: Connection
  readonly form: Form
}

/** Subscribers on whose connections messages look the same. */
interface Group {
  readonly form: Form
  readonly company: Company
  readonly subscribers: readonly Subscriber[]
}

/** What is to be done with a message for a list of subscribers. */
interface Plan {
  readonly groups: readonly Group[]
  readonly others: readonly Subscriber[]
}

/** A list of subscribers, which is another one as soon as anybody comes or goes. */
interface Audience extends ReadonlyArray<Subscriber> {
  plan?: Plan | undefined
}

/** Topic fan-out: every subscriber of this node, and the engine's word for the first and the last. */
export class Hub implements EngineHost {
  private readonly engine: Engine
  private readonly ids: MessageIds
  private readonly subscriptions = new Subscriptions<Subscriber>()

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
    const audience: Audience = this.subscriptions.match(message.destination.name)
    const plan = audience.length > 1 ? (audience.plan ??= planFor(audience)) : undefined
    if (plan === undefined) return each(audience, message)
    const { groups, others } = plan
    for (let index = 0; index < groups.length; index++) {
      const group = groups[index] as Group // index < length
      if (!sendAsOne(group, message)) each(group.subscribers, message)
    }
    each(others, message)
  }

  mint(): string {
    return this.ids.next()
  }
}

/** Undefined as long as some are not ready for one. */
function planFor(audience: Audience): Plan | undefined {
  const forms = new Map<Form, { connections: Connection[]; subscribers: Subscriber[] }>()
  const others: Subscriber[] = []
  for (const subscriber of audience) {
    const { outlet } = subscriber
    if (outlet === 'later') return undefined
    if (outlet === undefined) {
      others.push(subscriber)
      continue
    }
    let group = forms.get(outlet.form)
    if (group === undefined) forms.set(outlet.form, (group = { connections: [], subscribers: [] }))
    group.connections.push(outlet.connection)
    group.subscribers.push(subscriber)
  }
  const groups = [...forms].flatMap(([form, { connections, subscribers }]): Group | never[] => {
    const company = connections[0]?.company(connections)
    return company === undefined ? [] : { form, company, subscribers }
  })
  return { groups, others }
}

function each(subscribers: readonly Subscriber[], message: Message): void {
  for (let index = 0; index < subscribers.length; index++) subscribers[index]?.deliver(message)
}

/** False where it has to be delivered to each. */
function sendAsOne({ form, company }: Group, message: Message): boolean {
  if (form.wire.binary === 'refuse' && !message.text) return false
  return company.send(message.render(form))
}
