import { expect, test, vi } from 'vitest'
import { Made } from '../../broker/model/content.ts'
import { Hub, type Subscriber } from '../../broker/core/hub.ts'
import { Message, MessageIds } from '../../broker/model/message.ts'
import { parseDestination } from '../helpers/destination.ts'
import { NO_BODY } from '../../broker/protocol/frame.ts'
import { TestEngine } from '../helpers/broker.ts'

function open(): { hub: Hub; engine: TestEngine } {
  const engine = new TestEngine()
  return { hub: new Hub(engine, new MessageIds('test')), engine }
}
function message(name = '/topic/a'): Message {
  return new Message('m-1', parseDestination(name), new Made(new Map(), NO_BODY))
}

test('every subscriber of the name gets the message, and nobody else', () => {
  const { hub } = open()
  const [a, b, other] = [{ deliver: vi.fn() }, { deliver: vi.fn() }, { deliver: vi.fn() }]
  void hub.add('/topic/a', a)
  void hub.add('/topic/a', b)
  void hub.add('/topic/b', other)
  const sent = message()
  hub.deliver(sent)
  hub.remove('/topic/a', a)
  hub.deliver(sent)
  expect([a, b, other].map(({ deliver }) => deliver.mock.calls)).toEqual([[[sent]], [[sent], [sent]], []])
})

test('a subscriber added during a delivery loop does not get that message', () => {
  const { hub } = open()
  const late = { deliver: vi.fn() }
  const last = { deliver: vi.fn() }
  const adding: Subscriber = { deliver: () => void hub.add('/topic/a', late) }
  void hub.add('/topic/a', adding)
  void hub.add('/topic/a', last)
  hub.deliver(message())
  expect([late.deliver.mock.calls.length, last.deliver.mock.calls.length]).toEqual([0, 1])
  hub.deliver(message())
  expect([late.deliver.mock.calls.length, last.deliver.mock.calls.length]).toEqual([1, 2])
})

test('one who leaves during a delivery loop keeps nobody else from the message', () => {
  const { hub } = open()
  const last = { deliver: vi.fn() }
  const leaving: Subscriber = { deliver: () => hub.remove('/topic/a', leaving) }
  void hub.add('/topic/a', leaving)
  void hub.add('/topic/a', last)
  hub.deliver(message())
  expect(last.deliver).toHaveBeenCalledTimes(1)
})

test('the engine hears of the first and the last subscriber of a name, once each', () => {
  const { hub, engine } = open()
  const watch = vi.spyOn(engine, 'watch')
  const unwatch = vi.spyOn(engine, 'unwatch')
  const [a, b] = [{ deliver() {} }, { deliver() {} }]
  void hub.add('/topic/a', a)
  void hub.add('/topic/a', b)
  hub.remove('/topic/a', a)
  expect([watch.mock.calls, unwatch.mock.calls]).toEqual([[['/topic/a']], []])
  hub.remove('/topic/a', b)
  hub.remove('/topic/a', b)
  expect([watch.mock.calls, unwatch.mock.calls]).toEqual([[['/topic/a']], [['/topic/a']]])
})

test('a subscriber is in place when the engine says so', async () => {
  const { hub, engine } = open()
  const ready = Promise.resolve()
  vi.spyOn(engine, 'watch').mockReturnValue(ready as unknown as void)
  expect(hub.add('/topic/a', { deliver() {} })).toBe(ready)
  // The second one need not wait for the engine.
  expect(hub.add('/topic/a', { deliver() {} })).toBeUndefined()
})
