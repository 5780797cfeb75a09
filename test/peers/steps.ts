import type { Headers, Step } from './play.ts'

/** Connects with version 1.2. CONNECTED is no part of the story. */
export function connect(...names: readonly string[]): Step {
  return async (stage) => {
    for (const name of names) await connectAs(name, {})(stage)
  }
}

/** Connects with headers of its own. */
export function connectAs(name: string, headers: Headers): Step {
  return async (stage) => {
    await stage.enter(name)
    stage.frame(name, 'CONNECT', { 'accept-version': '1.2', ...headers }, '')
    await stage.until(name, 'CONNECTED', 1)
    stage.connected(name)
  }
}

/** A connection that says nothing yet. */
export function enter(name: string): Step {
  return (stage) => stage.enter(name)
}

/** One frame, and nothing is waited for. */
export function frame(
  name: string,
  command: string,
  headers: Headers = {},
  body: string | Buffer = '',
): Step {
  return (stage) => stage.frame(name, command, headers, body)
}

/** One frame, whose receipt is waited for. */
export function request(
  name: string,
  command: string,
  headers: Headers = {},
  body: string | Buffer = '',
): Step {
  return (stage) => stage.request(name, command, headers, body)
}

export function subscribe(name: string, id: string, destination: string, headers: Headers = {}): Step {
  return request(name, 'SUBSCRIBE', { id, destination, ...headers })
}

export function send(name: string, destination: string, body: string | Buffer, headers: Headers = {}): Step {
  return request(name, 'SEND', { destination, ...headers }, body)
}

/** Several of them, one after the other. */
export function sends(name: string, destination: string, bodies: readonly string[]): Step {
  return async (stage) => {
    for (const body of bodies) await stage.request(name, 'SEND', { destination }, body)
  }
}

/** Settles the given message of the client as 1.2 does, and waits for the receipt. */
export function ack(name: string, message: number, headers: Headers = {}): Step {
  return request(name, 'ACK', { id: `<${name} ${message} ack>`, ...headers })
}

export function nack(name: string, message: number, headers: Headers = {}): Step {
  return request(name, 'NACK', { id: `<${name} ${message} ack>`, ...headers })
}

/** Bytes as they are: one WebSocket message each. `$` is filled in where they are text. */
export function write(name: string, ...messages: readonly (string | Buffer)[]): Step {
  return (stage) => {
    for (const message of messages) stage.write(name, message)
  }
}

/** Waits until the client has been sent so many frames of a command since it came. */
export function gets(name: string, count: number, command = 'MESSAGE'): Step {
  return (stage) => stage.until(name, command, count)
}

/** Waits for an ERROR, or the end of the connection. */
export function refused(name: string): Step {
  return (stage) => stage.refused(name)
}

/** Waits for a RECEIPT after an ERROR, or the end of the connection. */
export function answered(name: string, receipt: string): Step {
  return (stage) => stage.answered(name, receipt)
}

/** Waits until the broker has closed the connection. */
export function ends(name: string): Step {
  return (stage) => stage.ends(name)
}

/** Goes without a word. */
export function leave(name: string): Step {
  return (stage) => stage.leave(name, false)
}

/** Goes with DISCONNECT, and the broker has understood. */
export function disconnect(name: string): Step {
  return (stage) => stage.leave(name, true)
}
