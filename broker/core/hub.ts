import type { Engine, EngineHost } from '../engine/engine.ts'
import type { Message, MessageIds } from '../model/message.ts'
import { Subscriptions } from '../model/subscriptions.ts'
import type { Interest } from '../protocol/pattern.ts'

/** One subscription of one session to a topic. */
export interface Subscriber {
  /** Never throws. */
  deliver(message: Message): void
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
    const subscribers = this.subscriptions.match(message.destination.name)
    for (let index = 0; index < subscribers.length; index++) subscribers[index]?.deliver(message)
  }

  mint(): string {
    return this.ids.next()
  }
}
