import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ADA } from './support/fakes.ts'
import { freshDevice, kept, openTracker } from './support/tracker.ts'

beforeEach(freshDevice)
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const NOTHING = { local: [], cookies: '', disk: [] }
const ONLY_DENIED = { ...NOTHING, local: ['pristo_consent'] }

/** A call as untyped JavaScript makes it. */
const startWith = (options: object) => openTracker({ ...options })

/** Tracks one event for Ada; how many arrived. */
const visit = async (page: ReturnType<typeof openTracker>): Promise<number> => {
  page.identify(ADA)
  page.track('view')
  await page.flushed()
  return page.arrived().length
}

describe('a decision', () => {
  it('is remembered as a bare word and wins over what the next page begins with', async () => {
    const first = openTracker({ consent: 'pending' })
    first.consent('granted')
    expect(localStorage['pristo_consent']).toBe('granted')
    first.close()
    expect(await visit(openTracker({ consent: 'denied' }))).toBe(1)
  })

  it('that was no is one on the next page, which tracks nothing and keeps nothing', async () => {
    const first = openTracker()
    first.consent('denied')
    expect(localStorage['pristo_consent']).toBe('denied')
    first.close()
    const next = openTracker()
    expect([await visit(next), next.track('view'), await kept()]).toEqual([0, undefined, ONLY_DENIED])
  })

  it('is forgotten with pending: the next page begins as the site says', async () => {
    const first = openTracker()
    first.consent('denied')
    first.consent('pending')
    first.close()
    expect(localStorage['pristo_consent']).toBeUndefined()
    expect(await visit(openTracker())).toBe(1)
  })

  it('is not what a page begins with: only a call is remembered', async () => {
    openTracker({ consent: 'granted' })
    expect((await kept()).local).toEqual([])
  })

  it('counts on its page where nothing can be remembered', async () => {
    vi.stubGlobal('localStorage', undefined)
    const page = openTracker({ consent: 'pending' })
    page.consent('granted')
    expect([await visit(page), page.messages]).toEqual([1, []])
  })

  it('that is no decision, in the storage of the device, counts for nothing', async () => {
    localStorage['pristo_consent'] = 'yes'
    expect(await visit(openTracker())).toBe(1)
  })

  it('to refuse, made in another tab, holds here once the page is seen again, and erases', async () => {
    const page = openTracker()
    page.relay.answer = () => Promise.reject(new TypeError('offline'))
    await visit(page)
    localStorage['pristo_consent'] = 'denied'
    document.dispatchEvent(new Event('visibilitychange'))
    await page.settled()
    expect([page.track('view'), await kept()]).toEqual([undefined, ONLY_DENIED])
  })

  it('to refuse is not undone by a tab that has not heard of it: what that one writes down is not copied here', async () => {
    const other = openTracker()
    await visit(other)
    const page = openTracker()
    page.consent('denied')
    await page.settled()
    other.identify({ id: 'u_2', email: 'b@b.co' })
    await other.flushed()
    localStorage.removeItem('pristo_contact')
    await page.flushed()
    expect(Object.keys(localStorage)).toEqual(['pristo_consent'])
  })

  it('to agree, made in another tab, is no word on a page that asks itself', async () => {
    const page = openTracker({ consent: 'pending' })
    localStorage['pristo_consent'] = 'granted'
    document.dispatchEvent(new Event('visibilitychange'))
    expect(await visit(page)).toBe(0)
  })
})

describe('before a decision', () => {
  it('nothing is written or sent, whatever is called, and nothing of what is stored is read', async () => {
    localStorage['pristo_contact'] = JSON.stringify({ rev: 1, epoch: 0, contact: { id: 'u_9' } })
    const page = openTracker({ consent: 'pending' })
    const count = await visit(page)
    page.reset()
    page.identify(ADA)
    document.dispatchEvent(new Event('visibilitychange'))
    dispatchEvent(new Event('pagehide'))
    await page.settled()
    dispatchEvent(new Event('pageshow'))
    expect([count, await kept()]).toEqual([0, { ...NOTHING, local: ['pristo_contact'] }])
    expect(localStorage['pristo_contact']).toContain('u_9')
  })

  it('no database is opened', async () => {
    const open = vi.spyOn(indexedDB, 'open')
    await visit(openTracker({ consent: 'pending' }))
    expect(open).not.toHaveBeenCalled()
  })
})

