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

/** @typedef {{ status: number, headers?: Record<string, string>, body?: string }} Answer */

/**
 * @typedef {object} Protocol
 * @property {(request: Request) => string} [read] the text with the events in it; by default the body, unzipped where it is zipped
 * @property {(request: Request) => Answer} answer
 */

const GZIP = Buffer.from([0x1f, 0x8b])

/** Unzipped where it is zipped, whatever the headers say: some libraries say it in the query. @param {Request} request */
const textOf = ({ body }) => (body.subarray(0, 2).equals(GZIP) ? gunzipSync(body) : body).toString()

/** @param {unknown} body @returns {Answer} */
const json = (body, status = 200) => ({ status, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })

/** @type {Record<string, Protocol>} */
export const PROTOCOLS = {
  pristo: { answer: () => json({}, 404) }, // the relay itself answers
  fetch: { answer: () => ({ status: 204 }) },
  plausible: { answer: () => ({ status: 202, headers: { 'Content-Type': 'text/plain' }, body: 'ok' }) },
  mixpanel: {
    // `data=` of a form, percent-encoded JSON.
    read: (request) => decodeURIComponent(textOf(request).replaceAll('+', ' ')),
    answer: () => json({ error: null, status: 1 }),
  },
}

/**
 * The marks of the events in a request, in their order; none where it carries none.
 * @param {string} id
 * @param {Request} request
 * @returns {string[]}
 */
export const marksIn = (id, request) => (PROTOCOLS[id]?.read ?? textOf)(request).match(/\bm\d+_\d+\b/g) ?? []
