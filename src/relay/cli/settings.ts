/**
 * Every environment variable of the command, and how one is read.
 * Invariant: a variable that is read anywhere is in the table, which help prints; a message never shows what a variable holds.
 */
import { describeGiven } from '../given.ts'
import { FORMATS, LEVELS, type Format, type Level } from './log.ts'

/** What help says of a variable. */
export interface Variable {
  fallback: string
  what: string
}

/** Of the relay and where it listens, in the order in which a newcomer meets them. */
const RELAY: Readonly<Record<string, Variable>> = {
  PRISTO_API_KEY: { fallback: 'required', what: 'the API key, a UUID; during a rotation several with commas, newest first' },
  PRISTO_POPULATION_ID: { fallback: 'required', what: 'the population that events go to, a UUID' },
  PRISTO_BASE_URL: { fallback: 'https://api.pristo.io', what: 'where the Pristo API is' },
  PRISTO_IDENTITY: { fallback: 'page', what: 'who says which contact an event belongs to: page, or token (your backend signs; needs keys)' },
  PRISTO_ALLOWED_ORIGINS: { fallback: 'none', what: 'other origins whose pages may send, with commas, such as https://shop.example' },
  PRISTO_ALLOWED_TYPES: { fallback: 'all', what: 'event types that you track, with commas; others are rejected' },
  PRISTO_TRUST_PROXY: { fallback: '0', what: 'how many proxies in front append to X-Forwarded-For; with 0 it is not read' },
  PRISTO_RATE_LIMIT: { fallback: 'address=3000/60,contact=600/60,overall=300000/60', what: 'requests/seconds of each, or off' },
  PRISTO_BOTS: { fallback: 'deliver', what: 'deliver or drop: what becomes of crawlers and monitors' },
  PRISTO_PATH: { fallback: '/pristo', what: 'path of the relay; the tag is there with .js behind it' },
  PORT: { fallback: '8787', what: 'port of the relay and the tag; 0 for any' },
  HOST: { fallback: '127.0.0.1', what: 'address of the relay and the tag; 0.0.0.0 for all, behind a proxy with TLS' },
}

const ADMIN: Readonly<Record<string, Variable>> = {
  PRISTO_ADMIN_PORT: { fallback: '9464', what: 'port of /healthz, /readyz and /metrics; 0 for any' },
  PRISTO_ADMIN_HOST: { fallback: '127.0.0.1', what: 'address of these; never one that the public can reach' },
}

const LOG: Readonly<Record<string, Variable>> = {
  PRISTO_LOG_FORMAT: { fallback: 'text on a terminal, else json', what: 'text or json' },
  PRISTO_LOG_LEVEL: { fallback: 'info', what: 'debug (each event), info (each request), warn (lost events) or error' },
}

const TOKENS: Readonly<Record<string, Variable>> = {
  PRISTO_IDENTITY_KEYS: { fallback: 'none', what: 'for token, as JSON: { "<kid>": "<secret of 32 bytes or more>" }, or JWKs, as { "<kid>": {…} } or [{…}]' },
  PRISTO_IDENTITY_AUDIENCE: { fallback: 'PRISTO_POPULATION_ID', what: 'whom tokens are for' },
}

const SPOOL: Readonly<Record<string, Variable>> = {
  PRISTO_SPOOL: { fallback: 'none', what: 'keeps events until Pristo has them: sqlite:PATH, or redis://HOST:PORT for several machines' },
  PRISTO_SPOOL_MAX_BYTES: { fallback: '1073741824', what: 'the most that it keeps, bytes of JSON; then events wait in the browsers' },
  PRISTO_SPOOL_RATE: { fallback: 'none', what: 'the most calls of the API a second, of each relay' },
  PRISTO_SPOOL_MAX_AGE: { fallback: '172800', what: 'seconds that its oldest event may wait until /readyz says no' },
}

/** All of them by name. */
export const VARIABLES: Readonly<Record<string, Variable>> = { ...RELAY, ...ADMIN, ...LOG, ...TOKENS, ...SPOOL }

/** Names, by what they are of. */
export const NAMES = { relay: Object.keys(RELAY), admin: Object.keys(ADMIN), log: Object.keys(LOG), tokens: Object.keys(TOKENS), spool: Object.keys(SPOOL) }

type Env = Readonly<Record<string, string | undefined>>

const fail = (env: Env, variable: string, allowed: string): never => {
  throw new TypeError(`[pristo] ${variable}: got ${describeGiven(env[variable])}; allowed is ${allowed}`)
}

const read = (env: Env, variable: string, fallback: string): string => env[variable]?.trim() || fallback

/** A variable that names one of these. */
const readChoice = <T extends string>(env: Env, variable: string, choices: readonly T[], fallback: T): T => {
  const value = read(env, variable, fallback)
  return choices.find((choice) => choice === value) ?? fail(env, variable, choices.join(', '))
}

/** `PRISTO_LOG_FORMAT`; `isTTY` decides where it is absent. Throws a TypeError of one line where it is no such name. */
export const readFormat = (env: Env, isTTY: boolean): Format => readChoice(env, 'PRISTO_LOG_FORMAT', FORMATS, isTTY ? 'text' : 'json')

/** `PRISTO_LOG_LEVEL`. Throws a TypeError of one line where it is no such name. */
export const readLevel = (env: Env): Level => readChoice(env, 'PRISTO_LOG_LEVEL', LEVELS, 'info')

/** Where the admin port listens. */
export interface AdminPlace {
  port: number
  hostname: string
}

const isPort = (value: string): boolean => /^\d{1,5}$/.test(value) && Number(value) <= 65_535

/** `PRISTO_ADMIN_PORT` and `PRISTO_ADMIN_HOST`. Throws a TypeError of one line where the port is none. */
export const readAdminPlace = (env: Env): AdminPlace => {
  const port = read(env, 'PRISTO_ADMIN_PORT', '9464')
  return {
    port: isPort(port) ? Number(port) : fail(env, 'PRISTO_ADMIN_PORT', 'a number from 0 to 65535'),
    hostname: read(env, 'PRISTO_ADMIN_HOST', '127.0.0.1'),
  }
}
