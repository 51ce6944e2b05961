/**
 * Cuts what somebody said of themselves out of a text that others will read.
 * Invariant: what is cut leaves one mark, whatever its length.
 */
import type { PristoEvent } from '../contract.ts'

/** Under 3 characters a value is no secret, and cutting it out would shred the message. */
const isTelling = (value: string): boolean => value.length >= 3

/** Whether an event's type looks like one: it begins with a letter and has no @, so that it is neither an email nor a telephone number. */
export const isTypeName = (type: string): boolean => /^\p{L}[\p{L}\p{M}\p{N}_ .:/-]{0,63}$/u.test(type)

/** What an event says that could be of a person, and that an error message of the API could repeat: values, and what stands in a name's place without looking like one. */
export const personalValues = ({ type, contact, customFields = {} }: PristoEvent): string[] => {
  const { customFields: own = {}, ...details } = contact
  const fields = [...Object.entries(own), ...Object.entries(customFields)]
  const oddNames = fields.map(([name]) => name).filter((name) => !/^\w+$/.test(name))
  const values = [...Object.values(details), ...fields.map(([, value]) => value), ...oddNames, ...(isTypeName(type) ? [] : [type])].filter(isTelling)
  return values.flatMap((value) => [value, JSON.stringify(value).slice(1, -1)]) // as it is, and as an API that quotes JSON would repeat it
}

const escapeRegExp = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')

/**
 * Whatever somebody made of it (escaped, cut, joined with something): what has an @ within is an email. 64 and 255 characters are the
 * most that its halves have (RFC 5321 §4.5.3.1); without a bound the search would take the square of a long message.
 */
const EMAIL = /[^\s"'<>(),;:]{1,64}@[^\s"'<>(),;:]{1,255}/g

/**
 * The text without any of these, in any case, and without what looks like an email. Longest first: an email may begin with the contact's id.
 * An event of 64 KB has thousands of values, each of whose expressions costs 20 µs: only those that occur get one. (As capitals, since that
 * is how an expression compares: https://tc39.es/ecma262/#sec-runtime-semantics-canonicalize-ch.)
 */
export const redact = (text: string, secrets: readonly string[]): string => {
  const capitals = text.toUpperCase()
  return secrets
    .filter((secret) => capitals.includes(secret.toUpperCase()))
    .sort((a, b) => b.length - a.length)
    .reduce((clean, secret) => clean.replace(new RegExp(escapeRegExp(secret), 'gi'), '…'), text)
    .replace(EMAIL, '…')
}
