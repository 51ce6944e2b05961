// @vitest-environment node
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Identity } from '../../src/relay/index.ts'
import { CANARY_EMAIL, makeEvent, never, outcomes, send, setUp, until } from './harness.ts'

const resolving = (resolve: (request: Request) => unknown) => {
  // As a site in plain JavaScript would: whatever its session gives.
  const identity = { resolve } as Identity
  return setUp(undefined, { identity })
}
const mine = (n: number) => makeEvent(n, { contact: { id: 'u_42', email: 'made-up@evil.test', name: 'Mallory' } })
const victims = (n: number) => makeEvent(n, { contact: { id: 'victim', email: 'made-up@evil.test' } })

describe('where the session decides', () => {
  afterEach(() => void vi.useRealTimers())

  it("the session's details leave, not the page's", async () => {
    const contact = { id: 'u_42', email: CANARY_EMAIL, customFields: { plan: 'pro' } }
    const { relay, api } = resolving(() => Promise.resolve(contact))
    expect(outcomes(await send(relay, [mine(1)]))).toEqual(['stored'])
    expect(api.calls[0]?.body.contact).toEqual(contact)
  })

  it('it is asked once per request, with the request', async () => {
    const resolve = vi.fn((request: Request) => ({ id: request.headers.get('Cookie') ?? '' }))
    const { relay } = resolving(resolve)
    expect(outcomes(await send(relay, [mine(1), mine(2)], {}, { headers: { Cookie: 'u_42' } }))).toEqual(['stored', 'stored'])
    expect(resolve).toHaveBeenCalledOnce()
  })

  it("an event of a victim's contact is rejected, and does not reach the API", async () => {
    const { relay, api } = resolving(() => ({ id: 'u_42' }))
    const heard = await send(relay, [victims(1), mine(2)])
    expect(heard.results[0]).toMatchObject({ outcome: 'rejected', code: 'contact_mismatch' })
    expect(api.calls.map(({ contactId }) => contactId)).toEqual(['u_42'])
  })

  it('a token in the batch changes nothing', async () => {
    const { relay, api } = resolving(() => ({ id: 'u_42' }))
    expect(outcomes(await send(relay, [victims(1)], { token: 'x.y.z' }))).toEqual(['rejected'])
    expect(api.calls).toEqual([])
  })

  it.each([null, undefined])('nobody logged in (%s) is 401', async (nobody) => {
    const { relay, api } = resolving(() => nobody)
    const heard = await send(relay, [mine(1)])
    expect([heard.status, heard.error?.code, api.calls.length]).toEqual([401, 'unauthenticated', 0])
  })

  it.each<[string, () => unknown]>([
    ['throws', () => { throw new Error(`no row for ${CANARY_EMAIL}`) }],
    ['rejects', () => Promise.reject(new Error(CANARY_EMAIL))],
    ['gives a contact without an id', () => ({ email: CANARY_EMAIL })],
    ['gives an id that is a number', () => ({ id: 42 })],
    ['gives a text', () => CANARY_EMAIL],
    ['gives what is no JSON', () => ({ id: 'u_42', name: 1n })],
  ])('a resolve that %s costs nothing but time, and says so without personal data', async (_, resolve) => {
    const { relay, api, logs } = resolving(resolve)
    const heard = await send(relay, [mine(1), mine(2)])
    expect([heard.status, outcomes(heard), api.calls.length]).toEqual([503, ['unavailable', 'unavailable'], 0])
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatch(/^\[pristo\] identity\.resolve /)
    expect(logs.join() + heard.text).not.toContain(CANARY_EMAIL)
  })

  it("fields that are undefined are absent, as a site's own session often has them", async () => {
    const { relay, api } = resolving(() => ({ id: 'u_42', phone: undefined }))
    expect(outcomes(await send(relay, [mine(1)]))).toEqual(['stored'])
    expect(api.calls[0]?.body.contact).toEqual({ id: 'u_42' })
  })

  it('a resolve that hangs is given up after 5 s', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let isAsked = false
    const { relay } = resolving(() => ((isAsked = true), never()))
    const answer = send(relay, [mine(1)])
    await until(() => isAsked)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(outcomes(await answer)).toEqual(['unavailable'])
  })
})
