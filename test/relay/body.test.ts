// @vitest-environment node
import { afterEach, describe, expect, it, vi } from 'vitest'
import { makeBatch, makeEvent, outcomes, read, request, setUp, until, uuid } from './harness.ts'

const HEADERS = { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin' }

/** Node's Request wants `duplex` for a streamed body; the DOM's types do not know it. */
const streamed = (body: ReadableStream<Uint8Array>, headers: Record<string, string> = {}): Request =>
  new Request('https://shop.example/pristo', { method: 'POST', headers: { ...HEADERS, ...headers }, body, ...{ duplex: 'half' } })

const heard = async (body: string, headers: Record<string, string> = {}) => {
  const { relay, api } = setUp()
  return { ...(await read(await relay(request(body, { headers })))), calls: api.calls }
}

/** A batch of exactly this many bytes. */
const sized = (bytes: number): string => {
  const empty = JSON.stringify(makeBatch([makeEvent(1, { type: '' })]))
  return empty.replace('"type":""', `"type":"${'x'.repeat(bytes - empty.length)}"`)
}

describe('size', () => {
  afterEach(() => void vi.useRealTimers())

  it('65 536 bytes are read, 65 537 get 413', async () => {
    expect((await heard(sized(65_536))).status).toBe(200)
    const more = await heard(sized(65_537))
    expect([more.status, more.error?.code, more.calls.length]).toEqual([413, 'body_too_large', 0])
  })

  it('bytes are counted, not characters', async () => {
    const text = JSON.stringify(makeBatch([makeEvent(1, { type: 'é'.repeat(33_000) })]))
    expect(text.length).toBeLessThan(65_536)
    expect((await heard(text)).status).toBe(413)
  })

  it.each(['NaN', '-1', '10', '1e400x'])('a Content-Length of %s is no way around it', async (length) => {
    expect((await heard(sized(70_000), { 'Content-Length': length })).status).toBe(413)
    expect((await heard(sized(1_000), { 'Content-Length': length })).status).toBe(200)
  })

  it('a Content-Length over the limit is refused before anything is read', async () => {
    const pull = vi.fn((controller: ReadableStreamDefaultController<Uint8Array>) => controller.enqueue(new Uint8Array(1)))
    const body = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 })
    const response = await setUp().relay(streamed(body, { 'Content-Length': '10000000' }))
    expect(response.status).toBe(413)
    expect(pull).not.toHaveBeenCalled()
  })

  it('an endless chunked body is cancelled just past the limit', async () => {
    let chunks = 0
    const cancel = vi.fn()
    const body = new ReadableStream<Uint8Array>(
      { pull: (controller) => (chunks++, controller.enqueue(new Uint8Array(16_384).fill(120))), cancel },
      { highWaterMark: 0 },
    )
    expect((await setUp().relay(streamed(body))).status).toBe(413)
    expect(chunks).toBe(5)
    expect(cancel).toHaveBeenCalledOnce()
  })

  it('a body that does not end gets 408 after 10 s and is cancelled', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const cancel = vi.fn()
    let isRead = false
    const body = new ReadableStream<Uint8Array>({ pull: (controller) => ((isRead = true), controller.enqueue(new Uint8Array([123]))), cancel }, { highWaterMark: 0 })
    const slow = body.pipeThrough(new TransformStream({ transform: (byte, controller) => (controller.enqueue(byte), new Promise<void>(() => undefined)) }))
    const answer = setUp().relay(streamed(slow))
    await until(() => isRead)
    await vi.advanceTimersByTimeAsync(10_000)
    const { status, error } = await read(await answer)
    expect([status, error?.code]).toEqual([408, 'body_too_slow'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('40 events pass, 41 get 413 and none is delivered', async () => {
    const events = Array.from({ length: 41 }, (_, n) => makeEvent(n))
    expect(outcomes(await heard(JSON.stringify(makeBatch(events.slice(1)))))).toEqual(Array(40).fill('stored'))
    const more = await heard(JSON.stringify(makeBatch(events)))
    expect([more.status, more.error, more.calls.length]).toEqual([413, { code: 'too_many_events', message: 'got 41 events; allowed are 40' }, 0])
  })
})

describe('shape', () => {
  it.each([
    ['nothing', ''],
    ['no JSON', '{"v":1'],
    ['HTML', '<!doctype html>'],
    ['null', 'null'],
    ['an array', '[]'],
    ['a string', '"x"'],
    ['no events', JSON.stringify(makeBatch([]))],
    ['events that are no array', JSON.stringify({ ...Object(makeBatch([])), events: { 0: makeEvent(1) } })],
    ['another version', JSON.stringify(makeBatch([makeEvent(1)], { v: 2 }))],
    ['an unknown key', JSON.stringify(makeBatch([makeEvent(1)], { extra: 1 }))],
    ['no sentAt', JSON.stringify(makeBatch([makeEvent(1)], { sentAt: undefined }))],
    ['a sentAt that is no date', JSON.stringify(makeBatch([makeEvent(1)], { sentAt: 'now' }))],
    ['__proto__', `{"__proto__":{"v":1},${JSON.stringify(makeBatch([makeEvent(1)])).slice(1)}`],
    ['a nesting of 60 000', '['.repeat(60_000)],
    ['a closed nesting of 30 000', '['.repeat(30_000) + ']'.repeat(30_000)],
  ])('%s gets 400', async (_, body) => {
    const answer = await heard(body)
    expect([answer.status, answer.error?.code, answer.calls.length]).toEqual([400, 'malformed', 0])
    expect(answer.error?.message).not.toContain('@')
  })

  it('text that is no UTF-8 gets 400, not a mangled event', async () => {
    const bytes = new TextEncoder().encode(JSON.stringify(makeBatch([makeEvent(1)])))
    bytes[bytes.indexOf('p'.charCodeAt(0))] = 0xff
    const body = new ReadableStream<Uint8Array>({ start: (controller) => (controller.enqueue(bytes), controller.close()) })
    expect((await setUp().relay(streamed(body))).status).toBe(400)
  })

  it('a character cut in two by the chunks arrives whole', async () => {
    const { relay, api } = setUp()
    const bytes = new TextEncoder().encode(JSON.stringify(makeBatch([makeEvent(1, { type: '🙂é' })])))
    const body = new ReadableStream<Uint8Array>({ start: (controller) => (bytes.forEach((byte) => controller.enqueue(new Uint8Array([byte]))), controller.close()) })
    expect((await relay(streamed(body))).status).toBe(200)
    expect(api.calls[0]?.body.type).toBe('🙂é')
  })

  it('a body that breaks off gets 400', async () => {
    const body = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error('gone')) })
    expect((await setUp().relay(streamed(body))).status).toBe(400)
  })

  it('a body that somebody read before gets 400', async () => {
    const used = request(makeBatch([makeEvent(1)]))
    await used.text()
    expect((await setUp().relay(used)).status).toBe(400)
  })

  it('a deeply nested event is rejected and its neighbour stored', async () => {
    const deep = '['.repeat(20_000) + ']'.repeat(20_000)
    const body = JSON.stringify(makeBatch([makeEvent(1), 'DEEP'])).replace('"DEEP"', deep)
    const answer = await heard(body)
    expect(answer.results.map(({ id, outcome }) => [id, outcome])).toEqual([[uuid(1), 'stored'], ['', 'rejected']])
  })
})
