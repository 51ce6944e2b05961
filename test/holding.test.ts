import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createIdentity } from '../src/contact.ts'
import { ackMark } from '../src/contract.ts'
import type { TrackedEvent } from '../src/event.ts'
import { createHolding, FULL_BYTES, LEASE_MS, leftMs, REQUEST_MS, type GoneReason } from '../src/holding.ts'
import type { Outbox, Plan, StoredRecord } from '../src/outbox.ts'
import {
  ADA,
  createDevice,
  createMemoryOutbox,
  createPage,
  makeMany,
  makeNobodys,
  makeNth,
  NOON,
  numbersOf,
  peek,
  readAll,
  recordOf,
} from './support/fakes.ts'

const BOB = { id: 'u_2', email: 'bob@example.com' }

const DAY_MS = 86_400_000

beforeEach(() => void vi.useFakeTimers({ now: NOON }))
afterEach(() => void vi.useRealTimers())

/** One browser: its tabs share what is stored. */
const arrange = (outbox: Outbox = createMemoryOutbox(true)) => {
  const device = createDevice()
  const openTab = (own = outbox) => {
    const page = createPage(device)
    const identity = createIdentity(page)
    const { complete } = identity
    const verdicts = new Map<number, 'denied'>()
    identity.complete = (record) => verdicts.get(nthOf(record.event)) ?? complete(record)
    const gone: [number, GoneReason][] = []
    const listener = { hear: (_: TrackedEvent): void => {} }
    const nthOf = (event: TrackedEvent) => numbersOf([event])[0] ?? 0
    const holding = createHolding({
      outbox: own,
      page,
      identity,
      onGone: (event, reason) => {
        gone.push([nthOf(event), reason])
        listener.hear(event)
      },
    })
    const add = (event: TrackedEvent) => holding.add(recordOf(event, { epoch: identity.current().epoch }))
    const takeAll = (count = 40) => numbersOf(holding.take(count, FULL_BYTES))
    /** The answer to a request with the nth event is here. */
    const land = (nth: number, outcome: Partial<StoredRecord> | GoneReason = 'stored') => holding.land(makeNth(nth), outcome)
    const deliver = (nth: number) => {
      land(nth)
      return holding.sync(0)
    }
    return { ...holding, add, addRecord: holding.add, page, identity, verdicts, gone, listener, takeAll, land, deliver }
  }
  const spilled = () => [...device.storage].flatMap(([key, text]) => (key.startsWith('pristo_spill_') ? numbersOf(JSON.parse(text).map((record: StoredRecord) => record.event)) : []))
  const onDisk = async () => numbersOf((await peek(outbox)).map(({ event }) => event))
  /** Events that somebody left, and that anyone may take. */
  const leave = (events: TrackedEvent[], due = 0) => outbox.put(() => events.map((event) => [event.id, recordOf(event, { due })]))
  const acknowledge = (name: string, ...marks: string[]) => device.cookies.set(`pristo_ack_${name}`, marks.join(''))
  return { outbox, openTab, spilled, device, onDisk, leave, acknowledge }
}

const mark = (nth: number): string => ackMark(makeNth(nth).id)

/** A disk that fails while `fails` is set. */
const createFlaky = () => {
  const disk = createMemoryOutbox(true)
  const outbox = {
    fails: false,
    put: async (writes: Parameters<Outbox['put']>[0]) => !outbox.fails && disk.put(writes),
    edit: async (plan: Plan) => !outbox.fails && disk.edit(plan),
    leave: () => {},
  }
  return outbox
}

const settle = () => vi.advanceTimersByTimeAsync(0)

describe('a new event', () => {
  it('is held at once and written in the same task', async () => {
    const { openTab, onDisk } = arrange()
    const tab = openTab()
    expect([tab.add(makeNth(1)), tab.add(makeNth(2))]).toEqual([1, 2])
    const sent = tab.takeAll()
    await Promise.resolve() // microtasks only: no later task is needed
    expect(sent).toEqual([1, 2])
    expect(await onDisk()).toEqual([1, 2])
  })

  it('that waited in memory longer than a lease is written with a lease that begins', async () => {
    const { openTab } = arrange()
    const tab = openTab()
    tab.page.hidden = true // it is written by a timer
    tab.add(makeNth(1))
    vi.setSystemTime(Date.now() + 16_000)
    await settle()
    const other = openTab()
    await other.sync(40)
    expect([other.takeAll(), tab.takeAll()]).toEqual([[], [1]])
  })

  it('shares one write with the others of its task', async () => {
    const { outbox, openTab, onDisk } = arrange()
    const put = vi.spyOn(outbox, 'put')
    makeMany(5).forEach(openTab().add)
    await settle()
    expect([put.mock.calls.length, await onDisk()]).toEqual([1, [1, 2, 3, 4, 5]])
  })

  it('is written once: a later one does not write it again', async () => {
    const { outbox, openTab, onDisk } = arrange()
    const tab = openTab()
    tab.add(makeNth(1))
    await settle()
    await outbox.edit(() => [[makeNth(1).id, undefined]])
    tab.add(makeNth(2))
    await settle()
    expect(await onDisk()).toEqual([2])
  })

  it('is not written before the task is over where the page hides', async () => {
    const { openTab, onDisk } = arrange()
    const tab = openTab()
    tab.page.hidden = true
    tab.add(makeNth(1))
    await Promise.resolve()
    expect(await onDisk()).toEqual([])
    await settle()
    expect(await onDisk()).toEqual([1])
  })

  it('that a reset() of the same task dropped is not written', async () => {
    const { openTab, onDisk } = arrange()
    const tab = openTab()
    tab.add(makeNobodys(1))
    tab.identity.decide()
    void tab.sync(0)
    await settle()
    expect([tab.gone, await onDisk()]).toEqual([[[1, 'reset']], []])
  })

  it('without a contact waits until there is one, in memory and on disk', async () => {
    const { outbox, openTab } = arrange()
    const tab = openTab()
    tab.add(makeNobodys(1))
    tab.add(makeNth(2))
    expect([await tab.sync(40), tab.takeAll()]).toEqual([2, [2]])
    tab.identity.decide(ADA)
    await tab.sync(40)
    expect([tab.takeAll(), (await peek(outbox)).map(({ event }) => event.contact)]).toEqual([[1], [ADA, ADA]])
  })

  it('without a contact is sent in the very task that names one, where the page goes', () => {
    const tab = arrange().openTab()
    tab.add(makeNobodys(1))
    tab.identity.decide(ADA)
    tab.page.hidden = true
    expect(tab.take(40, FULL_BYTES).map(({ contact }) => contact)).toEqual([ADA])
  })

  it('without a contact waits, where the page stays, until older ones on the disk have been looked for', async () => {
    const tab = arrange().openTab()
    tab.add(makeNobodys(1))
    await settle()
    vi.advanceTimersByTime(LEASE_MS)
    tab.add(makeNobodys(2))
    tab.identity.decide(ADA)
    expect(tab.takeAll()).toEqual([])
    await tab.sync(40)
    expect(tab.takeAll()).toEqual([1, 2])
  })

  it('without a contact does not become somebody else\'s in the very task of a logout', () => {
    const tab = arrange().openTab()
    tab.add(makeNobodys(1))
    tab.identity.decide()
    tab.identity.decide(BOB)
    expect([tab.takeAll(), tab.gone]).toEqual([[], [[1, 'reset']]])
  })

  it('that is parked is not sent', async () => {
    const tab = arrange().openTab()
    tab.add(makeNth(1))
    tab.takeAll()
    tab.land(1, { due: 0, parked: true })
    expect([tab.takeAll(), await tab.sync(40), tab.takeAll()]).toEqual([[], 1, []])
  })
})

