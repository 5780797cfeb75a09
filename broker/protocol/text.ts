/**
 * The same text in memory of its own. A header is a slice of its frame's head, and keeps all of
 * that alive for as long as it is kept itself.
 */
export function copy(text: string): string {
  // The engine makes no slices as short as this.
  if (text.length < 13) return text
  return Buffer.from(text).toString()
}

// What a terminal or an editor might obey: control characters, line separators, and changes of direction.
const unsafe = /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g

/** Text of a client in an error or a log: short, and harmless to print. */
export function quote(text: string): string {
  const short = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
  return short.replace(unsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
