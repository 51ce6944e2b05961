import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // Rooms of the browser part meet a page; what needs Node says so in its first line.
    restoreMocks: true,
    pool: 'threads',
    projects: [
      { extends: true, test: { name: 'page', environment: 'happy-dom', include: ['test/*.test.ts'] } },
      // These keep no state in modules, and may share a thread's: half of the time, so that it runs at every save.
      { extends: true, test: { name: 'node', environment: 'node', include: ['test/{relay,support}/**/*.test.ts'], isolate: false } },
    ],
  },
})
