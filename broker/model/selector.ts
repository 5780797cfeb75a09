/**
 * The message selectors of JMS: a condition in the manner of SQL-92 over the headers of a message.
 *
 *   condition  = and *( OR and )
 *   and        = not *( AND not )
 *   not        = NOT not / comparison
 *   comparison = sum [ ( "=" / "<>" / "!=" / "<" / "<=" / ">" / ">=" ) sum
 *                    / [ NOT ] BETWEEN sum AND sum
 *                    / [ NOT ] IN "(" literal *( "," literal ) ")"
 *                    / [ NOT ] LIKE text [ ESCAPE text ]
 *                    / IS [ NOT ] NULL ]
 *   sum        = product *( ( "+" / "-" ) product )
 *   product    = value *( ( "*" / "/" ) value )
 *   value      = ( "+" / "-" ) value / literal / TRUE / FALSE / name / "(" condition ")"
 *
 * Headers are text. Compared with a number they are converted, where ActiveMQ asks for a prefix to
 * do so; what does not look like one is UNKNOWN, as is a header that is missing, and only a message
 * for which the whole is TRUE is taken. Text knows `=` and `<>` only: JMS says so, and ActiveMQ
 * refuses `<` beside a text literal as well, which is nearly always a number in quotes by mistake.
 */
import { StompError } from '../protocol/errors.ts'
import type { Headers } from '../protocol/frame.ts'
import { copy, quote } from '../protocol/text.ts'

/** What a selector can look at. */
export interface Selectable {
  readonly id: string
  readonly headers: Headers
}

/** Whether a message is taken. Never throws. */
export type Selector = (message: Selectable) => boolean

/** Characters of a selector. */
export const MAX_SELECTOR = 2048

/**
 * Characters of all patterns after LIKE together: each may be compared with each one of a header.
 * A pattern that has to be searched for counts as 32, which cost no more than one does.
 */
export const MAX_LIKE = 256
const SEARCH = 32

/** Levels of parentheses, NOT and signs within each other: neither parsing nor evaluating goes deeper. */
export const MAX_SELECTOR_DEPTH = 64

/**
 * Throws `invalid-selector`, with the place. A blank selector takes every message, as in JMS:
 * front-ends send one where nothing was chosen.
 */
export function parseSelector(text: string): Selector {
  if (text.length > MAX_SELECTOR) {
    throw new StompError(
      'invalid-selector',
      `The selector has ${text.length} characters; it may have ${MAX_SELECTOR}.`,
    )
  }
  const test = new Parser(copy(text)).parse()
  return (message) => test(message) === true
}

/** A part of a selector, asked of a message; undefined is NULL, or UNKNOWN. */
type Read<T> = (message: Selectable) => T | undefined

type Node = { readonly at: number } & (
  | { readonly kind: 'condition'; readonly read: Read<boolean> }
  | { readonly kind: 'number'; readonly read: Read<number> }
  | { readonly kind: 'text'; readonly read: Read<string> }
  | { readonly kind: 'header'; readonly read: Read<string> }
)

const described = { condition: 'a condition', number: 'a number', text: 'text', header: 'a header' }

interface Token {
  readonly kind: 'keyword' | 'symbol' | 'name' | 'text' | 'number' | 'end'
  readonly at: number
  readonly end: number
  /** A keyword in capitals, text without its quotes; a name that was quoted still has them. */
  readonly value: string
  /** NaN unless it is one. */
  readonly number: number
}

const keywords: ReadonlySet<string> = new Set(
  'AND BETWEEN ESCAPE FALSE IN IS LIKE NOT NULL OR TRUE'.split(' '),
)

