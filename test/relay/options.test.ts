// @vitest-environment node
import { describe, expect, it } from 'vitest'
import { createRelay, type RelayOptions } from '../../src/relay/index.ts'
import { optionsFromEnv } from '../../src/relay/env.ts'
import { created, createApi, KEY, makeEvent, OLD_KEY, outcomes, POPULATION, send, setUp } from './harness.ts'

const SECRET = 'sk_live_canary'
const GOOD = { apiKey: KEY, populationId: POPULATION, identity: 'page' }
const PROXIES = 'the number of proxies in front of the relay that append to X-Forwarded-For: 0, 1, 2, …'
const LIMITS = 'false, or an object with address, contact and overall'
const RULES = 'false, { requests, perS } (above 0, requests whole) or { limit({ key }) } that gives { success }'
const TYPES = "an array of event types, such as 'purchase'"

/** As plain JavaScript would call it. */
const start = (options: unknown) => () => createRelay(options as RelayOptions)

const KEYS = 'a UUID, or an array of UUIDs, newest first'
const IDENTITIES = "'page' (believe the page), { resolve(request) } (your own session decides) or { keys, audience } (your backend signs)"
const URLS = 'an http or https URL without user, query and fragment'
const ORIGINS = "an array of origins, such as 'https://shop.example' (no path, no trailing slash, no *)"

