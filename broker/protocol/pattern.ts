/** Wildcard patterns of topic names, in the dialects of RabbitMQ, ActiveMQ and Spring. */
import { StompError } from './errors.ts'
import { copy, quote } from './text.ts'

/** `auto`: `/` if the pattern has one after its prefix, else `.`. */
export type Separator = 'auto' | '.' | '/'

/**
 * What a pattern says of the segments of a name. `one` and `glob` take one segment, which may be
 * empty, and take no `/`: only a dotted pattern could meet one, and `/topic/*` must not hear
 * `/topic/room/1`. `rest` takes any number of segments, none included, whatever they hold.
 */
export type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one' }
  | { readonly kind: 'rest' }
  | Glob

/** Wildcards inside a segment. */
export interface Glob {
  readonly kind: 'glob'
  /** `?` is one character, `*` any run of them. No two `*` stand together, nor one before a `?`. */
  readonly text: string
  /** The letters before the first wildcard. */
  readonly head: string
  /** From the first wildcard to the last. */
  readonly middle: string
  /** The letters after the last wildcard. */
  readonly tail: string
}

export interface Pattern {
  /** As the client wrote it. */
  readonly text: string
  readonly separator: '.' | '/'
  /** As `prefixOf` tells it. */
  readonly prefix: string
  /** Never two `rest` in a row. */
  readonly segments: readonly Segment[]
}

/** What a subscription names: one topic, or all that match a pattern. */
export type Interest = string | Pattern

// What comes after a `#`, or in the middle of a glob, is looked for at every place of a name. These
// bound what the worst pattern costs a message, far above what anybody needs.
const MAX_AFTER_REST = 16
const MAX_MIDDLE = 64

