// @vitest-environment node
import { expect, it } from 'vitest'
import type { PristoEvent } from '../../src/contract.ts'
import { createRelay, type EventOutcome } from '../../src/relay/index.ts'
import { KEY, makeEvent, never, outcomes, POPULATION, send, setUp, uuid } from './harness.ts'

/** A relay over a spool that says what the script says; `taken` is what it was given. */
const spooled = (say: (events: readonly PristoEvent[]) => Promise<'accepted' | 'full'> = async () => 'accepted', options = {}) => {
  const taken: PristoEvent[][] = []
  const put = (events: readonly PristoEvent[]) => {
    taken.push([...events])
    return say(events)
  }
  return { taken, ...setUp(undefined, { spool: { put }, ...options }) }
}

it('answers 202 and `stored` once the spool has a batch, and asks the API for nothing', async () => {
  const { relay, api, taken } = spooled()
  const answer = await send(relay, [makeEvent(1), makeEvent(2)], { ack: true })
  expect([answer.status, outcomes(answer)]).toEqual([202, ['stored', 'stored']])
  expect(answer.headers.get('Set-Cookie')).toContain(`=${uuid(1).slice(-9)}${uuid(2).slice(-9)};`)
  expect(taken.map((events) => events.map(({ id }) => id))).toEqual([[uuid(1), uuid(2)]])
  expect(api.calls).toEqual([])
})

it('gives the spool only what may pass, with the contact and the time that it may have', async () => {
  const contact = { id: 'u_42', email: 'from@session.example' }
  const { relay, taken } = spooled(undefined, { identity: { resolve: () => contact }, allowedTypes: ['purchase'] })
  const events = [makeEvent(1), makeEvent(2, { type: 'other' }), { ...makeEvent(3), extra: 1 }, makeEvent(4, { contact: { id: 'u_7' } })]
  const answer = await send(relay, events, { sentAt: '2026-11-23T13:00:00.000Z' })
  expect([answer.status, outcomes(answer)]).toEqual([202, ['stored', 'rejected', 'rejected', 'rejected']])
  expect(taken).toEqual([[{ ...makeEvent(1, { contact }), occurredAt: '2026-11-23T10:59:59.000Z' }]])
})

it('answers 200 where the spool was given nothing', async () => {
  const { relay, taken } = spooled()
  const answer = await send(relay, [{ id: uuid(1) }])
  expect([answer.status, outcomes(answer), taken]).toEqual([200, ['rejected'], []])
})

it.each<[string, () => Promise<'accepted' | 'full'>, string]>([
  ['is full', async () => 'full', 'the spool is full'],
  ['fails', () => Promise.reject(new Error('[pristo] the spool cannot write: the disk is full')), 'the spool cannot write: the disk is full'],
  ['does not answer', never, 'the spool took over 1000 ms'],
])('leaves events in the browser for a minute where the spool %s, and says so once', async (_, say, why) => {
  const { relay, logs } = spooled(say, { limits: { deadlineMs: 5 } })
  const answers = [1, 2].map(() => send(relay, [makeEvent(1), makeEvent(2)], { ack: true }))
  for (const answer of await Promise.all(answers)) {
    expect([answer.status, outcomes(answer), answer.headers.get('Retry-After'), answer.headers.get('Set-Cookie')]).toEqual([503, ['unavailable', 'unavailable'], '60', null])
  }
  expect(logs).toEqual([`[pristo] ${why}; events wait in the browsers`])
})

it('says it again where the spool fails anew', async () => {
  const answers = ['full', 'accepted', 'full'] as const
  let n = 0
  const { relay, logs } = spooled(async () => answers[n++] ?? 'full')
  for (const _ of answers) await send(relay, [makeEvent(1)])
  expect(logs).toHaveLength(2)
})

it('tells the hooks of accepted events as such', async () => {
  const heard: EventOutcome[] = []
  const { relay } = spooled(undefined, { onOutcome: (outcome: EventOutcome) => heard.push(outcome) })
  await send(relay, [makeEvent(1)])
  expect(heard).toEqual([{ id: uuid(1), type: 'purchase', outcome: 'accepted' }])
})

it('refuses to start over something that is no spool', () => {
  const start = () => createRelay({ apiKey: KEY, populationId: POPULATION, identity: 'page', spool: JSON.parse('"sqlite:a.db"') })
  expect(start).toThrow('[pristo] spool: got a string of 11 characters; allowed is a spool, such as openSpool of pristo/relay/spool gives')
})
