/** Elements with data-pristo-track, under a visitor's hands. Their field `n` says which one it was. */
import type { Page } from '../support/browsers/index.ts'
import type { Site } from '../support/site.ts'
import { arrival, drain, expect, expectCalm, expectOnce, flush, identify, numbersOf, poll, sorted, test } from './fixtures.ts'
import { html, TAG } from './pages.ts'

type Open = (path?: string) => Promise<Page>

/** A page with this in its body, whose visitor is known. */
const visit = async (site: Site, open: Open, body: string): Promise<Page> => {
  site.serve('/', html(TAG + body))
  const page = await open()
  await identify(page)
  return page
}

/** What has arrived by the time that nothing waits any more. */
const arrived = async (site: Site, page: Page): Promise<number[]> => {
  await drain(page)
  return numbersOf(site.api.events())
}

/** For what is not in the page, but in front of it. */
const TALL = '<div style="height: 300vh"></div>'

test('a click, Enter, Space and a click with a key held are one event each, a right click is none', async ({ site, open }) => {
  const page = await visit(site, open, '<button data-pristo-track="signup" data-pristo-n="0" data-pristo-2x="yes">Go</button><a href="#a" data-pristo-track="signup" data-pristo-n="1">Go</a>')
  await page.click('button')
  expect(await arrived(site, page)).toEqual([0])
  expect(site.api.events()[0]?.customFields).toEqual({ n: '0', '-2x': 'yes' })
  await page.press('Enter')
  expect(await arrived(site, page)).toEqual([0, 0])
  await page.press(' ')
  expect(await arrived(site, page)).toEqual([0, 0, 0])
  await page.click('button', { button: 'right' })
  await page.click('button', { button: 'middle' })
  await page.click('button', { key: 'Control' })
  await page.click('button', { key: 'Shift' })
  expect(await arrived(site, page)).toEqual([0, 0, 0, 0, 0])
  await page.evaluate(() => document.querySelector('a')?.focus())
  await page.press('Enter')
  expect(await arrived(site, page)).toEqual([0, 0, 0, 0, 0, 1])
  await expectCalm(page)
})

test('a middle click on a link opens it in a new tab, and is one event', async ({ site, open }) => {
  const page = await visit(site, open, '<a href="/blank" data-pristo-track="signup" data-pristo-n="0">Go</a>')
  await page.click('a', { button: 'middle' })
  await poll(() => site.visits()).toContain('/blank')
  await expectOnce(site, page, 1)
})

test('a click on a link that leaves the page arrives once, and the link is followed', async ({ site, open }) => {
  const page = await visit(site, open, '<a href="/next" data-pristo-track="purchase" data-pristo-n="0">Go</a>')
  await page.click('a')
  await arrival(page, '/next')
  await expectOnce(site, page, 1)
})

test('Enter in a field clicks the button of its form: a marked button and a marked form are one event each, and the form is sent', async ({ site, open }) => {
  const form = '<form action="/next" data-pristo-track="newsletter" data-pristo-n="1"><input name="q"><button data-pristo-track="signup" data-pristo-n="0">Go</button></form>'
  const page = await visit(site, open, form)
  await page.click('input')
  await page.press('Enter')
  await arrival(page, '/next')
  expect(site.visits()).toContain('/next?q=')
  await expectOnce(site, page, 2)
})

test('a form counts each time it is submitted, also where the page sends it by itself; not where the browser finds it invalid', async ({ site, open }) => {
  const page = await visit(
    site,
    open,
    `<form id="own" data-pristo-track="newsletter" data-pristo-n="0"><input name="dataset" required><button>Go</button></form>
     <dialog open><form id="dialog" method="dialog" data-pristo-track="newsletter" data-pristo-n="1"><button>Close</button></form></dialog>
     <form id="silent" action="/blank" target="frame" data-pristo-track="newsletter" data-pristo-n="2"></form><iframe name="frame"></iframe>`,
  )
  await page.evaluate(() => document.querySelector('#own')?.addEventListener('submit', (event) => event.preventDefault()))
  await page.click('#own button')
  expect(await arrived(site, page)).toEqual([])
  await page.evaluate(() => void Object.assign(document.querySelector('input') ?? {}, { value: 'x' }))
  await page.click('#own button')
  expect(await arrived(site, page)).toEqual([0])
  await page.evaluate(() => Object(document.querySelector('#own')).requestSubmit())
  expect(await arrived(site, page)).toEqual([0, 0])
  await page.click('#dialog button')
  expect(await arrived(site, page)).toEqual([0, 0, 1])
  await page.evaluate(() => Object(document.querySelector('#silent')).submit())
  await poll(() => site.visits()).toContain('/blank')
  expect(await arrived(site, page)).toEqual([0, 0, 1])
})

