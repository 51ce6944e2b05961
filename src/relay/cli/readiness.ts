/**
 * Whether events that come now have a chance to be delivered.
 * Invariant: not ready before it listens, once it stops, while the API says that a setting of ours is wrong, and while the spool does not get rid of its events.
 *
 * An event's outcome raises no more than a doubt: 404 may also mean its contact, whom anybody can make up (PRISTO-API.md). And who is not
 * ready gets no events, so that none could ever say that the setting is mended. So the API is asked itself, at most every 10 s.
 */
import type { RelayOptions } from '../index.ts'
import type { Stats } from '../spool/spool.ts'

/** Why not. */
export type Unready = 'starting' | 'upstream_config' | 'spool_failed' | 'spool_old' | 'stopping'

/** The answer of `/readyz`. */
export type State = { ready: true } | { ready: false; reason: Unready; message: string }

/** What is heard of the relay, and asked. */
export interface Readiness {
  onOutcome: Required<RelayOptions>['onOutcome']
  started(): void
  stopping(): void
  /** May start a question to the API or the spool; the answer then counts for the next call. */
  state(): State
}

const MESSAGES: Record<Unready, string> = {
  starting: 'the relay does not listen yet',
  upstream_config: 'the Pristo API refuses the key, the population or the base URL; events wait. See: pristo-relay check',
  spool_failed: 'the spool cannot be read; the log says why',
  spool_old: 'the oldest event in the spool waits longer than PRISTO_SPOOL_MAX_AGE. See: pristo-relay spool stats',
  stopping: 'the relay is told to stop',
}

/** The spool, as far as readiness depends on it. */
export interface Watched {
  stats(): Promise<Pick<Stats, 'oldestAt'>>
  /** Age of the oldest event, milliseconds, from which the relay is not ready. */
  maxAgeMs: number
}

/** A probe of the orchestrator comes every few seconds; neither the API nor the spool need hear of each. */
const ASK_EVERY_MS = 10_000

/** `ask` resolves to whether the API takes one of the keys; it must not reject. `now` in milliseconds. */
export const createReadiness = ({ ask, spool, now }: { ask: () => Promise<boolean>; spool?: Watched | undefined; now: () => number }): Readiness => {
  let phase: 'starting' | 'running' | 'stopping' = 'starting'
  let isDoubted = false
  let isRefused = false
  let askedAt = -Infinity

  const resolveDoubt = async (): Promise<void> => {
    if (!isDoubted || Math.abs(now() - askedAt) < ASK_EVERY_MS) return
    askedAt = now()
    isDoubted = isRefused = !(await ask())
  }

  let spoolFault: 'spool_failed' | 'spool_old' | undefined
  let lookedAt = -Infinity

  const lookAtSpool = async (): Promise<void> => {
    if (!spool || Math.abs(now() - lookedAt) < ASK_EVERY_MS) return
    lookedAt = now()
    spoolFault = await spool.stats().then(
      ({ oldestAt = Infinity }) => (now() - oldestAt > spool.maxAgeMs ? 'spool_old' : undefined),
      () => 'spool_failed', // the worker, which reads the spool all the time, has said why
    )
  }

  const reason = (): Unready | undefined => (phase === 'running' ? (isRefused ? 'upstream_config' : spoolFault) : phase)

  return {
    onOutcome: ({ outcome, code }) => {
      if (code === 'upstream_config') isDoubted = true
      else if (outcome === 'stored') isDoubted = isRefused = false
      void resolveDoubt()
    },
    started: () => {
      if (phase === 'starting') phase = 'running'
      void lookAtSpool()
    },
    stopping: () => {
      phase = 'stopping'
    },
    state: () => {
      void resolveDoubt()
      void lookAtSpool()
      const why = reason()
      return why ? { ready: false, reason: why, message: MESSAGES[why] } : { ready: true }
    },
  }
}
