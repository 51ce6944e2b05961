// @vitest-environment node
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, importJWK, jwtVerify, type JWK } from 'jose'
import { afterAll, describe, expect, it } from 'vitest'
import { createSign } from '../../../src/relay/cli/sign.ts'
import { makeEvent, outcomes, POPULATION, send, setUp } from '../harness.ts'
import { runIn } from './terminal.ts'

const NOW_S = Math.floor(Date.now() / 1000)
const SECRET = 'canary-secret-of-more-than-32-bytes!'
const OTHER = 'another-secret-of-more-than-32-bytes'
const env = { PRISTO_IDENTITY_KEYS: JSON.stringify({ main: SECRET }), PRISTO_POPULATION_ID: POPULATION }

const folder = mkdtempSync(join(tmpdir(), 'pristo-sign-'))
afterAll(() => rmSync(folder, { recursive: true }))

const sign = (given: Record<string, string>, over: Record<string, string> = {}) =>
  runIn(
    createSign(() => NOW_S * 1000),
    { ...env, ...over },
    given,
  )

const verify = (token: string | undefined, key: Parameters<typeof jwtVerify>[1]) =>
  jwtVerify(token ?? '', key, { currentDate: new Date(NOW_S * 1000) })

/** The line that it fails with. */
const failure = async (given: Record<string, string>, over: Record<string, string> = {}): Promise<string> => {
  const line = await sign({ contact: 'u_42', ...given }, over).then(
    () => 'signed',
    (error: unknown) => (error instanceof Error ? error.message : ''),
  )
  for (const secret of ['canary', OTHER]) expect(line).not.toContain(secret)
  return line
}

