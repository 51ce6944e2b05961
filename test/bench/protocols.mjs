// @ts-check
/**
 * How each library speaks to its server: which events a request carries, and what the real server would answer.
 * An event is known by its mark, `m<run>_<nth>`, which travels as a field of it.
 */
import { gunzipSync } from 'node:zlib'

/**
 * @typedef {object} Request
 * @property {string} path below `/in/<id>`, with its query
 * @property {Record<string, string | string[] | undefined>} headers
 * @property {Buffer} body
 */

/** `file` is one of the installed packages', as the library's vendor would serve it. @typedef {{ status: number, headers?: Record<string, string>, body?: string, file?: string }} Answer */

/**
 * @typedef {object} Protocol
 * @property {(request: Request) => string} [read] the text with the events in it; by default the body, unzipped where it is zipped
 * @property {(request: Request) => Answer} answer
 */

const SCRIPT = { 'Content-Type': 'text/javascript' }

const GZIP = Buffer.from([0x1f, 0x8b])

/** Unzipped where it is zipped, whatever the headers say: some libraries say it in the query. @param {Request} request */
const textOf = ({ body }) => (body.subarray(0, 2).equals(GZIP) ? gunzipSync(body) : body).toString()

/** The `data=` of a form, JSON in base64. @param {Request} request */
const formDataOf = (request) => Buffer.from(new URLSearchParams(textOf(request)).get('data') ?? '', 'base64').toString()

/** @param {unknown} body @param {number} [status] @returns {Answer} */
const json = (body, status = 200) => ({ status, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })

/** @param {string} body @param {number} [status] @returns {Answer} */
const text = (body, status = 200) => ({ status, headers: { 'Content-Type': 'text/plain' }, body })

/** A project's settings, where nothing was turned on that is off in a new one. @type {Protocol} */
const posthog = {
  answer: ({ path }) => {
    if (path.endsWith('/config.js')) return { status: 200, headers: SCRIPT, body: POSTHOG_CONFIG_SCRIPT }
    if (path.endsWith('/config')) return json(POSTHOG_CONFIG)
    // Further pieces of the library, for which it asks by its version: `/static/<version>/surveys.js`.
    const [, piece] = /^\/static\/[\d.]+\/([\w-]+\.js)$/.exec(path) ?? []
    if (piece) return { status: 200, headers: SCRIPT, file: `posthog-js/dist/${piece}` }
    if (path.startsWith('/flags')) return json({ flags: {}, errorsWhileComputingFlags: false, requestId: '0190a000-0000-7000-8000-000000000000' })
    return json({ status: 'Ok' })
  },
}

const POSTHOG_CONFIG = {
  token: 'phc_YOUR_PROJECT_KEY',
  supportedCompression: ['gzip', 'gzip-js'],
  hasFeatureFlags: false,
  captureDeadClicks: false,
  capturePerformance: false,
  autocapture_opt_out: false,
  autocaptureExceptions: false,
  analytics: { endpoint: '/i/v0/e/' },
  elementsChainAsString: true,
  sessionRecording: false,
  heatmaps: false,
  surveys: false,
  defaultIdentifiedOnly: true,
}

const POSTHOG_CONFIG_SCRIPT = `(window._POSTHOG_REMOTE_CONFIG ||= {})['${POSTHOG_CONFIG.token}'] = ${JSON.stringify({ config: POSTHOG_CONFIG, siteApps: [] })}`

/** @type {Record<string, Protocol>} */
export const PROTOCOLS = {
  pristo: { answer: () => json({}, 404) }, // the relay itself answers
  segment: {
    answer: ({ path }) =>
      path.includes('/settings') ? json({ integrations: { 'Segment.io': { apiKey: 'YOUR_WRITE_KEY', versionSettings: { version: '4.4.7', componentTypes: ['browser'] } } }, plan: {}, edgeFunction: {}, enabledMiddleware: {}, metrics: { sampleRate: 0 }, remotePlugins: [] }) : json({ success: true }),
  },
  posthog,
  'posthog-slim': posthog,
  amplitude: {
    answer: ({ path, body }) =>
      path.includes('/httpapi') ? json({ code: 200, events_ingested: 1, payload_size_bytes: body.length, server_upload_time: Date.now() }) : json({ configs: {} }),
  },
  mixpanel: { read: formDataOf, answer: () => json({ error: null, status: 1 }) },
  snowplow: {
    // Each event of a `payload_data` has its own in `ue_px`, JSON in base64 for URLs.
    read: (request) => textOf(request).replace(/"(?:ue_px|cx)":"([\w-]+)"/g, (_, data) => Buffer.from(data, 'base64url').toString()),
    answer: () => text('ok'),
  },
  rudderstack: {
    answer: ({ path }) =>
      path.startsWith('/sourceConfig')
        ? json({ source: { id: 'shop', name: 'shop', writeKey: '2AbcdefghijklmnopqrstuvwxyzA', enabled: true, config: { statsCollection: { errors: { enabled: false }, metrics: { enabled: false } } }, destinations: [], workspaceId: 'shop', connections: [] }, updatedAt: '2026-01-01T00:00:00.000Z' })
        : text('OK'),
  },
  jitsu: { answer: () => json({ ok: true }) },
  plausible: { answer: () => text('ok', 202) },
  openpanel: { answer: () => json({ deviceId: 'd', sessionId: 's' }, 202) },
  fetch: { answer: () => ({ status: 204 }) },
}

/**
 * The marks of the events in a request, in their order; none where it carries none.
 * @param {string} id
 * @param {Request} request
 * @returns {string[]}
 */
export const marksIn = (id, request) => (PROTOCOLS[id]?.read ?? textOf)(request).match(/\bm\d+_\d+\b/g) ?? []
