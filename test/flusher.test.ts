import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { createFlusher } from '../src/flusher.ts'
import { createHolding, type GoneReason } from '../src/holding.ts'
import { createMemoryOutbox } from '../src/outbox.ts'
import { answerAll, createPage, createScriptedSender, makeMany, makeNth, NOON, numbersOf, peek, type Script } from './support/fakes.ts'

beforeEach(() => void vi.useFakeTimers({ now: NOON }))
afterEach(() => void vi.useRealTimers())

const retry: Script = (events) => answerAll(events, 'retry')
const silence: Script = () => undefined

/** A tab over an outbox in memory; its jitter is half of the longest. */
const arrange = (...scripts: Script[]) => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const outbox = createMemoryOutbox(true)
  const storage = new Map<string, string>()
  const page = createPage(storage)
  const sender = createScriptedSender(...scripts)
  const gone: [number | undefined, GoneReason][] = []
  const complaints: unknown[] = []
  const consent = { given: true }
  const flusher = createFlusher({
    holding: createHolding(outbox, page, (event, reason) => void gone.push([numbersOf([event])[0], reason])),
    send: sender.send,
    room: sender.room,
    page,
    maySend: () => consent.given,
    complain: (problem) => void complaints.push(problem),
    onRejected: () => 'rejected',
  })
  onTestFinished(() => flusher.close())
  const sent = () => sender.parcels.map(({ events }) => numbersOf(events))
  const times = () => sender.parcels.map(({ at }) => at - NOON)
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)
  const waiting = async () => numbersOf((await peek(outbox)).map(({ event }) => event))
  return { ...flusher, outbox, page, sender, gone, complaints, consent, storage, sent, times, pass, waiting }
}

describe('an event', () => {
  it('waits 2 s for others, counted from the first', async () => {
    const { add, pass, sent } = arrange()
    add(makeNth(1))
    await pass(1_500)
    add(makeNth(2))
    await pass(499)
    expect(sent()).toEqual([])
    await pass(1)
    expect(sent()).toEqual([[1, 2]])
  })

  it('waits no longer when 20 are there', async () => {
    const { add, pass, sent } = arrange()
    makeMany(19).forEach(add)
    await pass(0)
    expect(sent()).toEqual([])
    add(makeNth(20))
    await pass(0)
    expect(sent().map(({ length }) => length)).toEqual([20])
  })

  it('leaves the outbox when it is stored, and only then', async () => {
    const { add, wake, gone, waiting } = arrange((events) => ({
      http: 200,
      results: [
        ...(answerAll(events.slice(0, 1)).results ?? []),
        ...(answerAll(events.slice(1, 2), 'rejected').results ?? []),
        ...(answerAll(events.slice(2, 3), 'retry').results ?? []),
      ],
    }), silence)
    makeMany(4).forEach(add)
    expect(await wake()).toBe(2)
    expect([gone, await waiting()]).toEqual([[[1, 'stored'], [2, 'rejected']], [3, 4]])
  })

  it('that another one is answered for stays', async () => {
    const { add, wake, waiting } = arrange(() => answerAll([makeNth(9)]), silence)
    add(makeNth(1))
    await wake()
    expect(await waiting()).toEqual([1])
  })

  it('is sent without delay where the page is out of sight already', async () => {
    const { add, page, pass, sent } = arrange()
    page.hidden = true
    add(makeNth(1))
    await pass(0)
    expect(sent()).toEqual([[1]])
  })
})

describe('parcels', () => {
  it('hold 40 events at most and follow each other at once', async () => {
    const { add, wake, sent, times, waiting } = arrange()
    makeMany(100).forEach(add)
    expect([await wake(), await waiting()]).toEqual([0, []])
    expect(sent().map(({ length }) => length)).toEqual([40, 40, 20])
    expect(sent().flat()).toEqual(numbersOf(makeMany(100)))
    expect(times()).toEqual([0, 0, 0])
  })

  it('fly one at a time', async () => {
    let land = (): void => {}
    const { add, wake, pass, sent } = arrange(
      (events) => new Promise((resolve) => void (land = () => resolve(answerAll(events)))),
      (events) => answerAll(events),
    )
    add(makeNth(1))
    const woken = wake()
    await pass(0)
    add(makeNth(2))
    await pass(5_000)
    expect(sent()).toEqual([[1]])
    land()
    await woken
    await pass(0)
    expect(sent()).toEqual([[1], [2]])
  })

  it('stay where they are while nothing may be sent', async () => {
    const { add, wake, leave, consent, sent } = arrange()
    consent.given = false
    add(makeNth(1))
    expect(await wake()).toBe(1)
    leave()
    expect(sent()).toEqual([])
    consent.given = true
    expect([await wake(), sent()]).toEqual([0, [[1]]])
  })
})

