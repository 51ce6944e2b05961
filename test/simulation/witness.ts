/**
 * What must be true, whatever happened.
 *
 * 1. **lost**: an accepted event ends stored, told (`dropped`, `rejected`), or waiting on the device for a contact. It may be
 *    lost by the world's physics only, judged when a page ends and the event is in no storage:
 *    - closed or discarded: `localStorage` failed when the page went, or there was no consent to write;
 *    - crashed or killed: the disk had not been healthy, and the page running, for {@link ON_DISK_MS} since the event
 *      ({@link AT_ONCE_MS} or {@link OUT_OF_SIGHT_MS} where nothing had been wrong with the disk since the page began);
 *    - the visitor cleared the site's data, or another script deleted the database;
 *    - the browser was killed before its localStorage, where alone it was, was on its disk.
 * 2. **stored twice**: only where the API's last answer for it was lost on its way to the relay; or where another relay process
 *    (or a day later) stored it, and when that request left, no answer saying `stored` had reached the browser, or what the
 *    browser had been told was destroyed (data cleared, cookies or `localStorage` denied, browser killed before they were on its
 *    disk), was the ack of a beacon that another tab cleared while the page that sent it waited, or one of more than five while
 *    the disk failed; or two tabs had it while the disk failed: one in memory, the other from its spill or from what the disk had before.
 * 3. **in two requests**: no event leaves again within a request's time while it is on its way, unless the disk failed since it was tracked, its
 *    data was cleared, the browser was killed or the clock jumped (in the hour before: a lease may seem to last so long); within one page never.
 *    **sent again**: a page that has read that an event is stored never sends it again, whatever the disk says.
 * 4. **overtaken**: a page that is seen sends no event while an earlier one of its own and of the same contact waits and is not
 *    on its way; its own are those since it last came back from being frozen or got consent, as it then finds the others where a new page would, unless the disk that has it failed. (At exit everything leaves that is not on its way, and what a dead or slow tab leased comes later: DESIGN.md.)
 *    The relay stores the events of one request and contact in order.
 * 5. **somebody else's**: a stored event names the person whose it is (identities.ts).
 *    **without consent**: nothing leaves a page that has none.
 *    **denied**: a page that begins, or is seen again, after a refusal has none. What waited when consent was refused on the only page there was is not sent afterwards, unless that page died
 *    before the disk could know.
 * 6. **too soon**: a page keeps a Retry-After. **over budget**: alone it never asks for more keepalive bytes than there are, and
 *    sends nothing without keepalive when it goes.
 *    **thrown**: nothing is thrown into the page, and no promise is left rejected.
 * 7. **untrue**: what is told as delivered is stored; what is told as dropped is not sent afterwards, but for what one tab told of
 *    an event that another one had in memory, or while it had no consent, or no storage, to write it down.
 */
import { ackMark, type Contact, type Result } from '../../src/contract.ts'
import { LONGEST_WAIT_MS } from '../../src/holding.ts'
import type { Stored } from './api.ts'
import type { Person } from './identities.ts'
import type { Flight, RelayProcess } from './network.ts'
import type { Device, Page } from './page.ts'
import { COOKIE_FLUSH_MS } from './storage.ts'
import type { Time } from './time.ts'

/** An invariant that does not hold. */
export class Violation extends Error {
  constructor(
    readonly invariant: string,
    readonly story: string,
  ) {
    super(`${invariant}: ${story}`)
  }
}

/** How a page ended. */
export type End = 'closed' | 'discarded' | 'crashed' | 'killed'

/** What a page that lives needs to have an event on a disk that works again: a look at its queue (5 s), a slow operation and its second try. */
export const ON_DISK_MS = 30_000

/** The same on a disk that has always worked: the write begins in the task of `track()`, and waits for a frozen tab's at most. */
export const AT_ONCE_MS = 1_500

/** Out of sight it begins with a timer that comes once a second. */
export const OUT_OF_SIGHT_MS = 3_000

/** The browser's own end of a request, milliseconds. */
const REQUEST_MS = 10_000

