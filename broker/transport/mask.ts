import { LITTLE, source } from '../protocol/bytes.ts'

/** Shorter payloads are not worth a view of words. */
const WORTH_WORDS = 48
const HIGH_BITS = 0x80808080 | 0

/**
 * Takes the mask off `buffer[from, to)`, in place (RFC 6455, 5.3); its four bytes lie before the
 * payload. True when all of it is ASCII, which is found out by the way.
 */
export function unmask(buffer: Buffer, from: number, to: number): boolean {
  // Byte 0 of the mask lowest, as the words are.
  let mask = buffer.readInt32LE(from - 4)
  let seen = 0
  let at = from
  if (LITTLE && to - from >= WORTH_WORDS) {
    const { words, base } = source.of(buffer)
    for (; ((at - base) & 3) !== 0; at++) {
      seen |= buffer[at] = (buffer[at] as number) ^ (mask & 0xff) // at < to <= buffer.length
      mask = (mask >>> 8) | (mask << 24)
    }
    let index = (at - base) >> 2
    const end = index + ((to - at) >> 2)
    at += (end - index) << 2
    let bits = 0
    for (; index < end; index++) bits |= words[index] = (words[index] as number) ^ mask // within the buffer
    if ((bits & HIGH_BITS) !== 0) seen |= 0x80
  }
  for (; at < to; at++) {
    seen |= buffer[at] = (buffer[at] as number) ^ (mask & 0xff) // at < to <= buffer.length
    mask = (mask >>> 8) | (mask << 24)
  }
  return (seen & 0x80) === 0
}
