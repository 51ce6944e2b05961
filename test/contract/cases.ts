/**
 * The contract: what goes in over HTTP, what the API then saw, what was answered. The same for every door.
 * Invariant: a case knows nothing of the door that it is run on but what that door cannot do, and why.
 */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { Answer, PristoEvent, Refusal } from '../../src/contract.ts'
import type { PristoApi } from '../support/pristo-api.ts'
import { until } from '../support/browsers/until.ts'
import type { Heard, Line, Sent } from './wire.ts'

/**
 * What not every door can: the raw body may be read by a parser before, methods may be the framework's, a call in process has no connection,
 * not everybody is told the client's address, and compressing may be the framework's.
 */
export type Ability = 'raw body' | 'every method' | 'connection' | 'address' | 'encoding'

/** A relay behind one door, with an API of its own, and nothing that other cases have left. */
export interface Site extends Line {
  readonly api: PristoApi
}

export interface Case {
  title: string
  needs?: Ability
  run(site: Site): Promise<void>
}

/** An origin that the relay is told to allow. */
export const FRIEND = 'https://friend.example'

/** How often an address may ask, in ten minutes: more often than all other cases do. */
export const MAX_REQUESTS = 100

/** These must appear in no answer. */
export const CANARY_KEY = '5ec2e700-cafe-4bad-8eef-00000ca7a217'
export const CANARY_EMAIL = 'canary.bird@example.org'

let count = 0

/** An event of a contact of its own, unless told otherwise. */
export const makeEvent = (over: Partial<PristoEvent> = {}): PristoEvent => {
  const hex = (++count).toString(16).padStart(12, '0')
  const contact = { id: `u_${count}`, email: CANARY_EMAIL }
  return { id: `0190a000-0000-7000-8000-${hex}`, type: 'purchase', occurredAt: new Date().toISOString(), contact, ...over }
}

/** So many events of one contact. */
const makeEvents = (length: number): PristoEvent[] => {
  const { contact } = makeEvent()
  return Array.from({ length }, () => makeEvent({ contact }))
}

/** A batch as it goes over the wire, unless told otherwise. */
export const encode = (events: readonly unknown[], over: Record<string, unknown> = {}): string =>
  JSON.stringify({ v: 1, sentAt: new Date().toISOString(), events, ...over })

const JSON_TYPE = { 'Content-Type': 'application/json' }
const FROM_PAGE = { 'Sec-Fetch-Site': 'same-origin' }
const FROM_EVIL = { 'Sec-Fetch-Site': 'cross-site', Origin: 'https://evil.example' }

/** Asks, and checks what holds of every answer: never cached, and no secret in it. */
const ask = async (line: Line, sent: Partial<Sent> & { headers: Sent['headers'] }): Promise<Heard> => {
  const heard = await line.exchange(sent)
  const said = JSON.stringify([...heard.headers]) + heard.text
  assert.ok(!said.includes(CANARY_KEY) && !said.includes(CANARY_EMAIL), 'a secret is in the answer')
  assert.equal(heard.headers.get('Cache-Control'), 'no-store')
  return heard
}

/** Sends a batch as a page of the relay's own origin does. */
export const send = (line: Line, body: string, { headers = FROM_PAGE, ...sent }: Partial<Sent> = {}): Promise<Heard> =>
  ask(line, { ...sent, headers: { ...JSON_TYPE, ...headers }, body })

const parse = (heard: Heard): Partial<Answer & Refusal> => JSON.parse(heard.text)

/** `stored`, the code of a rejection, or the reason of a retry, in order. */
const outcomesOf = (heard: Heard): string[] => parse(heard).results?.map((result) => (result.outcome === 'stored' ? 'stored' : result.code)) ?? []

const idsOf = (events: readonly { id: string }[]): string[] => events.map(({ id }) => id)
const storedIds = (api: PristoApi): (string | undefined)[] => api.events().map(({ requestId }) => requestId)

