import { Decoder, type FrameLimits } from '../protocol/decoder.ts'
import { StompError } from '../protocol/errors.ts'
import type { Frame, Version } from '../protocol/frame.ts'
import type { Habits } from '../protocol/head.ts'
import type { Connection } from '../transport/connection.ts'
import { Pace, type PaceLimits } from './pace.ts'
import { Share, type Turns } from './turns.ts'

/** Frames one session may have handled in a turn of the event loop, before the others get theirs. */
const FRAMES_A_TURN = 64
/** Bytes of frames whose commit is pending, above which the session stops reading. */
const MAX_PENDING_BYTES = 4 * 1024 * 1024

/** Held by a commit, these stop the reading at once. */
export const EVERYTHING: number = MAX_PENDING_BYTES + 1

export interface InboxLimits extends FrameLimits, PaceLimits {
  /** Bytes a peer may send up to the end of its CONNECT. */
  readonly maxConnectBytes: number
  /** Frames whose receipts wait for their commits. */
  readonly maxPendingReceipts: number
}

/** Who handles the frames. */
export interface InboxHost {
  /** Frames are still wanted. A handler may end that at any time. */
  readonly listening: boolean
  handle(frame: Frame): void
  /** The bytes are no STOMP, or are over a limit; or the frame is. */
  fail(error: unknown, frame?: Frame): void
}

/** What comes in from one connection: frame by frame, a fair share each turn, and no more than can be settled. */
export class Inbox {
  /** Frames wait for a later turn or for commits, and so does the peer. */
  waiting = false
  private readonly connection: Connection
  private readonly share: Share
  private readonly host: InboxHost
  private readonly decoder: Decoder
  private readonly limits: InboxLimits
  /** Bytes that may still come before CONNECT has ended. */
  private early: number
  private pending = 0
  private pendingBytes = 0
  private readonly pace: Pace | undefined
  /** No later turn will come. */
  private hurried = false

  constructor(connection: Connection, limits: InboxLimits, habits: Habits, turns: Turns, host: InboxHost) {
    this.connection = connection
    this.share = new Share(turns, FRAMES_A_TURN)
    this.host = host
    this.decoder = new Decoder(limits, habits)
    this.limits = limits
    this.early = limits.maxConnectBytes
    this.pace = limits.maxSendRate > 0 ? new Pace(limits) : undefined
  }

  /** What was agreed on in CONNECT. */
  speak(version: Version): void {
    this.decoder.version = version
  }

  data(chunk: Buffer, from: number, to: number, utf8: boolean): void {
    if (this.decoder.version === undefined) return this.meet(chunk, from, to, utf8)
    this.decoder.feed(chunk, from, to, utf8)
    if (!this.waiting) this.work()
  }

  /** Of a peer that has not connected no more is looked at than CONNECT may have. */
  private meet(chunk: Buffer, from: number, to: number, utf8: boolean): void {
    const end = Math.min(to, from + this.early)
    this.early -= end - from
    this.decoder.feed(chunk, from, end, utf8)
    if (!this.waiting) this.work()
    if (end === to || !this.host.listening) return
    if (this.decoder.version === undefined && !this.waiting) {
      const { maxConnectBytes } = this.limits
      return this.host.fail(
        new StompError(
          'frame-too-large',
          `CONNECT has not ended after ${maxConnectBytes} bytes (limit max-connect-bytes); it ends with a NUL byte.`,
        ),
      )
    }
    this.decoder.feed(chunk, end, to, utf8)
    if (!this.waiting) this.work()
  }

  /** Handles all that was read: a client may write and leave at once. */
  finish(): void {
    this.hurried = true
    this.work()
  }

  /** A frame of so many bytes was handled, but its commit is pending. */
  hold(bytes: number): void {
    this.pending++
    this.pendingBytes += bytes
  }

  /** It no longer is. */
  settle(bytes: number): void {
    const { full } = this
    this.pending--
    this.pendingBytes -= bytes
    if (full && !this.full && this.waiting) this.goOn()
  }

  /** No more can wait for commits. */
  private get full(): boolean {
    return this.pendingBytes > MAX_PENDING_BYTES || this.pending >= this.limits.maxPendingReceipts
  }

  private work(): void {
    const { pace } = this
    while (this.host.listening) {
      if (this.decoder.empty) return
      if (!this.hurried) {
        if (this.full || !this.share.left) return this.wait()
        if (pace !== undefined && pace.wait > 0) return this.wait()
      }
      let frame: Frame | 'heartbeat' | undefined
      try {
        frame = this.decoder.read()
      } catch (error) {
        return this.host.fail(error)
      }
      if (frame === undefined) return
      this.share.take()
      if (frame === 'heartbeat') continue
      const refusal = pace !== undefined && frame.command === 'SEND' ? pace.take() : undefined
      if (refusal === undefined) this.host.handle(frame)
      else this.host.fail(refusal, frame)
    }
  }

  private wait(): void {
    this.waiting = true
    this.connection.pause()
    // `settle` goes on.
    if (this.full) return
    const pause = this.pace?.wait ?? 0
    if (pause > 0) {
      this.pace?.hold()
      setTimeout(() => this.goOn(), pause).unref()
    } else {
      setImmediate(() => this.goOn())
    }
  }

  private goOn(): void {
    this.waiting = false
    if (!this.host.listening) return
    // First what is here: what comes would have to be put behind it.
    this.work()
    if (this.waiting) return
    this.connection.resume()
    if (this.pace?.holds) this.look(this.pace)
  }

  /** Whether there was more of what was held back: in two turns all that waits in the system is here. */
  private look(pace: Pace): void {
    setImmediate(() =>
      setImmediate(() => {
        if (!this.waiting) pace.rest()
      }),
    )
  }
}
