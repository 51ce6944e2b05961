// @vitest-environment node
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { CANARY_EMAIL, created, failed, KEY, makeEvent, never, NOW, OLD_KEY, outcomes, send, setUp, until, type Script } from './harness.ts'

const one = (script: Script) => send(setUp(script).relay, [makeEvent(1)])
const httpDate = (ms: number): string => new Date(ms).toUTCString()

describe('what the API answers', () => {
  it.each([
    [200, 'stored'], [201, 'stored'], [202, 'stored'],
    [300, 'upstream_config'], [301, 'upstream_config'], [302, 'upstream_config'], [307, 'upstream_config'], [308, 'upstream_config'],
    [400, 'rejected'], [402, 'rejected'], [405, 'rejected'], [406, 'rejected'], [409, 'rejected'], [410, 'rejected'],
    [413, 'rejected'], [415, 'rejected'], [418, 'rejected'], [422, 'rejected'], [431, 'rejected'], [451, 'rejected'],
    [401, 'upstream_config'], [403, 'upstream_config'], [404, 'upstream_config'],
    [408, 'throttled'], [425, 'throttled'], [429, 'throttled'],
    [500, 'unavailable'], [501, 'unavailable'], [502, 'unavailable'], [503, 'unavailable'], [504, 'unavailable'], [599, 'unavailable'],
  ])('%i means %s', async (status, outcome) => {
    expect(outcomes(await one(() => new Response('x', { status })))).toEqual([outcome])
  })

  it('an opaque redirect, as browsers and some edges give it, is a wrong setting', async () => {
    const opaque = () => Object.defineProperty(new Response(null, { status: 200 }), 'status', { value: 0 })
    expect(outcomes(await one(opaque))).toEqual(['upstream_config'])
  })

  // Taken for broken off it would be sent again for ever, and stored each time.
  it.each([
    ['with its length', true],
    ['in chunks', false],
  ])('an answer %s that is no UTF-8 counts like any other', async (_, hasLength) => {
    const latin1 = (text: string) => () =>
      new Response(Buffer.from(text, 'latin1'), { status: 201, headers: hasLength ? { 'Content-Length': String(text.length) } : {} })
    expect(outcomes(await one(latin1('{"ok":true,"status":201,"statusText":"créé"}')))).toEqual(['stored'])
    expect(outcomes(await one(latin1('{"ok":false,"status":400,"statusText":"refusé"}')))).toEqual(['rejected'])
  })

  it('no answer means unavailable', async () => {
    expect(outcomes(await one(() => Promise.reject(new TypeError('fetch failed'))))).toEqual(['unavailable'])
  })

  it.each<[string, string | null, string]>([
    ['ok and 201', '{"ok":true,"status":201}', 'stored'],
    ['ok: false and 201', '{"ok":false,"status":201}', 'unavailable'],
    ['ok: false and 400', '{"ok":false,"status":400,"error":{"message":"unknown type"}}', 'rejected'],
    ['ok: true and 400', '{"ok":true,"status":400}', 'rejected'],
    ['ok: false and 500', '{"ok":false,"status":500}', 'unavailable'],
    ['ok: false and 429', '{"ok":false,"status":429}', 'throttled'],
    ['ok: false and 401', '{"ok":false,"status":401}', 'upstream_config'],
    ['a status that is none', '{"ok":true,"status":1e9}', 'unavailable'],
    ['the shape of an earlier version', '{"eventId":"x","receivedAt":"y"}', 'stored'],
    ['only ok', '{"ok":false}', 'stored'],
    ['null', 'null', 'stored'],
    ['HTML', '<html></html>', 'stored'],
    ['nothing', null, 'stored'],
    ['more than we read', 'x'.repeat(100_000), 'stored'],
  ])('HTTP 201 with %s', async (_, body, outcome) => {
    expect(outcomes(await one(() => new Response(body, { status: 201 })))).toEqual([outcome])
  })

  it('a 201 that breaks off is asked for again', async () => {
    const broken = () => new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('reset')) }), { status: 201 })
    expect(outcomes(await one(broken))).toEqual(['unavailable'])
  })

  it('every body is read, so that its connection can be used again', async () => {
    let isRead = false
    const body = () => new ReadableStream({ pull: (controller) => ((isRead = true), controller.close()) }, { highWaterMark: 0 })
    await one(() => new Response(body(), { status: 500 }))
    expect(isRead).toBe(true)
  })
})

