import { Decoder, type FrameLimits } from '../protocol/decoder.ts'
import type { Frame, Version } from '../protocol/frame.ts'
import type { Habits } from '../protocol/head.ts'
import type { Connection } from '../transport/connection.ts'
import { Share, type Turns } from './turns.ts'

/** Frames one session may have handled in a turn of the event loop, before the others get theirs. */
const FRAMES_A_TURN = 64
/** Bytes of frames whose commit is pending, above which the session stops reading. */
const MAX_PENDING_BYTES = 4 * 1024 * 1024

/** Held by a commit, these stop the reading at once. */
export const EVERYTHING: number = MAX_PENDING_BYTES + 1

/** Who handles the frames. */
export interface InboxHost {
  /** Frames are still wanted. A handler may end that at any time. */
  readonly listening: boolean
  handle(frame: Frame): void
  /** The bytes are no STOMP, or are over a limit. */
  fail(error: unknown): void
}

/** What comes in from one connection: frame by frame, a fair share each turn, and no more than can be settled. */
export class Inbox {
  /** Frames wait for a later turn or for commits, and so does the peer. */
  waiting = false
  private readonly connection: Connection
  private readonly share: Share
  private readonly host: InboxHost
  private readonly decoder: Decoder
  private pendingBytes = 0
  /** No later turn will come. */
  private hurried = false

  constructor(connection: Connection, limits: FrameLimits, habits: Habits, turns: Turns, host: InboxHost) {
    this.connection = connection
    this.share = new Share(turns, FRAMES_A_TURN)
    this.host = host
    this.decoder = new Decoder(limits, habits)
  }

  /** What was agreed on in CONNECT. */
  speak(version: Version): void {
    this.decoder.version = version
  }

  data(chunk: Buffer, from: number, to: number, utf8: boolean): void {
    this.decoder.feed(chunk, from, to, utf8)
    if (!this.waiting) this.work()
  }

  /** Handles all that was read: a client may write and leave at once. */
  finish(): void {
    this.hurried = true
    this.work()
  }

  /** A frame of so many bytes was handled, but its commit is pending. */
  hold(bytes: number): void {
    this.pendingBytes += bytes
  }

  /** It no longer is. */
  settle(bytes: number): void {
    const full = this.pendingBytes > MAX_PENDING_BYTES
    this.pendingBytes -= bytes
    if (full && this.pendingBytes <= MAX_PENDING_BYTES && this.waiting) this.goOn()
  }

  private work(): void {
    while (this.host.listening) {
      if (this.decoder.empty) return
      if (!this.hurried && (this.pendingBytes > MAX_PENDING_BYTES || !this.share.left)) return this.wait()
      let frame: Frame | 'heartbeat' | undefined
      try {
        frame = this.decoder.read()
      } catch (error) {
        return this.host.fail(error)
      }
      if (frame === undefined) return
      this.share.take()
      if (frame !== 'heartbeat') this.host.handle(frame)
    }
  }

  private wait(): void {
    this.waiting = true
    this.connection.pause()
    // Else `settle` goes on.
    if (this.pendingBytes <= MAX_PENDING_BYTES) setImmediate(() => this.goOn())
  }

  private goOn(): void {
    this.waiting = false
    if (!this.host.listening) return
    // First what is here: what comes would have to be put behind it.
    this.work()
    if (!this.waiting) this.connection.resume()
  }
}
