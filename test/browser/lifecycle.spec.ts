/** Trackers that come and go on one page: React's strict mode, hot reload. */
import type { Page } from '../support/browsers/index.ts'
import { CONTACT, expect, expectCalm, numbersOf, poll, test } from './fixtures.ts'
import { html, MODULE, run } from './pages.ts'

/** Before all scripts: which listeners are on the window and the document, of the types that the snippet hears. */
const COUNTED = run(() => {
  const heard: string[] = []
  Object.assign(window, { heard })
  for (const target of [window, document]) {
    const { addEventListener, removeEventListener } = target
    target.addEventListener = (type: string, ...given: [EventListener]) => {
      heard.push(type)
      addEventListener.call(target, type, ...given)
    }
    target.removeEventListener = (type: string, ...given: [EventListener]) => {
      const at = heard.indexOf(type)
      if (at >= 0) heard.splice(at, 1)
      removeEventListener.call(target, type, ...given)
    }
  }
})

const heard = (page: Page): Promise<string[]> => page.evaluate<string[]>('heard.filter((type) => /^(online|visibilitychange|pagehide|pageshow)$/.test(type)).sort()')

const ONE = ['online', 'pagehide', 'pageshow', 'visibilitychange']

const openCounted = async (site: { serve(path: string, text: string): void }, open: () => Promise<Page>): Promise<Page> => {
  site.serve('/', html(COUNTED + MODULE))
  return open()
}

test('React’s double mount in one task loses nothing, sends nothing twice, and leaves no listener', async ({ site, open }) => {
  const page = await openCounted(site, open)
  const pending = await page.evaluate(async (contact) => {
    const mount = (n: number) => {
      const pristo = window.createPristo?.()
      pristo?.identify(contact)
      pristo?.track('page_view', { n })
      return pristo
    }
    mount(0)?.close()
    const second = mount(1)
    Object.assign(window, { second })
    return (await second?.flush())?.pending
  }, CONTACT)
  expect(pending).toBeLessThanOrEqual(1) // the first mount's own, if it is still on its way
  await poll(() => numbersOf(site.api.events()).sort()).toEqual([0, 1])
  expect(await heard(page)).toEqual(ONE)
  await page.evaluate('second.flush()')
  expect(numbersOf(site.api.events()).sort()).toEqual([0, 1])
  await page.evaluate('second.close()')
  expect(await heard(page)).toEqual([])
  await expectCalm(page)
})

test('a hot reload, close() and a new one, goes on with what the old one stored', async ({ site, open }) => {
  const page = await openCounted(site, open)
  site.relayFault({ mode: 'status', status: 503 })
  await page.evaluate(async (contact) => {
    const first = window.createPristo?.()
    first?.identify(contact)
    first?.track('page_view', { n: 0 })
    await first?.flush()
    first?.close()
  }, CONTACT)
  expect(await heard(page)).toEqual([])
  site.relayFault(null)
  await page.evaluate(async () => {
    const now = Date.now
    Date.now = () => now() + 16_000 // the old one's lease is over
    const second = window.createPristo?.()
    second?.track('page_view', { n: 1 })
    await second?.flush()
  })
  await poll(() => numbersOf(site.api.events())).toEqual([0, 1])
  expect(await heard(page)).toEqual(ONE)
  await expectCalm(page)
})
