// @ts-check
/**
 * A visitor of a recipe: logs in, buys, maybe goes to another page, subscribes.
 * Invariant: what arrived is the stand-in's word.
 */
import assert from 'node:assert/strict'
import { appendFile } from 'node:fs/promises'
import { until } from './app.mjs'

/** @typedef {import('../support/pristo-api.ts').PristoApi} PristoApi */
/** @typedef {import('./tabs.mjs').Tab} Tab */

const CONTACT = { id: 'u_42', email: 'a@b.co' }

/** Events of one contact arrive in order: what comes twice has come twice by the time of the last one. */
const STORY = [
  { type: 'purchase', customFields: { sku: 'A1', amount: '49.90' } },
  { type: 'newsletter', customFields: {} },
]

/**
 * Something in the midst of a visit that must not load a new document.
 * @param {Tab} tab
 * @param {() => Promise<unknown>} work
 * @param {string} isDone an expression of the page
 */
const stay = async (tab, work, isDone) => {
  await tab.evaluate('void (window.isSameDocument = true)')
  await work()
  await until(isDone, async () => (await tab.evaluate(isDone)) === true)
  assert.equal(await tab.evaluate('window.isSameDocument'), true, 'a new document was loaded')
}

/** Goes to the other page by its link. @param {Tab} tab */
export const goAbout = (tab) => stay(tab, () => tab.click('#about'), "location.pathname === '/about' && !!document.querySelector('#subscribe')")

/** Edits the module that makes the tracker, under the eyes of a development server. @param {string} file */
export const editTracker = (file) => (/** @type {Tab} */ tab) =>
  stay(tab, () => appendFile(file, '// edited\n'), "performance.getEntriesByType('resource').some(({ name }) => name.includes('/pristo.ts?t='))")

/** @param {Tab} tab @param {string} url @param {(tab: Tab) => Promise<void>} interlude */
const act = async (tab, url, interlude) => {
  await tab.goto(url)
  // A page can be seen before its framework listens, and who logs in twice is the same visitor.
  await until('the login to be heard', async () => {
    await tab.click('#login')
    return (await tab.evaluate("'pristo_contact' in localStorage")) === true
  })
  await tab.click('#buy')
  await interlude(tab)
  await tab.click('#subscribe')
}

/**
 * @param {Tab} tab
 * @param {string} url
 * @param {PristoApi} api
 * @param {(tab: Tab) => Promise<void>} interlude between the two events
 * @throws where an event is missing, or came twice, or the page complained
 */
export const visit = async (tab, url, api, interlude) => {
  api.clear()
  try {
    await act(tab, url, interlude)
    const last = STORY.at(-1)?.type
    await until('the last event', () => api.events().some(({ type }) => type === last))
  } catch (error) {
    throw new Error(`${error}\nthe page said: ${JSON.stringify(await tab.complaints())}`, { cause: error })
  }
  const complaints = await tab.complaints()
  await tab.close()
  assert.deepEqual(complaints, [])
  const arrived = api.events().map(({ type, customFields }) => ({ type, customFields }))
  assert.deepEqual(arrived, STORY)
  assert.deepEqual(api.contacts(), [CONTACT])
}
