import { describe, expect, test } from 'vitest'
import { Made } from '../../broker/model/content.ts'
import { formOf } from '../../broker/model/form.ts'
import { Message, MessageIds } from '../../broker/model/message.ts'
import type { Payload, Wire } from '../../broker/model/wire.ts'
import { parseDestination } from '../helpers/destination.ts'
import type { Version } from '../../broker/protocol/frame.ts'

const VERSIONS = ['1.0', '1.1', '1.2'] as const
const NOT_UTF8 = Buffer.from([0xff, 0x00])

/** A wire that shows whether it was told that the frame is text. */
function wireOf(options: Partial<Wire> = {}): Wire {
  return {
    name: 'plain',
    binary: 'native',
    octets: false,
    wrap: (head, tail, text) => Buffer.concat([Buffer.from(text ? 'T' : 'B'), head, tail]),
    ...options,
  }
}
const wire = wireOf()

function message(
  headers: Record<string, string> = {},
  body: string | Buffer = 'hello',
  to = '/topic/t',
): Message {
  return new Message(
    'm-1',
    parseDestination(to),
    new Made(new Map(Object.entries(headers)), Buffer.from(body)),
  )
}
/** The rendered frame: whether it went as text, its header lines and its body. */
function read(payload: Payload): { text: boolean; lines: string[]; body: string } {
  const all = Buffer.from(payload as Buffer).toString('latin1')
  const blank = all.indexOf('\n\n')
  const [command = '', ...lines] = Buffer.from(all.slice(1, blank), 'latin1').toString().split('\n')
  expect(command).toBe('MESSAGE')
  expect(all.at(-1)).toBe('\0')
  return { text: all.startsWith('T'), lines, body: all.slice(blank + 2, -1) }
}
function lines(of: Message, version: Version = '1.2', on: Wire = wire): string[] {
  return read(of.render(formOf('s', false, version, on))).lines
}

test('1.2 MESSAGE: subscription, message-id, destination, content-length, then what the sender gave', () => {
  const {
    text,
    lines: shown,
    body,
  } = read(message({ a: '1', b: '2' }).render(formOf('sub-0', false, '1.2', wire)))
  expect(shown).toEqual([
    'subscription:sub-0',
    'message-id:m-1',
    'destination:/topic/t',
    'content-length:5',
    'a:1',
    'b:2',
  ])
  expect([text, body]).toEqual([true, 'hello'])
})

test('1.2 MESSAGE: ack is shown where given', () => {
  const [subscription, ack] = read(message().render(formOf('s', true, '1.2', wire))).lines
  expect([subscription, ack]).toEqual(['subscription:s', 'ack:m-1'])
})

describe('equal forms share the very same bytes', () => {
  const others: [what: string, subscription: string, acks: boolean, version: Version, on: Wire][] = [
    ['subscription', 's2', false, '1.2', wire],
    ['ack', 's', true, '1.2', wire],
    ['version', 's', false, '1.1', wire],
    ['wire', 's', false, '1.2', wireOf({ name: 'other' })],
  ]
  test('two subscribers with the same form get the identical object', () => {
    const one = message()
    expect(one.render(formOf('s', false, '1.2', wire))).toBe(one.render(formOf('s', false, '1.2', wire)))
  })

  test.each(others)('another %s is another form, and does not displace the first', (_what, ...form) => {
    const one = message()
    const first = one.render(formOf('s', false, '1.2', wire))
    const other = one.render(formOf(...form))
    expect(other).not.toBe(first)
    expect(one.render(formOf('s', false, '1.2', wire))).toBe(first)
    expect(one.render(formOf(...form))).toBe(other)
  })

  test('no two of all these forms are taken for one another', () => {
    const one = message()
    const forms = others.map(([, ...form]) => one.render(formOf(...form)))
    expect(new Set(forms).size).toBe(forms.length)
    expect(
      new Set([one.render(formOf('x y', false, '1.2', wire)), one.render(formOf('y', true, '1.2', wire))])
        .size,
    ).toBe(2)
  })
})

