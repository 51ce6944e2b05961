// @ts-check
/**
 * What is packed can be installed where nothing else is, and run: `node test/install/run.mjs`. Builds where nothing is built.
 * Invariant: the package is used as npm and the Dockerfile use it, never from the source; the last line is `N passed, N failed`.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as esbuild from 'esbuild'
import { rehearse } from './dockerfile.mjs'

process.chdir(fileURLToPath(new URL('../..', import.meta.url)))
const folder = mkdtempSync(join(tmpdir(), 'pristo-install-'))
const manifest = JSON.parse(readFileSync('package.json', 'utf8'))
if (!existsSync('dist/relay/cli.js')) execFileSync(process.execPath, ['build.mjs'], { stdio: 'inherit' })

/** Starts the stand-in for the API. */
const startApi = async () => {
  const outfile = join(folder, 'api.mjs')
  await esbuild.build({ entryPoints: ['test/support/pristo-api.ts'], bundle: true, format: 'esm', platform: 'node', outfile })
  /** @type {typeof import('../support/pristo-api.ts')} */
  const { startPristoApi } = await import(pathToFileURL(outfile).href)
  return startPristoApi()
}

/**
 * A service that was started; `where` is its line `listening`.
 * @param {string[]} words
 * @param {{ cwd: string, env: Record<string, string | undefined> }} options
 */
const start = async ([file = '', ...args], options) => {
  // A group of its own: npx has the relay as a grandchild.
  const child = spawn(file, args, { ...options, detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve) => child.on('close', resolve))
  let out = ''
  /** @type {Promise<{ url: string, admin: string }>} */
  const listening = new Promise((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      out += chunk
      const line = out.split('\n').find((line) => line.includes('"listening"') && line.endsWith('}'))
      if (line) resolve(JSON.parse(line))
    })
    child.on('close', () => reject(new Error(`it ended before it listened: ${out}`)))
    child.on('error', reject)
  })
  return { where: await listening, stop: (/** @type {NodeJS.Signals} */ signal) => process.kill(-Number(child.pid), signal), ended }
}

/** @param {string} url @param {string} id */
const post = async (url, id) => {
  const now = new Date().toISOString()
  const event = { id, type: 'signup', occurredAt: now, contact: { id: 'u_42', email: 'a@b.co' } }
  const headers = { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin' }
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ v: 1, sentAt: now, events: [event] }) })
  return response.status
}

const api = await startApi()
/** The least that a relay needs, and places that are free; not what this process has around it. */
const env = {
  PATH: process.env['PATH'],
  HOME: folder,
  PRISTO_API_KEY: api.apiKey,
  PRISTO_POPULATION_ID: api.populationId,
  PRISTO_BASE_URL: api.url,
  PORT: '0',
  HOST: '127.0.0.1',
  PRISTO_ADMIN_PORT: '0',
  PRISTO_ADMIN_HOST: '127.0.0.1',
}

/** Its path is one of this machine, not of the stage's folder. */
const MAKE_VOLUME = 'mkdir /var/lib/pristo && chown node /var/lib/pristo'

/**
 * A Node that has SQLite, out of the registry where this one has none: beside the project, since a package with a bin of this name would
 * take the place of `node` in every script of it.
 */
const provideModernNode = () => {
  if (isBuiltin('node:sqlite')) return process.execPath
  execFileSync('npm', ['install', '--prefix', join(folder, 'node'), '--ignore-scripts', '--no-audit', '--no-fund', '--silent', `node-${process.platform}-${process.arch}@22.23.3`])
  return join(folder, `node/node_modules/node-${process.platform}-${process.arch}/bin/node`)
}

/** The steps of the Dockerfile; what `npm test` has done already is not done again. */
const image = rehearse({
  file: 'demo/relays/Dockerfile',
  folder: mkdtempSync(join(folder, 'stages-')),
  copyContext: (target) =>
    [...manifest.files, 'package.json', 'README.md', 'LICENSE'].forEach((name) => cpSync(name, join(target, name), { recursive: true })),
  instead: { [MAKE_VOLUME]: 'true', 'npm ci --no-audit --no-fund': 'true', 'npm pack': 'npm pack --ignore-scripts --prefer-offline' },
})

/**
 * What a strict compiler says of a project that imports these subpaths, and has only what the package brings.
 * @param {string[]} subpaths
 * @param {string[]} types packages of declarations besides, by their names below `@types`
 */
const compile = (subpaths, types) => {
  const project = mkdtempSync(join(folder, 'types-'))
  symlinkSync(join(image.cwd, 'node_modules'), join(project, 'node_modules'))
  writeFileSync(join(project, 'all.mts'), subpaths.map((path, n) => `export * as n${n} from 'pristo${path.slice(1)}'\n`).join(''))
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    module: 'nodenext',
    target: 'es2022',
    lib: ['es2023', 'dom'],
    types,
    typeRoots: [join(process.cwd(), 'node_modules/@types')],
    noEmit: true,
  }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['all.mts'] }))
  return spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', project], { encoding: 'utf8' }).stdout
}

