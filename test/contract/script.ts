/**
 * The contract of the script: `GET` of the relay's path with `.js` behind it. The same for every door.
 * Invariant: what is compared is bytes, as they came over the wire, with the file that the build has made.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { tag } from '../../src/relay/tag.ts'
import { assertRefused, encode, makeEvent, send, type Case } from './cases.ts'
import type { Heard, Line } from './wire.ts'

/** The tag, as it was built for these doors. */
const BUILT = readFileSync('dist/pristo.js')

/** Every form that the build has made: its `Content-Encoding`, what it is asked for with, and its entity tag. */
const forms = [
  { coding: null, accepted: 'identity', etag: tag.etag },
  { coding: 'br', accepted: 'br, gzip', etag: tag.etag.replace(/"$/, '-br"') },
  { coding: 'gzip', accepted: 'gzip', etag: tag.etag.replace(/"$/, '-gzip"') },
]

const ask = (line: Line, headers: Record<string, string> = {}, method = 'GET'): Promise<Heard> => line.exchange({ tail: '.js', method, headers })

const decode = ({ headers, bytes }: Heard): Buffer => {
  const coding = headers.get('Content-Encoding')
  if (coding === 'br') return brotliDecompressSync(bytes)
  return coding === 'gzip' ? gunzipSync(bytes) : bytes
}

/** What a browser and a cache go by. Next varies by more of its own. */
const rulesOf = ({ headers }: Heard): unknown => [
  headers.get('Content-Type'),
  headers.get('Cache-Control'),
  /(^|, *)accept-encoding(,|$)/i.test(headers.get('Vary') ?? ''),
  headers.getSetCookie(),
]
const RULES = ['text/javascript; charset=utf-8', 'public, max-age=3600', true, []]

/** All that holds of the script at every door. */
export const scriptCases: readonly Case[] = [
  {
    title: 'the script is the built tag, byte for byte, with its type, caching and entity tag',
    run: async (site) => {
      for (const headers of [{}, { 'Accept-Encoding': 'identity' }]) {
        const heard = await ask(site, headers)
        assert.deepEqual([heard.status, heard.headers.get('Content-Encoding'), heard.headers.get('ETag')], [200, null, tag.etag])
        assert.ok(heard.bytes.equals(BUILT), 'other bytes came')
        assert.deepEqual(rulesOf(heard), RULES)
      }
    },
  },
  {
    title: 'who asks for the script as browsers do gets it compressed, and has the same bytes',
    run: async (site) => {
      for (const accepted of ['gzip, deflate, br, zstd', 'br, gzip', 'gzip']) {
        const heard = await ask(site, { 'Accept-Encoding': accepted })
        assert.ok(heard.bytes.length < BUILT.length / 2, `${heard.bytes.length} bytes came`)
        assert.ok(decode(heard).equals(BUILT), 'other bytes came')
        assert.deepEqual(rulesOf(heard), RULES)
      }
    },
  },
  {
    title: 'brotli and gzip come as they were built, each with an entity tag and a length of its own, to HEAD too',
    needs: 'encoding',
    run: async (site) => {
      for (const { coding, accepted, etag } of forms) {
        const full = await ask(site, { 'Accept-Encoding': accepted })
        assert.ok(decode(full).equals(BUILT), 'other bytes came')
        for (const heard of [full, await ask(site, { 'Accept-Encoding': accepted }, 'HEAD')]) {
          const told = ['Content-Encoding', 'ETag', 'Content-Length'].map((name) => heard.headers.get(name))
          assert.deepEqual(told, [coding, etag, String(full.bytes.length)])
        }
      }
    },
  },
  {
    title: 'the script is 304 where the client has this form of it, and comes where it has another',
    run: async (site) => {
      for (const { accepted } of forms) {
        const etag = (await ask(site, { 'Accept-Encoding': accepted })).headers.get('ETag') ?? ''
        const again = await ask(site, { 'Accept-Encoding': accepted, 'If-None-Match': etag })
        assert.deepEqual([again.status, again.bytes.length, again.headers.get('ETag')], [304, 0, etag])
        const other = await ask(site, { 'Accept-Encoding': accepted, 'If-None-Match': '"another"' })
        assert.equal(other.status, 200)
      }
    },
  },
  {
    title: 'HEAD of the script tells what GET would bring, and no byte of it',
    run: async (site) => {
      const head = await ask(site, {}, 'HEAD')
      assert.deepEqual([head.status, head.bytes.length, head.headers.get('ETag')], [200, 0, tag.etag])
      assert.deepEqual(rulesOf(head), RULES)
    },
  },
  {
    title: 'a batch that is sent to the script delivers nothing',
    run: async (site) => {
      const heard = await send(site, encode([makeEvent()]), { tail: '.js' })
      assertRefused(heard, 405, 'method', site.api)
      assert.equal(heard.headers.get('Allow'), 'GET, HEAD')
    },
  },
]
