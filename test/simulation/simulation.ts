/**
 * Runs one scenario in virtual time and judges it.
 * Invariant: the same scenario gives the same log, byte for byte.
 */
import { enter } from './ambience.ts'
import { createApi, type Stored } from './api.ts'
import { createIdentities, GRACE_MS, MIRROR_MS, type Person, type Written } from './identities.ts'
import { createDisk } from './indexeddb.ts'
import { createWorld, type World } from './network.ts'
import { Page, type Device } from './page.ts'
import { createRandom } from './random.ts'
import { tell, type Action, type Scenario } from './scenario.ts'
import { COOKIE_FLUSH_MS, createCookies, createLocal, LOCAL_FLUSH_MS } from './storage.ts'
import { makeEvent } from './target.ts'
import { createTime } from './time.ts'
import { createWitness, Violation, type Witness } from './witness.ts'

export interface Outcome {
  violation?: Violation
  log: string[]
  steps: number
  counts: ReturnType<Witness['count']>
  /** Virtual milliseconds that it took until nothing was left. */
  tookMs: number
}

const START = Date.parse('2026-07-01T12:00:00Z')

/** By then everything that can be sent has been: the longest Retry-After is an hour, the longest backoff 5 min. */
const PATIENCE_MS = 4 * 3_600_000

/** How long it must have been quiet: a second sending would come within a lease, a look at the queue and the longest way. */
const QUIET_MS = 40_000

const FIELDS = { small: 1, big: 120 } // 120 of 50 three-byte characters: 20 KB, three to a batch

/** Persons of the site, as it identifies them. */
const contactOf = (person: number, details: 'full' | 'more' | 'id'): Record<string, unknown> => ({
  id: `u_${person}`,
  ...(details !== 'id' && { email: `u${person}@example.com` }),
  ...(details === 'more' && { name: 'Ada', customFields: { plan: 'pro' } }),
})

/** A tab: what shows one page after the other. */
interface Tab {
  name: string
  page: Page
  consent: 'granted' | 'pending' | 'denied'
  grantedAt: number
  frozenAt: number | undefined
  couldSpill: boolean
}

const MAX_TABS = 4

/** Where the product keeps what the visitor decided on consent. */
const DECISION = 'pristo_consent'

/** Where a denial waits that the disk has not carried out. */
const DENIAL = 'pristo_spill_denied'

/**
 * @param script the bundle, compiled: runs with a page's globals
 * @param isLogged whether to write the log, which costs a third of the time
 */
