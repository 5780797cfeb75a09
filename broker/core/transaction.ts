import type { Entry } from '../model/ledger.ts'
import type { Op } from '../model/message.ts'
import { StompError } from '../protocol/errors.ts'
import { copy, quote } from '../protocol/text.ts'

export interface TransactionLimits {
  /** Open transactions of one session. */
  readonly maxTransactions: number
  /** Frames in one transaction. */
  readonly maxTransactionFrames: number
  /** Bytes of the frames in all open transactions of one session. */
  readonly maxTransactionBytes: number
}

/** What a transaction holds back until COMMIT. */
export interface Transaction<S> {
  readonly ops: Op[]
  /** Taken out of the ledger by ACK and NACK; ABORT puts them back. */
  readonly taken: Entry<S>[]
  frames: number
  bytes: number
}

/** The open transactions of one session. */
export class Transactions<S> {
  private readonly limits: TransactionLimits
  private open: Map<string, Transaction<S>> | undefined

  constructor(limits: TransactionLimits) {
    this.limits = limits
  }

  begin(id: string): void {
    const open = (this.open ??= new Map())
    if (open.has(id)) {
      throw new StompError('duplicate-transaction', `The transaction ${quote(id)} is open already.`)
    }
    if (open.size >= this.limits.maxTransactions) {
      throw new StompError(
        'transaction-limit',
        `At most ${this.limits.maxTransactions} transactions may be open (limit max-transactions).`,
      )
    }
    open.set(copy(id), { ops: [], taken: [], frames: 0, bytes: 0 })
  }

  has(id: string): boolean {
    return this.open?.has(id) === true
  }

  get(id: string): Transaction<S> {
    const transaction = this.open?.get(id)
    if (transaction === undefined) {
      throw new StompError('unknown-transaction', `No transaction ${quote(id)} is open; BEGIN it first.`)
    }
    return transaction
  }

  /** Room for one more frame, or an error. */
  charge(transaction: Transaction<S>, bytes: number): void {
    const { maxTransactionFrames, maxTransactionBytes } = this.limits
    if (transaction.frames >= maxTransactionFrames) {
      throw new StompError(
        'transaction-limit',
        `A transaction holds at most ${maxTransactionFrames} frames (limit max-transaction-frames).`,
      )
    }
    let total = bytes
    for (const other of this.open?.values() ?? []) total += other.bytes
    if (total > maxTransactionBytes) {
      throw new StompError(
        'transaction-limit',
        `The open transactions hold at most ${maxTransactionBytes} bytes (limit max-transaction-bytes).`,
      )
    }
    transaction.frames++
    transaction.bytes += bytes
  }

  end(id: string): Transaction<S> {
    const transaction = this.get(id)
    this.open?.delete(id)
    return transaction
  }

  /** Ends all: what they took from the ledger. */
  abort(): Entry<S>[] {
    const taken = [...(this.open?.values() ?? [])].flatMap((transaction) => transaction.taken)
    this.open = undefined
    return taken
  }
}
