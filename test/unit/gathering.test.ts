import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Wire } from '../../broker/model/wire.ts'
import { Batch, GatheringConnection, type Receiver } from '../../broker/transport/connection.ts'

const KIB = 1024
const a = Buffer.from('a')
const b = Buffer.from('b')

function batchOf(root: Batch, ...payloads: (Buffer | string)[]): Batch {
  return payloads.reduce((batch: Batch, payload) => batch.add(payload), root)
}

describe('a batch', () => {
  test('keeps payloads in the order they were sent, and counts them', () => {
    const batch = batchOf(new Batch(undefined, ''), a, b, a)
    expect(batch.payloads()).toEqual([a, b, a])
    expect([batch.count, batch.bytes]).toEqual([3, 3])
  })

  test('connections that were sent the same share the joined bytes', () => {
    const root = new Batch(undefined, '')
    const [one, two] = [batchOf(root, a, b), batchOf(root, a, b)]
    expect(two).toBe(one)
    const [joined] = one.buffers()
    expect(joined?.toString()).toBe('ab')
    expect(two.buffers()[0]).toBe(joined)
    expect(one.buffers()).toHaveLength(1)
  })

  test('equal bytes in another object are not taken for the same', () => {
    const root = new Batch(undefined, '')
    expect(batchOf(root, Buffer.from('a'))).not.toBe(batchOf(root, Buffer.from('a')))
  })

  test('chains that part keep what each was sent', () => {
    const root = new Batch(undefined, '')
    const [one, two, three] = [batchOf(root, a, b), batchOf(root, a, a), batchOf(root, b)]
    expect([one, two, three].map((batch) => Buffer.concat(batch.buffers()).toString())).toEqual([
      'ab',
      'aa',
      'b',
    ])
  })

  test('a single payload is handed over as it is', () => {
    expect(batchOf(new Batch(undefined, ''), a).buffers()[0]).toBe(a)
  })

  test('pieces of 16 KiB on average are joined, larger ones are not copied', () => {
    const piece = Buffer.alloc(16 * KIB)
    expect(batchOf(new Batch(undefined, ''), piece, piece).buffers()).toHaveLength(1)
    const larger = Buffer.alloc(16 * KIB + 1)
    const [first, second] = batchOf(new Batch(undefined, ''), piece, larger).buffers()
    expect(first).toBe(piece)
    expect(second).toBe(larger)
  })

  test('what a slow one keeps is in memory that serves nothing else, and shared by all of them', () => {
    for (const payloads of [[a], [a, b], [Buffer.alloc(20 * KIB).subarray(0, 5)]]) {
      const batch = batchOf(new Batch(undefined, ''), ...payloads)
      const [kept] = batch.kept()
      expect(kept?.buffer.byteLength).toBe(batch.bytes)
      expect(kept?.equals(Buffer.concat(payloads))).toBe(true)
      expect(batch.kept()[0]).toBe(kept)
    }
    const whole = Buffer.alloc(20 * KIB)
    expect(batchOf(new Batch(undefined, ''), whole).kept()[0]).toBe(whole)
  })

  test('strings are carried as they are', () => {
    const root = new Batch(undefined, '')
    const batch = batchOf(root, 'x', 'yz')
    expect(batch.payloads()).toEqual(['x', 'yz'])
    expect(batch.bytes).toBe(3)
    expect(batchOf(root, 'x', 'yz')).toBe(batch)
  })
})

class Fake extends GatheringConnection {
  readonly info = { transport: 'fake', address: 'nowhere' }
  readonly wire: Wire = { name: 'fake', binary: 'native', octets: false, wrap: (head) => head }
  readonly received = 0
  readonly batches: Batch[] = []
  readonly log: string[] = []
  /** Bytes the system has not taken. */
  stuck = 0

  constructor(receiver: Partial<Receiver> = {}) {
    super()
    this.receiver = { data() {}, full() {}, drain() {}, left() {}, closed() {}, ...receiver }
  }

