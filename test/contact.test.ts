import { describe, expect, it } from 'vitest'
import { complete, isSame } from '../src/contact.ts'
import { ADA, makeNth } from './support/fakes.ts'

const { contact: _, ...nobodys } = makeNth(1)

describe('an event without a contact', () => {
  it('gets all details while Pristo has none of them', () => {
    expect(complete(nobodys, { contact: ADA, known: false }).contact).toEqual(ADA)
  })

  it('gets only the id once Pristo has the details', () => {
    expect(complete(nobodys, { contact: ADA, known: true }).contact).toEqual({ id: 'u_1' })
  })

  it('stays as it is while nobody is identified', () => {
    expect(complete(nobodys, {})).toBe(nobodys)
  })
})

describe('an event with a contact', () => {
  it('keeps it, whoever is identified now', () => {
    const event = makeNth(1)
    expect(complete(event, { contact: { id: 'u_2' }, known: true })).toBe(event)
  })
})

describe('two contacts', () => {
  it.each([
    ['the same details', ADA, { ...ADA }, true],
    ['another email', ADA, { ...ADA, email: 'new@example.com' }, false],
    ['nobody and nobody', undefined, undefined, true],
    ['nobody and somebody', undefined, ADA, false],
  ])('with %s are compared by what they say', (_, a, b, same) => {
    expect(isSame(a, b)).toBe(same)
  })
})
