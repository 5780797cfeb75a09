import { describe, expect, test } from 'vitest'
import type { FrameLimits } from '../../broker/protocol/decoder.ts'
import type { ErrorCode } from '../../broker/protocol/errors.ts'
import { COMMANDS, type Version } from '../../broker/protocol/frame.ts'
import { decode, decoderFor, readAll, refusal, show } from './decode.ts'

const VERSIONS = ['1.0', '1.1', '1.2'] as const
type Row = readonly [
  says: string,
  version: Version | undefined,
  input: string,
  headers: Record<string, string>,
]

describe('headers', () => {
  test.each<Row>([
    ['1.2 Value Encoding: \\r \\n \\c \\\\', '1.2', 'a:1\\r2\\n3\\c4\\\\5', { a: '1\r2\n3:4\\5' }],
    ['1.2 Value Encoding: names are escaped too', '1.2', 'x\\cy\\n:1', { 'x:y\n': '1' }],
    ['1.2 Value Encoding: one pass, an escaped \\ escapes nothing', '1.2', 'a:\\\\n\\\\\\c', { a: '\\n\\:' }],
    ['1.1 Value Encoding: \\n \\c \\\\', '1.1', 'a:1\\n2\\c3\\\\4', { a: '1\n2:3\\4' }],
    ['1.1 Value Encoding: \\\\ before r is no escape of CR', '1.1', 'a:\\\\r', { a: '\\r' }],
    ['1.0 knows no escapes', '1.0', 'a:1\\n2\\c3\\q\\', { a: '1\\n2\\c3\\q\\' }],
    ['1.2 Augmented BNF: a value may hold colons', '1.2', 'a:b:c::', { a: 'b:c::' }],
    ['1.2 Augmented BNF: a value may be empty', '1.2', 'a:', { a: '' }],
    ['1.2 Repeated Header Entries: the first one counts', '1.2', 'a:1\na:2\nb:3\na:4', { a: '1', b: '3' }],
    ['1.2 Repeated Header Entries: names count as decoded', '1.2', 'a\\cb:1\na\\cb:2', { 'a:b': '1' }],
    ['1.1 Repeated Header Entries: the first one counts', '1.1', 'a:1\na:2', { a: '1' }],
    ['1.2 Augmented BNF: CR LF ends a line', '1.2', 'a:1\r\nb:2\r', { a: '1', b: '2' }],
    ['CR LF is taken on 1.0 and 1.1 as well', '1.1', 'a:1\r\nb:2\r', { a: '1', b: '2' }],
    ['a CR inside a line ends nothing', '1.2', 'a:1\r2', { a: '1\r2' }],
    ['only one CR belongs to the end of a line', '1.2', 'a:1\r\r', { a: '1\r' }],
    ['1.2 Value Encoding: headers are UTF-8', '1.2', 'grüße:🌍', { grüße: '🌍' }],
    ['a byte order mark is no white space', '1.2', '\ufeffid:\ufeff1', { '\ufeffid': '\ufeff1' }],
    ['1.2 SEND: values are not trimmed', '1.2', 'destination: /queue/a ', { destination: ' /queue/a ' }],
    [
      '1.1 Value Encoding: names are not trimmed',
      '1.1',
      ' destination :/queue/a',
      { ' destination ': '/queue/a' },
    ],
    [
      '1.0: what the broker understands is trimmed',
      '1.0',
      ' destination :\t/queue/a ',
      { destination: '/queue/a' },
    ],
    ['1.0: values of other headers stay as they are', '1.0', ' custom : v ', { custom: ' v ' }],
    ['1.0: a padded name does not displace a plain one', '1.0', 'id:1\n id:2', { id: '1' }],
    ['unknown headers are kept, in order', '1.2', 'z:1\na:2', { z: '1', a: '2' }],
    [
      'names of Object are names like others',
      '1.2',
      '__proto__:1\nconstructor:2',
      JSON.parse('{"__proto__":"1","constructor":"2"}') as Record<string, string>,
    ],
  ])('%s', (_says, version, input, headers) => {
    const [frame] = decode(`SEND\n${input}\n\n\0`, version)
    expect(show(frame)).toEqual({ command: 'SEND', headers: Object.entries(headers), body: '' })
  })

  test.each([
    ['CONNECT', undefined],
    ['STOMP', undefined],
    ['CONNECT', '1.2'],
    ['STOMP', '1.2'],
    ['CONNECTED', '1.2'],
    ['CONNECTED', '1.1'],
  ] as const)('1.2 Value Encoding: %s is not unescaped (version %s)', (command, version) => {
    const [frame] = decode(`${command}\naccept-version:1.2\npasscode: a\\nb\\q:c \n\n\0`, version)
    expect(show(frame)).toMatchObject({
      headers: [
        ['accept-version', '1.2'],
        ['passcode', ' a\\nb\\q:c '],
      ],
    })
  })

  test('a CONNECT without accept-version is of a 1.0 client, which pads values', () => {
    const [frame] = decode('CONNECT\nlogin: me \nheart-beat: 0,0\npasscode: secret \n\n\0', undefined)
    expect(show(frame)).toMatchObject({
      headers: [
        ['login', 'me'],
        ['heart-beat', '0,0'],
        ['passcode', ' secret '],
      ],
    })
  })

  test.each<[says: string, version: Version, input: string | Buffer]>([
    ['1.2 Value Encoding: an undefined escape is fatal', '1.2', 'a:\\t'],
    ['1.2 Value Encoding: an undefined escape in a name is fatal', '1.2', '\\a:1'],
    ['1.2 Value Encoding: escapes are lower case', '1.2', 'a:\\N'],
    ['1.2 Value Encoding: a lone \\ at the end is fatal', '1.2', 'a:1\\'],
    ['1.2 Value Encoding: an escape does not reach over the colon', '1.2', 'a\\:1'],
    ['1.2 Value Encoding: an undefined escape in a repeated header is fatal too', '1.2', 'a:1\na:\\t'],
    ['1.1 Value Encoding: an undefined escape is fatal', '1.1', 'a:\\t'],
    ['1.1 Value Encoding: \\r is undefined', '1.1', 'a:\\r'],
    ['1.1 Value Encoding: a lone \\ at the end is fatal', '1.1', 'a:1\\'],
    ['a header needs a colon', '1.2', 'a'],
    ['a header needs a name', '1.2', ':1'],
    ['1.0: a name of white space is no name', '1.0', ' :1'],
    ['an escaped colon is none', '1.2', 'a\\cb'],
    ['a NUL in the head means that the blank line is missing', '1.2', 'a:1\0'],
    ['1.2: headers must be UTF-8', '1.2', Buffer.from([0x61, 0x3a, 0xff])],
    ['1.2: an overlong encoding is not UTF-8', '1.2', Buffer.from([0x61, 0x3a, 0xc0, 0xba])],
    ['1.2: half a character is not UTF-8', '1.2', Buffer.from([0x61, 0x3a, 0xe2, 0x82])],
    ['1.2: a lone surrogate is not UTF-8', '1.2', Buffer.from([0x61, 0x3a, 0xed, 0xa0, 0x80])],
    ['content-length is a number', '1.2', 'content-length:x'],
    ['content-length is not empty', '1.2', 'content-length:'],
    ['content-length is not negative', '1.2', 'content-length:-1'],
    ['content-length has no sign', '1.2', 'content-length:+1'],
    ['content-length is whole', '1.2', 'content-length:1.0'],
    ['content-length is decimal', '1.2', 'content-length:0x1'],
    ['content-length is not padded on 1.2', '1.2', 'content-length: 0'],
    ['content-length is of this world', '1.2', 'content-length:9999999999999999'],
  ])('%s', (_says, version, input) => {
    const bytes = Buffer.concat([Buffer.from('SEND\n'), Buffer.from(input), Buffer.from('\n\n\0')])
    expect(refusal(() => decode(bytes, version))).toBe('malformed-frame')
  })
})

