import type { Terms } from '../model/message.ts'
import type { Destination } from '../protocol/destination.ts'
import { parsePattern, type Interest } from '../protocol/pattern.ts'
import type { QueueTerms } from './engine.ts'

/** The name under which messages to topics that wait for their time are on disk: no queue can have it. */
export const SCHEDULED = ''

/** What is on disk of a queue beside its messages. */
export interface QueueRecord {
  readonly name: string
  /** Undefined for one that nobody declared. */
  readonly terms: QueueTerms | undefined
}

type Topics = string | { readonly text: string; readonly separator: '.' | '/' }

type Written = Omit<QueueTerms, 'topics'> & { readonly topics?: Topics }

export function writeQueue({ name, terms }: QueueRecord): Buffer {
  if (terms === undefined) return Buffer.from(JSON.stringify([name]))
  const { topics, ...others } = terms
  const written: Written = topics === undefined ? others : { ...others, topics: shorten(topics) }
  return Buffer.from(JSON.stringify([name, written]))
}

export function readQueue(record: Buffer): QueueRecord {
  const [name, written] = JSON.parse(record.toString()) as [string, Written?]
  if (written === undefined) return { name, terms: undefined }
  const { topics, ...others } = written
  if (topics === undefined) return { name, terms: others }
  return {
    name,
    terms: {
      ...others,
      topics: typeof topics === 'string' ? topics : parsePattern(topics.text, topics.separator),
    },
  }
}

/** Whether a queue with these terms is there after a restart. */
export function outlives(terms: QueueTerms | undefined): boolean {
  return terms?.temporary !== true && terms?.autoDelete !== true
}

/** Whether a message is to be on disk, as far as it says itself. */
export function isKept({ persistent, retain }: Terms, { kind, temporary }: Destination): boolean {
  if (kind === 'queue') return persistent && !temporary
  return retain !== undefined || persistent
}

function shorten(topics: Interest): Topics {
  return typeof topics === 'string' ? topics : { text: topics.text, separator: topics.separator }
}
