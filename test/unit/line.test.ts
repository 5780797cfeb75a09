import { expect, test } from 'vitest'
import { linesOf } from '../../broker/engine/import.ts'
import { readLine, writeLine, type Line } from '../../broker/engine/line.ts'

const plain = { type: 'message', queue: '/queue/a', id: 'x-1', kind: 'queue', destination: '/queue/a' }

function read(value: unknown): Line {
  return readLine(Buffer.from(JSON.stringify(value)))
}

test('a line that says little has what is usual', () => {
  const line = read({ ...plain, headers: [['a', 'bc']], body: 'xyz' })
  expect(line).toMatchObject({ type: 'message', queue: '/queue/a' })
  if (line.type !== 'message') throw new Error('no message')
  const { message, ...rest } = line.item
  expect(rest).toEqual({ due: 0, until: 0, deliveries: 0, refusals: 0 })
  expect(message.terms).toEqual({
    expires: 0,
    priority: undefined,
    delay: 0,
    group: undefined,
    retain: undefined,
    persistent: true,
  })
  expect(message.destination).toEqual({
    kind: 'queue',
    name: '/queue/a',
    shown: '/queue/a',
    temporary: false,
  })
  // It counts for what it would count for if it were sent.
  expect(message.size).toBe(6 + 256 + 64)
})

test.for<Record<string, unknown>>([
  { ...plain, size: 1, headers: [], body: '' },
  {
    ...plain,
    size: 7,
    headers: [
      ['__proto__', '1'],
      ['2', ''],
      ['1', '\n:\\'],
    ],
    body: '\u2028\ufeff',
  },
  { ...plain, size: 7, headers: [], base64: '/w==' },
  {
    type: 'message',
    queue: '',
    id: 'a_b-.c',
    kind: 'topic',
    destination: '/user/a%20b/queue/x',
    shown: '/user/queue/x',
    due: 1,
    until: 2,
    deliveries: 3,
    refusals: 4,
    expires: 5,
    priority: 0,
    delay: 6,
    group: 'g',
    retain: 'remove',
    persistent: false,
    sender: 's',
    past: { origin: '/queue/o', firstQueue: 'o', firstReason: 'expired', path: ['/queue/o'], spread: true },
    size: 8,
    headers: [],
    body: 'b',
  },
  { type: 'queue', name: '/queue/a' },
  {
    type: 'queue',
    name: '/durable/x',
    terms: { selector: 'a = 1', topics: '/topic/a', deadLetters: null, maxPriority: 9, lasting: true },
  },
  {
    type: 'queue',
    name: '/queue/a',
    terms: {
      deadLetters: { kind: 'topic', name: '/topic/d', shown: '/topic/d', temporary: false },
      topics: { text: '/topic/*.a', separator: '.' },
    },
  },
  { type: 'store', format: 1, version: '1.2.3' },
  { type: 'end', lines: 3 },
])('comes back as it was: %j', (line) => {
  expect(JSON.parse(writeLine(read(line)))).toEqual(line)
})

test.for<[unknown, string]>([
  [null, 'its type must be store, queue, message, retained or end'],
  [{ type: 'letter' }, 'its type must be'],
  [{ ...plain, id: undefined }, 'its id is missing'],
  [{ ...plain, id: 'a:b' }, 'its id must be of letters, digits, dots, - and _'],
  [{ ...plain, kind: 'user' }, 'its kind must be topic or queue'],
  [{ ...plain, queue: '' }, 'it has neither a queue nor a time at which it is due'],
  [{ ...plain, queue: 'a\nb' }, 'its queue must be a name of at most'],
  [
    { ...plain, destination: `/queue/${'ü'.repeat(1_000)}` },
    'its destination must be a name of at most 1536 bytes',
  ],
  [{ ...plain, priority: 256 }, 'its priority must be a whole number from 0 to 255'],
  [{ ...plain, due: -1 }, 'its due must be a whole number from 0'],
  [{ ...plain, deliveries: 1.5 }, 'its deliveries must be a whole number from 0 to'],
  [{ ...plain, headers: { a: 'b' } }, 'its headers must be a list of names and values'],
  [{ ...plain, headers: [['a', 'b'], ['c']] }, 'its headers.1.1 must'],
  [{ ...plain, headers: [['a\0', 'b']] }, 'its headers.0.0 must be a text of 1 to'],
  [{ ...plain, body: 1 }, 'its body must be a text'],
  [{ ...plain, base64: 'a' }, 'its base64 must be base64'],
  [{ ...plain, body: '', base64: '' }, 'it has a body twice: body and base64'],
  [{ ...plain, colour: 'red' }, 'its colour is nothing that is known'],
  [{ ...plain, past: {} }, 'its past.origin is missing'],
  [{ ...plain, type: 'retained', queue: undefined }, 'its kind must be topic'],
  [
    { type: 'queue', name: '/queue/a', terms: { overflow: 'explode' } },
    'its terms.overflow must be refuse or drop-oldest or block',
  ],
  [
    { type: 'queue', name: '/queue/a', terms: { temporary: true } },
    'its terms.temporary is nothing that is known',
  ],
  [{ type: 'queue', name: '/queue/a', terms: { selector: 'a =' } }, 'its terms.selector cannot be read: '],
  [
    { type: 'queue', name: '/queue/a', terms: { topics: { text: '/topic/>.a', separator: '.' } } },
    'its terms.topics ',
  ],
  [{ type: 'store', format: 1 }, 'its version is missing'],
  [{ type: 'end', lines: '3' }, 'its lines must be a whole number'],
])('refuses %j', ([value, sentence]) => {
  expect(() => read(value)).toThrow(sentence)
})

test('lines end at a line feed and nowhere else', async () => {
  const pieces = ['one\r\u2028', 'still one\n\ntw', 'o\nthree']
  // eslint-disable-next-line require-await
  async function* input(): AsyncGenerator<Buffer, void, void> {
    for (const piece of pieces) yield Buffer.from(piece)
  }
  const lines: string[] = []
  for await (const line of linesOf(input())) lines.push(line.toString())
  expect(lines).toEqual(['one\r\u2028still one', '', 'two', 'three'])
})
