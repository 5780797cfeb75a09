/** What is known of a queue and its messages beside them, as it lies on disk. */
import { crc32 } from 'node:zlib'

/** What a queue has on disk. */
export interface Counts {
  readonly messages: number
  readonly bytes: number
  /** No message has had a higher key. */
  readonly last: number
  /** Up to this key messages may have been handed out before. */
  readonly mark: number
}

/** How often a message was handed out and refused. */
export interface Tries {
  readonly attempt: number
  readonly refusals: number
}

const CRC_END = 4
const COUNTS = CRC_END + 4 * 8

/** With a checksum before it. */
export function seal(value: Buffer): Buffer {
  const sealed = Buffer.allocUnsafe(CRC_END + value.length)
  sealed.writeUInt32LE(crc32(value), 0)
  value.copy(sealed, CRC_END)
  return sealed
}

export function countsRecord({ messages, bytes, last, mark }: Counts): Buffer {
  const value = Buffer.allocUnsafe(COUNTS - CRC_END)
  for (const [index, number] of [messages, bytes, last, mark].entries())
    value.writeDoubleLE(number, index * 8)
  return seal(value)
}

/** What was in its seal. */
export function readCounts(value: Buffer): Counts {
  const [messages, bytes, last, mark] = [0, 8, 16, 24].map((at) => value.readDoubleLE(at))
  return { messages, bytes, last, mark } as Counts // there are four
}

export function triesRecord({ attempt, refusals }: Tries): Buffer {
  const value = Buffer.allocUnsafe(8)
  value.writeUInt32LE(attempt, 0)
  value.writeUInt32LE(refusals, 4)
  return seal(value)
}

/** Undefined where it is not what was sealed. */
export function contentOf(value: Buffer): Buffer | undefined {
  const content = value.subarray(CRC_END)
  return value.length < CRC_END || crc32(content) !== value.readUInt32LE(0) ? undefined : content
}

/** What was in its seal. */
export function readTries(value: Buffer): Tries {
  return { attempt: value.readUInt32LE(0), refusals: value.readUInt32LE(4) }
}
