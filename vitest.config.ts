import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // Rooms of the browser part meet a page; what needs Node says so in its first line.
    environment: 'happy-dom',
    include: ['test/**/*.test.ts'],
    exclude: ['test/browser/**'],
    restoreMocks: true,
    // Files share a thread's modules: a third of the time, so that it runs at every save.
    pool: 'threads',
    isolate: false,
  },
})