describe('commands', () => {
  test.each(COMMANDS)('%s is known on every version', (command) => {
    for (const version of VERSIONS)
      expect(decode(`${command}\n\n\0`, version).map(show)).toEqual([{ command, headers: [], body: '' }])
  })

  test.each([
    'send',
    'Send',
    'SEND ',
    ' SEND',
    'SENDX',
    'SEN',
    'HELLO',
    'SEND:',
    'toString',
    'GET / HTTP/1.1',
  ])('%j is none: 1.2 STOMP Frames, commands are case sensitive', (command) => {
    expect(refusal(() => decode(`${command}\na:1\n\n\0`, '1.2'))).toBe('unknown-command')
  })

  test.each<[string, Buffer | string, ErrorCode]>([
    ['a NUL alone', '\0', 'malformed-frame'],
    ['a NUL after the command', 'SEND\0', 'malformed-frame'],
    ['a command that is not UTF-8', Buffer.from([0xff, 10, 10, 0]), 'malformed-frame'],
  ])('%s is refused', (_what, input, code) => {
    expect(refusal(() => decode(input, '1.2'))).toBe(code)
  })
})

describe('bodies', () => {
  test.each<[says: string, input: string, bodies: string[]]>([
    ['1.2 Body: without content-length up to the NUL', 'SEND\n\nab\n\nc\0', ['ab\n\nc']],
    ['1.2 content-length: a body may hold NULs', 'SEND\ncontent-length:3\n\na\0b\0', ['a\0b']],
    ['1.2 content-length: a body of NULs only', 'SEND\ncontent-length:2\n\n\0\0\0', ['\0\0']],
    ['1.2 content-length: counts bytes', 'SEND\ncontent-length:4\n\n🌍\0', ['🌍']],
    ['1.2 content-length: may be 0', 'SEND\ncontent-length:0\n\n\0', ['']],
    ['1.2 content-length: leading zeros', 'SEND\ncontent-length:002\n\nab\0', ['ab']],
    [
      '1.2 Repeated Header Entries: the first content-length counts',
      'SEND\ncontent-length:1\ncontent-length:9\n\na\0',
      ['a'],
    ],
    ['1.2 Body: ERROR and MESSAGE have one as well', 'ERROR\n\na\0MESSAGE\n\nb\0', ['a', 'b']],
    ['a body begins right after the blank line', 'SEND\r\n\r\n\r\na\0', ['\r\na']],
    ['frames follow each other without a gap', 'SEND\n\na\0SEND\n\nb\0', ['a', 'b']],
  ])('%s', (_says, input, bodies) => {
    const frames = decode(input, '1.2').map((frame) =>
      frame === 'heartbeat' ? frame : frame.body.toString(),
    )
    expect(frames).toEqual(bodies)
  })

  test('bytes that are not UTF-8 stay as they are', () => {
    const body = Buffer.from([0xff, 0x00, 0xc0, 0x80])
    const [frame] = decode(
      Buffer.concat([Buffer.from('SEND\ncontent-length:4\n\n'), body, Buffer.from([0])]),
      '1.2',
    )
    expect(frame).toMatchObject({ body })
  })

  test('1.0: content-length may be padded', () => {
    expect(decode('SEND\ncontent-length: 3 \n\na\0b\0', '1.0').map(show)).toMatchObject([{ body: 'a\0b' }])
  })

  test.each([
    'SEND\ncontent-length:1\n\nab\0',
    'SEND\ncontent-length:0\n\nab\0',
    'SEND\ncontent-length:2\n\na\0\n',
  ])('1.2 content-length: a NUL must follow (%j)', (input) => {
    expect(refusal(() => decode(input, '1.2'))).toBe('malformed-frame')
  })

  test.each(COMMANDS.filter((command) => !['SEND', 'MESSAGE', 'ERROR'].includes(command)))(
    '1.2 Body: %s must not have one',
    (command) => {
      expect(refusal(() => decode(`${command}\n\nx\0`, '1.2'))).toBe('malformed-frame')
      expect(refusal(() => decode(`${command}\ncontent-length:1\n\n\0\0`, '1.2'))).toBe('malformed-frame')
    },
  )
})

