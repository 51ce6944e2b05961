/**
 * Sends straight to the Pristo API, one request per event: for trials and trusted pages, since the key is in the page.
 * A bundle of its own, loaded only where a page asks for it.
 * Invariant: outcomes are those of the relay (PRISTO-API.md, "What follows for us").
 */
import type { Result } from './contract.ts'
import type { TrackedEvent } from './event.ts'
import type { Page } from './page.ts'
import type { Reply, Send, Transport } from './sender.ts'

/** Where and with which key direct mode sends. */
export interface Direct {
  /** @default 'https://api.pristo.io' */
  baseUrl?: string | undefined
  /** UUID. */
  populationId: string
  /** UUID. Anyone who opens the page can read it. */
  apiKey: string
}

const isSuccess = (status: unknown): boolean => Number(status) >= 200 && Number(status) < 300

/** HTTP and the envelope can disagree: the worse of the two counts. A body that is no envelope says nothing. */
const statusOf = ({ http, fields: { ok, status } = {} }: Reply): number =>
  !isSuccess(http) || typeof ok !== 'boolean' || typeof status !== 'number' ? http : ok || !isSuccess(status) ? status : 500

/** Refused for what the event is: every 4xx that speaks neither of the settings nor of the moment. */
const isRefused = (status: number): boolean => status >= 400 && status < 500 && ![401, 403, 404, 408, 425, 429].includes(status)

export const createDirectSender = (
  { post }: Transport,
  page: Page,
  { baseUrl = 'https://api.pristo.io', populationId, apiKey }: Direct,
): Send =>
  async (events, keepalive) => {
    const results: Result[] = []
    let stop: { reply: Reply | undefined } | undefined

    const sendOne = async ({ id, ...event }: TrackedEvent): Promise<void> => {
      if (stop) return
      const headers = { 'X-API-Key': apiKey, 'X-Request-Id': id }
      const reply = await post(`${baseUrl}/v1/events/send/${populationId}`, event, keepalive, headers)
      const status = reply ? statusOf(reply) : 0
      if (isSuccess(status)) results.push({ id, outcome: 'stored' })
      else if (isRefused(status)) {
        const message = String(Object(reply?.fields?.error).message)
        results.push({ id, outcome: 'rejected', code: 'invalid_event', status, message })
      } else stop = { reply: reply && { http: status, waitMs: reply.waitMs } }
    }

    // In order while there is time; at the page's end all at once, since nothing begun later would leave.
    if (page.isHidden()) await Promise.all(events.map(sendOne))
    else for (const event of events) await sendOne(event)
    return results.length ? { http: 200, waitMs: stop?.reply?.waitMs, results } : stop?.reply
  }
