/**
 * The API, at its worst or well, and the log of what it did.
 * Invariant: each call is decided once, as it arrives.
 */
import type { Random } from '../../simulation/random.ts'
import type { Call, Fault, PristoApi, Weather } from '../../support/pristo-api.ts'
import { NAMES } from './serve.ts'
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

/** Everything is taken as it should be. */
export const FAIR: Odds = { fails: 0, throttles: 0, hangs: 0, resetsBefore: 0, resetsAfter: 0 }

/** Lets the weather begin. `onCall` hears which relay called. */
export const makeWeather = (api: PristoApi, { odds, random, onCall = () => undefined }: { odds: Odds; random: Random; onCall?: (relay: string) => void }) => {
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
