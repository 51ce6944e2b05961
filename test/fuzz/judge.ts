/**
 * What the relay has to make of a request, from DESIGN.md and PRISTO-API.md alone: by hand, without a line of the relay's own.
 * Invariant: `either` only where those two pages leave a choice.
 */
import { isUtf8 } from 'node:buffer'
import type { Sample } from './samples.ts'

/** Whether an event may reach the API. */
export type Validity = 'valid' | 'invalid' | 'either'

/** The whole request is refused, with one of these statuses; or each of its events is judged. */
export type Verdict = { kind: 'refused'; statuses: number[] } | { kind: 'judged'; events: { given: unknown; validity: Validity }[] }

/** What a relay was told about who may speak to it. */
export interface Rules {
  allowedOrigins: readonly string[]
  allowNonBrowser: boolean
}

const MAX_BYTES = 65_536
const MAX_EVENTS = 40
const MAX_CHARS = 50

const refused = (...statuses: number[]): Verdict => ({ kind: 'refused', statuses })

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

const all = (parts: readonly Validity[]): Validity => (parts.includes('invalid') ? 'invalid' : parts.includes('either') ? 'either' : 'valid')

const of = (isValid: boolean): Validity => (isValid ? 'valid' : 'invalid')

/** Own keys only, all of them known, the required ones there. */
const hasKeys = (value: Record<string, unknown>, required: readonly string[], optional: readonly string[]): boolean =>
  Reflect.ownKeys(value).every((key) => typeof key === 'string' && (required.includes(key) || optional.includes(key))) && required.every((key) => Object.hasOwn(value, key))

const isText = (value: unknown): value is string => typeof value === 'string'
const isFilled = (value: unknown): boolean => isText(value) && value !== ''

/** RFC 9562 in full is a must; what only looks like one (the nil UUID, other variants) may be refused. */
const judgeId = (value: unknown): Validity => {
  if (!isText(value) || !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(value)) return 'invalid'
  return /[1-8]/.test(value.charAt(14)) && /[89ab]/i.test(value.charAt(19)) ? 'valid' : 'either'
}

const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** RFC 3339 §5.6. Lower case, a leap second and absent seconds are a choice. */
const judgeDate = (value: unknown): Validity => {
  const match = isText(value) ? /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(?:[Zz]|[+-](\d\d):(\d\d))$/.exec(value) : null
  if (!match) return 'invalid'
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, offHour = 0, offMinute = 0] = match.slice(1).map((part) => Number(part ?? 0))
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  const days = month === 2 && isLeap ? 29 : (DAYS[month - 1] ?? 0)
  if (day < 1 || day > days || hour > 23 || minute > 59 || second > 60 || offHour > 23 || offMinute > 59) return 'invalid'
  return match[6] === undefined || second === 60 || /[tz]/.test(String(value)) ? 'either' : 'valid'
}

/** Characters may be UTF-16 units or code points: between the two is a choice. */
const judgeFields = (value: unknown): Validity => {
  if (!isObject(value)) return 'invalid'
  if (Object.hasOwn(value, '__proto__')) return 'invalid'
  return all(Object.values(value).map((text) => (!isText(text) || [...text].length > MAX_CHARS ? 'invalid' : text.length > MAX_CHARS ? 'either' : 'valid')))
}

const judgeContact = (value: unknown): Validity => {
  const texts = ['email', 'phone', 'language', 'name', 'lastName']
  if (!isObject(value) || !hasKeys(value, ['id'], [...texts, 'customFields'])) return 'invalid'
  const isSound = isFilled(value.id) && texts.every((key) => !Object.hasOwn(value, key) || isText(value[key]))
  return all([of(isSound), Object.hasOwn(value, 'customFields') ? judgeFields(value.customFields) : 'valid'])
}

const judgeEvent = (value: unknown): Validity => {
  if (!isObject(value) || !hasKeys(value, ['id', 'type', 'occurredAt', 'contact'], ['customFields'])) return 'invalid'
  const fields = Object.hasOwn(value, 'customFields') ? judgeFields(value.customFields) : 'valid'
  return all([judgeId(value.id), of(isFilled(value.type)), judgeDate(value.occurredAt), judgeContact(value.contact), fields])
}

