/** Matching by its definition, to compare with: recursive, in no hurry, and with nothing of the broker's in it. */
export function naive(pattern: string, separator: '.' | '/', name: string): boolean {
  const [prefix, wanted] = divide(pattern, separator)
  const [other, found] = divide(name, separator)
  return prefix === other && segments(wanted, found)
}

function divide(name: string, separator: string): [string, string[]] {
  const levels = name.split('/')
  // A leading slash makes an empty level of its own.
  const depth = levels[1] === 'exchange' && levels.length > 2 ? 3 : 2
  const prefix = levels.slice(0, depth).join('/')
  return [prefix, levels.length > depth ? levels.slice(depth).join('/').split(separator) : []]
}

function segments(wanted: string[], found: string[]): boolean {
  const [first, ...others] = wanted
  if (first === undefined) return found.length === 0
  if (['#', '>', '**'].includes(first)) {
    return segments(others, found) || (found.length > 0 && segments(wanted, found.slice(1)))
  }
  return (
    found[0] !== undefined &&
    characters(Array.from(first), Array.from(found[0])) &&
    segments(others, found.slice(1))
  )
}

function characters(wanted: string[], found: string[]): boolean {
  const [first, ...others] = wanted
  const [letter, ...letters] = found
  if (first === undefined) return letter === undefined
  const some = letter !== undefined && letter !== '/'
  if (first === '*') return characters(others, found) || (some && characters(wanted, letters))
  if (first === '?') return some && characters(others, letters)
  return first === letter && characters(others, letters)
}
