import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { Admission, boundSockets, networkOf, type Place } from '../../broker/transport/admission.ts'

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['2001:db8:0:1::7', '2001:db8:0:1::/64'],
  ['1::2:3:4:5:6:7', '1:0:2:3::/64'],
  ['::1', '0:0:0:0::/64'],
  ['::', '0:0:0:0::/64'],
  ['::2:3:4:5:6:7:8', '0:2:3:4::/64'],
  ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['', ''],
])('%s counts as %s', (address, network) => {
  expect(networkOf(address)).toBe(network)
})

/** Who asks for a place, from an address. */
function from(remoteAddress: string): Socket {
  return { remoteAddress } as Socket
}

function entered(admission: Admission, address: string): Place {
  const place = admission.place(from(address))
  if (typeof place === 'string') throw new Error(place)
  place.enter()
  return place
}

test('places are counted in all and by network, each for itself', () => {
  const warnings: string[] = []
  const admission = new Admission({ maxConnections: 4, maxConnectionsPerAddress: 2 }, (warning) =>
    warnings.push(warning),
  )
  const first = entered(admission, '192.0.2.1')
  entered(admission, '::ffff:192.0.2.1')
  for (let time = 0; time < 2; time++)
    expect(admission.place(from('192.0.2.1'))).toContain('(limit max-connections-per-address)')
  entered(admission, '2001:db8::1')
  const fourth = entered(admission, '2001:db8::2')
  for (let time = 0; time < 2; time++)
    expect(admission.place(from('192.0.2.2'))).toContain('(limit max-connections)')
  fourth.leave()
  expect(admission.place(from('192.0.2.1'))).toContain('(limit max-connections-per-address)')
  first.leave()
  // Who was offered a place and did not take it is not counted.
  for (let time = 0; time < 5; time++) admission.place(from('192.0.2.3'))
  entered(admission, '192.0.2.1')
  entered(admission, '192.0.2.3')
  expect(admission.place(from('192.0.2.4'))).toContain('(limit max-connections)')
  // Each once, and with what helps.
  expect(warnings).toEqual([
    expect.stringMatching(/limit max-connections-per-address.* 192\.0\.2\.1\.$/),
    expect.stringContaining('limit max-connections)'),
  ])
})

test('a network that nobody is left of is forgotten', () => {
  const admission = new Admission({ maxConnections: 4, maxConnectionsPerAddress: 2 }, () => {})
  const places = [entered(admission, '192.0.2.1'), entered(admission, '192.0.2.1')]
  for (const place of places) {
    expect(place).toBe(places[0])
    place.leave()
  }
  expect(admission.place(from('192.0.2.1'))).not.toBe(places[0])
})

test('where no address may have fewer than all, none is asked for', () => {
  const admission = new Admission({ maxConnections: 1, maxConnectionsPerAddress: 1 }, () => {})
  const socket = {
    get remoteAddress(): string {
      throw new Error('asked')
    },
  } as Socket
  const place = admission.place(socket)
  if (typeof place === 'string') throw new Error(place)
  place.enter()
  expect(admission.place(socket)).toContain('(limit max-connections)')
  place.leave()
  expect(admission.place(socket)).toBe(place)
})

test('sockets past the bound are dropped without a word, and that is told once', async () => {
  const warnings: string[] = []
  const server = createServer()
  boundSockets(server, 2, (warning) => warnings.push(warning))
  const inside: Socket[] = []
  server.on('connection', (socket) => inside.push(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const knock = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    return socket
  }
  const good = [await knock(), await knock()]
  for (let time = 0; time < 2; time++) {
    const dropped = await knock()
    dropped.resume()
    await once(dropped, 'close')
  }
  await expect.poll(() => inside.length).toBe(2)
  expect(warnings).toEqual([expect.stringContaining('no more than 2 sockets')])
  for (const socket of good) socket.destroy()
  await once(server.close(), 'close')
})
