/**
 * Takes events out of a spool and brings them to Pristo.
 * Invariant: an event leaves the spool only by the API's own word, or buried with a reason; what fails comes again later and later; while the API
 * fails for all, one event at a time finds out whether it still does.
 */
import type { PristoEvent } from '../../contract.ts'
import { createBreaker, type Breaker } from '../breaker.ts'
import type { Outcome } from '../outcome.ts'
import { LEASE_MS, SpoolError, type Claim, type Reason, type Spool } from './spool.ts'

/** After which an event that still fails is buried: long enough for a weekend without anybody at work. */
const MAX_AGE_MS = 3 * 24 * 3600 * 1000

/** The first wait of a contact's event, which doubles at each further failure up to the longest. */
const BASE_MS = 1_000
const MAX_WAIT_MS = 10 * 60 * 1000

/** Between two looks into a spool that had nothing due: other relays put events there as well. A wait from here on counts as rest. */
const LOOK_MS = 1_000

/** How much of a rate may be made up for: a timer is late by some milliseconds, which would slow a high rate down. */
const SLACK_MS = 50

/** Between two tries to write down what became of an event, where the spool fails. */
const AGAIN_MS = 250

/** Events on their way at once. Each is another contact's. */
const CONCURRENCY = 16

/** A worker at work. */
export interface Worker {
  /** Claims nothing more, and resolves once what is on its way has ended. */
  stop(): Promise<void>
}

/** What became of an event at one attempt, for who counts. */
export type Tried = { event: PristoEvent; outcome: Outcome; buried?: Reason }

/** What a worker works with. */
export interface WorkerMeans {
  spool: Pick<Spool, 'claim' | 'settle' | 'retry' | 'bury'>
  /** One call of the API; must not reject. */
  deliver(event: PristoEvent): Promise<Outcome>
  /** Hears of each attempt. */
  onTried(tried: Tried): void
  /** Hears, once until it works again, that the spool fails. */
  report(message: string, cause?: unknown): void
  /** Most calls a second. Default: as many as the API answers. */
  perSecond?: number | undefined
  /** Contacts served at once. Default 16. */
  concurrency?: number | undefined
  /** Milliseconds since 1970. */
  now(): number
  /** 0 to 1. */
  random(): number
}

/** How long a failed event waits: twice as long each time, but no two the same, and at least what the API asked for. */
export const backoffMs = (attempts: number, random: number, retryAfterS = 0): number => {
  const waitMs = Math.min(BASE_MS * 2 ** Math.min(attempts, 20), MAX_WAIT_MS)
  return Math.max(Math.round(waitMs * (0.5 + random / 2)), retryAfterS * 1000)
}

/** When the next call may go out: at a steady rate, and after what the API asked to wait. */
const createPace = (perSecond: number | undefined, now: () => number) => {
  const stepMs = perSecond ? 1000 / perSecond : 0
  let nextAt = -Infinity
  let seenAt = -Infinity

  /** After a clock was set back a wait counts as over, as that of the breaker: else nothing would go until it is as late again. */
  const look = (): number => {
    const at = now()
    if (at < seenAt) nextAt = at
    seenAt = at
    return at
  }

  return {
    /** Milliseconds until the next call may go. */
    waitMs: (): number => Math.max(0, nextAt - look()),
    /** One goes. */
    take: (): void => {
      nextAt = Math.max(look() - SLACK_MS, nextAt) + stepMs
    },
    pause: (seconds: number): void => {
      nextAt = Math.max(look() + seconds * 1000, nextAt)
    },
  }
}

type Pace = ReturnType<typeof createPace>

/** A wait that can be cut short, for all who wait. */
const createSleep = () => {
  const sleepers = new Set<() => void>()
  return {
    sleep: (ms: number): Promise<void> =>
      new Promise((resolve) => {
        const end = (): void => {
          clearTimeout(timer)
          sleepers.delete(end)
          resolve()
        }
        const timer = setTimeout(end, ms)
        sleepers.add(end)
      }),
    wakeAll: (): void => sleepers.forEach((end) => end()),
  }
}

/** What a worker has, and what it knows of the API. */
type Running = WorkerMeans & { breaker: Breaker; pace: Pace; onRest: OnRest | undefined }

