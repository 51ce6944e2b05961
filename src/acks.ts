/**
 * What the relay's ack cookies say: which events are stored although no page lived to read the answer.
 * Invariant: nothing is kept here; whoever read the cookies asks.
 */
import { ACK_COOKIE, ACK_MARK_CHARS, ackMark } from './contract.ts'

/** Ack cookies that a failing disk may leave: of 400 bytes at most each, they ride on every request of the site. */
export const MAX_LEFT = 5

/** A cookie of every page: as long as it is there no ack is cleared, since somebody may look for it. A denial erases it as it erases them. */
export const HELD_ACKS = ACK_COOKIE + 'held'

/** The acks among these cookies, in the order of their age (RFC 6265 §5.4): the name, and the marks of the events that are stored. */
const readAcks = (cookies: string): [name: string, marks: string[]][] =>
  [...cookies.matchAll(/(pristo_ack_\w+)=(\w*)/g)].map(([, name = '', value = '']) => [name, value.match(RegExp(`.{${ACK_MARK_CHARS}}`, 'g')) ?? []])

/** The {@link ackMark}s of all events that the acks among these cookies say are stored. */
export const readMarks = (cookies: string): Set<string> => new Set(readAcks(cookies).flatMap(([, marks]) => marks))

/** The names of the ack cookies among these. */
export const ackNames = (cookies: string): string[] => readAcks(cookies).map(([name]) => name)

/**
 * The names of the acks among these cookies that tell nothing new, and of the oldest over so many others: where the disk fails they would pile up.
 * @param known ids of events that are on no disk any more, or never were on any
 */
export const uselessAcks = (cookies: string, known: string[], most = Infinity): string[] => {
  const marks = new Set(known.map(ackMark))
  return readAcks(cookies).flatMap(([name, stored], nth, { length }) => (nth < length - most || stored.every((mark) => marks.has(mark)) ? [name] : []))
}
