// @vitest-environment node
/** The ES module where there is no browser: importing it does nothing, and every method is a no-op. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { bundle, bundles } from '../build.mjs'
import { tag } from '../src/relay/tag.ts'
import { startWorkerd } from './support/workerd.ts'

/** Calls everything, with an event whose sending would show; what came back, and what leaked into the globals. */
const CALLS = `
  const before = new Set(Object.getOwnPropertyNames(globalThis))
  const run = async (createPristo) => {
    const pristo = createPristo({ endpoint: 'http://127.0.0.1:9/pristo', consent: 'granted', debug: true, beforeSend: (event) => event })
    pristo.identify({ id: 'u_42', email: 'a@b.co' })
    const id = pristo.track('signup')
    pristo.consent('denied')
    pristo.reset()
    pristo.on('delivered', () => {})()
    const flushed = await pristo.flush()
    pristo.close()
    return { id: typeof id, flushed, added: Object.getOwnPropertyNames(globalThis).filter((name) => !before.has(name)) }
  }
`
const NOTHING = { id: 'undefined', flushed: { delivered: 0, rejected: 0, pending: 0 }, added: [] }

const runtimes = [
  ['Node', process.execPath, []],
  ['Deno', 'node_modules/@deno/linux-x64-glibc/deno', ['run', '--no-prompt', '--quiet', '--allow-read']],
  ['Bun', 'node_modules/@oven/bun-linux-x64/bin/bun', ['run']],
] as const

let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pristo-anywhere-'))
  const one = bundles.find(({ out }) => out === 'dist/index.js')
  const code = one && (await bundle(one)).files.find(({ path }) => path.endsWith('.js'))?.contents
  writeFileSync(join(folder, 'index.mjs'), code ?? '')
  writeFileSync(join(folder, 'main.mjs'), `import { createPristo } from './index.mjs'; ${CALLS}; console.log(JSON.stringify(await run(createPristo)))`)
  // Workers of Deno and Bun have a browser's globals, in part.
  writeFileSync(join(folder, 'worker.mjs'), `import { createPristo } from './index.mjs'; ${CALLS}; self.onmessage = async () => postMessage(await run(createPristo))`)
  writeFileSync(
    join(folder, 'parent.mjs'),
    `const worker = new Worker(new URL('./worker.mjs', import.meta.url), { type: 'module' }); worker.onmessage = ({ data }) => (console.log(JSON.stringify(data)), worker.terminate()); worker.postMessage(0)`,
  )
}, 60_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const printed = async (file: string, args: readonly string[], entry: string): Promise<unknown> => {
  const { stdout, stderr } = await promisify(execFile)(file, [...args, join(folder, entry)], { timeout: 20_000 })
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}

describe('without a browser', () => {
  for (const [name, file, args] of runtimes) {
    it.skipIf(!existsSync(file))(`${name} imports it, and nothing happens`, async () => {
      expect(await printed(file, args, 'main.mjs')).toEqual(NOTHING)
    }, 30_000)
    if (name === 'Node') continue // whose workers have nothing of a browser's
    it.skipIf(!existsSync(file))(`a worker of ${name} imports it, and nothing happens`, async () => {
      expect(await printed(file, args, 'parent.mjs')).toEqual(NOTHING)
    }, 30_000)
  }

  it('workerd imports it, and nothing happens', async () => {
    const worker = await startWorkerd(`import { createPristo } from './src/index.ts'; ${CALLS}; export default { fetch: async () => Response.json(await run(createPristo)) }`, tag)
    onTestFinished(() => worker.close())
    expect(await (await fetch(worker.url)).json()).toEqual(NOTHING)
    expect(worker.logs()).toBe('')
  }, 60_000)
})
