import { defineConfig } from 'vitest/config'
import { makeTag } from './build.mjs'

const NAMES = ['anywhere', 'boundaries', 'package/docs', 'package/package', 'package/release', 'readme', 'relay/cli/serve', 'relay/front', 'relay/node', 'relay/spool/disk', 'relay/spool/object', 'relay/spool/redis', 'relay/spool/sqlite', 'relay/tag']

/** These build bundles, start processes or workerd: a step of their own in `npm test` (test/built.config.ts), so that all others run at every save. */
export const BUILT = NAMES.map((name) => `test/${name}.test.ts`)

/** Not to meet another file's fake clock, ids or cookies: fake-indexeddb, and whole pages one after the other. */
const ALONE = ['outbox', 'consent', 'hook', 'debug'].map((name) => `test/${name}.test.ts`)

export default defineConfig({
  // As the build does it for `src/relay/tag.ts`, but with a script that need not be built first.
  define: { PRISTO_TAG: JSON.stringify(makeTag(new TextEncoder().encode('/* as the build would */ console.log("é")'))) },
  test: {
    // Rooms of the browser part meet a page; what needs Node says so in its first line.
    restoreMocks: true,
    pool: 'threads',
    maxWorkers: 2, // by itself Vitest leaves one of two cores idle
    projects: [
      // Files share a thread's modules: half of the time, so that it runs at every save.
      { extends: true, test: { name: 'page', environment: 'happy-dom', include: ['test/*.test.ts'], exclude: [...ALONE, ...BUILT], isolate: false } },
      { extends: true, test: { name: 'disk', environment: 'happy-dom', include: ALONE } },
      { extends: true, test: { name: 'node', environment: 'node', include: ['test/{relay,support,simulation}/**/*.test.ts', 'test/bench/*.test.ts'], exclude: BUILT, isolate: false } },
    ],
  },
})
