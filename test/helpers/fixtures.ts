import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base } from 'vitest'
import { Shell } from './cli.ts'
import { House } from './stompjs.ts'

/** A test with brokers and clients in this process, runs of the command, and a folder; all gone afterwards. */
export const test = base.extend<{ house: House; shell: Shell; folder: string }>({
  // eslint-disable-next-line no-empty-pattern -- vitest reads from the pattern which fixtures are needed
  house: async ({}, use) => {
    const house = new House()
    await use(house)
    await house.close()
  },
  // eslint-disable-next-line no-empty-pattern
  shell: async ({}, use) => {
    const shell = new Shell()
    await use(shell)
    await shell.close()
  },
  // eslint-disable-next-line no-empty-pattern
  folder: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), 'stomp-broker-test-'))
    await use(folder)
    await rm(folder, { recursive: true })
  },
})
