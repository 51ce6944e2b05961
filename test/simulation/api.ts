/**
 * The Pristo API, as far as its documentation goes (PRISTO-API.md): one event a request, no deduplication.
 * Invariant: what it stored it tells, with whether the relay ever learned of it.
 */
import type { Contact } from '../../src/contract.ts'
import type { Random } from './random.ts'
import type { Time } from './time.ts'

/** What can be wrong with the API, as long as it is. */
export type ApiFault =
  | 'fails' // 500
  | 'throttles' // 429 with Retry-After
  | 'refuses' // 400
  | 'locks out' // 401
  | 'hangs before storing'
  | 'hangs after storing'
  | 'resets before storing'
  | 'resets after storing'
  | 'answers html'
  | 'is slow' // up to 15 s
  | 'knows no new key' // 401 for it, as before a rotation
  | 'knows no old key' // 401 for it, as after one

/** The relay's keys; only a scenario that says so has the old one. */
export const NEW_KEY = '11111111-1111-4111-8111-111111111111'
export const OLD_KEY = '00000000-0000-4000-8000-000000000000'

/** One storing of one event. */
export interface Stored {
  id: string
  contact: Contact
  occurredAt: string
  at: number
  /** Which relay process asked. */
  relay: object
  /** What became of the answer. */
  answer: 'on its way' | 'arrived' | 'lost'
}

export interface Api {
  break(fault: ApiFault | undefined, chance?: number): void
  /** `fetch` of one relay process. */
  fetch(relay: { isDead: boolean }): (url: string, init: RequestInit) => Promise<Response>
}

const TAKES_MS = [4, 60] as const
const SLOW_MS = [3_000, 15_000] as const

const envelope = (): Response => Response.json({ ok: true, status: 201, statusText: 'Created', body: null, raw: 'x' }, { status: 201 })

const refusal = (status: number, headers: Record<string, string> = {}): Response =>
  Response.json({ error: { code: `E${status}`, message: 'no' } }, { status, headers })

export const createApi = (time: Time, random: Random, onStored: (stored: Stored) => void, log: (text: () => string) => void, onRefused: (id: string) => void): Api => {
  const known = new Set<string>()
  let fault: ApiFault | undefined
  let chance = 1

  return {
    break: (next, nextChance = 1) => {
      fault = next
      chance = nextChance
    },
    fetch: (relay) => (_url, init) =>
      new Promise((resolve, reject) => {
        const headers = new Headers(init.headers)
        const id = headers.get('X-Request-Id') ?? ''
        const key = headers.get('X-API-Key')
        const { contact, occurredAt }: { contact: Contact; occurredAt: string } = JSON.parse(String(init.body))
        const isUnknownKey = (fault === 'knows no new key' && key === NEW_KEY) || (fault === 'knows no old key' && key === OLD_KEY)
        const hit = fault !== undefined && random.chance(chance) ? (isUnknownKey ? 'locks out' : fault) : undefined
        const [least, most] = hit === 'is slow' ? SLOW_MS : TAKES_MS
        const takesMs = least + random.next() * (most - least)
        let stored: Stored | undefined
        let isOver = relay.isDead // a dead process calls nobody
        if (isOver) return

        const lose = (error: unknown): void => {
          if (isOver) return
          isOver = true
          if (stored) stored.answer = 'lost'
          reject(error)
        }
        init.signal?.addEventListener('abort', () => lose(new DOMException('aborted', 'AbortError')), { once: true })

        const answer = (response: Response): void => {
          if (isOver || relay.isDead) {
            if (stored) stored.answer = 'lost'
            return
          }
          isOver = true
          if (stored) stored.answer = 'arrived'
          resolve(response)
        }

        /** A contact needs an email or a phone the first time it is reported. */
        const isUnknown = (): boolean => !known.has(contact.id) && !contact.email && !contact.phone

        // The request is on the wire: the API acts whether the relay still listens or not.
        time.after(takesMs / 2, () => {
          if (hit) log(() => `api ${hit}: ${id}`)
          if (hit === 'hangs before storing') return
          if (hit === 'resets before storing') return lose(new TypeError('fetch failed'))
          if (hit === 'fails') return answer(refusal(500))
          if (hit === 'throttles') return answer(refusal(429, { 'Retry-After': random.pick(['1', '7', '30', '200', '-5', 'soon']) }))
          if (hit === 'refuses' || isUnknown()) {
            onRefused(id)
            return answer(refusal(400))
          }
          if (hit === 'locks out') return answer(refusal(401))
          if (hit === 'answers html') return answer(new Response('<p>maintenance', { status: 503 }))
          known.add(contact.id)
          stored = { id, contact, occurredAt, at: time.now(), relay, answer: 'on its way' }
          onStored(stored)
          if (hit === 'hangs after storing') stored.answer = 'lost'
          if (hit === 'hangs after storing') return
          if (hit === 'resets after storing') return lose(new TypeError('fetch failed'))
          time.after(takesMs / 2, () => answer(envelope()))
        })
      }),
  }
}
