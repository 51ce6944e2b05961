/** What every engine of a spool must do, told once: each engine's test runs these facts over its own storage. */
import * as fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { PristoEvent } from '../../../src/contract.ts'
import { LEASE_MS, SEEN_MS, type Claim, type Selection, type Spool } from '../../../src/relay/spool/spool.ts'
import { makeEvent, NOW, uuid } from '../harness.ts'
import { compare, steps } from './model.ts'

/** An engine's storage, empty. */
export interface Storage {
  /** Another handle to the same storage, as another process would have. */
  open(options?: { maxBytes?: number }): Promise<Spool>
  /** Ends all handles, and forgets what is stored. */
  remove(): Promise<void>
}

export const eventOf = (n: number, contactId: string, over: Partial<PristoEvent> = {}): PristoEvent => makeEvent(n, { contact: { id: contactId }, ...over })

const idsOf = (claims: readonly Claim[]): string[] => claims.map(({ event }) => event.id)

/** Runs the facts. `make` gives empty storage whose handles read the clock that they are given; `sequences` of steps are compared with the model's. */
export const describeSpool = (engine: string, make: (now: () => number) => Promise<Storage>, { sequences = 20 } = {}): void => {
  let at = NOW
  let storage: Storage | undefined

  const setUp = async (options: { maxBytes?: number } = {}): Promise<Spool> => {
    at = NOW
    storage = await make(() => at)
    return storage.open(options)
  }

  const again = async (options: { maxBytes?: number } = {}): Promise<Spool> => {
    if (!storage) throw new Error('nothing was set up')
    return storage.open(options)
  }

  afterEach(async () => {
    await storage?.remove()
    storage = undefined
  })

  /** The one claim that there must be. */
  const claimOne = async (spool: Spool): Promise<Claim> => {
    const [claim] = await spool.claim(1)
    if (!claim) throw new Error('there is nothing to claim')
    return claim
  }

  const bytesOf = (...events: PristoEvent[]): number => events.reduce((sum, event) => sum + new TextEncoder().encode(JSON.stringify(event)).length, 0)

  describe(`a spool on ${engine}`, () => {
    test('gives an event as it was put, and lists it so when it is buried', async () => {
      const spool = await setUp()
      const odd = '✓\u0000\n\u2028\u2029\ud800🙂'
      const event = makeEvent(1, { contact: { id: `ü "1" \\ {x}${odd}`, email: 'a@b.co', customFields: { plan: 'pro', empty: '' } }, customFields: { née: odd, '': 'x' } })
      const reason = { code: 'invalid_event', message: odd }
      expect(await spool.put([event])).toBe('accepted')
      const claim = await claimOne(spool)
      expect(claim).toMatchObject({ event, acceptedAt: NOW, attempts: 0 })
      expect(await spool.bury(claim, reason)).toBe(true)
      expect(await spool.dead.list(5)).toMatchObject([{ event, reason }])
    })

    test('takes the same event once, while it waits, after it was delivered, and for 48 hours', async () => {
      const spool = await setUp()
      const event = eventOf(1, 'a')
      await spool.put([event, { ...event, type: 'signup' }])
      await spool.put([{ ...event, type: 'signup' }])
      await spool.put([{ ...event, id: event.id.toUpperCase() }])
      expect((await spool.stats()).events).toBe(1)
      const claim = await claimOne(spool)
      expect(claim.event).toEqual(event)
      await spool.settle(claim)
      at += SEEN_MS - 1
      await spool.put([event])
      expect((await spool.stats()).events).toBe(0)
      at += 2
      await spool.put([event])
      expect((await spool.stats()).events).toBe(1)
    })

    test('takes a buried event no second time, however long ago it was', async () => {
      const spool = await setUp()
      await spool.put([eventOf(1, 'a')])
      await spool.bury(await claimOne(spool), { code: 'invalid_event' })
      at += 2 * SEEN_MS
      await spool.put([eventOf(1, 'a')])
      expect(await spool.stats()).toMatchObject({ events: 0, dead: 1 })
    })

    test('forgets ids that nobody needs any more, as fast as new ones come', async () => {
      const spool = await setUp()
      for (let round = 0; round < 3; round++) {
        await spool.put(Array.from({ length: 40 }, (_, n) => eventOf(round * 40 + n, `c${n}`)))
        for (const claim of await spool.claim(40)) await spool.settle(claim)
        at += SEEN_MS + 1
      }
      await spool.put([eventOf(0, 'c0')])
      expect((await spool.stats()).events).toBe(1)
    })

    test('takes the same id of another contact: nobody keeps a stranger’s event away', async () => {
      const spool = await setUp()
      await spool.put([eventOf(1, 'a'), eventOf(1, 'b')])
      expect((await spool.claim(5)).map(({ event }) => event.contact.id).sort()).toEqual(['a', 'b'])
    })

    test('takes contacts of any id, and tells them apart', async () => {
      const spool = await setUp()
      const ids = ['a', 'a\u0000', 'a\u0000b', 'A', 'ä', 'a\u0308', '\u{1f642}', "'; drop table events --", '{a}', '*', ' a', 'x'.repeat(60_000)]
      await spool.put(ids.flatMap((id, n) => [eventOf(n, id), eventOf(n + 100, id)]))
      for (let round = 0; round < 2; round++) {
        const claims = await spool.claim(50)
        expect(claims.map(({ event }) => event.contact.id).sort()).toEqual([...ids].sort())
        for (const claim of claims) expect(await spool.settle(claim)).toBe(true)
      }
      expect(await spool.stats()).toMatchObject({ events: 0, contacts: 0, bytes: 0 })
    })

    test('works through a contact whose id is half a character', async () => {
      const spool = await setUp()
      await spool.put([eventOf(1, '\ud800'), eventOf(2, '\ud800')])
      for (const n of [1, 2]) {
        const claim = await claimOne(spool)
        expect(claim.event.id).toBe(uuid(n))
        expect(await (n === 1 ? spool.bury(claim, { code: 'invalid_event' }) : spool.settle(claim))).toBe(true)
      }
      expect(await spool.stats()).toMatchObject({ events: 0, contacts: 0, dead: 1 })
    })

    test('gives the events of one contact one by one, in the order in which they came', async () => {
      const spool = await setUp()
      await spool.put([eventOf(3, 'a'), eventOf(1, 'a')])
      await spool.put([eventOf(2, 'a')])
      const order: string[] = []
      for (let n = 0; n < 3; n++) {
        const claims = await spool.claim(5)
        order.push(...idsOf(claims))
        for (const claim of claims) expect(await spool.settle(claim)).toBe(true)
      }
      expect(order).toEqual([uuid(3), uuid(1), uuid(2)])
      expect(await spool.claim(5)).toEqual([])
    })

    test('lets no other event of a contact pass while one is on its way', async () => {
      const spool = await setUp()
      await spool.put([eventOf(1, 'a'), eventOf(2, 'a'), eventOf(3, 'b')])
      expect(idsOf(await spool.claim(5)).sort()).toEqual([uuid(1), uuid(3)])
      expect(await spool.claim(5)).toEqual([])
    })

    test('holds a contact back behind an event that is tried again, and nobody else', async () => {
      const spool = await setUp()
      await spool.put([eventOf(1, 'a'), eventOf(2, 'a'), eventOf(3, 'b')])
      const [one] = (await spool.claim(5)).filter(({ event }) => event.contact.id === 'a')
      if (!one) throw new Error('no claim')
      expect(await spool.retry(one, 5_000)).toBe(true)
      await spool.put([eventOf(4, 'c'), eventOf(5, 'a')])
      expect(idsOf(await spool.claim(5))).toEqual([uuid(4)])
      at += 4_999
      expect(await spool.claim(5)).toEqual([])
      at += 1
      expect(await spool.claim(5)).toMatchObject([{ event: { id: uuid(1) }, attempts: 1 }])
    })

    test('counts the attempts of one event, not those of the one before', async () => {
      const spool = await setUp()
      await spool.put([eventOf(1, 'a'), eventOf(2, 'a')])
      await spool.retry(await claimOne(spool), 0)
      await spool.retry(await claimOne(spool), 0)
      const third = await claimOne(spool)
      expect(third.attempts).toBe(2)
      await spool.settle(third)
      expect(await claimOne(spool)).toMatchObject({ event: { id: uuid(2) }, attempts: 0 })
    })

    test('goes on with the next event behind a buried one, and keeps that with its reason', async () => {
      const spool = await setUp()
      await spool.put([eventOf(1, 'a'), eventOf(2, 'a')])
      at += 1_000
      const reason = { code: 'invalid_event', status: 400, message: 'unknown type' }
      expect(await spool.bury(await claimOne(spool), reason)).toBe(true)
      expect(idsOf(await spool.claim(5))).toEqual([uuid(2)])
      expect(await spool.dead.list(5)).toEqual([{ event: eventOf(1, 'a'), reason, acceptedAt: NOW, buriedAt: NOW + 1_000 }])
    })

    test('gives contacts in turns: who waited longest comes first', async () => {
      const spool = await setUp()
      for (const contact of ['a', 'b', 'c']) {
        await spool.put([eventOf(at, contact), eventOf(at + 100, contact)])
        at++
      }
      const served: string[] = []
      for (let n = 0; n < 6; n++) {
        const claim = await claimOne(spool)
        served.push(claim.event.contact.id)
        at++
        await spool.settle(claim)
      }
      expect(served).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
    })

    test('gives no more than it was asked for', async () => {
      const spool = await setUp()
      await spool.put(Array.from({ length: 5 }, (_, n) => eventOf(n, `c${n}`)))
      expect(await spool.claim(3)).toHaveLength(3)
      expect(await spool.claim(3)).toHaveLength(2)
    })

    test('gives an event again once its lease has run out, and hears no more of who had it', async () => {
      const spool = await setUp()
      await spool.put([eventOf(1, 'a'), eventOf(2, 'a')])
      const paused = await claimOne(spool)
      at += LEASE_MS - 1
      expect(await spool.claim(5)).toEqual([])
      at += 1
      const other = await claimOne(spool)
      expect(other.event).toEqual(paused.event)
      expect(await spool.settle(paused)).toBe(false)
      expect(await spool.bury(paused, { code: 'invalid_event' })).toBe(false)
      expect(await spool.retry(paused, 0)).toBe(false)
      expect(await spool.stats()).toMatchObject({ events: 2, dead: 0 })
      expect(await spool.settle(other)).toBe(true)
      expect(await spool.settle(other)).toBe(false)
      expect(await spool.stats()).toMatchObject({ events: 1, dead: 0 })
    })

    test('does not take the end of an old claim for that of a new one, although the contact had nothing left in between', async () => {
      const spool = await setUp()
      await spool.put([eventOf(1, 'a')])
      const paused = await claimOne(spool)
      at += LEASE_MS
      await spool.settle(await claimOne(spool))
      await spool.put([eventOf(2, 'a')])
      await claimOne(spool)
      expect(await spool.settle(paused)).toBe(false)
      expect((await spool.stats()).events).toBe(1)
    })

    test('does not wait for a time that a wrong clock has set', async () => {
      const spool = await setUp()
      await spool.put([eventOf(1, 'a')])
      at -= 10 * 86_400_000
      const claim = await claimOne(spool)
      expect(await spool.claim(1)).toEqual([])
      await spool.settle(claim)
      expect((await spool.stats()).events).toBe(0)
    })

    test('never gives two handles the same event', async () => {
      const one = await setUp()
      const two = await again()
      await one.put(Array.from({ length: 20 }, (_, n) => eventOf(n, `c${n}`)))
      const claims = (await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 ? one : two).claim(2)))).flat()
      expect(claims).toHaveLength(20)
      expect(new Set(idsOf(claims)).size).toBe(20)
      const [claim] = claims
      if (!claim) throw new Error('no claim')
      expect(await two.settle(claim)).toBe(true)
      expect(await one.settle(claim)).toBe(false)
    })

    test('is full at its limit, takes none of a batch then, but knows what it has', async () => {
      const [first, second] = [eventOf(1, 'a'), eventOf(2, 'b')]
      const spool = await setUp({ maxBytes: bytesOf(first) })
      expect(await spool.put([first])).toBe('accepted')
      expect(await spool.put([first, second])).toBe('full')
      expect(await spool.put([first])).toBe('accepted')
      expect(await spool.stats()).toMatchObject({ events: 1, bytes: bytesOf(first), maxBytes: bytesOf(first) })
      await spool.settle(await claimOne(spool))
      expect(await spool.put([second])).toBe('accepted')
    })

    test('counts buried events as full too, until they are dropped', async () => {
      const [first, second] = [eventOf(1, 'a'), eventOf(2, 'b')]
      const spool = await setUp({ maxBytes: bytesOf(first) })
      await spool.put([first])
      await spool.bury(await claimOne(spool), { code: 'invalid_event' })
      expect(await spool.put([second])).toBe('full')
      await spool.dead.drop('all')
      expect(await spool.put([second])).toBe('accepted')
    })

    test('says what is in it', async () => {
      const spool = await setUp()
      expect(await spool.stats()).toMatchObject({ events: 0, contacts: 0, dead: 0, bytes: 0, oldestAt: undefined, dueAt: undefined })
      await spool.put([eventOf(1, 'ä'), eventOf(2, 'ä')])
      at += 1_000
      await spool.put([eventOf(3, 'b')])
      const all = bytesOf(eventOf(1, 'ä'), eventOf(2, 'ä'), eventOf(3, 'b'))
      expect(await spool.stats()).toMatchObject({ events: 3, contacts: 2, dead: 0, bytes: all, oldestAt: NOW, dueAt: NOW })
      const claims = await spool.claim(5)
      expect(await spool.stats()).toMatchObject({ events: 3, contacts: 2, dueAt: at + LEASE_MS })
      for (const claim of claims) await spool.settle(claim)
      expect(await spool.stats()).toMatchObject({ events: 1, contacts: 1, bytes: bytesOf(eventOf(2, 'ä')), oldestAt: NOW, dueAt: at })
      await spool.bury(await claimOne(spool), { code: 'expired' })
      expect(await spool.stats()).toMatchObject({ events: 0, contacts: 0, dead: 1, bytes: bytesOf(eventOf(2, 'ä')), oldestAt: undefined, dueAt: undefined })
    })

    test('brings the details of a contact with the next event, where the event that had them was buried', async () => {
      const spool = await setUp()
      const details = { id: 'a', email: 'a@b.co', name: 'Ann', customFields: { plan: 'pro', source: 'ad' } }
      await spool.put([eventOf(1, 'a', { contact: details }), eventOf(2, 'a'), eventOf(3, 'a', { contact: { id: 'a', name: 'Anna', customFields: { plan: 'free' } } }), eventOf(4, 'a'), eventOf(5, 'b')])
      await spool.bury((await spool.claim(5)).find(({ event }) => event.contact.id === 'a')!, { code: 'invalid_event' })
      const second = await claimOne(spool)
      expect(second.event).toEqual(eventOf(2, 'a', { contact: details }))
      await spool.bury(second, { code: 'invalid_event' })
      const third = await claimOne(spool)
      expect(third.event.contact).toEqual({ ...details, name: 'Anna', customFields: { plan: 'free', source: 'ad' } })
      await spool.settle(third)
      expect((await claimOne(spool)).event.contact).toEqual({ id: 'a' })
    })

    test('keeps a contact’s details for an event that comes later', async () => {
      const spool = await setUp()
      const contact = { id: 'a', email: 'a@b.co' }
      await spool.put([eventOf(1, 'a', { contact })])
      await spool.bury(await claimOne(spool), { code: 'invalid_event' })
      at += SEEN_MS + 1
      await spool.put([eventOf(2, 'a'), eventOf(3, 'b')])
      expect((await spool.claim(5)).map(({ event }) => event.contact)).toEqual(expect.arrayContaining([contact, { id: 'b' }]))
    })

    test('replays buried events: those named, or all, behind what waits, for another three days', async () => {
      const spool = await setUp()
      await spool.put([1, 2, 3].map((n) => eventOf(n, 'a')))
      for (let n = 0; n < 3; n++) await spool.bury(await claimOne(spool), { code: 'invalid_event' })
      await spool.put([eventOf(4, 'a')])
      at += 1_000
      expect(await spool.dead.replay([uuid(2).toUpperCase(), uuid(9), '*'])).toBe(1)
      expect(await spool.stats()).toMatchObject({ events: 2, contacts: 1, dead: 2 })
      await spool.settle(await claimOne(spool))
      expect(await claimOne(spool)).toMatchObject({ event: { id: uuid(2) }, acceptedAt: at, attempts: 0 })
      expect(await spool.dead.replay('all')).toBe(2)
      expect(await spool.stats()).toMatchObject({ events: 3, dead: 0, bytes: bytesOf(...[1, 2, 3].map((n) => eventOf(n, 'a'))) })
      expect(await spool.dead.replay('all')).toBe(0)
    })

    test.each<[Selection]>([['all'], [[uuid(3), uuid(1), uuid(2)]]])('replays buried events in the order in which they were buried, whatever their ids: %s', async (which) => {
      const spool = await setUp()
      await spool.put([2, 3, 1].map((n) => eventOf(n, 'a')))
      for (let n = 0; n < 3; n++) await spool.bury(await claimOne(spool), { code: 'invalid_event' })
      expect(await spool.dead.replay(which)).toBe(3)
      for (const n of [2, 3, 1]) {
        const claim = await claimOne(spool)
        expect(claim.event.id).toBe(uuid(n))
        await spool.settle(claim)
      }
    })

    test('replays a hundred and fifty named events in the order in which they were buried', async () => {
      const spool = await setUp()
      const numbers = Array.from({ length: 150 }, (_, n) => 150 - n)
      await spool.put(numbers.map((n) => eventOf(n, 'a')))
      for (const _ of numbers) await spool.bury(await claimOne(spool), { code: 'invalid_event' })
      expect(await spool.dead.replay([...numbers].reverse().map(uuid))).toBe(150)
      for (const n of numbers.slice(0, 60)) {
        const claim = await claimOne(spool)
        expect(claim.event.id).toBe(uuid(n))
        await spool.settle(claim)
      }
    })

    test('drops buried events: those named, or all, and takes them no second time', async () => {
      const spool = await setUp()
      await spool.put([1, 2, 3].map((n) => eventOf(n, 'a')))
      for (let n = 0; n < 3; n++) await spool.bury(await claimOne(spool), { code: 'invalid_event' })
      expect(await spool.dead.drop([uuid(2), uuid(2)])).toBe(1)
      expect((await spool.dead.list(5)).map(({ event }) => event.id)).toEqual([uuid(1), uuid(3)])
      expect(await spool.dead.list(1)).toHaveLength(1)
      expect(await spool.dead.drop('all')).toBe(2)
      await spool.put([eventOf(2, 'a')])
      expect(await spool.stats()).toMatchObject({ events: 0, dead: 0, bytes: 0 })
    })

    test('holds everything when it is opened again', async () => {
      const before = await setUp()
      await before.put([eventOf(1, 'a'), eventOf(2, 'a'), eventOf(3, 'b'), eventOf(4, 'c')])
      const [one, two] = await before.claim(2)
      if (!one || !two) throw new Error('no claims')
      await before.settle(one)
      await before.bury(two, { code: 'invalid_event' })
      const stats = await before.stats()
      await before.close()
      const after = await again()
      expect(await after.stats()).toEqual(stats)
      await after.put([one.event])
      expect(await after.stats()).toEqual(stats)
      expect(idsOf(await after.claim(5)).sort()).toEqual([uuid(2), uuid(4)])
    })

    test('does what the model does, whatever is asked in which order', async () => {
      await fc.assert(
        fc.asyncProperty(steps, async (chosen) => {
          const clock = { at: NOW }
          const one = await make(() => clock.at)
          try {
            await compare(await one.open(), { steps: chosen, clock, expectSame: (given, expected, step) => expect(given, JSON.stringify(step)).toEqual(expected) })
          } finally {
            await one.remove()
          }
        }),
        { numRuns: sequences },
      )
    }, 120_000)
  })
}
