import type { Connection } from '../transport/connection.ts'

/** A peer is taken for dead when so many pings in a row were not answered. */
const PINGS = 2
/** More than is ever gathered for a connection before it is handed over: if more waits, the system takes it no faster. */
const BACKLOG = 64 * 1024

/** The life of a peer that promised no heart-beats. */
export class Pulse {
  private readonly connection: Connection
  private readonly interval: number
  private received: number
  private taken: number
  private waiting = false
  /** When the last sign of life was seen. */
  private at: number
  private pings = 0

  /** `interval`: milliseconds of silence before each ping. `clock` counts milliseconds in which it could have been heard. */
  constructor(connection: Connection, interval: number, clock: number) {
    this.connection = connection
    this.interval = interval
    this.received = connection.received
    this.taken = connection.sent - connection.buffered
    this.at = clock
  }

  /** False when the peer is to be taken for dead. `deaf`: nobody listens to it. */
  look(clock: number, deaf: boolean): boolean {
    if (this.hasMoved() || deaf) {
      this.at = clock
      this.pings = 0
      return true
    }
    if (clock - this.at < this.interval * (this.pings + 1)) return true
    if (this.pings === PINGS) return false
    // Any byte is an answer: a peer that gets several pings at once need only answer the last (RFC 6455, 5.5.3).
    if (this.connection.ping()) this.pings++
    // There are none here, and it is for the system to find out.
    else this.at = clock
    return true
  }

  /** Since the last look the peer has sent something, or has read some of what waited for it. */
  private hasMoved(): boolean {
    const { received, sent, buffered } = this.connection
    const taken = sent - buffered
    // Where nothing waited, what was taken may only fill the system's own buffers.
    const moved = received !== this.received || (this.waiting && taken > this.taken)
    this.received = received
    this.taken = taken
    this.waiting = buffered > BACKLOG
    return moved
  }
}
