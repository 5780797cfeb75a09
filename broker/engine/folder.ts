/** The folder of a store: whether it may be opened, and by whom. */
import { randomUUID } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Lock } from './lock.ts'

/** What this version reads and writes. */
export const FORMAT = 1

/** A store that cannot be opened, in a sentence that says what to do. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
}

/** Somebody has the folder, and it may be free later. */
export class InUseError extends StoreError {}

/** The file that says what the folder is. */
export interface Label {
  readonly format: number
  /** The version of the broker that made it. */
  readonly version: string
  /** Also in the store: who swaps the files is told. */
  readonly id: string
  /** Nothing is in it yet: its data is only being made. */
  readonly making?: true
  /** What the data was when it was closed properly. */
  readonly closed?: { readonly bytes: number; readonly changed: number }
}

const LABEL = 'store.json'
const DRAFT = `${LABEL}.new`
export const DATA = 'data.mdb'
const READERS = 'lock.mdb'
/** A folder in it, in which it is compacted; left over where that came to no end. */
const WORKSHOP = 'compacting'
/** What may lie in a folder before it is a store. */
const HARMLESS = new RegExp(`^(\\.|lock(\\.\\d+)?$|lost\\+found$|${READERS}$|${DRAFT}$)`)

/** File systems on which the locks and the memory maps of a store do not hold (Linux, statfs). */
const network = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x01021997, '9p'],
])

export class Folder {
  readonly path: string
  /** Nothing is in it yet. */
  readonly fresh: boolean
  private label: Label
  private readonly lock: Lock
  /** Of the data that is open. */
  private inode: number | undefined

  private constructor(path: string, label: Label, lock: Lock) {
    this.path = path
    this.label = label
    this.fresh = label.making === true
    this.lock = lock
  }

