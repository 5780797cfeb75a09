/** The room on the disk of a store, and what is kept back of it for acks when there is no other. */
import { rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Bytes kept back. */
export const RESERVE: number = 2 * 1024 * 1024
const NAME = 'reserve'

export class Space {
  private readonly path: string
  private readonly file: string

  constructor(path: string) {
    this.path = path
    this.file = join(path, NAME)
  }

  /** Bytes that are left; unknown where the system does not say, and then there are enough. */
  get free(): number {
    try {
      const { bavail, bsize } = statfsSync(this.path)
      return bavail * bsize
    } catch {
      return Infinity
    }
  }

  /** Keeps something back, if there is room for it. */
  keep(): void {
    try {
      if (statSync(this.file, { throwIfNoEntry: false })?.size === RESERVE) return
      // Written, not only named: a file with a hole in it keeps nothing back.
      writeFileSync(this.file, Buffer.alloc(RESERVE), { mode: 0o600 })
    } catch {
      this.spend()
    }
  }

  /** Gives it up; false if there is none. */
  spend(): boolean {
    try {
      rmSync(this.file)
      return true
    } catch {
      return false
    }
  }
}
