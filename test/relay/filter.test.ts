// @vitest-environment node
import { describe, expect, it } from 'vitest'
import { makeEvent, outcomes, send, setUp } from './harness.ts'

const CHROME = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36'
const FIREFOX = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:153.0) Gecko/20100101 Firefox/153.0'
const SAFARI = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1'
const HEADLESS = CHROME.replace('Chrome', 'HeadlessChrome')
const GOOGLEBOT = 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'

describe('allowedTypes', () => {
  it('rejects what is not on the list, before the API hears of it, and leaves its neighbours alone', async () => {
    const { relay, api } = setUp(undefined, { allowedTypes: ['purchase', 'constructor'] })
    const heard = await send(relay, ['purchase', 'signup', 'PURCHASE', 'toString', 'constructor'].map((type, n) => makeEvent(n, { type })))
    expect(outcomes(heard)).toEqual(['stored', 'rejected', 'rejected', 'rejected', 'stored'])
    expect(heard.results[1]).toMatchObject({ code: 'type_not_allowed', message: 'event.type: not on the list of the relay; see its option allowedTypes' })
    expect(heard.results[1]).not.toHaveProperty('status') // a status would be the API's, and the browser would wait for an email
    expect(api.calls.map(({ body }) => body.type)).toEqual(['purchase', 'constructor'])
  })

  it('is every type where it is left out', async () => {
    const { relay } = setUp()
    expect(outcomes(await send(relay, [makeEvent(1, { type: 'anything' })]))).toEqual(['stored'])
  })
})

describe('bots', () => {
  const by = (relay: ReturnType<typeof setUp>['relay'], agent: string, n = 1) => send(relay, [makeEvent(n)], {}, { headers: { 'User-Agent': agent } })

  it.each([GOOGLEBOT, HEADLESS, 'curl/8.5.0', 'python-requests/2.32'])("'drop' answers %s with bot, and neither the session nor the API hears of it", async (agent) => {
    let asked = 0
    const { relay, api } = setUp(undefined, { bots: 'drop', identity: { resolve: () => (asked++, null) } })
    const heard = await by(relay, agent)
    expect([heard.status, heard.results[0]]).toMatchObject([200, { outcome: 'rejected', code: 'bot' }])
    expect([api.calls.length, asked]).toEqual([0, 0])
  })

  it.each([CHROME, FIREFOX, SAFARI, ''])("'drop' delivers the events of %j", async (agent) => {
    const { relay } = setUp(undefined, { bots: 'drop' })
    expect(outcomes(await by(relay, agent))).toEqual(['stored'])
  })

  it('are delivered where nothing is said', async () => {
    const { relay } = setUp()
    expect(outcomes(await by(relay, GOOGLEBOT))).toEqual(['stored'])
  })

  it('are known in a moment, however long and odd the User-Agent', async () => {
    const { relay } = setUp(undefined, { bots: 'drop' })
    for (const part of ['a', ' ', '.', 'a ', '-a', '@a', '(', 'a/1', '1.', ';a ', 'a/1.']) {
      const begun = performance.now()
      await by(relay, part.repeat(16_384 / part.length).trim())
      expect(performance.now() - begun).toBeLessThan(500)
    }
  })
})
