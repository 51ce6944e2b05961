/**
 * The files of the demo.
 * Invariant: only what stands in this table leaves the disk, and no page may run a script that is not the site's own.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

// The bundle of the server lies in dist/demo/.
const ROOT = new URL('../../', import.meta.url)

const FILES: Record<string, string> = {
  '/': 'demo/index.html',
  '/thanks': 'demo/thanks.html',
  '/spa': 'demo/spa.html',
  '/shop.css': 'demo/shop.css',
  '/shop.js': 'demo/shop.js',
  '/page.js': 'demo/page.js',
  '/spa.js': 'demo/spa.js',
  '/panel.js': 'demo/panel.js',
  '/pristo.js': 'dist/pristo.js',
  '/pristo.js.map': 'dist/pristo.js.map',
  '/pristo.mjs': 'dist/index.js',
  '/index.js.map': 'dist/index.js.map',
  '/auto.mjs': 'dist/auto.js',
  '/auto.js.map': 'dist/auto.js.map',
}

const TYPES: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  map: 'application/json',
}

/** The file of a path; each path below `/spa/` is the single-page app. 404 for all else. */
export async function serveFile(path: string): Promise<Response> {
  const file = FILES[path.startsWith('/spa/') ? '/spa' : path]
  if (!file) return new Response('Not found', { status: 404 })
  const text = await readFile(new URL(file, ROOT), 'utf8')
  return new Response(text, {
    headers: {
      'content-type': TYPES[file.split('.').pop() ?? ''] ?? 'text/plain',
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      ...(file.endsWith('.html') && { 'content-security-policy': policyOf(text) }),
    },
  })
}

// As strict as a site may be: the one inline script, the documented stub, is allowed by its hash.
const policyOf = (html: string): string => {
  const hashes = [...html.matchAll(/<script>([^]*?)<\/script>/g)].map(
    ([, code = '']) => `'sha256-${createHash('sha256').update(code).digest('base64')}'`,
  )
  return [
    "default-src 'none'",
    `script-src 'self' ${hashes.join(' ')}`,
    "style-src 'self'",
    'img-src data:',
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}
