// @vitest-environment node
// In workerd, with a real site behind it.
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { brotliCompressSync, constants, createGzip, gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSiteFront } from '../../src/relay/front.ts'
import { tag } from '../../src/relay/tag.ts'
import { startOrigin, type Origin } from '../support/origin.ts'
import { startWorkerd, type Workerd } from '../support/workerd.ts'
import { until } from './harness.ts'

/** One Worker with several fronts; a request chooses by a header. */
const WORKER = `
  import { createSiteFront } from 'pristo/relay/front'
  import { tag } from 'pristo/relay/tag'
  const relay = async (request, context) => Response.json({ relay: request.method, waits: typeof context.waitUntil })
  /** A page that comes in two pieces. */
  const inTwo = async (request) => {
    const { searchParams } = new URL(request.url)
    const page = new TextEncoder().encode(searchParams.get('page'))
    const at = Number(searchParams.get('at'))
    const body = new ReadableStream({
      start(controller) {
        for (const piece of [page.subarray(0, at), page.subarray(at)]) if (piece.length) controller.enqueue(piece)
        controller.close()
      },
    })
    return new Response(body, { headers: { 'Content-Type': 'text/html' } })
  }
  const fronts = {
    inject: createSiteFront({ relay, tag, inject: true }),
    plain: createSiteFront({ relay, tag }),
    tagless: createSiteFront({ relay, path: '/a/b', inject: { attributes: { id: 'p"<&', 'data-x': '1' } } }),
    inTwo: createSiteFront({ relay, tag, inject: true, origin: inTwo }),
  }
  export default { fetch: (request, env, context) => fronts[request.headers.get('X-Front') ?? 'inject'](request, context) }`

const TAG = '<script async src="/pristo.js" data-endpoint="/pristo"></script>'

let site: Origin
let worker: Workerd
beforeAll(async () => {
  site = await startOrigin()
  worker = await startWorkerd(WORKER, tag, { outboundService: { external: { address: site.address, http: {} } } })
})
afterAll(() => Promise.all([site.close(), worker.close()]))

interface Got {
  status: number
  headers: IncomingHttpHeaders
  bytes: Buffer
  text: string
}

interface Asked {
  method?: string
  headers?: Record<string, string>
  body?: string
}

const open = (path: string, { method = 'GET', headers = {}, body }: Asked = {}): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const navigation = { Accept: 'text/html,*/*', 'Sec-Fetch-Dest': 'document' }
    httpRequest(worker.directUrl + path, { agent: false, method, headers: { ...navigation, ...headers } }, resolve)
      .on('error', reject)
      .end(body)
  })

/** As a browser that navigates, byte for byte. */
const get = async (path: string, asked?: Asked): Promise<Got> => {
  const response = await open(path, asked)
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  return { status: response.statusCode ?? 0, headers: response.headers, bytes, text: bytes.toString() }
}

/** What becomes of a page. */
const rewrite = async (page: string | Buffer, headers: Record<string, string> = {}, asked?: Asked): Promise<Got> => {
  site.serve('/page', page, headers)
  return get('/page', asked)
}

