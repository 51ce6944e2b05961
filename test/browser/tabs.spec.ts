/** Several tabs of one visitor share what waits. */
import { countTo, drain, expect, identify, numbersOf, sorted, test } from './fixtures.ts'

/** Every event that the site has been sent, as often as it was. */
const idsSent = (bodies: string[]): string[] => bodies.flatMap((body) => Array.from(body.matchAll(/"id":"([\da-f-]{36})"/g), ([, id = '']) => id))

test('two tabs at once over one backlog send nothing twice', async ({ site, open }) => {
  // Asked to wait, a tab sends nothing at its end.
  site.relayFault({ mode: 'status', status: 503, headers: { 'Retry-After': '1' } })
  const first = await open()
  await identify(first)
  await first.evaluate(() => {
    for (let n = 0; n < 100; n++) window.pristo?.track?.('page_view', { n })
    return window.pristo?.flush?.()
  })
  await first.close()

  const blank = [await open('/blank'), await open('/blank')]
  const refused = site.requests().length
  site.relayFault(null)
  await Promise.all(blank.map((tab) => tab.goto(`${site.url}/later`)))
  await Promise.all(blank.map((tab) => drain(tab)))
  expect(sorted(numbersOf(site.api.events()))).toEqual(countTo(100))
  const ids = idsSent(site.requests().slice(refused).map(({ body }) => body))
  expect(ids.length).toBe(100)
  expect(new Set(ids).size).toBe(100)
})

test('what a closed tab held is sent by another one once its lease is over', async ({ site, open }) => {
  test.setTimeout(60_000)
  const other = await open()
  site.relayFault({ mode: 'hang' })
  const page = await open()
  await identify(page)
  await page.evaluate(() => void window.pristo?.track?.('purchase', { n: 0 }))
  await page.close()
  await expect.poll(() => site.requests().length).toBe(1)
  site.relayFault(null)
  await expect.poll(() => numbersOf(site.api.events()), { timeout: 40_000 }).toEqual([0])
  const [event] = site.api.events()
  // 15 s: LEASE_MS of src/holding.ts, counted from the moment of track().
  expect(Number(event?.receivedAt) - Date.parse(event?.occurredAt ?? '')).toBeGreaterThanOrEqual(15_000)
  await drain(other)
  expect(numbersOf(site.api.events())).toEqual([0])
})
