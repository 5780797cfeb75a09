import { Load, type Figures, type Pace, type Plan, type Stint } from '../../bin/bench/load.ts'
import { runName } from '../../bin/bench/stamp.ts'
import type { Verdict } from '../../bin/bench/tally.ts'
import { readTarget } from '../../bin/bench/target.ts'
import { cpuTime, memory, openFiles } from './process.ts'
import { measureStore } from './raw-store.ts'
import type { Kind, Need, Server } from './servers.ts'

export interface Extent {
  /** Seconds before a measurement that do not count. */
  readonly warmUp: number
  /** Seconds of one measurement. */
  readonly duration: number
  /** What the large numbers are divided by, for a run that is to be over soon. */
  readonly divisor: number
}

/** What came out of one run. Values that could not be had are not there. */
export interface Sample {
  readonly values: Record<string, number>
  readonly verdict: Verdict
  /** The share of the time that the load generator was busy. */
  readonly busy: number
  readonly failure?: string
}

export interface Column {
  readonly key: string
  readonly title: string
}

export interface Scenario {
  readonly name: string
  readonly title: string
  readonly columns: readonly Column[]
  /** The value that is compared with the limit's. */
  readonly ratio: string
  /** Takes long, so it is run once. */
  readonly heavy?: boolean
  /** Wants a server that nobody has used. */
  readonly fresh?: boolean
  /** Not for peers: it is about how this broker grows, or about thousands of connections. */
  readonly own?: boolean
  readonly needs?: Need
  /** What is sent is to be on disk. */
  readonly durable?: boolean
  run(server: Server, extent: Extent, kind: Kind): Promise<Sample>
}

const MIB = 1024 * 1024

const perDelivery: readonly Column[] = [
  { key: 'cpu', title: 'CPU µs per delivery' },
  { key: 'rate', title: 'deliveries/s' },
  { key: 'p50', title: 'p50 ms' },
  { key: 'p99', title: 'p99 ms' },
  { key: 'p999', title: 'p99.9 ms' },
]

function planFor(server: Server, wanted: Partial<Plan>): Plan {
  return {
    target: readTarget(server.url),
    login: server.login,
    passcode: server.login,
    host: '/',
    subprotocol: 'v12.stomp',
    origin: '',
    insecure: true,
    publishers: 1,
    subscribers: 100,
    members: false,
    destinations: [`/${wanted.queue === true ? 'queue' : 'topic'}/bench-${runName()}`],
    sameId: true,
    queue: false,
    size: 128,
    ack: 'auto',
    prefetch: 0,
    receipts: false,
    headers: [],
    concurrency: 32,
    ...wanted,
  }
}

function latencies({ latency }: Figures): Record<string, number> {
  return { p50: latency.p50 / 1000, p99: latency.p99 / 1000, p999: latency.p999 / 1000 }
}

/** Measures, and reads what the server has computed meanwhile. */
async function timed(
  load: Load,
  server: Server,
  stint: Stint,
): Promise<{ figures: Figures; cpu: number | undefined }> {
  let began: number | undefined
  let cpu: number | undefined
  const figures = await load.measure({
    ...stint,
    mark: (which) => {
      const now = server.pid === undefined ? undefined : cpuTime(server.pid)
      if (which === 'begin') began = now
      else if (began !== undefined && now !== undefined) cpu = (now - began) / 1000
    },
  })
  return { figures, cpu }
}

/** Runs `use` with all connections made, and closes them. */
async function withLoad(plan: Plan, use: (load: Load) => Promise<Omit<Sample, 'verdict'>>): Promise<Sample> {
  const load = new Load(plan)
  try {
    await load.open()
    const sample = await use(load)
    const failure = load.failure?.message
    return { ...sample, verdict: load.verdict(), ...(failure === undefined ? {} : { failure }) }
  } finally {
    load.close()
  }
}

async function steady(server: Server, extent: Extent, wanted: Partial<Plan>, pace: Pace): Promise<Sample> {
  return withLoad(planFor(server, wanted), async (load) => {
    const stint = { pace, warmUp: extent.warmUp, duration: extent.duration }
    const { figures, cpu } = await timed(load, server, stint)
    const values: Record<string, number> = {
      rate: figures.delivered / figures.seconds,
      mb: figures.bytes / figures.seconds / 1e6,
      ...latencies(figures),
    }
    if (cpu !== undefined) values['cpu'] = cpu / figures.delivered
    return { values, busy: figures.busy }
  })
}

function closed(
  name: string,
  title: string,
  wanted: Partial<Plan>,
  window: number,
  columns = perDelivery,
): Scenario {
  return {
    name,
    title,
    columns,
    ratio: 'cpu',
    run: (server, extent) => steady(server, extent, wanted, { window }),
  }
}

