import { randomBytes } from 'node:crypto'

// A stamp is the beginning of a body: which run, which publisher, its how-manieth message, and when it was
// sent. Digits of four bits are the letters a to p, which no transport has to escape.
const RUN = 6
const PUBLISHER = 5
const WORD = 8

/** Bytes of a stamp, and so of the smallest body. */
export const STAMP = RUN + PUBLISHER + WORD + WORD
export const MOST_PUBLISHERS = 16 ** PUBLISHER

const ZERO = 97

/** A name that no other run has. */
export function runName(): string {
  return Array.from(randomBytes(RUN), (byte) => String.fromCharCode(ZERO + (byte & 15))).join('')
}

/** The stamp that a message is made with; all but the run is filled in when it is sent. */
export function blank(run: string): string {
  return run + 'a'.repeat(STAMP - RUN)
}

/** Fills in a stamp that lies masked in `bytes`; `phase` is the place of its first byte in the key. */
export function write(
  bytes: Buffer,
  at: number,
  key: Uint8Array,
  phase: number,
  publisher: number,
  sequence: number,
  time: number,
): void {
  putDigits(bytes, at + RUN, PUBLISHER, publisher, key, phase + RUN)
  putDigits(bytes, at + RUN + PUBLISHER, WORD, sequence, key, phase + RUN + PUBLISHER)
  putDigits(bytes, at + RUN + PUBLISHER + WORD, WORD, time, key, phase + RUN + PUBLISHER + WORD)
}

function putDigits(
  bytes: Buffer,
  at: number,
  count: number,
  value: number,
  key: Uint8Array,
  phase: number,
): void {
  for (let index = count - 1; index >= 0; index--) {
    bytes[at + index] = (ZERO + (value & 15)) ^ (key[(phase + index) & 3] as number)
    value >>>= 4
  }
}

/** Whether a stamp of the run begins at `at`. */
export function isOf(run: Uint8Array, bytes: Buffer, at: number): boolean {
  for (let index = 0; index < RUN; index++) if (bytes[at + index] !== run[index]) return false
  return true
}

export function publisherOf(bytes: Buffer, at: number): number {
  return digits(bytes, at + RUN, PUBLISHER)
}
export function sequenceOf(bytes: Buffer, at: number): number {
  return digits(bytes, at + RUN + PUBLISHER, WORD)
}
export function timeOf(bytes: Buffer, at: number): number {
  return digits(bytes, at + RUN + PUBLISHER + WORD, WORD)
}

function digits(bytes: Buffer, at: number, count: number): number {
  let value = 0
  for (let end = at + count; at < end; at++) value = (value << 4) | ((bytes[at] as number) - ZERO)
  return value >>> 0
}
