import { describe, expect, test, vi } from 'vitest'
import { Apps, type AppMessage, type AppRules, type Forward } from '../../broker/core/app.ts'
import { Destinations } from '../../broker/protocol/destination.ts'
import { StompError } from '../../broker/protocol/errors.ts'

function open(rules: AppRules): Apps {
  return new Apps(rules, new Destinations())
}

function message(destination: string, body = '', command: AppMessage['command'] = 'SEND'): AppMessage {
  const headers = new Map([['custom', 'x']])
  return { command, destination, params: {}, headers, body: Buffer.from(body), user: 'alice', session: 's-1' }
}

/** Where a message goes on, and its body. */
async function send(rules: AppRules, destination: string, body = ''): Promise<[string, string] | undefined> {
  const forward = await forwarded(rules, destination, body)
  return forward && [forward.destination.shown, forward.body.toString()]
}

async function forwarded(rules: AppRules, destination: string, body = ''): Promise<Forward | undefined> {
  const apps = open(rules)
  const found = apps.find(destination)
  if (found === undefined) throw new Error(`no rule for ${destination}`)
  const sent = message(destination, body)
  return found.rule.handle === undefined ? apps.forward(found, sent) : apps.send(found, sent)
}

describe('paths', () => {
  test('one name fits exactly', () => {
    const apps = open({ '/app/chat': '/topic/messages' })
    expect(apps.find('/app/chat')).toBeDefined()
    for (const other of ['/app/chat/x', '/app/cha', '/app/Chat', '/app'])
      expect(apps.find(other)).toBeUndefined()
  })

  test('names in braces stand for one segment, which is not empty', async () => {
    const rules = { '/app/room/{room}/say/{how}': '/topic/{how}/{room}' }
    expect(await send(rules, '/app/room/a b/say/loud', 'hi')).toEqual(['/topic/loud/a b', 'hi'])
    expect(open(rules).find('/app/room//say/loud')).toBeUndefined()
    expect(open(rules).find('/app/room/a/b/say/loud')).toBeUndefined()
  })

  test('a double star stands for the rest, here and there', async () => {
    const rules = { '/app/**': '/topic/all/**' }
    expect(await send(rules, '/app/a/b/c')).toEqual(['/topic/all/a/b/c', ''])
    expect(open({ '/app/a/**': '/topic/x' }).find('/app/a')).toBeUndefined()
  })

  test('a double star that stands for nothing is refused', () => {
    expect(() => open({ '/app/x': '/topic/**' })).toThrow('/app/x: "/topic/**" ends in /**')
  })

  test('the first rule that fits is the one', async () => {
    expect(await send({ '/app/{any}': '/topic/any', '/app/x': '/topic/x' }, '/app/x')).toEqual([
      '/topic/any',
      '',
    ])
  })

  test.each([
    '/chat',
    'app/chat',
    '/app',
    '/app/',
    '/app/a*',
    '/app/**/a',
    '/app/{a b}',
    '/app/a{b}',
    '/app//a',
  ])('%s is refused', (path) => {
    expect(() => open({ [path]: '/topic/x' })).toThrow('is no path such as /app/chat')
  })

  test.each([
    '/topic/*',
    '',
    '/topic/',
    '/temp-queue/a',
    '/temp-queue/*',
    '/app/x',
    'topic/x',
    '/user/queue/x',
  ])('the destination %j is refused', (to) => {
    expect(() => open({ '/app/x': to })).toThrow('/app/x: ')
  })
})

