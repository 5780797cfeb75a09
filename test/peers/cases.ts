import type { Step, Story, Telling } from './play.ts'
import {
  ack,
  answered,
  connect,
  connectAs,
  disconnect,
  ends,
  enter,
  frame,
  gets,
  leave,
  nack,
  refused,
  request,
  send,
  sends,
  subscribe,
  write,
} from './steps.ts'

/**
 * What both brokers are played, and what is to come of it: the same, unless `differs` says what.
 * `$` stands for a name that no other row has, `<A 2 ack>` for the header `ack` of the second
 * message of A, `#1` in a story for the first id that the broker made up there.
 */
export interface Case extends Telling {
  readonly name: string
  readonly steps: readonly Step[]
  readonly differs?: Difference
}

/** A difference that is meant. Both stories are told, so that a change of either is noticed. */
export interface Difference {
  readonly why: string
  readonly rabbitmq: Story
  readonly ours: Story
}

/** What a consumer in ack:client has been given of a numbered series. */
function numbered(count: number): string[] {
  return Array.from(
    { length: count },
    (_, index) => `MESSAGE #${index + 1} /queue/$ "${index}" ack:#${index + 1} redelivered:false`,
  )
}

const DURABLE = { durable: 'true', 'auto-delete': 'false' }
const ONE_BY_ONE = { ack: 'client-individual', 'prefetch-count': '1' }

/** Who listens to which pattern, and what was published. All under names of the row. */
function patterns(ids: readonly string[], keys: readonly string[]): Step[] {
  return [
    connect('A', 'B'),
    ...ids.map((id) => subscribe('A', id, `/topic/$.${id}`)),
    ...keys.map((key) => send('B', `/topic/$.${key}`, key)),
  ]
}

/** CONNECT with these headers; the answer is the story. */
function greeting(headers: Record<string, string>, command = 'CONNECT'): Step[] {
  return [enter('A'), frame('A', command, headers), gets('A', 1, 'CONNECTED')]
}

/** Whether a refused frame ends the matter for its sender. */
function refusal(command: string, headers: Record<string, string>): Step[] {
  return [connect('A'), frame('A', command, headers), refused('A')]
}

