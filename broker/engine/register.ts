import { StompError } from '../protocol/errors.ts'
import type { QueueTerms } from './engine.ts'
import { Queue, type House } from './queue.ts'
import type { Task } from './schedule.ts'

/** The queues by name, each there as long as it holds a message, has a consumer or is to stay. */
export class Register {
  private readonly queues = new Map<string, Queue>()
  /** Those that end when nobody consumes from them for a time. */
  private readonly lives = new Map<Queue, Task>()
  private durables = 0
  readonly house: House
  private readonly ended: (queue: Queue) => void

  /** `ended` hears of queues that are gone, with all they held. */
  constructor(house: House, ended: (queue: Queue) => void) {
    this.house = house
    this.ended = ended
  }

  get(name: string): Queue | undefined {
    return this.queues.get(name)
  }

  all(): Iterable<Queue> {
    return this.queues.values()
  }

  /** The queue of that name, new if there is none. */
  make(name: string): Queue {
    let queue = this.queues.get(name)
    if (queue === undefined) {
      queue = new Queue(name, this.house)
      this.queues.set(name, queue)
    }
    return queue
  }

  declare(queue: Queue, terms: QueueTerms): void {
    if (isDurable(terms)) this.durables++
    queue.declare(terms)
  }

  /** There cannot be one more. */
  isFull(name: string): boolean {
    return this.queues.size >= this.house.settings.maxQueues && !this.queues.has(name)
  }

  /** Throws where `make` would make one too many. */
  check(name: string): void {
    if (!this.isFull(name)) return
    throw new StompError(
      'queue-limit',
      `There are ${this.house.settings.maxQueues} queues (limit max-queues); consume from some first, or end durable subscriptions.`,
    )
  }

  /** Throws where there would be one durable subscription too many. */
  checkDurables(): void {
    const { maxDurableSubscriptions } = this.house.settings
    if (this.durables < maxDurableSubscriptions) return
    throw new StompError(
      'durable-limit',
      `There are ${maxDurableSubscriptions} durable subscriptions (limit max-durable-subscriptions); end one first.`,
    )
  }

  /** A queue did something: it may be idle now. */
  reclaim(queue: Queue): void {
    // It may have been reclaimed before, from inside `deliver` for one: then the name belongs to a later queue.
    if (queue.idle && this.queues.get(queue.name) === queue) this.end(queue)
  }

  /** A consumer left. */
  deserted(queue: Queue): void {
    if (queue.consumers > 0 || this.queues.get(queue.name) !== queue) return
    if (queue.terms?.autoDelete) return this.end(queue)
    this.startLife(queue)
    this.reclaim(queue)
  }

  /** Nobody consumes from it, which it stands only for a while. */
  startLife(queue: Queue): void {
    const life = queue.terms?.idleLife
    if (life === undefined || queue.consumers > 0) return
    this.lives.get(queue)?.cancel()
    this.lives.set(
      queue,
      this.house.schedule.add(life, () => this.end(queue)),
    )
  }

  /** Somebody does. */
  stopLife(queue: Queue): void {
    this.lives.get(queue)?.cancel()
    this.lives.delete(queue)
  }

  /** Ends a queue with all it holds. */
  end(queue: Queue): void {
    if (isDurable(queue.terms)) this.durables--
    this.stopLife(queue)
    this.queues.delete(queue.name)
    queue.end()
    this.ended(queue)
  }

  /** Nobody gets anything from now on; what is on disk stays there. */
  silence(): void {
    for (const queue of this.queues.values()) queue.end()
  }

  /** Forgets all of them. */
  clear(): void {
    this.queues.clear()
    this.lives.clear()
  }
}

/** A durable subscription. */
export function isDurable(terms: QueueTerms | undefined): boolean {
  return terms?.lasting === true && terms.topics !== undefined
}
