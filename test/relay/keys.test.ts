// @vitest-environment node
import { generateKeyPairSync } from 'node:crypto'
import { exportJWK } from 'jose'
import { describe, expect, it } from 'vitest'
import { optionsFromEnv } from '../../src/relay/env.ts'
import { createRelay, type IdentityKeys, type RelayOptions } from '../../src/relay/index.ts'
import { KEY, makeEvent, outcomes, POPULATION, send, setUp } from './harness.ts'
import { AUDIENCE, BY, claimsOf, ec, ed, jwkOf, KEYS, makeToken, part, pemOf, SECRET, setUpTokens } from './tokens.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const der = (key: typeof ec.publicKey): string => key.export({ format: 'der', type: 'spki' }).toString('base64')
const oct = { kty: 'oct', k: part(SECRET) }

const HS = 'a secret of at least 32 bytes (HS256)'
const ANY = `${HS}, or a JWK: oct (HS256), public EC P-256 (ES256) or public OKP Ed25519 (EdDSA)`
const LIST = `an object of kid → key, or an array of JWKs with a kid; a key is ${ANY}`
const PUBLIC = 'that looks like a public key; allowed is a secret, or the JWK as an object: whoever knows a secret can sign'

const WRONG: [string, unknown, string][] = [
  ['nothing', undefined, `: got nothing; allowed is ${LIST}`],
  ['no key', {}, `: got an object; allowed is ${LIST}`],
  ['an empty list', [], `: got an array of 0; allowed is ${LIST}`],
  ['a Map', new Map([['a', SECRET]]), `: got an object; allowed is ${LIST}`],
  ['a secret without a kid', SECRET, `: got a string of ${SECRET.length} characters; allowed is ${LIST}`],
  ['a key set', { keys: [{ ...KEYS.es, kid: 'es' }] }, `[0]: got an array of 1; allowed is ${ANY}`],
  ['a single JWK', KEYS.es, `[0]: got a string of`],
  ['an empty kid', { '': SECRET }, '[0].kid: got an empty string; allowed is a non-empty string'],
  ['a secret of 31 bytes', { good: SECRET, short: SECRET.slice(0, 31) }, `[1]: got a string of 31 characters; allowed is ${HS}`],
  ['a secret whose name and value were swapped', { [SECRET]: 'a' }, `[0]: got a string of 1 character; allowed is ${HS}`],
  ['an oct JWK of 31 bytes', { a: { kty: 'oct', k: part(SECRET.slice(0, 31)) } }, `[0]: got a JWK of 31 bytes; allowed is ${HS}`],
  ['an oct JWK that is no base64url', { a: { kty: 'oct', k: `${SECRET}!` } }, `[0]: got a JWK of 0 bytes; allowed is ${HS}`],
  ['an oct JWK without k', { a: { kty: 'oct' } }, `[0]: got a JWK of 0 bytes; allowed is ${HS}`],
  ['a public PEM (EC) as a secret', { a: pemOf(ec.publicKey) }, `[0]: got a string of ${pemOf(ec.publicKey).length} characters ${PUBLIC}`],
  ['a public PEM (Ed25519) as a secret', { a: `\n ${pemOf(ed.publicKey)}` }, `[0]: got a string of ${pemOf(ed.publicKey).length + 2} characters ${PUBLIC}`],
  ['a public PEM (RSA) as a secret', { a: pemOf(rsa.publicKey) }, PUBLIC],
  ['the text of a public JWK as a secret', { a: JSON.stringify(KEYS.es) }, PUBLIC],
  ['the inside of a PEM (EC) as a secret', { a: der(ec.publicKey) }, PUBLIC],
  ['the inside of a PEM (P-384) as a secret', { a: der(p384.publicKey) }, PUBLIC],
  ['the inside of a PEM (Ed25519) as a secret', { a: der(ed.publicKey) }, PUBLIC],
  ['the inside of a PEM (RSA) as a secret', { a: der(rsa.publicKey) }, PUBLIC],
  ['an OpenSSH key as a secret', { a: `ssh-ed25519 ${der(ed.publicKey)}` }, PUBLIC],
  ['a private EC key', { a: jwkOf(ec.privateKey) }, '[0]: got a private JWK (with d); allowed is the public one: who only checks must not be able to sign'],
  ['a private Ed25519 key', { a: jwkOf(ed.privateKey) }, '[0]: got a private JWK (with d); allowed is the public one: who only checks must not be able to sign'],
  ['an RSA key', { a: jwkOf(rsa.publicKey) }, `[0]: got an object; allowed is ${ANY}`],
  ['a key on secp256k1', { a: jwkOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey) }, `[0]: got an object; allowed is ${ANY}`],
  ['a key on P-384', { a: jwkOf(p384.publicKey) }, `[0]: got an object; allowed is ${ANY}`],
  ['a key for encryption (X25519)', { a: jwkOf(generateKeyPairSync('x25519').publicKey) }, `[0]: got an object; allowed is ${ANY}`],
  ['an EC key without y', { a: { ...KEYS.es, y: undefined } }, `[0]: got an object; allowed is ${ANY}`],
  ['an Ed25519 key that was cut', { a: { ...KEYS.ed, x: KEYS.ed.x?.slice(1) } }, `[0]: got an object; allowed is ${ANY}`],
  ['a key that calls itself HS256', { a: { ...KEYS.es, alg: 'HS256' } }, '[0]: got a JWK of another alg; allowed is ES256 for this kty, or none'],
  ['an oct key of HS512', { a: { ...oct, alg: 'HS512' } }, '[0]: got a JWK of another alg; allowed is HS256 for this kty, or none'],
  ['a key for encryption by its use', { a: { ...KEYS.es, use: 'enc' } }, '[0]: got a JWK of another use; allowed is sig, or none'],
  ['a key by another kid', { a: { ...KEYS.es, kid: 'b' } }, '[0]: got a JWK of another kid; allowed is the kid by which it is given'],
  ['a list with a secret', [SECRET], '[0].kid: got nothing; allowed is a non-empty string'],
  ['a list with a key without kid', [{ ...KEYS.es, kid: 'a' }, KEYS.ed], '[1].kid: got nothing; allowed is a non-empty string'],
  ['two keys of one kid', [{ ...KEYS.es, kid: 'a' }, { ...KEYS.ed, kid: 'a' }], '[1].kid: got one that an earlier key has; allowed is one of its own'],
  ['a WebCrypto key', { a: ec.publicKey }, `[0]: got an object; allowed is ${ANY}`],
  ['null', { a: null }, `[0]: got null; allowed is ${ANY}`],
]

