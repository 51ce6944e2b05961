import { IDBFactory, IDBTransaction } from 'fake-indexeddb'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Visitor } from '../src/contact.ts'
import { createOutbox, type Outbox, type Stored, type StoredRecord } from '../src/outbox.ts'
import { createMemoryOutbox, makeNth, numbersOf, peek, readAll, recordOf } from './support/fakes.ts'

const record = (nth: number, due = 0): StoredRecord => recordOf(makeNth(nth), { due })

const keyOf = (nth: number): string => makeNth(nth).id

const arrange = (idb: IDBFactory = new IDBFactory(), mayUse = () => true) => ({ idb, outbox: createOutbox(() => idb, mayUse) })

const put = (outbox: Outbox, ...records: StoredRecord[]) => outbox.put(() => records.map((one) => [one.event.id, one]))

/** What a page of a later time finds. */
const stored = async (idb: IDBFactory) => (await peek(createOutbox(() => idb, () => true))).map(({ event, due }) => [...numbersOf([event]), due])

describe.each([
  ['in IndexedDB', () => arrange().outbox],
  ['in memory', () => createMemoryOutbox(true)],
])('the queue %s', (_, open) => {
  it('gives records back oldest first, whatever the order in which they came', async () => {
    const outbox = open()
    expect(await put(outbox, record(3), record(1))).toBe(true)
    await put(outbox, record(2))
    expect(numbersOf((await peek(outbox)).map(({ event }) => event))).toEqual([1, 2, 3])
  })

  it('keeps one value of a key: the last that was put', async () => {
    const outbox = open()
    await put(outbox, record(1, 5))
    await put(outbox, record(1, 6))
    expect(await peek(outbox)).toEqual([record(1, 6)])
  })

  it('keeps a visitor among the events', async () => {
    const outbox = open()
    const visitor: Visitor = { rev: 1, epoch: 0, contact: { id: 'u_1' }, known: true }
    await put(outbox, record(1))
    await outbox.put(() => [['visitor', visitor]])
    expect(await readAll(outbox)).toEqual([record(1), visitor])
  })

  it('adds, replaces, removes and leaves as a plan says, which sees everything', async () => {
    const outbox = open()
    await put(outbox, record(1), record(2), record(3))
    const answer = await outbox.edit((all) => [
      [keyOf(1), record(1, 9)],
      [keyOf(2), undefined],
      [keyOf(4), record(4, all.length)],
    ])
    expect([answer, await peek(outbox)]).toEqual([true, [record(1, 9), record(3), record(4, 3)]])
  })

  it('asks what to write when it writes, not before', async () => {
    const outbox = open()
    const records = [record(1)]
    const written = outbox.put(() => records.map((one) => [one.event.id, one]))
    records.push(record(2))
    await written
    expect(await peek(outbox)).toEqual([record(1), record(2)])
  })

  it('keeps copies: what a page changes later is not changed there', async () => {
    const outbox = open()
    const one = record(1)
    await put(outbox, one)
    one.due = 99
    expect(await peek(outbox)).toEqual([record(1)])
  })
})

describe('the queue in IndexedDB', () => {
  it('outlives its connection', async () => {
    const { idb, outbox } = arrange()
    await put(outbox, record(1, 5))
    expect(await stored(idb)).toEqual([[1, 5]])
  })

  it('never plans on the same state in two tabs', async () => {
    const { idb, outbox } = arrange()
    await put(outbox, record(1))
    const tabs = [outbox, createOutbox(() => idb, () => true)]
    await Promise.all(tabs.map((tab) => tab.edit((all) => all.flatMap((one) => ('due' in one ? [[keyOf(1), record(1, one.due + 1)]] : [])))))
    expect(await stored(idb)).toEqual([[1, 2]])
  })

  it('uses one connection for all', async () => {
    const { idb, outbox } = arrange()
    const open = vi.spyOn(idb, 'open')
    await Promise.all([put(outbox, record(1)), put(outbox, record(2)), peek(outbox)])
    await put(outbox, record(3))
    expect(open).toHaveBeenCalledTimes(1)
  })

  it('does not block whoever deletes the database, and works on in a new one', async () => {
    const { idb, outbox } = arrange()
    await put(outbox, record(1))
    await new Promise((resolve, reject) => {
      const request = idb.deleteDatabase('pristo')
      request.onsuccess = resolve
      request.onblocked = reject
    })
    expect(await put(outbox, record(2))).toBe(true)
    expect(await stored(idb)).toEqual([[2, 0]])
  })
})