describe('why an event was rejected', () => {
  const why = async (script: Script) => (await one(script)).results[0]

  it("is the API's own message and status", async () => {
    expect(await why(() => failed(422, 'unknown custom field: sku'))).toMatchObject({ outcome: 'rejected', code: 'invalid_event', status: 422, message: 'unknown custom field: sku' })
  })

  it("is the envelope's status where the envelope disagrees with HTTP", async () => {
    expect(await why(() => Response.json({ ok: false, status: 409 }, { status: 201 }))).toMatchObject({ outcome: 'rejected', status: 409 })
  })

  it('is at most 200 characters, and absent where there is none', async () => {
    expect(await why(() => failed(400, 'x'.repeat(300)))).toMatchObject({ message: 'x'.repeat(200) })
    expect(await why(() => failed(400, 'x'.repeat(2_001)))).not.toHaveProperty('message')
    expect(await why(() => new Response('<html>', { status: 400 }))).not.toHaveProperty('message')
    expect(await why(() => Response.json({ error: { message: { deep: 1 } } }, { status: 400 }))).not.toHaveProperty('message')
  })

  it('repeats neither the key nor the contact', async () => {
    const message = `key ${KEY.toUpperCase()} may not write u_42 <${CANARY_EMAIL}>`
    expect(await why(() => failed(400, message))).toMatchObject({ message: 'key … may not write … <…>' })
  })

  it('is found without an expression for each of the thousands of values that an event can have', async () => {
    let made = 0
    class Counted extends RegExp {
      constructor(pattern: string, flags: string) {
        super(pattern, flags)
        made++
      }
    }
    vi.stubGlobal('RegExp', Counted)
    onTestFinished(() => void vi.unstubAllGlobals())
    const customFields = Object.fromEntries(Array.from({ length: 3_000 }, (_, n) => [`k-${n}`, `v${n}`]))
    const { relay } = setUp(() => failed(400, 'unknown custom field: K-1234'))
    const heard = await send(relay, [makeEvent(1, { customFields })])
    expect(heard.results[0]).toMatchObject({ message: 'unknown custom field: …' })
    expect(made).toBeLessThan(10)
  })

  it('repeats no rest of an email that begins with the contact id', async () => {
    const { relay } = setUp(() => failed(400, `unknown: ${CANARY_EMAIL}`))
    const heard = await send(relay, [makeEvent(1, { contact: { id: 'canary', email: CANARY_EMAIL } })])
    expect(heard.results[0]).toMatchObject({ message: 'unknown: …' })
  })
})

describe('Retry-After', () => {
  const wait = async (value: string) => (await one(() => failed(503, '', { 'Retry-After': value }))).retryAfter
  it.each<[string, number | undefined]>([
    ['7', 7], ['0', 1], ['99999', 3600], [' 12 ', 12],
    [httpDate(NOW + 90_000), 90], [httpDate(NOW - 90_000), 1], [httpDate(NOW + 1e9), 3600],
    ['-5', undefined], ['soon', undefined], ['1.5', undefined], ['GMT', undefined], ['', undefined],
  ])('%j is %s seconds', async (value, seconds) => {
    expect(await wait(value)).toBe(seconds)
  })
})

