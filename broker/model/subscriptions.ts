/** Who listens to what: names in a map, patterns in tries, what was found in a cache. Knows no sockets. */
import { matchesGlob, prefixOf } from '../protocol/pattern.ts'
import type { Glob, Interest, Pattern, Segment } from '../protocol/pattern.ts'

const nobody: readonly never[] = []

export class Subscriptions<S> {
  private readonly exact = new Map<string, Listeners<S>>()
  private readonly dotted = new Trie<S>('.')
  private readonly slashed = new Trie<S>('/')
  private readonly found = new Cache<S>()
  /** Patterns ever added, so that their subscribers come in a known order. */
  private sequence = 0

  /** Names, and nodes of the tries: 0 when nothing is left of what was there. */
  get size(): number {
    return this.exact.size + this.dotted.size + this.slashed.size
  }

  /** True when `subscriber` is the first for `interest`. */
  add(interest: Interest, subscriber: S): boolean {
    if (typeof interest !== 'string') {
      // Which of the names seen it matches is not known, and a later message finds out cheaply.
      this.found.clear()
      const node = this.trie(interest).grow(interest)
      if (node.listeners !== undefined) {
        node.listeners.add(subscriber)
        return false
      }
      node.listeners = new Listeners(subscriber)
      node.order = ++this.sequence
      return true
    }
    this.found.delete(interest)
    const listeners = this.exact.get(interest)
    if (listeners === undefined) {
      this.exact.set(interest, new Listeners(subscriber))
      return true
    }
    listeners.add(subscriber)
    return false
  }

  /** True when `subscriber` was the last for `interest`. */
  remove(interest: Interest, subscriber: S): boolean {
    if (typeof interest !== 'string') {
      const listeners = this.trie(interest).find(interest)?.listeners
      if (listeners === undefined) return false
      this.found.clear()
      if (!listeners.remove(subscriber)) return false
      this.trie(interest).cut(interest)
      return true
    }
    this.found.delete(interest)
    const listeners = this.exact.get(interest)
    if (listeners === undefined || !listeners.remove(subscriber)) return false
    return this.exact.delete(interest)
  }

  /**
   * Those who listen to `name`, each once: who subscribed to the name itself in the order they
   * came, then who subscribed to patterns, the older pattern first. The array is never changed
   * afterwards: a change makes a new one.
   */
  match(name: string): readonly S[] {
    if (this.dotted.size === 0 && this.slashed.size === 0) return this.exact.get(name)?.list() ?? nobody
    return this.found.get(name) ?? this.search(name)
  }

  private search(name: string): readonly S[] {
    const exact = this.exact.get(name)
    const nodes: Node<S>[] = []
    const prefix = prefixOf(name)
    this.dotted.match(name, prefix, nodes)
    this.slashed.match(name, prefix, nodes)
    const [first] = nodes
    if (first === undefined || (exact === undefined && nodes.length === 1)) {
      const list = (exact ?? first?.listeners)?.list() ?? nobody
      this.found.set(name, list, false)
      return list
    }
    const list = exact === undefined ? [] : [...exact.list()]
    const seen = new Set<S>()
    for (const { listeners } of nodes.sort((a, b) => a.order - b.order)) {
      for (const member of listeners?.list() ?? nobody) {
        if (exact?.has(member) || seen.has(member)) continue
        seen.add(member)
        list.push(member)
      }
    }
    this.found.set(name, list, true)
    return list
  }

  private trie(pattern: Pattern): Trie<S> {
    return pattern.separator === '.' ? this.dotted : this.slashed
  }
}

/**
 * A set with a snapshot: changing costs the same for one listener and for a hundred thousand. One
 * alone, as most are, is nothing but its snapshot.
 */
class Listeners<S> {
  private members: Set<S> | undefined
  private snapshot: readonly S[] | undefined

  constructor(first: S) {
    this.snapshot = [first]
  }

  add(member: S): void {
    this.members ??= new Set(this.snapshot)
    this.members.add(member)
    this.snapshot = undefined
  }

  /** True when none is left. */
  remove(member: S): boolean {
    if (this.members === undefined) return this.has(member)
    this.members.delete(member)
    this.snapshot = undefined
    return this.members.size === 0
  }

  has(member: S): boolean {
    return this.members?.has(member) ?? this.list()[0] === member
  }

  list(): readonly S[] {
    return (this.snapshot ??= [...(this.members ?? nobody)])
  }
}

const CACHED_NAMES = 100_000
const CACHED_BYTES = 10_000_000

/** What was found for a name. Bounded, and emptied rather than aged: it refills in no time. */
class Cache<S> {
  private readonly lists = new Map<string, readonly S[]>()
  /** The names whose arrays only the cache holds: a pattern of many listeners may match many names. */
  private readonly merged = new Set<string>()
  /** Of the names and of those arrays, roughly. */
  private bytes = 0

