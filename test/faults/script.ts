import {
  BINARY,
  clientFrame,
  CLOSE,
  closing,
  CONTINUATION,
  FIN,
  PING,
  PONG,
  TEXT,
} from '../helpers/websocket-frame.ts'
import { conversation } from './corpus.ts'
import { mutate, split } from './mutate.ts'
import { handshake } from './peer.ts'
import type { Random } from './random.ts'

/** What one connection of the fuzzer does. */
export interface Script {
  readonly kind: 'tcp' | 'websocket' | 'sockjs-websocket' | 'sockjs-http' | 'http'
  /** What is written, one after the other. */
  readonly writes: readonly Buffer[]
  /** Nothing was spoilt: the broker is to answer the last frame. */
  readonly valid: boolean
  /** How it ends: by the end of what is written, or by a reset. */
  readonly reset: boolean
}

const KINDS = ['tcp', 'tcp', 'websocket', 'websocket', 'sockjs-websocket', 'sockjs-http', 'http'] as const

export function script(random: Random): Script {
  const kind = random.pick(KINDS)
  const valid = kind !== 'http' && random.chance(0.15)
  const reset = !valid && random.chance(0.15)
  // In which of its layers it is spoilt.
  const layer = valid ? 'none' : random.pick(['stomp', 'stomp', 'wire', 'both'] as const)
  const frames = conversation(random, valid ? 'calm' : 'fuzz', !kind.startsWith('sockjs'))
  const stomp =
    layer === 'stomp' || layer === 'both' ? spoil(Buffer.concat(frames), random) : Buffer.concat(frames)
  const wire = layer === 'wire' || layer === 'both'
  return { kind, valid, reset, writes: split(wrap(kind, stomp, wire, valid, random), random, 12) }
}

function spoil(bytes: Buffer, random: Random): Buffer {
  const times = random.between(1, 4)
  for (let index = 0; index < times; index++) bytes = mutate(bytes, random)
  return bytes
}

/** Brings what is said in STOMP into the form of a transport, and spoils that form if `spoilt`. */
function wrap(kind: Script['kind'], stomp: Buffer, spoilt: boolean, valid: boolean, random: Random): Buffer {
  switch (kind) {
    case 'tcp':
      return spoilt ? spoil(stomp, random) : stomp
    case 'websocket':
    case 'sockjs-websocket': {
      const session = random.below(1e9)
      const path =
        kind === 'websocket' ? random.pick(['/ws', '/stomp', '/ws/websocket']) : `/ws/1/${session}/websocket`
      const head = Buffer.from(handshake(path))
      const messages =
        kind === 'websocket'
          ? split(stomp, random, 6)
          : cut(stomp, random).map((part) => array(part, spoilt, random))
      const frames = messages.flatMap((message) =>
        webSocketFrames(message, kind === 'sockjs-websocket', spoilt, random),
      )
      const whole = Buffer.concat(frames)
      if (!spoilt) return Buffer.concat([head, whole])
      return random.chance(0.3)
        ? Buffer.concat([spoil(head, random), whole])
        : Buffer.concat([head, spoil(whole, random)])
    }
    case 'sockjs-http': {
      const session = `/ws/1/${random.below(1e9)}`
      const posts = cut(stomp, random).map((part) =>
        request(`${session}/xhr_send`, array(part, spoilt, random)),
      )
      const poll = request(
        `${session}/${valid ? 'xhr_streaming' : random.pick(['xhr', 'xhr_streaming'])}`,
        Buffer.alloc(0),
      )
      // The first opens the session, the last asks for the answers: for one of them, or till they end.
      const all = Buffer.concat([request(`${session}/xhr`, Buffer.alloc(0)), ...posts, poll])
      return spoilt ? spoil(all, random) : all
    }
    default: {
      const paths = [
        '/',
        '/ws',
        '/ws/info',
        '/ws/iframe.html',
        '/ws/1/2/jsonp?c=f',
        '/ws/1/2/eventsource',
        '/ws/1/2/htmlfile?c=f',
        '/x',
      ]
      const method = random.pick(['GET', 'POST', 'OPTIONS', 'HEAD', 'PUT', 'CONNECT'])
      const asked = request(random.pick(paths), stomp.subarray(0, 200), method)
      return spoil(random.chance(0.3) ? Buffer.from(handshake(random.pick(paths))) : asked, random)
    }
  }
}

function request(path: string, body: Buffer, method = 'POST'): Buffer {
  return Buffer.concat([
    Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n\r\n`),
    body,
  ])
}

/** Text in pieces of UTF-16, as clients cut it that do not look where. */
function cut(bytes: Buffer, random: Random): string[] {
  const text = bytes.toString()
  const cuts = Array.from({ length: random.below(3) }, () => random.below(text.length + 1))
  const places = [0, ...cuts.toSorted((a, b) => a - b), text.length]
  return places.slice(1).map((place, index) => text.slice(places[index], place))
}

/** A JSON array of messages, or what looks like it. */
function array(text: string, spoilt: boolean, random: Random): Buffer {
  const json = Buffer.from(JSON.stringify(random.chance(0.3) ? [text, ''] : [text]))
  if (!spoilt || random.chance(0.5)) return json
  return random.pick<() => Buffer>([
    () => mutate(json, random),
    () => Buffer.from(JSON.stringify(text)),
    () => Buffer.from(JSON.stringify({ text })),
    () => Buffer.from(JSON.stringify([text, 1, null, [text]])),
    () => Buffer.from('['.repeat(random.between(1, 5000))),
    () => Buffer.from('["\\ud800","\\u0000"]'),
    () => Buffer.alloc(0),
  ])()
}

/** A message in one frame or several, with control frames in between. */
function webSocketFrames(message: Buffer, text: boolean, spoilt: boolean, random: Random): Buffer[] {
  const type = text ? TEXT : BINARY
  const parts = split(message, random, random.chance(0.3) ? 4 : 0)
  const frames: Buffer[] = []
  for (const [index, part] of parts.entries()) {
    const last = index === parts.length - 1
    const first = (last ? FIN : 0) | (index === 0 ? type : CONTINUATION)
    const mask = random.bytes(4)
    frames.push(clientFrame(first, part, { mask, wide: random.pick([0, 0, 2, 8]) }))
    if (random.chance(0.1))
      frames.push(clientFrame(FIN | random.pick([PING, PONG]), random.bytes(random.below(126))))
  }
  if (!spoilt) return frames
  const odd = random.pick<() => Buffer>([
    () => clientFrame(random.below(256), random.bytes(random.below(200))),
    () => clientFrame(FIN | CLOSE, closing(random.below(65_536), random.bytes(random.below(20)))),
    () => clientFrame(FIN | CLOSE, random.bytes(1)),
    () => clientFrame(FIN | type, 'x', { masked: false }),
    // A length that nobody means.
    () => Buffer.concat([Buffer.from([FIN | type, 0xff]), random.bytes(8)]),
    () => Buffer.from([FIN | type, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
    () => clientFrame(FIN | TEXT, random.bytes(50)),
    () => clientFrame(FIN | CONTINUATION, 'x'),
    () => clientFrame(PING, 'x'),
    () => Buffer.alloc(0),
  ])()
  frames.splice(random.below(frames.length + 1), 0, odd)
  return frames
}