const lines = Array.from(
  { length: 10 },
  (_, index) => [`header-${index}`, `value ${index} of some length`] as const,
)

const fanOut: Scenario[] = [
  closed('fanout-w1', '1 publisher, 100 subscribers, 128 bytes, one message at a time', {}, 1),
  closed('fanout-w32', '1 publisher, 100 subscribers, 128 bytes, 32 messages on their way', {}, 32),
  closed('ids', 'fanout-w32, every subscriber with another subscription id', { sameId: false }, 32),
  {
    ...closed('sockjs', 'fanout-w32, subscribers over SockJS', {}, 32),
    needs: 'SockJS',
    run: (server, extent) =>
      steady(server, extent, { subscriberTarget: readTarget(server.sockJsUrl ?? '') }, { window: 32 }),
  },
  closed('headers', 'fanout-w32, with 10 more headers', { headers: lines }, 32),
  {
    ...closed('wildcards', 'fanout-w32, every subscriber with a wildcard', {}, 32),
    run: (server, extent) => {
      const name = `/topic/bench-${runName()}`
      const wanted = { destinations: [`${name}.a`], patterns: [`${name}.*`] }
      return steady(server, extent, wanted, { window: 32 })
    },
  },
  closed(
    'large',
    '1 publisher, 8 subscribers, 1 MiB, two messages on their way',
    { subscribers: 8, size: MIB },
    2,
    [
      { key: 'cpu', title: 'CPU µs per delivery' },
      { key: 'mb', title: 'MB/s' },
      { key: 'p50', title: 'p50 ms' },
      { key: 'p99', title: 'p99 ms' },
    ],
  ),
]

const work = { publishers: 4, subscribers: 4, queue: true, receipts: true } satisfies Partial<Plan>
const queues: Scenario[] = [
  closed('queue', 'a queue, 4 producers with receipts, 4 consumers, ack:auto', work, 64),
  closed(
    'queue-ack',
    'queue, ack:client-individual, prefetch 100',
    { ...work, ack: 'client-individual', prefetch: 100 },
    64,
  ),
].map((scenario) => ({ ...scenario, needs: 'queues' }))

const DURABLE = { publishers: 64, subscribers: 8, window: 32, size: 128 } as const
const durable: Scenario = {
  name: 'durable',
  title:
    'queue, persistent:true, 64 producers with receipts, 32 messages of each on their way, 8 consumers, ack:client-individual; the limit is the bare store',
  columns: [
    { key: 'rate', title: 'deliveries/s' },
    { key: 'cpu', title: 'CPU µs per delivery' },
    { key: 'p50', title: 'p50 ms' },
    { key: 'p99', title: 'p99 ms' },
  ],
  ratio: 'rate',
  needs: 'queues',
  durable: true,
  run: async (server, extent, kind) => {
    const { publishers, subscribers, window, size } = DURABLE
    if (kind.name === 'limit') {
      const { rate, cpu } = await measureStore(publishers * window, size, extent.warmUp, extent.duration)
      return {
        values: { rate, cpu },
        verdict: { lost: 0, duplicates: 0, outOfOrder: 0, strange: 0 },
        busy: 0,
      }
    }
    const wanted: Partial<Plan> = {
      ...work,
      publishers,
      subscribers,
      ack: 'client-individual',
      prefetch: 500,
    }
    const headers = [['persistent', 'true']] as const
    return steady(server, extent, { ...wanted, headers }, { window })
  },
}

const ROOMS = 50
const MEMBERS = 20
/** Messages a second to all rooms together, when it is quiet. */
const QUIET = 500
/** Milliseconds of p99 that a chat can bear. */
const BEARABLE = 50
const STEP = 1.6
const MOST_STEPS = 20
const BISECTIONS = 3

/** A chat in which every member writes. `members` is how many there are. */
function planChat(server: Server, rooms: number, { divisor }: Extent): { plan: Plan; members: number } {
  const members = Math.ceil((rooms * MEMBERS) / divisor)
  const name = `/topic/bench-${runName()}`
  const destinations = Array.from(
    { length: Math.max(1, Math.round(members / MEMBERS)) },
    (_, index) => `${name}-${index}`,
  )
  const wanted = { publishers: members, subscribers: members, members: true, destinations }
  return { plan: planFor(server, wanted), members }
}

const MANY_ROOMS = 200
/** Messages of each member before anything is measured: by then all have settled down. */
const WORDS_BEFORE = 2

