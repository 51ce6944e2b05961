/**
 * Settings of the standalone relay from environment variables.
 * Invariant: pure; a setting that cannot be used is named by its variable, and what it held is never shown.
 * @module pristo/relay/env
 */
import { fail } from './given.ts'
import { assertKeys, type IdentityKeys } from './keys.ts'
import { DEFAULT_BASE_URL, type Identity, type RelayOptions } from './options.ts'
import type { RateLimit } from './rate.ts'
import { isUuid } from './uuid.ts'

/** Where the standalone relay listens. */
export interface Place {
  /** 0 lets the system choose. Default 8787. */
  port: number
  /** Default `127.0.0.1`: a proxy of the same machine, nobody else. */
  hostname: string
  /** Of the relay; the tag is at this path with `.js` behind it. Default `/pristo`. */
  path: string
}

const isAbsent = (value: string | undefined): boolean => value === undefined || value.trim() === ''

const list = (value: string): string[] =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

const isHttpUrl = (value: string): boolean => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
const isOrigin = (value: string): boolean => URL.canParse(value) && new URL(value).origin === value
const isPort = (value: string): boolean => /^\d{1,5}$/.test(value) && Number(value) <= 65_535
const PATH = 'a path without a trailing slash, such as /pristo'
const KEYS = 'JSON, such as {"2026-11":"a secret of at least 32 bytes"}, or an array of public JWKs with a kid'
const isPath = (value: string): boolean => /^(\/[\w.~-]+)+$/.test(value)

const readKeys = (text: string): IdentityKeys => {
  const name = 'PRISTO_IDENTITY_KEYS'
  let keys: unknown
  try {
    keys = JSON.parse(text)
  } catch {
    fail(name, text, KEYS) // without the parser's own message, which quotes the text
  }
  assertKeys(keys, name)
  return keys
}

const RATES = 'off, or requests/seconds of address, contact and overall, such as address=3000/60,contact=600/60'
const RATE = /^(address|contact|overall)=([1-9]\d{0,8})\/([1-9]\d{0,8})$/
const isRates = (value: string): boolean => value === '' || value === 'off' || (list(value).length > 0 && list(value).every((item) => RATE.test(item)))
const toRates = (value: string): false | RateLimit => {
  if (value === 'off') return false
  const matches = list(value).flatMap((item) => [RATE.exec(item) ?? []])
  return Object.fromEntries(matches.map(([, kind = '', requests, perS]) => [kind, { requests: Number(requests), perS: Number(perS) }]))
}

/**
 * Options from `PRISTO_API_KEY` (several by commas, newest first), `PRISTO_POPULATION_ID`, `PRISTO_BASE_URL`, `PRISTO_IDENTITY` (`page` or `token`),
 * `PRISTO_IDENTITY_KEYS` (JSON), `PRISTO_IDENTITY_AUDIENCE` (the population where it is not set), `PRISTO_ALLOWED_ORIGINS` and
 * `PRISTO_ALLOWED_TYPES` (by commas), `PRISTO_TRUST_PROXY`, `PRISTO_RATE_LIMIT` (`off`, or `address=3000/60,…`), `PRISTO_BOTS`,
 * `PRISTO_PATH`, `PORT` and `HOST`. What `given` holds is taken instead of its variable.
 * Throws a TypeError of one line that names the variable, what was given (never its content) and what is allowed.
 */
export const optionsFromEnv = (
  env: Readonly<Record<string, string | undefined>>,
  given: Partial<RelayOptions & Place> = {},
): RelayOptions & Place => {
  const read = (variable: string, isAllowed: (value: string) => boolean, allowed: string, fallback?: string): string => {
    const value = isAbsent(env[variable]) ? fallback : env[variable]?.trim()
    return value !== undefined && isAllowed(value) ? value : fail(variable, env[variable], allowed)
  }
  const readList = (variable: string, isAllowed: (value: string) => boolean, allowed: string, fallback?: string): string[] =>
    list(read(variable, (value) => (value === fallback || list(value).length > 0) && list(value).every(isAllowed), allowed, fallback))

  const path = given.path ?? read('PRISTO_PATH', isPath, PATH, '/pristo')
  if (!isPath(path)) fail('path', path, PATH)

  const populationId = () => given.populationId ?? read('PRISTO_POPULATION_ID', isUuid, 'a UUID')
  const identity = (): Identity => {
    // Whoever gives keys does not want the page to be believed because one variable is missing.
    const fallback = isAbsent(env['PRISTO_IDENTITY_KEYS']) ? 'page' : undefined
    const kind = read('PRISTO_IDENTITY', (value) => /^(page|token)$/.test(value), "'page' or 'token' (another identity needs code: see serveRelay)", fallback)
    if (kind === 'page') return kind
    const keys = readKeys(read('PRISTO_IDENTITY_KEYS', () => true, KEYS))
    return { keys, audience: read('PRISTO_IDENTITY_AUDIENCE', () => true, 'a non-empty string', populationId()) }
  }
  const allowedTypes = given.allowedTypes ?? readList('PRISTO_ALLOWED_TYPES', () => true, 'event types separated by commas, such as purchase,signup', '')
  const bots = () => (read('PRISTO_BOTS', (value) => value === 'deliver' || value === 'drop', 'deliver or drop', 'deliver') === 'drop' ? 'drop' : 'deliver')
  return {
    ...given,
    ...(allowedTypes.length && { allowedTypes }),
    apiKey: given.apiKey ?? readList('PRISTO_API_KEY', isUuid, 'a UUID, or several separated by commas, newest first'),
    populationId: populationId(),
    baseUrl: given.baseUrl ?? read('PRISTO_BASE_URL', isHttpUrl, 'an http or https URL', DEFAULT_BASE_URL),
    allowedOrigins: given.allowedOrigins ?? readList('PRISTO_ALLOWED_ORIGINS', isOrigin, 'origins separated by commas, such as https://shop.example', ''),
    identity: given.identity ?? identity(),
    trustProxy: given.trustProxy ?? Number(read('PRISTO_TRUST_PROXY', (value) => /^\d$/.test(value), 'a number of proxies from 0 to 9', '0')),
    rateLimit: given.rateLimit ?? toRates(read('PRISTO_RATE_LIMIT', isRates, RATES, '')),
    bots: given.bots ?? bots(),
    port: given.port ?? Number(read('PORT', isPort, 'a number from 0 to 65535', '8787')),
    hostname: given.hostname ?? read('HOST', (value) => value !== '', 'a host name or an address', '127.0.0.1'),
    path,
  }
}
