/**
 * What a test needs of a browser: the least that Chromium, Firefox and WebKit can all do.
 * No faults are made here (WebKit can make none): the site server makes them for all three alike.
 */

/** A running browser. Costs seconds to start: one per test worker. */
export interface Browser {
  /** A visitor; without a past on a host of {@link newHost}. One at a time. */
  newProfile(): Promise<Profile>
  close(): Promise<void>
}

let hosts = 0

/**
 * A name of 127.0.0.1 that nobody has had before, for the site of one visitor: what costs seconds to start serves one visitor after the other,
 * and they meet on no host.
 */
export const newHost = (): string => `visitor-${++hosts}.localhost`

/** Tabs that share cookies and storage. */
export interface Profile {
  newPage(): Promise<Page>
  close(): Promise<void>
}

export type Button = 'left' | 'middle' | 'right'

/** What is held down during a click. */
export type Key = 'Control' | 'Shift'

/** One tab. In WebKit the commands of one profile's tabs run one after another, whoever waits for them. */
export interface Page {
  /** Resolves when the page has loaded. */
  goto(url: string): Promise<void>
  /**
   * Runs a function of its own, which sees nothing of its surroundings, or an expression in the page; awaits a promise.
   * Rejects with what it throws. What it takes and returns must be JSON.
   */
  evaluate<Result>(work: string): Promise<Result>
  evaluate<Result>(work: () => Result | Promise<Result>): Promise<Result>
  evaluate<Result, Argument>(work: (argument: Argument) => Result | Promise<Result>, argument: Argument): Promise<Result>
  /** A real click, in the element's middle; where it is said how, also on what is disabled. In WebKit a middle or right click is only an event. */
  click(selector: string, how?: { button?: Button; key?: Key }): Promise<void>
  /** Presses and releases a key in what has the focus. */
  press(key: 'Enter' | ' '): Promise<void>
  /** Goes back, maybe to a page that the browser kept. Resolves when the address has changed. */
  back(): Promise<void>
  reload(): Promise<void>
  /** Closes the tab; the page sees `pagehide`. */
  close(): Promise<void>
  url(): Promise<string>
}

/** The work of {@link Page.evaluate} as an expression: the same text runs in all three engines. */
export const toExpression = (work: string | ((argument: never) => unknown), argument?: unknown): string =>
  typeof work === 'string' ? work : `(${work})(${JSON.stringify(argument) ?? ''})`