const chat: Scenario = {
  name: 'chat',
  title: `${MANY_ROOMS} rooms of ${MEMBERS} members who all write, at ${QUIET} messages a second, after each has written ${WORDS_BEFORE}`,
  columns: perDelivery.filter(({ key }) => key !== 'rate'),
  ratio: 'p99',
  heavy: true,
  own: true,
  run: (server, extent) => {
    const { plan, members } = planChat(server, MANY_ROOMS, extent)
    return withLoad(plan, async (load) => {
      const rate = QUIET / extent.divisor / members
      // A quick run is not the place to wait for that.
      const warmUp = WORDS_BEFORE / rate / extent.divisor
      const { figures, cpu } = await timed(load, server, {
        pace: { rate },
        warmUp,
        duration: 10 * extent.duration,
      })
      const values: Record<string, number> = latencies(figures)
      if (cpu !== undefined) values['cpu'] = cpu / figures.delivered
      return { values, busy: figures.busy }
    })
  },
}

const rooms: Scenario = {
  name: 'rooms',
  title: `chat: ${ROOMS} rooms of ${MEMBERS} members who all write; at ${QUIET} messages a second, and at the highest rate with p99 below ${BEARABLE} ms`,
  columns: [
    { key: 'cpu', title: `CPU µs per delivery at ${QUIET}/s` },
    { key: 'p50', title: 'p50 ms' },
    { key: 'p99', title: 'p99 ms' },
    { key: 'p999', title: 'p99.9 ms' },
    { key: 'highest', title: 'highest deliveries/s' },
  ],
  ratio: 'highest',
  heavy: true,
  needs: 'messages back to their sender',
  run: (server, extent) => {
    const { plan, members } = planChat(server, ROOMS, extent)
    return withLoad(plan, async (load) => {
      const at = (total: number, duration: number, warmUp = 0.3): ReturnType<typeof timed> => {
        const pace = { rate: total / members }
        // A second of arrears is enough to see that it is too much.
        return timed(load, server, { pace, warmUp, duration, most: total * MEMBERS + 20_000 })
      }
      const quiet = await at(QUIET / extent.divisor, 2 * extent.duration, extent.warmUp)
      const values: Record<string, number> = latencies(quiet.figures)
      if (quiet.cpu !== undefined) values['cpu'] = quiet.cpu / quiet.figures.delivered
      let busy = 0
      let [best, low, high] = [0, 0, Infinity]
      let total = (2 * QUIET) / extent.divisor
      for (let step = 0, halved = 0; step < MOST_STEPS && halved < BISECTIONS; step++) {
        let borne = false
        // Once may be somebody else's fault.
        for (let attempt = 0; attempt < 2 && !borne && load.failure === undefined; attempt++) {
          const { figures } = await at(total, extent.duration)
          borne = !figures.stalled && figures.latency.p99 > 0 && figures.latency.p99 < BEARABLE * 1000
          if (borne) {
            best = figures.delivered / figures.seconds
            ;({ busy } = figures)
          }
        }
        if (load.failure !== undefined) break
        if (borne) low = total
        else high = total
        if (high < Infinity) halved++
        total = high < Infinity ? (low + high) / 2 : total * STEP
      }
      values['highest'] = best
      return { values, busy }
    })
  },
}

const CONNECTIONS = 10_000
const PEER_CONNECTIONS = 1_000
const BROADCASTS = 20

const connections: Scenario = {
  name: 'connections',
  title: `${CONNECTIONS} connections with a subscription each, and one message to all of them`,
  columns: [
    { key: 'count', title: 'connections' },
    { key: 'perSecond', title: 'connections/s' },
    { key: 'memory', title: 'kB per connection' },
    { key: 'last', title: 'to the last of them, ms' },
    { key: 'cpu', title: 'CPU µs per delivery' },
  ],
  ratio: 'last',
  heavy: true,
  fresh: true,
  run: async (server, extent, { ours }) => {
    const wanted = Math.ceil((ours ? CONNECTIONS : PEER_CONNECTIONS) / extent.divisor)
    const count = Math.min(wanted, openFiles() - 100)
    if (count < wanted)
      process.stderr.write(`  only ${count} connections: ulimit -n allows no more; ulimit -n 20000 would\n`)
    const load = new Load(planFor(server, { subscribers: count, concurrency: 64 }))
    try {
      const before = server.pid === undefined ? undefined : memory(server.pid)
      const began = performance.now()
      await load.open()
      const values: Record<string, number> = { count }
      // Without receipts it has waited for them.
      if (load.answered) values['perSecond'] = (1000 * count) / (performance.now() - began)
      await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(1, extent.duration)))
      const after = server.pid === undefined ? undefined : memory(server.pid)
      if (before !== undefined && after !== undefined) values['memory'] = (after - before) / 1000 / count
      const last: number[] = []
      let [spent, delivered, busy] = [0, 0, 0]
      // The first ones warm up.
      for (let turn = -3; turn < BROADCASTS && load.failure === undefined; turn++) {
        const { figures, cpu } = await timed(load, server, {
          pace: { window: 1 },
          warmUp: 0,
          duration: 0,
          messages: 1,
        })
        if (turn < 0) continue
        last.push(figures.latency.max / 1000)
        spent += cpu ?? NaN
        delivered += figures.delivered
        ;({ busy } = figures)
      }
      values['last'] = median(last)
      if (!Number.isNaN(spent)) values['cpu'] = spent / delivered
      const failure = load.failure?.message
      return { values, busy, verdict: load.verdict(), ...(failure === undefined ? {} : { failure }) }
    } finally {
      load.close()
    }
  },
}

