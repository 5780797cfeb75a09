/** A message as it lies on disk. */
import { crc32 } from 'node:zlib'
import { Made, type Content } from '../model/content.ts'
import { Message, type Terms } from '../model/message.ts'
import type { Destination } from '../protocol/destination.ts'
import { DeadLetter, type Past } from './dead-letter.ts'

/**
 * Checksum of all that follows, size the message counts for, length of the head; then the head,
 * which is JSON, and the body.
 */
const CRC_END = 4
const SIZE_END = 12
const HEAD = 16

/** What the head holds, in this order: names would be in every message. */
type Head = readonly [
  id: string,
  kind: Destination['kind'],
  name: string,
  shown: string,
  expires: number,
  priority: number | null,
  delay: number,
  group: string | null,
  retain: 'set' | 'remove' | null,
  persistent: boolean,
  sender: string,
  /** When its time comes, in milliseconds since the epoch; 0 for at once. */
  due: number,
  /** When it expires in its queue, in milliseconds since the epoch; 0 for never. */
  until: number,
  /** Names and values in turn. */
  headers: readonly string[],
  past: Past | null,
]

/** Where the headers stand in it. */
const HEADERS = 13

/** What was read of a record. */
export interface Stored {
  readonly message: Message
  readonly content: Content
  readonly due: number
  readonly until: number
}

/** A record that is not what was written. */
export class RecordError extends Error {
  override readonly name = 'RecordError'
}

/** A message about to be written. */
export class Draft {
  readonly length: number
  private readonly message: Message
  private readonly head: string

  /** When its time comes, and when it expires in its queue: milliseconds since the epoch, or 0. */
  constructor(message: Message, due: number, until: number) {
    const { id, destination, terms, sender, headers } = message
    const flat: string[] = []
    for (const [name, value] of headers) flat.push(name, value)
    const head: Head = [
      id,
      destination.kind,
      destination.name,
      destination.shown,
      terms.expires,
      terms.priority ?? null,
      terms.delay,
      terms.group ?? null,
      terms.retain ?? null,
      terms.persistent,
      sender,
      due,
      until,
      flat,
      message instanceof DeadLetter ? message.past : null,
    ]
    this.message = message
    this.head = JSON.stringify(head)
    this.length = HEAD + Buffer.byteLength(this.head) + message.body.length
  }

  put(target: Buffer, at: number): void {
    const { message, head, length } = this
    target.writeDoubleLE(message.size, at + CRC_END)
    const headLength = target.write(head, at + HEAD)
    target.writeUInt32LE(headLength, at + SIZE_END)
    message.body.copy(target, at + HEAD + headLength)
    target.writeUInt32LE(crc32(target.subarray(at + CRC_END, at + length)), at)
  }
}

/** Bytes the message of a record counts for against the limits; 0 where the record does not say. */
export function sizeOf(record: Buffer): number {
  const size = record.length < HEAD ? 0 : record.readDoubleLE(CRC_END)
  return Number.isSafeInteger(size) && size > 0 ? size : 0
}

/** Whether it is what was written. */
export function isIntact(record: Buffer): boolean {
  return record.length >= HEAD && crc32(record.subarray(CRC_END)) === record.readUInt32LE(0)
}

/** Throws RecordError where the record is damaged. The body is a part of `record`. */
export function readRecord(record: Buffer): Stored {
  if (!isIntact(record)) throw new RecordError('its checksum is wrong')
  const end = HEAD + record.readUInt32LE(SIZE_END)
  const head = JSON.parse(record.toString('utf8', HEAD, end)) as Head // what was written, by its checksum
  const [id, kind, name, shown, expires, priority, delay, group, retain, persistent, sender, due, until] =
    head
  const [headers, past] = head.slice(HEADERS) as [Head[13], Head[14]]
  const terms: Terms = {
    expires,
    priority: priority ?? undefined,
    delay,
    group: group ?? undefined,
    retain: retain ?? undefined,
    persistent,
  }
  const destination: Destination = { kind, name, shown, temporary: false }
  const map = new Map<string, string>()
  for (let at = 0; at < headers.length; at += 2) map.set(headers[at] ?? '', headers[at + 1] ?? '')
  const content = new Made(map, record.subarray(end))
  const message = new Message(id, destination, content, sizeOf(record), terms, sender)
  return { message: past === null ? message : DeadLetter.again(message, past), content, due, until }
}
