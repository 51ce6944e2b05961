import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createIdentity, isReachable, type Visitor } from '../src/contact.ts'
import { ADA, createDevice, createPage, makeNobodys, makeNth, NOON, recordOf, type Device } from './support/fakes.ts'

const BOB = { id: 'u_2', email: 'bob@example.com' }

beforeEach(() => void vi.useFakeTimers({ now: NOON }))
afterEach(() => void vi.useRealTimers())

/** The identity of one tab, a minute later than the one before it, and what its device keeps. */
const openTab = (device: Device = createDevice()) => {
  vi.advanceTimersByTime(60_000)
  const page = createPage(device)
  const identity = createIdentity(page)
  const kept = (): Visitor => JSON.parse(device.storage.get('pristo_contact') ?? 'null')
  /** Who an event without a contact would belong to. */
  const ownerOf = (event = makeNobodys(1), epoch = Math.max(identity.current().epoch, identity.deniedAt)) => identity.complete(recordOf(event, { epoch }))
  const owner = () => {
    const record = ownerOf()
    return typeof record === 'string' ? record : record.event.contact
  }
  return { ...identity, identity, page, kept, ownerOf, owner }
}

/** Two tabs of one browser. */
const openTwo = () => {
  const device = createDevice()
  return [openTab(device), openTab(device)] as const
}

describe('an event without a contact', () => {
  it('gets all details while Pristo has none of them', () => {
    const tab = openTab()
    tab.decide(ADA)
    expect(tab.owner()).toEqual(ADA)
  })

  it('gets only the id once Pristo has the details', () => {
    const tab = openTab()
    tab.decide(ADA)
    tab.confirm({ ...ADA })
    expect(tab.owner()).toEqual({ id: 'u_1' })
  })

  it('is confirmed once: the next of a hundred that are stored writes nothing', () => {
    const tab = openTab()
    tab.decide(ADA)
    const write = vi.spyOn(tab.page, 'write')
    for (const _ of Array(100)) tab.confirm({ ...ADA })
    expect(write).toHaveBeenCalledTimes(1)
  })

  it('stays as it is while nobody is identified', () => {
    const record = recordOf(makeNobodys(1))
    expect(openTab().complete(record)).toBe(record)
  })

  it('that is older than a logout belongs to nobody', () => {
    const tab = openTab()
    const { epoch } = tab.current()
    tab.decide()
    expect(tab.ownerOf(makeNobodys(1), epoch)).toBe('reset')
    tab.decide(BOB)
    expect([tab.ownerOf(makeNobodys(1), epoch), tab.owner()]).toEqual(['reset', BOB])
  })

  it('that was made by a later clock is older than a logout, once this tab has seen it', () => {
    const tab = openTab()
    const epoch = Date.now()
    tab.ownerOf(makeNobodys(1), epoch)
    vi.setSystemTime(NOON - 7_200_000)
    tab.decide()
    expect(tab.ownerOf(makeNobodys(1), epoch)).toBe('reset')
  })

  it('belongs to nobody where another contact takes over without a logout', () => {
    const tab = openTab()
    tab.decide(ADA)
    const { epoch } = tab.current()
    tab.decide(BOB)
    expect(tab.ownerOf(makeNobodys(1), epoch)).toBe('reset')
  })

  it('belongs to the first who is identified, and stays theirs when the details change', () => {
    const tab = openTab()
    const { epoch } = tab.current()
    tab.decide(ADA)
    tab.decide({ ...ADA, email: 'new@example.com' })
    expect(tab.ownerOf(makeNobodys(1), epoch)).toMatchObject({ event: { contact: { id: 'u_1', email: 'new@example.com' } } })
  })
})

