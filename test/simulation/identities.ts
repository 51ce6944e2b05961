/**
 * Who may be named in an event, by the truth of the visitor and not by what the product believes.
 *
 * A visit is a row of persons: `identify()` of another one, or `reset()`, begins the next. An event belongs to the person of
 * its moment, and where nobody is known yet, to the first who is identified before that person's end.
 * Tabs learn of each other by storage events, so that for a moment ({@link GRACE_MS}) a second tab may still be with the person before.
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

/** A storage event takes milliseconds; a tab that was asleep gets it when it wakes. */
export const GRACE_MS = 1_000

/** Without localStorage tabs look into the database only, every 5 s, and it may take its time. */
const MIRROR_MS = 15_000

export const createIdentities = (startedAt: number) => {
  const people: Person[] = [{ from: startedAt, ids: new Set(), isOpen: true }]
  const own = new Map<Page, Person>()
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

  return {
    current: latest,
    identify: (page: Page, id: string, at: number): void => {
      const now = latest()
      if (now.isOpen) {
        now.isOpen = false
        now.ids.add(id)
      } else if (!now.ids.has(id)) begin(at, [id], false)
      own.set(page, latest())
    },
    reset: (page: Page, at: number): void => void own.set(page, begin(at, [], true)),
    /** What the device knew is gone, or goes back to what was written last. */
    forget: (at: number, maybeSince: number): void => {
      const recent = people.filter((_, nth) => (people[nth + 1]?.from ?? Infinity) > maybeSince).flatMap(({ ids }) => [...ids])
      if (latest().isOpen) for (const id of recent) latest().ids.add(id)
      else begin(at, recent, true)
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
      return isAlone && mine && !possible.includes(mine) ? [...possible, mine] : possible
    },
  }
}
