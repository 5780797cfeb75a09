import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { agree, Heartbeat, TICK, Ticker } from '../../broker/core/heartbeat.ts'
import type { Payload, Wire } from '../../broker/model/wire.ts'
import type { Connection } from '../../broker/transport/connection.ts'

const WINDOW = { min: 1_000, max: 60_000 }

describe('agreement (1.2 Heart-beating)', () => {
  test.each<[client: [number, number], answer: string, send: number, hear: number]>([
    [[0, 0], '0,0', 0, 0],
    [[10_000, 10_000], '10000,10000', 10_000, 10_000],
    [[4_321, 0], '0,4321', 0, 4_321],
    [[0, 4_321], '4321,0', 4_321, 0],
    // The window, met and crossed by one.
    [[1_000, 60_000], '60000,1000', 60_000, 1_000],
    [[999, 60_001], '60000,1000', 60_001, 1_000],
    [[60_001, 999], '1000,60000', 1_000, 60_001],
    [[1, 1], '1000,1000', 1_000, 1_000],
  ])('the client says %j, the broker answers %s', (client, answer, send, hear) => {
    expect(agree(client, WINDOW)).toEqual({ answer, agreement: { send, hear } })
  })

  test('what follows is the larger of what one side can and the other wants, or nothing', () => {
    const ms = fc.oneof(fc.constant(0), fc.nat(100_000))
    fc.assert(
      fc.property(ms, ms, (can, wants) => {
        const { answer, agreement } = agree([can, wants], WINDOW)
        const [serverCan = 0, serverWants = 0] = answer.split(',').map(Number)
        expect(agreement.send).toBe(wants === 0 || serverCan === 0 ? 0 : Math.max(serverCan, wants))
        expect(agreement.hear).toBe(can === 0 || serverWants === 0 ? 0 : Math.max(can, serverWants))
      }),
    )
  })
})

const wire: Wire = { name: 'fake', binary: 'native', octets: false, wrap: (head) => `<${head.toString()}>` }

/** A connection that hands over at the end of each turn what was sent, as real ones do. */
class Fake implements Connection {
  trust(): void {}
  readonly id = 'fake'
  readonly info = { transport: 'fake', address: 'nowhere' }
  readonly wire = wire
  sent = 0
  received = 0
  buffered = 0
  pings = 0
  readonly free = false
  readonly payloads: Payload[] = []

  company(): never {
    throw new Error('it is in none')
  }
  join(): void {}
  send(payload: Payload): boolean {
    this.payloads.push(payload)
    this.buffered += payload.length
    return true
  }
  flush(): void {
    this.sent += this.buffered
    this.buffered = 0
  }
  ping(): boolean {
    this.pings++
    return true
  }
  quiet(): void {}
  pause(): void {}
  resume(): void {}
  close(): void {}
  terminate(): void {}
}

describe('the beats of the broker', () => {
  /** The times of the beats within a minute, while `traffic` sends at some ticks. */
  function beats(send: number, traffic: (tick: number) => boolean = () => false): number[] {
    const connection = new Fake()
    const heartbeat = new Heartbeat(connection, { send, hear: 0 }, 600_000)
    const times: number[] = []
    for (let tick = 1; tick <= 240; tick++) {
      const before = connection.payloads.length
      expect(heartbeat.tick(TICK, TICK)).toBe(true)
      if (connection.payloads.length > before) times.push(tick * TICK)
      connection.flush()
      if (traffic(tick)) connection.sent += 10
    }
    expect(connection.payloads.every((payload) => payload === '<\n>')).toBe(true)
    return times
  }

  test.each([500, 750, 1_000, 1_234, 10_000])(
    'come at least every %i ms, even if the next tick is late',
    (send) => {
      const times = [0, ...beats(send)]
      expect(times.length).toBeGreaterThan(1)
      for (const [index, time] of times.slice(1).entries())
        expect(time - (times[index] ?? 0)).toBeLessThanOrEqual(Math.max(send - TICK, TICK))
    },
  )

  test('are not sent more often than that takes', () => {
    expect(beats(10_000)).toEqual([9_750, 19_500, 29_250, 39_000, 48_750, 58_500])
  })

  test('are not sent where other frames are', () => {
    expect(beats(10_000, (tick) => tick % 38 === 0)).toEqual([])
    expect(beats(10_000, (tick) => tick <= 4)[0]).toBe(4 * TICK + 9_750)
  })

  test('come at once after a stall of the process', () => {
    const connection = new Fake()
    const heartbeat = new Heartbeat(connection, { send: 10_000, hear: 0 }, 600_000)
    heartbeat.tick(9_600, 2 * TICK)
    expect(connection.payloads).toHaveLength(1)
  })

  test('are not sent where none were agreed on', () => {
    expect(beats(0)).toEqual([])
  })
})

