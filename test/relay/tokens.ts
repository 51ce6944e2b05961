/** Tokens as a site's backend makes them. Signed by node:crypto, so that the relay's library is held to what another one says. */
import { createHmac, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import type { RelayOptions } from '../../src/relay/index.ts'
import { CANARY_EMAIL, NOW, setUp } from './harness.ts'

export const AUDIENCE = 'https://shop.example/pristo'
export const SECRET = 'canary-secret: thirty-two bytes, or more'
export const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
export const ed = generateKeyPairSync('ed25519')
export const jwkOf = (key: KeyObject) => key.export({ format: 'jwk' })
export const pemOf = (key: KeyObject) => String(key.export({ format: 'pem', type: 'spki' }))

/** One key of each kind, by kids that say so. */
export const KEYS = { hs: SECRET, es: jwkOf(ec.publicKey), ed: jwkOf(ed.publicKey) }

type Signer = (input: string) => Buffer
export const hs = (secret: string, hash = 'sha256'): Signer => (input) => createHmac(hash, secret).update(input).digest()
export const es = (key: KeyObject, dsaEncoding: 'ieee-p1363' | 'der' = 'ieee-p1363'): Signer => (input) => sign('sha256', Buffer.from(input), { key, dsaEncoding })
export const eddsa = (key: KeyObject): Signer => (input) => sign(null, Buffer.from(input), key)

/** A signer with the header that goes with it. */
export const BY = {
  hs: { header: { alg: 'HS256', kid: 'hs' }, by: hs(SECRET) },
  es: { header: { alg: 'ES256', kid: 'es' }, by: es(ec.privateKey) },
  ed: { header: { alg: 'EdDSA', kid: 'ed' }, by: eddsa(ed.privateKey) },
}

const NOW_S = NOW / 1000

/** Seconds since 1970, counted from the tests' now. */
export const inS = (seconds: number): number => NOW_S + seconds

export const claimsOf = (over: Record<string, unknown> = {}) => ({ sub: 'u_42', aud: AUDIENCE, exp: inS(600), iat: inS(0), ...over })

/** `{ a: 1 }` or a text → the part of a token that holds it. */
export const part = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A token; claims may be a text, which need not be JSON. A claim of `undefined` is absent. */
export const makeToken = (claims: unknown = claimsOf(), { header, by }: { header: unknown; by: Signer } = BY.hs): string => {
  const input = `${part(header)}.${part(claims)}`
  return `${input}.${by(input).toString('base64url')}`
}

/** A relay that believes tokens alone. */
export const setUpTokens = (keys: unknown = KEYS, options: Partial<RelayOptions> = {}) => {
  // As plain JavaScript would give them.
  const identity = { keys, audience: AUDIENCE } as RelayOptions['identity']
  return setUp(undefined, { identity, ...options })
}

/** What may be in no answer and no line. */
export const secretsOf = (token: string): string[] => [...token.split('.').filter((text) => text.length > 10), SECRET, CANARY_EMAIL, KEYS.es.x ?? '', KEYS.ed.x ?? '']