const judgeEnvelope = (value: unknown): Validity => {
  if (!isObject(value) || !hasKeys(value, ['v', 'sentAt', 'events'], ['ack', 'token'])) return 'invalid'
  const isAck = !Object.hasOwn(value, 'ack') || typeof value.ack === 'boolean'
  const isToken = !Object.hasOwn(value, 'token') || isText(value.token)
  return all([of(value.v === 1 && isAck && isToken && Array.isArray(value.events) && value.events.length > 0), judgeDate(value.sentAt)])
}

const readJson = (bytes: Uint8Array): { json: unknown } | undefined => {
  try {
    return { json: JSON.parse(new TextDecoder().decode(bytes)) } // which leaves out a byte order mark, as the Encoding standard says
  } catch {
    return undefined
  }
}

const hostOf = (url: string): string | undefined => (URL.canParse(url) ? new URL(url).host : undefined)

/** Who speaks: `home` may be vouched for by the browser itself. */
const judgeSender = (headers: Headers, url: string, { allowedOrigins, allowNonBrowser }: Rules): 'vouched' | 'known' | 'foreign' => {
  const site = headers.get('Sec-Fetch-Site')
  const origin = headers.get('Origin')
  if (site === 'same-origin') return 'vouched'
  if (allowedOrigins.some((allowed) => allowed === origin)) return 'known'
  const host = headers.get('Host')
  const here = hostOf(host === null ? url : `http://${host}`) // what the browser asked for; a server may put its own name into the URL
  const isHome = site === null && (origin === null ? allowNonBrowser : !!here && hostOf(origin) === here)
  return isHome ? 'known' : 'foreign'
}

const isTypeAllowed = (headers: Headers, isVouched: boolean): boolean => {
  const [type = ''] = (headers.get('Content-Type') ?? '').split(';')
  const essence = type.trim().toLowerCase()
  return essence === 'application/json' || (isVouched && (essence === '' || essence === 'text/plain'))
}

const judgeBody = ({ chunks, ending }: Sample): Verdict => {
  const bytes = Buffer.concat(chunks ?? [])
  if (bytes.length > MAX_BYTES) return isUtf8(bytes) && ending !== 'breaks' ? refused(413) : refused(413, 400)
  if (chunks && ending === 'hangs') return isUtf8(bytes) ? refused(408) : refused(408, 400)
  if (chunks && ending === 'breaks') return refused(400)
  const read = isUtf8(bytes) ? readJson(bytes) : undefined
  if (!read) return refused(400)
  const envelope = judgeEnvelope(read.json)
  if (envelope === 'invalid') return refused(400)
  const { events }: { events: unknown[] } = Object(read.json)
  if (events.length > MAX_EVENTS) return envelope === 'either' ? refused(413, 400) : refused(413)
  const judged = events.map((given) => ({ given, validity: judgeEvent(given) }))
  // Where the envelope is a choice, the request may be refused as a whole; judged it is by what the relay chose.
  return { kind: 'judged', events: judged }
}

/** What may become of a request. The relay's `headers` are those that the platform makes of the sample's. */
export const judge = (sample: Sample, headers: Headers, rules: Rules): Verdict => {
  if (sample.method === 'OPTIONS') return refused(204)
  if (sample.method !== 'POST') return refused(405)
  const sender = judgeSender(headers, sample.url, rules)
  if (sender === 'foreign') return refused(403)
  if (!isTypeAllowed(headers, sender === 'vouched')) return refused(415)
  const body = judgeBody(sample)
  const length = headers.get('Content-Length') ?? ''
  if (/^\d+$/.test(length) && Number(length) > MAX_BYTES) return refused(413)
  return body
}

/** Whether the batch's own date leaves the relay a choice to refuse all of it. */
export const mayRefuse = ({ chunks }: Sample): boolean => {
  const read = readJson(Buffer.concat(chunks ?? []))
  return !!read && judgeEnvelope(read.json) === 'either'
}
