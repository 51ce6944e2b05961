/**
 * The events that this tab holds: in its memory, on disk, and in a spill where the page left before the disk answered.
 * Invariants: a tab sends only what it alone may send for longer than a request can take. Memory changes first, and the
 * disk follows by `sync()`; what was final once for this tab is never sent or stored by it again.
 */
import { ackNames, HELD_ACKS, MAX_LEFT, readMarks, uselessAcks } from './acks.ts'
import type { Identity, Visitor } from './contact.ts'
import { ackMark, MAX_AGE_DAYS } from './contract.ts'
import type { TrackedEvent } from './event.ts'
import type { Outbox, Stored, StoredRecord } from './outbox.ts'
import type { Page } from './page.ts'

/** How long nobody else touches an event that a tab made or claimed, milliseconds. A request ends within 10 s. */
export const LEASE_MS = 15_000

/** The longest request, milliseconds: a lease that ends sooner cannot be relied on. */
export const REQUEST_MS = 10_000

/** The longest wait that an answer may ask for, milliseconds. Nothing waits longer: what seems to was written by another clock. */
export const LONGEST_WAIT_MS = 3_600_000

/** A claim makes a lease that ends sooner longer: between it and the request the disk has to answer. */
const RENEW_MS = REQUEST_MS + 1_000

/**
 * Bytes of a full parcel's events, UTF-8. With the envelope a batch stays below 60 000: the 64 KiB that all keepalive
 * requests of a page share (fetch standard, "HTTP-network-or-cache fetch"), less some for the page's other scripts.
 */
export const FULL_BYTES = 59_900

/** Parcels that one look at the disk takes over, since it reads all that is stored: 1 000 events are 6 ms of main thread (Chromium 156). */
export const AHEAD = 10

/** Events kept on a device; the oldest go first. */
const MAX_KEPT = 1_000

const MAX_AGE_MS = MAX_AGE_DAYS * 86_400_000

const SPILL = 'pristo_spill_'

/** Among the spills: the time of a denial that the disk has not carried out. */
const DENIAL = SPILL + 'denied'

/** Where the visitor is mirrored among the events: no event has this key. */
const VISITOR_KEY = 'visitor'

/** Why an event was given up undelivered: a logout, a refused consent, over 1000 newer ones, older than 7 days. */
export type DropReason = 'reset' | 'denied' | 'full' | 'expired'

/** Why an event is here no more. */
export type GoneReason = 'stored' | 'rejected' | DropReason

export interface HoldingParts {
  outbox: Outbox
  page: Page
  identity: Identity
  /** Told once of every event that is here no more. */
  onGone(event: TrackedEvent, reason: GoneReason): void
}

export interface Holding {
  /** Takes a new event, and begins to write it in the same task unless the page is going. Returns how many are in memory. */
  add(record: StoredRecord): number
  /** Makes memory and disk one, and takes over what is due there, at most so many. Returns how many events wait on this device. */
  sync(count: number): Promise<number>
  /**
   * As `sync()`, between two parcels of at most so many: looks at the disk for the next {@link AHEAD} of them, and not at all as
   * long as what is held is enough for one, and older than all that the last look left there.
   */
  settle(count: number): Promise<number>
  /** Up to so many held events and UTF-8 bytes of JSON, oldest first. They fly until they land. An event larger than a parcel is one alone. */
  take(count: number, bytes: number): TrackedEvent[]
  /** A flight is over: what changes of the event's record, or the reason why it goes. */
  land(event: TrackedEvent, outcome: Partial<StoredRecord> | GoneReason): void
  /** Writes what the disk has not confirmed where it survives this page. Synchronous. */
  spill(): void
}

const encoder = new TextEncoder()

/** UTF-8 bytes of a text. */
export const byteLength = (text: string): number => encoder.encode(text).length

const byId = ({ event: a }: StoredRecord, { event: b }: StoredRecord): number => (a.id < b.id ? -1 : 1)

/** Milliseconds until then; 0 where that is past, or further away than anything waits: the clock was set back. */
export const leftMs = (due: number): number => {
  const ms = due - Date.now()
  return ms > 0 && ms <= LONGEST_WAIT_MS ? ms : 0
}

const isSendable = ({ event, parked }: StoredRecord): boolean => !!event.contact && !parked

/** What a look at all that waits came to. */
interface Sweep {
  writes: Map<string, Stored | undefined>
  /** What this tab takes over once that is written. */
  claimed: StoredRecord[]
  /** How many events wait on this device. */
  waiting: number
  /** The spills and ack cookies that were read. */
  spills: string[]
  acks: string[]
  /** The denial that was carried out with it, or 0. */
  deniedAt: number
  /** The first event that could have been claimed and was not. */
  oldestLeft: string | undefined
}