const growth: readonly Column[] = [
  { key: 'small', title: 'CPU µs per message, few' },
  { key: 'large', title: 'many' },
  { key: 'factor', title: 'many to few' },
]

/** Compares the cost of a message where there are few of something and where there are many. */
function scale(
  name: string,
  title: string,
  run: (server: Server, extent: Extent, many: boolean) => Promise<Sample>,
): Scenario {
  return {
    name,
    title,
    columns: growth,
    ratio: 'factor',
    heavy: true,
    fresh: true,
    own: true,
    run: async (server, extent) => {
      const few = await run(server, extent, false)
      const many = await run(server, extent, true)
      const [small, large] = [few, many].map(({ values }) => values['cpu'] ?? NaN) as [number, number]
      const failure = few.failure ?? many.failure
      return {
        values: { small, large, factor: large / small },
        verdict: sum(few.verdict, many.verdict),
        busy: many.busy,
        ...(failure === undefined ? {} : { failure }),
      }
    },
  }
}

/** Messages that wait in a queue before anybody subscribes to it, and are then fetched. */
async function backlog(server: Server, messages: number): Promise<Sample> {
  const load = new Load(planFor(server, { ...work, size: 64 }))
  try {
    await load.open(false)
    const now = (): number => cpuTime(server.pid ?? 0) ?? NaN
    const began = now()
    const figures = await load.measure({ pace: { window: 64 }, warmUp: 0, duration: 0, messages })
    await load.subscribe()
    await load.collect()
    const failure = load.failure?.message
    return {
      values: { cpu: (now() - began) / 1000 / messages },
      busy: figures.busy,
      verdict: load.verdict(),
      ...(failure === undefined ? {} : { failure }),
    }
  } finally {
    load.close()
  }
}

async function spread(
  server: Server,
  extent: Extent,
  count: number,
  wanted: Partial<Plan>,
  suffix = '',
): Promise<Sample> {
  const name = `/${wanted.queue === true ? 'queue' : 'topic'}/bench-${runName()}`
  const names = Array.from({ length: count }, (_, index) => `${name}.${index}`)
  const destinations = names.map((one) => `${one}${suffix && '.a'}`)
  const patterns = names.map((one) => `${one}${suffix}`)
  return steady(server, extent, { ...wanted, destinations, patterns, sameId: false }, { window: 64 })
}

const FEW = 10

const scales: Scenario[] = [
  scale(
    'backlog',
    'a queue filled and then emptied: 10,000 messages, and 1,000,000',
    async (server, { divisor }, many) => {
      if (many) return backlog(server, Math.ceil(1_000_000 / divisor))
      // Some are there to warm up, so that it is not the compiler that is measured.
      for (let turn = 0; turn < 4; turn++) await backlog(server, Math.ceil(10_000 / divisor))
      return backlog(server, Math.ceil(10_000 / divisor))
    },
  ),
  scale(
    'queues',
    'queues with producers and consumers on all of them: 10, and 1,000',
    (server, extent, many) => spread(server, extent, many ? Math.ceil(1_000 / extent.divisor) : FEW, work),
  ),
  scale('topics', 'topics with a subscription each: 10, and 100,000', (server, extent, many) =>
    spread(server, extent, many ? Math.ceil(100_000 / extent.divisor) : FEW, { subscribers: 10 }),
  ),
  scale('patterns', 'wildcard subscriptions: 10, and 100,000', (server, extent, many) =>
    spread(server, extent, many ? Math.ceil(100_000 / extent.divisor) : FEW, { subscribers: 10 }, '.*'),
  ),
]

export const scenarios: readonly Scenario[] = [
  ...fanOut,
  ...queues,
  durable,
  chat,
  rooms,
  connections,
  ...scales,
]

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2
}

export function sum(one: Verdict, other: Verdict): Verdict {
  return {
    lost: one.lost + other.lost,
    duplicates: one.duplicates + other.duplicates,
    outOfOrder: one.outOfOrder + other.outOfOrder,
    strange: one.strange + other.strange,
  }
}
