/** Plain counters since the start, incremented where things happen. */
export class Stats {
  /** Connections open now, CONNECTed or not. */
  connections = 0
  /** SEND frames accepted. */
  published = 0
  /** ACK and NACK frames that came too late and were ignored. */
  lateAcks = 0
  /** Messages that became dead letters. */
  deadLetters = 0
  /** Messages that expired before anybody took them. */
  expired = 0
  /** Messages dropped: the oldest of a full queue that drops, and what was refused where nothing takes dead letters. */
  dropped = 0
  /** Messages that could not be read from the disk. */
  lost = 0
  /** Messages to a reply queue or an application that is not there. */
  unroutable = 0
  /** Connections ended because they did not read fast enough. */
  slowConsumers = 0
  /** Messages that slow subscribers lost, of topics that drop the oldest or keep only so many, */
  slowDropped = 0
  /** and those that a newer one to the same destination took the place of before they were read. */
  slowConflated = 0
}
