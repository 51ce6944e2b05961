/**
 * The site's last word on an event, before anything of it is stored.
 * Invariant: only `null` drops an event. A hook that throws, or answers nonsense, costs none and changes none.
 */
import { makeEvent, type Fields, type TrackedEvent } from './event.ts'

/**
 * Called by `track()`, synchronously, with a copy of each event that has passed its checks: what it returns is checked like a call.
 * Only `type` and `customFields` of that count. `null` drops the event without a word, and `track()` returns `undefined`.
 * Where it throws or returns anything else (a promise, too) the event goes as it was, and the console says so.
 */
export type BeforeSend = (
  event: Required<Omit<TrackedEvent, 'contact'>>,
) => { type: string; customFields?: Fields | undefined } | null

const ABOUT = 'beforeSend: '

/**
 * Asks the hook, where there is one. `null`: it wants the event dropped.
 * @param complain told of what is wrong with the answer or was thrown, and that it is about the hook
 */
export const ask = (hook: BeforeSend | undefined, event: TrackedEvent, complain: (problem: unknown, about: string) => void): TrackedEvent | null => {
  if (!hook) return event
  try {
    const { id, type, occurredAt, customFields } = event
    const answer = hook({ id, type, occurredAt, customFields: { ...customFields } })
    if (answer === null) return null
    const { type: newType, customFields: newFields }: Partial<typeof answer> = Object(answer)
    return { ...makeEvent(id, newType, newFields, (message) => complain(message, ABOUT)), occurredAt }
  } catch (problem) {
    complain(problem, ABOUT)
    return event
  }
}
