// @ts-check
/**
 * A recipe in a folder of its own, with the packed package where the registry's would be.
 * Invariant: nothing but the way to `pristo` changes, so that what is tested is what a newcomer copies.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

/** Where recipes are, from the root of the repository. */
export const RECIPES = 'demo/recipes'

/** What a lock file calls the place of our package. */
export const PLACE = 'node_modules/pristo'

/** What somebody who tried a recipe in its place left there, a key perhaps: no part of it. */
const LEFT_OVERS = /^(node_modules|dist|build|\.next|\.svelte-kit|\.astro|\.env.*)$/

/** @param {string} path */
export const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'))

/** @param {string} path @param {unknown} value */
export const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)

/**
 * Packs what is in `dist` into this folder.
 * @param {string} folder
 * @returns {string} the packed file
 */
export const pack = (folder) => {
  const printed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], { encoding: 'utf8' })
  const [{ filename }] = JSON.parse(printed)
  return join(folder, filename)
}

/**
 * Copies a recipe, and has it depend on the packed file beside it.
 * @param {string} name
 * @param {string} folder where it will be
 * @param {string} packed
 */
export const copyRecipe = (name, folder, packed) => {
  cpSync(join(RECIPES, name), folder, { recursive: true, filter: (path) => !LEFT_OVERS.test(basename(path)) })
  cpSync(packed, join(folder, basename(packed)))
  const file = `file:${basename(packed)}`
  const manifest = readJson(join(folder, 'package.json'))
  manifest.dependencies.pristo = file
  writeJson(join(folder, 'package.json'), manifest)
  if (!existsSync(join(folder, 'package-lock.json'))) return // a new recipe: its lock file is about to be made
  const lock = readJson(join(folder, 'package-lock.json'))
  lock.packages[''].dependencies.pristo = file
  lock.packages[PLACE].resolved = file
  writeJson(join(folder, 'package-lock.json'), lock)
}
