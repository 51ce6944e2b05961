/** Page views, with and without the Navigation API, as the engine has them. */
import type { Page } from '../support/browsers/index.ts'
import { engines } from '../support/browsers/find.mjs'
import { openStandalone, type Standalone } from '../support/browsers/standalone.ts'
import type { Site } from '../support/site.ts'
import { arrival, drain, expect, expectCalm, flush, identify, poll, test } from './fixtures.ts'
import { html, run } from './pages.ts'

const VIEWS = '<script async src="/pristo.js" data-endpoint="/pristo" data-pageview="page_view"></script>'

/** Makes the page one of a browser that has no Navigation API. */
const WITHOUT_NAVIGATION = run(() => {
  if ('navigation' in window) Reflect.deleteProperty(window, 'navigation')
  if ('navigation' in window) throw new Error('still there')
})

/** A small single-page app, which changes address and title in the order in which routers do. */
const APP = `<nav><a href="/a">a</a> <a href="/b?token=secret">b</a> <a href="#anchor">anchor</a> <a href="#/route">route</a></nav>${run(() => {
  const render = (): void => void setTimeout(() => (document.title = `at ${location.pathname}${location.hash}`))
  document.addEventListener('click', (event) => {
    const { href } = Object(event.target)
    if (!href || href.includes('#')) return
    event.preventDefault()
    history.pushState(null, '', href)
    render()
  })
  addEventListener('popstate', render)
})}`

/** The paths of all views that have arrived, in their order. */
const paths = (site: Site): (string | undefined)[] => site.api.events().map(({ customFields }) => customFields['path'])

/** Waits for exactly these views. */
const expectViews = async (site: Site, page: Page, expected: string[]): Promise<void> => {
  await poll(async () => (await flush(page).catch(() => undefined), paths(site))).toEqual(expected)
  await flush(page)
  await poll(() => site.busy()).toBe(0)
  expect(paths(site)).toEqual(expected)
}

for (const { what, before } of [
  { what: 'the Navigation API (where there is one)', before: '' },
  { what: 'a patched history', before: WITHOUT_NAVIGATION },
]) {
  test(`routes of a single-page app are views by ${what} with the title of each, and none is counted twice`, async ({ site, open }) => {
    site.serve('/', html(before + VIEWS + APP))
    const page = await open()
    await identify(page)
    await expectViews(site, page, ['/'])
    await page.click('a')
    await expectViews(site, page, ['/', '/a'])
    await page.click('a') // the same again
    await page.click('a[href="#anchor"]')
    await page.evaluate(() => history.replaceState({ scroll: 1 }, ''))
    await page.click('a[href^="/b"]')
    await expectViews(site, page, ['/', '/a', '/b'])
    await page.click('a[href="#/route"]')
    await expectViews(site, page, ['/', '/a', '/b', '/b#/route'])
    await page.back()
    await expectViews(site, page, ['/', '/a', '/b', '/b#/route', '/b'])
    const views = site.api.events().map(({ customFields: { title, referrer } }) => [title, referrer])
    expect(views).toEqual([['shop', undefined], ['at /a', '/'], ['at /b', '/a'], ['at /b#/route', '/b'], ['at /b', '/b#/route']])
    await expectCalm(page)
  })

  test(`a route that is left in the same task arrives by ${what}, before the page is gone`, async ({ site, open }) => {
    site.serve('/', html(before + VIEWS + APP))
    const page = await open()
    await identify(page)
    await expectViews(site, page, ['/'])
    await page.evaluate(() => {
      history.pushState(null, '', '/left')
      location.assign('/later')
    })
    await arrival(page, '/later')
    await drain(page)
    await poll(() => paths(site)).toEqual(['/', '/left'])
  })
}

