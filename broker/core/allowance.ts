export interface AllowanceLimits {
  /** Unacked messages of one session. */
  readonly maxUnacked: number
}

/** Who waits for a client to ack. */
export interface Waiting {
  resume(): void
}

/**
 * The unacked messages of one client, of all its subscriptions together. Above the bound queues
 * get no more credit. What a queue was granted before it may still hand out: one message for each
 * subscription.
 */
export class Allowance {
  private readonly limits: AllowanceLimits
  private unacked = 0
  /** In the order in which they asked. */
  private readonly waiting = new Set<Waiting>()

  constructor(limits: AllowanceLimits) {
    this.limits = limits
  }

  /** A message was handed out. */
  take(): void {
    this.unacked++
  }

  /** Whether one more may be asked for; if not, the subscription is resumed when it may. */
  admits(subscription: Waiting): boolean {
    if (this.unacked < this.limits.maxUnacked) return true
    this.waiting.add(subscription)
    return false
  }

  /** So many messages are settled, or have gone back. */
  free(count: number): void {
    this.unacked -= count
    for (const subscription of this.waiting) {
      if (this.unacked >= this.limits.maxUnacked) return
      this.waiting.delete(subscription)
      subscription.resume()
    }
  }

  /** The subscription is closed. */
  leave(subscription: Waiting): void {
    this.waiting.delete(subscription)
  }
}
