// @ts-check
/**
 * `npm run test:contract`: builds what is tested, and this test, and runs it.
 * `node test/contract/run.mjs [--door Express] [--case 'part of its title']`; doors and cases may be several.
 */
import * as esbuild from 'esbuild'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build, makeTag } from '../../build.mjs'

process.setSourceMapsEnabled(true)
process.chdir(fileURLToPath(new URL('../..', import.meta.url)))

// A bundle over its limit is another test's business.
for (const { faults } of await build()) for (const fault of faults) console.warn(`build: ${fault}`)

const outfile = fileURLToPath(new URL('../../dist/contract/main.mjs', import.meta.url))
await esbuild.build({
  entryPoints: ['test/contract/main.ts'],
  outfile,
  bundle: true,
  packages: 'external',
  platform: 'node',
  target: 'node20',
  format: 'esm',
  define: { PRISTO_TAG: JSON.stringify(makeTag(readFileSync('dist/pristo.js'))) }, // as the build does it for dist/relay/tag.js
  sourcemap: 'inline',
  logLevel: 'warning',
})
await import(outfile)
