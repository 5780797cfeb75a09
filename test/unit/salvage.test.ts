import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DataFile } from '../../broker/engine/datafile.ts'
import { Export } from '../../broker/engine/export.ts'
import { Import } from '../../broker/engine/import.ts'
import { Store } from '../../broker/engine/store.ts'
import { Batch } from '../../broker/engine/batch.ts'
import { countsRecord } from '../../broker/engine/counts.ts'
import { sizeOf } from '../../broker/engine/record.ts'
import { messageKey, queueKey } from '../../broker/engine/keys.ts'

const PAGE = 4096
const MESSAGES = 2_000
const REMOVED = 100
const HELD = MESSAGES - REMOVED

const folder = mkdtempSync(join(tmpdir(), 'stomp-salvage-'))
const whole = join(folder, 'whole')
const broken = join(folder, 'broken')
afterAll(() => rmSync(folder, { recursive: true }))

const options = {
  version: 'test',
  warn: (text: string): never => {
    throw new Error(text)
  },
}

/** The lines of all messages that ever were in it, by their ids. */
const known = new Map<string, string>()
let data: Buffer
let label: Buffer

function lineOf(number: number): string {
  const queue = `/queue/${number % 3}`
  const body = `${number} `.repeat(number % 100 === 0 ? 3_000 : 5)
  const headers = [['number', String(number)]]
  return JSON.stringify({
    type: 'message',
    queue,
    id: `id-${number}`,
    kind: 'queue',
    destination: queue,
    headers,
    body,
  })
}

beforeAll(async () => {
  const store = await Store.open(whole, options)
  await store.close()
  const taken = new Import(whole, options)
  await taken.take(input(), 0, () => {})
  // Pages are free now, and still hold what was there.
  for (const line of (await saved(whole)).lines) known.set(line.id, line.text)
  const again = await Store.open(whole, options)
  const batch = new Batch()
  let { messages, bytes, last, mark } = again.counts(1)
  for (const [key, record] of again.messages(1, 0, 2 ** 40, REMOVED)) {
    batch.remove('messages', messageKey(1, key))
    messages--
    bytes -= sizeOf(record)
  }
  batch.putBytes('counts', queueKey(1), countsRecord({ messages, bytes, last, mark }))
  await again.write(batch.memory, batch.length)
  await again.close()
  data = readFileSync(join(whole, 'data.mdb'))
  label = readFileSync(join(whole, 'store.json'))
  expect(await saved(whole)).toMatchObject({ lines: { length: HELD }, damages: [], lost: 0 })
})

// eslint-disable-next-line require-await
async function* input(): AsyncGenerator<Buffer, void, void> {
  yield Buffer.from('{"type":"store","format":1,"version":"test"}')
  for (let number = 0; number < MESSAGES; number++) yield Buffer.from(lineOf(number))
  yield Buffer.from(`{"type":"end","lines":${MESSAGES + 1}}`)
}

interface Saved {
  readonly lines: readonly { readonly id: string; readonly text: string }[]
  readonly lost: number | undefined
  readonly damages: readonly string[]
}

async function saved(path: string): Promise<Saved> {
  const store = await Export.open(path)
  try {
    const all = [...store.lines()].map((text) => ({
      text,
      ...(JSON.parse(text) as { type: string; id: string }),
    }))
    expect([all[0]?.type, all.at(-1)?.type]).toEqual(['store', 'end'])
    return { lines: all.filter(({ type }) => type === 'message'), lost: store.lost, damages: store.damages }
  } finally {
    await store.close()
  }
}

/** What can be saved of a file, and how many messages are missing; nothing in it may be other than it was. */
async function save(file: Buffer): Promise<Saved & { readonly missing: number }> {
  mkdirSync(broken, { recursive: true })
  writeFileSync(join(broken, 'store.json'), label)
  writeFileSync(join(broken, 'data.mdb'), file)
  const found = await saved(broken)
  const ids = new Set(found.lines.map(({ id }) => id))
  expect(ids.size).toBe(found.lines.length)
  for (const { id, text } of found.lines) {
    if (text === known.get(id)) continue
    // Without the record of its queue, or what was known of its deliveries.
    const { queue: _, deliveries: __, ...line } = JSON.parse(text) as Record<string, unknown>
    const { queue: ___, ...before } = JSON.parse(known.get(id) ?? '{}') as Record<string, unknown>
    expect(line).toEqual(before)
  }
  return { ...found, missing: HELD - ids.size }
}

test('reads what the library wrote', async () => {
  const file = new DataFile(join(whole, 'data.mdb'), options.warn)
  const store = await Store.open(whole, options)
  try {
    const of = (queue: number): (readonly [number, Buffer])[] => [
      ...store.messages(queue, 0, 2 ** 47, Infinity),
    ]
    const read = [...file.records('messages', options.warn)]
    expect(read.map(({ value }) => value)).toEqual(
      [1, 2, 3].flatMap((queue) => of(queue).map(([, value]) => value)),
    )
    expect(file.bytes).toEqual(store.bytes)
  } finally {
    file.close()
    await store.close()
  }
})

test('a page that is gone costs what was on it, and no other', async () => {
  const losses: number[] = []
  for (let at = 0; at < data.length; at += PAGE) {
    const file = Buffer.from(data)
    file.fill(0xa5, at, at + PAGE)
    const { lost, missing, damages } = await save(file)
    // Without one of the first two pages it may be what it was a commit before.
    if (at < 2 * PAGE) expect(damages).not.toEqual([])
    else expect([at, lost, damages.length > 0 || missing === 0]).toEqual([at, Math.max(missing, 0), true])
    losses.push(missing)
  }
  // All but the one above them, without which none is found.
  losses.sort((one, other) => other - one)
  expect(losses.slice(0, 2)).toEqual([HELD, expect.toSatisfy((most: number) => most > 0 && most < 50)])
}, 60_000)

test('whatever is changed, what is saved is what it was', async () => {
  // The same numbers every time.
  let state = 1
  const random = (below: number): number => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
  for (let round = 0; round < 150; round++) {
    const file = Buffer.from(data)
    const page = random(data.length / PAGE) * PAGE
    // A disk may write a page in the place of another.
    if (round % 2 === 0) data.copy(file, random(data.length / PAGE) * PAGE, page, page + PAGE)
    for (let count = random(20); count > 0; count--) file[random(data.length)] = random(256)
    const { lost, missing, damages } = await save(
      round % 3 === 0 ? file.subarray(0, random(data.length)) : file,
    )
    if (missing > 0) expect([round, lost !== 0, damages.length > 0]).toEqual([round, true, true])
  }
}, 60_000)
