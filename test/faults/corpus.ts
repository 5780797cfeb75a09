import type { Random } from './random.ts'
import { stomp } from './frame.ts'

/** The receipt of the last frame of a conversation: when it comes, all before it was understood. */
export const LAST = 'last'

const TEXTS = ['', 'x', 'hello', 'a b', 'grüße 🌍', 'é'.repeat(40), '\u0001\u007f', '"quoted" \\ <b>']
const VALUES = ['', '1', 'plain', 'ünïcödé', '\\n\\c\\\\', ' padded ', 'a=b;c', 'x'.repeat(300)]

/** A conversation as a well-behaved client would have it: frames, each by itself. `name`: how its destinations begin. `binary`: bodies may be any bytes. */
export function conversation(random: Random, name: string, binary: boolean): Buffer[] {
  const version = random.pick(['1.2', '1.2', '1.1', '1.0'] as const)
  const topic = `/topic/${name}.${random.below(20)}`
  const queue = `/queue/${name}.${random.below(20)}`
  const eol = version === '1.2' && random.chance(0.2) ? '\r\n' : '\n'
  const value = (): string => {
    const text = random.pick(VALUES)
    // 1.0 has no escapes, and takes them for what they are.
    return version === '1.0' ? text.replaceAll('\\', '') : text
  }
  const extra = (): Record<string, string> =>
    Object.fromEntries(Array.from({ length: random.below(4) }, (_, index) => [`x${index}`, value()]))
  const made: Buffer[] = []
  const add = (
    command: string,
    headers: Record<string, string | number>,
    body: string | Buffer = '',
  ): void => {
    const counted = Buffer.isBuffer(body) || random.chance(0.5)
    const length = counted && body.length > 0 ? { 'content-length': Buffer.byteLength(body) } : {}
    const bytes = stomp(command, { ...headers, ...length }, body)
    const end = bytes.indexOf('\n\n') + 2
    const head = bytes.toString('latin1', 0, end).replaceAll('\n', eol)
    made.push(Buffer.concat([Buffer.from(head, 'latin1'), bytes.subarray(end)]))
    if (random.chance(0.2)) made.push(Buffer.from(eol.repeat(random.between(1, 3))))
  }

  add(random.pick(['CONNECT', 'CONNECT', 'STOMP']), {
    ...(version === '1.0' ? {} : { 'accept-version': version, host: 'fuzz' }),
    ...(random.chance(0.3) ? { 'heart-beat': random.pick(['0,0', '10000,10000', '1000,0']) } : {}),
    ...(random.chance(0.2) ? { login: 'fuzz', passcode: 'secret', 'client-id': 'c' } : {}),
  })
  const open = new Set<string>()
  const steps = random.between(1, 8)
  for (let step = 0; step < steps; step++) {
    const id = `s${step}`
    const receipt = random.chance(0.3) ? { receipt: `r${step}` } : {}
    switch (random.below(9)) {
      case 0:
        add('SUBSCRIBE', {
          id,
          destination: random.pick([
            topic,
            `${topic}.*`,
            `/topic/${name}.#`,
            `/topic/${name}/**`,
            `/topic/${name}.>`,
            `${topic}.?`,
          ]),
          ...receipt,
          ...(random.chance(0.2) ? { selector: "x0 = 'plain' AND x1 IS NOT NULL" } : {}),
        })
        open.add(id)
        break
      case 1:
        add('SUBSCRIBE', {
          id,
          destination: queue,
          ack: random.pick(['auto', 'client', 'client-individual']),
          ...receipt,
        })
        open.add(id)
        break
      case 2:
        add(
          'SEND',
          { destination: topic, ...extra(), ...receipt },
          binary ? random.bytes(random.pick([0, 1, 20, 300])) : random.pick(TEXTS),
        )
        break
      case 3:
        add(
          'SEND',
          { destination: topic, 'content-type': 'text/plain', ...extra(), ...receipt },
          random.pick(TEXTS),
        )
        break
      case 4:
        add(
          'SEND',
          { destination: queue, ...extra(), ...receipt, ...(random.chance(0.2) ? { ttl: 50 } : {}) },
          random.pick(TEXTS),
        )
        break
      case 5:
        add('BEGIN', { transaction: id, ...receipt })
        add('SEND', { destination: random.pick([topic, queue]), transaction: id }, random.pick(TEXTS))
        add(random.pick(['COMMIT', 'ABORT']), { transaction: id })
        break
      case 6:
        for (const subscription of open) {
          add('UNSUBSCRIBE', { id: subscription, ...receipt })
          open.delete(subscription)
          break
        }
        break
      case 7:
        add('SEND', { destination: topic, retain: random.pick(['set', 'remove']) }, 'kept')
        break
      default:
        add(
          'SEND',
          { destination: topic, big: 'x'.repeat(random.between(1, 4000)) },
          'y'.repeat(random.between(1, 20_000)),
        )
    }
  }
  if (random.chance(0.5)) add('DISCONNECT', { receipt: LAST })
  else add('SEND', { destination: `/topic/${name}.last`, receipt: LAST })
  return made
}

/** What is in the place of a token when somebody plays with it. */
export const NASTY: readonly string[] = [
  'content-length:99999999999',
  'content-length:8388608',
  'content-length:-1',
  'content-length:1e9',
  'content-length:5',
  'destination:/topic/#',
  'destination:/queue/' + 'x'.repeat(600),
  'destination:/temp-queue/x',
  'destination:/user/a%2Fb/queue/x',
  'destination:/exchange/amq.topic/a',
  'reply-to:/temp-queue/r',
  'reply-to:/temp-topic/r',
  'receipt:' + 'r'.repeat(5000),
  'id:__proto__',
  'transaction:constructor',
  'ack:client',
  'ack:nonsense',
  'durable:d',
  'browser:true',
  'exclusive:true',
  'prefetch:0',
  'prefetch:-1',
  'selector:((((a',
  "selector:a LIKE '%%%%' OR NOT b BETWEEN 1 AND c",
  'x-delay:1',
  'x-delay:999999999999',
  'expires:1',
  'priority:9',
  'x-max-priority:9',
  'x-max-length:1',
  'message_group:g',
  'heart-beat:1,1',
  'heart-beat:a,b',
  'heart-beat:4294967295,4294967295',
  'accept-version:9.9',
  'x-error-scope:frame',
  '\\x:\\y',
  ':',
  '::',
  'a',
  '\r',
  '\0',
  '\n\n',
  '\n\0\n',
  '\\',
  'é',
  '\ud83d',
]
