/**
 * Chaos for the spool in Durable Objects: two Workers of the template over the same objects, in a workerd that is killed again and again over one folder,
 * while pages send to either and the API fails at random.
 * Invariant: what counts as sent was answered 202; nothing but the API's own log says what arrived, and nothing but the objects' alarms brings it there
 * once the last kill is over.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { PristoEvent } from '../../../src/contract.ts'
import { startPristoApi, type Fault, type PristoApi, type StoredEvent } from '../../support/pristo-api.ts'
import { startSpoolWorkerd, type SpoolWorker } from '../../support/worker-spool.ts'

/** What became of the events. */
export interface ObjectChaos {
  /** Events that the Worker answered 202 for: all, in the end. */
  sent: number
  /** Of these, those that the API never stored. */
  lost: number
  /** Times that an event was stored again. */
  duplicated: number
  /** Of these, those that follow a storing whose answer was lost: the connection was cut, or the Worker was killed just then. */
  duplicatedAllowed: number
  /** Events that the API first stored after a later one of the same contact. */
  disordered: number
}

/** Pages, each of a contact of its own. */
const PAGES = 24

/** How often the API changes its mind, milliseconds. */
const FAULT_MS = 40

/** Between a start and the next kill at the most, and what a start takes about, milliseconds. */
const LIFE_MS = 3_000
const START_MS = 700

/** Events that a page sends at once at the most. */
const BATCH = 4

/** How long the Worker may take to hear an answer and to have it on the disk, milliseconds: 300 were not enough on a busy machine. */
const HEARING_MS = 1_000

/** How long the rest may take to arrive after the last kill, milliseconds: a lease, and the longest backoff that some failures in a row give. */
const DRAIN_MS = 180_000

/** Mostly none. */
const FAULTS: readonly (Fault | null)[] = [null, null, null, null, { status: 503 }, { reset: 'before' }, { reset: 'after' }, { retryAfter: '1' }, { delayMs: 200 }]

const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(Math.random() * from.length)]

const idOf = (n: number): string => `0190a000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`

const makeEvents = (count: number): PristoEvent[] =>
  Array.from({ length: count }, (_, n) => {
    const id = `contact ${n % PAGES}`
    return { id: idOf(n), type: 'purchase', occurredAt: new Date().toISOString(), contact: { id, email: `${n % PAGES}@example.org` } }
  })

/** Sends a page's events in portions over the time that it has, each until it is answered 202. */
const runPage = async ({ events, workerNow, accepted, lastMs }: { events: readonly PristoEvent[]; workerNow: () => SpoolWorker; accepted: Set<string>; lastMs: number }): Promise<void> => {
  const waiting = [...events]
  const pauseMs = (lastMs / events.length) * (BATCH / 2)
  while (waiting.length) {
    await wait(pauseMs * 2 * Math.random())
    const batch = waiting.slice(0, 1 + Math.floor(Math.random() * BATCH))
    const answer = await workerNow()
      .post(batch, Math.random() < 0.5)
      .then(async (response) => (await response.text(), response.status))
      .catch(() => undefined) // killed meanwhile: the page knows nothing, and sends it again
    if (answer === 202) waiting.splice(0, batch.length).forEach(({ id }) => accepted.add(id))
  }
}

const isStored = (api: PristoApi): ((id: string) => boolean) => {
  const stored = new Set(api.events().map(({ requestId }) => requestId))
  return (id) => stored.has(id)
}

const reckon = (api: PristoApi, accepted: ReadonlySet<string>, killedAt: readonly number[]): ObjectChaos => {
  const calls = api.calls()
  /** Whether the Worker may not have heard of it: the API cut the connection, or the kill came between the call and the time that an answer takes. */
  const isUnheard = ({ requestId, receivedAt }: StoredEvent): boolean => {
    const call = calls.filter((one) => one.requestId === requestId && one.at <= receivedAt).at(-1)
    return call !== undefined && (call.status === 'reset' || killedAt.some((at) => at >= call.at && at < receivedAt + HEARING_MS))
  }

  const before = new Map<string, StoredEvent>()
  const latest = new Map<string, string>()
  let [duplicated, duplicatedAllowed, disordered] = [0, 0, 0]
  for (const arrival of api.events()) {
    const { requestId = '', contact } = arrival
    const earlier = before.get(requestId)
    const last = latest.get(contact.id) ?? ''
    before.set(requestId, arrival)
    if (earlier) duplicated++
    if (earlier && isUnheard(earlier)) duplicatedAllowed++
    if (!earlier && requestId < last) disordered++
    if (requestId > last) latest.set(contact.id, requestId)
  }
  return { sent: accepted.size, lost: [...accepted].filter((id) => !before.has(id)).length, duplicated, duplicatedAllowed, disordered }
}

/** Sends `events` and kills the Worker `kills` times meanwhile and after. Rejects where pages cannot get rid of their events. */
export const runObjectChaos = async ({ events, kills }: { events: number; kills: number }): Promise<ObjectChaos> => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-object-chaos-'))
  const api = await startPristoApi()
  let worker = await startSpoolWorkerd({ api, folder })
  const faults = setInterval(() => api.fail(pick(FAULTS) ?? null), FAULT_MS)
  try {
    const accepted = new Set<string>()
    const killedAt: number[] = []
    const all = makeEvents(events)
    const pages = Promise.all(
      Array.from({ length: PAGES }, (_, page) =>
        runPage({ events: all.filter((_, n) => n % PAGES === page), workerNow: () => worker, accepted, lastMs: kills * (LIFE_MS / 2 + START_MS) }),
      ),
    )
    for (let kill = 0; kill < kills; kill++) {
      await wait(LIFE_MS * Math.random())
      killedAt.push(Date.now())
      await worker.close()
      killedAt.push(Date.now())
      worker = await startSpoolWorkerd({ api, folder })
    }
    await pages
    clearInterval(faults)
    api.fail(null)
    // No request any more: whoever asked for the figures would set alarms that are missing.
    const until = Date.now() + DRAIN_MS
    while (Date.now() < until && ![...accepted].every(isStored(api))) await wait(100)
    while (Date.now() < until && (await worker.operate()).stats.events) await wait(100) // what has arrived may still be on its way a second time
    return reckon(api, accepted, killedAt)
  } finally {
    clearInterval(faults)
    await worker.close()
    await api.close()
    rmSync(folder, { recursive: true })
  }
}
