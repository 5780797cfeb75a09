import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** The network between a browser and the broker: a TCP relay whose plug can be pulled. */
export interface Cable {
  readonly url: string
  /** From now on nothing of the broker arrives any more, while it still hears us. */
  deafen(): void
  cut(): void
  mend(): void
  close(): Promise<void>
}

export async function startCable(brokerPort: number): Promise<Cable> {
  const sockets = new Set<Socket>()
  const returns: { from: Socket; to: Socket }[] = []
  let broken = false
  const server = createServer((near) => {
    if (broken) return near.destroy()
    const far = connect(brokerPort, '127.0.0.1')
    near.pipe(far)
    far.pipe(near)
    returns.push({ from: far, to: near })
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    broken = true
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    deafen() {
      for (const { from, to } of returns) from.unpipe(to).resume()
    },
    cut,
    mend() {
      broken = false
    },
    close() {
      cut()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
