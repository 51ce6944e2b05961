/** Waiting for a spool to be empty. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Spool } from '../../../src/relay/spool.ts'

/** Between two looks, milliseconds. */
const LOOK_MS = 100

/** Resolves once no event waits in the spool; rejects after `limitMs`, with what still does. */
export const untilEmpty = async (spool: Pick<Spool, 'stats'>, limitMs: number): Promise<void> => {
  const end = Date.now() + limitMs
  for (;;) {
    const stats = await spool.stats()
    if (!stats.events) return
    if (Date.now() > end) throw new Error(`the spool is not empty after ${limitMs / 1000} s: ${JSON.stringify(stats)}`)
    await wait(LOOK_MS)
  }
}
