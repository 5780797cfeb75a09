/** Looks through a whole store, in a process of its own: damaged files may end a process that reads them. */
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { StoreError } from './folder.ts'

/** What a survey found. */
export interface Findings {
  readonly messages: number
  readonly bytes: number
  readonly queues: number
  readonly retained: number
  /** What is wrong, a few examples of it. */
  readonly damages: readonly string[]
}

/**
 * The process. Its text is given to Node, so that it runs from sources and from a build alike: it
 * must not use anything outside itself.
 */
function look(): void {
  const { crc32 } = require('node:zlib') as typeof import('node:zlib')
  const [, lmdb = '', path = ''] = process.argv
  const { open } = require(lmdb) as typeof import('lmdb')
  const damages: string[] = []
  const complain = (what: string): void => {
    if (damages.length < 5) damages.push(what)
  }
  let messages = 0
  let bytes = 0
  let queues = 0
  let retained = 0
  try {
    const options = { encoding: 'binary', keyEncoding: 'binary', maxDbs: 6, overlappingSync: false } as const
    const root = open<Buffer, Buffer>({ path, ...options, readOnly: true })
    const table = (name: string): Iterable<{ key: Buffer; value: Buffer }> =>
      root.openDB<Buffer, Buffer>(name, options).getRange({ snapshot: false })
    const sums = new Map<number, { messages: number; bytes: number }>()
    const check = (key: Buffer, value: Buffer): void => {
      if (value.length < 16 || crc32(value.subarray(4)) !== value.readUInt32LE(0))
        complain(`the record ${key.toString('hex')} is not what was written`)
    }
    for (const { key, value } of table('messages')) {
      check(key, value)
      const queue = key.readUInt32BE(0)
      const sum = sums.get(queue) ?? { messages: 0, bytes: 0 }
      sum.messages++
      sum.bytes += value.length < 16 ? 0 : value.readDoubleLE(4)
      sums.set(queue, sum)
    }
    const ended = new Set<number>()
    for (const { key, value } of table('queues')) {
      if (value.length === 0) {
        ended.add(key.readUInt32BE(0))
        continue
      }
      queues++
      if (crc32(value.subarray(4)) !== value.readUInt32LE(0))
        complain(`the queue ${key.toString('hex')} is not what was written`)
    }
    for (const { key, value } of table('counts')) {
      const queue = key.readUInt32BE(0)
      const sum = sums.get(queue) ?? { messages: 0, bytes: 0 }
      if (ended.has(queue)) continue
      if (crc32(value.subarray(4)) !== value.readUInt32LE(0))
        complain(`the counts of queue ${queue} are not what was written`)
      else if (value.readDoubleLE(4) !== sum.messages || value.readDoubleLE(12) !== sum.bytes)
        complain(
          `queue ${queue} has ${sum.messages} messages of ${sum.bytes} bytes, and should have ${value.readDoubleLE(4)} of ${value.readDoubleLE(12)}`,
        )
      messages += sum.messages
      bytes += sum.bytes
      sums.delete(queue)
    }
    for (const [queue, sum] of sums)
      if (!ended.has(queue)) complain(`${sum.messages} messages belong to no queue`)
    for (const { key, value } of table('retained')) {
      retained++
      check(key, value)
    }
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error))
  }
  process.stdout.write(JSON.stringify({ messages, bytes, queues, retained, damages }))
}

/**
 * Undefined where it would have taken more than `patience` milliseconds.
 * Throws StoreError where the files cannot be read at all.
 */
export function survey(path: string, patience: number): Promise<Findings | undefined> {
  const lmdb = createRequire(import.meta.url).resolve('lmdb')
  return new Promise((resolve, reject) => {
    const options = { timeout: patience, killSignal: 'SIGKILL', windowsHide: true } as const
    execFile(process.execPath, ['-e', `(${look.toString()})()`, lmdb, path], options, (error, stdout) => {
      if (error === null) {
        try {
          return resolve(JSON.parse(stdout) as Findings)
        } catch {
          return reject(damaged(path, 'its files cannot be read'))
        }
      }
      if (error.killed === true && error.signal === 'SIGKILL') return resolve(undefined)
      reject(damaged(path, 'its files cannot be read'))
    })
  })
}

export function damaged(path: string, what: string): StoreError {
  return new StoreError(
    `The store in ${path} is damaged: ${what}. Restore the folder from a backup; or save what can be read with "stomp-broker store export --data-dir ${path} --out saved.jsonl" and import that into a new folder.`,
  )
}
