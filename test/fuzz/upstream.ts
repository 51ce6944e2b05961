/**
 * The Pristo API at its worst, by chance that repeats.
 * Invariant: it repeats everything it was told, key and contact, wherever an answer has room for it.
 */
import type { Random } from '../simulation/random.ts'
import type { Time } from '../simulation/time.ts'

/** One call as it arrived. */
export interface Call {
  url: string
  init: RequestInit
  headers: Record<string, string>
  body: unknown
}

/** What an answer says about the event, as DESIGN.md reads it; `unknown` where nobody can tell. */
export type Meaning = 'stored' | 'rejected' | 'kept'

/** One way to answer. `echo` is all that the call said. */
interface Manner {
  weight: number
  meaning: Meaning
  answer(parts: { echo: string; random: Random; time: Time }): Response | Promise<Response>
}

const json = (status: number, body: unknown, headers: Record<string, string> = {}): Response => Response.json(body, { status, headers })

const error = (status: number, echo: string, headers: Record<string, string> = {}): Response =>
  json(status, { error: { code: echo.slice(0, 40), message: `refused: ${echo}` }, echo }, { 'X-Echo': encodeURIComponent(echo), 'Set-Cookie': `k=${encodeURIComponent(echo)}`, ...headers })

const pick = (random: Random, ...statuses: [number, ...number[]]): number => random.pick(statuses)

const never = (): Promise<Response> => new Promise(() => undefined)

const broken = (status: number): Response => new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('reset')) }), { status })

/** Every manner, and how often it is (in about 60 calls). */
export const manners: Record<string, Manner> = {
  created: { weight: 26, meaning: 'stored', answer: () => json(201, { ok: true, status: 201, statusText: 'Created', body: null, raw: 'x' }) },
  'created, late': {
    weight: 2,
    meaning: 'stored',
    answer: ({ time, random }) => new Promise((resolve) => time.after(random.int(1, 9_000), () => resolve(json(201, { ok: true, status: 201 })))),
  },
  'an empty 2xx': { weight: 2, meaning: 'stored', answer: ({ random }) => new Response(null, { status: pick(random, 200, 201, 202, 204) }) },
  'a 2xx of another shape': {
    weight: 3,
    meaning: 'stored',
    answer: ({ random, echo }) => new Response(random.pick(['<html>', 'null', '[]', '{"ok":"true"}', '{"ok":false}', '{"__proto__":{"ok":false,"status":400}}', `{"eventId":${JSON.stringify(echo)}}`, '{', 'x'.repeat(70_000)]), { status: 201 }),
  },
  'an envelope that says no': { weight: 3, meaning: 'rejected', answer: ({ random, echo }) => json(201, { ok: false, status: pick(random, 400, 409, 422), error: { message: echo }, raw: echo }) },
  'an envelope that says later': { weight: 2, meaning: 'kept', answer: ({ random, echo }) => json(201, { ok: random.chance(0.5), status: pick(random, 401, 404, 429, 500, 307, 0, -1, 1e9, 1.5), raw: echo }) },
  'ok: false with a 2xx': { weight: 1, meaning: 'kept', answer: () => json(200, { ok: false, status: 201 }) },
  refused: { weight: 4, meaning: 'rejected', answer: ({ random, echo }) => error(pick(random, 400, 402, 409, 413, 415, 422, 418, 451), echo) },
  'refused in odd words': {
    weight: 2,
    meaning: 'rejected',
    answer: ({ random }) => new Response(random.pick(['', '<html>', '{"error":null}', '{"error":{"message":{"deep":1}}}', '{"error":{"message":"\\u0000\\r\\nSet-Cookie: evil=1"}}', '{"error":{"__proto__":{"message":"x"}}}']), { status: 400 }),
  },
  'a wrong key': { weight: 3, meaning: 'kept', answer: ({ random, echo }) => error(pick(random, 401, 403), echo) },
  'nothing there': { weight: 1, meaning: 'kept', answer: ({ echo }) => error(404, echo) },
  'too many': {
    weight: 3,
    meaning: 'kept',
    answer: ({ random, echo }) => error(pick(random, 408, 425, 429), echo, { 'Retry-After': random.pick(['7', '0', '-5', 'soon', '1e9', '99999999999999999999', 'Tue, 24 Nov 2026 00:00:00 GMT', 'GMT', '1.5', echo.slice(0, 20).replace(/[^ -~]/g, '')]) }),
  },
  failing: { weight: 4, meaning: 'kept', answer: ({ random, echo }) => error(pick(random, 500, 501, 502, 503, 504, 599), echo) },
  'a redirect': { weight: 2, meaning: 'kept', answer: ({ random, echo }) => new Response(null, { status: pick(random, 301, 302, 303, 307, 308), headers: { Location: `https://evil.example/?${encodeURIComponent(echo)}` } }) },
  'an opaque redirect': { weight: 1, meaning: 'kept', answer: () => Object.defineProperty(new Response(null, { status: 200 }), 'status', { value: 0 }) },
  'a hang': { weight: 1, meaning: 'kept', answer: never },
  'a hang within the body': { weight: 1, meaning: 'kept', answer: () => new Response(new ReadableStream({ pull: () => never().then(() => undefined) }), { status: 201 }) },
  'a reset': { weight: 2, meaning: 'kept', answer: ({ echo }) => Promise.reject(new TypeError(`fetch failed: ${echo}`)) },
  'a reset within the body': { weight: 1, meaning: 'kept', answer: () => broken(201) },
  'a refusal that breaks off': { weight: 1, meaning: 'rejected', answer: () => broken(400) },
  'something thrown that is no error': { weight: 1, meaning: 'kept', answer: () => Promise.reject(null) },
}

const drawn = Object.entries(manners).flatMap(([name, { weight }]) => Array.from({ length: weight }, () => name))

/** A `fetch` that answers in one of the {@link manners}; `hear` is told of each call and of what its answer will mean. */
export const createUpstream =
  (parts: { random: Random; time: Time; hear: (call: Call, manner: string, meaning: Meaning) => void }) =>
  async (url: string, init: RequestInit): Promise<Response> => {
    const { random, time, hear } = parts
    const headers = Object.fromEntries(new Headers(init.headers))
    const body: unknown = JSON.parse(String(init.body))
    const name = drawn[random.int(0, drawn.length - 1)] ?? ''
    const manner = manners[name]
    if (!manner) throw new Error(`no manner is called ${name}`)
    hear({ url, init, headers, body }, name, manner.meaning)
    return manner.answer({ echo: `${JSON.stringify(body)} ${Object.values(headers).join(' ')}`, random, time })
  }
