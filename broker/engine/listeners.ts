import type { Message } from '../model/message.ts'
import type { Selector } from '../model/selector.ts'
import { Subscriptions } from '../model/subscriptions.ts'
import { interestKey, type Interest } from '../protocol/pattern.ts'
import { DeadLetter } from './dead-letter.ts'
import type { Queue } from './queue.ts'

/** A queue that gets what is sent to topics. */
export interface Listener {
  readonly queue: Queue
  readonly topics: Interest
  readonly accepts: Selector | undefined
}

/** The queues that listen to topics. */
export class Listeners {
  private readonly byQueue = new Map<Queue, Listener>()
  private readonly byTopic = new Subscriptions<Listener>()

  /** False if the queue listened to the same before. */
  set(listener: Listener): boolean {
    const before = this.byQueue.get(listener.queue)
    this.remove(listener.queue)
    this.byQueue.set(listener.queue, listener)
    this.byTopic.add(listener.topics, listener)
    return before === undefined || interestKey(before.topics) !== interestKey(listener.topics)
  }

  remove(queue: Queue): void {
    const listener = this.byQueue.get(queue)
    if (listener === undefined) return
    this.byQueue.delete(queue)
    this.byTopic.remove(listener.topics, listener)
  }

  /** Those a message is for, unless their selectors say no. */
  match(message: Message): readonly Listener[] {
    if (this.byQueue.size === 0) return NOBODY
    const listeners = this.byTopic.match(message.destination.name)
    if (!(message instanceof DeadLetter)) return listeners
    return listeners.filter(({ queue }) => !message.died(queue.name))
  }
}

const NOBODY: readonly Listener[] = []
