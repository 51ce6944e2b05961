/**
 * `pristo-relay check`: is this configuration sound, does the key work.
 * Invariant: nothing is stored anywhere, and of what variables hold a line shows origins alone; keys are called first and second.
 */
import { optionsFromEnv, type Place } from '../env.ts'
import type { RelayOptions } from '../index.ts'
import { checkOptions } from '../options.ts'
import type { openSpool as OpenSpool } from '../spool.ts'
import { readSpool } from '../spool/env.ts'
import type { Fetch } from '../upstream.ts'
import type { Command } from './command.ts'
import { judgeClock, judgeKeys, type Finding } from './findings.ts'
import { probe } from './probe.ts'
import { NAMES, readAdminPlace, readFormat, readLevel, VARIABLES } from './settings.ts'

type Env = Readonly<Record<string, string | undefined>>

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).replace('[pristo] ', '')

const UUID = '00000000-0000-4000-8000-000000000000'

/** One sound value for each setting: with all but one of them given, only that one's variable is read. */
const SOUND: Omit<RelayOptions, 'store' | 'fetch'> & Place = {
  apiKey: UUID,
  populationId: UUID,
  baseUrl: 'https://api.pristo.io',
  allowedOrigins: [],
  identity: 'page',
  allowedTypes: ['any'],
  trustProxy: 0,
  rateLimit: {},
  bots: 'deliver',
  port: 0,
  hostname: '127.0.0.1',
  path: '/pristo',
}

/** Every variable that cannot be used, where a start would name the first alone. */
const findWrongSettings = (env: Env): Finding[] => {
  const reads = Object.keys(SOUND).map((setting) => () => void checkOptions(optionsFromEnv(env, { ...SOUND, [setting]: undefined })))
  const own = [() => void readAdminPlace(env), () => void readFormat(env, false), () => void readLevel(env), () => void readSpool(env)]
  const messages = [...reads, ...own].flatMap((read) => {
    try {
      read()
      return []
    } catch (error) {
      return [messageOf(error)]
    }
  })
  return [...new Set(messages)].map((what): Finding => ({ level: 'error', what }))
}

const isLoopback = (hostname: string): boolean => /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(hostname)

/** What works, and may still not be meant. */
const findDoubts = (env: Env, { identity, baseUrl, allowedOrigins = [], apiKey, trustProxy, rateLimit }: RelayOptions): Finding[] => {
  const isProduction = env['NODE_ENV'] === 'production'
  const isOpen = (url: string): boolean => new URL(url).protocol === 'http:' && (isProduction || !isLoopback(new URL(url).hostname))
  const unknown = Object.keys(env).filter((name) => /^PRISTO_\w{1,40}$/.test(name) && !Object.hasOwn(VARIABLES, name))
  const doubts: (string | false | undefined)[] = [
    identity === 'page' &&
      'identity: page – anybody can write to any contact, as the relay believes what the page says; fit for trials and newsletter forms. Otherwise PRISTO_IDENTITY=token, or code: createRelay with resolve',
    trustProxy === 0 &&
      rateLimit !== false &&
      'PRISTO_TRUST_PROXY: 0 – behind a proxy all visitors share the limit of one address; say how many proxies there are',
    baseUrl !== undefined && isOpen(baseUrl) && 'PRISTO_BASE_URL: http – the key travels in the clear; use https',
    ...allowedOrigins.filter(isOpen).map((origin) => `PRISTO_ALLOWED_ORIGINS: ${origin} – in production pages are https; name them so`),
    Array.isArray(apiKey) && new Set(apiKey).size < apiKey.length && 'PRISTO_API_KEY: the same key twice – name each once',
    ...unknown.map((name) => `${name}: no such variable – compare the names in: pristo-relay serve --help`),
  ]
  return doubts.flatMap((what): Finding[] => (what ? [{ level: 'warning', what }] : []))
}

/** The relay and its admin port at one place: each is sound, both cannot be. */
const findClash = (env: Env, { port, hostname }: Place): Finding[] => {
  const admin = readAdminPlace(env)
  const isSame = port !== 0 && port === admin.port && hostname === admin.hostname
  return isSame ? [{ level: 'error', what: 'PRISTO_ADMIN_PORT: the same as PORT – name another one, which the public does not reach' }] : []
}

/** Asks with each key, one after the other. */
const askApi = async (fetch: Fetch, options: RelayOptions): Promise<Finding[]> => {
  const { url, keys } = checkOptions(options)
  const answers = []
  for (const key of keys) {
    const startedAt = Date.now()
    const answer = await probe({ fetch, url, key })
    answers.push({ ...answer, oursMs: (startedAt + Date.now()) / 2 })
  }
  return [...judgeKeys(answers.map(({ verdict }) => verdict)), ...answers.slice(0, 1).flatMap(judgeClock)]
}

/** Opens the spool where there is one, and makes none. */
const lookAtSpool = async (env: Env, openSpool: typeof OpenSpool): Promise<Finding[]> => {
  const settings = readSpool(env)
  if (!settings) return []
  try {
    const spool = await openSpool(settings.place, { maxBytes: settings.maxBytes, create: false })
    const { events, dead } = await spool.stats().finally(spool.close) // a connection left open would keep the command from its end
    const found: Finding = { level: 'ok', what: `PRISTO_SPOOL: ${events} events wait` }
    return [found, ...(dead ? [{ level: 'warning', what: `PRISTO_SPOOL: ${dead} events are buried – see why: pristo-relay spool dead` } as const] : [])]
  } catch (error) {
    // By its name: the command's bundle and the spool's have a class each.
    if (error instanceof Error && error.name === 'NoSpoolError') return [{ level: 'ok', what: 'PRISTO_SPOOL: there is none yet, the first start makes it' }]
    return [{ level: 'error', what: `PRISTO_SPOOL: ${messageOf(error)}` }]
  }
}

/** The command; `fetch` is the runtime's own, `openSpool` that of spool.ts. */
export const createCheck = (fetch: Fetch, openSpool: typeof OpenSpool): Command => ({
  summary: 'says whether the settings are sound and the key works',
  about: [
    'Reads the same environment as serve, and tries each key with an empty event, which the API can only refuse:',
    'nothing is stored. Prints one line per finding, ok, warning or error, and what to do; no key is ever shown.',
    'The exit code is 1 where there is an error, else 0.',
  ],
  flags: {},
  variables: [...NAMES.relay, ...NAMES.tokens, ...NAMES.spool, ...NAMES.admin, ...NAMES.log],
  examples: ['PRISTO_API_KEY=… PRISTO_POPULATION_ID=… pristo-relay check'],
  run: async (_, { env, out }) => {
    const say = ({ level, what }: Finding): void => out(`${level.padEnd('warning'.length)}  ${what}`)
    const wrong = findWrongSettings(env)
    wrong.forEach(say)
    if (wrong.length) return 1
    const options = optionsFromEnv(env)
    const sound: Finding = { level: 'ok', what: 'settings: all can be used' }
    const clash = findClash(env, options)
    const found = [...(clash.length ? clash : [sound]), ...findDoubts(env, options), ...(await lookAtSpool(env, openSpool)), ...(await askApi(fetch, options))]
    found.forEach(say)
    return found.some(({ level }) => level === 'error') ? 1 : 0
  },
})