describe('a relay refuses to start', () => {
  it.each<[string, unknown, string]>([
    ['without options', undefined, 'options: got nothing; allowed is an object with apiKey, populationId and identity'],
    ['without a key', { ...GOOD, apiKey: undefined }, `apiKey: got nothing; allowed is ${KEYS}`],
    ['with an empty list of keys', { ...GOOD, apiKey: [] }, `apiKey: got an array of 0; allowed is ${KEYS}`],
    ['with a key that is no UUID', { ...GOOD, apiKey: SECRET }, `apiKey: got a string of 14 characters; allowed is ${KEYS}`],
    ['with a second key that is no UUID', { ...GOOD, apiKey: [KEY, SECRET] }, `apiKey[1]: got a string of 14 characters; allowed is ${KEYS}`],
    ['with a population that is no UUID', { ...GOOD, populationId: '../../admin' }, 'populationId: got a string of 11 characters; allowed is a UUID'],
    ['without an identity', { ...GOOD, identity: undefined }, `identity: got nothing; allowed is ${IDENTITIES}`],
    ['with an unknown identity', { ...GOOD, identity: { session: 1 } }, `identity: got an object; allowed is ${IDENTITIES}`],
    ['with a baseUrl that is no URL', { ...GOOD, baseUrl: 'api.pristo.io' }, `baseUrl: got a string of 13 characters; allowed is ${URLS}`],
    ['with a baseUrl of another protocol', { ...GOOD, baseUrl: 'ftp://api.pristo.io' }, `baseUrl: got a string of 19 characters; allowed is ${URLS}`],
    ['with a password in the baseUrl', { ...GOOD, baseUrl: `https://u:${SECRET}@x.test` }, `baseUrl: got a string of 31 characters; allowed is ${URLS}`],
    ['with origins that are no array', { ...GOOD, allowedOrigins: 'https://a.test' }, `allowedOrigins: got a string of 14 characters; allowed is ${ORIGINS}`],
    ['with an origin that has a path', { ...GOOD, allowedOrigins: ['https://a.test', 'https://b.test/'] }, `allowedOrigins[1]: got a string of 15 characters; allowed is ${ORIGINS}`],
    ['with an origin that is everyone', { ...GOOD, allowedOrigins: ['*'] }, `allowedOrigins[0]: got a string of 1 character; allowed is ${ORIGINS}`],
    ['with allowNonBrowser that is a text', { ...GOOD, allowNonBrowser: 'no' }, 'allowNonBrowser: got a string of 2 characters; allowed is true or false'],
    ['with proxies that are trusted without a number', { ...GOOD, trustProxy: true }, `trustProxy: got a boolean; allowed is ${PROXIES}`],
    ['with half a proxy', { ...GOOD, trustProxy: 0.5 }, `trustProxy: got a number; allowed is ${PROXIES}`],
    ['with less than no proxy', { ...GOOD, trustProxy: -1 }, `trustProxy: got a number; allowed is ${PROXIES}`],
    ['with a rateLimit that is true', { ...GOOD, rateLimit: true }, `rateLimit: got a boolean; allowed is ${LIMITS}`],
    ['with a rateLimit that is null', { ...GOOD, rateLimit: null }, `rateLimit: got null; allowed is ${LIMITS}`],
    ['with a mistyped limit', { ...GOOD, rateLimit: { adress: { requests: 1, perS: 1 } } }, `rateLimit: got an object; allowed is ${LIMITS}`],
    ['with a limit of nothing', { ...GOOD, rateLimit: { contact: { requests: 0, perS: 1 } } }, `rateLimit.contact: got an object; allowed is ${RULES}`],
    ['with a limit of 1.5 requests', { ...GOOD, rateLimit: { contact: { requests: 1.5, perS: 1 } } }, `rateLimit.contact: got an object; allowed is ${RULES}`],
    ['with a limit without a time', { ...GOOD, rateLimit: { address: { requests: 5 } } }, `rateLimit.address: got an object; allowed is ${RULES}`],
    ['with a limit in no time', { ...GOOD, rateLimit: { address: { requests: 5, perS: Infinity } } }, `rateLimit.address: got an object; allowed is ${RULES}`],
    ['with a limiter that cannot limit', { ...GOOD, rateLimit: { overall: { limit: 5 } } }, `rateLimit.overall: got an object; allowed is ${RULES}`],
    ['with a limit that is true', { ...GOOD, rateLimit: { overall: true } }, `rateLimit.overall: got a boolean; allowed is ${RULES}`],
    ['with allowed types that are no list', { ...GOOD, allowedTypes: 'purchase' }, `allowedTypes: got a string of 8 characters; allowed is ${TYPES}`],
    ['with no allowed type', { ...GOOD, allowedTypes: [] }, `allowedTypes: got an array of 0; allowed is ${TYPES}`],
    ['with an allowed type that is none', { ...GOOD, allowedTypes: ['a', ''] }, `allowedTypes[1]: got an empty string; allowed is ${TYPES}`],
    ['with bots that are neither wanted nor not', { ...GOOD, bots: true }, "bots: got a boolean; allowed is 'deliver' or 'drop'"],
    ...['onError', 'onOutcome', 'onDrop', 'onRequest'].map((hook): [string, unknown, string] => [`with ${hook} that cannot be called`, { ...GOOD, [hook]: {} }, `${hook}: got an object; allowed is a function`]),
  ])('%s, with one line that does not show what was given', (_, options, line) => {
    expect(start(options)).toThrow(new TypeError(`[pristo] ${line}`))
  })

  it('but not for a baseUrl with a path and a slash', async () => {
    const { relay, api } = setUp(created, { baseUrl: 'http://127.0.0.1:9/pristo-api/' })
    expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['stored'])
    expect(api.calls[0]?.url).toBe(`http://127.0.0.1:9/pristo-api/v1/events/send/${POPULATION}`)
  })

  it('and without a baseUrl speaks to the real API', async () => {
    const api = createApi()
    const relay = createRelay({ apiKey: KEY, populationId: POPULATION, identity: 'page', fetch: api.fetch })
    await send(relay, [makeEvent(1)])
    expect(api.calls[0]?.url).toBe(`https://api.pristo.io/v1/events/send/${POPULATION}`)
  })
})

