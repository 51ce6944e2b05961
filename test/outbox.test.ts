import { IDBFactory } from 'fake-indexeddb'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createMemoryOutbox, createOutbox, type StoredRecord } from '../src/outbox.ts'
import { makeNth, numbersOf, peek } from './support/fakes.ts'

const record = (nth: number, due = 0): StoredRecord => ({ event: makeNth(nth), due })

const arrange = (idb: IDBFactory = new IDBFactory()) => ({ idb, outbox: createOutbox(idb, () => true) })

const stored = async (idb: IDBFactory) => (await peek(createOutbox(idb, () => true))).map(({ event, due }) => [...numbersOf([event]), due])

describe.each([
  ['in IndexedDB', () => arrange().outbox],
  ['in memory', () => createMemoryOutbox(true)],
])('the queue %s', (_, open) => {
  it('gives records back oldest first, whatever the order in which they came', async () => {
    const outbox = open()
    expect(await outbox.put([record(3), record(1)])).toBe(true)
    await outbox.put([record(2)])
    const seen: StoredRecord[] = []
    await outbox.edit((one) => (seen.push(one), one), [])
    expect(numbersOf(seen.map(({ event }) => event))).toEqual([1, 2, 3])
  })

  it('keeps one record of an id: the last that was put', async () => {
    const outbox = open()
    await outbox.put([record(1, 5)])
    await outbox.put([record(1, 6)])
    expect(await peek(outbox)).toEqual([record(1, 6)])
  })

  it('replaces, removes and leaves as the plan says', async () => {
    const outbox = open()
    await outbox.put([record(1), record(2), record(3)])
    const plans = new Map<number | undefined, StoredRecord | undefined>([[1, record(1, 9)], [2, undefined]])
    const plan = (one: StoredRecord) => (([nth]) => (plans.has(nth) ? plans.get(nth) : one))(numbersOf([one.event]))
    expect(await outbox.edit(plan, [])).toBe(true)
    expect(await peek(outbox)).toEqual([record(1, 9), record(3)])
  })

  it('adds extra records only where there is none of that id', async () => {
    const outbox = open()
    await outbox.put([record(1, 5)])
    await outbox.edit((one) => one, [record(1, 99), record(2, 7)])
    expect(await peek(outbox)).toEqual([record(1, 5), record(2, 7)])
  })

  it('plans extra records like the others', async () => {
    const outbox = open()
    await outbox.edit((one) => (one.due ? { ...one, due: 8 } : undefined), [record(1), record(2, 7)])
    expect(await peek(outbox)).toEqual([record(2, 8)])
  })
})

describe('the queue in IndexedDB', () => {
  it('outlives its connection', async () => {
    const { idb, outbox } = arrange()
    await outbox.put([record(1, 5)])
    expect(await stored(idb)).toEqual([[1, 5]])
  })

  it('never plans on the same state in two tabs', async () => {
    const { idb, outbox } = arrange()
    await outbox.put([record(1)])
    const tabs = [outbox, createOutbox(idb, () => true)]
    await Promise.all(tabs.map((tab) => tab.edit((one) => ({ ...one, due: one.due + 1 }), [])))
    expect(await stored(idb)).toEqual([[1, 2]])
  })

  it('does not block whoever deletes the database, and works on in a new one', async () => {
    const { idb, outbox } = arrange()
    await outbox.put([record(1)])
    await new Promise((resolve, reject) => {
      const request = idb.deleteDatabase('pristo')
      request.onsuccess = resolve
      request.onblocked = reject
    })
    await outbox.put([record(2)]) // the first may find the connection dead
    await outbox.put([record(3)])
    expect(await stored(idb)).toContainEqual([3, 0])
  })

  it('opens a connection anew that died without a word', async () => {
    const { idb, outbox } = arrange()
    const open = vi.spyOn(idb, 'open')
    await outbox.put([record(1)])
    const opened: IDBOpenDBRequest = open.mock.results[0]?.value
    opened.result.close()
    expect(await outbox.put([record(2)])).toBe(false)
    expect(await outbox.put([record(3)])).toBe(true)
    expect(await stored(idb)).toEqual([[1, 0], [3, 0]])
  })
})

describe('where storage fails', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  const opening = (open: () => IDBOpenDBRequest) => {
    const idb = new IDBFactory()
    vi.spyOn(idb, 'open').mockImplementation(open)
    return idb
  }

  /** A request whose answer nobody hears. */
  const silent = (): IDBOpenDBRequest => {
    const request = new IDBFactory().open('another')
    vi.spyOn(request, 'onsuccess', 'set').mockReturnValue()
    return request
  }

  /** `open()` rejects where the database is newer than asked for. */
  const newer = (): IDBFactory => {
    const idb = new IDBFactory()
    idb.open('pristo', 2)
    return idb
  }

  it.each([
    ['throws', () => opening(() => expect.fail('denied'))],
    ['rejects', newer],
    ['never settles', () => opening(silent)],
  ])('an open() that %s is a false within 3 s', async (_, makeIdb) => {
    const answers: boolean[] = []
    const { outbox } = arrange(makeIdb())
    void outbox.put([record(1)]).then((answer) => answers.push(answer))
    void outbox.edit((one) => one, []).then((answer) => answers.push(answer))
    await vi.advanceTimersByTimeAsync(3_000)
    expect(answers).toEqual([false, false])
  })

  it('a missing IndexedDB is a false', async () => {
    expect(await createOutbox(JSON.parse('null'), () => true).put([record(1)])).toBe(false)
  })
})

describe('while nothing may be stored', () => {
  it('no database is opened; afterwards it is', async () => {
    const idb = new IDBFactory()
    let mayUse = false
    const outbox = createOutbox(idb, () => mayUse)
    expect(await outbox.put([record(1)])).toBe(false)
    expect(await outbox.edit((one) => one, [record(1)])).toBe(false)
    expect(await idb.databases()).toEqual([])
    mayUse = true
    expect(await outbox.put([record(2)])).toBe(true)
    expect(await stored(idb)).toEqual([[2, 0]])
  })
})
