// @ts-check
/**
 * Which browsers this machine has, and what would bring the others.
 * Plain JavaScript, since `npm test` reads it on a fresh clone with nothing but Node.
 */
import { chromium, firefox } from '@playwright/test'
import { existsSync } from 'node:fs'

/** @typedef {'chromium' | 'firefox' | 'webkit'} Engine */

/**
 * How to start a browser: by Playwright (its own build where no path is named), or by a W3C WebDriver on a virtual display.
 * @typedef {{ by: 'playwright', executablePath?: string, channel?: string }
 *   | { by: 'webdriver', driver: string, binary: string, display: string }} Start
 */

/** @type {readonly Engine[]} */
export const engines = ['chromium', 'firefox', 'webkit']

const names = { chromium: 'Chromium', firefox: 'Firefox', webkit: 'WebKit' }

/** @param {Engine} engine */
export const nameOf = (engine) => names[engine]

/** `--no-sandbox`: Chromium refuses to run as root with one, and CI containers are root. The rest keeps it from phoning home. */
export const CHROMIUM_ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/**
 * Debian's packages for each engine.
 * @type {Record<Engine, string[]>}
 */
export const aptPackages = {
  chromium: ['chromium'],
  firefox: ['firefox-esr'],
  webkit: ['webkit2gtk-driver', 'xvfb'],
}

// Debian's place first; then that of Fedora. The library's version differs by release.
const miniBrowsers = [`/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`, '/usr/libexec'].flatMap((folder) =>
  ['webkit2gtk-4.1', 'webkitgtk-6.0', 'webkit2gtk-4.0'].map((library) => `${folder}/${library}/MiniBrowser`),
)

/** @type {Record<Engine, () => { start: Start } | { lacks: string }>} */
const finders = {
  chromium: () => findForPlaywright({ executablePath: '/usr/bin/chromium' }, chromium.executablePath()),
  // Playwright drives a stock Firefox over WebDriver BiDi only by this channel (1.64.1); 1.65.1 is too new for ESR 153.
  firefox: () => findForPlaywright({ executablePath: '/usr/bin/firefox-esr', channel: 'moz-firefox' }, firefox.executablePath()),
  webkit: () => {
    const driver = '/usr/bin/WebKitWebDriver'
    const display = '/usr/bin/Xvfb'
    const binary = miniBrowsers.find((path) => existsSync(path))
    const lacking = [driver, display].filter((path) => !existsSync(path))
    if (binary && !lacking.length) return { start: { by: 'webdriver', driver, binary, display } }
    return { lacks: `no ${[...lacking, ...(binary ? [] : ["WebKitGTK's MiniBrowser"])].join(', no ')}` }
  },
}

/**
 * @param {{ executablePath: string, channel?: string }} debian
 * @param {string} own where Playwright puts its own build
 * @returns {{ start: Start } | { lacks: string }}
 */
const findForPlaywright = (debian, own) => {
  if (existsSync(debian.executablePath)) return { start: { by: 'playwright', ...debian } }
  if (existsSync(own)) return { start: { by: 'playwright' } }
  return { lacks: `no ${debian.executablePath}, and none of Playwright's own` }
}

/**
 * How to start the engine here, or what is missing.
 * @param {Engine} engine
 */
export const findBrowser = (engine) => finders[engine]()