describe('a Worker in front of a site', () => {
  it('answers the relay and the tag itself, and asks the site for neither', async () => {
    const before = site.visits().length
    for (const path of ['/pristo', '/pristo/', '/pristo?x']) {
      expect(JSON.parse((await get(path, { method: 'POST', body: '{}' })).text)).toEqual({ relay: 'POST', waits: 'function' })
    }
    const script = await get('/pristo.js', { headers: { 'Accept-Encoding': 'gzip' } })
    expect([script.status, gunzipSync(script.bytes).toString()]).toEqual([200, tag.text])
    expect((await get('/pristo.js', { method: 'PUT' })).status).toBe(405)
    expect(site.visits().length).toBe(before)
  })

  it('passes everything else: method, headers and body there, status, headers and body back', async () => {
    site.serve('/form', (response) => response.writeHead(303, { Location: '/done', 'Set-Cookie': ['a=1', 'b=2'] }).end('see there'))
    const got = await get('/form?q=1', { method: 'POST', headers: { Cookie: 'sid=1', 'X-Own': 'y' }, body: 'a=b' })
    expect(got).toMatchObject({ status: 303, text: 'see there', headers: { location: '/done', 'set-cookie': ['a=1', 'b=2'] } })
    expect(site.visits().at(-1)).toMatchObject({ method: 'POST', body: 'a=b', headers: { cookie: 'sid=1', 'x-own': 'y', host: new URL(worker.directUrl).host } })
    expect((await get('/pristo/x')).status).toBe(404)
    expect((await get('/pristox')).status).toBe(404)
  })

  it('leaves pages alone where it was not asked to put the tag in', async () => {
    site.serve('/page', '<head></head>', { ETag: '"x"', 'Accept-Ranges': 'bytes' })
    const got = await get('/page', { headers: { 'X-Front': 'plain', 'Accept-Encoding': 'zstd' } })
    expect(got).toMatchObject({ text: '<head></head>', headers: { etag: '"x"', 'accept-ranges': 'bytes', 'content-length': '13' } })
    expect(site.visits().at(-1)?.headers['accept-encoding']).toBe('zstd')
  })

  it('serves no script where it has no tag, and writes the attributes that it was given', async () => {
    site.serve('/a/b.js', "the site's own script", { 'Content-Type': 'text/javascript' })
    site.serve('/page', '<head></head>')
    const headers = { 'X-Front': 'tagless' }
    expect((await get('/a/b.js', { headers })).text).toBe("the site's own script")
    expect((await get('/page', { headers })).text).toBe(
      '<head><script async src="/a/b.js" data-endpoint="/a/b" id="p&quot;<&amp;" data-x="1"></script></head>',
    )
  })
})

describe('the tag is put into a page once', () => {
  // § is where.
  it.each([
    ['at the end of its head', '<!doctype html><html><head><meta charset="utf-8"><title>a</title>§</head><body><p>b</p></body></html>'],
    ['whose head comes twice', '<head><title>a</title><head><meta name="x">§</head><body></head><p>'],
    ['whose template has a head', '<head><template><head></head><body></template>§</head><body>'],
    ['with a head in a comment', '<!doctype html><!-- <head></head> --><title>a</title>§<body><p>b'],
    ["with a head in a script's text", '<!doctype html><script>"<head></head>"</script>§<body><p>'],
    ['with a head in a title', '<title><head></head></title>§<body>'],
    ['without a head', '<!doctype html><html>§<body class="x"><p>a'],
    ['without the end of its head', '<head><title>a</title>§<body><p>b'],
    ['without head and body', '<!doctype html><title>a</title><p>b§'],
    ['without any tag', 'a text§'],
    ['of frames', '<html>§<frameset><frame src="/a"></frameset></html>'],
    ['that names the script in a comment', '<head><!-- <script src="/pristo.js"></script> -->§</head>'],
    ['that has the script in a template', '<head><template><script src="/pristo.js"></script></template>§</head>'],
    ['that has another script', '<head><script src="/x/pristo.js"></script><script src="http://["></script>§</head>'],
  ])('%s', async (_, page) => {
    expect((await rewrite(page.replace('§', ''))).text).toBe(page.replace('§', TAG))
  })

  it.each([
    ['that has the script', '<head><script src="/pristo.js" data-endpoint="/pristo"></script></head><body>'],
    ['that has the script from another of its hosts', '<head><script async src="https://www.shop.example/pristo.js?v=1"></script></head><body>'],
    ['for AMP', '<!doctype html><html ⚡><head></head><body>'],
    ['that is empty', ''],
    ['whose head seems to end in a template', '<head><template></head></template><body>'],
  ])('but not into one %s', async (_, page) => {
    expect((await rewrite(page)).text).toBe(page)
  })

  it('but not into an answer without a byte, for which a browser has a page of its own', async () => {
    site.serve('/page', (response) => response.writeHead(500, { 'Content-Type': 'text/html' }).end())
    expect(await get('/page')).toMatchObject({ status: 500, text: '' })
  })

  it('wherever its pieces break', async () => {
    const page = '<!doctype html><title>é</title><head></head><!-- x --><body id="b">ü<p><script>"<p>"</script> &amp; x <im'
    const last = Buffer.byteLength(page)
    for (let at = 0; at <= last; at++) {
      const { text } = await get(`/?at=${at}&page=${encodeURIComponent(page)}`, { headers: { 'X-Front': 'inTwo' } })
      expect([at, text]).toEqual([at, page.replace('</head>', `${TAG}</head>`)])
    }
  })

  it('whose addresses are relative to another host by that page\'s own', async () => {
    const { text } = await rewrite('<head><base href="https://cdn.example/"></head>')
    const own = new URL(worker.directUrl).origin
    expect(text).toContain(`<script async src="${own}/pristo.js" data-endpoint="${own}/pristo"></script></head>`)
  })

  it('and changes no byte of any other encoding', async () => {
    const page = (tagged: string): Buffer => Buffer.concat([Buffer.from('<head><title>'), Buffer.from([0xcf, 0xf0, 0xff, 0x80]), Buffer.from(`</title>${tagged}</head>`)])
    for (const type of ['text/html', 'text/html; charset=windows-1251', 'TEXT/HTML;charset="utf-8"']) {
      const got = await rewrite(page(''), { 'Content-Type': type })
      expect([got.bytes, got.headers['content-type']]).toEqual([page(TAG), type])
    }
  })
})