test('a route that the page intercepts is a view when the page has done what it does for it', async ({ site, open }) => {
  const intercept = run(() => {
    const load = async (path: string): Promise<void> => {
      await fetch('/blank')
      await new Promise((done) => setTimeout(done, 300))
      if ('navigation' in window === false) history.pushState(null, '', path)
      document.title = 'loaded'
    }
    if ('navigation' in window)
      navigation.addEventListener('navigate', (event) => {
        if (event.destination.url.endsWith('/a')) event.intercept({ handler: () => load('/a') })
      })
    else
      addEventListener('click', (event) => {
        event.preventDefault()
        void load('/a')
      })
  })
  site.serve('/', html(`${VIEWS}<a href="/a">a</a>${intercept}`))
  const page = await open()
  await identify(page)
  await expectViews(site, page, ['/'])
  await page.click('a')
  await expectViews(site, page, ['/', '/a'])
  expect(site.api.events()[1]?.customFields).toEqual({ path: '/a', title: 'loaded', referrer: '/' })
})

test('a patched history keeps its errors, and lives beside patches from before and after it', async ({ site, open }) => {
  const patch = (): void => {
    const heard: unknown[] = []
    Object.assign(window, { heard })
    const wrap = (home: History, name: string): void => {
      const { pushState } = home
      home.pushState = function (...given) {
        heard.push([name, this === history, given.length])
        return pushState.apply(this, given)
      }
    }
    wrap(History.prototype, 'before')
    addEventListener('load', () => wrap(History.prototype, 'after, prototype'))
    addEventListener('load', () => wrap(history, 'after, instance'))
  }
  site.serve('/', html(WITHOUT_NAVIGATION + run(patch) + VIEWS))
  const page = await open()
  await identify(page)
  await expectViews(site, page, ['/'])
  const errors = await page.evaluate(() => {
    const names: unknown[] = []
    for (const work of [() => history.pushState(() => {}, ''), () => history.pushState(null, '', 'https://other.example/')]) {
      try {
        work()
      } catch (error) {
        names.push(Object(error).name)
      }
    }
    Object(window).heard.length = 0
    history.pushState(null, '', '/a')
    return names
  })
  expect(errors).toEqual(['DataCloneError', 'SecurityError'])
  expect(await page.evaluate(() => Object(window).heard)).toEqual([['after, instance', true, 3], ['after, prototype', true, 3], ['before', true, 3]])
  await expectViews(site, page, ['/', '/a'])
})

test('a page that comes back from the back/forward cache is a new view, without a referrer', async ({ site, open }) => {
  site.serve('/', html(VIEWS))
  const page = await open()
  await identify(page)
  await expectViews(site, page, ['/'])
  await page.evaluate(() => void Object.assign(window, { wasHere: true }))
  await page.goto(`${site.url}/blank`)
  await page.back()
  await arrival(page, '/')
  expect(await page.evaluate(() => 'wasHere' in window)).toBe(true)
  await expectViews(site, page, ['/', '/'])
  expect(site.api.events()[1]?.customFields).toEqual({ path: '/', title: 'shop' })
})

test('a page that sends its visitor on at once is a view, and so is where it sends them', async ({ site, open }) => {
  site.serve('/', html(VIEWS))
  site.serve('/hop', html(`${VIEWS}<script>addEventListener('load', () => location.assign('/end'))</script>`))
  site.serve('/end', html(VIEWS))
  const page = await open()
  await identify(page)
  await expectViews(site, page, ['/'])
  await page.evaluate(() => location.assign('/hop?token=secret'))
  await arrival(page, '/end')
  await expectViews(site, page, ['/', '/hop', '/end'])
  expect(site.api.events()[2]?.customFields['referrer']).toBe('/hop')
})

test('a page that is hidden is a view once it is shown, of the address that it has then', async ({ site, open }) => {
  const hide = (): void => {
    let hidden = true
    Object.defineProperty(document, 'hidden', { get: () => hidden })
    Object.defineProperty(document, 'visibilityState', { get: () => (hidden ? 'hidden' : 'visible') })
    addEventListener('shown', () => {
      hidden = false
      document.dispatchEvent(new Event('visibilitychange'))
    })
  }
  site.serve('/', html(run(hide) + VIEWS))
  const page = await open()
  await identify(page)
  await page.evaluate(() => history.pushState(null, '', '/meanwhile'))
  await drain(page)
  expect(paths(site)).toEqual([])
  await page.evaluate(() => void dispatchEvent(new Event('shown')))
  await expectViews(site, page, ['/meanwhile'])
})