describe('headers', () => {
  test.each([
    'receipt',
    'transaction',
    'ack',
    'subscription',
    'message-id',
    'destination',
    'redelivered',
    'delivery-count',
    'session',
    'login',
    'passcode',
    'x-stream-offset',
    'x-max-length',
    'content-length',
  ])("the sender's %s is not passed on", (name) => {
    expect(lines(message({ [name]: 'forged' })).join('\n')).not.toContain('forged')
  })

  test.each([
    'content-type',
    'correlation-id',
    'reply-to',
    'expires',
    'priority',
    'Receipt',
    'x-anything',
    '__proto__',
  ])("the sender's %s is passed on", (name) => {
    const headers = new Map([[name, 'kept']])
    const one = new Message('m-1', parseDestination('/topic/t'), new Made(headers, Buffer.from('')))
    expect(lines(one)).toContain(`${name}:kept`)
  })

  test.each([
    ['true', true],
    ['false', false],
    ['yes', false],
  ])('persistent:%s is kept: %s', (value, kept) => {
    expect(lines(message({ persistent: value })).includes(`persistent:${value}`)).toBe(kept)
  })

  test.each([
    ['1.2', 'x\\cy:1\\n2\\r3\\c4\\\\5'],
    ['1.1', 'x\\cy:1\\n2\r3\\c4\\\\5'],
    // 1.0 has no escapes; what would end the line or the name is written as one all the same.
    ['1.0', 'x\\cy:1\\n2\r3:4\\5'],
  ] as const)('%s Value Encoding: each version is escaped in its own way', (version, line) => {
    expect(lines(message({ 'x:y': '1\n2\r3:4\\5' }), version)).toContain(line)
  })

  test.each(VERSIONS)('%s: neither destination nor subscription can add a header', (version) => {
    const one = new Message('m-1', parseDestination('/topic/a:b\\c'), new Made(new Map(), Buffer.from('')))
    const { lines: shown } = read(one.render(formOf('s\nx:1', false, version, wire)))
    expect(shown).toHaveLength(4)
    expect(shown[0]).toBe(version === '1.0' ? 'subscription:s\\nx:1' : 'subscription:s\\nx\\c1')
    expect(shown[2]).toBe(version === '1.0' ? 'destination:/topic/a:b\\c' : 'destination:/topic/a\\cb\\\\c')
  })

  test.each([
    ['1.2', '\\rcontent-length:1'],
    ['1.1', '\\\\rcontent-length:1'],
    ['1.0', '\\rcontent-length:1'],
  ] as const)('%s: a CR before a name, which many readers skip, is not written as such', (version, line) => {
    expect(lines(message({ '\rcontent-length': '1' }), version)).toContain(line)
  })

  test('1.0: a header named content-length:1 does not become the content-length', () => {
    const names = lines(message({ 'content-length:1': 'x' }), '1.0').map((line) => line.split(':')[0])
    expect(names.filter((name) => name === 'content-length')).toHaveLength(1)
  })
})

describe('bodies', () => {
  test.each([
    ['', 0],
    ['ä🌍', 6],
    ['a\0b', 3],
    [NOT_UTF8, 2],
  ])('1.2 content-length: in bytes (%j)', (body, length) => {
    const { lines: shown, body: carried } = read(message({}, body).render(formOf('s', false, '1.2', wire)))
    expect(shown.at(-1)).toBe(`content-length:${length}`)
    expect(carried).toBe(Buffer.from(body).toString('latin1'))
  })

  test.each<[what: string, body: string | Buffer, type: string | undefined, wire: Wire, text: boolean]>([
    ['UTF-8 goes as text', 'ä', undefined, wire, true],
    ['anything else goes as binary', NOT_UTF8, 'text/plain', wire, false],
    ['octets go as text to who did not ask for them', 'a', 'application/octet-stream', wire, true],
    ['octets go as binary to who did', 'a', 'application/octet-stream;x=y', wireOf({ octets: true }), false],
    ['other UTF-8 goes as text to who asked for octets', 'a', 'text/plain', wireOf({ octets: true }), true],
    ['UTF-8 needs no base64', 'a', undefined, wireOf({ binary: 'base64' }), true],
    ['base64 is text', NOT_UTF8, undefined, wireOf({ binary: 'base64' }), true],
  ])('%s', (_what, body, type, on, text) => {
    const one = message(type === undefined ? {} : { 'content-type': type }, body)
    expect(one.text).toBe(body !== NOT_UTF8)
    const shown = read(one.render(formOf('s', false, '1.2', on)))
    expect(shown.text).toBe(text)
    expect(shown.lines.some((line) => line.startsWith('content-transfer-encoding'))).toBe(
      on.binary === 'base64' && body === NOT_UTF8,
    )
  })

  test('base64: the body, its length, and a header that says so before any of the sender', () => {
    const one = message({ 'content-transfer-encoding': '8bit', a: '1' }, NOT_UTF8)
    const on = wireOf({ name: 'sockjs', binary: 'base64' })
    expect(read(one.render(formOf('s', false, '1.2', on)))).toMatchObject({
      lines: [
        'subscription:s',
        'message-id:m-1',
        'destination:/topic/t',
        'content-length:4',
        'content-transfer-encoding:base64',
        'a:1',
      ],
      body: NOT_UTF8.toString('base64'),
    })
    // Others get the bytes themselves, and the sender's own header.
    expect(read(one.render(formOf('s', false, '1.2', wire)))).toMatchObject({
      text: false,
      body: NOT_UTF8.toString('latin1'),
    })
    expect(lines(one)).toContain('content-transfer-encoding:8bit')
  })
})