describe('what is no page stays as it is', () => {
  const page = '<!doctype html><head></head>'
  it.each<[string, Record<string, string>]>([
    ['JSON', { 'Content-Type': 'application/json' }],
    ['XHTML', { 'Content-Type': 'application/xhtml+xml' }],
    ['a type that only begins alike', { 'Content-Type': 'text/html5' }],
    ['a download', { 'Content-Disposition': 'attachment; filename="a.html"' }],
    ['what must not be transformed', { 'Cache-Control': 'public, no-transform' }],
    ['what nobody can decode', { 'Content-Encoding': 'zstd' }],
    ['UTF-16', { 'Content-Type': 'text/html; charset=utf-16' }],
    ['an unknown character set', { 'Content-Type': 'text/html; charset=klingon' }],
  ])('%s', async (_, headers) => {
    const got = await rewrite(page, { ...headers, ETag: '"x"', 'Accept-Ranges': 'bytes' })
    expect(got).toMatchObject({ status: 200, text: page, headers: { etag: '"x"', 'accept-ranges': 'bytes', 'content-length': String(page.length) } })
  })

  it.each([206, 304, 204])('an answer of status %i', async (status) => {
    site.serve('/page', (response) => response.writeHead(status, { 'Content-Type': 'text/html', ETag: '"x"' }).end(status === 206 ? page : undefined))
    expect(await get('/page')).toMatchObject({ status, text: status === 206 ? page : '', headers: { etag: '"x"' } })
  })

  it('but that a 304 names the entity tag that was given out', async () => {
    site.serve('/page', (response) => response.writeHead(304, { ETag: '"x"' }).end())
    expect((await get('/page', { headers: { 'If-None-Match': '"y", W/"x"' } })).headers.etag).toBe('W/"x"')
    expect(site.visits().at(-1)?.headers['if-none-match']).toBe('"y", W/"x"')
    expect((await get('/page', { headers: { 'If-None-Match': '"x"' } })).headers.etag).toBe('"x"')
  })

  it('the answer to HEAD, and to POST', async () => {
    expect(await rewrite(page, { ETag: '"x"' }, { method: 'POST' })).toMatchObject({ text: page, headers: { etag: '"x"' } })
    expect(await rewrite(page, { ETag: '"x"' }, { method: 'HEAD' })).toMatchObject({ text: '', headers: { etag: '"x"', 'content-length': String(page.length) } })
  })

  it("a piece of a page, fetched by the page's own script; a whole page fetched so has the tag", async () => {
    const headers = { 'Sec-Fetch-Dest': 'empty' }
    expect((await rewrite('<tr><td>1</td></tr>', {}, { headers })).text).toBe('<tr><td>1</td></tr>')
    for (const whole of [page, '<!doctype html><p>', '<html><p>', '<head></head>']) expect((await rewrite(whole, {}, { headers })).text).toContain(TAG)
  })

  it('the same for browsers that do not say what they want it for: a page is what they take HTML for', async () => {
    site.serve('/page', 'a text')
    const ask = async (Accept: string): Promise<string> => (await fetch(`${worker.directUrl}/page`, { headers: { Accept } })).text()
    expect(await ask('text/html,application/xhtml+xml,*/*;q=0.8')).toBe(`a text${TAG}`)
    expect(await ask('*/*')).toBe('a text')
  })
})

