// @vitest-environment node
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CANARY_EMAIL, makeEvent, NOW, outcomes, send, setUp, uuid } from './harness.ts'
import { BY, claimsOf, ec, ed, eddsa, es, hs, inS, KEYS, makeToken, part, pemOf, secretsOf, SECRET, setUpTokens } from './tokens.ts'

const OWN = { id: 'u_42', email: 'page@site.test' }
const mine = (n: number) => makeEvent(n, { contact: OWN })
const victims = (n: number) => makeEvent(n, { contact: { id: 'victim', email: 'mallory@evil.test' } })

const OLD_SECRET = 'canary secret of last year, also of 32 bytes'
const byOldSecret = hs(OLD_SECRET)

describe('a token that the backend signed', () => {
  it.each(Object.entries(BY))('by %s speaks for its contact', async (_, how) => {
    const { relay, api, logs } = setUpTokens()
    const token = makeToken(claimsOf(), how)
    expect(outcomes(await send(relay, [mine(1), mine(2)], { token }))).toEqual(['stored', 'stored'])
    expect(api.calls.map(({ contactId }) => contactId)).toEqual(['u_42', 'u_42'])
    for (const secret of token.split('.')) expect(JSON.stringify(api.calls)).not.toContain(secret)
    expect(logs).toEqual([])
  })

  it.each<[string, unknown, string]>([
    ['a secret as a JWK', { a: { kty: 'oct', k: part(SECRET) } }, makeToken(claimsOf(), { ...BY.hs, header: { alg: 'HS256', kid: 'a' } })],
    ['a list of JWKs', [{ ...KEYS.ed, kid: 'first' }, { ...KEYS.es, kid: 'es', alg: 'ES256', use: 'sig', key_ops: ['verify'] }], makeToken(claimsOf(), BY.es)],
    ['a key whose algorithm has the name of RFC 9864', KEYS, makeToken(claimsOf(), { ...BY.ed, header: { alg: 'Ed25519', kid: 'ed' } })],
    ['a kid that objects inherit', Object.fromEntries([['__proto__', SECRET]]), makeToken(claimsOf(), { ...BY.hs, header: { alg: 'HS256', kid: '__proto__' } })],
  ])('is believed by %s', async (_, keys, token) => {
    const { relay } = setUpTokens(keys)
    expect(outcomes(await send(relay, [mine(1)], { token }))).toEqual(['stored'])
  })

  it("without details leaves those of the page, for the token's own contact", async () => {
    const { relay, api } = setUpTokens()
    await send(relay, [mine(1)], { token: makeToken() })
    expect(api.calls[0]?.body.contact).toEqual(OWN)
  })

  it.each([{ email: CANARY_EMAIL }, { id: 'u_42', email: CANARY_EMAIL }])("with details replaces the page's: %j", async (contact) => {
    const { relay, api } = setUpTokens()
    await send(relay, [makeEvent(1, { contact: { ...OWN, phone: '+4915700' } })], { token: makeToken(claimsOf({ contact })) })
    expect(api.calls[0]?.body.contact).toEqual({ id: 'u_42', email: CANARY_EMAIL })
  })

  it("speaks for nobody else: a victim's event is rejected, and its neighbours are not", async () => {
    const { relay, api } = setUpTokens()
    const heard = await send(relay, [victims(1), mine(2), victims(3)], { token: makeToken() })
    expect(heard.results.map((result) => ('code' in result ? result.code : result.outcome))).toEqual(['contact_mismatch', 'stored', 'contact_mismatch'])
    expect(api.ids()).toEqual([uuid(2)])
  })

  it.each([
    ['expired a minute ago, but for a second', { exp: inS(-59) }],
    ['expires in 24 hours', { exp: inS(86_400) }],
    ['is valid in less than a minute', { nbf: inS(60), iat: inS(60) }],
    ['is for several audiences', { aud: ['other', claimsOf().aud] }],
    ['says nothing of when it was issued', { iat: undefined }],
  ])('passes where it %s', async (_, over) => {
    const { relay } = setUpTokens()
    expect(outcomes(await send(relay, [mine(1)], { token: makeToken(claimsOf(over)) }))).toEqual(['stored'])
  })

  it('is judged by the clock of the relay, not of the machine', async () => {
    const tomorrow = setUpTokens(KEYS, { now: () => NOW + 86_400_000 })
    const heard = await send(tomorrow.relay, [mine(1)], { token: makeToken() })
    expect([heard.status, heard.error?.code]).toEqual([401, 'token_expired'])
  })

  it('outlives a rotation for as long as its key is there', async () => {
    const old = makeToken(claimsOf(), { header: { alg: 'HS256', kid: '2025' }, by: byOldSecret })
    const both = setUpTokens({ ...KEYS, 2025: OLD_SECRET })
    expect(outcomes(await send(both.relay, [mine(1)], { token: old }))).toEqual(['stored'])
    expect(outcomes(await send(both.relay, [mine(2)], { token: makeToken() }))).toEqual(['stored'])
    const after = await send(setUpTokens().relay, [mine(3)], { token: old })
    expect([after.status, after.error?.code]).toEqual([401, 'token_invalid'])
  })
})

