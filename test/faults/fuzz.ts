import { once } from 'node:events'
import { connect } from 'node:net'
import { CLOSE } from '../helpers/websocket-frame.ts'
import { LAST } from './corpus.ts'
import { AnswerReader } from './frame.ts'
import { Random } from './random.ts'
import { script, type Script } from './script.ts'
import type { Server } from './server.ts'
import type { Fault, Stage } from './stage.ts'
import { Unframer } from './unframer.ts'

/** Connections at a time. */
const AT_ONCE = 16
/** Milliseconds in which the broker has to end a connection whose client has said all it will say. */
const BOUND = 15_000

/** Spoilt conversations on every transport: whatever comes, each is answered or ended, and nobody else notices. */
export const fuzz: Fault = {
  name: 'fuzz',
  // Some bodies are any bytes, and every transport is to hear them.
  args: ['--sockjs-binary=base64'],
  async run(stage) {
    if (stage.only !== undefined) return void (await checked(stage, stage.only))
    const kinds = new Map<string, number>()
    const underWay = new Set<number>()
    let [next, answered] = [0, 0]
    const client = async (): Promise<void> => {
      while (performance.now() < stage.until) {
        const number = next++
        underWay.add(number)
        const { kind, valid } = await checked(stage, number)
        underWay.delete(number)
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
        if (valid) answered++
      }
    }
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, client))
    } catch (cause) {
      // The first to notice may be another than the one to blame.
      throw new Error(`cases under way: ${[...underWay].join(', ')}`, { cause })
    }
    const shown = [...kinds].map(([kind, count]) => `${kind} ${count}`).join(', ')
    stage.note(`${next} connections (${shown}), ${answered} of them unspoilt and answered`)
  },
}

/** Plays one case, and says which it was where something is wrong. */
async function checked({ server, seed }: Stage, number: number): Promise<Script> {
  // Each from its own numbers, so that it can be played alone.
  const made = script(new Random(seed, number))
  try {
    await meet(server, made)
    if (!server.running) throw new Error('the broker has ended')
  } catch (error) {
    const { kind, writes, valid } = made
    const said = Buffer.concat(writes).toString('latin1').slice(0, 600)
    throw new Error(
      `case ${number} (${kind}${valid ? ', unspoilt' : ''}): to play it again, npm run faults -- --only fuzz --seed ${seed} --case ${number}\n${JSON.stringify(said)}`,
      { cause: error },
    )
  }
  return made
}

/** Says what is to be said, and throws unless the broker ends the connection, and rightly. */
async function meet(server: Server, { kind, writes, valid, reset }: Script): Promise<void> {
  const port = kind === 'tcp' ? server.tcpPort : server.port
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await Promise.race([once(socket, 'connect').catch(() => {}), closed])
  for (const bytes of writes) {
    if (!socket.writable) break
    socket.write(bytes)
    // So that it comes in pieces.
    await new Promise((resolve) => setImmediate(resolve))
  }
  if (reset) socket.resetAndDestroy()
  else if (socket.writable && !(valid && kind === 'sockjs-http')) socket.end()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not ended after ${BOUND} ms`)), BOUND)
  })
  try {
    if (valid && kind === 'sockjs-http') {
      // Its answer is polled for: the connection stays open for the next request.
      const heard = (): boolean => Buffer.concat(chunks).includes(`receipt-id:${LAST}`)
      while (!heard()) {
        await Promise.race([once(socket, 'data').catch(() => {}), closed, late])
        if (socket.destroyed && !heard())
          throw new Error(`no receipt: ${Buffer.concat(chunks).toString('latin1')}`)
        if (!heard() && Buffer.concat(chunks).includes('c[')) throw new Error('closed without a receipt')
      }
      socket.end()
    }
    socket.once('end', () => socket.end())
    await Promise.race([closed, late])
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
  if (!reset) inspect(kind, Buffer.concat(chunks), valid)
}

/** Throws unless the broker has written what a broker may write. */
function inspect(kind: Script['kind'], bytes: Buffer, valid: boolean): void {
  const reader = new AnswerReader()
  const answers = []
  if (kind === 'tcp') answers.push(...reader.read(bytes))
  else if (kind === 'websocket' || kind === 'sockjs-websocket') {
    const end = bytes.indexOf('\r\n\r\n') + 4
    if (bytes.toString('latin1', 0, 12) !== 'HTTP/1.1 101') {
      if (valid) throw new Error(`no WebSocket: ${bytes.toString('latin1', 0, 200)}`)
      return
    }
    const frames = new Unframer().read(bytes.subarray(end))
    const close = frames.findIndex(({ opcode }) => opcode === CLOSE)
    if (close >= 0 && close < frames.length - 1) throw new Error('something follows a close frame')
    for (const { opcode, payload } of frames) {
      if (opcode > 2) continue
      if (kind === 'websocket') answers.push(...reader.read(payload))
      else if (payload[0] === 0x61) {
        const [text = ''] = JSON.parse(payload.toString('utf8', 1)) as string[]
        answers.push(...reader.read(Buffer.from(text)))
      }
    }
  } else {
    // Other answers of 500 are the SockJS protocol's own.
    if (bytes.includes('Internal error.')) throw new Error(`an internal error: ${bytes.toString('latin1')}`)
    return
  }
  const internal = answers.find(({ headers }) => headers.get('message') === 'internal error')
  if (internal !== undefined) throw new Error(`an internal error: ${internal.body.toString()}`)
  if (valid && !answers.some(({ headers }) => headers.get('receipt-id') === LAST)) {
    const said = answers.map(
      ({ command, headers, body }) =>
        `${command} ${headers.get('message') ?? ''} ${body.toString('utf8', 0, 200)}`,
    )
    throw new Error(`the last frame has no receipt: ${said.join('; ')}`)
  }
}
