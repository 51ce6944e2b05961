/**
 * The relay runs in this process and takes what it finds there: its timers and its hashes are virtual while a simulation runs.
 * Invariant: outside of a simulation everything is as Node has it.
 */
import { createHash } from 'node:crypto'
import type { Time } from './time.ts'

interface Run {
  time: Time
  cancels: Map<number, () => void>
  onRejection(reason: unknown): void
}

const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, digest: crypto.subtle.digest.bind(crypto.subtle) }

let run: Run | undefined
let ids = 0
let isInstalled = false

const install = (): void => {
  isInstalled = true
  Object.assign(globalThis, {
    setTimeout: (work: (...given: unknown[]) => void, delayMs = 0, ...given: unknown[]): unknown => {
      if (!run) return real.setTimeout(work, delayMs, ...given)
      const id = ++ids
      const { time, cancels } = run
      const due = (): void => {
        cancels.delete(id)
        work(...given)
      }
      cancels.set(id, time.after(delayMs, due))
      return id
    },
    clearTimeout: (id: unknown): void => {
      if (typeof id !== 'number') return real.clearTimeout(id as NodeJS.Timeout)
      run?.cancels.get(id)?.()
      run?.cancels.delete(id)
    },
  })
  // A thread pool would answer whenever it likes.
  Object.defineProperty(crypto.subtle, 'digest', {
    configurable: true, // each mutant of the simulation brings its own
    value: async (algorithm: string, data: Uint8Array): Promise<ArrayBufferLike> =>
      run ? new Uint8Array(createHash('sha256').update(data).digest()).buffer : real.digest(algorithm, Uint8Array.from(data)),
  })
}

const hear = (reason: unknown): void => run?.onRejection(reason)

/**
 * Begins a run; one at a time.
 * @param onRejection told of every promise that is left rejected
 * @returns what ends it
 */
export const enter = (time: Time, onRejection: (reason: unknown) => void): (() => void) => {
  if (!isInstalled) install()
  run = { time, cancels: new Map(), onRejection }
  process.on('unhandledRejection', hear)
  return () => {
    process.off('unhandledRejection', hear)
    run = undefined
  }
}