describe('templates', () => {
  const greet = { '/app/hello/{room}': { to: '/topic/greetings', body: { content: 'Hello, {name}!' } } }

  test('members of the JSON that was sent are filled in, and the result is JSON', async () => {
    expect(await send(greet, '/app/hello/a', '{"name":"Ada"}')).toEqual([
      '/topic/greetings',
      '{"content":"Hello, Ada!"}',
    ])
    const forward = await forwarded(greet, '/app/hello/a', '{"name":"Ada"}')
    expect([...(forward?.headers ?? [])]).toEqual([
      ['custom', 'x'],
      ['content-type', 'application/json'],
    ])
  })

  test('what is sent cannot break out of its text', async () => {
    const [, body = ''] = (await send(greet, '/app/hello/a', '{"name":"\\",\\"admin\\":\\"{room}"}')) ?? []
    expect(JSON.parse(body)).toEqual({ content: 'Hello, ","admin":"{room}!' })
  })

  test.each([
    ['{n}', 5],
    ['{list}', [1, { a: true }]],
    ['{deep.er}', 'x'],
    ['{deep.none}', null],
    ['<{n}{list}{none}>', '<5[1,{"a":true}]>'],
    ['{user} in {room}', 'alice in a'],
    ['{toString}{__proto__}{list.length}', '2'],
    ['{not a name}', '{not a name}'],
    [
      ['{n}', { '{n}': '{n}' }, 7, null, true],
      [5, { '{n}': 5 }, 7, null, true],
    ],
  ])('%j becomes %j', async (template, expected) => {
    const rules = { '/app/{room}': { to: '/topic/x', body: template } }
    const [, body = ''] =
      (await send(rules, '/app/a', '{"n":5,"list":[1,{"a":true}],"deep":{"er":"x"}}')) ?? []
    expect(JSON.parse(body)).toEqual(expected)
  })

  test.each(['no JSON', '', 'null', '[1]', '5'])('the body %j has no members', async (body) => {
    expect(await send(greet, '/app/hello/a', body)).toEqual(['/topic/greetings', '{"content":"Hello, !"}'])
  })

  test('a destination that is filled in is one destination, and no pattern', async () => {
    const rules = { '/app/{room}': '/topic/{to}' }
    expect(await send(rules, '/app/a', '{"to":"x,/queue/y"}')).toEqual([
      '/topic/x,/queue/y',
      '{"to":"x,/queue/y"}',
    ])
    await expect(send(rules, '/app/a', '{"to":"*"}')).rejects.toThrow('wildcard')
    await expect(send(rules, '/app/a', '{"to":""}')).rejects.toThrow('lacks a name')
  })

  test('what was filled in is not filled in again', async () => {
    const rules = { '/app/room/{room}': '/topic/{room}', '/app/**': '/topic/all/**' }
    expect(await send(rules, '/app/room/{user}', '{"user":"admin"}')).toEqual([
      '/topic/{user}',
      '{"user":"admin"}',
    ])
    for (const rest of ['/price$$', '/a$`', '/$&', '/{r}'])
      expect(await send(rules, `/app${rest}`, '{"r":"admin"}')).toEqual([
        `/topic/all${rest}`,
        '{"r":"admin"}',
      ])
    // A handler's topic is its path as it was written, too.
    const handled = { '/app/{any}': () => 'x' }
    expect(await send(handled, '/app/{r}', '{"r":"admin"}')).toEqual(['/topic/{r}', 'x'])
  })

  test('a rule may lead to a user', async () => {
    expect(await send({ '/app/tell/{who}': '/user/{who}/queue/news' }, '/app/tell/bob')).toEqual([
      '/user/queue/news',
      '',
    ])
  })

  test('the name of a user stays one, whatever is in it', async () => {
    const rules = { '/app/tell': '/user/{to}/queue/news' }
    const to = async (name: string): Promise<string | undefined> =>
      (await forwarded(rules, '/app/tell', JSON.stringify({ to: name })))?.destination.name
    expect(await to('a/b')).toBe('/user/a%2Fb/queue/news')
    expect(await to('bob/queue/secret')).toBe('/user/bob%2Fqueue%2Fsecret/queue/news')
    expect(await to('a%2Fb')).toBe('/user/a%252Fb/queue/news')
    // Not the address of one session.
    expect(await to('~x')).toBe('/user/%7Ex/queue/news')
  })

  test('half a surrogate pair is no error', async () => {
    expect(await send({ '/app/x': '/user/{to}/queue/x' }, '/app/x', '{"to":"\\ud800"}')).toEqual([
      '/user/queue/x',
      '{"to":"\\ud800"}',
    ])
  })
})

describe('handlers', () => {
  test('get the message with its parameters; the reply goes to the topic of the same path', async () => {
    const handle = vi.fn(() => 'pong')
    expect(await send({ '/app/ping/{id}': handle }, '/app/ping/7', 'hi')).toEqual(['/topic/ping/7', 'pong'])
    expect(handle).toHaveBeenCalledExactlyOnceWith({ ...message('/app/ping/7', 'hi'), params: { id: '7' } })
  })

  test.each([
    ['a string', 'text', 'text', undefined],
    ['bytes', Buffer.from('bytes'), 'bytes', undefined],
    ['an object', { a: 1 }, '{"a":1}', 'application/json'],
    ['null', null, 'null', 'application/json'],
  ])('%s', async (_, reply, body, type) => {
    // eslint-disable-next-line unicorn/no-thenable -- what some libraries return
    const thenable = { then: (take: (value: unknown) => void) => take(reply) }
    for (const handle of [() => reply, async () => reply, () => thenable]) {
      const forward = await forwarded({ '/app/x': { to: '/queue/y', handle } }, '/app/x')
      expect([
        forward?.destination.shown,
        forward?.body.toString(),
        forward?.headers.get('content-type'),
      ]).toEqual(['/queue/y', body, type])
    }
  })

  test('nothing to say is no message', async () => {
    expect(await send({ '/app/x': () => undefined }, '/app/x')).toBeUndefined()
    expect(await send({ '/app/x': async () => {} }, '/app/x')).toBeUndefined()
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('secret')
      },
    ],
    ['rejects', () => Promise.reject(new Error('secret'))],
    ['returns what is no JSON', () => ({ secret: 1n })],
  ])('one that %s is an error that says nothing of its inside', async (_, handle) => {
    const error = await send({ '/app/x': handle }, '/app/x').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(StompError)
    expect(error).toMatchObject({ code: 'application-failed', cause: expect.any(Error) as Error })
    expect((error as StompError).message).not.toContain('secret')
  })

  test('a SUBSCRIBE is answered by a handler, and not by a rule', async () => {
    const apps = open({ '/app/x': ({ command }) => command, '/app/y': '/topic/y' })
    const answer = async (path: string): Promise<string | undefined> => {
      const found = apps.find(path)
      return found && (await apps.answer(found, message(path, '', 'SUBSCRIBE')))?.body.toString()
    }
    expect(await answer('/app/x')).toBe('SUBSCRIBE')
    expect(await answer('/app/y')).toBeUndefined()
  })
})
