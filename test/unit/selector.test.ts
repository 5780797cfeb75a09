import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_LIKE, MAX_SELECTOR, MAX_SELECTOR_DEPTH, parseSelector } from '../../broker/model/selector.ts'
import { StompError } from '../../broker/protocol/errors.ts'

type Given = Readonly<Record<string, string>>

function takes(text: string, given: Given = {}, id = 'n-1'): boolean {
  return parseSelector(text)({ id, headers: new Map(Object.entries(given)) })
}

/** A message of the three-valued tables: what a selector and its NOT make of it tells UNKNOWN from FALSE. */
function truth(text: string, given: Given = {}): 'true' | 'false' | 'unknown' {
  const plain = takes(text, given)
  const negated = takes(`NOT (${text})`, given)
  expect(plain && negated).toBe(false)
  return plain ? 'true' : negated ? 'false' : 'unknown'
}

function refusal(text: string): StompError {
  let caught: unknown
  try {
    parseSelector(text)
  } catch (error) {
    caught = error
  }
  if (!(caught instanceof StompError)) throw new Error(`${JSON.stringify(text)} gave ${String(caught)}`)
  expect(caught.code).toBe('invalid-selector')
  return caught
}

type Row = readonly [selector: string, given: Given, expected: 'true' | 'false' | 'unknown']

function table(name: string, rows: readonly Row[]): void {
  describe(name, () => {
    test.each(rows)('%s of %j is %s', (selector, given, expected) => {
      expect(truth(selector, given)).toBe(expected)
    })
  })
}

table('numbers', [
  ['n = 5', { n: '5' }, 'true'],
  ['n = 5', { n: '5.0' }, 'true'],
  ['n = 5', { n: '+5' }, 'true'],
  ['n = 5', { n: '05' }, 'true'],
  ['n = 5', { n: '6' }, 'false'],
  ['n = 5', { n: 'five' }, 'unknown'],
  ['n = 5', { n: '' }, 'unknown'],
  ['n = 5', { n: ' 5' }, 'unknown'],
  ['n = 5', { n: '5 apples' }, 'unknown'],
  ['n = 16', { n: '0x10' }, 'unknown'],
  ['n < 5', { n: 'Infinity' }, 'unknown'],
  ['n > 5', { n: '1e999' }, 'unknown'],
  ['n = 1', { n: `${'0'.repeat(39)}1` }, 'true'],
  ['n = 1', { n: `${'0'.repeat(40)}1` }, 'unknown'],
  ['n = .5', { n: '.5' }, 'true'],
  ['n = 5.', { n: '5.' }, 'true'],
  ['n = 7E3', { n: '7000' }, 'true'],
  ['n = -57.9e-1', { n: '-5.79' }, 'true'],
  ['n = 7e+2', { n: '7e2' }, 'true'],
  ['n = 0xfF', { n: '255' }, 'true'],
  ['n = 0XA', { n: '10' }, 'true'],
  ['n = 5L', { n: '5' }, 'true'],
  ['n = 0', { n: '-0' }, 'true'],
  ['n = 0.25', { n: '0.25' }, 'true'],
  ['5 = n', { n: '5' }, 'true'],
  ['n <> 5', { n: '5' }, 'false'],
  ['n <> 5', { n: '6' }, 'true'],
  ['n != 5', { n: '6' }, 'true'],
  ['n <> 5', { n: 'five' }, 'unknown'],
  ['n < 5', { n: '4.9' }, 'true'],
  ['n < 5', { n: '5' }, 'false'],
  ['n < 10', { n: '9' }, 'true'],
  ['n <= 5', { n: '5' }, 'true'],
  ['n <= 5', { n: '5.1' }, 'false'],
  ['n > 5', { n: '5' }, 'false'],
  ['n > 5', { n: '10' }, 'true'],
  ['n >= 5', { n: '5' }, 'true'],
  ['n >= 5', { n: '4' }, 'false'],
  ['5 < n', { n: '6' }, 'true'],
  ['n > -5', { n: '-4' }, 'true'],
  ['1 = 1', {}, 'true'],
  ['1 > 2', {}, 'false'],
  [`n = ${Number.MAX_SAFE_INTEGER}`, { n: String(Number.MAX_SAFE_INTEGER) }, 'true'],
])

table('text', [
  ["color = 'red'", { color: 'red' }, 'true'],
  ["color = 'red'", { color: 'Red' }, 'false'],
  ["color = 'red'", {}, 'unknown'],
  ["'red' = color", { color: 'red' }, 'true'],
  ["color <> 'red'", { color: 'blue' }, 'true'],
  ["color <> 'red'", { color: 'red' }, 'false'],
  ["color <> 'red'", {}, 'unknown'],
  ["color = ''", { color: '' }, 'true'],
  ["color = ''", {}, 'unknown'],
  ["name = 'it''s'", { name: "it's" }, 'true'],
  ["name = ''''", { name: "'" }, 'true'],
  ["name = 'a''''b'", { name: "a''b" }, 'true'],
  ["name = '\"'", { name: '"' }, 'true'],
  ["name = 'AND'", { name: 'AND' }, 'true'],
  ["name = 'Grüße 🌍'", { name: 'Grüße 🌍' }, 'true'],
  // Written as text it stays text.
  ["zip = '01067'", { zip: '1067' }, 'false'],
  ["zip = '01067'", { zip: '01067' }, 'true'],
  ["'a' = 'a'", {}, 'true'],
  ["'a' = 'b'", {}, 'false'],
])

table('truth values', [
  ['urgent', { urgent: 'true' }, 'true'],
  ['urgent', { urgent: 'false' }, 'false'],
  ['urgent', { urgent: 'TRUE' }, 'unknown'],
  ['urgent', { urgent: '1' }, 'unknown'],
  ['urgent', {}, 'unknown'],
  ['urgent = TRUE', { urgent: 'true' }, 'true'],
  ['urgent = TRUE', { urgent: 'false' }, 'false'],
  ['urgent = TRUE', { urgent: 'yes' }, 'unknown'],
  ['urgent = false', { urgent: 'false' }, 'true'],
  ['TRUE = urgent', { urgent: 'true' }, 'true'],
  ['urgent <> TRUE', { urgent: 'false' }, 'true'],
  ['urgent <> TRUE', { urgent: 'maybe' }, 'unknown'],
  ['urgent <> TRUE', {}, 'unknown'],
  ['(n > 1) = TRUE', { n: '2' }, 'true'],
  ['(n > 1) = urgent', { n: '1', urgent: 'false' }, 'true'],
  ['(n > 1) <> (m > 1)', { n: '1', m: '2' }, 'true'],
  ['(n > 1) = TRUE', {}, 'unknown'],
  ['TRUE', {}, 'true'],
  ['false', {}, 'false'],
  ['(urgent)', { urgent: 'true' }, 'true'],
])