describe('an operation that fails', () => {
  /** A disk that has been used, and its connection. */
  const use = async (mayUse = () => true) => {
    const { idb, outbox } = arrange(new IDBFactory(), mayUse)
    const open = vi.spyOn(idb, 'open')
    await put(outbox, record(1))
    const opened: IDBOpenDBRequest = open.mock.results[0]?.value
    return { idb, outbox, open, db: opened.result }
  }

  it('is tried once more on a fresh connection: one that died without a word costs nothing', async () => {
    const { idb, outbox, db } = await use()
    db.close()
    expect(await put(outbox, record(2))).toBe(true)
    expect(await stored(idb)).toEqual([[1, 0], [2, 0]])
  })

  it('is tried once more where its transaction was aborted', async () => {
    const { idb, outbox } = await use()
    let tries = 0
    const answer = await outbox.edit(() => {
      if (!tries++) outbox.leave()
      return [[keyOf(2), record(2)]]
    })
    expect([answer, tries, await stored(idb)]).toEqual([true, 2, [[1, 0], [2, 0]]])
  })

  it('twice is not tried a third time, and the next operation is', async () => {
    const { idb, outbox, db, open } = await use()
    db.close()
    open.mockImplementationOnce(() => expect.fail('UnknownError'))
    expect(await put(outbox, record(2))).toBe(false)
    expect(await put(outbox, record(3))).toBe(true)
    expect(await stored(idb)).toEqual([[1, 0], [3, 0]])
  })

  it('is not tried again where nothing may be used any more', async () => {
    let mayUse = true
    const { idb, outbox, db, open } = await use(() => mayUse)
    db.close()
    const answer = put(outbox, record(2))
    mayUse = false
    expect([await answer, open.mock.calls.length, await stored(idb)]).toEqual([undefined, 1, [[1, 0]]])
  })
})

describe('a page that goes', () => {
  it('aborts an edit that is unfinished: it is neither planned nor written, now or later', async () => {
    let isGone = false
    const { idb, outbox } = arrange(new IDBFactory(), () => !isGone)
    await put(outbox, record(1))
    const plan = vi.fn((): [string, Stored | undefined][] => [[keyOf(1), undefined]])
    const answer = outbox.edit(plan)
    for (let turn = 0; turn < 9; turn++) await Promise.resolve() // it has begun, and nobody has answered
    isGone = true
    outbox.leave()
    expect([await answer, plan.mock.calls, await stored(idb)]).toEqual([undefined, [], [[1, 0]]])
  })

  it('remembers nothing of edits that failed: there may be thousands of them', async () => {
    const { outbox } = arrange()
    for (let nth = 0; nth < 3; nth++) await outbox.edit(() => expect.fail('no plan'))
    const abort = vi.spyOn(IDBTransaction.prototype, 'abort')
    outbox.leave()
    expect(abort).not.toHaveBeenCalled()
  })

  it('leaves in peace what is finished, and what was never begun', async () => {
    const { idb, outbox } = arrange()
    outbox.leave()
    await put(outbox, record(1))
    await outbox.edit(() => [[keyOf(2), record(2)]])
    outbox.leave()
    expect(await stored(idb)).toEqual([[1, 0], [2, 0]])
  })

  it('begins no transaction on a connection that comes too late', async () => {
    let isGone = false
    const { idb, outbox } = arrange(new IDBFactory(), () => !isGone)
    const answer = outbox.edit(() => [[keyOf(1), record(1)]])
    isGone = true
    outbox.leave()
    expect([await answer, await stored(idb)]).toEqual([undefined, []])
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
  ])('an open() that %s is a false within twice 3 s', async (_, makeIdb) => {
    const answers: unknown[] = []
    const { outbox } = arrange(makeIdb())
    void put(outbox, record(1)).then((answer) => answers.push(answer))
    void outbox.edit(() => []).then((answer) => answers.push(answer))
    await vi.advanceTimersByTimeAsync(6_000)
    expect(answers).toEqual([false, false])
  })

  it('a connection that never answers is left for a fresh one after 3 s', async () => {
    const idb = new IDBFactory()
    vi.spyOn(idb, 'open').mockImplementationOnce(silent)
    const answers: unknown[] = []
    void put(arrange(idb).outbox, record(1)).then((answer) => answers.push(answer))
    await vi.advanceTimersByTimeAsync(2_999)
    expect(answers).toEqual([])
    await vi.advanceTimersByTimeAsync(50)
    expect(answers).toEqual([true])
  })

  it('a missing IndexedDB is a false', async () => {
    expect(await put(createOutbox(() => JSON.parse('null'), () => true), record(1))).toBe(false)
  })
})

describe('while IndexedDB is denied', () => {
  it('nothing is on disk; once it is allowed it is used', async () => {
    const idb = new IDBFactory()
    let isDenied = true
    const outbox = createOutbox(
      () => {
        if (isDenied) throw new DOMException('access is denied', 'SecurityError')
        return idb
      },
      () => true,
    )
    expect(await put(outbox, record(1))).toBe(false)
    isDenied = false
    expect(await put(outbox, record(2))).toBe(true)
    expect(await stored(idb)).toEqual([[2, 0]])
  })
})

describe('while nothing may be stored', () => {
  it('no database is opened; afterwards it is', async () => {
    const idb = new IDBFactory()
    let mayUse = false
    const outbox = createOutbox(() => idb, () => mayUse)
    expect(await put(outbox, record(1))).toBeUndefined()
    expect(await outbox.edit(() => [[keyOf(1), record(1)]])).toBeUndefined()
    expect(await idb.databases()).toEqual([])
    mayUse = true
    expect(await put(outbox, record(2))).toBe(true)
    expect(await stored(idb)).toEqual([[2, 0]])
  })
})