describe('what is a page', () => {
  it.each([200, 302, 404, 500])('also one of status %i', async (status) => {
    site.serve('/page', (response) => response.writeHead(status, { 'Content-Type': 'text/html' }).end('<head></head>'))
    expect(await get('/page')).toMatchObject({ status, text: `<head>${TAG}</head>` })
  })

  it('says of itself only what still holds', async () => {
    const stale = { 'Content-MD5': 'x', Digest: 'x', 'Content-Digest': 'x', 'Repr-Digest': 'x', 'Accept-Ranges': 'bytes' }
    const kept = { etag: 'W/"x"', 'last-modified': 'Tue, 24 Nov 2026 00:00:00 GMT', vary: 'Cookie', 'cache-control': 'max-age=60', 'x-own': 'y' }
    site.serve('/page', '<head></head>', { ...stale, ...kept, etag: '"x"', 'Set-Cookie': ['a=1', 'b=2'] })
    const { headers } = await get('/page')
    for (const name of [...Object.keys(stale), 'Content-Length']) expect([name, headers[name.toLowerCase()]]).toEqual([name, undefined])
    expect(headers).toMatchObject({ ...kept, 'set-cookie': ['a=1', 'b=2'] })
    expect((await rewrite('<head></head>', { ETag: 'W/"x"' })).headers.etag).toBe('W/"x"')
  })

  it.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
  ])('that the site compressed (%s) is left to the edge to compress', async (encoding, compress) => {
    const got = await rewrite(compress('<head></head>é'), { 'Content-Encoding': encoding })
    expect([got.headers['content-encoding'], got.text]).toEqual([undefined, `<head>${TAG}</head>é`])
    const atTheEdge = await fetch(`${worker.url}/page`, { headers: { Accept: 'text/html', 'Accept-Encoding': 'br' } })
    expect([atTheEdge.headers.get('Content-Encoding'), await atTheEdge.text()]).toEqual(['br', `<head>${TAG}</head>é`])
  })

  it('is asked for in no encoding that could not be read', async () => {
    const asks = async (accepted: string): Promise<unknown> => {
      await rewrite('<head></head>', {}, { headers: { 'Accept-Encoding': accepted, Cookie: 'sid=1' } })
      const { headers } = site.visits().at(-1) ?? {}
      return [headers?.['accept-encoding'], headers?.cookie]
    }
    expect(await asks('gzip, deflate, br, zstd')).toEqual(['gzip, br', 'sid=1'])
    expect(await asks('zstd')).toEqual(['identity', 'sid=1'])
    expect(await asks('gzip;q=0.5, br')).toEqual(['gzip;q=0.5, br', 'sid=1'])
  })

  it('of 5 MB comes whole', async () => {
    const body = '<p>0123456789</p>'.repeat(300_000)
    expect((await rewrite(`<head></head>${body}`)).bytes.equals(Buffer.from(`<head>${TAG}</head>${body}`))).toBe(true)
  })
})

