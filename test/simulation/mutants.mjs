// @ts-check
/**
 * Deliberate breakages: each must be noticed by some seed. Texts are exact; one that is not found once is an error.
 * @typedef {{ name: string, file: string, edits: [from: string, to: string][] }} Mutant
 */

/** @type {Mutant[]} */
export const mutants = []
