/**
 * The spool's settings from environment variables.
 * Invariant: pure; a setting that cannot be used is named by its variable, and what it held is never shown: a place may hold a password.
 */
import { fail } from '../given.ts'
import { MAX_BYTES } from './spool.ts'

/** Which spool a relay uses, and how. */
export interface SpoolSettings {
  /** Such as `sqlite:/var/lib/pristo/spool.db`. */
  place: string
  /** Bytes of JSON that it keeps at most. */
  maxBytes: number
  /** Calls of the API a second, at most; undefined: as many as it answers. */
  perSecond: number | undefined
  /** Age of the oldest event, milliseconds, from which the relay counts as not ready. */
  maxAgeMs: number
}

/** Two of the three days after which an event is buried: a day to mend what is wrong. */
const MAX_AGE_S = 2 * 24 * 3600

/** What a place may be. */
export const PLACES = 'sqlite:PATH, redis://HOST:PORT/DB or rediss://…'

const readNumber = <T>(env: Readonly<Record<string, string | undefined>>, name: string, fallback: T): number | T => {
  const given = env[name]?.trim()
  if (!given) return fallback
  return /^[1-9]\d{0,14}$/.test(given) ? Number(given) : fail(name, given, 'a whole number from 1')
}

/** `PRISTO_SPOOL`, `PRISTO_SPOOL_MAX_BYTES`, `PRISTO_SPOOL_RATE` and `PRISTO_SPOOL_MAX_AGE` (seconds); undefined where the first is absent. Throws a TypeError of one line. */
export const readSpool = (env: Readonly<Record<string, string | undefined>>): SpoolSettings | undefined => {
  const place = env['PRISTO_SPOOL']?.trim()
  const settings = {
    maxBytes: readNumber(env, 'PRISTO_SPOOL_MAX_BYTES', MAX_BYTES),
    perSecond: readNumber(env, 'PRISTO_SPOOL_RATE', undefined),
    maxAgeMs: readNumber(env, 'PRISTO_SPOOL_MAX_AGE', MAX_AGE_S) * 1000,
  }
  if (!place) return undefined
  return /^(sqlite:.|rediss?:\/\/.)/.test(place) ? { place, ...settings } : fail('PRISTO_SPOOL', place, PLACES)
}