  protected pending(): number {
    return this.stuck
  }
  protected write(batch: Batch): void {
    this.batches.push(batch)
    this.log.push(`write ${batch.bytes}`)
  }
  protected finish(code: number, reason: string): void {
    this.log.push(`finish ${code} ${reason}`)
  }
  pause(): void {}
  resume(): void {}
  terminate(): void {
    this.log.push('terminate')
  }
  /** The system took bytes until `stuck` are left. */
  took(stuck: number): void {
    this.stuck = stuck
    this.relieve()
  }
  end(): void {
    this.ended()
  }
}
/** The end of this turn of the event loop. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('a gathering connection', () => {
  test('hands over what a turn gathered once, at its end', async () => {
    const connection = new Fake()
    for (const payload of [a, b, a]) expect(connection.send(payload)).toBe(true)
    expect([connection.log, connection.buffered, connection.sent]).toEqual([[], 3, 0])
    await turn()
    expect([connection.log, connection.buffered, connection.sent]).toEqual([['write 3'], 0, 3])
    await turn()
    expect(connection.log).toEqual(['write 3'])
    connection.send(a)
    await turn()
    expect(connection.log).toEqual(['write 3', 'write 1'])
  })

  test('shares its batch with those who were sent the same this turn, not the next', async () => {
    const [one, two, other] = [new Fake(), new Fake(), new Fake()]
    other.send(b)
    for (const connection of [one, two]) for (const payload of [a, b]) connection.send(payload)
    await turn()
    expect(two.batches[0]).toBe(one.batches[0])
    expect(other.batches[0]?.payloads()).toEqual([b])
    for (const payload of [a, b]) one.send(payload)
    await turn()
    expect(one.batches[1]).not.toBe(one.batches[0])
    expect(one.batches[1]?.payloads()).toEqual([a, b])
  })

  test('hands over 64 KiB before the turn ends, and not one byte less', () => {
    const connection = new Fake()
    connection.send(Buffer.alloc(64 * KIB - 1))
    expect(connection.log).toEqual([])
    connection.send(a)
    expect(connection.log).toEqual([`write ${64 * KIB}`])
  })

  test('answers false from 256 KiB unsent, and tells drain once when less than half is left', async () => {
    const drain = vi.fn()
    const connection = new Fake({ drain })
    connection.took(256 * KIB - 2)
    expect(connection.send(a)).toBe(true)
    expect(connection.send(a)).toBe(false)
    await turn()
    connection.took(128 * KIB)
    await turn()
    expect(drain).not.toHaveBeenCalled()
    connection.took(128 * KIB - 1)
    expect(drain).not.toHaveBeenCalled()
    await turn()
    expect(drain).toHaveBeenCalledTimes(1)
    connection.took(0)
    await turn()
    expect(drain).toHaveBeenCalledTimes(1)
    expect(connection.send(a)).toBe(true)
  })

  test('is not told of a drain inside send', async () => {
    const drain = vi.fn()
    const connection = new Fake({ drain })
    connection.took(300 * KIB)
    expect(connection.send(a)).toBe(false)
    connection.stuck = 0
    expect(connection.send(Buffer.alloc(64 * KIB))).toBe(true)
    expect(drain).not.toHaveBeenCalled()
    await turn()
    expect(drain).toHaveBeenCalledTimes(1)
  })

  test('what is sent from inside a flush goes out in the same turn', async () => {
    const other = new Fake()
    const connection = new Fake()
    vi.spyOn(connection, 'flush').mockImplementationOnce(function (this: void) {
      other.send(b)
    })
    connection.send(a)
    await turn()
    expect(other.batches[0]?.payloads()).toEqual([b])
    connection.flush()
  })
})

describe('the end of a connection', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  test('close hands over what was sent, then closes once; nothing is sent after it', async () => {
    const connection = new Fake()
    connection.send(a)
    connection.close(1002, 'why')
    expect(connection.send(b)).toBe(true)
    connection.close(1000, 'again')
    await turn()
    expect(connection.log).toEqual(['write 1', 'finish 1002 why'])
    connection.end()
  })

  test('a peer that does not follow within 5 s is ended by force', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const connection = new Fake()
    connection.close(1000, '')
    vi.advanceTimersByTime(4_999)
    expect(connection.log).toEqual(['finish 1000 '])
    vi.advanceTimersByTime(1)
    expect(connection.log).toEqual(['finish 1000 ', 'terminate'])
  })

  test('a peer that followed is not', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const connection = new Fake()
    connection.close(1000, '')
    connection.end()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('closed is told exactly once, and what was gathered is dropped', async () => {
    const closed = vi.fn()
    const connection = new Fake({ closed })
    connection.send(a)
    connection.end()
    connection.end()
    await turn()
    expect(closed).toHaveBeenCalledTimes(1)
    expect(connection.log).toEqual([])
    expect(connection.send(b)).toBe(true)
    expect(connection.buffered).toBe(0)
  })
})
