import { StompError } from '../protocol/errors.ts'

export interface PaceLimits {
  /** SEND frames a second of one session; 0 for any number. */
  readonly maxSendRate: number
  /** Milliseconds a session may be held back without a break before it is told. */
  readonly sendRatePatience: number
}

/**
 * How fast one client may send: a bucket of tokens that holds a second's worth of them. A SEND
 * takes one; while there is none the client is read no further, so that its writes come to a halt.
 */
export class Pace {
  private readonly limits: PaceLimits
  private tokens: number
  private filled = performance.now()
  /** Since when something of the client's has waited for tokens at all times. */
  private since: number | undefined

  constructor(limits: PaceLimits) {
    this.limits = limits
    this.tokens = limits.maxSendRate
  }

  /** Milliseconds until the next frame may be read; 0 for at once. */
  get wait(): number {
    const { maxSendRate } = this.limits
    const now = performance.now()
    this.tokens = Math.min(this.tokens + ((now - this.filled) * maxSendRate) / 1000, maxSendRate)
    this.filled = now
    return this.tokens >= 1 ? 0 : Math.ceil(((1 - this.tokens) * 1000) / maxSendRate)
  }

  /** Something waits for tokens. */
  get holds(): boolean {
    return this.since !== undefined
  }

  hold(): void {
    this.since ??= performance.now()
  }

  /** Nothing does any more. */
  rest(): void {
    this.since = undefined
  }

  /** A SEND was read: why it is refused, or undefined. */
  take(): StompError | undefined {
    this.tokens--
    const { maxSendRate, sendRatePatience } = this.limits
    const now = performance.now()
    if (this.since === undefined || now - this.since < sendRatePatience) return undefined
    // One who stays connected may try for as long again.
    this.since = now
    return new StompError(
      'rate-limit',
      `For ${sendRatePatience} ms this client has tried to send more than ${maxSendRate} messages a second (limit max-send-rate); send more slowly.`,
    )
  }
}
