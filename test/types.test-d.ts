/** The types, by what must compile and what must not; a site's own events are in events.test-d.ts. `npm run test:types` is the judge; nothing here runs. */
import { startAuto } from '../src/auto/index.ts'
import { createPristo, type FlushResult } from '../src/index.ts'
import type { Limiter, RateLimit } from '../src/relay/index.ts'
import type { TagOptions } from '../src/snippet.ts'

const pristo = createPristo<{ purchase: { amount: string; sku?: string }; signup: {}; view: { at: Date; page: number } }>()

pristo.track('purchase', { amount: '49.90' })
pristo.track('purchase', { amount: '49.90', sku: 'A1' })
pristo.track('signup')
pristo.track('signup', {})
pristo.track('view', { at: new Date(), page: 1 })

// @ts-expect-error a number where a text is meant
pristo.track('purchase', { amount: 49.9 })
// @ts-expect-error what is optional is left out: the site has exactOptionalPropertyTypes
pristo.track('purchase', { amount: '49.90', sku: undefined })

const untyped = createPristo({ endpoint: '/pristo', consent: 'pending' })
untyped.track('anything', { text: 'a', number: 1, big: 1n, yes: true, at: new Date(), none: null, left: undefined })
untyped.track('anything')
// @ts-expect-error a field cannot be a list
untyped.track('anything', { list: [1] })

pristo.identify({ id: 'u_1' })
pristo.identify({ id: 'u_1', email: 'a@b.co', phone: undefined, language: 'en', name: null, lastName: 'B', customFields: { plan: 'pro', seats: 3 } })
// @ts-expect-error a contact has an id
pristo.identify({ email: 'a@b.co' })
// @ts-expect-error an id is a text
pristo.identify({ id: 42 })
// @ts-expect-error no such contact field
pristo.identify({ id: 'u_1', mail: 'a@b.co' })

pristo.consent('denied')
// @ts-expect-error no such consent
pristo.consent('yes')

// Attributes are texts: typed events do not keep a tracker from it.
export const stops: (() => void)[] = [startAuto(pristo), startAuto(untyped, { pageview: undefined }), startAuto(pristo, { pageview: 'view', query: true })]
// @ts-expect-error no tracker
startAuto({})
// @ts-expect-error an event type is a text
startAuto(pristo, { pageview: true })

const off: () => void = pristo.on('rejected', ({ event, code, status, message }) => [event.id, code, status?.toFixed(), message])
off()
pristo.on('dropped', ({ reason }) => reason === 'reset' || reason === 'denied')
// @ts-expect-error no such event of ours
pristo.on('sent', () => {})

export const result: Promise<FlushResult> = pristo.flush()
// @ts-expect-error an id may be missing: the event may be refused
export const id: string = pristo.track('signup')

createPristo({ direct: { populationId: 'population', apiKey: 'key' } })
createPristo({ endpoint: undefined, token: undefined, getToken: undefined, consent: undefined, direct: undefined })
// @ts-expect-error direct mode needs a key
createPristo({ direct: { populationId: 'population' } })
// @ts-expect-error no such option
createPristo({ url: '/pristo' })

/** As @cloudflare/workers-types has the rate limiting binding. */
interface CloudflareRateLimit {
  limit(options: { key: string }): Promise<{ success: boolean }>
}
declare const cloudflare: CloudflareRateLimit
/** As @upstash/ratelimit 2.2 has it. */
interface UpstashRatelimit {
  limit: (identifier: string, request?: object) => Promise<{ success: boolean; limit: number; remaining: number; reset: number; pending: Promise<unknown> }>
}
declare const upstash: UpstashRatelimit
export const rateLimit: RateLimit = { address: cloudflare, contact: { limit: ({ key }) => upstash.limit(key) }, overall: { requests: 1, perS: 1 } }
// @ts-expect-error takes the key alone: as it is, all clients would be one
export const limiter: Limiter = upstash

createPristo({ respect: 'gpc dnt', debug: true, consent: undefined, beforeSend: (event) => (event.type === 'signup' ? null : { ...event, customFields: { n: 1 } }) })
createPristo({ beforeSend: ({ type, customFields }) => ({ type: type.toLowerCase(), customFields: { ...customFields, path: customFields['path']?.slice(0, 9) } }) })
// @ts-expect-error what a hook returns has a type, or is null
createPristo({ beforeSend: () => undefined })
// @ts-expect-error a hook answers at once
createPristo({ beforeSend: async (event) => event })
// @ts-expect-error a hook does not see who it was
createPristo({ beforeSend: (event) => (event.contact ? null : event) })
// @ts-expect-error no such option
createPristo({ before_send: () => null })

window.pristoConfig = { endpoint: '/pristo', consent: 'pending', respect: 'gpc', debug: true, token: 'jwt', getToken: () => undefined, beforeSend: () => null } satisfies TagOptions
// @ts-expect-error the tag has no direct mode
window.pristoConfig = { direct: { populationId: 'population', apiKey: 'key' } }
// @ts-expect-error no such consent
window.pristoConfig = { consent: 'yes' }
