import type { Server, Socket } from 'node:net'

export interface AdmissionLimits {
  /** Connections in all. */
  readonly maxConnections: number
  /** Those of one network: an IPv4 address, or a /64 of IPv6, which one machine has to itself. */
  readonly maxConnectionsPerAddress: number
}

/** Seconds after which one who was refused may try again. */
export const RETRY_AFTER = 10

/** Where connections come from, and how many there are: each enters once, and leaves once when it is gone. */
export interface Place {
  enter(): void
  leave(): void
}

/** Counts the connections that speak STOMP, and says when there are too many. */
export class Admission {
  private readonly limits: AdmissionLimits
  private readonly warn: (warning: string) => void
  private connections = 0
  /** Where there are any. */
  private readonly networks = new Map<string, Network>()
  /** Where all come from, when nobody wants to know. */
  private readonly anywhere: Network | undefined
  private told = false
  private toldOfAddress = false

  constructor(limits: AdmissionLimits, warn: (warning: string) => void) {
    this.limits = limits
    this.warn = warn
    // The address is a system call.
    if (limits.maxConnectionsPerAddress >= limits.maxConnections) this.anywhere = new Network('', this)
  }

  /** Where the connection on a socket may enter, or one sentence that says why it may not. */
  place(socket: Socket): Place | string {
    const { maxConnections, maxConnectionsPerAddress } = this.limits
    if (this.connections >= maxConnections) {
      const refusal = `The broker takes no more than ${maxConnections} connections at a time (limit max-connections).`
      if (!this.told) this.warn(`${refusal} Clients are being refused.`)
      this.told = true
      return `${refusal} Try again later.`
    }
    const network = this.anywhere ?? this.network(networkOf(socket.remoteAddress ?? ''))
    if (network.connections >= maxConnectionsPerAddress) {
      const refusal = `The broker takes no more than ${maxConnectionsPerAddress} connections of one address at a time (limit max-connections-per-address).`
      if (!this.toldOfAddress)
        this.warn(`${refusal} Clients are being refused, the first from ${network.name}.`)
      this.toldOfAddress = true
      return `${refusal} Close some, or try again later.`
    }
    return network
  }

  enter(network: Network): void {
    this.connections++
    if (network.connections++ === 0) this.networks.set(network.name, network)
  }

  leave(network: Network): void {
    this.connections--
    if (--network.connections === 0) this.networks.delete(network.name)
  }

  private network(name: string): Network {
    return this.networks.get(name) ?? new Network(name, this)
  }
}

class Network implements Place {
  readonly name: string
  connections = 0
  private readonly admission: Admission

  constructor(name: string, admission: Admission) {
    this.name = name
    this.admission = admission
  }

  enter(): void {
    this.admission.enter(this)
  }

  leave(): void {
    this.admission.leave(this)
  }
}

/**
 * Bounds the sockets of a server, whatever comes over them. Past the bound the system's accept is
 * all that a peer gets: an answer to each is what a flood would live on.
 */
export function boundSockets(server: Server, most: number, warn: (warning: string) => void): void {
  server.maxConnections = most
  server.once('drop', () => {
    warn(
      `A port has no more than ${most} sockets, as max-connections wants it; further ones are being dropped.`,
    )
  })
}

const MAPPED = '::ffff:'

/** The IPv4 address, also of one that is written in IPv6, or the first 64 bits of an IPv6 address. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address
  if (address.startsWith(MAPPED) && address.includes('.')) return address.slice(MAPPED.length)
  const [head = '', tail] = address.replace(/%.*/, '').split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const last = tail === '' ? [] : tail.split(':')
    // An IPv4 address at the end stands for two groups, neither of them among the first four.
    while (groups.length + last.length < 8) groups.push('0')
    groups.push(...last)
  }
  return `${groups.slice(0, 4).join(':')}::/64`
}