describe('a parcel', () => {
  it('holds so many events at most, oldest first, and none that flies already', () => {
    const tab = arrange().openTab()
    for (const nth of [3, 1, 5, 2, 4]) tab.add(makeNth(nth))
    expect([tab.takeAll(2), tab.takeAll(2), tab.takeAll(), tab.takeAll()]).toEqual([[1, 2], [3, 4], [5], []])
  })

  it.each([
    ['ASCII', 'x'],
    ['two bytes a character', 'é'],
    ['three bytes a character', 'ש'],
    ['four bytes a character', '😀'],
  ])('holds so many bytes at most, counted in UTF-8: %s', (_, text) => {
    const events = [1, 2, 3].map((nth) => makeNth(nth, { customFields: { text: text.repeat(20) } }))
    const bytes = events.slice(0, 2).reduce((sum, event) => sum + Buffer.byteLength(JSON.stringify(event)) + 1, 0)
    const takeWithin = (limit: number) => {
      const tab = arrange().openTab()
      events.forEach(tab.add)
      return numbersOf(tab.take(40, limit))
    }
    expect([takeWithin(bytes), takeWithin(bytes - 1), takeWithin(0)]).toEqual([[1, 2], [1], []])
  })

  it('ends at the first event that does not fit: order is kept', () => {
    const tab = arrange().openTab()
    tab.add(makeNth(1))
    tab.add(makeNth(2, { customFields: { text: 'x'.repeat(1_000) } }))
    tab.add(makeNth(3))
    expect(numbersOf(tab.take(40, 800))).toEqual([1])
  })

  it('of an event larger than any parcel is that event alone, and the queue behind it goes on', () => {
    const tab = arrange().openTab()
    tab.add(makeNth(1))
    tab.add(makeNth(2, { contact: { ...ADA, name: 'x'.repeat(FULL_BYTES) } }))
    tab.add(makeNth(3))
    expect([tab.takeAll(), tab.takeAll(), tab.takeAll()]).toEqual([[1], [2], [3]])
  })

  it('may be taken again once it has landed', () => {
    const tab = arrange().openTab()
    tab.add(makeNth(1))
    expect([tab.takeAll(), tab.takeAll()]).toEqual([[1], []])
    tab.land(1, { due: Date.now() + LEASE_MS })
    expect(tab.takeAll()).toEqual([1])
  })
})