describe('a failure', () => {
  it.each([
    ['no answer', silence],
    ['an answer without outcomes', () => ({ http: 502 })],
    ['nothing but retries', retry],
  ])('that is %s doubles the wait, half of which passes here, up to 5 minutes', async (_, script) => {
    const { add, pass, times, waiting } = arrange(script)
    add(makeNth(1))
    await pass(700_000)
    const waits = times().map((at, nth, all) => at - (all[nth - 1] ?? 0))
    expect(waits.slice(0, 12)).toEqual([2_000, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 150_000, 150_000])
    expect(await waiting()).toEqual([1])
  })

  it('is forgotten after a success', async () => {
    const { add, pass, times } = arrange(silence, silence, (events) => answerAll(events), silence)
    add(makeNth(1))
    await pass(10_000)
    add(makeNth(2))
    await pass(3_000)
    expect(times()).toEqual([2_000, 2_500, 3_500, 12_000, 12_500])
  })

  it('waits anything between nothing and the whole wait', async () => {
    const { add, pass, times } = arrange(silence)
    const waits = [0.001, 0.999, 0.25]
    vi.mocked(Math.random).mockImplementation(() => waits.shift() ?? 0.5)
    add(makeNth(1))
    await pass(5_000)
    expect(times().slice(0, 4)).toEqual([2_000, 2_001, 3_999, 4_999])
  })

  it('is overridden by a call to send now', async () => {
    const { add, pass, wake, times } = arrange(silence)
    add(makeNth(1))
    await pass(2_000)
    await wake()
    await wake()
    expect(times()).toEqual([2_000, 2_000, 2_000])
  })

  it('that speaks of the endpoint is told once, until it works again', async () => {
    const { add, pass, complaints } = arrange(() => ({ http: 404 }))
    add(makeNth(1))
    await pass(30_000)
    expect(complaints).toEqual(['endpoint: got number 404; allowed: Pristo relay'])
  })

  it('of the network is not told', async () => {
    const { add, pass, complaints } = arrange(silence)
    add(makeNth(1))
    await pass(30_000)
    expect(complaints).toEqual([])
  })
})

describe('Retry-After', () => {
  it('is obeyed by timers, by a call to send now and by a page that goes', async () => {
    const { add, pass, wake, leave, sent } = arrange((events) => ({ ...answerAll(events, 'retry'), http: 503, waitMs: 60_000 }), (events) => answerAll(events))
    add(makeNth(1))
    await pass(2_000)
    expect(await wake()).toBe(1)
    leave()
    await pass(59_999)
    expect(sent()).toEqual([[1]])
    await pass(1)
    expect(sent()).toEqual([[1], [1]])
  })

  it('is obeyed by events that come later', async () => {
    const { add, pass, sent } = arrange((events) => ({ ...answerAll(events), waitMs: 60_000 }), (events) => answerAll(events))
    add(makeNth(1))
    await pass(2_000)
    add(makeNth(2))
    await pass(59_000)
    expect(sent()).toEqual([[1]])
    await pass(1_000)
    expect(sent()).toEqual([[1], [2]])
  })
})

describe('a page that goes', () => {
  it('sends all it holds before the handler returns', () => {
    const { add, leave, sent } = arrange()
    makeMany(50).forEach(add)
    leave()
    expect(sent().map(({ length }) => length)).toEqual([40, 10])
  })

  it('does not send twice what flies', () => {
    const { add, leave, sent } = arrange(() => new Promise(() => {}))
    add(makeNth(1))
    leave()
    leave()
    expect(sent()).toEqual([[1]])
  })

  it('sends no more than there is room for, and spills everything', async () => {
    const { add, leave, sender, storage, sent } = arrange(() => new Promise(() => {}))
    sender.free = 0
    makeMany(2).forEach(add)
    leave()
    const [spill = ''] = storage.values()
    expect([sent(), JSON.parse(spill)]).toEqual([[], makeMany(2).map((event) => ({ event, due: NOON + 15_000 }))])
  })

  it('sends in spite of a backoff', async () => {
    const { add, pass, leave, times } = arrange(silence, silence, silence, silence, (events) => answerAll(events))
    add(makeNth(1))
    await pass(5_600)
    leave()
    expect(times()).toEqual([2_000, 2_500, 3_500, 5_500, 5_600])
  })
})

describe('events that another tab left', () => {
  it('are looked for every 5 s', async () => {
    const { outbox, pass, wake, sent, times } = arrange()
    await wake()
    expect(sent()).toEqual([])
    const left = createHolding(outbox, createPage(), () => {})
    left.add(makeNth(1))
    await pass(20_000)
    expect(times()).toEqual([15_000])
  })
})

describe('a closed flusher', () => {
  it('sends nothing and sets no timer any more', async () => {
    const { add, close, pass, sent } = arrange()
    add(makeNth(1))
    close()
    await pass(60_000)
    expect([sent(), vi.getTimerCount()]).toEqual([[], 0])
  })

  it('sets no timer after the parcel that flew, either', async () => {
    const { add, wake, close, sent } = arrange()
    add(makeNth(1))
    const woken = wake()
    close()
    await woken
    expect([sent(), vi.getTimerCount()]).toEqual([[[1]], 0])
  })
})
