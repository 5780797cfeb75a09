import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, vi } from 'vitest'
import { RawClient } from '../helpers/client.ts'
import { test } from '../helpers/fixtures.ts'
import { findActiveMQ, startActiveMQ } from './activemq.ts'

describe('ActiveMQ', () => {
  afterEach(() => vi.unstubAllEnvs())

  /** A folder with a file `bin/java`, and with jars of these names in `lib`. */
  async function install(folder: string, jars: readonly string[]): Promise<void> {
    const java = join(folder, 'bin', 'java')
    for (const name of ['bin', 'lib']) await mkdir(join(folder, name))
    for (const file of [java, ...jars.map((jar) => join(folder, 'lib', jar))]) await writeFile(file, '')
    await chmod(java, 0o755)
  }

  test('is found where ACTIVEMQ_HOME says, with the Java of the PATH', async ({ folder }) => {
    await install(folder, ['activemq-console-6.1.0.jar', 'activemq-stomp-6.1.0.jar'])
    const found = { java: join(folder, 'bin', 'java'), lib: join(folder, 'lib') }
    const PATH = `/nowhere:${join(folder, 'bin')}`
    expect(findActiveMQ({ ACTIVEMQ_HOME: folder, PATH })).toEqual(found)
    expect(findActiveMQ({ ACTIVEMQ_HOME: folder, JAVA_HOME: folder, PATH: '/nowhere' })).toEqual(found)
  })

  test('is not found without a Java', async ({ folder }) => {
    await install(folder, ['activemq-console.jar', 'activemq-stomp.jar'])
    expect(findActiveMQ({ ACTIVEMQ_HOME: folder, PATH: '/nowhere' })).toBeUndefined()
  })

  test('is not found where a jar is missing that it takes', async ({ folder }) => {
    await install(folder, ['activemq-console.jar', 'activemq-stompish.txt'])
    const found = findActiveMQ({ ACTIVEMQ_HOME: folder, PATH: join(folder, 'bin') })
    expect(found?.lib).not.toBe(join(folder, 'lib'))
  })

  // It is measured, not compared with: where it is not installed nothing is missing from the tests.
  const installation = findActiveMQ()
  if (installation !== undefined)
    test(
      'starts, passes a message on, and leaves nothing behind',
      { timeout: 60_000 },
      async ({ folder }) => {
        vi.stubEnv('TMPDIR', folder)
        const broker = await startActiveMQ(installation)
        try {
          const client = await RawClient.tcp(Number(new URL(broker.url).port))
          client.send('CONNECT', { 'accept-version': '1.2', host: '/' })
          await client.next('CONNECTED')
          client.send('SUBSCRIBE', { id: '1', destination: '/queue/a' })
          client.send('SEND', { destination: '/queue/a' }, 'hello')
          expect((await client.next('MESSAGE')).body.toString()).toBe('hello')
          client.destroy()
        } finally {
          await broker.close()
        }
        expect(await readdir(folder)).toEqual([])
        expect(() => process.kill(broker.pid, 0)).toThrow('ESRCH')
      },
    )
})