export const simulate = async (scenario: Scenario, script: (globals: object) => void, isLogged: boolean): Promise<Outcome> => {
  const time = createTime(START)
  const random = createRandom(scenario.seed)
  const lines: string[] = []
  let violation: Violation | undefined
  const fail = (error: Violation): void => {
    violation ??= error
  }
  const exit = enter(time, (reason) => {
    fail(new Violation('thrown', `a promise was left rejected: ${reason instanceof Error ? reason.stack : String(reason)}`))
  })

  const log = (who: string) => (text: () => string): void => {
    if (isLogged) lines.push(`${((time.now() - START) / 1000).toFixed(3).padStart(10)} ${who.padEnd(7)} ${text()}`)
  }
  /** Everything that judges runs in here: a violation ends the run where it happened. */
  const judging = <Given extends unknown[]>(work: (...given: Given) => void) => (...given: Given): void => {
    try {
      work(...given)
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      fail(error)
    }
  }

  const device: Device = {
    disk: createDisk(time, random.fork('disk'), log('disk')),
    local: createLocal(time),
    cookies: createCookies(time, () => time.now() + device.clockOffMs, '/'),
    clockOffMs: 0,
    isOnline: true,
    hasKeepalive: true,
    foreignBytes: 0,
  }
  const witness = createWitness({ device, time, relay: () => world.relay() })
  const identities = createIdentities(time.now())
  const onStored = judging((stored: Stored): void => {
    log('api')(() => `stored ${stored.id.slice(-5)} ${stored.contact.id}`)
    witness.stored(stored)
  })
  const api = createApi(time, random.fork('api'), onStored, log('api'), witness.refused)
  const world: World = createWorld({
    device,
    api,
    time,
    random,
    log: log('net'),
    keys: scenario.keys,
    ears: {
      onDispatch: judging((flight) => {
        log(`page ${flight.page.nth}`)(() => `request ${flight.nth}: ${flight.ids.map((id) => id.slice(-5)).join(' ')}${flight.isExit ? ' (out of sight)' : ''}`)
        witness.dispatched(flight, !isForbidden(flight.page) && !isDenied(flight.page))
      }),
      onOverBudget: judging(witness.overBudget),
      onHead: judging((_flight, stored) => witness.answered(stored)),
      onRead: judging(witness.read),
    },
  })

  const tabs: Tab[] = []
  let pages = 0
  let tracked = 0

  const listen = (page: Page): void => {
    for (const what of ['delivered', 'dropped', 'rejected'] as const) {
      page.face?.on(what, (payload) => {
        const event: unknown = what === 'delivered' ? payload : Reflect.get(Object(payload), 'event')
        const id = String(Reflect.get(Object(event), 'id'))
        log(`page ${page.nth}`)(() => `told ${what} ${id.slice(-5)} ${what === 'dropped' ? Reflect.get(Object(payload), 'reason') : ''}`)
        judging(witness.told)(page, !isForbidden(page), what, id, isDenied(page))
      })
    }
  }

  /** The visitor's decision as the device has it: what a page reads of it. */
  const decision = (): string | undefined =>
    device.local.fault === 'denied' ? undefined : new Map(device.local.entries()).get(DECISION)

  /** A page hears of a decision: its own, that of the page before, or another tab's. */
  const decide = (tab: Tab, state: Tab['consent']): void => {
    const { page } = tab
    if (state === 'granted' && tab.consent !== 'granted') tab.grantedAt = page.ownsSince = time.now()
    if (state === 'pending' && tab.consent !== 'pending') identities.deafened(page)
    if (state === 'denied') {
      identities.reset(page, time.now(), written(), device.disk.healthySince())
      // What is denied is denied on this page; what others have in memory is theirs until they are told, and what fails erases nothing.
      if (tabs.length > 1 || device.local.fault) identities.blur()
      witness.denied(page)
    }
    tab.consent = state
  }

  /** The page begins: what was decided before holds for it. */
  const begin = (page: Page): void => {
    const tab = tabs.find((one) => one.page === page)
    if (!tab) return
    const word = decision()
    tab.consent = word === 'granted' ? word : (scenario.consent ?? 'granted')
    if (word === 'denied') decide(tab, word)
  }

  /** The page is seen again, or is back online: another tab's refusal holds for it. */
  const recall = (page: Page): void => {
    const tab = tabs.find((one) => one.page === page)
    if (tab && tab.consent !== 'denied' && decision() === 'denied') decide(tab, 'denied')
  }

  const load = (): Page => {
    const nth = ++pages
    const page: Page = new Page({
      nth,
      device,
      network: world,
      time,
      random: random.fork(`page ${nth}`),
      attributes: { endpoint: '/pristo', ...(scenario.consent && { consent: scenario.consent }) },
      script: (globals) => {
        begin(page)
        script(globals)
      },
      onWrite: (writer, key, newValue, oldValue) => {
        const isLeave = newValue === null || key === DECISION || (isDenied(writer) && key === DENIAL)
        if (!isLeave && (isForbidden(writer) || isDenied(writer))) fail(new Violation('without consent', `page ${writer.nth} wrote ${key}`))
        for (const { page: other } of tabs) {
          if (other === writer) continue
          time.after(2, () => other.task(() => other.window.emit(makeEvent('storage', other.window, { key, newValue, oldValue }))))
        }
      },
      onThrown: (error) => {
        fail(new Violation('thrown', `into page ${nth}: ${error instanceof Error ? error.stack : String(error)}`))
      },
      log: log(`page ${nth}`),
    })
    witness.opened(page)
    page.task(() => listen(page))
    return page
  }

  const isForbidden = (page: Page): boolean => tabs.some((tab) => tab.page === page && tab.consent === 'pending')

  /** Where nothing may be tracked, nobody is told who the visitor is. */
  const isDenied = (page: Page): boolean => tabs.some((tab) => tab.page === page && tab.consent === 'denied')

  let decided: { page: Page; at: number } | undefined
  /** Nobody logs in and out in two tabs within a second. */
  const mayDecide = (page: Page): boolean => {
    if (decided && decided.page !== page && decided.page.isAlive() && time.now() - decided.at <= GRACE_MS) return false
    decided = { page, at: time.now() }
    return true
  }

  const written = (): Written => (!device.local.fault ? 'at once' : device.disk.fault() ? 'nowhere' : 'on disk')

  const identify = (page: Page, person: number, details: 'full' | 'more' | 'id'): void =>
    page.task(() => {
      if (!mayDecide(page) || isDenied(page)) return
      const contact = contactOf(person, details)
      log(`page ${page.nth}`)(() => `identify ${JSON.stringify(contact)}`)
      identities.identify(page, String(contact.id), time.now(), written(), device.disk.healthySince())
      if (isForbidden(page)) identities.blur()
      page.face?.identify(contact)
    })

  const openTab = (knows: boolean): void => {
    const page = load()
    tabs.push({ name: `tab ${tabs.length + 1}`, page, consent: 'granted', grantedAt: time.now(), frozenAt: undefined, couldSpill: true })
    const { ids, isOpen } = identities.current()
    const id = [...ids].at(-1)
    if (knows && !isOpen && id) identify(page, Number(id.slice(2)), 'full')
  }

  /** `pagehide` and the page's end, which comes before anything else of it can run. */
  const leave = (tab: Tab, next: () => void): void => {
    const { page } = tab
    time.after(0, () => {
      page.isGone = true
      page.dispatch('pagehide', 'window', { persisted: false })
      page.hide() // browsers send `visibilitychange` last (Chromium 156, Firefox 153), whatever came before
      tab.couldSpill = !device.local.fault
      time.after(0, () => {
        end(tab, 'closed')
        next()
      })
    })
  }

  const end = (tab: Tab, how: 'closed' | 'discarded' | 'crashed' | 'killed'): void => {
    const { page, consent, couldSpill, grantedAt, frozenAt } = tab
    if (!page.isAlive()) return
    log(`page ${page.nth}`)(() => how)
    page.end()
    identities.ended(page, time.now())
    judging(witness.ended)(page, how, { hasConsent: consent === 'granted', couldSpill, grantedAt, ranUntil: frozenAt ?? time.now() })
  }

  const remove = (tab: Tab): void => {
    const at = tabs.indexOf(tab)
    if (at >= 0) tabs.splice(at, 1)
  }

  const thaw = (tab: Tab): void => {
    if (tab.frozenAt === undefined) return
    tab.frozenAt = undefined
    tab.page.isGone = false
    tab.page.thaw()
    tab.page.dispatch('pageshow', 'window', { persisted: true })
    recall(tab.page)
    tab.page.show()
  }

  let clearedAt = -Infinity

  const track = (page: Page, count: number, size: 'small' | 'big'): void => {
    const fields = Object.fromEntries(Array.from({ length: FIELDS[size] }, (_, nth) => [`field${nth}`, '€'.repeat(size === 'small' ? 3 : 50)]))
    for (let nth = 0; nth < count; nth++) {
      const name = `event ${++tracked}`
      const isPending = tabs.some((tab) => tab.page === page && tab.consent === 'pending')
      const isAlone = isPending || !!device.local.fault || time.now() - Math.max(device.local.failedAt(), clearedAt) < 60_000
      const people: Person[] = identities.at(page, time.now(), isAlone)
      const id = page.face?.track(`t${tracked}`, fields)
      if (id === undefined) continue
      log(`page ${page.nth}`)(() => `track ${name} = ${id.slice(-5)}`)
      judging(witness.accepted)(page, id, `${name} (${id.slice(-5)}, page ${page.nth})`, people)
    }
  }

  let healers: (() => void)[] = []
  /** Something breaks for a while. */
  const breakFor = (forMs: number, heal: () => void): void => {
    let isHealed = false
    const once = (): void => {
      if (isHealed) return
      isHealed = true
      heal()
    }
    healers.push(once)
    time.after(forMs, once)
  }

  const goOnline = (): void => {
    device.isOnline = true
    for (const { page } of tabs) {
      page.task(() => {
        if (!page.isHidden) recall(page)
        page.dispatch('online', 'window')
      })
    }
  }

  const act = (action: Action): void => {
    log('')(() => `— ${tell(action)}`)
    const tab = 'tab' in action ? tabs[action.tab % Math.max(1, tabs.length)] : undefined
    if ('tab' in action && !tab) return
    const isAwake = tab && tab.frozenAt === undefined && !tab.page.isGone
    switch (action.do) {
      case 'open':
        if (tabs.length < MAX_TABS) openTab(action.knows)
        return
      case 'track':
        if (isAwake) tab.page.task(() => track(tab.page, action.count, action.size))
        return
      case 'identify':
        if (isAwake) identify(tab.page, action.person, action.details)
        return
      case 'reset':
        if (isAwake) {
          tab.page.task(() => {
            if (!mayDecide(tab.page) || isDenied(tab.page)) return
            log(`page ${tab.page.nth}`)(() => 'reset')
            identities.reset(tab.page, time.now(), written(), device.disk.healthySince())
            if (isForbidden(tab.page)) identities.blur()
            tab.page.face?.reset()
          })
        }
        return
      case 'flush':
        if (isAwake) tab.page.task(() => void tab.page.face?.flush())
        return
      case 'hide':
        if (isAwake) tab.page.hide()
        tab && (tab.couldSpill = !device.local.fault)
        return
      case 'show':
        if (!isAwake) return
        if (tab.page.isHidden) recall(tab.page)
        tab.page.show()
        return
      case 'close':
        if (!isAwake) return tab && (end(tab, 'discarded'), remove(tab))
        leave(tab, () => remove(tab))
        return
      case 'navigate':
        if (!isAwake) return
        leave(tab, () => {
          time.after(random.fork(`load ${pages}`).int(4, 120), () => {
            if (!tabs.includes(tab)) return
            Object.assign(tab, { page: load(), consent: 'granted', grantedAt: time.now(), couldSpill: true })
            const { ids, isOpen } = identities.current()
            const id = [...ids].at(-1)
            if (!isOpen && id) identify(tab.page, Number(id.slice(2)), 'full')
          })
        })
        return
      case 'crash':
        if (!tab) return
        end(tab, 'crashed')
        remove(tab)
        return
      case 'freeze':
        if (!isAwake) return
        tab.page.hide()
        time.after(0, () => {
          tab.page.isGone = true
          tab.page.dispatch('pagehide', 'window', { persisted: true })
          tab.couldSpill = !device.local.fault
          time.after(0, () => {
            tab.page.freeze()
            tab.frozenAt = time.now()
          })
        })
        return
      case 'thaw': {
        const frozen = tabs.find(({ frozenAt }) => frozenAt !== undefined)
        if (!frozen) return
        if (!action.isEvicted) return thaw(frozen)
        end(frozen, 'discarded')
        remove(frozen)
        return
      }
      case 'consent':
        if (!isAwake) return
        tab.page.task(() => {
          decide(tab, action.state)
          tab.page.face?.consent(action.state)
          if (!device.local.fault) judging(witness.decided)(tab.page, action.state, decision())
        })
        return
      case 'way':
        world.break(action.fault, action.chance)
        return breakFor(action.forMs, () => world.break(undefined))
      case 'offline':
        device.isOnline = false
        for (const { page } of tabs) page.task(() => page.dispatch('offline', 'window'))
        return breakFor(action.forMs, goOnline)
      case 'api':
        api.break(action.fault, action.chance)
        return breakFor(action.forMs, () => api.break(undefined))
      case 'relay':
        return world.restartRelay(action.isCrash)
      case 'disk':
        device.disk.break(action.fault, action.chance)
        witness.diskBroke()
        return breakFor(action.forMs, () => {
          device.disk.break(undefined)
          witness.diskBroke()
        })
      case 'disconnect':
        device.disk.disconnect(action.withEvent)
        return witness.diskBroke()
      case 'local':
        device.local.fault = action.fault
        return breakFor(action.forMs, () => (device.local.fault = undefined))
      case 'cookies':
        device.cookies.isDenied = true
        witness.cookiesDenied()
        return breakFor(action.forMs, () => {
          device.cookies.isDenied = false
          witness.cookiesDenied()
        })
      case 'clear':
        device.disk.clear()
        device.local.clear()
        device.cookies.clear()
        identities.forget(time.now(), time.now() - MIRROR_MS) // a tab that had not looked since writes back what it knew
        clearedAt = time.now()
        return witness.cleared()
      case 'delete database':
        return device.disk.deleteAll(witness.cleared)
      case 'kill':
        world.kill()
        device.local.rollBack(time.now() - LOCAL_FLUSH_MS * random.next())
        device.cookies.rollBack(time.now() - COOKIE_FLUSH_MS * random.next())
        witness.killed()
        identities.forget(time.now(), time.now() - LOCAL_FLUSH_MS)
        for (const tab of tabs.splice(0)) end(tab, 'killed')
        return
      case 'clock':
        device.clockOffMs += action.byMs
        return witness.clockMoved()
      case 'old browser':
        device.hasKeepalive = false
        return
      case 'foreign':
        device.foreignBytes = action.bytes
        return breakFor(action.forMs, () => (device.foreignBytes = 0))
    }
  }

  /** A frozen page that others wait for is discarded (Chromium: "IndexedDB lock contention"). */
  const evict = (): void => {
    const isAnyFrozen = tabs.some(({ frozenAt }) => frozenAt !== undefined)
    for (const realm of isAnyFrozen ? device.disk.blockers() : []) {
      const tab = tabs.find(({ page }) => page === realm)
      if (!tab) continue
      end(tab, 'discarded')
      remove(tab)
    }
    time.after(1_000, evict)
  }
  evict()

  const failed = (): boolean => violation !== undefined
  let at = time.now()
  for (const { afterMs, action } of [{ afterMs: 0, action: { do: 'open', knows: true } } as const, ...scenario.steps]) {
    at += afterMs
    time.after(at - time.now(), () => act(action))
  }
  await time.run(() => failed() || time.now() > at)

  // The faults stop, and the visitor comes back once more.
  let quietSince = Infinity
  let isOver = false
  const settle = random.fork('settle')
  time.after(1, () => {
    log('')(() => '— the faults stop')
    for (const heal of healers) heal()
    healers = []
    for (const tab of tabs) thaw(tab)
  })
  time.after(2_000, () => {
    log('')(() => '— the visitor comes back')
    if (settle.chance(0.7)) for (const tab of [...tabs]) leave(tab, () => remove(tab))
    for (const tab of tabs) {
      if (tab.consent === 'granted') continue
      const { page } = tab
      page.task(() => {
        page.ownsSince = time.now()
        page.face?.consent('granted')
      })
      tab.consent = 'granted'
    }
    openTab(true)
    // Who had refused comes back to agree: what was denied stays denied.
    for (const tab of tabs.slice(-1)) {
      tab.page.task(() => {
        if (tab.consent === 'granted') return
        decide(tab, 'granted')
        tab.page.face?.consent('granted')
      })
    }
    const look = (): void => {
      const isIdle = witness.isQuiet() && [...world.flights()].every((flight) => flight.isOver)
      if (!isIdle) quietSince = Infinity
      else quietSince = Math.min(quietSince, time.now())
      isOver = time.now() - quietSince >= QUIET_MS || time.now() - at > PATIENCE_MS
      time.after(4_000, look)
    }
    look()
  })
  await time.run(() => failed() || isOver)
  // What still waits for a contact in a page's memory goes where the next page would find it.
  isOver = false
  time.after(0, () => {
    for (const tab of [...tabs]) leave(tab, () => remove(tab))
  })
  time.after(1_000, () => (isOver = true))
  await time.run(() => failed() || isOver)
  if (!failed()) judging(witness.finish)()

  exit()
  if (violation) lines.push(`${''.padStart(10)} VIOLATION ${violation.message}`)
  return { ...(violation && { violation }), log: lines, steps: time.step(), counts: witness.count(), tookMs: quietSince - at }
}
