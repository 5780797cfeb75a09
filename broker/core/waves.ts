import { setTimeout as sleep } from 'node:timers/promises'

/** So few are told at once: together they are no crowd, wherever they go. */
const FEW = 50
/** Milliseconds between two waves. */
const INTERVAL = 20

/**
 * Tells all members, each once: in random order and evenly over `spread` milliseconds, so that
 * those who come back do not all come at the same moment. Who has left meanwhile is not told.
 */
export async function inWaves<T>(
  members: ReadonlySet<T>,
  spread: number,
  tell: (wave: readonly T[]) => void,
): Promise<void> {
  const order = shuffled(members)
  const start = performance.now()
  for (let told = 0; told < order.length && members.size > 0;) {
    const passed = order.length <= FEW ? spread : performance.now() - start
    const due = passed < spread ? Math.ceil((order.length * passed) / spread) : order.length
    tell(order.slice(told, due).filter((member) => members.has(member)))
    told = due
    if (told < order.length) await sleep(INTERVAL)
  }
}

function shuffled<T>(members: ReadonlySet<T>): T[] {
  const keys = new Map<T, number>()
  for (const member of members) keys.set(member, Math.random())
  return [...keys].toSorted(([, one], [, other]) => one - other).map(([member]) => member)
}
