/** Keeps two brokers out of one folder. */
import { createHash } from 'node:crypto'
import { realpathSync, renameSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join, relative } from 'node:path'

/** The longest path of a socket that all systems take. */
const LONGEST = 100

/**
 * A socket in the folder, at which whoever has it listens: unlike the number of a process it ends
 * with its holder however that ends, and holds between containers that share the folder.
 */
export class Lock {
  private readonly server: Server

  private constructor(server: Server) {
    this.server = server
  }

  /** Undefined where somebody has it. */
  static async take(folder: string): Promise<Lock | undefined> {
    const path = pathOf(folder)
    for (;;) {
      const server = await listen(path)
      if (server !== undefined) return new Lock(server)
      if (await answers(path)) return undefined
      // What nobody listens at is left over. Another may just have put it away and listen there now.
      const old = `${path}.${process.pid}`
      if (!move(path, old)) continue
      if (await answers(old)) {
        move(old, path)
        return undefined
      }
      rmSync(old, { force: true })
    }
  }

  async release(): Promise<void> {
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }
}

function pathOf(folder: string): string {
  const whole = realpathSync(folder)
  if (process.platform === 'win32')
    return `\\\\.\\pipe\\stomp-broker-${createHash('sha256').update(whole).digest('hex').slice(0, 32)}`
  const path = join(whole, 'lock')
  const short = relative(process.cwd(), path)
  return path.length <= LONGEST || short.length > path.length ? path : short
}

function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.unref()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen(path, () => resolve(server))
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function move(from: string, to: string): boolean {
  try {
    renameSync(from, to)
    return true
  } catch {
    return false
  }
}
