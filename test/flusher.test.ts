import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { createIdentity } from '../src/contact.ts'
import type { TrackedEvent } from '../src/event.ts'
import { createFlusher } from '../src/flusher.ts'
import { createHolding, type GoneReason } from '../src/holding.ts'
import {
  answerAll,
  createDevice,
  createMemoryOutbox,
  createPage,
  createScriptedSender,
  makeMany,
  makeNth,
  NOON,
  numbersOf,
  peek,
  recordOf,
  type Script,
} from './support/fakes.ts'

beforeEach(() => void vi.useFakeTimers({ now: NOON }))
afterEach(() => void vi.useRealTimers())

const retry: Script = (events) => answerAll(events, 'retry')
const silence: Script = () => undefined

/** The relay takes so many events at once and no more. */
const atMost = (count: number): Script => (events) => (events.length > count ? { http: 413 } : answerAll(events))

/** A tab over an outbox in memory; its jitter is half of the longest. */
const arrange = (...scripts: Script[]) => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const outbox = createMemoryOutbox(true)
  const { storage, cookies } = createDevice()
  const page = createPage({ storage, cookies })
  const identity = createIdentity(page)
  const sender = createScriptedSender(...scripts)
  const gone: [number | undefined, GoneReason][] = []
  const refusals: unknown[] = []
  const complaints: unknown[] = []
  const consent = { given: true }
  const openHolding = () =>
    createHolding({
      outbox,
      page,
      identity,
      onGone: (event, reason) => void gone.push([numbersOf([event])[0], reason]),
    })
  const flusher = createFlusher({
    holding: openHolding(),
    send: sender.send,
    room: sender.room,
    page,
    maySend: () => consent.given,
    complain: (problem) => void complaints.push(problem),
    refuse: (event, { code, status }) => {
      refusals.push([numbersOf([event])[0], code, status])
      return 'rejected'
    },
  })
  onTestFinished(() => flusher.close())
  const add = (event: TrackedEvent) => flusher.add(recordOf(event))
  const sent = () => sender.parcels.map(({ events }) => numbersOf(events))
  const sizes = () => sent().map(({ length }) => length)
  const times = () => sender.parcels.map(({ at }) => at - NOON)
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)
  const waiting = async () => numbersOf((await peek(outbox)).map(({ event }) => event))
  return { ...flusher, add, outbox, page, sender, gone, refusals, complaints, consent, storage, openHolding, sent, sizes, times, pass, waiting }
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

  it('is not sent again without a pause where the answer is about others', async () => {
    const { add, pass, times } = arrange(() => answerAll([makeNth(9)]))
    add(makeNth(1))
    await pass(4_000)
    expect(times()).toEqual([2_000, 2_500, 3_500])
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

  it('does not leave where consent ends while the disk answers', async () => {
    const { add, wake, consent, sent } = arrange()
    add(makeNth(1))
    const woken = wake()
    await Promise.resolve()
    consent.given = false
    await woken
    expect(sent()).toEqual([])
    consent.given = true
    await wake()
    expect(sent()).toEqual([[1]])
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

describe('a look at the disk, which reads all that is stored,', () => {
  it('comes once before and once after a thousand events of one task', async () => {
    const { add, outbox, sizes, pass, waiting } = arrange()
    const looks = vi.spyOn(outbox, 'edit')
    makeMany(1_000).forEach(add)
    await pass(1_000)
    expect([looks.mock.calls.length, sizes()]).toEqual([2, Array(25).fill(40)])
    expect(await waiting()).toEqual([])
  })

  it('comes every ten parcels for a thousand that another page left', async () => {
    const { outbox, wake, sizes } = arrange()
    await outbox.put(() => makeMany(1_000).map((event) => [event.id, recordOf(event, { due: 0 })]))
    const looks = vi.spyOn(outbox, 'edit')
    await wake()
    expect([looks.mock.calls.length, sizes()]).toEqual([4, Array(25).fill(40)])
  })

  it('does not come with each event in a pause', async () => {
    const { add, outbox, pass, sent } = arrange(() => ({ http: 503, waitMs: 60_000 }))
    makeMany(20).forEach(add)
    await pass(100)
    const looks = vi.spyOn(outbox, 'edit')
    for (const event of makeMany(120).slice(20)) {
      add(event)
      await pass(10)
    }
    expect([looks.mock.calls.length, sent().length]).toEqual([0, 1])
  })

  it('comes with every 20th event of a visitor whom nobody has named yet', async () => {
    const { add, outbox, pass } = arrange()
    for (const { contact: _, ...event } of makeMany(30)) add(event)
    await pass(100)
    const looks = vi.spyOn(outbox, 'edit')
    for (const { contact: _, ...event } of makeMany(90).slice(30)) {
      add(event)
      await pass(1)
    }
    expect(looks.mock.calls.length).toBe(3)
  })
})

describe('a failure', () => {
  it.each([
    ['no answer offline', silence],
    ['an answer without outcomes', () => ({ http: 502 })],
    ['nothing but retries', retry],
  ])('that is %s doubles the wait, half of which passes here, up to 5 minutes', async (_, script) => {
    const { add, page, pass, times, waiting } = arrange(script)
    page.online = false // the breaker does not count
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
    const { add, page, pass, times } = arrange(silence)
    page.online = false
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

describe('keepalive', () => {
  const keepalives = ({ sender }: ReturnType<typeof arrange>) => sender.parcels.map(({ keepalive }) => keepalive)

  it('is left out after a failure, since other scripts may hold the budget, and used again after another', async () => {
    const tab = arrange(silence)
    tab.page.online = false
    tab.add(makeNth(1))
    await tab.pass(10_000)
    expect(keepalives(tab).slice(0, 4)).toEqual([true, false, true, false])
  })

  it('is used again after a success', async () => {
    const tab = arrange(silence, (events) => answerAll(events))
    makeMany(50).forEach(tab.add)
    await tab.pass(1_000)
    expect(keepalives(tab)).toEqual([true, false, true])
  })

  it('is always used by a page that goes', async () => {
    const tab = arrange(silence, () => new Promise(() => {}))
    tab.add(makeNth(1))
    await tab.pass(2_000)
    tab.leave()
    expect(keepalives(tab)).toEqual([true, true])
  })
})

describe('three requests in a row without any answer', () => {
  /** Three silences have passed; the next answers come by script. */
  const breakIt = async (count: number, ...scripts: Script[]) => {
    const tab = arrange(silence, silence, silence, ...scripts)
    makeMany(count).forEach(tab.add)
    await tab.pass(10_000)
    tab.sender.parcels.length = 0
    return tab
  }

  it('leave it at one event every 5 minutes', async () => {
    const { pass, sent, times } = await breakIt(30, silence)
    await pass(900_000)
    expect(sent()).toEqual([[1], [1], [1]])
    expect(times().map((at, nth, all) => at - (all[nth - 1] ?? at))).toEqual([0, 300_000, 300_000])
  })

  it('are forgotten at any answer: from then on more and more go, at once', async () => {
    const { pass, sizes, times, waiting } = await breakIt(60, (events) => answerAll(events))
    await pass(300_000)
    expect([sizes(), new Set(times()).size, await waiting()]).toEqual([[1, 2, 4, 8, 16, 29], 1, []])
  })

  it('are forgotten at an answer that names no outcome, too: the usual waits are back', async () => {
    const { pass, sizes, times } = await breakIt(30, () => ({ http: 502 }))
    await pass(330_000)
    expect(sizes().slice(0, 3)).toEqual([1, 2, 4])
    expect(times().map((at, nth, all) => at - (all[nth - 1] ?? at)).slice(0, 3)).toEqual([0, 4_000, 8_000])
  })

  it('do not keep a call to send now from trying at once, with one event', async () => {
    const { wake, sent, waiting } = await breakIt(30, silence, (events) => answerAll(events))
    await wake()
    expect(sent()).toEqual([[1]])
    expect([await wake(), await waiting()]).toEqual([0, []])
  })

  it('do not count while the browser knows that it is offline', async () => {
    const tab = arrange(silence)
    tab.page.online = false
    makeMany(30).forEach(tab.add)
    await tab.pass(10_000)
    expect(tab.sizes().slice(0, 5)).toEqual([30, 30, 30, 30, 30])
    tab.page.online = true
    await tab.wake()
    await tab.wake()
    expect(tab.sizes().at(-1)).toBe(30)
  })

  it('have an answer between them where there was one: two silences twice are no three', async () => {
    const answer: Script = () => ({ http: 502 })
    const tab = arrange(silence, silence, answer, silence, silence, answer)
    makeMany(30).forEach(tab.add)
    for (let nth = 0; nth < 6; nth++) await tab.wake()
    expect(tab.sizes()).toEqual([30, 30, 30, 30, 30, 30])
  })

  it('are this page\'s: the next one tries as soon as the lease ends', async () => {
    const { close, pass, openHolding } = await breakIt(1, silence)
    close()
    await pass(15_000)
    const next = openHolding()
    await next.sync(40)
    expect(numbersOf(next.take(40, 59_900))).toEqual([1])
  })

  it('are told nobody: an ad blocker is not the site\'s mistake', async () => {
    const { complaints } = await breakIt(1, silence)
    expect(complaints).toEqual([])
  })
})

describe('413', () => {
  it('halves the parcel until it is taken, at once', async () => {
    const { add, wake, sizes, times, waiting } = arrange(atMost(11))
    makeMany(40).forEach(add)
    expect([await wake(), await waiting(), new Set(times())]).toEqual([0, [], new Set([0])])
    expect(sizes().slice(0, 4)).toEqual([40, 20, 10, 20])
  })

  it('lets parcels grow again after a success', async () => {
    const { add, wake, sizes } = arrange(() => ({ http: 413 }), () => ({ http: 413 }), (events) => answerAll(events))
    makeMany(80).forEach(add)
    await wake()
    expect(sizes()).toEqual([40, 20, 10, 20, 40, 10])
  })

  it('of a single event rejects it as too large, and the ones behind it go', async () => {
    const { add, wake, gone, refusals, waiting } = arrange((events) => (numbersOf(events).includes(2) ? { http: 413 } : answerAll(events)))
    makeMany(4).forEach(add)
    expect([await wake(), await waiting()]).toEqual([0, []])
    expect([refusals, gone]).toEqual([[[2, 'too_large', undefined]], [[1, 'stored'], [2, 'rejected'], [3, 'stored'], [4, 'stored']]])
  })

  it('is no failure: nobody is told and nothing waits', async () => {
    const { add, wake, complaints, sender } = arrange(atMost(1))
    makeMany(2).forEach(add)
    expect([await wake(), complaints]).toEqual([0, []])
    expect(sender.parcels.every(({ keepalive }) => keepalive)).toBe(true)
  })
})

describe('a refused event', () => {
  it('is judged by what the relay says of it', async () => {
    const tab = arrange((events) => answerAll(events, 'rejected'), silence)
    tab.add(makeNth(1))
    await tab.wake()
    expect([tab.refusals, tab.gone]).toEqual([[[1, 'invalid_event', 400]], [[1, 'rejected']]])
  })
})

describe('a clock that is set back', () => {
  it('by more than anything waits ends a backoff', async () => {
    const { add, pass, times } = arrange(silence)
    add(makeNth(1))
    await pass(2_000)
    vi.setSystemTime(NOON - 7_200_000)
    await pass(500)
    expect(times()).toEqual([2_000, 500 - 7_200_000])
  })

  it('a little holds up nothing where no answer asked to wait', async () => {
    const { add, wake, pass, sent } = arrange()
    add(makeNth(1))
    await wake()
    vi.setSystemTime(NOON - 600_000)
    add(makeNth(2))
    await pass(2_000)
    expect(sent()).toEqual([[1], [2]])
  })

  it('a little holds up no page that goes, either', async () => {
    const { add, wake, leave, sent } = arrange()
    add(makeNth(1))
    await wake()
    vi.setSystemTime(NOON - 600_000)
    add(makeNth(2))
    leave()
    expect(sent()).toEqual([[1], [2]])
  })

  it('by hours does not make us deaf to the next Retry-After', async () => {
    const { add, wake, sent } = arrange((events) => answerAll(events), (events) => ({ ...answerAll(events), waitMs: 60_000 }), (events) => answerAll(events))
    add(makeNth(1))
    await wake()
    vi.setSystemTime(NOON - 7_200_000)
    add(makeNth(2))
    await wake()
    add(makeNth(3))
    await wake()
    expect(sent()).toEqual([[1], [2]])
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

  it('is obeyed though another answer of the same moment asks for no wait', async () => {
    const { add, leave, wake, pass, sizes } = arrange((events) => ({ ...answerAll(events), waitMs: 60_000 }), (events) => answerAll(events))
    makeMany(50).forEach(add)
    leave()
    await pass(0)
    add(makeNth(51))
    await wake()
    await pass(59_000)
    expect(sizes()).toEqual([40, 10])
    await pass(1_000)
    expect(sizes()).toEqual([40, 10, 1])
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
    expect([sent(), JSON.parse(spill)]).toEqual([[], makeMany(2).map((event) => recordOf(event))])
  })

  it('sends all it holds though nobody answered for long', async () => {
    const { add, pass, leave, sizes } = arrange(silence)
    makeMany(3).forEach(add)
    await pass(8_000)
    leave()
    expect(sizes()).toEqual([3, 3, 3, 3])
  })

  it('is waited for by a call to send now, with all that left: what flies is not pending any more when it resolves', async () => {
    let land = (): void => {}
    const { add, leave, wake, pass } = arrange((events) => new Promise((resolve) => void (land = () => resolve(answerAll(events)))), (events) => answerAll(events))
    makeMany(50).forEach(add)
    leave()
    const pending: number[] = []
    void wake().then((count) => pending.push(count))
    await pass(1_000)
    expect(pending).toEqual([])
    land()
    await pass(0)
    expect(pending).toEqual([0])
  })

  it('spills nothing that the disk has confirmed', async () => {
    const { add, pass, leave, storage } = arrange(() => new Promise(() => {}))
    add(makeNth(1))
    await pass(0)
    leave()
    expect(storage.size).toBe(0)
  })

  it('sends in spite of a backoff', async () => {
    const { add, pass, leave, times } = arrange(silence, silence, (events) => answerAll(events))
    add(makeNth(1))
    await pass(2_600)
    leave()
    expect(times()).toEqual([2_000, 2_500, 2_600])
  })
})

describe('events that another tab left', () => {
  it('are looked for every 5 s', async () => {
    const { openHolding, pass, wake, sent, times } = arrange()
    await wake()
    expect(sent()).toEqual([])
    openHolding().add(recordOf(makeNth(1)))
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
