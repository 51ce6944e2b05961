/**
 * Who may be named in an event, by the truth of the visitor and not by what the product believes.
 *
 * A visit is a row of persons: `identify()` of another one, or `reset()`, begins the next. An event belongs to the person of
 * its moment, and where nobody is known yet, to the first who is identified before that person's end.
 * Tabs learn of each other by `localStorage`, at each call and look; one that is asleep may for a moment ({@link GRACE_MS}) still
 * be with the person before. Without `localStorage` a tab goes by what it was told itself until it has looked into the database.
 */
import type { Page } from './page.ts'

/** One person's time at the device. */
export interface Person {
  from: number
  /** Whom its events may name. More than one only where a killed browser or cleared data made the page forget. */
  ids: Set<string>
  /** Nobody was identified since it began. */
  isOpen: boolean
  /** Nobody can say: the page was forbidden to write down who decided what. */
  isAnyone?: boolean
}

/** A look takes milliseconds; a tab that was asleep looks when it wakes. */
export const GRACE_MS = 1_000

/** Without localStorage tabs look into the database only, every 5 s, and it may take its time. */
export const MIRROR_MS = 15_000

/** A decision that only the database can take down needs so long. */
const WRITTEN_MS = 1_500

/** Where a decision can be written down: tabs and the next page hear of it by these. */
export type Written = 'at once' | 'on disk' | 'nowhere'

export const createIdentities = (startedAt: number) => {
  const people: Person[] = [{ from: startedAt, ids: new Set(), isOpen: true }]
  const own = new Map<Page, Person>()
  const views = new Map<Page, Person>() // who is here, for one that hears of nobody else's decisions
  const latest = (): Person => {
    const person = people.at(-1)
    if (!person) throw new Error('there is always somebody, if unknown')
    return person
  }
  const begin = (from: number, ids: Iterable<string>, isOpen: boolean): Person => {
    const person = { from, ids: new Set(ids), isOpen }
    people.push(person)
    return person
  }

  const viewOf = (page: Page, at: number): Person => {
    const view = views.get(page) ?? { from: at, ids: new Set(), isOpen: true }
    views.set(page, view)
    return view
  }

  /** Nobody may remember where one ended and the next began: what is one's may be the other's. */
  const join = (others: Person[]): void => {
    const { ids } = latest()
    for (const person of others) {
      person.ids.forEach((id) => ids.add(id))
      person.ids = ids
    }
  }

  const last = new Map<Page, { at: number; written: Written; mayBeOnDisk: boolean }>() // each page's last decision

  const decided = (page: Page, at: number, written: Written, diskSince: number): void => {
    own.set(page, latest())
    // Of two in a short time, in two tabs, the second did not know of the first: it can only look on the disk.
    const isUnheard = [...last].some(([other, made]) => {
      const isOnDiskOnly = written !== 'at once' || made.written !== 'at once'
      return other !== page && isOnDiskOnly && (!made.mayBeOnDisk || Math.max(made.at, diskSince) > at - MIRROR_MS)
    })
    if (written === 'nowhere' || isUnheard) join(people.slice(-2))
    last.set(page, { at, written, mayBeOnDisk: diskSince < at })
  }

  return {
    current: latest,
    /** @param diskSince since when the disk works */
    identify: (page: Page, id: string, at: number, written: Written, diskSince: number): void => {
      const view = viewOf(page, at)
      if (view.isOpen) {
        view.isOpen = false
        view.ids.add(id)
      } else if (!view.ids.has(id)) views.set(page, { from: at, ids: new Set([id]), isOpen: false })
      const now = latest()
      if (now.isOpen) {
        now.isOpen = false
        now.ids.add(id)
      } else if (!now.ids.has(id)) begin(at, [id], false)
      decided(page, at, written, diskSince)
    },
    reset: (page: Page, at: number, written: Written, diskSince: number): void => {
      views.delete(page)
      begin(at, [], true)
      decided(page, at, written, diskSince)
    },
    /** Without consent it may not even read who decided what since. */
    deafened: (page: Page): void => void views.set(page, { ...latest() }),
    ended: (page: Page, at: number): void => {
      const made = last.get(page)
      if (made?.written === 'on disk' && made.at > at - WRITTEN_MS) join(people.slice(-2))
    },
    /** What the device knew is gone, or goes back to what was written last. */
    forget: (at: number, maybeSince: number): void => {
      const recent = people.filter((_, nth) => (people[nth + 1]?.from ?? Infinity) > maybeSince)
      if (!latest().isOpen) begin(at, [], true)
      join(recent)
    },
    /** A decision that may not be written down, for want of consent: the next page cannot know of it. */
    blur: (): void => {
      for (const person of people) person.isAnyone = true
    },
    /**
     * Whose an event of this moment may be.
     * @param isAlone whether tabs cannot hear of each other at once: storage is denied, or not consented to, or what was written there was erased
     */
    at: (page: Page, at: number, isAlone: boolean): Person[] => {
      const possible = people.filter((_, nth) => (people[nth + 1]?.from ?? Infinity) > at - (isAlone ? MIRROR_MS : GRACE_MS))
      const mine = own.get(page)
      if (mine === latest()) return [mine] // it need not hear of its own decision
      return isAlone ? [...new Set([...possible, ...(mine ? [mine] : []), viewOf(page, at)])] : possible
    },
  }
}