table('two headers', [
  ['a = b', { a: '5', b: '5.0' }, 'true'],
  ['a = b', { a: 'x', b: 'x' }, 'true'],
  ['a = b', { a: 'x', b: 'y' }, 'false'],
  ['a <> b', { a: 'x', b: '5' }, 'true'],
  ['a < b', { a: '9', b: '10' }, 'true'],
  ['a < b', { a: 'apple', b: 'pear' }, 'true'],
  ['a > b', { a: 'apple', b: 'pear' }, 'false'],
  // One of them is no number, so both are text.
  ['a < b', { a: '9', b: '10x' }, 'false'],
  ['a = b', { a: '5' }, 'unknown'],
  ['a = b', { b: '5' }, 'unknown'],
  ['a <> b', {}, 'unknown'],
  ['a + 0 = b', { a: '5', b: '5.0' }, 'true'],
  // Ids that one double stands for are still two.
  ['a = b', { a: '9007199254740993', b: '9007199254740992' }, 'false'],
  ['a > b', { a: '9007199254740993', b: '9007199254740992' }, 'true'],
  ['a < b', { a: '-9007199254740993', b: '-9007199254740992' }, 'true'],
  ['a = b', { a: '9007199254740993', b: '9007199254740993' }, 'true'],
  ['a = b', { a: '1e20', b: '100000000000000000000' }, 'true'],
])

table('arithmetic', [
  ['n + 1 = 6', { n: '5' }, 'true'],
  ['n - 1 = 4', { n: '5' }, 'true'],
  ['n * 2 = 10', { n: '5' }, 'true'],
  ['n / 2 = 2.5', { n: '5' }, 'true'],
  ['1 + 2 * 3 = 7', {}, 'true'],
  ['(1 + 2) * 3 = 9', {}, 'true'],
  ['10 - 3 - 2 = 5', {}, 'true'],
  ['10 - (3 - 2) = 9', {}, 'true'],
  ['16 / 4 / 2 = 2', {}, 'true'],
  ['16 / (4 / 2) = 8', {}, 'true'],
  ['2 * 3 - 4 / 2 = 4', {}, 'true'],
  ['-n = 5', { n: '-5' }, 'true'],
  ['+n = 5', { n: '5' }, 'true'],
  ['- - 5 = 5', {}, 'true'],
  ['--5 = 5', {}, 'true'],
  ['-2 * 3 = -6', {}, 'true'],
  ['2 * -3 = -6', {}, 'true'],
  ['-(2 + 3) = -5', {}, 'true'],
  ['a-b = 2', { a: '5', b: '3', 'a-b': '9' }, 'true'],
  ['a-1=4', { a: '5' }, 'true'],
  ['n / 0 = 0', { n: '5' }, 'unknown'],
  ['n / 0 <> 0', { n: '5' }, 'unknown'],
  ['0 / 0 = 0', {}, 'unknown'],
  ['1 / (n / 0) = 0', { n: '5' }, 'unknown'],
  ['1 / 0 * 0 = 0', {}, 'unknown'],
  ['1e308 * 10 > 0', {}, 'unknown'],
  ['n + 1 = 6', { n: 'five' }, 'unknown'],
  ['1 + n = 6', { n: 'five' }, 'unknown'],
  ['n + 1 = 6', {}, 'unknown'],
  ['-n < 0', {}, 'unknown'],
])

table('BETWEEN', [
  ['n BETWEEN 1 AND 3', { n: '1' }, 'true'],
  ['n BETWEEN 1 AND 3', { n: '3' }, 'true'],
  ['n BETWEEN 1 AND 3', { n: '0.9' }, 'false'],
  ['n BETWEEN 1 AND 3', { n: '3.1' }, 'false'],
  ['n BETWEEN 3 AND 1', { n: '2' }, 'false'],
  ['n BETWEEN 1 AND 3', { n: 'two' }, 'unknown'],
  ['n BETWEEN 1 AND 3', {}, 'unknown'],
  ['n NOT BETWEEN 1 AND 3', { n: '4' }, 'true'],
  ['n NOT BETWEEN 1 AND 3', { n: '2' }, 'false'],
  ['n NOT BETWEEN 1 AND 3', {}, 'unknown'],
  ['n BETWEEN low AND high', { n: '5', low: '1', high: '10' }, 'true'],
  // One end is enough to say no, and not to say yes.
  ['n BETWEEN low AND 3', { n: '4' }, 'false'],
  ['n BETWEEN low AND 3', { n: '2' }, 'unknown'],
  ['n BETWEEN 1 + 1 AND 2 * 2 AND m = 1', { n: '3', m: '1' }, 'true'],
  ['5 BETWEEN low AND 10', { low: '1' }, 'true'],
  ['n + 1 BETWEEN -3 AND -1', { n: '-3' }, 'true'],
])

table('IN', [
  ["c IN ('red', 'blue')", { c: 'blue' }, 'true'],
  ["c IN ('red', 'blue')", { c: 'green' }, 'false'],
  ["c IN ('red')", {}, 'unknown'],
  ["c NOT IN ('red', 'blue')", { c: 'green' }, 'true'],
  ["c NOT IN ('red', 'blue')", { c: 'red' }, 'false'],
  ["c NOT IN ('red')", {}, 'unknown'],
  ["c IN ('it''s')", { c: "it's" }, 'true'],
  ['n IN (1, 2.5, -3, +4, 0x10)', { n: '2.50' }, 'true'],
  ['n IN (1, 2.5, -3, +4, 0x10)', { n: '-3' }, 'true'],
  ['n IN (1, 2.5, -3, +4, 0x10)', { n: '3' }, 'false'],
  ['n IN (1, 2.5, -3, +4, 0x10)', { n: '4' }, 'true'],
  ['n IN (1, 2.5, -3, +4, 0x10)', { n: '16' }, 'true'],
  ['n IN (0)', { n: '-0' }, 'true'],
  ["n IN ('a', 1)", { n: 'a' }, 'true'],
  ["n IN ('a', 1)", { n: '1.0' }, 'true'],
  ["n IN ('a', 1)", { n: '2' }, 'false'],
  // As `n = 'a' OR n = 1` would be.
  ["n IN ('a', 1)", { n: 'b' }, 'unknown'],
  ["n IN ('1')", { n: '1.0' }, 'false'],
])