/** The relay forgets after this, milliseconds. */
const DAY_MS = 24 * 3_600_000

/** A tab's hold on an event that waits without being renewed, less a request. */
const HELD_MS = 5_000

interface Tracked {
  id: string
  name: string
  page: Page
  at: number
  people: Person[]
  isTold: Set<'delivered' | 'rejected' | 'dropped'>
  toldAt: number
  /** Whether a request with it had left when it was first told of. */
  hadLeft: boolean
  toldBy?: Page
  stores: Stored[]
  /** Why it was stored again although the browser had known. */
  gaps: ('destroyed' | 'beacon' | 'acks' | 'spill')[]
  isRefused: boolean
  wasHidden: boolean
  wasNobodys: boolean
  /** Pages that have read that it is stored. */
  readBy: Set<Page>
  /** Told as dropped by another tab than the one that has it. */
  isContested: boolean
  flights: Flight[]
  /** When the browser first knew that it was stored. */
  knownAt: number
  /** When consent was refused on the only page there was, and that page: from then on nobody may send it. */
  deniedAt: number
  deniedBy?: Page
  excuse?: string
  blame?: string
}

export type Witness = ReturnType<typeof createWitness>

export const createWitness = (parts: { device: Device; time: Time; relay: () => RelayProcess }) => {
  const { device, time } = parts
  const events = new Map<string, Tracked>()
  const order = new Map<Page, Tracked[]>()
  const orders = new Map<Page, { until: number; clock: number }>()
  let damagedAt = -Infinity // evidence was destroyed: data cleared, browser killed
  let clockMovedAt = -Infinity
  let cookiesFailedAt = -Infinity
  let diskBrokeAt = -Infinity
  const ackedAt: number[] = [] // when answers that say stored reached the browser
  const pages = new Map<Page, { endedAt: number }>()

  const fail = (invariant: string, story: string): never => {
    throw new Violation(invariant, story)
  }

  const isFinished = ({ stores, isTold }: Tracked): boolean => stores.length > 0 || isTold.has('dropped') || isTold.has('rejected')

  /** Ids of events in `localStorage`, and records on disk. */
  const persisted = (): Map<string, { hasContact: boolean }> => {
    const found = new Map<string, { hasContact: boolean }>()
    const take = (value: unknown): void => {
      const event: unknown = Reflect.get(Object(value), 'event')
      const id: unknown = Reflect.get(Object(event), 'id')
      if (typeof id === 'string') found.set(id, { hasContact: Reflect.get(Object(event), 'contact') !== undefined })
    }
    device.disk.values().forEach(take)
    for (const [, text] of device.local.entries()) {
      if (!text.startsWith('[')) continue
      const list: unknown = JSON.parse(text)
      if (Array.isArray(list)) list.forEach(take)
    }
    return found
  }

  /** Whether two events are one contact's beyond doubt. */
  const isSameContact = (a: Tracked, b: Tracked): boolean => {
    const [person] = a.people
    // Else a killed browser may have mixed two, or a tab without consent named somebody of its own.
    return a.people.length === 1 && b.people.length === 1 && person === b.people[0] && person?.ids.size === 1 && !person.isAnyone
  }

  /** It may wait for a contact in its page's memory. */
  const isNobodys = ({ page, people }: Tracked): boolean => page.isAlive() && people.every(({ ids }) => !ids.size)

  const isDiskSound = (): boolean => device.disk.healthySince() <= time.now() - ON_DISK_MS && diskBrokeAt < time.now() - ON_DISK_MS

  /** Whether another page sends it while its own one lives, which has not sent it for as long as a request takes. */
  const isTakenOver = (event: Tracked, { page, at }: Flight): boolean => {
    const own = event.flights.filter((flight) => flight.page === event.page && flight.at <= at)
    const isAlive = (pages.get(event.page)?.endedAt ?? 0) > at
    return page !== event.page && isAlive && at - Math.max(event.at, ...own.map((flight) => flight.at)) >= REQUEST_MS
  }

  const hasDiskFailedSince = (event: Tracked): boolean => Math.max(diskBrokeAt, device.disk.healthySince()) > event.at

  /** Whether two tabs had it while the disk failed: one in memory, and after its lease another from the first one's spill, or from what the disk had before. */
  const hadTwo = (event: Tracked, by: number): boolean =>
    hasDiskFailedSince(event) && event.flights.some((flight) => flight.at <= by && isTakenOver(event, flight))

  const judgeSecond = (event: Tracked, last: Stored, next: Stored, candidates: Flight[]): void => {
    const relay = last.relay as RelayProcess
    if (last.answer === 'lost' || (last.answer === 'on its way' && relay.isDead)) return
    const hasForgotten = last.relay !== next.relay || next.at - last.at > DAY_MS
    const leftAt = Math.max(...candidates.map(({ at }) => at))
    const isUnknown = event.knownAt > leftAt
    // Cookies are on the disk of a browser 30 s later. What is spilled where `localStorage` fails nobody can compare with them.
    const isDestroyed = Math.max(damagedAt, cookiesFailedAt, device.local.failedAt()) >= event.knownAt
    // Nobody answers a page that lives on after a beacon: another tab may have read the ack and cleared it.
    const isUnheard = !device.hasKeepalive && candidates.every(({ page, at }) => event.flights.some((flight) => flight.page === page && flight.isExit && flight.at < at))
    // A failing disk leaves the five youngest acks.
    const isCrowded = hasDiskFailedSince(event) && ackedAt.filter((at) => at > event.knownAt).length >= 5
    const isTwofold = hadTwo(event, last.at)
    if (hasForgotten && isUnknown) return
    if (hasForgotten && (isDestroyed || isUnheard || isCrowded || isTwofold)) return void event.gaps.push(isDestroyed ? 'destroyed' : isUnheard ? 'beacon' : isCrowded ? 'acks' : 'spill')
    fail(
      'stored twice',
      `${event.name}: ${hasForgotten ? 'the relay had been replaced' : 'by the same relay'}, answer to the relay ${last.answer}, ` +
        `the browser ${isUnknown ? 'did not know' : `had known for ${Math.round(leftAt - event.knownAt)} ms`} when request ${candidates.map(({ nth }) => nth).join('/')} left`,
    )
  }

  /** Whether another page may have taken it over, and taken it with it when it went. */
  const hadOthers = (event: Tracked, than: Page): boolean => [...pages].some(([page, { endedAt }]) => page !== than && endedAt > event.at)

  return {
    opened: (page: Page): void => {
      pages.set(page, { endedAt: Infinity })
      order.set(page, [])
    },

    accepted: (page: Page, id: string, name: string, people: Person[]): void => {
      if (events.has(id)) fail('untrue', `track() gave the id ${id} twice`)
      const event: Tracked = {
        id, name, page, people,
        at: time.now(), isTold: new Set(), toldAt: Infinity, hadLeft: false, stores: [], gaps: [], isRefused: false, wasHidden: page.isHidden, wasNobodys: people.every(({ ids }) => !ids.size), readBy: new Set(), isContested: false, flights: [], knownAt: Infinity, deniedAt: Infinity,
      } // prettier-ignore
      events.set(id, event)
      order.get(page)?.push(event)
    },

    told: (page: Page, mayWrite: boolean, what: 'delivered' | 'rejected' | 'dropped', id: string, isDenied: boolean): void => {
      const event = events.get(id)
      if (!event) return
      // One tab's refusal of consent, or logout, reaches what another one has in memory when that hears of it.
      const isForgotten = !!device.local.fault && !isDiskSound() // no storage takes it down
      const isElsewhere = (event.page !== page && event.page.isAlive()) || (isDenied && hadOthers(event, page))
      if (what === 'dropped' && (!mayWrite || isForgotten || isElsewhere)) event.isContested = true
      if (what === 'delivered' && !event.stores.length) fail('untrue', `${event.name} is told as delivered and was never stored`)
      event.isTold.add(what)
      if (!event.toldBy) Object.assign(event, { toldAt: time.now(), hadLeft: event.flights.length > 0 })
      event.toldBy ??= page
    },

    dispatched: (flight: Flight, hasConsent: boolean): void => {
      if (!hasConsent) fail('without consent', `request ${flight.nth} left page ${flight.page.nth}`)
      const now = time.now()
      const order_ = orders.get(flight.page)
      if (order_ && now < order_.until && order_.clock === device.clockOffMs) {
        fail('too soon', `request ${flight.nth} left ${Math.round(order_.until - now)} ms before its Retry-After was over`)
      }
      if (flight.page.isGone && device.hasKeepalive && !flight.isKeepalive) fail('over budget', `request ${flight.nth} left a page that was going and could only die with it`)
      if (new Set(flight.ids).size < flight.ids.length) fail('in two requests', `request ${flight.nth} names an event twice`)
      const isClockSound = clockMovedAt < now - LONGEST_WAIT_MS // a due that was written before may seem to be so far ahead
      for (const id of flight.ids) {
        const event = events.get(id)
        if (!event) continue
        if (event.readBy.has(flight.page)) fail('sent again', `${event.name} left with request ${flight.nth} although its page had read that it is stored`)
        for (const other of event.flights) {
          const isOnItsWay = !other.isOver && now - other.at < REQUEST_MS
          // By a clock that was set back, a lease from before may seem to go on for the longest wait that there is: two tabs hold the event.
          const isUntimed = clockMovedAt > now - 30_000 || (clockMovedAt > event.at && clockMovedAt > now - LONGEST_WAIT_MS)
          const isExcused = !isDiskSound() || damagedAt > event.at || isUntimed || hasDiskFailedSince(event)
          if (isOnItsWay && (other.page === flight.page || !isExcused)) {
            fail('in two requests', `${event.name} left with request ${flight.nth} ${Math.round(now - other.at)} ms after request ${other.nth}, which was still on its way`)
          }
        }
        event.flights.push(flight)
      }
      if (flight.isExit || !isClockSound || !isDiskSound()) return // what is on a disk that fails, nobody can send
      const mine = order.get(flight.page) ?? []
      const sent = mine.filter(({ id }) => flight.ids.includes(id))
      const first = mine.filter((event) => event.at > flight.page.ownsSince && !isFinished(event) && event.excuse === undefined && !flight.ids.includes(event.id))
      for (const early of first) {
        const overtaking = sent.find((event) => event.at > early.at && isSameContact(event, early))
        if (!overtaking) continue
        const isElsewhere = early.flights.some(({ isOver, at }) => !isOver && now - at < 3 * REQUEST_MS) || (now - early.at > HELD_MS && hadOthers(early, flight.page))
        if (!isElsewhere) fail('overtaken', `${overtaking.name} left with request ${flight.nth} while ${early.name} of the same contact waited`)
      }
    },

    overBudget: (page: Page, bytes: number): unknown => device.hasKeepalive && fail('over budget', `page ${page.nth} asked for ${bytes} bytes of keepalive requests at once`),

    /** The head of an answer reached the browser. */
    answered: (stored: string[]): void => {
      if (stored.length) ackedAt.push(time.now())
      for (const id of stored) {
        const event = events.get(id)
        if (event) event.knownAt = Math.min(event.knownAt, time.now())
      }
      if (device.cookies.isDenied) cookiesFailedAt = time.now()
    },

    read: (flight: Flight, results: Result[], waitS: number): void => {
      for (const { id, outcome } of results) if (outcome === 'stored') events.get(id)?.readBy.add(flight.page)
      if (waitS > 0) orders.set(flight.page, { until: time.now() + Math.min(waitS, 3600) * 1000 - 1_500, clock: device.clockOffMs })
    },

    stored: (next: Stored): void => {
      const event = events.get(next.id)
      if (!event) return fail('untrue', `the API got an event that nobody tracked: ${next.id}`)
      const relay = next.relay as RelayProcess
      const candidates = [...relay.flights].filter(({ ids }) => ids.includes(next.id))
      // After a logout by a clock that was set back, nobody can say what came first: the logout, or what another tab tracked.
      const isUntimed = clockMovedAt >= event.at && event.wasNobodys
      const whose = isUntimed || event.people.some(({ ids, isAnyone }) => isAnyone || ids.has(next.contact.id))
      if (!whose) {
        const allowed = event.people.map(({ ids }) => [...ids].join('/') || 'nobody').join(', ')
        fail('somebody else’s', `${event.name} of ${allowed} was stored as ${next.contact.id}`)
      }
      const isBelated = event.flights.every(({ at }) => at > event.deniedAt)
      if (isBelated && damagedAt < event.at && device.local.failedAt() < event.deniedAt) fail('denied', `${event.name} left although consent had been refused`)
      const last = event.stores.at(-1)
      if (last) judgeSecond(event, last, next, candidates)
      if (!last) {
        if (event.isTold.has('dropped') && !event.isContested && !event.hadLeft && damagedAt < event.at && isDiskSound()) {
          fail('untrue', `${event.name} was told as dropped, then sent and stored`)
        }
        const overtakenIn = ({ ids }: Flight): Tracked | undefined =>
          ids
            .slice(0, ids.indexOf(next.id))
            .flatMap((id) => events.get(id) ?? [])
            .find((early) => early.page === event.page && isSameContact(early, event) && !early.stores.length && !early.isRefused)
        // Of several requests that carried it, any may be the one that stored it.
        const [early, ...others] = candidates.map(overtakenIn)
        const isSound = clockMovedAt < time.now() - LONGEST_WAIT_MS && isDiskSound()
        if (isSound && early && others.every(Boolean)) fail('overtaken', `${event.name} was stored before ${early.name} of the same request`)
      }
      event.stores.push(next)
    },

    /** The visitor refuses consent on this page. */
    denied: (page: Page): void => {
      for (const event of events.values()) {
        if (isFinished(event) || hadOthers(event, page)) continue
        event.deniedAt = Math.min(event.deniedAt, time.now())
        event.deniedBy = page
      }
    },

    /** The visitor has decided on consent, and the device can be written to: later pages have to hear of it. */
    decided: (page: Page, state: 'granted' | 'pending' | 'denied', kept: string | undefined): void => {
      const expected = state === 'pending' ? undefined : state
      if (kept !== expected) fail('untrue', `page ${page.nth} was told ${state}, and the device remembers ${kept}`)
    },

    refused: (id: string): void => {
      const event = events.get(id)
      if (event) event.isRefused = true
    },

    /** A page is no more. Call it after its storage took what it takes. */
    ended: (page: Page, how: End, facts: { hasConsent: boolean; couldSpill: boolean; ranUntil: number; grantedAt: number }): void => {
      pages.set(page, { endedAt: time.now() })
      const kept = persisted()
      const { disk } = device
      for (const event of events.values()) {
        // Where `localStorage` fails, the disk alone can take down that it was dropped.
        const isYoung = event.toldBy === page && facts.ranUntil - event.toldAt < AT_ONCE_MS && device.local.failedAt() > event.toldAt - AT_ONCE_MS
        if (isYoung && event.isTold.has('dropped')) event.isContested = true
        // A page that dies says nothing to the next one: the disk alone may know.
        const isUnknown = facts.ranUntil - Math.max(event.deniedAt, disk.healthySince()) < ON_DISK_MS
        if (event.deniedBy === page && (how === 'crashed' || how === 'killed') && isUnknown) event.deniedAt = Infinity
        if (isFinished(event) || event.excuse !== undefined || kept.has(event.id)) continue
        if (event.page !== page && event.page.isAlive()) continue
        const hasAlwaysWorked = Math.max(disk.healthySince(), diskBrokeAt) < page.openedAt
        const neededMs = !hasAlwaysWorked ? ON_DISK_MS : event.wasHidden ? OUT_OF_SIGHT_MS : AT_ONCE_MS
        const soundSince = Math.max(event.at, disk.healthySince(), page.ownsSince, facts.grantedAt)
        if (!facts.hasConsent) event.excuse = 'there was no consent to keep it'
        else if (how === 'closed' || how === 'discarded') {
          if (!facts.couldSpill) event.excuse = `page ${page.nth} went while neither storage worked`
          else event.blame = `page ${page.nth} was ${how}, localStorage worked, and it was in no storage`
        } else if (facts.ranUntil - soundSince < neededMs) event.excuse = `page ${page.nth} ${how} before the disk could have it`
        else event.blame = `page ${page.nth} ${how} ${Math.round(facts.ranUntil - soundSince)} ms after it could have been on disk`
      }
    },

    /** The site's data is gone: all of it, or the databases. */
    cleared: (): void => {
      damagedAt = time.now()
      for (const event of events.values()) event.excuse ??= 'its data was cleared'
    },

    /** The browser was killed: its youngest writes to localStorage and cookies are gone, and with them what only they had. */
    killed: (): void => {
      damagedAt = time.now()
      const kept = persisted()
      for (const event of events.values()) {
        if (!event.page.isAlive() && !kept.has(event.id)) event.excuse ??= 'the browser was killed before localStorage was on its disk'
      }
    },

    clockMoved: (): void => {
      clockMovedAt = time.now()
    },

    diskBroke: (): void => {
      diskBrokeAt = time.now()
    },

    cookiesDenied: (): void => {
      cookiesFailedAt = time.now()
    },

    /** Whether nothing is left that could still be sent. */
    isQuiet: (): boolean => {
      const kept = persisted()
      for (const event of events.values()) {
        if (isFinished(event)) {
          if (kept.get(event.id)?.hasContact && !event.isTold.has('rejected')) return false
        } else if (event.excuse === undefined && (kept.get(event.id)?.hasContact ?? !isNobodys(event))) return false
      }
      return true
    },

    /** The last judgement. */
    finish: (): void => {
      const kept = persisted()
      for (const event of events.values()) {
        const left = kept.get(event.id)
        if (!isFinished(event) && event.excuse === undefined && left?.hasContact !== false) {
          if (left) fail('lost', `${event.name} still waits on the device although nothing hinders it`)
          fail('lost', `${event.name}: ${event.blame ?? 'it is nowhere, and nobody said why'}`)
        }
        // A killed browser may have forgotten both that it is stored and whose it is: then it waits for a contact, and is told to be stored.
        const isForgotten = damagedAt > event.at && left?.hasContact === false
        const isAcked = device.cookies.read().includes(ackMark(event.id)) // the next page takes it from there
        const isOurs = !hadTwo(event, time.now()) // by the tab that had it in memory, and may send it again
        if (event.stores.length && left && isOurs && !isForgotten && !isAcked && !event.isTold.has('rejected')) fail('lost', `${event.name} is stored, and is still in the outbox`)
      }
    },

    /** For the end of a run. */
    count: (): Record<'tracked' | 'stored' | 'twice' | 'twiceAsDestroyed' | 'twiceByBeacon' | 'twiceForAcks' | 'twiceBySpill' | 'excused', number> => {
      const all = [...events.values()]
      const countGap = (gap: Tracked['gaps'][number]): number => all.filter(({ gaps }) => gaps.includes(gap)).length
      return {
        tracked: all.length,
        stored: all.filter(({ stores }) => stores.length).length,
        twice: all.filter(({ stores }) => stores.length > 1).length,
        twiceAsDestroyed: countGap('destroyed'),
        twiceByBeacon: countGap('beacon'),
        twiceForAcks: countGap('acks'),
        twiceBySpill: countGap('spill'),
        excused: all.filter((event) => !isFinished(event) && event.excuse !== undefined).length,
      }
    },

    contactOf: (contact: Contact): string => contact.id,
    cookieFlushMs: COOKIE_FLUSH_MS,
  }
}