const connecting: readonly Case[] = [
  ...['1.0', '1.1', '1.2', '1.0,1.1', '1.1,1.3', '1.0,1.1,1.2'].map((versions) => ({
    name: `CONNECT, accept-version ${versions}`,
    steps: greeting({ 'accept-version': versions, host: '/' }),
  })),
  { name: 'CONNECT without accept-version is 1.0', steps: greeting({}) },
  { name: 'STOMP is CONNECT', steps: greeting({ 'accept-version': '1.2', host: '/' }, 'STOMP') },
  {
    name: 'no version in common',
    steps: [enter('A'), frame('A', 'CONNECT', { 'accept-version': '3.0' }), refused('A')],
  },
  {
    name: 'heart-beats of whole seconds',
    steps: greeting({ 'accept-version': '1.2', 'heart-beat': '4000,9000' }),
  },
  {
    name: 'heart-beats of one direction',
    steps: greeting({ 'accept-version': '1.2', 'heart-beat': '0,20000' }),
  },
  {
    name: 'heart-beats of the other direction',
    steps: greeting({ 'accept-version': '1.1', 'heart-beat': '20000,0' }),
  },
  {
    name: 'heart-beats that are not whole seconds',
    steps: greeting({ 'accept-version': '1.2', 'heart-beat': '4500,2700' }),
    differs: {
      why: 'contract 4.13 heart-beat answer: whole seconds, or milliseconds',
      rabbitmq: { A: ['CONNECTED heart-beat:2000,4000 server:… session:… version:1.2'] },
      ours: { A: ['CONNECTED heart-beat:2700,4500 server:… session:… version:1.2'] },
    },
  },
  {
    name: 'heart-beat that cannot be read',
    steps: [
      enter('A'),
      frame('A', 'CONNECT', { 'accept-version': '1.2', 'heart-beat': 'often' }),
      refused('A'),
    ],
  },
  {
    name: 'host',
    steps: [
      enter('A'),
      frame('A', 'CONNECT', { 'accept-version': '1.2', host: 'localhost' }),
      write('A', 'SEND\ndestination:/topic/$\nreceipt:r\n\n\0'),
      gets('A', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.13 host: must match, or is ignored',
      rabbitmq: { A: ['ERROR'] },
      ours: { A: ['CONNECTED heart-beat:0,0 server:… session:… version:1.2', 'RECEIPT receipt-id:r'] },
    },
  },
  {
    name: 'a second CONNECT',
    steps: [connect('A'), frame('A', 'CONNECT', { 'accept-version': '1.2' }), ends('A')],
    differs: {
      why: 'contract 4.13 ERROR then close: closed without a word, or after an ERROR',
      rabbitmq: { A: ['closed'] },
      ours: { A: ['ERROR'] },
    },
  },
  {
    name: 'DISCONNECT with a receipt',
    steps: [connect('A'), frame('A', 'DISCONNECT', { receipt: 'bye' }), gets('A', 1, 'RECEIPT'), leave('A')],
    differs: {
      why: 'contract 4.13 DISCONNECT receipt over WS: lost, or sent',
      rabbitmq: {},
      ours: { A: ['RECEIPT receipt-id:bye'] },
    },
  },
  {
    name: 'CONNECT with a receipt',
    steps: greeting({ 'accept-version': '1.2', receipt: 'hello' }),
    differs: {
      why: 'contract 4.5: CONNECTED answers a receipt, as with ActiveMQ',
      rabbitmq: { A: ['CONNECTED heart-beat:0,0 server:… session:… version:1.2'] },
      ours: { A: ['CONNECTED heart-beat:0,0 receipt-id:hello server:… session:… version:1.2'] },
    },
  },
]

const topics: readonly Case[] = [
  {
    name: 'a topic is for everybody',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/topic/$'),
      subscribe('B', 'x', '/topic/$'),
      send('C', '/topic/$', 'hello'),
    ],
  },
  {
    name: 'a topic is for its sender too',
    steps: [connect('A'), subscribe('A', '1', '/topic/$'), send('A', '/topic/$', 'hello'), gets('A', 1)],
  },
  {
    name: 'a topic is its exact name',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$.a'),
      ...['/topic/$', '/topic/$.a.b', '/topic/$.A', '/topic/$.a'].map((to) => send('B', to, to)),
    ],
  },
  {
    name: 'a topic forgets what nobody listens to',
    steps: [
      connect('A', 'B'),
      send('B', '/topic/$', 'early'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'late'),
    ],
  },
  {
    name: 'a topic and a queue of one name are two',
    steps: [
      connect('A', 'B'),
      subscribe('A', 't', '/topic/$'),
      subscribe('A', 'q', '/queue/$'),
      send('B', '/topic/$', 'to the topic'),
      send('B', '/queue/$', 'to the queue'),
    ],
  },
  {
    name: 'two subscriptions to one topic have a copy each',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      subscribe('A', '2', '/topic/$'),
      send('B', '/topic/$', 'one'),
      send('B', '/topic/$', 'two'),
    ],
  },
  {
    name: 'after UNSUBSCRIBE there is nothing',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'one'),
      gets('A', 1),
      request('A', 'UNSUBSCRIBE', { id: '1' }),
      send('B', '/topic/$', 'two'),
    ],
  },
  {
    name: 'the order of one sender is kept',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      write(
        'B',
        Array.from({ length: 50 }, (_, index) => `SEND\ndestination:/topic/$\n\n${index}\0`).join(''),
      ),
      gets('A', 50),
    ],
  },
  {
    name: 'a name with an escaped slash',
    steps: [connect('A', 'B'), subscribe('A', '1', '/topic/$%2Fa'), send('B', '/topic/$%2Fa', 'hello')],
  },
  {
    name: 'a name with a space',
    steps: [connect('A', 'B'), subscribe('A', '1', '/topic/$ a'), send('B', '/topic/$ a', 'hello')],
  },
  {
    name: 'a name outside ASCII',
    steps: [connect('A', 'B'), subscribe('A', '1', '/topic/$ü'), send('B', '/topic/$ü', 'hello')],
    differs: {
      why: 'contract 4.7: MESSAGE shows the destination as published',
      rabbitmq: { 'A 1': ['MESSAGE #1 /topic/$%C3%BC "hello"'] },
      ours: { 'A 1': ['MESSAGE #1 /topic/$ü "hello"'] },
    },
  },
  {
    name: 'a name with a slash',
    steps: [connect('A', 'B'), subscribe('A', '1', '/topic/$/a'), send('B', '/topic/$/a', 'hello')],
    differs: {
      why: 'contract 4.13 slash in names: refused, or allowed',
      rabbitmq: { A: ['ERROR'], B: ['ERROR'] },
      ours: { 'A 1': ['MESSAGE #1 /topic/$/a "hello"'] },
    },
  },
  {
    name: 'SEND to a pattern',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$.*'),
      frame('B', 'SEND', { destination: '/topic/$.*', receipt: 'r' }),
      gets('B', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.7: publishing to a pattern is refused',
      rabbitmq: { 'A 1': ['MESSAGE #1 /topic/$.* ""'], B: ['RECEIPT receipt-id:r'] },
      ours: { B: ['ERROR'] },
    },
  },
  {
    name: 'a prefix that nobody knows',
    steps: [
      connect('A', 'B'),
      frame('A', 'SUBSCRIBE', { id: '1', destination: '/nobody/$', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
      frame('B', 'SEND', { destination: '/nobody/$' }, 'hello'),
      gets('A', 1),
    ],
    differs: {
      why: 'contract 4.13 unknown destination: ERROR, or topic',
      rabbitmq: { A: ['ERROR'], B: ['ERROR'] },
      ours: { A: ['RECEIPT receipt-id:r'], 'A 1': ['MESSAGE #1 /nobody/$ "hello"'] },
    },
  },
]

const wildcards: readonly Case[] = [
  {
    name: '* is one word',
    steps: patterns(
      ['*', 'a.*', '*.a', 'a.*.c', '*.*'],
      ['a', 'a.a', 'b.a', 'a.b', 'a.b.c', 'a.c', 'a.b.b.c', 'b.c'],
    ),
  },
  {
    name: '# is any number of words',
    steps: patterns(
      ['#', 'a.#', '#.c', 'a.#.c', '#.b.#'],
      ['a', 'c', 'a.c', 'a.b.c', 'a.b.b.c', 'a.c.b', 'b', 'x.y'],
    ),
  },
  {
    name: '# is no word too',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$.#'),
      send('B', '/topic/$', 'bare'),
      send('B', '/topic/$.a', 'one'),
      send('B', '/topic/$a', 'other'),
    ],
  },
  {
    name: '* and # in one pattern',
    steps: patterns(['*.#', '#.*', 'a.*.#', '#.*.c', '*.#.*'], ['a', 'a.b', 'a.b.c', 'c', 'b.c', 'a.b.c.d']),
  },
  {
    name: '# twice',
    steps: patterns(['a.#.#', '#.b.#.c', '#.#'], ['a', 'a.b', 'b.c', 'a.b.x.c', 'b.x', 'c']),
  },
  {
    name: 'empty words',
    steps: patterns(['a.*.c', 'a.#.c', 'a.*', 'a..c', '*.c'], ['a..c', 'a.', '.c', 'a.b.c']),
  },
  {
    name: 'a message that several patterns of one client match comes once for each',
    steps: [...patterns(['*', '#', 'a'], ['a'])],
  },
  {
    name: 'a pattern stops with its UNSUBSCRIBE',
    steps: [
      ...patterns(['a.*', 'a.#'], ['a.b']),
      request('A', 'UNSUBSCRIBE', { id: 'a.*' }),
      send('B', '/topic/$.a.c', 'later'),
    ],
  },
  {
    name: 'the subscription shown is that of the pattern, the destination that of the message',
    steps: [connect('A', 'B'), subscribe('A', 'p', '/topic/*.$.#'), send('B', '/topic/x.$.y.z', 'hello')],
  },
  {
    name: '* inside a word',
    steps: [
      connect('A', 'B'),
      frame('A', 'SUBSCRIBE', { id: '1', destination: '/topic/$.a*', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
      send('B', '/topic/$.ab', 'ab'),
    ],
    differs: {
      why: 'contract 4.13 wildcard letters: globs inside a segment are ours alone',
      rabbitmq: { A: ['RECEIPT receipt-id:r'] },
      ours: { A: ['RECEIPT receipt-id:r'], 'A 1': ['MESSAGE #1 /topic/$.ab "ab"'] },
    },
  },
  {
    name: '> and **',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$.>'),
      subscribe('A', '2', '/topic/$.**'),
      send('B', '/topic/$.a', 'a'),
      send('B', '/topic/$.a.b', 'a.b'),
    ],
    differs: {
      why: 'contract 4.13 wildcard letters: RabbitMQ has * and # alone',
      rabbitmq: {},
      ours: {
        'A 1': ['MESSAGE #1 /topic/$.a "a"', 'MESSAGE #2 /topic/$.a.b "a.b"'],
        'A 2': ['MESSAGE #1 /topic/$.a "a"', 'MESSAGE #2 /topic/$.a.b "a.b"'],
      },
    },
  },
  {
    name: 'a pattern of queues',
    steps: [
      connect('A'),
      frame('A', 'SUBSCRIBE', { id: '1', destination: '/queue/$.*', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.12: wildcards on /queue are an ERROR',
      rabbitmq: { A: ['RECEIPT receipt-id:r'] },
      ours: { A: ['ERROR'] },
    },
  },
]

const exchanges: readonly Case[] = [
  {
    name: '/exchange/amq.topic is heard as a topic',
    steps: [
      connect('A', 'B'),
      subscribe('A', 't', '/topic/$.k'),
      subscribe('A', 'x', '/exchange/amq.topic/$.k'),
      send('B', '/exchange/amq.topic/$.k', 'by the exchange'),
      send('B', '/topic/$.k', 'by the topic'),
    ],
  },
  {
    name: '/exchange/amq.topic has patterns',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'x', '/exchange/amq.topic/$.*.c'),
      subscribe('A', 'y', '/exchange/amq.topic/$.#'),
      send('B', '/topic/$.b.c', 'one'),
      send('B', '/exchange/amq.topic/$', 'two'),
    ],
  },
  {
    name: '/exchange/amq.direct goes by the exact key',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'x', '/exchange/amq.direct/$.k'),
      send('B', '/exchange/amq.direct/$.k', 'one'),
      send('B', '/exchange/amq.direct/$.l', 'two'),
      send('B', '/topic/$.k', 'three'),
      send('B', '/queue/$.k', 'four'),
    ],
  },
  {
    name: '/exchange/amq.direct knows no patterns',
    steps: [
      connect('A', 'B'),
      frame('A', 'SUBSCRIBE', { id: '1', destination: '/exchange/amq.direct/$.*', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
      send('B', '/exchange/amq.direct/$.a', 'one'),
    ],
    differs: {
      why: 'contract 4.12: amq.direct routes by the exact key; a pattern is refused and not taken for a name',
      rabbitmq: { A: ['RECEIPT receipt-id:r'] },
      ours: { A: ['ERROR'] },
    },
  },
  {
    name: '/exchange/amq.fanout takes no account of keys',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/exchange/amq.fanout/$.a'),
      subscribe('A', '2', '/exchange/amq.fanout'),
      send('B', '/exchange/amq.fanout/$.b', 'with a key'),
      send('B', '/exchange/amq.fanout', 'without'),
    ],
  },
  { name: '/exchange/ and nothing', steps: refusal('SUBSCRIBE', { id: '1', destination: '/exchange/' }) },
  {
    name: 'an exchange that nobody has made',
    steps: [
      connect('A', 'B'),
      frame('A', 'SUBSCRIBE', { id: '1', destination: '/exchange/$/k', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
      frame('B', 'SEND', { destination: '/exchange/$/k', receipt: 'r' }, 'one'),
      gets('B', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.12: /exchange/<name>/<key> is a topic of that prefix',
      rabbitmq: { A: ['closed'], B: ['closed'] },
      ours: {
        A: ['RECEIPT receipt-id:r'],
        'A 1': ['MESSAGE #1 /exchange/$/k "one"'],
        B: ['RECEIPT receipt-id:r'],
      },
    },
  },
  {
    name: '/amq/queue of a queue that nobody has made',
    steps: [
      connect('A'),
      frame('A', 'SUBSCRIBE', { id: '1', destination: '/amq/queue/$', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.12: /amq/queue/x is another name of /queue/x',
      rabbitmq: { A: ['closed'] },
      ours: { A: ['RECEIPT receipt-id:r'] },
    },
  },
  {
    name: '/exchange/amq.direct for two',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/exchange/amq.direct/$'),
      subscribe('C', '1', '/exchange/amq.direct/$'),
      send('B', '/exchange/amq.direct/$', 'both'),
    ],
  },
]

const queues: readonly Case[] = [
  {
    name: 'a bare name with a slash',
    steps: [
      connect('A', 'B'),
      frame('A', 'SUBSCRIBE', { id: '1', destination: '$/a', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
      frame('B', 'SEND', { destination: '$/a', receipt: 'r' }),
      gets('B', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.13 slash in names: refused, or allowed',
      rabbitmq: { A: ['ERROR'], B: ['ERROR'] },
      ours: {
        A: ['RECEIPT receipt-id:r'],
        'A 1': ['MESSAGE #1 /queue/$/a "" redelivered:false'],
        B: ['RECEIPT receipt-id:r'],
      },
    },
  },
  {
    name: 'selector',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$', { selector: "color = 'red'" }),
      send('B', '/topic/$', 'one', { color: 'blue' }),
      send('B', '/topic/$', 'two', { color: 'red' }),
    ],
    differs: {
      why: 'contract 4.8: selector, which RabbitMQ takes no account of',
      rabbitmq: { 'A 1': ['MESSAGE #1 /topic/$ "one" color:blue', 'MESSAGE #2 /topic/$ "two" color:red'] },
      ours: { 'A 1': ['MESSAGE #1 /topic/$ "two" color:red'] },
    },
  },
  {
    name: 'no-local',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$', { 'no-local': 'true' }),
      send('A', '/topic/$', 'own'),
      send('B', '/topic/$', 'other'),
    ],
    differs: {
      why: 'contract 4.8: no-local, which RabbitMQ takes no account of',
      rabbitmq: { 'A 1': ['MESSAGE #1 /topic/$ "own"', 'MESSAGE #2 /topic/$ "other"'] },
      ours: { 'A 1': ['MESSAGE #1 /topic/$ "other"'] },
    },
  },
  {
    name: 'a queue keeps what nobody consumes',
    steps: [
      connect('A', 'B'),
      send('B', '/queue/$', 'one'),
      send('B', '/queue/$', 'two'),
      subscribe('A', '1', '/queue/$'),
      gets('A', 2),
    ],
  },
  {
    name: 'a bare name is a queue',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '$'),
      send('B', '/queue/$', 'one'),
      send('B', '$', 'two'),
      gets('A', 2),
    ],
  },
  {
    name: '/amq/queue is the queue',
    steps: [
      connect('A', 'B'),
      send('B', '/queue/$', 'one'),
      subscribe('A', '1', '/amq/queue/$'),
      send('B', '/amq/queue/$', 'two'),
      send('B', '$', 'three'),
      gets('A', 3),
    ],
  },
  {
    name: 'one consumer has each message, in turn',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$'),
      subscribe('B', '1', '/queue/$'),
      sends('C', '/queue/$', ['1', '2', '3', '4', '5', '6', '7']),
      gets('A', 4),
      gets('B', 3),
    ],
  },
  {
    name: 'two subscriptions of one client take turns',
    steps: [
      connect('A', 'C'),
      subscribe('A', '1', '/queue/$'),
      subscribe('A', '2', '/queue/$'),
      sends('C', '/queue/$', ['1', '2', '3', '4']),
      gets('A', 4),
    ],
  },
  {
    name: 'prefetch-count 1',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', ONE_BY_ONE),
      send('B', '/queue/$', 'one'),
      send('B', '/queue/$', 'two'),
      send('B', '/queue/$', 'three'),
      gets('A', 1),
      ack('A', 1),
      gets('A', 2),
    ],
  },
  {
    name: 'prefetch-count 2, and the rest is for another',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client-individual', 'prefetch-count': '2' }),
      sends('B', '/queue/$', ['1', '2', '3', '4']),
      gets('A', 2),
      subscribe('C', '1', '/queue/$'),
      gets('C', 2),
    ],
  },
  {
    name: 'without a prefetch-count',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { ack: 'client' }),
      write(
        'B',
        Array.from({ length: 40 }, (_, index) => `SEND\ndestination:/queue/$\n\n${index}\0`).join(''),
      ),
      gets('A', 32),
    ],
    differs: {
      why: 'contract 4.13 prefetch default: unlimited, or 32',
      rabbitmq: { 'A 1': numbered(40) },
      ours: { 'A 1': numbered(32) },
    },
  },
  {
    name: 'prefetch-count of a topic',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$', ONE_BY_ONE),
      send('B', '/topic/$', 'one'),
      send('B', '/topic/$', 'two'),
    ],
    differs: {
      why: 'contract 4.10: ACK on a topic is ignored, and so nothing waits for one',
      rabbitmq: { 'A 1': ['MESSAGE #1 /topic/$ "one" ack:#1'] },
      ours: { 'A 1': ['MESSAGE #1 /topic/$ "one" ack:#1', 'MESSAGE #2 /topic/$ "two" ack:#2'] },
    },
  },
  {
    name: 'prefetch-count is of no account with ack:auto',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { 'prefetch-count': '1' }),
      sends('B', '/queue/$', ['1', '2', '3']),
      gets('A', 3),
    ],
  },
  {
    name: 'ack:client-individual settles one',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client-individual' }),
      sends('B', '/queue/$', ['1', '2', '3']),
      gets('A', 3),
      ack('A', 2),
      disconnect('A'),
      subscribe('C', '1', '/queue/$'),
      gets('C', 2),
    ],
  },
  {
    name: 'ack:client settles all before it',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client' }),
      sends('B', '/queue/$', ['1', '2', '3', '4']),
      gets('A', 4),
      ack('A', 3),
      disconnect('A'),
      subscribe('C', '1', '/queue/$'),
      gets('C', 1),
    ],
  },
  {
    name: 'ack:client and two subscriptions',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$.a', { ack: 'client' }),
      subscribe('A', '2', '/queue/$.b', { ack: 'client' }),
      send('B', '/queue/$.a', 'a'),
      gets('A', 1),
      send('B', '/queue/$.b', 'b'),
      gets('A', 2),
      ack('A', 2),
      disconnect('A'),
      subscribe('C', '1', '/queue/$.a'),
      subscribe('C', '2', '/queue/$.b'),
    ],
    differs: {
      why: 'contract 4.10: ack:client is cumulative per subscription, not per connection',
      rabbitmq: {
        'A 1': ['MESSAGE #1 /queue/$.a "a" ack:#1 redelivered:false'],
        'A 2': ['MESSAGE #1 /queue/$.b "b" ack:#1 redelivered:false'],
      },
      ours: {
        'A 1': ['MESSAGE #1 /queue/$.a "a" ack:#1 redelivered:false'],
        'A 2': ['MESSAGE #1 /queue/$.b "b" ack:#1 redelivered:false'],
        'C 1': ['MESSAGE #1 /queue/$.a "a" redelivered:true'],
      },
    },
  },
  {
    name: 'ack:auto needs none',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$'),
      send('B', '/queue/$', 'one'),
      gets('A', 1),
      disconnect('A'),
      subscribe('C', '1', '/queue/$'),
    ],
  },
  {
    name: 'what was not acked goes to another when its holder has gone',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client' }),
      send('B', '/queue/$', 'one'),
      send('B', '/queue/$', 'two'),
      gets('A', 2),
      leave('A'),
      subscribe('C', '1', '/queue/$'),
      gets('C', 2),
    ],
  },
  {
    name: 'UNSUBSCRIBE gives back nothing that is still held',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client' }),
      send('B', '/queue/$', 'one'),
      gets('A', 1),
      request('A', 'UNSUBSCRIBE', { id: '1' }),
      subscribe('C', '1', '/queue/$'),
    ],
    differs: {
      why: 'contract 4.10: what is unacked at UNSUBSCRIBE goes back',
      rabbitmq: { 'A 1': ['MESSAGE #1 /queue/$ "one" ack:#1 redelivered:false'] },
      ours: {
        'A 1': ['MESSAGE #1 /queue/$ "one" ack:#1 redelivered:false'],
        'C 1': ['MESSAGE #1 /queue/$ "one" redelivered:true'],
      },
    },
  },
  {
    name: 'what was returned stands before what is new',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client', 'prefetch-count': '2' }),
      sends('B', '/queue/$', ['1', '2', '3']),
      gets('A', 2),
      disconnect('A'),
      subscribe('C', '1', '/queue/$'),
      gets('C', 3),
    ],
  },
  {
    name: 'NACK puts back',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', ONE_BY_ONE),
      send('B', '/queue/$', 'one'),
      send('B', '/queue/$', 'two'),
      gets('A', 1),
      nack('A', 1),
      gets('A', 2),
      ack('A', 2),
      gets('A', 3),
    ],
  },
  {
    name: 'NACK with requeue:true puts back',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', ONE_BY_ONE),
      send('B', '/queue/$', 'one'),
      gets('A', 1),
      nack('A', 1, { requeue: 'true' }),
      gets('A', 2),
    ],
  },
  {
    name: 'NACK with requeue:false',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', ONE_BY_ONE),
      send('B', '/queue/$', 'one'),
      send('B', '/queue/$', 'two'),
      gets('A', 1),
      nack('A', 1, { requeue: 'false' }),
      gets('A', 2),
    ],
  },
  {
    name: 'NACK of ack:client takes all before it',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client' }),
      sends('B', '/queue/$', ['1', '2', '3']),
      gets('A', 3),
      nack('A', 2, { requeue: 'false' }),
      disconnect('A'),
      subscribe('C', '1', '/queue/$'),
      gets('C', 1),
    ],
  },
  {
    name: '1.1: ACK by message-id and subscription',
    steps: [
      connectAs('A', { 'accept-version': '1.1' }),
      connect('B'),
      subscribe('A', 's', '/queue/$', ONE_BY_ONE),
      send('B', '/queue/$', 'one'),
      send('B', '/queue/$', 'two'),
      gets('A', 1),
      request('A', 'ACK', { 'message-id': '<A 1 message-id>', subscription: 's' }),
      gets('A', 2),
      request('A', 'NACK', { 'message-id': '<A 2 message-id>', subscription: 's' }),
      gets('A', 3),
    ],
  },
  {
    name: '1.0: ACK by message-id',
    steps: [
      connectAs('A', { 'accept-version': '1.0' }),
      connect('B'),
      subscribe('A', 's', '/queue/$', ONE_BY_ONE),
      send('B', '/queue/$', 'one'),
      send('B', '/queue/$', 'two'),
      gets('A', 1),
      request('A', 'ACK', { 'message-id': '<A 1 message-id>' }),
      gets('A', 2),
    ],
  },
  {
    name: '1.2: ack is message-id',
    steps: [
      connect('A', 'B'),
      subscribe('A', 's', '/queue/$', ONE_BY_ONE),
      send('B', '/queue/$', 'one'),
      send('B', '/queue/$', 'two'),
      gets('A', 1),
      request('A', 'ACK', { id: '<A 1 message-id>' }),
      gets('A', 2),
    ],
  },
  {
    name: 'a topic in ack:client',
    steps: [
      connect('A', 'B'),
      subscribe('A', 's', '/topic/$', { ack: 'client' }),
      send('B', '/topic/$', 'one'),
      gets('A', 1),
      ack('A', 1),
      send('B', '/topic/$', 'two'),
    ],
  },
  {
    name: 'an ACK that comes twice',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { ack: 'client-individual' }),
      send('B', '/queue/$', 'one'),
      gets('A', 1),
      ack('A', 1),
      ack('A', 1),
    ],
    differs: {
      why: 'contract 4.13 ACK of a settled id: closes the link, or is ignored',
      rabbitmq: { A: ['closed'], 'A 1': ['MESSAGE #1 /queue/$ "one" ack:#1 redelivered:false'] },
      ours: { 'A 1': ['MESSAGE #1 /queue/$ "one" ack:#1 redelivered:false'] },
    },
  },
  {
    name: 'an ACK after UNSUBSCRIBE',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { ack: 'client-individual' }),
      send('B', '/queue/$', 'one'),
      gets('A', 1),
      request('A', 'UNSUBSCRIBE', { id: '1' }),
      ack('A', 1),
    ],
    differs: {
      why: 'contract 4.10: a late ACK is ignored',
      rabbitmq: { A: ['ERROR'], 'A 1': ['MESSAGE #1 /queue/$ "one" ack:#1 redelivered:false'] },
      ours: { 'A 1': ['MESSAGE #1 /queue/$ "one" ack:#1 redelivered:false'] },
    },
  },
  {
    name: 'an ACK of what needs none',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'one'),
      gets('A', 1),
      request('A', 'ACK', { id: '<A 1 message-id>' }),
    ],
    differs: {
      why: 'contract 4.10: ACK on an ack:auto subscription is ignored',
      rabbitmq: { A: ['closed'], 'A 1': ['MESSAGE #1 /topic/$ "one"'] },
      ours: { 'A 1': ['MESSAGE #1 /topic/$ "one"'] },
    },
  },
  { name: 'an ACK of nothing that there was', steps: refusal('ACK', { id: 'nothing' }) },
  {
    name: 'x-priority',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client', 'prefetch-count': '2' }),
      subscribe('C', '1', '/queue/$', { ack: 'client', 'prefetch-count': '2', 'x-priority': '10' }),
      sends('B', '/queue/$', ['1', '2', '3', '4']),
      gets('A', 2),
      gets('C', 2),
    ],
    differs: {
      why: 'contract 4.8: x-priority is the priority of a consumer; RabbitMQ 3.10 takes no account of it over STOMP',
      rabbitmq: {
        'A 1': [
          'MESSAGE #1 /queue/$ "1" ack:#1 redelivered:false',
          'MESSAGE #2 /queue/$ "3" ack:#2 redelivered:false',
        ],
        'C 1': [
          'MESSAGE #1 /queue/$ "2" ack:#1 redelivered:false',
          'MESSAGE #2 /queue/$ "4" ack:#2 redelivered:false',
        ],
      },
      ours: {
        'A 1': [
          'MESSAGE #1 /queue/$ "3" ack:#1 redelivered:false',
          'MESSAGE #2 /queue/$ "4" ack:#2 redelivered:false',
        ],
        'C 1': [
          'MESSAGE #1 /queue/$ "1" ack:#1 redelivered:false',
          'MESSAGE #2 /queue/$ "2" ack:#2 redelivered:false',
        ],
      },
    },
  },
  {
    name: 'exclusive',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { exclusive: 'true' }),
      frame('B', 'SUBSCRIBE', { id: '1', destination: '/queue/$', receipt: 'r' }),
      gets('B', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.8: an exclusive consumer has the queue to itself, and the next one waits; RabbitMQ closes the link of the next one',
      rabbitmq: { B: ['closed'] },
      ours: { B: ['RECEIPT receipt-id:r'] },
    },
  },
]

