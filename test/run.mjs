// @ts-check
/**
 * `npm test`: everything there is to test, on a fresh clone with only Node and npm.
 * Invariant: the last line is `N passed, N failed`, and what was not tested is named above it; in CI that is a failure.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** @typedef {{ passed: number, failed: number, skipped: number }} Tally */
/** @typedef {import('./support/browsers/find.mjs').Engine} Engine */

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const isCI = !!process.env['CI'] && process.env['CI'] !== 'false'
const reports = mkdtempSync(join(tmpdir(), 'pristo-test-'))

/**
 * Runs a program whose output streams to this one's.
 * @param {string} file
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 * @returns {Promise<boolean>} whether it succeeded
 */
const run = (file, args, env = {}) =>
  new Promise((resolve) => {
    console.log(`\n> ${[file, ...args].join(' ')}`)
    const child = spawn(file, args, { stdio: 'inherit', env: { ...process.env, ...env } })
    child.on('error', ({ message }) => {
      console.error(message)
      resolve(false)
    })
    child.on('close', (code) => resolve(code === 0))
  })

/**
 * Runs one of our own tests, whose last line is `N passed, N failed`, and maybe `, N skipped`.
 * @param {string[]} args
 * @returns {Promise<Tally>}
 */
const runCounted = (...args) =>
  new Promise((resolve) => {
    console.log(`\n> node ${args.join(' ')}`)
    const child = spawn('node', args, { stdio: ['inherit', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk)
      text = (text + chunk).slice(-1_000)
    })
    child.on('close', (code) => {
      const [, passed = 0, failed = 0, skipped = 0] = text.match(/(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/) ?? []
      const tally = { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) }
      resolve(reconcile(code === 0, tally.passed + tally.failed ? tally : undefined))
    })
  })

/**
 * @param {string} file
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 */
const runNode = (file, args, env) => run('node', [join('node_modules', file), ...args], env)

/** @param {string} path */
const readJson = (path) => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined)

/** Whether what the lock file asks for is what is installed. */
const isInstalled = () => {
  const installed = readJson('node_modules/.package-lock.json')?.packages ?? {}
  // Packages for other platforms are optional, and rightly absent.
  return Object.entries(readJson('package-lock.json').packages).every(
    ([path, { version, optional }]) => path === '' || installed[path]?.version === version || (optional && !installed[path]),
  )
}

/** @param {string} file @param {string[]} args */
const succeeds = (file, args) => {
  try {
    execFileSync(file, args, { stdio: 'ignore' })
    return true
  } catch {
    return false // absent, or it refused: to the caller both mean no
  }
}

/** What `apt-get` is to be preceded by, or `undefined` where we may not install. */
const findApt = () => {
  if (!existsSync('/usr/bin/apt-get')) return undefined
  if (process.getuid?.() === 0) return []
  return succeeds('sudo', ['-n', 'true']) ? ['sudo', '-n'] : undefined
}

