import { NASTY } from './corpus.ts'
import type { Random } from './random.ts'

/** Spoils bytes in one of many ways. */
export function mutate(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length + 1)
  const to = Math.min(at + random.between(1, 40), bytes.length)
  const [before, middle, after] = [bytes.subarray(0, at), bytes.subarray(at, to), bytes.subarray(to)]
  switch (random.below(9)) {
    case 0:
      return flip(bytes, random, 1)
    case 1:
      return flip(bytes, random, random.between(2, 30))
    case 2:
      return Buffer.from(before)
    case 3:
      return Buffer.concat([before, after])
    case 4:
      return Buffer.concat([before, middle, middle, after])
    case 5:
      return Buffer.concat([before, random.bytes(random.between(1, 12)), middle, after])
    case 6: {
      // A line in the place of another, or between two.
      const line = bytes.indexOf(10, at) + 1
      const end = random.chance(0.5) ? line : bytes.indexOf(10, line) + 1
      const nasty = Buffer.from(`${random.pick(NASTY)}\n`)
      return Buffer.concat([bytes.subarray(0, line), nasty, bytes.subarray(Math.max(end, line))])
    }
    case 7: {
      const line = bytes.indexOf(10, at) + 1
      const flood = Array.from({ length: random.between(100, 400) }, (_, index) => `h${index}:${index}\n`)
      return Buffer.concat([bytes.subarray(0, line), Buffer.from(flood.join('')), bytes.subarray(line)])
    }
    default: {
      // The end of it, put behind the beginning.
      const other = random.below(bytes.length + 1)
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(other)])
    }
  }
}

function flip(bytes: Buffer, random: Random, count: number): Buffer {
  const copy = Buffer.from(bytes)
  for (let index = 0; index < count && copy.length > 0; index++) {
    const at = random.below(copy.length)
    copy[at] = copy.readUInt8(at) ^ (1 << random.below(8))
  }
  return copy
}

/** Cuts bytes at a few places, anywhere. */
export function split(bytes: Buffer, random: Random, most: number): Buffer[] {
  const cuts = Array.from({ length: random.below(most + 1) }, () => random.below(bytes.length + 1))
  const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
  return places.slice(1).map((place, index) => bytes.subarray(places[index], place))
}