describe('the whole request is 401 and nothing reaches the API', () => {
  const none = (header: object) => ({ header, by: () => Buffer.from('') })
  const header = (over: object) => ({ ...BY.hs, header: { ...BY.hs.header, ...over } })
  const claim = (over: object) => makeToken(claimsOf({ contact: { email: CANARY_EMAIL }, ...over }))
  const [h = '', p = '', s = ''] = claim({}).split('.')
  const [, , othersSignature = ''] = makeToken(claimsOf({ sub: 'victim' })).split('.')

  it.each<[string, string | undefined, string, string]>([
    ['without a token', undefined, 'token_missing', 'a JWT that your backend signed'],
    ['with an empty one', '', 'token_missing', 'a JWT that your backend signed'],
    ['once it has expired', claim({ exp: inS(-60) }), 'token_expired', 'ask your backend for a new one'],
    ['where another secret signed it', makeToken(claimsOf(), { ...BY.hs, by: byOldSecret }), 'token_invalid', 'its signature'],
    ['where it has the signature of another token', `${h}.${p}.${othersSignature}`, 'token_invalid', 'its signature'],
    ['where its claims were changed', `${h}.${part(claimsOf({ sub: 'victim' }))}.${s}`, 'token_invalid', 'its signature'],
    ['where its header was changed', `${part({ kid: 'hs', alg: 'HS256' })}.${p}.${s}`, 'token_invalid', 'its signature'],
    ['with alg none and no signature', makeToken(claimsOf(), none({ alg: 'none', kid: 'hs' })), 'token_invalid', 'a signed JWT'],
    ['with alg none and a signature', makeToken(claimsOf(), header({ alg: 'none' })), 'token_invalid', 'token.alg'],
    ['with alg None', makeToken(claimsOf(), header({ alg: 'None' })), 'token_invalid', 'token.alg'],
    ['without alg', makeToken(claimsOf(), header({ alg: undefined })), 'token_invalid', 'a signed JWT'],
    ['with another alg for the same secret', makeToken(claimsOf(), { ...header({ alg: 'HS512' }), by: hs(SECRET, 'sha512') }), 'token_invalid', 'token.alg'],
    ["as HS256 by the public key's PEM", makeToken(claimsOf(), { ...header({ kid: 'es' }), by: hs(pemOf(ec.publicKey)) }), 'token_invalid', 'token.alg'],
    ["as HS256 by the public JWK's text", makeToken(claimsOf(), { ...header({ kid: 'es' }), by: hs(JSON.stringify(KEYS.es)) }), 'token_invalid', 'token.alg'],
    ["as HS256 by the public key's x", makeToken(claimsOf(), { ...header({ kid: 'ed' }), by: hs(String(KEYS.ed.x)) }), 'token_invalid', 'token.alg'],
    ['as ES256 under the kid of a secret', makeToken(claimsOf(), { ...BY.es, header: { alg: 'ES256', kid: 'hs' } }), 'token_invalid', 'token.alg'],
    ['as EdDSA under the kid of ES256', makeToken(claimsOf(), { ...BY.ed, header: { alg: 'EdDSA', kid: 'es' } }), 'token_invalid', 'token.alg'],
    ['as ES256 by DER', makeToken(claimsOf(), { ...BY.es, by: es(ec.privateKey, 'der') }), 'token_invalid', 'its signature'],
    ['with a key of its own in the header', makeToken(claimsOf(), { header: { alg: 'EdDSA', jwk: KEYS.ed }, by: eddsa(ed.privateKey) }), 'token_invalid', 'token.kid'],
    ['with an unknown kid', makeToken(claimsOf(), header({ kid: 'canary-kid' })), 'token_invalid', 'token.kid'],
    ['with a kid that objects inherit', makeToken(claimsOf(), header({ kid: 'constructor' })), 'token_invalid', 'token.kid'],
    ['with a kid that is a path', makeToken(claimsOf(), { header: { alg: 'HS256', kid: '/dev/null' }, by: hs('') }), 'token_invalid', 'token.kid'],
    ['without kid', makeToken(claimsOf(), header({ kid: undefined })), 'token_invalid', 'token.kid'],
    ['with a kid that is a list', makeToken(claimsOf(), header({ kid: ['hs'] })), 'token_invalid', 'token.kid'],
    ['with a critical extension', makeToken(claimsOf(), header({ crit: [CANARY_EMAIL], [CANARY_EMAIL]: 1 })), 'token_invalid', 'a signed JWT'],
    ['with an unencoded payload', makeToken(claimsOf(), header({ crit: ['b64'], b64: false })), 'token_invalid', 'token'],
    ['with another audience', claim({ aud: 'https://other.example' }), 'token_invalid', 'token.aud'],
    ['with an audience that only contains ours', claim({ aud: `${claimsOf().aud}/x` }), 'token_invalid', 'token.aud'],
    ['without audience', claim({ aud: undefined }), 'token_invalid', 'token.aud'],
    ['without exp', claim({ exp: undefined }), 'token_invalid', 'token.exp'],
    ['with an exp over 24 hours ahead', claim({ exp: inS(86_461) }), 'token_invalid', 'token.exp'],
    ['with an exp in milliseconds', claim({ exp: inS(600) * 1000 }), 'token_invalid', 'token.exp'],
    ['with an exp that never comes', makeToken(JSON.stringify(claimsOf()).replace(String(inS(600)), '1e999')), 'token_invalid', 'token.exp'],
    ['with an exp that is a text', claim({ exp: String(inS(600)) }), 'token_invalid', 'token.exp'],
    ['before its nbf', claim({ nbf: inS(61) }), 'token_invalid', 'token.nbf'],
    ['before it was issued', claim({ iat: inS(61) }), 'token_invalid', 'token.iat'],
    ['without sub', claim({ sub: undefined }), 'token_invalid', 'token.sub'],
    ['with an empty sub', claim({ sub: '' }), 'token_invalid', 'token.sub'],
    ['with a sub that is a number', claim({ sub: 42 }), 'token_invalid', 'token.sub'],
    ["with somebody else's contact", claim({ contact: { id: 'victim', email: CANARY_EMAIL } }), 'token_invalid', 'token.contact.id'],
    ['with a contact that is a text', claim({ contact: CANARY_EMAIL }), 'token_invalid', 'token.contact'],
    ['with a contact that is a list', claim({ contact: [] }), 'token_invalid', 'token.contact'],
    ['with a contact that is null', claim({ contact: null }), 'token_invalid', 'token.contact'],
    ['with a contact of an unknown field', claim({ contact: { [CANARY_EMAIL]: '1' } }), 'token_invalid', 'token.contact'],
    ['with claims that are no JSON', makeToken('{'), 'token_invalid', 'a signed JWT'],
    ['with claims that are a list', makeToken([claimsOf()]), 'token_invalid', 'a signed JWT'],
    ['with a header that is no JSON', makeToken(claimsOf(), { ...BY.hs, header: '{' }), 'token_invalid', 'token.kid'],
    ['with a header that is a list', makeToken(claimsOf(), { ...BY.hs, header: [BY.hs.header] }), 'token_invalid', 'token.kid'],
    ['with padding', `${makeToken()}=`, 'token_invalid', 'a signed JWT'],
    ['with a space', ` ${makeToken()}`, 'token_invalid', 'a signed JWT'],
    ['where it is encrypted', `${h}.${p}.${s}.${p}.${s}`, 'token_invalid', 'a signed JWT'],
    ['where it is no token', CANARY_EMAIL, 'token_invalid', 'a signed JWT'],
    ['where it is longer than any', claim({ canary: 'x'.repeat(4_096) }), 'token_invalid', 'at most 4096 characters'],
  ])('%s', async (_, token, code, message) => {
    const { relay, api, logs } = setUpTokens()
    const heard = await send(relay, [mine(1), victims(2)], token === undefined ? {} : { token })
    expect([heard.status, heard.error?.code, api.calls, logs]).toEqual([401, code, [], []])
    expect(heard.error?.message).toContain(message)
    for (const secret of secretsOf(token ?? '')) expect(heard.text + JSON.stringify([...heard.headers])).not.toContain(secret)
    expect(heard.text).not.toMatch(/canary|u_42|victim/)
  })

  it('with one of 100 KB it is 413', async () => {
    const { relay, api } = setUpTokens()
    const heard = await send(relay, [mine(1)], { token: claim({ canary: 'x'.repeat(75_000) }) })
    expect([heard.status, heard.error?.code, api.calls]).toEqual([413, 'body_too_large', []])
  })
})

