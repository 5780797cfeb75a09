import type { Engine, EngineHost } from '../engine/engine.ts'
import type { Message } from '../model/message.ts'
import { Subscriptions } from '../model/subscriptions.ts'

/** One subscription of one session to a topic. */
export interface Subscriber {
  /** Never throws. */
  deliver(message: Message): void
}

/** Topic fan-out: every subscriber of this node, and the engine's word for the first and the last. */
export class Hub implements EngineHost {
  private readonly engine: Engine
  private readonly subscriptions = new Subscriptions<Subscriber>()

  constructor(engine: Engine) {
    this.engine = engine
  }

  /** Done when every message published from then on will arrive. */
  add(name: string, subscriber: Subscriber): void | Promise<void> {
    if (this.subscriptions.add(name, subscriber)) return this.engine.watch(name)
  }

  remove(name: string, subscriber: Subscriber): void {
    if (this.subscriptions.remove(name, subscriber)) this.engine.unwatch(name)
  }

  deliver(message: Message): void {
    // The list is a snapshot: who subscribes from inside the loop does not get this message.
    const subscribers = this.subscriptions.match(message.destination.name)
    for (let index = 0; index < subscribers.length; index++) subscribers[index]?.deliver(message)
  }
}
