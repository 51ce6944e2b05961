/**
 * Two relays over one spool, an API at its worst, and `kill -9` of everything that runs, between and during its writes.
 * Invariant: who is killed comes back at once, over what is on its disk; all chance comes of the seed (what it meets does not).
 */
import { setTimeout as wait } from 'node:timers/promises'
import { createRandom, type Random } from '../../simulation/random.ts'
import { startPristoApi } from '../../support/pristo-api.ts'
import { openBrowsers } from './browsers.ts'
import type { Engine, Store } from './engines.ts'
import type { Relay } from './relays.ts'
import { NAMES, serve } from './serve.ts'
import { untilEmpty } from './settle.ts'
import type { Measured } from './table.ts'
import { makeWeather, type Odds } from './weather.ts'
import { reckon, STORE, type Arrival, type Kill } from './witness.ts'

/** How much of it. */
export interface Form {
  kills: number
  /** Mean time between two kills, milliseconds. */
  gapMs: number
  /** Tracked in all pages together. */
  perSecond: number
  pages: number
  contactsEach: number
  odds: Odds
  /** How long the spool may take to get empty once all is well again, milliseconds: a lease is 15 s, a call and an open breaker 10 s each. */
  settleMs: number
}

/** `npm run torture -- spool`. */
export const FULL: Form = {
  kills: 100,
  gapMs: 1_000,
  perSecond: 80,
  pages: 20,
  contactsEach: 5,
  odds: { fails: 0.06, throttles: 0.01, hangs: 0.01, resetsBefore: 0.04, resetsAfter: 0.04 },
  settleMs: 120_000,
}

/** Of `npm test`. */
export const SHORT: Form = { ...FULL, kills: 8, gapMs: 350, perSecond: 120, pages: 8, odds: { ...FULL.odds, throttles: 0.004, hangs: 0.004 }, settleMs: 60_000 }

/** Of an event, 0 to 1. */
const POISON = 0.03

/** How often a server in between is killed in place of a relay, 0 to 1. */
const STORE_SHARE = 0.25

/** What a kill waits for: nothing, a batch on its way to its victim, or a call of the API, whose answer is written down next. */
const AIMS = ['any', 'batch', 'call'] as const

/** How long after what it waited for a kill comes at the latest, milliseconds: a write takes some 4 on an ordinary disk. */
const AIMED_MS = 8

/** How long a kill waits for it at the most, milliseconds. */
const PATIENCE_MS = 500

/** Between two looks, and portions of what is tracked, milliseconds. */
const TICK_MS = 50

/** Moments at which something happens to a relay, for who waits for one. */
const createMoments = () => {
  const waiting = new Set<{ what: string; end: () => void }>()
  return {
    happen: (what: string): void => waiting.forEach((one) => one.what === what && one.end()),
    /** Resolves when it happens, and at the latest after `PATIENCE_MS`. */
    next: (what: string): Promise<void> =>
      new Promise((resolve) => {
        const end = (): void => {
          clearTimeout(late)
          waiting.delete(one)
          resolve()
        }
        const one = { what, end }
        const late = setTimeout(end, PATIENCE_MS)
        waiting.add(one)
      }),
  }
}

/** Who can be killed, and when. */
interface Plan {
  form: Form
  random: Random
  relays: readonly [Relay, ...Relay[]]
  store: Store
  moments: ReturnType<typeof createMoments>
}

/** All the kills, one after the other. */
const killAll = async ({ form, random, relays, store, moments }: Plan): Promise<Kill[]> => {
  const kills: Kill[] = []
  while (kills.length < form.kills) {
    await wait(random.next() * 2 * form.gapMs)
    const relay = random.pick(relays)
    const isStore = store.kill !== undefined && random.chance(STORE_SHARE)
    const aim = random.pick(AIMS)
    const delayMs = random.next() * AIMED_MS
    await relay.ready() // each kill meets one that works
    if (aim !== 'any') await moments.next(`${aim} ${relay.name}`)
    await wait(delayMs)
    if (isStore && store.kill) {
      const at = await store.kill()
      await store.restart?.()
      kills.push({ name: STORE, at, until: Date.now() })
      continue
    }
    const kill = { name: relay.name, at: await relay.kill(), until: Infinity }
    kills.push(kill)
    relay.restart()
    void relay.ready().then(
      () => (kill.until = Date.now()),
      () => undefined, // whoever waits for it hears why
    )
  }
  return kills
}

