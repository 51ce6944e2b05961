/** Seed → verdict: what `run.mjs` imports, in its own thread or in a worker. */
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { classes, scenarios, tell, type Scenario, type Step } from './scenario.ts'
import { simulate, type Outcome } from './simulation.ts'

export { classes, tell }

/** What the language brings. */
const LANGUAGE = { Object, Array, Map, Set, WeakSet, WeakMap, Promise, RegExp, String, Number, Error, TypeError, JSON, Symbol, Reflect, Uint8Array }

/** What of a page never throws and never changes its identity. */
const FIXED = [
  'window', 'document', 'navigator', 'location', 'console', 'Date', 'Math', 'setTimeout', 'clearTimeout', 'queueMicrotask', 'addEventListener', 'removeEventListener',
  'AbortSignal', 'AbortController', 'TextEncoder', 'Blob', 'Request', 'Response', 'DOMException',
] // prettier-ignore

/** The script tag's code, compiled once: each page load runs it anew with its own globals. */
export const compile = (path: string): ((globals: object) => void) => {
  const names = [...Object.keys(LANGUAGE), ...FIXED]
  // `with`, so that every other free name of the bundle is looked up in the page, getters that throw included. The fixed
  // ones are parameters: a name looked up through `with` costs V8 a hundred times as much, and that was half of the run.
  const code = `with (globals) { return function (${names}) {${readFileSync(path, 'utf8')}\n} }`
  const compiled: unknown = new Function('globals', code)
  return (globals) => {
    const run: unknown = typeof compiled === 'function' ? compiled(globals) : undefined
    if (typeof run === 'function') run(...Object.values(LANGUAGE), ...FIXED.map((name) => Reflect.get(globals, name)))
  }
}

/** One seed. `undefined` where nothing is violated. */
export interface Failure {
  seed: number
  invariant: string
  story: string
}

export interface Verdict {
  failure?: Failure
  counts: Outcome['counts']
  steps: number
}

export type Script = ReturnType<typeof compile>

const failureOf = (seed: number, outcome: Outcome): Failure | undefined =>
  outcome.violation && { seed, invariant: outcome.violation.invariant, story: outcome.violation.story }

/** The scenario of a seed. */
export const scenarioOf = (seed: number, names: readonly string[]): Scenario => {
  const [scenario] = fc.sample(scenarios(seed, names), { seed, numRuns: 1 })
  if (!scenario) throw new Error('fast-check made no scenario')
  return scenario
}

/** Runs the scenario of a seed. */
export const check = async (script: Script, seed: number, names: readonly string[]): Promise<Verdict> => {
  const outcome = await simulate(scenarioOf(seed, names), script, false)
  const failure = failureOf(seed, outcome)
  return { counts: outcome.counts, steps: outcome.steps, ...(failure && { failure }) }
}

/** One action less far-fetched. */
const simplify = ({ afterMs, action }: Step): Step[] => [
  ...(afterMs > 100 ? [{ afterMs: 100, action }] : []),
  ...('count' in action && action.count > 1 ? [{ afterMs, action: { ...action, count: 1 } }] : []),
  ...('chance' in action && action.chance < 1 ? [{ afterMs, action: { ...action, chance: 1 } }] : []),
]

/**
 * A shorter scenario that violates the same invariant, or `undefined` where the seed's own violates none. Halves, quarters … single
 * actions are left out, then simplified: some hundred runs, where fast-check's own shrinking of a list took thousands.
 */
export const shrink = async (script: Script, seed: number, names: readonly string[]): Promise<Scenario | undefined> => {
  let best = scenarioOf(seed, names)
  const whole = await simulate(best, script, false)
  if (!whole.violation) return undefined
  const { invariant } = whole.violation
  const isBetter = async (steps: Step[]): Promise<boolean> => {
    const { violation } = await simulate({ seed, steps }, script, false)
    if (violation?.invariant !== invariant) return false
    best = { seed, steps }
    return true
  }
  for (let size = best.steps.length >> 1; size >= 1; size = size > 1 ? size >> 1 : 0) {
    for (let at = 0; at < best.steps.length; ) {
      const { steps } = best
      // The pause stays, so that the rest happens when it did.
      const goneMs = steps.slice(at, at + size).reduce((sum, { afterMs }) => sum + afterMs, 0)
      const rest = steps.slice(at + size).map((step, nth) => (nth === 0 ? { ...step, afterMs: step.afterMs + goneMs } : step))
      if (!(await isBetter([...steps.slice(0, at), ...rest]))) at += size
    }
  }
  for (let at = 0; at < best.steps.length; at++) {
    for (const simpler of best.steps.slice(at, at + 1).flatMap(simplify)) await isBetter(best.steps.map((step, nth) => (nth === at ? simpler : step)))
  }
  return best
}

/** Runs a scenario and writes down every step. */
export const replay = (script: Script, scenario: Scenario): Promise<Outcome> => simulate(scenario, script, true)
