// @ts-check
/**
 * A visitor of a recipe: logs in, buys, maybe goes to another page, subscribes.
 * Invariant: what arrived is the stand-in's word.
 */
import assert from 'node:assert/strict'
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from './app.mjs'

/** @typedef {import('../support/pristo-api.ts').PristoApi} PristoApi */
/** @typedef {import('./tabs.mjs').Tab} Tab */

const CONTACT = { id: 'u_42', email: 'a@b.co' }

/** A tracker that was ended leaves what it has not sent to the next one, which takes it up within 20 s; milliseconds. */
const LAST_MS = 45_000

/** What every visit comes to, as type and fields, in the order of the alphabet. */
const STORY = ['newsletter', 'page_view /', 'purchase A1 49.90']

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

/**
 * What happens between the two clicks, and the events that come of it.
 * @typedef {{ act: (tab: Tab) => Promise<void>, events: string[] }} Interlude
 */

/** Nothing. @type {Interlude} */
export const stayHere = { act: async () => {}, events: [] }

/** The other page, by its link. @type {Interlude} */
export const goAbout = {
  act: (tab) => stay(tab, () => tab.click('#about'), "location.pathname === '/about' && !!document.querySelector('#subscribe')"),
  events: ['page_view /about'],
}

/**
 * The tracker's module is edited, and then what is seen of the app, so that it can be seen when both are there.
 * @param {string} folder of a recipe whose development server reloads hot
 * @returns {Interlude}
 */
export const editHot = (folder) => ({
  act: async (tab) => {
    const [tracker, view] = [join(folder, 'src/pristo.ts'), join(folder, 'src/App.tsx')]
    await stay(tab, () => appendFile(tracker, '// edited\n'), "performance.getEntriesByType('resource').some(({ name }) => name.includes('/pristo.ts?t='))")
    const code = await readFile(view, 'utf8')
    await stay(tab, () => writeFile(view, code.replace('A shop', 'Edited')), "document.querySelector('h1')?.textContent === 'Edited'")
  },
  events: ['page_view /'], // the new tracker sees the page anew
})

/** What has arrived, as {@link STORY} has it. @param {PristoApi} api */
const read = (api) => api.events().map(({ type, customFields: { path = '', sku = '', amount = '' } }) => `${type} ${path || sku} ${amount}`.trim())

/** Runs in the page: how many events wait on its disk, the visitor not counted. */
const countWaiting = async () => {
  const settle = (/** @type {IDBRequest} */ request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })
  let count = 0
  for (const { name = '' } of await indexedDB.databases()) {
    const database = await settle(indexedDB.open(name))
    for (const store of database.objectStoreNames) {
      const records = await settle(database.transaction(store).objectStore(store).getAll())
      count += records.filter((/** @type {{ event?: unknown }} */ { event }) => event).length
    }
    database.close()
  }
  return count
}

/** @param {Tab} tab @param {string} url @param {Interlude} interlude */
const act = async (tab, url, interlude) => {
  await tab.goto(url)
  await until('the page to be rendered', async () => (await tab.evaluate("!!document.querySelector('#login')")) === true)
  // A page can be seen before its framework listens, and who logs in twice is the same visitor.
  await until('the login to be heard', async () => {
    await tab.click('#login')
    return (await tab.evaluate("'pristo_contact' in localStorage")) === true
  })
  await tab.click('#buy')
  await interlude.act(tab)
  await tab.click('#subscribe')
}

/**
 * @param {Tab} tab
 * @param {string} url
 * @param {PristoApi} api
 * @param {Interlude} interlude
 * @throws where an event is missing, or came twice, or the page complained
 */
export const visit = async (tab, url, api, interlude) => {
  const story = [...STORY, ...interlude.events].sort()
  api.clear()
  try {
    await act(tab, url, interlude)
    await until('the last event', () => api.events().length >= story.length, LAST_MS)
    // What comes twice has come twice by then.
    await until('the browser to hold nothing more', async () => (await tab.evaluate(`(${countWaiting})()`)) === 0)
  } catch (error) {
    throw new Error(`${error}\narrived: ${read(api).join(', ')}\nthe page said: ${JSON.stringify(await tab.complaints())}`, { cause: error })
  }
  const complaints = await tab.complaints()
  await tab.close()
  assert.deepEqual(complaints, [])
  assert.deepEqual(read(api).sort(), story) // a page is seen some time after it is there: maybe after the first click
  assert.deepEqual(api.contacts(), [CONTACT])
}
