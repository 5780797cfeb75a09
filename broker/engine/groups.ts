import { copy } from '../protocol/text.ts'
import type { LocalConsumption } from './consumption.ts'
import type { Entry } from './entry.ts'

/** Groups without a message whose consumer is remembered. */
const REMEMBERED = 10_000

/** Which consumer has which group of messages. */
export class Groups {
  private readonly groups = new Map<string, Group>()
  private readonly owned = new Map<LocalConsumption, Set<Group>>()
  /** Those without a message, the one that became so first in front. */
  private readonly idle = new Set<Group>()

  get size(): number {
    return this.groups.size
  }

  owner(name: string): LocalConsumption | undefined {
    return this.groups.get(name)?.owner
  }

  /** A message of the group is in the queue, waiting or not. */
  hold(name: string): void {
    let group = this.groups.get(name)
    if (group === undefined) {
      group = new Group(copy(name))
      this.groups.set(group.name, group)
    }
    if (group.messages++ === 0) this.idle.delete(group)
  }

  /** It left the queue. */
  drop(name: string): void {
    const group = this.groups.get(name)
    if (group === undefined || --group.messages > 0) return
    if (group.owner === undefined) return void this.groups.delete(name)
    this.idle.add(group)
    if (this.idle.size <= REMEMBERED) return
    // A Set keeps the order of insertion: the first is the oldest.
    for (const oldest of this.idle) {
      this.forget(oldest)
      break
    }
  }

  wait(name: string, entry: Entry): void {
    this.groups.get(name)?.waiting.add(entry)
  }

  /** A message of the group waits no more; `taker`, if there is one, has got it, and the group with it. */
  leave(name: string, entry: Entry, taker: LocalConsumption | undefined): void {
    const group = this.groups.get(name)
    group?.waiting.delete(entry)
    if (group === undefined || taker === undefined || group.owner !== undefined) return
    group.owner = taker
    const groups = this.owned.get(taker)
    if (groups === undefined) this.owned.set(taker, new Set([group]))
    else groups.add(group)
  }

  /** The groups of a consumer are nobody's; returns what waits of them. */
  free(owner: LocalConsumption): readonly Entry[] {
    const groups = this.owned.get(owner)
    if (groups === undefined) return []
    this.owned.delete(owner)
    const entries: Entry[] = []
    for (const group of groups) {
      group.owner = undefined
      if (group.messages === 0) this.forget(group)
      for (const entry of group.waiting) entries.push(entry)
    }
    return entries
  }

  private forget(group: Group): void {
    this.idle.delete(group)
    this.groups.delete(group.name)
    if (group.owner !== undefined) this.owned.get(group.owner)?.delete(group)
  }
}

class Group {
  readonly name: string
  owner: LocalConsumption | undefined
  messages = 0
  readonly waiting = new Set<Entry>()

  constructor(name: string) {
    this.name = name
  }
}
