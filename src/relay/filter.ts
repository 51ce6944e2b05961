/**
 * Which events the site wants at all.
 * Invariant: an unwanted event is rejected with its reason, never passed over in silence.
 */
import { isbot } from 'isbot'
import { fail } from './given.ts'
import type { Outcome } from './outcome.ts'

/** What becomes of events whose User-Agent says that it is a program. */
export type Bots = 'deliver' | 'drop'

/** One request's events, by what can be said before anybody asks who sent them. */
export interface Filter {
  /** Whether all of them are unwanted. */
  isBot: boolean
  /** The rejection that an event of this type deserves, or undefined. */
  judge(type: string): Outcome | undefined
}

const BOT: Outcome = { outcome: 'rejected', code: 'bot', message: 'the User-Agent is that of a program; see the relay option bots' }

const NOT_ALLOWED: Outcome = {
  outcome: 'rejected',
  code: 'type_not_allowed',
  message: 'event.type: not on the list of the relay; see its option allowedTypes',
}

/**
 * `allowedTypes`: undefined allows all. isbot knows programs that say what they are: one that pretends to be a browser passes, and so does a
 * request without a User-Agent.
 */
export const createFilter = ({ allowedTypes, bots }: { allowedTypes: readonly string[] | undefined; bots: Bots }) => {
  const allowed = allowedTypes && new Set(allowedTypes)
  return (request: Request): Filter => {
    const isBot = bots === 'drop' && isbot(request.headers.get('User-Agent'))
    return { isBot, judge: (type) => (isBot ? BOT : allowed?.has(type) === false ? NOT_ALLOWED : undefined) }
  }
}

/** Throws the one line where a list of types is none, or would reject every event. */
export const checkAllowedTypes = (given: unknown): void => {
  if (given === undefined) return
  const allowed = "an array of event types, such as 'purchase'"
  if (!Array.isArray(given) || !given.length) return fail('allowedTypes', given, allowed)
  const wrong = given.findIndex((type) => typeof type !== 'string' || type === '')
  if (wrong >= 0) fail(`allowedTypes[${wrong}]`, given[wrong], allowed)
}

/** Throws the one line where `bots` is neither. */
export const checkBots = (given: unknown): void => {
  if (given !== 'deliver' && given !== 'drop') fail('bots', given, "'deliver' or 'drop'")
}
