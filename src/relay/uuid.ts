/** The form of keys, populations and ids of events. Invariant: any version, any case. */

const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i

/** Whether it is a UUID in its usual form of 36 characters. */
export const isUuid = (value: unknown): value is string => typeof value === 'string' && UUID.test(value)
