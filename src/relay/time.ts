/**
 * Waiting with an end.
 * Invariant: no timer outlives what it waits for, so that nothing keeps a process alive.
 */

/** The promise's value, or `undefined` once `limitMs` have passed. The promise itself goes on; a rejection that comes too late is swallowed. */
export const within = <T>(promise: Promise<T>, limitMs: number): Promise<T | undefined> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), limitMs)
    const end =
      <Value>(settle: (value: Value) => void) =>
      (value: Value): void => {
        clearTimeout(timer)
        settle(value)
      }
    promise.then(end(resolve), end(reject))
  })
