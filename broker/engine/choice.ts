import type { LocalConsumption } from './consumption.ts'
import type { Entry } from './entry.ts'
import { Groups } from './groups.ts'
import { Heap } from './heap.ts'
import { Latecomers } from './latecomers.ts'
import { Ranking } from './ranking.ts'
import type { Willing } from './willing.ts'

/** What a choice asks of its queue. */
export interface Chooser {
  readonly willing: Willing
  /** The entry waits no more, and the consumption has one credit less. */
  handOut(entry: Entry, consumption: LocalConsumption): void
  /** Ends the entry, or puts it off, if nobody is to get it. */
  unfit(entry: Entry): boolean
}

/**
 * What waits in a queue where not every message is for every consumer: for selectors, groups and
 * priorities. All of it stands in one ranking, and each consumer remembers how far it has looked,
 * so that it looks at each message once, however many wait that are not for it.
 *
 * A consumer with credit that has looked at all that waits is at rest. A new message is shown to
 * those at rest in turn. All others are hungry: they look for themselves.
 */
export class Choice {
  readonly groups = new Groups()
  private readonly queue: Chooser
  private readonly ranking = new Ranking()
  private readonly latecomers = new Latecomers()
  private readonly views = new Map<LocalConsumption, View>()
  private readonly hungry = new Set<LocalConsumption>()
  /** Those at rest have not seen it; there is one only while nobody is hungry. */
  private offered: Entry | undefined
  /** The highest rank that ever stood here. */
  private highest = 0

  constructor(queue: Chooser) {
    this.queue = queue
  }

  /** Begins again with these entries, in order: nobody has looked at any. */
  start(entries: readonly Entry[]): void {
    this.ranking.clear()
    this.views.clear()
    this.offered = undefined
    for (const entry of entries) this.insert(entry)
    this.offered = undefined
    const { willing } = this.queue
    for (let next = willing.first(); next !== undefined; next = willing.after(next)) this.hungry.add(next)
  }

  /** Nobody has to remember where it has looked. */
  get idle(): boolean {
    return this.ranking.size === 0 && this.groups.size === 0
  }

  insert(entry: Entry): void {
    if (this.offered === undefined && this.hungry.size === 0) this.offered = entry
    else this.stir()
    if (entry.rank > this.highest) this.highest = entry.rank
    else if (this.views.size > 0) this.latecomers.add(entry.rank)
    this.ranking.insert(entry)
    const { group } = entry.message.terms
    if (group !== undefined) this.groups.wait(group, entry)
  }

  /** Takes out an entry that nobody gets. */
  remove(entry: Entry): void {
    this.takeOut(entry, undefined)
  }

  /** The consumption is about to be among the willing. */
  join(consumption: LocalConsumption): void {
    if (this.offered !== undefined) this.stir()
    this.hungry.add(consumption)
  }

  /** The consumption is about to leave the willing. */
  rest(consumption: LocalConsumption): void {
    if (this.offered !== undefined) this.stir()
    if (!this.hungry.delete(consumption)) this.remember(consumption)
  }

  /** The consumption is gone. */
  leave(consumption: LocalConsumption): void {
    this.views.delete(consumption)
    this.free(consumption)
  }

  /** Its groups are for others. */
  free(owner: LocalConsumption): void {
    const entries = this.groups.free(owner)
    if (entries.length === 0) return
    this.stir()
    for (const { rank } of entries) this.latecomers.add(rank)
  }

  /** Hands out one message; false when there is nothing more to do. */
  step(): boolean {
    const { offered } = this
    this.offered = undefined
    if (offered !== undefined && offered.state === 'waiting') return this.offer(offered)
    return this.hungry.size > 0 && this.feed()
  }

  first(): Entry | undefined {
    return this.ranking.after(0)
  }

  /** The first behind a rank. */
  after(rank: number): Entry | undefined {
    return this.ranking.after(rank)
  }

  page(rank: number, limit: number): readonly Entry[] {
    return this.ranking.page(rank, limit)
  }

  /** To those at rest, the one who refused it last. */
  private offer(entry: Entry): boolean {
    if (this.queue.unfit(entry)) return true
    const { willing } = this.queue
    let refuser: LocalConsumption | undefined
    for (let next = willing.first(); next !== undefined; next = willing.after(next)) {
      if (next === entry.holder) refuser = next
      else if (this.suits(entry, next)) return this.give(entry, next)
    }
    return refuser !== undefined && this.suits(entry, refuser) && this.give(entry, refuser)
  }

