import { headerLine, type Version } from '../protocol/frame.ts'
import type { Wire } from './wire.ts'

/** What tells the MESSAGE frames of one subscription from those of another: the same for all that show the same. */
export interface Form {
  /** Unlike that of any other form. */
  readonly key: string
  /** The command and the `subscription` header, as text and as bytes. */
  readonly opening: Buffer
  /** Messages show the `ack` header, as the client ack modes of 1.2 MUST (1.2, SUBSCRIBE ack header). */
  readonly acks: boolean
  readonly version: Version
  readonly wire: Wire
}

/** Nearly all clients choose from a few ids, `sub-0` above all. */
const KNOWN = 1_000
const forms = new Map<string, Form>()

/** Equal arguments return the identical object, unless there were a thousand others between them. */
export function formOf(subscription: string, acks: boolean, version: Version, wire: Wire): Form {
  const key = `${wire.name} ${version} ${acks} ${subscription}`
  let form = forms.get(key)
  if (form === undefined || form.wire !== wire) {
    const opening = Buffer.from(`MESSAGE\n${headerLine('subscription', subscription, version)}`)
    form = { key, opening, acks, version, wire }
    if (forms.size >= KNOWN) forms.clear()
    forms.set(key, form)
  }
  return form
}
