// @vitest-environment node
import fc from 'fast-check'
import { describe, expect, expectTypeOf, it } from 'vitest'
import type * as z from 'zod/mini'
import type { Batch, Contact, PristoEvent } from '../../src/contract.ts'
import { contactSchema, envelopeSchema, eventSchema, parseEnvelope, parseEvent } from '../../src/relay/schema.ts'
import { CANARY_EMAIL, makeEvent, uuid } from './harness.ts'

/** Why the event with this change is refused; undefined where it is not. */
const reason = (change: Record<string, unknown>): string | undefined => {
  const result = parseEvent({ ...makeEvent(1), ...change })
  return result.ok ? undefined : result.reason
}

describe('the schema is the contract', () => {
  it('what it lets through has exactly the types of contract.ts', () => {
    expectTypeOf<z.infer<typeof eventSchema>>().toEqualTypeOf<PristoEvent>()
    expectTypeOf<z.infer<typeof contactSchema>>().toEqualTypeOf<Contact>()
    expectTypeOf<Omit<z.infer<typeof envelopeSchema>, 'events'>>().toEqualTypeOf<Omit<Batch, 'events'>>()
    // What would be missed if the comparison were blind:
    expectTypeOf<z.infer<typeof eventSchema>>().not.toEqualTypeOf<Omit<PristoEvent, 'customFields'>>()
  })
})

const DATE = 'an RFC 3339 date-time, such as 2026-01-31T12:00:00.000Z'
const CONTACT = 'an object with only id, email, phone, language, name, lastName, customFields'
const VALUE = 'a string of at most 50 characters'

describe('an event', () => {
  it('with every field passes unchanged', () => {
    const event = makeEvent(1, {
      contact: { id: 'ü 1', email: 'a@b.co', phone: '+4930', language: 'he', name: 'N', lastName: 'L', customFields: { plan: 'pro' } },
      customFields: { 'any key ✓': '🙂'.repeat(25) },
    })
    expect(parseEvent(event)).toEqual({ ok: true, value: event })
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['an id that is no UUID', { id: 'abc' }, 'event.id: got a string of 3 characters; allowed is a UUID'],
    ['no type', { type: undefined }, 'event.type: got nothing; allowed is a non-empty string'],
    ['a type that is a number', { type: 7 }, 'event.type: got a number; allowed is a non-empty string'],
    ['a date that does not exist', { occurredAt: '2026-02-30T00:00:00Z' }, `event.occurredAt: got a string of 20 characters; allowed is ${DATE}`],
    ['a date without a zone', { occurredAt: '2026-02-03T00:00:00' }, `event.occurredAt: got a string of 19 characters; allowed is ${DATE}`],
    ['no contact', { contact: undefined }, `event.contact: got nothing; allowed is ${CONTACT}`],
    ['a contact without an id', { contact: {} }, 'event.contact.id: got nothing; allowed is a non-empty string'],
    ['an empty contact id', { contact: { id: '' } }, 'event.contact.id: got an empty string; allowed is a non-empty string'],
    ['an email that is null', { contact: { id: 'a', email: null } }, 'event.contact.email: got null; allowed is a string'],
    ['an unknown contact field', { contact: { id: 'a', age: '7' } }, `event.contact: got the field age; allowed is ${CONTACT}`],
    ['an unknown field', { extra: 1 }, 'event: got the field extra; allowed is an object with only id, type, occurredAt, contact, customFields'],
    ['51 characters', { customFields: { sku: 'x'.repeat(51) } }, `event.customFields.sku: got a string of 51 characters; allowed is ${VALUE}`],
    ['51 characters of a contact', { contact: { id: 'a', customFields: { sku: 'x'.repeat(51) } } }, `event.contact.customFields.sku: got a string of 51 characters; allowed is ${VALUE}`],
    ['a field that is a number', { customFields: { amount: 49.9 } }, `event.customFields.amount: got a number; allowed is ${VALUE}`],
    ['fields that are an array', { customFields: ['a'] }, 'event.customFields: got an array of 1; allowed is an object of strings of at most 50 characters'],
  ])('with %s is refused with the place and what is allowed', (_, change, expected) => {
    expect(reason(change)).toBe(expected)
  })

  it('a field that carries an email as its name is not shown', () => {
    expect(reason({ [CANARY_EMAIL]: 1 })).toContain('got the field …')
    expect(reason({ customFields: { [CANARY_EMAIL]: 1 } })).toContain('event.customFields.…: got a number')
  })

  it('a thousand unknown fields make one short reason', () => {
    expect(reason(Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`field${n}`, 1])))?.length).toBeLessThanOrEqual(200)
  })

  it('__proto__ is refused at every level and pollutes nothing', () => {
    const text = JSON.stringify(makeEvent(1, { customFields: {} }))
    for (const poisoned of [
      text.replace('{', '{"__proto__":{"polluted":"yes"},'),
      text.replace('"contact":{', '"contact":{"__proto__":{"polluted":"yes"},'),
      text.replace('"customFields":{', '"customFields":{"__proto__":"yes"'),
    ]) {
      expect(poisoned).not.toBe(text)
      expect(parseEvent(JSON.parse(poisoned)).ok).toBe(false)
      expect(Reflect.get({}, 'polluted')).toBeUndefined()
    }
  })

  it('a field named constructor is a field like any other', () => {
    expect(reason({ customFields: { constructor: 'x', toString: 'y' } })).toBeUndefined()
  })

  it('whatever is given, the judgement is an event or one line', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.record({ id: fc.constant(uuid(1)), type: fc.anything(), contact: fc.anything() })), (value) => {
        for (const result of [parseEvent(value), parseEnvelope(value)]) if (!result.ok) expect(result.reason).toMatch(/^.{1,200}$/u)
      }),
      { numRuns: 200 },
    )
  })
})
