/**
 * Corrects the time at which a browser says that something happened.
 * Invariant: what leaves is RFC 3339 in UTC, between 1970 and now.
 */

/** Below this the difference may be the way of the request, not the clock (DESIGN.md). */
const TOLERANCE_MS = 60_000

/**
 * `occurredAt` by the relay's clock. `sentAt` is the browser's clock when the batch left, `arrivedAt` the relay's when it came, in milliseconds;
 * both strings are RFC 3339 with any offset, already validated.
 */
export const correctTime = (occurredAt: string, sentAt: string, arrivedAt: number): string => {
  const offMs = arrivedAt - Date.parse(sentAt)
  const corrected = Date.parse(occurredAt) + (Math.abs(offMs) > TOLERANCE_MS ? offMs : 0)
  return new Date(Math.min(Math.max(corrected, 0), arrivedAt)).toISOString()
}
