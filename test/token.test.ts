import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Reply, Send } from '../src/sender.ts'
import { withToken, type Tokens } from '../src/token.ts'
import { makeMany, NOON, answerAll } from './support/fakes.ts'

beforeEach(() => void vi.useFakeTimers({ now: NOON }))
afterEach(() => void vi.useRealTimers())

const REFUSED: Reply = { http: 401, fields: { error: { code: 'token_expired' } } }

/** A relay that takes only the token `good`, unless it is told of another. */
const arrange = (tokens: Tokens, silent = false) => {
  const sent: (string | undefined)[] = []
  const complaints: unknown[] = []
  const relay = { takes: 'good' }
  const visitor = { epoch: 0 }
  let again = 0
  const post: Send = async (events, _keepalive, token) => {
    sent.push(token)
    return silent ? undefined : token === relay.takes ? answerAll(events) : REFUSED
  }
  const parts = { who: () => visitor.epoch, again: () => void again++, complain: (problem: unknown) => void complaints.push(problem) }
  const send = withToken(post, tokens, parts)
  const sendOne = async () => {
    const reply = await send(makeMany(1), true)
    await vi.advanceTimersByTimeAsync(1)
    return reply?.http
  }
  return { relay, visitor, sent, complaints, sendOne, again: () => again }
}

describe('a token', () => {
  it('goes with every batch', async () => {
    const { sendOne, sent, again } = arrange({ token: 'good', getToken: () => 'other' })
    expect([await sendOne(), await sendOne()]).toEqual([200, 200])
    expect([sent, again()]).toEqual([['good', 'good'], 0])
  })

  it('that is refused is asked for once, which is no word against the set-up, and what waits goes at once', async () => {
    const getToken = vi.fn(async () => 'good')
    const { sendOne, sent, again } = arrange({ token: 'stale', getToken })
    expect(await sendOne()).toBe(0)
    expect([getToken.mock.calls.length, again()]).toEqual([1, 1])
    expect(await sendOne()).toBe(200)
    expect([getToken.mock.calls.length, sent]).toEqual([1, ['stale', 'good']])
  })

  it('is asked for again when it runs out later', async () => {
    const { sendOne, relay, again } = arrange({ getToken: () => relay.takes })
    await sendOne()
    await sendOne()
    relay.takes = 'newer'
    expect([await sendOne(), again(), await sendOne()]).toEqual([0, 2, 200])
  })

  it('that is refused as well is told of like any wrong set-up, and makes no loop', async () => {
    const getToken = vi.fn(() => 'bad')
    const { sendOne, again } = arrange({ getToken })
    expect([await sendOne(), await sendOne(), await sendOne()]).toEqual([0, 401, 401])
    // Asked each time: the visitor may have logged in since. What waits goes with the next try, in its own time.
    expect([getToken.mock.calls.length, again()]).toEqual([3, 1])
  })

  it.each([
    ['throws', () => { throw new Error('no session') }],
    ['rejects', () => Promise.reject(new Error('no session'))],
  ])('whose getToken() %s costs nothing, and is told', async (_, getToken) => {
    const { sendOne, complaints, again } = arrange({ getToken })
    expect(await sendOne()).toBe(0)
    expect([complaints.map(String), again()]).toEqual([['Error: no session'], 0])
  })

  it('that is slow to come is asked for once: nothing is sent meanwhile, since the old one would be refused again', async () => {
    const getToken = vi.fn(() => new Promise<string>((resolve) => setTimeout(resolve, 9_000, 'good')))
    const { sendOne, sent, again } = arrange({ token: 'stale', getToken })
    expect([await sendOne(), await sendOne(), await sendOne()]).toEqual([0, 0, 0])
    await vi.advanceTimersByTimeAsync(9_000)
    expect([again(), await sendOne()]).toEqual([1, 200])
    expect([getToken.mock.calls.length, sent]).toEqual([1, ['stale', 'good']])
  })

  it('that never comes holds nothing up for longer than a request may take', async () => {
    const getToken = vi.fn(() => new Promise<string>(() => undefined))
    const { sendOne } = arrange({ getToken })
    expect([await sendOne(), await sendOne()]).toEqual([0, 0])
    await vi.advanceTimersByTimeAsync(10_000)
    expect([await sendOne(), getToken.mock.calls.length]).toEqual([401, 2])
  })

  it('of one visitor is not sent for the next', async () => {
    const tokens = ['of A', 'good']
    const { sendOne, sent, relay, visitor } = arrange({ getToken: () => tokens.shift() })
    relay.takes = 'of A'
    await sendOne()
    await sendOne()
    relay.takes = 'good'
    visitor.epoch = 1
    expect([await sendOne(), await sendOne()]).toEqual([0, 200])
    expect(sent).toEqual([undefined, 'of A', undefined, 'good'])
  })

  it('that came for the visitor before is not sent for the next, who came while it was asked for', async () => {
    const { sendOne, sent, visitor } = arrange({
      getToken: async () => {
        visitor.epoch = 1
        return 'of A'
      },
    })
    await sendOne()
    await sendOne()
    expect(sent).toEqual([undefined, undefined])
  })

  it('of the page itself is not sent for the visitor who logs in later', async () => {
    const { sendOne, sent, relay, visitor } = arrange({ token: 'good', getToken: () => relay.takes })
    await sendOne()
    visitor.epoch = 1
    relay.takes = 'of B'
    expect([await sendOne(), await sendOne()]).toEqual([0, 200])
    expect(sent).toEqual(['good', undefined, 'of B'])
  })

  it('that comes late is not sent for the next visitor, whose own is still asked for', async () => {
    const answers: ((token: string) => void)[] = []
    const { sendOne, sent, visitor } = arrange({ getToken: () => new Promise((resolve) => answers.push(resolve)) })
    await sendOne()
    visitor.epoch = 1
    await sendOne()
    answers[0]?.('of A')
    await vi.advanceTimersByTimeAsync(0)
    await sendOne()
    answers[1]?.('of B')
    await vi.advanceTimersByTimeAsync(0)
    await sendOne()
    expect(sent).toEqual([undefined, undefined, 'of B'])
  })

  it.each([
    ['null', null],
    ['an object', { token: 'good' }],
    ['a page of HTML', '<!doctype html>'.padEnd(4_097)],
  ])('that is %s is not sent, as the batch would be malformed or too large, and is asked for again', async (_, given) => {
    const getToken = vi.fn(() => given as string)
    const { sendOne, sent } = arrange({ token: given as string, getToken })
    expect([await sendOne(), await sendOne()]).toEqual([0, 401])
    expect([sent, getToken.mock.calls.length]).toEqual([[undefined, undefined], 2])
  })

  it('is not asked for where nobody answers, nor where there is no getToken()', async () => {
    const getToken = vi.fn(() => 'good')
    expect([await arrange({ getToken }, true).sendOne(), getToken.mock.calls.length]).toEqual([undefined, 0])
    expect(await arrange({ token: 'stale' }).sendOne()).toBe(401)
  })
})