/** Installs the browsers that lack, as far as this machine allows; the engines that still do, and why. */
const provideBrowsers = async () => {
  const { aptPackages, engines, findBrowser } = await import('./support/browsers/find.mjs')
  const lacking = () => engines.filter((engine) => 'lacks' in findBrowser(engine))
  if (!lacking().length) return []

  const apt = findApt()
  // Ubuntu's chromium and firefox are snaps, which nobody can drive: Playwright's own are better there.
  const isDebian = existsSync('/etc/os-release') && /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'))
  const fromApt = apt ? lacking().filter((engine) => isDebian || engine === 'webkit') : []
  if (apt && fromApt.length) {
    const [file = '', ...args] = [...apt, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get']
    await run(file, [...args, 'update'])
    // One by one: a package that cannot be had must not keep the others away.
    for (const engine of fromApt) await run(file, [...args, 'install', '-y', '--no-install-recommends', ...aptPackages[engine]])
  }

  const fromPlaywright = lacking().filter((engine) => engine !== 'webkit')
  if (fromPlaywright.length) await runNode('@playwright/test/cli.js', ['install', ...(apt ? ['--with-deps'] : []), ...fromPlaywright])
  return lacking()
}

/** Installs Redis, a real one for the spool's tests, as far as this machine allows; whether it is there. */
const provideRedis = async () => {
  const isThere = () => succeeds('redis-server', ['--version'])
  const apt = findApt()
  if (!isThere() && apt) {
    const [file = '', ...args] = [...apt, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get']
    await run(file, [...args, 'update'])
    await run(file, [...args, 'install', '-y', '--no-install-recommends', 'redis-server'])
  }
  return isThere()
}

/** @param {boolean} ok @returns {Tally} */
const one = (ok) => ({ passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 })

/**
 * A step without any count, or with no failure in it that it yet reports, counts as one failure.
 * @param {boolean} ok
 * @param {Tally | undefined} counts
 * @returns {Tally}
 */
const reconcile = (ok, counts) => {
  if (!counts) return one(false)
  return ok || counts.failed ? counts : { ...counts, failed: 1 }
}

/** @param {string} config @returns {Promise<Tally>} */
const testUnits = async (config) => {
  const report = join(reports, `${config.replaceAll('/', '.')}.json`)
  const ok = await runNode('vitest/vitest.mjs', ['run', '--config', config, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`])
  const json = readJson(report)
  return reconcile(ok, json && { passed: json.numPassedTests, failed: json.numFailedTests, skipped: json.numPendingTests + json.numTodoTests })
}

const testBrowsers = async () => {
  const report = join(reports, 'browser.json')
  const ok = await runNode('@playwright/test/cli.js', ['test', '--reporter=list,json'], { PLAYWRIGHT_JSON_OUTPUT_FILE: report })
  const stats = readJson(report)?.stats
  // Something flaky is a bug of ours until shown otherwise.
  return reconcile(ok, stats && { passed: stats.expected, failed: stats.unexpected + stats.flaky, skipped: stats.skipped })
}

/** @type {Record<string, () => Promise<Tally>>} */
const STEPS = {
  build: async () => one(await run('node', ['build.mjs'])),
  types: async () => one(await runNode('typescript/bin/tsc', ['--noEmit'])),
  unit: () => testUnits('vitest.config.ts'),
  built: () => testUnits('test/built.config.ts'),
  contract: () => runCounted('test/contract/run.mjs'),
  install: () => runCounted('test/install/run.mjs'),
  simulation: () => runCounted('test/simulation/run.mjs', '--seeds', '1000'),
  fuzz: () => runCounted('test/fuzz/run.mjs', '--requests', '100000'),
  browser: testBrowsers,
  torture: () => runCounted('test/torture/run.mjs', '--short'),
  spool: () => runCounted('test/torture/run.mjs', 'spool', '--short'),
}

/** @param {Engine[]} untested @param {boolean} hasRedis */
const runSteps = async (untested, hasRedis) => {
  /** @type {Record<string, Tally & { ms?: number }>} */
  const tallies = {}
  for (const [name, step] of Object.entries(STEPS)) {
    const beganAt = performance.now()
    tallies[name] = { ...(await step()), ms: performance.now() - beganAt }
  }
  if (isCI && untested.length) tallies['engines'] = { passed: 0, failed: untested.length, skipped: 0 }
  if (isCI && !hasRedis) tallies['redis'] = one(false)
  return tallies
}

/** @param {Tally} tally */
const describe = ({ passed, failed, skipped }) => `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`

const main = async () => {
  if (!isInstalled() && !(await run('npm', ['ci', '--no-audit', '--no-fund']))) {
    console.log(`\ninstall: failed\n${describe(one(false))}`)
    return false
  }
  const untested = await provideBrowsers()
  const hasRedis = await provideRedis()
  const tallies = await runSteps(untested, hasRedis)

  console.log('')
  for (const [step, { ms, ...tally }] of Object.entries(tallies)) console.log(`${step.padEnd(10)} ${(ms ? `${(ms / 1000).toFixed(0)} s` : '').padStart(6)}  ${describe(tally)}`)
  const { findBrowser, nameOf } = await import('./support/browsers/find.mjs')
  for (const engine of untested) {
    const found = findBrowser(engine)
    console.log(`${nameOf(engine)}: not tested, because there is ${'lacks' in found ? found.lacks : 'only now one'}`)
  }
  if (!hasRedis) console.log('Redis: not tested, because there is no redis-server')
  const total = Object.values(tallies).reduce((a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped }))
  console.log(describe(total))
  return total.failed === 0
}

const succeeded = await main()
rmSync(reports, { recursive: true, force: true })
process.exitCode = succeeded ? 0 : 1