// Sticky: each is tried at one place of the text and looks no further than it matches.
const blanks = /[ \t\n\f\r]*/y
const symbols = /<>|!=|<=|>=|[=<>+\-*/(),]/y
// The closing quote is one that stands alone; two are a quote in the text.
const quoted = /'[^']*(?:''[^']*)*'(?!')|"[^"]*(?:""[^"]*)*"(?!")/y
const numbers = /0[xX][\da-fA-F]*|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y
// Java's identifiers, which JMS asks for, and dots.
const names = /[\p{L}\p{Nl}\p{Sc}\p{Pc}][\p{L}\p{Nl}\p{Sc}\p{Pc}\p{Mn}\p{Mc}\p{Nd}.]*/uy
const hyphenated =
  /[\p{L}\p{Nl}\p{Sc}\p{Pc}](?:[\p{L}\p{Nl}\p{Sc}\p{Pc}\p{Mn}\p{Mc}\p{Nd}.]|-(?=[\p{L}\p{Nl}\p{Sc}\p{Pc}\p{Mn}\p{Mc}\p{Nd}.]))*/uy

const CONVERT = 'convert_string_expressions:'
const HYPHENATE = 'hyphenated_props:'

/** JMS's names for what STOMP says in headers, or the broker in the id. */
const jms: ReadonlyMap<string, Read<string>> = new Map<string, Read<string>>([
  ['JMSMessageID', (message) => message.id],
  ['JMSPriority', ({ headers }) => headers.get('priority') ?? '4'],
  ['JMSTimestamp', ({ headers }) => headers.get('timestamp')],
  ['JMSCorrelationID', ({ headers }) => headers.get('correlation-id')],
  ['JMSType', ({ headers }) => headers.get('type')],
  ['JMSReplyTo', ({ headers }) => headers.get('reply-to')],
  ['JMSExpiration', ({ headers }) => headers.get('expires')],
  [
    'JMSDeliveryMode',
    ({ headers }) => (headers.get('persistent') === 'true' ? 'PERSISTENT' : 'NON_PERSISTENT'),
  ],
  ['JMSXGroupID', ({ headers }) => headers.get('JMSXGroupID') ?? headers.get('message_group')],
])

/** They differ from delivery to delivery; a selector is asked of the message. */
const unsupported: ReadonlySet<string> = new Set(['JMSRedelivered', 'JMSXDeliveryCount'])

/** What a comparison makes of left before (-1), with (0) or behind (1) right. */
const comparisons: ReadonlyMap<string, (order: number) => boolean> = new Map([
  ['=', (order: number) => order === 0],
  ['<>', (order: number) => order !== 0],
  ['!=', (order: number) => order !== 0],
  ['<', (order: number) => order < 0],
  ['<=', (order: number) => order <= 0],
  ['>', (order: number) => order > 0],
  ['>=', (order: number) => order >= 0],
])
const onlyNumbers: ReadonlySet<string> = new Set(['<', '<=', '>', '>='])

type Step = (left: number, right: number) => number
const sums: ReadonlyMap<string, Step> = new Map<string, Step>([
  ['+', (left, right) => left + right],
  ['-', (left, right) => left - right],
])
const products: ReadonlyMap<string, Step> = new Map<string, Step>([
  ['*', (left, right) => left * right],
  ['/', (left, right) => left / right],
])

/** One token ahead, so that of two mistakes the first one is told. */
class Parser {
  private readonly text: string
  private readonly names: RegExp
  private token: Token
  private depth = 0
  /** Characters of all patterns. */
  private likes = 0

  constructor(text: string) {
    this.text = text
    let start = 0
    let hyphens = false
    for (;;) {
      start += match(blanks, text, start).length
      if (text.startsWith(CONVERT, start)) {
        // Conversion is what we do anyway.
        start += CONVERT.length
      } else if (text.startsWith(HYPHENATE, start)) {
        start += HYPHENATE.length
        hyphens = true
      } else break
    }
    this.names = hyphens ? hyphenated : names
    this.token = this.scan(start)
  }

  parse(): Read<boolean> {
    if (this.is('end', '')) return () => true
    const test = this.truth(this.condition())
    if (!this.is('end', '')) throw this.unexpected('an operator, AND, OR or the end')
    return test
  }

  private condition(): Node {
    return this.junction('OR', true, () => this.junction('AND', false, () => this.negation()))
  }

  /**
   * AND and OR: one operand that is `decisive` decides, else one that is UNKNOWN. As a list, so that
   * a long chain is no deeper than a short one.
   */
  private junction(word: 'AND' | 'OR', decisive: boolean, operand: () => Node): Node {
    const first = operand()
    if (!this.is('keyword', word)) return first
    const tests = [this.truth(first)]
    while (this.skip('keyword', word)) tests.push(this.truth(operand()))
    return { kind: 'condition', at: first.at, read: join(tests, decisive) }
  }

  private negation(): Node {
    const { at } = this.token
    if (!this.is('keyword', 'NOT')) return this.comparison()
    this.descend()
    const test = this.truth(this.negation())
    this.depth--
    return { kind: 'condition', at, read: negate(test) }
  }

  private comparison(): Node {
    const left = this.sum()
    const { at } = left
    const { kind, value } = this.token
    const holds = kind === 'symbol' ? comparisons.get(value) : undefined
    if (holds !== undefined) {
      this.advance()
      return { kind: 'condition', at, read: this.compare(left, value, holds, this.sum()) }
    }
    if (this.skip('keyword', 'IS')) {
      const not = this.skip('keyword', 'NOT')
      this.expect('keyword', 'NULL', not ? 'NULL' : 'NULL or NOT NULL')
      const read = this.header(left, 'IS NULL')
      return { kind: 'condition', at, read: (message) => (read(message) === undefined) !== not }
    }
    const not = this.skip('keyword', 'NOT')
    const test = this.range(left)
    if (test !== undefined) return { kind: 'condition', at, read: not ? negate(test) : test }
    if (not) throw this.unexpected('BETWEEN, IN or LIKE after NOT')
    return left
  }

  /** BETWEEN, IN and LIKE, which may have a NOT before them. */
  private range(left: Node): Read<boolean> | undefined {
    if (this.skip('keyword', 'BETWEEN')) {
      const low = this.sum()
      this.expect('keyword', 'AND', 'AND and the upper end of BETWEEN')
      const high = this.sum()
      return join(
        [
          this.compare(left, '>=', (order) => order >= 0, low),
          this.compare(left, '<=', (order) => order <= 0, high),
        ],
        false,
      )
    }
    if (this.skip('keyword', 'IN')) return member(this.header(left, 'IN'), this.list())
    if (this.skip('keyword', 'LIKE')) return like(this.header(left, 'LIKE'), this.pattern())
    return undefined
  }

  private compare(
    left: Node,
    operator: string,
    holds: (order: number) => boolean,
    right: Node,
  ): Read<boolean> {
    if (onlyNumbers.has(operator)) {
      for (const side of [left, right]) {
        if (side.kind === 'number' || side.kind === 'header') continue
        const found = described[side.kind]
        throw this.wrong(side.at, found, `a number or a header; ${found} can only be compared by = and <>`)
      }
    }
    if (left.kind === 'number' || right.kind === 'number') {
      return ordered(this.amount(left), this.amount(right), numerically, holds)
    }
    if (left.kind === 'condition' || right.kind === 'condition') {
      return ordered(this.truth(left), this.truth(right), sameness, holds)
    }
    // Text that is written as such stays text: `zip = '01067'` does not mean 1067.
    const both = left.kind === 'header' && right.kind === 'header'
    return ordered(left.read, right.read, both ? naturally : sameness, holds)
  }

  /** `("a", 5, -1)`. */
  private list(): { texts: ReadonlySet<string>; values: ReadonlySet<number> } {
    const texts = new Set<string>()
    const values = new Set<number>()
    this.expect('symbol', '(', '( and a list')
    do {
      const minus = this.skip('symbol', '-')
      const signed = minus || this.skip('symbol', '+')
      const { kind, value, number } = this.token
      if (kind === 'number') values.add(minus ? -number : number)
      else if (kind === 'text' && !signed) texts.add(value)
      else throw this.unexpected(signed ? 'a number' : 'text in single quotes or a number')
      this.advance()
    } while (this.skip('symbol', ','))
    this.expect('symbol', ')', ', or )')
    return { texts, values }
  }

  /** What LIKE looks for: code points, and the two wildcards as they are below. */
  private pattern(): readonly number[] {
    const text = this.token
    if (text.kind !== 'text') throw this.unexpected('a pattern in single quotes')
    this.advance()
    let escape: number | undefined
    if (this.skip('keyword', 'ESCAPE')) {
      const { kind, value } = this.token
      escape = value.codePointAt(0)
      if (kind !== 'text' || escape === undefined || value.length !== width(escape)) {
        throw this.unexpected('one character in single quotes')
      }
      this.advance()
    }
    const points: number[] = []
    let escaped = false
    for (const character of text.value) {
      const point = character.codePointAt(0) ?? 0
      if (!escaped && point === escape) {
        escaped = true
        continue
      }
      if (escaped) points.push(point)
      else points.push(character === '%' ? ANY : character === '_' ? ONE : point)
      escaped = false
    }
    if (escaped) throw this.wrong(text.at, this.show(text), 'a character after the last escape character')
    const any = points.indexOf(ANY)
    const searched = any >= 0 && points.some((point, index) => index > any && point !== ANY)
    this.likes += Math.max(points.length, searched ? SEARCH : 0)
    if (this.likes > MAX_LIKE) {
      throw this.wrong(
        text.at,
        this.show(text),
        `at most ${MAX_LIKE} characters in all patterns after LIKE, ${SEARCH} for a short one with % before its end`,
      )
    }
    return points
  }

  private sum(): Node {
    return this.arithmetic(sums, () => this.arithmetic(products, () => this.value()))
  }

  private arithmetic(operators: ReadonlyMap<string, Step>, operand: () => Node): Node {
    const first = operand()
    let apply = this.operator(operators)
    if (apply === undefined) return first
    const start = this.amount(first)
    const steps: { readonly apply: Step; readonly read: Read<number> }[] = []
    for (; apply !== undefined; apply = this.operator(operators)) {
      steps.push({ apply, read: this.amount(operand()) })
    }
    const read = (message: Selectable): number | undefined => {
      let total = start(message)
      for (const step of steps) {
        const value = step.read(message)
        if (total === undefined || value === undefined) return undefined
        total = step.apply(total, value)
      }
      // Once a division by zero or an overflow made it infinite it cannot become finite again.
      return Number.isFinite(total) ? total : undefined
    }
    return { kind: 'number', at: first.at, read }
  }

  private operator(operators: ReadonlyMap<string, Step>): Step | undefined {
    const apply = this.token.kind === 'symbol' ? operators.get(this.token.value) : undefined
    if (apply !== undefined) this.advance()
    return apply
  }

  private value(): Node {
    const { kind, at, value, number } = this.token
    if (kind === 'symbol') {
      if (value === '(') {
        this.descend()
        const inner = this.condition()
        this.expect('symbol', ')', 'an operator, AND, OR or )')
        this.depth--
        return { ...inner, at }
      }
      if (value === '-' || value === '+') {
        this.descend()
        const read = this.amount(this.value())
        this.depth--
        return { kind: 'number', at, read: value === '+' ? read : opposite(read) }
      }
    } else if (kind === 'number') {
      this.advance()
      return { kind, at, read: () => number }
    } else if (kind === 'text') {
      this.advance()
      return { kind, at, read: () => value }
    } else if (kind === 'name') {
      const read = this.lookup(this.token)
      this.advance()
      if (this.is('symbol', '(')) {
        throw this.wrong(at, `the function ${quote(value)}`, 'a header; selectors have no functions')
      }
      return { kind: 'header', at, read }
    } else if (value === 'TRUE' || value === 'FALSE') {
      this.advance()
      return { kind: 'condition', at, read: () => value === 'TRUE' }
    } else if (value === 'NULL') {
      throw this.unexpected('a value; IS NULL asks whether a header is missing')
    }
    throw this.unexpected('a header, a number, text in single quotes, TRUE, FALSE or (')
  }

  private lookup({ at, value }: Token): Read<string> {
    // In quotes it is always the header of that very name.
    const name = value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value
    if (name === '') throw this.wrong(at, '""', 'the name of a header')
    if (unsupported.has(value)) {
      throw this.wrong(at, value, `another header; ${value} is not supported in selectors`)
    }
    return jms.get(value) ?? ((message) => message.headers.get(name))
  }

  private truth(node: Node): Read<boolean> {
    if (node.kind === 'condition') return node.read
    if (node.kind !== 'header') {
      throw this.wrong(node.at, described[node.kind], 'a condition, such as a comparison')
    }
    const { read } = node
    return (message) => {
      const text = read(message)
      return text === 'true' ? true : text === 'false' ? false : undefined
    }
  }

  private amount(node: Node): Read<number> {
    if (node.kind === 'number') return node.read
    if (node.kind !== 'header') throw this.wrong(node.at, described[node.kind], 'a number or a header')
    const { read } = node
    return (message) => {
      const text = read(message)
      return text === undefined ? undefined : toNumber(text)
    }
  }

  private header(node: Node, operator: string): Read<string> {
    if (node.kind === 'header') return node.read
    throw this.wrong(node.at, described[node.kind], `a header before ${operator}`)
  }

  private descend(): void {
    if (++this.depth > MAX_SELECTOR_DEPTH) {
      throw this.unexpected(`at most ${MAX_SELECTOR_DEPTH} levels of parentheses, NOT and signs`)
    }
    this.advance()
  }

  private is(kind: Token['kind'], value: string): boolean {
    return this.token.kind === kind && this.token.value === value
  }

  private skip(kind: Token['kind'], value: string): boolean {
    const found = this.is(kind, value)
    if (found) this.advance()
    return found
  }

  private expect(kind: Token['kind'], value: string, expected: string): void {
    if (!this.skip(kind, value)) throw this.unexpected(expected)
  }

  private advance(): void {
    this.token = this.scan(this.token.end)
  }

  private scan(from: number): Token {
    const { text } = this
    const at = from + match(blanks, text, from).length
    const token = (kind: Token['kind'], raw: string, value = raw, number = NaN): Token => {
      return { kind, at, end: at + raw.length, value, number }
    }
    if (at === text.length) return token('end', '')
    let raw = match(numbers, text, at)
    if (raw !== '') return this.scanNumber(at, raw)
    raw = match(symbols, text, at)
    if (raw !== '') return token('symbol', raw)
    raw = match(quoted, text, at)
    if (raw.startsWith("'")) return token('text', raw, raw.slice(1, -1).replaceAll("''", "'"))
    if (raw !== '') return token('name', raw)
    raw = match(this.names, text, at)
    const word = raw.toUpperCase()
    if (keywords.has(word)) return token('keyword', raw, word)
    if (raw !== '') return token('name', raw)
    const character = String.fromCodePoint(text.codePointAt(at) ?? 0)
    if (character === "'" || character === '"') {
      throw this.wrong(at, 'the end', `a closing ${character} to the one here`)
    }
    throw this.wrong(at, quote(character), 'a header, a value or an operator')
  }

  private scanNumber(at: number, matched: string): Token {
    const integer = /^(?:\d+|0[xX].*)$/.test(matched)
    // Java's suffix for a long.
    const raw = integer ? matched + match(/[lL]?/y, this.text, at + matched.length) : matched
    const end = at + raw.length
    const rest = match(/[\p{L}\p{Nl}\p{Sc}\p{Pc}\p{Nd}.]*/uy, this.text, end)
    const number = Number(matched)
    const found = quote(raw + rest)
    if (rest !== '' || Number.isNaN(number)) throw this.wrong(at, found, 'a number')
    if (/^0\d+$/.test(matched)) {
      throw this.wrong(at, found, 'a number without a leading zero, which is octal to some brokers')
    }
    // A neighbour would be equal to it: long ids would select the messages of others.
    if (integer && !Number.isSafeInteger(number)) {
      throw this.wrong(
        at,
        found,
        `a number up to ${Number.MAX_SAFE_INTEGER}; put longer ones in single quotes`,
      )
    }
    if (!Number.isFinite(number)) throw this.wrong(at, found, 'a number of at most 308 digits')
    return { kind: 'number', at, end, value: raw, number }
  }

  private show({ kind, at, end }: Token): string {
    return kind === 'end' ? 'the end' : quote(this.text.slice(at, end))
  }

  private unexpected(expected: string): StompError {
    return this.wrong(this.token.at, this.show(this.token), expected)
  }

  private wrong(at: number, found: string, expected: string): StompError {
    const { column, line, caret } = place(this.text, at)
    return new StompError(
      'invalid-selector',
      `The selector is wrong at column ${column}: found ${found}, expected ${expected}.\n${line}\n${caret}`,
    )
  }
}

function join(tests: readonly Read<boolean>[], decisive: boolean): Read<boolean> {
  return (message) => {
    let result: boolean | undefined = !decisive
    for (const test of tests) {
      const each = test(message)
      if (each === decisive) return decisive
      if (each === undefined) result = undefined
    }
    return result
  }
}

function negate(test: Read<boolean>): Read<boolean> {
  return (message) => {
    const result = test(message)
    return result === undefined ? undefined : !result
  }
}

function opposite(read: Read<number>): Read<number> {
  return (message) => {
    const value = read(message)
    return value === undefined ? undefined : -value
  }
}

function ordered<T>(
  left: Read<T>,
  right: Read<T>,
  order: (left: T, right: T) => number,
  holds: (order: number) => boolean,
): Read<boolean> {
  return (message) => {
    const one = left(message)
    if (one === undefined) return undefined
    const other = right(message)
    return other === undefined ? undefined : holds(order(one, other))
  }
}

function sameness<T>(left: T, right: T): number {
  return left === right ? 0 : 1
}

function numerically<T extends number | bigint | string>(left: T, right: T): number {
  return left < right ? -1 : left > right ? 1 : 0
}

/** Two headers: as numbers if both look like numbers, else as text. */
function naturally(left: string, right: string): number {
  const one = toNumber(left)
  const other = toNumber(right)
  if (one === undefined || other === undefined) return numerically(left, right)
  // Beyond what a double tells apart the digits do: long ids are compared like this.
  if (one === other && !Number.isSafeInteger(one) && whole.test(left) && whole.test(right)) {
    return numerically(BigInt(left), BigInt(right))
  }
  return numerically(one, other)
}

const decimal = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/
const whole = /^-?\d+$/

/** Characters of what is still taken for a number. */
const LONGEST = 40

/** Undefined if `text` does not look like a number. */
function toNumber(text: string): number | undefined {
  if (text.length > LONGEST || !decimal.test(text)) return undefined
  const value = Number(text)
  return Number.isFinite(value) ? value : undefined
}

function member(
  read: Read<string>,
  { texts, values }: { texts: ReadonlySet<string>; values: ReadonlySet<number> },
): Read<boolean> {
  return (message) => {
    const text = read(message)
    if (text === undefined) return undefined
    if (texts.has(text)) return true
    if (values.size === 0) return false
    // As if each was compared on its own: with a number, text is UNKNOWN.
    const value = toNumber(text)
    return value === undefined ? undefined : values.has(value)
  }
}

/** The wildcards of LIKE, `%` and `_`, among code points. */
const ANY = -1
const ONE = -2

/**
 * All ways to match are followed at once, as bits: bit n stands for a match of the first n
 * characters of the pattern with what was read of the text. So there is nothing to go back to, and
 * a character of the text costs one step for each 32 of the pattern.
 */
function like(read: Read<string>, pattern: readonly number[]): Read<boolean> {
  const length = pattern.filter((point) => point !== ANY).length
  const words = (length >> 5) + 1
  const last = 1 << (length & 31)
  /** Where a `%` stands: any character is passed over. */
  const loops = new Int32Array(words)
  /** Where a `_` stands. */
  const ones = new Int32Array(words)
  /** Where a character stands: pairs of a word and its bits, only where there are some. */
  const places = new Map<number, number[]>()
  let bits = 0
  for (const point of pattern) {
    const word = bits >> 5
    const bit = 1 << (bits & 31)
    if (point === ANY) loops[word] = (loops[word] ?? 0) | bit
    else {
      bits++
      if (point === ONE) ones[word] = (ones[word] ?? 0) | bit
      else {
        const pairs = places.get(point)
        if (pairs === undefined) places.set(point, [word, bit])
        else if (pairs.at(-2) === word) pairs.push((pairs.pop() ?? 0) | bit)
        else pairs.push(word, bit)
      }
    }
  }
  const open = ((loops[words - 1] ?? 0) & last) !== 0
  // Kept from one message to the next, only so as not to be made anew.
  const states = new Int32Array(words)
  return (message) => {
    const text = read(message)
    if (text === undefined) return undefined
    states.fill(0)
    states[0] = 1
    for (let at = 0; at < text.length;) {
      if (open && ((states[words - 1] ?? 0) & last) !== 0) return true
      const point = text.codePointAt(at) ?? 0
      at += width(point)
      const pairs = places.get(point)
      let next = 0
      let carry = 0
      let alive = 0
      for (let word = 0; word < words; word++) {
        const state = states[word] ?? 0
        let fitting = ones[word] ?? 0
        if (pairs !== undefined && pairs[next] === word) {
          fitting |= pairs[next + 1] ?? 0
          next += 2
        }
        fitting &= state
        const moved = (fitting << 1) | carry | (state & (loops[word] ?? 0))
        carry = fitting >>> 31
        states[word] = moved
        alive |= moved
      }
      if (alive === 0) return false
    }
    return ((states[words - 1] ?? 0) & last) !== 0
  }
}

/** UTF-16 units of a code point. */
function width(point: number): number {
  return point > 0xffff ? 2 : 1
}

/** What a sticky expression matches at a place; empty if nothing. */
function match(expression: RegExp, text: string, at: number): string {
  expression.lastIndex = at
  return expression.exec(text)?.[0] ?? ''
}

/** Characters shown on either side of a mistake. */
const AROUND = 32

// What would move the caret away from its place, or a terminal might obey.
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

function place(text: string, at: number): { column: number; line: string; caret: string } {
  const characters = Array.from(text)
  const before = Array.from(text.slice(0, at)).length
  const from = Math.max(0, before - AROUND)
  const to = Math.min(characters.length, before + AROUND)
  const opening = from > 0 ? '…' : ''
  const closing = to < characters.length ? '…' : ''
  const shown = characters
    .slice(from, to)
    .map((each) => (/\s/.test(each) ? ' ' : unprintable.test(each) ? '\ufffd' : each))
  return {
    column: before + 1,
    line: opening + shown.join('') + closing,
    caret: `${' '.repeat(opening.length + before - from)}^`,
  }
}
