/**
 * The signals that end a service.
 * Invariant: the first is a request, the second an order.
 */
import { constants } from 'node:os'

const SIGNALS = ['SIGTERM', 'SIGINT'] as const

/**
 * Resolves with the name of the first signal. From then on the next one ends the process at once, with the code that a shell gives for it
 * (128 and its number): to leave that to the system would not do, as process 1 of a container is not ended by a signal that it does not handle.
 */
export const onStop = (): Promise<string> =>
  new Promise((resolve) => {
    let isStopping = false
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        if (isStopping) process.exit(128 + constants.signals[signal])
        isStopping = true
        resolve(signal)
      })
    }
  })
