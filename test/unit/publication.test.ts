import { beforeEach, describe, expect, test, vi } from 'vitest'
import { readPublication, type Publication, type Sender } from '../../broker/core/publication.ts'
import { NO_TERMS } from '../../broker/model/message.ts'
import { refusal } from '../protocol/decode.ts'

const NOW = 1_800_000_000_000
const tell = vi.fn<(warning: string) => void>()
const sender: Sender = {
  terms: NO_TERMS,
  replyAddress: (replyTo) => replyTo.replace('/temp-queue/', '/reply-queue/'),
  tell,
}
function read(headers: Record<string, string>): Publication {
  return readPublication(new Map(Object.entries(headers)), sender)
}

beforeEach(() => {
  vi.setSystemTime(NOW)
  tell.mockClear()
  return () => vi.useRealTimers()
})

test('a plain SEND has the usual terms and its own headers, the very same objects', () => {
  const headers = new Map([['destination', '/topic/x']])
  const publication = readPublication(headers, sender)
  expect(publication.terms).toBe(NO_TERMS)
  expect(publication.headers).toBe(headers)
})

describe('expiry', () => {
  test.each([
    ['expiration', '5000', NOW + 5_000],
    ['ttl', '5000', NOW + 5_000],
    // No time at all would be no delivery at all.
    ['expiration', '0', NOW + 1],
    ['expires', String(NOW + 5_000), NOW + 5_000],
    ['expires', '1000000000', 1_000_000_000],
    ['expires', '999999999', NOW + 999_999_999],
  ])('%s:%s', (name, value, expires) => {
    const { terms, headers } = read({ [name]: value, other: 'x' })
    expect(terms).toEqual({ ...NO_TERMS, expires })
    // Shown in milliseconds since 1970, beside what the sender wrote.
    expect(headers.get('expires')).toBe(String(expires))
    if (name !== 'expires') expect(headers.get(name)).toBe(value)
    expect(tell).toHaveBeenCalledTimes(value === '999999999' ? 1 : 0)
  })

  test('expires:0 is never', () => {
    expect(read({ expires: '0' })).toMatchObject({
      terms: { expires: 0 },
      headers: new Map([['expires', '0']]),
    })
  })

  test('the earliest of several counts', () => {
    expect(read({ ttl: '500', expiration: '300', expires: '0' }).terms.expires).toBe(NOW + 300)
  })
})

describe('the rest', () => {
  test.each([
    [{ priority: '9' }, { priority: 9 }],
    [{ 'x-delay': '100' }, { delay: 100 }],
    [{ AMQ_SCHEDULED_DELAY: '100' }, { delay: 100 }],
    [{ JMSXGroupID: 'g' }, { group: 'g' }],
    [{ message_group: 'g' }, { group: 'g' }],
    [{ message_group: '' }, { group: undefined }],
    [{ retain: 'set' }, { retain: 'set' }],
    [{ retain: 'remove' }, { retain: 'remove' }],
    [{ persistent: 'true' }, { persistent: true }],
    [{ persistent: 'false' }, { persistent: false }],
  ])('%j', (given, terms) => {
    const { terms: got, headers } = read(given)
    expect(got).toEqual({ ...NO_TERMS, ...terms })
    expect(Object.fromEntries(headers)).toEqual(given)
  })

  test('reply-to is shown as others are to write it', () => {
    expect(read({ 'reply-to': '/temp-queue/a' }).headers.get('reply-to')).toBe('/reply-queue/a')
    expect(read({ 'reply-to': '/queue/a' }).headers.get('reply-to')).toBe('/queue/a')
  })
})

test.each([
  ['expiration', 'soon'],
  ['expiration', '-1'],
  ['expiration', '1.5'],
  ['ttl', ''],
  ['ttl', '100000000001'],
  ['expires', 'x'],
  ['expires', '99999999999999999'],
  ['priority', '256'],
  ['priority', 'high'],
  ['x-delay', '-1'],
  ['AMQ_SCHEDULED_DELAY', '100000000001'],
  ['retain', 'true'],
])('%s:%s is refused', (name, value) => {
  expect(refusal(() => read({ [name]: value }))).toBe('invalid-header')
})

test('the highest and longest are accepted', () => {
  expect(read({ ttl: '100000000000', priority: '255' }).terms).toMatchObject({
    expires: NOW + 1e11,
    priority: 255,
  })
})
