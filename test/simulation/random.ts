/**
 * Chance that repeats: the same seed gives the same numbers on every machine.
 * Invariant: a fork depends on its seed and label alone, not on what was drawn before, so that a shrunken scenario keeps
 * the weather of its requests.
 */
export interface Random {
  /** 0 ≤ x < 1. */
  next(): number
  /** A whole number, both ends included. */
  int(min: number, max: number): number
  chance(probability: number): boolean
  pick<T>(list: readonly [T, ...T[]]): T
  fork(label: string): Random
}

const hash = (text: string, start: number): number => {
  let state = start ^ 0x9e3779b9
  for (let at = 0; at < text.length; at++) state = Math.imul(state ^ text.charCodeAt(at), 0x85ebca6b) ^ (state >>> 13)
  return state >>> 0
}

/** Mulberry32: 32 bits of state are plenty for one scenario, and cheap. */
export const createRandom = (seed: number): Random => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    int: (min, max) => min + Math.floor(next() * (max - min + 1)),
    chance: (probability) => next() < probability,
    pick: (list) => list[Math.floor(next() * list.length)] ?? list[0],
    fork: (label) => createRandom(hash(label, seed)),
  }
}
