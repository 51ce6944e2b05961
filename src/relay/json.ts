/**
 * What came as text from somebody else.
 * Invariant: never throws; what it is has still to be asked.
 */

/** The value, or undefined where the text is no JSON: no JSON text means undefined. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // HTML of a proxy, or nothing at all: as little an answer as JSON of another shape
  }
}

/** Whether a value is an object with named members. */
export const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