/** Arguments of a queue are given where it is made; what is sent by this other name leaves them alone. */
const QUEUE = '/amq/queue/$'

const terms: readonly Case[] = [
  {
    name: 'x-max-priority',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { ...ONE_BY_ONE, 'x-max-priority': '9' }),
      send('B', QUEUE, 'first'),
      gets('A', 1),
      send('B', QUEUE, 'none'),
      ...['1', '9', '5', '9'].map((priority) => send('B', QUEUE, `of ${priority}`, { priority })),
      ...[1, 2, 3, 4, 5].flatMap((index) => [ack('A', index), gets('A', index + 1)]),
    ],
  },
  {
    name: 'x-max-priority, a priority above it',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { ...ONE_BY_ONE, 'x-max-priority': '5' }),
      send('B', QUEUE, 'first'),
      gets('A', 1),
      ...['4', '5', '9', '7'].map((priority) => send('B', QUEUE, `of ${priority}`, { priority })),
      ...[1, 2, 3, 4].flatMap((index) => [ack('A', index), gets('A', index + 1)]),
    ],
  },
  {
    name: 'priority where the queue has none',
    steps: [
      connect('A', 'B'),
      send('B', '/queue/$', 'low', { priority: '1' }),
      send('B', '/queue/$', 'high', { priority: '9' }),
      subscribe('A', '1', '/queue/$'),
      gets('A', 2),
    ],
  },
  {
    name: 'x-max-priority, given by SEND',
    steps: [
      connect('A', 'B'),
      ...['1', '9', '5'].map((priority) =>
        send('B', '/queue/$', `of ${priority}`, { priority, 'x-max-priority': '9' }),
      ),
      subscribe('A', '1', '/queue/$', { 'x-max-priority': '9' }),
      gets('A', 3),
    ],
  },
  {
    name: 'expiration passes on',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$'),
      send('B', '/queue/$', 'one', { expiration: '60000' }),
      gets('A', 1),
    ],
  },
  {
    name: 'expiration, into the dead letters',
    steps: [
      connect('A', 'B', 'D'),
      subscribe('D', 'd', '/topic/$.dead'),
      subscribe('A', '1', '/queue/$', {
        ...ONE_BY_ONE,
        'x-dead-letter-exchange': 'amq.topic',
        'x-dead-letter-routing-key': '$.dead',
      }),
      send('B', QUEUE, 'held'),
      gets('A', 1),
      send('B', QUEUE, 'short-lived', { expiration: '20' }),
      send('B', QUEUE, 'long-lived'),
      gets('D', 1),
      ack('A', 1),
      gets('A', 2),
    ],
  },
  {
    name: 'expiration of what is held',
    steps: [
      connect('A', 'B', 'D'),
      subscribe('D', 'd', '/topic/$.dead'),
      subscribe('A', '1', '/queue/$', {
        ...ONE_BY_ONE,
        'x-dead-letter-exchange': 'amq.topic',
        'x-dead-letter-routing-key': '$.dead',
      }),
      send('B', QUEUE, 'held', { expiration: '30' }),
      gets('A', 1),
      send('B', QUEUE, 'later', { expiration: '60' }),
      gets('D', 1),
      ack('A', 1),
    ],
  },
  {
    name: 'x-message-ttl, into the dead letters',
    steps: [
      connect('A', 'B', 'D'),
      subscribe('D', 'd', '/topic/$.dead'),
      subscribe('A', '1', '/queue/$', {
        ...ONE_BY_ONE,
        'x-message-ttl': '30',
        'x-dead-letter-exchange': 'amq.topic',
        'x-dead-letter-routing-key': '$.dead',
      }),
      send('B', QUEUE, 'held'),
      gets('A', 1),
      send('B', QUEUE, 'too late'),
      gets('D', 1),
      ack('A', 1),
    ],
  },
  {
    name: 'the shorter of expiration and x-message-ttl',
    steps: [
      connect('A', 'B', 'D'),
      subscribe('D', 'd', '/topic/$.dead'),
      subscribe('A', '1', '/queue/$', {
        ...ONE_BY_ONE,
        'x-message-ttl': '60',
        'x-dead-letter-exchange': 'amq.topic',
        'x-dead-letter-routing-key': '$.dead',
      }),
      send('B', QUEUE, 'held'),
      gets('A', 1),
      send('B', QUEUE, 'by the queue', { expiration: '600000' }),
      gets('D', 1),
      send('B', QUEUE, 'by itself', { expiration: '10' }),
      gets('D', 2),
    ],
  },
  {
    name: 'NACK requeue:false, into the dead letters',
    steps: [
      connect('A', 'B', 'D'),
      subscribe('D', 'd', '/topic/$.dead'),
      subscribe('A', '1', '/queue/$', {
        ack: 'client-individual',
        'x-dead-letter-exchange': 'amq.topic',
        'x-dead-letter-routing-key': '$.dead',
      }),
      send('B', QUEUE, 'poison', {
        'content-type': 'text/plain',
        color: 'red',
        priority: '4',
        expiration: '60000',
        'correlation-id': 'c1',
        persistent: 'true',
      }),
      gets('A', 1),
      nack('A', 1, { requeue: 'false' }),
      gets('D', 1),
    ],
  },
  {
    name: 'dead letters of the default exchange go to a queue',
    steps: [
      connect('A', 'B', 'D'),
      subscribe('D', 'd', '/queue/$.dead'),
      subscribe('A', '1', '/queue/$', {
        ack: 'client-individual',
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': '$.dead',
      }),
      send('B', QUEUE, 'poison'),
      gets('A', 1),
      nack('A', 1, { requeue: 'false' }),
      gets('D', 1),
    ],
  },
  {
    name: 'dead letters without a key go by the name of the queue',
    steps: [
      connect('A', 'B', 'D'),
      subscribe('D', 'd', '/topic/$'),
      subscribe('A', '1', '/queue/$', { ack: 'client-individual', 'x-dead-letter-exchange': 'amq.topic' }),
      send('B', QUEUE, 'poison'),
      gets('A', 1),
      nack('A', 1, { requeue: 'false' }),
      gets('D', 1),
    ],
  },
  {
    name: 'dead letters over a direct exchange',
    steps: [
      connect('A', 'B', 'D'),
      subscribe('D', 'd', '/exchange/amq.direct/$.dead'),
      subscribe('A', '1', '/queue/$', {
        ack: 'client-individual',
        'x-dead-letter-exchange': 'amq.direct',
        'x-dead-letter-routing-key': '$.dead',
      }),
      send('B', QUEUE, 'poison'),
      gets('A', 1),
      nack('A', 1, { requeue: 'false' }),
      gets('D', 1),
    ],
  },
  {
    name: 'a letter that dies twice',
    steps: [
      connect('A', 'B', 'D'),
      subscribe('D', 'd', '/topic/$.dead'),
      subscribe('A', '2', '/queue/$.second', {
        ack: 'client-individual',
        'x-dead-letter-exchange': 'amq.topic',
        'x-dead-letter-routing-key': '$.dead',
      }),
      subscribe('A', '1', '/queue/$', {
        ack: 'client-individual',
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': '$.second',
      }),
      send('B', QUEUE, 'poison'),
      gets('A', 1),
      nack('A', 1, { requeue: 'false' }),
      gets('A', 2),
      nack('A', 2, { requeue: 'false' }),
      gets('D', 1),
    ],
  },
  {
    name: 'x-max-length drops the oldest that waits',
    steps: [
      connect('A', 'B', 'D'),
      subscribe('D', 'd', '/topic/$.dead'),
      subscribe('A', '1', '/queue/$', {
        ...ONE_BY_ONE,
        'x-max-length': '2',
        'x-dead-letter-exchange': 'amq.topic',
        'x-dead-letter-routing-key': '$.dead',
      }),
      send('B', QUEUE, '1'),
      gets('A', 1),
      sends('B', QUEUE, ['2', '3', '4', '5']),
      gets('D', 2),
      ack('A', 1),
      gets('A', 2),
      ack('A', 2),
      gets('A', 3),
      ack('A', 3),
    ],
  },
  {
    name: 'x-max-length without dead letters',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { ...ONE_BY_ONE, 'x-max-length': '2' }),
      send('B', QUEUE, '1'),
      gets('A', 1),
      sends('B', QUEUE, ['2', '3', '4', '5']),
      ack('A', 1),
      gets('A', 2),
      ack('A', 2),
      gets('A', 3),
      ack('A', 3),
    ],
  },
  {
    name: 'x-max-length-bytes',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { ...ONE_BY_ONE, 'x-max-length-bytes': '30000' }),
      send('B', QUEUE, 'first'),
      gets('A', 1),
      ...['a', 'b', 'c', 'd'].map((letter) => send('B', QUEUE, letter.repeat(11_000))),
      ack('A', 1),
      gets('A', 2),
      ack('A', 2),
      gets('A', 3),
      ack('A', 3),
    ],
  },
  {
    name: 'arguments that do not fit those of the queue',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { 'x-max-length': '2' }),
      frame('B', 'SEND', { destination: '/queue/$', receipt: 'r' }, 'one'),
      gets('B', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.8: what cannot be honoured is accepted and ignored',
      rabbitmq: { B: ['closed'] },
      ours: { 'A 1': ['MESSAGE #1 /queue/$ "one" redelivered:false'], B: ['RECEIPT receipt-id:r'] },
    },
  },
]