table('LIKE', [
  ["p LIKE '12%3'", { p: '123' }, 'true'],
  ["p LIKE '12%3'", { p: '12993' }, 'true'],
  ["p LIKE '12%3'", { p: '1234' }, 'false'],
  ["p LIKE 'l_se'", { p: 'lose' }, 'true'],
  ["p LIKE 'l_se'", { p: 'loose' }, 'false'],
  ["p LIKE 'l_se'", { p: 'lse' }, 'false'],
  ["p LIKE '\\_%' ESCAPE '\\'", { p: '_foo' }, 'true'],
  ["p LIKE '\\_%' ESCAPE '\\'", { p: 'bar' }, 'false'],
  ["p LIKE '\\_%'", { p: '\\xfoo' }, 'true'],
  ["p LIKE '100!%' ESCAPE '!'", { p: '100%' }, 'true'],
  ["p LIKE '100!%' ESCAPE '!'", { p: '1000' }, 'false'],
  ["p LIKE 'a!!b' ESCAPE '!'", { p: 'a!b' }, 'true'],
  ["p LIKE 'a!b' ESCAPE '!'", { p: 'ab' }, 'true'],
  ["p LIKE '%%' ESCAPE '%'", { p: '%' }, 'true'],
  ["p LIKE '%%' ESCAPE '%'", { p: 'x' }, 'false'],
  ["p LIKE '🌍%%' ESCAPE '🌍'", { p: '%x' }, 'true'],
  ["p LIKE 'a''%' ESCAPE ''''", { p: 'a%' }, 'true'],
  ["p LIKE '%'", { p: '' }, 'true'],
  ["p LIKE ''", { p: '' }, 'true'],
  ["p LIKE ''", { p: 'a' }, 'false'],
  ["p LIKE '_'", { p: '' }, 'false'],
  ["p LIKE '_'", { p: '🌍' }, 'true'],
  ["p LIKE '__'", { p: '🌍' }, 'false'],
  ["p LIKE '%_🌍'", { p: '🌍🌍' }, 'true'],
  ["p LIKE '%_🌍'", { p: '🌍' }, 'false'],
  ["p LIKE '%b_%d'", { p: 'abbccd' }, 'true'],
  ["p LIKE '%ab%ab'", { p: 'xabab' }, 'true'],
  ["p LIKE '%ab%ab'", { p: 'xab' }, 'false'],
  ["p LIKE '%aba%ba%'", { p: 'abax' }, 'false'],
  ["p LIKE 'a%a'", { p: 'a' }, 'false'],
  ["p LIKE '%aab'", { p: 'aaab' }, 'true'],
  ["p LIKE 'a%%%'", { p: 'a' }, 'true'],
  ["p LIKE '.*'", { p: 'anything' }, 'false'],
  ["p LIKE 'a%'", { p: 'a\nb' }, 'true'],
  ["p LIKE 'A%'", { p: 'ab' }, 'false'],
  ["p LIKE '5%'", { p: '50' }, 'true'],
  ["p LIKE '%'", {}, 'unknown'],
  ["p NOT LIKE 'a%'", { p: 'bc' }, 'true'],
  ["p NOT LIKE 'a%'", { p: 'ab' }, 'false'],
  ["p NOT LIKE 'a%'", {}, 'unknown'],
])

table('IS NULL', [
  ['p IS NULL', {}, 'true'],
  ['p IS NULL', { p: '' }, 'false'],
  ['p IS NOT NULL', { p: '' }, 'true'],
  ['p IS NOT NULL', {}, 'false'],
  ['(p) IS NULL', {}, 'true'],
  ['__proto__ IS NULL', {}, 'true'],
])

test.each([30, 31, 32, 33, 63, 64, 65, 96])('LIKE with a pattern of %i characters', (length) => {
  for (const letter of ['x', '_', '🌍']) {
    const pattern = letter.repeat(length)
    const text = pattern.replaceAll('_', 'x')
    const more = letter === '🌍' ? '🌍' : 'x'
    expect(takes(`p LIKE '${pattern}'`, { p: text })).toBe(true)
    expect(takes(`p LIKE '${pattern}'`, { p: text + more })).toBe(false)
    expect(takes(`p LIKE '${pattern}'`, { p: text.slice(more.length) })).toBe(false)
    expect(takes(`p LIKE '${pattern}%'`, { p: `${text}y` })).toBe(true)
    expect(takes(`p LIKE '%${pattern}'`, { p: `y${text}` })).toBe(true)
    expect(takes(`p LIKE '${pattern}%y'`, { p: `${text}zy` })).toBe(true)
    expect(takes(`p LIKE '${pattern}%y'`, { p: `${text}z` })).toBe(false)
  }
})

test.each(['ab', 'ab'.repeat(20)])('one evaluation leaves nothing for the next: %s', (start) => {
  const selector = parseSelector(`p LIKE '${start}%c'`)
  const given = (p: string): boolean => selector({ id: 'n-1', headers: new Map([['p', p]]) })
  expect([`${start}xc`, 'c', `${start}x`, 'xc', `${start}c`].map(given)).toEqual([
    true,
    false,
    false,
    false,
    true,
  ])
})

describe('three-valued logic', () => {
  const given = { t: 'true', f: 'false' }
  test.each([
    ['t', 't', 'true', 'true'],
    ['t', 'f', 'false', 'true'],
    ['t', 'u', 'unknown', 'true'],
    ['f', 't', 'false', 'true'],
    ['f', 'f', 'false', 'false'],
    ['f', 'u', 'false', 'unknown'],
    ['u', 't', 'unknown', 'true'],
    ['u', 'f', 'false', 'unknown'],
    ['u', 'u', 'unknown', 'unknown'],
  ])('%s with %s: AND gives %s, OR gives %s', (one, other, both, either) => {
    expect(truth(`${one} AND ${other}`, given)).toBe(both)
    expect(truth(`${one} OR ${other}`, given)).toBe(either)
  })

  test.each([
    ['t', false],
    ['f', true],
    ['u', false],
  ])('NOT %s takes: %s', (name, expected) => {
    expect(takes(`NOT ${name}`, given)).toBe(expected)
    expect(takes(`NOT NOT NOT ${name}`, given)).toBe(expected)
  })
})

table('precedence', [
  ['t OR t AND f', { t: 'true', f: 'false' }, 'true'],
  ['f AND t OR t', { t: 'true', f: 'false' }, 'true'],
  ['(t OR t) AND f', { t: 'true', f: 'false' }, 'false'],
  ['NOT f AND f', { f: 'false' }, 'false'],
  ['NOT (f AND f)', { f: 'false' }, 'true'],
  ['NOT t OR t', { t: 'true' }, 'true'],
  ['NOT n = 5', { n: '6' }, 'true'],
  ["NOT p LIKE 'a%'", { p: 'b' }, 'true'],
  ["NOT p NOT LIKE 'a%'", { p: 'a' }, 'true'],
  ['NOT n BETWEEN 1 AND 2 AND m = 1', { n: '3', m: '1' }, 'true'],
  ['n = 1 + 1 OR n < 2 * 2 AND n > 10 / 2', { n: '2' }, 'true'],
  ['n + 1 < 2 * m', { n: '2', m: '2' }, 'true'],
])

table('names and blanks', [
  ["$a_b.c1 = 'x'", { '$a_b.c1': 'x' }, 'true'],
  ["_x = 'x'", { _x: 'x' }, 'true'],
  ["größe = 'x'", { größe: 'x' }, 'true'],
  ["Color = 'x'", { color: 'x' }, 'unknown'],
  ["android = 'x' and order_ = 'y'", { android: 'x', order_: 'y' }, 'true'],
  ['"content-type" = \'application/json\'', { 'content-type': 'application/json' }, 'true'],
  ['"select ""this""" = 1', { 'select "this"': '1' }, 'true'],
  ['"NOT" = 1', { NOT: '1' }, 'true'],
  ['not NoT a = 1 aNd b iS noT nUlL Or tRuE = FALSE', { a: '1', b: '' }, 'true'],
  ["p like 'a!_' escape '!' and p in('a_')and n between 1 and 2", { p: 'a_', n: '1' }, 'true'],
  ['\r\n\tn\f=\n5 ', { n: '5' }, 'true'],
  ['n=5', { n: '5' }, 'true'],
  ['((n)=(5))', { n: '5' }, 'true'],
])

