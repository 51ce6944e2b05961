/**
 * How much one client, one contact and everybody together may send.
 * Invariant: a limiter that fails costs a request nothing but its time limit; and what a limiter of the site's own sees of addresses
 * and contacts are hashes, as it may hand them to somebody else.
 */
import { fail } from './given.ts'
import { hashText } from './hash.ts'
import { createMemoryLimiter, isLimiter, isRate, isVerdict, type Limiter, type Rate, type Verdict } from './limiter.ts'
import { within } from './time.ts'

/** What is counted; each is a rate in memory, a limiter of the site's own, or not limited at all. */
export interface RateLimit {
  /** Requests of one client address (IPv6: of one /64), where the door knows it. Default 3 000 a minute. */
  address?: Rate | Limiter | false
  /** Batches with events of one contact. Default 600 a minute. */
  contact?: Rate | Limiter | false
  /** All requests together. Default 300 000 a minute. */
  overall?: Rate | Limiter | false
}

type Kind = keyof RateLimit

/**
 * Generous, since a refusal meets honest visitors too, though it only delays what they have tracked:
 * - address: an office of 1 000 people behind one NAT, each with a batch every 20 seconds; or 100 of them who come back online at once,
 *   each with a full outbox (1 000 events are 25 batches).
 * - contact: 20 tabs of one visitor that all send as often as they can (a batch every 2 s); a full outbox is 25.
 * - overall: a hundred such offices.
 */
export const DEFAULT_RATES: Readonly<Record<Kind, Rate>> = {
  address: { requests: 3_000, perS: 60 },
  contact: { requests: 600, perS: 60 },
  overall: { requests: 300_000, perS: 60 },
}

/** A limiter of the site's own may ask another machine; a visitor's batch waits meanwhile. */
const LIMIT_MS = 200

/** Where a limiter names no time: the shorter of the two windows that Cloudflare's can have. */
const DEFAULT_WAIT_S = 10

/** As with every other `Retry-After`: 1 s to 1 h. */
const MAX_WAIT_S = 3600

/** A limiter that is down is down for every request: one line a minute is enough. */
const REPORT_EVERY_MS = 60_000

/** In memory a longer id is kept as its hash, which has 64: what a key weighs is not the visitor's choice. A hash costs 25 µs of CPU. */
const MAX_RAW_CHARS = 63

/** Seconds to wait, or undefined where it may go on. Never rejects. */
type Gate = (value: string) => Promise<number | undefined>

/** What a request has to ask. */
export interface RateLimits {
  /** Counts one request; seconds to wait where it is one too many. One that its address forbids is not counted against everybody's. */
  request(address: string | undefined): Promise<number | undefined>
  /** Counts one batch for each distinct contact; those over their limit, with the seconds to wait. */
  contacts(ids: Iterable<string>): Promise<ReadonlyMap<string, number>>
}

/** `populationId` makes the hashes this site's own; `report` hears of each limiter that fails, at most once a minute, with a count. */
export const createRateLimits = ({
  rateLimit,
  populationId,
  now,
  report,
}: {
  rateLimit: false | RateLimit
  populationId: string
  now: () => number
  report: (message: string, cause?: unknown) => void
}): RateLimits => {
  const createTally = (kind: Kind) => {
    let failures = 0
    let saidAt = -Infinity
    return (what: string, cause?: unknown): void => {
      failures++
      const ageMs = now() - saidAt
      if (ageMs >= 0 && ageMs < REPORT_EVERY_MS) return
      report(`rateLimit.${kind} ${what}; what it cannot answer passes (${failures} since the last such line)`, cause)
      failures = 0
      saidAt = now()
    }
  }

  const waitS = ({ success, reset = NaN }: Verdict): number | undefined => {
    if (success) return undefined
    const seconds = Math.ceil((reset - now()) / 1000)
    return Number.isNaN(seconds) ? DEFAULT_WAIT_S : Math.min(Math.max(seconds, 1), MAX_WAIT_S)
  }

  const createGate = (kind: Kind): Gate => {
    const rule = rateLimit && (rateLimit[kind] ?? DEFAULT_RATES[kind])
    if (!rule) return () => Promise.resolve(undefined)
    const isForeign = isLimiter(rule)
    const limiter: Limiter = isForeign ? rule : createMemoryLimiter(rule, now)
    const fails = createTally(kind)
    const keyOf = (value: string) => (isForeign || value.length > MAX_RAW_CHARS ? hashText(`${populationId.toLowerCase()} ${kind} ${value}`) : value)

    return async (value) => {
      try {
        const asked = limiter.limit({ key: await keyOf(value) })
        // No timer where the answer is there already.
        const heard = isVerdict(asked) ? { answer: asked } : await within((async () => ({ answer: await asked }))(), LIMIT_MS)
        if (heard && isVerdict(heard.answer)) return waitS(heard.answer)
        fails(heard ? 'gave no { success } that is true or false' : `took over ${LIMIT_MS} ms`)
      } catch (cause) {
        fails('failed', cause)
      }
      return undefined
    }
  }

  const address = createGate('address')
  const contact = createGate('contact')
  const overall = createGate('overall')
  return {
    request: async (client) => (client === undefined ? undefined : await address(client)) ?? (await overall('')),
    contacts: async (ids) => {
      const waits = await Promise.all([...new Set(ids)].map(async (id) => [id, await contact(id)] as const))
      return new Map(waits.flatMap(([id, wait]) => (wait === undefined ? [] : [[id, wait] as const])))
    },
  }
}

/** Throws the one line where a limit is none: a typing error must not leave a relay without one. */
export const checkRateLimit = (given: unknown): void => {
  if (given === false) return
  const limits = typeof given === 'object' && given !== null ? Object.entries(given) : [['', undefined] as const]
  if (!limits.every(([kind]) => Object.hasOwn(DEFAULT_RATES, kind))) return fail('rateLimit', given, 'false, or an object with address, contact and overall')
  for (const [kind, rule] of limits) {
    const isSound = rule === false || rule === undefined || isRate(rule) || isLimiter(rule)
    if (!isSound) fail(`rateLimit.${kind}`, rule, 'false, { requests, perS } (above 0, requests whole) or { limit({ key }) } that gives { success }')
  }
}
