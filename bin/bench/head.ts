/** What a client has to know of the head of a frame, found without a string. */
const LF = 10
const CR = 13
const COLON = 58

/** What scan() has found last: a result of its own for each message would be an object for each message. */
export const found = {
  /** -1 where it is not told. */
  contentLength: -1,
  /** Where the value of `ack` begins and ends; the same where there is none. */
  ackFrom: 0,
  ackTo: 0,
  /** The number that the subscription's id ends with; -1 where none is named. */
  subscription: -1,
}

/** Looks at the head of a frame. Returns where its body begins, or -1 when the head does not end before `end`. */
export function scan(bytes: Buffer, start: number, end: number): number {
  found.contentLength = -1
  found.subscription = -1
  found.ackFrom = found.ackTo = 0
  let at = start
  while (at < end && bytes[at] !== LF) at++
  for (at++; at < end; at++) {
    const line = at
    const first = bytes[at]
    if (first === LF) return at + 1
    while (at < end && bytes[at] !== LF) at++
    if (at >= end) return -1
    const stop = bytes[at - 1] === CR ? at - 1 : at
    if (stop === line) return at + 1
    // content-length, ack, subscription: by their length and what tells them from others with that.
    if (first === 99 && bytes[line + 14] === COLON && bytes[line + 8] === 108)
      found.contentLength = number(bytes, line + 15, stop)
    else if (first === 97 && bytes[line + 3] === COLON && bytes[line + 1] === 99 && bytes[line + 2] === 107) {
      found.ackFrom = line + 4
      found.ackTo = stop
    } else if (first === 115 && bytes[line + 12] === COLON && bytes[line + 1] === 117) {
      let digit = stop
      while (isDigit(bytes[digit - 1])) digit--
      found.subscription = number(bytes, digit, stop)
    }
  }
  return -1
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 48 && byte <= 57
}

function number(bytes: Buffer, at: number, end: number): number {
  let value = 0
  for (; at < end; at++) value = value * 10 + (bytes[at] as number) - 48
  return value
}
