/**
 * Hands events to the spool, in place of delivering them.
 * Invariant: never rejects; what is not safe on the spool's disk is kept by the browser.
 */
import type { PristoEvent } from '../contract.ts'
import type { Report } from './hooks.ts'
import { accepted, retry, type Outcome } from './outcome.ts'
import type { Spool } from './spool/spool.ts'
import { within } from './time.ts'

/** Seconds that the browser waits where the spool takes nothing: a disk is not mended, nor a million events delivered, any sooner. */
const RETRY_AFTER_S = 60

/** `report` hears once that the spool takes nothing, until it does again. */
export const createAccept = ({ spool, report }: { spool: Pick<Spool, 'put'>; report: Report }) => {
  let isTold = false

  const refuse = (why: string, cause?: unknown): Outcome => {
    if (!isTold) report(`${why}; events wait in the browsers`, cause)
    isTold = true
    return retry('unavailable', RETRY_AFTER_S)
  }

  const put = async (events: readonly PristoEvent[], limitMs: number): Promise<Outcome> => {
    try {
      const answer = await within(spool.put(events), limitMs)
      if (answer === 'full') return refuse('the spool is full')
      if (answer === undefined) return refuse(`the spool took over ${limitMs} ms`)
      isTold = false
      return accepted
    } catch (cause) {
      return refuse(cause instanceof Error ? cause.message.replace('[pristo] ', '') : 'the spool failed', cause)
    }
  }

  /** One outcome for each event; `limitMs` bounds the wait for the spool. */
  return async (events: readonly PristoEvent[], limitMs: number): Promise<Outcome[]> => {
    if (!events.length) return []
    const outcome = await put(events, limitMs)
    return events.map(() => outcome)
  }
}