/** A refusal of the whole request: the API must not have heard of it. */
export const assertRefused = (heard: Heard, status: number, code: string, api: PristoApi): void => {
  assert.deepEqual([heard.status, parse(heard).error?.code], [status, code])
  assert.deepEqual(api.calls(), [])
}

/** A body that comes in parts of 64 KiB: the second one is beyond the limit. */
function* flood(bytes: number): Generator<string> {
  const part = 'x'.repeat(0x10000)
  for (let sent = 0; sent < bytes; sent += part.length) yield part
}

/** Another host that would like to have the key. */
const withThief = async (run: (url: string, visits: () => number) => Promise<void>): Promise<void> => {
  let visits = 0
  const server = createServer((_, response) => (visits++, response.writeHead(201).end())).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await run(`http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/`, () => visits).finally(() => server.close())
}

/** All that holds at every door. The last but one takes the 8 s that the relay gives the API; after the last one nobody is heard any more. */
export const cases: readonly Case[] = [
  {
    title: 'a batch is stored in order, with the key, and has one result for each event',
    run: async (site) => {
      const events = makeEvents(5)
      const heard = await send(site, encode(events), { headers: { ...FROM_PAGE, Cookie: `session=${CANARY_KEY}` } })
      assert.equal(heard.status, 200)
      assert.match(heard.headers.get('Content-Type') ?? '', /^application\/json/)
      assert.deepEqual(parse(heard), { v: 1, results: events.map(({ id }) => ({ id, outcome: 'stored' })) })
      assert.deepEqual(storedIds(site.api), idsOf(events))
      for (const { headers } of site.api.calls()) assert.deepEqual([headers['x-api-key'], headers['cookie']], [site.api.apiKey, undefined])
    },
  },
  {
    title: '40 events of 40 contacts are stored',
    run: async (site) => {
      const events = Array.from({ length: 40 }, () => makeEvent())
      const heard = await send(site, encode(events))
      assert.deepEqual(outcomesOf(heard), events.map(() => 'stored'))
      assert.deepEqual(storedIds(site.api).sort(), idsOf(events))
    },
  },
  {
    title: 'an event that is not valid, and one that the API refuses, do not sink their neighbours',
    run: async (site) => {
      const [first, bad, unknown, last] = makeEvents(4)
      assert.ok(first && bad && unknown && last)
      const heard = await send(site, encode([first, { ...bad, type: 7 }, { ...unknown, type: 'no_such_type' }, last]))
      assert.equal(heard.status, 200)
      assert.deepEqual(outcomesOf(heard), ['stored', 'invalid_event', 'invalid_event', 'stored'])
      assert.deepEqual(storedIds(site.api), idsOf([first, last]))
    },
  },
  {
    title: 'an ack cookie comes when it is asked for, and only then',
    run: async (site) => {
      const cookieOf = async (over: Record<string, unknown>) => (await send(site, encode([makeEvent()], over))).headers.getSetCookie()
      const [cookie = '', ...more] = await cookieOf({ ack: true })
      assert.match(cookie, /^pristo_ack_[\da-f]+=[\da-f]+; Path=\/; SameSite=Lax; Max-Age=\d+/)
      assert.deepEqual(more, [])
      assert.deepEqual(await cookieOf({}), [])
    },
  },
  {
    title: 'a page of a foreign origin is refused, and the API hears nothing',
    run: async (site) => {
      assertRefused(await send(site, encode([makeEvent()]), { headers: FROM_EVIL }), 403, 'origin', site.api)
      const { Origin } = FROM_EVIL
      assertRefused(await send(site, encode([makeEvent()]), { headers: { Origin } }), 403, 'origin', site.api)
      assertRefused(await send(site, encode([makeEvent()]), { headers: {} }), 403, 'origin', site.api)
    },
  },
  {
    title: 'a browser that sends no Sec-Fetch-Site is known by its Origin and the Host',
    run: async (site) => {
      const heard = await send(site, encode([makeEvent()]), { headers: { Origin: site.origin } })
      assert.deepEqual(outcomesOf(heard), ['stored'])
    },
  },
  {
    title: 'a page of an allowed origin is answered, with CORS and after a preflight',
    run: async (site) => {
      const headers = { 'Sec-Fetch-Site': 'cross-site', Origin: FRIEND }
      const preflight = await ask(site, { method: 'OPTIONS', headers: { ...headers, 'Access-Control-Request-Method': 'POST' } })
      const allows = ['Origin', 'Methods', 'Headers'].map((name) => preflight.headers.get(`Access-Control-Allow-${name}`))
      assert.deepEqual([preflight.status, ...allows], [204, FRIEND, 'POST', 'Content-Type'])
      const heard = await send(site, encode([makeEvent()]), { headers })
      assert.deepEqual([outcomesOf(heard), heard.headers.get('Access-Control-Allow-Origin')], [['stored'], FRIEND])
    },
  },
  {
    title: 'OPTIONS of anybody else says what is allowed, without CORS',
    run: async (site) => {
      const heard = await ask(site, { method: 'OPTIONS', headers: FROM_EVIL })
      assert.deepEqual([heard.status, heard.headers.get('Allow'), heard.headers.get('Access-Control-Allow-Origin')], [204, 'POST', null])
    },
  },
  {
    title: 'GET and HEAD are not allowed',
    run: async (site) => {
      for (const method of ['GET', 'HEAD']) {
        const heard = await ask(site, { method, headers: FROM_PAGE })
        assert.deepEqual([method, heard.status, heard.headers.get('Allow')], [method, 405, 'POST'])
      }
    },
  },
  {
    title: 'PUT and PATCH are not allowed',
    needs: 'every method',
    run: async (site) => {
      for (const method of ['PUT', 'PATCH']) {
        const heard = await ask(site, { method, headers: { ...JSON_TYPE, ...FROM_PAGE }, body: encode([makeEvent()]) })
        assertRefused(heard, 405, 'method', site.api)
        assert.equal(heard.headers.get('Allow'), 'POST')
      }
    },
  },
  {
    title: 'what is not JSON, or no batch, is malformed',
    needs: 'raw body',
    run: async (site) => {
      for (const body of ['{"v":1', 'v=1', '', '[]', 'null']) assertRefused(await send(site, body), 400, 'malformed', site.api)
    },
  },
  {
    title: 'a body of 10 MB without a length is refused while it comes',
    needs: 'raw body',
    run: async (site) => {
      const heard = await ask(site, { headers: { ...JSON_TYPE, ...FROM_PAGE }, body: flood(10_000_000) })
      assertRefused(heard, 413, 'body_too_large', site.api)
      assert.ok(heard.sentLength < 10_000_000, 'all of it was sent')
    },
  },
  {
    title: 'a Content-Length beyond the limit is refused before the body has come',
    needs: 'raw body',
    run: async (site) => {
      const headers = { ...JSON_TYPE, ...FROM_PAGE, 'Content-Length': '10000000' }
      assertRefused(await ask(site, { headers, body: ['{'] }), 413, 'body_too_large', site.api)
    },
  },
  {
    title: 'a Content-Length that is too short delivers nothing',
    needs: 'connection',
    run: async (site) => {
      const body = encode([makeEvent()])
      const heard = await site.exchange({ headers: { ...JSON_TYPE, ...FROM_PAGE, 'Content-Length': '20' }, body })
      assert.equal(heard.status, 400)
      assert.deepEqual(site.api.calls(), [])
    },
  },
  {
    title: '41 events are too many',
    run: async (site) => assertRefused(await send(site, encode(makeEvents(41))), 413, 'too_many_events', site.api),
  },
  {
    title: 'text/plain, or no type at all, is taken from a page that the browser vouches for, and from nobody else',
    run: async (site) => {
      for (const type of [{ 'Content-Type': 'text/plain;charset=UTF-8' }, {}]) {
        const vouched = await ask(site, { headers: { ...type, ...FROM_PAGE }, body: encode([makeEvent()]) })
        assert.deepEqual(outcomesOf(vouched), ['stored'])
        site.api.clear()
        const claimed = await ask(site, { headers: { ...type, Origin: site.origin }, body: encode([makeEvent()]) })
        assertRefused(claimed, 415, 'content_type', site.api)
      }
    },
  },
  {
    title: 'an API that fails leaves the event to the browser',
    run: async (site) => {
      site.api.fail({ status: 500 })
      const heard = await send(site, encode([makeEvent()]))
      assert.deepEqual([heard.status, outcomesOf(heard)], [503, ['unavailable']])
    },
  },
  {
    title: 'an API that asks for less is obeyed: Retry-After reaches the browser',
    run: async (site) => {
      site.api.fail({ retryAfter: '7' })
      const heard = await send(site, encode([makeEvent()]))
      assert.deepEqual([heard.status, outcomesOf(heard)], [503, ['throttled']])
      assert.deepEqual([heard.headers.get('Retry-After'), parse(heard).retryAfter], ['7', 7])
    },
  },
  {
    title: 'a redirect to another host is not followed: the key stays here',
    run: (site) =>
      withThief(async (url, visits) => {
        for (const status of [302, 307]) {
          site.api.fail({ status, redirect: url })
          const heard = await send(site, encode([makeEvent()]))
          assert.deepEqual([heard.status, outcomesOf(heard), visits()], [503, ['upstream_config'], 0])
        }
      }),
  },
  {
    title: 'an event is delivered once, twice in a batch and in the next batch again',
    run: async (site) => {
      const event = makeEvent()
      assert.deepEqual(outcomesOf(await send(site, encode([event, event]))), ['stored', 'stored'])
      assert.deepEqual(outcomesOf(await send(site, encode([event]))), ['stored'])
      assert.deepEqual(storedIds(site.api), [event.id])
    },
  },
  {
    title: 'a path with a slash at its end is the same path',
    run: async (site) => {
      const event = makeEvent()
      assert.deepEqual(outcomesOf(await send(site, encode([event]), { tail: '/' })), ['stored'])
      assert.deepEqual(storedIds(site.api), [event.id])
    },
  },
  {
    title: 'a client that leaves in the middle of its batch has all of it delivered, in order',
    needs: 'connection',
    run: async (site) => {
      const events = makeEvents(4)
      site.api.fail({ delayMs: 40 })
      await site.abandon?.({ headers: { ...JSON_TYPE, ...FROM_PAGE }, body: encode(events) }, () => site.api.calls().length > 0)
      await until('the whole batch', () => site.api.events().length === events.length, 5_000)
      assert.deepEqual(storedIds(site.api), idsOf(events))
    },
  },
  {
    title: 'an API that hangs is left at the deadline; what it has stored is told',
    run: async (site) => {
      const [stuck, behind] = makeEvents(2)
      const other = makeEvent()
      assert.ok(stuck && behind)
      site.api.fail({ hang: true, when: ({ requestId }) => requestId === stuck.id })
      const heard = await send(site, encode([stuck, behind, other]))
      assert.equal(heard.status, 200)
      assert.deepEqual(outcomesOf(heard), ['in_flight', 'blocked', 'stored'])
      assert.deepEqual(storedIds(site.api), [other.id])
    },
  },
  {
    title: 'a client that asks too often is told to wait, whatever address it claims to have',
    needs: 'address',
    run: async (site) => {
      const statuses = new Set<number>()
      for (let n = 0; n < MAX_REQUESTS && !statuses.has(429); n++) {
        const claimed = `203.0.113.${n}`
        const claims = { 'X-Forwarded-For': claimed, 'X-Real-IP': claimed, Forwarded: `for=${claimed}`, 'CF-Connecting-IP': claimed }
        const heard = await send(site, '{}', { headers: { ...FROM_PAGE, ...claims } })
        statuses.add(heard.status)
        if (heard.status === 429) assert.match(heard.headers.get('Retry-After') ?? '', /^[1-9]\d*$/)
      }
      assert.deepEqual([...statuses], [400, 429])
    },
  },
]