test('SVG and text inside a link, an open shadow root and the host of a closed one are clicked like any element', async ({ site, open }) => {
  const page = await visit(
    site,
    open,
    `<a href="#a" data-pristo-track="signup" data-pristo-n="0"><svg width="50" height="50"><path d="M0 0h50v50H0z"/></svg></a>
     <svg width="50" height="50"><a href="#b" data-pristo-track="signup" data-pristo-n="1"><circle cx="25" cy="25" r="25"/></a></svg>
     <p id="open" style="width: 99px"></p><p id="closed" style="width: 99px" data-pristo-track="signup" data-pristo-n="3"></p>`,
  )
  await page.evaluate(() => {
    for (const mode of ['open', 'closed'] as const) {
      const root = document.querySelector(`#${mode}`)?.attachShadow({ mode })
      if (root) root.innerHTML = '<button style="width: 99px; height: 30px" data-pristo-track="signup" data-pristo-n="2">Go</button>'
    }
  })
  for (const selector of ['path', 'circle', '#open', '#closed']) await page.click(selector, { button: 'left' })
  expect(await arrived(site, page)).toEqual([0, 1, 2, 3])
})

test('what is disabled is not clicked, nor is what holds it', async ({ site, open }) => {
  const page = await visit(
    site,
    open,
    `<div data-pristo-track="signup" data-pristo-n="9">
       <button id="a" disabled data-pristo-track="signup" data-pristo-n="0">Go</button>
       <button disabled data-pristo-track="signup" data-pristo-n="1"><b id="b">Go</b></button>
       <fieldset disabled><button id="c" data-pristo-track="signup" data-pristo-n="2"><b>Go</b></button></fieldset>
     </div><button id="d" data-pristo-track="signup" data-pristo-n="3">Go</button>`,
  )
  for (const selector of ['#a', '#b', '#c', '#d']) await page.click(selector, { button: 'left' })
  expect(await arrived(site, page)).toEqual([3])
})

test('a click on a label is one event of what holds the label and its field', async ({ site, open }) => {
  const page = await visit(
    site,
    open,
    `<p data-pristo-track="signup" data-pristo-n="0"><label for="box"><b>Yes</b></label><input id="box" type="checkbox"></p>
     <label data-pristo-track="signup" data-pristo-n="1"><i>No</i><input type="checkbox"></label>`,
  )
  for (const selector of ['b', '#box', 'i']) await page.click(selector)
  expect(await arrived(site, page)).toEqual([0, 0, 1])
  expect(await page.evaluate(() => document.querySelectorAll(':checked').length)).toBe(1)
})

const MARKED = 'data-pristo-track="page_view" data-pristo-when="visible"'

/** Scrolls to an element and sends what that tracked, until so much has arrived. */
const see = async (site: Site, page: Page, selector: string, expected: number[]): Promise<void> => {
  await page.evaluate((it) => document.querySelector(it)?.scrollIntoView({ block: 'center', behavior: 'instant' }), selector)
  await poll(async () => (await flush(page), sorted(numbersOf(site.api.events())))).toEqual(expected)
}

/** Two frames have been drawn: an observer has looked. */
const frames = (page: Page): Promise<void> => page.evaluate(() => new Promise<void>((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))))

test('an element is seen once, by scrolling, when half of it is there, or half of the screen is full of it', async ({ site, open }) => {
  const page = await visit(
    site,
    open,
    `<i ${MARKED} data-pristo-n="0">first</i>${TALL}
     <div ${MARKED} data-pristo-n="1" id="one" style="height: 40vh"></div>${TALL}
     <div ${MARKED} data-pristo-n="2" id="large" style="height: 900vh"></div>${TALL}<p id="end">end</p>`,
  )
  await see(site, page, 'i', [0])
  // A third of it is in the page, and no more.
  await page.evaluate(() => scrollTo(0, Object(document.querySelector('#one')).offsetTop - innerHeight + innerHeight * 0.13))
  await frames(page)
  expect(await arrived(site, page)).toEqual([0])
  await see(site, page, '#one', [0, 1])
  await see(site, page, 'i', [0, 1])
  await see(site, page, '#one', [0, 1])
  await page.evaluate(() => scrollTo(0, Object(document.querySelector('#large')).offsetTop - innerHeight * 0.7))
  await frames(page)
  expect(await arrived(site, page)).toEqual([0, 1])
  await see(site, page, '#large', [0, 1, 2])
  await see(site, page, '#end', [0, 1, 2])
  await expectCalm(page)
})

test('elements that are added, marked or moved later are seen once each, and not when their mark is taken off before', async ({ site, open }) => {
  const page = await visit(site, open, `${TALL}<main><b id="off" ${MARKED} data-pristo-n="2">unmarked</b></main>${TALL}<p id="end">end</p>`)
  await page.evaluate((marked) => {
    document.querySelector('#off')?.removeAttribute('data-pristo-track')
    const section = document.createElement('section')
    section.innerHTML = `<b ${marked} data-pristo-n="0">added</b> <b id="later" data-pristo-n="1">marked later</b>`
    document.querySelector('main')?.append(section)
  }, MARKED)
  await see(site, page, 'main', [0])
  await page.evaluate(() => {
    for (const [name, value] of [['when', 'visible'], ['track', 'page_view']] as const) document.querySelector('#later')?.setAttribute(`data-pristo-${name}`, value)
  })
  await see(site, page, 'main', [0, 1])
  await page.evaluate(() => document.querySelector('main')?.append(...document.querySelectorAll('section')))
  await frames(page)
  await see(site, page, '#end', [0, 1])
  await see(site, page, 'main', [0, 1])
})
