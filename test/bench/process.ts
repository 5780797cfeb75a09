import { readdirSync, readFileSync } from 'node:fs'

/** What each thread of a process has computed for: those that have ended since must not be missing from a sum. */
const seen = new Map<number, Map<string, number>>()

/** Nanoseconds that a process has computed for, all its threads together; undefined where Linux is not there to ask. */
export function cpuTime(pid: number): number | undefined {
  const threads = seen.get(pid) ?? new Map<string, number>()
  seen.set(pid, threads)
  for (const thread of list(`/proc/${pid}/task`)) {
    const stat = read(`/proc/${pid}/task/${thread}/schedstat`)
    if (stat !== '') threads.set(thread, Number(stat.split(' ', 1)[0]))
  }
  return threads.size === 0 ? ticks(pid) : [...threads.values()].reduce((sum, time) => sum + time, 0)
}

/** The same to a hundredth of a second, from a kernel that does not count more closely. */
function ticks(pid: number): number | undefined {
  const stat = read(`/proc/${pid}/stat`)
  // The name of the program, in parentheses, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return stat === '' ? undefined : (Number(fields[11]) + Number(fields[12])) * 1e7
}

/** Bytes of a process that are in memory. */
export function memory(pid: number): number | undefined {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1]
  return found === undefined ? undefined : Number(found) * 1024
}

/** How many files, and so sockets, this process and those it starts may have open. */
export function openFiles(): number {
  const found = /^Max open files\s+(\d+)/m.exec(read('/proc/self/limits'))?.[1]
  return found === undefined ? Infinity : Number(found)
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