describe('a page comes while the site still writes it', () => {
  const read = async (response: IncomingMessage, end: string): Promise<string> => {
    let text = ''
    for await (const chunk of response.iterator({ destroyOnReturn: false })) {
      text += String(chunk)
      if (text.endsWith(end)) break
    }
    return text
  }

  it('piece by piece', async () => {
    let out: ServerResponse | undefined
    site.serve('/slow', (response) => {
      out = response.writeHead(200, { 'Content-Type': 'text/html' })
      out.write('<head><title>a')
    })
    const response = await open('/slow')
    expect(await read(response, 'a')).toBe('<head><title>a')
    out?.write('</title></head>1')
    expect(await read(response, '1')).toBe(`</title>${TAG}</head>1`)
    for (const piece of ['2', '<p>3']) {
      out?.write(piece)
      expect(await read(response, piece)).toBe(piece)
    }
    out?.end()
    expect(await read(response, 'never')).toBe('')
  })

  it('also where it compresses it', async () => {
    const zip = createGzip({ flush: constants.Z_SYNC_FLUSH })
    site.serve('/slow', (response) => void zip.pipe(response.writeHead(200, { 'Content-Type': 'text/html', 'Content-Encoding': 'gzip' })))
    zip.write('<head></head>1')
    const response = await open('/slow')
    expect(await read(response, '1')).toBe(`<head>${TAG}</head>1`)
    zip.write('2')
    expect(await read(response, '2')).toBe('2')
    zip.end()
    expect(await read(response, 'never')).toBe('')
  })
})

it.each([
  ['before the tag', '<p>'],
  ['behind the tag', '<head></head><p>'],
])('a visitor who leaves %s ends the page at the site too', async (_, start) => {
  const left = new Promise<void>((resolve) => {
    site.serve('/endless', (response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' }).write(start)
      const more = setInterval(() => response.write('x'), 10)
      response.once('close', () => resolve(clearInterval(more)))
    })
  })
  const response = await open('/endless')
  response.once('data', () => response.destroy())
  await left
})

describe('whatever happens, the site comes', () => {
  const MB = 1_048_576
  const huge = 'x'.repeat(4 * MB)

  it.each([
    ['a huge image in the page', `<head></head><body><img src="data:${huge}"><p>`, true],
    ['a huge icon in the head, which Cloudflare cannot take', `<head><link href="data:${huge}"></head><body>`, false],
    ['a huge script address behind the tag', `<head></head><body><script src="data:${huge}"></script>`, true],
    ['a huge script address before the tag', `<!doctype html><title>a</title><head><script src="data:${huge}"></script></head><body>`, false],
    ['an element in a drawing that has no end', '<head><svg><template/></svg><title>a</title></head><body><p>', false],
  ])('with %s', async (_, page, isTagged) => {
    const { bytes } = await rewrite(page)
    expect(bytes.equals(Buffer.from(isTagged ? page.replace('</head>', `${TAG}</head>`) : page))).toBe(true)
  })

  it('also where the site breaks off', async () => {
    site.serve('/page', (response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' }).write('<head></head><p>', () => response.destroy())
    })
    expect((await get('/page')).text).toBe(`<head>${TAG}</head><p>`)
  })

  it('and the log says what was not rewritten, without naming page or visitor', async () => {
    await rewrite('<head></head>', { 'Content-Type': 'text/html; charset=utf-16' }, { headers: { Cookie: 'sid=canary' } })
    await until(() => worker.logs().includes('[pristo] a page could not be rewritten; it passes as it came TypeError: Parser error: Expected ASCII-compatible encoding.'))
    expect(worker.logs()).not.toMatch(/canary|\/page/)
  })
})

