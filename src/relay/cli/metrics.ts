/**
 * What the relay does, in numbers, for Prometheus.
 * Invariant: every label has few values, all of them ours or an HTTP status: never an id, a contact or a type from outside.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Relay, RelayOptions } from '../index.ts'
import type { Spool, Stats } from '../spool/spool.ts'
import type { Fetch } from '../upstream.ts'

/** What feeds the numbers, and what reads them. */
export interface Metrics {
  hooks: Required<Pick<RelayOptions, 'onOutcome' | 'onDrop' | 'onError' | 'onRequest'>>
  /** Counts what is under way. */
  around(handle: Relay): Relay
  /** Times the calls of the API, to the head of their answers. */
  timed(fetch: Fetch): Fetch
  /** All numbers in Prometheus' text form, and its content type. */
  read(): Promise<{ text: string; type: string }>
}

/** Seconds. An answer of the API takes 50 ms to 1 s; a batch has its answer within 8 s (DESIGN.md, "Relay"), a call ends at 10. */
const BUCKETS_S = [0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 8, 10]

/** A refused request's, or an event's, code where there is none. */
const NO_CODE = 'none'

/** What is read of a spool, each time that somebody reads the numbers. */
const SPOOL: Readonly<Record<string, { help: string; of: (stats: Stats) => number }>> = {
  events: { help: 'Events in the spool that wait or are on their way', of: ({ events }) => events },
  contacts: { help: 'Contacts that these are of', of: ({ contacts }) => contacts },
  dead_events: { help: 'Buried events; see: pristo-relay spool dead', of: ({ dead }) => dead },
  bytes: { help: 'Bytes of JSON in the spool, buried events included', of: ({ bytes }) => bytes },
  max_bytes: { help: 'The most that it keeps; beyond that events wait in the browsers', of: ({ maxBytes }) => maxBytes },
  oldest_event_age_seconds: { help: 'How long the oldest event in the spool has waited; 0 where none waits', of: ({ oldestAt }) => (oldestAt === undefined ? 0 : Math.max(0, (Date.now() - oldestAt) / 1000)) },
}

/** Gauges of the spool, read together: at each reading the first one asks, and what cannot be read is NaN. */
const addSpool = (spool: Pick<Spool, 'stats'>, registers: Registry[]): void => {
  let reading: Promise<Stats | undefined> | undefined
  const read = (): Promise<Stats | undefined> => {
    reading ??= spool.stats().catch(() => undefined) // the worker has said why
    void reading.then(() => (reading = undefined))
    return reading
  }
  for (const [name, { help, of }] of Object.entries(SPOOL)) {
    new Gauge({
      name: `pristo_relay_spool_${name}`,
      help,
      registers,
      async collect() {
        const stats = await read()
        this.set(stats ? of(stats) : NaN)
      },
    })
  }
}

/** Metrics of one process; `version` is the package's, `isReady` what `/readyz` says. */
export const createMetrics = ({ version, isReady, spool }: { version: string; isReady: () => boolean; spool?: Pick<Spool, 'stats'> | undefined }): Metrics => {
  const register = new Registry()
  const registers = [register]
  collectDefaultMetrics({ register })

  const requests = new Counter({
    name: 'pristo_relay_requests_total',
    help: 'Requests answered, by HTTP status and by the code of the refusal',
    labelNames: ['status', 'code'],
    registers,
  })
  const duration = new Histogram({
    name: 'pristo_relay_request_duration_seconds',
    help: 'From the head of a request to its answer, by HTTP status',
    labelNames: ['status'],
    buckets: BUCKETS_S,
    registers,
  })
  const inFlight = new Gauge({ name: 'pristo_relay_requests_in_flight', help: 'Requests under way', registers })
  const events = new Counter({
    name: 'pristo_relay_events_total',
    help: 'What became of an event at each try, by outcome and code: one that is kept comes again and counts again, and so does one that the spool accepted',
    labelNames: ['outcome', 'code'],
    registers,
  })
  const dropped = new Counter({
    name: 'pristo_relay_events_dropped_total',
    help: 'Events given up for good, by code',
    labelNames: ['code'],
    registers,
  })
  const errors = new Counter({ name: 'pristo_relay_errors_total', help: 'Wrong settings and failures; the log says which', registers })
  const apiCalls = new Histogram({
    name: 'pristo_relay_api_call_duration_seconds',
    help: 'From a call of the Pristo API to the head of its answer, by HTTP status; none is no answer',
    labelNames: ['status'],
    buckets: BUCKETS_S,
    registers,
  })
  new Gauge({ name: 'pristo_relay_build_info', help: 'Always 1; the labels say what runs', labelNames: ['version', 'node'], registers }).set(
    { version, node: process.version },
    1,
  )
  new Gauge({
    name: 'pristo_relay_ready',
    help: '1 where /readyz answers 200',
    registers,
    collect() {
      this.set(isReady() ? 1 : 0)
    },
  })

  if (spool) addSpool(spool, registers)

  return {
    hooks: {
      onRequest: ({ status, code = NO_CODE, ms }) => {
        requests.inc({ status, code })
        duration.observe({ status }, ms / 1000)
      },
      onOutcome: ({ outcome, code = NO_CODE }) => events.inc({ outcome, code }),
      onDrop: ({ code }) => dropped.inc({ code }),
      onError: () => errors.inc(),
    },
    around: (handle) => async (request, context) => {
      inFlight.inc()
      try {
        return await handle(request, context)
      } finally {
        inFlight.dec()
      }
    },
    timed: (fetch) => async (url, init) => {
      const stop = apiCalls.startTimer()
      try {
        const response = await fetch(url, init)
        stop({ status: response.status })
        return response
      } catch (error) {
        stop({ status: NO_CODE })
        throw error
      }
    },
    read: async () => ({ text: await register.metrics(), type: register.contentType }),
  }
}
