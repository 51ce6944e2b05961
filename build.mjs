// @ts-check
/**
 * Builds the package: bundles, source maps and declarations, and prints what they weigh.
 * Invariant: nothing over its limit, and nothing that carries a library of the other part, leaves here.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import * as esbuild from 'esbuild'
import { minify } from 'terser'

const root = import.meta.dirname ?? dirname(fileURLToPath(import.meta.url)) // `dirname` came with Node 20.11

/**
 * @typedef {object} Bundle
 * @property {string} entry source file, from the root of the repository
 * @property {string} out what is made of it
 * @property {'browser' | 'relay'} part which of the two parts it belongs to
 * @property {'iife' | 'esm'} format
 * @property {'browser' | 'neutral' | 'node'} platform
 * @property {number} [limit] bytes of brotli -11 at most
 * @property {string[]} [external] what stays an import: a package, or another bundle in the same folder by its source
 * @property {string} [holds] another bundle, by its `out`: what stands there for `PRISTO_TAG` is made of it
 */

/**
 * Every bundle of the package. The tag's limit is the 3 072 of DESIGN.md, "Budgets", and what the promise, tokens and what people
 * expect of a tag cost beyond it (CHANGELOG.md): each part of that is 10 to 270 bytes, and a thousand for
 * `src/auto`, which the slim tag has not. The ES module has what the script tag has, and the no-op for
 * servers and the loader of direct mode besides. The relay's limit is that of an edge runtime, as "Budgets" has it, with zod and jose.
 * @type {readonly Bundle[]}
 */
export const bundles = [
  { entry: 'src/snippet.ts', out: 'dist/pristo.js', part: 'browser', format: 'iife', platform: 'browser', limit: 7_328 },
  { entry: 'src/slim.ts', out: 'dist/pristo.slim.js', part: 'browser', format: 'iife', platform: 'browser', limit: 6_224 },
  { entry: 'src/auto/index.ts', out: 'dist/auto.js', part: 'browser', format: 'esm', platform: 'browser', limit: 1_296 },
  { entry: 'src/index.ts', out: 'dist/index.js', part: 'browser', format: 'esm', platform: 'browser', limit: 6_392, external: ['./direct.ts'] },
  { entry: 'src/direct.ts', out: 'dist/direct.js', part: 'browser', format: 'esm', platform: 'browser' },
  { entry: 'src/relay/index.ts', out: 'dist/relay/index.js', part: 'relay', format: 'esm', platform: 'neutral', limit: 24_576 },
  { entry: 'src/relay/tag.ts', out: 'dist/relay/tag.js', part: 'relay', format: 'esm', platform: 'neutral', holds: 'dist/pristo.js' },
  { entry: 'src/relay/front.ts', out: 'dist/relay/front.js', part: 'relay', format: 'esm', platform: 'neutral' },
  { entry: 'src/relay/node.ts', out: 'dist/relay/node.js', part: 'relay', format: 'esm', platform: 'node', external: ['srvx', './index.ts', './spool.ts', './tag.ts'] },
  { entry: 'src/relay/spool.ts', out: 'dist/relay/spool.js', part: 'relay', format: 'esm', platform: 'node', external: ['@photostructure/sqlite', '@redis/client'] },
  { entry: 'src/relay/env.ts', out: 'dist/relay/env.js', part: 'relay', format: 'esm', platform: 'neutral' },
  { entry: 'src/relay/express.ts', out: 'dist/relay/express.js', part: 'relay', format: 'esm', platform: 'node', external: ['srvx'] },
  { entry: 'src/relay/next.ts', out: 'dist/relay/next.js', part: 'relay', format: 'esm', platform: 'neutral' },
  { entry: 'src/relay/hono.ts', out: 'dist/relay/hono.js', part: 'relay', format: 'esm', platform: 'neutral' },
  { entry: 'src/relay/cloudflare.ts', out: 'dist/relay/cloudflare.js', part: 'relay', format: 'esm', platform: 'neutral', external: ['./index.ts'] },
  { entry: 'src/relay/spool/object.ts', out: 'dist/relay/object.js', part: 'relay', format: 'esm', platform: 'neutral' },
  { entry: 'src/relay/cli.ts', out: 'dist/relay/cli.js', part: 'relay', format: 'esm', platform: 'node', external: ['prom-client', './node.ts', './spool.ts'] },
]

