/**
 * What was given: a value that can be used, or a message that names it.
 * Invariant: never by its content, since that may be a key or somebody's email.
 */

/** A value that can be used, or one line that says what is wrong with it. (Here, not beside zod: the package's types must need no zod.) */
export type Parsed<T> = { ok: true; value: T } | { ok: false; reason: string }

/** `undefined` → `nothing`, `'abc'` → `a string of 3 characters`, `[1]` → `an array of 1`. */
export const describeGiven = (value: unknown): string => {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (value === '') return 'an empty string'
  if (typeof value === 'string') return `a string of ${value.length} character${value.length > 1 ? 's' : ''}`
  if (Array.isArray(value)) return `an array of ${value.length}`
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Throws the one line that ends a start: which option or variable, what was given, what is allowed. */
export const fail = (option: string, given: unknown, allowed: string): never => {
  throw new TypeError(`[pristo] ${option}: got ${describeGiven(given)}; allowed is ${allowed}`)
}
