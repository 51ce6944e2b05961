// @vitest-environment node
import { describe, expect, it, vi } from 'vitest'
import type { EventDrop, EventOutcome, RelayOptions, RequestAnswer } from '../../src/relay/index.ts'
import { CANARY_EMAIL, created, failed, KEY, makeBatch, makeEvent, NOW, outcomes, read, request, send, setUp, uuid, type Script } from './harness.ts'

/** A relay that tells everything to three lists. */
const listen = (script?: Script, options: Partial<RelayOptions> = {}) => {
  const told: { outcomes: EventOutcome[]; drops: EventDrop[]; requests: RequestAnswer[] } = { outcomes: [], drops: [], requests: [] }
  const hooks = {
    onOutcome: (outcome: EventOutcome) => void told.outcomes.push(outcome),
    onDrop: (drop: EventDrop) => void told.drops.push(drop),
    onRequest: (answer: RequestAnswer) => void told.requests.push(answer),
  }
  return { ...setUp(script, { ...hooks, ...options }), told }
}

const byType: Script = ({ body }) =>
  body.type === 'wrong' ? failed(422, 'unknown type') : body.type === 'busy' ? failed(429) : body.type === 'down' ? failed(500) : created()

describe('onOutcome', () => {
  it('hears of each event in order what the page hears of it', async () => {
    const { relay, told } = listen(byType, { allowedTypes: ['purchase', 'wrong', 'busy', 'down'] })
    const types = ['purchase', 'wrong', 'busy', 'down', 'other', '']
    const { results } = await send(relay, types.map((type, n) => makeEvent(n, { type, contact: { id: `u_${n}` } })))
    expect(told.outcomes).toEqual([
      { id: uuid(0), type: 'purchase', outcome: 'stored' },
      { id: uuid(1), type: 'wrong', outcome: 'rejected', code: 'invalid_event', status: 422 },
      { id: uuid(2), type: 'busy', outcome: 'retry', code: 'throttled' },
      { id: uuid(3), type: 'down', outcome: 'retry', code: 'unavailable' },
      { id: uuid(4), type: 'other', outcome: 'rejected', code: 'type_not_allowed' },
      { id: uuid(5), outcome: 'rejected', code: 'invalid_event' },
    ])
    expect(results.map(({ outcome }) => outcome)).toEqual(told.outcomes.map(({ outcome }) => outcome))
    expect(results[1]).toEqual({ id: uuid(1), outcome: 'rejected', code: 'invalid_event', status: 422, message: 'unknown type' })
  })

  it('hears of events that are not even sent: over the limit, of a bot, of a session that failed', async () => {
    const limited = listen(undefined, { rateLimit: { contact: { requests: 1, perS: 60 } } })
    await send(limited.relay, [makeEvent(1)])
    await send(limited.relay, [makeEvent(2)])
    expect(limited.told.outcomes[1]).toEqual({ id: uuid(2), type: 'purchase', outcome: 'retry', code: 'rate_limited' })
    const bots = listen(undefined, { bots: 'drop' })
    await send(bots.relay, [makeEvent(1)], {}, { headers: { 'User-Agent': 'curl/8' } })
    expect(bots.told.outcomes).toMatchObject([{ outcome: 'rejected', code: 'bot' }])
    const lost = listen(undefined, { identity: { resolve: () => Promise.reject(new Error('down')) } })
    await send(lost.relay, [makeEvent(1)])
    expect(lost.told.outcomes).toMatchObject([{ type: 'purchase', outcome: 'retry', code: 'unavailable' }])
  })
})

describe('onDrop', () => {
  it('hears of every event that is given up, with the reason, and of no other', async () => {
    const { relay, told } = listen(byType)
    await send(relay, ['purchase', 'wrong', 'busy', ''].map((type, n) => makeEvent(n, { type, contact: { id: `u_${n}` } })))
    expect(told.drops).toEqual([
      { id: uuid(1), type: 'wrong', code: 'invalid_event', status: 422, message: 'unknown type' },
      { id: uuid(3), code: 'invalid_event', message: 'event.type: got an empty string; allowed is a non-empty string' },
    ])
  })
})

