import { describe, expect, test, vi } from 'vitest'
import { readDurable, readRequest, type Request } from '../../broker/core/request.ts'
import { refusal } from '../protocol/decode.ts'

const defaults = { prefetch: 32, maxPrefetch: 1_000 }
function read(headers: Record<string, string>, tell: (warning: string) => void = () => {}): Request {
  return readRequest(new Map(Object.entries(headers)), defaults, tell)
}

test('nothing asked for', () => {
  expect(read({ id: '0', destination: '/queue/x' })).toEqual({
    mode: 'auto',
    prefetch: { messages: 32, bytes: Infinity },
    selector: undefined,
    noLocal: false,
    browse: undefined,
    exclusive: false,
    priority: 0,
    durable: undefined,
    queueName: undefined,
    terms: {},
    autoDelete: undefined,
    deadLetters: undefined,
  })
})

test.each([
  [{ prefetch: '5' }, 5, Infinity],
  [{ 'prefetch-count': '5' }, 5, Infinity],
  [{ 'activemq.prefetchSize': '5' }, 5, Infinity],
  [{ credit: '5' }, 5, Infinity],
  [{ credit: '5,1000' }, 5, 1_000],
  [{ credit: '5,0' }, 5, Infinity],
  [{ prefetch: '0' }, 1_000, Infinity],
  [{ prefetch: '1001' }, 1_000, Infinity],
  // Bytes, which are all that counts then.
  [{ 'consumer-window-size': '2000' }, 1_000, 2_000],
  [{ 'consumer-window-size': '0' }, 1, Infinity],
  [{ 'consumer-window-size': '-1' }, 1_000, Infinity],
  [{ 'consumer-window-size': '2000', prefetch: '5' }, 5, 2_000],
])('prefetch %j', (headers, messages, bytes) => {
  expect(read(headers as Record<string, string>).prefetch).toEqual({ messages, bytes })
})

test.each([
  [{ 'no-local': 'true' }, { noLocal: true }],
  [{ 'activemq.noLocal': 'true' }, { noLocal: true }],
  [{ browser: 'true' }, { browse: { end: true } }],
  [{ browser: 'true', 'browser-end': 'false' }, { browse: { end: false } }],
  [{ browser: 'false' }, { browse: undefined }],
  [{ exclusive: 'true' }, { exclusive: true }],
  [{ 'activemq.exclusive': 'true' }, { exclusive: true }],
  [{ 'x-priority': '7' }, { priority: 7 }],
  [{ 'activemq.priority': '-7' }, { priority: -7 }],
  [{ selector: 'a = 1' }, { selector: 'a = 1' }],
  [{ 'x-queue-name': 'q' }, { queueName: 'q' }],
  [{ 'auto-delete': 'true' }, { autoDelete: true }],
  [{ 'auto-delete': 'false' }, { autoDelete: false }],
  [{ 'x-dead-letter-exchange': '' }, { deadLetters: { exchange: '', key: undefined } }],
  [
    { 'x-dead-letter-exchange': 'amq.topic', 'x-dead-letter-routing-key': 'k' },
    { deadLetters: { exchange: 'amq.topic', key: 'k' } },
  ],
  [{ 'x-message-ttl': '500' }, { terms: { messageLife: 500 } }],
  [{ 'x-message-ttl': '0' }, { terms: { messageLife: 1 } }],
  [{ 'x-expires': '500' }, { terms: { idleLife: 500 } }],
  [{ 'x-max-priority': '9' }, { terms: { maxPriority: 9 } }],
  [{ 'x-max-length': '9' }, { terms: { maxMessages: 9, overflow: 'drop-oldest' } }],
  [{ 'x-max-length-bytes': '9' }, { terms: { maxBytes: 9, overflow: 'drop-oldest' } }],
  [
    { 'x-max-length': '9', 'x-overflow': 'reject-publish' },
    { terms: { maxMessages: 9, overflow: 'refuse' } },
  ],
])('%j', (headers, expected) => {
  expect(read(headers as Record<string, string>)).toMatchObject(expected)
})

describe('durable', () => {
  test.each([
    [{ durable: 'mine' }, 'mine'],
    [{ durable: 'true' }, true],
    [{ durable: 'false' }, undefined],
    [{ durable: '' }, undefined],
    [{ persistent: 'true' }, true],
    [{ persistent: 'false' }, undefined],
    [{ 'activemq.subscriptionName': 'mine' }, 'mine'],
    [{ 'durable-subscription-name': 'mine' }, 'mine'],
    [{ 'durable-subscriber-name': 'mine' }, 'mine'],
    [{ persistent: 'true', durable: 'mine' }, 'mine'],
    [{ durable: 'false', persistent: 'true' }, true],
  ])('%j', (headers, expected) => {
    expect(readDurable(new Map(Object.entries(headers as Record<string, string>)))).toBe(expected)
  })
})

test.each([
  ['prefetch', 'x'],
  ['prefetch', '-1'],
  ['credit', '5,x'],
  ['credit', ''],
  ['consumer-window-size', '-2'],
  ['x-priority', 'high'],
  ['activemq.priority', ''],
  ['x-max-length', 'x'],
  ['x-message-ttl', '-5'],
  ['ack', 'maybe'],
  ['browser', 'yes'],
  ['exclusive', '1'],
  ['activemq.exclusive', ''],
  ['no-local', 'TRUE'],
  ['auto-delete', 'no'],
  ['persistent', 'yes'],
])('%s:%s is refused', (name, value) => {
  expect(refusal(() => read({ [name]: value }))).toBe('invalid-header')
})

test('x-overflow of an unknown kind is refused', () => {
  expect(refusal(() => read({ 'x-max-length': '1', 'x-overflow': 'explode' }))).toBe('invalid-header')
})

test('of many that mean nothing a few are told of', () => {
  const tell = vi.fn<(warning: string) => void>()
  read(Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`x-${index}`, ''])), tell)
  expect(tell).toHaveBeenCalledTimes(10)
})

test('a header that means nothing is told of by its name, not by its value', () => {
  const tell = vi.fn<(warning: string) => void>()
  read(
    {
      id: '0',
      destination: '/topic/x',
      receipt: 'r',
      ack: 'client',
      'x-stream-offset': 'secret',
      my: 'secret',
    },
    tell,
  )
  expect(tell.mock.calls.map(([warning]) => /"(.*?)"/.exec(warning)?.[1])).toEqual(['x-stream-offset', 'my'])
  expect(tell.mock.calls.join('')).not.toContain('secret')
})
