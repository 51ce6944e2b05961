/**
 * Virtual time: one queue of steps for everything that happens anywhere.
 * Invariant: steps run in order of their time, those of one time in the order in which they were planned, and between two
 * steps every microtask has run.
 */

/** Ends what was planned; harmless afterwards. */
export type Cancel = () => void

export interface Time {
  /** Milliseconds since the epoch, with fractions. */
  now(): number
  /** Counts the steps: what shares a number shares a task. */
  step(): number
  after(delayMs: number, work: () => void): Cancel
  /** Runs steps until `isOver` says so (asked before each step) or none is left. Rejects with whatever a step throws. */
  run(isOver: () => boolean): Promise<void>
}

interface Step {
  at: number
  nth: number
  work: (() => void) | undefined
}

const isBefore = (a: Step, b: Step): boolean => a.at < b.at || (a.at === b.at && a.nth < b.nth)

/** Immediates queued at once: Node runs microtasks between them, and one turn of its event loop serves them all. */
const BURST = 32

const realImmediate = setImmediate

export const createTime = (startMs: number): Time => {
  const heap: Step[] = []
  let now = startMs
  let planned = 0
  let steps = 0

  const push = (step: Step): void => {
    let at = heap.push(step) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (!above || !isBefore(step, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = step
  }

  const pop = (): Step | undefined => {
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || first === last) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      const left = heap[child]
      const right = heap[child + 1]
      if (!left) break
      if (right && isBefore(right, left)) child++
      const below = heap[child]
      if (!below || !isBefore(below, last)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
    return first
  }

  const runOne = (): boolean => {
    for (;;) {
      const step = pop()
      if (!step) return false
      if (!step.work) continue
      now = Math.max(now, step.at)
      steps++
      step.work()
      return true
    }
  }

  return {
    now: () => now,
    step: () => steps,
    after: (delayMs, work) => {
      const step: Step = { at: now + Math.max(0, delayMs), nth: planned++, work }
      push(step)
      return () => (step.work = undefined)
    },
    run: (isOver) =>
      new Promise((resolve, reject) => {
        let isDone = false
        const turn = (): void => {
          if (isDone) return
          try {
            if (!isOver() && runOne()) return
            isDone = true
            resolve()
          } catch (error) {
            isDone = true
            reject(error)
          }
        }
        const burst = (): void => {
          if (isDone) return
          for (let nth = 0; nth < BURST; nth++) realImmediate(turn)
          realImmediate(burst)
        }
        burst()
      }),
  }
}
