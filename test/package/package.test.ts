/** What a site gets of the package: its files, its types under any compiler options, and no more code than it imports. */
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import * as esbuild from 'esbuild'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { bundles } from '../../build.mjs'
import { openEditor } from './editor.ts'
import { compile, pack, type Packed } from './packed.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
let packed: Packed

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 }) // a busy machine takes its time
beforeAll(() => {
  packed = pack()
})
afterAll(() => packed.remove())

describe('files', () => {
  test('those of a release are there, and no tests, no demo, no reference', () => {
    const scripts = bundles.flatMap(({ out }) => [out, `${out}.map`])
    const others = packed.files.filter((file) => !/^src\/.*\.ts$|^dist\/.*\.d\.ts(\.map)?$/.test(file))
    expect(others.sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'dist/LICENSES.txt', 'package.json', ...scripts].sort())
  })

  test('a source map names files that are there, or has their text inside', () => {
    const { home } = packed
    const sources = packed.files
      .filter((file) => file.endsWith('.map'))
      .flatMap((file) => {
        const map: { sources: string[]; sourcesContent?: (string | null)[] } = JSON.parse(readFileSync(join(home, file), 'utf8'))
        return map.sources.map((source, n) => ({ path: resolve(home, dirname(file), source), isInside: !!map.sourcesContent?.[n] }))
      })
    expect(sources.filter(({ path, isInside }) => !isInside && !existsSync(path))).toEqual([])
    const named = new Set(sources.map(({ path }) => relative(home, path)))
    expect(packed.files.filter((file) => file.startsWith('src/') && !named.has(file))).toEqual([])
  })

  test('a declaration that no export leads to is left out', () => {
    expect(packed.files).toContain('dist/relay/options.d.ts')
    expect(packed.files).not.toContain('dist/relay/schema.d.ts')
    expect(packed.files.filter((file) => /^dist\/relay\/cli\/.*\.d\.ts/.test(file))).toEqual([])
  })

  test('the README’s command prints the integrity of the script', () => {
    const [, command = ''] = /^```sh integrity\n(.*)\n```/m.exec(readFileSync(join(packed.home, 'README.md'), 'utf8')) ?? []
    const script = readFileSync(join(packed.home, 'dist/pristo.js'))
    const printed = execFileSync('sh', ['-c', command], { cwd: packed.project, encoding: 'utf8' })
    expect(printed).toBe(`sha384-${createHash('sha384').update(script).digest('base64')}\n`)
  })

  test('publint finds nothing', async () => {
    const { messages, pkg } = await publint({ pack: { tarball: packed.tarball.buffer }, strict: true })
    expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([])
  })

  test('are the types wrong? Not for anybody who imports ES modules', async () => {
    const result = await checkPackage(createPackageFromTarballData(packed.tarball))
    if (!result.types) throw new Error('there are no types')
    // As `attw --profile esm-only`: the package has no CommonJS, which Node 20.19 and 22.12 can `require` all the same.
    const others = result.problems.filter((problem) => !('resolutionKind' in problem && ['node10', 'node16-cjs'].includes(problem.resolutionKind)))
    expect(others).toEqual([])
    expect(Object.keys(result.entrypoints).length).toBe(packed.subpaths.length + 1) // and package.json
  })
})

describe('imports', () => {
  /** What a bundler makes of a module of the site's own: its code, and which files of the package are in it. */
  const bundle = async (contents: string): Promise<{ code: string; files: string[] }> => {
    const { outputFiles, metafile } = await esbuild.build({
      stdin: { contents, resolveDir: packed.project },
      bundle: true,
      format: 'esm',
      external: ['node:*', 'srvx'],
      write: false,
      metafile: true,
      logLevel: 'silent',
    })
    const used = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.entries(inputs))
    const files = used.flatMap(([path, { bytesInOutput }]) => (bytesInOutput ? path.split('node_modules/pristo/').slice(1) : []))
    return { code: outputFiles.map(({ text }) => text.trim()).join('\n'), files: files.sort() }
  }

  test('for nothing are nothing, but for a script', async () => {
    const isScript = (path: string): boolean => path.endsWith('.js')
    const modules = packed.subpaths.filter((path) => !isScript(path))
    expect((await bundle(modules.map((path) => `import '${path}'`).join('\n'))).files).toEqual([])
    for (const path of packed.subpaths.filter(isScript)) expect((await bundle(`import '${path}'`)).files).toEqual([path.replace('pristo', 'dist')])
  })

  test('of createPristo bring the core and direct mode, and nothing of the relay', async () => {
    const { code, files } = await bundle(`import { createPristo } from 'pristo'; createPristo()`)
    expect(files).toEqual(['dist/direct.js', 'dist/index.js'])
    const relay = await bundle(`import { createRelay } from 'pristo/relay'; createRelay()`)
    expect([relay.code, code].map((text) => text.includes('_zod'))).toEqual([true, false])
  })

  test('of a door bring the door alone', async () => {
    expect((await bundle(`import { toHonoHandler } from 'pristo/relay/hono'; toHonoHandler()`)).files).toEqual(['dist/relay/hono.js'])
    expect((await bundle(`import { toNextHandlers } from 'pristo/relay/next'; toNextHandlers()`)).files).toEqual(['dist/relay/next.js'])
    expect((await bundle(`import { createRelay } from 'pristo/relay'; createRelay()`)).files).toEqual(['dist/relay/index.js'])
  })
})

