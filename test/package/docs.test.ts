/** The API reference can be made of the docstrings, and has all that is exported. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { Manifest } from './packed.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('every export has a docstring, every link leads somewhere, and TypeDoc has nothing to say', async () => {
  const { stdout, stderr } = await promisify(execFile)('npm', ['run', '--silent', 'docs', '--', '--logLevel', 'Warn', '--emit', 'none'], { cwd: root })
  expect(stdout + stderr).toBe('')
}, 120_000) // a busy machine takes its time

test('every subpath has a page of its name, but for the script tag', () => {
  const { exports }: Manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const { entryPoints }: { entryPoints: string[] } = JSON.parse(readFileSync(join(root, 'typedoc.json'), 'utf8'))
  const modules = Object.entries(exports).flatMap(([path, target]) =>
    typeof target === 'string' || path.endsWith('.js') ? [] : [[target.types.replace('./dist', 'src').replace('.d.ts', '.ts'), `pristo${path.slice(1)}`]],
  )
  expect(entryPoints.map((entry) => [entry, /@module (\S+)/.exec(readFileSync(join(root, entry), 'utf8'))?.[1]])).toEqual(modules)
})