/** The oldest browsers that get everything (DESIGN.md, "Browsers"), and the oldest Node (package.json, `engines`). */
const TARGETS = { browser: ['chrome92', 'edge92', 'firefox115', 'safari15.4'], relay: ['es2022', 'node20'] }

/** What must not be in a bundle of either part. */
const FORBIDDEN = { browser: ['zod', 'srvx'], relay: ['idb-keyval'] }

/**
 * What the browser rooms call each other's members by. None of these names is on the wire, in storage, in the public
 * interface or the platform's, so that they may be shortened; `dist/index.js` and `dist/direct.js` share them.
 * Their order was searched for: brotli likes it by 10 bytes better than the next one.
 */
const INTERNAL =
  'http leave refuse isHidden post sync wake listen room send complain page waitMs maySend idb fields holding take spill read ' +
  'outbox identity onGone current adopt decide confirm save forget complete canMend land isGone isOnline cookies edit erase writes claimed waiting spills acks deniedAt settle who again mark hasCookies recall remember isRefused'
const SHORT = 'abcdefghijklmnoprstuwxyzABCDEFGHIJKLMNOPRSTUVWXYZ$_' // but for `q` and `v`, which are public

const shortNames = Object.fromEntries(INTERNAL.split(' ').map((name, index) => [name, SHORT.charAt(index)]))

/** What terser may do. Our own browser rooms bear its `unsafe` assumptions; the libraries in the relay were not written for them. */
const COMPRESS = {
  browser: { passes: 4, pure_getters: true, unsafe: true, unsafe_arrows: true, unsafe_methods: true, keep_fargs: false },
  relay: { passes: 2 },
}

/**
 * A bundle as small as it gets: esbuild shortens what rooms call each other's members by and folds syntax,
 * terser inlines rooms into where they are wired (5 % less of brotli than esbuild alone).
 * @param {Bundle} bundle
 * @param {esbuild.OutputFile[]} files code and map
 */
const shrink = async ({ out, part, format }, files) => {
  const code = files.find(({ path }) => path.endsWith('.js'))
  const map = files.find(({ path }) => path.endsWith('.map'))
  if (!code || !map) throw new Error(`${out}: esbuild made no code or no map`)
  const isScript = format === 'iife'
  const small = await minify(code.text, {
    ecma: 2020,
    module: true,
    compress: COMPRESS[part],
    // In the tag the reference would be 1 % of the budget: DevTools take the map by hand ("Add source map…").
    sourceMap: { content: map.text, filename: posix.basename(out), root: '', ...(!isScript && { url: `${posix.basename(out)}.map` }) },
  })
  // A script's names must stay its own: terser knows modules, whose names are.
  const text = isScript ? `(()=>{${small.code?.replace(/;$/, '')}})()` : small.code
  const encode = (/** @type {unknown} */ value) => new TextEncoder().encode(String(value))
  return [
    { ...code, contents: encode(text) },
    { ...map, contents: encode(small.map) },
  ]
}

/** Bundles that were made already: the tag is needed twice. @type {Map<string, ReturnType<typeof make>>} */
const inMemory = new Map()

/**
 * Bundles in memory: nothing is written.
 * @param {Bundle} one
 * @returns {Promise<{ files: Pick<esbuild.OutputFile, 'path' | 'contents'>[], meta: esbuild.Metafile }>} the code and its map; who imports whom
 * @throws where the source does not compile
 */
export const bundle = (one) => {
  const made = inMemory.get(one.out) ?? make(one)
  inMemory.set(one.out, made)
  return made
}

