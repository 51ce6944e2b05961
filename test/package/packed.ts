/**
 * The package as others get it: what `npm pack` makes, unpacked into a project that has nothing else.
 * Invariant: never the source; it is built anew, as `prepack` does it for a release.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** package.json, as far as it is looked at here. */
export interface Manifest {
  exports: Record<string, string | { types: string; default: string }>
}

/** What was packed. */
export interface Packed {
  tarball: Uint8Array<ArrayBuffer>
  /** A project, in whose `node_modules` the package is. */
  project: string
  /** The package itself. */
  home: string
  /** What is in it, as paths from its root. */
  files: string[]
  /** Names of the subpaths that are code, such as `pristo/relay`. */
  subpaths: string[]
  remove(): void
}

/** Packs and unpacks: about 3 s, nearly all of it the build. */
export const pack = (): Packed => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-package-'))
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  const name = readdirSync(folder).find((file) => file.endsWith('.tgz'))
  if (!name) throw new Error('npm packed nothing')
  const modules = join(folder, 'project/node_modules')
  mkdirSync(modules, { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, name), '-C', modules])
  const home = join(modules, 'pristo')
  renameSync(join(modules, 'package'), home)
  const manifest: Manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'))
  return {
    tarball: new Uint8Array(readFileSync(join(folder, name))),
    project: join(folder, 'project'),
    home,
    files: readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(home, name)).isFile()),
    subpaths: Object.entries(manifest.exports).flatMap(([path, target]) => (typeof target === 'string' ? [] : [`pristo${path.slice(1)}`])),
    remove: () => rmSync(folder, { recursive: true }),
  }
}

/** What our compiler says of a project: nothing where all is well. */
export const compile = (project: string): Promise<string> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    child.stdout.on('data', (chunk) => (said += chunk))
    child.on('close', (code) => resolve(said.replaceAll(project, '') || (code ? `ended with ${code}` : '')))
  })
