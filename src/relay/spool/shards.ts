/**
 * One spool over several Durable Objects.
 * Invariant: a contact's events are all in one object, which the contact's id alone decides, so that their order is that object's.
 */
import type { PristoEvent } from '../../contract.ts'
import { fail } from '../given.ts'
import { hashText } from '../hash.ts'
import { SpoolError, type DeadEvent, type Selection, type Spool, type Stats } from './spool.ts'

/** The part of a binding to Durable Objects that is needed here. */
export interface ObjectNamespace {
  /** The object's id of a name. */
  idFromName(name: string): unknown
  /** The way to the object. */
  get(id: unknown): {
    /** Asks it. */
    fetch(
      url: string,
      init: { method: string; body: string },
    ): Promise<{
      /** Its answer. */
      json(): Promise<unknown>
    }>
  }
}

/** What an object is asked. Only the binding leads to it, and only this room asks. */
export type Asked =
  | { verb: 'put'; events: readonly PristoEvent[] }
  | { verb: 'stats' }
  | { verb: 'list'; most: number }
  | { verb: 'replay' | 'drop'; which: Selection }

/** What it answers: a value by the verb, or what completes the sentence "the spool …". */
export type Answered = { value: unknown } | { error: string }

/** Shards of a spool where nothing else is said: some thousand events a second, and few enough to ask them all within one request of a free plan. */
const SHARDS = 16

/** An answer that is none comes from another class, or another version, than the one that was meant. */
const STRANGE = 'is not where its binding leads: the class must be one of createSpoolObject'

const isOf = <T extends object>(value: unknown, key: keyof T): value is T => typeof value === 'object' && value !== null && key in value

const earliest = (times: readonly (number | undefined)[]): number | undefined => {
  const known = times.filter((time) => time !== undefined)
  return known.length ? Math.min(...known) : undefined
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

/**
 * The spool behind a binding, for the relay's option `spool`, and for who operates it; the objects deliver by themselves.
 * `shards` is how many objects share the contacts, 1 to 1 000, default 16. More can be had at any time, but a contact that moves leaves behind what
 * waits: its next events may arrive before that. Fewer only once the spool is empty: nobody would ask the others again.
 * Throws a TypeError of one line where a setting cannot be used.
 */
export const objectSpool = (namespace: ObjectNamespace, { shards = SHARDS }: { shards?: number } = {}): Pick<Spool, 'put' | 'stats' | 'dead'> => {
  if (typeof Object(namespace).idFromName !== 'function') fail('namespace', namespace, 'the binding to the class of createSpoolObject')
  if (!Number.isInteger(shards) || shards < 1 || shards > 1_000) fail('shards', shards, 'a whole number from 1 to 1000')
  const all = Array.from({ length: shards }, (_, shard) => shard)

  // Of its own for each question: one that has failed once may fail for ever (https://developers.cloudflare.com/durable-objects/best-practices/error-handling/).
  const ask = async (shard: number, asked: Asked): Promise<unknown> => {
    const object = namespace.get(namespace.idFromName(String(shard)))
    const answer = await object
      .fetch(`https://spool/${asked.verb}`, { method: 'POST', body: JSON.stringify(asked) })
      .then((response) => response.json())
      .catch((cause: unknown) => {
        throw new SpoolError('cannot be reached: its object failed', cause)
      })
    if (isOf<{ error: string }>(answer, 'error')) throw new SpoolError(answer.error)
    if (isOf<{ value: unknown }>(answer, 'value')) return answer.value
    throw new SpoolError(STRANGE)
  }

  /** All at once. Rejects only when every one has ended: what goes on behind an answer may be cut off. */
  const askAll = async (questions: readonly (readonly [number, Asked])[]): Promise<unknown[]> => {
    const answers = await Promise.allSettled(questions.map(([shard, asked]) => ask(shard, asked)))
    return answers.map((answer) => {
      if (answer.status === 'rejected') throw answer.reason
      return answer.value
    })
  }

  const askEach = (asked: Asked): Promise<unknown[]> => askAll(all.map((shard) => [shard, asked]))

  const count = async (asked: Asked): Promise<number> => sum((await askEach(asked)).map(Number))

  const shardOf = async (contactId: string): Promise<number> => Number.parseInt((await hashText(contactId)).slice(0, 8), 16) % shards

  return {
    // Where one shard fails or is full, the browser is told that none has its events. Those that another has taken are known there by their ids
    // when they come again, and delivered meanwhile.
    put: async (events) => {
      const parts = new Map<number, PristoEvent[]>()
      for (const event of events) {
        const shard = await shardOf(event.contact.id)
        parts.set(shard, [...(parts.get(shard) ?? []), event])
      }
      const answers = await askAll([...parts].map(([shard, part]) => [shard, { verb: 'put', events: part }]))
      if (answers.every((answer) => answer === 'accepted')) return 'accepted'
      if (answers.includes('full')) return 'full'
      throw new SpoolError(STRANGE)
    },

    stats: async () => {
      const stats = (await askEach({ verb: 'stats' })).filter((answer): answer is Stats => isOf<Stats>(answer, 'maxBytes'))
      if (stats.length < shards) throw new SpoolError(STRANGE)
      const total = (key: 'events' | 'contacts' | 'dead' | 'bytes' | 'maxBytes'): number => sum(stats.map((shard) => shard[key]))
      return {
        events: total('events'),
        contacts: total('contacts'),
        dead: total('dead'),
        bytes: total('bytes'),
        maxBytes: total('maxBytes'),
        oldestAt: earliest(stats.map(({ oldestAt }) => oldestAt)),
        dueAt: earliest(stats.map(({ dueAt }) => dueAt)),
      }
    },

    dead: {
      list: async (most) => {
        const answers = (await askEach({ verb: 'list', most })).flat()
        const events = answers.filter((answer): answer is DeadEvent => isOf<DeadEvent>(answer, 'buriedAt'))
        return events.sort((one, other) => one.buriedAt - other.buriedAt).slice(0, most)
      },
      replay: (which) => count({ verb: 'replay', which }),
      drop: (which) => count({ verb: 'drop', which }),
    },
  }
}
