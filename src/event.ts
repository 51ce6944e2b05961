/**
 * Makes valid events and contacts out of what a site passes in, or says why not.
 * Invariant: what leaves this room is what the Pristo API takes: strings only, at most 50 characters a custom field.
 */
import { MAX_VALUE_CHARS, type Contact, type PristoEvent } from './contract.ts'

/** What a field may be given as; everything becomes a string. `null` and `undefined` are left out. */
export type FieldValue = string | number | bigint | boolean | Date | null | undefined

/** Custom fields of an event or a contact, as a site passes them. */
export type Fields = Record<string, FieldValue>

/**
 * A contact, as a site passes it to `identify()`: `id`, the site's own, is needed; details that are `null`, `undefined` or left out
 * change nothing.
 */
export type ContactInput = { id: string; customFields?: Fields | null | undefined } & {
  [Field in 'email' | 'phone' | 'language' | 'name' | 'lastName']?: FieldValue
}

/** An event that may still wait for `identify()`: the API takes none without a contact. */
export type TrackedEvent = Omit<PristoEvent, 'contact'> & { contact?: Contact }

/** Told of every value that was cut or left out: what was given, and what is allowed. */
export type Report = (message: string) => void

const KINDS = `string, number, boolean, Date; ${MAX_VALUE_CHARS} characters`

const CONTACT_FIELDS = ['email', 'phone', 'language', 'name', 'lastName']

/** One line that names the argument, what was given and what is allowed. */
export const explain = (argument: string, given: unknown, allowed: unknown): string =>
  // An object may refuse to become a string, and may hold what has no place on a console.
  `${argument}: got ${typeof given} ${Object(given) === given ? '' : String(given)}; allowed: ${allowed}`

const toTexts = (given: unknown, argument: string, report: Report, keys?: string[]): Record<string, string> => {
  // Texts only when the loop is over. In a copy `__proto__` is a key like any other, also when it is assigned to.
  const texts: Record<string, string> = { ...Object(given) }
  for (const key of Object.keys(texts)) {
    const value: unknown = texts[key]
    if (!keys && typeof value === 'string' && value.length <= MAX_VALUE_CHARS) continue // as nearly all are
    const plain: unknown = value instanceof Date ? value.toJSON() : value // null where it is no date
    const isUsable = keys?.includes(key) !== false && /^(st|n|b)/.test(typeof plain) && plain === plain // but for NaN
    const text = isUsable ? String(plain) : ''
    const fitting = keys || text.length <= MAX_VALUE_CHARS ? text : text.slice(0, MAX_VALUE_CHARS).replace(/[\ud800-\udbff]$/, '')
    if (isUsable) texts[key] = fitting
    else delete texts[key]
    if (value != null && (!isUsable || fitting !== text)) report(explain(`${argument}.${key}`, value, keys ?? KINDS))
  }
  return texts
}

const check = (argument: string, given: unknown): string => {
  if (typeof given === 'string' && given.trim()) return given
  throw explain(argument, given, 'non-empty string')
}

/**
 * A contact that the API takes. Unknown or unusable fields are left out and reported.
 * @throws {string} without a usable `id`.
 */
export const makeContact = (given: unknown, report: Report): Contact => {
  const { id, customFields, ...rest } = Object(given)
  return {
    id: check('contact.id', id),
    ...toTexts(rest, 'contact', report, CONTACT_FIELDS),
    ...(customFields && { customFields: toTexts(customFields, 'contact.customFields', report) }),
  }
}

let minute = NaN
let minuteText = ''

/** This moment, RFC 3339. The minute is written once: a date that writes itself was the dearest part of a page's first `track()` in a while. */
const makeTime = (): string => {
  const now = Math.floor(Date.now())
  const start = Math.floor(now / 60_000) * 60_000 // no leap seconds: https://tc39.es/ecma262/#sec-time-values-and-time-range
  if (start !== minute) minuteText = new Date((minute = start)).toISOString().slice(0, 17)
  const digits = String(100_000 + now - start)
  return `${minuteText}${digits.slice(1, 3)}.${digits.slice(3)}Z`
}

/**
 * One event of this moment. Fields that cannot be sent are left out and reported.
 * @throws {string} without a usable `type`.
 */
export const makeEvent = (id: string, type: unknown, fields: unknown, report: Report): TrackedEvent => ({
  id,
  type: check('type', type),
  occurredAt: makeTime(),
  customFields: toTexts(fields, 'fields', report),
})

let last = 0

/**
 * Makes UUIDv7s (RFC 9562 §5.7) that sort in the order in which they were made, also within a millisecond and when
 * the clock is set back: each takes a later millisecond than the last. 48 bits are random, which is enough to tell
 * apart what one contact does in one millisecond.
 */
export const makeId = (): string => {
  last = Math.max(Date.now(), last + 1)
  const time = last.toString(16).padStart(11, '0') // no more of them until the year 2527; fewer until 2004, where a device's clock may begin
  return `0${time.slice(0, 7)}-${time.slice(7)}-7000-8000-${Math.random().toString(16).slice(2, 14).padEnd(12, '0')}`
}
