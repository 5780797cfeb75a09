import type { Room } from './room.ts'

/** What a queue holds, counted: messages, and the bytes they count for. */
export class Holdings {
  /** Waiting or handed out, in memory or on disk only. */
  messages = 0
  bytes = 0
  /** Of these, what is handed out and not settled. */
  out = 0
  outBytes = 0
  /** Of these, what is in memory. */
  private here = 0
  private hereBytes = 0
  /** How many are being written to the disk, and will be held then. */
  private expected = 0
  /** Of them, those that have their room. */
  private coming = 0
  private comingBytes = 0
  private readonly room: Room

  constructor(room: Room) {
    this.room = room
  }

  get empty(): boolean {
    return this.messages + this.expected === 0
  }

  /** In memory, and not handed out. */
  get waitingHere(): number {
    return this.here - this.out
  }

  get waitingBytesHere(): number {
    return this.hereBytes - this.outBytes
  }

  /** What counts against a bound: RabbitMQ's are for what waits. */
  count(onlyWaiting: boolean): number {
    return this.coming + (onlyWaiting ? this.messages - this.out : this.messages)
  }

  countBytes(onlyWaiting: boolean): number {
    return this.comingBytes + (onlyWaiting ? this.bytes - this.outBytes : this.bytes)
  }

  /** `roomy`: it has its room. */
  expect(bytes: number, roomy: boolean): void {
    this.expected++
    if (!roomy) return
    this.coming++
    this.comingBytes += bytes
  }

  unexpect(bytes: number, roomy: boolean): void {
    this.expected--
    if (!roomy) return
    this.coming--
    this.comingBytes -= bytes
  }

  add(bytes: number): void {
    this.messages++
    this.bytes += bytes
  }

  /** One of those held that is not in memory is gone. */
  lose(bytes: number): void {
    this.messages--
    this.bytes -= bytes
  }

  /** One of those held comes into memory. */
  load(bytes: number): void {
    this.here++
    this.hereBytes += bytes
    this.room.used += bytes
  }

  /** One that is in memory is gone. */
  remove(bytes: number): void {
    this.messages--
    this.bytes -= bytes
    this.here--
    this.hereBytes -= bytes
    this.room.used -= bytes
  }

  handOut(bytes: number): void {
    this.out++
    this.outBytes += bytes
  }

  takeBack(bytes: number): void {
    this.out--
    this.outBytes -= bytes
  }

  /** What there was when the broker ended, on disk only. */
  restore(messages: number, bytes: number): void {
    this.messages = messages
    this.bytes = bytes
  }

  /** Nothing of it is in memory any more. */
  clear(): void {
    this.room.used -= this.hereBytes
    this.here = 0
    this.hereBytes = 0
  }
}
