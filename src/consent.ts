/**
 * What the visitor has agreed to, and how later pages know of it.
 * Invariant: a typo of the site's never tracks anybody, and what the visitor decided counts for more than what the site begins with.
 */
import { explain, type Report } from './event.ts'
import type { Page } from './page.ts'

/** `granted`: stored and sent. `pending`: held in memory, nothing written. `denied`: erased, nothing tracked. */
export type Consent = 'granted' | 'pending' | 'denied'

/** What a site begins with. */
export interface ConsentOptions {
  /** What holds until the visitor has decided: `pristo.consent(…)` is remembered on this device, and wins. @default 'granted' */
  consent?: Consent | undefined
  /**
   * The signals of a browser by which a visitor who has not decided is `denied`: `gpc` (Global Privacy Control), `dnt` (Do Not
   * Track), or both with a space between. Anything else is told on the console and stands for both. @default none
   */
  respect?: string | undefined
}

/** Where the visitor's decision is kept: the bare word, all that a denial leaves in `localStorage`. */
const KEY = 'pristo_consent'

const STATES: readonly unknown[] = ['granted', 'pending', 'denied'] satisfies Consent[]

const isConsent = (given: unknown): given is Consent => STATES.includes(given)

/** @throws {string} for anything but a state of consent. */
export const checkConsent = (given: unknown): Consent => {
  if (isConsent(given)) return given
  throw explain('consent', given, STATES)
}

/** What the visitor decided on this device, on whatever page. */
export const recallConsent = (page: Page): Consent | undefined => {
  const word = page.recall(KEY)
  return isConsent(word) ? word : undefined
}

/** Keeps what the visitor decided for later pages; `pending` is no decision, and forgets. */
export const rememberConsent = (page: Page, decision: Consent): void => {
  if (decision === 'pending') page.erase(KEY)
  else page.remember(KEY, decision)
}

/**
 * What holds when a page begins.
 * @throws {string} where the site's own word counts and is none.
 */
export const firstConsent = (page: Page, { consent = 'granted', respect }: ConsentOptions, report: Report): Consent => {
  if (respect != null && !/^((gpc|dnt) ?)+$/.test(respect)) {
    report(explain('respect', respect, 'gpc dnt'))
    respect = 'gpc dnt' // whoever asked for the wrong signal wanted none to be passed over
  }
  return recallConsent(page) ?? (respect && page.isRefused(respect) ? 'denied' : checkConsent(consent))
}
