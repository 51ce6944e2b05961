/**
 * Which key signs a token, from the environment or from a file.
 * Invariant: no message shows any of a key, nor what it is called: where the two were swapped, that is the secret.
 */
import type { JWK } from 'jose'
import { decode } from 'jose/base64url'
import { describeGiven } from '../given.ts'
import { isRecord, parseJson } from '../json.ts'

/** A key that can sign, and what the token's header says of it. */
export interface SigningKey {
  kid: string
  alg: 'HS256' | 'ES256' | 'EdDSA'
  /** Bytes of a secret, or a private JWK. */
  key: Uint8Array | JWK
}

/** Of HS256: as long as its hash (RFC 7518, 3.2). */
const SECRET_BYTES = 32

const SIGNING = `a secret of at least ${SECRET_BYTES} bytes, or a JWK that can sign: oct (HS256), or private (with d) EC P-256 (ES256) or OKP Ed25519 (EdDSA)`

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

const fail = (place: string, given: string, allowed: string): never => {
  throw new TypeError(`[pristo] ${place}: got ${given}; allowed is ${allowed}`)
}

const readJson = (place: string, text: string): unknown => {
  const json = parseJson(text)
  return json === undefined ? fail(place, `${describeGiven(text)} that is not JSON`, 'JSON') : json
}

const bytesOf = (text: string): Uint8Array => {
  try {
    return decode(text)
  } catch {
    return new Uint8Array() // no base64url, so no secret either
  }
}

const fromSecret = (place: string, bytes: Uint8Array): Omit<SigningKey, 'kid'> =>
  bytes.length < SECRET_BYTES ? fail(place, `a secret of ${bytes.length} bytes`, SIGNING) : { alg: 'HS256', key: bytes }

/** What one entry can sign with; the key decides the algorithm, as it does where tokens are verified. */
const readKey = (place: string, given: unknown): Omit<SigningKey, 'kid'> => {
  if (typeof given === 'string') return fromSecret(place, new TextEncoder().encode(given))
  if (!isRecord(given)) return fail(place, describeGiven(given), SIGNING)
  const { kty, crv, x, y, d, k } = given
  if (kty === 'oct' && isText(k)) return fromSecret(place, bytesOf(k))
  const isES256 = kty === 'EC' && crv === 'P-256' && isText(x) && isText(y)
  const isEdDSA = kty === 'OKP' && crv === 'Ed25519' && isText(x)
  if ((isES256 || isEdDSA) && d === undefined) return fail(place, 'a public JWK', 'the private one, as --key <file>: only it can sign')
  if (isES256 && isText(d)) return { alg: 'ES256', key: { kty, crv, x, y, d } }
  return isEdDSA && isText(d) ? { alg: 'EdDSA', key: { kty, crv, x, d } } : fail(place, 'a JWK of another kind', SIGNING)
}

const kidOf = (given: unknown): unknown => (isRecord(given) ? given.kid : undefined)

/** The key of `PRISTO_IDENTITY_KEYS` that is called `kid`, or the only one. */
const fromVariable = (text: string, kid: string | undefined): SigningKey => {
  const name = 'PRISTO_IDENTITY_KEYS'
  const given = readJson(name, text)
  const entries: [unknown, unknown][] = Array.isArray(given)
    ? given.map((jwk: unknown) => [kidOf(jwk), jwk])
    : Object.entries(isRecord(given) ? given : {})
  if (!entries.length) return fail(name, describeGiven(given), 'an object of kid → key, or an array of JWKs with a kid')
  const place = kid === undefined && entries.length === 1 ? 0 : entries.findIndex(([name]) => name === kid)
  const [found, key] = entries[place] ?? []
  if (!isText(found))
    return fail('--kid', kid === undefined ? 'nothing' : 'one that is not there', `the kid of one of the ${entries.length} keys in ${name}`)
  return { kid: found, ...readKey(`${name}[${place}]`, key) }
}

/** The private JWK of a file, under its own kid or the one given. */
const fromFile = (text: string, kid: string | undefined): SigningKey => {
  const jwk = readJson('--key', text)
  const name = kid ?? kidOf(jwk)
  return isText(name)
    ? { kid: name, ...readKey('--key', jwk) }
    : fail('--kid', 'nothing, and the JWK has none', 'the kid by which the relay knows the public key')
}

/**
 * `file` is the content of a JWK's file, which goes before `variable`, the content of `PRISTO_IDENTITY_KEYS`.
 * Throws a TypeError of one line where there is no key, or none that can sign.
 */
export const findSigningKey = ({
  file,
  variable,
  kid,
}: {
  file: string | undefined
  variable: string | undefined
  kid: string | undefined
}): SigningKey => {
  if (file !== undefined) return fromFile(file, kid)
  return variable?.trim()
    ? fromVariable(variable, kid)
    : fail('PRISTO_IDENTITY_KEYS', 'nothing', `JSON: { "<kid>": key }, or give --key <file>; a key is ${SIGNING}`)
}