const startRuns = ({ spool, deliver, onTried, report, concurrency = CONCURRENCY, now, random, breaker, pace, onRest }: Running): Worker => {
  const { sleep, wakeAll } = createSleep()
  let isStopping = false
  let isBroken = false
  let resting = 0
  const concluding = new Set<Promise<void>>()

  const fails = (cause: unknown): void => {
    const why = cause instanceof SpoolError ? cause.message.replace('[pristo] ', '') : 'the spool fails'
    if (!isBroken) report(`${why}; what it holds waits in it`, cause)
    isBroken = true
  }

  /** Milliseconds to wait before the next call; 0 says that it may go now, and that `conclude` follows. */
  const ask = (): number => {
    const waitMs = pace.waitMs()
    if (waitMs) return waitMs
    if (!breaker.enter()) return breaker.waitS() * 1000
    pace.take()
    return 0
  }

  /** Tells what became of an event, and gives the step that ends its claim so. */
  const judge = (claim: Claim, outcome: Outcome): (() => Promise<boolean>) => {
    const { event, attempts, acceptedAt } = claim
    // With a handful of contacts that the API does not know (404) anybody could hold up all others.
    if (outcome.outcome !== 'retry' || outcome.isPerhapsContact) breaker.succeed()
    else if (outcome.code !== 'in_flight') breaker.fail()
    if (outcome.outcome === 'retry') {
      if (outcome.retryAfterS) pace.pause(outcome.retryAfterS)
      const isOver = now() - acceptedAt > MAX_AGE_MS
      if (!isOver) {
        onTried({ event, outcome })
        const delayMs = backoffMs(attempts, random(), outcome.retryAfterS)
        return () => spool.retry(claim, delayMs)
      }
      const reason = { code: 'expired', message: outcome.code }
      onTried({ event, outcome, buried: reason })
      return () => spool.bury(claim, reason)
    }
    onTried({ event, outcome })
    if (outcome.outcome !== 'rejected') return () => spool.settle(claim)
    const { outcome: _, ...reason } = outcome
    return () => spool.bury(claim, reason)
  }

  /** Writes down what became of an event. What the spool does not learn is sent again: where it fails it is told again, for as long as the claim is ours. */
  const conclude = async (claim: Claim, outcome: Outcome, until: number): Promise<void> => {
    const end = judge(claim, outcome)
    for (;;) {
      try {
        await end()
        return
      } catch (cause) {
        fails(cause)
        if (now() >= until) return
        await sleep(AGAIN_MS)
      }
    }
  }

  const claimOne = async (): Promise<Claim | undefined> => {
    const [claim] = await spool.claim(1)
    isBroken = false
    return claim
  }

  /** Nothing for this run to do; the last one to say so says that all rest. */
  const rest = async (waitMs: number): Promise<void> => {
    if (isStopping) return
    const slept = sleep(waitMs || LOOK_MS)
    resting++
    if (resting === concurrency && (waitMs === 0 || waitMs >= LOOK_MS)) onRest?.(waitMs)
    await slept
    resting--
  }

  /** One event after the other, until the worker stops. The end of one and the claim of the next are asked together: an engine may do both in one commit. */
  const run = async (): Promise<void> => {
    let claim: Claim | undefined
    while (!isStopping || claim) {
      try {
        if (claim) {
          const done: Claim = claim
          claim = undefined
          const until = now() + LEASE_MS
          const concluded = conclude(done, await deliver(done.event), until)
          concluding.add(concluded)
          void concluded.then(() => concluding.delete(concluded))
          const mayGo = !isStopping && ask() === 0
          if (mayGo) claim = await claimOne()
          else await concluded
          if (claim) continue
        }
        if (isStopping) return
        const waitMs = ask()
        if (!waitMs) claim = await claimOne()
        if (!claim) await rest(waitMs)
      } catch (cause) {
        fails(cause)
        if (!isStopping) await sleep(LOOK_MS)
      }
    }
  }

  const runs = Array.from({ length: concurrency }, run)
  return {
    stop: async () => {
      isStopping = true
      wakeAll()
      await Promise.all(runs)
      await Promise.all(concluding)
    },
  }
}

/** Hears that nothing is on its way, since nothing is due (0), or since the API wants to be left alone for so many milliseconds. */
export type OnRest = (waitMs: number) => void

/**
 * Makes a worker that can be started again after each stop, one at a time: what it has learned of the API outlives that. For a runtime that
 * lets it work only now and then, and wants to know when it may end: `onRest`.
 */
export const createWorker = (means: WorkerMeans): ((onRest?: OnRest) => Worker) => {
  const breaker = createBreaker(means.now)
  const pace = createPace(means.perSecond, means.now)
  return (onRest) => startRuns({ ...means, breaker, pace, onRest })
}

/** Starts a worker; stop it before the spool is closed. */
export const startWorker = (means: WorkerMeans): Worker => createWorker(means)()
