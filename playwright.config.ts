import { defineConfig } from '@playwright/test'
import { engines, findBrowser, nameOf } from './test/support/browsers/find.mjs'

const found = engines.filter((engine) => {
  const browser = findBrowser(engine)
  // Every worker reads this file; the one that starts them says it once.
  if ('lacks' in browser && !process.env['TEST_WORKER_INDEX']) console.warn(`${nameOf(engine)}: not tested, because there is ${browser.lacks}`)
  return 'start' in browser
})

export default defineConfig({
  testDir: 'test/browser',
  testMatch: '**/*.spec.ts',
  globalSetup: './test/browser/build.ts',
  projects: found.map((engine) => ({ name: engine })),
  // A flaky test is a bug of ours until shown otherwise.
  retries: 0,
  workers: 3, // they wait more than they work: three on two cores. A fourth Firefox leaves none of them any time
  fullyParallel: true,
  forbidOnly: !!process.env['CI'],
  timeout: 60_000,
  expect: { timeout: 20_000 },
  reporter: 'list',
})
