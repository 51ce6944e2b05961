/**
 * Which contact a request may speak for, by a short-lived JWT that the site's backend signed.
 * Invariant: a contact is named only where one of the site's keys signed for it, by that key's own algorithm, for this audience and this time;
 * whatever else happens names nobody. No message shows any of a token or a key.
 */
import { decodeProtectedHeader, jwtVerify, type JWTPayload } from 'jose'
import { JOSEAlgNotAllowed, JOSEError, JWSSignatureVerificationFailed, JWTClaimValidationFailed, JWTExpired } from 'jose/errors'
import { MAX_TOKEN_CHARS, type Contact } from '../contract.ts'
import { describeGiven, type Parsed } from './given.ts'
import { isRecord } from './json.ts'
import type { VerifyKey, VerifyKeys } from './keys.ts'

/** What a token, or its absence, says of a request's sender. */
export type Verdict =
  /** `contact` holds the details that were signed; without it those of the page stand. */
  | { kind: 'contact'; id: string; contact?: Contact }
  /** The whole request is answered 401; `message` may leave. */
  | { kind: 'refused'; code: string; message: string }
  /** Nobody can tell: the site's own code or settings failed. It was reported. */
  | { kind: 'unknown' }

/** How far the backend's clock and ours may be apart: machines with a time service are within a second, a minute forgives one without. */
const TOLERANCE_S = 60

/** How far ahead a token may expire (DESIGN.md, "Relay"): who steals one can use it for a day. */
const MAX_AHEAD_S = 86_400

/** A compact JWS with a signature (RFC 7515, 7.1): base64url and nothing else, where decoders forgive spaces and padding. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/

/** What is required of each claim; completes "token.exp: ". */
const REQUIRED: Readonly<Record<string, string>> = {
  sub: "required is the contact's id",
  aud: 'required is what the relay was given as identity.audience',
  exp: 'required is a time in seconds since 1970, at most 24 hours ahead',
  nbf: "required is a time that has come, in seconds since 1970; compare the backend's clock",
  iat: "required is a time that has come, in seconds since 1970; compare the backend's clock",
}

const refused = (code: 'token_missing' | 'token_expired' | 'token_invalid', message: string): Verdict => ({ kind: 'refused', code, message })
const wrongClaim = (claim: string): Verdict => refused('token_invalid', `token.${claim}: ${REQUIRED[claim] ?? 'not valid'}`)

const kidOf = (token: string): string | undefined => {
  try {
    const { kid } = decodeProtectedHeader(token)
    return typeof kid === 'string' ? kid : undefined
  } catch {
    return undefined // a header that is no JSON names no key
  }
}

/** Why jose refused a token, in our words: its own may repeat what the token holds. Undefined where the token is not to blame. */
const explain = (error: unknown): Verdict | undefined => {
  if (error instanceof JWTExpired) return refused('token_expired', 'the token has expired; ask your backend for a new one')
  if (error instanceof JWTClaimValidationFailed) return wrongClaim(error.claim)
  if (error instanceof JOSEAlgNotAllowed) return refused('token_invalid', 'token.alg: required is the algorithm of the key that its kid names')
  if (error instanceof JWSSignatureVerificationFailed) return refused('token_invalid', 'token: its signature is not by the key that its kid names')
  return error instanceof JOSEError ? refused('token_invalid', 'token: required is a signed JWT') : undefined
}

/** Judges what jose leaves to us, of claims that are signed. Without `exp` a token would never expire. */
const readClaims = ({ sub, exp = Infinity, iat = 0, contact }: JWTPayload, nowS: number, parseContact: (value: unknown) => Parsed<Contact>): Verdict => {
  if (typeof sub !== 'string' || sub === '') return wrongClaim('sub')
  if (exp > nowS + MAX_AHEAD_S + TOLERANCE_S) return wrongClaim('exp')
  if (iat > nowS + TOLERANCE_S) return wrongClaim('iat')
  if (contact === undefined) return { kind: 'contact', id: sub }
  const details = parseContact(isRecord(contact) ? { id: sub, ...contact } : contact)
  if (!details.ok) return refused('token_invalid', `token.${details.reason}`)
  return details.value.id === sub
    ? { kind: 'contact', id: sub, contact: details.value }
    : refused('token_invalid', 'token.contact.id: required is the same as sub, or none')
}

/** Judges a request's token. `now` in milliseconds; `parseContact` judges a signed contact; the promise never rejects. */
export const createVerify = ({
  keys,
  audience,
  now,
  parseContact,
  report,
}: {
  keys: VerifyKeys
  audience: string
  now: () => number
  parseContact: (value: unknown) => Parsed<Contact>
  report: (message: string, cause?: unknown) => void
}) => {
  const imported = new Map<VerifyKey, CryptoKey>()

  /** The key itself is kept, not its promise: where a runtime ends a request early, those that wait for its promise would wait for ever. */
  const load = async (key: VerifyKey): Promise<CryptoKey> => {
    const ready = imported.get(key) ?? (await crypto.subtle.importKey('jwk', key.jwk, key.params, false, ['verify']))
    imported.set(key, ready)
    return ready
  }

  return async (token: string | undefined): Promise<Verdict> => {
    if (!token) return refused('token_missing', 'token: got nothing; allowed is a JWT that your backend signed for the contact')
    if (token.length > MAX_TOKEN_CHARS || !COMPACT.test(token))
      return refused('token_invalid', `token: got ${describeGiven(token)}; allowed is a signed JWT of at most ${MAX_TOKEN_CHARS} characters`)
    const key = keys.get(kidOf(token) ?? '')
    if (!key) return refused('token_invalid', 'token.kid: required is the kid of one of the keys in identity.keys')
    try {
      const currentDate = new Date(now())
      const { payload } = await jwtVerify(token, await load(key), {
        algorithms: key.algorithms,
        audience,
        clockTolerance: TOLERANCE_S,
        currentDate,
      })
      return readClaims(payload, currentDate.getTime() / 1000, parseContact)
    } catch (cause) {
      const refusal = explain(cause)
      if (refusal) return refusal
      report(`${key.place}: this runtime cannot verify by that key; the events wait in the browser`, cause)
      return { kind: 'unknown' }
    }
  }
}