describe('a page that begins with a denial', () => {
  it('erases all that earlier pages stored: events, who it was, spills, acks', async () => {
    const first = openTracker()
    first.relay.answer = () => Promise.reject(new TypeError('offline'))
    await visit(first)
    first.close()
    localStorage['pristo_spill_1'] = '[]'
    document.cookie = 'pristo_ack_123456789=123456789;Path=/'
    expect((await kept()).disk).toHaveLength(2)
    const next = openTracker({ consent: 'denied' })
    await next.settled()
    expect(await kept()).toEqual(NOTHING)
  })

  it('erases also what was stored while the clock was ahead', async () => {
    vi.setSystemTime(Date.now() + 86_400_000)
    const first = openTracker()
    await visit(first)
    first.close()
    vi.setSystemTime(Date.now() - 86_400_000)
    const next = openTracker({ consent: 'denied' })
    await next.settled()
    expect(await kept()).toEqual(NOTHING)
  })
})

describe('a signal of the browser', () => {
  const signal = (signals: object) => vi.stubGlobal('navigator', { onLine: true, ...signals })

  it.each([
    ['gpc', { globalPrivacyControl: true }, 0],
    ['dnt', { doNotTrack: '1' }, 0],
    ['gpc dnt', { doNotTrack: '1' }, 0],
    ['dnt gpc', { globalPrivacyControl: true }, 0],
    ['gpc', { doNotTrack: '1' }, 1],
    ['dnt', { globalPrivacyControl: true, doNotTrack: 'unspecified' }, 1],
    ['gpc dnt', { globalPrivacyControl: false, doNotTrack: '0' }, 1],
    [undefined, { globalPrivacyControl: true, doNotTrack: '1' }, 1],
  ])('with respect %s: %j lets %i of one event pass', async (respect, signals, count) => {
    signal(signals)
    const page = openTracker({ respect })
    expect([await visit(page), page.messages]).toEqual([count, []])
  })

  it('is no decision: nothing of it is remembered', async () => {
    signal({ globalPrivacyControl: true })
    await visit(openTracker({ respect: 'gpc' }))
    expect(await kept()).toEqual(NOTHING)
  })

  it('does not count for a visitor who has agreed here', async () => {
    signal({ globalPrivacyControl: true })
    const first = openTracker({ respect: 'gpc' })
    first.consent('granted')
    first.close()
    expect(await visit(openTracker({ respect: 'gpc' }))).toBe(1)
  })
})

describe('a mistyped set-up', () => {
  it.each([['Granted'], ['yes'], [1], [true], [null], [['granted']], [['pending']], [Object.create(null)]])(
    'of consent, such as %j, is told once, and nothing is written or sent',
    async (consent) => {
      const page = startWith({ consent })
      expect([await visit(page), await kept()]).toEqual([0, NOTHING])
      expect(page.messages).toEqual([expect.stringMatching(/^\[pristo\] consent: got .*; allowed: granted,pending,denied$/)])
    },
  )

  it.each([['GPC'], ['gpc,dnt'], [''], [true], [Object('x')]])('of respect, such as %j, is told once and stands for both signals', async (respect) => {
    vi.stubGlobal('navigator', { onLine: true, doNotTrack: '1' })
    const page = startWith({ respect })
    expect([await visit(page), page.messages]).toEqual([0, [expect.stringMatching(/^\[pristo\] respect: got .*; allowed: gpc dnt$/)]])
  })

  it('of a call changes nothing and is not remembered', async () => {
    const page = openTracker()
    Reflect.apply(page.consent, undefined, ['Denied'])
    expect([await visit(page), page.messages.length, localStorage['pristo_consent']]).toEqual([1, 1, undefined])
  })
})
