import { putText } from '../protocol/bytes.ts'
import type { Envelope, Piece } from './wire.ts'

const HEAD = 'RECEIPT\nreceipt-id:'
const END = '\n\n\0'

/** A RECEIPT whose id is ASCII with nothing to escape. */
export class Receipt implements Piece {
  readonly length: number
  private readonly envelope: Envelope
  private readonly id: string

  constructor(envelope: Envelope, id: string) {
    this.envelope = envelope
    this.id = id
    this.length = envelope.size(this.size) + this.size
  }

  put(target: Buffer, at: number): number {
    const head = putText(target, this.envelope.put(target, at, this.size, true), HEAD)
    return putText(target, putText(target, head, this.id), END)
  }

  parts(): undefined {}

  private get size(): number {
    return HEAD.length + this.id.length + END.length
  }
}
