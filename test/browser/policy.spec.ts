/** The strictest policies that a site may have: none needs to be loosened for the tag. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { makeTag } from '../../build.mjs'
import type { Page } from '../support/browsers/index.ts'
import { CONTACT, drain, expect, test } from './fixtures.ts'
import { html, type Complaint } from './pages.ts'

/** The stub and its calls, as a site writes them inline. */
const INLINE = `window.pristo = { q: [['identify', ${JSON.stringify(CONTACT)}], ['track', 'signup']] }`

const HASH = `sha256-${createHash('sha256').update(INLINE).digest('base64')}`

/** But for the icon, which the browser asks for by itself. */
const complaintsOf = async (page: Page): Promise<Complaint[]> =>
  (await page.evaluate(() => window.complaints)).filter(({ text }) => !text.includes('favicon'))

const policies = [
  { what: 'a nonce for stub and tag', policy: "default-src 'none'; script-src 'nonce-r4nd0m'; connect-src 'self'" },
  { what: 'a hash for the stub', policy: `default-src 'none'; script-src 'self' '${HASH}'; connect-src 'self'` },
  { what: 'Trusted Types and no policy of them', policy: "default-src 'none'; script-src 'nonce-r4nd0m'; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'" },
]

for (const { what, policy } of policies) {
  test(`${what}: enough for the tag, and nothing is violated`, async ({ site, open }) => {
    const scripts = `<script nonce="r4nd0m" src="/watch.js"></script><script nonce="r4nd0m">${INLINE}</script><script nonce="r4nd0m" src="/pristo.js"></script>`
    site.serve('/', `<!doctype html><title>shop</title>${scripts}`, { 'Content-Security-Policy': policy })
    const page = await open()
    await page.evaluate(() => window.pristo?.track?.('purchase'))
    await drain(page)
    expect(site.api.events().map(({ type }) => type)).toEqual(['signup', 'purchase'])
    expect(await complaintsOf(page)).toEqual([])
  })
}

test('where the browser has Trusted Types they are on: the witness sees it', async ({ site, open }, { project }) => {
  site.serve('/', '<!doctype html><p>shop', { 'Content-Security-Policy': "require-trusted-types-for 'script'; trusted-types 'none'" })
  const page = await open()
  const { has, isRefused } = await page.evaluate(() => {
    try {
      document.body.innerHTML = 'text'
      return { has: 'trustedTypes' in window, isRefused: false }
    } catch {
      return { has: 'trustedTypes' in window, isRefused: true }
    }
  })
  expect(isRefused).toBe(has)
  if (project.name === 'chromium') expect(isRefused).toBe(true)
})

test('a policy without the nonce keeps the tag out: the witness sees it', async ({ site, open }) => {
  site.serve('/', `<!doctype html><script nonce="r4nd0m" src="/watch.js"></script><script>${INLINE}</script><script src="/pristo.js"></script>`, {
    'Content-Security-Policy': "default-src 'none'; script-src 'nonce-r4nd0m'",
  })
  const page = await open()
  const complaints = await page.evaluate(() => window.complaints)
  expect(complaints.filter(({ kind }) => kind === 'csp').length).toBeGreaterThan(0)
  expect(await page.evaluate(() => typeof window.pristo)).toBe('undefined')
})

test('the integrity hash that the build prints is the tag’s, and another keeps it out', async ({ site, open }) => {
  const { integrity } = makeTag(readFileSync(new URL('../../dist/pristo.js', import.meta.url)))
  const tag = (hash: string): string => `<script>${INLINE}</script><script src="/pristo.js" integrity="${hash}"></script>`
  site.serve('/', html(tag(integrity)))
  site.serve('/next', html(tag(integrity.replace(/.{8}$/, 'AAAAAAAA'))))
  const page = await open()
  await drain(page)
  expect(site.api.events().map(({ type }) => type)).toEqual(['signup'])
  await page.goto(`${site.url}/next`)
  expect(await page.evaluate(() => typeof window.pristo?.flush)).toBe('undefined')
})
