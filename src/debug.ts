/**
 * Says on the console what becomes of each event and batch, for whoever sets up a site.
 * Invariant: it looks on from outside, changes nothing, and where nobody asked for it nothing of it runs.
 */
import { isDebugged } from './page.ts'
import { startPristo, type Payloads } from './pristo.ts'
import type { Send } from './sender.ts'

const say = (headline: string, ...details: unknown[]): void => {
  console.groupCollapsed('[pristo] ' + headline)
  console.log(...details)
  console.groupEnd()
}

const watch =
  (send: Send): Send =>
  async (events, keepalive, token) => {
    const sentAt = Date.now()
    const reply = await send(events, keepalive, token)
    const stored = reply?.results?.filter(({ outcome }) => outcome === 'stored')
    say(`batch of ${events.length}: ${reply ? `HTTP ${reply.http}, ${stored?.length ?? 0} stored` : 'no answer'}, ${Date.now() - sentAt} ms`, events, reply)
    return reply
  }

const FATES = ['delivered', 'rejected', 'dropped'] as const satisfies (keyof Payloads)[]

/** As `startPristo()`, with a line per event and batch where the options ask for it (an attribute without a value does), or `localStorage.pristo_debug`. */
export const start: typeof startPristo = (options, createSend) => {
  const { debug }: { debug?: unknown } = options
  if (debug !== '' && (!debug || debug === 'false') && !isDebugged()) return startPristo(options, createSend)
  const pristo = startPristo(options, (...given) => watch(createSend(...given)))
  for (const fate of FATES) {
    pristo.on(fate, (payload) => {
      const { event = payload, reason, code = reason } = Object(payload)
      say([event.type, fate, code].join(' '), payload)
    })
  }
  return {
    ...pristo,
    track: (type, ...given) => {
      const id = pristo.track(type, ...given)
      say(id ? `${type} accepted` : 'not accepted: consent, beforeSend or an error', type, ...given, id)
      return id
    },
  }
}
