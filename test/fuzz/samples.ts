/** Requests as they may come from anywhere: one table of bodies, one of heads; a row more is a line. */
import fc from 'fast-check'
import { anyJson, batch, CANARY_EMAIL, COOKIE, put, TOKEN } from './values.ts'

/** One request, and what was meant by it. */
export interface Sample {
  what: string
  method: string
  url: string
  headers: [name: string, value: string][]
  /** The body as it arrives; null where there is none. */
  chunks: Uint8Array[] | null
  /** What comes behind the last chunk: the end, a broken connection, or nothing ever. */
  ending: 'ends' | 'breaks' | 'hangs'
  /** How often it is sent. */
  times: number
  /** Before it is sent, in milliseconds. */
  afterMs: number
}

export const SITE = 'https://shop.example'
export const PARTNER = 'https://partner.example'

const MAX_BYTES = 65_536

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const toBytes = (value: unknown): Uint8Array => encode(JSON.stringify(value) ?? '')

/** Every place in a JSON value: the object or array, and the key in it. */
const placesIn = (value: unknown): { owner: object; key: string }[] =>
  typeof value !== 'object' || value === null
    ? []
    : Object.entries(value).flatMap(([key, child]) => [{ owner: value, key }, ...placesIn(child)])

/** One thing wrong with what was sound: a value replaced, left out, or a key too many. */
const spoil = (sound: unknown, { place, how, key, value }: { place: number; how: 'replace' | 'remove' | 'add'; key: string; value: unknown }): unknown => {
  const copy: unknown = structuredClone(sound)
  const places = placesIn(copy)
  const at = places[place % places.length]
  if (!at) return copy
  const child: unknown = Reflect.get(at.owner, at.key)
  if (how === 'remove') Reflect.deleteProperty(at.owner, at.key)
  if (how === 'replace') put(at.owner, at.key, value)
  if (how === 'add') put(typeof child === 'object' && child ? child : at.owner, key, value)
  return copy
}

const spoiled = fc
  .record({
    sound: batch(4),
    place: fc.nat(200),
    how: fc.constantFrom('replace' as const, 'replace' as const, 'remove' as const, 'add' as const),
    key: fc.constantFrom('extra', '__proto__', 'constructor', 'prototype', 'isAdmin', '', CANARY_EMAIL, 'toString'),
    value: anyJson,
  })
  .map(({ sound, ...wrong }) => spoil(sound, wrong))

/** Bytes changed, left out, doubled, or cut off: UTF-8 in the middle of a character among them. */
const mutate = (bytes: Uint8Array, edits: readonly { at: number; how: 'set' | 'cut' | 'drop' | 'repeat'; byte: number }[]): Uint8Array =>
  edits.reduce((now, { at, how, byte }) => {
    const place = now.length ? at % now.length : 0
    const [before, after] = [now.subarray(0, place), now.subarray(place)]
    if (how === 'cut') return before
    if (how === 'set') return Buffer.concat([before, Uint8Array.of(byte), after.subarray(1)])
    return Buffer.concat([before, ...(how === 'repeat' ? [after.subarray(0, byte)] : []), after.subarray(how === 'drop' ? 1 : 0)])
  }, bytes)

const edits = fc.array(
  fc.record({
    at: fc.nat(5_000),
    how: fc.constantFrom('set' as const, 'set' as const, 'drop' as const, 'repeat' as const, 'cut' as const),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0x22, 0x7b, 0x7d, 0x5b, 0x5d, 0x2c, 0x5c, 0x00, 0xc3, 0xed, 0xf0, 0xff)),
  }),
  { minLength: 1, maxLength: 3 },
)

const DEEP = '"DEEP"'
const nest = (depth: number, isClosed: boolean): string => '['.repeat(depth) + (isClosed ? ']'.repeat(depth) : '')

/** `{"a":{"a":…` likewise costs a recursive reader its stack. */
const nestObjects = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)

const deep = fc
  .record({ sound: batch(2), depth: fc.constantFrom(1_000, 9_000, 30_000, 100_000), shape: fc.constantFrom('open', 'closed', 'object', 'inside') })
  .map(({ sound, depth, shape }) => {
    if (shape === 'open' || shape === 'closed') return encode(nest(depth, shape === 'closed'))
    if (shape === 'object') return encode(nestObjects(Math.min(depth, 10_000)))
    return encode(JSON.stringify({ ...Object(sound), events: [...Object(sound).events, 'DEEP'] }).replace(DEEP, () => nest(Math.min(depth, 30_000), true)))
  })

/** A sound batch with so much white space before its end that it weighs so many bytes. */
const padded = fc
  .tuple(batch(2), fc.constantFrom(MAX_BYTES - 1, MAX_BYTES, MAX_BYTES + 1, MAX_BYTES + 20_000, 300_000))
  .map(([sound, weight]) => {
    const text = JSON.stringify(sound)
    return encode(text.slice(0, -1) + ' '.repeat(Math.max(0, weight - encode(text).length)) + text.slice(-1))
  })

const many = fc.tuple(batch(1), fc.constantFrom(39, 40, 41, 200)).map(([sound, count]) => {
  const [first] = Object(sound).events
  const id = (nth: number): unknown => (typeof first.id === 'string' && first.id.length === 36 ? first.id.slice(0, -2) + nth.toString(16).padStart(2, '0').slice(-2) : first.id)
  return toBytes({ ...Object(sound), events: Array.from({ length: count }, (_, nth) => ({ ...first, id: id(nth) })) })
})