  /** One message for the next of the hungry who finds one. */
  private feed(): boolean {
    let refuser: LocalConsumption | undefined
    let refused: Entry | undefined
    for (const consumption of this.inTurn()) {
      const entry = this.look(consumption)
      if (entry === undefined) {
        this.hungry.delete(consumption)
        this.remember(consumption)
      } else if (this.queue.unfit(entry)) {
        return true
      } else if (entry.holder === consumption && this.isForAnother(entry, consumption)) {
        // Whoever else is hungry comes first; the earliest of such messages is for nobody else.
        const view = this.view(consumption)
        if (entry.rank <= view.reached) view.missed.push(entry.rank)
        if (refused !== undefined && refused.rank < entry.rank) continue
        refuser = consumption
        refused = entry
      } else {
        return this.give(entry, consumption)
      }
    }
    return refuser !== undefined && refused !== undefined && this.give(refused, refuser)
  }

  private isForAnother(entry: Entry, consumption: LocalConsumption): boolean {
    for (const other of this.hungry) if (other !== consumption && this.suits(entry, other)) return true
    return false
  }

  private inTurn(): Iterable<LocalConsumption> {
    if (this.hungry.size === 1) return [...this.hungry]
    const { willing } = this.queue
    const list: LocalConsumption[] = []
    for (let next = willing.first(); next !== undefined; next = willing.after(next)) {
      if (this.hungry.has(next)) list.push(next)
    }
    return list
  }

  private give(entry: Entry, consumption: LocalConsumption): true {
    this.takeOut(entry, consumption)
    this.queue.handOut(entry, consumption)
    return true
  }

  private takeOut(entry: Entry, taker: LocalConsumption | undefined): void {
    this.ranking.remove(entry)
    if (this.ranking.size === 0) this.latecomers.clear()
    const { group } = entry.message.terms
    if (group !== undefined) this.groups.leave(group, entry, taker)
  }

  private suits({ message }: Entry, consumption: LocalConsumption): boolean {
    const { group } = message.terms
    const owner = group === undefined ? undefined : this.groups.owner(group)
    if (owner !== undefined && owner !== consumption) return false
    return consumption.consumer?.accepts?.(message) ?? true
  }

  /** The first message for a consumer of those it has not looked at. */
  private look(consumption: LocalConsumption): Entry | undefined {
    if (this.takesAny(consumption)) {
      this.views.delete(consumption)
      return this.first()
    }
    const view = this.view(consumption)
    this.catchUp(view)
    // What it missed is before all that it has not reached.
    for (let rank = view.missed.shift(); rank !== undefined; rank = view.missed.shift()) {
      const entry = this.ranking.at(rank)
      if (entry !== undefined && this.suits(entry, consumption)) return entry
    }
    const entry = this.ranking.find(view.reached, (candidate) => this.suits(candidate, consumption))
    view.reached = entry?.rank ?? this.highest
    return entry
  }

  /** What took a place before the one it has reached, since it looked last. */
  private catchUp(view: View): void {
    const ranks = this.latecomers.since(view.seen)
    view.seen = this.latecomers.end
    if (ranks === undefined) {
      // They were too many to be listed: it looks through everything again.
      view.reached = 0
      view.missed.clear()
      return
    }
    for (const rank of ranks) if (rank <= view.reached) view.missed.push(rank)
  }

  /** Everybody at rest is to look at what comes now, and at what was offered. */
  private stir(): void {
    const { willing } = this.queue
    const { offered } = this
    this.offered = undefined
    for (let next = willing.first(); next !== undefined; next = willing.after(next)) {
      if (this.hungry.has(next)) continue
      this.remember(next)
      this.hungry.add(next)
    }
    if (offered?.state === 'waiting') this.latecomers.add(offered.rank)
  }

  /** It has looked at everything there is. */
  private remember(consumption: LocalConsumption): void {
    if (this.takesAny(consumption)) return void this.views.delete(consumption)
    const view = this.view(consumption)
    view.reached = this.highest
    view.seen = this.latecomers.end
    view.missed.clear()
  }

  /** The first is for it: it has nothing to remember. */
  private takesAny({ consumer }: LocalConsumption): boolean {
    return this.groups.size === 0 && consumer?.accepts === undefined
  }

  private view(consumption: LocalConsumption): View {
    let view = this.views.get(consumption)
    if (view === undefined) this.views.set(consumption, (view = new View()))
    return view
  }
}

/** How far a consumer has looked. */
class View {
  /** It has looked at all up to this rank, except for those it missed. */
  reached = 0
  /** Ranks that were taken behind its back. */
  readonly missed = new Heap<number>((one, other) => one < other)
  /** How many latecomers it knows of. */
  seen = 0
}
