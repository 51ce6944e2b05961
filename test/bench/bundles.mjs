// @ts-check
/** Each one's minimal use, bundled alike by esbuild: as a script to run, and in pieces to weigh. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as esbuild from 'esbuild'
import { bundle as bundleOurs, bundles as ours, weigh } from '../../build.mjs'

/** @typedef {ReturnType<typeof weigh>} Size */

/**
 * @typedef {object} Bundle
 * @property {string} code a classic script with all in it
 * @property {Size} first what a page loads at once: the entry and what it imports
 * @property {Size} later what the library imports only when it wants to
 */

const here = fileURLToPath(new URL('.', import.meta.url))

/**
 * Our package as it would be installed, made of today's source. No `dist` is touched.
 * @type {esbuild.Plugin}
 */
const pristo = {
  name: 'pristo',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^pristo$/ }, () => ({ path: 'dist/index.js', namespace: 'pristo' }))
    onResolve({ filter: /^\.\//, namespace: 'pristo' }, ({ path }) => ({ path: `dist/${path.slice(2)}`, namespace: 'pristo' }))
    onLoad({ filter: /./, namespace: 'pristo' }, async ({ path }) => {
      const one = ours.find(({ out }) => out === path)
      const code = one && (await bundleOurs(one)).files.find((file) => file.path.endsWith('.js'))?.contents
      if (!code) throw new Error(`there is no bundle ${path}`)
      return { contents: code, loader: 'js' }
    })
  },
}

/** @type {esbuild.BuildOptions} */
const COMMON = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  platform: 'browser',
  target: 'chrome92', // the oldest browser that ours gives everything to
  define: { 'process.env.NODE_ENV': '"production"' },
  legalComments: 'none',
  logLevel: 'silent',
  plugins: [pristo],
}

/** @param {Size[]} sizes @returns {Size} */
const sum = (sizes) => sizes.reduce((a, b) => ({ raw: a.raw + b.raw, gzip: a.gzip + b.gzip, brotli: a.brotli + b.brotli }), { raw: 0, gzip: 0, brotli: 0 })

/**
 * What the page loads at once and what only later, by who imports whom and how.
 * @param {string} entry
 */
const weighPieces = async (entry) => {
  const { outputFiles = [], metafile } = await esbuild.build({ ...COMMON, entryPoints: [entry], format: 'esm', splitting: true, outdir: 'out', metafile: true, write: false })
  const outputs = metafile?.outputs ?? {}
  const first = new Set()
  const reach = (/** @type {string} */ path) => {
    if (first.has(path)) return
    first.add(path)
    for (const { path: next, kind } of outputs[path]?.imports ?? []) if (kind === 'import-statement' && outputs[next]) reach(next)
  }
  for (const [path, { entryPoint }] of Object.entries(outputs)) if (entryPoint === entry) reach(path)
  const sizes = outputFiles.map(({ path, contents }) => ({ isFirst: [...first].some((one) => path.endsWith(`/${one}`)), size: weigh(contents) }))
  const those = (/** @type {boolean} */ wanted) => sum(sizes.filter(({ isFirst }) => isFirst === wanted).map(({ size }) => size))
  return { first: those(true), later: those(false) }
}

/**
 * @param {string} id
 * @returns {Promise<Bundle>}
 */
const makeBundle = async (id) => {
  const entry = `peers/${id}.js`
  const [script, pieces] = await Promise.all([esbuild.build({ ...COMMON, entryPoints: [entry], format: 'iife', write: false }), weighPieces(entry)])
  return { code: script.outputFiles[0]?.text ?? '', ...pieces }
}

/**
 * Bundles, also written as `<id>.js` into a folder, whence the server serves them.
 * @param {readonly { id: string }[]} peers
 * @param {string} folder
 * @returns {Promise<Record<string, Bundle>>} by id
 */
export const makeBundles = async (peers, folder) => {
  mkdirSync(folder, { recursive: true })
  /** @type {Record<string, Bundle>} */
  const made = {}
  for (const { id } of peers) {
    const bundle = await makeBundle(id)
    writeFileSync(join(folder, `${id}.js`), bundle.code)
    made[id] = bundle
  }
  return made
}
