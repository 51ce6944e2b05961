/**
 * The API at its worst, and the log of what it did.
 * Invariant: each relay is known by how it writes the population's id, since nothing else of it reaches the API.
 */
import type { Random } from '../../simulation/random.ts'
import type { Call, Fault, PristoApi, Weather } from '../../support/pristo-api.ts'
import type { Arrival } from './witness.ts'

/** How often which of these happens to a call, 0 to 1 together; the rest is taken as it should be. */
export interface Odds {
  /** 500. */
  fails: number
  /** 429 with `Retry-After: 1`. */
  throttles: number
  /** No answer at all: the relay waits its 10 s. */
  hangs: number
  resetsBefore: number
  /** The event is stored, and the answer lost. */
  resetsAfter: number
}

/** The longest that a sound answer takes, milliseconds. */
const MAX_DELAY_MS = 30

const draw = (odds: Odds, random: Random): Fault => {
  const delayMs = random.int(0, MAX_DELAY_MS)
  let left = random.next()
  const hits = (chance: number): boolean => (left -= chance) < 0
  if (hits(odds.fails)) return { status: 500 }
  if (hits(odds.throttles)) return { status: 429, retryAfter: '1' }
  if (hits(odds.hangs)) return { hang: true }
  if (hits(odds.resetsBefore)) return { delayMs, reset: 'before' }
  if (hits(odds.resetsAfter)) return { delayMs, reset: 'after' }
  return { delayMs }
}

const fateOf = ({ status, hang, reset }: Fault): Arrival['fate'] => (reset === 'after' ? 'lost' : status || hang || reset ? 'failed' : 'answered')

/** The first relay writes the id in small letters, the second in capitals; no third is there. */
export const NAMES = ['relay 1', 'relay 2'] as const

/** What the relay of this name has as `PRISTO_POPULATION_ID`. */
export const populationOf = (name: (typeof NAMES)[number], { populationId }: Pick<PristoApi, 'populationId'>): string =>
  name === NAMES[0] ? populationId.toLowerCase() : populationId.toUpperCase()

/** Lets the weather begin. `onCall` hears which relay called. */
export const makeWeather = (api: PristoApi, { odds, random, onCall }: { odds: Odds; random: Random; onCall(relay: string): void }) => {
  const calls: { call: Readonly<Call>; relay: string; fate: Arrival['fate'] }[] = []
  let isFair = false

  const weather: Weather = (call) => {
    const fault = isFair ? {} : draw(odds, random)
    const relay = NAMES[+/[A-F]/.test(call.path)] ?? NAMES[0]
    calls.push({ call, relay, fate: fateOf(fault) })
    onCall(relay)
    return fault
  }
  api.fail(weather)
  return {
    arrivals: (): Arrival[] => calls.map(({ call: { requestId = '', at, endedAt = Infinity }, relay, fate }) => ({ id: requestId, relay, at, endedAt, fate })),
    /** From now on the API takes everything. */
    clearUp: (): void => {
      isFair = true
    },
  }
}
