/** The keys of a store's tables: in the order of their bytes they are in the order of their numbers. */

/**
 * Messages of a queue that wait for their time have keys from here on, apart from those that are
 * in their places.
 */
export const DELAYED: number = 2 ** 47
const BEYOND = 2 ** 48 - 1

const QUEUE = 4
const MESSAGE = QUEUE + 6

export function queueKey(queue: number): Buffer {
  const key = Buffer.allocUnsafe(QUEUE)
  key.writeUInt32BE(queue)
  return key
}

export function messageKey(queue: number, message: number): Buffer {
  const key = Buffer.allocUnsafe(MESSAGE)
  key.writeUInt32BE(queue)
  key.writeUIntBE(message, QUEUE, MESSAGE - QUEUE)
  return key
}

/** Behind all messages of a queue. */
export function endKey(queue: number): Buffer {
  return messageKey(queue, BEYOND)
}

export function queueOf(key: Buffer): number {
  return key.readUInt32BE(0)
}

export function messageOf(key: Buffer): number {
  return key.readUIntBE(QUEUE, MESSAGE - QUEUE)
}
