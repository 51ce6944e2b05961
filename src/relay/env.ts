/**
 * Settings of the standalone relay from environment variables.
 * Invariant: pure; a setting that cannot be used is named by its variable, and what it held is never shown.
 */
import { describeGiven } from './given.ts'
import { DEFAULT_BASE_URL, type RelayOptions } from './options.ts'

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

const fail = (variable: string, given: unknown, allowed: string): never => {
  throw new TypeError(`[pristo] ${variable}: got ${describeGiven(given)}; allowed is ${allowed}`)
}

const isUuid = (value: string): boolean => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(value)
const isHttpUrl = (value: string): boolean => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
const isOrigin = (value: string): boolean => URL.canParse(value) && new URL(value).origin === value
const isPort = (value: string): boolean => /^\d{1,5}$/.test(value) && Number(value) <= 65_535
const PATH = 'a path without a trailing slash, such as /pristo'
const isPath = (value: string): boolean => /^(\/[\w.~-]+)+$/.test(value)

/**
 * Options from `PRISTO_API_KEY` (several by commas, newest first), `PRISTO_POPULATION_ID`, `PRISTO_BASE_URL`, `PRISTO_IDENTITY` (only `page`),
 * `PRISTO_ALLOWED_ORIGINS` (by commas), `PRISTO_PATH`, `PORT` and `HOST`. What `given` holds is taken instead of its variable.
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

  const identity = () => {
    read('PRISTO_IDENTITY', (value) => value === 'page', "'page' (another identity needs code: see serveRelay)", 'page')
    return 'page' as const
  }
  return {
    ...given,
    apiKey: given.apiKey ?? readList('PRISTO_API_KEY', isUuid, 'a UUID, or several separated by commas, newest first'),
    populationId: given.populationId ?? read('PRISTO_POPULATION_ID', isUuid, 'a UUID'),
    baseUrl: given.baseUrl ?? read('PRISTO_BASE_URL', isHttpUrl, 'an http or https URL', DEFAULT_BASE_URL),
    allowedOrigins: given.allowedOrigins ?? readList('PRISTO_ALLOWED_ORIGINS', isOrigin, 'origins separated by commas, such as https://shop.example', ''),
    identity: given.identity ?? identity(),
    port: given.port ?? Number(read('PORT', isPort, 'a number from 0 to 65535', '8787')),
    hostname: given.hostname ?? read('HOST', (value) => value !== '', 'a host name or an address', '127.0.0.1'),
    path,
  }
}
