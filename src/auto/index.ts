/**
 * `pristo/auto`: clicks, submits, elements seen and page views, without a line of JavaScript in the page.
 * Invariants: it only ever calls `track()`; it stops, delays and changes nothing that the page or its visitor does.
 * @module pristo/auto
 */
import type { Fields } from '../event.ts'
import { watchElements } from './elements.ts'
import { watchViews } from './views.ts'

/** What `startAuto()` needs of a tracker: any `createPristo<…>()` is one, whatever types of events it knows. */
export interface Tracker {
  /** Takes an event of this moment. */
  track(type: never, fields?: never): unknown
}

/** How a page is watched. All of it is optional. */
export interface AutoOptions {
  /** The event type of a page view, which must be defined in Pristo. @default none: page views are not tracked */
  pageview?: string | undefined
  /** Whether a path has its query string, which may hold what is nobody's business. @default false */
  query?: boolean | undefined
}

/** Takes an event, as `pristo.track()` does. */
export type Track = (type: string, fields: Fields) => unknown

/**
 * Tracks elements with `data-pristo-track`, and page views where their type is named. On a server it does nothing.
 * Each call watches anew: two of them count everything twice.
 * @returns what ends it
 */
export const startAuto = (pristo: Tracker, { pageview, query }: AutoOptions = {}): (() => void) => {
  if (typeof document === 'undefined') return () => {}
  const track: Track = (...event) => Object(pristo).track(...event) // the page's attributes decide, not the types of its code
  const stops = [watchElements(track)]
  if (pageview) stops.push(watchViews(track, pageview, query))
  return () => stops.forEach((stop) => stop())
}
