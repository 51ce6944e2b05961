import { defineConfig } from 'vitest/config'
import units, { BUILT } from '../vitest.config.ts'

/** What is too slow for every save; the rest is as it is for the units. Processes start here, on a machine that may be busy. */
export default defineConfig({
  define: units.define ?? {},
  test: { restoreMocks: true, pool: 'threads', include: BUILT, environment: 'node', isolate: false, maxWorkers: 2, testTimeout: 20_000 },
})
