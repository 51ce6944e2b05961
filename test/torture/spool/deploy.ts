/**
 * New versions over a full spool: the old process is told to stop, and the new one takes over, after it or beside it.
 * Invariant: nobody is killed and no answer is lost, so that nothing excuses a second arrival.
 */
import { createRandom } from '../../simulation/random.ts'
import { startPristoApi, type PristoApi } from '../../support/pristo-api.ts'
import { openBrowsers, type Browsers } from './browsers.ts'
import type { Engine, Store } from './engines.ts'
import type { Relay } from './relays.ts'
import { NAMES, serve } from './serve.ts'
import { untilEmpty } from './settle.ts'
import type { Measured } from './table.ts'
import { FAIR, makeWeather } from './weather.ts'
import { reckon } from './witness.ts'

/** How long a spool may take to get empty, milliseconds: the API was down, so that waits of some seconds are under way. */
const SETTLE_MS = 120_000

const VISIT = { pages: 8, contactsEach: 5, poison: 0 }

interface Site {
  store: Store
  api: PristoApi
  browsers: Browsers
  /** Those that pages post to now. */
  relays: Relay[]
  /** All that ever were. */
  all: Relay[]
}

/** Stops a relay, and says what is wrong with its end. */
const stop = async (relay: Relay): Promise<string[]> => {
  const code = await relay.stop()
  return code === 0 ? [] : [`${relay.name} ended with ${code} after SIGTERM`]
}

/** Does something at a site, waits for the spool to get empty, and reckons. */
const atSite = async (engine: Engine, seed: number, act: (site: Site) => Promise<string[]>): Promise<Measured> => {
  const random = createRandom(seed)
  const [store, api] = await Promise.all([engine.start(), startPristoApi()])
  const weather = makeWeather(api, { odds: FAIR, random })
  const relays: Relay[] = []
  const all: Relay[] = []
  const browsers = openBrowsers({ ...VISIT, relays, random: random.fork('pages') })
  try {
    const problems = await act({ store, api, browsers, relays, all })
    await browsers.empty()
    const spool = await store.open()
    await untilEmpty(spool, SETTLE_MS)
    const buried = await spool.dead.list(browsers.tracked().length)
    await spool.close()
    problems.push(...(await Promise.all(relays.map(stop))).flat())
    const reckoning = reckon({ tracked: browsers.tracked(), arrivals: weather.arrivals(), kills: [], buried, hasDetails: () => true })
    return {
      ...reckoning,
      kills: 0,
      allowed: 0,
      problems: [...reckoning.problems, ...problems, ...browsers.problems(), ...all.flatMap((relay) => relay.problems())],
      notes: [],
    }
  } finally {
    browsers.close()
    await Promise.all(all.map((relay) => relay.kill()))
    await Promise.all([api.close(), store.remove()])
  }
}

/** The API is down and the spool full; the old process stops, the new one starts, the API is back. */
export const runDeploy = async (engine: Engine, seed: number, events: number): Promise<Measured> => {
  let waited = 0
  const row = await atSite(engine, seed, async ({ store, api, browsers, relays, all }) => {
    const down = { ...api, url: 'http://127.0.0.1:9' } // where nobody listens
    const old = await serve({ name: NAMES[0], store, api: down })
    all.push(old)
    await old.ready()
    relays.push(old)
    browsers.track(events)
    await browsers.empty()
    relays.pop()
    const problems = await stop(old)
    const spool = await store.open()
    waited = (await spool.stats()).events
    await spool.close()
    const next = await serve({ name: NAMES[1], store, api })
    all.push(next)
    await next.ready()
    relays.push(next)
    browsers.track(events / 10)
    return problems
  })
  return { ...row, notes: [`${waited} events waited while no relay ran`] }
}

/** Several times in a row, while pages send and the API takes: the new process is there before the old one is told to stop. */
export const runOverlapped = async (engine: Engine, seed: number, { events, deploys }: { events: number; deploys: number }): Promise<Measured> => {
  const row = await atSite(engine, seed, async ({ store, api, browsers, relays, all }) => {
    const problems: string[] = []
    for (let nth = 0; nth <= deploys; nth++) {
      const next = await serve({ name: NAMES[nth % 2] ?? NAMES[0], store, api })
      all.push(next)
      await next.ready()
      relays.push(next)
      browsers.track(events / (deploys + 1))
      const [old] = relays
      if (!old || old === next) continue
      relays.shift()
      problems.push(...(await stop(old)))
    }
    return problems
  })
  return { ...row, notes: [`${deploys} times in a row`] }
}
