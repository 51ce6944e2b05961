/** A Worker in front of a site: its pages are tracked, and nobody has touched their code. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fetch, type Request } from 'miniflare'
import { makeTag } from '../../build.mjs'
import { startOrigin, type Origin } from '../support/origin.ts'
import { startPristoApi, type PristoApi } from '../support/pristo-api.ts'
import { startWorkerd } from '../support/workerd.ts'
import type { Page } from '../support/browsers/index.ts'
import { countTo, drain, expect, identify, numbersOf, poll, test as base, trackCount } from './fixtures.ts'
import { TAG, WATCH } from './pages.ts'

const read = (path: string): Buffer => readFileSync(new URL(`../../${path}`, import.meta.url))

/** The template that we publish, as it is: the site is where the Worker's route is, and Pristo where it really is. */
const startFront = (site: Origin, api: PristoApi) => {
  const places: Record<string, string> = { 'api.pristo.io': api.url }
  const outboundService = ({ url, method, headers, body }: Request) => {
    const { host, pathname, search } = new URL(url)
    return fetch((places[host] ?? `http://${site.address}`) + pathname + search, { method, headers, body, redirect: 'manual', duplex: 'half' })
  }
  const bindings = { PRISTO_API_KEY: api.apiKey, PRISTO_POPULATION_ID: api.populationId }
  return startWorkerd(read('demo/relays/worker-front.mjs').toString(), makeTag(read('dist/pristo.js')), { bindings, outboundService })
}

/** Pages of a site that knows nothing of us; `$` is a nonce of each answer. */
const PAGES: Record<string, { page: string; policy?: string }> = {
  '/strict': {
    policy: "default-src 'none'; script-src 'nonce-$'; connect-src 'self'; img-src 'self'",
    page: '<!doctype html><html><head><meta charset="utf-8"><title>shop</title><script nonce="$" src="/watch.js"></script></head><body><p>shop</p></body></html>',
  },
  '/strict-in-the-page': {
    page: `<!doctype html><html><head><title>shop</title><meta http-equiv="Content-Security-Policy" content="script-src 'nonce-$' 'strict-dynamic'; connect-src 'self'"><script nonce="$" src="/watch.js"></script></head><body>`,
  },
  '/headless': { page: '<!doctype html><title>shop</title><script src="/watch.js"></script><p>shop' },
  '/tagged': { page: `<!doctype html><html><head><title>shop</title><script src="/watch.js"></script></head><body>${TAG}</body></html>` },
  '/elsewhere': { page: '<!doctype html><html><head><title>shop</title><script src="/watch.js"></script><base href="https://cdn.example/"></head><body>' },
}

const serve = (site: Origin): void => {
  site.serve('/watch.js', WATCH, { 'Content-Type': 'text/javascript' })
  for (const [path, { page, policy }] of Object.entries(PAGES)) {
    site.serve(path, (response) => {
      const nonce = randomBytes(16).toString('base64')
      const policies = policy && { 'Content-Security-Policy': policy.replaceAll('$', nonce) }
      response.writeHead(200, { 'Content-Type': 'text/html', ...policies }).end(page.replaceAll('$', nonce))
    })
  }
}

interface Fixtures {
  front: { url: string; site: Origin; api: PristoApi }
  /** Of a visitor without a past: no other test's site is on the front's host and sets cookies. */
  tab: Page
}

const test = base.extend<Fixtures>({
  front: async ({}, use) => {
    const [site, api] = await Promise.all([startOrigin(), startPristoApi()])
    serve(site)
    const { url, close } = await startFront(site, api)
    await use({ url, site, api })
    await Promise.all([close(), site.close(), api.close()])
  },
  tab: async ({ engine }, use) => {
    const profile = await engine.newProfile()
    await use(await profile.newPage())
    await profile.close()
  },
})

test('a Worker in front of a site tracks its pages without a change to their code, under a strict policy too, each event once', async ({ front, tab }) => {
  const paths = Object.keys(PAGES)
  for (const [n, path] of paths.entries()) {
    await tab.goto(front.url + path)
    await poll(() => tab.evaluate(() => typeof window.pristo?.track), { message: path }).toBe('function')
    await identify(tab)
    await trackCount(tab, 1, n)
    await drain(tab)
    expect(await tab.evaluate(() => window.complaints), path).toEqual([])
  }
  expect(numbersOf(front.api.events())).toEqual(countTo(paths.length))
  const visits = front.site.visits().map(({ path }) => path)
  expect(visits.filter((path) => path.startsWith('/pristo'))).toEqual([])
})
