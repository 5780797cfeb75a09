import { join } from 'node:path'
import { expect } from 'vitest'
import { root } from '../helpers/cli.ts'
import { test } from '../helpers/fixtures.ts'

const script = join(root, 'dist-faults', 'test', 'faults', 'faults.js')
/** The same numbers each time, unless others are asked for: what fails here is to fail again. */
const { FAULTS_SEED = '1', FAULTS_SECONDS } = process.env

// In each of them a canary's round trips stay below 250 ms at p99, and memory and handles come back to what they were.
test.for([
  ['fuzz', 'whatever comes over whatever transport is answered or ended', '10'],
  ['floods', 'clients that write as fast as they can keep nobody waiting', '12'],
  ['sleepers', 'clients that do not read cost a bounded amount of memory, and others get everything', '8'],
  ['loris', 'requests, upgrades and first frames that come byte by byte are ended in time', '1'],
  ['churn', 'of clients, names and subscriptions that come and go nothing stays', '8'],
  ['soak', 'well-behaved clients leave memory and handles where they are', '10'],
] as const)('%s: %s', { timeout: 240_000 }, async ([name, , seconds], { shell }) => {
  const args = ['--only', name, '--seconds', FAULTS_SECONDS ?? seconds, '--seed', FAULTS_SEED]
  const { code, stdout, stderr } = await shell.start(args, {}, script).ended
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toContain(`${name} (seed ${FAULTS_SEED}, `)
})

test('a fault that there is not is refused', async ({ shell }) => {
  const { code, stderr } = await shell.start(['--only', 'flood'], {}, script).ended
  expect([code, stderr]).toEqual([64, expect.stringContaining('there is no fault "flood"')])
})
