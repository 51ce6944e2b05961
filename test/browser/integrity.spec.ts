/** A tag that is pinned by the hash that the build prints (subresource integrity) loads, and no other does. */
import { bundle, bundles, makeTag } from '../../build.mjs'
import { expect, poll, test } from './fixtures.ts'
import { html } from './pages.ts'

/** The hash of the script tag as the build makes it. */
const integrityOfTag = async (): Promise<string> => {
  const one = bundles.find(({ out }) => out === 'dist/pristo.js')
  const code = one && (await bundle(one)).files.find(({ path }) => path.endsWith('.js'))?.contents
  if (!code) throw new Error('the build makes no tag')
  return makeTag(code).integrity
}

const pinned = (integrity: string): string => html(`<script>
    window.pristo = { q: [['identify', { id: 'u_42', email: 'a@b.co' }], ['track', 'signup']] }
  </script>
  <script async src="/pristo.js" integrity="${integrity}" onload="window.came = 'loaded'" onerror="window.came = 'refused'"></script>`)

const came = (page: { evaluate<T>(work: () => T): Promise<T> }) => poll(() => page.evaluate((): unknown => Reflect.get(window, 'came')))

test('the hash that the build prints is that of the tag', async ({ site, open }) => {
  site.serve('/pinned', pinned(await integrityOfTag()))
  await came(await open('/pinned')).toBe('loaded')
  await poll(() => site.api.events()).toMatchObject([{ type: 'signup' }])
})

test('another hash keeps the tag out', async ({ site, open }) => {
  const integrity = await integrityOfTag()
  site.serve('/pinned', pinned(integrity.replace(/.$/, integrity.endsWith('A') ? 'B' : 'A')))
  await came(await open('/pinned')).toBe('refused')
  expect(site.asked()).toBe(0)
})