describe('onRequest', () => {
  it('hears of every request: its status, why it was refused, how many events were answered, and how long it took', async () => {
    let at = NOW
    const { relay, told } = listen(() => ((at += 7), created()), { now: () => at, rateLimit: { overall: { requests: 4, perS: 60 } } })
    await send(relay, [makeEvent(1), makeEvent(2)])
    await relay(request('{'))
    await relay(request(makeBatch([]), { headers: { 'Sec-Fetch-Site': 'cross-site' } }))
    await relay(request('', { method: 'GET' }))
    await relay(request('', { method: 'OPTIONS' }))
    await relay(request('', { headers: { 'Content-Type': 'text/html' } }))
    await relay(request(makeBatch(Array.from({ length: 41 }, (_, n) => makeEvent(n)))))
    await relay(request(makeBatch([])))
    expect(told.requests).toEqual([
      { status: 200, events: 2, ms: 14 },
      { status: 400, code: 'malformed', events: 0, ms: 0 },
      { status: 403, code: 'origin', events: 0, ms: 0 },
      { status: 405, code: 'method', events: 0, ms: 0 },
      { status: 204, events: 0, ms: 0 },
      { status: 415, code: 'content_type', events: 0, ms: 0 },
      { status: 413, code: 'too_many_events', events: 0, ms: 0 },
      { status: 429, code: 'rate_limited', events: 0, ms: 0 },
    ])
  })

  it('hears of a relay that failed, and of no time that ran backwards', async () => {
    const broken = listen(undefined, { now: () => { throw new Error('no clock') } })
    expect((await send(broken.relay, [makeEvent(1)])).status).toBe(500)
    expect(broken.told.requests).toEqual([{ status: 500, code: 'internal', events: 0, ms: 0 }])
    let at = NOW
    const back = listen(() => ((at -= 3_600_000), created()), { now: () => at })
    await send(back.relay, [makeEvent(1)])
    expect(back.told.requests).toEqual([{ status: 200, events: 1, ms: 0 }])
  })
})

describe('a hook that fails', () => {
  it.each<[string, () => unknown]>([
    ['throws', () => { throw new Error('hook') }],
    ['rejects', () => Promise.reject(new Error('hook'))],
    ['gives what only looks like a promise', () => ({ get then() { throw new Error('hook') } })],
  ])('costs nothing where it %s, and is reported once', async (_, hook) => {
    const causes: unknown[] = []
    const lines: string[] = []
    const { relay } = setUp(byType, { onOutcome: hook, onDrop: hook, onRequest: hook, onError: (line, cause) => void (lines.push(line), causes.push(cause)) })
    for (const n of [0, 10]) expect(outcomes(await send(relay, ['purchase', 'wrong'].map((type, i) => makeEvent(n + i, { type }))))).toEqual(['stored', 'rejected'])
    await new Promise<void>((resolve) => setImmediate(resolve))
    expect([...lines].sort()).toEqual(['onDrop', 'onOutcome', 'onRequest'].map((name) => `[pristo] ${name} failed; it is called again, but this is said once`))
    expect(causes).toEqual(Array(3).fill(new Error('hook')))
  })

  it('is not waited for', async () => {
    const { relay } = setUp(undefined, { onOutcome: () => new Promise<void>(() => undefined), onRequest: () => new Promise<void>(() => undefined) })
    expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['stored'])
  })

  it('costs nothing where it is onError itself, thrown or rejected', async () => {
    const said = vi.spyOn(console, 'error').mockImplementation(() => undefined)
    for (const onError of [() => { throw new Error(CANARY_EMAIL) }, () => Promise.reject(new Error(CANARY_EMAIL))]) {
      const { relay } = setUp(() => failed(401), { onError })
      expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['upstream_config'])
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
    expect(said.mock.calls.map(([line]) => String(line))).toEqual(Array(2).fill(expect.stringMatching(/^\[pristo\] onError itself failed, at: the Pristo API answered 401/)))
  })
})

describe('no hook hears anything of a person, nor a key', () => {
  const person = { id: 'u_42canary', email: CANARY_EMAIL, phone: '+4915700canary', name: 'Canary', customFields: { plan: 'canary-plan' } }
  const fields = { note: 'canary field', long: `${'x'.repeat(20)}canary` }
  /** Not in the contact. */
  const STRANGER = 'someone@else.example'
  const echo = [...Object.values(person).filter((value) => typeof value === 'string'), 'canary-plan', ...Object.values(fields), KEY].join(' ')
  const event = makeEvent(1, { contact: person, customFields: fields })

  it.each<[string, Script, unknown]>([
    ['an API that repeats everything', () => failed(400, echo), event],
    ['an API that repeats a value where the message is cut', () => failed(400, `${'.'.repeat(185)}${fields.long}`), event],
    ['a type that is an email', () => failed(400, `no type ${STRANGER}`), { ...event, type: STRANGER }],
    ['a type that is a telephone number', () => failed(400, 'no type +49157001234'), { ...event, type: '+49157001234' }],
    ['an id that is an email', created, { ...event, id: STRANGER }],
    ['an id that is a telephone number', created, { ...event, id: '49157001234' }],
    ['a field that is an email', () => failed(400, `no field ${STRANGER}`), { ...event, customFields: { [STRANGER]: '1' } }],
    ['a foreign field', created, { ...event, [STRANGER]: STRANGER }],
  ])('%s', async (_, script, given) => {
    const { relay, told } = listen(script)
    const { results } = await read(await relay(request(makeBatch([given]), { headers: { Cookie: 'sid=canary' } })))
    expect(results).toMatchObject([{ outcome: 'rejected' }])
    expect([told.outcomes.length, told.drops.length, told.requests.length]).toEqual([1, 1, 1])
    expect(JSON.stringify(told).toLowerCase()).not.toMatch(/canary|xxx|someone|49157/)
    expect(JSON.stringify(told)).not.toContain(KEY)
  })
})
