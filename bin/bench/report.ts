import { availableParallelism, cpus } from 'node:os'
import type { Figures, Load, Pace, Plan } from './load.ts'
import type { Verdict } from './tally.ts'

/** All there is to say about a measurement. */
export interface Result {
  /** Version of this command. */
  readonly version: string
  /** What the broker calls itself. */
  readonly broker: string
  readonly plan: Plan
  readonly pace: Pace
  readonly warmUp: number
  readonly figures: Figures
  readonly verdict: Verdict
  /** Why it ended before its time, if it did. */
  readonly ended: string | undefined
  /** What else should be known of the figures. */
  readonly notes: readonly string[]
}

/** Beyond this share of its time the load generator may be what is measured. */
const SATURATED = 0.9

/** A number with separators and no more digits than it is worth. */
export function count(value: number): string {
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** Microseconds as milliseconds. */
export function milliseconds(value: number): string {
  const ms = value / 1000
  return `${ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2)} ms`
}

function many(number: number, what: string): string {
  return `${count(number)} ${what}${number === 1 ? '' : 's'}`
}

/** How it stands, in one line. */
export function progress(load: Load, seconds: number, rate: { sent: number; delivered: number }): string {
  const { latency, tally } = load
  return [
    `${seconds.toFixed(0)} s`,
    ...(tally.missing === 0 ? [] : [`${count(tally.missing)} lost`]),
    `${count(Math.round(rate.sent))} sent/s`,
    `${count(Math.round(rate.delivered))} delivered/s`,
    `p50 ${milliseconds(latency.quantile(0.5))}`,
    `p99 ${milliseconds(latency.quantile(0.99))}`,
  ].join('   ')
}

function conditions({ plan, pace, warmUp, figures, broker, version }: Result): [string, string][] {
  const { destinations } = plan
  const [first = ''] = destinations
  const where =
    destinations.length === 1 ? first : `${count(destinations.length)} destinations, ${first} and so on`
  const details = [
    `bodies of ${many(plan.size, 'byte')}`,
    'window' in pace
      ? `${many(pace.window, 'message')} of each publisher on the way`
      : `${many(pace.rate, 'message')} a second from each publisher`,
    `ack ${plan.ack}`,
    ...(plan.prefetch > 0 ? [`prefetch ${plan.prefetch}`] : []),
    ...(plan.receipts ? ['receipts'] : []),
    ...plan.headers.map(([name]) => `header ${name}`),
  ]
  const [cpu] = cpus()
  return [
    ['Broker', `${plan.target.url}${broker === '' ? '' : `, ${broker}`}`],
    [
      'Load',
      `${many(plan.publishers, 'publisher')}, ${many(plan.subscribers, 'subscriber')}, ${plan.queue ? 'queue' : 'topic'}: ${where}`,
    ],
    ['', details.join(', ')],
    ['Time', `${figures.seconds.toFixed(1)} s, after ${warmUp} s of warm-up`],
    ['Generator', `stomp-broker bench ${version}, busy for ${Math.round(figures.busy * 100)} % of the time`],
    [
      'Machine',
      `Node ${process.version}, ${process.platform} ${process.arch}, ${many(availableParallelism(), 'core')}${cpu === undefined ? '' : ` (${cpu.model.trim()})`}`,
    ],
  ]
}

/** Lines of no more than 78 characters, those after the first as far in as the text of that. */
function wrap(name: string, text: string): string {
  const lines = text.match(new RegExp(`.{1,${76 - name.length}}(?= |$)|\\S+`, 'g')) ?? []
  return `  ${name}${lines.map((line) => line.trim()).join(`\n  ${' '.repeat(name.length)}`)}`
}

/** What is to be known of the figures before they are believed. */
function warnings({ figures, pace, ended, notes, verdict, plan }: Result): string[] {
  const found = [...notes]
  if (ended !== undefined) found.push(ended)
  if (figures.stalled)
    found.push('Nothing arrived any more while messages were still on their way; those count as lost.')
  if (figures.busy > SATURATED)
    found.push(
      "The load generator had no time left, so these may be its own figures and not the broker's. Use fewer subscribers or a lower rate, or give it a core or a machine of its own.",
    )
  if (figures.stalled && !plan.queue && plan.subscribers > 1)
    found.push('If the destination is a queue, of whose messages each goes to one subscriber: add --queue.')
  if (plan.queue && verdict.duplicates > 0)
    found.push('Messages came more than once. Is the destination a queue, and not a topic?')
  if (figures.unsent > 0)
    found.push(
      `It was too much: ${many(figures.unsent, 'message')} that were due could not be sent in time. Latencies are without them, and grow as long as it lasts.`,
    )
  else if ('rate' in pace && figures.late > 100_000)
    found.push(
      `Some messages were sent up to ${milliseconds(figures.late)} after they were due; their latency includes that.`,
    )
  if (verdict.strange > 0)
    found.push(
      `${many(verdict.strange, 'message')} arrived that this run has not sent, or not sent there. Is the destination used by others?`,
    )
  return found
}

/** The table at the end. */
export function table(result: Result): string {
  const { figures, verdict } = result
  const { latency, seconds } = figures
  const per = (value: number): string => (seconds === 0 ? '-' : count(Math.round(value / seconds)))
  const time = (value: number): string => (latency.max === 0 ? '-' : milliseconds(value))
  const rows: [string, string][] = [
    ['Sent', `${per(figures.sent)} /s`],
    ['Delivered', `${per(figures.delivered)} /s`],
    ['Bodies', `${seconds === 0 ? '-' : count(figures.bytes / seconds / 1e6)} MB/s`],
    ['Latency p50', time(latency.p50)],
    ['Latency p99', time(latency.p99)],
    ['Latency p99.9', time(latency.p999)],
    ['Latency max', time(latency.max)],
    ['Lost', count(verdict.lost)],
    ['Duplicates', count(verdict.duplicates)],
    ['Out of order', count(verdict.outOfOrder)],
  ]
  const wide = Math.max(...rows.map(([, value]) => value.length))
  const lines = rows.map(([name, value]) => `  ${name.padEnd(16)}${value.padStart(wide)}`)
  const said = conditions(result).map(([name, value]) => wrap(name.padEnd(12), value))
  const warned = warnings(result).flatMap((text) => ['', wrap('', text)])
  return ['', ...lines, '', ...said, ...warned, '', ''].join('\n')
}

/** The same for scripts, times in milliseconds. */
export function json(result: Result): string {
  const { plan, pace, figures, verdict, version, broker, warmUp } = result
  const { seconds, latency } = figures
  const per = (value: number): number => (seconds === 0 ? 0 : Math.round(value / seconds))
  // Where nothing came there is no latency, and none that looks like a good one.
  const time = (value: number): number | null => (latency.max === 0 ? null : value / 1000)
  return `${JSON.stringify({
    sentPerSecond: per(figures.sent),
    deliveredPerSecond: per(figures.delivered),
    bytesPerSecond: per(figures.bytes),
    latency: {
      p50: time(latency.p50),
      p99: time(latency.p99),
      p999: time(latency.p999),
      max: time(latency.max),
    },
    ...verdict,
    sent: figures.sent,
    delivered: figures.delivered,
    unsent: figures.unsent,
    seconds,
    stalled: figures.stalled,
    generatorBusy: figures.busy,
    warnings: warnings(result),
    conditions: {
      url: plan.target.url,
      broker,
      version,
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      cores: availableParallelism(),
      publishers: plan.publishers,
      subscribers: plan.subscribers,
      destinations: plan.destinations.slice(0, 10),
      destinationCount: plan.destinations.length,
      queue: plan.queue,
      size: plan.size,
      ...pace,
      warmUp,
      ack: plan.ack,
      prefetch: plan.prefetch,
      receipts: plan.receipts,
    },
  })}\n`
}
