/**
 * Leaves an API alone that does not answer.
 * Invariant: while open nothing goes out; after the pause exactly one probe does, and its outcome decides.
 */

/** Failures in a row that open it, and how long for (DESIGN.md; cockatiel's ConsecutiveBreaker uses the same pair). */
const FAILURES = 5
const OPEN_MS = 10_000

export interface Breaker {
  /** Whether a call may go out now; each `true` must be followed by one `succeed()` or `fail()`. */
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
  let openedAt = 0
  let isProbing = false

  // A clock set back must not keep it open for ever: a negative age counts as over.
  const remainingMs = () => {
    const ageMs = now() - openedAt
    return ageMs < 0 ? 0 : OPEN_MS - ageMs
  }

  return {
    enter: () => {
      if (failures < FAILURES) return true
      if (isProbing || remainingMs() > 0) return false
      isProbing = true
      return true
    },
    succeed: () => {
      failures = 0
      isProbing = false
    },
    fail: () => {
      failures++
      isProbing = false
      if (failures >= FAILURES) openedAt = now()
    },
    waitS: () => Math.max(1, Math.ceil(remainingMs() / 1000)),
  }
}