describe('EOLs between frames are heart-beats (1.2 Heart-beating)', () => {
  test.each<[input: string, read: string[]]>([
    ['\n', ['heartbeat']],
    ['\r\n', ['heartbeat']],
    ['\n\n\r\n\n', ['heartbeat']],
    ['SEND\n\n\0\n', ['SEND', 'heartbeat']],
    ['\nSEND\n\n\0\r\n\nSEND\n\n\0', ['heartbeat', 'SEND', 'heartbeat', 'SEND']],
  ])('%j', (input, read) => {
    for (const version of [undefined, ...VERSIONS])
      expect(decode(input, version).map((frame) => (frame === 'heartbeat' ? frame : frame.command))).toEqual(
        read,
      )
  })

  test('a CR and its LF may come apart', () => {
    const decoder = decoderFor('1.2')
    const read = ['\r', '\n', '\n\r', '\nSEND\n\n\0\r', '\nSEND\n\n\0'].flatMap((chunk) => {
      decoder.feed(Buffer.from(chunk))
      return readAll(decoder)
    })
    expect(read.filter((frame) => frame !== 'heartbeat').map(show)).toEqual([
      { command: 'SEND', headers: [], body: '' },
      { command: 'SEND', headers: [], body: '' },
    ])
    expect(read.at(0)).toBe('heartbeat')
  })

  test('a CR without its LF is no heart-beat and no frame', () => {
    expect(decode('\r', '1.2')).toEqual([])
    expect(refusal(() => decode('\rSEND\n\n\0', '1.2'))).toBe('unknown-command')
  })

  test('nothing is read from nothing', () => {
    expect(decoderFor('1.2').read()).toBeUndefined()
    expect(decode('', '1.2')).toEqual([])
  })
})

