/** Seed → verdict: what `run.mjs` imports, in its own thread or in a worker. */
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { classes, scenarios, tell, type Scenario } from './scenario.ts'
import { simulate, type Outcome } from './simulation.ts'

export { classes, tell }

/** The script tag's code, compiled once: each page load runs it anew with its own globals. */
export const compile = (path: string): ((globals: object) => void) => {
  // `with`, so that every free name of the bundle is looked up in the page, getters that throw included.
  const compiled: unknown = new Function('globals', `with (globals) {${readFileSync(path, 'utf8')}\n}`)
  return (globals) => {
    if (typeof compiled === 'function') compiled(globals)
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

/** Runs the scenario of a seed. */
export const check = async (script: Script, seed: number, names: readonly string[]): Promise<Verdict> => {
  let outcome: Outcome | undefined
  await fc.check(
    fc.asyncProperty(scenarios(seed, names), async (scenario) => {
      outcome = await simulate(scenario, script, false)
    }),
    { seed, numRuns: 1 },
  )
  if (!outcome) throw new Error('the scenario did not run')
  const failure = failureOf(seed, outcome)
  return { counts: outcome.counts, steps: outcome.steps, ...(failure && { failure }) }
}

/** Finds a shorter scenario that violates the same invariant. */
export const shrink = async (script: Script, seed: number, names: readonly string[]): Promise<Scenario | undefined> => {
  let invariant: string | undefined
  const details = await fc.check(
    fc.asyncProperty(scenarios(seed, names), async (scenario) => {
      const { violation } = await simulate(scenario, script, false)
      invariant ??= violation?.invariant
      return violation === undefined || violation.invariant !== invariant
    }),
    { seed, numRuns: 1 },
  )
  return details.counterexample?.[0]
}

/** Runs a scenario and writes down every step. */
export const replay = (script: Script, scenario: Scenario): Promise<Outcome> => simulate(scenario, script, true)
