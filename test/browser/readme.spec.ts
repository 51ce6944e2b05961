/** The README's pages, as printed, in a browser. */
import { readFileSync } from 'node:fs'
import * as esbuild from 'esbuild'
import { drain, expect, test } from './fixtures.ts'
import { html } from './pages.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** What stands in the first code block with this beginning. */
const block = (fence: string): string => readme.split(`\`\`\`${fence}\n`)[1]?.split('```')[0] ?? ''

const purchase = { type: 'purchase', contact: { id: 'u_42', email: 'a@b.co' }, customFields: { amount: '49.90', sku: 'A1' } }

test('the first example of the README stores its purchase', async ({ site, open }) => {
  site.serve('/readme', html(block('html')))
  await open('/readme')
  await expect.poll(() => site.api.events()).toMatchObject([purchase])
})

test('the stub of the README has all methods before the script comes', async ({ site, open }) => {
  const calls = `<script>
    pristo.identify({ id: 'u_42', email: 'a@b.co' })
    pristo.track('purchase', { amount: '49.90', sku: 'A1' })
  </script>`
  site.serve('/readme', html(block('html stub') + calls))
  await open('/readme')
  await expect.poll(() => site.api.events()).toMatchObject([purchase])
})

test('the ES module of the README stores its purchase', async ({ site, open }) => {
  const { code } = await esbuild.transform(block('ts module').replace("'pristo'", "'/pristo.mjs'"), { loader: 'ts', format: 'esm' })
  site.serve('/readme', html(`<script type="module">${code}; window.pristo = pristo</script>`))
  const page = await open('/readme')
  await expect.poll(() => page.evaluate(() => typeof window.pristo?.flush)).toBe('function')
  await drain(page)
  expect(site.api.events()).toMatchObject([{ ...purchase, contact: { customFields: { plan: 'pro' } } }])
})
