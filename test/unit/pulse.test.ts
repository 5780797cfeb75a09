import { describe, expect, test } from 'vitest'
import { Pressure } from '../../broker/core/pressure.ts'
import { Pulse } from '../../broker/core/pulse.ts'
import { Rounds, type Visited } from '../../broker/core/rounds.ts'
import { TICK } from '../../broker/core/heartbeat.ts'
import { Stats } from '../../broker/model/stats.ts'
import type { Connection } from '../../broker/transport/connection.ts'

const INTERVAL = 10_000
const LOOK = 500

interface Peer {
  received: number
  sent: number
  buffered: number
  pings: number
  ping(): boolean
}

describe('the pulse of a peer without heart-beats', () => {
  function peerOf(pingable = true): Peer {
    return {
      received: 0,
      sent: 0,
      buffered: 0,
      pings: 0,
      ping() {
        if (pingable) this.pings++
        return pingable
      },
    }
  }
  /** When it is taken for dead; undefined after ten minutes. */
  function life(peer: Peer, act: (time: number) => void = () => {}, deaf = false): number | undefined {
    const pulse = new Pulse(peer as unknown as Connection, INTERVAL, 0)
    for (let time = LOOK; time <= 600_000; time += LOOK) {
      act(time)
      if (!pulse.look(time, deaf)) return time
    }
    return undefined
  }

  test('ends after two pings without an answer', () => {
    const peer = peerOf()
    expect(life(peer)).toBe(3 * INTERVAL)
    expect(peer.pings).toBe(2)
  })

  test('goes on with any byte, also if it is the second ping alone that is answered', () => {
    const peer = peerOf()
    let answered = 0
    const answer = (): void => {
      if (peer.pings < answered + 2) return
      answered = peer.pings
      peer.received += 6
    }
    expect(life(peer, answer)).toBeUndefined()
    expect(peer.pings).toBeGreaterThan(40)
  })

  test('begins to be judged anew with each byte', () => {
    const peer = peerOf()
    expect(life(peer, (time) => void (time === 25_000 && peer.received++))).toBe(25_000 + 3 * INTERVAL)
  })

  test('is not judged while nobody listens', () => {
    const peer = peerOf()
    expect(life(peer, () => {}, true)).toBeUndefined()
    expect(peer.pings).toBe(0)
  })

  test('is for the system to judge where there are no pings', () => {
    expect(life(peerOf(false))).toBeUndefined()
  })

  test('is there while a slow reader takes what waits for it', () => {
    const peer = peerOf()
    Object.assign(peer, { sent: 10_000_000, buffered: 10_000_000 })
    expect(life(peer, () => void (peer.buffered = Math.max(0, peer.buffered - 50_000)))).toBe(
      // The last 64 KiB may as well be in the buffers of the system.
      (200 - 1) * LOOK + 3 * INTERVAL,
    )
  })

  test('is not seen in what the system takes for it', () => {
    const peer = peerOf()
    expect(life(peer, () => void (peer.sent += 1_000))).toBe(3 * INTERVAL)
  })
})

describe('rounds', () => {
  interface Session extends Visited {
    readonly visits: number[]
  }
  function crowd(count: number): Set<Session> {
    return new Set(
      Array.from({ length: count }, (): Session => {
        const visits: number[] = []
        const connection = { buffered: 7 } as Connection
        const visit = (clock: number): void => void visits.push(clock)
        return { connection, slack: undefined, pressed: false, ended: false, fail() {}, visits, visit }
      }),
    )
  }
  class Watched extends Pressure {
    readonly surveys: number[] = []
    override survey(rest: number): void {
      this.surveys.push(rest)
    }
  }
  const watched = (): Watched => new Watched({ sendBudget: 1, totalSendBudget: 1 }, new Stats())

  test.each([1, 3, 100, 1_001])('visit each of %i once in a while, all at the same pace', (count) => {
    const sessions = crowd(count)
    const pressure = watched()
    const rounds = new Rounds(sessions, pressure, 8_000)
    for (let tick = 0; tick < 100; tick++) rounds.tick(TICK, TICK)
    for (const { visits } of sessions) {
      expect(visits.length).toBeGreaterThanOrEqual(11)
      for (const [index, clock] of visits.slice(1).entries())
        expect(clock - (visits[index] ?? 0)).toBeLessThanOrEqual(2_000 + 2 * TICK)
    }
    expect(pressure.surveys.length).toBeGreaterThanOrEqual(10)
    expect(new Set(pressure.surveys)).toEqual(new Set([7 * count]))
  })

  test('are not hurried by a stall, and do not count it', () => {
    const sessions = crowd(100)
    const rounds = new Rounds(sessions, watched(), 8_000)
    rounds.tick(60_000, 2 * TICK)
    const visits = [...sessions].flatMap((session) => session.visits)
    expect(visits).toEqual(Array.from({ length: 25 }, () => 2 * TICK))
  })

  test('do not forget those who stay while others come and go', () => {
    const sessions = crowd(10)
    const stayers = [...sessions]
    const rounds = new Rounds(sessions, watched(), 8_000)
    for (let tick = 0; tick < 400; tick++) {
      rounds.tick(TICK, TICK)
      // More come in a tick than are visited.
      for (const one of crowd(20)) sessions.add(one)
      for (const one of [...sessions].slice(10, -40)) sessions.delete(one)
    }
    for (const { visits } of stayers) expect(visits.length).toBeGreaterThan(30)
  })

  test('nobody, and those who have left', () => {
    const sessions = crowd(4)
    const rounds = new Rounds(sessions, watched(), 4_000)
    rounds.tick(TICK, TICK)
    const left = [...sessions]
    sessions.clear()
    for (let tick = 0; tick < 10; tick++) rounds.tick(TICK, TICK)
    expect(left.flatMap(({ visits }) => visits)).toEqual([TICK])
    for (const one of left) sessions.add(one)
    for (let tick = 0; tick < 20; tick++) rounds.tick(TICK, TICK)
    for (const { visits } of left) expect(visits.length).toBeGreaterThan(1)
  })
})
