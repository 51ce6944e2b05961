// @ts-check
/**
 * One browser, as far as a visit needs it.
 * Invariant: whatever a page says on the console as an error, throws or rejects, from its first script on, is among its complaints.
 */
import { chromium, firefox } from '@playwright/test'
import { findBrowser, nameOf } from '../support/browsers/find.mjs'

/** @typedef {typeof import('../support/browsers/webkit.ts')} WebKit */

/**
 * What a visit needs of a page; Playwright's own has it.
 * @typedef {object} Tab
 * @property {(url: string) => Promise<unknown>} goto
 * @property {(selector: string) => Promise<void>} click
 * @property {(work: string) => Promise<unknown>} evaluate
 * @property {() => Promise<string[]>} complaints errors of the console, and what nobody caught
 * @property {() => Promise<unknown>} close
 */

/** @typedef {{ open: () => Promise<Tab>, close: () => Promise<void> }} Browser */

/** `--no-sandbox`: Chromium refuses to run as root with one, and CI containers are root. */
const CHROMIUM_ARGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** For a page's first script. Playwright puts it there; WebKit's driver can put nothing into a page, and hears nothing of its console. */
export const WATCH = `
  window.complaints = []
  console.error = (error => (...given) => (complaints.push(given.join(' ')), error.apply(console, given)))(console.error)
  addEventListener('error', ({ message }) => complaints.push(message))
  addEventListener('unhandledrejection', ({ reason }) => complaints.push('unhandled: ' + reason))`

const readComplaints = (/** @type {Tab['evaluate']} */ evaluate) =>
  evaluate('window.complaints').then((said) => (Array.isArray(said) ? said.map(String) : ['nobody watched']))

/**
 * @param {'chromium' | 'firefox'} engine
 * @param {Extract<import('../support/browsers/find.mjs').Start, { by: 'playwright' }>} start
 */
const openPlaywright = async (engine, { by: _, ...options }) => {
  const browser = await (engine === 'chromium' ? chromium.launch({ ...options, args: CHROMIUM_ARGS }) : firefox.launch(options))
  /** @returns {Promise<Tab>} */
  const open = async () => {
    const context = await browser.newContext()
    await context.addInitScript(WATCH)
    const page = await context.newPage()
    /** @type {string[]} */
    const heard = []
    page.on('console', (message) => message.type() === 'error' && heard.push(message.text()))
    page.on('pageerror', (error) => heard.push(String(error)))
    const evaluate = (/** @type {string} */ work) => page.evaluate(work)
    return {
      goto: (url) => page.goto(url),
      click: (selector) => page.click(selector),
      evaluate,
      complaints: async () => [...heard, ...(await readComplaints(evaluate))],
      close: () => context.close(),
    }
  }
  return { open, close: () => browser.close() }
}

/**
 * @param {WebKit} webkit
 * @param {Extract<import('../support/browsers/find.mjs').Start, { by: 'webdriver' }>} start
 */
const openWebKit = async ({ startWebKit }, start) => {
  const browser = await startWebKit(start)
  const profile = await browser.newProfile()
  /** @returns {Promise<Tab>} */
  const open = async () => {
    const { goto, click, close, evaluate: run } = await profile.newPage()
    const evaluate = (/** @type {string} */ work) => run(work)
    return { goto, click, close, evaluate, complaints: () => readComplaints(evaluate) }
  }
  return { open, close: () => profile.close().then(() => browser.close()) }
}

/**
 * Starts a browser.
 * @param {import('../support/browsers/find.mjs').Engine} engine
 * @param {WebKit} webkit
 * @returns {Promise<Browser>}
 * @throws where this machine has none of that engine
 */
export const openBrowser = async (engine, webkit) => {
  const found = findBrowser(engine)
  if ('lacks' in found) throw new Error(`${nameOf(engine)} cannot be started: ${found.lacks}`)
  if (found.start.by === 'webdriver') return openWebKit(webkit, found.start)
  if (engine === 'webkit') throw new Error('Playwright cannot drive a stock WebKit')
  return openPlaywright(engine, found.start)
}
