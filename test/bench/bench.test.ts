import { join } from 'node:path'
import { expect } from 'vitest'
import { root } from '../helpers/cli.ts'
import { test } from '../helpers/fixtures.ts'

const script = join(root, 'dist-bench', 'test', 'bench', 'bench.js')
const chosen = [
  'fanout-w32',
  'sockjs',
  'wildcards',
  'large',
  'queue',
  'queue-ack',
  'connections',
  'backlog',
  'topics',
]

test(
  'the benchmark comes to a table in which nothing is lost',
  { timeout: 60_000 },
  async ({ shell, folder }) => {
    const json = join(folder, 'runs.json')
    const args = [
      '--quick',
      '--servers',
      'stomp-broker,limit',
      '--reps',
      '1',
      '--duration',
      '0.2',
      '--json',
      json,
    ]
    const { code, stdout, stderr } = await shell.start([...args, '--scenarios', chosen.join(',')], {}, script)
      .ended
    expect([code, stdout === '' ? stderr : '']).toEqual([0, ''])
    for (const name of chosen) {
      const [, table = ''] = new RegExp(`### ${name}: .*\n\n([^]*?)\n\n`).exec(stdout) ?? []
      const rows = table
        .split('\n')
        .slice(2)
        .map((line) => line.split('|').map((cell) => cell.trim()))
      expect(rows.map(([, server]) => server)).toEqual(['stomp-broker', 'limit'])
      for (const row of rows) expect(row.at(-2)).toBe('0 / 0 / 0')
    }
    // Something was delivered by each, or the figure would be missing.
    for (const [, server = '', rate = ''] of stdout.matchAll(
      /^\| (stomp-broker|limit) \| [\d.,-]+ \| ([\d,.-]+) \|/gm,
    ))
      expect([server, rate]).toEqual([server, expect.stringMatching(/^[1-9][\d,.]*$|^0\.\d+$/)])
  },
)

test('a server that lacks what a scenario needs is not asked for it, and has a row that says so', async ({
  shell,
}) => {
  // Nobody listens there.
  const other = ['--server', 'other=tcp://127.0.0.1:1']
  const args = ['--quick', '--scenarios', 'sockjs,topics', '--servers', 'limit', ...other]
  const { code, stdout } = await shell.start(args, {}, script).ended
  expect(code).toBe(0)
  expect(stdout.match(/^\| other .*$/gm)).toEqual(['| other | - | - | - | - | - | - | - | no SockJS |'])
})

test.for<[string[], string]>([
  [['--scenarios', 'fan'], 'there is no scenario "fan", but fanout-w1, '],
  [['--reps', '0'], '--reps 0 is no number above zero'],
  [['--server', 'x'], '"x" is no name=url'],
  [['--sceanrios', 'x'], "Unknown option '--sceanrios'"],
])('the benchmark refuses %j', async ([args, sentence], { shell }) => {
  const { code, stdout, stderr } = await shell.start(args, {}, script).ended
  expect([code, stdout]).toEqual([64, ''])
  expect(stderr).toContain(sentence)
})
