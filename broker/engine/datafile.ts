/**
 * Reads the file of a store page by page, without the library that writes it: where a page is
 * damaged the library may end the whole process, and here it costs what lies on that page. To be
 * used while nobody writes, because nothing keeps pages from being written anew.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { TABLES } from './writer.ts'

type TableName = (typeof TABLES)[number]

/** Takes a sentence on what is damaged. */
export type Complain = (what: string) => void

export interface DataRecord {
  readonly key: Buffer
  readonly value: Buffer
}

/** A tree of pages: one for each table, and one that knows the trees of all tables. */
interface Tree {
  readonly root: number
  readonly entries: number
  /** How many it has, by what the library counted. */
  readonly pages: number
}

/** What is true once a commit is on disk: there are two, written in turn. */
interface Meta {
  readonly commit: number
  readonly pageSize: number
  readonly main: Tree
}

// What lies where, in a file that was made on a 64-bit machine with the least significant byte
// first. A page: its number, the commit that wrote it, two bytes, its kind, the end of the list of
// its nodes; then that list, of places that count from behind the head.
const PAGE_COMMIT = 8
const PAGE_KIND = 18
const PAGE_LOWER = 20
const PAGE_HEAD = 24
const BRANCH = 1
const LEAF = 2
const OVERFLOW = 4
const META = 8
// A node: length of the value, or with the flags the number of a page below; flags; length of the key.
const NODE_FLAGS = 4
const NODE_KEY = 6
const NODE_HEAD = 8
/** The value lies on pages of its own, whose number, commit and count are here. */
const BIG = 1
const BIG_PAGES = 16
const BIG_VALUE = 24
/** The value is a tree. */
const SUBTREE = 2
// A tree: what is not wanted here, pages of three kinds, entries, the first page.
const TREE = 48
const TREE_PAGES = [8, 16, 24] as const
const TREE_ENTRIES = 32
const TREE_ROOT = 40
// What stands on the first two pages.
const MAGIC = 0xbeefc0de
const FORMAT = 2
const META_MAGIC = PAGE_HEAD
const META_FORMAT = META_MAGIC + 4
const META_TREES = META_MAGIC + 24
const META_MAIN = META_TREES + TREE
const META_COMMIT = META_MAIN + TREE + 8
const META_END = META_COMMIT + 8
const PAGE_SIZES = [4096, 8192, 16384, 32768, 65536]

export class DataFile {
  private readonly handle: number
  private readonly size: number
  private readonly meta: Meta | undefined
  private readonly trees: ReadonlyMap<string, Tree>

  /** Throws an error of the system where the file cannot be opened. */
  constructor(path: string, complain: Complain) {
    this.handle = openSync(path, 'r')
    this.size = fstatSync(this.handle).size
    const metas = this.metas()
    if (metas.length < 2)
      complain(metas.length === 0 ? 'it does not begin as a store does' : 'one of its first pages is damaged')
    let best: { meta: Meta; trees: Map<string, Tree>; flaws: string[] } | undefined
    for (const meta of metas) {
      const flaws: string[] = []
      const trees = this.findTrees(meta, (what) => flaws.push(what))
      // What the last commit wrote cannot be read at all: that before it is better than nothing.
      if (best === undefined || (best.trees.size === 0 && trees.size > 0)) best = { meta, trees, flaws }
    }
    this.meta = best?.meta
    this.trees = best?.trees ?? new Map<string, Tree>()
    for (const flaw of best?.flaws ?? []) complain(flaw)
    if (best !== undefined && best.meta !== metas[0]) complain('its last commit cannot be read')
    for (const name of TABLES) if (!this.trees.has(name)) complain(`its table of ${name} cannot be found`)
  }

  close(): void {
    closeSync(this.handle)
  }

  /** Bytes of what is in it, as many as are left of it when it is compacted, and its own. */
  get bytes(): { readonly live: number; readonly file: number } {
    const { meta, size: file } = this
    if (meta === undefined) return { live: 0, file }
    let pages = 2 + meta.main.pages
    for (const tree of this.trees.values()) pages += tree.pages
    return { live: Math.min(pages * meta.pageSize, file), file }
  }

  /** How many records a table should have; undefined where that is not known any more. */
  entries(table: TableName): number | undefined {
    return this.trees.get(table)?.entries
  }

  /** All of a table that can be read, in the order of the keys. */
  *records(table: TableName, complain: Complain): Generator<DataRecord, void, void> {
    const { meta } = this
    const tree = this.trees.get(table)
    if (meta === undefined || tree === undefined) return
    let before: Buffer | undefined
    for (const { key, value } of this.walk(meta, tree, 0, complain)) {
      if (before !== undefined && Buffer.compare(before, key) >= 0)
        complain(`the key ${key.toString('hex')} of ${table} is out of order`)
      before = key
      yield { key, value }
    }
  }

  /** The last commit first. */
  private metas(): Meta[] {
    const found: Meta[] = []
    const first = this.readMeta(0)
    if (first !== undefined) found.push(first)
    for (const pageSize of first === undefined ? PAGE_SIZES : [first.pageSize]) {
      const second = this.readMeta(pageSize)
      if (second?.pageSize === pageSize) found.push(second)
    }
    return found.sort((one, other) => other.commit - one.commit)
  }