describe('settings from the environment', () => {
  const ENV = { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: POPULATION }

  it('have defaults for all but the key and the population', () => {
    expect(optionsFromEnv({ ...ENV, PRISTO_BASE_URL: ' ' })).toEqual({
      apiKey: [KEY],
      populationId: POPULATION,
      baseUrl: 'https://api.pristo.io',
      allowedOrigins: [],
      identity: 'page',
      trustProxy: 0,
      rateLimit: {},
      bots: 'deliver',
      port: 8787,
      hostname: '127.0.0.1',
      path: '/pristo',
    })
  })

  it('are read from their variables', () => {
    const env = { ...ENV, PRISTO_API_KEY: `${KEY}, ${OLD_KEY}`, PRISTO_ALLOWED_ORIGINS: 'https://a.test,https://b.test', PORT: '0', HOST: '::1', PRISTO_PATH: '/api/events' }
    expect(optionsFromEnv(env)).toMatchObject({
      apiKey: [KEY, OLD_KEY],
      allowedOrigins: ['https://a.test', 'https://b.test'],
      port: 0,
      hostname: '::1',
      path: '/api/events',
    })
  })

  it('say how abuse is met', () => {
    const env = { ...ENV, PRISTO_TRUST_PROXY: '2', PRISTO_ALLOWED_TYPES: 'purchase, signup', PRISTO_BOTS: 'drop', PRISTO_RATE_LIMIT: 'address=9/60, overall=1000/1' }
    const options = optionsFromEnv(env)
    expect(options).toMatchObject({
      trustProxy: 2,
      allowedTypes: ['purchase', 'signup'],
      bots: 'drop',
      rateLimit: { address: { requests: 9, perS: 60 }, overall: { requests: 1000, perS: 1 } },
    })
    expect(options.rateLimit).not.toHaveProperty('contact') // and so keeps its default
    expect(optionsFromEnv({ ...ENV, PRISTO_RATE_LIMIT: 'off' }).rateLimit).toBe(false)
    expect(optionsFromEnv(env, { rateLimit: false, trustProxy: 0, allowedTypes: ['a'] })).toMatchObject({ rateLimit: false, trustProxy: 0, allowedTypes: ['a'] })
    expect(start({ ...GOOD, ...options })).not.toThrow()
  })

  it('give way to what the code says, and are then not needed', () => {
    expect(optionsFromEnv({}, { apiKey: KEY, populationId: POPULATION, port: 0 })).toMatchObject({ apiKey: KEY, port: 0 })
  })

  it.each<[string, Record<string, string>, string]>([
    ['PRISTO_API_KEY', { PRISTO_API_KEY: '' }, 'got an empty string'],
    ['PRISTO_API_KEY', { PRISTO_API_KEY: SECRET }, 'got a string of 14 characters'],
    ['PRISTO_API_KEY', { PRISTO_API_KEY: `${KEY},${SECRET}` }, 'got a string of 51 characters'],
    ['PRISTO_API_KEY', { PRISTO_API_KEY: ' , ' }, 'got a string of 3 characters'],
    ['PRISTO_POPULATION_ID', { PRISTO_POPULATION_ID: SECRET }, 'got a string of 14 characters'],
    ['PRISTO_BASE_URL', { PRISTO_BASE_URL: SECRET }, 'got a string of 14 characters'],
    ['PRISTO_IDENTITY', { PRISTO_IDENTITY: 'session' }, 'got a string of 7 characters'],
    ['PRISTO_ALLOWED_ORIGINS', { PRISTO_ALLOWED_ORIGINS: '*' }, 'got a string of 1 character'],
    ['PRISTO_TRUST_PROXY', { PRISTO_TRUST_PROXY: 'yes' }, 'got a string of 3 characters'],
    ['PRISTO_ALLOWED_TYPES', { PRISTO_ALLOWED_TYPES: ',' }, 'got a string of 1 character'],
    ['PRISTO_BOTS', { PRISTO_BOTS: 'block' }, 'got a string of 5 characters'],
    ['PRISTO_RATE_LIMIT', { PRISTO_RATE_LIMIT: 'on' }, 'got a string of 2 characters'],
    ['PRISTO_RATE_LIMIT', { PRISTO_RATE_LIMIT: ',' }, 'got a string of 1 character'],
    ['PRISTO_RATE_LIMIT', { PRISTO_RATE_LIMIT: 'address=0/60' }, 'got a string of 12 characters'],
    ['PRISTO_RATE_LIMIT', { PRISTO_RATE_LIMIT: 'adress=5/60' }, 'got a string of 11 characters'],
    ['PORT', { PORT: '65536' }, 'got a string of 5 characters'],
    ['PORT', { PORT: '80a' }, 'got a string of 3 characters'],
    ['PRISTO_PATH', { PRISTO_PATH: 'pristo/' }, 'got a string of 7 characters'],
  ])('%s with %j is refused by its name, without its content', (variable, env, given) => {
    const start = () => optionsFromEnv({ ...ENV, ...env })
    expect(start).toThrow(`[pristo] ${variable}: ${given}; allowed is `)
    expect(start).not.toThrow(SECRET)
  })
})
