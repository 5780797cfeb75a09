import { putText } from '../protocol/bytes.ts'
import type { Frame } from '../protocol/frame.ts'
import type { Envelope, Piece } from './wire.ts'

const HEAD = 'RECEIPT\nreceipt-id:'
const END = '\n\n\0'

/** The RECEIPT of a plain frame, whose value has nothing to escape. */
export class Receipt implements Piece {
  readonly length: number
  private readonly envelope: Envelope
  private readonly frame: Frame

  constructor(envelope: Envelope, frame: Frame) {
    this.envelope = envelope
    this.frame = frame
    const size = this.size
    this.length = envelope.size(size) + size
  }

  put(target: Buffer, at: number): number {
    const head = putText(target, this.envelope.put(target, at, this.size, true), HEAD)
    return putText(target, this.frame.putReceipt(target, head), END)
  }

  parts(): undefined {}

  private get size(): number {
    return HEAD.length + this.frame.receiptSize + END.length
  }
}