// RabbitMQ's and ActiveMQ's letters occur in plain names too, as in `/topic/C#`: they mean
// something only as a whole segment.
const bounded = /(^|[./])[#>](?=$|[./])/

/**
 * Whether a name has wildcards: `*` and `?` anywhere, `#` and `>` as a whole segment. Those in
 * the prefix count, so that `parsePattern` refuses what would look like a pattern and be none.
 */
export function isPattern(name: string): boolean {
  return /[*?]/.test(name) || bounded.test(name)
}

/** Throws `invalid-destination`. */
export function parsePattern(text: string, separator: Separator): Pattern {
  // The segments are slices of it.
  const own = copy(text)
  const prefix = prefixOf(own)
  if (!own.startsWith('/') || isPattern(prefix)) {
    throw new StompError(
      'invalid-destination',
      `The pattern ${quote(text)} does not name its prefix; wildcards may stand after it, as in /topic/* or /exchange/name/*.`,
    )
  }
  const splitBy = separator === 'auto' ? (own.includes('/', prefix.length + 1) ? '/' : '.') : separator
  const segments: Segment[] = []
  const words = segmentsOf(own, prefix, splitBy)
  for (const [index, word] of words.entries()) {
    if (word === '>' && index < words.length - 1) {
      throw new StompError(
        'invalid-destination',
        `The pattern ${quote(text)} goes on after a >, which stands for all the rest; write # or ** for any number of segments in between.`,
      )
    }
    const segment = parseSegment(word)
    if (segment === undefined) {
      throw new StompError(
        'invalid-destination',
        `The pattern ${quote(text)} is split at each ${splitBy} into segments, and # and > must be one of their own; ${quote(word)} is not.`,
      )
    }
    if (segment.kind !== 'rest' || segments.at(-1)?.kind !== 'rest') segments.push(segment)
  }
  const rest = segments.findIndex(({ kind }) => kind === 'rest')
  if (rest !== -1 && segments.length - rest - 1 > MAX_AFTER_REST) {
    throw new StompError(
      'invalid-destination',
      `The pattern ${quote(text)} has more than ${MAX_AFTER_REST} segments after its first # or **; leave some out.`,
    )
  }
  if (segments.some((segment) => segment.kind === 'glob' && segment.middle.length > MAX_MIDDLE)) {
    throw new StompError(
      'invalid-destination',
      `The pattern ${quote(text)} has more than ${MAX_MIDDLE} characters from the first * or ? of a segment to its last; leave some out.`,
    )
  }
  return { text: own, separator: splitBy, prefix, segments }
}

/** Undefined for a `#` or `>` that would be a wildcard by the other separator: it must not be silence. */
function parseSegment(word: string): Segment | undefined {
  if (word === '#' || word === '**' || word === '>') return { kind: 'rest' }
  if (bounded.test(word)) return undefined
  if (!/[*?]/.test(word)) return { kind: 'literal', text: word }
  // What a run of wildcards means is how many characters at least, and whether more.
  const text = word.replace(/[*?]+/g, (run) => run.replaceAll('*', '') + (run.includes('*') ? '*' : ''))
  if (text === '*') return { kind: 'one' }
  const start = text.search(/[*?]/)
  const end = Math.max(text.lastIndexOf('*'), text.lastIndexOf('?')) + 1
  return {
    kind: 'glob',
    text,
    head: text.slice(0, start),
    middle: text.slice(start, end),
    tail: text.slice(end),
  }
}

/**
 * What a pattern must say in full, without the slash that ends it: the first segment, or an
 * exchange of RabbitMQ, behind which dotted keys begin. A name may be nothing else.
 */
export function prefixOf(name: string): string {
  const end = name.indexOf('/', name.startsWith('/exchange/') ? '/exchange/'.length : 1)
  return end === -1 ? name : name.slice(0, end)
}

/** What follows the prefix. Empty segments count, as they do for RabbitMQ. */
export function segmentsOf(name: string, prefix: string, separator: '.' | '/'): string[] {
  return name.length === prefix.length ? [] : name.slice(prefix.length + 1).split(separator)
}

/** For a pattern that is used by itself; many at once are the business of the subscriptions' index. */
export function matchesPattern(pattern: Pattern, name: string): boolean {
  const { prefix, segments } = pattern
  if (prefixOf(name) !== prefix) return false
  const words = segmentsOf(name, prefix, pattern.separator)
  // Only the latest `rest` is ever tried again, because it can take whatever an earlier one could
  // have taken besides. So the steps are at most segments times words.
  let rest = -1
  let retry = 0
  let at = 0
  for (let index = 0; index < words.length;) {
    const segment = segments[at]
    if (segment?.kind === 'rest') {
      rest = at++
      retry = index
    } else if (segment !== undefined && takes(segment, words[index] ?? '')) {
      at++
      index++
    } else if (rest === -1) {
      return false
    } else {
      at = rest + 1
      index = ++retry
    }
  }
  if (segments[at]?.kind === 'rest') at++
  return at === segments.length
}

function takes(segment: Segment, word: string): boolean {
  switch (segment.kind) {
    case 'literal':
      return segment.text === word
    case 'glob':
      return matchesGlob(segment, word)
    default:
      return !word.includes('/')
  }
}

const STAR = 42
const SLASH = 47
const QUESTION = 63

/** Like `matchesPattern`, a level below: only the latest `*` is ever tried again. */
export function matchesGlob(glob: Glob, word: string): boolean {
  const { head, middle, tail } = glob
  const end = word.length - tail.length
  if (end < head.length || !word.startsWith(head) || !word.endsWith(tail)) return false
  let star = -1
  let retry = 0
  let at = 0
  for (let index = head.length; index < end;) {
    const wanted = middle.charCodeAt(at)
    const found = word.charCodeAt(index)
    if (wanted === STAR) {
      star = at++
      retry = index
    } else if (wanted === QUESTION && found !== SLASH) {
      at++
      index += width(word, index)
    } else if (wanted === found) {
      at++
      index++
    } else if (star === -1 || word.charCodeAt(retry) === SLASH) {
      return false
    } else {
      // By units will do: a letter follows a star, and none begins in the middle of a character.
      at = star + 1
      index = ++retry
    }
  }
  if (middle.charCodeAt(at) === STAR) at++
  return at === middle.length
}

/** A character may be two units of a string: `?` takes both or none. */
function width(word: string, index: number): 1 | 2 {
  return (word.codePointAt(index) ?? 0) > 0xffff ? 2 : 1
}

export function matchesInterest(interest: Interest, name: string): boolean {
  return typeof interest === 'string' ? interest === name : matchesPattern(interest, name)
}

/**
 * The same for two interests only if they are the same: `a.#` and `a.>` are, `a.*` split at dots
 * and `a.*` split at slashes are not. A name is its own key; names begin with a slash, the keys of
 * patterns do not.
 */
export function interestKey(interest: Interest): string {
  if (typeof interest === 'string') return interest
  const { separator, prefix, segments } = interest
  const words = segments.map((segment) => {
    if (segment.kind === 'one') return '*'
    return segment.kind === 'rest' ? '#' : segment.text
  })
  const rest = words.length === 0 ? '' : `/${words.join(separator)}`
  return `${separator === '.' ? 'dotted' : 'slashed'} ${prefix}${rest}`
}
