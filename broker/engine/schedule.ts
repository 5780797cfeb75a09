import { Heap } from './heap.ts'

/** The longest that a timer of Node can wait; a longer one fires at once. */
const LONGEST = 2 ** 31 - 1
/** Tasks run in a turn of the event loop, before everybody else gets theirs. */
const TASKS_A_TURN = 4096

export interface Task {
  /** It will not run; what it holds is let go of. */
  cancel(): void
}

/**
 * What is to happen later: one timer over a heap. It goes by a clock that nobody sets, and holds
 * no process: who listens to clients does that.
 */
export class Schedule {
  /** In order of their time and, at the same time, as they were added. */
  private readonly tasks = new Heap<Planned>(
    (one, other) => one.due < other.due || (one.due === other.due && one.order < other.order),
  )
  private timer: NodeJS.Timeout | undefined
  private armedFor = Infinity
  private cancelled = 0
  private order = 0
  private closed = false
  private readonly running: () => void

  /** `after` is called when tasks have run. */
  constructor(after: () => void) {
    this.running = () => {
      this.run()
      after()
    }
  }

  /** Runs `work` after so many milliseconds, and never inside this call. */
  add(delay: number, work: () => void): Task {
    const task = new Planned(this, performance.now() + Math.max(1, delay), ++this.order, work)
    if (this.closed) return task
    this.tasks.push(task)
    this.arm()
    return task
  }

  /** A task was cancelled, and is not to stay in memory until its time. */
  forget(): void {
    if (++this.cancelled * 2 > this.tasks.length) {
      this.tasks.retain((task) => task.work !== undefined)
      this.cancelled = 0
    }
    if (this.tasks.length === 0) this.disarm()
  }

  close(): void {
    this.closed = true
    this.tasks.clear()
    this.disarm()
  }

  private run(): void {
    this.timer = undefined
    this.armedFor = Infinity
    const now = performance.now()
    for (let count = 0; count < TASKS_A_TURN; count++) {
      const task = this.tasks.peek()
      if (task === undefined || task.due > now) break
      this.tasks.shift()
      const { work } = task
      task.work = undefined
      if (work === undefined) this.cancelled--
      else work()
    }
    this.arm()
  }

  private arm(): void {
    const next = this.tasks.peek()
    if (next === undefined || next.due >= this.armedFor) return
    clearTimeout(this.timer)
    this.armedFor = next.due
    const wait = Math.min(LONGEST, Math.max(0, Math.ceil(next.due - performance.now())))
    this.timer = setTimeout(this.running, wait).unref()
  }

  private disarm(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    this.armedFor = Infinity
  }
}

class Planned implements Task {
  readonly due: number
  readonly order: number
  /** Undefined once it ran or was cancelled. */
  work: (() => void) | undefined
  private readonly schedule: Schedule

  constructor(schedule: Schedule, due: number, order: number, work: () => void) {
    this.schedule = schedule
    this.due = due
    this.order = order
    this.work = work
  }

  cancel(): void {
    if (this.work === undefined) return
    this.work = undefined
    this.schedule.forget()
  }
}