describe('prefixes of ActiveMQ and Artemis', () => {
  test.each<[string, Given, boolean]>([
    ['convert_string_expressions:n > 5', { n: '6' }, true],
    ["hyphenated_props:content-type = 'x'", { 'content-type': 'x' }, true],
    ["hyphenated_props:x-a-b='x' AND n-1 IS NULL", { 'x-a-b': 'x', n: '1' }, true],
    ['hyphenated_props:a - b = 2', { a: '5', b: '3', 'a-b': '9' }, true],
    ['hyphenated_props:a -b = 2', { a: '5', b: '3' }, true],
    ['hyphenated_props:a- b = 2', { a: '5', b: '3' }, true],
    ['hyphenated_props:a--b = 8', { a: '5', b: '3' }, true],
    ['hyphenated_props:5-3 = 2', {}, true],
    ['convert_string_expressions:hyphenated_props:a-b = 9', { 'a-b': '9' }, true],
    [' hyphenated_props: convert_string_expressions: a-b = 9', { 'a-b': '9' }, true],
    ['convert_string_expressions:a-b = 2', { a: '5', b: '3', 'a-b': '9' }, true],
  ])('%s', (selector, given, expected) => {
    expect(takes(selector, given)).toBe(expected)
  })

  test('they are prefixes only, and count for columns', () => {
    expect(refusal('a = 1 AND hyphenated_props:b-c = 1').message).toContain('column 27: found ":"')
    expect(refusal('hyphenated_props:a-b = ').message).toContain('column 24: found the end')
  })
})

describe('names of JMS', () => {
  test.each<[string, Given, boolean]>([
    ['JMSPriority = 4', {}, true],
    ['JMSPriority > 4', { priority: '9' }, true],
    ['JMSPriority = 4', { priority: '3' }, false],
    ['JMSTimestamp >= 1700000000000', { timestamp: '1700000000001' }, true],
    ["JMSCorrelationID = 'c'", { 'correlation-id': 'c' }, true],
    ["JMSType LIKE 'ord%'", { type: 'order' }, true],
    ['JMSType IS NULL', {}, true],
    ["JMSMessageID = 'n-1'", {}, true],
    ["JMSMessageID = 'n-2'", { JMSMessageID: 'n-2' }, false],
    ["JMSReplyTo = '/queue/x'", { 'reply-to': '/queue/x' }, true],
    ['JMSExpiration < 5', { expires: '4' }, true],
    ['JMSExpiration IS NULL', {}, true],
    ["JMSDeliveryMode = 'PERSISTENT'", { persistent: 'true' }, true],
    ["JMSDeliveryMode = 'NON_PERSISTENT'", { persistent: 'false' }, true],
    ["JMSDeliveryMode = 'NON_PERSISTENT'", {}, true],
    ["JMSXGroupID = 'g'", { JMSXGroupID: 'g', message_group: 'h' }, true],
    ["JMSXGroupID = 'h'", { message_group: 'h' }, true],
    // In double quotes it is the header that is called so.
    ['"JMSType" = 1', { JMSType: '1', type: '2' }, true],
    ['"JMSRedelivered"', { JMSRedelivered: 'true' }, true],
    ['jmspriority IS NULL', {}, true],
  ])('%s of %j: %s', (selector, given, expected) => {
    expect(takes(selector, given)).toBe(expected)
  })

  test.each(['JMSRedelivered', 'JMSXDeliveryCount'])('%s is refused, not ignored', (name) => {
    expect(refusal(`a = 1 OR ${name} = TRUE`).message).toContain(
      `column 10: found ${name}, expected another header; ${name} is not supported`,
    )
  })
})

test.each(['', '  ', '\n', 'convert_string_expressions:', 'hyphenated_props: '])(
  'a blank selector takes every message: %j',
  (selector) => {
    expect(takes(selector)).toBe(true)
  },
)