/** @type {Record<string, () => Promise<void> | void>} */
const tests = {
  'an empty folder has everything after an install of the packed file, and nothing for development': () => {
    const packages = readdirSync(join(image.root, 'relay/node_modules')).filter((name) => !name.startsWith('.'))
    for (const name of ['pristo', ...Object.keys(manifest.dependencies)]) assert(packages.includes(name), `${name} is missing`)
    for (const name of Object.keys(manifest.devDependencies)) assert(!packages.includes(name), `${name} is there`)
    assert.deepEqual(readdirSync(image.root), ['relay'])
    assert.deepEqual(readdirSync(join(image.root, 'relay')), ['node_modules'])
  },
  'the types of every subpath hold in a strict project that has nothing else, and need those of Node only where Node is': () => {
    const subpaths = Object.keys(manifest.exports).filter((path) => path !== './package.json')
    assert.equal(compile(subpaths, ['node']), '')
    assert.equal(compile(subpaths.filter((path) => !/\/(node|express)$/.test(path)), []), '')
  },
  'the licence of each package whose code is inside ours comes with it': () => {
    const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'))
    const licences = readFileSync(join(image.cwd, 'node_modules/pristo/dist/LICENSES.txt'), 'utf8')
    const maps = ['index.js', 'relay/index.js', 'relay/node.js', 'relay/spool.js', 'relay/cli.js'].map((name) => readFileSync(`dist/${name}.map`, 'utf8'))
    const names = Object.keys(packages).flatMap((path) => (maps.some((map) => map.includes(`/${path}/`)) ? [path.replace('node_modules/', '')] : []))
    assert(names.includes('zod') && names.includes('idb-keyval'))
    for (const name of names) assert.match(licences, RegExp(`^${name}\n`, 'm'))
  },
  'npx finds the command, and what it serves delivers an event': async () => {
    assert.equal(execFileSync('npx', ['pristo-relay', '--version'], { cwd: image.cwd, env, encoding: 'utf8' }).trim(), manifest.version)
    const { where, stop, ended } = await start(['npx', 'pristo-relay', 'serve'], { cwd: image.cwd, env })
    assert.equal(await post(where.url, '01a20b0b-0b3f-7000-8000-bf1706469285'), 200)
    assert.equal((await fetch(`${where.url}.js`)).status, 200)
    stop('SIGTERM')
    await ended
    assert.equal(api.events().length, 1)
  },
  'the image serves, is healthy while it does, and ends with 0 at its stop signal': async () => {
    const { where, stop, ended } = await start([...image.entrypoint, ...image.cmd], { cwd: image.cwd, env: { ...image.env, ...env } })
    const [file = '', ...args] = image.healthcheck
    const check = (/** @type {string} */ port) =>
      new Promise((resolve) =>
        spawn(file, args, { cwd: image.cwd, env: { ...image.env, ...env, PRISTO_ADMIN_PORT: port }, stdio: 'ignore' }).on('close', resolve),
      )
    assert.equal(await check(new URL(where.admin).port), 0)
    assert.equal(await check(new URL(where.url).port), 1)
    assert.equal(await post(where.url, '01a20b0b-0b3f-7000-8000-bf1706469286'), 200)
    stop(/** @type {NodeJS.Signals} */ (image.stopSignal))
    assert.equal(await ended, 0)
  },
  'with PRISTO_SPOOL events are kept on disk by a Node that has SQLite, with nothing else installed; one that has none says what to install': async () => {
    const spool = { ...env, PRISTO_SPOOL: `sqlite:${join(folder, 'spool.db')}` }
    const command = join(image.cwd, 'node_modules/pristo/dist/relay/cli.js')
    const modern = provideModernNode()
    if (modern !== process.execPath) {
      const { status, stderr } = spawnSync(process.execPath, [command, 'serve'], { cwd: image.cwd, env: spool, encoding: 'utf8' })
      assert.deepEqual([status, stderr.includes('npm install @photostructure/sqlite')], [1, true])
    }
    const before = api.events().length
    const { where, stop, ended } = await start([modern, command, 'serve'], { cwd: image.cwd, env: spool })
    assert.equal(await post(where.url, '01a20b0b-0b3f-7000-8000-bf1706469287'), 202)
    while (api.events().length === before) await new Promise((resolve) => setTimeout(resolve, 50))
    stop('SIGTERM')
    assert.equal(await ended, 0)
  },
  'the image is no root, and names the ports that the command has by default': () => {
    assert.equal(image.user, 'node')
    assert(MAKE_VOLUME.endsWith(` ${image.volume}`), image.volume)
    const help = execFileSync(join(image.cwd, image.entrypoint[0] ?? ''), ['serve', '--help'], { env, encoding: 'utf8' })
    const ports = [...help.matchAll(/^  (?:PORT|PRISTO_ADMIN_PORT) .*\(default: (\d+)\)$/gm)].map(([, port]) => port)
    assert.deepEqual(image.expose, ports)
    assert.deepEqual(
      Object.keys(image.env).filter((name) => !help.includes(`  ${name} `)),
      ['NODE_ENV'],
    )
  },
  'the image is built on a Node that the package allows': () => {
    const [, major = ''] = /^node:(\d+)-slim$/.exec(image.from) ?? []
    assert(Number(major) >= Number(manifest.engines.node.match(/\d+/)[0]), image.from)
  },
  'dist/relay/node.js serves as it did before there was a command': async () => {
    const child = spawn(process.execPath, ['node_modules/pristo/dist/relay/node.js'], { cwd: image.cwd, env, stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = await Promise.race([
      new Promise((resolve) => child.stdout.once('data', (chunk) => resolve([String(chunk)]))),
      new Promise((resolve) => child.once('close', () => resolve(['']))),
    ])
    child.kill('SIGTERM')
    assert.match(line, /^\[pristo\] relay at http:/)
  },
}

const counts = { passed: 0, failed: 0 }
for (const [title, test] of Object.entries(tests)) {
  try {
    await test()
    counts.passed++
    console.log(`✓ ${title}`)
  } catch (error) {
    counts.failed++
    console.log(`✗ ${title}\n${error instanceof Error ? error.stack : error}`)
  }
}
await api.close()
rmSync(folder, { recursive: true, force: true })
process.exitCode = counts.failed ? 1 : 0
console.log(`${counts.passed} passed, ${counts.failed} failed`)
