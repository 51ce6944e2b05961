/**
 * A day without the API: everything is spooled, then brought to Pristo at a steady rate.
 * Invariant: the witness holds one number for each contact, so that it can hold a day: the events of each come in the order 0, 1, 2 ….
 */
import { once } from 'node:events'
import { Agent, createServer, type Server } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { MAX_EVENTS, type PristoEvent } from '../../../src/contract.ts'
import { median } from '../../bench/stats.mjs'
import type { Engine } from './engines.ts'
import { post } from './post.ts'
import { freePort, type Relay, type Usage } from './relays.ts'
import { NAMES, serve } from './serve.ts'
import type { Measured } from './table.ts'

/** How long the day is. */
export interface Day {
  events: number
  contacts: number
  /** Most calls a second while the spool is emptied, as `PRISTO_SPOOL_RATE`; 0 for as many as go. */
  perSecond: number
  /** Flags of Node for the relay. */
  flags: string[]
}

/** Batches on their way at once: far fewer than lie between two events of one contact. */
const LANES = 4

/** Between two looks at the relay's memory, milliseconds. */
const SAMPLE_MS = 250

/** What the relay may hold at any time, and how much more at the end of the filling than after a tenth of it, bytes: a heap that is collected now and then. */
const MAX_BYTES = 256 * 2 ** 20
const MAX_GROWTH_BYTES = 32 * 2 ** 20

/** Events from which the growth says something: until then programs are compiled, and heaps find their size. */
const TELLING_EVENTS = 100_000

/** How far above its rate a second may be: timers are late, and what they missed is made up for (SLACK_MS of worker.ts). */
const RATE_SLACK = 1.1

/** How long nothing may arrive while the spool is emptied, milliseconds: a lease, or an open breaker, and a busy machine. */
const STALL_MS = 60_000

const KEY = '6f1c9a52-3b7e-4d08-9a41-5e2d7c80b3f6'
const POPULATION = 'b0d4e7a8-52c3-4f19-8e6b-91a7f3c2d505'
const STORED = JSON.stringify({ ok: true, status: 201, statusText: 'Created', body: null, raw: '6yC9g6vFzUmFBwjeeulYnQ' })
const STORED_HEADERS = { 'Content-Type': 'application/json', 'Content-Length': STORED.length }

const megabytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MB`

const makeEvent = (number: number, contacts: number): PristoEvent => {
  const contact = number % contacts
  const nth = Math.floor(number / contacts)
  return {
    id: `0190a000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`,
    type: 'page_view',
    occurredAt: new Date().toISOString(),
    contact: { id: `c${contact}`, ...(nth === 0 && { email: `c${contact}@shop.example`, language: 'en' }) },
    customFields: { nth: String(nth), path: `/lamps/${number % 997}`, title: 'A lamp for the desk', referrer: 'https://search.example/' },
  }
}

/** Counts what arrives; it does not listen at first. */
const createWitness = (contacts: number, port: number) => {
  const next = new Uint32Array(contacts)
  const seconds = new Map<number, number>()
  let server: Server | undefined
  const seen = { stored: 0, duplicated: 0, disordered: 0, lastAt: 0 }

  const take = (text: string): void => {
    const { contact, customFields } = Object(JSON.parse(text))
    const [nth, place] = [Number(customFields.nth), Number(String(contact.id).slice(1))]
    const expected = next[place] ?? 0
    seen.lastAt = Date.now()
    const second = Math.floor(seen.lastAt / 1000)
    seconds.set(second, (seconds.get(second) ?? 0) + 1)
    if (nth < expected) seen.duplicated++
    if (nth > expected) seen.disordered++
    if (nth < expected) return
    seen.stored++
    next[place] = nth + 1
  }

  return {
    seen,
    /** Calls in each second in which there were any, in order. */
    seconds: (): number[] => [...seconds.values()],
    listen: async (): Promise<void> => {
      server = createServer((request, response) => {
        let text = ''
        request.setEncoding('utf8').on('data', (chunk) => (text += chunk))
        request.on('end', () => {
          take(text)
          response.writeHead(201, STORED_HEADERS).end(STORED)
        })
      }).listen(port, '127.0.0.1')
      server.keepAliveTimeout = 0
      await once(server, 'listening')
    },
    close: async (): Promise<void> => {
      if (!server?.listening) return
      server.closeAllConnections()
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}

/** What the relay takes of the machine, looked at all the time. */
const watch = (relay: Relay) => {
  const samples: Usage[] = []
  const timer = setInterval(() => {
    const usage = relay.usage()
    if (usage) samples.push(usage)
  }, SAMPLE_MS)
  return {
    /** What it was since the last time this was asked. */
    take: (): Usage[] => samples.splice(0),
    end: (): void => clearInterval(timer),
  }
}

/** Sends events until the relay has each; resolves to the seconds that it took. */
const fill = async (relay: Relay, { events, contacts }: Day): Promise<number> => {
  const began = Date.now()
  const agent = new Agent({ keepAlive: true, maxSockets: LANES })
  let sent = 0
  const send = async (): Promise<void> => {
    while (sent < events) {
      const from = sent
      sent += MAX_EVENTS
      const batch = Array.from({ length: Math.min(MAX_EVENTS, events - from) }, (_, n) => makeEvent(from + n, contacts))
      for (;;) {
        const heard = await post(relay.url, batch, agent)
        if (heard?.status === 202) break
        if (heard && heard.status !== 503) throw new Error(`the relay answered ${heard.status}`)
        await wait(100)
      }
    }
  }
  await Promise.all(Array.from({ length: LANES }, send))
  agent.destroy()
  return (Date.now() - began) / 1000
}

/** What the relay took of the machine, as lines; and what was too much of it. */
const judgeUsage = (filling: readonly Usage[], draining: readonly Usage[], events: number): { lines: string[]; problems: string[] } => {
  const [first, filled, emptied] = [filling[0], filling.at(-1), draining.at(-1)]
  if (!first || !filled || !emptied) return { lines: ['what the relay took of the machine is not known here'], problems: [] }
  const bytesOf = (samples: readonly Usage[]): number[] => samples.map(({ bytes }) => bytes)
  const tenth = Math.ceil(filling.length / 10)
  const [early, late] = [median(bytesOf(filling.slice(tenth, 2 * tenth))), median(bytesOf(filling.slice(-tenth)))]
  const [mostFilling, mostDraining] = [Math.max(...bytesOf(filling)), Math.max(...bytesOf(draining))]
  const hasGrown = events >= TELLING_EVENTS && late - early > MAX_GROWTH_BYTES
  const cpuUs = (from: Usage, to: Usage): string => `${Math.round(((to.cpuMs - from.cpuMs) * 1000) / events)} µs`
  return {
    lines: [
      `memory of the relay: ${megabytes(first.bytes)} at first; while it filled ${megabytes(early)} after a tenth, ${megabytes(late)} in the last, ${megabytes(mostFilling)} at the most; while it emptied ${megabytes(mostDraining)} at the most, ${megabytes(emptied.bytes)} at the end`,
      `its CPU an event: ${cpuUs(first, filled)} to fill, ${cpuUs(filled, emptied)} to empty`,
    ],
    problems: [
      ...(hasGrown ? [`the relay's memory grew by ${megabytes(late - early)} while it filled`] : []),
      ...(Math.max(mostFilling, mostDraining) > MAX_BYTES ? [`the relay's memory was over ${megabytes(MAX_BYTES)}`] : []),
    ],
  }
}