/** What a body may be, and how often it is (in about 60 draws). */
export const bodies: Record<string, { weight: number; arbitrary: fc.Arbitrary<Uint8Array | null> }> = {
  'a batch': { weight: 20, arbitrary: batch(6).map(toBytes) },
  'a batch with one thing wrong': { weight: 18, arbitrary: spoiled.map(toBytes) },
  'a batch with bytes changed': { weight: 8, arbitrary: fc.tuple(batch(2), edits).map(([sound, changes]) => mutate(toBytes(sound), changes)) },
  'any JSON': { weight: 4, arbitrary: anyJson.map(toBytes) },
  'random bytes': { weight: 4, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  nothing: { weight: 1, arbitrary: fc.constant(null) },
  'a byte order mark': { weight: 1, arbitrary: batch(1).map((sound) => encode(`\ufeff${JSON.stringify(sound)}`)) },
  'something deep': { weight: 1, arbitrary: deep },
  'a heavy batch': { weight: 1, arbitrary: padded },
  'many events': { weight: 1, arbitrary: many },
}

const HOME: [string, string][] = [['Sec-Fetch-Site', 'same-origin'], ['Origin', SITE], ['Content-Type', 'application/json']]

/** A header that is there or not, with one of these values. */
const header = (name: string, ...values: string[]): fc.Arbitrary<[string, string][]> =>
  fc.option(fc.constantFrom(...values), { nil: undefined, freq: 3 }).map((value) => (value === undefined ? [] : [[name, value]]))

const anyHeaders: fc.Arbitrary<[string, string][]> = fc
  .tuple(
    header('Sec-Fetch-Site', 'same-origin', 'same-site', 'cross-site', 'none', 'SAME-ORIGIN', 'same-origin, cross-site', ''),
    header('Origin', SITE, PARTNER, 'https://evil.example', 'null', '', `${SITE}:8443`, 'http://shop.example', 'https://shop.example@evil.example', 'https://shop.example.evil.example', `${PARTNER}, ${SITE}`, 'shop.example', '\u00e9'),
    header('Content-Type', 'application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON', 'text/plain', 'text/plain;charset=UTF-8', '', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=application/json', 'text/html', 'application/jsonp', ';application/json', 'application/json, text/plain'),
    header('Host', 'shop.example', 'evil.example', ''),
    header('X-Forwarded-For', '1.2.3.4', `${CANARY_EMAIL}`, '::1, 10.0.0.1'),
    header('User-Agent', 'Mozilla/5.0 (compatible; Googlebot/2.1)', 'Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0 Safari/537.36', CANARY_EMAIL, ''),
    header('Access-Control-Request-Method', 'POST'),
  )
  .map((lists) => lists.flat()) // prettier-ignore

/** How a request is addressed and labelled, and how often (in 20 draws). */
export const heads: Record<string, { weight: number; arbitrary: fc.Arbitrary<{ method: string; url: string; headers: [string, string][] }> }> = {
  'from home': { weight: 15, arbitrary: fc.constant({ method: 'POST', url: `${SITE}/pristo`, headers: HOME }) },
  'with any headers': { weight: 4, arbitrary: anyHeaders.map((headers) => ({ method: 'POST', url: `${SITE}/pristo`, headers })) },
  'by any method': {
    weight: 1,
    arbitrary: fc.constantFrom('GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'post', 'PROPFIND', '__proto__', '').map((method) => ({ method, url: `${SITE}/pristo`, headers: HOME })),
  },
  'at any URL': {
    weight: 1,
    arbitrary: fc
      .constantFrom('', '/', 'http://[', 'https://shop.example:443/', `${SITE}/%00`, `${SITE}/../../etc/passwd`, `${SITE}/?${CANARY_EMAIL}`, 'https://evil.example/', 'javascript:alert(1)', `${SITE}/${'x'.repeat(9_000)}`)
      .chain((url) => fc.boolean().map((isVouched) => ({ method: 'POST', url, headers: isVouched ? HOME : HOME.slice(1) }))),
  },
}

const draw = <T>(table: Record<string, { weight: number; arbitrary: fc.Arbitrary<T> }>): fc.Arbitrary<{ name: string; drawn: T }> =>
  fc.oneof(...Object.entries(table).map(([name, { weight, arbitrary }]) => ({ weight, arbitrary: arbitrary.map((drawn) => ({ name, drawn })) })))

const split = (bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] => {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return places.slice(1).map((end, nth) => bytes.slice(places[nth], end))
}

const lengths = fc.constantFrom('NaN', '-1', '10', '1e400x', '', '65536', '65537', '99999999', '0x10', '10, 20', ' ')

/** Everything about one request. */
export const samples: fc.Arbitrary<Sample> = fc
  .record({
    head: draw(heads),
    body: draw(bodies),
    cuts: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(fc.nat(2_000), { maxLength: 6 }) }),
    length: fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: lengths }),
    ending: fc.nat(40).map((roll) => (roll === 0 ? ('hangs' as const) : roll === 1 ? ('breaks' as const) : ('ends' as const))),
    times: fc.nat(9).map((roll) => (roll === 0 ? 2 : 1)),
    afterMs: fc.constantFrom(0, 5, 900, 3_000, 12_000),
  })
  .map(({ head, body, cuts, length, ending, times, afterMs }) => ({
    what: `${body.name}, ${head.name}${length === undefined ? '' : `, Content-Length ${JSON.stringify(length)}`}${ending === 'ends' ? '' : `, and then it ${ending}`}`,
    method: head.drawn.method,
    url: head.drawn.url,
    headers: [
      ...head.drawn.headers,
      ['Cookie', `session=${COOKIE}`],
      ['Authorization', `Bearer ${TOKEN}`],
      ...(length === undefined ? [] : [['Content-Length', length] satisfies [string, string]]),
    ],
    chunks: body.drawn && split(body.drawn, cuts),
    ending,
    times,
    afterMs,
  }))
