/**
 * Leaves an API alone that does not answer.
 * Invariant: while open nothing goes out; after each pause exactly one probe does, and its outcome decides.
 */

/** Failures in a row that open it, and how long for (DESIGN.md; cockatiel's ConsecutiveBreaker uses the same pair). */
const FAILURES = 5
const OPEN_MS = 10_000

export interface Breaker {
  /** Whether a call may go out now; after each `true` comes `succeed()` or `fail()`, unless the runtime ended the request. */
  enter(): boolean
  /** The API answered, whatever it said. */
  succeed(): void
  /** No answer, or 5xx. */
  fail(): void
  /** Whole seconds until the next probe, at least 1. */
  waitS(): number
}

/** A closed breaker; `now` in milliseconds. */
export const createBreaker = (now: () => number): Breaker => {
  let failures = 0
  let pausedAt = 0

  // A clock set back must not keep it open for ever: a negative age counts as over.
  const remainingMs = () => {
    const ageMs = now() - pausedAt
    return ageMs < 0 ? 0 : OPEN_MS - ageMs
  }

  return {
    enter: () => {
      if (failures < FAILURES) return true
      if (remainingMs() > 0) return false
      pausedAt = now() // a probe takes no longer (`callMs`), and one that is never heard of again must not be the last
      return true
    },
    succeed: () => {
      failures = 0
    },
    fail: () => {
      failures++
      if (failures >= FAILURES) pausedAt = now()
    },
    waitS: () => Math.max(1, Math.ceil(remainingMs() / 1000)),
  }
}
