/**
 * What the site's owner sets, checked once.
 * Invariant: a relay that starts has every setting that it needs; a message about one never shows what was given, as that may be a key.
 */
import type { Contact } from '../contract.ts'
import { checkTrustProxy } from './address.ts'
import type { DedupeStore } from './dedupe.ts'
import { checkAllowedTypes, checkBots, type Bots } from './filter.ts'
import { fail } from './given.ts'
import { checkHooks, type Hooks } from './hooks.ts'
import { parseKeys, type IdentityKeys, type VerifyKeys } from './keys.ts'
import { checkRateLimit, type RateLimit } from './rate.ts'
import type { Spool } from './spool/spool.ts'
import type { Tag } from './tag.ts'
import type { Fetch } from './upstream.ts'
import { isUuid } from './uuid.ts'

/**
 * Who says which contact an event belongs to. Required, since the API upserts: an open relay would let anyone rewrite anyone's email.
 *
 * - `'page'`: believe the page. For newsletter forms and trials, where nothing is lost if somebody claims to be somebody else.
 * - `{ resolve }`: the site's own session decides. `resolve` gets the request (its body is already read) and gives the contact,
 *   whose details replace the page's, or null where nobody is logged in (401). If it throws, or gives something that is no contact,
 *   nothing is delivered and the events wait in the browser.
 * - `{ keys, audience }`: a JWT that the site's backend signed and the batch carries as `token`, for pages without a session of this origin.
 *   Header: `alg`, and `kid`, the name of the key. Claims: `sub` (the contact's id), `aud` (equal to `audience`), `exp` (at most 24 hours ahead),
 *   optionally `nbf`, `iat` and `contact`, whose details replace the page's; without it the page's stand, for its own contact alone.
 *   What is missing, expired or forged is answered 401 (`token_missing`, `token_expired`, `token_invalid`), and the events wait in the browser.
 */
export type Identity = 'page' | Session | { keys: IdentityKeys; audience: string }

/** The site's own session. */
export interface Session {
  /** The contact that is logged in, or nothing. `request` has its headers; its body is already read. */
  resolve(request: Request): Contact | null | undefined | Promise<Contact | null | undefined>
}

/** Time limits in milliseconds; the defaults fit the browser part and are changed in tests only. */
export interface Limits {
  /** For the whole body of a request, then 408. Default 10 000. */
  bodyMs: number
  /** For one event's call of the API, all keys together. Default 10 000. */
  callMs: number
  /** After which no further delivery starts and the answer leaves: below the browser's own 10 s. Default 8 000. */
  deadlineMs: number
  /** For `identity.resolve`. Default 5 000. */
  resolveMs: number
  /** For one question to the deduplication store. Default 1 000. */
  storeMs: number
}

/** Options of `createRelay()`. */
export interface RelayOptions extends Hooks {
  /** The Pristo API key, a UUID; or several during a rotation, newest first. Never reaches a browser. */
  apiKey: string | readonly string[]
  /** The population that events go to, a UUID. */
  populationId: string
  /** Who says which contact an event belongs to: a choice that nobody can make for the site. */
  identity: Identity
  /** Where the Pristo API is; http or https. Default `https://api.pristo.io`. */
  baseUrl?: string
  /** Origins of other sites whose pages may use this relay, such as `https://shop.example`. Default none: same origin only. */
  allowedOrigins?: readonly string[]
  /** Accept requests that name no origin at all (scripts, servers). Default false. */
  allowNonBrowser?: boolean
  /**
   * Proxies in front of the relay, each of which appends to X-Forwarded-For, so that clients can be told apart. Default 0: the header is not
   * read. One too many, and a client chooses its own address.
   */
  trustProxy?: number
  /** How much a client, a contact and everybody together may send; false: as much as they like. Default see {@link RateLimit}. */
  rateLimit?: false | RateLimit
  /** Event types that the site tracks; others are rejected, `type_not_allowed`. Default all. */
  allowedTypes?: readonly string[]
  /**
   * `'drop'` rejects events of programs that say what they are in their User-Agent (crawlers, monitors, headless test browsers), `bot`.
   * Default `'deliver'`.
   */
  bots?: Bots
  /** The script, as `pristo/relay/tag` has it: served to GET and HEAD of any path that ends in `.js`, where no events are taken then. Default: not served (405). */
  tag?: Tag
  /** Where delivered events are remembered. Default: in memory, 10 000 events, 24 hours. */
  store?: DedupeStore
  /**
   * Keeps events on a disk while the API is down: the answer is then 202 as soon as they are safe there, and a worker delivers them (`startSpoolWorker` of
   * `pristo/relay/spool`). Default none: the browser keeps what is not stored yet.
   */
  spool?: Pick<Spool, 'put'>
  /**
   * Hears what the site's owner should know: one line without personal data, and the error of the site's own code where there was one
   * (which may hold personal data). Default: `console.error` of the line alone.
   */
  onError?: (message: string, cause?: unknown) => void
  /** Calls the API. Default: the runtime's own; on Node, `nodeFetch` of `pristo/relay/node` takes half the CPU. */
  fetch?: Fetch
  /** Milliseconds since 1970. Default `Date.now`. */
  now?: () => number
  /** For tests. */
  limits?: Partial<Limits>
}

