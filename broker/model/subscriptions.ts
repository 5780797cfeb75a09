/** Who listens to what: exact names today, the place of the wildcard index tomorrow. Knows no sockets. */
export class Subscriptions<S> {
  private readonly entries = new Map<string, Listeners<S>>()

  /** True when `subscriber` is the first for `pattern`. */
  add(pattern: string, subscriber: S): boolean {
    const entry = this.entries.get(pattern)
    if (entry === undefined) {
      this.entries.set(pattern, new Listeners(subscriber))
      return true
    }
    entry.add(subscriber)
    return false
  }

  /** True when `subscriber` was the last for `pattern`. */
  remove(pattern: string, subscriber: S): boolean {
    const entry = this.entries.get(pattern)
    if (entry === undefined || !entry.remove(subscriber)) return false
    return this.entries.delete(pattern)
  }

  /** Those who listen to `name`. The array is never changed afterwards: a change makes a new one. */
  match(name: string): readonly S[] {
    return this.entries.get(name)?.list() ?? []
  }
}

/** A set with a snapshot: changing costs the same for one listener and for a hundred thousand. */
class Listeners<S> {
  private readonly members: Set<S>
  private snapshot: readonly S[] | undefined

  constructor(first: S) {
    this.members = new Set([first])
  }

  add(member: S): void {
    this.members.add(member)
    this.snapshot = undefined
  }

  /** True when none is left. */
  remove(member: S): boolean {
    this.members.delete(member)
    this.snapshot = undefined
    return this.members.size === 0
  }

  list(): readonly S[] {
    return (this.snapshot ??= [...this.members])
  }
}
