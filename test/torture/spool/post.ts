/** One batch to a relay, as a page sends it. */
import { request, type Agent } from 'node:http'
import type { PristoEvent, Result } from '../../../src/contract.ts'

/** A browser's own limit (`REQUEST_MS` of src/holding.ts). */
const LIMIT_MS = 10_000

/** What a relay said. */
export interface Heard {
  status: number
  /** What became of each event; empty where the answer is none of the relay's. */
  results: Result[]
  /** Seconds that it asks to wait. */
  retryAfterS: number | undefined
}

const readResults = (text: string): Result[] => {
  try {
    const { results } = Object(JSON.parse(text))
    return Array.isArray(results) ? results : []
  } catch {
    return [] // a refusal, or cut off
  }
}

/** Undefined where nobody answered: refused, reset or too slow. */
export const post = (url: URL, events: readonly PristoEvent[], agent?: Agent): Promise<Heard | undefined> =>
  new Promise((resolve) => {
    const body = JSON.stringify({ v: 1, sentAt: new Date(), events })
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), 'Sec-Fetch-Site': 'same-origin', Origin: url.origin }
    const sent = request(url, { method: 'POST', headers, timeout: LIMIT_MS, ...(agent && { agent }) }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk) => (text += chunk))
      answer.on('error', () => resolve(undefined)).on('end', () => {
        const wait = answer.headers['retry-after']
        resolve({ status: answer.statusCode ?? 0, results: readResults(text), retryAfterS: wait === undefined ? undefined : Number(wait) })
      })
    })
    sent.on('timeout', () => sent.destroy()).on('error', () => resolve(undefined)).end(body)
  })