describe('an event with a contact', () => {
  it('keeps it, whoever is identified now and whatever was before', () => {
    const tab = openTab()
    const record = recordOf(makeNth(1))
    tab.decide(BOB)
    tab.confirm(BOB)
    tab.decide()
    expect(tab.complete(record)).toBe(record)
  })

  it('that is parked gets the details, though Pristo is said to know them, once they bring an email or a phone', () => {
    const tab = openTab()
    const parked = recordOf(makeNth(1, { contact: { id: 'u_1' } }), { parked: true })
    tab.decide({ id: 'u_1', name: 'Ada' })
    expect([tab.canMend(parked.event.contact), tab.complete(parked)]).toEqual([false, parked])
    tab.decide(ADA)
    const whole = { ...ADA, name: 'Ada' }
    tab.confirm(whole)
    expect([tab.canMend(parked.event.contact), tab.complete(parked)]).toEqual([
      true,
      { ...parked, parked: false, event: { ...parked.event, contact: whole } },
    ])
  })

  it('keeps the email that another page named, where this one says the id only', () => {
    const tab = openTab()
    tab.decide(ADA)
    const { rev } = tab.current()
    tab.decide({ id: ADA.id })
    expect([tab.owner(), tab.current().rev]).toEqual([ADA, rev])
  })

  it('that is parked does not get the details of another contact', () => {
    const tab = openTab()
    const parked = recordOf(makeNth(1, { contact: { id: 'u_1' } }), { parked: true })
    tab.decide(BOB)
    expect([tab.canMend(parked.event.contact), tab.complete(parked)]).toEqual([false, parked])
  })
})

describe('a contact', () => {
  it.each([
    [{ id: 'u_1' }, false],
    [{ id: 'u_1', email: '' }, false],
    [{ id: 'u_1', email: 'a@b.co' }, true],
    [{ id: 'u_1', phone: '+1' }, true],
    [undefined, false],
  ])('%j can be made known to Pristo: %s', (contact, expected) => {
    expect(isReachable(contact)).toBe(expected)
  })
})

describe('a decision', () => {
  it('is later than the one before it, also within a millisecond and when the clock is set back', () => {
    const tab = openTab()
    tab.decide(ADA)
    const first = tab.current().rev
    tab.decide(BOB)
    const second = tab.current().rev
    vi.setSystemTime(NOON - 7_200_000)
    tab.decide()
    expect([second > first, tab.current().rev > second]).toEqual([true, true])
  })

  it('that says what is known already changes nothing: details are not sent again', () => {
    const tab = openTab()
    tab.decide(ADA)
    tab.confirm(ADA)
    const before = tab.current()
    tab.decide({ ...ADA })
    expect([tab.current(), tab.owner()]).toEqual([before, { id: 'u_1' }])
  })

  it('with other details sends them again', () => {
    const tab = openTab()
    tab.decide(ADA)
    tab.confirm(ADA)
    tab.decide({ ...ADA, email: 'new@example.com' })
    expect(tab.owner()).toEqual({ ...ADA, email: 'new@example.com' })
  })

  it('is there on the next page', () => {
    const device = createDevice()
    openTab(device).decide(ADA)
    expect(openTab(device).current()).toMatchObject({ contact: ADA, known: false })
  })

  it('that could not be written is written by save(); nothing is written where none was made', () => {
    const tab = openTab()
    tab.save()
    expect(tab.kept()).toBeNull()
    tab.page.full = true
    tab.decide(ADA)
    expect([tab.kept(), tab.owner()]).toEqual([null, ADA])
    tab.page.full = false
    tab.save()
    expect(tab.kept().contact).toEqual(ADA)
  })
})

describe('two tabs', () => {
  it('keep the later decision, though the one of them could write only afterwards', () => {
    const [a, b] = openTwo()
    a.page.full = true
    a.decide(ADA)
    vi.advanceTimersByTime(1_000)
    b.decide(BOB)
    a.page.full = false
    a.save()
    expect([a.owner(), b.owner(), b.kept().contact]).toEqual([BOB, BOB, BOB])
  })

  it("see each other's identify() and reset() at the next call", () => {
    const [a, b] = openTwo()
    a.decide(ADA)
    expect(b.owner()).toEqual(ADA)
    b.decide()
    expect([a.owner(), b.owner()]).toEqual([undefined, undefined])
  })

  it('drop what was tracked in the other one before a logout', () => {
    const [a, b] = openTwo()
    const { epoch } = a.current()
    b.decide()
    a.decide(BOB)
    expect(a.ownerOf(makeNobodys(1), epoch)).toBe('reset')
  })

  it('undo no logout of the other one by hearing that Pristo has the details', () => {
    const [a, b] = openTwo()
    a.decide(ADA)
    b.decide()
    a.confirm(ADA)
    expect([a.owner(), b.owner(), b.kept()]).toEqual([undefined, undefined, a.kept()])
    expect(a.kept().contact).toBeUndefined()
  })

  it('confirm no details but those that Pristo has', () => {
    const [a, b] = openTwo()
    a.decide(ADA)
    b.decide({ ...ADA, email: 'new@example.com' })
    a.confirm(ADA)
    expect(b.owner()).toEqual({ ...ADA, email: 'new@example.com' })
  })
})

