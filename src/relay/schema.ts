/**
 * What the relay accepts, and why it does not.
 * Invariant: what passes is exactly the type that `contract.ts` states (a type test holds it), with no key besides and no inherited one;
 * a reason names the place and what is allowed there, never what was given but by its kind and length.
 */
import * as z from 'zod/mini'
import { MAX_VALUE_CHARS, type Batch, type Contact, type PristoEvent } from '../contract.ts'
import { describeGiven, type Parsed } from './given.ts'

/** A batch whose events have yet to be judged, each for itself. */
export type Envelope = Omit<Batch, 'events'> & { events: unknown[] }

/** Every message below completes the sentence "allowed is …". */
const text = z.string('a string')
const filled = z.string('a non-empty string').check(z.minLength(1, 'a non-empty string'))
const date = z.iso.datetime({ offset: true, error: 'an RFC 3339 date-time, such as 2026-01-31T12:00:00.000Z' })

const VALUE = `a string of at most ${MAX_VALUE_CHARS} characters`
const FIELDS = `an object of strings of at most ${MAX_VALUE_CHARS} characters`
const fields = z.pipe(
  // A record would leave out this one key without a word.
  z.unknown().check(z.refine((value) => !Object.hasOwn(Object(value), '__proto__'), FIELDS)),
  z.record(z.string(), z.string(VALUE).check(z.maxLength(MAX_VALUE_CHARS, VALUE)), FIELDS),
)

const contactShape = {
  id: filled,
  email: z.exactOptional(text),
  phone: z.exactOptional(text),
  language: z.exactOptional(text),
  name: z.exactOptional(text),
  lastName: z.exactOptional(text),
  customFields: z.exactOptional(fields),
}

const only = (shape: object) => `an object with only ${Object.keys(shape).join(', ')}`

/** Matches {@link Contact}. */
export const contactSchema = z.strictObject(contactShape, only(contactShape))

const eventShape = {
  id: z.uuid('a UUID'),
  type: filled,
  occurredAt: date,
  contact: contactSchema,
  customFields: z.exactOptional(fields),
}

/** Matches {@link PristoEvent}. */
export const eventSchema = z.strictObject(eventShape, only(eventShape))

const envelopeShape = {
  v: z.literal(1, '1'),
  sentAt: date,
  ack: z.exactOptional(z.boolean('true or false')),
  token: z.exactOptional(text),
  events: z.array(z.unknown(), 'an array of events').check(z.minLength(1, 'at least one event')),
}

/** Matches {@link Envelope}. */
export const envelopeSchema = z.strictObject(envelopeShape, only(envelopeShape))

/** Enough for every message below; a thousand unknown fields must not make a long answer. */
const MAX_REASON_CHARS = 200

/** A field's name can hold an email as well as any value can: shown only where it looks like a name. */
const nameOf = (key: PropertyKey): string => (/^\w{1,50}$/.test(String(key)) ? String(key) : '…')

const valueAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined), value)

const parse = <T>(schema: z.ZodMiniType<T>, what: string, value: unknown): Parsed<T> => {
  const result = schema.safeParse(value)
  if (result.success) return { ok: true, value: result.data }
  const issue = result.error.issues[0]
  if (!issue) return { ok: false, reason: `${what}: not valid` }
  const place = [what, ...issue.path.map(nameOf)].join('.')
  const given = issue.code === 'unrecognized_keys' ? `the field ${issue.keys.map(nameOf).join(', ')}` : describeGiven(valueAt(value, issue.path))
  return { ok: false, reason: `${place}: got ${given}; allowed is ${issue.message}`.slice(0, MAX_REASON_CHARS) }
}

/** The body of a request without a look into its events. */
export const parseEnvelope = (value: unknown): Parsed<Envelope> => parse(envelopeSchema, 'batch', value)

/** One event. Unknown fields are refused, not dropped: nothing that was tracked may vanish without a word. */
export const parseEvent = (value: unknown): Parsed<PristoEvent> => parse(eventSchema, 'event', value)

/** A contact that the site's own code resolved. */
export const parseContact = (value: unknown): Parsed<Contact> => parse(contactSchema, 'contact', value)