  /** Takes the folder, which is made if it is not there. Throws StoreError where it cannot be had. */
  static async take(path: string, version: string, make = true): Promise<Folder> {
    prepare(path, make)
    const lock = await takeLock(path)
    try {
      const label = readLabel(path)
      if (label !== undefined && (make || label.making !== true)) {
        const folder = new Folder(path, label, lock)
        folder.clear()
        return folder
      }
      if (label !== undefined) throw noStore(path)
      const others = readdirSync(path).filter((name) => !HARMLESS.test(name) && name !== LABEL)
      if (others.includes(DATA)) {
        throw new StoreError(
          `${path} holds ${DATA} but no ${LABEL}, so this is only a part of a store; restore the whole folder from a backup, or choose another --data-dir.`,
        )
      }
      if (!make) throw noStore(path)
      if (others.length > 0) {
        throw new StoreError(
          `${path} is no folder of stomp-broker (it holds ${others[0]}); choose an empty one with --data-dir.`,
        )
      }
      return new Folder(path, { format: FORMAT, version, id: randomUUID(), making: true }, lock)
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  /** Takes a folder to read what can be read: undefined for a label that is damaged or not there. */
  static async salvage(path: string): Promise<{ readonly label: Label | undefined; readonly lock: Lock }> {
    prepare(path, false)
    const lock = await takeLock(path)
    try {
      return { label: salvageLabel(path), lock }
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  get id(): string {
    return this.label.id
  }

  get dataFile(): string {
    return join(this.path, DATA)
  }

  /** Bytes of the data on disk; 0 where there is none. */
  get fileBytes(): number {
    return statSync(this.dataFile, { throwIfNoEntry: false })?.size ?? 0
  }

  /** Whether nobody has written since it was closed properly. */
  get untouched(): boolean {
    return isUntouched(this.path, this.label)
  }

  /** An empty folder in it, where its data can be made anew. */
  workshop(): string {
    this.clear()
    const path = join(this.path, WORKSHOP)
    mkdirSync(path, { mode: 0o700 })
    return path
  }

  /** Puts the data that was made there in the place of its own, all or nothing, and on disk. */
  adopt(): void {
    const data = join(this.path, WORKSHOP, DATA)
    withFile(data, 'r+', fsyncSync)
    renameSync(data, this.dataFile)
    syncFolder(this.path)
    this.clear()
  }

  clear(): void {
    rmSync(join(this.path, WORKSHOP), { recursive: true, force: true })
  }

  /** Whether its data is still the file that was opened: another one, or none, keeps nothing. */
  get intact(): boolean {
    return statSync(this.dataFile, { throwIfNoEntry: false })?.ino === this.inode
  }

  /** Makes way for the data of a new store. What a start left that did not get to its end is nothing. */
  begin(): void {
    rmSync(this.dataFile, { force: true })
    rmSync(join(this.path, READERS), { force: true })
    writeLabel(this.path, this.label)
  }

  /** The data is open, and from now on it is a store. */
  sign(): void {
    if (this.fresh) {
      const { making: _over, ...label } = this.label
      this.label = label
      writeLabel(this.path, label)
    }
    this.inode = statSync(this.dataFile).ino
  }

  /** To be called when the data is closed. */
  async release(): Promise<void> {
    const data = statSync(this.dataFile, { throwIfNoEntry: false })
    if (data !== undefined) {
      this.label = { ...this.label, closed: { bytes: data.size, changed: data.mtimeMs } }
      try {
        writeLabel(this.path, this.label)
      } catch {
        // It only saves a check the next time; a full disk must not keep us from ending.
      }
    }
    await this.lock.release()
  }

  /** Lets go of it without a word: it was not opened, or not all could be written. */
  abandon(): Promise<void> {
    return this.lock.release()
  }

  /** The same for one that could not be opened: what was begun in it is taken back. */
  async leave(): Promise<void> {
    if (this.label.making)
      for (const name of [DATA, READERS, LABEL, DRAFT]) rmSync(join(this.path, name), { force: true })
    await this.abandon()
  }
}

function prepare(path: string, make: boolean): void {
  try {
    if (make) mkdirSync(path, { recursive: true, mode: 0o700 })
    readdirSync(path)
    accessSync(path, constants.W_OK)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    const why: Record<string, string> = {
      EACCES: 'this user may not write to it; change its owner (chown) or its mode',
      EPERM: 'this user may not write to it; change its owner (chown) or its mode',
      EROFS: 'it is on a read-only file system; mount it for writing',
      ENOTDIR: 'it is not a folder; name one',
      EEXIST: 'it is not a folder; name one',
      ENOENT: 'it is not there; correct the path',
      ENOSPC: 'there is no space left on its disk; make some',
    }
    throw new StoreError(`${path} cannot be used: ${why[code] ?? code}, or choose another --data-dir.`)
  }
  const kind = process.platform === 'linux' ? network.get(statfsSync(path).type) : undefined
  if (kind !== undefined) {
    throw new StoreError(
      `${path} is on a network file system (${kind}), where a store may be damaged; choose a --data-dir on a local disk.`,
    )
  }
}

async function takeLock(path: string): Promise<Lock> {
  let lock: Lock | undefined
  try {
    lock = await Lock.take(path)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    const long = code === 'ENAMETOOLONG' || code === 'EINVAL'
    throw new StoreError(
      long
        ? `${path} is too long a path to be locked; choose a shorter --data-dir.`
        : `${path} cannot be locked (${code}); choose a --data-dir on a local disk that this user may write to.`,
    )
  }
  if (lock !== undefined) return lock
  throw new InUseError(
    `${path} is in use by another stomp-broker; stop that one, or choose another --data-dir.`,
  )
}

/** Whether nobody has written since it was closed properly. */
export function isUntouched(path: string, { closed }: Label): boolean {
  const data = statSync(join(path, DATA), { throwIfNoEntry: false })
  return closed != null && data?.size === closed.bytes && data.mtimeMs === closed.changed
}

/** Undefined where it is damaged, or not there and the data is. */
export function salvageLabel(path: string): Label | undefined {
  try {
    const label = readLabel(path)
    if (label?.making) throw noStore(path)
    if (label !== undefined || existsSync(join(path, DATA))) return label
  } catch (error) {
    if (error instanceof LabelError) return undefined
    throw error
  }
  throw noStore(path)
}

/** The label of a store is not what was written. */
class LabelError extends StoreError {
  constructor(file: string) {
    super(`${file} is damaged; restore the folder from a backup, or choose another --data-dir.`)
  }
}

function noStore(path: string): StoreError {
  return new StoreError(`${path} is no folder of stomp-broker; --data-dir is to say where the store is.`)
}

function readLabel(path: string): Label | undefined {
  const file = join(path, LABEL)
  if (!existsSync(file)) return undefined
  let label: Partial<Label>
  try {
    label = (JSON.parse(readFileSync(file, 'utf8')) ?? {}) as Partial<Label>
  } catch {
    throw new LabelError(file)
  }
  const { format, version = 'unknown', id } = label
  if (!Number.isInteger(format) || format === undefined || format < 1 || typeof id !== 'string')
    throw new LabelError(file)
  if (format > FORMAT) {
    throw new StoreError(
      `${path} was written by a newer stomp-broker (${version}); run that version or a newer one: npx stomp-broker@latest --data-dir ${path}`,
    )
  }
  return label as Label // its parts are checked above
}

/** All or nothing, and on disk. */
function writeLabel(path: string, label: Label): void {
  const file = join(path, LABEL)
  const draft = join(path, DRAFT)
  try {
    withFile(draft, 'w', (handle) => {
      writeFileSync(handle, `${JSON.stringify(label)}\n`)
      fsyncSync(handle)
    })
    renameSync(draft, file)
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  }
  syncFolder(path)
}

/** New names are in the folder, which is a file as well; not on Windows. */
function syncFolder(path: string): void {
  if (process.platform !== 'win32') withFile(path, 'r', fsyncSync)
}

function withFile(path: string, flags: string, act: (handle: number) => void): void {
  const handle = openSync(path, flags, 0o600)
  try {
    act(handle)
  } finally {
    closeSync(handle)
  }
}
