import type { LocalConsumption } from './consumption.ts'

/** The consumers with credit, next one first: by priority, and in turn among equals. */
export class Willing {
  /** Nearly all have no priority. */
  private readonly usual = new Line(0)
  /** Highest priority first; the usual one is always there, the others while somebody stands in them. */
  private readonly lines = [this.usual]

  push(consumption: LocalConsumption): void {
    consumption.waiting = true
    this.line(consumption.priority).push(consumption)
  }

  remove(consumption: LocalConsumption): void {
    consumption.waiting = false
    const line = this.line(consumption.priority)
    line.remove(consumption)
    if (line.first === undefined && line.priority !== 0) this.lines.splice(this.lines.indexOf(line), 1)
  }

  /** It had its turn: behind its equals. */
  rotate(consumption: LocalConsumption): void {
    if (consumption.after === undefined) return
    const line = this.line(consumption.priority)
    line.remove(consumption)
    line.push(consumption)
  }

  first(): LocalConsumption | undefined {
    if (this.lines.length === 1) return this.usual.first
    for (const line of this.lines) if (line.first !== undefined) return line.first
    return undefined
  }

  after(consumption: LocalConsumption): LocalConsumption | undefined {
    if (consumption.after !== undefined) return consumption.after
    if (this.lines.length === 1) return undefined
    return this.lines.find((line) => line.priority < consumption.priority && line.first !== undefined)?.first
  }

  private line(priority: number): Line {
    if (priority === 0) return this.usual
    let low = 0
    let high = this.lines.length
    while (low < high) {
      const middle = (low + high) >> 1
      const line = this.lines[middle] as Line // low <= middle < high <= length
      if (line.priority === priority) return line
      if (line.priority > priority) low = middle + 1
      else high = middle
    }
    const line = new Line(priority)
    this.lines.splice(low, 0, line)
    return line
  }
}

/** A list linked through its members: nobody is searched for, nothing is moved. */
class Line {
  readonly priority: number
  first: LocalConsumption | undefined
  private last: LocalConsumption | undefined

  constructor(priority: number) {
    this.priority = priority
  }

  push(consumption: LocalConsumption): void {
    const { last } = this
    consumption.before = last
    if (last === undefined) this.first = consumption
    else last.after = consumption
    this.last = consumption
  }

  remove(consumption: LocalConsumption): void {
    const { before, after } = consumption
    if (before === undefined) this.first = after
    else before.after = after
    if (after === undefined) this.last = before
    else after.before = before
    consumption.before = undefined
    consumption.after = undefined
  }
}