describe('the life of the peer', () => {
  interface Signs {
    /** Bytes of any kind arrive. */
    bytes?(tick: number): boolean
    /** They are STOMP's. */
    stomp?(tick: number): boolean
    reading?(tick: number): boolean
  }
  /** The time at which it is taken for dead, and the pings before; `never` after ten minutes. */
  function life(
    hear: number,
    signs: Signs = {},
    ceiling = 600_000,
  ): { dead: number | 'never'; pings: number } {
    const connection = new Fake()
    const heartbeat = new Heartbeat(connection, { send: 0, hear }, ceiling)
    for (let tick = 1; tick <= 2_400; tick++) {
      if (signs.bytes?.(tick)) connection.received += 2
      if (signs.stomp?.(tick)) heartbeat.heard()
      if (!heartbeat.tick(TICK, (signs.reading?.(tick) ?? true) ? TICK : 0))
        return { dead: tick * TICK, pings: connection.pings }
    }
    expect(connection.payloads).toEqual([])
    return { dead: 'never', pings: connection.pings }
  }
  const always = (): boolean => true

  test.each([1_000, 10_000])(
    'ends after three silent intervals of %i ms, with a ping after each of the first two',
    (hear) => {
      expect(life(hear)).toEqual({ dead: 3 * hear, pings: 2 })
    },
  )

  test('goes on with any byte, and the count begins anew', () => {
    // The byte is seen by the tick after it.
    expect(life(1_000, { bytes: (tick) => tick === 11 })).toEqual({ dead: 11 * TICK + 3_000, pings: 4 })
    expect(life(1_000, { bytes: (tick) => tick % 11 === 0, stomp: always }).dead).toBe('never')
  })

  test('goes on with pongs alone up to the ceiling', () => {
    expect(life(1_000, { bytes: always }, 60_000)).toEqual({ dead: 60_000, pings: 0 })
    expect(life(1_000, { bytes: always, stomp: (tick) => tick === 100 }, 60_000).dead).toBe(
      99 * TICK + 60_000,
    )
  })

  test('has three intervals even where the ceiling is lower', () => {
    expect(life(10_000, { bytes: always }, 1_000).dead).toBe(30_000)
  })

  test('is not judged while nobody reads', () => {
    expect(life(1_000, { reading: () => false })).toEqual({ dead: 'never', pings: 0 })
    expect(life(1_000, { reading: (tick) => tick > 100 }).dead).toBe(100 * TICK + 3_000)
  })

  test('is nobody’s business where no heart-beat was agreed on', () => {
    expect(life(0)).toEqual({ dead: 'never', pings: 0 })
  })
})

describe('the ticker', () => {
  let now: number
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    now = 0
    vi.spyOn(performance, 'now').mockImplementation(() => now)
  })
  afterEach(() => {
    vi.restoreAllMocks()
    vi.useRealTimers()
  })
  /** The next tick comes after `elapsed`. */
  function pass(elapsed = TICK): void {
    now += elapsed
    vi.advanceTimersByTime(TICK)
  }

  test('tells its members the time that passed, until they leave or it closes', () => {
    const ticker = new Ticker()
    const [a, b] = [{ tick: vi.fn() }, { tick: vi.fn() }]
    ticker.add(a)
    ticker.add(b)
    pass()
    ticker.remove(b)
    pass(TICK + 7)
    ticker.close()
    pass()
    expect(a.tick.mock.calls).toEqual([
      [TICK, TICK],
      [TICK + 7, TICK + 7],
    ])
    expect(b.tick.mock.calls).toEqual([[TICK, TICK]])
  })

  test('does not hold a stall of the process against the peers', () => {
    const ticker = new Ticker()
    const member = { tick: vi.fn() }
    ticker.add(member)
    pass(60_000)
    pass()
    expect(member.tick.mock.calls).toEqual([
      [60_000, 2 * TICK],
      [TICK, TICK],
    ])
    ticker.close()
  })

  test('a member that leaves inside a tick is not told any more, nor does it stop the others', () => {
    const ticker = new Ticker()
    const second = { tick: vi.fn() }
    const third = { tick: vi.fn() }
    ticker.add({ tick: () => ticker.remove(second) })
    ticker.add(second)
    ticker.add(third)
    pass()
    expect([second.tick.mock.calls.length, third.tick.mock.calls.length]).toEqual([0, 1])
    ticker.close()
  })
})
