/** Bytes moved by hand: as long as they are few, that is cheaper than a call into Node. */
import { endianness } from 'node:os'

/** Fewer are not worth words. */
const SOME = 12
/** From so many on, copying is left to Node. */
const MANY = 160
/** The first byte of a word is its lowest, so that words can be shifted to move bytes. */
export const LITTLE: boolean = endianness() === 'LE'

/** The words of a buffer, of which the latest is remembered: views are made once for all the messages of a chunk. */
export class View {
  words: Int32Array = new Int32Array(0)
  /** Where the words begin, in the buffer. */
  base = 0
  private buffer: Buffer | undefined

  of(buffer: Buffer): this {
    if (buffer !== this.buffer) {
      const { byteOffset, length } = buffer
      this.buffer = buffer
      this.base = -byteOffset & 3
      this.words = new Int32Array(buffer.buffer, byteOffset + this.base, Math.max(length - this.base, 0) >> 2)
    }
    return this
  }
}

/** Of what is read from. */
export const source: View = new View()
const target = new View()

/** Copies bytes from `from` up to `to`. The position behind them, in the target. */
export function put(output: Buffer, at: number, input: Buffer, from: number, to: number): number {
  const length = to - from
  const next = at + length
  if (length >= MANY || !LITTLE) {
    input.copy(output, at, from, to)
    return next
  }
  if (length >= SOME) {
    const { words, base } = target.of(output)
    for (; ((at - base) & 3) !== 0; at++) output[at] = input[from++] as number // from < to <= input.length
    const skipped = move(words, (at - base) >> 2, (next - at) >> 2, source.of(input), from)
    at += skipped
    from += skipped
  }
  while (at < next) output[at++] = input[from++] as number // from < to <= input.length
  return next
}

/** Copies so many words from anywhere in the source. The bytes that were copied. */
function move(output: Int32Array, out: number, count: number, { words, base }: View, from: number): number {
  let into = (from - base) >> 2
  const right = ((from - base) & 3) << 3
  // What begins inside a word takes a part of the next one as well, which must be there; and the first, before the base.
  if (into < 0) return 0
  count = Math.min(count, words.length - into - 1)
  if (count <= 0) return 0
  const end = out + count
  if (right === 0) {
    while (out < end) output[out++] = words[into++] as number // into < words.length
    return count << 2
  }
  const left = 32 - right
  let word = words[into] as number // into < words.length
  while (out < end) {
    const following = words[++into] as number // into < words.length
    output[out++] = (word >>> right) | (following << left)
    word = following
  }
  return count << 2
}

/** Copies a whole buffer. The position behind it. */
export function putAll(output: Buffer, at: number, input: Buffer): number {
  output.set(input, at)
  return at + input.length
}

/** The same in memory of its own, not in Node's pool, of which a small one would keep 8 kB alive. */
export function copyOf(input: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(input.length)
  input.copy(copy)
  return copy
}

/** Bytes that are looked for. */
export class Sample {
  readonly length: number
  private readonly bytes: Uint8Array
  private readonly words: Int32Array
  /** What is left of the last word. */
  private readonly mask: number

  constructor(input: Buffer, from: number, to: number) {
    this.length = to - from
    this.words = new Int32Array((this.length + 3) >> 2)
    this.bytes = new Uint8Array(this.words.buffer)
    input.copy(this.bytes, 0, from, to)
    this.mask = (1 << ((this.length & 3) << 3)) - 1
  }

  /** Whether they stand at `from`. */
  stands(input: Buffer, from: number): boolean {
    const { words, base } = source.of(input)
    const sample = this.words
    let into = (from - base) >> 2
    if (!LITTLE || into < 0 || into + sample.length >= words.length) return this.standsBytewise(input, from)
    const right = ((from - base) & 3) << 3
    const whole = this.length >> 2
    for (let index = 0; index < whole; index++, into++) {
      if (wordAt(words, into, right) !== sample[index]) return false
    }
    return this.mask === 0 || ((wordAt(words, into, right) ^ (sample[whole] as number)) & this.mask) === 0 // the last one is a part
  }

  /** Where there are no whole words to look at, near the end of the buffer. */
  private standsBytewise(input: Buffer, from: number): boolean {
    const { bytes, length } = this
    for (let index = 0; index < length; index++) if (input[from + index] !== bytes[index]) return false
    return true
  }
}

/** The word that begins so many bits behind the beginning of another. The next one is there. */
function wordAt(words: Int32Array, at: number, right: number): number {
  const word = words[at] as number
  return right === 0 ? word : (word >>> right) | ((words[at + 1] as number) << (32 - right))
}

/** Writes a text, each character as one byte. The position behind it. */
export function putText(output: Buffer, at: number, text: string): number {
  if (text.length > 40) return at + output.write(text, at, 'latin1')
  for (let index = 0; index < text.length; index++) output[at++] = text.charCodeAt(index)
  return at
}

/** Whether the bytes from `from` up to `to` are this text of ASCII characters. */
export function holds(input: Buffer, from: number, to: number, text: string): boolean {
  if (to - from !== text.length) return false
  for (let index = 0; index < text.length; index++) {
    if (input[from + index] !== text.charCodeAt(index)) return false
  }
  return true
}
