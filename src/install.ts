/**
 * What both script tags do: installs one tracker as `window.pristo` and replays what the inline stub queued.
 * Invariant: loading it twice changes nothing, and what was queued is replayed once, in order.
 */
import type { AutoOptions } from './auto/index.ts'
import { start } from './debug.ts'
import type { Options, Pristo } from './pristo.ts'
import { createSender } from './sender.ts'

/** One call that the stub queued: the method's name and its arguments. */
export type QueuedCall = [method: string, ...args: unknown[]]

/** How a page sets up the tag where it has no attributes to do it: `window.pristoConfig`, or `['init', options]` in the stub's queue. */
export interface TagOptions extends Omit<Options, 'direct'>, AutoOptions {}

/** What stands at `window.pristo` before this script, and after. */
interface Global extends Partial<Pristo>, Pick<Options, 'getToken' | 'beforeSend'> {
  q?: QueuedCall[] | { push(call: QueuedCall): unknown }
}

declare global {
  interface Window {
    pristo?: Global
    pristoConfig?: TagOptions
  }
}

const before = window.pristo ?? {}
const queued = before.q ?? []

/** How the page has set up the tag; untrusted. */
export let settings: TagOptions = {}

/** The tracker that this script installed; none where another had done so. */
export let installed: Pristo | undefined

// After the stub `q` is a list; after this script it is none.
if ('forEach' in queued) {
  const { getToken, beforeSend } = before
  // What comes later wins. Whatever is no object, such as the attributes of a tag manager's script, has nothing to say.
  settings = {
    getToken,
    beforeSend,
    ...Object(queued.find((call) => Object(call)[0] === 'init'))[1],
    ...window.pristoConfig,
    ...document.currentScript?.dataset,
  }
  const pristo = start(settings, createSender)
  const push = (call: QueuedCall): unknown => {
    const [method, ...args] = [call].flat() // also where it is no list
    return Object(pristo)[String(method)]?.(...args)
  }

  // The same object: what a page took from the stub goes on working, as does pushing onto `q`.
  window.pristo = Object.assign(before, pristo, { q: { push } })
  queued.forEach(push)
  installed = pristo
}
