/**
 * The keys by which the site's backend signs its tokens.
 * Invariant: what a key is decides its one algorithm, here and for good, and nothing public passes for a secret: with such a secret anyone could sign.
 * No message shows any of a key, nor what it is called: where the two were swapped, that is the secret.
 */
import { decode, encode } from 'jose/base64url'
import { describeGiven, type Parsed } from './given.ts'
import { isRecord } from './json.ts'

/**
 * Keys by their `kid`; several at once during a rotation. A text is an HS256 secret, of at least 32 bytes of UTF-8. A JWK is an HS256 secret (`oct`),
 * or the public key of ES256 (`EC`, P-256) or EdDSA (`OKP`, Ed25519). The key decides the algorithm, whatever a token says.
 * A list is of JWKs that have a `kid`.
 */
export type IdentityKeys = Readonly<Record<string, string | Jwk>> | readonly Jwk[]

/** A key as RFC 7517 writes it; the members that are looked at. */
export interface Jwk {
  kty?: string
  kid?: string
  /** Where it is there, the one that the key has anyway. */
  alg?: string
  /** Where it is there, `sig`. */
  use?: string
  crv?: string
  x?: string
  y?: string
  /** The secret of an `oct` key, base64url. */
  k?: string
  /** Of a private key: refused. */
  d?: string
}

/** A key that can only check. */
export interface VerifyKey {
  /** Where it was given, such as `identity.keys[0]`; the n-th where they have names. */
  place: string
  /** By which names a token may call its algorithm. */
  algorithms: string[]
  /** For `crypto.subtle.importKey`: what it needs and nothing besides. */
  jwk: { kty: string; crv?: string; x?: string; y?: string; k?: string }
  params: { name: string; hash?: string; namedCurve?: string }
}

/** Keys by their `kid`. */
export type VerifyKeys = ReadonlyMap<string, VerifyKey>

type Key = Omit<VerifyKey, 'place'>

/** Bytes of a secret at least: the size of the hash (RFC 7518, 3.2). The coordinates of P-256 and Ed25519 have as many (RFC 7518, 6.2.1; RFC 8037, 2). */
const KEY_BYTES = 32

const SECRET = `a secret of at least ${KEY_BYTES} bytes (HS256)`
const KEY = `${SECRET}, or a JWK: oct (HS256), public EC P-256 (ES256) or public OKP Ed25519 (EdDSA)`

/** How keys look that may be public: PEM, a JWK's text, OpenSSH, and what is between the lines of a PEM (DER of Ed25519, elliptic curves, RSA, certificates). */
const MAYBE_PUBLIC = /-----BEGIN|^\s*([[{]|ssh-|ecdsa-|MCowBQYDK2V|MFkwEwYHKoZI|MHYwEAYHKoZI|MI[GI][A-Z][A-Za-z])/

const HS256 = { algorithms: ['HS256'], params: { name: 'HMAC', hash: 'SHA-256' } }
const ES256 = { algorithms: ['ES256'], params: { name: 'ECDSA', namedCurve: 'P-256' } }
/** RFC 9864 renamed EdDSA on this curve in 2025; signers use either name. */
const EDDSA = { algorithms: ['EdDSA', 'Ed25519'], params: { name: 'Ed25519' } }

const refuse = (place: string, given: string, allowed: string): { ok: false; reason: string } => ({
  ok: false,
  reason: `${place}: got ${given}; allowed is ${allowed}`,
})

/** The bytes of a base64url text; none where it is no such text. */
const bytesOf = (value: unknown): Uint8Array => {
  try {
    return typeof value === 'string' && /^[\w-]+$/.test(value) ? decode(value) : new Uint8Array()
  } catch {
    return new Uint8Array()
  }
}

const isCoordinate = (value: unknown): value is string => bytesOf(value).length === KEY_BYTES

/** The key that a JWK is, or undefined where it is none of ours. */
const readJwk = ({ kty, crv, x, y, k }: Record<string, unknown>): Key | undefined => {
  if (kty === 'oct') return { ...HS256, jwk: { kty, k: encode(bytesOf(k)) } }
  if (kty === 'EC' && crv === 'P-256' && isCoordinate(x) && isCoordinate(y)) return { ...ES256, jwk: { kty, crv, x, y } }
  if (kty === 'OKP' && crv === 'Ed25519' && isCoordinate(x)) return { ...EDDSA, jwk: { kty, crv, x } }
  return undefined
}

const parseSecret = (place: string, given: string): Parsed<Key> => {
  const got = describeGiven(given)
  if (MAYBE_PUBLIC.test(given)) return refuse(place, `${got} that looks like a public key`, 'a secret, or the JWK as an object: whoever knows a secret can sign')
  const bytes = new TextEncoder().encode(given)
  return bytes.length < KEY_BYTES ? refuse(place, got, SECRET) : { ok: true, value: { ...HS256, jwk: { kty: 'oct', k: encode(bytes) } } }
}

const parseJwk = (place: string, kid: string, given: unknown): Parsed<Key> => {
  const key = isRecord(given) ? readJwk(given) : undefined
  if (!key || !isRecord(given)) return refuse(place, describeGiven(given), KEY)
  const { d, k, alg = key.algorithms[0], use = 'sig', kid: ownKid = kid } = given
  if (key.jwk.kty === 'oct' && bytesOf(k).length < KEY_BYTES) return refuse(place, `a JWK of ${bytesOf(k).length} bytes`, SECRET)
  if (key.jwk.kty !== 'oct' && d !== undefined) return refuse(place, 'a private JWK (with d)', 'the public one: who only checks must not be able to sign')
  if (!key.algorithms.some((name) => name === alg)) return refuse(place, 'a JWK of another alg', `${key.algorithms[0]} for this kty, or none`)
  if (use !== 'sig') return refuse(place, 'a JWK of another use', 'sig, or none')
  return ownKid === kid ? { ok: true, value: key } : refuse(place, 'a JWK of another kid', 'the kid by which it is given')
}

/**
 * Keys as the site gave them, under the option or variable `name`. What cannot be seen without WebCrypto (a point that is not on the curve)
 * is found when a token first needs the key.
 */
export const parseKeys = (given: unknown, name: string): Parsed<VerifyKeys> => {
  const named = isRecord(given) ? Object.entries(given) : []
  const entries: [unknown, unknown][] = Array.isArray(given) ? given.map((jwk) => [isRecord(jwk) ? jwk.kid : undefined, jwk]) : named
  if (!entries.length) return refuse(name, describeGiven(given), `an object of kid → key, or an array of JWKs with a kid; a key is ${KEY}`)
  const keys = new Map<string, VerifyKey>()
  for (const [index, [kid, value]] of entries.entries()) {
    const place = `${name}[${index}]`
    if (typeof kid !== 'string' || kid === '') return refuse(`${place}.kid`, describeGiven(kid), 'a non-empty string')
    if (keys.has(kid)) return refuse(`${place}.kid`, 'one that an earlier key has', 'one of its own')
    const key = typeof value === 'string' ? parseSecret(place, value) : parseJwk(place, kid, value)
    if (!key.ok) return key
    keys.set(kid, { place, ...key.value })
  }
  return { ok: true, value: keys }
}

/** Throws {@link parseKeys}' line where these cannot be keys. */
export const assertKeys: (given: unknown, name: string) => asserts given is IdentityKeys = (given, name) => {
  const keys = parseKeys(given, name)
  if (!keys.ok) throw new TypeError(`[pristo] ${keys.reason}`)
}