/** @param {Bundle} one */
const make = async (one) => {
  const { entry, out, part, format, platform, limit, external = [], holds } = one
  const isBrowser = part === 'browser'
  const isShrunk = isBrowser || !!limit
  const { outputFiles, metafile } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: out,
    bundle: true,
    format: isBrowser ? 'esm' : format, // `shrink` makes a script of it
    platform,
    target: TARGETS[part],
    // Without a platform esbuild looks at none of these, and the packages' own `exports` decide.
    ...(platform === 'neutral' && { mainFields: ['module', 'main'] }),
    external: external.filter((name) => !name.startsWith('.')),
    ...(holds && { define: { PRISTO_TAG: JSON.stringify(makeTag(await codeOf(holds))) } }),
    plugins: [siblings(external)],
    minify: !isShrunk,
    minifySyntax: true,
    ...(isBrowser && { mangleProps: RegExp(`^(${INTERNAL.replaceAll(' ', '|')})$`), mangleCache: shortNames }),
    sourcemap: isShrunk ? 'external' : 'linked',
    metafile: true,
    write: false,
    logLevel: 'silent',
  })
  return { files: isShrunk ? await shrink(one, outputFiles) : outputFiles, meta: metafile }
}

/**
 * The code of another bundle.
 * @param {string} out
 */
const codeOf = async (out) => {
  const one = bundles.find((bundle) => bundle.out === out)
  const code = one && (await bundle(one)).files.find(({ path }) => path.endsWith('.js'))?.contents
  if (!code) throw new Error(`there is no bundle ${out}`)
  return code
}

/**
 * A script as the relay serves it.
 * @param {Uint8Array} code
 * @returns {import('./src/relay/tag.ts').Tag}
 */
export const makeTag = (code) => ({
  text: new TextDecoder().decode(code),
  brotli: compress(code).toString('base64'),
  gzip: gzipSync(code, { level: 9 }).toString('base64'),
  etag: `"${createHash('sha256').update(code).digest('base64url').slice(0, 22)}"`, // 132 bits: more than will ever collide
  integrity: integrityOf(code),
})

/** @param {Uint8Array} code */
const compress = (code) =>
  brotliCompressSync(code, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: code.length } })

/** @param {Uint8Array} code */
const integrityOf = (code) => `sha384-${createHash('sha384').update(code).digest('base64')}`

/**
 * Leaves an import of another bundle's source an import, of what that bundle is called in `dist`.
 * @param {string[]} external
 * @returns {esbuild.Plugin}
 */
const siblings = (external) => ({
  name: 'siblings',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\.\// }, ({ path }) => (external.includes(path) ? { path: path.replace(/\.ts$/, '.js'), external: true } : undefined)),
})

/**
 * What a file weighs, in bytes.
 * @param {Uint8Array} code
 */
export const weigh = (code) => ({
  raw: code.length,
  gzip: gzipSync(code, { level: 9 }).length,
  brotli: compress(code).length,
})

/**
 * The packages inside a bundle.
 * @param {esbuild.Metafile} meta
 * @returns {string[]} names, such as `zod`
 */
export const packagesIn = (meta) => [
  ...new Set(Object.keys(meta.inputs).flatMap((path) => path.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1] ?? [])),
]

/**
 * The licences of packages that are inside bundles: who passes on their code passes these on with it (MIT, Apache-2.0).
 * @param {string[]} names
 */
const licencesOf = (names) =>
  names.map((name) => {
    const folder = join(root, 'node_modules', name)
    const file = readdirSync(folder).find((entry) => /^licen[cs]e(\.(md|txt))?$/i.test(entry))
    if (!file) throw new Error(`${name} has no licence file, and is inside a bundle`)
    return `${name}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`
  })

/**
 * What is wrong with a bundle, one line each; empty where nothing is.
 * @param {Bundle} bundle
 * @param {number} brotli bytes
 * @param {esbuild.Metafile} meta
 * @returns {string[]}
 */
export const judge = ({ out, part, limit = Infinity }, brotli, meta) => [
  ...(brotli > limit ? [`${out} is ${brotli - limit} bytes over its limit: ${brotli} of ${limit} bytes of brotli`] : []),
  ...packagesIn(meta)
    .filter((name) => FORBIDDEN[part].includes(name))
    .map((name) => `${out} contains ${name}, which no ${part} bundle may`),
]

