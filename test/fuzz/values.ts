/** What events are made of: mostly sound, sometimes as odd as JSON can be. Every secret that must not come back is planted from here. */
import fc from 'fast-check'
import { CANARY_EMAIL, KEY, OLD_KEY } from '../relay/harness.ts'

const PHONE = '+4915700canary'
const COOKIE = 'canary-cookie'
const TOKEN = 'canary-token'

/** What must be in no answer, header, error or log line, whoever sent it. Compared without regard to case. */
export const SECRETS = [KEY, OLD_KEY, CANARY_EMAIL, PHONE, COOKIE, TOKEN]

export { CANARY_EMAIL, COOKIE, PHONE, TOKEN }

/** Texts with a history of breaking things: prototypes, control characters, half characters, header lines, lengths around the limit. */
const odd = fc.constantFrom(
  '', ' ', '\0', '\u0000\u001f', '\ud800', 'a\udfff', '\ufeffbom', '\u2028', '__proto__', 'constructor', 'toString', 'a\r\nSet-Cookie: evil=1', '$&', '${7*7}',
  'x'.repeat(50), 'x'.repeat(51), '🙂'.repeat(25), '🙂'.repeat(26), '🙂'.repeat(51), 'é'.repeat(50), CANARY_EMAIL, PHONE, `${CANARY_EMAIL} ${PHONE}`,
) // prettier-ignore

/** Weighted towards what a site would send. */
const often = <T>(common: fc.Arbitrary<T>, rare: fc.Arbitrary<T>, weight = 9): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: common }, { weight: 1, arbitrary: rare })

/** UTF-16 units at random, halves of characters among them. (`fc.string` of any unit first makes a map of all of Unicode: a second.) */
const units = fc.array(fc.nat(0xffff), { maxLength: 60 }).map((codes) => String.fromCharCode(...codes))

const text = often(fc.constantFrom('purchase', 'signup', 'pro', 'Ada', 'é🙂'), fc.oneof(odd, units), 7)

const uuid = fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff)).map(([a, b]) => {
  const [high, low] = [a, b].map((part) => part.toString(16).padStart(8, '0'))
  return `0190${high?.slice(0, 4)}-${high?.slice(4)}-7${low?.slice(0, 3)}-9${low?.slice(3, 6)}-${low?.slice(6)}${high}ab`
})

/** Ids that are none, or only nearly. */
const noId = fc.constantFrom('', 'abc', '0190a000-0000-7000-0000-000000000001', '0190a000-0000-9000-8000-000000000001', '00000000-0000-0000-0000-000000000000', 'x; Domain=evil.test', `${'0'.repeat(36)}`, 'x'.repeat(101), 'a\r\nX-Evil: 1', '0190a000-0000-7000-8000-00000000000G', CANARY_EMAIL, '__proto__') // prettier-ignore

const date = often(
  fc.constantFrom('2026-11-23T11:59:58.000Z', '2026-11-23T13:59:58+02:00', '2026-11-23T11:59:58Z', '2026-11-22T00:00:00.123456Z'),
  fc.constantFrom(
    '2026-02-29T00:00:00Z', '2024-02-29T00:00:00Z', '2026-11-23', '2026-11-23T24:00:00Z', '2026-11-23T23:59:60Z', '2026-11-23T11:59:58', '2026-11-23t11:59:58z',
    '2026-11-23T11:59Z', '9999-12-31T23:59:59Z', '0000-01-01T00:00:00Z', '2026-13-01T00:00:00Z', '2026-11-31T00:00:00Z', '2026-11-23T11:59:58+24:00', 'now', '',
    '+002026-11-23T11:59:58Z', '2026-11-23T11:59:58.Z', '2026-11-23T11:59:58 Z', CANARY_EMAIL,
  ),
  30,
) // prettier-ignore

const fields = fc
  .array(fc.tuple(often(fc.constantFrom('amount', 'sku', 'plan'), odd), text), { maxLength: 3 })
  .map((entries) => ownEntries(entries))

/** Gives an object a key of its own, even where that is `__proto__`, as JSON.parse does. */
export const put = (object: object, key: string, value: unknown): unknown =>
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })

const ownEntries = (entries: readonly (readonly [string, unknown])[]): Record<string, unknown> => {
  const object: Record<string, unknown> = {}
  for (const [key, value] of entries) put(object, key, value)
  return object
}

const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined, freq: 1 })

const contact = fc.record({
  id: often(fc.constantFrom('u_42', 'a', 'b', 'c'), fc.oneof(odd, text)),
  email: maybe(fc.constant(CANARY_EMAIL)),
  phone: maybe(fc.constant(PHONE)),
  language: maybe(fc.constantFrom('en', 'he')),
  name: maybe(text),
  customFields: maybe(fields),
})

/** A sound event in most of its draws. What is undefined is not there, as JSON has it. */
export const event: fc.Arbitrary<unknown> = fc.record({
  id: often(uuid, noId, 30),
  type: text,
  occurredAt: date,
  contact,
  customFields: maybe(fields),
})

/** Anything that JSON can say, to a depth of three. */
export const anyJson: fc.Arbitrary<unknown> = fc.letrec<{ any: unknown }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3, withCrossShrink: false },
    fc.oneof(fc.constantFrom(null, true, false, 0, -1, 1e308, 51, '1', '{}', CANARY_EMAIL, PHONE), odd, text),
    fc.array(tie('any'), { maxLength: 3 }),
    fc.array(fc.tuple(fc.oneof(odd, fc.constantFrom('v', 'events', 'id', 'contact', 'a')), tie('any')), { maxLength: 3 }).map(ownEntries),
  ),
})).any

/** A batch as a browser sends it, of up to so many events, some of them twice. */
export const batch = (maxLength: number): fc.Arbitrary<unknown> =>
  fc
    .record({
      sentAt: often(fc.constantFrom('2026-11-23T12:00:00.000Z', '2026-11-23T09:00:00Z', '2027-01-01T00:00:00+14:00'), date, 20),
      ack: fc.constantFrom(true, true, false, undefined),
      token: maybe(fc.constant(`eyJhbGciOiJub25lIn0.${TOKEN}.`)),
      events: fc.array(event, { minLength: 1, maxLength }),
      copies: fc.nat(9).map((roll) => (roll > 7 ? roll - 6 : 0)),
    })
    .map(({ copies, events, ...rest }) => ({ v: 1, ...rest, events: [...events, ...events.slice(0, copies)] }))
