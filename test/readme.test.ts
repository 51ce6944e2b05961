// @vitest-environment node
/** What the README shows runs, and what it says of numbers and files is so. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as esbuild from 'esbuild'
import { expect, it, onTestFinished, vi } from 'vitest'
import { bundles } from '../build.mjs'
import { MAX_EVENTS } from '../src/contract.ts'
import { FULL_BYTES } from '../src/holding.ts'
import type { Relay, RelayOptions } from '../src/relay/index.ts'
import { DEFAULT_RATES } from '../src/relay/rate.ts'
import { tag } from '../src/relay/tag.ts'
import { putHeadlines, renderFiles, type Figures } from './bench/report.mjs'
import { KEY, POPULATION } from './relay/harness.ts'
import { startPristoApi } from './support/pristo-api.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')

/** The code block whose fence carries this word. */
const block = (word: string): string => {
  const code = new RegExp('^```\\w+ ' + word + '\\n([^]*?)^```', 'm').exec(readme)?.[1]
  if (!code) throw new Error(`README has no block called ${word}`)
  return code
}

/** Runs a block as a module of its own, with the package's source for the package. */
const load = async (word: string, folder = mkdtempSync(join(tmpdir(), 'pristo-readme-'))): Promise<Record<string, unknown>> => {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: block(word), resolveDir: root, loader: 'js' },
    alias: {
      'pristo/relay/front': join(root, 'src/relay/front.ts'),
      'pristo/relay/spool': join(root, 'src/relay/spool.ts'),
      'pristo/relay/tag': join(root, 'src/relay/tag.ts'),
      'pristo/relay': join(root, 'src/relay/index.ts'),
    },
    define: { PRISTO_TAG: JSON.stringify(tag) },
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['@photostructure/sqlite', '@redis/client'],
    write: false,
  })
  const path = join(folder, `${word}.mjs`)
  writeFileSync(path, outputFiles[0]?.text ?? '')
  return import(/* @vite-ignore */ pathToFileURL(path).href)
}

const startApi = async () => {
  const api = await startPristoApi()
  onTestFinished(() => api.close())
  return api
}

const post = (id: string, headers: Record<string, string> = {}, token?: unknown): Request =>
  new Request('https://shop.example/pristo', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin', ...headers },
    body: JSON.stringify({
      v: 1,
      sentAt: new Date().toISOString(),
      token,
      events: [{ id: '01a20b0b-0b3f-7000-8000-bf1706469285', type: 'signup', occurredAt: new Date().toISOString(), contact: { id, email: 'a@b.co' } }],
    }),
  })

it('shows its first code by line 12', () => {
  expect(readme.split('\n').findIndex((line) => line.startsWith('```'))).toBeLessThan(12)
})

it('has the package installed before its command is called, as npx takes any package of that name for it', () => {
  const [install, call] = [readme.indexOf('npm install pristo '), readme.indexOf('npx pristo-relay')]
  expect(install).toBeGreaterThan(0)
  expect(call).toBeGreaterThan(install)
})

it('shows a relay in five lines that starts from the environment', async () => {
  const api = await startApi()
  process.env['PRISTO_API_KEY'] = api.apiKey
  process.env['PRISTO_POPULATION_ID'] = api.populationId
  onTestFinished(() => {
    delete process.env['PRISTO_API_KEY']
    delete process.env['PRISTO_POPULATION_ID']
  })
  const { relay } = await load('relay')
  // A request that is refused before the API is asked: this relay talks to the real one.
  const answer = await (relay as Relay)(new Request('https://shop.example/pristo'))
  expect(answer.status).toBe(405)
  expect(block('relay').trim().split('\n').length).toBeLessThanOrEqual(6)
})

it('shows an identity that the session decides', async () => {
  const api = await startApi()
  const { relayFor } = await load('resolve')
  const settings: Omit<RelayOptions, 'identity'> = { apiKey: api.apiKey, populationId: api.populationId, baseUrl: api.url }
  const sessionOf = (cookie: string | null): unknown => (cookie === 'sid=1' ? { id: 'u_42', email: 'a@b.co' } : null)
  const relay: Relay = (relayFor as (...given: unknown[]) => Relay)(settings, sessionOf)
  expect((await relay(post('u_42'))).status).toBe(401)
  expect(await (await relay(post('u_7', { Cookie: 'sid=1' }))).json()).toMatchObject({ results: [{ code: 'contact_mismatch' }] })
  expect(await (await relay(post('u_42', { Cookie: 'sid=1' }))).json()).toMatchObject({ results: [{ outcome: 'stored' }] })
  expect(api.contacts()).toEqual([{ id: 'u_42', email: 'a@b.co' }])
})

it('shows an identity that the backend signs', async () => {
  const api = await startApi()
  const { relayFor, tokenFor } = await load('token')
  const settings: Omit<RelayOptions, 'identity'> = { apiKey: api.apiKey, populationId: api.populationId, baseUrl: api.url }
  const secret = randomBytes(32).toString('base64')
  const relay: Relay = (relayFor as (...given: unknown[]) => Relay)(settings, secret)
  const token = await (tokenFor as (...given: unknown[]) => Promise<string>)({ id: 'u_42', email: 'signed@b.co' }, secret)
  expect(await (await relay(post('u_42'))).json()).toMatchObject({ error: { code: 'token_missing' } })
  expect(await (await relay(post('u_7', {}, token))).json()).toMatchObject({ results: [{ code: 'contact_mismatch' }] })
  expect(await (await relay(post('u_42', {}, token))).json()).toMatchObject({ results: [{ outcome: 'stored' }] })
  expect(api.contacts()).toEqual([{ id: 'u_42', email: 'signed@b.co' }])
})

