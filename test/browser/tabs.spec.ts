/** Several tabs of one visitor share what waits. */
import type { Page } from '../support/browsers/index.ts'
import { countTo, drain, expect, expectOnce, flush, identify, numbersOf, numbersOnDisk, poll, sorted, test, trackCount } from './fixtures.ts'

/** Every event that the site has been sent, as often as it was. */
const idsSent = (bodies: string[]): string[] => bodies.flatMap((body) => Array.from(body.matchAll(/"id":"([\da-f-]{36})"/g), ([, id = '']) => id))

for (const count of [2, 10]) {
  test(`${count} tabs at once over one backlog send nothing twice`, async ({ site, open }) => {
    // Asked to wait, a tab sends nothing at its end.
    site.relayFault({ mode: 'status', status: 503, headers: { 'Retry-After': '1' } })
    const first = await open()
    await identify(first)
    await trackCount(first, 100)
    await flush(first)
    await first.close()

    const tabs: Page[] = []
    for (let n = 0; n < count; n++) tabs.push(await open(null))
    const refused = site.requests().length
    site.relayFault(null)
    await Promise.all(tabs.map((tab) => tab.goto(`${site.url}/later`)))
    await Promise.all(tabs.map((tab) => drain(tab)))
    expect(sorted(numbersOf(site.api.events()))).toEqual(countTo(100))
    const ids = idsSent(site.requests().slice(refused).map(({ body }) => body))
    expect(ids.length).toBe(100)
    expect(new Set(ids).size).toBe(100)
  })
}

test('what a closed tab held is sent by another one once its lease is over', async ({ site, open }) => {
  const other = await open()
  site.relayFault({ mode: 'hang' })
  const page = await open()
  await identify(page)
  await page.evaluate(() => void window.pristo?.track?.('purchase', { n: 0 }))
  await page.close()
  await poll(() => site.requests().length).toBe(1)
  site.relayFault(null)
  await poll(() => numbersOf(site.api.events()), { timeout: 40_000 }).toEqual([0])
  const [event] = site.api.events()
  // 15 s: LEASE_MS of src/holding.ts, counted from the moment of track().
  expect(Number(event?.receivedAt) - Date.parse(event?.occurredAt ?? '')).toBeGreaterThanOrEqual(15_000)
  await drain(other)
  expect(numbersOf(site.api.events())).toEqual([0])
})

test('a tab that was frozen past its lease does not send again what another one took over', async ({ site, open }) => {
  site.relayFault({ mode: 'down' })
  const other = await open('/blank')
  const frozen = await open()
  await identify(frozen)
  await trackCount(frozen, 3)
  await flush(frozen)
  await poll(() => numbersOnDisk(other)).toEqual(countTo(3))
  // Frozen means: none of its timers runs.
  await frozen.evaluate(() => {
    for (let id = 0; id < 10_000; id++) clearTimeout(id)
  })
  site.relayFault(null)
  await other.goto(`${site.url}/later`)
  await drain(other)
  expect(numbersOf(site.api.events())).toEqual(countTo(3))

  // It wakes, and its clock tells it how long it slept.
  site.restartRelay()
  await frozen.evaluate(() => {
    const { now } = Date
    Date.now = () => now() + 16_000
    dispatchEvent(new Event('online'))
  })
  await expectOnce(site, frozen, 3)
})

test('a page that went in the middle of a storage operation does not send again, when it comes back, what another tab took over', async ({ site, open }) => {
  site.relayFault({ mode: 'down' })
  const other = await open('/blank')
  const page = await open()
  await identify(page)
  await trackCount(page, 3)
  await flush(page)
  await poll(() => numbersOnDisk(other)).toEqual(countTo(3))
  await page.evaluate(async () => {
    const flushed = window.pristo?.flush?.()
    for (let n = 0; n < 50; n++) await undefined // the transaction has begun
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))
    await flushed
    Object.assign(window, { setTimeout: () => 0 }) // in the cache no timer runs
  })
  site.relayFault(null)
  await other.goto(`${site.url}/later`)
  await drain(other)
  expect(numbersOf(site.api.events())).toEqual(countTo(3))

  site.restartRelay()
  await page.evaluate(() => {
    const { now } = Date
    Date.now = () => now() + 16_000
    dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))
  })
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(3))
})

test('an answer that comes when the lease is over costs nothing: what another tab has delivered since is not sent again', async ({ site, open }) => {
  site.relayFault({ mode: 'late-answer', delayMs: 1_500 })
  const other = await open('/blank')
  const slow = await open()
  await identify(slow)
  await trackCount(slow, 2)
  await slow.evaluate(() => void window.pristo?.flush?.())
  await poll(() => site.api.events().length).toBe(2)
  site.relayFault(null)
  await other.goto(`${site.url}/later`)
  await drain(other)
  await drain(slow)
  await expectOnce(site, slow, 2)
})