  get(name: string): readonly S[] | undefined {
    return this.lists.get(name)
  }

  set(name: string, list: readonly S[], merged: boolean): void {
    const bytes = weigh(name, merged ? list : nobody)
    if (this.lists.size >= CACHED_NAMES || this.bytes + bytes > CACHED_BYTES) this.clear()
    this.lists.set(name, list)
    if (merged) this.merged.add(name)
    this.bytes += bytes
  }

  delete(name: string): void {
    const list = this.lists.get(name)
    if (list === undefined) return
    this.lists.delete(name)
    this.bytes -= weigh(name, this.merged.delete(name) ? list : nobody)
  }

  clear(): void {
    if (this.lists.size === 0) return
    this.lists.clear()
    this.merged.clear()
    this.bytes = 0
  }
}

function weigh(name: string, list: readonly unknown[]): number {
  return name.length + 8 * list.length
}

/**
 * The patterns of one separator, by prefix and then segment by segment. A name is matched by
 * walking all nodes that it can have reached at once, each of them one time a segment. From a node
 * there is one literal, one `*` and one `#` to go on with, and the globs that `Globs` cannot rule
 * out, so patterns that disagree with the name cost nothing where they do. What remains are
 * patterns that agree with it for long by different ways, as `a.*.c` and `*.b.c` do: each adds
 * its own nodes, never more of them than it has segments.
 */
class Trie<S> {
  private readonly separator: '.' | '/'
  private readonly roots = new Map<string, Node<S>>()
  private nodes = 0
  private step = 0

  constructor(separator: '.' | '/') {
    this.separator = separator
  }

  get size(): number {
    return this.nodes
  }

  /** The node of `pattern`, made if it is not there. */
  grow(pattern: Pattern): Node<S> {
    let node = this.roots.get(pattern.prefix)
    if (node === undefined) {
      node = this.sprout(false)
      this.roots.set(pattern.prefix, node)
    }
    for (const segment of pattern.segments) {
      const child: Node<S> = node.child(segment) ?? this.sprout(segment.kind === 'rest')
      node.put(segment, child)
      node = child
    }
    return node
  }

  find(pattern: Pattern): Node<S> | undefined {
    return this.path(pattern)?.at(-1)
  }

  /** Takes the listeners of `pattern` away, and every node that led to nothing else. */
  cut(pattern: Pattern): void {
    const path = this.path(pattern) ?? []
    const last = path.at(-1)
    if (last !== undefined) last.listeners = undefined
    for (let depth = path.length - 1; depth >= 0; depth--) {
      if (!path[depth]?.empty) return
      this.nodes--
      const segment = pattern.segments[depth - 1]
      if (segment === undefined) this.roots.delete(pattern.prefix)
      else path[depth - 1]?.drop(segment)
    }
  }

  /** Adds the nodes with listeners whose patterns match `name`, in no particular order. */
  match(name: string, prefix: string, found: Node<S>[]): void {
    const root = this.roots.get(prefix)
    if (root === undefined) return
    let reached: Node<S>[] = []
    this.step++
    this.enter(root, reached)
    // A name that is nothing but its prefix has no segment, any other has one more than separators.
    for (let start = prefix.length + 1; start <= name.length && reached.length > 0;) {
      const separator = name.indexOf(this.separator, start)
      const end = separator === -1 ? name.length : separator
      reached = this.advance(reached, name.slice(start, end))
      start = end + 1
    }
    for (const node of reached) if (node.listeners !== undefined) found.push(node)
  }

  /** What a further segment reaches. */
  private advance(reached: readonly Node<S>[], word: string): Node<S>[] {
    const next: Node<S>[] = []
    this.step++
    for (const node of reached) {
      if (node.repeats) this.enter(node, next)
      this.enter(node.literals?.get(word), next)
      if (node.one !== undefined && !word.includes('/')) this.enter(node.one, next)
      if (node.globs === undefined) continue
      for (const child of node.globs.match(word)) this.enter(child, next)
    }
    return next
  }

  private sprout(repeats: boolean): Node<S> {
    this.nodes++
    return new Node(repeats)
  }

  /** From the root to the node of `pattern`. */
  private path(pattern: Pattern): Node<S>[] | undefined {
    let node = this.roots.get(pattern.prefix)
    if (node === undefined) return undefined
    const path = [node]
    for (const segment of pattern.segments) {
      node = node.child(segment)
      if (node === undefined) return undefined
      path.push(node)
    }
    return path
  }

