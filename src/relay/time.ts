/**
 * Waiting with an end.
 * Invariant: no timer outlives what it waits for, so that nothing keeps a process alive.
 */

/** The promise's value, or `undefined` once `limitMs` have passed. The promise itself goes on; a rejection that comes too late is swallowed. */
export const within = async <T>(promise: Promise<T>, limitMs: number): Promise<T | undefined> => {
  let timer: ReturnType<typeof setTimeout> | undefined
  const end = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), limitMs)
  })
  try {
    return await Promise.race([promise, end])
  } finally {
    clearTimeout(timer)
  }
}
