/** A relay that wants proof of who the visitor is, and the page that gets it from the site's backend. */
import { SignJWT } from 'jose'
import type { Site } from '../support/site.ts'
import { CONTACT, countTo, drain, expect, expectCalm, flush, identify, numbersOf, poll, test, trackCount } from './fixtures.ts'
import { html, run } from './pages.ts'

const SECRET = 'the site and its relay know this, nobody else'
const AUDIENCE = 'shop'

/** What the site's backend signs for a logged-in visitor. */
const sign = (contactId: string, expires = '5m'): Promise<string> =>
  new SignJWT().setProtectedHeader({ alg: 'HS256', kid: 'k1' }).setSubject(contactId).setAudience(AUDIENCE).setExpirationTime(expires).sign(new TextEncoder().encode(SECRET))

/** A page that was served with this token, and asks `/token` for others, which takes longer than the longest first backoff. */
const arrange = async (site: Site, token: string): Promise<void> => {
  site.restartRelay({ keys: { k1: SECRET }, audience: AUDIENCE })
  const stub = (): void => {
    const getToken = async (): Promise<string> => {
      await new Promise((done) => setTimeout(done, 1_100))
      const answer = await fetch('/token')
      if (!answer.ok) throw Error('no session')
      return answer.text()
    }
    window.pristo = { q: [], getToken }
  }
  site.serve('/', html(run(stub) + `<script src="/pristo.js" data-token="${token}"></script>`))
}

const asked = (site: Site): number => site.visits().filter((path) => path === '/token').length

test('the token that a page was served with is proof enough', async ({ site, open }) => {
  await arrange(site, await sign(CONTACT.id))
  const page = await open()
  await identify(page)
  await trackCount(page, 3)
  await drain(page)
  expect([numbersOf(site.api.events()), site.requests().length, asked(site)]).toEqual([countTo(3), 1, 0])
})

test('a token that has run out is replaced, and what waited arrives once, in order, without a word on the console', async ({ site, open }) => {
  await arrange(site, await sign(CONTACT.id, '2 hours ago'))
  site.serve('/token', await sign(CONTACT.id))
  const page = await open()
  await identify(page)
  await trackCount(page, 3)
  await poll(() => numbersOf(site.api.events())).toEqual(countTo(3))
  await trackCount(page, 1, 3)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(4))
  expect(asked(site)).toBe(1)
  expect(await page.evaluate(() => window.complaints)).toEqual([])
})

test('events wait for a token that the backend does not give yet', async ({ site, open }) => {
  await arrange(site, '')
  const page = await open()
  await identify(page)
  await trackCount(page, 2)
  expect((await flush(page))?.pending).toBe(2)
  expect(site.api.events()).toEqual([])
  site.serve('/token', await sign(CONTACT.id))
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(2))
  await expectCalm(page)
})

test('the token of one visitor is not sent for the next, whose events would be rejected for it', async ({ site, open }) => {
  await arrange(site, '')
  site.serve('/token', await sign(CONTACT.id))
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  site.serve('/token', await sign('u_43'))
  await page.evaluate(() => window.pristo?.identify?.({ id: 'u_43', email: 'b@c.co' }))
  await trackCount(page, 1, 1)
  await drain(page)
  expect(site.api.events().map(({ contact }) => contact.id)).toEqual([CONTACT.id, 'u_43'])
})