export const createHolding = ({ outbox, page, identity, onGone }: HoldingParts): Holding => {
  const held = new Map<string, StoredRecord>()
  const flying = new Set<string>() // a request with them is on its way
  const done = new Set<string>()
  let leased = new WeakSet<StoredRecord>() // on disk or spilled, where others find them: the lease counts
  const everGiven = new Set<string>() // to a disk, which may store it whatever it says, or spilled: other tabs may find it
  const loose = new Set<string>() // held, and not on disk as they are; a track() looks at no others
  const undeleted = new Set<string>() // final, and maybe on disk
  let left: { count: number; oldest: string | undefined } | undefined // what the last look at the disk did not take over
  let isWriteDue = false
  let isLate = false // a contact was named since the last look at the disk, where older events may wait for it

  /** Whether nobody else may touch it for so long; for ever: what is in memory only. */
  const isOurs = (record: StoredRecord, forMs: number): boolean => !leased.has(record) || leftMs(record.due) > forMs

  /** What is ours for so long, oldest first. */
  const ours = (forMs: number, ids: Iterable<string> = held.keys()): StoredRecord[] => {
    const records: StoredRecord[] = []
    for (const id of ids) {
      const record = held.get(id)
      if (record && isOurs(record, forMs)) records.push(record)
    }
    return records.sort(byId)
  }

  const hold = (record: StoredRecord): void => {
    const { id } = record.event
    if (held.get(id) !== record) loose.add(id)
    held.set(id, record)
  }

  /** What is ours and the disk has not, or not as it is; to be stored, wherever that is. */
  const unconfirmed = (): StoredRecord[] => ours(0, loose).filter(({ event }) => everGiven.add(event.id))

  /** The disk has it as it is. */
  const share = (record: StoredRecord): void => {
    leased.add(record)
    everGiven.add(record.event.id)
    if (held.get(record.event.id) === record) loose.delete(record.event.id)
  }

  const end = (event: TrackedEvent, reason: GoneReason): void => {
    held.delete(event.id)
    loose.delete(event.id)
    undeleted.add(event.id)
    if (!done.has(event.id)) onGone(event, reason)
    done.add(event.id)
  }

  /** The record as it is to be by the disk's word, or nothing where it goes. */
  const review = (record: StoredRecord): StoredRecord | undefined => {
    const judged = identity.complete(record)
    if (typeof judged !== 'string') return judged
    end(record.event, judged)
    return
  }

  const spill = (): void => {
    const records = unconfirmed()
    const isGone = page.isGone()
    // A page that goes gives them away: this one, back from the cache, finds them where the next one does.
    const flownMs = Date.now() + LEASE_MS
    const given = isGone ? records.map((record) => ({ ...record, due: flying.has(record.event.id) ? flownMs : 0 })) : records
    if (records[0] && page.write(SPILL + Math.random(), given)) for (const record of records) isGone ? held.delete(record.event.id) : leased.add(record)
    // A denial that the disk has not carried out is the next page's to carry out.
    if (identity.deniedAt) page.write(DENIAL, identity.deniedAt)
  }

  /** What is in memory only may have waited there for consent: its lease begins when it is sent or written. */
  const renew = (): void => {
    const due = Date.now() + LEASE_MS
    for (const record of ours(Infinity, loose)) if (leftMs(record.due) <= REQUEST_MS) hold({ ...record, due })
  }

  /** Lets the disk follow by keys alone, without a look at what else is there. */
  const follow = async (): Promise<void> => {
    isWriteDue = false
    renew()
    let records: StoredRecord[] = []
    let ids: string[] = []
    const isWritten = await outbox.put(() => {
      // As they are by then: a reset() may have come after the track().
      records = unconfirmed()
      ids = [...undeleted]
      return [...ids, ...records].map((one) => (typeof one === 'string' ? [one, undefined] : [one.event.id, one]))
    })
    if (!isWritten) {
      left = undefined
      return
    }
    for (const id of ids) undeleted.delete(id)
    if (ids[0] && !isKept()) uselessAcks(page.cookies(), [...done]).forEach(page.erase)
    // An edit that was under way when they were handed over came first: what it wrote of them is overwritten.
    const overwritten = records.filter((record) => (held.get(record.event.id) ?? record) !== record && !loose.has(record.event.id))
    for (const { event } of overwritten) loose.add(event.id)
    records.forEach(share)
    if (overwritten[0]) await sync(0)
  }

  /** The visitor may have been named in this very task. */
  const reviewAll = (): void => {
    for (const record of ours(0)) {
      const kept = identity.complete(record)
      if (kept === record) continue
      isLate = true
      if (typeof kept !== 'string') {
        hold(kept)
        if (leased.has(record)) leased.add(kept)
      }
      // Of what is on disk another tab may know better.
      else if (!leased.has(record)) end(record.event, kept)
    }
  }

  /** What waits, by id: what was spilled, what is on disk in its place, what is ours in the place of both. What is final is written off. */
  const gather = (onDisk: StoredRecord[], spills: string[], cookies: string, writes: Sweep['writes']): Map<string, StoredRecord> => {
    const all = new Map<string, StoredRecord>()
    const marks = readMarks(cookies)
    const add = (record: StoredRecord): void => {
      const { event, due } = record
      const isKnown = marks.has(ackMark(event.id))
      // Whoever sent it may live and wait for an answer: no page clears the cookie as long as they may.
      if (isKnown && leftMs(due) && !held.has(event.id) && !done.has(event.id)) page.mark(HELD_ACKS, LEASE_MS / 1_000)
      if (isKnown || done.has(event.id)) {
        end(event, 'stored')
        writes.set(event.id, undefined)
      } else all.set(event.id, record)
    }

    // What was ours for a while only is the disk's again, or was delivered by whoever took it over.
    const mine = ours(0)
    held.clear()
    for (const record of mine) held.set(record.event.id, record)
    for (const one of spills.flatMap(page.read)) {
      if (!('event' in Object(one))) continue
      everGiven.add((one as StoredRecord).event.id) // by whoever spilled it
      add(one as StoredRecord)
    }
    for (const one of onDisk) {
      everGiven.add(one.event.id) // by whoever wrote it
      const spilled = all.get(one.event.id)
      add(spilled && spilled.due > one.due ? spilled : one) // whoever spilled it may have sent it after the disk's last word
    }
    for (const record of mine) {
      const { event } = all.get(record.event.id) ?? record
      add(event.contact && !record.event.contact ? { ...record, event } : record) // another tab has named it
    }
    return all
  }

  /** @param stored what is on disk; absent where there is none, and all that is known is ours */
  const plan = (count: number, stored?: Stored[]): Sweep => {
    const at = Date.now()
    const cookies = page.cookies()
    const isFree = (one: unknown): boolean => {
      const { event, due } = Object(one)
      return event && (held.has(event.id) || done.has(event.id) || !leftMs(due))
    }
    // Where there is only memory, what another tab may be sending stays where it is, as does a denial.
    const spills = page.keys(SPILL).filter((key) => stored || [page.read(key)].flat().every(isFree))
    const writes: Sweep['writes'] = new Map()
    const claimed: StoredRecord[] = []
    let waiting = 0
    let oldestLeft: string | undefined
    isLate = false

    const mirror = stored?.find((one): one is Visitor => 'rev' in one)
    identity.deniedAt = Math.max(identity.deniedAt, Number(page.read(DENIAL)) || 0)
    identity.adopt(mirror)
    identity.save()
    const visitor = identity.current()
    if (visitor.rev !== (mirror?.rev ?? 0)) writes.set(VISITOR_KEY, visitor.rev > 0 ? visitor : undefined)

    const onDisk = (stored ?? []).filter((one): one is StoredRecord => 'event' in one)
    const asStored = new Set(onDisk)
    const all = gather(onDisk, spills, cookies, writes)
    let excess = all.size - MAX_KEPT
    for (const record of [...all.values()].sort(byId)) {
      const { id } = record.event
      const waitMs = held.has(id) ? 0 : leftMs(record.due)
      // Within a lease another tab may be sending it; what waits longer than that is nobody's.
      const isIdle = !flying.has(id) && (!waitMs || waitMs > LEASE_MS)
      if (isIdle && excess-- > 0) end(record.event, 'full')
      else if (isIdle && at - Date.parse(record.event.occurredAt) > MAX_AGE_MS) end(record.event, 'expired')
      const kept = done.has(id) ? undefined : review(record)
      if (!kept) {
        writes.set(id, undefined)
        continue
      }
      waiting++
      if (stored) everGiven.add(id)
      const isClaimed = isIdle && !waitMs && isSendable(kept) && claimed.length < count
      const next = isClaimed && leftMs(kept.due) <= RENEW_MS ? { ...kept, due: at + LEASE_MS } : kept
      if (isClaimed) claimed.push(next)
      else if (isIdle && !waitMs && !held.has(id) && isSendable(kept)) oldestLeft ??= id
      if (held.has(id) || !stored) hold(next)
      if (held.has(id) ? loose.has(id) : !asStored.has(next)) writes.set(id, next)
    }
    undeleted.clear()
    return { writes, claimed, waiting, spills, acks: ackNames(cookies), deniedAt: identity.deniedAt, oldestLeft }
  }

  /** Whether acks are to stay, for a page that looks for them. */
  const isKept = (): boolean => page.cookies().includes(HELD_ACKS)

  const sync = async (count: number): Promise<number> => {
    reviewAll()
    let sweep = undefined as Sweep | undefined
    let isOver = false
    // Where the disk was too slow for it, a plan comes when it is over.
    const isWritten = await outbox.edit((stored) => (isOver ? [] : (sweep = plan(count, stored)).writes))
    isOver = true
    left = undefined
    if (isWritten && sweep) {
      if (sweep.deniedAt === identity.deniedAt) identity.deniedAt = 0
      for (const record of sweep.claimed) if (!done.has(record.event.id) && !held.has(record.event.id)) held.set(record.event.id, record)
      for (const written of sweep.writes.values()) if (written && 'event' in written) share(written)
      left = { count: sweep.waiting - held.size, oldest: sweep.oldestLeft }
    } else if (page.isGone()) {
      spill() // all else is for the next page to do
      return 0
    } else {
      // `false`: there is only memory, and what is there is ours. `undefined`: no consent, and what is on disk is for those who may read it.
      if (isWritten === false) {
        leased = new WeakSet()
        for (const id of held.keys()) loose.add(id)
      }
      for (const [id, record] of held) if (leased.has(record)) held.delete(id)
      sweep = plan(count)
    }
    const acks = !sweep.deniedAt && isKept() ? [] : sweep.deniedAt || isWritten ? sweep.acks : uselessAcks(page.cookies(), [...done].filter((id) => !everGiven.has(id)), MAX_LEFT)
    ;[...sweep.spills, ...acks].forEach(page.erase)
    if (page.isHidden()) spill()
    return sweep.waiting
  }

  /** Whether the next parcel is held for long enough, and nothing older was left on the disk. */
  const isAmple = (count: number, oldestLeft: string | undefined): boolean => {
    if (isLate || identity.deniedAt || page.isHidden()) return false
    const next = [...held.values()].sort(byId).filter(isSendable).slice(0, count)
    // Of a whole parcel the last one is the youngest.
    const isOldest = !oldestLeft || (next[count - 1]?.event.id ?? oldestLeft) < oldestLeft
    return !!next[0] && isOldest && next.every((record) => isOurs(record, RENEW_MS))
  }

  const settle = async (count: number): Promise<number> => {
    reviewAll()
    if (!left || !isAmple(count, left.oldest)) return sync(count * AHEAD)
    void follow() // while the next parcel is on its way
    return held.size + left.count
  }

  return {
    add: (record) => {
      held.set(record.event.id, record)
      loose.add(record.event.id)
      // Calls of one task share one transaction. None begins while the page hides: it never survives in WebKit, and an
      // unfinished one can hang IndexedDB on the next page (WebKitGTK 2.50).
      if (!isWriteDue) (page.isHidden() ? setTimeout : queueMicrotask)(follow)
      isWriteDue = true
      return held.size
    },
    sync,
    settle,
    take: (count, bytes) => {
      reviewAll()
      renew()
      const marks = readMarks(page.cookies())
      const events: TrackedEvent[] = []
      if (isLate && !page.isHidden()) return events
      for (const record of ours(REQUEST_MS)) {
        const { event } = record
        // What a beacon brought, nothing else tells.
        if (!isSendable(record) || flying.has(event.id) || marks.has(ackMark(event.id))) continue
        bytes -= Math.min(FULL_BYTES, byteLength(JSON.stringify(event)) + 1)
        if (bytes < 0 || count-- <= 0) break
        flying.add(event.id)
        events.push(event)
      }
      return events
    },
    land: (event, outcome) => {
      const record = held.get(event.id)
      flying.delete(event.id)
      if (typeof outcome === 'string') end(event, outcome)
      // Where the lease ran out meanwhile it is not ours to say.
      else if (record && isOurs(record, 0)) hold({ ...record, ...outcome })
    },
    spill,
  }
}