/** What there is to say of who was killed, and of the API. */
const describe = (store: Store, seconds: number, kills: readonly Kill[], arrivals: readonly Arrival[]): string[] => {
  const victims = [...NAMES, ...(store.kill ? [STORE] : [])].map((victim) => `${victim} ${kills.filter(({ name }) => name === victim).length} ×`)
  return [`killed ${victims.join(', ')} in ${Math.round(seconds)} s`, `${arrivals.length} calls, of which ${arrivals.filter(({ fate }) => fate === 'failed').length} failed`]
}

/** Runs it. */
export const runChaos = async (engine: Engine, seed: number, form: Form): Promise<Measured> => {
  const random = createRandom(seed)
  const moments = createMoments()
  const [store, api] = await Promise.all([engine.start(), startPristoApi()])
  const weather = makeWeather(api, { odds: form.odds, random: random.fork('weather'), onCall: (name) => moments.happen(`call ${name}`) })
  const relays: [Relay, Relay] = [await serve({ name: NAMES[0], store, api }), await serve({ name: NAMES[1], store, api })]
  const browsers = openBrowsers({ relays, random: random.fork('pages'), pages: form.pages, contactsEach: form.contactsEach, poison: POISON })
  browsers.onSend(({ name }) => moments.happen(`batch ${name}`))
  let tracking: NodeJS.Timeout | undefined
  try {
    await Promise.all(relays.map((relay) => relay.ready()))
    tracking = setInterval(() => browsers.track(Math.round((form.perSecond * TICK_MS) / 1000)), TICK_MS)
    const began = Date.now()
    const kills = await killAll({ form, random: random.fork('kills'), relays, store, moments })
    const seconds = (Date.now() - began) / 1000
    clearInterval(tracking)
    weather.clearUp()
    await Promise.all(relays.map((relay) => relay.ready()))
    await browsers.empty()
    const spool = await store.open()
    await untilEmpty(spool, form.settleMs)
    const buried = await spool.dead.list(browsers.tracked().length)
    await spool.close()
    const codes = await Promise.all(relays.map((relay) => relay.stop()))

    const [tracked, arrivals] = [browsers.tracked(), weather.arrivals()]
    const emails = new Map(api.contacts().map(({ id, email }) => [id, email]))
    const reckoning = reckon({ tracked, arrivals, kills, buried, hasDetails: (id) => emails.get(id) === `${id}@shop.example` })
    const poison = tracked.filter(({ isPoison }) => isPoison).length
    return {
      ...reckoning,
      kills: kills.length,
      allowed: Object.values(reckoning.allowed).reduce((sum, count) => sum + count, 0),
      problems: [
        ...reckoning.problems,
        ...(poison === buried.length ? [] : [`${poison} events were poison, and ${buried.length} were buried`]),
        ...codes.flatMap((code, nth) => (code === 0 ? [] : [`${NAMES[nth]} ended with ${code} after SIGTERM`])),
        ...browsers.problems(),
        ...relays.flatMap((relay) => relay.problems()),
      ],
      notes: [
        ...describe(store, seconds, kills, arrivals),
        ...Object.entries(reckoning.allowed).map(([why, count]) => `allowed, ${why}: ${count}`),
        ...new Set(relays.flatMap((relay) => relay.errors().map((error) => `said: ${error}`))),
      ],
    }
  } finally {
    clearInterval(tracking)
    browsers.close()
    await Promise.all(relays.map((relay) => relay.kill()))
    await Promise.all([api.close(), store.remove()])
  }
}
