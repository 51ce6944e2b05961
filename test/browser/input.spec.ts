/** A bad call is told on the console and never thrown, and costs no other event. */
import { CONTACT, drain, expect, test } from './fixtures.ts'
import { html, MODULE } from './pages.ts'

interface Row {
  /** What the site's author got wrong. */
  what: string
  call: () => unknown
  /** What the message must say: the argument, what was given, what is allowed. */
  says: RegExp[]
  /** What of it arrives all the same. */
  arrives?: { type: string; customFields: Record<string, string> }
}

// JavaScript has no compiler to ask: these calls are made past the types.
const rows: Row[] = [
  { what: 'identify() without a contact', call: () => Reflect.apply(Object(window.pristo).identify, 0, []), says: [/contact/, /undefined/, /allowed: .*string/] },
  { what: 'identify() without an id', call: () => Object(window.pristo).identify({ email: 'x@y.zz' }), says: [/id/, /undefined/, /allowed: .*string/] },
  { what: 'identify() with a number as id', call: () => Object(window.pristo).identify({ id: 42 }), says: [/id/, /42/, /allowed: .*string/] },
  { what: 'an unknown contact field', call: () => Object(window.pristo).identify({ id: 'u_42', email: 'a@b.co', shoeSize: '43' }), says: [/shoeSize/, /43/, /allowed: .*lastName/] },
  { what: 'track() without a type', call: () => Object(window.pristo).track(), says: [/type/, /undefined/, /allowed: .*string/] },
  {
    what: 'a field that is an object',
    call: () => Object(window.pristo).track('purchase', { sku: 'A1', item: { price: 1 } }),
    says: [/item/, /object/, /allowed: .*string/],
    arrives: { type: 'purchase', customFields: { sku: 'A1' } },
  },
  {
    what: 'a value of 51 characters',
    call: () => Object(window.pristo).track('purchase', { note: 'x'.repeat(51) }),
    says: [/note/, /51|x{51}/, /allowed: .*50/],
    arrives: { type: 'purchase', customFields: { note: 'x'.repeat(50) } },
  },
]

for (const { what, call, says, arrives } of rows) {
  test(`${what}: one clear message, and the other events arrive`, async ({ site, open }) => {
    const page = await open()
    await page.evaluate(call)
    await page.evaluate((contact) => {
      window.pristo?.identify?.(contact)
      window.pristo?.track?.('signup')
    }, CONTACT)
    await drain(page)
    expect(site.api.events()).toMatchObject([...(arrives ? [arrives] : []), { type: 'signup', contact: CONTACT }])
    const complaints = await page.evaluate(() => window.complaints)
    expect(complaints.map(({ kind }) => kind)).toEqual(['error'])
    for (const part of says) expect(complaints[0]?.text).toMatch(part)
  })
}

const ENDPOINT = [/endpoint/, /not a url/, /allowed: .*(path|URL)/]

test('an endpoint that is not a URL: one clear message, and events go to /pristo', async ({ site, open }) => {
  site.serve('/', html(MODULE))
  const page = await open()
  const result = await page.evaluate((contact) => {
    const pristo = window.createPristo?.({ endpoint: 'not a url' })
    pristo?.identify(contact)
    pristo?.track('signup')
    return pristo?.flush()
  }, CONTACT)
  expect(result).toEqual({ delivered: 1, rejected: 0, pending: 0 })
  const complaints = await page.evaluate(() => window.complaints)
  expect(complaints.map(({ kind }) => kind)).toEqual(['error'])
  for (const part of ENDPOINT) expect(complaints[0]?.text).toMatch(part)
})

test('a tag whose data-endpoint is not a URL: one clear message, and events go to /pristo', async ({ site, open }) => {
  site.serve('/', html('<script async src="/pristo.js" data-endpoint="not a url"></script>'))
  const page = await open()
  await page.evaluate((contact) => {
    window.pristo?.identify?.(contact)
    window.pristo?.track?.('signup')
  }, CONTACT)
  await drain(page)
  expect(site.requests().map(({ path }) => path)).toEqual(['/pristo'])
  const complaints = await page.evaluate(() => window.complaints)
  expect(complaints.map(({ kind }) => kind)).toEqual(['error'])
  for (const part of ENDPOINT) expect(complaints[0]?.text).toMatch(part)
})