test('the version may change between two frames of one chunk', () => {
  const decoder = decoderFor(undefined)
  decoder.feed(Buffer.from('CONNECT\naccept-version:1.2\na:\\n\n\n\0SEND\na:\\n\n\n\0'))
  expect(show(decoder.read())).toMatchObject({
    headers: [
      ['accept-version', '1.2'],
      ['a', '\\n'],
    ],
  })
  decoder.version = '1.2'
  expect(show(decoder.read())).toMatchObject({ headers: [['a', '\n']] })
})

test('between two frames the decoder holds nothing of what came', () => {
  const decoder = decoderFor('1.2')
  for (const chunk of ['SEND\n\nab', 'c\0']) {
    decoder.feed(Buffer.from(chunk))
    readAll(decoder)
  }
  expect(decoder['buffer'].length).toBe(0)
})

test('long heads are not remembered', () => {
  const decoder = decoderFor('1.2')
  const remembered = (length: number): boolean => {
    const head = `SEND\nreceipt:1\na:${'a'.repeat(length)}\n\n\0`
    // Once may be chance.
    for (let times = 0; times < 2; times++) {
      decoder.feed(Buffer.from(head))
      expect(readAll(decoder)).toHaveLength(1)
    }
    return (decoder['sending']?.['behind'].length ?? 0) > length
  }
  expect([remembered(10), remembered(900), remembered(1_100), remembered(50_000)]).toEqual([
    true,
    true,
    false,
    false,
  ])
})

test('a body handed out is not overwritten by what comes later', () => {
  const decoder = decoderFor('1.2')
  const bodies: (Buffer | undefined)[] = []
  for (let n = 0; n < 200; n++) {
    const bytes = Buffer.from(`SEND\n\nbody ${n}\0SEND\n\nagain ${n}\0`)
    for (const chunk of [bytes.subarray(0, 9), bytes.subarray(9, 20), bytes.subarray(20)]) {
      decoder.feed(Buffer.from(chunk))
      for (const frame of readAll(decoder)) if (frame !== 'heartbeat') bodies.push(frame.body)
    }
  }
  expect(bodies.map(String)).toEqual(
    Array.from({ length: 200 }, (_, n) => [`body ${n}`, `again ${n}`]).flat(),
  )
})

