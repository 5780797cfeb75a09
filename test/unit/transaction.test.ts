import { describe, expect, test } from 'vitest'
import { Transactions } from '../../broker/core/transaction.ts'
import type { Entry } from '../../broker/model/ledger.ts'
import { refusal } from '../protocol/decode.ts'

const LIMITS = { maxTransactions: 2, maxTransactionFrames: 3, maxTransactionBytes: 10 }

describe('transactions', () => {
  test.each(['get', 'end'] as const)('1.2 BEGIN: an unknown one is refused (%s)', (method) => {
    const transactions = new Transactions<string>(LIMITS)
    transactions.begin('a')
    transactions.end('a')
    expect(refusal(() => transactions[method]('a'))).toBe('unknown-transaction')
    expect(refusal(() => transactions[method]('b'))).toBe('unknown-transaction')
  })

  test('1.2 BEGIN: one that is open cannot be begun, one that ended can', () => {
    const transactions = new Transactions<string>(LIMITS)
    transactions.begin('a')
    expect(refusal(() => transactions.begin('a'))).toBe('duplicate-transaction')
    transactions.end('a')
    expect(refusal(() => transactions.begin('a'))).toBeUndefined()
  })

  test('as many may be open as the limit says, and not one more', () => {
    const transactions = new Transactions<string>(LIMITS)
    for (const id of ['a', 'b']) transactions.begin(id)
    expect(refusal(() => transactions.begin('c'))).toBe('transaction-limit')
    transactions.end('b')
    expect(refusal(() => transactions.begin('c'))).toBeUndefined()
  })

  test('each holds as many frames as the limit says, and not one more', () => {
    const transactions = new Transactions<string>(LIMITS)
    for (const id of ['a', 'b']) transactions.begin(id)
    for (let frames = 0; frames < 3; frames++) transactions.charge(transactions.get('a'), 0)
    expect(refusal(() => transactions.charge(transactions.get('a'), 0))).toBe('transaction-limit')
    expect(refusal(() => transactions.charge(transactions.get('b'), 0))).toBeUndefined()
  })

  test('all together hold as many bytes as the limit says, and not one more', () => {
    const transactions = new Transactions<string>(LIMITS)
    for (const id of ['a', 'b']) transactions.begin(id)
    transactions.charge(transactions.get('a'), 6)
    expect(refusal(() => transactions.charge(transactions.get('b'), 5))).toBe('transaction-limit')
    expect(refusal(() => transactions.charge(transactions.get('b'), 4))).toBeUndefined()
    expect(refusal(() => transactions.charge(transactions.get('a'), 1))).toBe('transaction-limit')
    transactions.end('b')
    expect(refusal(() => transactions.charge(transactions.get('a'), 4))).toBeUndefined()
  })

  test('abort ends all and gives what they took', () => {
    const transactions = new Transactions<string>(LIMITS)
    const [one, two] = [{} as Entry<string>, {} as Entry<string>]
    for (const [id, entry] of [
      ['a', one],
      ['b', two],
    ] as const) {
      transactions.begin(id)
      transactions.get(id).taken.push(entry)
    }
    const taken = transactions.abort()
    expect(taken[0]).toBe(one)
    expect(taken[1]).toBe(two)
    expect(refusal(() => transactions.get('a'))).toBe('unknown-transaction')
    expect(transactions.abort()).toEqual([])
  })
})