describe('mistakes are told with their place', () => {
  test.each<[string, number, string]>([
    // What is there, and what is not.
    ['a =', 4, 'found the end, expected a header, a number'],
    ['a = AND b', 5, 'found "AND"'],
    ['= 5', 1, 'found "="'],
    ['(a = 1', 7, 'found the end, expected an operator, AND, OR or )'],
    ['a = 1)', 6, 'found ")", expected an operator, AND, OR or the end'],
    ['()', 2, 'found ")"'],
    ['a = 1 b = 2', 7, 'found "b"'],
    ['a = 1 = TRUE', 7, 'found "="'],
    ['a == 1', 4, 'found "="'],
    ['a = 1 && b = 2', 7, 'found "&"'],
    ['a ! b', 3, 'found "!"'],
    ['a % 2 = 1', 3, 'found "%"'],
    ['a; b', 2, 'found ";"'],
    ['a = NULL', 5, 'found "NULL", expected a value; IS NULL asks'],
    ['a = NOT b', 5, 'found "NOT"'],
    ['a NOT = 5', 7, 'found "=", expected BETWEEN, IN or LIKE after NOT'],
    ['a IS 5', 6, 'found "5", expected NULL or NOT NULL'],
    ['a IS NOT 5', 10, 'found "5", expected NULL.'],
    ['a BETWEEN 1', 12, 'found the end, expected AND and the upper end'],
    ['a BETWEEN 1 OR 2', 13, 'found "OR"'],
    ['a IN 5', 6, 'found "5", expected ( and a list'],
    ['a IN ()', 7, 'found ")", expected text in single quotes or a number'],
    ["a IN ('x',)", 11, 'found ")"'],
    ["a IN ('x' 'y')", 11, `found "'y'", expected , or )`],
    ["a IN ('x', b)", 12, 'found "b"'],
    ["a IN ('x', TRUE)", 12, 'found "TRUE"'],
    ["a IN (-'x')", 8, 'expected a number'],
    ["a IN ('x'", 10, 'found the end, expected , or )'],
    ['a LIKE b', 8, 'found "b", expected a pattern in single quotes'],
    ['a LIKE 5', 8, 'found "5"'],
    ["a LIKE 'x' ESCAPE 'ab'", 19, 'expected one character in single quotes'],
    ["a LIKE 'x' ESCAPE ''", 19, 'expected one character'],
    ["a LIKE 'x' ESCAPE 5", 19, 'found "5"'],
    ["a LIKE 'x!' ESCAPE '!'", 8, 'expected a character after the last escape'],
    // What selectors do not have.
    ["a REGEXP 'x'", 3, 'found "REGEXP", expected an operator, AND, OR or the end'],
    ["UPPER(a) = 'X'", 1, 'found the function "UPPER", expected a header; selectors have no functions'],
    ["b = 1 AND XPATH ('/a')", 11, 'the function "XPATH"'],
    ["a || 'x' = 'y'", 3, 'found "|"'],
    ['a ~ 1', 3, 'found "~"'],
    ['a[1] = 1', 2, 'found "["'],
    ['a = :x', 5, 'found ":"'],
    // Literals.
    ["a = 'red", 5, "found the end, expected a closing '"],
    ["a = 'red''", 5, "found the end, expected a closing '"],
    ['"a = 1', 1, 'expected a closing "'],
    ['"" = 1', 1, 'found "", expected the name of a header'],
    ['a = 5b', 5, 'found "5b", expected a number'],
    ['a = 1e', 5, 'found "1e"'],
    ['a = 0x', 5, 'found "0x"'],
    ['a = 0xfg', 5, 'found "0xfg"'],
    ['a = 1.2.3', 5, 'found "1.2.3"'],
    ['a = 1.5L', 5, 'found "1.5L"'],
    ['a = 010', 5, 'without a leading zero'],
    ['a = 1e999', 5, 'at most 308 digits'],
    ['a = 9007199254740992', 5, 'put longer ones in single quotes'],
    ['a = 0xfffffffffffffff', 5, 'put longer ones in single quotes'],
    // What does not go together.
    ["'a' + 1 = 2", 1, 'found text, expected a number or a header'],
    ["1 + 'a' = 2", 5, 'found text'],
    ['1 + TRUE = 2', 5, 'found a condition'],
    ['1 * (a = 1) = 2', 5, 'found a condition'],
    ["-'a' = 2", 2, 'found text'],
    ["5 LIKE 'x'", 1, 'found a number, expected a header before LIKE'],
    ["'x' LIKE 'x'", 1, 'found text, expected a header before LIKE'],
    ["b OR a + 1 IN ('x')", 6, 'found a number, expected a header before IN'],
    ['5 IS NULL', 1, 'found a number, expected a header before IS NULL'],
    ['(a = 1) IS NULL', 1, 'found a condition'],
    ['NOT 5', 5, 'found a number, expected a condition'],
    ['NOT (5 + a)', 5, 'found a number'],
    ["a AND 'b'", 7, 'found text, expected a condition'],
    ['5 AND a', 1, 'found a number'],
    ['a OR 5 OR b', 6, 'found a number'],
    ['5', 1, 'found a number'],
    ["'TRUE'", 1, 'found text'],
    ['a + 1', 1, 'found a number'],
    ["'a' = 5", 1, 'found text, expected a number'],
    ["5 = 'a'", 5, 'found text, expected a number'],
    ['5 = TRUE', 5, 'found a condition, expected a number'],
    ["'a' <> TRUE", 1, 'found text, expected a condition'],
    // Text has no order.
    ["a < 'b'", 5, 'found text, expected a number or a header; text can only be compared by = and <>'],
    ["'b' >= a", 1, 'found text'],
    ["a <= '5'", 6, 'found text'],
    ["'a' > 'b'", 1, 'found text'],
    ["a BETWEEN 'a' AND 'b'", 11, 'found text'],
    ["a BETWEEN 1 AND 'b'", 17, 'found text'],
    ["'a' NOT BETWEEN 1 AND 2", 1, 'found text'],
    ['a > TRUE', 5, 'found a condition, expected a number or a header; a condition can only be'],
    ['(a = 1) < b', 1, 'found a condition'],
  ])('%s: column %i, %s', (selector, column, what) => {
    const { message } = refusal(selector)
    const [said, line, caret] = message.split('\n')
    expect(said).toContain(`The selector is wrong at column ${column}: found `)
    expect(said).toContain(what)
    expect(line).toBe(selector)
    expect(caret).toBe(`${' '.repeat(column - 1)}^`)
  })

  test('the first of two mistakes is told', () => {
    expect(refusal('a = = ~').message).toContain('column 5: found "="')
  })

  test('columns are characters, also outside the basic plane', () => {
    const { message } = refusal("a = '🌍🌍' b")
    expect(message).toContain('column 10: found "b"')
    expect(message.split('\n')[2]).toBe(`${' '.repeat(9)}^`)
  })

  test.each([
    [0, 0, '', '…'],
    [32, 32, '', '…'],
    [33, 33, '…', '…'],
    [500, 33, '…', '…'],
    [968, 33, '…', ''],
    [1000, 33, '…', ''],
  ])('of a long one a window is shown, for a mistake at %i', (at, caret, opening, closing) => {
    const blank = ' '.repeat(1000)
    const lines = refusal(
      `${blank.slice(0, at)}?${blank.slice(at)}`.slice(0, 1000) + (at === 1000 ? '?' : ''),
    ).message.split('\n')
    const line = lines[1] ?? ''
    expect(lines).toHaveLength(3)
    expect(lines[2]).toBe(`${' '.repeat(caret)}^`)
    expect(line[caret]).toBe('?')
    expect(line.startsWith('…')).toBe(opening !== '')
    expect(line.endsWith('…')).toBe(closing !== '')
    expect(line.length).toBeLessThanOrEqual(66)
  })

  test('nothing is printed that a terminal might obey, and the caret keeps its place', () => {
    const { message } = refusal("a = '\u001b[2J\u202e\u0000\u200b' AND\tb\n= \u0007")
    const [said, line = '', caret = ''] = message.split('\n')
    expect(said).toContain('found "\\u0007"')
    expect(line).toBe("a = '\ufffd[2J\ufffd\ufffd\ufffd' AND b = \ufffd")
    expect(caret).toBe(`${' '.repeat(line.length - 1)}^`)
    expect(message.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  })

  test('what was found is shortened', () => {
    const { message } = refusal(`a ${'x'.repeat(4000)}`)
    expect(message.length).toBeLessThan(300)
  })
})

describe('bounds', () => {
  const deep = {
    parentheses: (levels: number) => `${'('.repeat(levels)}a = 1${')'.repeat(levels)}`,
    'parentheses of a value': (levels: number) => `a = ${'('.repeat(levels)}1${')'.repeat(levels)}`,
    NOT: (levels: number) => `${'NOT '.repeat(levels)}a = ${1 + (levels % 2)}`,
    signs: (levels: number) => `a = ${'- '.repeat(levels)}${levels % 2 === 0 ? '' : '-'}1`,
    mixture: (levels: number) =>
      `${'NOT('.repeat(levels >> 1)}${'('.repeat(levels % 2)}a = 1${')'.repeat(levels - (levels >> 1))}`,
  }
  test.each(['parentheses', 'parentheses of a value', 'NOT', 'mixture'] as const)(
    '%s up to the limit, and not one more',
    (name) => {
      expect(takes(deep[name](MAX_SELECTOR_DEPTH), { a: '1' })).toBe(true)
      expect(refusal(deep[name](MAX_SELECTOR_DEPTH + 1)).message).toContain(
        `at most ${MAX_SELECTOR_DEPTH} levels of parentheses, NOT and signs`,
      )
    },
  )

  test('signs up to the limit, and not one more', () => {
    expect(takes(deep.signs(MAX_SELECTOR_DEPTH), { a: '1' })).toBe(true)
    expect(refusal(`a = ${'+ '.repeat(MAX_SELECTOR_DEPTH + 1)}1`).message).toContain(
      `column ${5 + 2 * MAX_SELECTOR_DEPTH}: found "+"`,
    )
  })

  test('levels that were left do not count', () => {
    const pairs = '(a = 1) AND NOT (NOT a = -1) OR '.repeat(60)
    expect(takes(`${pairs} a = 1`, { a: '1' })).toBe(true)
  })

  test('nothing overflows the stack', () => {
    for (const opening of ['(', 'NOT ', '- ', 'a = (', '1 + (', 'NOT(-', 'a IN (']) {
      refusal(opening.repeat(MAX_SELECTOR / opening.length))
    }
  })

  test('long flat chains are fine', () => {
    const count = Math.floor(MAX_SELECTOR / 7)
    expect(takes(`${'a=1 OR '.repeat(count - 1)}a=2`, { a: '2' })).toBe(true)
    expect(takes(`${'a=1 OR '.repeat(count - 1)}a=2`, { a: '3' })).toBe(false)
    expect(takes(`${'a<>1 AND '.repeat(200)}a=2`, { a: '2' })).toBe(true)
    expect(takes(`a = ${'1+'.repeat(1000)}1`, { a: '1001' })).toBe(true)
    expect(takes(`a IN (${'1,'.repeat(1000)}2)`, { a: '2' })).toBe(true)
  })

  test('length up to the limit, and not one more', () => {
    const text = `a = '${'x'.repeat(MAX_SELECTOR - 6)}'`
    expect(text).toHaveLength(MAX_SELECTOR)
    expect(takes(text, { a: 'x'.repeat(MAX_SELECTOR - 6) })).toBe(true)
    expect(refusal(`${text} `).message).toContain(
      `${MAX_SELECTOR + 1} characters; it may have ${MAX_SELECTOR}`,
    )
  })

  test('patterns after LIKE up to their limit together, and not one character more', () => {
    const half = 'x'.repeat(MAX_LIKE / 2)
    const both = (more: string): string => `p LIKE '${half}' OR q NOT LIKE '${half}${more}'`
    expect(takes(both(''), { p: half })).toBe(true)
    expect(refusal(both('_')).message).toContain(`column ${9 + half.length + 16}: found "'${'x'.repeat(10)}`)
    expect(refusal(both('%')).message).toContain(`at most ${MAX_LIKE} characters in all patterns after LIKE`)
    expect(refusal(`p LIKE '${half}${half}x'`).message).toContain('column 8:')
    expect(takes(`${both('')} OR r IN ('${half}')`, { r: half })).toBe(true)
  })

  test('as many patterns to search for as their limit has words, and any number of short beginnings', () => {
    const like = (pattern: string, count: number): string =>
      Array(count).fill(`p LIKE '${pattern}'`).join(' OR ')
    expect(takes(like('%x', 8), { p: 'yx' })).toBe(true)
    expect(refusal(like('%x', 9)).message).toContain('column 128: found "\'%x\'", expected at most 256')
    expect(refusal(like('x%y', 9)).message).toContain('32 for a short one with % before its end')
    expect(takes(like('x%%', 85), { p: 'xy' })).toBe(true)
    expect(refusal(like('x%%', 86)).message).toContain('expected at most 256')
  })

  test('LIKE does not try every way to split the text', () => {
    const text = 'a'.repeat(100_000)
    expect(takes("p LIKE '%a%a%a%a%b'", { p: text })).toBe(false)
    expect(takes(`p LIKE '${'%a'.repeat(30)}%b'`, { p: text })).toBe(false)
    expect(takes(`p LIKE '${'%_'.repeat(30)}b%'`, { p: text })).toBe(false)
    expect(takes(`p LIKE '${'%a_'.repeat(30)}%'`, { p: text })).toBe(true)
    expect(takes(`p LIKE '%${'a_'.repeat(126)}b%'`, { p: text })).toBe(false)
  })

  test('text that almost is a number is told from one at once', () => {
    expect(takes('n = 1', { n: `${'1'.repeat(100_000)}x` })).toBe(false)
    expect(refusal(`${"''".repeat(1000)}'`).message).toContain('column 1:')
  })
})

// A second implementation: over the tree instead of the text, with truth as 0, ½ and 1 (Kleene).

type Value =
  | { type: 'literal'; text: string; value: number }
  | { type: 'header'; name: string }
  | { type: 'sign'; sign: '+' | '-'; of: Value }
  | { type: 'calculate'; operator: '+' | '-' | '*' | '/'; left: Value; right: Value }
type Condition =
  | { type: 'and' | 'or'; left: Condition; right: Condition }
  | { type: 'not'; of: Condition }
  | { type: 'bare'; name: string }
  | { type: 'constant'; value: boolean }
  | { type: 'numbers'; operator: string; left: Value; right: Value }
  | { type: 'text'; operator: '=' | '<>' | '!='; name: string; text: string; swapped: boolean }
  | { type: 'truth'; operator: '=' | '<>' | '!='; name: string; value: boolean }
  | { type: 'between'; not: boolean; of: Value; low: Value; high: Value }
  | { type: 'in'; not: boolean; name: string; list: (string | { text: string; value: number })[] }
  | { type: 'like'; not: boolean; name: string; pattern: string; escape: string }
  | { type: 'null'; not: boolean; name: string }

const headerNames = ['a', 'b', 'c', 'x-y', '__proto__', 'order', '$d.e_f', 'größe']
/** Header values, and the number each looks like. */
const headerValues: readonly (readonly [string, number | null])[] = [
  ['0', 0],
  ['1', 1],
  ['2', 2],
  ['-2.5', -2.5],
  ['1e2', 100],
  ['+3', 3],
  ['.5', 0.5],
  ['true', null],
  ['false', null],
  ['', null],
  ['ab', null],
  ["a'b%", null],
  ['🌍a_', null],
]
const asNumber = new Map(headerValues)

const name = fc.constantFrom(...headerNames)
const text = fc.oneof(
  fc.constantFrom(...headerValues.map(([each]) => each)),
  fc.string({ unit: fc.constantFrom('a', 'b', '%', '_', "'", '🌍'), maxLength: 5 }),
)
const literal = fc
  .constantFrom<[string, number]>(
    ['0', 0],
    ['1', 1],
    ['2', 2],
    ['2.5', 2.5],
    ['.5', 0.5],
    ['1E2', 100],
    ['0x3', 3],
    ['3l', 3],
    ['1.', 1],
  )
  .map(([written, value]) => ({ text: written, value }))
const equality = fc.constantFrom('=' as const, '<>' as const, '!=' as const)

const { condition } = fc.letrec<{ value: Value; condition: Condition }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    literal.map((each): Value => ({ type: 'literal', ...each })),
    name.map((each): Value => ({ type: 'header', name: each })),
    fc.record({ type: fc.constant('sign'), sign: fc.constantFrom('+', '-'), of: tie('value') }),
    fc.record({
      type: fc.constant('calculate'),
      operator: fc.constantFrom('+', '-', '*', '/'),
      left: tie('value'),
      right: tie('value'),
    }),
  ),
  condition: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ type: fc.constant('bare'), name }),
    fc.record({ type: fc.constant('constant'), value: fc.boolean() }),
    fc.record({ type: fc.constant('text'), operator: equality, name, text, swapped: fc.boolean() }),
    fc.record({ type: fc.constant('truth'), operator: equality, name, value: fc.boolean() }),
    fc.record({
      type: fc.constant('in'),
      not: fc.boolean(),
      name,
      list: fc.array(fc.oneof(text, literal), { minLength: 1, maxLength: 4 }),
    }),
    fc.record({
      type: fc.constant('like'),
      not: fc.boolean(),
      name,
      pattern: text,
      escape: fc.constantFrom('', '', '!', 'b', '_'),
    }),
    fc.record({ type: fc.constant('null'), not: fc.boolean(), name }),
    fc.record({
      type: fc.constant('numbers'),
      operator: fc.constantFrom('=', '<>', '!=', '<', '<=', '>', '>='),
      left: tie('value'),
      right: tie('value'),
    }),
    fc.record({
      type: fc.constant('between'),
      not: fc.boolean(),
      of: tie('value'),
      low: tie('value'),
      high: tie('value'),
    }),
    fc.record({ type: fc.constant('not'), of: tie('condition') }),
    fc.record({ type: fc.constantFrom('and', 'or'), left: tie('condition'), right: tie('condition') }),
    fc.record({ type: fc.constantFrom('and', 'or'), left: tie('condition'), right: tie('condition') }),
  ),
}))

