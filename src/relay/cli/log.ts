/**
 * One line per fact, for a program or for a person.
 * Invariant: a line holds what the relay's hooks say, which is nothing personal, and no field that is not listed here.
 */

/** From the most to the least talkative. */
export const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type Level = (typeof LEVELS)[number]
export const FORMATS = ['text', 'json'] as const
export type Format = (typeof FORMATS)[number]

/** What a line may say besides its message; milliseconds in `ms`. */
export interface Facts {
  status?: number | undefined
  code?: string | undefined
  events?: number | undefined
  ms?: number | undefined
  outcome?: string | undefined
  id?: string | undefined
  type?: string | undefined
  reason?: string | undefined
  url?: string | undefined
  admin?: string | undefined
  signal?: string | undefined
}

/** Writes a line, if its level is worth it. */
export type Log = (level: Level, message: string, facts?: Facts) => void

/** Bare where it is one word, else in quotes, which no line can break out of. */
const quote = (value: string | number): string => (/^[\w.:/-]+$/.test(String(value)) ? String(value) : JSON.stringify(value))

/** `write` gets a line without its end; `now` in milliseconds. */
export const createLog = ({
  write,
  format,
  level: least,
  now,
}: {
  write: (line: string) => void
  format: Format
  level: Level
  now: () => number
}): Log => {
  const toText = (time: string, level: Level, message: string, facts: Facts): string =>
    [
      time,
      level.padEnd(5),
      message,
      ...Object.entries(facts).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${quote(value)}`])),
    ].join(' ')

  return (level, message, facts = {}) => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(least)) return
    const time = new Date(now()).toISOString()
    write(format === 'json' ? JSON.stringify({ time, level, message, ...facts }) : toText(time, level, message, facts))
  }
}