describe("the tag has the page's nonce", () => {
  const nonceOf = (text: string): string | undefined => /src="\/pristo\.js" data-endpoint="\/pristo"(?: nonce="(.*?)")?>/.exec(text)?.[1]

  it.each<[string, string, string | undefined]>([
    ['script-src', "script-src 'nonce-a1+/_-=='", 'a1+/_-=='],
    ['default-src where there is no script-src', "default-src 'self' 'nonce-d'; style-src 'nonce-s'", 'd'],
    ['script-src before default-src', "default-src 'nonce-d'; script-src 'nonce-s'", 's'],
    ['script-src-elem before both', "script-src 'nonce-s'; SCRIPT-SRC-ELEM 'NONCE-e'", 'e'],
    ['none where script-src-elem has none', "script-src 'nonce-s'; script-src-elem 'self'", undefined],
    ['none of the styles', "style-src 'nonce-s'; script-src 'self'", undefined],
    ['the first of two directives of one name', "script-src 'nonce-a'; script-src 'nonce-b'", 'a'],
    ['the one that several policies share', "script-src 'nonce-a' 'nonce-b', default-src 'self', script-src 'nonce-b'", 'b'],
    ['the first where they share none', "script-src 'nonce-a', script-src 'nonce-b'", 'a'],
    ['none that is no nonce', `script-src 'nonce-"><img src=x>'`, undefined],
  ])('%s', async (_, policy, nonce) => {
    const { text, headers } = await rewrite('<head></head>', { 'Content-Security-Policy': policy })
    expect([nonceOf(text), headers['content-security-policy']]).toEqual([nonce, policy])
  })

  it.each<[string, string, Record<string, string>]>([
    ['of a policy that only reports', '<head></head>', { 'Content-Security-Policy-Report-Only': "script-src 'nonce-n'" }],
    ["of the page's own policy", `<head><meta http-equiv="content-security-POLICY" content="script-src &#39;nonce-n&#x27;"></head>`, {}],
    ["of the page's own scripts", '<head><script nonce="n">1</script></head>', {}],
    ['as frameworks write it', '<head><script nonce="&#110;">1</script></head>', {}],
    ['of the header rather than of a script', '<head><script nonce="m">1</script></head>', { 'Content-Security-Policy': "script-src 'nonce-n'" }],
  ])('%s', async (_, page, headers) => {
    expect(nonceOf((await rewrite(page, headers)).text)).toBe('n')
  })

  it.each([
    ['a style', '<head><style nonce="n"></style></head>'],
    ['a script in a template', '<head><template><script nonce="n"></script></template></head>'],
    ['a script whose nonce is none', '<head><script nonce="a&quot;b"></script><script nonce></script></head>'],
    ['a script behind it', '<head></head><script nonce="n"></script>'],
  ])('not that of %s', async (_, page) => {
    expect(nonceOf((await rewrite(page)).text)).toBe(undefined)
  })
})

describe('where the Worker itself throws', () => {
  it('Cloudflare asks the site for pages, and never for the relay', async () => {
    const asked: string[] = []
    const front = createSiteFront({ relay: async () => new Response(), tag, origin: async () => new Response() })
    for (const path of ['/page', '/pristo', '/pristo.js']) {
      await front(new Request(`https://shop.example${path}`), { passThroughOnException: () => void asked.push(path) })
    }
    expect(asked).toEqual(['/page'])
  })
})

describe('a front refuses to start', () => {
  it.each<[string, object, string]>([
    ['without a relay', { relay: undefined }, 'relay: got nothing; allowed is what createRelay() returns'],
    ['with a path that is none', { path: 'pristo' }, 'path: got a string of 6 characters; allowed is a path without a trailing slash, such as /pristo'],
    ['with an attribute that is the tag\'s own', { inject: { attributes: { nonce: 'n' } } }, "inject.attributes.nonce: got a string of 1 character; allowed is a string, and not one of the tag's own attributes or a handler"],
    ['with an attribute that is no string', { inject: { attributes: { id: 1 } } }, "inject.attributes.id: got a number; allowed is a string, and not one of the tag's own attributes or a handler"],
  ])('%s, with one line', (_, options, line) => {
    expect(() => createSiteFront({ relay: async () => new Response(), ...options })).toThrow(new TypeError(`[pristo] ${line}`))
  })
})
