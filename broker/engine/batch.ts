import { OP_HEAD, PUT, REMOVE, BURY, TABLES } from './writer.ts'
import type { TableName } from './store.ts'

/** What can write itself. */
export interface Writable {
  readonly length: number
  put(target: Buffer, at: number): void
}

/** Memory that stays with an empty batch. */
const KEPT = 4 * 1024 * 1024
const FIRST = 64 * 1024

const numbers = new Map(TABLES.map((name, number) => [name, number] as const))

/** What is to be written to the store in one transaction, as the writer reads it. */
export class Batch {
  length = 0
  memory: Buffer

  /** `memory`: of an earlier batch. */
  constructor(memory: Buffer = Buffer.allocUnsafeSlow(FIRST)) {
    this.memory = memory.length > KEPT ? Buffer.allocUnsafeSlow(FIRST) : memory
  }

  put(table: TableName, key: Buffer, value: Writable): void {
    const at = this.add(PUT, table, key, value.length)
    value.put(this.memory, at)
  }

  putBytes(table: TableName, key: Buffer, value: Buffer): void {
    const at = this.add(PUT, table, key, value.length)
    value.copy(this.memory, at)
  }

  remove(table: TableName, key: Buffer): void {
    this.add(REMOVE, table, key, 0)
  }

  bury(key: Buffer): void {
    this.add(BURY, 'queues', key, 0)
  }

  /** Ops of another batch. */
  copy(bytes: Buffer): void {
    this.reserve(bytes.length)
    bytes.copy(this.memory, this.length)
    this.length += bytes.length
  }

  /** Where the value goes. */
  private add(op: number, table: TableName, key: Buffer, valueLength: number): number {
    const at = this.length
    const value = at + OP_HEAD + key.length
    this.reserve(OP_HEAD + key.length + valueLength)
    const { memory } = this
    memory[at] = op
    memory[at + 1] = numbers.get(table) ?? 0
    memory.writeUInt16LE(key.length, at + 2)
    memory.writeUInt32LE(valueLength, at + 4)
    key.copy(memory, at + OP_HEAD)
    this.length = value + valueLength
    return value
  }

  private reserve(bytes: number): void {
    const needed = this.length + bytes
    if (needed <= this.memory.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.memory.length))
    this.memory.copy(larger, 0, 0, this.length)
    this.memory = larger
  }
}