/** Pieces of a selector; the number is how tightly it holds together. */
type Printed = [pieces: string[], tightness: number]

class Printer {
  private readonly dice: readonly number[]
  private thrown = 0

  constructor(dice: readonly number[]) {
    this.dice = dice
  }

  private throw(sides: number): number {
    return (this.dice[this.thrown++ % this.dice.length] ?? 0) % sides
  }

  print(tree: Condition): string {
    let all = ''
    for (const piece of this.wrap(this.condition(tree), 0)) {
      const needed = /[\p{L}\p{N}_$.]$/u.test(all) && /^[\p{L}\p{N}_$.]/u.test(piece)
      const blank = ['', ' ', '\t', '\n ', ' '][this.throw(5)] ?? ''
      all += (needed && blank === '' ? ' ' : blank) + piece
    }
    return all
  }

  /** In parentheses where it must be, and now and then where it need not. */
  private wrap([pieces, tightness]: Printed, needed: number): string[] {
    return tightness < needed || this.throw(8) === 0 ? ['(', ...pieces, ')'] : pieces
  }

  private word(word: string): string {
    return Array.from(word)
      .map((letter) => (this.throw(2) === 0 ? letter.toLowerCase() : letter))
      .join('')
  }

  private words(text: string): string[] {
    return text
      .split(' ')
      .filter(Boolean)
      .map((each) => this.word(each))
  }