/** What the platforms' own types call a JWK is one of ours. */
const TYPED: IdentityKeys[] = [{ node: jwkOf(ec.publicKey), text: SECRET }, { jose: await exportJWK(ec.publicKey) }, [{ ...(await exportJWK(ed.publicKey)), kid: 'ed' }]]

const messageOf = (start: () => unknown): string => {
  try {
    start()
  } catch (error) {
    return error instanceof TypeError ? error.message : 'no TypeError'
  }
  return 'it started'
}

const CANARIES = [SECRET, SECRET.slice(0, 31), part(SECRET), ...[ec, ed].flatMap((pair) => Object.values(jwkOf(pair.privateKey)))].filter((text) => String(text).length > 10)

describe('a relay refuses to start, without a word of the key', () => {
  const start = (identity: unknown) => () => createRelay({ apiKey: KEY, populationId: POPULATION, identity: identity as RelayOptions['identity'] })

  it.each(WRONG)('with %s', (_, keys, line) => {
    const message = messageOf(start({ keys, audience: AUDIENCE }))
    expect(message).toMatch(/^\[pristo\] identity\.keys.*$/) // one line
    expect(message).toContain(line)
    for (const canary of CANARIES) expect(message).not.toContain(canary)
  })

  it.each<[string, unknown, string]>([
    ['without an audience', { keys: KEYS }, 'identity.audience: got nothing; allowed is a non-empty string'],
    ['with an empty audience', { keys: KEYS, audience: '' }, 'identity.audience: got an empty string; allowed is a non-empty string'],
    ['with several audiences', { keys: KEYS, audience: ['a'] }, 'identity.audience: got an array of 1; allowed is a non-empty string'],
    ['with both a session and keys', { keys: KEYS, audience: AUDIENCE, resolve: () => null }, 'identity: got an object; allowed is '],
    ['with a session that is no function', { resolve: 'u_42' }, 'identity.resolve: got a string of 4 characters; allowed is a function'],
  ])('%s', (_, identity, line) => {
    expect(messageOf(start(identity))).toContain(`[pristo] ${line}`)
  })

  it('but for none of these keys', () => {
    for (const keys of [...TYPED, KEYS, { a: 'ü'.repeat(16) }, { a: oct }, [{ ...oct, kid: 'a', alg: 'HS256' }], { a: { ...KEYS.ed, alg: 'Ed25519', use: 'sig' } }])
      expect(messageOf(start({ keys, audience: AUDIENCE }))).toBe('it started')
  })
})

