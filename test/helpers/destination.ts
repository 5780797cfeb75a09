import { Destinations, type Destination } from '../../broker/protocol/destination.ts'

/** The plain topic or queue of a name, by the default rules. */
export function parseDestination(text: string): Destination {
  const [address] = new Destinations().sent(text)
  if (address?.kind === 'topic' || address?.kind === 'queue') return address
  throw new Error(`${text} is neither a topic nor a queue`)
}
