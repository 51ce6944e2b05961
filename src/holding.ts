/**
 * The events that this tab holds: in its memory, on disk, and in a spill where the page left before the disk answered.
 * Invariant: a tab sends only what it alone may send for longer than a request can take.
 */
import type { TrackedEvent } from './event.ts'
import type { Outbox, StoredRecord } from './outbox.ts'
import type { Page } from './page.ts'

/** How long nobody else touches an event that a tab made or claimed, milliseconds. A request ends within 10 s. */
export const LEASE_MS = 15_000

/** The longest request, milliseconds: a lease that ends sooner cannot be relied on. */
export const REQUEST_MS = 10_000

/**
 * Bytes of a full parcel's events, UTF-8. With the envelope a batch stays below 60 000: the 64 KiB that all keepalive
 * requests of a page share (fetch standard, "HTTP-network-or-cache fetch"), less some for the page's other scripts.
 */
export const FULL_BYTES = 59_900

const SPILL = 'pristo_spill_'

/** Why an event was given up undelivered. */
export type DropReason = 'reset' | 'denied'

/** Why an event is here no more. */
export type GoneReason = 'stored' | 'rejected' | DropReason

/**
 * What becomes of one record: itself, another in its place, or the reason why it goes.
 * @param isOurs whether this tab holds it
 */
export type Verdict = (record: StoredRecord, isOurs: boolean) => StoredRecord | GoneReason

export interface Holding {
  /** Takes a new event, and begins to write it in the same task unless the page is going. Returns how many are in memory. */
  add(event: TrackedEvent): number
  /** Takes over what is due on disk, at most so many. Returns how many events wait on this device. */
  claim(count: number): Promise<number>
  /** Up to so many held events and UTF-8 bytes of JSON, oldest first. They fly until a sweep changes them. */
  take(count: number, bytes: number): TrackedEvent[]
  /** Judges every event: what is held here at once, the others on disk in one transaction. What goes is told. */
  sweep(verdict: Verdict): Promise<unknown>
  /** Writes what the disk has not confirmed where it survives this page. Synchronous. */
  spill(): void
}

/** UTF-8 bytes of a text. */
export const byteLength = (text: string): number => new TextEncoder().encode(text).length

/** @param onGone told of every event that is here no more */
export const createHolding = (outbox: Outbox, page: Page, onGone: (event: TrackedEvent, reason: GoneReason) => void): Holding => {
  const held = new Map<string, StoredRecord>()
  const flying = new Set<string>() // a request with them is on its way
  const spillKey = SPILL + Math.random()
  let isWriteDue = false
  let onDisk = false // where the disk fails there is only memory, and what is there is ours

  /** What nobody else may touch for so long. */
  const ours = (forMs: number): StoredRecord[] => [...held.values()].filter(({ due }) => !onDisk || due - Date.now() > forMs)

  const spill = (): void => page.write(spillKey, ours(0))

  const write = async (): Promise<void> => {
    isWriteDue = false
    onDisk = await outbox.put(ours(0)) // as it is by now: a reset() may have come after the track()
  }

  const sweep = async (verdict: Verdict, spilled: StoredRecord[] = []): Promise<void> => {
    const judge = (record: StoredRecord, isOurs: boolean): StoredRecord | undefined => {
      const { event, due } = record
      const judged = verdict(record, isOurs)
      if (judged !== record) flying.delete(event.id)
      if (typeof judged !== 'string') {
        if (isOurs || judged.due !== due) held.set(event.id, judged)
        return judged
      }
      held.delete(event.id)
      onGone(event, judged)
      return
    }
    const mine = ours(0).map((record) => {
      judge(record, true)
      return record.event.id
    })
    onDisk = await outbox.edit(
      (record) => (mine.includes(record.event.id) ? held.get(record.event.id) : judge(record, false)),
      [...ours(0), ...spilled],
    )
    if (!onDisk) for (const record of spilled) held.set(record.event.id, record)
    // A spill must not bring back what is gone. While the page is seen it needs none.
    if (page.isHidden()) spill()
    else page.erase(spillKey)
  }

  return {
    add: (event) => {
      held.set(event.id, { event, due: Date.now() + LEASE_MS })
      // Calls of one task share one transaction. None begins while the page hides: it never survives in WebKit, and an
      // unfinished one can hang IndexedDB on the next page (WebKitGTK 2.50).
      if (!isWriteDue) (page.isHidden() ? setTimeout : queueMicrotask)(write)
      isWriteDue = true
      return held.size
    },
    claim: async (count) => {
      const at = Date.now()
      const spills = page.keys(SPILL)
      let waiting = 0
      await sweep((record, isOurs) => {
        waiting++
        const isFree = (isOurs || record.due <= at) && !flying.has(record.event.id)
        return isFree && record.event.contact && count-- > 0 ? { ...record, due: at + LEASE_MS } : record
      }, spills.flatMap((key) => page.read(key) as StoredRecord[])) // our own words: nobody else writes these keys
      spills.forEach(page.erase)
      return waiting
    },
    take: (count, bytes) =>
      ours(REQUEST_MS)
        .map(({ event }) => event)
        .sort((a, b) => (a.id < b.id ? -1 : 1))
        .filter(
          (event) =>
            event.contact &&
            !flying.has(event.id) &&
            count-- > 0 &&
            (bytes -= byteLength(JSON.stringify(event)) + 1) >= 0 &&
            flying.add(event.id),
        ),
    sweep,
    spill,
  }
}