  private name(name: string): string {
    return name === 'x-y' || this.throw(4) === 0 ? `"${name}"` : name
  }

  private value(tree: Value): Printed {
    switch (tree.type) {
      case 'literal':
        return [[tree.text], 9]
      case 'header':
        return [[this.name(tree.name)], 9]
      case 'sign':
        return [[tree.sign, ...this.wrap(this.value(tree.of), 7)], 7]
      case 'calculate': {
        const own = tree.operator === '+' || tree.operator === '-' ? 5 : 6
        const left = this.wrap(this.value(tree.left), own)
        return [[...left, tree.operator, ...this.wrap(this.value(tree.right), own + 1)], own]
      }
    }
  }

  private condition(tree: Condition): Printed {
    const not = 'not' in tree && tree.not ? 'NOT' : ''
    switch (tree.type) {
      case 'or':
      case 'and': {
        const own = tree.type === 'or' ? 1 : 2
        const left = this.wrap(this.condition(tree.left), own)
        return [
          [...left, ...this.words(tree.type.toUpperCase()), ...this.wrap(this.condition(tree.right), own)],
          own,
        ]
      }
      case 'not':
        return [[...this.words('NOT'), ...this.wrap(this.condition(tree.of), 3)], 3]
      case 'bare':
        return [[this.name(tree.name)], 9]
      case 'constant':
        return [this.words(tree.value ? 'TRUE' : 'FALSE'), 9]
      case 'numbers': {
        const left = this.wrap(this.value(tree.left), 5)
        return [[...left, tree.operator, ...this.wrap(this.value(tree.right), 5)], 4]
      }
      case 'text': {
        const sides = [this.name(tree.name), quoted(tree.text)]
        if (tree.swapped) sides.reverse()
        return [[sides[0] ?? '', tree.operator, sides[1] ?? ''], 4]
      }
      case 'truth':
        return [[this.name(tree.name), tree.operator, ...this.words(tree.value ? 'TRUE' : 'FALSE')], 4]
      case 'between': {
        const of = this.wrap(this.value(tree.of), 5)
        const low = this.wrap(this.value(tree.low), 5)
        const high = this.wrap(this.value(tree.high), 5)
        return [[...of, ...this.words(`${not} BETWEEN`), ...low, ...this.words('AND'), ...high], 4]
      }
      case 'in': {
        const list = tree.list.flatMap((each) => [',', typeof each === 'string' ? quoted(each) : each.text])
        return [[this.name(tree.name), ...this.words(`${not} IN`), '(', ...list.slice(1), ')'], 4]
      }
      case 'like': {
        const escape = tree.escape === '' ? [] : [...this.words('ESCAPE'), quoted(tree.escape)]
        return [[this.name(tree.name), ...this.words(`${not} LIKE`), quoted(tree.pattern), ...escape], 4]
      }
      case 'null':
        return [[this.name(tree.name), ...this.words(`IS ${not} NULL`)], 4]
    }
  }
}

function quoted(plain: string): string {
  return `'${plain.replaceAll("'", "''")}'`
}

function calculate(tree: Value, given: Given): number | null {
  switch (tree.type) {
    case 'literal':
      return tree.value
    case 'header':
      return asNumber.get(get(given, tree.name) ?? '') ?? null
    case 'sign': {
      const value = calculate(tree.of, given)
      return value === null ? null : tree.sign === '-' ? 0 - value : value
    }
    case 'calculate': {
      const left = calculate(tree.left, given)
      const right = calculate(tree.right, given)
      if (left === null || right === null || (tree.operator === '/' && right === 0)) return null
      return { '+': left + right, '-': left - right, '*': left * right, '/': left / right }[tree.operator]
    }
  }
}

const UNKNOWN = 0.5

function compare<T extends string | number | boolean>(
  operator: string,
  left: T | null,
  right: T | null,
): number {
  if (left === null || right === null) return UNKNOWN
  const results: Record<string, boolean> = {
    '=': left === right,
    '<>': left !== right,
    '!=': left !== right,
    '<': left < right,
    '<=': left <= right,
    '>': left > right,
    '>=': left >= right,
  }
  return Number(results[operator])
}

