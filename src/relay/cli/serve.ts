/**
 * `pristo-relay serve`: the relay as a service.
 * Invariant: the relay itself is that of `serveRelay`; what is here listens to its hooks, and to the signals that end it.
 */
import { nodeFetch } from '../client.ts'
import { optionsFromEnv } from '../env.ts'
import { explainFailure } from '../failure.ts'
import type { Relay, RelayOptions } from '../index.ts'
import type { serveRelay as ServeRelay } from '../node.ts'
import { checkOptions } from '../options.ts'
import type { openSpool as OpenSpool } from '../spool.ts'
import { readSpool } from '../spool/env.ts'
import { serveAdmin } from './admin.ts'
import type { Command } from './command.ts'
import { createLog, LEVELS, type Log } from './log.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { probe } from './probe.ts'
import { createReadiness, type Readiness } from './readiness.ts'
import { NAMES, readAdminPlace, readFormat, readLevel } from './settings.ts'
import { onStop } from './stop.ts'

type Hooks = Pick<Required<RelayOptions>, 'onOutcome' | 'onDrop' | 'onError' | 'onRequest'>

/** The log's half of the hooks. An outcome is a line of its own only for those who look closely: its request's line counts it. */
const logHooks = (log: Log): Hooks => ({
  onRequest: ({ status, code, events, ms }) => log('info', 'request', { status, code, events, ms: Math.round(ms) }),
  onOutcome: ({ id, type, outcome, code, status }) => log('debug', 'event', { outcome, code, status, id, type }),
  onDrop: ({ id, type, code, status, message }) => log('warn', 'event dropped', { code, status, id, type, reason: message }),
  onError: (message) => log('error', message.replace('[pristo] ', '')),
})

/** Hooks that each of several listeners hears. */
const combine = (...all: readonly Partial<Hooks>[]): Hooks => ({
  onRequest: (request) => all.forEach(({ onRequest }) => onRequest?.(request)),
  onOutcome: (outcome) => all.forEach(({ onOutcome }) => onOutcome?.(outcome)),
  onDrop: (drop) => all.forEach(({ onDrop }) => onDrop?.(drop)),
  onError: (message, cause) => all.forEach(({ onError }) => onError?.(message, cause)),
})

/** Whether the API takes one of the keys. */
const createAsk = (options: RelayOptions) => {
  const { url, keys } = checkOptions(options)
  return async (): Promise<boolean> => {
    const answers = await Promise.all(keys.map((key) => probe({ fetch: nodeFetch, url, key })))
    return answers.some(({ verdict }) => verdict.kind === 'accepted')
  }
}

/** What the relay is served with, so that log, metrics and readiness hear of all that it does. */
const watch = (log: Log, metrics: Metrics, readiness: Readiness) => {
  const hooks = combine(metrics.hooks, logHooks(log), readiness)
  // A path that is not the relay's never comes to its ears, and a proxy that asks there is the commonest mistake.
  const hearMissed =
    (handle: Relay): Relay =>
    async (request, context) => {
      const startedAt = performance.now()
      const response = await handle(request, context)
      const { status } = response
      if (status === 404) hooks.onRequest({ status, code: 'not_found', events: 0, ms: performance.now() - startedAt })
      return response
    }
  return { ...hooks, fetch: metrics.timed(nodeFetch), around: (handle: Relay) => metrics.around(hearMissed(handle)) }
}

const ADMIN = { port: 'PRISTO_ADMIN_PORT', host: 'PRISTO_ADMIN_HOST' }

/** The server, or a TypeError of one line that says why it cannot listen. */
const listen = async <T>(server: Promise<T>, names?: { port: string; host: string }): Promise<T> => {
  try {
    return await server
  } catch (error) {
    throw new TypeError(explainFailure(error, names))
  }
}

/** `serveRelay` is that of node.ts, `openSpool` that of spool.ts; `version` is the package's. */
export const createServe = ({ serveRelay, openSpool, version }: { serveRelay: typeof ServeRelay; openSpool: typeof OpenSpool; version: string }): Command => ({
  summary: 'serves the relay and the tag, until SIGTERM or SIGINT',
  about: [
    'Takes what the tag on your pages sends, on your own origin, and passes each event to Pristo with your key.',
    'Serves POST /pristo (the relay) and GET /pristo.js (the tag): let the proxy of your site pass these two on.',
    'A second port, which the public must not reach, has /healthz (200 while the process answers), /readyz (503 while the',
    'API refuses your settings, the spool does not empty, and from the moment a stop began) and /metrics (Prometheus).',
    'With PRISTO_SPOOL=sqlite:PATH events are safe on your disk before the answer, 202, and are delivered from there, also when the',
    'visitor never comes back and the API is down for a day. See: pristo-relay spool stats --help',
    'It logs one line per request to stdout, without personal data. A signal makes it finish what is in flight',
    '(20 s at the longest) and exit with 0; a second one ends it at once.',
  ],
  flags: {
    port: { value: '<number>', what: 'port of the relay and the tag', variable: 'PORT' },
    host: { value: '<address>', what: 'its address', variable: 'HOST' },
    path: { value: '<path>', what: 'path of the relay', variable: 'PRISTO_PATH' },
    'admin-port': { value: '<number>', what: 'port of /healthz, /readyz and /metrics', variable: 'PRISTO_ADMIN_PORT' },
    'admin-host': { value: '<address>', what: 'its address', variable: 'PRISTO_ADMIN_HOST' },
    'log-format': { value: '<format>', what: 'text or json', variable: 'PRISTO_LOG_FORMAT' },
    'log-level': { value: '<level>', what: LEVELS.join(', '), variable: 'PRISTO_LOG_LEVEL' },
  },
  variables: [...NAMES.relay, ...NAMES.tokens, ...NAMES.spool, ...NAMES.admin, ...NAMES.log],
  examples: ['PRISTO_API_KEY=… PRISTO_POPULATION_ID=… pristo-relay serve --port 8080', 'PRISTO_SPOOL=sqlite:/var/lib/pristo/spool.db pristo-relay serve'],
  run: async (_, terminal) => {
    const options = optionsFromEnv(terminal.env)
    const log = createLog({ write: terminal.out, format: readFormat(terminal.env, terminal.isTTY), level: readLevel(terminal.env), now: Date.now })
    const settings = readSpool(terminal.env)
    const ask = createAsk(options) // what cannot be used is said before a spool is made
    const spool = settings && (await openSpool(settings.place, { maxBytes: settings.maxBytes }))
    const watched = spool && settings && { stats: spool.stats, maxAgeMs: settings.maxAgeMs }
    const readiness = createReadiness({ ask, spool: watched, now: Date.now })
    const metrics = createMetrics({ version, isReady: () => readiness.state().ready, spool })
    try {
      const admin = await listen(serveAdmin(readAdminPlace(terminal.env), readiness.state, metrics), ADMIN)
      try {
        const relay = await listen(serveRelay({ ...options, ...watch(log, metrics, readiness), spool, worker: { perSecond: settings?.perSecond } }))
        const stop = onStop() // before it says that it is there: who waited for that may end it at once
        readiness.started()
        if (options.identity === 'page') log('warn', 'identity: page – the relay believes what the page says about its contact')
        log('info', 'listening', { url: relay.url, admin: admin.url })
        const signal = await stop
        readiness.stopping()
        log('info', 'stopping', { signal })
        await relay.close()
        log('info', 'stopped')
        return 0
      } finally {
        await admin.close()
      }
    } finally {
      await spool?.close()
    }
  },
})
