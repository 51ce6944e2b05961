/**
 * The spool's worker with the relay's own settings: the same keys, hooks and ways to the API.
 * Invariant: hooks hear of each attempt as they hear of an event that a relay delivers itself.
 */
import { createAttempt } from '../attempt.ts'
import type { Breaker } from '../breaker.ts'
import { fail } from '../given.ts'
import { createHooks, createReport } from '../hooks.ts'
import { checkOptions, type RelayOptions } from '../options.ts'
import type { Spool } from './spool.ts'
import { createWorker, type OnRest, type Tried, type Worker } from './worker.ts'

/** How a worker delivers. */
export interface WorkerOptions {
  /** Most calls of the API a second. Default: as many as it answers. */
  perSecond?: number | undefined
  /** Contacts whose events are on their way at once. Default 16. */
  concurrency?: number | undefined
}

/** The worker's own breaker decides before it claims an event. */
const ALWAYS: Breaker = { enter: () => true, succeed: () => undefined, fail: () => undefined, waitS: () => 1 }

/** Throws the one line where a worker cannot work so. */
export const checkHow = ({ perSecond = 1, concurrency = 1 }: WorkerOptions): void => {
  if (!Number.isFinite(perSecond) || perSecond <= 0) fail('perSecond', perSecond, 'a number above 0')
  if (!Number.isInteger(concurrency) || concurrency < 1) fail('concurrency', concurrency, 'a whole number from 1')
}

/**
 * Starts to deliver what is in the spool, with the options of the relay that fills it; any number of workers may share a spool.
 * Throws a TypeError of one line where an option cannot be used.
 */
export const startSpoolWorker = (options: RelayOptions & { spool: Omit<Spool, 'stats' | 'close' | 'dead'> }, how: WorkerOptions = {}): Worker =>
  createSpoolWorker(options, how)()

/** The same, not started yet, and as often as it is asked for: see `createWorker`. */
export const createSpoolWorker = (options: Parameters<typeof startSpoolWorker>[0], how: WorkerOptions = {}): ((onRest?: OnRest) => Worker) => {
  const settings = checkOptions(options)
  checkHow(how)
  const report = createReport(options.onError)
  const hooks = createHooks({ hooks: options, report })
  const tell = ({ event, outcome, buried }: Tried): void => {
    hooks.events([{ id: event.id, event, outcome }])
    if (buried) hooks.drop({ id: event.id, event }, buried)
  }
  return createWorker({
    ...how,
    spool: options.spool,
    deliver: createAttempt({ options, settings, breaker: ALWAYS, report }),
    onTried: tell,
    report,
    now: options.now ?? Date.now,
    random: Math.random,
  })
}
