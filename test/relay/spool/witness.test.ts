// @vitest-environment node
/** The judge of the spool's torture is judged too. */
import { describe, expect, it } from 'vitest'
import { LEASE_MS } from '../../../src/relay/spool/spool.ts'
import type { Tracked } from '../../torture/spool/browsers.ts'
import { reckon, STORE, type Arrival, type Evidence } from '../../torture/spool/witness.ts'
import { makeEvent, uuid } from '../harness.ts'

/** Events 0, 1, 2 … of contact `a`. */
const track = (count: number): Tracked[] => Array.from({ length: count }, (_, nth) => ({ id: uuid(nth), contactId: 'a', nth, isPoison: false }))

const arrive = (n: number, at: number, over: Partial<Arrival> = {}): Arrival => ({ id: uuid(n), relay: 'one', at, endedAt: at + 10, fate: 'answered', ...over })

const judge = (count: number, arrivals: Arrival[], over: Partial<Evidence> = {}) =>
  reckon({ tracked: track(count), arrivals, kills: [], buried: [], hasDetails: () => true, ...over })

const AGAIN = LEASE_MS + 100

describe('the witness of the spool', () => {
  it('finds nothing where each event came once and in order', () => {
    expect(judge(2, [arrive(0, 0), arrive(1, 50)])).toMatchObject({ events: 2, lost: 0, disordered: 0, duplicated: 0, allowed: {}, problems: [] })
  })

  it('finds what was lost: an event whose call only failed has not arrived', () => {
    expect(judge(2, [arrive(0, 0), arrive(1, 50, { fate: 'failed' })])).toMatchObject({ lost: 1, problems: ['lost: event 1 of a'] })
  })

  it('finds what came behind a later one', () => {
    expect(judge(2, [arrive(1, 0), arrive(0, 50)])).toMatchObject({ disordered: 1, duplicated: 0 })
  })

  it('excuses a second arrival after a reset, and after the death of the relay that had its answer', () => {
    expect(judge(1, [arrive(0, 0, { fate: 'lost' }), arrive(0, 1_000)]).allowed).toEqual({ 'reset after it was stored': 1 })
    const killed = judge(1, [arrive(0, 0), arrive(0, AGAIN)], { kills: [{ name: 'one', at: 12, until: 500 }] })
    expect(killed).toMatchObject({ duplicated: 0, allowed: { 'relay killed before it had written the answer down': 1 } })
  })

  it('excuses a call that a relay sent before it died, and that was read later', () => {
    expect(judge(1, [arrive(0, 0), arrive(0, AGAIN)], { kills: [{ name: 'one', at: -300, until: 400 }] }).duplicated).toBe(0)
  })

  it.each([
    ['nobody died', []],
    ['another relay died', [{ name: 'two', at: 12, until: 500 }]],
    ['the store died', [{ name: STORE, at: 12, until: 500 }]],
    ['it had died, and was back', [{ name: 'one', at: -900, until: -100 }]],
    ['it died after its lease', [{ name: 'one', at: LEASE_MS + 10, until: LEASE_MS + 500 }]],
  ])('excuses no second arrival where %s', (_, kills) => {
    expect(judge(1, [arrive(0, 0), arrive(0, AGAIN)], { kills })).toMatchObject({ duplicated: 1, allowed: {} })
  })

  it('excuses none of a relay that had written down a later answer before it died', () => {
    const tracked = [...track(1), { id: uuid(8), contactId: 'b', nth: 0, isPoison: false }, { id: uuid(9), contactId: 'b', nth: 1, isPoison: false }]
    const arrivals = [arrive(0, 0), arrive(8, 300), arrive(9, 350), arrive(0, AGAIN)]
    expect(judge(1, arrivals, { tracked, kills: [{ name: 'one', at: 400, until: 900 }] }).duplicated).toBe(1)
    expect(judge(1, arrivals, { tracked, kills: [{ name: 'one', at: 340, until: 900 }] }).duplicated).toBe(0)
  })

  it('excuses no second arrival behind a later event of the contact, not even after a reset', () => {
    expect(judge(2, [arrive(0, 0, { fate: 'lost' }), arrive(1, 50), arrive(0, 100)])).toMatchObject({ duplicated: 1, disordered: 0 })
  })

  it('wants poison buried with its reason, and nothing else', () => {
    const tracked = track(2).map((event) => ({ ...event, isPoison: event.nth === 1 }))
    const dead = (n: number, message = 'type: unknown type') => ({ event: makeEvent(n), reason: { code: 'invalid_event', status: 400, message }, acceptedAt: 0, buriedAt: 0 })
    expect(judge(2, [arrive(0, 0)], { tracked, buried: [dead(1)] })).toMatchObject({ lost: 0, buried: 1, problems: [] })
    expect(judge(2, [arrive(0, 0)], { tracked, buried: [dead(1), dead(1)] }).problems).toEqual(['buried twice: 1 events'])
    expect(judge(2, [arrive(0, 0)], { tracked, buried: [dead(1, 'no')] }).problems).toHaveLength(1)
    expect(judge(2, [], { tracked, buried: [dead(0), dead(1)] }).problems).toEqual([expect.stringMatching(/^buried although it is sound/)])
    expect(judge(2, [arrive(0, 0)], { tracked })).toMatchObject({ lost: 1 })
  })

  it('misses a contact’s email, and wonders at events that nobody tracked', () => {
    expect(judge(1, [arrive(0, 0)], { hasDetails: () => false }).problems).toEqual(['a has lost its email'])
    expect(judge(1, [arrive(0, 0), arrive(7, 50)]).problems).toEqual(['1 events arrived that nobody tracked'])
  })
})
