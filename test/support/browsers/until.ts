import { setTimeout as wait } from 'node:timers/promises'

/** How long a browser may take for what it was asked, milliseconds: many times what any of them needs. */
const LIMIT_MS = 15_000

/** Between two looks, milliseconds. */
const STEP_MS = 25

/** Resolves once the question is answered with yes. Rejects, naming `what`, when that takes longer than the limit (15 s). */
export const until = async (what: string, question: () => boolean | Promise<boolean>, limitMs = LIMIT_MS): Promise<void> => {
  const end = Date.now() + limitMs
  while (!(await question())) {
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms for ${what}`)
    await wait(STEP_MS)
  }
}