describe('two tabs', () => {
  const arrangeTwo = async () => {
    const browser = arrange()
    const [a, b] = [browser.openTab(), browser.openTab()]
    a.add(makeNth(1))
    await settle()
    return { ...browser, a, b }
  }

  it('never take the same event, whoever asks first', async () => {
    const { a, b } = await arrangeTwo()
    expect(await b.sync(40)).toBe(1)
    expect([b.takeAll(), a.takeAll()]).toEqual([[], [1]])
  })

  it('never claim the same of what a third one left', async () => {
    const { a, b, openTab } = await arrangeTwo()
    const c = openTab()
    makeMany(9).forEach(a.add)
    await settle()
    vi.advanceTimersByTime(LEASE_MS)
    await Promise.all([b.sync(5), c.sync(40)])
    const [first, second] = [b.takeAll(), c.takeAll()]
    expect(first).toHaveLength(5)
    expect([...first, ...second]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('hand over when the lease ends, 15 s after the last sign of the first', async () => {
    const { a, b } = await arrangeTwo()
    vi.advanceTimersByTime(14_999)
    await b.sync(40)
    expect(b.takeAll()).toEqual([])
    vi.advanceTimersByTime(1)
    await b.sync(40)
    expect([b.takeAll(), a.takeAll()]).toEqual([[1], []])
    await a.sync(40)
    expect(a.takeAll()).toEqual([])
  })

  it('know that an event went, whichever of them delivered it: it is not sent and not written again', async () => {
    const { a, b, onDisk } = await arrangeTwo()
    vi.advanceTimersByTime(LEASE_MS)
    await b.sync(40)
    b.takeAll()
    await b.deliver(1)
    expect([b.gone, await onDisk()]).toEqual([[[1, 'stored']], []])
    expect([a.takeAll(), await a.sync(40), a.takeAll(), a.gone, await onDisk()]).toEqual([[], 0, [], [], []])
  })

  it('know so too where the one of them was frozen with a request on its way', async () => {
    const { a, b, onDisk } = await arrangeTwo()
    a.takeAll()
    vi.advanceTimersByTime(LEASE_MS)
    await b.sync(40)
    b.takeAll()
    await b.deliver(1)
    a.land(1, { due: Date.now() + LEASE_MS }) // it thaws: nobody answered
    expect([await a.sync(40), a.takeAll(), await onDisk()]).toEqual([0, [], []])
  })

  it('know whom the other one has named in an event: a login of somebody else does not drop it', async () => {
    const { a, b, onDisk } = await arrangeTwo()
    a.add(makeNobodys(2))
    await settle()
    b.identity.decide(ADA)
    await b.sync(0) // on disk it is hers
    a.identity.decide(BOB)
    await a.sync(40)
    expect([a.gone, a.takeAll(), await onDisk()]).toEqual([[], [1, 2], [1, 2]])
  })

  it('drop what one of them tracked without a contact before a logout in the other', async () => {
    const { a, b, onDisk } = await arrangeTwo()
    a.add(makeNobodys(2))
    await settle()
    b.identity.decide()
    await b.sync(0)
    expect([b.gone, await onDisk()]).toEqual([[[2, 'reset']], [1]])
    a.identity.decide(BOB)
    await a.sync(40)
    expect([a.takeAll(), await onDisk()]).toEqual([[1], [1]])
  })
})

describe('a lease', () => {
  it('that a claim renews holds, though what was written before is carried out after it', async () => {
    const disk = createMemoryOutbox(true)
    const { openTab, outbox } = arrange(disk)
    let carryOut = (): void => {}
    const tab = openTab({ ...disk, put: async (writes) => { // handed over at once, carried out behind an edit that is under way
      const asked = [...writes()]
      await new Promise<void>((resolve) => void (carryOut = resolve))
      return disk.put(() => asked)
    } }) // prettier-ignore
    tab.add(makeNth(1))
    await settle()
    vi.advanceTimersByTime(REQUEST_MS) // so long the disk was busy
    await tab.sync(40)
    expect(tab.takeAll()).toEqual([1])
    carryOut()
    await settle()
    expect((await peek(outbox)).map(({ due }) => due - Date.now())).toEqual([LEASE_MS])
  })

  it.each([
    [4_999, [1]],
    [5_000, []],
  ])('of 15 s is reason to send while more than a request may take is left: after %i ms %j', async (waitedMs, sent) => {
    const tab = arrange().openTab()
    tab.add(makeNth(1))
    await settle()
    vi.advanceTimersByTime(waitedMs)
    expect(tab.takeAll()).toEqual(sent)
  })

  it('is made longer by a claim', async () => {
    const { openTab } = arrange()
    const [a, b] = [openTab(), openTab()]
    a.add(makeNth(1))
    await settle()
    vi.advanceTimersByTime(10_000)
    await a.sync(40)
    vi.advanceTimersByTime(10_000)
    await b.sync(40)
    expect(b.takeAll()).toEqual([])
  })
})

describe('a claim', () => {
  it('takes over so many at most and counts all that wait', async () => {
    const { openTab, leave } = arrange()
    await leave(makeMany(5))
    const tab = openTab()
    expect([await tab.sync(2), tab.takeAll()]).toEqual([5, [1, 2]])
    expect([await tab.sync(0), tab.takeAll()]).toEqual([5, []])
  })

  it('is a lease like any: the disk has it, so that no spill does, and it ends', async () => {
    const { openTab, leave, spilled } = arrange()
    await leave([makeNth(1)])
    const tab = openTab()
    await tab.sync(40)
    tab.spill()
    vi.advanceTimersByTime(LEASE_MS)
    expect([spilled(), tab.takeAll()]).toEqual([[], []])
  })

  it('passes over what is parked and what has no contact', async () => {
    const { outbox, openTab, leave } = arrange()
    await leave([makeNobodys(1), makeNth(3)])
    await outbox.put(() => [[makeNth(2).id, recordOf(makeNth(2), { due: 0, parked: true })]])
    const tab = openTab()
    expect([await tab.sync(1), tab.takeAll()]).toEqual([3, [3]])
  })

  it('does not take what a tab holds for another hour, but takes what another clock leased for longer', async () => {
    const { openTab, leave } = arrange()
    await leave([makeNth(1)], NOON + 3_600_000)
    await leave([makeNth(2)], NOON + 3_600_001)
    const tab = openTab()
    await tab.sync(40)
    expect(tab.takeAll()).toEqual([2])
  })
})

describe('between two parcels', () => {
  /** A tab that holds so many events, after a look at the disk, where others left older or younger ones; `looks` counts what came after it. */
  const arrangeHeld = async (count: number, left: TrackedEvent[] = []) => {
    const device = arrange()
    const tab = device.openTab()
    makeMany(count).forEach(tab.add)
    await settle()
    await device.leave(left)
    await tab.sync(0)
    return { ...device, tab, looks: vi.spyOn(device.outbox, 'edit') }
  }

  it('what is held leaves and what was stored is deleted without a look at the disk', async () => {
    const { tab, looks, onDisk } = await arrangeHeld(4)
    tab.takeAll(2)
    tab.land(1)
    tab.land(2)
    expect([await tab.settle(2), looks.mock.calls.length, tab.takeAll(2)]).toEqual([2, 0, [3, 4]])
    expect(await onDisk()).toEqual([3, 4])
  })

  it('the next parcel does not wait until the disk has followed', async () => {
    const { tab, outbox } = await arrangeHeld(4)
    vi.spyOn(outbox, 'put').mockReturnValue(new Promise(() => {}))
    tab.takeAll(2)
    tab.land(1)
    tab.land(2)
    expect([await tab.settle(2), tab.takeAll(2)]).toEqual([2, [3, 4]])
  })

  it('what was deleted is not deleted again', async () => {
    const { tab, outbox } = await arrangeHeld(4)
    const put = vi.spyOn(outbox, 'put')
    for (const nth of [1, 2, 3]) {
      tab.takeAll(1)
      tab.land(nth)
      await tab.settle(1)
      await settle()
    }
    expect(put.mock.calls.map(([writes]) => [...writes()].length)).toEqual([0, 0, 0]) // asked again, there is nothing left
  })

  it('with nothing held any more the disk is looked at', async () => {
    const { tab, looks } = await arrangeHeld(1)
    tab.takeAll()
    tab.land(1)
    expect([await tab.settle(40), looks.mock.calls.length]).toEqual([0, 1])
  })

  it('an older event that the last look left comes first', async () => {
    const { tab } = await arrangeHeld(0, makeMany(12))
    await tab.sync(4)
    makeMany(20).slice(12).forEach(tab.add)
    for (const nth of tab.takeAll(4)) tab.land(nth)
    await tab.settle(2)
    expect(tab.takeAll(2)).toEqual([5, 6])
  })

  it('younger ones that were left wait for a look as long as a whole parcel is held', async () => {
    const { tab, looks } = await arrangeHeld(0, makeMany(12))
    await tab.sync(6)
    tab.takeAll(2).forEach((nth) => tab.land(nth))
    expect([await tab.settle(2), looks.mock.calls.length]).toEqual([10, 1]) // that of `sync()`
    tab.takeAll(2).forEach((nth) => tab.land(nth))
    await tab.settle(3)
    expect([looks.mock.calls.length, tab.takeAll(3)]).toEqual([2, [5, 6, 7]])
  })

  it('a lease that may end within a request is made longer first: no younger event overtakes', async () => {
    const { tab, onDisk } = await arrangeHeld(2)
    vi.advanceTimersByTime(5_000)
    tab.add(makeNth(3))
    await settle()
    tab.takeAll(0)
    await tab.settle(40)
    expect([tab.takeAll(), await onDisk()]).toEqual([[1, 2, 3], [1, 2, 3]])
  })

  it('an event that was named since waits for a look, where older ones may wait for the same contact', async () => {
    const { tab, looks } = await arrangeHeld(2)
    tab.add(makeNobodys(3))
    tab.identity.decide(ADA)
    await tab.settle(40)
    expect(looks).toHaveBeenCalled()
  })

  it('a page out of sight looks, and spills what the disk has not confirmed', async () => {
    const { tab, looks } = await arrangeHeld(2)
    tab.page.hidden = true
    await tab.settle(40)
    expect(looks).toHaveBeenCalledTimes(1)
  })

  it('a denial is carried out by a look', async () => {
    const { tab, onDisk } = await arrangeHeld(2)
    tab.identity.forget()
    await tab.settle(40)
    expect(await onDisk()).toEqual([])
  })

  it('an ack of this tab is cleared, and one that names anything else stays for the next look', async () => {
    const { tab, device, acknowledge } = await arrangeHeld(4)
    tab.takeAll(2)
    acknowledge('own', mark(1), mark(2))
    acknowledge('other', mark(1), mark(9))
    tab.land(1)
    tab.land(2)
    await tab.settle(2)
    await settle()
    expect([...device.cookies.keys()]).toEqual(['pristo_ack_other'])
  })

  it('acks stay as long as somebody looks for one', async () => {
    const { tab, device, acknowledge } = await arrangeHeld(4)
    tab.takeAll(2)
    acknowledge('own', mark(1))
    tab.page.mark('pristo_ack_held', 15)
    tab.land(1)
    await tab.settle(2)
    await settle()
    expect([...device.cookies.keys()]).toContain('pristo_ack_own')
  })

  it('a disk that fails by then leaves all in memory, and the ack', async () => {
    const disk = createFlaky()
    const { openTab, acknowledge, device } = arrange(disk)
    const tab = openTab()
    makeMany(4).forEach(tab.add)
    await settle()
    await tab.sync(0)
    tab.takeAll(2)
    acknowledge('own', mark(1))
    tab.land(1)
    disk.fails = true
    expect([await tab.settle(2), tab.takeAll(), [...device.cookies.keys()]]).toEqual([3, [3, 4], ['pristo_ack_own']])
  })
})

describe('while the disk answers', () => {
  /** The plan of a sync is carried out, and nobody knows it yet. */
  const arrangeSlow = async () => {
    let answer = (): void => {}
    const disk = createMemoryOutbox(true)
    const edit = async (plan: Plan) => {
      await disk.edit(plan)
      return new Promise<boolean>((resolve) => void (answer = () => resolve(true)))
    }
    const { openTab, spilled } = arrange(disk)
    const tab = openTab({ ...disk, edit })
    tab.add(makeNth(1))
    await settle()
    vi.advanceTimersByTime(LEASE_MS - 1)
    const synced = tab.sync(40)
    await settle()
    const finish = () => {
      answer()
      return synced
    }
    return { ...tab, spilled, finish }
  }

  it('what is delivered does not come back', async () => {
    const { land, finish, takeAll } = await arrangeSlow()
    land(1)
    await finish()
    expect(takeAll()).toEqual([])
  })

  it('what lands keeps what it landed with', async () => {
    const { land, finish, spill, spilled } = await arrangeSlow()
    land(1, { due: NOON + 60_000 })
    await finish()
    spill()
    expect(spilled()).toEqual([1])
  })
})

describe('the time until something is due', () => {
  it.each([
    ['past', -1, 0],
    ['now', 0, 0],
    ['soon', 1, 1],
    ['as far away as anything waits', 3_600_000, 3_600_000],
    ['further away than anything waits', 3_600_001, 0],
  ])('that is %s: %i ms are %i', (_, ms, left) => {
    expect(leftMs(NOON + ms)).toBe(left)
  })

  it.each([
    ['forward by an hour', 3_600_000, 0],
    ['back by ten minutes', -600_000, 615_000],
    ['back by an hour', -3_600_000, 0],
  ])('is known after the clock was set %s', (_, shift, left) => {
    const due = Date.now() + LEASE_MS
    vi.setSystemTime(NOON + shift)
    expect(leftMs(due)).toBe(left)
  })
})

describe('what is gone', () => {
  it('leaves memory and disk by id, and is told with its reason', async () => {
    const { openTab, onDisk } = arrange()
    const tab = openTab()
    makeMany(4).forEach(tab.add)
    await settle()
    tab.land(2)
    tab.land(3, 'rejected')
    tab.verdicts.set(4, 'denied')
    await tab.sync(0)
    expect(tab.gone).toEqual([[2, 'stored'], [3, 'rejected'], [4, 'denied']])
    expect([await onDisk(), tab.takeAll()]).toEqual([[1], [1]])
  })

  it('is gone at once for this tab, before the disk has answered', () => {
    const tab = arrange().openTab()
    tab.add(makeNth(1))
    tab.land(1)
    expect([tab.gone, tab.takeAll()]).toEqual([[[1, 'stored']], []])
  })

  it('is told once, whatever is heard of it later', async () => {
    const { openTab, onDisk } = arrange()
    const tab = openTab()
    tab.add(makeNth(1))
    tab.takeAll()
    tab.verdicts.set(1, 'denied')
    await tab.sync(0)
    await tab.deliver(1)
    tab.land(1, { due: Date.now() + LEASE_MS })
    expect([tab.gone, await tab.sync(40), tab.takeAll(), await onDisk()]).toEqual([[[1, 'denied']], 0, [], []])
  })

  it('goes also while it flies: a refused consent does not wait for the answer', async () => {
    const { openTab, onDisk } = arrange()
    const tab = openTab()
    tab.add(makeNth(1))
    tab.takeAll()
    await settle()
    tab.verdicts.set(1, 'denied')
    expect([await tab.sync(0), tab.gone, await onDisk()]).toEqual([0, [[1, 'denied']], []])
  })

  it('is not brought back by the disk of another tab, nor by a spill', async () => {
    const { openTab, leave, onDisk, device } = arrange()
    const tab = openTab()
    tab.add(makeNth(1))
    await tab.deliver(1)
    await leave([makeNth(1)])
    device.storage.set('pristo_spill_1', JSON.stringify([recordOf(makeNth(1))]))
    expect([await tab.sync(40), tab.takeAll(), tab.gone, await onDisk()]).toEqual([0, [], [[1, 'stored']], []])
  })

  describe('and whoever hears of it', () => {
    it('may track() and reset() at once: the event does not come back, and the new one is kept', async () => {
      const { openTab, onDisk } = arrange()
      const tab = openTab()
      tab.listener.hear = () => {
        tab.listener.hear = () => {}
        tab.identity.decide()
        void tab.sync(0)
        tab.add(makeNth(2))
      }
      tab.add(makeNth(1))
      await tab.deliver(1)
      await settle()
      expect([await onDisk(), tab.takeAll(), tab.gone]).toEqual([[2], [2], [[1, 'stored']]])
    })

    it('may do so while the disk is read', async () => {
      const { openTab, leave, acknowledge, onDisk } = arrange()
      await leave(makeMany(2))
      acknowledge('x', mark(1))
      const tab = openTab()
      tab.listener.hear = () => {
        tab.listener.hear = () => {}
        tab.identity.decide()
        void tab.sync(0)
        tab.add(makeNth(3))
      }
      await tab.sync(40)
      await settle()
      expect([await onDisk(), tab.takeAll(), tab.gone]).toEqual([[2, 3], [2, 3], [[1, 'stored']]])
    })
  })
})

describe('an ack cookie', () => {
  it('is read before anything is claimed: what it names is stored, and leaves the disk', async () => {
    const { openTab, leave, acknowledge, onDisk, device } = arrange()
    await leave(makeMany(4))
    acknowledge('000000001', mark(1), mark(3))
    acknowledge('000000004', mark(4))
    const tab = openTab()
    expect([await tab.sync(40), tab.takeAll(), tab.gone]).toEqual([1, [2], [[1, 'stored'], [3, 'stored'], [4, 'stored']]])
    expect([await onDisk(), device.cookies.size]).toEqual([[2], 0])
  })

  it('speaks of what this page sent, too', async () => {
    const { openTab, acknowledge } = arrange()
    const tab = openTab()
    makeMany(2).forEach(tab.add)
    acknowledge('x', mark(2))
    await tab.sync(40)
    expect([tab.takeAll(), tab.gone]).toEqual([[1], [[2, 'stored']]])
  })

  it('names the last 9 digits of an id', () => {
    expect(ackMark('01980000-0000-7000-8000-123456789abc')).toBe('456789abc')
  })

  it.each([
    ['across two marks', 'pristo_ack_x', 'a00000000' + '1bbbbbbbb'],
    ['at the end, cut off', 'pristo_ack_x', '00000000'],
    ['shifted by a digit', 'pristo_ack_x', '0000000001'],
    ['in its own name', 'pristo_ack_000000001', '000000009'],
    ['and is another cookie', 'other', '000000001'],
  ])('does not name an event whose digits stand %s', async (_, name, value) => {
    const { openTab, leave, device } = arrange()
    await leave([makeNth(1)])
    device.cookies.set(name, value)
    const tab = openTab()
    await tab.sync(40)
    expect([tab.takeAll(), tab.gone]).toEqual([[1], []])
  })

  it('that is another cookie is left alone', async () => {
    const { openTab, device } = arrange()
    device.cookies.set('session', 'pristo')
    await openTab().sync(40)
    expect(device.cookies.size).toBe(1)
  })

  it('is cleared only when the disk has taken what it says', async () => {
    const flaky = createFlaky()
    const { openTab, leave, acknowledge, device, onDisk } = arrange(flaky)
    await leave([makeNth(1)])
    acknowledge('x', mark(1))
    flaky.fails = true
    await openTab().sync(40)
    expect(device.cookies.size).toBe(1)
    flaky.fails = false
    const next = openTab()
    await next.sync(40)
    expect([next.takeAll(), next.gone, await onDisk(), device.cookies.size]).toEqual([[], [[1, 'stored']], [], 0])
  })

  it('of an event that a slow disk may yet store is left for the page that finds it there', async () => {
    const disk = createMemoryOutbox(true)
    const late: (() => Promise<unknown>)[] = []
    const put: Outbox['put'] = async (writes) => {
      const asked = [...writes()]
      late.push(() => disk.put(() => asked))
      return false
    }
    const { openTab, acknowledge, onDisk } = arrange(disk)
    const tab = openTab({ ...disk, put, edit: async () => false })
    tab.add(makeNth(1))
    await settle()
    tab.takeAll()
    acknowledge('x', mark(1))
    await tab.deliver(1)
    for (const store of late) await store()
    expect(await onDisk()).toEqual([1])
    vi.advanceTimersByTime(LEASE_MS)
    const next = openTab()
    await next.sync(40)
    expect([next.takeAll(), next.gone, await onDisk()]).toEqual([[], [[1, 'stored']], []])
  })

  it('of those that a failing disk leaves the five youngest stay: they ride on every request of the site', async () => {
    const { openTab, acknowledge, device } = arrange(createFlaky())
    const tab = openTab({ ...createMemoryOutbox(false), put: async (writes) => { void [...writes()]; return false } })
    makeMany(7).forEach(tab.add)
    await settle()
    tab.takeAll()
    for (let nth = 1; nth <= 7; nth++) acknowledge(mark(nth), mark(nth))
    await tab.deliver(1)
    expect([...device.cookies.values()]).toEqual([3, 4, 5, 6, 7].map(mark))
  })

  it('of events that never were on a disk is cleared where there is none: cookies do not pile up', async () => {
    const { openTab, acknowledge, device } = arrange(createMemoryOutbox(false))
    const tab = openTab()
    tab.add(makeNth(1))
    await tab.sync(40)
    tab.takeAll()
    acknowledge(mark(1), mark(1))
    await tab.deliver(1)
    expect(device.cookies.size).toBe(0)
  })

  it('of an event that was on a disk, which died since, is left for the page that can read it', async () => {
    const flaky = createFlaky()
    const { openTab, acknowledge, device, onDisk } = arrange(flaky)
    const tab = openTab()
    tab.add(makeNth(1))
    await settle()
    tab.takeAll()
    flaky.fails = true
    acknowledge(mark(1), mark(1))
    await tab.deliver(1)
    expect(device.cookies.size).toBe(1)
    flaky.fails = false
    vi.advanceTimersByTime(LEASE_MS)
    const next = openTab()
    await next.sync(40)
    expect([next.takeAll(), next.gone, await onDisk()]).toEqual([[], [[1, 'stored']], []])
  })

  it('of a batch that this tab was answered for is cleared at once', async () => {
    const { openTab, acknowledge, device, onDisk } = arrange()
    const tab = openTab()
    tab.add(makeNth(1))
    await settle()
    tab.takeAll()
    acknowledge(mark(1), mark(1))
    await tab.deliver(1)
    expect([await onDisk(), device.cookies.size]).toEqual([[], 0])
  })

  it('is read when the page goes: what a beacon brought does not leave again', async () => {
    const { openTab, acknowledge } = arrange()
    const tab = openTab()
    tab.add(makeNth(1))
    tab.add(makeNth(2))
    await settle()
    tab.takeAll()
    tab.land(1, { due: Date.now() + LEASE_MS }) // nobody answered
    tab.land(2, { due: Date.now() + LEASE_MS })
    acknowledge('x', mark(1))
    tab.page.gone = true
    expect(tab.takeAll()).toEqual([2])
  })

  it('stays for the tab that sent it, also where this one had it before', async () => {
    const { openTab, acknowledge, device } = arrange()
    const tab = openTab()
    tab.add(makeNth(1))
    await settle()
    vi.advanceTimersByTime(LEASE_MS)
    const sender = openTab()
    await sender.sync(40)
    expect(sender.takeAll()).toEqual([1])
    acknowledge('x', mark(1))
    await tab.sync(40)
    expect([tab.gone, device.cookies.has('pristo_ack_x')]).toEqual([[[1, 'stored']], true])
    await sender.sync(40)
    expect([sender.gone, sender.takeAll()]).toEqual([[[1, 'stored']], []])
  })

  it('stays for it though another one has told the disk, and a third one knows of nothing', async () => {
    const { openTab, acknowledge, onDisk, device } = arrange()
    const sender = openTab()
    sender.add(makeNth(1))
    await settle()
    expect(sender.takeAll()).toEqual([1])
    acknowledge('x', mark(1))
    await openTab().sync(40)
    expect(await onDisk()).toEqual([])
    const third = openTab()
    await third.sync(40)
    sender.land(1, { due: Date.now() + LEASE_MS }) // nobody answered
    await sender.sync(40)
    expect([sender.gone, sender.takeAll()]).toEqual([[[1, 'stored']], []])
    vi.advanceTimersByTime(LEASE_MS)
    await third.sync(40)
    expect(device.cookies.size).toBe(0)
  })

  it('of an event that this tab found on a disk which refuses to forget it is left for the page that finds it there', async () => {
    const disk = createMemoryOutbox(true)
    const { openTab, leave, acknowledge, device } = arrange(disk)
    await leave([makeNth(1)])
    acknowledge(mark(1), mark(1))
    const tab = openTab({ ...disk, edit: async (plan) => { plan(await readAll(disk)); return false } }) // quota: what it wrote is taken back
    await tab.sync(40)
    expect([tab.gone, device.cookies.size]).toEqual([[[1, 'stored']], 1])
  })

  it('is left to the next page by one that is gone, which could not tell the disk', async () => {
    const flaky = createFlaky()
    const { openTab, acknowledge, device, onDisk } = arrange(flaky)
    const tab = openTab()
    tab.add(makeNth(1))
    await settle()
    tab.takeAll()
    tab.page.gone = true
    flaky.fails = true
    acknowledge(mark(1), mark(1))
    await tab.deliver(1)
    expect(device.cookies.size).toBe(1)
    flaky.fails = false
    const next = openTab()
    await next.sync(40)
    expect([next.gone, await onDisk(), device.cookies.has(`pristo_ack_${mark(1)}`)]).toEqual([[[1, 'stored']], [], true])
    vi.advanceTimersByTime(LEASE_MS) // until then the page that sent it may live and look for its answer
    await next.sync(40)
    expect(device.cookies.size).toBe(0)
  })
})

describe('over 1000 events', () => {
  it('the oldest are given up', async () => {
    const { openTab, leave, onDisk } = arrange()
    await leave(makeMany(1_003))
    const tab = openTab()
    expect(await tab.sync(40)).toBe(1_000)
    expect([tab.gone, tab.takeAll()[0], (await onDisk())[0]]).toEqual([[[1, 'full'], [2, 'full'], [3, 'full']], 4, 4])
  })

  it('the oldest of this tab are given up, waiting for a contact or parked as they may be', async () => {
    const { openTab, leave } = arrange()
    await leave(makeMany(1_003).slice(3))
    const tab = openTab()
    tab.add(makeNobodys(1))
    tab.add(makeNth(2))
    tab.add(makeNth(3))
    tab.land(2, { due: 0, parked: true })
    await tab.sync(0)
    expect(tab.gone).toEqual([[1, 'full'], [2, 'full'], [3, 'full']])
  })

  it('those that fly are spared', async () => {
    const { openTab, leave } = arrange()
    const tab = openTab()
    makeMany(2).forEach(tab.add)
    tab.takeAll()
    await leave(makeMany(1_003).slice(2))
    await tab.sync(0)
    expect(tab.gone).toEqual([[3, 'full'], [4, 'full'], [5, 'full']])
  })

  it('those that another tab holds are spared', async () => {
    const { openTab, leave, onDisk } = arrange()
    makeMany(2).forEach(openTab().add)
    await leave(makeMany(1_003).slice(2))
    const tab = openTab()
    await tab.sync(0)
    expect([tab.gone, (await onDisk()).slice(0, 3)]).toEqual([[[3, 'full'], [4, 'full'], [5, 'full']], [1, 2, 6]])
  })

  it('1000 are kept', async () => {
    const { openTab, leave } = arrange()
    await leave(makeMany(1_000))
    const tab = openTab()
    expect([await tab.sync(0), tab.gone]).toEqual([1_000, []])
  })

  it('the oldest go although they wait for a far retry that another page was told to make: the newest stay', async () => {
    const { outbox, openTab } = arrange()
    const far = makeMany(1_000).map((event) => ({ event, due: NOON + 3_000_000, epoch: NOON }))
    await outbox.put(() => far.map((record) => [record.event.id, record]))
    const tab = openTab()
    for (const event of makeMany(1_003).slice(1_000)) tab.add(event)
    await tab.sync(0)
    expect(tab.gone).toEqual([[1, 'full'], [2, 'full'], [3, 'full']])
  })

  it('those that were delivered do not count: nothing is given up for them', async () => {
    const { openTab, leave, acknowledge } = arrange()
    await leave(makeMany(1_005))
    acknowledge('x', ...makeMany(40).map(({ id }) => ackMark(id)))
    const tab = openTab()
    await tab.sync(0)
    expect(tab.gone.filter(([, reason]) => reason === 'full')).toEqual([])
  })
})

describe('after 7 days', () => {
  const old = (nth: number, ms = 7 * DAY_MS + 1) => makeNth(nth, { occurredAt: new Date(NOON - ms).toISOString() })

  it('an event is given up, and not before', async () => {
    const { openTab, leave, onDisk } = arrange()
    await leave([old(1), old(2, 7 * DAY_MS), makeNth(3)])
    const tab = openTab()
    await tab.sync(40)
    expect([tab.gone, await onDisk(), tab.takeAll()]).toEqual([[[1, 'expired']], [2, 3], [2, 3]])
  })

  it('an event that flies, or that another tab holds, is spared', async () => {
    const { openTab, onDisk } = arrange()
    const [a, b] = [openTab(), openTab()]
    a.add(old(1))
    b.add(old(2))
    b.takeAll()
    await settle()
    await b.sync(40)
    expect([b.gone, await onDisk()]).toEqual([[], [1, 2]])
  })

  it('an event that an ack cookie names was stored', async () => {
    const { openTab, leave, acknowledge } = arrange()
    await leave([old(1)])
    acknowledge('x', mark(1))
    const tab = openTab()
    await tab.sync(40)
    expect(tab.gone).toEqual([[1, 'stored']])
  })
})

describe('a spill', () => {
  /** A page that hides before the disk has confirmed anything. */
  const hide = (browser: ReturnType<typeof arrange>, count = 1) => {
    const tab = browser.openTab(createMemoryOutbox(false))
    tab.page.hidden = true
    makeMany(count).forEach(tab.add)
    tab.spill()
    return tab
  }

  it('is written at once', () => {
    const browser = arrange()
    hide(browser, 2)
    expect(browser.spilled()).toEqual([1, 2])
  })

  it('is not written where there is nothing to say', () => {
    const browser = arrange()
    hide(browser, 0)
    expect(browser.device.storage.size).toBe(0)
  })

  it('is put into the outbox by the next page, once', async () => {
    const browser = arrange()
    hide(browser, 2)
    const next = browser.openTab()
    expect(await next.sync(40)).toBe(2)
    expect([await browser.onDisk(), browser.spilled(), next.takeAll()]).toEqual([[1, 2], [], []])
    vi.advanceTimersByTime(LEASE_MS)
    await next.sync(40)
    expect([next.takeAll(), next.takeAll()]).toEqual([[1, 2], []])
  })

  it('does not take the place of what the disk has', async () => {
    const browser = arrange()
    hide(browser)
    await browser.leave([makeNth(1)], NOON + 99_000)
    await browser.openTab().sync(40)
    expect(await peek(browser.outbox)).toEqual([recordOf(makeNth(1), { due: NOON + 99_000 })])
  })

  it('of a page that lives on does not bring back what was delivered', async () => {
    const browser = arrange()
    const tab = browser.openTab()
    tab.add(makeNth(1))
    tab.add(makeNth(2))
    tab.page.hidden = true
    tab.spill()
    expect(browser.spilled()).toEqual([1, 2])
    await tab.deliver(1)
    tab.page.hidden = false
    await tab.deliver(2)
    expect([browser.spilled(), await browser.openTab().sync(40)]).toEqual([[], 0])
  })

  it('holds only what the disk has not confirmed', async () => {
    const browser = arrange()
    const tab = browser.openTab()
    tab.add(makeNth(1))
    await settle()
    tab.add(makeNth(2))
    tab.spill()
    expect(browser.spilled()).toEqual([2])
  })

  it('holds what has changed since the disk had it', async () => {
    const browser = arrange()
    const tab = browser.openTab()
    tab.add(makeNth(1))
    tab.takeAll()
    await settle()
    tab.land(1, { due: NOON + 20_000 })
    tab.spill()
    expect(browser.spilled()).toEqual([1])
  })

  it('holds nothing that another tab may have taken over', async () => {
    const browser = arrange()
    const tab = browser.openTab()
    tab.add(makeNth(1))
    await settle()
    vi.advanceTimersByTime(LEASE_MS)
    tab.spill()
    expect(browser.spilled()).toEqual([])
  })

  it('of one hide leaves that of another alone, and that of another tab', () => {
    const browser = arrange()
    hide(browser).spill()
    hide(browser)
    expect(browser.device.storage.size).toBe(3)
  })

  it('of a page that is only hidden leaves its events with it', async () => {
    const tab = hide(arrange())
    expect(tab.takeAll()).toEqual([1])
  })

  it('of a page that is gone gives its events away: should it come back, it finds them where any other does', async () => {
    const browser = arrange()
    const tab = browser.openTab()
    tab.page.gone = true
    tab.add(makeNth(1))
    tab.spill()
    tab.page.gone = false
    expect([tab.takeAll(), browser.spilled()]).toEqual([[], [1]])
    const other = browser.openTab()
    vi.advanceTimersByTime(LEASE_MS)
    await other.sync(40)
    await tab.sync(40)
    expect([other.takeAll(), tab.takeAll()]).toEqual([[1], []])
  })

  it('of a page that is gone is the next one\'s to send at once, but for what flies: its lease counts', async () => {
    const browser = arrange(createMemoryOutbox(true))
    const tab = browser.openTab(createMemoryOutbox(false))
    tab.add(makeNth(1))
    tab.takeAll()
    tab.add(makeNth(2))
    tab.page.gone = true
    tab.spill()
    const next = browser.openTab()
    await next.sync(40)
    expect(next.takeAll()).toEqual([2])
    vi.advanceTimersByTime(LEASE_MS)
    const last = browser.openTab()
    await last.sync(1)
    expect(last.takeAll()).toEqual([1])
  })

  it('for which there is no room leaves the events of a page that is gone where they are', () => {
    const tab = arrange().openTab()
    tab.page.gone = true
    tab.page.full = true
    tab.add(makeNth(1))
    tab.spill()
    expect(tab.takeAll()).toEqual([1])
  })

  it('that no disk takes is held, and is spilled again where the page is out of sight', async () => {
    const browser = arrange(createMemoryOutbox(false))
    hide(browser, 2)
    vi.advanceTimersByTime(LEASE_MS)
    const next = browser.openTab()
    expect([await next.sync(40), browser.spilled()]).toEqual([2, []])
    next.page.gone = true
    await next.sync(0)
    expect(browser.spilled()).toEqual([1, 2])
  })

  it('of an event that an ack cookie names brings back nothing', async () => {
    const browser = arrange()
    hide(browser, 2)
    browser.acknowledge('x', mark(1))
    const next = browser.openTab()
    await next.sync(40)
    expect([next.gone, await browser.onDisk()]).toEqual([[[1, 'stored']], [2]])
  })

  it('of an event without a contact that is older than a logout brings back nothing', async () => {
    const browser = arrange()
    const tab = browser.openTab()
    tab.page.gone = true
    tab.add(makeNobodys(1))
    tab.spill()
    browser.openTab().identity.decide()
    const next = browser.openTab()
    next.identity.decide(BOB)
    await next.sync(40)
    expect([next.gone, await browser.onDisk()]).toEqual([[[1, 'reset']], []])
  })
})

describe('a spill of a tab that lives', () => {
  const hideOne = () => {
    const browser = arrange(createMemoryOutbox(false))
    const tab = browser.openTab()
    tab.page.hidden = true
    tab.add(makeNth(1))
    tab.takeAll()
    tab.spill()
    return { ...browser, tab }
  }

  it('is not sent by another one in its lease where there is no disk, and stays for whoever comes after it', async () => {
    const { openTab, spilled } = hideOne()
    const other = openTab()
    await other.sync(40)
    expect([other.takeAll(), spilled()]).toEqual([[], [1]])
    vi.advanceTimersByTime(LEASE_MS)
    await other.sync(40)
    expect([other.takeAll(), spilled()]).toEqual([[1], []])
  })

  it('is that tab’s for its lease only: afterwards another one may have sent it', async () => {
    const { tab, openTab } = hideOne()
    tab.land(1, { due: Date.now() })
    tab.spill()
    vi.advanceTimersByTime(LEASE_MS)
    const other = openTab()
    await other.sync(40)
    tab.page.hidden = false
    expect([other.takeAll(), tab.takeAll()]).toEqual([[1], []])
  })

  it('is replaced by that tab’s next one: they do not pile up where there is no disk', async () => {
    const { tab, device } = hideOne()
    for (let look = 0; look < 3; look++) await tab.sync(40)
    expect(device.storage.size).toBe(1)
    await tab.deliver(1)
    expect(device.storage.size).toBe(0)
  })
})

describe('a denial', () => {
  /** A tab with an event on a disk that fails from then on, and says no. */
  const deny = async () => {
    const flaky = createFlaky()
    const browser = arrange(flaky)
    const tab = browser.openTab()
    tab.identity.decide(ADA)
    tab.add(makeNth(1))
    await tab.sync(0)
    await settle()
    flaky.fails = true
    vi.advanceTimersByTime(1)
    tab.identity.forget()
    await tab.sync(0)
    return { ...browser, tab, flaky }
  }

  it('that the disk takes leaves nothing', async () => {
    const { tab, flaky, outbox, device } = await deny()
    flaky.fails = false
    await tab.sync(0)
    tab.page.gone = true
    tab.spill()
    expect([await readAll(outbox), device.storage.size]).toEqual([[], 0])
  })

  it('that no disk has taken when the page goes is carried out by the next page', async () => {
    const { tab, flaky, openTab, outbox, device } = await deny()
    tab.page.hidden = true // on a phone it may be killed like this
    for (let look = 0; look < 3; look++) await tab.sync(0)
    expect(device.storage.size).toBe(1)
    flaky.fails = false
    const next = openTab()
    next.addRecord(recordOf(makeNth(2), { epoch: Date.now() + 1 }))
    await next.sync(40)
    expect([next.takeAll(), next.gone, next.identity.current().contact]).toEqual([[2], [[1, 'denied']], undefined])
    expect([numbersOf((await peek(outbox)).map(({ event }) => event)), (await readAll(outbox)).length, device.storage.size]).toEqual([[2], 1, 0]) // no mirror either
  })

  it('is over once the disk has it: what another page tracks by a clock that was set back is not denied', async () => {
    const { tab, flaky, openTab, onDisk } = await deny()
    flaky.fails = false
    await tab.sync(0)
    vi.setSystemTime(NOON - 60_000)
    const next = openTab()
    next.addRecord(recordOf(makeNth(2), { epoch: Date.now() }))
    await settle()
    await tab.sync(0)
    expect([tab.gone, await onDisk()]).toEqual([[[1, 'denied']], [2]])
  })

  it('erases the acks of that moment, and not those of what another tab sends later', async () => {
    const { tab, flaky, acknowledge, device } = await deny()
    acknowledge('x', mark(9))
    await tab.sync(0)
    expect(device.cookies.size).toBe(0)
    flaky.fails = false
    await tab.sync(0)
    flaky.fails = true
    acknowledge('x', mark(9))
    await tab.sync(0)
    expect(device.cookies.size).toBe(1)
  })

  it('that two pages in a row could not tell the disk is carried out by the third', async () => {
    const { tab, flaky, openTab, onDisk } = await deny()
    tab.page.gone = true
    tab.spill()
    await openTab().sync(40) // and is killed
    flaky.fails = false
    const third = openTab()
    await third.sync(40)
    expect([third.takeAll(), third.gone, await onDisk()]).toEqual([[], [[1, 'denied']], []])
  })
})

describe('a disk that had an event and fails', () => {
  it('may have lost it: it is spilled when the page goes', async () => {
    const flaky = createFlaky()
    const { openTab, spilled } = arrange(flaky)
    const tab = openTab()
    tab.add(makeNobodys(1))
    await tab.sync(0)
    tab.page.gone = true
    tab.spill()
    expect(spilled()).toEqual([])
    tab.page.gone = false
    flaky.fails = true
    await tab.sync(0)
    tab.page.gone = true
    tab.spill()
    expect(spilled()).toEqual([1])
  })
})

describe('an event that is named in memory', () => {
  it('is not this tab’s for longer than its lease on the disk, where another one may have taken it over', async () => {
    const { openTab } = arrange()
    const tab = openTab()
    tab.add(makeNobodys(1))
    await settle()
    vi.advanceTimersByTime(LEASE_MS - 100)
    const other = openTab()
    other.identity.decide(ADA)
    tab.identity.current()
    expect(tab.takeAll()).toEqual([]) // named, and its lease is as good as over
    vi.advanceTimersByTime(100)
    await other.sync(40)
    expect(other.takeAll()).toEqual([1])
    tab.page.gone = true
    expect(tab.takeAll()).toEqual([])
    tab.spill()
    tab.page.gone = false
    await other.deliver(1)
    await tab.sync(40)
    expect([tab.takeAll(), tab.gone]).toEqual([[], []])
  })
})

describe('a consent that goes back to pending', () => {
  it('leaves what is on disk to the disk, also where somebody is named since; what never was there stays in memory', async () => {
    const disk = createMemoryOutbox(true)
    let mayStore = true
    const { openTab, onDisk } = arrange(disk)
    const tab = openTab({ ...disk, edit: async (plan) => (mayStore ? disk.edit(plan) : undefined), put: async (writes) => (mayStore ? disk.put(writes) : undefined) })
    tab.add(makeNobodys(1))
    await settle()
    mayStore = false
    await tab.sync(0)
    tab.add(makeNobodys(2))
    tab.identity.decide(ADA)
    await tab.sync(0)
    expect(tab.takeAll()).toEqual([2])
    mayStore = true
    vi.advanceTimersByTime(LEASE_MS)
    await tab.sync(40)
    expect([tab.takeAll(), await onDisk()]).toEqual([[1], [1, 2]])
  })
})

describe('a tab that finds nothing to change', () => {
  it('writes nothing: neither what others hold, nor what it holds for long enough, nor the visitor', async () => {
    const disk = createMemoryOutbox(true)
    const writes: string[] = []
    const edit = (plan: Plan) =>
      disk.edit((stored) => {
        const planned = [...plan(stored)]
        writes.push(...planned.map(([key]) => key))
        return planned
      })
    const { openTab, leave } = arrange(disk)
    await leave([makeNth(2)], NOON + 12_000)
    const tab = openTab({ ...disk, edit })
    tab.identity.decide(ADA)
    tab.add(makeNth(1))
    await settle()
    await tab.sync(40)
    expect(writes).toEqual(['visitor'])
    await tab.sync(40)
    expect(writes).toEqual(['visitor'])
  })
})

describe('the visitor', () => {
  const mirrorOf = async (outbox: Outbox) => (await readAll(outbox)).filter((one) => 'rev' in one)

  it('is mirrored among the events, and comes back where localStorage lost them', async () => {
    const { outbox, openTab, device } = arrange()
    const tab = openTab()
    tab.identity.decide(ADA)
    await tab.sync(0)
    expect(await mirrorOf(outbox)).toEqual([tab.identity.current()])
    device.storage.clear()
    const next = openTab()
    next.add(makeNobodys(1))
    await next.sync(40)
    expect([next.identity.current().contact, next.takeAll()]).toEqual([ADA, [1]])
  })

  it('is mirrored anew after each decision: a logout is not undone by the mirror', async () => {
    const { openTab, device } = arrange()
    const tab = openTab()
    tab.identity.decide(ADA)
    await tab.sync(0)
    tab.identity.decide()
    await tab.sync(0)
    device.storage.clear()
    const next = openTab()
    await next.sync(0)
    expect(next.identity.current().contact).toBeUndefined()
  })

  it('named while localStorage was denied is written there once it is not, since the mirror may be deleted', async () => {
    const { openTab, outbox } = arrange()
    const tab = openTab()
    tab.identity.decide(ADA)
    tab.page.full = true
    tab.identity.decide(BOB)
    await tab.sync(0)
    tab.page.full = false
    await tab.sync(0)
    await outbox.edit(() => [['visitor', undefined]])
    const next = openTab()
    await next.sync(0)
    expect(next.identity.current().contact).toEqual(BOB)
  })

  it('who was forgotten is in the mirror no more', async () => {
    const { outbox, openTab } = arrange()
    const tab = openTab()
    tab.identity.decide(ADA)
    await tab.sync(0)
    tab.identity.forget()
    await tab.sync(0)
    expect([await mirrorOf(outbox), tab.identity.current().contact]).toEqual([[], undefined])
  })

  it('is no event: nothing of it waits or is sent', async () => {
    const { openTab } = arrange()
    const tab = openTab()
    tab.identity.decide(ADA)
    await tab.sync(0)
    expect([await tab.sync(40), tab.takeAll()]).toEqual([0, []])
  })
})

describe('where the disk fails', () => {
  it('events are taken from memory, however long they waited', async () => {
    const tab = arrange(createMemoryOutbox(false)).openTab()
    tab.add(makeNth(1))
    await settle()
    vi.advanceTimersByTime(3_600_000)
    expect([await tab.sync(40), tab.takeAll()]).toEqual([1, [1]])
    await tab.deliver(1)
    expect([tab.gone, await tab.sync(40), tab.takeAll()]).toEqual([[[1, 'stored']], 0, []])
  })

  it('after it had worked, what it had is taken from memory as well', async () => {
    const flaky = createFlaky()
    const tab = arrange(flaky).openTab()
    tab.add(makeNth(1))
    await settle()
    flaky.fails = true
    vi.advanceTimersByTime(LEASE_MS)
    await tab.sync(40)
    expect(tab.takeAll()).toEqual([1])
  })

  it('for a while, it gets what memory holds when it works again', async () => {
    const flaky = createFlaky()
    const { openTab, onDisk } = arrange(flaky)
    const tab = openTab()
    flaky.fails = true
    makeMany(2).forEach(tab.add)
    await tab.deliver(1)
    flaky.fails = false
    await tab.sync(0)
    expect(await onDisk()).toEqual([2])
  })

  it('a plan that it carries out after its answer does nothing', async () => {
    const late: Plan[] = []
    const tab = arrange({ ...createMemoryOutbox(false), edit: async (plan) => (late.push(plan), false) }).openTab()
    tab.add(makeNth(1))
    await tab.sync(40)
    expect(late.map((plan) => [...plan([recordOf(makeNth(2), { due: 0 })])])).toEqual([[]])
    expect(tab.takeAll()).toEqual([1])
  })

  it('after all was planned, and works at the second try, nothing is claimed or told twice', async () => {
    const disk = createMemoryOutbox(true)
    const edit = async (plan: Plan) => {
      plan(await readAll(disk)) // aborted at commit
      return disk.edit(plan)
    }
    const { openTab, leave, acknowledge } = arrange(disk)
    await leave(makeMany(3))
    acknowledge('x', mark(1))
    const [tab, other] = [openTab({ ...disk, edit }), openTab()]
    expect([await tab.sync(1), tab.takeAll(), tab.gone]).toEqual([2, [2], [[1, 'stored']]])
    await other.sync(40)
    expect(other.takeAll()).toEqual([3])
  })

  it('after all was planned, what was claimed there is not held: it is still everybody\'s', async () => {
    const disk = createMemoryOutbox(true)
    const edit = async (plan: Plan) => {
      plan(await readAll(disk)) // aborted at commit
      return false
    }
    const { openTab, leave } = arrange(disk)
    await leave(makeMany(2))
    const [tab, other] = [openTab({ ...disk, edit }), openTab()]
    await tab.sync(40)
    await other.sync(40)
    expect([tab.takeAll(), other.takeAll()]).toEqual([[], [1, 2]])
  })
})