describe('a key that only WebCrypto can judge', () => {
  const offCurve = { ...KEYS.es, y: KEYS.ed.x }

  it('lets nobody in: the events wait, and the log says which key it is', async () => {
    const { relay, api, logs } = setUpTokens({ hs: SECRET, es: offCurve })
    const token = makeToken(claimsOf(), BY.es)
    const heard = await send(relay, [mine(1), victims(2)], { token })
    expect([heard.status, outcomes(heard), api.calls]).toEqual([503, ['unavailable', 'unavailable'], []])
    expect(logs).toEqual(['[pristo] identity.keys[1]: this runtime cannot verify by that key; the events wait in the browser'])
    for (const secret of secretsOf(token)) expect(heard.text + logs.join()).not.toContain(secret)
  })

  it('costs the other keys nothing', async () => {
    const { relay } = setUpTokens({ es: offCurve, hs: SECRET })
    expect(outcomes(await send(relay, [mine(1)], { token: makeToken() }))).toEqual(['stored'])
  })
})

it('where the page is believed, a token says nothing', async () => {
  const { relay, api } = setUp()
  expect(outcomes(await send(relay, [victims(1)], { token: makeToken() }))).toEqual(['stored'])
  expect(api.calls[0]?.contactId).toBe('victim')
})

describe('for any token', () => {
  const tokens = Object.values(BY).map((how) => makeToken(claimsOf(), how))
  const others = Object.values(BY).map((how) => makeToken(claimsOf({ sub: 'victim' }), how))
  const { relay, api } = setUpTokens()

  const same = (a: string, b: string): boolean => {
    const bytes = (token: string) => Buffer.from(token.split('.')[2] ?? '', 'base64url')
    return a.split('.', 2).join() === b.split('.', 2).join() && bytes(a).equals(bytes(b))
  }
  const place = fc.nat(400)
  const letter = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= ')
  /** What an attacker does to a text: change, cut, insert, or take the rest from another. */
  const anyChange = fc.oneof(
    fc.tuple(place, letter).map(([at, by]) => (text: string) => text.slice(0, at % text.length) + by + text.slice((at % text.length) + 1)),
    fc.tuple(place, fc.integer({ min: 1, max: 9 })).map(([at, n]) => (text: string) => text.slice(0, at % text.length) + text.slice((at % text.length) + n)),
    fc.tuple(place, letter).map(([at, by]) => (text: string) => text.slice(0, at % text.length) + by + text.slice(at % text.length)),
    fc.tuple(place, fc.constantFrom(...tokens, ...others)).map(([at, other]) => (text: string) => text.slice(0, at % text.length) + other.slice(at % text.length)),
    fc.tuple(fc.nat(2), place, fc.nat(7)).map(([n, at, bit]) => (text: string) => {
      const parts = text.split('.')
      const bytes = [...Buffer.from(parts[n] ?? '', 'base64url')].map((byte, index, { length }) => (index === at % length ? byte ^ (1 << bit) : byte))
      return [...parts.slice(0, n), Buffer.from(bytes).toString('base64url'), ...parts.slice(n + 1)].join('.')
    }),
  )

  it('one that was changed anywhere never passes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...tokens), fc.array(anyChange, { minLength: 1, maxLength: 3 }), async (token, changes) => {
        const changed = changes.reduce((text, change) => change(text) || token, token)
        fc.pre(![...tokens, ...others].some((valid) => same(valid, changed)))
        const heard = await send(relay, [mine(1), victims(2)], { token: changed })
        expect([heard.status, heard.results, api.calls]).toEqual([401, [], []])
      }),
      { numRuns: 300 },
    )
  })

  it('one that nobody signed never passes, whatever it says, and is never an error of ours', async () => {
    const anyHeader = fc.oneof(
      fc.record({ alg: fc.constantFrom('HS256', 'ES256', 'EdDSA', 'Ed25519', 'none', 'HS512', 'RS256', '__proto__'), kid: fc.constantFrom('hs', 'es', 'ed', 'x') }),
      fc.jsonValue(),
    )
    const anySignature = fc.uint8Array({ maxLength: 70 }).map((bytes) => Buffer.from(bytes).toString('base64url'))
    const anyToken = fc.oneof(fc.tuple(anyHeader, fc.oneof(fc.constant(claimsOf()), fc.jsonValue()), anySignature).map(([a, b, c]) => `${part(a)}.${part(b)}.${c}`), fc.string())
    await fc.assert(
      fc.asyncProperty(anyToken, async (token) => {
        const heard = await send(relay, [mine(1)], { token })
        expect([heard.status, heard.results, api.calls]).toEqual([401, [], []])
      }),
      { numRuns: 300 },
    )
  })

  it('only events of its contact reach the API', async () => {
    const ids = fc.constantFrom('u_42', 'U_42', 'u_42 ', 'u_42\0', 'u_4２', 'victim', '__proto__')
    await fc.assert(
      fc.asyncProperty(ids, fc.array(ids, { minLength: 1, maxLength: 8 }), async (sub, contacts) => {
        const { relay, api } = setUpTokens()
        const events = contacts.map((id, n) => makeEvent(n, { contact: { id } }))
        const heard = await send(relay, events, { token: makeToken(claimsOf({ sub })) })
        expect(outcomes(heard)).toEqual(contacts.map((id) => (id === sub ? 'stored' : 'rejected')))
        expect(api.calls.every(({ contactId }) => contactId === sub)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })
})