const replies: readonly Case[] = [
  {
    name: 'a reply queue: SEND by the name that is only its own',
    steps: [
      connect('A'),
      frame('A', 'SEND', { destination: '/temp-queue/mine', receipt: 'r' }, 'to myself'),
      gets('A', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.12: /temp-queue/x is a destination of its client, for SEND too',
      rabbitmq: { A: ['ERROR'] },
      ours: { A: ['RECEIPT receipt-id:r'] },
    },
  },
  {
    name: 'a reply queue: UNSUBSCRIBE',
    steps: [
      connect('A', 'B'),
      subscribe('B', 's', '/queue/$'),
      send('A', '/queue/$', 'ask', { 'reply-to': '/temp-queue/mine' }),
      gets('B', 1),
      frame('A', 'UNSUBSCRIBE', { id: '/temp-queue/mine', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.12: the automatic subscription is one like any other',
      rabbitmq: {
        A: ['ERROR'],
        'B s': ['MESSAGE #1 /queue/$ "ask" redelivered:false reply-to:/reply-queue/#1'],
      },
      ours: {
        A: ['RECEIPT receipt-id:r'],
        'B s': ['MESSAGE #1 /queue/$ "ask" redelivered:false reply-to:/reply-queue/#1'],
      },
    },
  },
  {
    name: 'a reply queue: its requester may be busy with a queue of its own',
    steps: [
      connect('A', 'B'),
      subscribe('B', 's', '/queue/$', ONE_BY_ONE),
      subscribe('A', 'work', '/queue/$.work', ONE_BY_ONE),
      send('B', '/queue/$.work', 'held'),
      gets('A', 1),
      send('A', '/queue/$', 'ask', { 'reply-to': '/temp-queue/mine' }),
      gets('B', 1),
      send('B', '<B 1 reply-to>', 'answer'),
      gets('A', 2),
      ack('B', 1),
      ack('A', 1),
    ],
  },
  {
    name: 'a reply queue: the address, the answer',
    steps: [
      connect('A', 'B'),
      subscribe('B', 's', '/queue/$'),
      send('A', '/queue/$', 'ask', { 'reply-to': '/temp-queue/mine', 'correlation-id': 'c1' }),
      gets('B', 1),
      send('B', '<B 1 reply-to>', 'answer', { 'correlation-id': 'c1' }),
      gets('A', 1),
    ],
  },
  {
    name: 'a reply queue: one address for one name',
    steps: [
      connect('A', 'B'),
      subscribe('B', 's', '/queue/$'),
      send('A', '/queue/$', '1', { 'reply-to': '/temp-queue/mine' }),
      send('A', '/queue/$', '2', { 'reply-to': '/temp-queue/mine' }),
      send('A', '/queue/$', '3', { 'reply-to': '/temp-queue/other' }),
      gets('B', 3),
      send('B', '<B 3 reply-to>', 'to 3'),
      gets('A', 1),
      send('B', '<B 1 reply-to>', 'to 1'),
      send('B', '<B 2 reply-to>', 'to 2'),
      gets('A', 3),
    ],
  },
  {
    name: 'a reply queue: one name of two clients is two',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('B', 's', '/queue/$'),
      send('A', '/queue/$', 'of A', { 'reply-to': '/temp-queue/mine' }),
      send('C', '/queue/$', 'of C', { 'reply-to': '/temp-queue/mine' }),
      gets('B', 2),
      send('B', '<B 1 reply-to>', 'to A'),
      send('B', '<B 2 reply-to>', 'to C'),
      gets('A', 1),
      gets('C', 1),
    ],
  },
  {
    name: 'a reply queue: over a topic',
    steps: [
      connect('A', 'B'),
      subscribe('B', 's', '/topic/$'),
      send('A', '/topic/$', 'ask', { 'reply-to': '/temp-queue/mine' }),
      gets('B', 1),
      send('B', '<B 1 reply-to>', 'answer', { 'content-type': 'text/plain', color: 'red' }),
      gets('A', 1),
    ],
  },
  {
    name: 'a reply queue: of a 1.0 client',
    steps: [
      connectAs('A', { 'accept-version': '1.0' }),
      connect('B'),
      subscribe('B', 's', '/queue/$'),
      send('A', '/queue/$', 'ask', { 'reply-to': '/temp-queue/mine' }),
      gets('B', 1),
      send('B', '<B 1 reply-to>', 'answer'),
      gets('A', 1),
    ],
  },
  {
    name: 'a reply queue: the answer to one who has gone',
    steps: [
      connect('A', 'B'),
      subscribe('B', 's', '/queue/$'),
      send('A', '/queue/$', 'ask', { 'reply-to': '/temp-queue/mine' }),
      gets('B', 1),
      disconnect('A'),
      send('B', '<B 1 reply-to>', 'answer'),
    ],
  },
  {
    name: 'a reply queue: nobody else may consume',
    steps: [
      connect('A', 'B'),
      subscribe('B', 's', '/queue/$'),
      send('A', '/queue/$', 'ask', { 'reply-to': '/temp-queue/mine' }),
      gets('B', 1),
      frame('B', 'SUBSCRIBE', { id: 'x', destination: '<B 1 reply-to>' }),
      refused('B'),
    ],
    differs: {
      why: 'contract 4.13 ERROR then close: closed without a word, or after an ERROR',
      rabbitmq: {
        'B s': ['MESSAGE #1 /queue/$ "ask" redelivered:false reply-to:/reply-queue/#1'],
        B: ['closed'],
      },
      ours: { 'B s': ['MESSAGE #1 /queue/$ "ask" redelivered:false reply-to:/reply-queue/#1'], B: ['ERROR'] },
    },
  },
  {
    name: 'a reply queue: SUBSCRIBE to it',
    steps: [
      connect('A', 'B'),
      frame('A', 'SUBSCRIBE', { id: 'own', destination: '/temp-queue/mine', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.12: the client may SUBSCRIBE to its reply queue too',
      rabbitmq: { A: ['ERROR'] },
      ours: { A: ['RECEIPT receipt-id:r'] },
    },
  },
  {
    name: 'reply-to any other place passes on',
    steps: [
      connect('A', 'B'),
      subscribe('B', 's', '/queue/$'),
      send('A', '/queue/$', '1', { 'reply-to': '/queue/$.answers' }),
      send('A', '/queue/$', '2', { 'reply-to': '/topic/$.answers' }),
      gets('B', 2),
    ],
  },
]

const durables: readonly Case[] = [
  {
    name: 'durable: UNSUBSCRIBE with durable:true of one who is not subscribed',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/topic/$', DURABLE),
      disconnect('A'),
      send('B', '/topic/$', 'away'),
      connect('C', 'D'),
      frame('C', 'UNSUBSCRIBE', { id: 'd', destination: '/topic/$', durable: 'true', receipt: 'r' }),
      gets('C', 1, 'RECEIPT'),
      subscribe('D', 'd', '/topic/$', DURABLE),
    ],
    differs: {
      why: 'contract 4.8: a durable subscription can be deleted without being subscribed to, as with ActiveMQ',
      rabbitmq: { C: ['ERROR'], 'D d': ['MESSAGE #1 /topic/$ "away"'] },
      ours: { C: ['RECEIPT receipt-id:r'] },
    },
  },
  {
    name: 'durable: what came meanwhile',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/topic/$', DURABLE),
      send('B', '/topic/$', 'present'),
      gets('A', 1),
      disconnect('A'),
      send('B', '/topic/$', 'away'),
      send('B', '/topic/$', 'away too', { persistent: 'true' }),
      connect('C'),
      subscribe('C', 'd', '/topic/$', DURABLE),
      gets('C', 2),
      send('B', '/topic/$', 'back'),
      gets('C', 3),
    ],
  },
  {
    name: 'persistent:true of SUBSCRIBE is durable',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/topic/$', { persistent: 'true', 'auto-delete': 'false' }),
      disconnect('A'),
      send('B', '/topic/$', 'away'),
      connect('C'),
      subscribe('C', 'd', '/topic/$', { persistent: 'true', 'auto-delete': 'false' }),
      gets('C', 1),
    ],
  },
  {
    name: 'durable without auto-delete:false',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/topic/$', { durable: 'true' }),
      disconnect('A'),
      send('B', '/topic/$', 'away'),
      connect('C'),
      subscribe('C', 'd', '/topic/$', { durable: 'true' }),
    ],
    differs: {
      why: 'contract 4.8: durable:true is enough for a durable subscription',
      rabbitmq: {},
      ours: { 'C d': ['MESSAGE #1 /topic/$ "away"'] },
    },
  },
  {
    name: 'durable: another id is another subscription',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/topic/$', DURABLE),
      disconnect('A'),
      connect('C'),
      subscribe('C', 'e', '/topic/$', DURABLE),
      send('B', '/topic/$', 'away'),
      gets('C', 1),
      connect('D'),
      subscribe('D', 'd', '/topic/$', DURABLE),
      gets('D', 1),
    ],
  },
  {
    name: 'durable: the same id on another topic is another subscription',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/topic/$.a', DURABLE),
      disconnect('A'),
      send('B', '/topic/$.a', 'away'),
      connect('C'),
      subscribe('C', 'd', '/topic/$.b', DURABLE),
      send('B', '/topic/$.b', 'other'),
      gets('C', 1),
    ],
  },
  {
    name: 'durable: UNSUBSCRIBE keeps it',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/topic/$', DURABLE),
      request('A', 'UNSUBSCRIBE', { id: 'd' }),
      send('B', '/topic/$', 'away'),
      subscribe('A', 'd', '/topic/$', DURABLE),
      gets('A', 1),
    ],
  },
  {
    name: 'durable: UNSUBSCRIBE with durable:true ends it',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/topic/$', DURABLE),
      send('B', '/topic/$', 'one'),
      gets('A', 1),
      request('A', 'UNSUBSCRIBE', { id: 'd', durable: 'true' }),
      send('B', '/topic/$', 'away'),
      subscribe('A', 'd', '/topic/$', DURABLE),
    ],
  },
  {
    name: 'durable: what was not acked comes again',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/topic/$', { ...DURABLE, ack: 'client-individual' }),
      send('B', '/topic/$', 'one'),
      send('B', '/topic/$', 'two'),
      gets('A', 2),
      ack('A', 1),
      disconnect('A'),
      connect('C'),
      subscribe('C', 'd', '/topic/$', DURABLE),
      gets('C', 1),
    ],
  },
  {
    name: 'durable: a pattern',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/topic/$.*', DURABLE),
      disconnect('A'),
      send('B', '/topic/$.a', 'away'),
      send('B', '/topic/$.a.b', 'no'),
      connect('C'),
      subscribe('C', 'd', '/topic/$.*', DURABLE),
      gets('C', 1),
    ],
  },
  {
    name: 'durable: on an exchange',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/exchange/amq.topic/$', DURABLE),
      disconnect('A'),
      send('B', '/topic/$', 'away'),
      connect('C'),
      subscribe('C', 'd', '/exchange/amq.topic/$', DURABLE),
      gets('C', 1),
    ],
  },
  {
    name: 'durable: at two places at once',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', 'd', '/topic/$', DURABLE),
      subscribe('C', 'd', '/topic/$', DURABLE),
      sends('B', '/topic/$', ['1', '2', '3', '4']),
      gets('A', 2),
      gets('C', 2),
    ],
  },
  {
    name: 'durable: 1.0 without an id',
    steps: [
      connectAs('A', { 'accept-version': '1.0' }),
      frame('A', 'SUBSCRIBE', { destination: '/topic/$', ...DURABLE, receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.8: an id is synthesised on 1.0',
      rabbitmq: { A: ['ERROR'] },
      ours: { A: ['RECEIPT receipt-id:r'] },
    },
  },
  {
    name: 'durable: of a queue',
    steps: [
      connect('A', 'B'),
      subscribe('A', 'd', '/queue/$', DURABLE),
      send('B', QUEUE, 'one'),
      gets('A', 1),
    ],
  },
  {
    name: 'x-queue-name: shared by two',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/topic/$', { 'x-queue-name': '$.shared' }),
      subscribe('C', '7', '/topic/$', { 'x-queue-name': '$.shared' }),
      sends('B', '/topic/$', ['1', '2', '3', '4']),
      gets('A', 2),
      gets('C', 2),
    ],
  },
  {
    name: 'x-queue-name: ends with its last subscriber',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$', { 'x-queue-name': '$.shared' }),
      request('A', 'UNSUBSCRIBE', { id: '1' }),
      send('B', '/topic/$', 'away'),
      subscribe('A', '1', '/topic/$', { 'x-queue-name': '$.shared' }),
      send('B', '/topic/$', 'present'),
      gets('A', 1),
    ],
  },
  {
    name: 'x-queue-name: durable, whatever the id',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$', { ...DURABLE, 'x-queue-name': '$.kept' }),
      disconnect('A'),
      send('B', '/topic/$', 'away'),
      connect('C'),
      subscribe('C', 'other', '/topic/$', { ...DURABLE, 'x-queue-name': '$.kept' }),
      gets('C', 1),
    ],
  },
  {
    name: 'x-queue-name: is a queue to send to',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$', { 'x-queue-name': '$.open' }),
      send('B', '/amq/queue/$.open', 'straight'),
      gets('A', 1),
    ],
  },
  {
    name: 'x-queue-name: means nothing on a queue',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { 'x-queue-name': '$.other' }),
      send('B', '/queue/$', 'one'),
      gets('A', 1),
    ],
  },
  {
    name: 'x-max-length of a topic subscription',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$', { ...ONE_BY_ONE, 'x-max-length': '1' }),
      sends('B', '/topic/$', ['1', '2', '3']),
      gets('A', 1),
      ack('A', 1),
      gets('A', 2),
    ],
    differs: {
      why: 'contract 4.8: what cannot be honoured is accepted and ignored; a topic subscription has no queue of its own',
      rabbitmq: { 'A 1': ['MESSAGE #1 /topic/$ "1" ack:#1', 'MESSAGE #2 /topic/$ "3" ack:#2'] },
      ours: {
        'A 1': [
          'MESSAGE #1 /topic/$ "1" ack:#1',
          'MESSAGE #2 /topic/$ "2" ack:#2',
          'MESSAGE #3 /topic/$ "3" ack:#3',
        ],
      },
    },
  },
  {
    name: 'x-max-length of a named queue behind a topic',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$', { ...ONE_BY_ONE, 'x-queue-name': '$.short', 'x-max-length': '1' }),
      send('B', '/topic/$', '1'),
      gets('A', 1),
      sends('B', '/topic/$', ['2', '3']),
      ack('A', 1),
      gets('A', 2),
    ],
  },
  {
    name: 'NACK on a topic',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$', { ack: 'client-individual' }),
      send('B', '/topic/$', 'one'),
      gets('A', 1),
      nack('A', 1),
      send('B', '/topic/$', 'two'),
    ],
    differs: {
      why: 'contract 4.10: what is unacked on a topic is dropped',
      rabbitmq: {
        'A 1': [
          'MESSAGE #1 /topic/$ "one" ack:#1',
          'MESSAGE #2 /topic/$ "one" ack:#2 redelivered:true',
          'MESSAGE #3 /topic/$ "two" ack:#3',
        ],
      },
      ours: { 'A 1': ['MESSAGE #1 /topic/$ "one" ack:#1', 'MESSAGE #2 /topic/$ "two" ack:#2'] },
    },
  },
]