describe('every limit may be met and not be crossed by one', () => {
  const full = 'SEND\ncontent-length:5\n\n12345\0'
  const frame = 'SEND\na:1\n\n12345\0'
  const rows: [what: string, limit: keyof FrameLimits, met: number, input: string, frames: number][] = [
    ['command', 'maxCommand', 9, 'SUBSCRIBE\nid:1\n\n\0', 1],
    ['command, unfinished', 'maxCommand', 9, 'SUBSCRIBE', 0],
    ['command with its CR', 'maxCommand', 10, 'SUBSCRIBE\r\n\r\n\0', 1],
    ['number of headers', 'maxHeaders', 3, 'SEND\na:1\nb:2\nc:3\n\n\0', 1],
    ['number of headers, the last unfinished', 'maxHeaders', 3, 'SEND\na:1\nb:2\nc:3', 0],
    ['number of headers, repeated ones', 'maxHeaders', 3, 'SEND\na:1\na:2\na:3\n\n\0', 1],
    ['number of headers, CR LF', 'maxHeaders', 2, 'SEND\r\na:1\r\nb:2\r\n\r\n\0', 1],
    ['header line', 'maxHeaderLine', 9, 'SEND\nx:1\nabc:12345\n\n\0', 1],
    ['header line, unfinished', 'maxHeaderLine', 9, 'SEND\nx:1\nabc:12345', 0],
    ['header line, in bytes', 'maxHeaderLine', 5, 'SEND\nä:é\n\n\0', 1],
    ['header line, as sent', 'maxHeaderLine', 4, 'SEND\na:\\n\n\n\0', 1],
    ['body up to the NUL', 'maxBody', 5, 'SEND\n\n12345\0', 1],
    ['body up to the NUL, unfinished', 'maxBody', 5, 'SEND\n\n12345', 0],
    ['body of a content-length', 'maxBody', 5, full, 1],
    ['body announced by content-length', 'maxBody', 5, 'SEND\ncontent-length:5\n\n', 0],
    ['frame', 'maxFrame', frame.length, frame, 1],
    ['frame with content-length', 'maxFrame', full.length, full, 1],
    ['frame announced by content-length', 'maxFrame', full.length, 'SEND\ncontent-length:5\n\n', 0],
    ['frame, unfinished in its command', 'maxFrame', 3, 'SEN', 0],
    ['frame, unfinished in its headers', 'maxFrame', 11, 'SEND\na:1\nb:', 0],
    ['frame, unfinished in its body', 'maxFrame', frame.length - 1, frame.slice(0, -1), 0],
    ['frame without a body', 'maxFrame', 11, 'BEGIN\nb:\n\n\0', 1],
  ]

  test.each(rows)('%s (%s: %i)', (_what, limit, met, input, frames) => {
    const version = '1.2'
    expect(decode(input, version, { [limit]: met })).toHaveLength(frames)
    expect(refusal(() => decode(input, version, { [limit]: met - 1 }))).toBe('frame-too-large')
    // And whatever the split.
    const decoder = decoderFor(version, { [limit]: met - 1 })
    const byByte = (): void => {
      for (const byte of Buffer.from(input)) {
        decoder.feed(Buffer.from([byte]))
        readAll(decoder)
      }
    }
    expect(refusal(byByte)).toBe('frame-too-large')
  })

  test('heart-beats and other frames of the same chunk do not count', () => {
    const input = `${'\n'.repeat(100)}${frame}${frame}\n\n${frame}`
    expect(
      decode(input, '1.2', { maxFrame: frame.length }).filter((read) => read !== 'heartbeat'),
    ).toHaveLength(3)
  })

  test('a body of no bytes fits a limit of none', () => {
    expect(decode('SEND\n\n\0SEND\ncontent-length:0\n\n\0', '1.2', { maxBody: 0 })).toHaveLength(2)
  })
})
