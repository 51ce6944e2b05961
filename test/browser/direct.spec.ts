/** Direct mode: the key is in the page, for trials. */
import { CONTACT, expect, test } from './fixtures.ts'
import { html, MODULE } from './pages.ts'

test('direct mode stores events without a relay, and warns once that the key is in the page', async ({ site, open }) => {
  site.serve('/', html(MODULE))
  const page = await open()
  const { url: baseUrl, populationId, apiKey } = site.api
  const result = await page.evaluate(
    ({ direct, contact }) => {
      const pristo = window.createPristo?.({ direct })
      pristo?.identify(contact)
      pristo?.track('signup', { n: 0 })
      pristo?.track('purchase', { n: 1 })
      return pristo?.flush()
    },
    { direct: { baseUrl, populationId, apiKey }, contact: CONTACT },
  )
  expect(result).toEqual({ delivered: 2, rejected: 0, pending: 0 })
  expect(site.api.events()).toMatchObject([
    { type: 'signup', contact: CONTACT },
    { type: 'purchase', contact: { id: CONTACT.id } },
  ])
  expect(site.requests()).toEqual([])
  expect(await page.evaluate(() => window.complaints)).toEqual([{ kind: 'warn', text: expect.stringMatching(/API key/) }])
})

test('direct mode without a key says so once, and goes on with the relay', async ({ site, open }) => {
  site.serve('/', html(MODULE))
  const page = await open()
  const result = await page.evaluate((contact) => {
    const pristo = window.createPristo?.({ direct: { populationId: 'p', apiKey: '' } })
    pristo?.identify(contact)
    pristo?.track('signup')
    return pristo?.flush()
  }, CONTACT)
  expect(result).toEqual({ delivered: 1, rejected: 0, pending: 0 })
  const complaints = await page.evaluate(() => window.complaints)
  expect(complaints.map(({ text }) => text)).toEqual([expect.stringMatching(/direct: got object.*allowed: populationId and apiKey/)])
})

test('direct mode whose bundle cannot be loaded keeps its events, and rejects nothing', async ({ site, open }) => {
  site.serve('/direct.js', 'not a script', { 'Content-Type': 'text/plain' })
  site.serve('/', html(MODULE))
  const page = await open()
  const result = await page.evaluate((contact) => {
    const pristo = window.createPristo?.({ direct: { populationId: 'p', apiKey: 'k' } })
    pristo?.identify(contact)
    pristo?.track('signup')
    return pristo?.flush()
  }, CONTACT)
  expect(result).toEqual({ delivered: 0, rejected: 0, pending: 1 })
  expect((await page.evaluate(() => window.complaints)).map(({ kind }) => kind)).not.toContain('unhandled')
})
