// @vitest-environment node
/** What can be said of the recipes without installing them; `npm run test:recipes` runs them. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { recipes as run } from './recipes/recipes.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(root + path, 'utf8')
const recipes = readdirSync(`${root}demo/recipes`, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))

it('a recipe is locked to what the package needs today (else: node test/recipes/lock.mjs)', () => {
  const { version, dependencies } = JSON.parse(read('package.json'))
  for (const name of recipes) {
    const { packages } = JSON.parse(read(`demo/recipes/${name}/package-lock.json`))
    expect(packages['node_modules/pristo'], name).toMatchObject({ version, dependencies })
    expect(packages[''].dependencies.pristo, name).toBe(`^${version}`)
  }
})

it('a lock file names no host and no file, so that it means the reader’s registry', () => {
  for (const name of recipes) expect(read(`demo/recipes/${name}/package-lock.json`), name).not.toMatch(/"resolved"|file:/)
})

it('every recipe is a row of the README, of the recipes’ own, and of the test that runs them', () => {
  const tables = [read('README.md'), read('demo/recipes/README.md')]
  for (const name of recipes) {
    expect(tables[0]).toMatch(RegExp(`^\\| .*\\(demo/recipes/${name}/`, 'm'))
    expect(tables[1]).toMatch(RegExp(`^\\| \\[${name}\\]\\(${name}/?\\)`, 'm'))
    expect(Object.keys(run)).toContain(name)
  }
})
