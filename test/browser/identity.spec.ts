/** Who the visitor is: for every event, on every page and in every tab, and what becomes of events that the API refuses for it. */
import type { Page } from '../support/browsers/index.ts'
import type { StoredEvent } from '../support/pristo-api.ts'
import { arrival, CONTACT, drain, expect, flush, identify, numbersOf, numbersOnDisk, poll, recordsOnDisk, test, trackCount } from './fixtures.ts'
import { html, LATER, MODULE, TAG } from './pages.ts'

const OTHER = { id: 'u_7', email: 'c@d.co' }

const identifyAs = (page: Page, contact: { id: string; email?: string; phone?: string }): Promise<void> =>
  page.evaluate((given) => window.pristo?.identify?.(given), contact)

/** Keeps what the listeners are told, as `window.told`: the event's `n` and what matters of the rest. */
const listen = (page: Page): Promise<void> =>
  page.evaluate(() => {
    const told: unknown[] = []
    Object.assign(window, { told })
    window.pristo?.on?.('rejected', ({ event, ...why }) => told.push({ n: event.customFields?.['n'], ...why }))
  })

const toldOf = (page: Page): Promise<unknown> => page.evaluate(() => Reflect.get(window, 'told'))

/** Contacts go side by side: between two of them there is no order. */
const inOrder = (events: StoredEvent[]): StoredEvent[] => [...events].sort((a, b) => Number(a.customFields['n']) - Number(b.customFields['n']))

const contactIds = (events: { contact: { id: string } }[]): string[] => events.map(({ contact }) => contact.id)

test('events of a contact without email and phone are kept, told as parked, and sent when identify() brings one', async ({ site, open }) => {
  const page = await open()
  await listen(page)
  await identifyAs(page, { id: CONTACT.id })
  await trackCount(page, 2)
  await flush(page)
  expect(await toldOf(page)).toMatchObject([
    { n: '0', code: 'invalid_event', status: 400, parked: true },
    { n: '1', code: 'invalid_event', status: 400, parked: true },
  ])
  const calls = site.api.calls().length
  await flush(page)
  expect(site.api.calls().length).toBe(calls)

  await identify(page)
  await drain(page)
  expect(site.api.events()).toMatchObject([
    { contact: CONTACT, customFields: { n: '0' } },
    { contact: { id: CONTACT.id }, customFields: { n: '1' } },
  ])
})

test('parked events wait on disk: identify() on a later page sends them', async ({ site, open }) => {
  const page = await open()
  await identifyAs(page, { id: CONTACT.id })
  await trackCount(page, 2)
  await flush(page)
  await page.goto(`${site.url}/later`)
  await flush(page)
  expect(site.api.events()).toEqual([])
  await identify(page)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual([0, 1])
})

test('parked events do not become those of another contact', async ({ site, open }) => {
  const page = await open()
  await identifyAs(page, { id: CONTACT.id })
  await trackCount(page, 1)
  await flush(page)
  await identifyAs(page, OTHER)
  await trackCount(page, 1, 1)
  await poll(() => numbersOf(site.api.events())).toEqual([1])
  await flush(page)
  expect(contactIds(site.api.events())).toEqual([OTHER.id])
})

test('an event with only an id that the API refuses, since it lost the contact, is sent once more with the details', async ({ site, open }) => {
  const page = await open()
  await listen(page)
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  site.api.clear()
  await trackCount(page, 2, 1)
  await drain(page)
  expect(numbersOf(site.api.events()).sort()).toEqual([1, 2])
  expect(site.api.contacts()).toEqual([CONTACT])
  expect(await toldOf(page)).toEqual([])
})

test('an event that is refused with the details as well is told once and not tried again', async ({ site, open }) => {
  const page = await open()
  await listen(page)
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  site.api.fail({ status: 422 })
  await trackCount(page, 1, 1)
  await drain(page)
  site.api.fail(null)
  await flush(page)
  expect(await toldOf(page)).toMatchObject([{ n: '1', code: 'invalid_event', status: 422 }])
  expect(numbersOf(site.api.events())).toEqual([0])
})

test('a backlog of A, reset() and B: each event is stored with its own contact', async ({ site, open }) => {
  site.relayFault({ mode: 'down' })
  const page = await open()
  await identify(page)
  await trackCount(page, 2)
  await page.evaluate(() => window.pristo?.reset?.())
  await identifyAs(page, OTHER)
  await trackCount(page, 2, 2)
  site.relayFault(null)
  await drain(page)
  expect(inOrder(site.api.events())).toMatchObject([
    { contact: CONTACT, customFields: { n: '0' } },
    { contact: CONTACT, customFields: { n: '1' } },
    { contact: OTHER, customFields: { n: '2' } },
    { contact: OTHER, customFields: { n: '3' } },
  ])
})

test('the contact outlives a cleared localStorage', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  await page.goto(`${site.url}/blank`)
  await page.evaluate(() => localStorage.clear())
  await page.goto(`${site.url}/next`)
  await trackCount(page, 1, 1)
  await drain(page)
  expect(contactIds(site.api.events())).toEqual([CONTACT.id, CONTACT.id])
})