describe('deliveries of a queue', () => {
  const queued = message({ a: '1', redelivered: 'forged' }, 'hello', '/queue/q')
  test.each([
    [1, ['redelivered:false']],
    [2, ['redelivered:true', 'delivery-count:1']],
    [7, ['redelivered:true', 'delivery-count:6']],
  ])('attempt %i', (attempt, own) => {
    expect(read(queued.renderDelivery(formOf('s', true, '1.2', wire), 'id-1', attempt)).lines).toEqual([
      'subscription:s',
      'ack:id-1',
      ...own,
      'message-id:id-1',
      'destination:/queue/q',
      'content-length:5',
      'a:1',
    ])
  })

  test('without ack where none is to be shown', () => {
    expect(read(queued.renderDelivery(formOf('s', false, '1.1', wire), 'id-1', 1)).lines[1]).toBe(
      'redelivered:false',
    )
  })
})

describe('message ids', () => {
  const ids = new MessageIds('node')
  const minted = Array.from({ length: 100 }, () => ids.next())

  test('are unique, short, and need no escaping on any version', () => {
    expect(new Set(minted).size).toBe(100)
    for (const id of minted) expect(id).toMatch(/^node-[0-9a-z]+$/)
  })

  test('are known again', () => {
    for (const id of minted) expect(ids.minted(id)).toBe(true)
  })

  test.each([
    'node-0',
    'node-2t',
    'node-',
    'node',
    '',
    'other-1',
    'node--1',
    'node-01',
    'node-1 ',
    'node-1x!',
    'NODE-1',
    'node-A',
    '1',
    'node-1.5',
  ])('%j was never given out', (id) => {
    expect(ids.minted(id)).toBe(false)
  })
})

describe('what is kept', () => {
  test('a body is taken out of what it was read with, once, into memory of its own', () => {
    for (const length of [0, 5, 5_000]) {
      const read = Buffer.alloc(65_536, 'x')
      const kept = new Message(
        'm',
        parseDestination('/topic/t'),
        new Made(new Map(), read.subarray(7, 7 + length)),
      )
      const { body } = kept.detach()
      expect(body.toString()).toBe('x'.repeat(length))
      expect(body.buffer.byteLength).toBe(length)
      read.fill('y')
      expect(body.toString()).toBe('x'.repeat(length))
      expect(kept.detach().body).toBe(body)
    }
  })

  test('a body that is most of what it was read with stays there', () => {
    const read = Buffer.alloc(65_536, 'x')
    const body = read.subarray(1, 60_000)
    expect(new Message('m', parseDestination('/topic/t'), new Made(new Map(), body)).detach().body).toBe(body)
  })

  test('a copy shows the same under its own id', () => {
    const one = message({ a: '1' })
    const before = one.render(formOf('s', false, '1.2', wire))
    const other = one.copy('m-2')
    expect(read(other.render(formOf('s', false, '1.2', wire))).lines).toEqual(
      read(before).lines.map((line) => line.replace('m-1', 'm-2')),
    )
    expect(read(one.copy('m-1').render(formOf('s', false, '1.2', wire)))).toEqual(read(before))
    expect(one.copy('m-1').render(formOf('s', false, '1.2', wire))).not.toBe(before)
  })
})
