/**
 * Listens to the page, ahead of the page: on `window` and capturing, so that no handler of its own stops an event before.
 * @returns what ends it
 */
export const listen = (types: string[], listener: (event: Event) => void): (() => void) => {
  for (const type of types) addEventListener(type, listener, true)
  return () => {
    for (const type of types) removeEventListener(type, listener, true)
  }
}
