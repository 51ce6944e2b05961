import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { TrackedEvent } from '../src/event.ts'
import { createHolding, FULL_BYTES, LEASE_MS, type GoneReason } from '../src/holding.ts'
import { createMemoryOutbox, type Outbox } from '../src/outbox.ts'
import { ADA, createPage, makeMany, makeNth, NOON, numbersOf, peek } from './support/fakes.ts'

beforeEach(() => void vi.useFakeTimers({ now: NOON }))
afterEach(() => void vi.useRealTimers())

/** One browser: its tabs share what is stored. */
const arrange = (outbox: Outbox = createMemoryOutbox(true)) => {
  const storage = new Map<string, string>()
  const openTab = (own = outbox) => {
    const page = createPage(storage)
    const gone: [number | undefined, GoneReason][] = []
    const holding = createHolding(own, page, (event, reason) => void gone.push([numbersOf([event])[0], reason]))
    const takeAll = (count = 40) => numbersOf(holding.take(count, FULL_BYTES))
    const store = (nth: number) => holding.sweep((record) => (record.event.id === makeNth(nth).id ? 'stored' : record))
    return { ...holding, page, gone, takeAll, store }
  }
  const spilled = () => [...storage.values()].flatMap((text) => numbersOf(JSON.parse(text).map((record: { event: TrackedEvent }) => record.event)))
  return { outbox, openTab, spilled, storage, onDisk: async () => numbersOf((await peek(outbox)).map(({ event }) => event)) }
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

  it('shares one write with the others of its task', async () => {
    const { outbox, openTab } = arrange()
    const put = vi.spyOn(outbox, 'put')
    const tab = openTab()
    makeMany(5).forEach(tab.add)
    await settle()
    expect(put.mock.calls.map(([records]) => records.length)).toEqual([5])
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

  it('without a contact waits', async () => {
    const { openTab } = arrange()
    const tab = openTab()
    const { contact: _, ...nobodys } = makeNth(1)
    tab.add(nobodys)
    tab.add(makeNth(2))
    expect([await tab.claim(40), tab.takeAll()]).toEqual([2, [2]])
    await tab.sweep((record) => (record.event.contact ? record : { ...record, event: { ...record.event, contact: ADA } }))
    expect(tab.takeAll()).toEqual([1])
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

  it('may be taken again once its events are judged anew', async () => {
    const tab = arrange().openTab()
    tab.add(makeNth(1))
    tab.takeAll()
    await tab.sweep((record) => ({ ...record, due: Date.now() + LEASE_MS }))
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
    expect(await b.claim(40)).toBe(1)
    expect([b.takeAll(), a.takeAll()]).toEqual([[], [1]])
  })

  it('never claim the same of what a third one left', async () => {
    const { a, b, openTab } = await arrangeTwo()
    const c = openTab()
    makeMany(9).forEach(a.add)
    await settle()
    vi.advanceTimersByTime(LEASE_MS)
    await Promise.all([b.claim(5), c.claim(40)])
    const [first, second] = [b.takeAll(), c.takeAll()]
    expect(first).toHaveLength(5)
    expect([...first, ...second]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('hand over when the lease ends, 15 s after the last sign of the first', async () => {
    const { a, b } = await arrangeTwo()
    vi.advanceTimersByTime(14_999)
    await b.claim(40)
    expect(b.takeAll()).toEqual([])
    vi.advanceTimersByTime(1)
    await b.claim(40)
    expect([b.takeAll(), a.takeAll()]).toEqual([[1], []])
    await a.claim(40)
    expect(a.takeAll()).toEqual([])
  })

  it('know that an event went, whichever of them delivered it', async () => {
    const { a, b, onDisk } = await arrangeTwo()
    vi.advanceTimersByTime(LEASE_MS)
    await b.claim(40)
    b.takeAll()
    await b.store(1)
    expect([b.gone, await onDisk(), await a.claim(40), a.takeAll()]).toEqual([[[1, 'stored']], [], 0, []])
  })
})

describe('a lease', () => {
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
    await a.claim(40)
    vi.advanceTimersByTime(10_000)
    await b.claim(40)
    expect(b.takeAll()).toEqual([])
  })
})

describe('a claim', () => {
  it('takes over so many at most and counts all that wait', async () => {
    const { openTab } = arrange()
    makeMany(5).forEach(openTab().add)
    await settle()
    vi.advanceTimersByTime(LEASE_MS)
    const tab = openTab()
    expect([await tab.claim(2), tab.takeAll()]).toEqual([5, [1, 2]])
    expect([await tab.claim(0), tab.takeAll()]).toEqual([5, []])
  })
})

describe('what is gone', () => {
  it('leaves memory and disk by id, and is told with its reason', async () => {
    const { openTab, onDisk } = arrange()
    const tab = openTab()
    makeMany(4).forEach(tab.add)
    await settle()
    const reasons: (GoneReason | undefined)[] = [undefined, 'stored', 'rejected', 'reset']
    await tab.sweep((record) => reasons[numbersOf([record.event])[0] ?? 0] ?? record)
    expect(tab.gone).toEqual([[1, 'stored'], [2, 'rejected'], [3, 'reset']])
    expect([await onDisk(), tab.takeAll()]).toEqual([[4], [4]])
  })

  it('is gone at once for this tab, before the disk has answered', () => {
    const tab = arrange().openTab()
    tab.add(makeNth(1))
    void tab.store(1)
    expect([tab.gone, tab.takeAll()]).toEqual([[[1, 'stored']], []])
  })
})

describe('a spill', () => {
  /** A page that goes before the disk has confirmed anything. */
  const leave = (browser: ReturnType<typeof arrange>, count = 1) => {
    const tab = browser.openTab(createMemoryOutbox(false))
    tab.page.hidden = true
    makeMany(count).forEach(tab.add)
    tab.spill()
    return tab
  }

  it('is written at once', () => {
    const browser = arrange()
    leave(browser, 2)
    expect(browser.spilled()).toEqual([1, 2])
  })

  it('is put into the outbox by the next page, once', async () => {
    const browser = arrange()
    leave(browser, 2)
    const next = browser.openTab()
    expect(await next.claim(40)).toBe(2)
    expect([await browser.onDisk(), browser.spilled()]).toEqual([[1, 2], []])
    vi.advanceTimersByTime(LEASE_MS)
    await next.claim(40)
    expect([next.takeAll(), next.takeAll()]).toEqual([[1, 2], []])
  })

  it('does not take the place of what the disk has', async () => {
    const browser = arrange()
    leave(browser)
    await browser.outbox.put([{ event: makeNth(1), due: NOON + 99_000 }])
    await browser.openTab().claim(40)
    expect(await peek(browser.outbox)).toEqual([{ event: makeNth(1), due: NOON + 99_000 }])
  })

  it('of a page that lives on does not bring back what was delivered', async () => {
    const browser = arrange()
    const tab = browser.openTab()
    tab.add(makeNth(1))
    tab.add(makeNth(2))
    tab.page.hidden = true
    tab.spill()
    await tab.store(1)
    expect(browser.spilled()).toEqual([2])
    tab.page.hidden = false
    await tab.store(2)
    expect([browser.storage.size, await browser.openTab().claim(40)]).toEqual([0, 0])
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

  it('of one tab leaves that of another alone', () => {
    const browser = arrange()
    leave(browser)
    leave(browser)
    expect(browser.storage.size).toBe(2)
  })
})

describe('where the disk fails', () => {
  it('events are taken from memory, however long they waited', async () => {
    const tab = arrange(createMemoryOutbox(false)).openTab()
    tab.add(makeNth(1))
    await settle()
    vi.advanceTimersByTime(3_600_000)
    expect([await tab.claim(40), tab.takeAll()]).toEqual([1, [1]])
    await tab.store(1)
    expect([tab.gone, await tab.claim(40), tab.takeAll()]).toEqual([[[1, 'stored']], 0, []])
  })
})
