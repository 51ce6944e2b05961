/**
 * A site's own event types, by what must compile and what must not.
 * Invariant: holds under any compiler options; `npm run test:types` judges the source by it, test/package/types.test.ts what is packed.
 */
import * as z from 'zod'
import { createPristo, type EventMap, type FieldsOf, type Pristo } from '../src/index.ts'

const pristo = createPristo<{ purchase: { amount: string; sku: string }; signup: {}; trial: { plan: 'free' | 'pro'; seats?: number } }>()

pristo.track('purchase', { amount: '49.90', sku: 'A1' })
pristo.track('signup')
pristo.track('signup', {})
pristo.track('trial', { plan: 'pro' })
pristo.track('trial', { plan: 'pro', seats: 3 })
export const eventId: string | undefined = pristo.track('signup')

// @ts-expect-error no such event
pristo.track('purchased', { amount: '49.90', sku: 'A1' })
// @ts-expect-error an event has a type
pristo.track()
// @ts-expect-error its fields are missing
pristo.track('purchase')
// @ts-expect-error a field is missing
pristo.track('purchase', { amount: '49.90' })
// @ts-expect-error a number where a text is meant
pristo.track('purchase', { amount: 49.9, sku: 'A1' })
// @ts-expect-error no such field
pristo.track('purchase', { amount: '49.90', sku: 'A1', colour: 'red' })
// @ts-expect-error another event's field
pristo.track('trial', { plan: 'pro', amount: '49.90' })
// @ts-expect-error not one of the literals
pristo.track('trial', { plan: 'gratis' })
// @ts-expect-error an event without fields takes none
pristo.track('signup', { plan: 'pro' })
// @ts-expect-error fields are an object
pristo.track('signup', 'pro')
// @ts-expect-error fields come once
pristo.track('signup', {}, {})

// @ts-expect-error a field cannot be an object
createPristo<{ purchase: { amount: { value: string } } }>()
// @ts-expect-error a field cannot be just anything
createPristo<{ purchase: { amount: unknown } }>()
// @ts-expect-error an event is its fields, not a text
createPristo<{ purchase: string }>()
// @ts-expect-error nor a list
createPristo<{ purchase: string[] }>()
// @ts-expect-error each case of an event must have fields that can be sent
createPristo<{ payment: { card: string } | { bank: { iban: string } } }>()

/** Literals that are known as such elsewhere, and what only looks like them. */
const plan = 'pro'
const event = { type: 'trial', fields: { plan: 'free' } } as const
let anyPlan = 'pro'
pristo.track('trial', { plan })
pristo.track(event.type, event.fields)
// @ts-expect-error any text
pristo.track('trial', { plan: anyPlan })
anyPlan = ''

/** Interfaces, one extending another; read-only fields. */
interface Item {
  readonly sku: string
}
interface Purchase extends Item {
  amount: string
  coupon?: string
}
interface ShopEvents {
  purchase: Purchase
  logout: {}
}
const shop = createPristo<ShopEvents>()
shop.track('purchase', { sku: 'A1', amount: '49.90', coupon: 'X' })
shop.track('logout')
// @ts-expect-error a field of the interface that it extends is missing
shop.track('purchase', { amount: '49.90' })
// @ts-expect-error no such event
shop.track('login')

/** Alternatives. */
const paid = createPristo<{ payment: { card: string } | { iban: string }; search: { text?: string } | { tag?: string } }>()
paid.track('payment', { card: 'visa' })
paid.track('payment', { iban: 'DE' })
paid.track('search')
paid.track('search', { tag: 'new' })
// @ts-expect-error one of the two
paid.track('payment')
// @ts-expect-error neither
paid.track('payment', { cash: 'yes' })
// @ts-expect-error neither
paid.track('search', { page: 2 })

/** From schemas that the site has: of all its events, and of a union told apart by a name. */
const events = z.object({
  purchase: z.object({ amount: z.string(), sku: z.string().optional() }),
  view: z.object({ at: z.date(), page: z.number() }),
  signup: z.object({}),
})
const checked = createPristo<z.infer<typeof events>>()
checked.track('purchase', { amount: '49.90' })
checked.track('view', { at: new Date(), page: 1 })
checked.track('signup')
// @ts-expect-error a field is missing
checked.track('purchase', { sku: 'A1' })
// @ts-expect-error a text where a date is meant
checked.track('view', { at: '2026-11-24', page: 1 })
// @ts-expect-error an event without fields takes none
checked.track('signup', { plan: 'pro' })

const union = z.discriminatedUnion('type', [z.object({ type: z.literal('purchase'), amount: z.string() }), z.object({ type: z.literal('signup') })])
type Union = z.infer<typeof union>
const told = createPristo<{ [One in Union as One['type']]: Omit<One, 'type'> }>()
told.track('purchase', { amount: '49.90' })
told.track('signup')
// @ts-expect-error a field is missing
told.track('purchase', {})
// @ts-expect-error no such event
told.track('view')

const nested = z.object({ purchase: z.object({ item: z.object({ sku: z.string() }) }) })
// @ts-expect-error a field cannot be an object
createPristo<z.infer<typeof nested>>()

/** A function of the site's own around `track`, and one for any site. */
export const trackLater = <Name extends keyof ShopEvents>(type: Name, ...fields: FieldsOf<ShopEvents[Name]>): string | undefined => shop.track(type, ...fields)
trackLater('logout')
// @ts-expect-error its fields are missing
trackLater('purchase')
export const start = <Events extends EventMap<Events>>(): Pristo<Events> => createPristo<Events>({ endpoint: '/pristo' })
start<ShopEvents>().track('logout')
export const anybodys: Pick<Pristo, 'track'> = shop

/** Without types of the site's own any event will do. */
createPristo().track('anything', { text: 'a', number: 1, big: 1n, yes: true, at: new Date(), none: null, left: undefined })
// @ts-expect-error a field cannot be a list
createPristo().track('anything', { list: [1] })
