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
  /** The frame comes in two pieces, to be copied once. `text` says whether it is UTF-8 and not asked for as octets. */
  wrap(head: Buffer, tail: Buffer, text: boolean): Buffer | string
}
