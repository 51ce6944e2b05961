/** The README's pages, as printed, in a browser. */
import { readFileSync } from 'node:fs'
import * as esbuild from 'esbuild'
import { arrival, drain, expect, flush, identify, poll, test } from './fixtures.ts'
import { html } from './pages.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** What stands in the first code block with this beginning. */
const block = (fence: string): string => readme.split(`\`\`\`${fence}\n`)[1]?.split('```')[0] ?? ''

const purchase = { type: 'purchase', contact: { id: 'u_42', email: 'a@b.co' }, customFields: { amount: '49.90', sku: 'A1' } }

test('the first example of the README stores its purchase', async ({ site, open }) => {
  site.serve('/readme', html(block('html')))
  await open('/readme')
  await poll(() => site.api.events()).toMatchObject([purchase])
})

test('the stub of the README has all methods before the script comes', async ({ site, open }) => {
  const calls = `<script>
    pristo.identify({ id: 'u_42', email: 'a@b.co' })
    pristo.track('purchase', { amount: '49.90', sku: 'A1' })
  </script>`
  site.serve('/readme', html(block('html stub') + calls))
  await open('/readme')
  await poll(() => site.api.events()).toMatchObject([purchase])
})

test('the page of the README that has no JavaScript tracks its view, what is seen, clicked and submitted', async ({ site, open }) => {
  site.serve('/readme', html(block('html auto')))
  const page = await open('/readme')
  await identify(page)
  await page.evaluate(() => Object.assign(document.querySelector('input') ?? {}, { value: 'a@b.co' }))
  const stored = async (): Promise<unknown[]> => {
    await flush(page)
    return site.api.events().map(({ type, customFields }) => [type, customFields]).sort()
  }
  const view = ['page_view', { path: '/readme', title: 'shop' }]
  await poll(stored).toEqual([view, ['prices_seen', {}]])
  await page.click('button')
  await poll(() => site.visits().filter((path) => path === '/readme').length).toBe(2)
  await arrival(page, '/readme')
  await page.click('a')
  await poll(() => site.api.events().map(({ type, customFields }) => [type, customFields])).toContainEqual(['signup', { plan: 'pro' }])
  expect(site.api.events().map(({ type, customFields }) => [type, customFields])).toContainEqual(['newsletter', { topic: 'offers' }])
})

test('the ES module of the README stores its purchase', async ({ site, open }) => {
  const { code } = await esbuild.transform(block('ts module').replace("'pristo'", "'/pristo.mjs'"), { loader: 'ts', format: 'esm' })
  site.serve('/readme', html(`<script type="module">${code}; window.pristo = pristo</script>`))
  const page = await open('/readme')
  await poll(() => page.evaluate(() => typeof window.pristo?.flush)).toBe('function')
  await drain(page)
  expect(site.api.events()).toMatchObject([{ ...purchase, contact: { customFields: { plan: 'pro' } } }])
})
