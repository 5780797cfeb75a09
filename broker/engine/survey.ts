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
  /** Of the store. */
  readonly id: string
  /** What is wrong, a few examples of it. */
  readonly damages: readonly string[]
}

/**
 * The process. Its text is given to Node, so that it runs from sources and from a build alike: it
 * must not use anything outside itself. It says a line when all but the messages was looked
 * through, which is what a start reads, and then what it found.
 */
function look(): void {
  const { closeSync, openSync, readSync, writeSync } = require('node:fs') as typeof import('node:fs')
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
  let id = ''

  /** LMDB has two pages that tell where everything is, written in turn: it does not see by itself that the later one is not what was written. */
  const checkHeads = (): void => {
    const MAGIC = 24
    const PAGE_SIZE = 48
    const TRANSACTION = 152
    const file = openSync(`${path}/data.mdb`, 'r')
    const head = Buffer.alloc(160)
    const numbers: bigint[] = []
    let size = 0
    for (const page of [0, 1]) {
      if (readSync(file, head, 0, head.length, page * size) < head.length) break
      size = head.readUInt32LE(PAGE_SIZE)
      if (head.readUInt32LE(MAGIC) !== 0xbeefc0de) break
      numbers.push(head.readBigUInt64LE(TRANSACTION))
    }
    closeSync(file)
    const [even, odd] = numbers
    const inTurn =
      even !== undefined &&
      odd !== undefined &&
      even % 2n === 0n &&
      odd % 2n === 1n &&
      (even - odd === 1n || odd - even === 1n)
    if (!inTurn) complain('the beginning of data.mdb is not what was written')
  }

  const survey = (): void => {
    const options = { encoding: 'binary', keyEncoding: 'binary', maxDbs: 6, overlappingSync: false } as const
    const root = open<Buffer, Buffer>({ path, noSubdir: false, ...options, readOnly: true })
    /** In the order of their keys, or what leads to them is damaged, and there might be no end. */
    const table = function* (name: string): Generator<{ key: Buffer; value: Buffer }, void, void> {
      const found = root.openDB<Buffer, Buffer>(name, options)
      if (found === undefined) throw new Error(`there is no table of ${name}`)
      let before: Buffer | undefined
      for (const { key, value } of found.getRange({ snapshot: false })) {
        if (before !== undefined && Buffer.compare(before, key) >= 0)
          throw new Error(`the ${name} are not in their order`)
        before = Buffer.from(key)
        yield { key, value }
      }
    }
    const check = (what: string, key: Buffer, value: Buffer, length: number): boolean => {
      if (value.length >= length && crc32(value.subarray(4)) === value.readUInt32LE(0)) return true
      complain(`the ${what} ${key.toString('hex')} is not what was written`)
      return false
    }
    for (const { key, value } of table('notes')) if (key.toString() === 'id') id = value.toString()
    const living = new Set<number>()
    const ended = new Set<number>()
    for (const { key, value } of table('queues')) {
      const queue = key.readUInt32BE(0)
      if (value.length === 0) {
        ended.add(queue)
      } else if (check('queue', key, value, 4)) {
        queues++
        living.add(queue)
      }
    }
    const counts = new Map<number, { messages: number; bytes: number; last: number }>()
    for (const { key, value } of table('counts')) {
      const queue = key.readUInt32BE(0)
      if (ended.has(queue)) continue
      if (!living.has(queue)) complain(`there is no queue ${queue}, which has counts`)
      if (check('counts of queue', key, value, 36))
        counts.set(queue, {
          messages: value.readDoubleLE(4),
          bytes: value.readDoubleLE(12),
          last: value.readDoubleLE(20),
        })
    }
    for (const { key, value } of table('retained')) {
      retained++
      check('retained message', key, value, 16)
    }
    for (const { key, value } of table('attempts')) check('note on message', key, value, 12)
    if (damages.length > 0) return
    writeSync(1, '\n')

    const sums = new Map<number, { messages: number; bytes: number }>()
    for (const { key, value } of table('messages')) {
      const queue = key.readUInt32BE(0)
      if (ended.has(queue)) continue
      check('message', key, value, 16)
      const sum = sums.get(queue) ?? { messages: 0, bytes: 0 }
      sum.messages++
      sum.bytes += value.length < 16 ? 0 : value.readDoubleLE(4)
      sums.set(queue, sum)
      // Messages that wait for their time have keys of their own.
      const { last = 0 } = counts.get(queue) ?? {}
      if (key.readUIntBE(4, 6) % 2 ** 47 > last)
        complain(`queue ${queue} has a message that it does not know of`)
    }
    for (const queue of living) {
      const sum = sums.get(queue) ?? { messages: 0, bytes: 0 }
      const expected = counts.get(queue) ?? { messages: 0, bytes: 0 }
      messages += sum.messages
      bytes += sum.bytes
      sums.delete(queue)
      if (sum.messages !== expected.messages || sum.bytes !== expected.bytes)
        complain(
          `queue ${queue} has ${sum.messages} messages of ${sum.bytes} bytes, and should have ${expected.messages} of ${expected.bytes}`,
        )
    }
    for (const sum of sums.values()) complain(`${sum.messages} messages belong to no queue`)
  }

  try {
    checkHeads()
    if (damages.length === 0) survey()
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error))
  }
  writeSync(1, JSON.stringify({ messages, bytes, queues, retained, id, damages }))
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
      // What a start reads was in order.
      if (error.killed === true && error.signal === 'SIGKILL' && stdout !== '') return resolve(undefined)
      reject(damaged(path, 'its files cannot be read'))
    })
  })
}

export function damaged(path: string, what: string): StoreError {
  return new StoreError(
    `The store in ${path} is damaged: ${what}. Restore the folder from a backup; or save what can be read with "stomp-broker store export --data-dir ${path} --out saved.jsonl" and import that into a new folder.`,
  )
}
