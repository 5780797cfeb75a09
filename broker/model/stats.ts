/** Plain counters since the start, incremented where things happen. */
export class Stats {
  /** Connections open now, CONNECTed or not. */
  connections = 0
  /** SEND frames accepted. */
  published = 0
  /** ACK and NACK frames that came too late and were ignored. */
  lateAcks = 0
  /** Connections ended because they did not read fast enough. */
  slowConsumers = 0
}
