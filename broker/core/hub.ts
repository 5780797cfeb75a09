import type { Engine, EngineHost } from '../engine/engine.ts'
import type { Message, MessageIds } from '../model/message.ts'
import { Subscriptions } from '../model/subscriptions.ts'
import type { Form } from '../model/form.ts'
import type { Interest } from '../protocol/pattern.ts'
import type { Company, Connection } from '../transport/connection.ts'
import type { Leniency, Lenient } from './leniency.ts'
import { Slack } from './slack.ts'

/** One subscription of one session to a topic. */
export interface Subscriber {
  /** Never throws. */
  deliver(message: Message): void
  /**
   * Where every message goes as it is. Undefined where each is looked at; `later` while it is
   * still being brought up to date.
   */
  readonly outlet?: Outlet | 'later' | undefined
  /** The same as `deliver` where a topic spares those that lag. Never throws. */
  spare?(message: Message, policy: Lenient): void
  /** It keeps back what such a topic brings; from now on the leniency's `changes` tell when that changes. */
  lags?(): boolean
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
  /** For topics that spare those that lag. */
  sparing?: Sparing | undefined
}

/** A plan, as long as the leniency's `changes` are the same. */
interface Sparing {
  readonly changes: number
  /** For those that do not lag. */
  readonly plan: Plan | undefined
  readonly lagging: readonly Subscriber[]
}

/** Topic fan-out: every subscriber of this node, and the engine's word for the first and the last. */
export class Hub implements EngineHost {
  private readonly engine: Engine
  private readonly ids: MessageIds
  private readonly leniency: Leniency | undefined
  private readonly subscriptions = new Subscriptions<Subscriber>()

  /** Without `leniency` no topic spares anybody. */
  constructor(engine: Engine, ids: MessageIds, leniency?: Leniency) {
    this.engine = engine
    this.ids = ids
    this.leniency = leniency
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
    if (this.leniency !== undefined) {
      const policy = this.leniency.policy(message.destination.name)
      if (policy !== undefined) return spare(audience, message, policy, this.leniency)
    }
    const plan = audience.length > 1 ? (audience.plan ??= planFor(audience)) : undefined
    if (plan === undefined) return each(audience, message)
    const { groups, others } = plan
    for (let index = 0; index < groups.length; index++) {
      const group = groups[index] as Group // index < length
      if (!sendAsOne(group, message)) each(group.subscribers, message)
    }
    each(others, message)
  }

  /** For one session. */
  slack(session: string): Slack | undefined {
    return this.leniency && new Slack(session, this.leniency)
  }

  mint(): string {
    return this.ids.next()
  }
}

/** Delivers where those that lag are to be spared: they are left out of what the others are sent together. */
function spare(audience: Audience, message: Message, policy: Lenient, leniency: Leniency): void {
  if (audience.length <= 1) return spareEach(audience, message, policy)
  let sparing = audience.sparing
  if (sparing?.changes !== leniency.changes || sparing.plan === undefined)
    audience.sparing = sparing = sparingFor(audience, leniency)
  const { plan, lagging } = sparing
  // Before it is rendered: what waits is to be in memory of its own.
  if (lagging.length > 0) message.detach()
  if (plan === undefined) return spareEach(audience, message, policy)
  for (const group of plan.groups) {
    if (!sendAsOne(group, message)) spareEach(group.subscribers, message, policy)
  }
  spareEach(plan.others, message, policy)
  spareEach(lagging, message, policy)
}

function spareEach(subscribers: readonly Subscriber[], message: Message, policy: Lenient): void {
  for (const subscriber of subscribers) {
    if (subscriber.spare === undefined) subscriber.deliver(message)
    else subscriber.spare(message, policy)
  }
}

function sparingFor(audience: Audience, { changes }: Leniency): Sparing {
  const lagging: Subscriber[] = []
  const others: Subscriber[] = []
  for (const subscriber of audience) (subscriber.lags?.() ? lagging : others).push(subscriber)
  return { changes, plan: planFor(others), lagging }
}

/** Undefined as long as some are not ready for one. */
function planFor(audience: readonly Subscriber[]): Plan | undefined {
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
