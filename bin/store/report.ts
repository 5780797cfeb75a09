import { styleText } from 'node:util'
import type { Inventory } from '../../broker/engine/inventory.ts'
import type { Interest } from '../../broker/protocol/pattern.ts'
import { quote } from '../../broker/protocol/text.ts'

type Style = Parameters<typeof styleText>[0]

/** Queues that are shown to people; those with the most messages come first. */
const SHOWN = 100
/** Milliseconds between two words about how it stands. */
const INTERVAL = 250
/** Of a file of this size and more a free half is worth a word. */
const LOOSE = 1_000_000

export function many(number: number, what: string): string {
  return `${number.toLocaleString('en')} ${what}${number === 1 ? '' : 's'}`
}

export function unread(lost: number | undefined): string {
  return lost === undefined ? 'and nobody knows how many could not' : `${many(lost, 'message')} could not`
}

/** Bytes for people. */
export function size(bytes: number): string {
  const units = ['kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 'bytes'
  while (value >= 1000 && units.length > 0) {
    value /= 1000
    unit = units.shift() ?? ''
  }
  return unit === 'bytes'
    ? many(bytes, 'byte')
    : `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${unit}`
}

/** Says on stderr how it stands, where somebody sees it. */
export class Progress {
  private readonly done: string
  private readonly what: string
  private last = performance.now()
  private shown = false

  constructor(done: string, what: string) {
    this.done = done
    this.what = what
  }

  show(number: number): void {
    if (number % 1024 !== 0 || !process.stderr.isTTY) return
    const now = performance.now()
    if (now - this.last < INTERVAL) return
    this.last = now
    this.shown = true
    process.stderr.write(`\r\u001B[K  ${this.done} ${number.toLocaleString('en')} ${this.what} ...`)
  }

  end(): void {
    if (this.shown) process.stderr.write('\r\u001B[K')
  }
}

/** What `inspect` shows to people. */
export function table(path: string, inventory: Inventory, colours: boolean): string {
  const paint = (style: Style, text: string): string => (colours ? styleText(style, text) : text)
  const { format, version, queues, scheduled, retained, live, file, records, damaged, damages, lost } =
    inventory
  const messages = queues.reduce((sum, queue) => sum + queue.messages, 0)
  const delayed = queues.reduce((sum, queue) => sum + queue.delayed, 0)
  const rows: [string, string][] = [
    ['Store', path],
    [
      'Format',
      format === undefined
        ? 'unknown: store.json is missing or damaged'
        : `${format}, made by stomp-broker ${plain(version ?? 'unknown')}`,
    ],
    ['State', state(inventory)],
    ['Size', `${size(live)} live, in a file of ${size(file)}`],
    [
      'Holds',
      [
        `${many(messages, 'message')}${delayed > 0 ? `, ${delayed.toLocaleString('en')} of them delayed,` : ''} in ${many(queues.length, 'queue')}`,
        many(retained, 'retained message'),
        ...(scheduled > 0 ? [`${many(scheduled, 'message')} to topics that wait for their time`] : []),
      ].join('; '),
    ],
  ]
  if (damaged > 0) {
    rows.push([
      'Damage',
      paint(
        'red',
        `in ${many(damaged, 'place')}; ${many(messages, 'message')} could be read, ${unread(lost)}`,
      ),
    ])
    for (const damage of damages) rows.push(['', damage])
    if (damaged > damages.length)
      rows.push(['', `and ${(damaged - damages.length).toLocaleString('en')} more`])
    rows.push(
      ['', 'Restore the folder from a backup; or save what can be read with'],
      ['', `stomp-broker store export --data-dir ${path} --out saved.jsonl`],
    )
  } else if (!inventory.running) {
    rows.push(['Damage', `none, in ${many(records, 'record')}`])
  }
  if (file >= LOOSE && live * 2 <= file)
    rows.push(['', `stomp-broker store compact --data-dir ${path} gives back ${size(file - live)}`])
  return [
    '',
    ...rows.map(([name, text]) => `  ${paint('bold', name.padEnd(10))}${text}`),
    '',
    ...list(inventory, paint),
  ].join('\n')
}

function state({ running, closed }: Inventory): string {
  if (running) return 'in use by a running broker, so its records were not checked'
  return closed ? 'closed properly' : 'not closed properly; the broker checks it when it starts'
}

function list({ queues }: Inventory, paint: (style: Style, text: string) => string): string[] {
  if (queues.length === 0) return ['']
  const chosen = queues.toSorted((one, other) => other.messages - one.messages).slice(0, SHOWN)
  const heads = ['Queue', 'Messages', 'Bytes', 'Delayed', 'Topics', 'Selector']
  const cells = chosen.map(({ name, messages, bytes, delayed, terms }) => [
    plain(name),
    messages.toLocaleString('en'),
    bytes.toLocaleString('en'),
    delayed.toLocaleString('en'),
    terms?.topics === undefined ? '' : plain(textOf(terms.topics)),
    terms?.selector === undefined ? '' : plain(terms.selector),
  ])
  const wide = heads.map((head, column) =>
    Math.max(head.length, ...cells.map((row) => (row[column] ?? '').length)),
  )
  const line = (row: readonly string[]): string =>
    `  ${row
      .map((cell, column) => {
        const width = wide[column] ?? 0
        return column >= 1 && column <= 3 ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()}`
  const more = queues.length - chosen.length
  return [
    paint('bold', line(heads)),
    ...cells.map(line),
    ...(more > 0 ? [`  and ${many(more, 'queue')} more, which --json lists`] : []),
    '',
    '',
  ]
}

/** Harmless to print, and not longer than a line. */
function plain(text: string): string {
  return quote(text).slice(1, -1)
}

function textOf(topics: Interest): string {
  return typeof topics === 'string' ? topics : topics.text
}
