/**
 * The script-tag face: installs one tracker as `window.pristo` and replays what the inline stub queued.
 * Invariant: loading it twice changes nothing, and what was queued is replayed once, in order.
 */
import { startPristo, type Pristo } from './pristo.ts'
import { createSender } from './sender.ts'
import type { Tokens } from './token.ts'

/** One call that the stub queued: the method's name and its arguments. */
export type QueuedCall = [method: string, ...args: unknown[]]

/** What stands at `window.pristo` before this script, and after. */
interface Global extends Partial<Pristo>, Pick<Tokens, 'getToken'> {
  q?: QueuedCall[] | { push(call: QueuedCall): unknown }
}

declare global {
  interface Window {
    pristo?: Global
  }
}

const before = window.pristo ?? {}
const queued = before.q ?? []

// After the stub `q` is a list; after this script it is none.
if ('forEach' in queued) {
  const { getToken } = before
  const data = document.currentScript?.dataset
  const pristo = startPristo({ getToken, ...data }, createSender)
  const push = (call: QueuedCall): unknown => {
    const [method, ...args] = [call].flat() // also where it is no list
    return Object(pristo)[String(method)]?.(...args)
  }

  // The same object: what a page took from the stub goes on working, as does pushing onto `q`.
  window.pristo = Object.assign(before, pristo, { q: { push } })
  queued.forEach(push)
}
