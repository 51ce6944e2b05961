/**
 * The events that this tab holds: in its memory, on disk, and in a spill where the page left before the disk answered.
 * Invariants: a tab sends only what it alone may send for longer than a request can take. Memory changes first, and the
 * disk follows by `sync()`; what was final once for this tab is never sent or stored by it again.
 */
import type { Identity, Visitor } from './contact.ts'
import { ACK_COOKIE, ACK_MARK_CHARS, ackMark, MAX_AGE_DAYS } from './contract.ts'
import type { TrackedEvent } from './event.ts'
import type { Outbox, Stored, StoredRecord } from './outbox.ts'
import type { Page } from './page.ts'

/** How long nobody else touches an event that a tab made or claimed, milliseconds. A request ends within 10 s. */
export const LEASE_MS = 15_000

/** The longest request, milliseconds: a lease that ends sooner cannot be relied on. */
export const REQUEST_MS = 10_000

/** The longest wait that an answer may ask for, milliseconds. Nothing waits longer: what seems to was written by another clock. */
export const LONGEST_WAIT_MS = 3_600_000

/**
 * Bytes of a full parcel's events, UTF-8. With the envelope a batch stays below 60 000: the 64 KiB that all keepalive
 * requests of a page share (fetch standard, "HTTP-network-or-cache fetch"), less some for the page's other scripts.
 */
export const FULL_BYTES = 59_900

/** Events kept on a device; the oldest go first. */
const MAX_KEPT = 1_000

const MAX_AGE_MS = MAX_AGE_DAYS * 86_400_000

const SPILL = 'pristo_spill_'

const ACK_NAMES = /pristo_ack_\w+/g

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
  /** What becomes of a record that waits: itself, another in its place, or the reason why it goes. */
  judge(record: StoredRecord): StoredRecord | GoneReason
  /** Told once of every event that is here no more. */
  onGone(event: TrackedEvent, reason: GoneReason): void
}

export interface Holding {
  /** Takes a new event, and begins to write it in the same task unless the page is going. Returns how many are in memory. */
  add(record: StoredRecord): number
  /** Makes memory and disk one, and takes over what is due there, at most so many. Returns how many events wait on this device. */
  sync(count: number): Promise<number>
  /** Up to so many held events and UTF-8 bytes of JSON, oldest first. They fly until they land. An event larger than a parcel is one alone. */
  take(count: number, bytes: number): TrackedEvent[]
  /** A flight is over: what becomes of the event. */
  land(event: TrackedEvent, outcome: Omit<StoredRecord, 'epoch'> | GoneReason): void
  /** Writes what the disk has not confirmed where it survives this page. Synchronous. */
  spill(): void
}

/** UTF-8 bytes of a text. */
export const byteLength = (text: string): number => new TextEncoder().encode(text).length

/** Milliseconds until then; 0 where that is past, or further away than anything waits: the clock was set back. */
export const leftMs = (due: number): number => {
  const ms = due - Date.now()
  return ms > 0 && ms <= LONGEST_WAIT_MS ? ms : 0
}

const byId = (records: StoredRecord[]): Map<string, StoredRecord> => new Map(records.map((record) => [record.event.id, record]))

const isSendable = ({ event, parked }: StoredRecord): boolean => !!event.contact && !parked

