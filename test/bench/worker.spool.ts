/** In workerd: a spool of one Durable Object, and an object that keeps the same bytes. */
import { createSpoolObject, objectSpool, type ObjectNamespace, type ObjectStorage } from '../../src/relay/spool/object.ts'

interface Env {
  SPOOL: ObjectNamespace
  BARE: { idFromName(name: string): unknown; get(id: unknown): { fetch(url: string, init: RequestInit): Promise<Response> } }
}

/** Takes events, and delivers none: the first alarm fails, and the next one is a minute off. */
export const SpoolObject = createSpoolObject(() => {
  throw new Error('nothing is delivered here')
})

/** One insert an event, one transaction a batch. */
export class BareObject {
  readonly #storage: ObjectStorage

  constructor({ storage }: { storage: ObjectStorage }) {
    this.#storage = storage
    storage.sql.exec('create table if not exists events (seq integer primary key, body text not null)')
  }

  async fetch(request: Request): Promise<Response> {
    const bodies: string[] = await request.json()
    this.#storage.transactionSync(() => {
      for (const body of bodies) this.#storage.sql.exec('insert into events (body) values (?)', body)
    })
    return new Response('accepted')
  }
}

export default {
  fetch: async (request: Request, { SPOOL, BARE }: Env): Promise<Response> => {
    const { pathname } = new URL(request.url)
    if (pathname === '/spool') return new Response(await objectSpool(SPOOL, { shards: 1 }).put(await request.json()))
    return BARE.get(BARE.idFromName('0')).fetch(request.url, { method: 'POST', body: JSON.stringify(await request.json()) })
  },
}
