import fc from 'fast-check'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { makeContact, makeEvent, makeId } from '../src/event.ts'
import { NOON } from './support/fakes.ts'

beforeEach(() => void vi.useFakeTimers({ now: NOON }))

const refusalOf = (work: () => unknown): unknown => {
  try {
    work()
  } catch (problem) {
    return problem
  }
  return 'nothing refused'
}

const fill = (fields: unknown) => {
  const reports: string[] = []
  const { customFields } = makeEvent('id', 'purchase', fields, (message) => reports.push(message))
  return { customFields, reports }
}

const know = (given: unknown) => {
  const reports: string[] = []
  return { contact: makeContact(given, (message) => reports.push(message)), reports }
}

describe('an event', () => {
  it('is of this moment, with its type and its fields', () => {
    expect(makeEvent('id', 'purchase', { sku: 'A1' }, expect.fail)).toEqual({
      id: 'id',
      type: 'purchase',
      occurredAt: '2026-07-01T12:00:00.000Z',
      customFields: { sku: 'A1' },
    })
  })

  it('tells the time as a date would, also by a clock that has fractions, or begins in 1970', () => {
    const clock = vi.spyOn(Date, 'now')
    const near = (time: number) => fc.integer({ min: -200_000, max: 200_000 }).map((ms) => time + ms)
    const times = fc.oneof(fc.constant(0), near(0), near(NOON), fc.double({ min: 0, max: 4e12, noNaN: true }))
    fc.assert(
      fc.property(fc.array(times, { minLength: 1 }), (moments) => {
        for (const now of moments) {
          clock.mockReturnValue(now)
          expect(makeEvent('id', 'purchase', {}, expect.fail).occurredAt).toBe(new Date(now).toISOString())
        }
      }),
    )
  })

  it.each([[undefined], [null], [''], ['  '], [42], [{}], [Symbol('type')]])('has no type %s', (type) => {
    expect(refusalOf(() => makeEvent('id', type, {}, expect.fail))).toMatch(/^type: got .*; allowed: non-empty string$/)
  })

  it.each([[undefined], [null], [7], [true]])('needs no fields: %s are none', (fields) => {
    expect(fill(fields)).toEqual({ customFields: {}, reports: [] })
  })
})

describe('a field', () => {
  it.each([
    ['a text', 'A1', 'A1'],
    ['an empty text', '', ''],
    ['a number', 49.9, '49.9'],
    ['zero', 0, '0'],
    ['a bigint', 9_007_199_254_740_993n, '9007199254740993'],
    ['true', true, 'true'],
    ['false', false, 'false'],
    ['a Date', new Date(NOON), '2026-07-01T12:00:00.000Z'],
    ['50 characters', 'x'.repeat(50), 'x'.repeat(50)],
    ['an emoji that ends at character 50', `${'x'.repeat(48)}😀`, `${'x'.repeat(48)}😀`],
  ])('may be %s, and leaves as a text', (_, given, text) => {
    expect(fill({ given })).toEqual({ customFields: { given: text }, reports: [] })
  })

  it.each([
    ['51 characters', 'x'.repeat(51), 'x'.repeat(50)],
    ['an emoji across the edge', `${'x'.repeat(49)}😀`, 'x'.repeat(49)],
    ['an emoji just behind the edge', `${'x'.repeat(50)}😀`, 'x'.repeat(50)],
  ])('of %s is cut, whole characters only, and that is said', (_, given, text) => {
    const { customFields, reports } = fill({ given })
    expect(customFields).toEqual({ given: text })
    expect(reports).toEqual([`fields.given: got string ${given}; allowed: string, number, boolean, Date; 50 characters`])
  })

  const circle: Record<string, unknown> = {}
  circle.self = circle

  it.each([
    ['an object', { deep: { deeper: 1 } }, 'object '],
    ['a list', [1, 2], 'object '],
    ['a circle', circle, 'object '],
    ['an object without a prototype', Object.create(null), 'object '],
    ['a function', () => 1, 'function '],
    ['an invalid Date', new Date(NaN), 'object '],
    ['NaN', NaN, 'number NaN'],
  ])('that is %s is left out and that is said; its neighbours stay', (_, given, shown) => {
    expect(fill({ before: 1, given, after: 2 })).toEqual({
      customFields: { before: '1', after: '2' },
      reports: [`fields.given: got ${shown}; allowed: string, number, boolean, Date; 50 characters`],
    })
  })

  it('that is null or undefined is left out in silence', () => {
    expect(fill({ a: null, b: undefined, c: 'c' })).toEqual({ customFields: { c: 'c' }, reports: [] })
  })

  it('may be called __proto__', () => {
    const { customFields } = fill(JSON.parse('{"__proto__":"mine"}'))
    expect(JSON.stringify(customFields)).toBe('{"__proto__":"mine"}')
    expect(Object.getPrototypeOf(customFields)).toBe(Object.prototype)
  })

  it('may be one of 1 000, and of an object without a prototype', () => {
    const fields = Object.assign(Object.create(null), Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`f${at}`, at])))
    const { customFields = {}, reports } = fill(fields)
    expect([Object.keys(customFields).length, customFields.f999, reports]).toEqual([1_000, '999', []])
  })

  it('leaves as at most 50 whole characters, whatever text it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 40, maxLength: 60 }), (given) => {
        const text = fill({ given }).customFields?.given ?? ''
        expect(text.length).toBeLessThanOrEqual(50)
        expect(given.startsWith(text)).toBe(true)
        expect(text.length).toBeGreaterThanOrEqual(Math.min(49, given.length))
        expect(encodeURIComponent(text)).toBeDefined() // throws for half a pair
      }),
      { numRuns: 200 },
    )
  })
})

