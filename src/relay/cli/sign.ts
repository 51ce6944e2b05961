/**
 * `pristo-relay sign`: a token for a contact, as the site's backend would sign it, for trying.
 * Invariant: stdout has the token and nothing else.
 */
import { readFile } from 'node:fs/promises'
import { SignJWT, type JWTPayload } from 'jose'
import { UsageError, type Command } from './command.ts'
import { NAMES } from './settings.ts'
import { findSigningKey, type SigningKey } from './signing.ts'

/** How long a token lasts where nobody says otherwise, and at most: the relay refuses one that expires later (DESIGN.md, "Relay"). */
const DEFAULT_EXPIRES = '1h'
const MAX_EXPIRES_S = 24 * 3600

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }

/** `90s`, `15m`, `1h` → seconds. */
const parseExpires = (text: string): number => {
  const [, count = '', unit = ''] = /^(\d{1,6})([smh])$/.exec(text) ?? []
  const seconds = Number(count) * (SECONDS[unit] ?? 0)
  if (seconds >= 1 && seconds <= MAX_EXPIRES_S) return seconds
  throw new UsageError('[pristo] --expires: not a time from 1s to 24h; allowed is a number with s, m or h, such as 15m')
}

/** Flags of details, and what the claim calls them. */
const DETAILS = { email: 'email', phone: 'phone', language: 'language', name: 'name', 'last-name': 'lastName' } as const

/** The signed details; the relay then believes these, and not the page. Undefined where none was given. */
const readDetails = (given: Readonly<Record<string, string | undefined>>): Record<string, string> | undefined => {
  const details = Object.entries(DETAILS).flatMap(([flag, name]) => (given[flag] === undefined ? [] : [[name, given[flag]] as const]))
  return details.length ? Object.fromEntries(details) : undefined
}

const readKeyFile = async (path: string): Promise<string> => {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new TypeError(`[pristo] --key: this file cannot be read (${code}); allowed is the path of a private JWK`)
  }
}

const signWith = async ({ alg, kid, key }: SigningKey, payload: JWTPayload): Promise<string> => {
  try {
    return await new SignJWT(payload).setProtectedHeader({ alg, kid, typ: 'JWT' }).sign(key)
  } catch {
    throw new TypeError('[pristo] the key cannot be used: its parts do not belong together') // what WebCrypto says may repeat them
  }
}

/** The command; `now` in milliseconds. */
export const createSign = (now: () => number): Command => ({
  summary: 'signs a token for a contact, for trying',
  about: [
    'Where the relay verifies identities by tokens, your own backend signs them. This signs one by hand, with the keys of',
    'the environment or a private JWK in a file: HS256 with a secret, ES256 with EC P-256, EdDSA with OKP Ed25519.',
    'stdout has the token alone. Whoever has it can write to this contact until it expires: keep it out of logs and tickets.',
  ],
  flags: {
    contact: { value: '<id>', what: "the contact's id (required)" },
    email: { value: '<email>', what: 'a signed detail: it replaces what the page says' },
    phone: { value: '<phone>', what: 'the same' },
    language: { value: '<code>', what: 'the same; ISO 639-1, such as en' },
    name: { value: '<name>', what: 'the same' },
    'last-name': { value: '<name>', what: 'the same' },
    expires: { value: '<time>', what: `how long it lasts, such as 90s, 15m or 1h; 24h at most (default: ${DEFAULT_EXPIRES})` },
    kid: { value: '<kid>', what: 'which key, where there are several' },
    key: { value: '<file>', what: 'a private JWK, in place of the keys of the environment' },
    audience: { value: '<text>', what: 'whom it is for', variable: 'PRISTO_IDENTITY_AUDIENCE' },
  },
  variables: NAMES.tokens,
  examples: [
    'PRISTO_IDENTITY_KEYS=\'{"main":"…"}\' PRISTO_POPULATION_ID=… pristo-relay sign --contact u_42 --email a@b.co',
    'pristo-relay sign --contact u_42 --key private.jwk --audience shop',
  ],
  run: async (given, { env, out, err }) => {
    const { contact: sub, expires = DEFAULT_EXPIRES, kid, key: path } = given
    if (!sub) throw new UsageError("[pristo] --contact: got nothing; allowed is the contact's id")
    const lifeS = parseExpires(expires)
    const aud = env['PRISTO_IDENTITY_AUDIENCE']?.trim() || env['PRISTO_POPULATION_ID']?.trim()
    if (!aud)
      throw new UsageError(
        '[pristo] --audience: got nothing; allowed is what the relay has as PRISTO_IDENTITY_AUDIENCE, by default PRISTO_POPULATION_ID',
      )
    const file = path === undefined ? undefined : await readKeyFile(path)
    const key = findSigningKey({ file, variable: env['PRISTO_IDENTITY_KEYS'], kid })
    const iat = Math.floor(now() / 1000)
    const contact = readDetails(given)
    out(await signWith(key, { sub, aud, iat, exp: iat + lifeS, ...(contact && { contact }) }))
    err(`[pristo] signed with ${key.alg}; expires at ${new Date((iat + lifeS) * 1000).toISOString()}`)
    return 0
  },
})