/**
 * Builds bundles into `dist`, without declarations.
 * @param {readonly Bundle[]} chosen
 * @returns {Promise<{ bundle: Bundle, size: ReturnType<typeof weigh>, code: Uint8Array, packages: string[], faults: string[] }[]>}
 */
export const build = (chosen = bundles) =>
  Promise.all(
    chosen.map(async (one) => {
      const { files, meta } = await bundle(one)
      mkdirSync(join(root, posix.dirname(one.out)), { recursive: true })
      for (const { path, contents } of files) writeFileSync(path, contents)
      const code = files.find(({ path }) => path.endsWith('.js'))?.contents ?? new Uint8Array()
      const size = weigh(code)
      return { bundle: one, size, code, packages: packagesIn(meta), faults: judge(one, size.brotli, meta) }
    }),
  )

/** Writes the declarations beside the bundles. */
const declare = () => {
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  // tsc rewrites `.ts` imports in what it compiles, but not in declarations (TypeScript 7.0.2), and `src` is not where they look.
  for (const name of readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.d.ts')) continue
    const path = join(root, 'dist', name)
    writeFileSync(path, readFileSync(path, 'utf8').replace(/((?:from|import\() ?['"]\.{1,2}\/[^'"]+)\.ts(['"])/g, '$1.js$2'))
  }
  prune()
}

/** Removes the declarations to which no export of the package leads: nobody can import them, and some name packages that their reader lacks. */
const prune = () => {
  /** @type {{ exports: Record<string, { types?: string }> }} */
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  /** @type {Set<string>} */
  const reached = new Set()
  const reach = (/** @type {string} */ path) => {
    if (reached.has(path)) return
    reached.add(path)
    const imports = readFileSync(path, 'utf8').matchAll(/(?:from|import\() ?['"](\.{1,2}\/[^'"]+)\.js['"]/g)
    for (const [, name] of imports) reach(join(dirname(path), `${name}.d.ts`))
  }
  for (const { types } of Object.values(exports)) if (types) reach(join(root, types))
  for (const name of readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' })) {
    const [, declaration] = /^(.*\.d\.ts)(?:\.map)?$/.exec(name) ?? []
    if (declaration && !reached.has(join(root, 'dist', declaration))) rmSync(join(root, 'dist', name))
  }
}

/** @param {(string | number)[][]} rows */
const printTable = (rows) => {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => String(row[column]).length))) ?? []
  for (const row of rows) console.log(row.map((cell, i) => (i ? String(cell).padStart(widths[i] ?? 0) : String(cell).padEnd(widths[i] ?? 0))).join('  '))
}

const main = async () => {
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  const built = await build()
  printTable([
    ['bytes', 'raw', 'gzip', 'brotli', 'limit'],
    ...built.map(({ bundle, size }) => [bundle.out, size.raw, size.gzip, size.brotli, bundle.limit ?? '-']),
  ])
  const tag = built.find(({ bundle }) => bundle.format === 'iife')
  if (tag) console.log(`${tag.bundle.out}  integrity="${integrityOf(tag.code)}"`)
  const faults = built.flatMap(({ faults }) => faults)
  for (const fault of faults) console.error(`build: ${fault}`)
  if (faults.length) process.exitCode = 1
  const packages = [...new Set(built.flatMap(({ packages }) => packages))].sort()
  writeFileSync(join(root, 'dist/LICENSES.txt'), licencesOf(packages).join(`\n${'-'.repeat(80)}\n\n`))
  declare()
}

// Run, not imported. npm may have started it through a link.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await main().catch((error) => {
    const { errors } = /** @type {Partial<esbuild.BuildFailure>} */ (error)
    if (errors) for (const line of esbuild.formatMessagesSync(errors, { kind: 'error', color: process.stderr.isTTY })) console.error(line)
    console.error(`build: ${errors ? 'the source does not compile' : error.message}`)
    process.exitCode = 1
  })
}
