/**
 * Cuts what somebody said of themselves out of a text that others will read.
 * Invariant: what is cut leaves one mark, whatever its length.
 */
import type { PristoEvent } from '../contract.ts'

/** Under 3 characters a value is no secret, and cutting it out would shred the message. */
const isTelling = (value: string | undefined): value is string => value !== undefined && value.length >= 3

/** What the visitor may have said that an error message of the API could repeat. */
export const personalValues = ({ contact }: PristoEvent): string[] =>
  [contact.id, contact.email, contact.phone, contact.name, contact.lastName, ...Object.values(contact.customFields ?? {})].filter(isTelling)

/** Whether an event's type looks like one: it begins with a letter and has no @, so that it is neither an email nor a telephone number. */
export const isTypeName = (type: string): boolean => /^\p{L}[\p{L}\p{M}\p{N}_ .:/-]{0,63}$/u.test(type)

/** What else an event says that could be of a person: values of its fields, and what does not look like the name that it should be. */
export const otherValues = ({ type, contact, customFields }: PristoEvent): string[] => {
  const oddNames = Object.keys({ ...contact.customFields, ...customFields }).filter((name) => !/^\w+$/.test(name))
  return [...Object.values(customFields ?? {}), ...oddNames, ...(isTypeName(type) ? [] : [type])].filter(isTelling)
}

const escapeRegExp = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')

/** The text without any of these, in any case. Longest first: an email may begin with the contact's id. */
export const redact = (text: string, secrets: readonly string[]): string =>
  [...secrets].sort((a, b) => b.length - a.length).reduce((clean, secret) => clean.replace(new RegExp(escapeRegExp(secret), 'gi'), '…'), text)
