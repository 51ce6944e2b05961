/**
 * Counts uses of keys against a rate: in memory, or by whatever the site's platform has.
 * Invariant: memory is bounded, whatever keys come; time comes from outside, and no timer runs.
 */
import QuickLRU from 'quick-lru'

/** At most `requests` at once, which come back evenly over `perS` seconds (a token bucket). */
export interface Rate {
  requests: number
  perS: number
}

/** A limiter's answer. `reset`, in milliseconds since 1970, is when to try again, where it knows (Upstash's says it so). */
export interface Verdict {
  success: boolean
  reset?: number
}

/** Counts one use of the key, and says whether it is within the limit. Cloudflare's rate limiting binding is one as it is. */
export interface Limiter {
  /** The key stands for one client, one contact or everybody, as a hash: it holds nothing of a person. */
  limit(options: { key: string }): Verdict | Promise<Verdict>
}

/** Keys of one limiter in memory; at about 250 bytes each, 2.5 MB. quick-lru keeps the last `maxSize` used, and up to twice as many. */
const MAX_KEYS = 10_000

/**
 * Counts in this process's memory. A key that is pushed out starts anew with a full allowance: for that, 5 000 others must be used between
 * two uses of it, refused ones included.
 */
export const createMemoryLimiter = ({ requests, perS }: Rate, now: () => number): { limit(options: { key: string }): Verdict } => {
  const buckets = new QuickLRU<string, { tokens: number; at: number }>({ maxSize: MAX_KEYS / 2 })
  const perMs = requests / (perS * 1000)

  return {
    limit: ({ key }) => {
      const at = now()
      const bucket = buckets.get(key) ?? { tokens: requests, at }
      // A clock set back gives nothing back, and takes nothing.
      bucket.tokens = Math.min(requests, bucket.tokens + Math.max(0, at - bucket.at) * perMs)
      bucket.at = at
      buckets.set(key, bucket)
      if (bucket.tokens < 1) return { success: false, reset: at + (1 - bucket.tokens) / perMs }
      bucket.tokens -= 1
      return { success: true }
    },
  }
}

// A function, too: stubs of other workers may be one. And no `in`, which does not find what a proxy makes up.
const memberOf = (given: unknown, name: string): unknown =>
  (typeof given === 'object' && given !== null) || typeof given === 'function' ? Reflect.get(given, name) : undefined

/** Whether it has a `limit()`. */
export const isLimiter = (given: unknown): given is Limiter => typeof memberOf(given, 'limit') === 'function'

/** Whether it says `success`. */
export const isVerdict = (given: unknown): given is Verdict => typeof memberOf(given, 'success') === 'boolean'

/** Whether it is a whole number of requests in some seconds, both above 0. */
export const isRate = (given: unknown): given is Rate => {
  const [requests, perS] = [memberOf(given, 'requests'), memberOf(given, 'perS')]
  return Number.isInteger(requests) && Number(requests) > 0 && Number.isFinite(perS) && Number(perS) > 0
}
