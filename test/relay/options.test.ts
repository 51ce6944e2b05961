// @vitest-environment node
import { describe, expect, it } from 'vitest'
import { createRelay, type RelayOptions } from '../../src/relay/index.ts'
import { optionsFromEnv } from '../../src/relay/env.ts'
import { created, createApi, KEY, makeEvent, OLD_KEY, outcomes, POPULATION, send, setUp } from './harness.ts'

const SECRET = 'sk_live_canary'
const GOOD = { apiKey: KEY, populationId: POPULATION, identity: 'page' }
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
    ['with allowed types that are no list', { ...GOOD, allowedTypes: 'purchase' }, `allowedTypes: got a string of 8 characters; allowed is ${TYPES}`],
    ['with no allowed type', { ...GOOD, allowedTypes: [] }, `allowedTypes: got an array of 0; allowed is ${TYPES}`],
    ['with an allowed type that is none', { ...GOOD, allowedTypes: ['a', ''] }, `allowedTypes[1]: got an empty string; allowed is ${TYPES}`],
    ['with bots that are neither wanted nor not', { ...GOOD, bots: true }, "bots: got a boolean; allowed is 'deliver' or 'drop'"],
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
    const env = { ...ENV, PRISTO_ALLOWED_TYPES: 'purchase, signup', PRISTO_BOTS: 'drop' }
    const options = optionsFromEnv(env)
    expect(options).toMatchObject({
      allowedTypes: ['purchase', 'signup'],
      bots: 'drop',
    })
    expect(optionsFromEnv(env, { allowedTypes: ['a'] })).toMatchObject({ allowedTypes: ['a'] })
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
    ['PRISTO_ALLOWED_TYPES', { PRISTO_ALLOWED_TYPES: ',' }, 'got a string of 1 character'],
    ['PRISTO_BOTS', { PRISTO_BOTS: 'block' }, 'got a string of 5 characters'],
    ['PORT', { PORT: '65536' }, 'got a string of 5 characters'],
    ['PORT', { PORT: '80a' }, 'got a string of 3 characters'],
    ['PRISTO_PATH', { PRISTO_PATH: 'pristo/' }, 'got a string of 7 characters'],
  ])('%s with %j is refused by its name, without its content', (variable, env, given) => {
    const start = () => optionsFromEnv({ ...ENV, ...env })
    expect(start).toThrow(`[pristo] ${variable}: ${given}; allowed is `)
    expect(start).not.toThrow(SECRET)
  })
})
