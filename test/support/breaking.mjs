// @ts-check
/**
 * Deliberate breakages of the source, made while it is bundled. Texts are exact, and one that is not found exactly once is an error,
 * so that a mutant never survives by having become no mutant at all.
 * @typedef {{ name: string, file: string, edits: [from: string, to: string][] }} Mutant
 */
import { readFileSync } from 'node:fs'

/**
 * Breaks one file of the source while it is bundled.
 * @param {Mutant} mutant
 * @param {{ isDone: boolean }} seen
 * @returns {import('esbuild').Plugin}
 */
export const breaking = ({ name, file, edits }, seen) => ({
  name: 'breaking',
  setup: ({ onLoad }) =>
    onLoad({ filter: new RegExp(`${file.replaceAll('.', '\\.')}$`) }, ({ path }) => {
      let contents = readFileSync(path, 'utf8')
      for (const [from, to] of edits) {
        if (contents.split(from).length !== 2) throw new Error(`mutant "${name}": ${file} holds this ${contents.split(from).length - 1} times: ${from}`)
        contents = contents.replace(from, () => to)
      }
      seen.isDone = true
      return { contents, loader: 'ts' }
    }),
})
