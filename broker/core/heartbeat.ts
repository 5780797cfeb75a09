import { NO_BODY } from '../protocol/frame.ts'
import type { Wire } from '../model/wire.ts'
import type { Connection } from '../transport/connection.ts'

/** Milliseconds between two looks at the clock; heart-beats are kept and missed by this grain. */
export const TICK = 250
/** A silent peer is dropped after so many agreed intervals, pings in between unanswered. */
const PATIENCE = 3

/** How long peers may be silent, in milliseconds. */
export interface LifeLimits {
  /** The shortest and the longest heart-beat agreed to. */
  readonly heartbeatMin: number
  readonly heartbeatMax: number
  /** A peer may live on pongs alone for so long. */
  readonly heartbeatCeiling: number
  /** Before a peer without heart-beats is pinged. */
  readonly pingInterval: number
}

export interface Ticking {
  /**
   * `elapsed` is the time since the last tick. `counted` is what may be held against a peer of it:
   * after a stall of this process the peers' bytes are still unread, and their silence is ours.
   */
  tick(elapsed: number, counted: number): void
}

/** One timer for all sessions. */
export class Ticker {
  private readonly members = new Set<Ticking>()
  private readonly timer = setInterval(() => this.tick(), TICK).unref()
  private last = performance.now()

  add(member: Ticking): void {
    this.members.add(member)
  }

  remove(member: Ticking): void {
    this.members.delete(member)
  }

  close(): void {
    clearInterval(this.timer)
  }

  private tick(): void {
    const now = performance.now()
    const elapsed = now - this.last
    this.last = now
    for (const member of this.members) member.tick(elapsed, Math.min(elapsed, 2 * TICK))
  }
}

/** What was agreed on in CONNECT, in milliseconds; 0 for none. */
export interface Agreement {
  /** The broker sends something at least this often. */
  readonly send: number
  /** The peer does. */
  readonly hear: number
}

/**
 * What the broker answers to the client's `heart-beat`, and what follows from both
 * (1.2 and 1.1, Heart-beating): the client's own numbers, within the window; 0 for a direction the client left out.
 */
export function agree(
  client: readonly [can: number, wants: number],
  window: { readonly min: number; readonly max: number },
): { answer: string; agreement: Agreement } {
  const clamp = (value: number): number =>
    value === 0 ? 0 : Math.min(Math.max(value, window.min), window.max)
  const [can, wants] = client
  const server = { can: clamp(wants), wants: clamp(can) }
  return {
    answer: `${server.can},${server.wants}`,
    agreement: { send: wants && Math.max(server.can, wants), hear: can && Math.max(can, server.wants) },
  }
}

const beats = new WeakMap<Wire, Buffer | string>()

function beat(wire: Wire): Buffer | string {
  let payload = beats.get(wire)
  if (payload === undefined) beats.set(wire, (payload = wire.wrap(Buffer.from('\n'), NO_BODY, true)))
  return payload
}

/** The heart-beats of one session. */
export class Heartbeat {
  private readonly connection: Connection
  private readonly agreement: Agreement
  private readonly ceiling: number
  private sent: number
  private idle = 0
  private received: number
  private silence = 0
  private speechless = 0

  /** `ceiling`: milliseconds after which pongs alone no longer count as life. */
  constructor(connection: Connection, agreement: Agreement, ceiling: number) {
    this.connection = connection
    this.agreement = agreement
    this.ceiling = ceiling
    this.sent = connection.sent
    this.received = connection.received
  }

  /** The peer has promised beats. */
  get listens(): boolean {
    return this.agreement.hear > 0
  }

  /** STOMP bytes came in, if only an EOL. */
  heard(): void {
    this.speechless = 0
  }

  /** False when the peer is to be taken for dead; `counted` is 0 while nobody listens to it. */
  tick(elapsed: number, counted: number): boolean {
    if (this.agreement.send > 0) this.keepUp(elapsed)
    return this.agreement.hear === 0 || this.isAlive(counted)
  }

  private keepUp(elapsed: number): void {
    const { sent } = this.connection
    this.idle = sent === this.sent ? this.idle + elapsed : elapsed
    this.sent = sent
    // The next look may come late: better a beat early than a beat late.
    if (this.idle + 2 * TICK <= this.agreement.send) return
    this.connection.send(beat(this.connection.wire))
  }

  private isAlive(elapsed: number): boolean {
    const { hear } = this.agreement
    const { received } = this.connection
    const before = this.silence
    // Any byte is life, the pong of a browser tab whose timers sleep included.
    this.silence = received === this.received ? before + elapsed : 0
    this.received = received
    this.speechless += elapsed
    if (before < hear && this.silence >= hear) this.connection.ping()
    if (before < 2 * hear && this.silence >= 2 * hear) this.connection.ping()
    return this.silence < PATIENCE * hear && this.speechless < Math.max(this.ceiling, PATIENCE * hear)
  }
}