test('a contact that was reset does not come back from the disk', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  await page.evaluate(() => window.pristo?.reset?.())
  await drain(page)
  await page.goto(`${site.url}/blank`)
  await page.evaluate(() => localStorage.clear())
  await page.goto(`${site.url}/next`)
  await trackCount(page, 1, 1)
  expect(await flush(page)).toEqual({ delivered: 0, rejected: 0, pending: 1 })
  expect(numbersOf(site.api.events())).toEqual([0])
})

test('the contact outlives a page that could not write localStorage', async ({ site, open }) => {
  site.serve('/', html(`<script>Object.defineProperty(window, 'localStorage', { get() { throw 0 } })</script>${TAG}`))
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  await page.goto(`${site.url}/next`)
  await trackCount(page, 1, 1)
  await drain(page)
  expect(contactIds(site.api.events())).toEqual([CONTACT.id, CONTACT.id])
})

/** All that a denial leaves in `localStorage`. */
const DECISION = JSON.stringify({ pristo_consent: 'denied' })

test('a denial leaves nothing of the contact on the device', async ({ open }) => {
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  const kept = async (): Promise<string> =>
    JSON.stringify([await recordsOnDisk(page), await page.evaluate(() => [document.cookie, JSON.stringify(localStorage)])])
  await poll(kept).toContain(CONTACT.email)
  await page.evaluate(() => window.pristo?.consent?.('denied'))
  const left = JSON.stringify([[], ['', DECISION]])
  await poll(kept).toBe(left)
  await flush(page)
  expect(await kept()).toBe(left)
})

test('a denial that is the last word of a page leaves nothing of what was there', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  site.relayFault({ mode: 'down' })
  await trackCount(page, 5, 1)
  await poll(() => numbersOnDisk(page)).toEqual([1, 2, 3, 4, 5])
  await page.evaluate(() => {
    window.pristo?.consent?.('denied')
    dispatchEvent(new PageTransitionEvent('pagehide')) // a navigation that is under way may end the page before the disk answers
    location.href = '/later'
  })
  await arrival(page, '/later')
  site.relayFault(null)
  await drain(page)
  expect(await recordsOnDisk(page)).toEqual([])
  expect(await page.evaluate(() => JSON.stringify([document.cookie, localStorage]))).toBe(`["",${DECISION}]`)
  await trackCount(page, 1, 9)
  await flush(page)
  expect(numbersOf(site.api.events())).toEqual([0])
})

test('identify() in one tab is known to the other', async ({ site, open }) => {
  const other = await open()
  const page = await open()
  await identify(page)
  await expect
    .poll(async () => {
      await trackCount(other, 1)
      await flush(other)
      return contactIds(site.api.events())[0]
    })
    .toBe(CONTACT.id)
})

test('an event that waited for a contact in one tab gets that of the other', async ({ site, open }) => {
  const other = await open()
  await trackCount(other, 1)
  const page = await open()
  await identify(page)
  await poll(() => site.api.events()).toMatchObject([{ contact: CONTACT, customFields: { n: '0' } }])
})

test('after a logout in another tab an event carries no contact, and waits', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  const other = await open()
  await other.evaluate(() => window.pristo?.reset?.())
  await poll(() => page.evaluate(() => localStorage['pristo_contact'] ?? '')).not.toContain(CONTACT.id)
  await trackCount(page, 1, 1)
  expect(await flush(page)).toMatchObject({ pending: 1 })
  expect(numbersOf(site.api.events())).toEqual([0])
})

test('after another login in another tab an event carries the other contact', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  const other = await open()
  await identifyAs(other, OTHER)
  await poll(() => page.evaluate(() => localStorage['pristo_contact'] ?? '')).toContain(OTHER.id)
  await trackCount(page, 1, 1)
  await drain(page)
  expect(site.api.events()).toMatchObject([{ contact: CONTACT }, { contact: OTHER }])
})

test('a backlog keeps its contact whoever logs in in another tab', async ({ site, open }) => {
  site.relayFault({ mode: 'down' })
  const elsewhere = await open('/blank')
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await poll(() => numbersOnDisk(elsewhere)).toEqual([0])
  const other = await open()
  await identifyAs(other, OTHER)
  await trackCount(other, 1, 1)
  site.relayFault(null)
  await drain(other)
  await drain(page)
  expect(inOrder(site.api.events())).toMatchObject([
    { contact: CONTACT, customFields: { n: '0' } },
    { contact: OTHER, customFields: { n: '1' } },
  ])
})

test('a React app that mounts twice sends nothing twice', async ({ site, open }) => {
  site.serve('/', html(LATER + MODULE))
  const page = await open()
  const results = await page.evaluate(async (contact) => {
    const first = window.createPristo?.()
    first?.close()
    const second = window.createPristo?.()
    second?.identify(contact)
    second?.track('page_view', { n: 0 })
    const third = window.createPristo?.()
    third?.track('page_view', { n: 1 })
    await second?.flush()
    return third?.flush()
  }, CONTACT)
  expect(results).toMatchObject({ pending: 0 })
  expect(numbersOf(site.api.events()).sort()).toEqual([0, 1])
})
