// @ts-check
/**
 * Makes the lock files of recipes: `node test/recipes/lock.mjs [recipe…]`. For whoever changes a recipe's dependencies, or ours.
 * Invariant: a lock file names no host and no path of this machine, and no hash of a package that is not published yet.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { copyRecipe, pack, PLACE, readJson, RECIPES, writeJson } from './packed.mjs'

process.chdir(fileURLToPath(new URL('../..', import.meta.url)))
const folder = mkdtempSync(join(tmpdir(), 'pristo-lock-'))
const packed = pack(folder)
const named = process.argv.slice(2)
const all = readdirSync(RECIPES, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))

for (const name of named.length ? named : all) {
  const copy = join(folder, name)
  copyRecipe(name, copy, packed)
  const flags = ['--package-lock-only', '--omit-lockfile-registry-resolved', '--no-audit', '--no-fund']
  execFileSync('npm', ['install', ...flags], { cwd: copy, stdio: 'inherit' })
  const lock = readJson(join(copy, 'package-lock.json'))
  lock.packages[''].dependencies.pristo = readJson(join(RECIPES, name, 'package.json')).dependencies.pristo
  delete lock.packages[PLACE].resolved
  delete lock.packages[PLACE].integrity
  writeJson(join(RECIPES, name, 'package-lock.json'), lock)
}
rmSync(folder, { recursive: true, force: true })