describe('what two stores have of the visitor', () => {
  it.each([
    ['the mirror', NOON + 90_000_000, BOB],
    ['localStorage', NOON - 90_000_000, ADA],
  ])('is believed where it is later: %s', (_, rev, expected) => {
    const device = createDevice()
    openTab(device).decide(ADA)
    const tab = openTab(device)
    tab.adopt({ rev, epoch: 0, contact: BOB, known: false })
    expect(tab.owner()).toEqual(expected)
  })

  it.each([[undefined], [null], ['text'], [[]], [{}], [{ rev: 'x' }], [{ rev: NaN }]])('is passed over where it is no visitor: %j', (found) => {
    const tab = openTab()
    tab.decide(ADA)
    tab.adopt(found)
    expect(tab.owner()).toEqual(ADA)
  })
})

describe('a visitor who was forgotten', () => {
  const forget = () => {
    const device = createDevice()
    const tab = openTab(device)
    tab.decide(ADA)
    const mirror = tab.current()
    vi.advanceTimersByTime(1_000)
    tab.forget()
    return { ...tab, mirror }
  }

  it('is nowhere on the device and does not come back from an old mirror', () => {
    const { adopt, mirror, owner, kept, save } = forget()
    adopt(mirror)
    save()
    expect([owner(), kept()]).toEqual([undefined, null])
  })

  it('leaves nobody what was tracked before, named or not; what is tracked in the very moment after counts', () => {
    const { identity } = forget()
    const complete = (epoch: number) => identity.complete(recordOf(makeNth(1), { epoch }))
    expect([complete(identity.deniedAt - 1), complete(identity.deniedAt)]).toMatchObject(['denied', { event: { contact: ADA } }])
  })

  it('is later than any event that was seen, also where the clock was set back since', () => {
    const { identity, forget } = openTab()
    identity.complete(recordOf(makeNth(1), { epoch: NOON + 3_600_000 }))
    forget()
    expect(identity.deniedAt).toBeGreaterThan(NOON + 3_600_000)
  })

  it('may be identified anew', () => {
    const { decide, adopt, mirror, owner, kept } = forget()
    decide(BOB)
    adopt(mirror)
    expect([owner(), kept().contact]).toEqual([BOB, BOB])
  })

  it('does not come back from the mirror where the clock was set back since', () => {
    const tab = openTab()
    tab.decide(ADA)
    const mirror = tab.current()
    vi.setSystemTime(NOON - 60_000)
    tab.forget()
    tab.adopt(mirror)
    expect(tab.owner()).toBeUndefined()
  })

  it('nor does a logout of theirs: what is tracked afterwards is not dropped for it', () => {
    const tab = openTab()
    tab.decide(ADA)
    tab.decide(BOB)
    const mirror = tab.current()
    vi.setSystemTime(NOON - 60_000)
    tab.forget()
    tab.adopt(mirror)
    tab.identity.deniedAt = 0 // the disk has carried it out
    expect(tab.ownerOf(makeNobodys(1), Date.now())).not.toBe('reset')
  })
})

it('an event that was stored without our knowing a contact is no logout', () => {
  const tab = openTab()
  const { epoch } = tab.current()
  tab.confirm(undefined)
  expect(tab.ownerOf(makeNobodys(1), epoch)).not.toBe('reset')
})
