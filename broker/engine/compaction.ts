/** Makes the file of a store as small as what is in it. */
import { statfsSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { Audit } from './audit.ts'
import { DataFile } from './datafile.ts'
import { DATA, StoreError, type Folder } from './folder.ts'
import { load } from './library.ts'
import { damaged } from './survey.ts'
import { ENVIRONMENT, TABLES } from './writer.ts'

/** Bytes of a file from which on it is compacted at a start; and of what is in it, up to which nobody has to wait for that. */
const LARGE = 64 * 1024 * 1024
/** How much larger than that the file is then. */
const LOOSE = 4

export interface Compacted {
  readonly before: number
  readonly after: number
}

/**
 * To be called with a store that is not open. Until the new file is in the place of the old one,
 * the old one is what it was. Throws StoreError.
 */
export async function compact(folder: Folder): Promise<Compacted> {
  const { path, fileBytes: before } = folder
  if (before === 0) throw damaged(path, `${DATA} is missing or empty`)
  const old = look(folder.dataFile, true)
  if (old.damages.length > 0) throw damaged(path, old.damages.join(', '))
  const free = (): number => {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  }
  if (free() < old.live) throw scarce(path, old.live, free())
  const { open } = await load()
  const workshop = folder.workshop()
  try {
    const root = open<Buffer, Buffer>({ path, ...ENVIRONMENT, readOnly: true })
    try {
      await root.backup(workshop, true)
    } finally {
      await root.close()
    }
    await begin(open, workshop)
    const copy = look(join(workshop, DATA), false)
    if (copy.damages.length > 0 || copy.digest !== old.digest)
      throw new Error('the copy is not what it is a copy of, so the disk may be damaged')
    folder.adopt()
  } catch (error) {
    const left = free()
    folder.clear()
    const { message } = error as Error
    if (left < old.live || /no space/i.test(message)) throw scarce(path, old.live, free())
    throw new StoreError(`${path} could not be compacted: ${message}. It is as it was.`)
  }
  return { before, after: folder.fileBytes }
}

/**
 * A copy has one page that tells where everything is, where a store has two that are written in
 * turn. The first commit, which changes nothing, writes the other one.
 */
async function begin(open: typeof import('lmdb').open, workshop: string): Promise<void> {
  const root = open<Buffer, Buffer>({ path: workshop, ...ENVIRONMENT })
  try {
    const notes = root.openDB<Buffer, Buffer>('notes', ENVIRONMENT)
    const [note] = [...notes.getRange({ limit: 1 })]
    if (note !== undefined) notes.putSync(Buffer.from(note.key), Buffer.from(note.value))
  } finally {
    await root.close()
  }
}

/** The same where it is worth it, at a start, which goes on whatever comes of it. */
export async function slim(
  folder: Folder,
  warn: (text: string) => void,
  inform: ((text: string) => void) | undefined,
): Promise<void> {
  if (folder.fileBytes < LARGE) return
  const file = new DataFile(folder.dataFile, () => {})
  const { live } = file.bytes
  file.close()
  if (live === 0 || live > LARGE || live * LOOSE > folder.fileBytes) return
  try {
    const { before, after } = await compact(folder)
    inform?.(`${folder.path} was compacted from ${megabytes(before)} to ${megabytes(after)}.`)
  } catch (error) {
    warn((error as Error).message)
  }
}

interface Look {
  readonly damages: readonly string[]
  readonly live: number
  /** The same for the same records. */
  readonly digest: number
}

/** `closely`: each record by itself. */
function look(path: string, closely: boolean): Look {
  const flaws: string[] = []
  const file = new DataFile(path, (what) => flaws.push(what))
  try {
    const audit = new Audit(file)
    if (closely) audit.run()
    let digest = 0
    for (const table of TABLES)
      for (const { key, value } of file.records(table, audit.complain))
        digest = crc32(value, crc32(key, digest + 1))
    return { damages: [...flaws, ...audit.damages], live: file.bytes.live, digest }
  } finally {
    file.close()
  }
}

function scarce(path: string, needed: number, free: number): StoreError {
  return new StoreError(
    `There is too little space on the disk of ${path} to compact it: ${megabytes(needed)} are needed for the copy, and ${megabytes(free)} are free. It is as it was.`,
  )
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