describe('a contact', () => {
  it('keeps its known fields as texts, and its own fields', () => {
    expect(know({ id: 'u_1', email: 'a@b.co', phone: 123, language: null, customFields: { plan: 'pro', seats: 3 } })).toEqual({
      contact: { id: 'u_1', email: 'a@b.co', phone: '123', customFields: { plan: 'pro', seats: '3' } },
      reports: [],
    })
  })

  it.each([
    ['nothing', undefined, 'undefined undefined'],
    ['null', null, 'undefined undefined'],
    ['a text', 'u_1', 'undefined undefined'],
    ['no id', { email: 'a@b.co' }, 'undefined undefined'],
    ['a number as id', { id: 42 }, 'number 42'],
    ['an empty id', { id: '' }, 'string '],
    ['blanks as id', { id: ' ' }, 'string  '],
    ['an object as id', { id: { id: 'u_1' } }, 'object '],
  ])('is refused with %s', (_, given, shown) => {
    expect(refusalOf(() => know(given))).toBe(`contact.id: got ${shown}; allowed: non-empty string`)
  })

  it('loses an unknown field, and that is said', () => {
    expect(know({ id: 'u_1', mail: 'a@b.co' })).toEqual({
      contact: { id: 'u_1' },
      reports: ['contact.mail: got string a@b.co; allowed: email,phone,language,name,lastName'],
    })
  })

  it('has 50 characters in a field of its own, and any number in an email', () => {
    const long = 'x'.repeat(51)
    const { contact, reports } = know({ id: 'u_1', email: long, customFields: { plan: long } })
    expect(contact).toEqual({ id: 'u_1', email: long, customFields: { plan: 'x'.repeat(50) } })
    expect(reports).toEqual([expect.stringContaining('contact.customFields.plan: got string xxx')])
  })
})

describe('an id', () => {
  it('is a UUIDv7 of this moment', () => {
    vi.setSystemTime(Date.now() + 86_400_000) // ids of other tests ran ahead of their clock
    const id = makeId()
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(parseInt(id.replace('-', '').slice(0, 12), 16)).toBe(Date.now())
  })

  it('sorts after every earlier one, also within a millisecond and when the clock is set back', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -100_000, max: 100_000 }), { minLength: 2, maxLength: 50 }), (shifts) => {
        const ids = shifts.map((shift) => {
          vi.setSystemTime(NOON + shift)
          return makeId()
        })
        expect(ids).toEqual([...new Set(ids)].sort())
      }),
      { numRuns: 50 },
    )
  })

  it('has all its digits however short the random number was', () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5)
    expect(makeId()).toMatch(/-800000000000$/)
  })

  it.each([0, 1, 60_000, 2 ** 39])('and its time have all their digits by a clock that stands at %s', async (now) => {
    vi.setSystemTime(now)
    vi.resetModules() // ids of other tests ran ahead of it
    const room = await import('../src/event.ts')
    const [first, second] = [room.makeId(), room.makeId()]
    expect(room.makeEvent(first, 'purchase', {}, expect.fail).occurredAt).toBe(new Date(now).toISOString())
    expect(first).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(first < second).toBe(true)
  })
})