const transactions: readonly Case[] = [
  {
    name: 'COMMIT: nothing before it, all after it',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      request('B', 'BEGIN', { transaction: 't' }),
      frame('B', 'SEND', { destination: '/topic/$', transaction: 't' }, 'one'),
      frame('B', 'SEND', { destination: '/topic/$', transaction: 't' }, 'two'),
      send('B', '/topic/$', 'outside'),
      gets('A', 1),
      request('B', 'COMMIT', { transaction: 't' }),
      gets('A', 3),
    ],
  },
  {
    name: 'ABORT: nothing',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$'),
      request('B', 'BEGIN', { transaction: 't' }),
      frame('B', 'SEND', { destination: '/queue/$', transaction: 't' }, 'one'),
      request('B', 'ABORT', { transaction: 't' }),
      send('B', '/queue/$', 'after'),
      gets('A', 1),
    ],
  },
  {
    name: 'ACK in a transaction counts with COMMIT',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client-individual' }),
      send('B', '/queue/$', 'one'),
      send('B', '/queue/$', 'two'),
      gets('A', 2),
      request('A', 'BEGIN', { transaction: 't' }),
      frame('A', 'ACK', { id: '<A 1 ack>', transaction: 't' }),
      request('A', 'COMMIT', { transaction: 't' }),
      disconnect('A'),
      subscribe('C', '1', '/queue/$'),
      gets('C', 1),
    ],
  },
  {
    name: 'ACK in a transaction does not count with ABORT',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client-individual' }),
      send('B', '/queue/$', 'one'),
      gets('A', 1),
      request('A', 'BEGIN', { transaction: 't' }),
      frame('A', 'ACK', { id: '<A 1 ack>', transaction: 't' }),
      request('A', 'ABORT', { transaction: 't' }),
      disconnect('A'),
      subscribe('C', '1', '/queue/$'),
      gets('C', 1),
    ],
  },
  {
    name: 'ACK and SEND in a transaction',
    steps: [
      connect('A', 'B', 'C'),
      subscribe('A', '1', '/queue/$', { ack: 'client-individual' }),
      subscribe('C', 'done', '/queue/$.done'),
      send('B', '/queue/$', 'job'),
      gets('A', 1),
      request('A', 'BEGIN', { transaction: 't' }),
      frame('A', 'SEND', { destination: '/queue/$.done', transaction: 't' }, 'done'),
      frame('A', 'ACK', { id: '<A 1 ack>', transaction: 't' }),
      request('A', 'COMMIT', { transaction: 't' }),
      gets('C', 1),
    ],
  },
  {
    name: 'a transaction is aborted with its connection',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$'),
      request('B', 'BEGIN', { transaction: 't' }),
      frame('B', 'SEND', { destination: '/queue/$', transaction: 't' }, 'one'),
      disconnect('B'),
    ],
  },
  {
    name: 'two transactions at once',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      request('B', 'BEGIN', { transaction: 't' }),
      request('B', 'BEGIN', { transaction: 'u' }),
      frame('B', 'SEND', { destination: '/topic/$', transaction: 't' }, 'of t'),
      frame('B', 'SEND', { destination: '/topic/$', transaction: 'u' }, 'of u'),
      request('B', 'COMMIT', { transaction: 'u' }),
      request('B', 'ABORT', { transaction: 't' }),
      gets('A', 1),
    ],
  },
  {
    name: 'a receipt in a transaction',
    steps: [
      connect('A'),
      request('A', 'BEGIN', { transaction: 't' }),
      frame('A', 'SEND', { destination: '/topic/$', transaction: 't', receipt: 'of the frame' }),
      request('A', 'COMMIT', { transaction: 't' }),
      gets('A', 1, 'RECEIPT'),
    ],
  },
  ...['COMMIT', 'ABORT'].map((command) => ({
    name: `${command} of no transaction`,
    steps: refusal(command, { transaction: 'nothing' }),
  })),
  {
    name: 'SEND in no transaction',
    steps: refusal('SEND', { destination: '/topic/$', transaction: 'nothing' }),
  },
  {
    name: 'BEGIN twice',
    steps: [
      connect('A'),
      request('A', 'BEGIN', { transaction: 't' }),
      frame('A', 'BEGIN', { transaction: 't', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'an id of two transactions is refused: what it meant could not be told',
      rabbitmq: { A: ['RECEIPT receipt-id:r'] },
      ours: { A: ['ERROR'] },
    },
  },
  { name: 'BEGIN without a name', steps: refusal('BEGIN', {}) },
]

const receipts: readonly Case[] = [
  {
    name: 'every command has its RECEIPT',
    steps: [
      connect('A'),
      frame('A', 'SUBSCRIBE', {
        id: '1',
        destination: '/queue/$',
        ack: 'client-individual',
        receipt: 'subscribe',
      }),
      gets('A', 1, 'RECEIPT'),
      send('A', '/queue/$', '1'),
      send('A', '/queue/$', '2'),
      gets('A', 2),
      frame('A', 'ACK', { id: '<A 1 ack>', receipt: 'ack' }),
      frame('A', 'NACK', { id: '<A 2 ack>', receipt: 'nack', requeue: 'false' }),
      frame('A', 'BEGIN', { transaction: 't', receipt: 'begin' }),
      frame('A', 'COMMIT', { transaction: 't', receipt: 'commit' }),
      frame('A', 'BEGIN', { transaction: 't', receipt: 'begin again' }),
      frame('A', 'ABORT', { transaction: 't', receipt: 'abort' }),
      frame('A', 'UNSUBSCRIBE', { id: '1', receipt: 'unsubscribe' }),
      gets('A', 8, 'RECEIPT'),
      frame('A', 'SEND', { destination: '/queue/$', receipt: 'send' }),
      gets('A', 9, 'RECEIPT'),
    ],
  },
  {
    name: 'a SUBSCRIBE has its RECEIPT before its first message',
    together: true,
    steps: [
      connect('A', 'B'),
      send('B', '/queue/$', 'waiting'),
      frame('A', 'SUBSCRIBE', { id: '1', destination: '/queue/$', receipt: 'r' }),
      gets('A', 1),
      gets('A', 1, 'RECEIPT'),
    ],
  },
  {
    name: 'a receipt with what must be escaped',
    steps: [
      connect('A'),
      frame('A', 'SEND', { destination: '/topic/$', receipt: String.raw`a\cb\nc\\d\re` }),
      gets('A', 1, 'RECEIPT'),
    ],
  },
]

const frames: readonly Case[] = [
  {
    name: 'headers pass on',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$'),
      send('B', '/queue/$', '{}', {
        'content-type': 'application/json',
        'correlation-id': 'c1',
        persistent: 'true',
        priority: '3',
        timestamp: '12345',
        type: 'order',
        'app-id': 'shop',
        color: 'red',
        'x-color': 'blue',
        'content-encoding': 'identity',
        'amqp-message-id': 'm',
      }),
      gets('A', 1),
    ],
  },
  {
    name: 'persistent:false',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$'),
      send('B', QUEUE, 'one', { persistent: 'false' }),
      gets('A', 1),
    ],
  },
  {
    name: 'headers of the sender that are not for the receiver',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$'),
      frame(
        'B',
        'SEND',
        {
          destination: '/queue/$',
          receipt: 'r',
          session: 's',
          login: 'l',
          passcode: 'p',
          subscription: 'other',
          redelivered: 'true',
        },
        'one',
      ),
      gets('A', 1),
    ],
  },
  {
    name: 'ack in the headers of the sender',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$'),
      send('B', '/queue/$', 'one', { ack: 'client' }),
      gets('A', 1),
    ],
    differs: {
      why: "contract 4.13 MESSAGE copies the sender's headers: all, or all but those of the sender's own frame",
      rabbitmq: { 'A 1': ['MESSAGE #1 /queue/$ "one" ack:#2 redelivered:false'] },
      ours: { 'A 1': ['MESSAGE #1 /queue/$ "one" redelivered:false'] },
    },
  },
  {
    name: 'message-id in the headers of the sender',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$'),
      frame('B', 'SEND', { destination: '/queue/$', 'message-id': 'own', receipt: 'r' }),
      gets('B', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.7: message-id on SEND is overwritten, never an ERROR',
      rabbitmq: { B: ['ERROR'] },
      ours: { 'A 1': ['MESSAGE #1 /queue/$ "" redelivered:false'], B: ['RECEIPT receipt-id:r'] },
    },
  },
  {
    name: 'of a repeated header the first counts',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      write(
        'B',
        'SEND\ndestination:/topic/$\ncolor:first\ncolor:second\ndestination:/topic/$.other\n\none\0',
      ),
      gets('A', 1),
    ],
  },
  {
    name: '1.2: escapes in headers',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'one', { [String.raw`a\cb`]: String.raw`f\co\co\nbar\rbaz\\\\` }),
      gets('A', 1),
    ],
  },
  {
    name: '1.1 to 1.1: escapes in headers',
    steps: [
      connectAs('A', { 'accept-version': '1.1' }),
      connectAs('B', { 'accept-version': '1.1' }),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'one', { [String.raw`a\cb`]: String.raw`f\co\co\nbar\\\\` }),
      gets('A', 1),
    ],
  },
  {
    name: '1.2 to 1.0: colons in values',
    steps: [
      connectAs('A', { 'accept-version': '1.0' }),
      connect('B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'one', { at: String.raw`12\c30` }),
      gets('A', 1),
    ],
    differs: {
      why: 'contract 4.4: escapes are those of the version',
      rabbitmq: { 'A 1': [String.raw`MESSAGE #1 /topic/$ "one" at:12\c30`] },
      ours: { 'A 1': ['MESSAGE #1 /topic/$ "one" at:12:30'] },
    },
  },
  {
    name: '1.2: spaces in values stay',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'one', { space: ' around ' }),
      gets('A', 1),
    ],
  },
  {
    name: 'an escape that is none',
    steps: refusal('SEND', { destination: '/topic/$', color: String.raw`a\tb` }),
    differs: {
      why: 'contract 4.13 ERROR then close: closed without a word, or after an ERROR',
      rabbitmq: { A: ['closed'] },
      ours: { A: ['ERROR'] },
    },
  },
  {
    name: 'a colon in a value',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'one', { time: '12:30:00' }),
      gets('A', 1),
    ],
  },
  {
    name: 'an empty value',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'one', { empty: '' }),
      gets('A', 1),
    ],
  },
  {
    name: 'an id that needs escapes',
    steps: [
      connect('A', 'B'),
      subscribe('A', String.raw`s\c1`, '/queue/$', { ack: 'client' }),
      send('B', '/queue/$', 'one'),
      gets('A', 1),
      ack('A', 1),
    ],
  },
  {
    name: 'a body with NUL',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'a\0b\0', { 'content-length': '4' }),
      gets('A', 1),
    ],
  },
  {
    name: 'a body of nothing',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', ''),
      send('B', '/topic/$', '', { 'content-length': '0' }),
      gets('A', 2),
    ],
  },
  {
    name: 'a body outside ASCII',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'Grüße 🌍', { 'content-length': String(Buffer.byteLength('Grüße 🌍')) }),
      send('B', '/topic/$', 'Grüße 🌍'),
      gets('A', 2),
    ],
  },
  {
    name: 'a body of 300 000 bytes',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'x'.repeat(300_000)),
      gets('A', 1),
    ],
  },
  {
    name: 'a body that looks like a frame',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      send('B', '/topic/$', 'MESSAGE\nfoo:bar\n\nbody'),
      gets('A', 1),
    ],
  },
  {
    name: '1.2: lines that end in CRLF',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      write('B', 'SEND\r\ndestination:/topic/$\r\ncolor:red\r\n\r\none\0'),
      gets('A', 1),
    ],
  },
  {
    name: 'EOLs between frames',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      write(
        'B',
        '\n\n\r\n',
        '\nSEND\ndestination:/topic/$\n\none\0\n\nSEND\ndestination:/topic/$\n\ntwo\0\n',
        '\n',
      ),
      gets('A', 2),
    ],
  },
  {
    name: 'several frames in one message',
    steps: [
      connect('A'),
      write(
        'A',
        'SUBSCRIBE\nid:1\ndestination:/topic/$\nreceipt:r\n\n\0SEND\ndestination:/topic/$\n\none\0SEND\ndestination:/topic/$\n\ntwo\0',
      ),
      gets('A', 2),
    ],
  },
  {
    name: 'a frame over several messages',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      write('B', 'SE', 'ND\ndest', 'ination:/topic/$\ncontent-', 'length:5\n', '\nab', 'cde', '\0'),
      gets('A', 1),
    ],
  },
  {
    name: 'a frame cut inside a character',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/topic/$'),
      write(
        'B',
        'SEND\ndestination:/topic/$\n\n',
        Buffer.from('ü').subarray(0, 1),
        Buffer.from('ü').subarray(1),
        '\0',
      ),
      gets('A', 1),
    ],
  },
  {
    name: 'binary messages',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/nobody-sends'),
      write('A', Buffer.from('BEGIN\ntransaction:t\nreceipt:r\n\n\0')),
      gets('A', 1, 'RECEIPT'),
    ],
  },
]

