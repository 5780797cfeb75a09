import { randomBytes } from 'node:crypto'

/** An unguessable name of letters, digits, `-` and `_`: safe in a header and in a URL. */
export function newId(): string {
  return randomBytes(15).toString('base64url')
}