/** Opens an address in a browser that nobody drives: under Playwright 1.64.1 a prerendered page does not start. */
const alone = test.extend<{ openAlone(address: string): Promise<void> }>({
  openAlone: async ({}, use, info) => {
    const engine = engines.find((name) => name === info.project.name)
    const browsers: Standalone[] = []
    await use(async (address) => void (engine && browsers.push(await openStandalone(engine, info.outputPath('profile'), address))))
    for (const browser of browsers) await browser.kill()
  },
})

alone('a prerendered page is a view, and what it shows is seen, only once the visitor opens it', async ({ site, openAlone }, { project }) => {
  const visitor = run(() => {
    const tell = (word: string): Promise<Response> => fetch(`/${word}`)
    const isKnown = !!HTMLScriptElement.supports?.('speculationrules')
    addEventListener('load', () => {
      const { pristo } = window
      pristo?.identify?.({ id: 'u_42', email: 'a@b.co' })
      pristo?.on?.('delivered', async ({ customFields }) => {
        if (customFields?.['path'] !== '/') return
        await tell(isKnown ? 'prerenders' : 'waits')
        const rules = Object.assign(document.createElement('script'), { type: 'speculationrules', text: '{ "prerender": [{ "urls": ["/next"], "eagerness": "immediate" }] }' })
        document.body.append(rules)
        while ((await (await tell('may-go')).text()) !== 'yes') await new Promise((done) => setTimeout(done, 50))
        document.querySelector('a')?.click()
      })
    })
  })
  const tell = run(() => {
    addEventListener('load', () => void fetch('/ran'))
    document.addEventListener('prerenderingchange', () => void fetch('/activated'))
  })
  site.serve('/may-go', 'no')
  site.serve('/', html(`${VIEWS}<a href="/next">next</a>${visitor}`))
  site.serve('/next', html(`${VIEWS}${tell}<b data-pristo-track="signup" data-pristo-when="visible" data-pristo-path="seen">x</b>`))
  await openAlone(`${site.url}/`)
  await poll(() => site.visits().find((path) => /\/(prerenders|waits)/.test(path))).toBeTruthy()
  const isKnown = site.visits().includes('/prerenders')
  if (isKnown) await poll(() => site.visits()).toContain('/ran')
  expect(paths(site)).toEqual(['/'])
  const openedAt = new Date().toISOString()
  site.serve('/may-go', 'yes')
  await poll(() => paths(site).sort()).toEqual(['/', '/next', 'seen'])
  for (const { occurredAt = '', customFields } of site.api.events()) if (customFields['path'] !== '/') expect(occurredAt > openedAt, occurredAt).toBe(true)
  expect(site.visits().includes('/activated')).toBe(isKnown)
  expect(isKnown).toBe(project.name === 'chromium')
})

/** Whether a page comes back from the cache, and why not, in the browser's words (in Chromium). */
const restored = async (page: Page, site: Site, path: string) => {
  await page.goto(site.url + path)
  await page.evaluate(() => {
    Object.assign(window, { wasHere: true })
    window.pristo?.track?.('page_view', { path: 'last' })
  })
  await page.goto(`${site.url}/blank`)
  await page.back()
  await arrival(page, path)
  return page.evaluate(() => ({ wasHere: 'wasHere' in window, reasons: Object(performance.getEntriesByType('navigation')[0]).notRestoredReasons ?? null }))
}

test('a page with the tag, its elements and its views, is kept in the back/forward cache as one without', async ({ site, open }) => {
  const seen = '<b data-pristo-track="signup" data-pristo-when="visible">x</b>'
  site.serve('/with', html(VIEWS + APP + seen))
  site.serve('/without', html(APP + seen))
  const page = await open()
  await identify(page)
  await drain(page)
  const without = await restored(page, site, '/without')
  expect(without.wasHere).toBe(true)
  expect(await restored(page, site, '/with')).toEqual(without)
})