  private readMeta(at: number): Meta | undefined {
    const bytes = this.read(at, META_END)
    if (bytes === undefined || !(bytes.readUInt16LE(PAGE_KIND) & META)) return undefined
    if (bytes.readUInt32LE(META_MAGIC) !== MAGIC || bytes.readUInt16LE(META_FORMAT) !== FORMAT)
      return undefined
    const pageSize = bytes.readUInt32LE(META_TREES)
    if (!PAGE_SIZES.includes(pageSize)) return undefined
    return { commit: whole(bytes, META_COMMIT), pageSize, main: treeAt(bytes, META_MAIN) }
  }

  private findTrees(meta: Meta, complain: Complain): Map<string, Tree> {
    const trees = new Map<string, Tree>()
    for (const { key, value } of this.walk(meta, meta.main, SUBTREE, complain)) {
      if (value.length === TREE) trees.set(key.toString().replace(/\0$/, ''), treeAt(value, 0))
    }
    return trees
  }

  /** What lies on the leaves of a tree and has these flags, and what of it cannot be read. */
  private *walk(
    meta: Meta,
    tree: Tree,
    flags: number,
    complain: Complain,
  ): Generator<DataRecord, void, void> {
    if (tree.entries === 0) return
    const pages = Math.ceil(this.size / meta.pageSize)
    const seen = new Uint8Array(pages)
    const todo = [tree.root]
    for (;;) {
      const number = todo.pop()
      if (number === undefined) return
      const page = seen[number] === 0 ? this.page(meta, number) : undefined
      if (page === undefined) {
        complain(`its page ${number} is damaged`)
        continue
      }
      // A damaged page may lead back to one above it.
      seen[number] = 1
      const nodes = (page.readUInt16LE(PAGE_LOWER) >> 1) - 1
      if (page.readUInt16LE(PAGE_KIND) & BRANCH) {
        for (let index = nodes; index >= 0; index--) {
          const at = nodeAt(page, index)
          if (at === undefined) complain(`a branch of its page ${number} is damaged`)
          else todo.push(page.readUInt32LE(at) + page.readUInt16LE(at + NODE_FLAGS) * 2 ** 32)
        }
        continue
      }
      for (let index = 0; index <= nodes; index++) {
        const record = this.record(meta, page, index, flags)
        if (record === undefined) complain(`a record of its page ${number} is damaged`)
        else yield record
      }
    }
  }

  private page(meta: Meta, number: number): Buffer | undefined {
    const { pageSize, commit } = meta
    const page = this.read(number * pageSize, pageSize)
    if (page === undefined || whole(page, 0) !== number || whole(page, PAGE_COMMIT) > commit) return undefined
    const kind = page.readUInt16LE(PAGE_KIND)
    const lower = page.readUInt16LE(PAGE_LOWER)
    return (kind === BRANCH || kind === LEAF) && lower <= pageSize - PAGE_HEAD && lower % 2 === 0
      ? page
      : undefined
  }

  private record(meta: Meta, page: Buffer, index: number, flags: number): DataRecord | undefined {
    const at = nodeAt(page, index)
    if (at === undefined) return undefined
    const length = page.readUInt32LE(at)
    const kind = page.readUInt16LE(at + NODE_FLAGS)
    const from = at + NODE_HEAD + page.readUInt16LE(at + NODE_KEY)
    const big = kind === BIG
    const to = from + (big ? BIG_VALUE : length)
    if ((!big && kind !== flags) || to > page.length) return undefined
    const stored = page.subarray(from, to)
    const value = big ? this.bigValue(meta, stored, length) : stored
    return value && { key: page.subarray(at + NODE_HEAD, from), value }
  }

  private bigValue({ pageSize }: Meta, place: Buffer, length: number): Buffer | undefined {
    const number = whole(place, 0)
    if (PAGE_HEAD + length > whole(place, BIG_PAGES) * pageSize) return undefined
    const bytes = this.read(number * pageSize, PAGE_HEAD + length)
    if (bytes === undefined || whole(bytes, 0) !== number) return undefined
    return bytes.readUInt16LE(PAGE_KIND) === OVERFLOW ? bytes.subarray(PAGE_HEAD) : undefined
  }

  /** Undefined where there are not so many bytes, or the disk does not give them. */
  private read(at: number, length: number): Buffer | undefined {
    if (at + length > this.size) return undefined
    const bytes = Buffer.allocUnsafeSlow(length)
    try {
      for (let got = 0; got < length;) {
        const more = readSync(this.handle, bytes, got, length - got, at + got)
        if (more === 0) return undefined
        got += more
      }
    } catch {
      return undefined
    }
    return bytes
  }
}

function nodeAt(page: Buffer, index: number): number | undefined {
  const at = PAGE_HEAD + page.readUInt16LE(PAGE_HEAD + 2 * index)
  return at + NODE_HEAD <= page.length ? at : undefined
}

function treeAt(bytes: Buffer, at: number): Tree {
  let pages = 0
  for (const place of TREE_PAGES) pages += whole(bytes, at + place)
  return { root: whole(bytes, at + TREE_ROOT), entries: whole(bytes, at + TREE_ENTRIES), pages }
}

function whole(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32
}
