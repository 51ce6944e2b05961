// @ts-check
/** What becomes of many numbers. Pure. */

/** @param {readonly number[]} list */
const sorted = (list) => [...list].sort((a, b) => a - b)

/**
 * The value below which this share of a list lies, by the nearest rank; NaN of none.
 * @param {readonly number[]} list
 * @param {number} share 0 to 1
 */
export const quantile = (list, share) => sorted(list)[Math.max(0, Math.ceil(share * list.length) - 1)] ?? NaN

/**
 * The middle one, or the mean of the two in the middle; NaN of none.
 * @param {readonly number[]} list
 */
export const median = (list) => {
  const all = sorted(list)
  const [below = NaN, above = NaN] = [all[(all.length - 1) >> 1], all[all.length >> 1]]
  return (below + above) / 2
}

/** @param {readonly number[]} list */
export const p99 = (list) => quantile(list, 0.99)

/**
 * The least and the most; NaN of none.
 * @param {readonly number[]} list
 * @returns {[number, number]}
 */
export const spread = (list) => (list.length ? [Math.min(...list), Math.max(...list)] : [NaN, NaN])

/**
 * Everything in turns, so many rounds, each beginning with the next one: what the machine does besides, and who finds it warm, hits all alike.
 * @template T
 * @param {readonly T[]} list
 * @param {number} rounds
 * @returns {{ one: T, round: number }[]}
 */
export const interleave = (list, rounds) =>
  Array.from({ length: rounds }, (_, round) => list.map((_, nth) => ({ one: /** @type {T} */ (list[(nth + round) % list.length]), round }))).flat()