it('keys that change after the start change nothing', async () => {
  const keys: Record<string, unknown> = { hs: { ...oct } }
  const { relay } = setUpTokens(keys)
  Object.assign(keys, { hs: { kty: 'oct', k: part('x'.repeat(32)) } })
  expect(outcomes(await send(relay, [makeEvent(1)], { token: makeToken() }))).toEqual(['stored'])
})

describe('from the environment', () => {
  const ENV = { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: POPULATION, PRISTO_IDENTITY: 'token', PRISTO_IDENTITY_KEYS: JSON.stringify(KEYS) }

  it.each<[string, Record<string, string>, Record<string, unknown>, { header: object; by: (input: string) => Buffer }]>([
    ['keys by their kid, for the population', ENV, { aud: POPULATION }, BY.hs],
    ['a list of keys, for an audience', { ...ENV, PRISTO_IDENTITY_KEYS: JSON.stringify([{ ...KEYS.es, kid: 'es' }]), PRISTO_IDENTITY_AUDIENCE: ' a ' }, { aud: 'a' }, BY.es],
  ])('%s', async (_, env, claims, how) => {
    const { relay } = setUp(undefined, { identity: optionsFromEnv(env).identity })
    expect(outcomes(await send(relay, [makeEvent(1)], { token: makeToken(claimsOf(claims), how) }))).toEqual(['stored'])
    expect((await send(relay, [makeEvent(2)], { token: makeToken(claimsOf(), how) })).error?.code).toBe('token_invalid')
  })

  it.each<[string, Record<string, string>, string]>([
    ['PRISTO_IDENTITY_KEYS', { PRISTO_IDENTITY_KEYS: '' }, ': got an empty string; allowed is JSON, such as '],
    ['PRISTO_IDENTITY_KEYS', { PRISTO_IDENTITY_KEYS: SECRET }, `: got a string of ${SECRET.length} characters; allowed is JSON, such as `],
    ['PRISTO_IDENTITY_KEYS', { PRISTO_IDENTITY_KEYS: `{"a":"${SECRET}"` }, `: got a string of ${SECRET.length + 7} characters; allowed is JSON, such as `],
    ['PRISTO_IDENTITY_KEYS', { PRISTO_IDENTITY_KEYS: `"${SECRET}"` }, `: got a string of ${SECRET.length} characters; allowed is ${LIST}`],
    ['PRISTO_IDENTITY_KEYS', { PRISTO_IDENTITY_KEYS: `{"a":"${SECRET.slice(0, 31)}"}` }, `[0]: got a string of 31 characters; allowed is ${HS}`],
    ['PRISTO_IDENTITY_KEYS', { PRISTO_IDENTITY_KEYS: JSON.stringify([jwkOf(ec.privateKey)]) }, '[0].kid: got nothing'],
    ['PRISTO_IDENTITY', { PRISTO_IDENTITY: '' }, ": got an empty string; allowed is 'page' or 'token'"],
    ['PRISTO_IDENTITY', { PRISTO_IDENTITY: 'tokens' }, ": got a string of 6 characters; allowed is 'page' or 'token'"],
  ])('%s with %j is refused by its name, without its content', (variable, env, line) => {
    const message = messageOf(() => optionsFromEnv({ ...ENV, ...env }))
    expect(message).toContain(`[pristo] ${variable}${line}`)
    for (const canary of CANARIES) expect(message).not.toContain(canary)
  })

  it('an identity of the code needs none', () => {
    expect(optionsFromEnv({ ...ENV, PRISTO_IDENTITY_KEYS: '{' }, { identity: 'page' }).identity).toBe('page')
  })
})
