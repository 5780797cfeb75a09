import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, type TestBroker } from '../helpers/broker.ts'
import { RawClient } from '../helpers/client.ts'
import { cases } from './cases.ts'
import { HABITS_OF_RABBITMQ, OUR_HABITS, play } from './play.ts'
import { findRabbitMQ, startRabbitMQ, type RabbitMQ } from './rabbitmq.ts'

// Contract 4.15: the same bytes to RabbitMQ and to us give the same result, but for what is meant to differ.

const server = findRabbitMQ()

if (server === undefined) {
  test.skip('the same frames to RabbitMQ and to us (rabbitmq-server is not installed; on Debian: apt-get install rabbitmq-server)', () => {})
} else {
  describe('the same frames to RabbitMQ and to us', () => {
    let rabbitMQ: RabbitMQ
    let us: TestBroker
    const running: { close(): Promise<void> }[] = []
    beforeAll(async () => {
      running.push((us = await startBroker()))
      running.push((rabbitMQ = await startRabbitMQ(server)))
    }, 120_000)
    afterAll(async () => {
      for (const broker of running) await broker.close()
    }, 60_000)

    for (const { name, steps, differs, ...telling } of cases) {
      test.concurrent(name, { timeout: 60_000 }, async () => {
        const [theirs, ours] = await Promise.all([
          play({ ...rabbitMQ, habits: HABITS_OF_RABBITMQ }, steps, telling),
          play({ ...us, habits: OUR_HABITS }, steps, telling),
        ])
        if (differs === undefined) {
          expect(ours).toEqual(theirs)
        } else {
          expect(theirs, 'what RabbitMQ does').toEqual(differs.rabbitmq)
          expect(ours, differs.why).toEqual(differs.ours)
        }
      })
    }

    test('contract 4.13: RabbitMQ writes an LF after each NUL, we write none', async () => {
      const ends = await Promise.all(
        [rabbitMQ, us].map(async ({ webSocketUrl }) => {
          const client = await RawClient.webSocket(webSocketUrl)
          client.send('CONNECT', { 'accept-version': '1.2' })
          await client.next('CONNECTED')
          client.destroy()
          return client.messages.map(({ data }) => data.toString('latin1').slice(-2))
        }),
      )
      expect(ends).toEqual([['\0\n'], ['\n\0']])
    })
  })
}
