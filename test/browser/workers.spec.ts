/** Where there is no document: a web worker and a service worker store and send as a page does. */
import type { Page } from '../support/browsers/index.ts'
import type { Site } from '../support/site.ts'
import { CONTACT, drain, expect, numbersOf, numbersOnDisk, test } from './fixtures.ts'
import { html, LATER, TAG } from './pages.ts'

/** What a worker does with each message: tracks an event of that number, and answers what `flush()` came to. */
const WORK = `
  import { createPristo } from '/pristo.mjs'
  const pristo = createPristo()
  pristo.identify(${JSON.stringify(CONTACT)})
  const work = async ({ data, ports }) => {
    try {
      const id = pristo.track('page_view', { n: data })
      ports[0].postMessage({ id, ...(await pristo.flush()) })
    } catch (error) {
      ports[0].postMessage({ error: String(error) })
    }
  }
`
const DEDICATED = `${WORK}; self.onmessage = work`
const SERVICE = `${WORK}; self.onmessage = (event) => event.waitUntil(work(event)); self.oninstall = () => skipWaiting()`

interface Answer {
  id?: string
  error?: string
  delivered?: number
  pending?: number
}

const kinds = {
  'a web worker': {
    code: DEDICATED,
    start: (page: Page): Promise<void> => page.evaluate(() => void Object.assign(window, { worker: new Worker('/worker.js', { type: 'module' }) })),
    end: (page: Page): Promise<void> => page.evaluate<void>('worker.terminate()'),
  },
  'a service worker': {
    code: SERVICE,
    start: (page: Page): Promise<void> =>
      page.evaluate(async () => {
        const { installing, waiting, active } = await navigator.serviceWorker.register('/worker.js', { type: 'module' })
        const worker = installing ?? waiting ?? active
        while (worker?.state !== 'activated') await new Promise((resolve) => worker?.addEventListener('statechange', resolve, { once: true }))
        Object.assign(window, { worker })
      }),
    end: (page: Page): Promise<void> =>
      page.evaluate(async () => void (await Promise.all((await navigator.serviceWorker.getRegistrations()).map((one) => one.unregister())))),
  },
}

/** Has the worker track an event, and hears what came of it. */
const ask = (page: Page, n: number): Promise<Answer> =>
  page.evaluate(
    (data) =>
      new Promise<Answer>((resolve) => {
        const { port1, port2 } = new MessageChannel()
        port1.onmessage = ({ data: answer }) => resolve(answer)
        Reflect.get(window, 'worker').postMessage(data, [port2])
      }),
    n,
  )

const begin = async (site: Site, open: (path: string) => Promise<Page>, { code, start }: (typeof kinds)['a web worker']): Promise<Page> => {
  site.serve('/worker.js', code)
  const page = await open('/blank')
  await start(page)
  return page
}

for (const [name, kind] of Object.entries(kinds)) {
  test(`${name} delivers what it tracks, and asks for no ack cookie, which it could not read`, async ({ site, open }) => {
    const page = await begin(site, open, kind)
    const answer = await ask(page, 0)
    expect(answer).toMatchObject({ id: expect.any(String), delivered: 1, pending: 0 })
    expect(site.api.events()).toMatchObject([{ requestId: answer.id, contact: CONTACT, customFields: { n: '0' } }])
    expect([JSON.parse(site.requests()[0]?.body ?? '').ack, await page.evaluate(() => document.cookie)]).toEqual([false, ''])
    await kind.end(page)
  })

  test(`${name} stores what it cannot send, and a later page delivers it once`, async ({ site, open }) => {
    site.relayFault({ mode: 'status', status: 503 })
    const page = await begin(site, open, kind)
    expect(await ask(page, 0)).toMatchObject({ delivered: 0, pending: 1 })
    expect(await numbersOnDisk(page)).toEqual([0])
    await kind.end(page)
    site.relayFault(null)
    site.serve('/later', html(LATER + TAG))
    await page.goto(`${site.url}/later`)
    await drain(page)
    expect(numbersOf(site.api.events())).toEqual([0])
  })
}
