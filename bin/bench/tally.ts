/** What should arrive where, and what has. */
export interface Routes {
  readonly publishers: number
  /** Subscriptions; number i is to destination i modulo `destinations`. */
  readonly subscriptions: number
  readonly destinations: number
  /**
   * Whether a publisher sends to each destination in turn, beginning with its own number; else to the one of its
   * own number alone. Numbers are taken modulo `destinations`.
   */
  readonly rotating: boolean
  /** Whether each message goes to one subscription of its destination in the place of all. */
  readonly queue: boolean
}

export interface Verdict {
  /** Deliveries that did not come. */
  readonly lost: number
  readonly duplicates: number
  /** Deliveries that came after a later message of the same publisher. */
  readonly outOfOrder: number
  /** What was neither sent by this run nor meant for the subscription that it came to. */
  readonly strange: number
}

/** Sees to it that every message arrives where it should, once, and in the order of its publisher. */
export class Tally {
  duplicates = 0
  outOfOrder = 0
  strange = 0
  /** Messages that were passed over by a later one, and have not come since. */
  missing = 0
  private readonly routes: Routes
  private readonly width: number
  /** For each subscription and publisher how many messages it is through with. */
  private readonly next: Uint32Array
  /** Those among them that have not come, which there should be none of. */
  private readonly gaps = new Map<number, Set<number>>()
  /** Which messages of each publisher somebody has, a bit for each. */
  private readonly taken: Uint32Array[]
  /** How many subscriptions each destination has. */
  private readonly copies: Uint32Array
  private readonly sent: Uint32Array
  private arrived = 0

  constructor(routes: Routes) {
    this.routes = routes
    const { publishers, subscriptions, destinations, rotating, queue } = routes
    this.width = rotating ? publishers : Math.ceil(publishers / destinations)
    this.next = new Uint32Array(subscriptions * this.width)
    this.taken = queue ? Array.from({ length: publishers }, () => new Uint32Array(1024)) : []
    this.sent = new Uint32Array(publishers)
    this.copies = new Uint32Array(destinations)
    for (let index = 0; index < destinations; index++) {
      const all = Math.floor(subscriptions / destinations) + (index < subscriptions % destinations ? 1 : 0)
      this.copies[index] = queue ? 1 : all
    }
  }

  /** Where a message goes. */
  destination(publisher: number, sequence: number): number {
    const { rotating, destinations } = this.routes
    return rotating ? (publisher + sequence) % destinations : publisher % destinations
  }

  /** The next sequence number of a publisher. */
  send(publisher: number): number {
    const sequence = this.sent[publisher] as number
    this.sent[publisher] = sequence + 1
    return sequence
  }

  /** How many deliveries a message to that destination is for. */
  deliveries(destination: number): number {
    return this.copies[destination] as number
  }

  /** Whether the delivery was due: the first of a message that was sent to where it came. */
  arrive(subscription: number, publisher: number, sequence: number): boolean {
    const { publishers, subscriptions, destinations, rotating, queue } = this.routes
    if (
      publisher >= publishers ||
      subscription >= subscriptions ||
      sequence >= (this.sent[publisher] as number) ||
      this.destination(publisher, sequence) !== subscription % destinations
    ) {
      this.strange++
      return false
    }
    const column = rotating ? publisher : Math.floor(publisher / destinations)
    const stream = subscription * this.width + column
    // The messages that a publisher sends to one destination count on from zero.
    const position = rotating ? Math.floor(sequence / destinations) : sequence
    const next = this.next[stream] as number
    if (queue) return this.take(stream, next, position, publisher, sequence)
    if (position === next) {
      this.next[stream] = next + 1
    } else if (position > next) {
      this.skip(stream, next, position)
    } else if (this.gaps.get(stream)?.delete(position) === true) {
      this.missing--
      this.outOfOrder++
    } else {
      this.duplicates++
      return false
    }
    this.arrived++
    return true
  }

  verdict(): Verdict {
    const { publishers, destinations, rotating } = this.routes
    let due = 0
    for (let publisher = 0; publisher < publishers; publisher++) {
      const sent = this.sent[publisher] as number
      if (rotating) {
        const rounds = Math.floor(sent / destinations)
        for (let index = 0; index < destinations; index++)
          due +=
            (rounds + (index < sent % destinations ? 1 : 0)) *
            this.deliveries((publisher + index) % destinations)
      } else due += sent * this.deliveries(publisher % destinations)
    }
    const { duplicates, outOfOrder, strange } = this
    return { lost: due - this.arrived, duplicates, outOfOrder, strange }
  }

  private skip(stream: number, next: number, position: number): void {
    let gap = this.gaps.get(stream)
    if (gap === undefined) this.gaps.set(stream, (gap = new Set()))
    for (let passed = next; passed < position; passed++) gap.add(passed)
    this.missing += position - next
    this.next[stream] = position + 1
  }

  private take(stream: number, next: number, position: number, publisher: number, sequence: number): boolean {
    let bits = this.taken[publisher] as Uint32Array
    const word = sequence >>> 5
    if (word >= bits.length) {
      const larger = new Uint32Array(Math.max(2 * bits.length, word + 1))
      larger.set(bits)
      this.taken[publisher] = bits = larger
    }
    const bit = 1 << (sequence & 31)
    const before = bits[word] as number
    if ((before & bit) !== 0) {
      this.duplicates++
      return false
    }
    bits[word] = before | bit
    // A consumer does not get all of them, but those that it gets in the order they were sent.
    if (position < next) this.outOfOrder++
    else this.next[stream] = position + 1
    this.arrived++
    return true
  }
}
