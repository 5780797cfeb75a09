/** What stands before a frame on the wire. */
export interface Envelope {
  /** It tells text from octets; else nobody needs to know. */
  readonly typed: boolean
  /** Its bytes, for a frame of so many. */
  size(length: number): number
  /** Writes it. The position behind it. `text`: the frame is UTF-8 and not asked for as octets. */
  put(target: Buffer, at: number, length: number, text: boolean): number
}

/** How an encoded frame is dressed for one kind of transport. Frames of one wire can share bytes. */
export interface Wire {
  readonly name: string
  /**
   * What becomes of a message that is not UTF-8: `native` carries any bytes, `refuse` ends the
   * receiver's session with an ERROR, `base64` sends the body as base64 with the header
   * `content-transfer-encoding:base64`.
   */
  readonly binary: 'native' | 'refuse' | 'base64'
  /** The receiver takes `application/octet-stream` bodies as binary even where they happen to be UTF-8. */
  readonly octets: boolean
  /** Where a frame is sent as it is behind this, it is written where it is to go, and never copied. */
  readonly envelope?: Envelope
  /** The frame comes in two pieces, to be copied once. `text` as for the envelope. */
  wrap(head: Buffer, tail: Buffer, text: boolean): Buffer | string
}

/** A frame that is written when and where it is needed, so that many can be written into one piece of memory. */
export interface Piece {
  /** Bytes that `put` writes. */
  readonly length: number
  /** The position behind it. */
  put(target: Buffer, at: number): number
  /** The same as buffers, for one that is so large that copying it would cost more than it saves; else undefined. */
  parts(): readonly Buffer[] | undefined
}

/** What a connection is sent. */
export type Payload = Buffer | string | Piece
