import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePorts, isExecutable, Program } from './program.ts'

/** An ActiveMQ Classic of our own, in memory, which shares nothing with one that the machine may be running. */
export interface ActiveMQ {
  readonly url: string
  readonly pid: number
  close(): Promise<void>
}

/** What it is started with. */
export interface Installation {
  readonly java: string
  /** The folder that its jars are in. */
  readonly lib: string
}

const places = [
  '/usr/share/activemq/lib',
  '/opt/homebrew/opt/activemq/libexec/lib',
  '/usr/local/opt/activemq/libexec/lib',
]

/** Where ActiveMQ and a Java for it are installed; undefined where one of them is not. */
export function findActiveMQ(environment: NodeJS.ProcessEnv = process.env): Installation | undefined {
  const { ACTIVEMQ_HOME, JAVA_HOME, PATH = '' } = environment
  const homes = JAVA_HOME === undefined ? [] : [join(JAVA_HOME, 'bin')]
  const folders = [...homes, ...PATH.split(delimiter)]
  const java = folders.map((folder) => join(folder, 'java')).find(isExecutable)
  // A download of it is where its owner says.
  const lib = [...(ACTIVEMQ_HOME === undefined ? [] : [join(ACTIVEMQ_HOME, 'lib')]), ...places].find(hasJars)
  return java === undefined || lib === undefined ? undefined : { java, lib }
}

/** Others end with a version, where Debian's do not. */
const needed = [/^activemq-console\b.*\.jar$/, /^activemq-stomp\b.*\.jar$/]

function hasJars(lib: string): boolean {
  try {
    const files = readdirSync(lib)
    return needed.every((jar) => files.some((file) => jar.test(file)))
  } catch {
    return false
  }
}

export async function startActiveMQ({ java, lib }: Installation): Promise<ActiveMQ> {
  const folder = await mkdtemp(join(tmpdir(), 'activemq-'))
  const [port = 0] = await freePorts(1)
  const settings = new URLSearchParams({
    persistent: 'false',
    useJmx: 'false',
    // Else every connection, subscription and destination is a message to a topic of its own.
    advisorySupport: 'false',
    dataDirectory: join(folder, 'data'),
  })
  const args = [
    '-Xms512m',
    '-Xmx1g',
    // What costs least on one core, where it is measured.
    '-XX:+UseSerialGC',
    // It would show what it does in a file outside the folder.
    '-XX:-UsePerfData',
    `-Djava.io.tmpdir=${folder}`,
    `-Dactivemq.home=${folder}`,
    `-Dactivemq.base=${folder}`,
    '-cp',
    [join(lib, '*'), join(lib, 'optional', '*')].join(delimiter),
    'org.apache.activemq.console.Main',
    'start',
    `broker:(stomp+nio://127.0.0.1:${port})?${settings.toString()}`,
  ]
  const program = new Program(java, args, process.env)
  const close = async (): Promise<void> => {
    await program.stop()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await program.listens(port)
  } catch (error) {
    await close()
    throw error
  }
  return { url: `tcp://127.0.0.1:${port}`, pid: program.pid, close }
}
