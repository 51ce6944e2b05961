// @vitest-environment node
// In workerd.
import { afterAll, beforeAll } from 'vitest'
import { tag } from '../../../src/relay/tag.ts'
import { MAX_BYTES, type Claim, type DeadEvent, type Spool, type Stats } from '../../../src/relay/spool/spool.ts'
import { startWorkerd, type Workerd } from '../../support/workerd.ts'
import { describeSpool } from './conformance.ts'

/** An object that is the storage of a spool and nothing else: each request is one call of one method. */
const BARE = `
  import { createStorageSpool } from './src/relay/spool/storage.ts'
  export class Bare {
    constructor(context) { this.context = context }
    async fetch(request) {
      const { verb, given, at, maxBytes } = await request.json()
      if (verb === 'close') this.context.abort()
      const spool = createStorageSpool({ storage: this.context.storage, now: () => at, maxBytes })
      return Response.json({ value: spool[verb](...given) })
    }
  }
  export default {
    async fetch(request, { BARE }) {
      try {
        return await BARE.get(BARE.idFromName(new URL(request.url).pathname)).fetch(request)
      } catch (error) {
        return Response.json({ error: String(error) })
      }
    }
  }`

let bare: Workerd
beforeAll(async () => {
  bare = await startWorkerd(BARE, tag, { durableObjects: { BARE: { className: 'Bare', useSQLite: true } } })
}, 60_000)
afterAll(() => bare?.close())

let opened = 0

describeSpool('a Durable Object', async (now) => {
  const name = `spool-${opened++}`
  return {
    open: async ({ maxBytes = MAX_BYTES } = {}): Promise<Spool> => {
      const call = async <T>(verb: string, ...given: unknown[]): Promise<T> => {
        const response = await fetch(`${bare.directUrl}/${name}`, { method: 'POST', body: JSON.stringify({ verb, given, at: now(), maxBytes }) })
        const { value, error }: { value: T; error?: string } = await response.json()
        if (error !== undefined) throw new Error(error)
        return value
      }
      return {
        put: (events) => call('put', events),
        claim: (most) => call<Claim[]>('claim', most),
        settle: (claim) => call('settle', claim),
        retry: (claim, delayMs) => call('retry', claim, delayMs),
        bury: (claim, reason) => call('bury', claim, reason),
        stats: async () => ({ oldestAt: undefined, dueAt: undefined, ...(await call<Stats>('stats')) }),
        dead: {
          list: (most) => call<DeadEvent[]>('list', most),
          replay: (which) => call('replay', which),
          drop: (which) => call('drop', which),
        },
        // The object ends, as when Cloudflare moves it: the next call finds another one over the same storage.
        close: () => call<void>('close').catch(() => undefined),
      }
    },
    remove: async () => undefined, // the next test has an object of another name
  }
})