it('shows how the relay is mounted by lines of the templates', () => {
  const rows = [...readme.matchAll(/^\| .* \| `(.*)` \| \[.*?\]\((demo\/relays\/.*?)\)/gm)]
  expect(rows.length).toBe(7)
  for (const [, line = '', template = ''] of rows) expect(readFileSync(join(root, template), 'utf8')).toContain(line)
})

it('the relay with a spool answers 202 and delivers', async () => {
  const folder = mkdtempSync(join(root, 'node_modules/.readme-spool-')) // the block finds its library from here
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const api = await startApi()
  const { startRelay } = (await load('spool', folder)) as {
    startRelay(options: RelayOptions, place: string): Promise<{ relay: Relay; close(): Promise<void> }>
  }
  const options = { apiKey: api.apiKey, populationId: api.populationId, baseUrl: api.url, identity: 'page' } as const
  const { relay, close } = await startRelay(options, `sqlite:${join(folder, 'spool.db')}`)
  expect((await relay(post('u_42'))).status).toBe(202)
  await vi.waitFor(() => expect(api.events()).toHaveLength(1), { timeout: 5_000 })
  await close()
})

it('shows limiters of the site’s own', async () => {
  const api = await startApi()
  const { relayFor } = await load('limiter')
  const settings: RelayOptions = { apiKey: api.apiKey, populationId: api.populationId, baseUrl: api.url, identity: 'page' }
  const keys: unknown[] = []
  const binding = { limit: ({ key }: { key: string }) => Promise.resolve({ success: keys.push(key) < 4 }) }
  const upstash = { limit: (key: string) => Promise.resolve({ success: keys.push(key) < 3, reset: Date.now() + 5_000 }) }
  const relay: Relay = (relayFor as (...given: unknown[]) => Relay)(settings, binding, upstash)
  const answers = []
  for (let n = 0; n < 3; n++) answers.push(await relay(post('u_42'), { address: '198.51.100.1' }))
  expect(answers.map(({ status }) => status)).toEqual([200, 503, 429])
  expect([keys[0] === keys[2], keys[1] === keys[3], keys[0] === keys[1]]).toEqual([true, true, false])
  expect(keys.every((key) => typeof key === 'string')).toBe(true)
})

it('shows a Worker in front of a site, which is the template too', async () => {
  const { default: worker } = (await load('front')) as { default: { fetch(request: Request, env: object, context: object): Promise<Response> } }
  const env = { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: POPULATION }
  const get = (path: string) => worker.fetch(new Request(`https://shop.example${path}`), env, {})
  expect(await (await get('/pristo.js')).text()).toBe(tag.text)
  expect((await get('/pristo')).status).toBe(405)
  const template = readFileSync(join(root, 'demo/relays/worker-front.mjs'), 'utf8')
  expect(template).toContain(block('front').replace(/ \/\/ .*/, ''))
})

it('names the limits that the code has', () => {
  const spaced = (n: number): string => String(n).replace(/\B(?=\d{3}$)/, ' ')
  for (const [name, out] of [['the whole tag is', 'dist/pristo.js'], ['`pristo.slim.js`,', 'dist/pristo.slim.js']])
    expect(readme).toContain(`${name} under ${spaced(Number(bundles.find((one) => one.out === out)?.limit))} bytes`)
  expect(readme).toContain(`${MAX_EVENTS} events`)
  expect(readme).toContain(`${spaced(FULL_BYTES)} bytes go at once`)
  for (const [kind, { requests }] of Object.entries(DEFAULT_RATES)) expect(readme).toMatch(RegExp(`\\| \`${kind}\` \\|.*\\| ${spaced(requests)} a minute \\|`))
  expect(Object.values(DEFAULT_RATES).map(({ perS }) => perS)).toEqual([60, 60, 60])
})

it('has every room of src on its map, and no other', () => {
  const map = /## Map\n\n```([^]*?)```/.exec(readme)?.[1] ?? ''
  const named = [...map.matchAll(/([\w-]+\.ts)\b/g)].map(([, file]) => file)
  const rooms = readdirSync(join(root, 'src')).filter((file) => file.endsWith('.ts'))
  for (const room of rooms) expect(named).toContain(room)
  for (const file of named) expect(existsSync(join(root, 'src', `${file}`)) || existsSync(join(root, 'src/relay', `${file}`)) || existsSync(join(root, 'src/auto', `${file}`)) || file === 'test.ts').toBe(true)
})

it('shows the headlines and the charts of the last benchmark, and the report is of those figures', () => {
  const folder = join(root, 'test/bench/report')
  const figures: Figures = JSON.parse(readFileSync(join(folder, 'figures.json'), 'utf8'))
  expect(readme).toBe(putHeadlines(readme, figures))
  expect(readme).toContain('<!-- npm run bench -->')
  for (const [name, text] of Object.entries(renderFiles(figures))) expect(readFileSync(join(folder, name), 'utf8'), name).toBe(text)
  for (const [, chart = ''] of readme.matchAll(/\]\((test\/bench\/report\/.*?)\)/g)) expect(existsSync(join(root, chart)), chart).toBe(true)
})
