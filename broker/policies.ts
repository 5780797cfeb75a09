/** The options that speak of destinations, as the rules that the floors below go by. */
import { getHeapStatistics } from 'node:v8'
import type { EngineSettings } from './engine/local.ts'
import type { SlowPolicy } from './core/leniency.ts'
import type { Overflow } from './engine/engine.ts'
import type { Settings } from './options.ts'
import type { DestinationRules } from './protocol/destination.ts'
import { matchesPattern, parsePattern, type Pattern, type Separator } from './protocol/pattern.ts'

const separators: Record<Settings['compat'], Separator> = {
  auto: 'auto',
  rabbitmq: '.',
  activemq: '.',
  spring: '/',
}

export function destinationRules({ compat, broadcast, strict }: Settings): DestinationRules {
  const separator = separators[compat]
  return { separator, broadcast: broadcast.map((name) => parsePattern(name, 'auto')), strict }
}

/** What becomes of slow subscribers of a topic; undefined where it is the same for all: they are disconnected. */
export function slowPolicies(settings: Settings): ((destination: string) => SlowPolicy) | undefined {
  if (settings.slowConsumers.length === 0) return undefined
  const rules = settings.slowConsumers.map((rule): { pattern: Pattern; policy: SlowPolicy } => {
    const [name = '', policy] = rule.split('=')
    return { pattern: parsePattern(name, 'auto'), policy: policy as SlowPolicy } // the option's schema saw to it
  })
  return (destination) =>
    rules.find(({ pattern }) => matchesPattern(pattern, destination))?.policy ?? 'disconnect'
}

export function engineSettings(settings: Settings): EngineSettings {
  const prioritized = settings.priorityQueues.map((name) => parsePattern(name, 'auto'))
  const overflow = settings.overflow.map((rule): { pattern: Pattern; policy: Overflow } => {
    const [name = '', policy] = rule.split('=')
    return { pattern: parsePattern(name, 'auto'), policy: policy as Overflow } // the option's schema saw to it
  })
  return {
    ...settings,
    maxMemory: Math.min(settings.maxMemory, getHeapStatistics().heap_size_limit / 2),
    prioritized: (queue) => prioritized.some((pattern) => matchesPattern(pattern, queue)),
    overflow: (queue) => overflow.find(({ pattern }) => matchesPattern(pattern, queue))?.policy ?? 'refuse',
  }
}