export const createHolding = ({ outbox, page, identity, judge, onGone }: HoldingParts): Holding => {
  const held = new Map<string, StoredRecord>()
  const flying = new Set<string>() // a request with them is on its way
  const done = new Set<string>()
  let shared = new WeakSet<StoredRecord>() // others can find them, so that the lease counts
  let isWriteDue = false

  /** What nobody else may touch for so long. */
  const ours = (forMs: number): StoredRecord[] => [...held.values()].filter((record) => !shared.has(record) || leftMs(record.due) > forMs)

  const unshared = (): StoredRecord[] => [...held.values()].filter((record) => !shared.has(record))

  const share = (records: StoredRecord[]): void => records.forEach((record) => shared.add(record))

  const end = (event: TrackedEvent, reason: GoneReason): void => {
    held.delete(event.id)
    if (!done.has(event.id)) onGone(event, reason)
    done.add(event.id)
  }

  const spill = (): void => {
    const records = unshared()
    if (records[0] && page.write(SPILL + Math.random(), records)) share(records)
  }

  const write = async (): Promise<void> => {
    isWriteDue = false
    const records = unshared() // as they are by now: a reset() may have come after the track()
    if (await outbox.put(records.map((record) => [record.event.id, record]))) share(records)
  }

  const sync = async (count: number): Promise<number> => {
    let waiting = 0
    let leftovers: string[] = []
    let writes = new Map<string, StoredRecord | Visitor | undefined>()

    const plan = (stored: Stored[]): typeof writes => {
      const at = Date.now()
      const cookies = page.cookies()
      const spills = page.keys(SPILL)
      leftovers = [...spills, ...(cookies.match(ACK_NAMES) ?? [])]
      writes = new Map()
      waiting = 0
      let claims = count

      const mirror = stored.find((one): one is Visitor => 'rev' in one)
      identity.adopt(mirror)
      const visitor = identity.current()
      if (visitor.rev !== mirror?.rev) writes.set(VISITOR_KEY, visitor.rev > 0 ? visitor : undefined)

      const onDisk = byId(stored.filter((one): one is StoredRecord => 'event' in one))
      for (const record of onDisk.values()) shared.add(record)
      // What was ours for a while only is the disk's again, or was delivered by whoever took it over.
      const mine = byId(ours(0))
      for (const id of held.keys()) if (!mine.has(id)) held.delete(id)

      const all = new Map([...byId(spills.flatMap((key) => page.read(key) as StoredRecord[])), ...onDisk, ...mine])
      let excess = all.size - MAX_KEPT
      for (const [id, record] of [...all].sort()) {
        const { event, due } = record
        const isFree = !flying.has(id) && (held.has(id) || !leftMs(due))
        const judged =
          done.has(id) || RegExp(`${ACK_COOKIE}\\w+=(\\w{${ACK_MARK_CHARS}})*${ackMark(id)}`).test(cookies)
            ? 'stored'
            : isFree && excess-- > 0
              ? 'full'
              : isFree && at - Date.parse(event.occurredAt) > MAX_AGE_MS
                ? 'expired'
                : judge(record)
        if (typeof judged === 'string') {
          end(event, judged)
          writes.set(id, undefined)
          continue
        }
        waiting++
        const isClaimed = isFree && isSendable(judged) && claims-- > 0 && leftMs(judged.due) <= REQUEST_MS
        const next = isClaimed ? { ...judged, due: at + LEASE_MS } : judged
        if (isClaimed || held.has(id)) held.set(id, next)
        if (!shared.has(next) || onDisk.get(id)?.due !== next.due) writes.set(id, next)
      }
      return writes
    }

    if (await outbox.edit(plan)) {
      for (const written of writes.values()) if (written && 'event' in written) shared.add(written)
      leftovers.forEach(page.erase)
    } else {
      // There is only memory, and what is there is ours.
      shared = new WeakSet()
      for (const key of page.keys(SPILL)) {
        for (const record of page.read(key) as StoredRecord[]) if (!held.has(record.event.id)) held.set(record.event.id, record)
        page.erase(key)
      }
      plan([])
    }
    if (page.isHidden()) spill()
    return waiting
  }

  return {
    add: (record) => {
      held.set(record.event.id, record)
      // Calls of one task share one transaction. None begins while the page hides: it never survives in WebKit, and an
      // unfinished one can hang IndexedDB on the next page (WebKitGTK 2.50).
      if (!isWriteDue) (page.isHidden() ? setTimeout : queueMicrotask)(write)
      isWriteDue = true
      return held.size
    },
    sync,
    take: (count, bytes) =>
      ours(REQUEST_MS)
        .filter((record) => isSendable(record) && !flying.has(record.event.id))
        .map(({ event }) => event)
        .sort((a, b) => (a.id < b.id ? -1 : 1))
        .filter((event) => count-- > 0 && (bytes -= Math.min(FULL_BYTES, byteLength(JSON.stringify(event)) + 1)) >= 0 && flying.add(event.id)),
    land: (event, outcome) => {
      flying.delete(event.id)
      const record = held.get(event.id)
      if (typeof outcome === 'string') end(event, outcome)
      else if (record) held.set(event.id, { ...outcome, epoch: record.epoch })
    },
    spill,
  }
}
