/** Bytes of messages in memory, those of all queues together. */
export class Room {
  used = 0
  readonly limit: number

  constructor(limit: number) {
    this.limit = limit
  }

  has(bytes: number): boolean {
    return this.used + bytes <= this.limit
  }

  /** What is on disk as well had better stay there. */
  get scarce(): boolean {
    return this.used * 2 > this.limit
  }
}
