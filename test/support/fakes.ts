/** What browser rooms are handed in tests: a page, a way out that answers by script, events. */
import type { Batch, Contact, Result } from '../../src/contract.ts'
import type { TrackedEvent } from '../../src/event.ts'
import { LEASE_MS } from '../../src/holding.ts'
import type { Outbox, Stored, StoredRecord, Writes } from '../../src/outbox.ts'
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

/** The same, tracked while nobody was identified. */
export const makeNobodys = (nth: number): TrackedEvent => {
  const { contact: _, ...event } = makeNth(nth)
  return event
}

/** So many events, from the first on. */
export const makeMany = (count: number): TrackedEvent[] => Array.from({ length: count }, (_, at) => makeNth(at + 1))

/** Numbers of events made by {@link makeNth}. */
export const numbersOf = (events: { id: string }[]): number[] => events.map(({ id }) => Number(id.slice(-12)))

/** An event as `track()` hands it on: for the tab that made it alone, as long as a lease is. */
export const recordOf = (event: TrackedEvent, change: Partial<StoredRecord> = {}): StoredRecord => ({
  event,
  due: Date.now() + LEASE_MS,
  epoch: 0,
  ...change,
})

/** Everything in an outbox, in the order of its keys. Changes nothing. */
export const readAll = async (outbox: Outbox): Promise<Stored[]> => {
  let found: Stored[] = []
  await outbox.edit((stored) => {
    found = stored
    return []
  })
  return found
}

/** The events in an outbox, oldest first. Changes nothing. */
export const peek = async (outbox: Outbox): Promise<StoredRecord[]> =>
  (await readAll(outbox)).flatMap((one) => ('event' in one ? [one] : []))

/**
 * The queue in memory, for all tabs of a test. Like a database it gives and keeps copies, and answers later.
 * @param durable whether it is a disk that works; one that does not is never asked what to write
 */
export const createMemoryOutbox = (durable: boolean): Outbox => {
  const stored = new Map<string, Stored>()
  const write = (writes: Writes): void => {
    for (const [key, value] of writes) {
      if (value) stored.set(key, structuredClone(value))
      else stored.delete(key)
    }
  }
  const use = async (work: () => void): Promise<boolean> => {
    await Promise.resolve()
    if (durable) work()
    return durable
  }
  return {
    put: (writes) => use(() => write(writes())),
    edit: (plan) => use(() => write(plan([...stored].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => structuredClone(value))))),
    leave: () => {},
  }
}

/** What the tabs and pages of one site share on a device. */
export interface Device {
  storage: Map<string, string>
  cookies: Map<string, string>
}

export const createDevice = (): Device => ({ storage: new Map(), cookies: new Map() })

export interface FakePage extends Page {
  hidden: boolean
  /** Going, or in the back/forward cache: hidden too. */
  gone: boolean
  online: boolean
  /** Whether there is no room in its `localStorage`. */
  full: boolean
}

/**
 * A page that is seen until its `hidden` or `gone` is set.
 * @param answer the network; nobody answers where it is left out
 */
export const createPage = ({ storage, cookies }: Device = createDevice(), answer?: Page['fetch']): FakePage => {
  const page: FakePage = {
    hidden: false,
    gone: false,
    online: true,
    full: false,
    fetch: answer ?? (() => Promise.reject(new TypeError('offline'))),
    read: (key) => JSON.parse(storage.get(key) ?? '[]'),
    write: (key, value) => !page.full && storage.set(key, JSON.stringify(value)),
    erase: (name) => {
      storage.delete(name)
      cookies.delete(name)
    },
    mark: (name, seconds) => {
      cookies.set(name, '')
      setTimeout(() => cookies.delete(name), seconds * 1_000)
    },
    cookies: () => [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
    keys: (prefix) => [...storage.keys()].filter((key) => key.startsWith(prefix)),
    hasCookies: true,
    recall: (key) => storage.get(key),
    remember: (key, word) => void storage.set(key, word),
    isRefused: () => false,
    isHidden: () => page.hidden || page.gone,
    isGone: () => page.gone,
    isOnline: () => page.online,
    idb: () => indexedDBStandIn,
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
  parcels: { at: number; events: TrackedEvent[]; keepalive: boolean }[]
  free: number
}

/** Answers parcels one script after the other, and the last for ever. */
export const createScriptedSender = (...scripts: Script[]): ScriptedSender => {
  const sender: ScriptedSender = {
    parcels: [],
    free: 59_900,
    room: () => sender.free,
    send: async (events, keepalive) => {
      sender.parcels.push({ at: Date.now(), events, keepalive })
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