describe('pristo-relay sign', () => {
  it('prints a token for the contact, and nothing else on stdout', async () => {
    const { code, out, err } = await sign({ contact: 'u_42' })
    expect([code, out.length]).toEqual([0, 1])
    expect(err).toEqual([`[pristo] signed with HS256; expires at ${new Date((NOW_S + 3600) * 1000).toISOString()}`])
    const { payload, protectedHeader } = await verify(out[0], new TextEncoder().encode(SECRET))
    expect(protectedHeader).toEqual({ alg: 'HS256', kid: 'main', typ: 'JWT' })
    expect(payload).toEqual({ sub: 'u_42', aud: POPULATION, iat: NOW_S, exp: NOW_S + 3600 })
  })

  it('signs details, another audience and another life', async () => {
    const details = { email: 'a@b.co', phone: '+49157', language: 'en', name: 'A', 'last-name': 'B' }
    const { out } = await sign({ contact: 'u_42', expires: '90s', ...details }, { PRISTO_IDENTITY_AUDIENCE: 'shop' })
    const { payload } = await verify(out[0], new TextEncoder().encode(SECRET))
    expect(payload).toEqual({
      sub: 'u_42',
      aud: 'shop',
      iat: NOW_S,
      exp: NOW_S + 90,
      contact: { email: 'a@b.co', phone: '+49157', language: 'en', name: 'A', lastName: 'B' },
    })
  })

  it('signs what the relay then believes, and nobody else\'s contact', async () => {
    const { out } = await sign({ contact: 'u_42', email: 'signed@example.org' })
    const { relay, api } = setUp(undefined, { identity: { keys: { main: SECRET }, audience: POPULATION }, now: () => NOW_S * 1000 })
    const said = await send(relay, [makeEvent(1), makeEvent(2, { contact: { id: 'u_7' } })], { token: out[0] })
    expect(outcomes(said)).toEqual(['stored', 'rejected'])
    expect(api.calls.map(({ body }) => body.contact)).toEqual([{ id: 'u_42', email: 'signed@example.org' }])
  })

  it('takes the key that --kid names, from an object or an array', async () => {
    const k = Buffer.from(OTHER).toString('base64url')
    const two = JSON.stringify({ old: SECRET, new: { kty: 'oct', k } })
    const list = JSON.stringify([
      { kty: 'oct', kid: 'old', k: Buffer.from(SECRET).toString('base64url') },
      { kty: 'oct', kid: 'new', k },
    ])
    for (const keys of [two, list]) {
      const { out } = await sign({ contact: 'u_42', kid: 'new' }, { PRISTO_IDENTITY_KEYS: keys })
      expect((await verify(out[0], new TextEncoder().encode(OTHER))).protectedHeader.kid).toBe('new')
    }
    expect(await failure({}, { PRISTO_IDENTITY_KEYS: two })).toBe(
      '[pristo] --kid: got nothing; allowed is the kid of one of the 2 keys in PRISTO_IDENTITY_KEYS',
    )
    expect(await failure({ kid: 'x' })).toMatch(/^\[pristo\] --kid: got one that is not there; allowed is the kid of one of the 1 keys/)
  })

  it.each([
    ['ES256', undefined],
    ['EdDSA', 'Ed25519'],
  ])('signs %s by the private key of a file', async (alg, crv) => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true, ...(crv && { crv }) })
    const file = join(folder, `${alg}.jwk`)
    const jwk: JWK = await exportJWK(privateKey)
    writeFileSync(file, JSON.stringify({ ...jwk, kid: 'pair' }))
    const { out } = await sign({ contact: 'u_42', key: file })
    const open = await importJWK(await exportJWK(publicKey), alg)
    expect((await verify(out[0], open)).protectedHeader).toEqual({ alg, kid: 'pair', typ: 'JWT' })
    expect((await verify((await sign({ contact: 'u_42', key: file, kid: 'mine' })).out[0], open)).protectedHeader.kid).toBe('mine')

    const publicJwk = JSON.stringify({ pair: await exportJWK(publicKey) })
    expect(await failure({}, { PRISTO_IDENTITY_KEYS: publicJwk })).toBe(
      '[pristo] PRISTO_IDENTITY_KEYS[0]: got a public JWK; allowed is the private one, as --key <file>: only it can sign',
    )
    writeFileSync(file, JSON.stringify({ ...jwk, d: 'canary' }))
    expect(await failure({ key: file, kid: 'mine' })).toBe('[pristo] the key cannot be used: its parts do not belong together')
  })

  it.each<[string, Record<string, string>, Record<string, string>, RegExp]>([
    ['no contact', { contact: '' }, {}, /^\[pristo\] --contact: got nothing/],
    ['a life over a day', { expires: '25h' }, {}, /^\[pristo\] --expires: not a time from 1s to 24h/],
    ['a life of nothing', { expires: '0s' }, {}, /--expires/],
    ['a life without a unit', { expires: '3600' }, {}, /--expires/],
    ['no audience', {}, { PRISTO_POPULATION_ID: '' }, /^\[pristo\] --audience: got nothing/],
    ['no key', {}, { PRISTO_IDENTITY_KEYS: '' }, /^\[pristo\] PRISTO_IDENTITY_KEYS: got nothing; allowed is JSON/],
    [
      'a short secret',
      {},
      { PRISTO_IDENTITY_KEYS: '{"main":"canary"}' },
      /^\[pristo\] PRISTO_IDENTITY_KEYS\[0\]: got a secret of 6 bytes; allowed is a secret of at least 32 bytes/,
    ],
    ['a short secret in a JWK', {}, { PRISTO_IDENTITY_KEYS: '{"main":{"kty":"oct","k":"canary"}}' }, /got a secret of \d bytes/],
    ['no JSON', {}, { PRISTO_IDENTITY_KEYS: 'canary' }, /^\[pristo\] PRISTO_IDENTITY_KEYS: got a string of 6 characters that is not JSON/],
    ['a key of another kind', {}, { PRISTO_IDENTITY_KEYS: '{"main":{"kty":"RSA","d":"canary"}}' }, /got a JWK of another kind/],
    ['a file that is not there', { key: '/nowhere/canary' }, {}, /^\[pristo\] --key: this file cannot be read \(ENOENT\)/],
  ])('says in one line what it cannot use: %s', async (_, given, over, line) => {
    expect(await failure(given, over)).toMatch(line)
  })
})
