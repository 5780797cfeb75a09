import { expect, test, vi } from 'vitest'
import { Made } from '../../broker/model/content.ts'
import { Hub, type Outlet, type Subscriber } from '../../broker/core/hub.ts'
import type { Leniency, SlowPolicy } from '../../broker/core/leniency.ts'
import { formOf, type Form } from '../../broker/model/form.ts'
import { Message, MessageIds } from '../../broker/model/message.ts'
import type { Connection } from '../../broker/transport/connection.ts'
import { plainWires } from '../../broker/transport/framing.ts'
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

/** A subscriber on a connection that others share bytes with. */
class Sparing implements Subscriber {
  slow = false
  readonly direct: string[] = []
  readonly spared: [string, string][] = []
  readonly outlet: Outlet

  constructor(connection: Connection, form: Form) {
    this.outlet = { connection, form }
  }
  lags(): boolean {
    return this.slow
  }
  deliver({ id }: Message): void {
    this.direct.push(id)
  }
  spare({ id }: Message, policy: string): void {
    this.spared.push([id, policy])
  }
}

test('who lags is left out of what the others are sent together, for as long as that', () => {
  const policies = new Map<string, SlowPolicy>([['/topic/a', 'drop-oldest']])
  const leniency = { changes: 0, policy: (name: string) => policies.get(name) } as unknown as Leniency
  const hub = new Hub(new TestEngine(), new MessageIds('test'), leniency)
  const form = formOf('0', false, '1.2', plainWires.standard)
  const together: number[] = []
  const connection = {
    company: (members: readonly unknown[]) => ({ send: () => together.push(members.length) > 0 }),
  } as unknown as Connection
  const all = [1, 2, 3].map(() => new Sparing(connection, form)) as [Sparing, Sparing, Sparing]
  for (const one of all) for (const name of ['/topic/a', '/topic/b']) void hub.add(name, one)
  const detach = vi.fn()
  const send = (id: string, name = '/topic/a'): void => {
    const sent = new Message(id, parseDestination(name), new Made(new Map(), NO_BODY))
    const own = sent.detach.bind(sent)
    sent.detach = () => {
      detach(id)
      return own()
    }
    hub.deliver(sent)
  }
  send('together')
  all[1].slow = true
  send('nobody has said so yet')
  leniency.changes++
  send('without one')
  send('again')
  // Another topic spares nobody.
  send('to all', '/topic/b')
  all[1].slow = false
  leniency.changes++
  send('together again')
  expect(together).toEqual([3, 3, 2, 2, 3, 3])
  expect(all[1].spared).toEqual([
    ['without one', 'drop-oldest'],
    ['again', 'drop-oldest'],
  ])
  expect(detach.mock.calls).toEqual([['without one'], ['again']])
  expect(all.flatMap(({ direct }) => direct)).toEqual([])
  // One alone is spared all the same.
  for (const one of all.slice(1)) hub.remove('/topic/a', one)
  send('alone')
  expect(all[0].spared).toEqual([['alone', 'drop-oldest']])
})
