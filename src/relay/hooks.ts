/**
 * Tells the site's own code what became of requests and events.
 * Invariant: a hook that throws or rejects costs nothing but one line; none hears a key, or anything of a person: ids and types are told where
 * they look like ids and types, and messages without what the event said.
 */
import { fail } from './given.ts'
import type { Settled } from './outcome.ts'
import { isTypeName } from './redact.ts'
import { isUuid } from './uuid.ts'

/** What became of one event. */
export interface EventOutcome {
  /** The event's UUID; empty where the page gave none. */
  id: string
  /** Absent where it does not look like one. */
  type?: string
  /** `accepted`: by the spool, whose worker tells the rest. */
  outcome: 'stored' | 'accepted' | 'rejected' | 'retry'
  /** Why it is not stored: a RejectCode or a RetryCode. */
  code?: string
  /** Of the Pristo API, where it was that which refused. */
  status?: number
}

/** An event that is given up for good. */
export interface EventDrop {
  /** The event's UUID; empty where the page gave none. */
  id: string
  /** Absent where it does not look like one. */
  type?: string
  /** A RejectCode; of a spool also `expired`: three days without success. Its event is buried there. */
  code: string
  /** Of the Pristo API, where it was that which refused. */
  status?: number
  /** Why, without what the event said. */
  message?: string
}

/** An answered request. */
export interface RequestAnswer {
  /** HTTP status of the answer. */
  status: number
  /** Where the whole request was refused, such as `origin` or `rate_limited`. */
  code?: string
  /** Results in the answer; 0 where the request was refused. */
  events: number
  /** From its arrival to its answer, by the relay's clock; 0 where the relay itself failed. */
  ms: number
}

/** Called in the course of the work, before the answer leaves: they must not take long. A promise that they return is not waited for. */
export interface Hooks {
  /** Each event of each batch that is answered, in order. */
  onOutcome?: (outcome: EventOutcome) => void
  /** Each event that is rejected, and so lost: nothing is dropped in silence. */
  onDrop?: (drop: EventDrop) => void
  /** Each request that is answered. */
  onRequest?: (request: RequestAnswer) => void
}

/** Calls code of the site; what it throws, or its promise rejects with, goes to `onFailure`. */
export const callSafely = (call: () => unknown, onFailure: (cause: unknown) => void): void => {
  try {
    const answer = call()
    if (answer) Promise.resolve(answer).catch(onFailure)
  } catch (cause) {
    onFailure(cause)
  }
}

/** One line, and the error of the site's own code where there was one. */
export type Report = (message: string, cause?: unknown) => void

/** Reports by the site's `onError`, or on the console. Never throws. */
export const createReport =
  (onError: Report = (message) => console.error(message)): Report =>
  (message, cause) =>
    callSafely(
      () => onError(`[pristo] ${message}`, cause),
      () => console.error(`[pristo] onError itself failed, at: ${message}`),
    )

/** `report` hears once of each hook that fails. */
export const createHooks = ({
  hooks: { onOutcome, onDrop, onRequest },
  report,
}: {
  hooks: Hooks
  report: (message: string, cause?: unknown) => void
}) => {
  const tell = <Told>(name: string, hook: ((told: Told) => void) | undefined): ((told: Told) => void) => {
    if (!hook) return () => undefined
    let isTold = false
    const fails = (cause: unknown): void => {
      if (!isTold) report(`${name} failed; it is called again, but this is said once`, cause)
      isTold = true
    }
    return (told) => callSafely(() => hook(told), fails)
  }
  const tellOutcome = tell('onOutcome', onOutcome)
  const tellDrop = tell('onDrop', onDrop)
  const tellRequest = tell('onRequest', onRequest)

  const whoIs = ({ id, event }: Pick<Settled, 'id' | 'event'>): { id: string; type?: string } => ({
    id: isUuid(id) ? id : '',
    ...(event && isTypeName(event.type) && { type: event.type }),
  })

  const tellEvent = ({ id, event, outcome }: Settled): void => {
    const who = whoIs({ id, event })
    if (outcome.outcome === 'retry') return tellOutcome({ ...who, outcome: 'retry', code: outcome.code })
    if (outcome.outcome !== 'rejected') return tellOutcome({ ...who, outcome: outcome.outcome })
    const { code, status, message } = outcome
    const why = { code, ...(status !== undefined && { status }) }
    tellOutcome({ ...who, outcome: 'rejected', ...why })
    tellDrop({ ...who, ...why, ...(message !== undefined && { message }) })
  }

  return {
    /** Once a batch is answered. */
    events: (settled: readonly Settled[]): void => {
      if (onOutcome || onDrop) settled.forEach(tellEvent)
    },
    /** Once an event is given up for another reason than a rejection. */
    drop: (who: Pick<Settled, 'id' | 'event'>, why: Omit<EventDrop, 'id' | 'type'>): void => tellDrop({ ...whoIs(who), ...why }),
    /** Once a request is answered. */
    request: tellRequest,
  }
}

/** Throws the one line where a hook cannot be called. */
export const checkHooks = (given: Readonly<Record<string, unknown>>): void => {
  for (const [name, hook] of Object.entries(given)) if (hook !== undefined && typeof hook !== 'function') fail(name, hook, 'a function')
}