/** Where the type tests import from here, and from the package. */
const SUBPATHS = [['../src/index.ts', 'pristo'], ['../src/auto/index.ts', 'pristo/auto'], ['../src/snippet.ts', 'pristo/pristo.js'], ['../src/relay/index.ts', 'pristo/relay']] as const

describe('types', () => {
  const strict = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true }
  const bundler = { module: 'esnext', moduleResolution: 'bundler' }
  const events = ['events.test-d.mts']
  const all = ['events.test-d.mts', 'types.test-d.mts']

  /** A project of its own: these type tests, a file that imports these subpaths, and a tsconfig.json. */
  const begin = (name: string, options: object, { tests = [], imports = [] }: { tests?: readonly string[]; imports?: string[] }) => {
    const folder = join(packed.project, name)
    mkdirSync(folder)
    writeFileSync(join(folder, 'imports.mts'), imports.map((path, n) => `export * as n${n} from '${path}'\n`).join(''))
    for (const file of tests) {
      const text = readFileSync(join(root, 'test', file.replace('.mts', '.ts')), 'utf8')
      writeFileSync(join(folder, file), SUBPATHS.reduce((moved, [source, path]) => moved.replaceAll(`'${source}'`, `'${path}'`), text))
    }
    const compilerOptions = { target: 'es2022', lib: ['es2023', 'dom'], types: [], noEmit: true, skipLibCheck: false, ...options }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
    return { folder, compilerOptions }
  }

  beforeAll(() => {
    // The site's own schema library; the package's types know none.
    symlinkSync(join(root, 'node_modules/zod'), join(packed.project, 'node_modules/zod'))
  })

  test.concurrent.for([
    ['a bundler', { ...bundler, ...strict }, all],
    ['a bundler, nothing strict', { ...bundler, strict: false }, events],
    ['Node 16', { module: 'node16', strict: true }, events],
    ['Node', { module: 'nodenext', ...strict }, all],
  ] as const)('a site’s events hold with %s', async ([name, options, tests]) => {
    expect(await compile(begin(name, options, { tests }).folder)).toBe('')
  })

  test('an editor with the TypeScript before ours finds the same, and completes names and fields', () => {
    const { folder, compilerOptions } = begin('editor', { ...bundler, ...strict }, { tests: all })
    const editor = openEditor(folder, all, compilerOptions)
    expect(editor.complaints()).toEqual([])
    expect(editor.offers('events.test-d.mts', "pristo.track('")).toEqual(['purchase', 'signup', 'trial'])
    expect(editor.offers('events.test-d.mts', "pristo.track('trial', { ").sort()).toEqual(['plan', 'seats'])
    expect(editor.offers('events.test-d.mts', "pristo.track('trial', { plan: '").sort()).toEqual(['free', 'pro'])
  })

  test('those of the relay need no DOM, and only where Node is, those of Node', async () => {
    const node = { types: ['node'], typeRoots: [join(root, 'node_modules/@types')] }
    const relay = packed.subpaths.filter((path) => path.startsWith('pristo/relay'))
    expect(await compile(begin('no DOM', { module: 'nodenext', ...strict, lib: ['es2023'], ...node }, { imports: relay }).folder)).toBe('')
    const anywhere = relay.filter((path) => !/\/(node|express)$/.test(path))
    expect(await compile(begin('worker', { ...bundler, ...strict, lib: ['es2023', 'webworker'] }, { imports: ['pristo', ...anywhere] }).folder)).toBe('')
  })
})
