/** What browser rooms are handed in tests: a page, a way out that answers by script, events. */
import type { Batch, Contact, Result } from '../../src/contract.ts'
import type { TrackedEvent } from '../../src/event.ts'
import type { Outbox, StoredRecord } from '../../src/outbox.ts'
import type { Page } from '../../src/page.ts'
import type { Reply, Send } from '../../src/sender.ts'

/** What every fake clock starts at. */
export const NOON = Date.parse('2026-07-01T12:00:00Z')

export const ADA: Contact = { id: 'u_1', email: 'ada@example.com' }

/** The nth event: ids sort as the numbers do. */
export const makeNth = (nth: number, change: Partial<TrackedEvent> = {}): TrackedEvent => ({
  id: `01980000-0000-7000-8000-${String(nth).padStart(12, '0')}`,
  type: 'view',
  occurredAt: new Date(NOON).toISOString(),
  contact: ADA,
  ...change,
})

/** So many events, from the first on. */
export const makeMany = (count: number): TrackedEvent[] => Array.from({ length: count }, (_, at) => makeNth(at + 1))

/** Numbers of events made by {@link makeNth}. */
export const numbersOf = (events: { id: string }[]): number[] => events.map(({ id }) => Number(id.slice(-12)))

/** What is in an outbox, oldest first. Changes nothing. */
export const peek = async (outbox: Outbox): Promise<StoredRecord[]> => {
  const found: StoredRecord[] = []
  await outbox.edit((record) => {
    found.push(record)
    return record
  }, [])
  return found.sort((a, b) => (a.event.id < b.event.id ? -1 : 1))
}

export interface FakePage extends Page {
  hidden: boolean
}

/**
 * A page that is seen until its `hidden` is set.
 * @param storage the device's: tabs and later pages share it
 * @param answer the network; nobody answers where it is left out
 */
export const createPage = (storage = new Map<string, string>(), answer?: Page['fetch']): FakePage => {
  const page: FakePage = {
    hidden: false,
    fetch: answer ?? (() => Promise.reject(new TypeError('offline'))),
    read: (key) => JSON.parse(storage.get(key) ?? '[]'),
    write: (key, value) => void storage.set(key, JSON.stringify(value)),
    erase: (key) => void storage.delete(key),
    keys: (prefix) => [...storage.keys()].filter((key) => key.startsWith(prefix)),
    isHidden: () => page.hidden,
    idb: indexedDBStandIn,
    listen: () => () => {},
  }
  return page
}

// Rooms under test are given an outbox; nobody opens this.
const indexedDBStandIn: IDBFactory = {
  cmp: () => 0,
  databases: async () => [],
  deleteDatabase: () => {
    throw new Error('no IndexedDB here')
  },
  open: () => {
    throw new Error('no IndexedDB here')
  },
}

/** Every event of a parcel with the same outcome. */
export const answerAll = (events: { id: string }[], outcome: 'stored' | 'rejected' | 'retry' = 'stored'): Reply => ({
  http: 200,
  results: events.map(({ id }): Result =>
    outcome === 'stored'
      ? { id, outcome }
      : outcome === 'retry'
        ? { id, outcome, code: 'unavailable' }
        : { id, outcome, code: 'invalid_event', status: 400, message: 'unknown type' },
  ),
})

/** What one parcel is answered. */
export type Script = (events: TrackedEvent[]) => Reply | undefined | Promise<Reply | undefined>

export interface ScriptedSender {
  room(): number
  send: Send
  /** Parcels in the order in which they left, and when. */
  parcels: { at: number; events: TrackedEvent[] }[]
  free: number
}

/** Answers parcels one script after the other, and the last for ever. */
export const createScriptedSender = (...scripts: Script[]): ScriptedSender => {
  const sender: ScriptedSender = {
    parcels: [],
    free: 59_900,
    room: () => sender.free,
    send: async (events) => {
      sender.parcels.push({ at: Date.now(), events })
      const script = (scripts.length > 1 ? scripts.shift() : scripts[0]) ?? answerAll
      return script(events)
    },
  }
  return sender
}

/** The relay's answer to a batch: stored, all of it. */
export const relayAnswer = (body: unknown, outcome: 'stored' | 'rejected' | 'retry' = 'stored'): Response => {
  const { events }: Pick<Batch, 'events'> = JSON.parse(String(body))
  return Response.json({ v: 1, results: answerAll(events, outcome).results })
}