function naive(tree: Condition, given: Given): number {
  const value = 'name' in tree ? (get(given, tree.name) ?? null) : null
  const turn = (result: number): number => ('not' in tree && tree.not ? 1 - result : result)
  const truths = (text: string | null): boolean | null =>
    text === 'true' ? true : text === 'false' ? false : null
  switch (tree.type) {
    case 'and':
      return Math.min(naive(tree.left, given), naive(tree.right, given))
    case 'or':
      return Math.max(naive(tree.left, given), naive(tree.right, given))
    case 'not':
      return 1 - naive(tree.of, given)
    case 'constant':
      return Number(tree.value)
    case 'bare':
      return compare('=', truths(value), true)
    case 'truth':
      return compare(tree.operator, truths(value), tree.value)
    case 'text':
      return compare(tree.operator, value, tree.text)
    case 'numbers': {
      const { left, right } = tree
      const one = calculate(left, given)
      const other = calculate(right, given)
      if (left.type === 'header' && right.type === 'header' && (one === null || other === null)) {
        return compare(tree.operator, get(given, left.name) ?? null, get(given, right.name) ?? null)
      }
      return compare(tree.operator, one, other)
    }
    case 'between': {
      const ends = ([end, operator]: [Value, string]): number =>
        naive({ type: 'numbers', operator, left: tree.of, right: end }, given)
      return turn(Math.min(ends([tree.low, '>=']), ends([tree.high, '<='])))
    }
    case 'in':
      return turn(
        Math.max(
          ...tree.list.map((each) =>
            typeof each === 'string'
              ? compare('=', value, each)
              : compare('=', asNumber.get(value ?? '') ?? null, each.value),
          ),
        ),
      )
    case 'like':
      return turn(
        value === null
          ? UNKNOWN
          : Number(fits(Array.from(value), unescape(Array.from(tree.pattern), tree.escape))),
      )
    case 'null':
      return turn(Number(value === null))
  }
}

function get(given: Given, wanted: string): string | undefined {
  return Object.entries(given).find(([each]) => each === wanted)?.[1]
}

function unescape(pattern: readonly string[], escape: string): string[] {
  const [first, second = '', ...rest] = pattern
  if (first === undefined) return []
  if (first === escape) return [`literal ${second}`, ...unescape(rest, escape)]
  return [first === '%' || first === '_' ? first : `literal ${first}`, ...unescape(pattern.slice(1), escape)]
}

/** Pattern by pattern: which parts of the text from its start each can have used up. */
function fits(given: readonly string[], pattern: readonly string[]): boolean {
  let used = [0]
  for (const wanted of pattern) {
    if (wanted === '%') {
      const least = Math.min(...used)
      used = [...given, ''].map((_, index) => index).filter((index) => index >= least)
    } else {
      used = used
        .filter((at) => at < given.length && (wanted === '_' || wanted === `literal ${given[at]}`))
        .map((at) => at + 1)
    }
  }
  return used.includes(given.length)
}

/** An escape character with nothing behind it is a mistake. */
function dangles(tree: Condition): boolean {
  switch (tree.type) {
    case 'and':
    case 'or':
      return dangles(tree.left) || dangles(tree.right)
    case 'not':
      return dangles(tree.of)
    case 'like':
      return unescape(Array.from(tree.pattern), tree.escape).at(-1) === 'literal '
    default:
      return false
  }
}

const given = fc.uniqueArray(fc.tuple(name, fc.constantFrom(...headerValues.map(([each]) => each))), {
  selector: ([each]) => each,
  maxLength: headerNames.length,
})

test('any selector, however it is written, agrees with a naive evaluation of its tree', () => {
  fc.assert(
    fc.property(
      condition.filter((tree) => !dangles(tree)),
      fc.array(fc.nat(1000), { minLength: 20, maxLength: 60 }),
      fc.array(given, { minLength: 1, maxLength: 6 }),
      (tree, dice, messages) => {
        const written = new Printer(dice).print(tree)
        const selector = parseSelector(written)
        const negated = parseSelector(`NOT (${written})`)
        for (const headers of messages) {
          const message = { id: 'n-1', headers: new Map(headers) }
          const expected = naive(tree, Object.fromEntries(headers.map(([key, value]) => [key, value])))
          expect([selector(message), negated(message)], written).toEqual([expected === 1, expected === 0])
        }
      },
    ),
    { numRuns: 2000 },
  )
})

test('LIKE agrees with a naive one, also where pattern and text are long', () => {
  const item = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom('a', 'b', '🌍') },
    { weight: 2, arbitrary: fc.constant('_') },
    { weight: 1, arbitrary: fc.constant('%') },
  )
  const filling = fc.array(fc.constantFrom('a', 'b', '🌍'), { maxLength: 40 })
  // Half of the texts are made to fit, and then some of them broken.
  const change = fc.option(fc.tuple(fc.nat(150), fc.constantFrom('a', 'b', '')), { freq: 2 })
  let matched = 0
  fc.assert(
    fc.property(
      fc.array(item, { maxLength: 130, size: 'max' }),
      filling,
      change,
      (pattern, fill, changed) => {
        const text: string[] = pattern.flatMap((each, index) =>
          each === '%' ? fill : each === '_' ? [fill[index % fill.length] ?? 'b'] : [each],
        )
        if (changed !== null) text.splice(changed[0], 1, changed[1])
        const characters = text.filter((each) => each !== '')
        const expected = fits(characters, unescape(pattern, ''))
        if (expected) matched++
        expect(takes(`p LIKE '${pattern.join('')}'`, { p: characters.join('') })).toBe(expected)
      },
    ),
    { numRuns: 1000 },
  )
  expect(matched).toBeGreaterThan(100)
  expect(matched).toBeLessThan(900)
})

test('any text is either a selector or refused as an invalid one', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      ...'a b "c" \'x\' 1 2.5 0x1 NULL TRUE AND OR NOT IN IS LIKE BETWEEN ESCAPE ( ) , = <> < >= + - * / \' "'.split(
        ' ',
      ),
    ),
    fc.constantFrom('(', ')', 'a', '=', 'NOT', '1'),
    fc.string({ unit: 'binary', maxLength: 3 }),
  )
  const noise = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(' ')),
    fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join('')),
  )
  const message = { id: 'n-1', headers: new Map(Object.entries({ a: '1', b: 'x', c: 'true' })) }
  fc.assert(
    fc.property(noise, (written) => {
      try {
        expect(parseSelector(written)(message)).toBeTypeOf('boolean')
      } catch (error) {
        if (!(error instanceof StompError)) throw error
        expect(error.code).toBe('invalid-selector')
        const [said, line = '', caret = '', ...more] = error.message.split('\n')
        expect(more).toEqual([])
        expect(said).toMatch(/^The selector is wrong at column \d+: found .+, expected .+\.$/)
        expect(caret).toMatch(/^ *\^$/)
        expect(caret.length).toBeLessThanOrEqual(Array.from(line).length + 1)
      }
    }),
    { numRuns: 3000 },
  )
})
