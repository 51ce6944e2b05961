/** A tag that cannot see its own element, and what it is set up by instead. */
import { CONTACT, drain, expect, test } from './fixtures.ts'
import { html, STUB } from './pages.ts'

const CALLS = `<script>pristo.identify(${JSON.stringify(CONTACT)}); pristo.track('signup')</script>`

/** As a tag manager's own script does it. */
const INJECTED = `<script>(() => {
  const script = document.createElement('script')
  script.async = true
  script.src = '/pristo.js'
  document.head.append(script)
})()</script>`

const AS_MODULE = '<script type="module" src="/pristo.js"></script>'

const rows = [
  { what: 'injected by a script is set up by window.pristoConfig', tag: `<script>pristoConfig = { endpoint: '/collect' }</script>${INJECTED}` },
  { what: 'loaded as a module is set up by window.pristoConfig', tag: `<script>pristoConfig = { endpoint: '/collect' }</script>${AS_MODULE}` },
  { what: 'loaded as a module is set up by init in the queue', tag: `<script>pristo.q.push(['init', { endpoint: '/collect' }])</script>${AS_MODULE}` },
  { what: 'with attributes goes by them', tag: `<script>pristoConfig = { endpoint: '/other' }</script><script src="/pristo.js" data-endpoint="/collect"></script>` },
]

for (const { what, tag } of rows) {
  test(`a tag ${what}`, async ({ site, open }) => {
    site.serve('/', html(STUB + CALLS + tag))
    const page = await open()
    await drain(page)
    expect(site.requests().map(({ path }) => path)).toEqual(['/collect'])
    expect(site.api.events()).toMatchObject([{ type: 'signup', contact: CONTACT }])
    expect(await page.evaluate(() => window.complaints)).toEqual([])
  })
}

test('beforeSend of window.pristoConfig has the last word', async ({ site, open }) => {
  const config = `<script>pristoConfig = { beforeSend: (event) => (event.type === 'signup' ? null : { ...event, customFields: { path: '/' } }) }</script>`
  site.serve('/', html(config + STUB + CALLS + INJECTED))
  const page = await open()
  await page.evaluate(() => window.pristo?.track?.('purchase', { path: '/?email=a@b.co' }))
  await drain(page)
  expect(site.api.events()).toMatchObject([{ type: 'purchase', customFields: { path: '/' } }])
})

test('data-debug without a value has the console tell of each event and batch in groups that are closed', async ({ site, open }) => {
  const listen = `<script>
    window.said = []
    console.groupCollapsed = (line) => said.push(line)
    console.groupEnd = () => said.push('end')
    console.log = () => {}
  </script>`
  site.serve('/', html(listen + STUB + CALLS + '<script src="/pristo.js" data-debug></script>'))
  const page = await open()
  await drain(page)
  expect(await page.evaluate<string[]>('said')).toEqual([
    '[pristo] signup accepted',
    'end',
    expect.stringMatching(/^\[pristo\] batch of 1: HTTP 200, 1 stored, \d+ ms$/),
    'end',
    '[pristo] signup delivered ',
    'end',
  ])
})