/** Who says which contact an event belongs to, with keys that can be used. */
export type CheckedIdentity = 'page' | Session | { keys: VerifyKeys; audience: string }

/** Options after the check, with every default in place. */
export interface Settings {
  keys: readonly string[]
  populationId: string
  /** Complete: base URL, path and population. */
  url: string
  identity: CheckedIdentity
  allowedOrigins: readonly string[]
  allowNonBrowser: boolean
  trustProxy: number
  rateLimit: false | RateLimit
  allowedTypes: readonly string[] | undefined
  bots: Bots
}

/** Defaults of {@link Limits}, from DESIGN.md. */
export const DEFAULT_LIMITS: Limits = { bodyMs: 10_000, callMs: 10_000, deadlineMs: 8_000, resolveMs: 5_000, storeMs: 1_000 }

/** Where the Pristo API lives in production. */
export const DEFAULT_BASE_URL = 'https://api.pristo.io'

const checkKeys = (given: unknown): readonly string[] => {
  const keys: unknown[] = Array.isArray(given) ? given : [given]
  const wrong = keys.findIndex((key) => !isUuid(key))
  if (wrong >= 0) fail(Array.isArray(given) ? `apiKey[${wrong}]` : 'apiKey', keys[wrong], 'a UUID, or an array of UUIDs, newest first')
  return keys.length ? keys.filter(isUuid) : fail('apiKey', given, 'a UUID, or an array of UUIDs, newest first')
}

const checkBaseUrl = (given: unknown): string => {
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : undefined
  const isSound = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash
  return isSound ? url.origin + url.pathname.replace(/\/+$/, '') : fail('baseUrl', given, 'an http or https URL without user, query and fragment')
}

const IDENTITIES = "'page' (believe the page), { resolve(request) } (your own session decides) or { keys, audience } (your backend signs)"

/** Where both ways are given, it is anybody's guess which one was meant. */
const checkIdentity = (given: Identity): CheckedIdentity => {
  if (given === 'page') return given
  if (typeof given !== 'object' || given === null || 'resolve' in given === 'keys' in given) return fail('identity', given, IDENTITIES)
  if ('resolve' in given) return typeof given.resolve === 'function' ? given : fail('identity.resolve', given.resolve, 'a function')
  const { keys, audience } = given
  const parsed = parseKeys(keys, 'identity.keys')
  if (!parsed.ok) throw new TypeError(`[pristo] ${parsed.reason}`)
  return typeof audience === 'string' && audience !== '' ? { keys: parsed.value, audience } : fail('identity.audience', audience, 'a non-empty string')
}

const checkOrigins = (given: unknown): void => {
  const allowed = "an array of origins, such as 'https://shop.example' (no path, no trailing slash, no *)"
  if (!Array.isArray(given)) return fail('allowedOrigins', given, allowed)
  const wrong = given.findIndex((origin) => typeof origin !== 'string' || !URL.canParse(origin) || new URL(origin).origin !== origin)
  if (wrong >= 0) fail(`allowedOrigins[${wrong}]`, given[wrong], allowed)
}

const checkTag = (given: unknown): void => {
  const isSound = ['text', 'brotli', 'gzip', 'etag'].every((part) => typeof Object(given)[part] === 'string')
  if (given !== undefined && !isSound) fail('tag', given, 'the tag of pristo/relay/tag')
}

/** Options as they come from JavaScript, where no compiler has looked at them. Throws a TypeError of one line. */
export const checkOptions = (options: RelayOptions): Settings => {
  if (typeof options !== 'object' || options === null) return fail('options', options, 'an object with apiKey, populationId and identity')
  const { populationId, baseUrl = DEFAULT_BASE_URL, allowedOrigins = [], allowNonBrowser = false } = options
  const { trustProxy = 0, rateLimit = {}, allowedTypes, bots = 'deliver', onError, onOutcome, onDrop, onRequest } = options
  const keys = checkKeys(options.apiKey)
  if (!isUuid(populationId)) fail('populationId', populationId, 'a UUID')
  const identity = checkIdentity(options.identity)
  const base = checkBaseUrl(baseUrl)
  checkOrigins(allowedOrigins)
  if (typeof allowNonBrowser !== 'boolean') fail('allowNonBrowser', allowNonBrowser, 'true or false')
  checkTrustProxy(trustProxy)
  checkRateLimit(rateLimit)
  checkAllowedTypes(allowedTypes)
  checkBots(bots)
  checkHooks({ onError, onOutcome, onDrop, onRequest })
  checkTag(options.tag)
  if (options.spool !== undefined && typeof Object(options.spool).put !== 'function') fail('spool', options.spool, 'a spool, such as openSpool of pristo/relay/spool gives')
  const abuse = { trustProxy, rateLimit, allowedTypes, bots }
  return { keys, populationId, url: `${base}/v1/events/send/${populationId}`, identity, allowedOrigins, allowNonBrowser, ...abuse }
}