  /** A node of `#` is reached from above and from itself: it must count once, or its kind would multiply. */
  private enter(node: Node<S> | undefined, reached: Node<S>[]): void {
    if (node === undefined || node.step === this.step) return
    node.step = this.step
    reached.push(node)
    // No segment at all will do for a `#`.
    this.enter(node.rest, reached)
  }
}

class Node<S> {
  listeners: Listeners<S> | undefined
  /** When its pattern came. */
  order = 0
  /** Stands for `#`: once reached, every further segment reaches it too. */
  readonly repeats: boolean
  /** The step of a walk that reached it last. */
  step = 0
  literals: Map<string, Node<S>> | undefined
  one: Node<S> | undefined
  rest: Node<S> | undefined
  globs: Globs<Node<S>> | undefined

  constructor(repeats: boolean) {
    this.repeats = repeats
  }

  get empty(): boolean {
    return (
      this.listeners === undefined &&
      this.literals === undefined &&
      this.one === undefined &&
      this.rest === undefined &&
      this.globs === undefined
    )
  }

  child(segment: Segment): Node<S> | undefined {
    switch (segment.kind) {
      case 'literal':
        return this.literals?.get(segment.text)
      case 'glob':
        return this.globs?.get(segment)
      default:
        return this[segment.kind]
    }
  }

  put(segment: Segment, child: Node<S>): void {
    switch (segment.kind) {
      case 'literal':
        this.literals ??= new Map()
        this.literals.set(segment.text, child)
        break
      case 'glob':
        this.globs ??= new Globs()
        this.globs.set(segment, child)
        break
      default:
        this[segment.kind] = child
    }
  }

  drop(segment: Segment): void {
    switch (segment.kind) {
      case 'literal':
        this.literals?.delete(segment.text)
        if (this.literals?.size === 0) this.literals = undefined
        break
      case 'glob':
        this.globs?.delete(segment)
        if (this.globs?.empty) this.globs = undefined
        break
      default:
        this[segment.kind] = undefined
    }
  }
}

/**
 * The globs below a node, each filed under the letters it begins or ends with, whichever are more:
 * of a hundred thousand `room-17-*` a segment tries one. All that are filed under the same letters
 * are tried, and so are those with none, like `*a*`: each costs at most its own length times that
 * of the segment.
 */
class Globs<T> {
  private readonly heads = new Files<T>('head')
  private readonly tails = new Files<T>('tail')

  get empty(): boolean {
    return this.heads.empty && this.tails.empty
  }

  get(glob: Glob): T | undefined {
    return this.files(glob).get(glob)
  }

  set(glob: Glob, value: T): void {
    this.files(glob).set(glob, value)
  }

  delete(glob: Glob): void {
    this.files(glob).delete(glob)
  }

  match(word: string): T[] {
    const values: T[] = []
    this.heads.match(word, values)
    this.tails.match(word, values)
    return values
  }

  private files(glob: Glob): Files<T> {
    return glob.tail.length > glob.head.length ? this.tails : this.heads
  }
}

/** Globs by the letters they share at one end. */
class Files<T> {
  private readonly end: 'head' | 'tail'
  private readonly files = new Map<string, Map<string, { glob: Glob; value: T }>>()
  /** The lengths of those letters, so that no other is looked up, and how many files there are of each. */
  private readonly lengths: { readonly length: number; count: number }[] = []

  constructor(end: 'head' | 'tail') {
    this.end = end
  }

  get empty(): boolean {
    return this.files.size === 0
  }

  get(glob: Glob): T | undefined {
    return this.files.get(glob[this.end])?.get(glob.text)?.value
  }

  set(glob: Glob, value: T): void {
    const letters = glob[this.end]
    let file = this.files.get(letters)
    if (file === undefined) {
      file = new Map()
      this.files.set(letters, file)
      const same = this.lengths.find(({ length }) => length === letters.length)
      if (same === undefined) this.lengths.push({ length: letters.length, count: 1 })
      else same.count++
    }
    file.set(glob.text, { glob, value })
  }

  delete(glob: Glob): void {
    const letters = glob[this.end]
    const file = this.files.get(letters)
    if (file === undefined || !file.delete(glob.text) || file.size > 0) return
    this.files.delete(letters)
    const at = this.lengths.findIndex(({ length }) => length === letters.length)
    const same = this.lengths[at]
    if (same !== undefined && --same.count === 0) this.lengths.splice(at, 1)
  }

  match(word: string, values: T[]): void {
    for (const { length } of this.lengths) {
      if (length > word.length) continue
      const letters = this.end === 'head' ? word.slice(0, length) : word.slice(word.length - length)
      const file = this.files.get(letters)
      if (file === undefined) continue
      for (const { glob, value } of file.values()) if (matchesGlob(glob, word)) values.push(value)
    }
  }
}
