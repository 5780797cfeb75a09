import { expect, test } from 'vitest'
import { Q, type Rig } from './rig.ts'

export function browsing(rig: Rig): void {
  const { message, sends, commit, send, post, browse, count, hand, declare, chapter, advance } = rig

  chapter('browsing', () => {
    test('what waits is shown in order and stays', async () => {
      await send(Q, '1', '2', '3', '4')
      const consumer = await hand(2)
      expect(await browse()).toEqual(['3', '4'])
      await consumer.does('release', '2')
      expect(await browse()).toEqual(['2', '3', '4'])
      expect(await count()).toEqual([3, 1])
      expect(await browse('/queue/none')).toEqual([])
    })

    test('it comes in pages, without what is gone by then and what came later', async () => {
      const bodies = Array.from({ length: 250 }, (_, index) => String(index))
      await commit(...sends(Q, ...bodies))
      const pages = rig.engine.browse(Q)[Symbol.asyncIterator]()
      const first = await pages.next()
      const size = first.done ? 0 : first.value.length
      expect(size).toBeGreaterThan(0)
      expect(size).toBeLessThan(250)
      const consumer = await hand(size + 10, Q, true)
      await send(Q, 'later')
      const rest: string[] = []
      for (let page = await pages.next(); !page.done; page = await pages.next())
        rest.push(...page.value.map(({ body }) => body.toString()))
      expect(rest).toEqual(bodies.slice(size + 10))
      expect(consumer.got).toHaveLength(size + 10)
    })

    test('higher priorities come first, as they would be handed out', async () => {
      await declare(Q, { maxPriority: 9 })
      for (const [body, priority] of [
        ['a', 1],
        ['b', 9],
        ['c', 5],
      ] as const) {
        await post(Q, body, { priority })
      }
      expect(await browse()).toEqual(['b', 'c', 'a'])
    })

    test('what has expired or waits for its time is left out', async () => {
      await post(Q, 'expired', { expires: Date.now() + 100 })
      await post(Q, 'delayed', { delay: 200 })
      await send(Q, '1')
      await advance(100)
      expect(await browse()).toEqual(['1'])
      await advance(100)
      expect(await browse()).toEqual(['1', 'delayed'])
    })

    test('many that came back are shown once and in order', async () => {
      const bodies = Array.from({ length: 3_000 }, (_, index) => String(index))
      await rig.openWith({ maxQueueMessages: 3_000 })
      await commit(...bodies.map((body) => ({ type: 'send' as const, message: message(Q, body) })))
      const consumer = await hand(2_000)
      await commit(...consumer.got.toReversed().map((delivery) => ({ type: 'release' as const, delivery })))
      expect(await browse()).toEqual(bodies)
      await consumer.grant(3_000)
      expect(consumer.got.slice(2_000).map((delivery) => delivery.message.body.toString())).toEqual(bodies)
    })
  })
}