/** Runs the day. */
export const runOutage = async (engine: Engine, day: Day): Promise<Measured> => {
  const { events, contacts, perSecond, flags } = day
  const port = await freePort()
  const witness = createWitness(contacts, port)
  const store = await engine.start()
  const api = { url: `http://127.0.0.1:${port}`, apiKey: KEY, populationId: POPULATION }
  const relay = await serve({ name: NAMES[0], store, api, flags, env: perSecond ? { PRISTO_SPOOL_RATE: String(perSecond) } : {} })
  const usage = watch(relay)
  try {
    await relay.ready()
    const fillS = await fill(relay, day)
    const filling = usage.take()
    const spool = await store.open()
    const { bytes } = await spool.stats()

    await witness.listen()
    const backAt = Date.now()
    while (witness.seen.stored < events && Date.now() - Math.max(backAt, witness.seen.lastAt) < STALL_MS) await wait(SAMPLE_MS)
    const drainS = (witness.seen.lastAt - backAt) / 1000
    const draining = usage.take()
    while ((await spool.stats()).events) await wait(SAMPLE_MS)
    await spool.close()
    const code = await relay.stop()

    const { stored, disordered, duplicated } = witness.seen
    const { lines, problems } = judgeUsage(filling, draining, events)
    const fastest = Math.max(...witness.seconds())
    return {
      kills: 0,
      events,
      lost: events - stored,
      disordered,
      duplicated,
      allowed: 0,
      buried: 0,
      problems: [
        ...problems,
        ...(perSecond && fastest > perSecond * RATE_SLACK ? [`${fastest} calls in one second, where ${perSecond} are allowed`] : []),
        ...(code === 0 ? [] : [`the relay ended with ${code} after SIGTERM`]),
        ...relay.problems(),
      ],
      notes: [
        `filled in ${fillS.toFixed(1)} s (${Math.round(events / fillS)} events/s, ${megabytes(bytes)} of JSON), emptied in ${drainS.toFixed(1)} s (${Math.round(events / drainS)} events/s; ${perSecond ? `limit ${perSecond}, ${fastest} in the fastest second` : 'no limit'})`,
        ...lines,
      ],
    }
  } finally {
    usage.end()
    await relay.kill()
    await Promise.all([witness.close(), store.remove()])
  }
}
