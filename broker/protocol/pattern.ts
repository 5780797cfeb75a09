/** Wildcard patterns of topic names, in the dialects of RabbitMQ, ActiveMQ and Spring. */

/** `auto`: `/` if the pattern has one after its prefix, else `.`. */
export type Separator = 'auto' | '.' | '/'

export interface Pattern {
  /** As the client wrote it. */
  readonly text: string
  readonly separator: '.' | '/'
}

/** What a subscription names: one topic, or all that match a pattern. */
export type Interest = string | Pattern
