import { randomFillSync } from 'node:crypto'

const BYTES = 15
/** Random bytes are cheap by the kilobyte, and dear one id at a time. */
const pool = Buffer.allocUnsafeSlow(256 * BYTES)
let used = pool.length

/** An unguessable name of letters, digits, `-` and `_`: safe in a header and in a URL. */
export function newId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += BYTES
  return pool.toString('base64url', used - BYTES, used)
}
