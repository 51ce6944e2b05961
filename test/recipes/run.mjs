// @ts-check
/**
 * Every recipe as a newcomer has it: copied, installed, built, started and visited: `node test/recipes/run.mjs [recipe…]`. Builds the
 * package where nothing is built.
 * Invariant: one line per recipe, with what took how long; the last line is `N passed, N failed`; nothing outside a folder of its own but npm's cache.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as esbuild from 'esbuild'
import { nameOf } from '../support/browsers/find.mjs'
import { findPort, run, serve } from './app.mjs'
import { copyRecipe, pack } from './packed.mjs'
import { recipes, vite } from './recipes.mjs'
import { openBrowser, WATCH } from './tabs.mjs'
import { editHot, goAbout, stayHere, visit } from './visit.mjs'

/** @typedef {import('../support/browsers/find.mjs').Engine} Engine */
/** @typedef {import('./recipes.mjs').Recipe} Recipe */

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1)) // what was started ends with it
process.chdir(fileURLToPath(new URL('../..', import.meta.url)))
const folder = mkdtempSync(join(tmpdir(), 'pristo-recipes-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
if (!existsSync('dist/relay/cli.js')) execFileSync(process.execPath, ['build.mjs'], { stdio: 'inherit' })
const packed = pack(folder)

/** Rooms in TypeScript that run here. */
const load = async () => {
  const entryPoints = ['test/support/pristo-api.ts', 'test/support/browsers/webkit.ts']
  const outdir = join(folder, 'support')
  await esbuild.build({ entryPoints, bundle: true, format: 'esm', platform: 'node', outdir, outbase: 'test/support', outExtension: { '.js': '.mjs' } })
  /** @type {typeof import('../support/pristo-api.ts')} */
  const { startPristoApi } = await import(pathToFileURL(join(outdir, 'pristo-api.mjs')).href)
  /** @type {typeof import('../support/browsers/webkit.ts')} */
  const webkit = await import(pathToFileURL(join(outdir, 'browsers/webkit.mjs')).href)
  return { api: await startPristoApi(), webkit }
}

const { api, webkit } = await load()

/** What is around npm: a script of ours must not lend its own programs and settings to a recipe. */
const { npm_config_local_prefix: _, PATH = '', ...around } = process.env
const path = PATH.split(':').filter((part) => !part.includes('node_modules')).join(':')
const env = { PATH: path, HOME: folder, npm_config_update_notifier: 'false', NEXT_TELEMETRY_DISABLED: '1', ASTRO_TELEMETRY_DISABLED: '1' }
const settings = { PRISTO_API_KEY: api.apiKey, PRISTO_POPULATION_ID: api.populationId, PRISTO_BASE_URL: api.url, HOST: '127.0.0.1' }

/** Runs work, and says how long it took: `build 12 s`. @param {string} what @param {() => Promise<void>} work */
const time = async (what, work) => {
  const begin = Date.now()
  await work()
  return `${what} ${((Date.now() - begin) / 1_000).toFixed(1)} s`
}

/** Starts a recipe and what it needs beside it. @param {string} cwd @param {Recipe} recipe */
const open = async (cwd, { start, proxy }) => {
  /** @type {Awaited<ReturnType<typeof serve>>[]} */
  const servers = []
  if (proxy) {
    const port = await findPort()
    const file = join(cwd, proxy)
    writeFileSync(file, readFileSync(file, 'utf8').replace(':8787', `:${port}`))
    const place = { cwd, env: { ...env, ...settings, PORT: port, PRISTO_ADMIN_PORT: '0' } }
    servers.push(await serve(['npm', 'run', 'relay'], `http://127.0.0.1:${port}/pristo`, place))
  }
  const port = await findPort()
  const url = `http://127.0.0.1:${port}/`
  servers.push(await serve(start(port), url, { cwd, env: { ...env, ...settings, PORT: port } }))
  return { url, output: () => servers.map(({ output }) => output()).join(''), stop: () => Promise.all(servers.map(({ stop }) => stop())) }
}

/** Puts what listens to the console into a page. @param {string} file */
const watch = (file) => writeFileSync(file, readFileSync(file, 'utf8').replace('<head>', `<head><script>${WATCH}</script>`))

/**
 * @param {Awaited<ReturnType<typeof open>>} app
 * @param {Engine} engine
 * @param {import('./visit.mjs').Interlude} interlude
 */
const visitBy = async ({ url, output }, engine, interlude) => {
  const browser = await openBrowser(engine, webkit)
  try {
    await visit(await browser.open(), url, api, interlude)
    assert.doesNotMatch(output(), /error/i)
  } catch (error) {
    throw new Error(`${nameOf(engine)}: ${error instanceof Error ? error.stack : error}\nthe server said: ${output()}`, { cause: error })
  } finally {
    await browser.close()
  }
}

/** What is built, in every engine that is asked for. @param {string} cwd @param {Recipe} recipe */
const testBuilt = async (cwd, recipe) => {
  const app = await open(cwd, recipe)
  const times = []
  try {
    if (recipe.isRendered) assert.match(await (await fetch(app.url)).text(), /id="buy"/)
    for (const engine of recipe.engines ?? ['chromium']) {
      if (engine === 'webkit' && recipe.html) watch(join(cwd, recipe.html))
      times.push(await time(nameOf(engine), () => visitBy(app, engine, recipe.hasRouter ? goAbout : stayHere)))
    }
  } finally {
    await app.stop()
  }
  return times
}

/** What Vite's development server serves, and edited meanwhile. @param {string} cwd */
const testHot = async (cwd) => {
  const app = await open(cwd, { start: vite('dev') })
  return time('hot reload', () => visitBy(app, 'chromium', editHot(cwd))).finally(app.stop)
}

/** @param {string} name @param {Recipe} recipe @returns what took how long */
const test = async (name, recipe) => {
  const cwd = join(folder, name)
  copyRecipe(name, cwd, packed)
  return [
    await time('install', () => run(['npm', 'ci', '--no-audit', '--no-fund', '--prefer-offline'], { cwd, env: { ...around, PATH: path } })),
    // Without the settings: a build must not need them.
    ...(recipe.isPlain ? [] : [await time('build', () => run(['npm', 'run', 'build'], { cwd, env }))]),
    ...(await testBuilt(cwd, recipe)),
    ...(recipe.isHot ? [await testHot(cwd)] : []),
  ]
}

const counts = { passed: 0, failed: 0 }
/** Hundreds of megabytes each: removed beside the next recipe. @type {Promise<void>[]} */
const removals = []
for (const [name, recipe] of Object.entries(recipes)) {
  if (process.argv.length > 2 && !process.argv.includes(name)) continue
  try {
    console.log(`✓ ${name}: each event arrives once, without an error · ${(await test(name, recipe)).join(', ')}`)
    counts.passed++
  } catch (error) {
    counts.failed++
    console.log(`✗ ${name}\n${error instanceof Error ? error.stack : error}`)
  }
  removals.push(rm(join(folder, name), { recursive: true, force: true }))
}
await Promise.all([api.close(), ...removals])
process.exitCode = counts.failed ? 1 : 0
console.log(`${counts.passed} passed, ${counts.failed} failed`)