describe('key rotation', () => {
  const rotating = (script: Script) => setUp(script, { apiKey: [KEY, OLD_KEY] })
  const keyOf = (call: { headers: Record<string, string> }) => call.headers['x-api-key']

  it.each([401, 403])('after %i the next key is tried with the same event', async (status) => {
    const { relay, api } = rotating((call) => (keyOf(call) === KEY ? failed(status) : created()))
    expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['stored'])
    expect(api.calls.map(keyOf)).toEqual([KEY, OLD_KEY])
    expect(new Set(api.ids()).size).toBe(1)
  })

  it.each([400, 404, 429, 500])('after %i it is not', async (status) => {
    const { relay, api } = rotating(() => failed(status))
    await send(relay, [makeEvent(1)])
    expect(api.calls.map(keyOf)).toEqual([KEY])
  })

  it('a long time of wrong keys destroys nothing and is said once; mended, it is said again when it breaks again', async () => {
    let isWrong = true
    const { relay, logs } = rotating(() => (isWrong ? failed(401) : created()))
    const post = async () => outcomes(await send(relay, [makeEvent(1), makeEvent(2)]))
    for (let n = 0; n < 12; n++) expect(await post()).toEqual(['upstream_config', 'blocked'])
    expect(logs).toEqual(['[pristo] the Pristo API answered 401: check apiKey, populationId and baseUrl; until then events wait'])
    isWrong = false
    expect(await post()).toEqual(['stored', 'stored'])
    isWrong = true
    await send(relay, [makeEvent(3)])
    expect(logs).toHaveLength(2)
  })
})

describe('the breaker', () => {
  const setUpBroken = () => {
    const state = { at: NOW, status: 500 }
    const { relay, api } = setUp(() => (state.status === 201 ? created() : failed(state.status)), { now: () => state.at })
    const post = async (n = 1) => send(relay, [makeEvent(n)])
    return { state, api, post }
  }

  it('opens after five failures in a row, for 10 s, and says how long', async () => {
    const { state, api, post } = setUpBroken()
    for (let n = 0; n < 5; n++) expect((await post()).retryAfter).toBeUndefined()
    state.at += 3_000
    const heard = await post()
    expect([outcomes(heard), heard.retryAfter, api.calls.length]).toEqual([['unavailable'], 7, 5])
  })

  it('lets one probe through after 10 s, and nothing beside it', async () => {
    const state = { at: NOW }
    let finish = (): void => undefined
    const slow = () => new Promise<Response>((resolve) => (finish = () => resolve(created())))
    const { relay, api } = setUp((_, n) => (n < 5 ? failed(500) : slow()), { now: () => state.at })
    for (let n = 0; n < 5; n++) await send(relay, [makeEvent(1)])
    state.at += 10_000
    const probe = send(relay, [makeEvent(1)])
    await until(() => api.calls.length === 6)
    expect(outcomes(await send(relay, [makeEvent(2)]))).toEqual(['unavailable'])
    finish()
    expect(outcomes(await probe)).toEqual(['stored'])
    expect(api.calls).toHaveLength(6)
  })

  it('a probe that fails opens it again, an answer closes it', async () => {
    const { state, api, post } = setUpBroken()
    for (let n = 0; n < 5; n++) await post()
    state.at += 10_000
    await post()
    expect(api.calls).toHaveLength(6)
    expect(outcomes(await post())).toEqual(['unavailable'])
    expect(api.calls).toHaveLength(6)
    state.at += 10_000
    state.status = 201
    expect(outcomes(await post(1))).toEqual(['stored'])
    expect(outcomes(await post(2))).toEqual(['stored'])
  })

  it('lets another probe through 10 s after one that was never heard of again, as where the runtime ended its request', async () => {
    const state = { at: NOW }
    const { relay, api } = setUp((_, n) => (n < 5 ? failed(500) : n === 5 ? never() : created()), { now: () => state.at })
    for (let n = 0; n < 5; n++) await send(relay, [makeEvent(1)])
    state.at += 10_000
    void send(relay, [makeEvent(1)])
    await until(() => api.calls.length === 6)
    state.at += 10_000
    expect(outcomes(await send(relay, [makeEvent(2)]))).toEqual(['stored'])
  })

  it('an answer in between, even a refusal, starts the count again', async () => {
    const { state, api, post } = setUpBroken()
    for (let n = 0; n < 12; n++) {
      state.status = n % 4 === 3 ? 400 : 500
      await post(n)
    }
    expect(api.calls).toHaveLength(12)
  })

  it('a clock set back does not keep it open', async () => {
    const { state, api, post } = setUpBroken()
    for (let n = 0; n < 5; n++) await post()
    state.at -= 3_600_000
    await post()
    expect(api.calls).toHaveLength(6)
  })
})