const errors: readonly Case[] = [
  { name: 'a command that is none', steps: refusal('SHOUT', {}) },
  { name: 'SEND without a destination', steps: refusal('SEND', {}) },
  { name: 'SUBSCRIBE without a destination', steps: refusal('SUBSCRIBE', { id: '1' }) },
  { name: 'SEND to nothing', steps: refusal('SEND', { destination: '/topic/' }) },
  { name: 'SUBSCRIBE to nothing', steps: refusal('SUBSCRIBE', { id: '1', destination: '/queue/' }) },
  {
    name: 'an ack mode that is none',
    steps: refusal('SUBSCRIBE', { id: '1', destination: '/topic/$', ack: 'sometimes' }),
  },
  {
    name: 'a prefetch-count that is none',
    steps: refusal('SUBSCRIBE', { id: '1', destination: '/queue/$', 'prefetch-count': 'many' }),
  },
  { name: 'ACK without an id', steps: refusal('ACK', {}) },
  { name: 'UNSUBSCRIBE without an id', steps: refusal('UNSUBSCRIBE', {}) },
  {
    name: 'UNSUBSCRIBE of nothing',
    steps: [
      connect('A'),
      frame('A', 'UNSUBSCRIBE', { id: 'nothing', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'an UNSUBSCRIBE of what is not there has nothing left to do',
      rabbitmq: { A: ['ERROR'] },
      ours: { A: ['RECEIPT receipt-id:r'] },
    },
  },
  {
    name: 'an id for two subscriptions',
    steps: [
      connect('A'),
      subscribe('A', '1', '/topic/$'),
      frame('A', 'SUBSCRIBE', { id: '1', destination: '/topic/$.other' }),
      refused('A'),
    ],
    differs: {
      why: 'contract 4.13 ERROR then close: closed without a word, or after an ERROR',
      rabbitmq: { A: ['closed'] },
      ours: { A: ['ERROR'] },
    },
  },
  {
    name: '1.2: SUBSCRIBE without an id',
    steps: [
      connect('A'),
      frame('A', 'SUBSCRIBE', { destination: '/topic/$', receipt: 'r' }),
      gets('A', 1, 'RECEIPT'),
    ],
    differs: {
      why: 'contract 4.8: id is required on 1.1 and 1.2',
      rabbitmq: { A: ['RECEIPT receipt-id:r'] },
      ours: { A: ['ERROR'] },
    },
  },
  {
    name: '1.0: SUBSCRIBE without an id',
    steps: [
      connectAs('A', { 'accept-version': '1.0' }),
      connect('B'),
      request('A', 'SUBSCRIBE', { destination: '/topic/$' }),
      send('B', '/topic/$', 'one'),
      gets('A', 1),
      request('A', 'UNSUBSCRIBE', { destination: '/topic/$' }),
      send('B', '/topic/$', 'two'),
    ],
    differs: {
      why: 'contract 4.9: MESSAGE always has a subscription',
      rabbitmq: { 'A -': ['MESSAGE #1 /topic/$ "one"'] },
      ours: { 'A /topic/$': ['MESSAGE #1 /topic/$ "one"'] },
    },
  },
  {
    name: 'after an ERROR',
    errors: true,
    steps: [
      connect('A'),
      frame('A', 'SEND', { receipt: 'bad' }),
      gets('A', 1, 'ERROR'),
      frame('A', 'SEND', { destination: '/topic/$', receipt: 'good' }),
      answered('A', 'good'),
    ],
    differs: {
      why: 'contract 4.13 ERROR receipt-id: no, or yes; ERROR then close: no, or yes',
      rabbitmq: { A: ['ERROR', 'RECEIPT receipt-id:good'] },
      ours: { A: ['ERROR receipt-id:bad', 'closed'] },
    },
  },
  {
    name: 'the subscriptions of one who was refused',
    steps: [
      connect('A', 'B'),
      subscribe('A', '1', '/queue/$', { ack: 'client' }),
      send('B', '/queue/$', 'held'),
      gets('A', 1),
      frame('A', 'SEND', {}),
      refused('A'),
      leave('A'),
      subscribe('B', '1', '/queue/$'),
      gets('B', 1),
    ],
  },
]

export const cases: readonly Case[] = [
  ...connecting,
  ...topics,
  ...wildcards,
  ...exchanges,
  ...queues,
  ...terms,
  ...replies,
  ...durables,
  ...transactions,
  ...receipts,
  ...frames,
  ...errors,
]
