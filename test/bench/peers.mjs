// @ts-check
/** Who is measured. Each one's documented minimal use is `peers/<id>.js`; how it speaks to its server, `protocols.mjs`. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * @typedef {object} Peer
 * @property {string} id
 * @property {string} title
 * @property {string} [package] its name on npm; absent where there is none to install
 * @property {'IndexedDB' | 'localStorage' | 'memory' | 'nothing'} stores where an event waits that is not delivered yet, by the minimal use
 */

/** @type {readonly Peer[]} */
export const PEERS = [
  { id: 'pristo', title: 'Pristo', stores: 'IndexedDB' },
  { id: 'segment', title: 'Segment', package: '@segment/analytics-next', stores: 'localStorage' },
  { id: 'posthog', title: 'PostHog', package: 'posthog-js', stores: 'memory' },
  { id: 'posthog-slim', title: 'PostHog, slim', package: 'posthog-js', stores: 'memory' },
  { id: 'amplitude', title: 'Amplitude', package: '@amplitude/analytics-browser', stores: 'localStorage' },
  { id: 'mixpanel', title: 'Mixpanel', package: 'mixpanel-browser', stores: 'localStorage' },
  { id: 'snowplow', title: 'Snowplow', package: '@snowplow/browser-tracker', stores: 'localStorage' },
  { id: 'rudderstack', title: 'RudderStack', package: '@rudderstack/analytics-js', stores: 'localStorage' },
  { id: 'jitsu', title: 'Jitsu', package: '@jitsu/js', stores: 'nothing' },
  { id: 'plausible', title: 'Plausible', package: '@plausible-analytics/tracker', stores: 'nothing' },
  { id: 'openpanel', title: 'OpenPanel', package: '@openpanel/web', stores: 'memory' },
  { id: 'fetch', title: 'a bare fetch', stores: 'nothing' },
]

/** Ours: what the others are compared with. */
export const OURS = 'pristo'

/** The page `/page/none` has no script at all: what the browser does without any of them. */
export const EMPTY = 'none'

/** @param {string} path from here */
const readJson = (path) => JSON.parse(readFileSync(fileURLToPath(new URL(path, import.meta.url)), 'utf8'))

/**
 * The exact version measured, as our package or the pinned dependency says it; empty where there is none.
 * @param {Peer} peer
 * @returns {string}
 */
export const versionOf = (peer) => {
  if (peer.id === OURS) return readJson('../../package.json').version
  return peer.package ? readJson('package.json').dependencies[peer.package] : ''
}
