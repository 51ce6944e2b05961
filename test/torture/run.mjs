// @ts-check
/**
 * `npm run torture`: builds what is tested, and this test, and runs it.
 * `node test/torture/run.mjs [--short] [--engine chromium] [--fault 'part of its name'] [--report counts.json]`: browsers;
 * `node test/torture/run.mjs spool [--short] [--engine sqlite] [--proof chaos] [--seed N] [--kills N] [--events N]`: the relay's spool;
 * engines, faults and proofs may be several.
 */
import * as esbuild from 'esbuild'
import { fileURLToPath } from 'node:url'
import { build, bundles } from '../../build.mjs'

process.setSourceMapsEnabled(true)
process.chdir(fileURLToPath(new URL('../..', import.meta.url)))

const isSpool = process.argv[2] === 'spool'

// The relay that is killed needs the half of them. A bundle over its limit is another test's business.
const needed = bundles.filter(({ out }) => !isSpool || /relay\/(cli|index|node|spool|tag)\.js$/.test(out))
for (const { faults } of await build(needed)) for (const fault of faults) console.warn(`build: ${fault}`)

// Two levels deep, as the source is, and where packages are found.
const outfile = fileURLToPath(new URL(`../../dist/torture/${isSpool ? 'spool' : 'main'}.mjs`, import.meta.url))
await esbuild.build({
  entryPoints: [isSpool ? 'test/torture/spool/main.ts' : 'test/torture/main.ts'],
  outfile,
  bundle: true,
  packages: 'external',
  platform: 'node',
  target: 'node20',
  format: 'esm',
  sourcemap: 'inline',
  logLevel: 'warning',
})
await import(outfile)
