/**
 * What the API's answers mean for whoever set up the relay.
 * Invariant: each line says what is so and, unless all is well, what to do; keys are named by their place.
 */
import type { Answer, Verdict } from './probe.ts'

/** One line of `check`; only an error keeps events from being delivered. */
export interface Finding {
  level: 'ok' | 'warning' | 'error'
  what: string
}

const ORDINALS = ['first', 'second', 'third', 'fourth', 'fifth']

/** `the first key`, or `the key` where there is no other. */
const nameOf = (place: number, count: number): string => (count === 1 ? 'the key' : `the ${ORDINALS[place] ?? `${place + 1}th`} key`)

/** What keeps one key from being tried at all says nothing of that key, and is the same for the next one. */
const explainApi = (verdict: Exclude<Verdict, { kind: 'accepted' | 'key_refused' }>): string => {
  switch (verdict.kind) {
    case 'no_population':
      return 'PRISTO_POPULATION_ID: the API does not know it (404) – compare it with Pristo, and that it is of the account of the key'
    case 'redirected':
      return 'PRISTO_BASE_URL: the address redirects, so it is not the API, and the key is sent nowhere else – name the final address'
    case 'not_the_api':
      return `PRISTO_BASE_URL: what answers there (${verdict.status}) is not the Pristo API – compare it with https://api.pristo.io`
    case 'busy':
      return `the API: answers ${verdict.status}, so that it cannot judge the key now – try again later`
    case 'no_answer':
      return `PRISTO_BASE_URL: no answer (${verdict.why}) – look at the name, the network, a proxy or firewall on the way out, and TLS certificates`
  }
}

/** Findings of all keys, newest first as they are given. A key that is refused is an error only where no other one is taken. */
export const judgeKeys = (verdicts: readonly Verdict[]): Finding[] => {
  const isAnyTaken = verdicts.some(({ kind }) => kind === 'accepted')
  const findings = verdicts.map((verdict, place): Finding => {
    const key = `PRISTO_API_KEY: ${nameOf(place, verdicts.length)}`
    if (verdict.kind === 'accepted') return { level: 'ok', what: `${key} is taken by the API` }
    if (verdict.kind !== 'key_refused') return { level: 'error', what: explainApi(verdict) }
    if (!isAnyTaken)
      return {
        level: 'error',
        what: `${key} is refused by the API (${verdict.status}) – compare it with Pristo; events wait until then`,
      }
    return { level: 'warning', what: `${key} is refused by the API (${verdict.status}) – events go with another one; remove it` }
  })
  return findings.filter(({ what }, place) => findings.findIndex((other) => other.what === what) === place)
}

/** The API's clock has seconds; a request takes one or two. Over a minute the relay corrects browsers by a clock that is wrong itself. */
const TOLERANCE_MS = 60_000

/** `oursMs` is this machine's clock at the time of the answer. */
export const judgeClock = ({ dateMs, oursMs }: Pick<Answer, 'dateMs'> & { oursMs: number }): Finding[] => {
  if (dateMs === undefined) return []
  const offS = Math.round((oursMs - dateMs) / 1000)
  if (Math.abs(oursMs - dateMs) <= TOLERANCE_MS) return [{ level: 'ok', what: "clock: within a minute of the API's" }]
  return [
    {
      level: 'warning',
      what: `clock: ${Math.abs(offS)} s ${offS > 0 ? 'ahead of' : 'behind'} the API's – events get wrong times; set it, or start NTP`,
    },
  ]
}
