/**
 * Elements that say what they are: `data-pristo-track="signup" data-pristo-plan="pro"` is `track('signup', { plan: 'pro' })`
 * on a click, a form's submit, or, with `data-pristo-when="visible"`, when the element is seen for the first time.
 * Invariant: one click, submit or sight is at most one event, of the nearest element that asked for it, as its attributes
 * are in that moment.
 */
import type { Fields } from '../event.ts'
import type { Track } from './index.ts'
import { listen } from './listen.ts'

/** What is looked for as it comes and goes; all other elements are only looked at when something happens to them. */
const VISIBLE = '[data-pristo-track][data-pristo-when=visible]'

/**
 * Half of an element is seen: what the MRC calls viewable (Viewable Ad Impression Measurement Guidelines, 2014; its one
 * second is not asked for) and the default of Google Tag Manager's element visibility. Half of the viewport's height will
 * do for what is larger than that; it may be noticed late, but before a whole screen is full.
 */
const HALF = 0.5

/**
 * From a change of the page to a look at it, milliseconds: a look at 10 000 elements takes 0.2 ms (Chromium 156), so that a page
 * that changes all the time is looked at for 0.2 % of it. A look at each element that comes was ten times the work of adding it.
 */
const LOOK_MS = 100

/** Watches the page's elements until the returned function is called. */
export const watchElements = (track: Track): (() => void) => {
  const seen = new WeakSet<EventTarget>()
  let last: EventTarget | undefined
  let target: EventTarget | null | undefined
  let timer: ReturnType<typeof setTimeout> | undefined

  /** Whether the element asked for this; if so, it is tracked. */
  const report = (node: EventTarget, when: string, at?: EventTarget | null): boolean => {
    const { pristoTrack, pristoWhen = Object(node).localName === 'form' ? 'submit' : 'click' } = wordsOf(node)
    if (pristoTrack === undefined || pristoWhen !== when) return false
    // A click on a label is followed, in the same task, by a click on its field: to whoever holds both it was one.
    // Two clicks on the same spot were two, however busy the page was between them.
    if (node !== last || at === target) track(pristoTrack, fieldsOf(node))
    last = node
    target = at
    setTimeout(() => (last = undefined))
    return true
  }

  const stopEvents = listen(['click', 'auxclick', 'submit'], (event) => {
    const path = event.composedPath() // into open shadow roots, and past SVG and text inside a link
    const { button } = Object(event)
    // A right click asks for a menu. A middle click opens links, and does nothing elsewhere.
    if (button && !(button === 1 && path.some((node) => /^a(rea)?$/.test(Object(node).localName) && Object(node).href))) return
    path.some((node) => report(node, event.type.replace('aux', ''), path[0]))
  })

  // Nothing is seen in a page that is hidden or prerendered: it is not drawn (HTML standard, "update the rendering").
  const sights = new IntersectionObserver(
    (entries) => {
      for (const { target, intersectionRatio, intersectionRect } of entries) {
        if (intersectionRatio < HALF && intersectionRect.height < innerHeight * HALF) continue
        sights.unobserve(target)
        if (!seen.has(target) && report(target, 'visible')) seen.add(target)
      }
    },
    // Of an element of up to 64 screens one of these lies between half a screen and a whole one.
    { threshold: [2, 4, 8, 16, 32, 64].map((part) => 1 / part) },
  )

  // What is removed needs no word: an observer keeps no element alive (https://www.w3.org/TR/intersection-observer/#lifetime).
  const look = (): void => {
    timer = undefined
    for (const element of document.querySelectorAll(VISIBLE)) if (!seen.has(element)) sights.observe(element)
  }

  const changes = new MutationObserver(() => {
    timer ??= setTimeout(look, LOOK_MS)
  })
  changes.observe(document, { childList: true, subtree: true, attributeFilter: ['data-pristo-track', 'data-pristo-when'] })
  look()

  return () => {
    stopEvents()
    clearTimeout(timer)
    changes.disconnect()
    sights.disconnect()
  }
}

/** Not `node.dataset`: a form has its field of that name in its place. */
const wordsOf = (node: EventTarget): DOMStringMap => Reflect.get(Object.getPrototypeOf(node), 'dataset', node) ?? {}

/** `data-pristo-order-id="7"` → `{ orderId: '7' }`. */
const fieldsOf = (node: EventTarget): Fields => {
  const { pristoTrack, pristoWhen, ...words } = wordsOf(node)
  return Object.fromEntries(
    Object.entries(words).flatMap(([word, value]) => (/^pristo[^a-z]/.test(word) ? [[word.charAt(6).toLowerCase() + word.slice(7), value]] : [])),
  )
}
