/**
 * What the relay's ack cookies say: which events are stored although no page lived to read the answer.
 * Invariant: nothing is kept here; whoever read the cookies asks.
 */
import { ACK_COOKIE, ACK_MARK_CHARS, ackMark } from './contract.ts'
import type { TrackedEvent } from './event.ts'

/** Ack cookies that a failing disk may leave: of 400 bytes at most each, they ride on every request of the site. */
const MAX_LEFT = 5

/** A cookie of every page: as long as it is there no ack is cleared, since somebody may look for it. A denial erases it as it erases them. */
export const HELD_ACKS = ACK_COOKIE + 'held'

/** Whether an ack among these cookies says that the event is stored. */
export const isAcked = ({ id }: TrackedEvent, cookies: string): boolean =>
  RegExp(`${ACK_COOKIE}\\w+=(\\w{${ACK_MARK_CHARS}})*${ackMark(id)}`).test(cookies)

/** The names of the ack cookies among these, in the order of their age (RFC 6265 §5.4). */
export const ackNames = (cookies: string): string[] => cookies.match(/pristo_ack_\w+/g) ?? []

/**
 * Of these acks those that are of no use to anybody where the disk fails: they would pile up. Others may name what is on the
 * disk, for the page that can read it; the youngest stay.
 * @param fromMemory ids of events that nobody but this page ever had
 */
export const uselessAcks = (names: string[], fromMemory: string[]): string[] =>
  names.filter((name, nth) => nth < names.length - MAX_LEFT || fromMemory.some((id) => name.endsWith(ackMark(id))))
